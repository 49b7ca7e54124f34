//! What an operator does to a broker that runs.

use super::broker::Broker;
use crate::store::StoreError;
use std::path::Path;
use std::sync::atomic::Ordering;

impl Broker {
    /// Whether clients are let in. Those that are in stay.
    pub fn admit(&self, on: bool) {
        self.shut.store(!on, Ordering::SeqCst);
    }

    /// Whether clients are let in. To be asked when a client's session is there: whoever lets nobody in looks for sessions
    /// after that, so that one of the two sees the other.
    pub fn is_admitting(&self) -> bool {
        !self.shut.load(Ordering::SeqCst)
    }

    /// Another budget for messages in memory, in bytes.
    pub fn set_memory_budget(&self, bytes: u64) {
        self.memory().set_budget(bytes);
        self.budget_changed();
    }

    /// Makes a copy of what is on disk in `dir`, which must not exist, while the broker runs. Whatever was confirmed before is in it.
    /// It takes its while: not to be called by a connection's task.
    ///
    /// # Errors
    /// Why the copy cannot be made there.
    pub fn backup(&self, dir: &Path) -> Result<(), String> {
        self.committer().storage().backup(dir).map_err(|error| match error {
            // Its own words are about the data directory.
            StoreError::Directory(dir, fault) => format!("{dir}: {fault}"),
            other => other.to_string(),
        })
    }
}

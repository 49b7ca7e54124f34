//! Gives the disk its space back. Deleted chunks stay in their files until RocksDB compacts them, and a drained queue
//! writes nothing that would make it; keys are few and small, so that a compaction costs little.

use super::Family;
use super::rocks::Shared;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Deleted chunks after which space is reclaimed though more are being deleted.
const MANY: u64 = 2048;
/// As few are reclaimed when nothing was deleted for [`QUIET`]; fewer are not worth the writing.
const FEW: u64 = 64;
const QUIET: Duration = Duration::from_secs(5);
/// How often the reclaimer looks.
const LOOK: Duration = Duration::from_secs(1);
/// The reclaimer rests this many times as long as it has worked.
const REST: u32 = 3;

/// Deleted chunks that may still take space.
#[derive(Debug, Default)]
pub(super) struct Garbage {
    state: Mutex<State>,
    bell: Condvar,
}

#[derive(Debug, Default)]
struct State {
    deleted: u64,
    seen: u64,
    stop: bool,
}

impl Garbage {
    /// A key or range of a family was deleted.
    pub fn deleted(&self, family: Family) {
        if matches!(family, Family::Chunks | Family::Transient) {
            self.state.lock().deleted += 1;
        }
    }

    /// Ends the thread.
    pub fn stop(&self) {
        self.state.lock().stop = true;
        self.bell.notify_all();
    }

    /// Waits until there is something to reclaim; false when the thread is to end.
    fn wait(&self) -> bool {
        let mut state = self.state.lock();
        let mut quiet_since = Instant::now();
        while !state.stop {
            if state.deleted != state.seen {
                state.seen = state.deleted;
                quiet_since = Instant::now();
            }
            if state.deleted >= MANY || (state.deleted >= FEW && quiet_since.elapsed() >= QUIET) {
                (state.deleted, state.seen) = (0, 0);
                return true;
            }
            self.bell.wait_for(&mut state, LOOK);
        }
        false
    }

    fn rest(&self, time: Duration) {
        let mut state = self.state.lock();
        if !state.stop {
            self.bell.wait_for(&mut state, time);
        }
    }
}

/// Runs the thread until [`Garbage::stop`].
///
/// # Errors
/// When no thread can be started.
pub(super) fn start(shared: Arc<Shared>) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("reclaimer".into()).spawn(move || {
        while shared.garbage.wait() {
            let started = Instant::now();
            if let Err(error) = shared.reclaim() {
                // The committer meets the same error where it matters.
                tracing::warn!(%error, "cannot reclaim disk space");
            }
            shared.garbage.rest(started.elapsed() * REST);
        }
    })
}

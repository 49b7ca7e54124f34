//! What a command asks of whoever holds the queue.

use super::{Dead, Outlet};
use smallvec::SmallVec;

/// What has to be done after the lock is released.
#[derive(Debug)]
pub struct Effects<O> {
    /// Outlets that were given something, each once.
    pub wake: SmallVec<[O; 2]>,
    /// The head is on disk: [`Queue::load_request`] says what to read.
    pub load: bool,
    /// The queue has something for the disk and was not listed as dirty before. To be done under the lock: whoever finds it
    /// listed relies on that.
    pub dirty: bool,
    /// The last consumer of an auto-delete queue has gone, or nobody used the queue for as long as `x-expires` says.
    pub unused: bool,
    /// What is on disk cannot be read; the text says what. The consumers were told that there is nothing more.
    pub damage: Option<String>,
    /// Transient messages that are not where they were paged out to: a full disk took them.
    pub lost: u64,
    /// Messages for the dead-letter exchange, in order.
    pub dead: Vec<Dead>,
    /// The chunk that was to be appended was refused from this index on: the queue is full.
    pub refused: Option<u32>,
    /// [`Command::Tick`] is due at this time, in wall clock ms.
    pub timer: Option<u64>,
    /// The queue was asked something for the first time since it was last looked at ([`Queue::look`]).
    pub stirred: bool,
}

impl<O> Default for Effects<O> {
    fn default() -> Self {
        Effects {
            wake: SmallVec::new(),
            load: false,
            dirty: false,
            unused: false,
            damage: None,
            lost: 0,
            dead: Vec::new(),
            refused: None,
            timer: None,
            stirred: false,
        }
    }
}

impl<O: Outlet> Effects<O> {
    /// The outlet was given something.
    pub(super) fn rouse(&mut self, outlet: O) {
        if !self.wake.iter().any(|other| other.same(&outlet)) {
            self.wake.push(outlet);
        }
    }
}

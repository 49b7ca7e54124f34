//! Publisher confirms of a channel (compat.md 2.1). One entry is kept for each epoch, not for each publish.

use crate::engine::Epoch;
use std::collections::VecDeque;

/// A basic.ack to be sent: the tag, and whether it stands for several.
pub(super) type Confirm = (u64, bool);

/// The confirm state of a channel in confirm mode.
#[derive(Debug, Default)]
pub(super) struct Confirms {
    /// Number of the last publish; the first is 1.
    published: u64,
    /// Number of the last publish that is noted: confirmed, or in `waiting`.
    noted: u64,
    /// Number of the last publish that was confirmed.
    confirmed: u64,
    /// Last publish of each batch that is not confirmed, and the epoch it waits for.
    waiting: VecDeque<(u64, Epoch)>,
}

impl Confirms {
    /// A publish was accepted. True when it is the first since the last [`Confirms::note`].
    #[inline]
    pub fn published(&mut self) -> bool {
        self.published += 1;
        self.published == self.noted + 1
    }

    /// What was published since the last note is in its queues, durable with `epoch`. Confirms come in order: what waits
    /// for nothing waits for what came before it.
    pub fn note(&mut self, epoch: Option<Epoch>) -> Option<Confirm> {
        if self.noted == self.published {
            return None;
        }
        self.noted = self.published;
        match (epoch, self.waiting.back_mut()) {
            (None, None) => self.confirm(self.published),
            (Some(epoch), Some((last, waits_for))) if epoch <= *waits_for => {
                *last = self.published;
                None
            }
            (None, Some((last, _))) => {
                *last = self.published;
                None
            }
            (Some(epoch), _) => {
                self.waiting.push_back((self.published, epoch));
                None
            }
        }
    }

    /// Everything up to epoch `done` is on disk.
    pub fn release(&mut self, done: Epoch) -> Option<Confirm> {
        let mut last = None;
        while let Some((published, _)) = self.waiting.pop_front_if(|(_, epoch)| *epoch <= done) {
            last = Some(published);
        }
        self.confirm(last?)
    }

    /// Whether publishes wait for an epoch.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn confirm(&mut self, last: u64) -> Option<Confirm> {
        let multiple = last > self.confirmed + 1;
        self.confirmed = last;
        Some((last, multiple))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(confirms: &mut Confirms, count: u32) {
        (0..count).for_each(|_| {
            confirms.published();
        });
    }

    #[test]
    fn what_waits_for_nothing_is_confirmed_at_once() {
        let mut confirms = Confirms::default();
        assert!(confirms.published());
        assert_eq!(confirms.note(None), Some((1, false)));
        assert!(confirms.published());
        assert!(!confirms.published());
        publish(&mut confirms, 1);
        assert_eq!(confirms.note(None), Some((4, true)));
        assert_eq!(confirms.note(None), None);
    }

    #[test]
    fn durable_publishes_wait_for_their_epoch() {
        let mut confirms = Confirms::default();
        publish(&mut confirms, 3);
        assert_eq!(confirms.note(Some(7)), None);
        publish(&mut confirms, 2);
        assert_eq!(confirms.note(Some(8)), None);
        assert_eq!(confirms.release(6), None);
        assert_eq!(confirms.release(7), Some((3, true)));
        assert!(confirms.is_waiting());
        assert_eq!(confirms.release(9), Some((5, true)));
        assert!(!confirms.is_waiting());
    }

    #[test]
    fn confirms_keep_the_order_of_publishes() {
        let mut confirms = Confirms::default();
        publish(&mut confirms, 1);
        assert_eq!(confirms.note(Some(7)), None);
        publish(&mut confirms, 1);
        assert_eq!(confirms.note(None), None, "a transient publish behind a durable one waits with it");
        assert_eq!(confirms.release(7), Some((2, true)));
    }

    #[test]
    fn one_entry_an_epoch() {
        let mut confirms = Confirms::default();
        for _ in 0..1000 {
            publish(&mut confirms, 1);
            assert_eq!(confirms.note(Some(7)), None);
        }
        assert_eq!(confirms.waiting.len(), 1);
        assert_eq!(confirms.release(7), Some((1000, true)));
    }
}

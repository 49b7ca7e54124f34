//! Publisher confirms of a channel (compat.md 2.1). One entry is kept for each epoch, not for each publish.

use crate::engine::Epoch;
use smallvec::SmallVec;
use std::collections::{BTreeSet, VecDeque};

/// A basic.ack or basic.nack to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Confirm {
    /// Number of the publish.
    pub tag: u64,
    /// Whether it stands for all before it too.
    pub multiple: bool,
    /// Ack or nack.
    pub accepted: bool,
}

/// Confirms of one time, in order.
pub(super) type Due = SmallVec<[Confirm; 1]>;

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
    /// Publishes that a queue refused and that are not confirmed yet.
    refused: BTreeSet<u64>,
    /// Acknowledged since the last [`Confirms::take_accepted`].
    accepted: u64,
}

impl Confirms {
    /// A publish was accepted. Returns its number, and whether it is the first since the last [`Confirms::note`].
    #[inline]
    pub fn published(&mut self) -> (u64, bool) {
        self.published += 1;
        (self.published, self.published == self.noted + 1)
    }

    /// A queue has refused a publish.
    pub fn refused(&mut self, sequence: u64) {
        self.refused.insert(sequence);
    }

    /// What was published since the last note is in its queues, durable with `epoch`. Confirms come in order: what waits
    /// for nothing waits for what came before it.
    pub fn note(&mut self, epoch: Option<Epoch>) -> Due {
        if self.noted == self.published {
            return Due::new();
        }
        self.noted = self.published;
        match (epoch, self.waiting.back_mut()) {
            (None, None) => self.confirm(self.published),
            (Some(epoch), Some((last, waits_for))) if epoch <= *waits_for => {
                *last = self.published;
                Due::new()
            }
            (None, Some((last, _))) => {
                *last = self.published;
                Due::new()
            }
            (Some(epoch), _) => {
                self.waiting.push_back((self.published, epoch));
                Due::new()
            }
        }
    }

    /// Everything up to epoch `done` is on disk.
    pub fn release(&mut self, done: Epoch) -> Due {
        let mut last = None;
        while let Some((published, _)) = self.waiting.pop_front_if(|(_, epoch)| *epoch <= done) {
            last = Some(published);
        }
        last.map_or_else(Due::new, |last| self.confirm(last))
    }

    /// Publishes that were acknowledged since the last call.
    pub fn take_accepted(&mut self) -> u64 {
        std::mem::take(&mut self.accepted)
    }

    /// Publishes that are not confirmed.
    pub fn outstanding(&self) -> u64 {
        self.published.saturating_sub(self.confirmed)
    }

    /// Whether publishes wait for an epoch.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Confirms up to `last`: acks and nacks in the order of their publishes.
    fn confirm(&mut self, last: u64) -> Due {
        let mut due = Due::new();
        while let Some(refused) = self.refused.first().copied().filter(|refused| *refused <= last) {
            self.refused.remove(&refused);
            self.accept(refused - 1, &mut due);
            due.push(Confirm { tag: refused, multiple: false, accepted: false });
            self.confirmed = refused;
        }
        self.accept(last, &mut due);
        due
    }

    fn accept(&mut self, last: u64, due: &mut Due) {
        if last > self.confirmed {
            due.push(Confirm { tag: last, multiple: last > self.confirmed + 1, accepted: true });
            self.accepted += last - self.confirmed;
            self.confirmed = last;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acks(acks: &[(u64, bool)]) -> Due {
        acks.iter().map(|(tag, multiple)| Confirm { tag: *tag, multiple: *multiple, accepted: true }).collect()
    }

    fn publish(confirms: &mut Confirms, count: u32) {
        (0..count).for_each(|_| {
            confirms.published();
        });
    }

    #[test]
    fn what_waits_for_nothing_is_confirmed_at_once() {
        let mut confirms = Confirms::default();
        assert!(confirms.published().1);
        assert_eq!(confirms.note(None), acks(&[(1, false)]));
        assert!(confirms.published().1);
        assert!(!confirms.published().1);
        publish(&mut confirms, 1);
        assert_eq!(confirms.note(None), acks(&[(4, true)]));
        assert_eq!(confirms.note(None), acks(&[]));
    }

    #[test]
    fn durable_publishes_wait_for_their_epoch() {
        let mut confirms = Confirms::default();
        publish(&mut confirms, 3);
        assert_eq!(confirms.note(Some(7)), acks(&[]));
        publish(&mut confirms, 2);
        assert_eq!(confirms.note(Some(8)), acks(&[]));
        assert_eq!(confirms.release(6), acks(&[]));
        assert_eq!(confirms.release(7), acks(&[(3, true)]));
        assert!(confirms.is_waiting());
        assert_eq!(confirms.release(9), acks(&[(5, true)]));
        assert!(!confirms.is_waiting());
    }

    #[test]
    fn confirms_keep_the_order_of_publishes() {
        let mut confirms = Confirms::default();
        publish(&mut confirms, 1);
        assert_eq!(confirms.note(Some(7)), acks(&[]));
        publish(&mut confirms, 1);
        assert_eq!(confirms.note(None), acks(&[]), "a transient publish behind a durable one waits with it");
        assert_eq!(confirms.release(7), acks(&[(2, true)]));
    }

    #[test]
    fn what_a_queue_refused_is_nacked_in_its_place() {
        let mut confirms = Confirms::default();
        publish(&mut confirms, 6);
        [2, 5, 6].into_iter().for_each(|sequence| confirms.refused(sequence));
        assert_eq!(confirms.note(Some(7)), acks(&[]));
        let nack = |tag| Confirm { tag, multiple: false, accepted: false };
        let ack = |tag, multiple| Confirm { tag, multiple, accepted: true };
        assert_eq!(confirms.release(7).to_vec(), [ack(1, false), nack(2), ack(4, true), nack(5), nack(6)]);
    }

    #[test]
    fn one_entry_an_epoch() {
        let mut confirms = Confirms::default();
        for _ in 0..1000 {
            publish(&mut confirms, 1);
            assert_eq!(confirms.note(Some(7)), acks(&[]));
        }
        assert_eq!(confirms.waiting.len(), 1);
        assert_eq!(confirms.release(7), acks(&[(1000, true)]));
    }
}

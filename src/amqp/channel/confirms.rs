//! Publisher confirms of a channel (compat.md 2.1). One entry is kept for each epoch, not for each publish;
//! but for who publishes a few at a time, one for each receipt ([`Item::Acknowledged`](crate::engine::Item::Acknowledged)).

use crate::engine::{Epoch, Flushed};
use crate::limits::RECEIPTS_MAX;
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
    /// Batches that are not confirmed.
    waiting: VecDeque<Batch>,
    /// Publishes that a queue refused and that are not confirmed yet.
    refused: BTreeSet<u64>,
    /// Acknowledged since the last [`Confirms::take_accepted`].
    accepted: u64,
    /// How often, of late, consumers were faster than the disk, as far as they were expected to be: at most [`LUCK_MAX`].
    luck: u8,
}

/// Each batch that consumers acknowledged before the disk had it counts one; one that they did not halves what there is.
const LUCK_MAX: u8 = 8;

/// Publishes that wait for the same epoch, or for the same receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Batch {
    /// The last of them.
    last: u64,
    epoch: Epoch,
    receipt: Option<u64>,
    /// The receipt has come.
    acknowledged: bool,
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
    pub fn note(&mut self, Flushed { epoch, receipt }: Flushed) -> Due {
        if self.noted == self.published {
            return Due::new();
        }
        self.noted = self.published;
        let (last, many) = (self.published, self.waiting.len() >= RECEIPTS_MAX);
        match (epoch, self.waiting.back_mut()) {
            (None, None) => return self.confirm(last),
            (Some(epoch), Some(batch)) if epoch <= batch.epoch && (receipt.is_none() || many) => {
                (batch.last, batch.receipt) = (last, None);
            }
            (None, Some(batch)) => batch.last = last,
            (Some(epoch), _) => self.waiting.push_back(Batch { last, epoch, receipt, acknowledged: false }),
        }
        Due::new()
    }

    /// Everything up to epoch `done` is on disk.
    pub fn release(&mut self, done: Epoch) -> Due {
        let mut last = None;
        while let Some(batch) = self.waiting.pop_front_if(|batch| batch.epoch <= done) {
            if batch.receipt.is_some() && !batch.acknowledged {
                self.luck /= 2;
            }
            last = Some(batch.last);
        }
        last.map_or_else(Due::new, |last| self.confirm(last))
    }

    /// Consumers have acknowledged all that was published under a receipt: as good as if it were on disk.
    pub fn acknowledged(&mut self, receipt: u64) -> Due {
        if let Some(batch) = self.waiting.iter_mut().find(|batch| batch.receipt == Some(receipt)) {
            batch.acknowledged = true;
            self.luck = (self.luck + 1).min(LUCK_MAX);
        }
        let mut last = None;
        while let Some(batch) = self.waiting.pop_front_if(|batch| batch.receipt.is_some() && batch.acknowledged) {
            last = Some(batch.last);
        }
        last.map_or_else(Due::new, |last| self.confirm(last))
    }

    /// The oldest receipt that is waited for; 0 when it is an epoch, None when nothing is waited for.
    pub fn awaited(&self) -> Option<u64> {
        self.waiting.front().map(|batch| batch.receipt.unwrap_or(0))
    }

    /// Whether consumers are likely to acknowledge a publish before the disk has it.
    pub fn expects_acks(&self) -> bool {
        self.luck >= LUCK_MAX / 2
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

    fn note(confirms: &mut Confirms, epoch: Option<Epoch>) -> Due {
        confirms.note(Flushed { epoch, receipt: None })
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
        assert_eq!(note(&mut confirms, None), acks(&[(1, false)]));
        assert!(confirms.published().1);
        assert!(!confirms.published().1);
        publish(&mut confirms, 1);
        assert_eq!(note(&mut confirms, None), acks(&[(4, true)]));
        assert_eq!(note(&mut confirms, None), acks(&[]));
    }

    #[test]
    fn durable_publishes_wait_for_their_epoch() {
        let mut confirms = Confirms::default();
        publish(&mut confirms, 3);
        assert_eq!(note(&mut confirms, Some(7)), acks(&[]));
        publish(&mut confirms, 2);
        assert_eq!(note(&mut confirms, Some(8)), acks(&[]));
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
        assert_eq!(note(&mut confirms, Some(7)), acks(&[]));
        publish(&mut confirms, 1);
        assert_eq!(note(&mut confirms, None), acks(&[]), "a transient publish behind a durable one waits with it");
        assert_eq!(confirms.release(7), acks(&[(2, true)]));
    }

    #[test]
    fn what_a_queue_refused_is_nacked_in_its_place() {
        let mut confirms = Confirms::default();
        publish(&mut confirms, 6);
        [2, 5, 6].into_iter().for_each(|sequence| confirms.refused(sequence));
        assert_eq!(note(&mut confirms, Some(7)), acks(&[]));
        let nack = |tag| Confirm { tag, multiple: false, accepted: false };
        let ack = |tag, multiple| Confirm { tag, multiple, accepted: true };
        assert_eq!(confirms.release(7).to_vec(), [ack(1, false), nack(2), ack(4, true), nack(5), nack(6)]);
    }

    #[test]
    fn one_entry_an_epoch() {
        let mut confirms = Confirms::default();
        for _ in 0..1000 {
            publish(&mut confirms, 1);
            assert_eq!(note(&mut confirms, Some(7)), acks(&[]));
        }
        assert_eq!(confirms.waiting.len(), 1);
        assert_eq!(confirms.release(7), acks(&[(1000, true)]));
    }

    fn publish_for_receipt(confirms: &mut Confirms, epoch: Epoch, receipt: u64) {
        publish(confirms, 1);
        assert_eq!(confirms.note(Flushed { epoch: Some(epoch), receipt: Some(receipt) }), acks(&[]));
    }

    #[test]
    fn what_consumers_have_acknowledged_waits_for_no_disk() {
        let mut confirms = Confirms::default();
        publish_for_receipt(&mut confirms, 7, 1);
        assert_eq!(confirms.acknowledged(1), acks(&[(1, false)]));
        // Confirms come in order.
        [(8, 2), (8, 3), (8, 5), (9, 6)].into_iter().for_each(|(epoch, receipt)| {
            publish_for_receipt(&mut confirms, epoch, receipt);
        });
        assert_eq!(confirms.acknowledged(3), acks(&[]));
        assert_eq!(confirms.awaited(), Some(2));
        assert_eq!(confirms.acknowledged(2), acks(&[(3, true)]));
        assert_eq!((confirms.acknowledged(6), confirms.awaited()), (acks(&[]), Some(5)));
        assert_eq!(confirms.acknowledged(5), acks(&[(5, true)]));
        assert_eq!((confirms.is_waiting(), confirms.awaited()), (false, None));
        assert_eq!(confirms.acknowledged(5), acks(&[]), "it comes twice, or late");
    }

    #[test]
    fn a_publish_without_a_receipt_waits_for_the_disk_and_what_is_behind_it_too() {
        let mut confirms = Confirms::default();
        publish_for_receipt(&mut confirms, 7, 1);
        publish(&mut confirms, 1);
        assert_eq!(note(&mut confirms, Some(7)), acks(&[]));
        publish_for_receipt(&mut confirms, 8, 2);
        assert_eq!(confirms.acknowledged(1), acks(&[]));
        assert_eq!(confirms.acknowledged(2), acks(&[]));
        assert_eq!(confirms.release(7), acks(&[(2, true)]));
        assert_eq!(confirms.release(8), acks(&[(3, false)]));
    }

    #[test]
    fn consumers_that_were_slow_are_not_waited_for() {
        let mut confirms = Confirms::default();
        for receipt in 1..=8 {
            assert_eq!(confirms.expects_acks(), receipt > 4, "{receipt}");
            publish_for_receipt(&mut confirms, receipt, receipt);
            confirms.acknowledged(receipt);
        }
        for (epoch, expected) in [(9, true), (10, false)] {
            publish_for_receipt(&mut confirms, epoch, epoch);
            confirms.release(epoch);
            assert_eq!(confirms.expects_acks(), expected, "{epoch}");
        }
    }
}

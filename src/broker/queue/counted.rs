//! How often messages of a quorum queue came back (compat.md 2.8): what `x-delivery-count` says and what the delivery limit is
//! held against. A poison message must not begin anew with every restart, so the counts go to disk beside the chunks.

use crate::broker::message::Returns;
use std::collections::BTreeMap;
use std::ops::Range;

/// The counts of the messages in memory that came back at least once.
#[derive(Debug, Default)]
pub(super) struct Counted {
    counts: BTreeMap<u64, Count>,
    /// Those that changed since they were written, each once.
    changed: Vec<u64>,
    /// Those on disk whose messages are settled.
    forgotten: Vec<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    returns: Returns,
    changed: bool,
    /// Some count of the message is on disk.
    stored: bool,
}

impl Counted {
    pub fn get(&self, sequence: u64) -> Returns {
        self.counts.get(&sequence).map_or_else(Returns::default, |count| count.returns)
    }

    /// The first message of a range that has a count.
    #[inline]
    pub fn first_in(&self, range: Range<u64>) -> Option<u64> {
        if self.counts.is_empty() {
            return None;
        }
        self.counts.range(range).next().map(|(sequence, _)| *sequence)
    }

    /// A message came back. Returns its counts.
    pub fn add(&mut self, sequence: u64, failed: bool) -> Returns {
        let count = self.counts.entry(sequence).or_default();
        count.returns.acquired = count.returns.acquired.saturating_add(1);
        count.returns.failed = count.returns.failed.saturating_add(u32::from(failed));
        if !count.changed {
            count.changed = true;
            self.changed.push(sequence);
        }
        count.returns
    }

    /// A count was read from disk.
    pub fn restore(&mut self, sequence: u64, returns: Returns) {
        self.counts.entry(sequence).or_insert(Count { returns, changed: false, stored: true });
    }

    /// Messages are settled.
    #[inline]
    pub fn forget(&mut self, messages: Range<u64>) {
        if self.counts.is_empty() {
            return;
        }
        while let Some((sequence, count)) = self.counts.range(messages.clone()).next() {
            let sequence = *sequence;
            if count.stored {
                self.forgotten.push(sequence);
            }
            self.counts.remove(&sequence);
        }
    }

    /// Messages have left memory; their counts are read again with them.
    pub fn leave(&mut self, messages: Range<u64>) {
        while let Some(sequence) = self.first_in(messages.clone()) {
            self.counts.remove(&sequence);
        }
    }

    /// Whether there is something for the disk.
    pub fn is_changed(&self) -> bool {
        !self.changed.is_empty() || !self.forgotten.is_empty()
    }

    /// Takes counts to write, `most` of them, of those messages that are on disk, `is_stored`; the others wait.
    pub fn collect(&mut self, most: usize, is_stored: impl Fn(u64) -> bool) -> Vec<(u64, Returns)> {
        let (mut collected, mut later) = (Vec::new(), Vec::new());
        while let Some(sequence) = self.changed.pop() {
            let Some(count) = self.counts.get_mut(&sequence) else { continue };
            if collected.len() == most {
                self.changed.push(sequence);
                break;
            }
            if is_stored(sequence) {
                (count.changed, count.stored) = (false, true);
                collected.push((sequence, count.returns));
            } else {
                later.push(sequence);
            }
        }
        self.changed.append(&mut later);
        collected
    }

    /// Takes the numbers of messages whose counts on disk are of no use.
    pub fn collect_forgotten(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.forgotten)
    }

    pub fn clear(&mut self) {
        *self = Counted::default();
    }
}

//! What a queue knows of one chunk in memory: how far it has been handed out, which of its messages are settled, and
//! whether it is on disk.

use crate::broker::message::Chunk;
use std::sync::Arc;

/// Which messages of a chunk are settled: a prefix, and a bitmap for what was settled out of order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    count: u32,
    /// All below are settled.
    prefix: u32,
    /// Bit per message; empty while the prefix says it all.
    bits: Vec<u64>,
}

impl Settled {
    /// How many are settled.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether the message at `index` is settled.
    pub fn contains(&self, index: u32) -> bool {
        index < self.prefix || self.bits.get(index as usize / 64).is_some_and(|word| word & (1 << (index % 64)) != 0)
    }

    /// Settles `from..to`; returns how many of them were not settled before.
    pub fn settle(&mut self, from: u32, to: u32) -> u32 {
        if self.bits.is_empty() && from <= self.prefix {
            let fresh = to.saturating_sub(self.prefix);
            self.prefix = self.prefix.max(to);
            self.count += fresh;
            return fresh;
        }
        let mut fresh = 0;
        for index in from.max(self.prefix)..to {
            let word = index as usize / 64;
            if word >= self.bits.len() {
                self.bits.resize(word + 1, 0);
            }
            if let Some(word) = self.bits.get_mut(word) {
                fresh += u32::from(*word & (1 << (index % 64)) == 0);
                *word |= 1 << (index % 64);
            }
        }
        self.count += fresh;
        while self.contains(self.prefix) {
            self.prefix += 1;
        }
        if self.count == self.prefix {
            self.bits.clear();
        }
        fresh
    }

    /// Whether some message of `from..to` is settled.
    #[inline]
    pub fn any_in(&self, from: u32, to: u32) -> bool {
        from < self.prefix || (!self.bits.is_empty() && (from..to).any(|index| self.contains(index)))
    }

    /// The first index from `from` on, below `count`, that is not settled.
    pub fn next_open(&self, from: u32, count: u32) -> Option<u32> {
        (from.max(self.prefix)..count).find(|index| !self.contains(*index))
    }

    /// The end of the span of messages that are not settled and begin at `from`.
    pub fn open_end(&self, from: u32, count: u32) -> u32 {
        if self.bits.is_empty() {
            return count;
        }
        (from..count).find(|index| self.contains(*index)).unwrap_or(count)
    }

    /// Bytes for the disk: prefix, then the words of the bitmap, little-endian.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.prefix.to_le_bytes());
        for word in &self.bits {
            out.extend_from_slice(&word.to_le_bytes());
        }
    }

    /// Reads what [`Settled::encode`] wrote. None when the bytes have another shape.
    pub fn decode(bytes: &[u8]) -> Option<Settled> {
        let (prefix, words) = bytes.split_first_chunk::<4>()?;
        let prefix = u32::from_le_bytes(*prefix);
        let (words, rest) = words.as_chunks::<8>();
        if !rest.is_empty() {
            return None;
        }
        let bits: Vec<u64> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
        let above = bits.iter().enumerate().map(|(at, word)| beyond(*word, at, prefix).count_ones()).sum::<u32>();
        Some(Settled { count: prefix + above, prefix, bits })
    }
}

/// The bits of `word`, the `at`-th of a bitmap, that stand for indexes of at least `prefix`.
fn beyond(word: u64, at: usize, prefix: u32) -> u64 {
    let below = (prefix as usize).saturating_sub(at * 64).min(64);
    if below == 64 { 0 } else { word & (u64::MAX << below) }
}

/// Chunks smaller than this are not worth copying from, in bytes of memory.
const THIN_BYTES: usize = 16 * 1024;
/// A chunk is thinned out when no more than one in so many of its messages is left.
const THIN_SHARE: u32 = 8;

/// A chunk in memory with messages that are not settled.
#[derive(Debug)]
pub struct Entry {
    /// The messages.
    pub chunk: Arc<Chunk>,
    /// Index of the first message that was never handed out.
    pub next: u32,
    /// Which are settled.
    pub settled: Settled,
    /// The epoch whose commit writes, or wrote, the chunk to disk. None: it is in memory only.
    pub stored: Option<u64>,
    /// Whether its settlements changed since they were last written.
    pub touched: bool,
    /// Whether settlements of it are on disk.
    pub settled_stored: bool,
    /// Its records are on disk only, and its chunk is empty: what its messages take on average.
    pub absent: Option<Mean>,
}

/// Average bytes of messages whose records are not in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mean {
    /// Of the record.
    record: u64,
    /// Of the body.
    body: u64,
}

impl Mean {
    /// Bytes of so many bodies.
    pub fn bodies(self, count: u32) -> u64 {
        self.body * u64::from(count)
    }
}

impl Entry {
    /// A chunk that has just arrived.
    pub fn new(chunk: Arc<Chunk>) -> Entry {
        let settled = Settled::default();
        Entry { chunk, next: 0, settled, stored: None, touched: false, settled_stored: false, absent: None }
    }

    /// A chunk that was read from disk.
    pub fn from_disk(chunk: Arc<Chunk>, settled: Settled) -> Entry {
        let settled_stored = settled.count() > 0;
        Entry { chunk, next: 0, settled, stored: Some(0), touched: false, settled_stored, absent: None }
    }

    /// The next span `from..to` that can be handed out.
    #[inline]
    pub fn ready_span(&self) -> Option<(u32, u32)> {
        let count = self.chunk.count();
        let from = self.settled.next_open(self.next, count)?;
        Some((from, self.settled.open_end(from, count)))
    }

    /// A few messages in consumers' hands must not keep a whole chunk in memory: their records move to a smaller one.
    /// What is still to be written to disk, or to be handed out, stays whole.
    pub fn thin_out(&mut self) {
        let count = self.chunk.count();
        let whole = self.next < count || (self.chunk.durable() && self.stored.is_none()) || self.chunk.is_thin();
        let few = (count - self.settled.count()) * THIN_SHARE <= count;
        if whole || !few || self.chunk.weight() < THIN_BYTES {
            return;
        }
        let kept = (0..count).filter(|index| !self.settled.contains(*index));
        if let Some(thin) = self.chunk.thin_out(kept.collect()) {
            self.chunk = Arc::new(thin);
        }
    }

    /// Drops the records of messages in consumers' hands from memory: they are on disk.
    pub fn leave(&mut self) {
        let open = u64::from(self.chunk.count() - self.settled.count()).max(1);
        let mean = Mean { record: self.open_records() / open, body: self.open_bodies() / open };
        if let Some(absent) = self.chunk.thin_out(Vec::new()) {
            self.chunk = Arc::new(absent);
            self.absent = Some(mean);
        }
    }

    /// Bytes of the records `from..to`, by index, but for those that are settled.
    #[inline]
    pub fn records(&self, from: u32, to: u32) -> u64 {
        self.sum_open(from, to, |mean| mean.record, |from, to| self.chunk.span_bytes(from, to) as u64)
    }

    /// Bytes of the bodies of messages `from..to`, by index, but for those that are settled.
    pub fn bodies(&self, from: u32, to: u32) -> u64 {
        self.sum_open(from, to, |mean| mean.body, |from, to| self.chunk.body_bytes(from, to))
    }

    #[inline]
    fn sum_open(&self, from: u32, to: u32, mean: fn(Mean) -> u64, span: impl Fn(u32, u32) -> u64) -> u64 {
        let span = |from: u32, to: u32| match self.absent {
            Some(absent) => mean(absent) * u64::from(to - from),
            None => span(from, to),
        };
        if !self.settled.any_in(from, to) {
            return span(from, to);
        }
        (from..to).filter(|index| !self.settled.contains(*index)).map(|index| span(index, index + 1)).sum()
    }

    /// Bytes of the records that are not settled.
    pub fn open_records(&self) -> u64 {
        self.records(0, self.chunk.count())
    }

    /// Bytes of the bodies of messages that are not settled.
    pub fn open_bodies(&self) -> u64 {
        self.bodies(0, self.chunk.count())
    }

    /// Whether every message is settled.
    pub fn is_settled(&self) -> bool {
        self.settled.count() == self.chunk.count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::message::{ChunkBuilder, Parts};

    #[test]
    fn settles_in_any_order_and_survives_the_disk() {
        let mut settled = Settled::default();
        assert_eq!(settled.settle(3, 5), 2);
        assert_eq!(settled.settle(4, 6), 1);
        assert_eq!(settled.settle(130, 131), 1);
        assert_eq!(settled.next_open(0, 200), Some(0));
        assert_eq!(settled.open_end(0, 200), 3);
        assert_eq!(settled.settle(0, 3), 3);
        assert_eq!((settled.count(), settled.next_open(0, 200)), (7, Some(6)));
        let mut bytes = Vec::new();
        settled.encode(&mut bytes);
        assert_eq!(Settled::decode(&bytes), Some(settled.clone()));
        assert_eq!(settled.settle(6, 130), 124);
        assert_eq!((settled.count(), settled.bits.len()), (131, 0));
        assert_eq!(Settled::decode(&[1, 2]), None);
    }

    fn chunk(messages: u32) -> Arc<Chunk> {
        let mut builder = ChunkBuilder::default();
        for number in 0..messages {
            let body = format!("{number:01000}");
            builder.push(&Parts {
                exchange_and_key: b"\0\0",
                header: b"",
                body: body.as_bytes(),
                persistent: false,
                priority: 0,
                deadline_ms: 0,
                died: false,
                detached: None,
            });
        }
        Arc::new(builder.finish(false, &Arc::default()))
    }

    #[test]
    fn a_few_unsettled_messages_do_not_keep_a_chunk_in_memory() {
        let mut entry = Entry::new(chunk(100));
        let whole = entry.chunk.memory();
        entry.settled.settle(0, 40);
        entry.settled.settle(41, 99);
        entry.thin_out();
        assert_eq!(entry.chunk.memory(), whole, "messages that are still to be handed out stay");
        entry.next = 100;
        entry.thin_out();
        assert!(entry.chunk.memory() < whole / 10, "{} of {whole} bytes", entry.chunk.memory());
        for index in [40, 99] {
            assert_eq!(entry.chunk.record(index).unwrap().body, format!("{index:01000}").as_bytes());
        }
        assert!(entry.chunk.record(41).is_none());
        assert_eq!((entry.chunk.count(), entry.chunk.span_bytes(41, 99)), (100, 0));
        assert_eq!(entry.chunk.span_bytes(40, 100), 2 * entry.chunk.span_bytes(99, 100));
    }
}

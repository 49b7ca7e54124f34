//! How long commits take, counted by the committer alone, and what is read from and written to the disk; read by whoever wants to
//! know.

use super::committer::Epoch;
use super::reclaim::holds_chunks;
use super::{Family, keys};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Bounds, in microseconds.
const BOUNDS: [u64; 12] = [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000, 2_000_000];

/// A commit that takes so long is worth a line in the log.
const SLOW: Duration = Duration::from_secs(1);
/// Commits that are slow no further apart than this are told once.
const SPELL: Duration = Duration::from_secs(60);

/// When a commit was last slow.
#[derive(Debug, Default)]
pub(super) struct Slowness(Option<Instant>);

impl Slowness {
    /// Whether a commit that ended at `now` and took so long is to be told: the first slow one of a spell.
    pub fn is_news(&mut self, took: Duration, now: Instant) -> bool {
        if took < SLOW {
            return false;
        }
        let last = self.0.replace(now);
        last.is_none_or(|last| now.saturating_duration_since(last) > SPELL)
    }
}

/// Commits by the time they took.
#[derive(Debug, Default)]
pub struct Figures {
    counts: [AtomicU64; BOUNDS.len() + 1],
    sum_us: AtomicU64,
    bytes: AtomicU64,
    page_outs: AtomicU64,
}

/// The same at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Commits {
    counts: [u64; BOUNDS.len() + 1],
    /// Microseconds of all of them.
    pub sum_us: u64,
    /// Bytes of messages in all of them.
    pub bytes: u64,
    /// How often a queue had to page out.
    pub page_outs: u64,
    /// The last epoch that is on disk.
    pub epoch: Epoch,
}

/// What is read and written.
#[derive(Debug, Default)]
pub struct Io {
    reads: AtomicU64,
    read_bytes: AtomicU64,
    read_us: AtomicU64,
    writes: AtomicU64,
    write_bytes: AtomicU64,
    write_us: AtomicU64,
    syncs: AtomicU64,
    sync_us: AtomicU64,
    chunks_read: AtomicU64,
    chunks_written: AtomicU64,
    messages_written: AtomicU64,
    states_read: AtomicU64,
    states_written: AtomicU64,
    definitions_written: AtomicU64,
}

/// [`Io`] at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IoTotals {
    /// Reads: of a key, or of a range of them.
    pub reads: u64,
    /// Bytes that they gave.
    pub read_bytes: u64,
    /// Microseconds that they took.
    pub read_us: u64,
    /// Batches written, synced ones too.
    pub writes: u64,
    /// Bytes of the chunks and bodies in them.
    pub write_bytes: u64,
    /// Microseconds that they took.
    pub write_us: u64,
    /// Batches that were synced, and syncs without one.
    pub syncs: u64,
    /// Microseconds that they took.
    pub sync_us: u64,
    /// Chunks and bodies that were read.
    pub chunks_read: u64,
    /// Chunks and bodies that were written.
    pub chunks_written: u64,
    /// Messages in the chunks that were written.
    pub messages_written: u64,
    /// Messages that were read back for queues.
    pub messages_read: u64,
    /// States of queues and settlements that were read.
    pub states_read: u64,
    /// States of queues and settlements that were written.
    pub states_written: u64,
    /// Batches that changed definitions.
    pub definitions_written: u64,
}

/// What is in a batch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Batch {
    /// Bytes of its chunks and bodies.
    pub bytes: u64,
    /// Chunks and bodies.
    pub chunks: u64,
    /// Messages in its chunks.
    pub messages: u64,
    /// States of queues and settlements.
    pub states: u64,
    /// It changes definitions.
    pub definitions: bool,
}

impl Batch {
    /// A chunk of so many bytes and messages is in it.
    pub fn add_chunk(&mut self, bytes: usize, messages: u32) {
        self.chunks += 1;
        self.bytes += bytes as u64;
        self.messages += u64::from(messages);
    }

    /// Something else is set or removed.
    pub fn add(&mut self, family: Family, key: &[u8]) {
        self.states += u64::from(is_state(family) && key != keys::LAST_EPOCH);
        self.definitions |= family == Family::Definitions;
    }
}

/// Whether a family says how queues are, not what is in them.
fn is_state(family: Family) -> bool {
    matches!(family, Family::QueueState | Family::Settled)
}

fn us(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

impl Io {
    /// A read of so many values and bytes of a family has taken so long.
    pub(super) fn note_read(&self, took: Duration, family: Family, values: u64, bytes: u64) {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.read_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.read_us.fetch_add(us(took), Ordering::Relaxed);
        if is_state(family) {
            self.states_read.fetch_add(values, Ordering::Relaxed);
        } else if holds_chunks(family) {
            self.chunks_read.fetch_add(values, Ordering::Relaxed);
        }
    }

    /// A batch has taken so long.
    pub(super) fn note_write(&self, took: Duration, batch: &Batch) {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.write_bytes.fetch_add(batch.bytes, Ordering::Relaxed);
        self.write_us.fetch_add(us(took), Ordering::Relaxed);
        self.chunks_written.fetch_add(batch.chunks, Ordering::Relaxed);
        self.messages_written.fetch_add(batch.messages, Ordering::Relaxed);
        self.states_written.fetch_add(batch.states, Ordering::Relaxed);
        self.definitions_written.fetch_add(u64::from(batch.definitions), Ordering::Relaxed);
    }

    /// A sync has taken so long.
    pub(super) fn note_sync(&self, took: Duration) {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.sync_us.fetch_add(us(took), Ordering::Relaxed);
    }

    /// The numbers as they are.
    pub fn totals(&self) -> IoTotals {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        IoTotals {
            reads: read(&self.reads),
            read_bytes: read(&self.read_bytes),
            read_us: read(&self.read_us),
            writes: read(&self.writes),
            write_bytes: read(&self.write_bytes),
            write_us: read(&self.write_us),
            syncs: read(&self.syncs),
            sync_us: read(&self.sync_us),
            chunks_read: read(&self.chunks_read),
            chunks_written: read(&self.chunks_written),
            messages_written: read(&self.messages_written),
            messages_read: 0,
            states_read: read(&self.states_read),
            states_written: read(&self.states_written),
            definitions_written: read(&self.definitions_written),
        }
    }
}

impl Figures {
    /// A commit of so many bytes of messages has taken so long.
    pub fn note(&self, took: Duration, bytes: u64) {
        let us = us(took);
        let at = BOUNDS.iter().position(|bound| us <= *bound).unwrap_or(BOUNDS.len());
        if let Some(count) = self.counts.get(at) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_us.fetch_add(us, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many queues page out, as memory is short.
    pub fn note_page_outs(&self, queues: usize) {
        self.page_outs.fetch_add(u64::try_from(queues).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The numbers as they are; `epoch`: the last that is on disk.
    pub fn commits(&self, epoch: Epoch) -> Commits {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let (sum_us, bytes, page_outs) = (read(&self.sum_us), read(&self.bytes), read(&self.page_outs));
        let mut commits = Commits { sum_us, bytes, page_outs, epoch, ..Commits::default() };
        for (number, count) in commits.counts.iter_mut().zip(&self.counts) {
            *number = read(count);
        }
        commits
    }
}

impl Commits {
    /// For each bound, in microseconds: how many took at most so long.
    pub fn buckets(&self) -> Vec<(u64, u64)> {
        let below = self.counts.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        BOUNDS.into_iter().zip(below).collect()
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spell_of_slow_commits_is_told_once() {
        let (mut slowness, start) = (Slowness::default(), Instant::now());
        let told = [(0, 2), (1, 900), (2, 1500), (50, 1000), (100, 1000), (161, 1000), (162, 5)]
            .map(|(at, took)| slowness.is_news(Duration::from_millis(took), start + Duration::from_secs(at)));
        assert_eq!(told, [false, false, true, false, false, true, false]);
    }

    #[test]
    fn commits_by_their_time() {
        let figures = Figures::default();
        for us in [50, 100, 101, 3_000_000] {
            figures.note(Duration::from_micros(us), 3);
        }
        figures.note_page_outs(2);
        let commits = figures.commits(7);
        assert_eq!((commits.bytes, commits.page_outs), (12, 2));
        let buckets = commits.buckets();
        assert_eq!((buckets[0], buckets[1], buckets[11]), ((100, 2), (250, 3), (2_000_000, 3)));
        assert_eq!((commits.count(), commits.sum_us, commits.epoch), (4, 3_000_251, 7));
    }
}

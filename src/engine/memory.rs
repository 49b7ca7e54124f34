//! The memory budget: `memory.high_watermark` against the bytes of all chunks.

use crate::broker::message::Ledger;
use crate::limits::HEAD_BYTES;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

/// The part of the budget that is not for chunks, beside an eighth for the heap's own losses: RocksDB's buffers, what is on
/// its way to the disk and to sockets. Of a small budget chunks get three eighths.
const RESERVE: i64 = 128 * 1024 * 1024;

/// Memory that is full so long, in ms, although everything was paged out that could be, is an alarm. Consumers that are a
/// moment behind are none.
const PATIENCE: u64 = 500;

/// The budget and what is used of it.
#[derive(Debug)]
pub struct Memory {
    ledger: Arc<Ledger>,
    keep: Arc<AtomicUsize>,
    /// Bytes that chunks may take.
    room: AtomicI64,
    /// When the first of the last sweeps ended that all left memory full, wall ms; 0 when the last one did not.
    full_since: AtomicU64,
    /// Bytes of publishes that connections hold during an alarm, and how many they may hold together.
    held: AtomicI64,
    held_max: i64,
}

impl Memory {
    /// A budget of `budget` bytes, and `held_max` for what connections hold during an alarm.
    pub fn new(budget: u64, held_max: u64) -> Memory {
        Memory {
            ledger: Arc::default(),
            keep: Arc::new(AtomicUsize::new(HEAD_BYTES)),
            room: AtomicI64::new(room(budget)),
            full_since: AtomicU64::new(0),
            held: AtomicI64::new(0),
            held_max: i64::try_from(held_max).unwrap_or(i64::MAX),
        }
    }

    /// Another budget, in bytes, from now on.
    pub fn set_budget(&self, budget: u64) {
        self.room.store(room(budget), Ordering::Relaxed);
    }

    fn room(&self) -> i64 {
        self.room.load(Ordering::Relaxed)
    }

    /// Where chunks are counted.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Head bytes that each queue keeps in memory while it is short.
    pub fn keep(&self) -> &Arc<AtomicUsize> {
        &self.keep
    }

    /// Three quarters of the room are used: chunks are to leave memory.
    pub fn is_short(&self) -> bool {
        let room = self.room();
        self.ledger.bytes() > room / 4 * 3 || room == 0
    }

    /// The room is used up: publishers wait until chunks have left. No room at all is how operators hold all publishers, as
    /// RabbitMQ's documentation tells them.
    pub fn is_full(&self) -> bool {
        let room = self.room();
        self.ledger.bytes() > room || room == 0
    }

    /// A sweep has ended at `now`, wall ms: what could leave memory has left it. Whether memory is an alarm now; `alarmed`:
    /// whether it was. It ends with a quarter of the room free, so that it does not flutter.
    pub fn is_exhausted(&self, alarmed: bool, now: u64) -> bool {
        if alarmed {
            return self.is_short();
        }
        if !self.is_full() {
            self.full_since.store(0, Ordering::Relaxed);
            return false;
        }
        let first = self.full_since.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        first.is_err_and(|since| now.saturating_sub(since) >= PATIENCE)
    }

    /// Takes room for publishes that a connection holds. False when there is none.
    pub fn reserve_held(&self, bytes: usize) -> bool {
        let bytes = bytes as i64;
        let fits = self.held.fetch_add(bytes, Ordering::Relaxed) + bytes <= self.held_max;
        if !fits {
            self.held.fetch_sub(bytes, Ordering::Relaxed);
        }
        fits
    }

    /// Gives the room back.
    pub fn release_held(&self, bytes: usize) {
        self.held.fetch_sub(bytes as i64, Ordering::Relaxed);
    }

    /// Shares a quarter of the room out as heads of `queues` queues. There is no least share: heads that together need more
    /// than the room would hold publishers for ever.
    pub fn share(&self, queues: usize) {
        let share = (self.room() / 4) as usize / queues.max(1);
        self.keep.store(share.min(HEAD_BYTES), Ordering::Relaxed);
    }
}

/// The part of a budget that is for chunks.
fn room(budget: u64) -> i64 {
    let budget = i64::try_from(budget).unwrap_or(i64::MAX);
    (budget / 8 * 7 - RESERVE).max(budget / 8 * 3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::message::{Chunk, ChunkBuilder, Parts};

    fn chunk(memory: &Memory, bytes: usize) -> Chunk {
        let body = vec![0; bytes];
        let mut builder = ChunkBuilder::default();
        builder.push(&Parts {
            exchange_and_key: b"",
            header: b"",
            body: &body,
            persistent: false,
            priority: 0,
            deadline_ms: 0,
            died: false,
            detached: None,
        });
        builder.finish(false, memory.ledger())
    }

    #[test]
    fn full_memory_is_an_alarm_when_paging_does_not_help_and_until_there_is_room() {
        let memory = Memory::new(16 << 20, 0);
        let rooms = memory.room() as usize / 100;
        let mut chunks = vec![chunk(&memory, rooms * 70)];
        assert!(!memory.is_exhausted(false, 1_000));
        chunks.push(chunk(&memory, rooms * 31));
        assert!(!memory.is_exhausted(false, 2_000) && !memory.is_exhausted(false, 2_499));
        let gone = chunks.pop();
        drop(gone);
        assert!(!memory.is_exhausted(false, 2_500), "it had room meanwhile");
        chunks.push(chunk(&memory, rooms * 31));
        assert!(!memory.is_exhausted(false, 3_000) && memory.is_exhausted(false, 3_500));
        chunks[1] = chunk(&memory, rooms * 8);
        assert!(memory.is_exhausted(true, 3_501), "not full any more, but short");
        chunks.truncate(1);
        assert!(!memory.is_exhausted(true, 3_502));
    }

    #[test]
    fn another_budget_counts_at_once() {
        let memory = Memory::new(16 << 20, 0);
        let half = chunk(&memory, memory.room() as usize / 2);
        assert!(!memory.is_short());
        memory.set_budget(4 << 20);
        assert!(memory.is_full());
        memory.set_budget(1 << 30);
        assert!(!memory.is_short() && memory.room() == (1 << 30) / 8 * 7 - RESERVE);
        drop(half);
        memory.set_budget(0);
        assert!(memory.is_full() && !memory.is_exhausted(false, 1000) && memory.is_exhausted(false, 1500));
        memory.set_budget(1 << 30);
        assert!(!memory.is_full() && !memory.is_exhausted(true, 2000));
    }

    #[test]
    fn what_connections_hold_is_bounded() {
        let memory = Memory::new(16 << 20, 100);
        assert!(memory.reserve_held(60) && memory.reserve_held(40) && !memory.reserve_held(1));
        memory.release_held(40);
        assert!(!memory.reserve_held(41) && memory.reserve_held(40));
    }
}

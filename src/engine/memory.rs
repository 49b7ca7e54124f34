//! The memory budget: `memory.high_watermark` against the bytes of all chunks.

use crate::broker::message::Ledger;
use crate::limits::HEAD_BYTES;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The part of the budget that is not for chunks, beside an eighth for the heap's own losses: RocksDB's buffers, what is on
/// its way to the disk and to sockets. Of a small budget chunks get three eighths.
const RESERVE: i64 = 128 * 1024 * 1024;

/// The budget and what is used of it.
#[derive(Debug)]
pub struct Memory {
    ledger: Arc<Ledger>,
    keep: Arc<AtomicUsize>,
    /// Bytes that chunks may take.
    room: i64,
}

impl Memory {
    /// A budget of `budget` bytes.
    pub fn new(budget: u64) -> Memory {
        let budget = i64::try_from(budget).unwrap_or(i64::MAX);
        let room = (budget / 8 * 7 - RESERVE).max(budget / 8 * 3);
        Memory { ledger: Arc::default(), keep: Arc::new(AtomicUsize::new(HEAD_BYTES)), room }
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
        self.ledger.bytes() > self.room / 4 * 3
    }

    /// The room is used up: publishers wait until chunks have left.
    pub fn is_full(&self) -> bool {
        self.ledger.bytes() > self.room
    }

    /// Shares a quarter of the room out as heads of `queues` queues. There is no least share: heads that together need more
    /// than the room would hold publishers for ever.
    pub fn share(&self, queues: usize) {
        let share = (self.room / 4) as usize / queues.max(1);
        self.keep.store(share.min(HEAD_BYTES), Ordering::Relaxed);
    }
}

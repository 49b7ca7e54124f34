//! The memory budget: `memory.high_watermark` against the bytes of all chunks.

use crate::broker::message::Ledger;
use crate::limits::HEAD_BYTES;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Head bytes a queue keeps at least, however many queues share the budget.
const KEEP_MIN: usize = 32 * 1024;

/// The budget and what is used of it.
#[derive(Debug)]
pub struct Memory {
    ledger: Arc<Ledger>,
    keep: Arc<AtomicUsize>,
    budget: i64,
}

impl Memory {
    /// A budget of `budget` bytes.
    pub fn new(budget: u64) -> Memory {
        let budget = i64::try_from(budget).unwrap_or(i64::MAX);
        Memory { ledger: Arc::default(), keep: Arc::new(AtomicUsize::new(HEAD_BYTES)), budget }
    }

    /// Where chunks are counted.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Head bytes that each queue keeps in memory while it is short.
    pub fn keep(&self) -> &Arc<AtomicUsize> {
        &self.keep
    }

    /// Half the budget is used: chunks are to leave memory.
    pub fn is_short(&self) -> bool {
        self.ledger.bytes() > self.budget / 2
    }

    /// Three quarters are used: publishers wait until chunks have left. The rest is for what is on its way.
    pub fn is_full(&self) -> bool {
        self.ledger.bytes() > self.budget / 4 * 3
    }

    /// Shares a quarter of the budget out as heads of `queues` queues.
    pub fn share(&self, queues: usize) {
        let share = (self.budget / 4) as usize / queues.max(1);
        self.keep.store(share.clamp(KEEP_MIN, HEAD_BYTES), Ordering::Relaxed);
    }
}

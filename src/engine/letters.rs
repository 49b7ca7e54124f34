//! How many messages were dead-lettered, by the type of their queue, the strategy and the reason: counted by the relay's thread
//! alone, read by whoever wants to know.

use super::queue_handle::QueueHandle;
use crate::broker::queue::{Dead, QueueKind, Reason};
use std::sync::atomic::{AtomicU64, Ordering};

/// Dead letters.
#[derive(Debug, Default)]
pub struct LetterCounts {
    /// Classic queues' at most once, quorum queues' at most once, quorum queues' at least once; by reason.
    counts: [[AtomicU64; Reason::ALL.len()]; STRATEGIES.len()],
    confirmed: AtomicU64,
}

/// Types of queues with the strategies that they know (true: at least once).
pub const STRATEGIES: [(QueueKind, bool); 3] =
    [(QueueKind::Classic, false), (QueueKind::Quorum, false), (QueueKind::Quorum, true)];

fn grow(number: &AtomicU64, by: u64) {
    number.store(number.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
}

impl LetterCounts {
    /// Messages leave a queue for its dead-letter exchange.
    pub(super) fn note(&self, queue: &QueueHandle, dead: &[Dead]) {
        let at_least_once = is_at_least_once(queue);
        let at = STRATEGIES.iter().position(|strategy| *strategy == (queue.kind(), at_least_once));
        let Some(reasons) = at.and_then(|at| self.counts.get(at)) else { return };
        for dead in dead {
            if let Some(count) = reasons.get(dead.reason as usize) {
                grow(count, u64::from(dead.run.count));
            }
        }
    }

    /// Messages have arrived where they were to go.
    pub(super) fn note_arrived(&self, queue: &QueueHandle, spans: &[(u64, u32)]) {
        if is_at_least_once(queue) {
            grow(&self.confirmed, spans.iter().map(|(_, count)| u64::from(*count)).sum());
        }
    }

    /// How many there were of a reason, by [`STRATEGIES`].
    pub fn of(&self, reason: Reason) -> [u64; STRATEGIES.len()] {
        let read = |reasons: &[AtomicU64; Reason::ALL.len()]| {
            reasons.get(reason as usize).map_or(0, |count| count.load(Ordering::Relaxed))
        };
        self.counts.each_ref().map(read)
    }

    /// How many of those to be dead-lettered at least once have arrived.
    pub fn confirmed(&self) -> u64 {
        self.confirmed.load(Ordering::Relaxed)
    }
}

fn is_at_least_once(queue: &QueueHandle) -> bool {
    queue.settings().dead_letters.as_ref().is_some_and(|letters| letters.at_least_once)
}

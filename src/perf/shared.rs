//! What the workers of one run share: the start, the clock, the counters that end it.

use super::plan::{Load, Until};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Consumers of a run stop this long after the last delivery although messages seem to be missing.
const IDLE: Duration = Duration::from_secs(5);

/// A consume-only run without a message count stops this long after the last delivery.
const DRAINED: Duration = Duration::from_secs(1);

/// One run's common state.
pub(super) struct Shared {
    started: OnceLock<Instant>,
    /// Deliveries the consumers shall see in all: known once the publishers are done, or from the load.
    expected: AtomicU64,
    published: AtomicU64,
    confirmed: AtomicU64,
    consumed: AtomicU64,
    publishing: AtomicBool,
    failed: AtomicBool,
    until: Until,
    copies: u64,
    consume_only: bool,
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) published: u64,
    pub(super) confirmed: u64,
    pub(super) consumed: u64,
}

impl Shared {
    pub(super) fn new(load: &Load) -> Self {
        let consume_only = load.publishers == 0;
        let expected = match load.until {
            Until::Messages(count) if consume_only => count,
            _ => u64::MAX,
        };
        Self {
            started: OnceLock::new(),
            expected: AtomicU64::new(expected),
            published: AtomicU64::new(0),
            confirmed: AtomicU64::new(0),
            consumed: AtomicU64::new(0),
            publishing: AtomicBool::new(!consume_only),
            failed: AtomicBool::new(false),
            until: load.until,
            copies: load.copies,
            consume_only,
        }
    }

    /// Lets the workers begin; the clock starts here.
    pub(super) fn start(&self) {
        self.started.get_or_init(Instant::now);
    }

    pub(super) fn wait_for_start(&self) {
        while self.started.get().is_none() && !self.failed() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Time since the start.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.get().map_or(Duration::ZERO, Instant::elapsed)
    }

    /// Whether the time to publish is over.
    pub(super) fn time_is_up(&self, now: Duration) -> bool {
        matches!(self.until, Until::Elapsed(limit) if now >= limit)
    }

    pub(super) fn add_published(&self, count: u64) {
        self.published.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn add_confirmed(&self, count: u64) {
        self.confirmed.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn add_consumed(&self, count: u64) {
        self.consumed.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {
            published: self.published.load(Ordering::Relaxed),
            confirmed: self.confirmed.load(Ordering::Relaxed),
            consumed: self.consumed.load(Ordering::Relaxed),
        }
    }

    /// The publishers have sent everything: from now on the consumers know how much they wait for.
    pub(super) fn publishers_done(&self) {
        if !self.consume_only {
            self.expected.store(self.published.load(Ordering::Relaxed) * self.copies, Ordering::Relaxed);
            self.publishing.store(false, Ordering::Release);
        }
    }

    /// A worker failed: the others stop.
    pub(super) fn give_up(&self) {
        self.failed.store(true, Ordering::Release);
    }

    pub(super) fn failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Whether a consumer that has seen nothing for `idle` shall stop.
    pub(super) fn consumers_are_done(&self, now: Duration, idle: Duration) -> bool {
        if self.failed() || self.consumed.load(Ordering::Relaxed) >= self.expected.load(Ordering::Relaxed) {
            return true;
        }
        if self.consume_only {
            return self.time_is_up(now) || idle >= DRAINED;
        }
        !self.publishing.load(Ordering::Acquire) && idle >= IDLE
    }
}

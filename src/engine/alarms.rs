//! Why publishers are held: the disk has little room, or none.

use std::sync::atomic::{AtomicBool, Ordering};

/// The node's alarms.
#[derive(Debug, Default)]
pub struct Alarms {
    /// Free space is below `disk.free_limit`.
    low: AtomicBool,
    /// A write found no space.
    full: AtomicBool,
}

impl Alarms {
    /// The reason for `connection.blocked`; None when publishers may go on (compat.md 1.5.8).
    pub fn reason(&self) -> Option<&'static str> {
        let held = self.low.load(Ordering::Relaxed) || self.full.load(Ordering::Relaxed);
        held.then_some("low on disk")
    }

    /// Sets or clears the alarm for little room. True when that changed it.
    pub fn set_low(&self, low: bool) -> bool {
        self.low.swap(low, Ordering::Relaxed) != low
    }

    /// Sets or clears the alarm for no room. True when that changed it.
    pub fn set_full(&self, full: bool) -> bool {
        self.full.swap(full, Ordering::Relaxed) != full
    }
}

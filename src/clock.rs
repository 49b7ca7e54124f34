//! Time as data. The shell reads the clocks; everything below it is told what time it is.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One reading of both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For intervals: heartbeats, timeouts.
    pub monotonic: Instant,
    /// For deadlines that outlive the process: milliseconds since the Unix epoch.
    pub wall_ms: u64,
}

impl Now {
    /// Reads the clocks. Only the shell (`node`, `listener`, background threads) calls it.
    pub fn read() -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { monotonic: Instant::now(), wall_ms: wall.as_millis() as u64 }
    }

    /// This reading moved ahead by `by`: how tests make time pass.
    pub fn after(self, by: Duration) -> Now {
        Now { monotonic: self.monotonic + by, wall_ms: self.wall_ms + by.as_millis() as u64 }
    }
}

//! Time as data. The shell reads the clocks; everything below it is told what time it is.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often the steady clock looks at the wall clock, in milliseconds.
const LOOK_MS: u64 = 1000;
/// The steady clock follows the wall clock by one part in so many.
const SLEW: i64 = 16;
/// Milliseconds by which the two may differ for the rounding alone.
const ROUNDING: i64 = 1;

/// One reading of both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For intervals: heartbeats, timeouts.
    pub monotonic: Instant,
    /// For deadlines that outlive the process: milliseconds since the Unix epoch, by a steady clock. It starts with the
    /// wall clock and follows it slowly, so that setting the clock neither expires nor revives messages in bulk.
    pub wall_ms: u64,
}

/// Whoever knows the time.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// What time it is.
    fn now(&self) -> Now;

    /// The wall clock in milliseconds, rounded up: what is due so much later is not due too early.
    fn wall_ms_up(&self) -> u64 {
        self.now().wall_ms
    }
}

/// The system's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Now {
        Now::read()
    }

    fn wall_ms_up(&self) -> u64 {
        Now::read().wall_ms + 1
    }
}

/// A wall clock that never jumps.
struct Steady {
    started: Instant,
    started_ms: u64,
    correction: AtomicI64,
    looked_ms: AtomicU64,
}

impl Steady {
    fn read(&self, monotonic: Instant) -> u64 {
        let elapsed = monotonic.saturating_duration_since(self.started).as_millis() as u64;
        let looked = self.looked_ms.load(Ordering::Relaxed);
        if elapsed.saturating_sub(looked) >= LOOK_MS
            && self.looked_ms.compare_exchange(looked, elapsed, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            self.follow(elapsed, elapsed - looked, unix_ms());
        }
        self.at(elapsed)
    }

    fn at(&self, elapsed: u64) -> u64 {
        (self.started_ms + elapsed).saturating_add_signed(self.correction.load(Ordering::Relaxed))
    }

    /// Goes towards the wall clock, `since` milliseconds after the last time.
    fn follow(&self, elapsed: u64, since: u64, wall_ms: u64) {
        let most = since as i64 / SLEW;
        let behind = wall_ms as i64 - self.at(elapsed) as i64;
        if behind.abs() > ROUNDING {
            self.correction.fetch_add(behind.clamp(-most, most), Ordering::Relaxed);
        }
    }
}

fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

impl Now {
    /// Reads the clocks. Only the shell (`node`, `listener`, background threads) calls it.
    pub fn read() -> Now {
        static CLOCK: OnceLock<Steady> = OnceLock::new();
        let monotonic = Instant::now();
        let clock = CLOCK.get_or_init(|| Steady {
            started: monotonic,
            started_ms: unix_ms(),
            correction: AtomicI64::new(0),
            looked_ms: AtomicU64::new(0),
        });
        Now { monotonic, wall_ms: clock.read(monotonic) }
    }

    /// Seconds since the Unix epoch by the wall clock: for timestamps that people read.
    pub fn unix_seconds() -> u64 {
        unix_ms() / 1000
    }

    /// This reading moved ahead by `by`: how tests make time pass.
    pub fn after(self, by: Duration) -> Now {
        Now { monotonic: self.monotonic + by, wall_ms: self.wall_ms + by.as_millis() as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steady_clock_follows_slowly() {
        let clock = Steady {
            started: Instant::now(),
            started_ms: 1_000_000,
            correction: AtomicI64::new(0),
            looked_ms: AtomicU64::new(0),
        };
        clock.follow(1000, 1000, 1_001_000);
        assert_eq!(clock.at(1000), 1_001_000, "it agrees");
        clock.follow(2000, 1000, 1_002_000 + 3_600_000);
        assert_eq!(clock.at(2000), 1_002_062, "an hour's jump is not followed");
        clock.follow(3000, 1000, 500_000);
        assert_eq!(clock.at(3000), 1_003_000);
        clock.follow(4000, 1000, 1_004_010);
        assert_eq!(clock.at(4000), 1_004_010, "small steps are");
        clock.follow(5000, 1000, 1_005_011);
        assert_eq!(clock.at(5000), 1_005_010, "but not what rounding makes");
    }

    #[test]
    fn what_is_due_in_a_while_is_not_due_before() {
        for _ in 0..50 {
            let (begin, due) = (Instant::now(), SystemClock.wall_ms_up() + 2);
            while SystemClock.now().wall_ms < due {
                std::hint::spin_loop();
            }
            assert!(begin.elapsed() >= Duration::from_millis(2), "{:?}", begin.elapsed());
        }
    }
}

//! The threads that tell queues, and exchanges with delayed messages, that time has passed. Each registers the one moment at
//! which something will change; nothing is scanned, and what has no deadlines has no timer (compat.md 2.3, 2.11).

use super::broker::Broker;
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

/// No timer is set.
const NEVER: u64 = u64::MAX;
/// The thread looks at least so often whether the broker is still there.
const LOOK: Duration = Duration::from_secs(1);

/// Something with a timer.
pub(super) trait Timed: Send + Sync + 'static {
    /// Its timer.
    fn timer(&self) -> &Timer;
    /// A number that no other of its kind has.
    fn number(&self) -> u64;
    /// The timer was due. What it sets from now on counts.
    fn tick(self: &Arc<Self>, broker: &Arc<Broker>);
}

/// A timer: when it is due, in wall clock ms.
#[derive(Debug)]
pub(super) struct Timer(AtomicU64);

impl Default for Timer {
    fn default() -> Self {
        Timer(AtomicU64::new(NEVER))
    }
}

/// All timers of one kind, the earliest first.
#[derive(Debug)]
pub(super) struct Timers<T> {
    /// At most one for each thing, by due time and number.
    set: Mutex<BTreeMap<(u64, u64), Weak<T>>>,
    bell: Condvar,
    /// Held while something ticks: whoever has fired knows that all that was due has ticked.
    firing: Mutex<()>,
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Timers { set: Mutex::default(), bell: Condvar::new(), firing: Mutex::default() }
    }
}

impl<T: Timed> Timers<T> {
    /// Sets a timer, unless an earlier one is set: when that is due, the next is set.
    pub fn set(&self, timed: &Arc<T>, due: u64) {
        let timer = &timed.timer().0;
        if timer.load(Ordering::Acquire) <= due {
            return;
        }
        let mut set = self.set.lock();
        let before = timer.load(Ordering::Acquire);
        if before <= due {
            return;
        }
        timer.store(due, Ordering::Release);
        set.remove(&(before, timed.number()));
        let first = set.first_key_value().is_none_or(|((earliest, _), _)| due < *earliest);
        set.insert((due, timed.number()), Arc::downgrade(timed));
        if first {
            self.bell.notify_one();
        }
    }

    /// Ticks what is due at `now`.
    pub fn fire(&self, broker: &Arc<Broker>, now: u64) {
        let _firing = self.firing.lock();
        loop {
            let timed = {
                let mut set = self.set.lock();
                let Some(first) = set.first_entry().filter(|first| first.key().0 <= now) else { return };
                let timed = first.remove().upgrade();
                if let Some(timed) = &timed {
                    timed.timer().0.store(NEVER, Ordering::Release);
                }
                timed
            };
            if let Some(timed) = timed {
                timed.tick(broker);
            }
        }
    }

    /// Runs the thread until the broker is dropped.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(self: &Arc<Self>, broker: &Arc<Broker>, name: &str) -> std::io::Result<JoinHandle<()>> {
        let (timers, broker) = (self.clone(), Arc::downgrade(broker));
        std::thread::Builder::new().name(name.into()).spawn(move || {
            while let Some(broker) = broker.upgrade() {
                let now = broker.now();
                timers.fire(&broker, now);
                broker.forget_duplicates(now);
                drop(broker);
                let mut set = timers.set.lock();
                let wait =
                    set.first_key_value().map_or(LOOK, |((due, _), _)| Duration::from_millis(due.saturating_sub(now)));
                timers.bell.wait_for(&mut set, wait.min(LOOK));
            }
        })
    }
}

//! The thread that tells queues that time has passed. A queue registers the one moment at which something will change;
//! nothing is scanned, and a queue without deadlines has no timer (compat.md 2.3).

use super::broker::Broker;
use super::queue_handle::QueueHandle;
use crate::broker::queue::Command;
use parking_lot::{Condvar, Mutex};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

/// No timer is set.
const NEVER: u64 = u64::MAX;
/// The thread looks at least so often whether the broker is still there.
const LOOK: Duration = Duration::from_secs(1);

/// A queue's timer: when it is due, in wall clock ms.
#[derive(Debug)]
pub(super) struct Timer(AtomicU64);

impl Default for Timer {
    fn default() -> Self {
        Timer(AtomicU64::new(NEVER))
    }
}

/// All timers, the earliest first.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: Mutex<BinaryHeap<Reverse<Due>>>,
    bell: Condvar,
}

#[derive(Debug)]
struct Due(u64, Weak<QueueHandle>);

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

impl Timers {
    /// Sets a queue's timer, unless an earlier one is set: when that is due, the queue sets the next.
    pub fn set(&self, queue: &Arc<QueueHandle>, due: u64) {
        if queue.timer().0.fetch_min(due, Ordering::AcqRel) <= due {
            return;
        }
        let mut heap = self.heap.lock();
        let first = heap.peek().is_none_or(|Reverse(earliest)| due < earliest.0);
        heap.push(Reverse(Due(due, Arc::downgrade(queue))));
        if first {
            self.bell.notify_one();
        }
    }

    /// Ticks the queues whose timer is due at `now`.
    pub fn fire(&self, broker: &Arc<Broker>, now: u64) {
        loop {
            let queue = {
                let mut heap = self.heap.lock();
                if heap.peek().is_none_or(|Reverse(earliest)| earliest.0 > now) {
                    return;
                }
                heap.pop().and_then(|Reverse(due)| due.1.upgrade())
            };
            if let Some(queue) = queue {
                // What it sets from now on counts. An entry for a later time stays and ticks once for nothing.
                queue.timer().0.store(NEVER, Ordering::Release);
                queue.apply(broker, Command::Tick);
            }
        }
    }

    /// Runs the thread until the broker is dropped.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(broker: &Arc<Broker>) -> std::io::Result<JoinHandle<()>> {
        let (timers, broker) = (broker.timers().clone(), Arc::downgrade(broker));
        std::thread::Builder::new().name("timers".into()).spawn(move || {
            while let Some(broker) = broker.upgrade() {
                let now = broker.now();
                timers.fire(&broker, now);
                broker.forget_duplicates(now);
                drop(broker);
                let mut heap = timers.heap.lock();
                let wait = heap.peek().map_or(LOOK, |Reverse(due)| Duration::from_millis(due.0.saturating_sub(now)));
                timers.bell.wait_for(&mut heap, wait.min(LOOK));
            }
        })
    }
}

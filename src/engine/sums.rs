//! What all queues have together beside their lengths: bytes, and where messages are. Nobody adds up all queues: each that was
//! asked for something is looked at once between two samples, and the sums follow from the differences.

use super::broker::Broker;
use super::queue_handle::QueueHandle;
use crate::broker::identity::QueueId;
use crate::broker::queue::Status;
use parking_lot::Mutex;
use std::collections::HashMap;

/// Numbers of a queue, or of all queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueSums {
    /// Messages that survive a restart.
    pub persistent: u64,
    /// Messages in memory.
    pub ram: u64,
    /// Messages on disk only.
    pub paged_out: u64,
    /// Bytes of the bodies of all messages.
    pub bytes: u64,
    /// The same of ready messages.
    pub bytes_ready: u64,
    /// The same of messages in consumers' hands.
    pub bytes_unsettled: u64,
    /// The same of messages that survive a restart.
    pub bytes_persistent: u64,
    /// The same of messages in memory.
    pub bytes_ram: u64,
    /// Ready messages in memory.
    pub ready_ram: u64,
}

impl QueueSums {
    fn of(status: &Status) -> QueueSums {
        QueueSums {
            persistent: status.persistent,
            ram: status.ram,
            paged_out: status.paged_out,
            bytes: status.bytes,
            bytes_ready: status.bytes_ready,
            bytes_unsettled: status.bytes_unsettled,
            bytes_persistent: status.bytes_persistent,
            bytes_ram: status.bytes_ram,
            ready_ram: status.ready_ram(),
        }
    }

    /// The sum when one of its parts is another now.
    fn follow(&mut self, before: &QueueSums, now: &QueueSums) {
        let follow = |sum: &mut u64, before: u64, now: u64| *sum = (*sum + now).saturating_sub(before);
        follow(&mut self.persistent, before.persistent, now.persistent);
        follow(&mut self.ram, before.ram, now.ram);
        follow(&mut self.paged_out, before.paged_out, now.paged_out);
        follow(&mut self.bytes, before.bytes, now.bytes);
        follow(&mut self.bytes_ready, before.bytes_ready, now.bytes_ready);
        follow(&mut self.bytes_unsettled, before.bytes_unsettled, now.bytes_unsettled);
        follow(&mut self.bytes_persistent, before.bytes_persistent, now.bytes_persistent);
        follow(&mut self.bytes_ram, before.bytes_ram, now.bytes_ram);
        follow(&mut self.ready_ram, before.ready_ram, now.ready_ram);
    }
}

/// The sums, and what each queue that has something adds to them.
#[derive(Debug, Default)]
pub(super) struct Sums(Mutex<(HashMap<QueueId, QueueSums>, QueueSums)>);

impl Sums {
    /// A queue is so now.
    pub fn look(&self, queue: &QueueHandle) {
        let now = QueueSums::of(&queue.status());
        let (queues, sum) = &mut *self.0.lock();
        let before =
            if now == QueueSums::default() { queues.remove(&queue.id()) } else { queues.insert(queue.id(), now) };
        sum.follow(&before.unwrap_or_default(), &now);
    }

    fn before(&self, queue: &QueueHandle) -> QueueSums {
        self.0.lock().0.get(&queue.id()).copied().unwrap_or_default()
    }

    fn sum(&self) -> QueueSums {
        self.0.lock().1
    }
}

impl Broker {
    /// What all queues have together. Queues that page out without being asked for anything count as they were before.
    pub fn queue_sums(&self) -> QueueSums {
        let samples = self.samples();
        let mut sum = samples.sums().sum();
        for queue in samples.stirred_queues() {
            sum.follow(&samples.sums().before(&queue), &QueueSums::of(&queue.status()));
        }
        sum
    }
}

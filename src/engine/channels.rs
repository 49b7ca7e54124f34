//! Channels and their consumers, for whoever lists them. A channel's connection writes the numbers; listings read them without asking
//! it anything.

use super::pairs::Listed;
use super::queue_handle::QueueHandle;
use super::samples::Carried;
use crate::broker::count::{Batches, Count, Counters, Publishes, Throughput, Totals};
use crate::broker::identity::ConsumerId;
use crate::broker::queue::QueueKind;
use crate::name::Name;
use crate::value::Table;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// What a channel is at the moment; only its connection's task writes it.
#[derive(Debug, Default)]
pub struct ChannelGauges {
    /// Deliveries that are not settled.
    pub unacknowledged: AtomicU64,
    /// Publishes that are not confirmed.
    pub unconfirmed: AtomicU64,
    /// Publishes of the open transaction.
    pub uncommitted: AtomicU64,
    /// Acknowledgements of the open transaction.
    pub acks_uncommitted: AtomicU64,
    /// Prefetch of consumers that start from now on; 0 = no limit.
    pub prefetch: AtomicU32,
    /// Prefetch of the whole channel; 0 = no limit.
    pub global_prefetch: AtomicU32,
    /// 1 in confirm mode.
    pub confirm: AtomicU32,
    /// 1 in tx mode.
    pub transactional: AtomicU32,
}

/// A channel.
#[derive(Debug, Default)]
pub struct ChannelRecord {
    number: u16,
    /// Of classic queues and of publishes; of quorum queues.
    counters: [Counters; 2],
    /// What it is at the moment.
    pub gauges: ChannelGauges,
    /// What it has done with the messages of each queue.
    pub queues: Listed<QueueHandle>,
    /// What it has published to each exchange.
    pub exchanges: Listed<Throughput>,
    consumers: Mutex<BTreeMap<ConsumerId, ConsumerRecord>>,
    samples: Carried<Totals>,
    /// When it was last seen to have done something, wall clock ms; 0: never.
    active_at: AtomicU64,
    /// Added to once a turn.
    publishes: Mutex<(Publishes, Batches)>,
}

/// A consumer.
#[derive(Clone, Debug)]
pub struct ConsumerRecord {
    /// Its number.
    pub id: ConsumerId,
    /// Its tag.
    pub tag: String,
    /// Its queue.
    pub queue: Name,
    /// Its deliveries count as acknowledged.
    pub no_ack: bool,
    /// No other consumer beside it.
    pub exclusive: bool,
    /// Messages it may hold unsettled; 0 = no limit.
    pub prefetch: u32,
    /// Its arguments.
    pub arguments: Table,
    /// Milliseconds that it may hold a message, if it said so itself.
    pub timeout: Option<u64>,
}

impl ChannelRecord {
    pub(super) fn new(number: u16) -> ChannelRecord {
        ChannelRecord { number, ..ChannelRecord::default() }
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }

    pub(super) fn samples(&self) -> &Carried<Totals> {
        &self.samples
    }

    /// Counts something that has to do with a queue of this kind; publishes are a classic one's.
    #[inline]
    pub fn count(&self, kind: QueueKind, count: Count, by: u64) {
        let [classic, quorum] = &self.counters;
        if kind == QueueKind::Quorum { quorum.add(count, by) } else { classic.add(count, by) }
    }

    /// Adds publishes by their size: those of one turn.
    pub fn add_publishes(&self, publishes: Publishes) {
        let (all, batches) = &mut *self.publishes.lock();
        *all += publishes;
        batches.add(publishes.count());
    }

    /// Publishes by their size.
    pub fn publishes(&self) -> Publishes {
        self.publishes.lock().0
    }

    /// How many messages it took at a time.
    pub fn publish_batches(&self) -> Batches {
        self.publishes.lock().1
    }

    /// What it has done, by queue type: classic, quorum.
    pub fn totals_by_kind(&self) -> [Totals; 2] {
        let [classic, quorum] = &self.counters;
        [classic.totals(), quorum.totals()]
    }

    /// What it has done.
    pub fn totals(&self) -> Totals {
        let [mut all, quorum] = self.totals_by_kind();
        all += quorum;
        all
    }

    /// When it was last seen to have done something, wall clock ms; 0: never.
    pub fn active_at(&self) -> u64 {
        self.active_at.load(Ordering::Relaxed)
    }

    pub(super) fn note_active(&self, now: u64) {
        self.active_at.store(now, Ordering::Relaxed);
    }

    /// A consumer has begun.
    pub fn add_consumer(&self, consumer: ConsumerRecord) {
        self.consumers.lock().insert(consumer.id, consumer);
    }

    /// A consumer has ended.
    pub fn remove_consumer(&self, id: ConsumerId) {
        self.consumers.lock().remove(&id);
    }

    /// Its consumers.
    pub fn consumers(&self) -> Vec<ConsumerRecord> {
        self.consumers.lock().values().cloned().collect()
    }

    /// How many consumers it has.
    pub fn consumer_count(&self) -> usize {
        self.consumers.lock().len()
    }
}

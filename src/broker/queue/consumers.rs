//! The consumers of a queue and whose turn it is: the highest priority that has credit, round robin inside; or the single
//! active one (compat.md 2.7).

use super::settings::QueueKind;
use crate::broker::identity::ConsumerId;
use crate::broker::message::Run;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Where a consumer's deliveries go. A push into memory: it never waits and is called under the queue's lock.
pub trait Outlet: Clone {
    /// Takes a run for the consumer.
    fn deliver(&self, consumer: ConsumerId, run: Run);
    /// Tells the consumer that the queue has gone.
    fn cancelled(&self, consumer: ConsumerId);
    /// Tells a publisher that consumers have acknowledged all messages of the chunk for which it gave this number.
    fn acknowledged(&self, receipt: u64);
    /// Whether two outlets lead to the same connection.
    fn same(&self, other: &Self) -> bool;
}

/// Credit that the consumers of a channel share (`basic.qos` with global, compat.md 1.9).
#[derive(Debug)]
pub struct SharedCredit(AtomicI64);

impl SharedCredit {
    /// Credit for `count` messages.
    pub fn new(count: i64) -> SharedCredit {
        SharedCredit(AtomicI64::new(count))
    }

    /// Takes up to `wanted`; returns how many it got.
    fn take(&self, wanted: u32) -> u32 {
        let taken = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| {
            let take = i64::from(wanted).min(left.max(0));
            (take > 0).then_some(left - take)
        });
        taken.map_or(0, |left| i64::from(wanted).min(left) as u32)
    }

    /// Gives back what was settled, or corrects the limit.
    pub fn add(&self, count: i64) {
        self.0.fetch_add(count, Ordering::AcqRel);
    }

    fn is_empty(&self) -> bool {
        self.0.load(Ordering::Acquire) <= 0
    }
}

/// What a consumer asks for when it starts.
#[derive(Debug)]
pub struct ConsumerSpec<O> {
    /// Its number.
    pub id: ConsumerId,
    /// Where its deliveries go.
    pub outlet: O,
    /// Deliveries count as acknowledged.
    pub no_ack: bool,
    /// No other consumer beside it.
    pub exclusive: bool,
    /// Higher ones are served first.
    pub priority: i32,
    /// Messages it may hold unsettled; None = without limit.
    pub prefetch: Option<u32>,
    /// The channel's own limit beside it.
    pub shared: Option<Arc<SharedCredit>>,
}

/// A consumer and its credit.
#[derive(Debug)]
pub(super) struct Consumer<O> {
    pub spec: ConsumerSpec<O>,
    /// Messages it may still be sent; None = without limit.
    credit: Option<u32>,
    /// Bytes it may be sent ahead of its connection; may go below zero by one run.
    window: i64,
    /// Messages it holds unsettled.
    holds: u64,
    queued: bool,
}

impl<O> Consumer<O> {
    fn can_take(&self) -> bool {
        let shared = self.spec.shared.as_ref().is_some_and(|shared| shared.is_empty());
        self.credit != Some(0) && self.window > 0 && !shared
    }

    /// How many of `count` messages it may be sent now, taking the credit for them.
    pub fn take_credit(&mut self, count: u32) -> u32 {
        if self.spec.no_ack {
            return count;
        }
        let mut allowed = self.credit.map_or(count, |credit| credit.min(count));
        if let Some(shared) = &self.spec.shared {
            allowed = shared.take(allowed);
        }
        if let Some(credit) = &mut self.credit {
            *credit -= allowed;
        }
        allowed
    }

    /// Bytes it may be sent now.
    pub fn window(&self) -> usize {
        self.window.max(1) as usize
    }

    pub fn sent(&mut self, messages: u32, bytes: usize) {
        self.window -= bytes as i64;
        self.holds += if self.spec.no_ack { 0 } else { u64::from(messages) };
    }
}

/// All consumers of a queue.
#[derive(Debug)]
pub(super) struct Consumers<O> {
    all: HashMap<ConsumerId, Consumer<O>>,
    ready: BTreeMap<Reverse<i32>, VecDeque<ConsumerId>>,
    /// Only one is served; None: all are.
    single: Option<Single>,
}

/// Which consumer is the single active one.
#[derive(Debug)]
struct Single {
    /// A quorum queue chooses by priority; a classic one by age alone.
    by_priority: bool,
    /// All consumers, oldest first.
    order: VecDeque<ConsumerId>,
    active: Option<ConsumerId>,
    /// The active one gets no more: one of higher priority waits until it holds nothing.
    leaving: bool,
}

impl<O: Outlet> Consumers<O> {
    pub fn new(single_active: bool, kind: QueueKind) -> Consumers<O> {
        let by_priority = kind == QueueKind::Quorum;
        let single =
            single_active.then(|| Single { by_priority, order: VecDeque::new(), active: None, leaving: false });
        Consumers { all: HashMap::new(), ready: BTreeMap::new(), single }
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// The single active consumer, where only one is served.
    pub fn single_active(&self) -> Option<ConsumerId> {
        self.single.as_ref().and_then(|single| single.active)
    }

    /// The consumer that is served alone by its own wish.
    pub fn exclusive(&self) -> Option<ConsumerId> {
        let exclusive = self.all.iter().find(|(_, consumer)| consumer.spec.exclusive);
        exclusive.map(|(id, _)| *id)
    }

    /// How many could take a message now.
    pub fn able(&self) -> usize {
        self.all.values().filter(|consumer| consumer.can_take()).count()
    }

    pub fn has_exclusive(&self) -> bool {
        self.all.len() == 1 && self.all.values().any(|consumer| consumer.spec.exclusive)
    }

    pub fn add(&mut self, spec: ConsumerSpec<O>) {
        let id = spec.id;
        let credit = if spec.no_ack { None } else { spec.prefetch };
        let window = crate::limits::CONSUMER_WINDOW_BYTES;
        self.all.insert(id, Consumer { spec, credit, window, holds: 0, queued: false });
        if let Some(single) = &mut self.single {
            single.order.push_back(id);
            self.elect();
        }
        self.queue_up(id);
    }

    pub fn remove(&mut self, id: ConsumerId) -> Option<Consumer<O>> {
        let consumer = self.all.remove(&id)?;
        if consumer.queued {
            self.leave_ring(id, consumer.spec.priority);
        }
        if let Some(single) = &mut self.single {
            single.order.retain(|other| *other != id);
            if single.active == Some(id) {
                (single.active, single.leaving) = (None, false);
            }
            self.elect();
        }
        Some(consumer)
    }

    fn leave_ring(&mut self, id: ConsumerId, priority: i32) {
        if let Some(ring) = self.ready.get_mut(&Reverse(priority)) {
            ring.retain(|other| *other != id);
            if ring.is_empty() {
                self.ready.remove(&Reverse(priority));
            }
        }
    }

    /// Chooses the single active consumer. One that gives way to a higher priority first settles what it holds.
    fn elect(&mut self) {
        let Some(single) = &mut self.single else { return };
        let rank = |id: &ConsumerId| self.all.get(id).map_or(i32::MIN, |consumer| consumer.spec.priority);
        let oldest = single.order.iter();
        let best = if single.by_priority { oldest.rev().max_by_key(|id| rank(id)) } else { single.order.front() };
        let Some(best) = best.copied() else { return };
        if let Some(active) = single.active {
            if !single.by_priority || rank(&active) >= rank(&best) {
                single.leaving = false;
                self.queue_up(active);
                return;
            }
            single.leaving = true;
            let priority = rank(&active);
            let holds = self.all.get_mut(&active).is_some_and(|consumer| {
                consumer.queued = false;
                consumer.holds > 0
            });
            self.leave_ring(active, priority);
            if holds {
                return;
            }
        }
        if let Some(single) = &mut self.single {
            (single.active, single.leaving) = (Some(best), false);
        }
        self.queue_up(best);
    }

    pub fn drain(&mut self) -> impl Iterator<Item = ConsumerSpec<O>> + use<O> {
        self.ready.clear();
        if let Some(single) = &mut self.single {
            single.order.clear();
            (single.active, single.leaving) = (None, false);
        }
        std::mem::take(&mut self.all).into_values().map(|consumer| consumer.spec)
    }

    /// Gives a consumer credit: settled messages, and bytes that its connection has taken.
    pub fn credit(&mut self, id: ConsumerId, messages: u32, bytes: u64) {
        if let Some(consumer) = self.all.get_mut(&id) {
            if let Some(credit) = &mut consumer.credit {
                *credit = credit.saturating_add(messages).min(consumer.spec.prefetch.unwrap_or(u32::MAX));
            }
            consumer.window = (consumer.window + bytes as i64).min(crate::limits::CONSUMER_WINDOW_BYTES);
            consumer.holds = consumer.holds.saturating_sub(u64::from(messages));
            if consumer.holds == 0 && self.single.as_ref().is_some_and(|single| single.leaving) {
                self.elect();
            }
            self.queue_up(id);
        }
    }

    /// The consumer whose turn it is, and whether it is the only one of its priority with credit.
    pub fn next(&mut self) -> Option<(&mut Consumer<O>, bool)> {
        loop {
            let first = self.ready.first_entry()?;
            let Some(id) = first.get().front().copied() else {
                first.remove();
                continue;
            };
            let alone = first.get().len() == 1;
            if self.all.get(&id).is_some_and(Consumer::can_take) {
                return self.all.get_mut(&id).map(|consumer| (consumer, alone));
            }
            self.step_down();
        }
    }

    /// The consumer whose turn it was goes to the end of its ring, or out of it when its credit is used up.
    pub fn rotate(&mut self) {
        let Some(mut first) = self.ready.first_entry() else { return };
        let Some(id) = first.get_mut().pop_front() else { return };
        match self.all.get_mut(&id) {
            Some(consumer) if consumer.can_take() => first.get_mut().push_back(id),
            Some(consumer) => consumer.queued = false,
            None => {}
        }
        if first.get().is_empty() {
            first.remove();
        }
    }

    fn step_down(&mut self) {
        let Some(mut first) = self.ready.first_entry() else { return };
        if let Some(consumer) = first.get_mut().pop_front().and_then(|id| self.all.get_mut(&id)) {
            consumer.queued = false;
        }
        if first.get().is_empty() {
            first.remove();
        }
    }

    fn queue_up(&mut self, id: ConsumerId) {
        if self.single.as_ref().is_some_and(|single| single.active != Some(id) || single.leaving) {
            return;
        }
        if let Some(consumer) = self.all.get_mut(&id)
            && !consumer.queued
            && consumer.can_take()
        {
            consumer.queued = true;
            self.ready.entry(Reverse(consumer.spec.priority)).or_default().push_back(id);
        }
    }
}

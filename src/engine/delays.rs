//! The delayed messages of an exchange (compat.md 2.11): kept behind a lock, written by the committer, and when they are due
//! moved to the queues that the exchange's bindings lead to by then.
//!
//! A delayed message is on disk before it is confirmed, whatever its delivery mode, as in RabbitMQ's plugin. What a durable
//! exchange keeps survives a restart; what another keeps ends with the exchange.

use super::Epoch;
use super::broker::Broker;
use super::publish::{Batch, Route};
use super::timers::{Timed, Timer, Timers};
use crate::broker::delayed::{DelayState, Delays, LoadDelayed, Place, Released, Step};
use crate::broker::identity::DelayId;
use crate::broker::message::{Chunk, Parts, Record};
use crate::broker::refusal::Resource;
use crate::limits::DELAYED_WINDOW_BYTES;
use crate::store::committer::{Piece, Source, Waiter};
use crate::store::recovery::{self, LoadedDelays};
use crate::store::{Change, StoreError};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

/// Steps after which others with something due have their turn.
const STEPS: usize = 16;
/// Milliseconds before it is tried again while memory is full, or the disk cannot be read because it is being opened again.
const PAUSE_MS: u64 = 10;

/// What the delayed messages of all exchanges have in common.
#[derive(Debug)]
pub(super) struct Delaying {
    /// When the next of each are due.
    pub timers: Arc<Timers<DelayHandle>>,
    shares: Arc<AtomicUsize>,
    next: AtomicU64,
}

impl Delaying {
    /// `next`: the first number that is free.
    pub fn new(next: DelayId) -> Delaying {
        Delaying { timers: Arc::default(), shares: Arc::default(), next: AtomicU64::new(next.0) }
    }

    /// The number of a new exchange's.
    pub fn next(&self) -> DelayId {
        DelayId(self.next.fetch_add(1, Ordering::Relaxed))
    }
}

/// The delayed messages of an exchange.
#[derive(Debug)]
pub struct DelayHandle {
    id: DelayId,
    exchange: Resource,
    timer: Timer,
    /// Held by whoever moves messages, so that they stay in order.
    mover: Mutex<Cache>,
    delays: Mutex<Delays>,
    /// How many exchanges share the memory for messages that are due next.
    shares: Arc<AtomicUsize>,
}

impl Drop for DelayHandle {
    fn drop(&mut self) {
        self.shares.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The last route that was found: messages that are due together often go the same way.
#[derive(Debug, Default)]
struct Cache {
    key: Vec<u8>,
    version: u64,
    route: Route,
    /// It is good for the next message with the same key.
    reusable: bool,
}

impl DelayHandle {
    pub(super) fn new(id: DelayId, exchange: Resource, state: DelayState, delaying: &Delaying) -> Arc<DelayHandle> {
        delaying.shares.fetch_add(1, Ordering::Relaxed);
        Arc::new(DelayHandle {
            id,
            exchange,
            timer: Timer::default(),
            mover: Mutex::default(),
            delays: Mutex::new(Delays::recover(state)),
            shares: delaying.shares.clone(),
        })
    }

    pub(super) fn id(&self) -> DelayId {
        self.id
    }

    /// Messages that wait.
    pub fn pending(&self) -> u64 {
        self.delays.lock().pending()
    }

    /// Takes messages that are due together.
    pub(super) fn accept(self: &Arc<Self>, broker: &Broker, due: u64, chunk: Chunk) {
        broker.committer().appended(chunk.bytes().len() as u64);
        let mut delays = self.delays.lock();
        let dirty = delays.accept(due, chunk, self.window());
        self.list(broker, dirty);
        drop(delays);
        broker.delaying().timers.set(self, due);
    }

    /// Lists what waits for the disk, before the lock is released: see [`QueueHandle`](super::QueueHandle).
    fn list(self: &Arc<Self>, broker: &Broker, dirty: bool) {
        if dirty {
            broker.committer().dirty(self.clone());
        }
    }

    /// The broker is stopping: returns when nothing is being moved any more.
    pub(super) fn halt(&self) {
        drop(self.mover.lock());
    }

    /// Drops all messages; what comes is ignored from now on.
    pub(super) fn close(&self) {
        self.delays.lock().close();
    }

    /// What a clean stop has to write, all up to epoch `done` being on disk: messages that were moved do not come again.
    pub(super) fn last_changes(&self, done: Epoch) -> Vec<Change> {
        let mut delays = self.delays.lock();
        delays.arrived(done);
        let (mut piece, mut no_chunks) = (Piece::default(), 0);
        if let Some(collected) = delays.collect(done + 1, &mut no_chunks) {
            piece.add_delays(self.id, collected);
        }
        piece.into_changes().0
    }

    /// Whether chunks would leave memory once they are on disk.
    pub(super) fn is_long(&self) -> bool {
        self.delays.lock().has_far()
    }

    fn window(&self) -> usize {
        DELAYED_WINDOW_BYTES / self.shares.load(Ordering::Relaxed).max(1)
    }

    /// Moves what is due, and reads what is due next. Returns when there is more to do.
    fn run(self: &Arc<Self>, broker: &Arc<Broker>) -> Option<u64> {
        let mut cache = self.mover.lock();
        for _ in 0..STEPS {
            if broker.is_stopping() {
                return None;
            }
            let now = broker.now();
            if broker.memory().is_full() {
                broker.committer().nudge();
                return Some(now + PAUSE_MS);
            }
            let step = self.delays.lock().next(now, self.window());
            match step {
                Step::Move(chunks) => self.carry(broker, &mut cache, &chunks, now),
                Step::Load(request) if self.load(broker, request) => {}
                Step::Load(_) => return Some(now + PAUSE_MS),
                Step::Wait(due) => return Some(due),
                Step::Full | Step::Idle => return None,
            }
        }
        Some(broker.now())
    }

    fn carry(self: &Arc<Self>, broker: &Arc<Broker>, cache: &mut Cache, chunks: &[(Place, Arc<Chunk>)], now: u64) {
        let (mut batch, mut epoch) = (Batch::default(), None);
        for (place, chunk) in chunks {
            for record in (0..chunk.count()).filter_map(|at| chunk.record(at)) {
                self.carry_one(broker, cache, &record, now.saturating_sub(place.due), &mut batch);
                if batch.is_full() {
                    epoch = batch.flush(broker).or(epoch);
                }
            }
        }
        let epoch = batch.flush(broker).or(epoch);
        let mut delays = self.delays.lock();
        let dirty = delays.moved(epoch);
        self.list(broker, dirty);
        drop(delays);
        if let Some(epoch) = epoch {
            let arrival = Arrival { handle: self.clone(), broker: Arc::downgrade(broker) };
            broker.committer().wake_at(epoch, Arc::new(arrival));
        }
    }

    /// Routes a message that is due, so many milliseconds `late`.
    fn carry_one(&self, broker: &Broker, cache: &mut Cache, record: &Record<'_>, late: u64, batch: &mut Batch) {
        let Some(Released { header, keys }) = Released::of(record) else {
            tracing::error!("{}: a delayed message has damaged properties and is dropped", self.exchange);
            return;
        };
        self.find(broker, cache, &keys, &header);
        let parts = Parts {
            exchange_and_key: record.exchange_and_key,
            header: &header,
            body: record.body,
            persistent: record.persistent,
            priority: record.priority,
            // Its time to live begins when it is routed.
            deadline_ms: if record.deadline_ms > 0 { record.deadline_ms.saturating_add(late) } else { 0 },
            died: record.died,
            detached: None,
        };
        batch.push(broker, &cache.route, &parts, None);
    }

    /// Leaves a message's route in the cache.
    fn find(&self, broker: &Broker, cache: &mut Cache, keys: &[Vec<u8>], content: &[u8]) {
        let Resource { name, vhost, .. } = &self.exchange;
        let vhost = broker.vhost(vhost.as_str()).ok();
        // Read before the walk: a change in between makes it a route of an older version.
        let version = vhost.as_ref().map_or(0, |vhost| vhost.version());
        if cache.reusable && cache.version == version && matches!(keys, [key] if *key == cache.key) {
            return;
        }
        let slices: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        let route = vhost.and_then(|vhost| vhost.route_internally(name.as_str(), &slices, content));
        cache.route = route.unwrap_or_default();
        cache.reusable = cache.route.lasts() && keys.len() == 1;
        cache.version = version;
        cache.key.clear();
        cache.key.extend(keys.first().into_iter().flatten());
    }

    /// Reads what is due next. False when it cannot be read now.
    fn load(&self, broker: &Broker, request: LoadDelayed) -> bool {
        let storage = broker.committer().storage();
        let loaded = recovery::load_delayed(&**storage, self.id, request, broker.memory().ledger());
        match loaded {
            Ok(LoadedDelays { chunks, end, damaged }) => {
                if let Some(place) = damaged {
                    tracing::error!(
                        "{}: delayed messages from {} on, due at {}, are damaged on disk; they stay there and are not \
                         delivered",
                        self.exchange,
                        place.number,
                        place.due
                    );
                }
                self.delays.lock().loaded(request.from, chunks, end, damaged, self.window());
                true
            }
            Err(StoreError::Full(_)) => {
                // The storage is being opened again.
                self.delays.lock().unreadable(false);
                false
            }
            Err(error) => {
                tracing::error!("{}: delayed messages cannot be read: {error}", self.exchange);
                self.delays.lock().unreadable(true);
                true
            }
        }
    }

    /// Everything up to epoch `done` is on disk.
    fn arrived(self: &Arc<Self>, broker: &Broker) {
        let mut delays = self.delays.lock();
        let (dirty, resumes) = delays.arrived(broker.committer().done_epoch());
        self.list(broker, dirty);
        drop(delays);
        if resumes {
            broker.delaying().timers.set(self, 0);
        }
    }
}

impl Timed for DelayHandle {
    fn timer(&self) -> &Timer {
        &self.timer
    }

    fn number(&self) -> u64 {
        self.id.0
    }

    fn tick(self: &Arc<Self>, broker: &Arc<Broker>) {
        if let Some(due) = self.run(broker) {
            broker.delaying().timers.set(self, due);
        }
    }
}

impl Source for DelayHandle {
    fn collect(&self, epoch: Epoch, _spill: bool, room: &mut usize, piece: &mut Piece) -> bool {
        let collected = self.delays.lock().collect(epoch, room);
        collected.is_some_and(|collected| piece.add_delays(self.id, collected))
    }

    fn evict(&self, done: Epoch) {
        self.delays.lock().forget(done);
    }
}

/// Messages that have moved wait for their queues' disk.
struct Arrival {
    handle: Arc<DelayHandle>,
    broker: Weak<Broker>,
}

impl Waiter for Arrival {
    fn wake(&self) {
        if let Some(broker) = self.broker.upgrade() {
            self.handle.arrived(&broker);
        }
    }
}

//! The façade that every protocol uses: virtual hosts, numbers, memory, alarms, the committer's steward.

use super::alarms::{Alarm, Alarms};
use super::catalog::{Catalog, FirstStart};
use super::connections::Churn;
use super::delays::{DelayHandle, Delaying};
use super::events::{By, Events};
use super::limits::NodeLimits;
use super::loader::Loader;
use super::memory::Memory;
use super::outbox::Outbox;
use super::publish::Route;
use super::queue_handle::{QueueDefinition, QueueHandle};
use super::relay::Relay;
use super::replies::Replies;
use super::samples::Samples;
use super::session::Session;
use super::sessions::{ConnectionLimits, Sessions};
use super::timers::Timers;
use super::vhost::Vhost;
use crate::broker::access::Identity;
use crate::broker::identity::{ConnectionId, ConsumerId, QueueId};
use crate::broker::queue::QueueKind;
use crate::broker::refusal::{Refusal, Resource};
use crate::clock::Clock;
use crate::name::Name;
use crate::store::bodies::{self, BodyPool};
use crate::store::committer::{Committer, Piece, Source, Steward, SyncPolicy};
use crate::store::{Change, Family, Logging, StoreError, keys, records};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;

/// Settings of the engine.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of messages that memory may hold.
    pub memory_budget: u64,
    /// Bytes of publishes that connections may hold during an alarm, all together.
    pub held_publishes: u64,
    /// The cluster's name, until it is set otherwise.
    pub cluster_name: String,
    /// The node's name.
    pub node_name: String,
    /// The virtual host of the event exchange.
    pub event_vhost: Name,
    /// When the log is synced.
    pub sync: SyncPolicy,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Open connections at a time; None = no limit.
    pub connection_max: Option<u64>,
    /// The type of queues whose declaration names none, where their virtual host has none either.
    pub default_queue_type: QueueKind,
    /// How much there may be.
    pub limits: NodeLimits,
    /// What is made when there are neither users nor virtual hosts; None = nothing.
    pub first_start: Option<FirstStart>,
}

/// What a start found on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Queues.
    pub queues: usize,
    /// Messages in them.
    pub messages: u64,
    /// Whether the last stop was clean: messages that were never delivered are known.
    pub clean_stop: bool,
}

/// The options that are looked at later.
struct BrokerOptions {
    cluster_name: String,
    node_name: String,
    connection_max: Option<u64>,
    default_queue_type: QueueKind,
    limits: NodeLimits,
}

/// What a start hands over beside the virtual hosts: the numbers that are free, and what it found.
#[derive(Debug)]
pub(super) struct Start {
    pub next_queue: QueueId,
    pub delaying: Delaying,
    pub found: Found,
}

/// The broker.
pub struct Broker {
    catalog: Catalog,
    committer: Arc<Committer>,
    loader: Loader,
    memory: Memory,
    alarms: Alarms,
    clock: Arc<dyn Clock>,
    timers: Arc<Timers<QueueHandle>>,
    delaying: Delaying,
    relay: Arc<Relay>,
    events: Events,
    replies: Replies,
    bodies: BodyPool,
    options: BrokerOptions,
    sessions: Sessions,
    churn: Churn,
    samples: Samples,
    /// Queues of all virtual hosts.
    queue_count: AtomicUsize,
    /// Connections whose publishes wait for memory.
    held: Mutex<Vec<Arc<Outbox>>>,
    next_queue: AtomicU64,
    next_connection: AtomicU64,
    next_consumer: AtomicU64,
    failure: Mutex<Option<String>>,
    failed: tokio::sync::Notify,
    stopping: AtomicBool,
    pub(super) shut: AtomicBool,
    found: Found,
    pub(super) threads: Mutex<Vec<JoinHandle<()>>>,
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker").finish_non_exhaustive()
    }
}

impl Broker {
    pub(super) fn new(
        catalog: Catalog,
        committer: Arc<Committer>,
        loader: Loader,
        memory: Memory,
        options: &Options,
        Start { next_queue, delaying, found }: Start,
    ) -> Broker {
        let relay = Arc::<Relay>::default();
        let queue_count = catalog.all_vhosts().iter().map(|vhost| vhost.queues().len()).sum();
        memory.share(queue_count);
        let bodies = BodyPool::new(committer.open_epoch(), memory.ledger().clone());
        Broker {
            catalog,
            committer,
            loader,
            memory,
            alarms: Alarms::default(),
            clock: options.clock.clone(),
            options: BrokerOptions {
                cluster_name: options.cluster_name.clone(),
                node_name: options.node_name.clone(),
                connection_max: options.connection_max,
                default_queue_type: options.default_queue_type,
                limits: options.limits.clone(),
            },
            timers: Arc::default(),
            delaying,
            events: Events::new(options.event_vhost.clone(), relay.clone()),
            relay,
            replies: Replies::default(),
            bodies,
            sessions: Sessions::default(),
            churn: Churn::default(),
            samples: Samples::default(),
            queue_count: AtomicUsize::new(queue_count),
            held: Mutex::default(),
            next_queue: AtomicU64::new(next_queue.0),
            next_connection: AtomicU64::new(1),
            next_consumer: AtomicU64::new(1),
            failure: Mutex::default(),
            failed: tokio::sync::Notify::new(),
            stopping: AtomicBool::new(false),
            shut: AtomicBool::new(false),
            found,
            threads: Mutex::default(),
        }
    }

    /// Opens a virtual host for a connection whose client has logged in. The order of the checks is RabbitMQ's
    /// (compat.md 1.5).
    ///
    /// # Errors
    /// `LimitReached`, `VhostNotFound`, `VhostRefused`; `Unavailable` when the node stops or its disk failed.
    pub fn open_session(self: &Arc<Self>, vhost: &str, identity: Identity) -> Result<Session, Refusal> {
        if self.stopping.load(Ordering::Acquire) || self.committer.has_failed() {
            return Err(Refusal::Unavailable("the node is stopping".into()));
        }
        self.sessions.check_node(self.options.connection_max)?;
        let vhost = self.vhost(vhost)?;
        let id = ConnectionId(self.next_connection.fetch_add(1, Ordering::Relaxed));
        let session = Session::new(self.clone(), vhost.clone(), id, identity);
        let user = self.catalog.user(session.identity().user.as_str());
        self.sessions.add(
            &session,
            ConnectionLimits {
                node: self.options.connection_max,
                vhost: vhost.record().limits.max_connections,
                user: user.and_then(|user| user.limits.max_connections),
            },
        )?;
        // Whoever deletes the virtual host or the user looks for sessions after that: one of the two sees the other.
        let opened = session.may_open(&vhost);
        if opened.is_err() {
            self.forget_session(id);
        }
        opened.map(|()| session)
    }

    /// The cluster's name where no parameter says another.
    pub(super) fn default_cluster_name(&self) -> &str {
        &self.options.cluster_name
    }

    /// The type of queues for which neither a declaration nor a virtual host says another.
    pub(super) fn default_queue_type(&self) -> QueueKind {
        self.options.default_queue_type
    }

    /// How much there may be.
    pub(super) fn limits(&self) -> &NodeLimits {
        &self.options.limits
    }

    /// Whether an exchange may be made. Looks at all virtual hosts, so that the caller must not hold the lock of one: those that are
    /// made at the same moment may pass the limit by a few.
    pub(super) fn check_exchanges(&self, exchange: &Resource) -> Result<(), Refusal> {
        if self.limits().exchanges.is_none() {
            return Ok(());
        }
        let there = self.catalog.all_vhosts().iter().map(|vhost| vhost.exchange_count()).sum();
        self.limits().check_exchanges(exchange, there)
    }

    /// Queues of all virtual hosts.
    pub(super) fn queue_count(&self) -> usize {
        self.queue_count.load(Ordering::Relaxed)
    }

    pub(super) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// What began and ended on the node.
    pub fn churn(&self) -> &Churn {
        &self.churn
    }

    pub(super) fn samples(&self) -> &Samples {
        &self.samples
    }

    pub(super) fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    pub(super) fn vhost(&self, name: &str) -> Result<Arc<Vhost>, Refusal> {
        self.catalog.vhost(name)
    }

    pub(super) fn queues(&self) -> Vec<Arc<QueueHandle>> {
        self.catalog.all_vhosts().iter().flat_map(|vhost| vhost.queues()).collect()
    }

    pub(super) fn queue_added(&self) {
        self.memory.share(self.queue_count.fetch_add(1, Ordering::Relaxed) + 1);
    }

    pub(super) fn queue_removed(&self) {
        self.memory.share(self.queue_count.fetch_sub(1, Ordering::Relaxed).saturating_sub(1));
    }

    /// Where a queue's dead letters go under their keys, the exchange internal or not; `content` is the payload of the
    /// letter's content header. None: no such exchange.
    pub(super) fn dead_letter_route(
        &self,
        queue: &QueueDefinition,
        exchange: &Name,
        keys: &[&[u8]],
        content: &[u8],
    ) -> Option<Route> {
        self.catalog.vhost(queue.vhost.as_str()).ok()?.route_internally(exchange.as_str(), keys, content)
    }

    /// Begins or ends the copying of a virtual host's messages to its firehose, `amq.rabbitmq.trace`.
    ///
    /// # Errors
    /// `VhostNotFound`.
    pub fn set_tracing(&self, vhost: &str, on: bool) -> Result<(), Refusal> {
        self.vhost(vhost)?.trace(on);
        tracing::info!(vhost, on, "tracing");
        Ok(())
    }

    /// Whether a virtual host's messages are copied to its firehose.
    ///
    /// # Errors
    /// `VhostNotFound`.
    pub fn is_traced(&self, vhost: &str) -> Result<bool, Refusal> {
        Ok(self.vhost(vhost)?.is_traced())
    }

    /// Bytes of messages in memory.
    pub fn memory_used(&self) -> i64 {
        self.memory.ledger().bytes()
    }

    /// Memory has another budget: whoever waits for room looks again.
    pub(super) fn budget_changed(&self) {
        self.memory.share(self.queue_count.load(Ordering::Relaxed));
        std::mem::take(&mut *self.held.lock()).iter().for_each(|outbox| outbox.ring());
        self.committer.nudge();
    }

    /// What the start found on disk.
    pub fn found(&self) -> Found {
        self.found
    }

    /// The node's name, as events and traced messages bear it.
    pub fn node_name(&self) -> &str {
        &self.options.node_name
    }

    /// Waits until the disk has failed; the text says how.
    pub async fn failed(&self) -> String {
        loop {
            let failed = self.failed.notified();
            if let Some(text) = self.failure.lock().clone() {
                return text;
            }
            failed.await;
        }
    }

    /// Commits what is there, notes that the stop was clean, and ends the threads. All sessions are closed before.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn stop(&self) -> Result<(), StoreError> {
        self.stopping.store(true, Ordering::Release);
        // What the broker moves between queues is either wholly in the last commit or not begun.
        self.relay.close();
        self.delays().iter().for_each(|delays| delays.halt());
        self.committer.stop();
        for thread in std::mem::take(&mut *self.threads.lock()) {
            if thread.join().is_err() {
                return Err(StoreError::Failed("the committer ended with a panic".into()));
            }
        }
        self.relay.end();
        if let Some(text) = self.failure.lock().clone() {
            return Err(StoreError::Failed(text));
        }
        // Timers go on: what they have changed since the last commit is written with the states, or the
        // states would not be those of the messages on disk.
        let (epoch, mut piece, mut states) = (self.committer.open_epoch(), Piece::default(), Vec::new());
        for queue in self.queues().into_iter().filter(|queue| queue.definition().is_stored()) {
            let Some((collected, last)) = queue.last_words(epoch) else { continue };
            piece.add_queue(queue.id(), collected);
            states.extend(last.into_iter().map(|(level, state)| {
                let key = keys::queue(queue.id(), level).to_vec();
                Change::Put(Family::QueueState, key, records::queue_state(&state))
            }));
        }
        // What is not logged is of no use to the next start.
        let mut changes = piece.into_changes().0;
        bodies::count(&**self.committer.storage(), &mut changes)?;
        changes.extend(states);
        let done = self.committer.done_epoch();
        changes.extend(self.delays().iter().flat_map(|delays| delays.last_changes(done)));
        changes.push(Change::Put(Family::QueueState, keys::CLEAN_STOP.to_vec(), Vec::new()));
        self.committer.storage().write(&changes, Logging::Synced)
    }

    /// Whether the broker moves nothing any more.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// The committer.
    pub(super) fn committer(&self) -> &Arc<Committer> {
        &self.committer
    }

    /// Wall clock ms, by the steady clock.
    pub(super) fn now(&self) -> u64 {
        self.clock.now().wall_ms
    }

    /// The same, rounded up.
    pub(super) fn now_up(&self) -> u64 {
        self.clock.wall_ms_up()
    }

    pub(super) fn timers(&self) -> &Arc<Timers<QueueHandle>> {
        &self.timers
    }

    pub(super) fn delaying(&self) -> &Delaying {
        &self.delaying
    }

    /// Messages that an exchange keeps until they are due (`messages_delayed`). None when it delays none.
    ///
    /// # Errors
    /// `VhostNotFound`.
    pub fn messages_delayed(&self, vhost: &str, exchange: &str) -> Result<Option<u64>, Refusal> {
        Ok(self.vhost(vhost)?.delays(exchange).map(|delays| delays.pending()))
    }

    pub(super) fn delays(&self) -> Vec<Arc<DelayHandle>> {
        self.catalog.all_vhosts().iter().flat_map(|vhost| vhost.all_delays()).collect()
    }

    pub(super) fn replies(&self) -> &Replies {
        &self.replies
    }

    pub(super) fn bodies(&self) -> &BodyPool {
        &self.bodies
    }

    pub(super) fn events(&self) -> &Events {
        &self.events
    }

    pub(super) fn relay(&self) -> &Arc<Relay> {
        &self.relay
    }

    /// Whatever is due happens now: for tests with a clock of their own.
    pub fn fire_timers(self: &Arc<Self>) {
        self.timers.fire(self, self.now());
        self.delaying.timers.fire(self, self.now());
        self.forget_duplicates(self.now());
    }

    /// Windows of exchanges forget what is too old, also if nobody publishes.
    pub(super) fn forget_duplicates(&self, now: u64) {
        self.catalog.all_vhosts().iter().flat_map(|vhost| vhost.gates()).for_each(|gate| gate.pass_time(self, now));
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(super) fn alarms(&self) -> &Alarms {
        &self.alarms
    }

    pub(super) fn loader(&self) -> &Loader {
        &self.loader
    }

    pub(super) fn load(&self, queue: &Arc<QueueHandle>) {
        self.loader.request(queue.clone());
    }

    pub(super) fn next_queue(&self) -> QueueId {
        QueueId(self.next_queue.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn next_consumer(&self) -> ConsumerId {
        ConsumerId(self.next_consumer.fetch_add(1, Ordering::Relaxed))
    }

    /// Whether publishes wait for memory; if so, `outbox` is rung when they may go on.
    pub(super) fn hold(&self, outbox: &Arc<Outbox>) -> bool {
        if !self.memory.is_full() {
            return false;
        }
        let mut held = self.held.lock();
        if !held.iter().any(|other| Arc::ptr_eq(other, outbox)) {
            held.push(outbox.clone());
        }
        drop(held);
        self.committer.nudge();
        true
    }

    pub(super) fn forget_session(&self, id: ConnectionId) {
        let Some(outbox) = self.sessions.remove(id) else { return };
        self.held.lock().retain(|other| !Arc::ptr_eq(other, &outbox));
    }

    pub(super) fn delete_unused(&self, queue: &Arc<QueueHandle>) {
        if let Ok(vhost) = self.vhost(queue.definition().vhost.as_str()) {
            // A consumer may have come meanwhile: then the queue is in use again and stays.
            let _ = vhost.delete_queue(By::itself(self), queue, true, false);
        }
    }

    fn fail(&self, text: &str) {
        self.failure.lock().get_or_insert_with(|| text.to_owned());
        self.failed.notify_waiters();
        self.failed.notify_one();
    }

    pub(super) fn ring_all(&self) {
        self.sessions.ring_all();
    }
}

/// The committer's steward: the broker, seen from the thread that writes.
pub(super) struct BrokerSteward(pub std::sync::Weak<Broker>);

impl Steward for BrokerSteward {
    /// Also while a publisher is held: memory may have become free without any chunk leaving it for the disk.
    fn memory_is_short(&self) -> bool {
        let Some(broker) = self.0.upgrade() else { return false };
        broker.memory.is_short() || broker.alarms.is_set(Alarm::Memory) || !broker.held.lock().is_empty()
    }

    fn long_queues(&self) -> Vec<Arc<dyn Source>> {
        let Some(broker) = self.0.upgrade() else { return Vec::new() };
        let queues = broker.queues().into_iter().filter(|queue| queue.is_long()).map(|queue| queue as Arc<dyn Source>);
        let delays =
            broker.delays().into_iter().filter(|delays| delays.is_long()).map(|delays| delays as Arc<dyn Source>);
        queues.chain(delays).collect()
    }

    fn evicted(&self) {
        let Some(broker) = self.0.upgrade() else { return };
        let alarmed = broker.alarms.is_set(Alarm::Memory);
        broker.set_alarm(Alarm::Memory, broker.memory.is_exhausted(alarmed, broker.now()));
        if !broker.memory.is_full() {
            std::mem::take(&mut *broker.held.lock()).iter().for_each(|outbox| outbox.ring());
        }
    }

    fn disk_full(&self, full: bool) {
        let Some(broker) = self.0.upgrade() else { return };
        broker.set_alarm(Alarm::DiskFull, full);
    }

    fn failed(&self, error: &StoreError) {
        let Some(broker) = self.0.upgrade() else { return };
        tracing::error!("{error}; nothing more is confirmed, the node stops");
        broker.fail(&error.to_string());
        broker.ring_all();
    }
}

//! A queue, its lock, and what happens after the lock is released. Nothing above assumes that a queue is local; nothing
//! below knows that it could be otherwise (design.md 8).

use super::Epoch;
use super::broker::Broker;
use super::outbox::{Item, Outbox, Outlet};
use super::samples::QueueSamples;
use super::timers::{Timed, Timer};
use crate::broker::count::Totals;
use crate::broker::identity::{ConnectionId, QueueId};
use crate::broker::message::Parts;
use crate::broker::queue::{
    Collected, Command, Counts, Effects, LoadRequest, Queue, QueueKind, QueueSettings, QueueState, Status, Taken,
};
use crate::broker::refusal::{Refusal, Resource};
use crate::name::Name;
use crate::store::committer::{Piece, Source};
use crate::value::Table;
use base64::Engine as _;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What a queue was declared with.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueDefinition {
    /// Its name.
    pub name: Name,
    /// The virtual host it is in.
    pub vhost: Name,
    /// Whether it survives a restart.
    pub durable: bool,
    /// The only connection that may use it, which takes it along when it ends.
    pub owner: Option<ConnectionId>,
    /// Deleted when its last consumer goes.
    pub auto_delete: bool,
    /// Arguments as declared.
    pub arguments: Table,
    /// The user who declared it; None if that was not noted.
    pub declared_by: Option<Name>,
}

impl QueueDefinition {
    /// Whether its messages can be kept on disk: an exclusive queue ends with its connection.
    pub fn is_stored(&self) -> bool {
        self.durable && self.owner.is_none()
    }
}

/// A server's name for a queue: `amq.gen-` and 22 characters (compat.md 1.8).
pub(super) fn invented_name() -> Name {
    let mut random = [0; 16];
    if getrandom::fill(&mut random).is_err() {
        // No randomness: the address of a fresh allocation and the time would be guesses; a counter is at least unique.
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        random = u128::from(count).to_be_bytes();
    }
    let text = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(random);
    Name::new(&format!("amq.gen-{text}")).unwrap_or_else(invented_name)
}

/// What a publisher has to know of a queue, in one word: 0 for one with no features.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traits(u64);

impl Traits {
    const REFUSES: u64 = 1 << 63;
    const PERSISTS: u64 = 1 << 62;
    const LEVELS: u64 = 1 << 61;
    const TTL: u64 = Self::LEVELS - 1;

    fn of(settings: &QueueSettings) -> u64 {
        let ttl = settings.message_ttl.map_or(0, |ttl| ttl.saturating_add(1).min(Self::TTL));
        let flag = |set, flag| if set { flag } else { 0 };
        let quorum = settings.kind == QueueKind::Quorum;
        ttl | flag(settings.refuses(), Self::REFUSES)
            | flag(quorum, Self::PERSISTS)
            | flag(quorum || settings.max_priority.is_some(), Self::LEVELS)
    }

    #[inline]
    pub fn is_plain(self) -> bool {
        self.0 == 0
    }

    /// Whether the queue may refuse messages.
    #[inline]
    pub fn refuses(self) -> bool {
        self.0 & Self::REFUSES != 0
    }

    /// The message as this queue keeps it: with the queue's time to live; persistent whatever its publisher said.
    pub fn adapt<'a>(self, parts: &Parts<'a>, now: impl FnOnce() -> u64) -> Parts<'a> {
        let mut own = *parts;
        own.persistent |= self.0 & Self::PERSISTS != 0;
        if let Some(ttl) = (self.0 & Self::TTL).checked_sub(1) {
            let deadline = now().saturating_add(ttl).max(1);
            own.deadline_ms = if own.deadline_ms == 0 { deadline } else { own.deadline_ms.min(deadline) };
        }
        own
    }
}

/// A queue of the node.
#[derive(Debug)]
pub struct QueueHandle {
    id: QueueId,
    definition: QueueDefinition,
    /// As the queue was declared: what cannot change is read here.
    declared: Arc<QueueSettings>,
    traits: AtomicU64,
    timer: Timer,
    queue: Mutex<Queue<Outlet>>,
    /// Channels whose `basic.get` waits for the disk.
    getters: Mutex<Vec<(Arc<Outbox>, u16)>>,
    /// Bytes kept in memory at the head while memory is short.
    keep: Arc<AtomicUsize>,
    samples: Mutex<QueueSamples>,
}

impl QueueHandle {
    pub(super) fn new(
        id: QueueId,
        definition: QueueDefinition,
        settings: Arc<QueueSettings>,
        recovered: Option<&[(u8, QueueState)]>,
        keep: Arc<AtomicUsize>,
    ) -> Arc<QueueHandle> {
        let auto_delete = definition.auto_delete;
        let queue = match recovered {
            Some(states) => Queue::recover(auto_delete, settings.clone(), states),
            None => Queue::new(definition.is_stored(), auto_delete, settings.clone()),
        };
        Arc::new(QueueHandle {
            id,
            definition,
            traits: AtomicU64::new(Traits::of(&settings)),
            declared: settings,
            timer: Timer::default(),
            queue: Mutex::new(queue),
            getters: Mutex::default(),
            keep,
            samples: Mutex::default(),
        })
    }

    /// Its settings as they are now.
    pub fn settings(&self) -> Arc<QueueSettings> {
        self.queue.lock().settings().clone()
    }

    /// New settings, effective at once.
    pub(super) fn configure(self: &Arc<Self>, broker: &Broker, settings: QueueSettings) {
        self.traits.store(Traits::of(&settings), Ordering::Relaxed);
        self.apply(broker, Command::Configure(Arc::new(settings)));
    }

    #[inline]
    pub(super) fn traits(&self) -> Traits {
        Traits(self.traits.load(Ordering::Relaxed))
    }

    pub(super) fn level_of(&self, priority: u8) -> usize {
        self.declared.level_of(priority)
    }

    /// Its number.
    pub fn id(&self) -> QueueId {
        self.id
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.definition.name
    }

    /// What it was declared with.
    pub fn definition(&self) -> &QueueDefinition {
        &self.definition
    }

    /// Its name as refusals print it.
    pub fn resource(&self) -> Resource {
        Resource::queue(&self.definition.vhost, &self.definition.name)
    }

    pub(super) fn samples(&self) -> &Mutex<QueueSamples> {
        &self.samples
    }

    /// Its type.
    pub fn kind(&self) -> QueueKind {
        self.declared.kind
    }

    /// How it is, for listings.
    pub fn status(&self) -> Status {
        self.queue.lock().status()
    }

    /// What was done with its messages.
    pub fn totals(&self) -> Totals {
        self.queue.lock().totals()
    }

    /// Whether it was asked for something since samples were taken.
    pub(super) fn is_stirred(&self) -> bool {
        self.queue.lock().is_stirred()
    }

    /// Messages and consumers.
    pub fn counts(&self) -> Counts {
        self.queue.lock().counts()
    }

    /// Refuses a connection that is not the owner of an exclusive queue.
    pub(super) fn check_access(&self, connection: ConnectionId) -> Result<(), Refusal> {
        match self.definition.owner {
            Some(owner) if owner != connection => Err(Refusal::Locked(self.resource())),
            _ => Ok(()),
        }
    }

    /// Applies a command and performs its effects. Returns the index from which a chunk to be enqueued was refused.
    pub(super) fn apply(self: &Arc<Self>, broker: &Broker, command: Command<Outlet>) -> Option<u32> {
        let mut effects = Effects::default();
        {
            let mut queue = self.queue.lock();
            let now = time_for(&queue, &command, broker);
            queue.apply(command, now, &mut effects);
            self.list(broker, &mut effects);
        }
        self.perform(broker, effects)
    }

    /// Lists the queue for the disk, before its lock is released: whoever finds it listed, and so does not list it again,
    /// reads the open epoch afterwards and relies on it.
    fn list(self: &Arc<Self>, broker: &Broker, effects: &mut Effects<Outlet>) {
        if std::mem::take(&mut effects.dirty) {
            broker.committer().dirty(self.clone());
        }
    }

    /// The queue was declared, again or passively: for a classic queue that is use (compat.md 2.3; RabbitMQ renews the lease
    /// whenever it is asked for its counts).
    pub(super) fn asked_for(self: &Arc<Self>, broker: &Broker) {
        if self.settings().expires.is_some() {
            let classic = self.declared.kind == QueueKind::Classic;
            self.apply(broker, if classic { Command::Touch } else { Command::Tick });
        }
    }

    /// Dead letters are where they were to go.
    pub(super) fn bury(self: &Arc<Self>, broker: &Broker, spans: Vec<(u64, u32)>) {
        self.apply(broker, Command::Buried(spans));
    }

    /// Adds a consumer if [`Queue::may_consume`] agrees.
    pub(super) fn consume(
        self: &Arc<Self>,
        broker: &Broker,
        spec: crate::broker::queue::ConsumerSpec<Outlet>,
    ) -> Result<(), Refusal> {
        let mut effects = Effects::default();
        {
            let mut queue = self.queue.lock();
            if queue.is_closed() {
                return Err(Refusal::NotFound(self.resource()));
            }
            if let Some(damage) = queue.damage() {
                return Err(Refusal::Damaged(self.resource(), damage.to_owned()));
            }
            if !queue.may_consume(spec.exclusive) {
                return Err(Refusal::ExclusiveUse(self.resource()));
            }
            let command = Command::Consume(spec);
            let now = time_for(&queue, &command, broker);
            queue.apply(command, now, &mut effects);
            self.list(broker, &mut effects);
        }
        self.perform(broker, effects);
        Ok(())
    }

    /// A quorum queue is not deleted on conditions (compat.md 1.4).
    pub(super) fn check_deletion(&self, if_unused: bool, if_empty: bool) -> Result<(), Refusal> {
        let flag = match (if_unused, if_empty) {
            (true, _) => "if-unused",
            (_, true) => "if-empty",
            _ => return Ok(()),
        };
        if self.declared.kind != QueueKind::Quorum {
            return Ok(());
        }
        Err(Refusal::NotImplemented(format!(
            "cannot delete {}. queue.delete operations with {flag} flag set are not supported by quorum queues",
            self.resource()
        )))
    }

    /// A quorum queue's consumers have limits of their own only (compat.md 1.4).
    pub(super) fn check_shared_limit(&self) -> Result<(), Refusal> {
        match self.declared.kind {
            QueueKind::Classic => Ok(()),
            QueueKind::Quorum => {
                Err(Refusal::NotImplemented(format!("{} does not support global qos", self.resource())))
            }
        }
    }

    pub(super) fn take(self: &Arc<Self>, broker: &Broker, no_ack: bool, outlet: &Outlet) -> Result<Taken, Refusal> {
        if self.declared.single_active && self.declared.kind == QueueKind::Quorum {
            return Err(Refusal::NoGet(self.resource()));
        }
        let mut effects = Effects::default();
        let taken = {
            let mut queue = self.queue.lock();
            if let Some(damage) = queue.damage() {
                return Err(Refusal::Damaged(self.resource(), damage.to_owned()));
            }
            let now = if queue.needs_time() { broker.now() } else { 0 };
            let taken = queue.take(no_ack, now, &mut effects);
            self.list(broker, &mut effects);
            if matches!(taken, Taken::OnDisk) {
                self.getters.lock().push((outlet.outbox.clone(), outlet.channel));
            }
            taken
        };
        self.perform(broker, effects);
        Ok(taken)
    }

    pub(super) fn purge(self: &Arc<Self>, broker: &Broker) -> u64 {
        let mut effects = Effects::default();
        let mut queue = self.queue.lock();
        let purged = queue.purge(&mut effects);
        self.list(broker, &mut effects);
        drop(queue);
        self.perform(broker, effects);
        purged
    }

    /// Closes the queue if `condition` agrees, and tells its consumers. Returns the ready messages that went with it.
    pub(super) fn close_if(&self, condition: impl FnOnce(Counts) -> Result<(), Refusal>) -> Result<u64, Refusal> {
        let (counts, outlets) = {
            let mut queue = self.queue.lock();
            let counts = queue.counts();
            condition(counts)?;
            (counts, queue.close())
        };
        outlets.iter().for_each(|outlet| outlet.outbox.ring());
        self.release_getters();
        Ok(counts.ready)
    }

    pub(super) fn has_spilled(&self) -> bool {
        self.queue.lock().has_spilled()
    }

    /// What the queue has for the disk beyond the last commit, and the states of its levels after that. None: it was deleted.
    pub(super) fn last_words(&self, epoch: Epoch) -> Option<(Collected, Vec<(u8, QueueState)>)> {
        let mut queue = self.queue.lock();
        (!queue.is_closed()).then(|| {
            let collected = queue.collect(epoch, None, &mut usize::MAX.clone());
            (collected, queue.states(true).into_vec())
        })
    }

    pub(super) fn is_long(&self) -> bool {
        self.queue.lock().is_long(self.keep.load(Ordering::Relaxed))
    }

    pub(super) fn load_request(&self) -> Option<LoadRequest> {
        self.queue.lock().load_request(self.keep.load(Ordering::Relaxed))
    }

    pub(super) fn with_queue<T>(&self, run: impl FnOnce(&mut Queue<Outlet>) -> T) -> T {
        run(&mut self.queue.lock())
    }

    /// Channels that wait for the disk look again.
    pub(super) fn release_getters(&self) {
        for (outbox, channel) in std::mem::take(&mut *self.getters.lock()) {
            outbox.push(Item::Loaded { channel });
            outbox.ring();
        }
    }

    fn perform(self: &Arc<Self>, broker: &Broker, effects: Effects<Outlet>) -> Option<u32> {
        effects.wake.iter().for_each(|outlet| outlet.outbox.ring());
        if effects.stirred {
            broker.samples().stir(self);
        }
        if effects.load {
            broker.load(self);
        }
        if effects.unused {
            broker.delete_unused(self);
        }
        if let Some(damage) = effects.damage {
            tracing::error!("{}: {damage}; it serves nobody until it is purged or deleted", self.resource());
        }
        if effects.lost > 0 {
            tracing::error!("{}: {} transient messages were lost on a full disk", self.resource(), effects.lost);
        }
        if !effects.dead.is_empty() {
            broker.relay().send(self.clone(), effects.dead);
        }
        if let Some(due) = effects.timer {
            broker.timers().set(self, due);
        }
        effects.refused
    }
}

/// The time for a command, 0 if the queue does not need it.
#[inline]
fn time_for(queue: &Queue<Outlet>, command: &Command<Outlet>, broker: &Broker) -> u64 {
    let timed = match command {
        Command::Enqueue(chunk, ..) => chunk.is_timed(),
        Command::Loaded { .. } | Command::Configure(_) => true,
        _ => false,
    };
    if timed || queue.needs_time() { broker.now() } else { 0 }
}

impl Timed for QueueHandle {
    fn timer(&self) -> &Timer {
        &self.timer
    }

    fn number(&self) -> u64 {
        self.id.0
    }

    fn tick(self: &Arc<Self>, broker: &Arc<Broker>) {
        self.apply(broker, Command::Tick);
    }
}

impl Source for QueueHandle {
    fn collect(&self, epoch: Epoch, spill: bool, room: &mut usize, piece: &mut Piece) -> bool {
        let spill = spill.then(|| self.keep.load(Ordering::Relaxed));
        let mut queue = self.queue.lock();
        if queue.is_closed() {
            return false;
        }
        let collected = queue.collect(epoch, spill, room);
        drop(queue);
        piece.add_queue(self.id, collected)
    }

    fn evict(&self, done: Epoch) {
        self.queue.lock().evict(done, self.keep.load(Ordering::Relaxed));
    }
}

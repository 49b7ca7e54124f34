//! A queue, its lock, and what happens after the lock is released. Nothing above assumes that a queue is local; nothing
//! below knows that it could be otherwise (design.md 8).

use super::Epoch;
use super::broker::Broker;
use super::outbox::{Item, Outbox, Outlet};
use crate::broker::identity::{ConnectionId, QueueId};
use crate::broker::queue::{Collected, Command, Counts, Effects, LoadRequest, Queue, QueueState, Taken};
use crate::broker::refusal::{Refusal, Resource};
use crate::name::Name;
use crate::store::committer::Source;
use crate::value::Table;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

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
}

impl QueueDefinition {
    /// Whether its messages can be kept on disk: an exclusive queue ends with its connection.
    pub fn is_stored(&self) -> bool {
        self.durable && self.owner.is_none()
    }
}

/// A queue of the node.
#[derive(Debug)]
pub struct QueueHandle {
    id: QueueId,
    definition: QueueDefinition,
    queue: Mutex<Queue<Outlet>>,
    /// Channels whose `basic.get` waits for the disk.
    getters: Mutex<Vec<(Arc<Outbox>, u16)>>,
    /// Bytes kept in memory at the head while memory is short.
    keep: Arc<AtomicUsize>,
}

impl QueueHandle {
    pub(super) fn new(
        id: QueueId,
        definition: QueueDefinition,
        recovered: Option<QueueState>,
        keep: Arc<AtomicUsize>,
    ) -> Arc<QueueHandle> {
        let queue = match recovered {
            Some(state) => Queue::recover(definition.auto_delete, state),
            None => Queue::new(definition.is_stored(), definition.auto_delete),
        };
        Arc::new(QueueHandle { id, definition, queue: Mutex::new(queue), getters: Mutex::default(), keep })
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

    /// Applies a command and performs its effects.
    pub(super) fn apply(self: &Arc<Self>, broker: &Broker, command: Command<Outlet>) {
        let mut effects = Effects::default();
        self.queue.lock().apply(command, &mut effects);
        self.perform(broker, effects);
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
            queue.apply(Command::Consume(spec), &mut effects);
        }
        self.perform(broker, effects);
        Ok(())
    }

    pub(super) fn take(self: &Arc<Self>, broker: &Broker, no_ack: bool, outlet: &Outlet) -> Result<Taken, Refusal> {
        let mut effects = Effects::default();
        let taken = {
            let mut queue = self.queue.lock();
            if let Some(damage) = queue.damage() {
                return Err(Refusal::Damaged(self.resource(), damage.to_owned()));
            }
            let taken = queue.take(no_ack, &mut effects);
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
        let purged = self.queue.lock().purge(&mut effects);
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

    pub(super) fn state(&self) -> QueueState {
        self.queue.lock().state()
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

    fn perform(self: &Arc<Self>, broker: &Broker, effects: Effects<Outlet>) {
        effects.wake.iter().for_each(|outlet| outlet.outbox.ring());
        if effects.dirty {
            broker.committer().dirty(self.clone());
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
    }
}

impl Source for QueueHandle {
    fn collect(&self, epoch: Epoch, spill: bool, room: &mut usize) -> (QueueId, Collected) {
        let spill = spill.then(|| self.keep.load(Ordering::Relaxed));
        let mut queue = self.queue.lock();
        let collected = if queue.is_closed() { Collected::default() } else { queue.collect(epoch, spill, room) };
        (self.id, collected)
    }

    fn evict(&self, done: Epoch) {
        self.queue.lock().evict(done, self.keep.load(Ordering::Relaxed));
    }
}

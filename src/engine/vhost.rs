//! A virtual host: its topology and queues. One lock for both; changes of what is durable are handed to the committer
//! under it, so that their order on disk is the order in which they happened.

use super::broker::Broker;
use super::catalog::VhostRecord;
use super::connections::Churn;
use super::delays::DelayHandle;
use super::dice::Dice;
use super::events::{By, predeclare};
use super::gates::{self, forget_identities};
use super::history::{self, SharedHistory};
use super::policies::PolicySets;
use super::publish::Route;
use super::queue_handle::{QueueDefinition, QueueHandle, invented_name};
use super::session::{DeclaredQueue, QueueSpec};
use super::ways::history_of;
use super::{Epoch, stored};
use crate::broker::access::{Operation, VhostLimits, VhostMetadata};
use crate::broker::arguments::{QueueFlags, check_queue, check_server_named, equivalent_queue, with_queue_type};
use crate::broker::identity::{ConnectionId, QueueId};
use crate::broker::message::Chunk;
use crate::broker::refusal::{Refusal, Resource, ResourceKind};
use crate::broker::topology::{Binding, Destination, ExchangeKind, ExchangeSpec, Message, Removed, Topology};
use crate::name::Name;
use crate::store::{Change, Family, keys};
use crate::value::{Reader, Table, Value};
use parking_lot::RwLock;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Names with it are the broker's own.
const RESERVED_PREFIX: &str = "amq.";

/// The exchange of the firehose (compat.md 5); one in every virtual host.
pub const TRACE_EXCHANGE: &str = "amq.rabbitmq.trace";

/// A virtual host.
#[derive(Debug)]
pub struct Vhost {
    name: Name,
    pub(super) definitions: RwLock<Definitions>,
    version: AtomicU64,
    /// Messages are copied for the firehose. As in RabbitMQ, a restart forgets it.
    traced: AtomicBool,
    dice: Dice,
}

#[derive(Debug)]
pub(super) struct Definitions {
    pub topology: Topology,
    pub queues: HashMap<QueueId, Arc<QueueHandle>>,
    /// The same in the order of their names: a page of them must not cost more than the page.
    pub by_name: BTreeMap<Name, Arc<QueueHandle>>,
    /// Exclusive queues, by their connections: the end of one must not cost a look at all queues.
    owned: BTreeSet<(ConnectionId, QueueId)>,
    pub policies: PolicySets,
    /// Delayed messages, by their exchanges.
    pub delays: HashMap<Name, Arc<DelayHandle>>,
    metadata: VhostMetadata,
    limits: VhostLimits,
    /// The virtual host was deleted: nothing changes in it any more.
    deleted: bool,
    pub(super) histories: HashMap<Name, Arc<SharedHistory>>,
    pub(super) gates: HashMap<Name, Arc<gates::Gate>>,
    /// The epoch of the last durable change.
    defined: Epoch,
}

/// Says whether the client may do something.
pub(super) type Gate<'g> = &'g dyn Fn(Operation<'_>) -> Result<(), Refusal>;

impl Vhost {
    pub(super) fn new(
        topology: Topology,
        queues: HashMap<QueueId, Arc<QueueHandle>>,
        policies: PolicySets,
        (gates, delays): (HashMap<Name, Arc<gates::Gate>>, HashMap<Name, Arc<DelayHandle>>),
        (metadata, limits): (VhostMetadata, VhostLimits),
    ) -> Vhost {
        let name = topology.vhost().clone();
        let version = AtomicU64::new(topology.version());
        let histories = topology.exchanges().filter_map(|exchange| history_of(exchange.spec())).collect();
        let (deleted, defined) = (false, 0);
        let by_name = queues.values().map(|queue| (queue.name().clone(), queue.clone())).collect();
        let mut definitions = Definitions {
            topology,
            queues,
            by_name,
            owned: BTreeSet::new(),
            policies,
            delays,
            metadata,
            limits,
            deleted,
            histories,
            gates,
            defined,
        };
        definitions.apply_policies_to_exchanges();
        let (traced, dice) = (AtomicBool::new(false), Dice::new());
        Vhost { name, definitions: RwLock::new(definitions), version, traced, dice }
    }

    /// One that was just made: with its predeclared exchanges.
    pub(super) fn empty(name: Name, metadata: VhostMetadata, limits: VhostLimits) -> Vhost {
        Vhost::new(Topology::new(name), HashMap::new(), PolicySets::default(), Default::default(), (metadata, limits))
    }

    /// What is known of it beside what is in it.
    pub(super) fn record(&self) -> VhostRecord {
        let definitions = self.definitions.read();
        let (metadata, limits) = (definitions.metadata.clone(), definitions.limits);
        VhostRecord { name: self.name.clone(), metadata, limits }
    }

    /// The type of queues whose declaration names none.
    fn default_queue_type(&self, broker: &Broker) -> String {
        let own = self.definitions.read().metadata.default_queue_type.clone();
        own.map_or_else(|| broker.default_queue_type().name().to_owned(), |kind| kind.as_str().to_owned())
    }

    pub(super) fn describe(&self, metadata: VhostMetadata) {
        self.definitions.write().metadata = metadata;
    }

    pub(super) fn limit(&self, limits: VhostLimits) {
        self.definitions.write().limits = limits;
    }

    pub(super) fn exchange_count(&self) -> usize {
        self.definitions.read().topology.exchanges().len()
    }

    pub(super) fn is_deleted(&self) -> bool {
        self.definitions.read().deleted
    }

    /// What users may do has changed: routes that were found before are looked for, and judged, again.
    pub(super) fn touch(&self) {
        let mut definitions = self.definitions.write();
        if definitions.deleted {
            return;
        }
        definitions.topology.touch();
        self.version.store(definitions.topology.version(), Ordering::Release);
    }

    /// Ends all queues and refuses every later change. Removes from disk what the deletion of the virtual host's own
    /// definitions does not remove.
    pub(super) fn delete(&self, broker: &Broker, changes: &mut Vec<Change>) {
        let mut definitions = self.definitions.write();
        definitions.deleted = true;
        for (_, queue) in std::mem::take(&mut definitions.queues) {
            // Nothing is asked of the queue, so nothing is refused.
            let _ = queue.close_if(|_| Ok(()));
            remove_messages(&queue, changes);
            broker.queue_removed();
        }
        for (_, gate) in std::mem::take(&mut definitions.gates) {
            gate.close();
            changes.push(forget_identities(gate.id()));
        }
        definitions.by_name.clear();
        definitions.histories.clear();
        for (_, delays) in std::mem::take(&mut definitions.delays) {
            delays.close();
            changes.extend(stored::delete_delay(delays.id()));
        }
        definitions.topology = Topology::new(self.name.clone());
        broker.events().look_at(&definitions.topology);
        // A version that no route has: a publish that is under way finds no exchange of the old ones.
        self.version.store(u64::MAX, Ordering::Release);
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(super) fn is_traced(&self) -> bool {
        self.traced.load(Ordering::Relaxed)
    }

    pub(super) fn trace(&self, on: bool) {
        self.traced.store(on, Ordering::Relaxed);
        // Routes that channels have kept say whether it is traced.
        self.touch();
    }

    /// Sees whether something is bound to the event exchange, if it is here.
    pub(super) fn look_for_listeners(&self, broker: &Broker) {
        broker.events().look_at(&self.definitions.read().topology);
    }

    /// Makes the event exchange.
    pub(super) fn predeclare_events(&self) {
        predeclare(&mut self.definitions.write().topology);
    }

    pub(super) fn queues(&self) -> Vec<Arc<QueueHandle>> {
        self.definitions.read().queues.values().cloned().collect()
    }

    pub(super) fn gates(&self) -> Vec<Arc<gates::Gate>> {
        self.definitions.read().gates.values().cloned().collect()
    }

    /// The delayed messages of an exchange; None when it delays none.
    pub(super) fn delays(&self, exchange: &str) -> Option<Arc<DelayHandle>> {
        self.definitions.read().delays.get(exchange).cloned()
    }

    pub(super) fn all_delays(&self) -> Vec<Arc<DelayHandle>> {
        self.definitions.read().delays.values().cloned().collect()
    }

    pub(super) fn with_policies<T>(&self, run: impl FnOnce(&mut PolicySets) -> T) -> T {
        run(&mut self.definitions.write().policies)
    }

    /// Runs a change of the definitions. What it leaves in the second value is stored; the answer waits for the epoch.
    pub(super) fn change<T>(
        &self,
        broker: &Broker,
        run: impl FnOnce(&mut Definitions, &mut Vec<Change>) -> Result<T, Refusal>,
    ) -> Result<(T, Option<Epoch>), Refusal> {
        let mut definitions = self.definitions.write();
        if definitions.deleted {
            return Err(Refusal::VhostNotFound(self.name.as_str().to_owned()));
        }
        let mut changes = Vec::new();
        let outcome = run(&mut definitions, &mut changes);
        if !changes.is_empty() {
            definitions.defined = broker.committer().define(changes);
        }
        self.version.store(definitions.topology.version(), Ordering::Release);
        broker.events().look_at(&definitions.topology);
        let defined = definitions.defined;
        // Also for what existed: whoever declared it may still be waiting for the disk.
        let epoch = (defined > broker.committer().done_epoch()).then_some(defined);
        outcome.map(|value| (value, epoch))
    }

    pub(super) fn declare_exchange(
        &self,
        by: By<'_>,
        may: Gate<'_>,
        spec: ExchangeSpec,
    ) -> Result<Option<Epoch>, Refusal> {
        let exchange = spec.name.as_str();
        may(Operation::DeclareExchange { exchange, alternate: None })?;
        let alternate = named_exchange(&spec.arguments, "alternate-exchange");
        let may_create = may(Operation::DeclareExchange { exchange, alternate: alternate.as_ref().map(Name::as_str) });
        let room = by.broker.check_exchanges(&Resource::exchange(&self.name, &spec.name));
        let change = self.change(by.broker, |definitions, changes| {
            if definitions.topology.exchange(spec.name.as_str()).is_none() {
                if alternate.is_some() {
                    may_create?;
                }
                room?;
            }
            let created = definitions.topology.declare_exchange(spec.clone())?;
            if created {
                definitions.apply_policies_to(&spec.name);
                by.tell_exchange_created(&self.name, &spec);
                definitions.histories.extend(history_of(&spec));
                let gate = definitions.open_gate(by.broker, &spec, changes);
                if spec.durable {
                    changes.push(stored::put_exchange(&self.name, &spec, gate));
                }
                definitions.add_delays(by.broker, &spec.name, changes);
            }
            Ok(())
        })?;
        Ok(change.1.filter(|_| spec.durable))
    }

    pub(super) fn check_exchange(&self, name: &Name) -> Result<(), Refusal> {
        self.definitions.read().topology.check_exchange(name).map(|_| ())
    }

    pub(super) fn delete_exchange(&self, by: By<'_>, name: &Name, if_unused: bool) -> Result<Option<Epoch>, Refusal> {
        let change = self.change(by.broker, |definitions, changes| {
            let removed = definitions.topology.delete_exchange(name, if_unused)?;
            definitions.forget(&removed, changes);
            self.remove_stored(by, &removed, changes);
            Ok(())
        })?;
        Ok(change.1)
    }

    pub(super) fn bind(
        &self,
        by: By<'_>,
        connection: ConnectionId,
        binding: Binding,
    ) -> Result<Option<Epoch>, Refusal> {
        let ((durable, past), epoch) = self.change(by.broker, |definitions, changes| {
            definitions.check_destination(connection, &binding)?;
            definitions.check_local(&binding)?;
            let durable = definitions.topology.is_durable(&binding);
            let created = definitions.topology.bind(binding.clone())?;
            if created {
                by.tell_binding("binding.created", &self.name, &binding);
            }
            if created && durable {
                // The version tells bindings of the same millisecond apart.
                let order = (by.broker.now() << 16) | (definitions.topology.version() & 0xffff);
                changes.push(stored::put_binding(&self.name, &binding, order));
            }
            let history = definitions.histories.get(&binding.source).filter(|_| created);
            Ok((durable, history.map(|history| history.messages())))
        })?;
        if let Some(past) = past {
            self.replay(by.broker, &binding.destination, &past);
        }
        Ok(epoch.filter(|_| durable))
    }

    /// A new binding's destination gets the messages that came before it.
    fn replay(&self, broker: &Broker, destination: &Destination, past: &[Arc<Chunk>]) {
        history::replay(broker, past, |parts| match destination {
            Destination::Exchange(name) => {
                let mut names = Reader::new(parts.exchange_and_key);
                let key = names.short_string().and_then(|_| names.short_string()).unwrap_or_default();
                self.route_internally(name.as_str(), &[key], parts.header).unwrap_or_default()
            }
            Destination::Queue(name) => {
                let targets = self.definitions.read().queue(name).cloned().into_iter().collect();
                Route { targets, ..Route::default() }
            }
        });
    }

    pub(super) fn unbind(
        &self,
        by: By<'_>,
        connection: ConnectionId,
        binding: Binding,
    ) -> Result<Option<Epoch>, Refusal> {
        let change = self.change(by.broker, |definitions, changes| {
            definitions.check_destination(connection, &binding)?;
            let (_, removed) = definitions.topology.unbind(binding)?;
            definitions.forget(&removed, changes);
            self.remove_stored(by, &removed, changes);
            Ok(())
        })?;
        Ok(change.1)
    }

    /// The way of a message; `content` is the payload of its content header.
    pub(super) fn route(&self, exchange: &str, keys: &[&[u8]], content: &[u8]) -> Result<Route, Refusal> {
        let definitions = self.definitions.read();
        let resource = |name: &str| {
            let name = Name::new(name).unwrap_or_else(|| self.name.clone());
            Resource::exchange(&self.name, &name)
        };
        let found = definitions.topology.exchange(exchange);
        let found = found.ok_or_else(|| Refusal::NotFound(resource(exchange)))?;
        if found.spec().internal {
            return Err(Refusal::InternalExchange(resource(exchange)));
        }
        Ok(definitions.route(found, &Message { keys, content, random: &|| self.dice.throw() }))
    }

    /// As [`Vhost::route`], for what the broker itself publishes: to internal exchanges too. None: no such exchange.
    pub(super) fn route_internally(&self, exchange: &str, keys: &[&[u8]], content: &[u8]) -> Option<Route> {
        let definitions = self.definitions.read();
        let message = Message { keys, content, random: &|| self.dice.throw() };
        Some(definitions.route(definitions.topology.exchange(exchange)?, &message))
    }

    /// Whether it is a topic exchange: then permissions may say more about keys.
    pub(super) fn is_topic(&self, exchange: &str) -> bool {
        let definitions = self.definitions.read();
        definitions.topology.exchange(exchange).is_some_and(|found| found.spec().kind == ExchangeKind::Topic)
    }

    /// A queue that the connection may use.
    pub(super) fn queue(&self, name: &Name, connection: ConnectionId) -> Result<Arc<QueueHandle>, Refusal> {
        let definitions = self.definitions.read();
        let queue = definitions.queue(name).ok_or_else(|| Refusal::NotFound(Resource::queue(&self.name, name)))?;
        queue.check_access(connection)?;
        Ok(queue.clone())
    }

    pub(super) fn declare_queue(
        &self,
        by: By<'_>,
        connection: ConnectionId,
        may: Gate<'_>,
        spec: QueueSpec,
    ) -> Result<DeclaredQueue, Refusal> {
        let owner = spec.exclusive.then_some(connection);
        // The name before anything else, as RabbitMQ: one that we gave cannot be asked for either.
        if let Some(name) = spec.name.as_ref().filter(|name| name.as_str().starts_with(RESERVED_PREFIX)) {
            return Err(Refusal::ReservedName(ResourceKind::Queue, name.clone()));
        }
        let QueueSpec { exclusive, auto_delete, .. } = spec;
        // One that ends with its connection outlives nothing, whatever its declaration says.
        let durable = spec.durable && !exclusive;
        let flags = QueueFlags { durable, exclusive, auto_delete };
        let arguments = with_queue_type(spec.arguments, flags, &self.default_queue_type(by.broker));
        let server_named = spec.name.is_none();
        let name = spec.name.unwrap_or_else(invented_name);
        let resource = Resource::queue(&self.name, &name);
        if server_named {
            check_server_named(&arguments, &resource)?;
        }
        may(Operation::DeclareQueue { queue: name.as_str(), dead_letters: None })?;
        let may_create = may_dead_letter(may, &arguments, &resource);
        let wanted = QueueDefinition {
            name,
            vhost: self.name.clone(),
            durable,
            owner,
            auto_delete,
            arguments,
            declared_by: Name::new(by.user),
        };
        let (queue, epoch) = self.change(by.broker, |definitions, changes| {
            if let Some(existing) = definitions.queue(&wanted.name) {
                check_equivalent(existing.definition(), &wanted, &resource)?;
                return Ok(existing.clone());
            }
            definitions.check_queue_limit(&resource)?;
            by.broker.limits().check_queues(&resource, by.broker.queue_count())?;
            may_create?;
            check_queue(&wanted.arguments, flags, &resource)?;
            by.tell_queue_created(&wanted);
            Ok(definitions.add_queue(by.broker, wanted, changes))
        })?;
        Churn::note(&by.broker.churn().queues_declared);
        queue.asked_for(by.broker);
        let counts = queue.counts();
        let epoch = epoch.filter(|_| queue.definition().is_stored());
        Ok(DeclaredQueue { name: queue.name().clone(), messages: counts.ready, consumers: counts.consumers, epoch })
    }

    /// Deletes a queue. Returns its ready messages.
    pub(super) fn delete_queue(
        &self,
        by: By<'_>,
        queue: &Arc<QueueHandle>,
        if_unused: bool,
        if_empty: bool,
    ) -> Result<(u64, Option<Epoch>), Refusal> {
        self.change(by.broker, |definitions, changes| {
            if !definitions.queues.contains_key(&queue.id()) {
                return Ok(0);
            }
            let ready = queue.close_if(|counts| {
                if if_unused && counts.consumers > 0 {
                    return Err(Refusal::InUse(queue.resource()));
                }
                if if_empty && counts.ready > 0 {
                    return Err(Refusal::NotEmpty(queue.resource()));
                }
                Ok(())
            })?;
            definitions.queues.remove(&queue.id());
            definitions.by_name.remove(queue.name());
            if let Some(owner) = queue.definition().owner {
                definitions.owned.remove(&(owner, queue.id()));
            }
            let removed = definitions.topology.remove_queue(queue.name().as_str());
            definitions.forget(&removed, changes);
            self.remove_stored(by, &removed, changes);
            remove_messages(queue, changes);
            by.tell_queue_deleted(queue.definition());
            by.broker.queue_removed();
            Churn::note(&by.broker.churn().queues_deleted);
            // Its messages are gone from the sums with the next look.
            if queue.with_queue(|queue| queue.stir()) {
                by.broker.samples().stir(queue);
            }
            Ok(ready)
        })
    }

    /// Deletes the queues that are exclusive to a connection.
    pub(super) fn delete_owned(&self, by: By<'_>, connection: ConnectionId) {
        let definitions = self.definitions.read();
        let owned = definitions.owned.range((connection, QueueId(0))..=(connection, QueueId(u64::MAX)));
        let owned: Vec<_> = owned.filter_map(|(_, id)| definitions.queues.get(id).cloned()).collect();
        drop(definitions);
        for queue in owned {
            // Nothing is asked of the queue, so nothing is refused.
            let _ = self.delete_queue(by, &queue, false, false);
        }
    }

    fn remove_stored(&self, by: By<'_>, removed: &Removed, changes: &mut Vec<Change>) {
        removed.bindings.iter().for_each(|bound| by.tell_binding("binding.deleted", &self.name, bound.binding()));
        removed.exchanges.iter().for_each(|spec| by.tell_exchange_deleted(&self.name, &spec.name));
        changes.extend(removed.durable_exchanges().map(|spec| stored::delete_exchange(&self.name, &spec.name)));
        changes.extend(removed.durable_bindings().map(|bound| stored::delete_binding(&self.name, bound.binding())));
    }
}

impl Definitions {
    pub(super) fn queue(&self, name: &Name) -> Option<&Arc<QueueHandle>> {
        self.queues.get(&self.topology.queue(name.as_str())?)
    }

    fn check_queue_limit(&self, queue: &Resource) -> Result<(), Refusal> {
        match self.limits.max_queues {
            Some(limit) if self.queues.len() as u64 >= limit => Err(Refusal::QueueLimit(queue.clone(), limit)),
            _ => Ok(()),
        }
    }

    fn check_destination(&self, connection: ConnectionId, binding: &Binding) -> Result<(), Refusal> {
        match &binding.destination {
            Destination::Queue(name) => self.queue(name).map_or(Ok(()), |queue| queue.check_access(connection)),
            Destination::Exchange(_) => Ok(()),
        }
    }

    fn add_queue(
        &mut self,
        broker: &Broker,
        definition: QueueDefinition,
        changes: &mut Vec<Change>,
    ) -> Arc<QueueHandle> {
        let id = broker.next_queue();
        if definition.is_stored() {
            changes.push(stored::put_queue(id, &definition));
            changes.push(stored::put_next_queue(QueueId(id.0 + 1)));
        }
        self.topology.add_queue(definition.name.clone(), id, definition.is_stored());
        let settings = Arc::new(self.policies.settings_of(&definition));
        let queue = QueueHandle::new(id, definition, settings, None, broker.memory().keep().clone());
        queue.made_at(broker.now());
        self.queues.insert(id, queue.clone());
        self.by_name.insert(queue.name().clone(), queue.clone());
        self.owned.extend(queue.definition().owner.map(|owner| (owner, id)));
        broker.queue_added();
        Churn::note(&broker.churn().queues_created);
        queue
    }
}

/// Compares a redeclaration with what exists (compat.md 1.8): the owner first, strictly.
fn check_equivalent(current: &QueueDefinition, wanted: &QueueDefinition, resource: &Resource) -> Result<(), Refusal> {
    if current.owner != wanted.owner {
        return Err(Refusal::Locked(resource.clone()));
    }
    for (arg, current, wanted) in
        [("durable", current.durable, wanted.durable), ("auto_delete", current.auto_delete, wanted.auto_delete)]
    {
        if current != wanted {
            let difference = format!("received '{wanted}' but current is '{current}'");
            return Err(Refusal::Inequivalent { resource: resource.clone(), arg: arg.to_owned(), difference });
        }
    }
    equivalent_queue(resource, &current.arguments, &wanted.arguments)
}

/// Whether a queue may be made as far as its dead letters are concerned.
fn may_dead_letter(may: Gate<'_>, arguments: &Table, queue: &Resource) -> Result<(), Refusal> {
    const ARGUMENT: &str = "x-dead-letter-exchange";
    if let Some(other) = arguments.get(ARGUMENT).filter(|value| value.as_long_string().is_none()) {
        return Err(Refusal::ArgumentType(other.type_name(), ARGUMENT, queue.clone()));
    }
    let dead_letters = named_exchange(arguments, ARGUMENT);
    may(Operation::DeclareQueue { queue: queue.name.as_str(), dead_letters: dead_letters.as_ref().map(Name::as_str) })
}

/// The exchange that an argument names. None too when it is no name: then there is no such exchange.
fn named_exchange(arguments: &Table, argument: &str) -> Option<Name> {
    arguments.get(argument).and_then(Value::as_str).and_then(Name::new)
}

/// Removes all that is on disk of a queue.
fn remove_messages(queue: &QueueHandle, changes: &mut Vec<Change>) {
    let id = queue.id();
    let range = || (keys::chunk(id, 0).to_vec(), keys::chunk(QueueId(id.0 + 1), 0).to_vec());
    if queue.definition().is_stored() {
        changes.push(stored::delete_queue(id));
        let states = [id, QueueId(id.0 + 1)].map(|id| keys::queue(id, 0).to_vec());
        let [from, to] = states;
        changes.push(Change::DeleteRange(Family::QueueState, from, to));
        changes.push(forget_identities(id));
        for family in [Family::Chunks, Family::Settled] {
            let (from, to) = range();
            changes.push(Change::DeleteRange(family, from, to));
        }
    }
    if queue.has_spilled() {
        let (from, to) = range();
        changes.push(Change::DeleteRange(Family::Transient, from, to));
    }
}

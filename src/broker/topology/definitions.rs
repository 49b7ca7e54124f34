//! The topology of one virtual host: declarations of exchanges and queue names.

use super::binding::Bound;
use super::exchange::{Exchange, ExchangeKind, ExchangeSpec};
use super::removal::Removed;
use crate::broker::identity::QueueId;
use crate::broker::refusal::{Refusal, Resource, ResourceKind};
use crate::name::Name;
use crate::value::Table;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Names that begin so are the broker's own.
const RESERVED_PREFIX: &str = "amq.";

/// Predeclared in every virtual host, durable (compat.md 1.7): name, type, internal.
const PREDECLARED: [(&str, ExchangeKind, bool); 7] = [
    ("", ExchangeKind::Direct, false),
    ("amq.direct", ExchangeKind::Direct, false),
    ("amq.fanout", ExchangeKind::Fanout, false),
    ("amq.topic", ExchangeKind::Topic, false),
    ("amq.headers", ExchangeKind::Headers, false),
    ("amq.match", ExchangeKind::Headers, false),
    ("amq.rabbitmq.trace", ExchangeKind::Topic, true),
];

/// The exchanges, queue names and bindings of one virtual host.
#[derive(Debug)]
pub struct Topology {
    pub(super) vhost: Name,
    pub(super) exchanges: HashMap<Name, Exchange>,
    pub(super) queues: HashMap<Name, QueueEnd>,
    pub(super) version: u64,
}

/// A queue as the topology knows it.
#[derive(Debug)]
pub(super) struct QueueEnd {
    pub(super) id: QueueId,
    pub(super) durable: bool,
    pub(super) incoming: HashSet<Arc<Bound>>,
}

impl Topology {
    /// Sets the alternate exchanges that policies name; one that an exchange's arguments name counts before it.
    pub fn set_alternates(&mut self, named: impl Fn(&Name) -> Option<Name>) {
        let mut changed = false;
        for exchange in self.exchanges.values_mut().filter(|exchange| !exchange.name().as_str().is_empty()) {
            changed |= exchange.set_alternate(named(exchange.name()));
        }
        self.version += u64::from(changed);
    }

    /// The same for one exchange.
    pub fn set_alternate(&mut self, exchange: &Name, named: Option<Name>) {
        if let Some(exchange) = self.exchanges.get_mut(exchange) {
            self.version += u64::from(exchange.set_alternate(named));
        }
    }

    /// Makes messages with a delay wait at the exchanges that policies say, beside those whose type says so.
    pub fn set_delayed(&mut self, delayed: impl Fn(&Name) -> bool) {
        let mut changed = false;
        for exchange in self.exchanges.values_mut().filter(|exchange| !exchange.name().as_str().is_empty()) {
            changed |= exchange.set_delayed(delayed(exchange.name()));
        }
        self.version += u64::from(changed);
    }

    /// An empty virtual host with its predeclared exchanges.
    pub fn new(vhost: Name) -> Topology {
        let mut topology = Topology { exchanges: HashMap::new(), queues: HashMap::new(), version: 0, vhost };
        PREDECLARED.iter().for_each(|(name, kind, internal)| topology.predeclare(name, *kind, *internal));
        topology
    }

    /// Declares a durable exchange of the broker's own.
    pub fn predeclare(&mut self, name: &str, kind: ExchangeKind, internal: bool) {
        let Some(name) = Name::new(name) else { return };
        let (durable, auto_delete, arguments) = (true, false, Table::default());
        let spec = ExchangeSpec { name: name.clone(), kind, durable, auto_delete, internal, arguments };
        self.exchanges.insert(name, Exchange::new(spec));
    }

    /// The virtual host's name.
    pub fn vhost(&self) -> &Name {
        &self.vhost
    }

    /// Grows with every change. Equal versions of the same value route every message the same way.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The exchange of that name, `""` included.
    pub fn exchange(&self, name: &str) -> Option<&Exchange> {
        self.exchanges.get(name)
    }

    /// All exchanges, the predeclared ones included, in no order.
    pub fn exchanges(&self) -> impl ExactSizeIterator<Item = &Exchange> {
        self.exchanges.values()
    }

    /// Passive declaration: the exchange of that name.
    ///
    /// # Errors
    /// `DefaultExchange`, `NotFound`.
    pub fn check_exchange(&self, name: &Name) -> Result<&Exchange, Refusal> {
        refuse_default_exchange(name)?;
        self.exchanges.get(name.as_str()).ok_or_else(|| Refusal::NotFound(Resource::exchange(&self.vhost, name)))
    }

    /// Declares an exchange. True when it is new.
    ///
    /// # Errors
    /// `DefaultExchange`; `Inequivalent` when one of that name exists and differs; otherwise `ReservedName` and
    /// `InvalidArgument`, in RabbitMQ's order.
    pub fn declare_exchange(&mut self, spec: ExchangeSpec) -> Result<bool, Refusal> {
        refuse_default_exchange(&spec.name)?;
        let resource = Resource::exchange(&self.vhost, &spec.name);
        if let Some(existing) = self.exchanges.get(spec.name.as_str()) {
            existing.spec().check_equivalent(&spec, &resource)?;
            return Ok(false);
        }
        if spec.name.as_str().starts_with(RESERVED_PREFIX) {
            return Err(Refusal::ReservedName(ResourceKind::Exchange, spec.name));
        }
        spec.check_arguments(&resource)?;
        self.exchanges.insert(spec.name.clone(), Exchange::new(spec));
        self.changed();
        Ok(true)
    }

    /// Deletes an exchange with its bindings; a missing one is no error. `if_unused`: only without outgoing bindings.
    ///
    /// # Errors
    /// `DefaultExchange`, `SystemExchange`, `InUse`.
    pub fn delete_exchange(&mut self, name: &Name, if_unused: bool) -> Result<Removed, Refusal> {
        refuse_default_exchange(name)?;
        let resource = Resource::exchange(&self.vhost, name);
        if name.as_str().starts_with(RESERVED_PREFIX) {
            return Err(Refusal::SystemExchange(resource));
        }
        let Some(exchange) = self.exchanges.get(name.as_str()) else { return Ok(Removed::default()) };
        if if_unused && !exchange.outgoing.is_empty() {
            return Err(Refusal::InUse(resource));
        }
        Ok(self.remove_exchanges(vec![exchange.name().clone()], Removed::default()))
    }

    /// Makes a queue known. False, and nothing changed, when the name is taken.
    pub fn add_queue(&mut self, name: Name, id: QueueId, durable: bool) -> bool {
        if self.queues.contains_key(name.as_str()) {
            return false;
        }
        self.queues.insert(name, QueueEnd { id, durable, incoming: HashSet::new() });
        self.changed();
        true
    }

    /// The number of the queue of that name.
    pub fn queue(&self, name: &str) -> Option<QueueId> {
        self.queues.get(name).map(|queue| queue.id)
    }

    /// All queues, in no order.
    pub fn queues(&self) -> impl ExactSizeIterator<Item = (&Name, QueueId)> {
        self.queues.iter().map(|(name, queue)| (name, queue.id))
    }

    /// Routes that were found before are to be looked for again.
    pub fn touch(&mut self) {
        self.version += 1;
    }

    pub(super) fn changed(&mut self) {
        self.version += 1;
    }
}

/// The default exchange cannot be declared, deleted or bound. RabbitMQ checks this before permissions.
///
/// # Errors
/// `DefaultExchange` for the empty name.
pub fn refuse_default_exchange(name: &Name) -> Result<(), Refusal> {
    if name.as_str().is_empty() { Err(Refusal::DefaultExchange) } else { Ok(()) }
}

//! A binding, as it is asked for and as it is in force.

use crate::broker::identity::QueueId;
use crate::name::Name;
use crate::value::Table;
use std::hash::{Hash, Hasher};

/// What a binding leads to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Destination {
    /// A queue, by name.
    Queue(Name),
    /// An exchange, by name.
    Exchange(Name),
}

impl Destination {
    /// The name of the queue or exchange.
    pub fn name(&self) -> &Name {
        match self {
            Destination::Queue(name) | Destination::Exchange(name) => name,
        }
    }
}

/// A binding as it is asked for: by bind, unbind, or read back from disk.
#[derive(Clone, Debug)]
pub struct Binding {
    /// The exchange that messages come from.
    pub source: Name,
    /// Where they go.
    pub destination: Destination,
    /// What the exchange type makes of it; empty for most headers and fanout bindings.
    pub routing_key: Name,
    /// The headers type's conditions; for the others no more than a part of the identity.
    pub arguments: Table,
}

/// A destination as a message's way needs it: a queue is known by its number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Target {
    Queue(QueueId),
    Exchange(Name),
}

/// A binding in force. Two are equal when source, destination, routing key and arguments (in any order) are.
#[derive(Debug)]
pub struct Bound {
    binding: Binding,
    /// The arguments sorted by name, encoded. Bytes, because values with floats have no lawful equality.
    canonical: Box<[u8]>,
    target: Target,
    durable: bool,
}

impl Bound {
    pub(super) fn new(binding: Binding, target: Target, durable: bool) -> Bound {
        let canonical = canonical_arguments(&binding.arguments);
        Bound { binding, canonical, target, durable }
    }

    /// The binding itself.
    pub fn binding(&self) -> &Binding {
        &self.binding
    }

    /// Whether it outlives a restart: both its ends do.
    pub fn is_durable(&self) -> bool {
        self.durable
    }

    pub(super) fn target(&self) -> &Target {
        &self.target
    }
}

impl PartialEq for Bound {
    fn eq(&self, other: &Bound) -> bool {
        self.binding.source == other.binding.source
            && self.binding.destination == other.binding.destination
            && self.binding.routing_key == other.binding.routing_key
            && self.canonical == other.canonical
    }
}

impl Eq for Bound {}

impl Hash for Bound {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.binding.source.hash(state);
        self.binding.destination.hash(state);
        self.binding.routing_key.hash(state);
        self.canonical.hash(state);
    }
}

/// The arguments in the order of their names, encoded; names that occur twice keep their order.
fn canonical_arguments(arguments: &Table) -> Box<[u8]> {
    if arguments.is_empty() {
        return Box::default();
    }
    let mut fields: Vec<_> = arguments.iter().collect();
    fields.sort_by_key(|(key, _)| *key);
    let sorted: Table = fields.into_iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    let mut bytes = Vec::new();
    sorted.encode_content(&mut bytes);
    bytes.into_boxed_slice()
}

//! The `x-consistent-hash` type (compat.md 2.11): every message goes to one destination, equal ones to the same, each
//! destination gets its share by weight; a destination that comes or goes moves no message between the others.
//!
//! Every destination draws a number from its name and the message's hash, scaled by its weight, and the best draw wins
//! (weighted rendezvous hashing). So weights cost nothing, and the outcome depends on names alone: it outlives restarts.

use super::binding::{Bound, Destination, Target};
use crate::broker::content::Content;
use crate::broker::hash::{hash, mix};
use crate::broker::refusal::Refusal;
use crate::limits::HASH_WEIGHT_MAX;
use crate::value::{Binary, Table, Value};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

const HASH_HEADER: &str = "hash-header";
const HASH_PROPERTY: &str = "hash-property";
/// The arguments that a redeclaration must repeat.
pub(super) const ARGUMENTS: [&str; 2] = [HASH_HEADER, HASH_PROPERTY];

/// What of a message decides where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HashOn {
    /// Its routing key.
    Key,
    /// A header.
    Header(String),
    CorrelationId,
    MessageId,
    Timestamp,
}

impl HashOn {
    /// Reads an exchange's arguments.
    ///
    /// # Errors
    /// RabbitMQ's explanation when they contradict each other or name what there is not.
    pub fn of(arguments: &Table) -> Result<HashOn, Refusal> {
        let text = |key: &str| match arguments.get(key) {
            None => Ok(None),
            Some(Value::LongString(bytes)) => Ok(Some(String::from_utf8_lossy(bytes).into_owned())),
            Some(other) => {
                Err(Refusal::Unacceptable(format!("{key} must be of type longstr, not {}", other.type_name())))
            }
        };
        match (text(HASH_HEADER)?, text(HASH_PROPERTY)?.as_deref()) {
            (None, None) => Ok(HashOn::Key),
            (Some(header), None) => Ok(HashOn::Header(header)),
            (None, Some("correlation_id")) => Ok(HashOn::CorrelationId),
            (None, Some("message_id")) => Ok(HashOn::MessageId),
            (None, Some("timestamp")) => Ok(HashOn::Timestamp),
            (None, Some(other)) => Err(Refusal::Unacceptable(format!("Unsupported property: {other}"))),
            (Some(_), Some(_)) => {
                let explanation = "hash-header and hash-property are mutually exclusive";
                Err(Refusal::Unacceptable(explanation.to_owned()))
            }
        }
    }

    /// Whether messages with the same routing key may have different hashes.
    pub fn depends_on_content(&self) -> bool {
        *self != HashOn::Key
    }

    /// The hash of a message. All that have not what it is made of have the same.
    pub fn hash(&self, key: &[u8], content: &[u8]) -> u64 {
        let content = || Content::parse(content);
        let found = match self {
            HashOn::Key => return hash(key),
            HashOn::Header(header) => content().and_then(|content| content.header(header)).map(|value| bytes(&value)),
            HashOn::CorrelationId => content().and_then(|content| content.correlation_id()).map(<[u8]>::to_vec),
            HashOn::MessageId => content().and_then(|content| content.message_id()).map(<[u8]>::to_vec),
            HashOn::Timestamp => {
                content().and_then(|content| content.timestamp()).map(|seconds| seconds.to_string().into_bytes())
            }
        };
        found.map_or(0, |found| hash(&found))
    }
}

/// A header's value as bytes: text as it is, so that a header hashes as the same routing key does; numbers by value.
fn bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::LongString(bytes) | Value::Bytes(bytes) => bytes.clone(),
        other => {
            other.as_integer().map_or_else(|| other.to_string().into_bytes(), |number| number.to_string().into_bytes())
        }
    }
}

/// The weight that a binding's key says.
///
/// # Errors
/// RabbitMQ's explanation when it is no whole number of at least 0.
pub(super) fn weight(key: &str) -> Result<u32, Refusal> {
    let (negative, digits) = match key.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, key.strip_prefix('+').unwrap_or(key)),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let key = Binary(key.as_bytes());
        return Err(Refusal::Unacceptable(format!("The binding key must be an integer: {key}")));
    }
    let weight = digits.parse().unwrap_or(HASH_WEIGHT_MAX);
    if negative && weight > 0 {
        return Err(Refusal::Unacceptable("The binding key must be greater than 0".to_owned()));
    }
    Ok(weight)
}

/// The destinations of an exchange.
#[derive(Debug, Default)]
pub(super) struct Ring {
    places: Vec<Place>,
    index: HashMap<Destination, usize>,
    /// How many places have each weight: with one weight for all, draws need no scaling.
    weights: BTreeMap<u32, usize>,
}

#[derive(Debug)]
struct Place {
    target: Target,
    /// From the destination's name.
    seed: u64,
    weight: u32,
    /// The first one's weight counts.
    bindings: Vec<Arc<Bound>>,
}

impl Ring {
    pub fn add(&mut self, bound: &Arc<Bound>) {
        let destination = &bound.binding().destination;
        if let Some(place) = self.index.get(destination).and_then(|at| self.places.get_mut(*at)) {
            place.bindings.push(Arc::clone(bound));
            return;
        }
        let weight = weight_of(bound);
        let (kind, name) = match destination {
            Destination::Queue(name) => (0, name),
            Destination::Exchange(name) => (1, name),
        };
        let seed = mix(hash(name.as_str().as_bytes()).wrapping_add(kind));
        self.index.insert(destination.clone(), self.places.len());
        self.places.push(Place { target: bound.target().clone(), seed, weight, bindings: vec![Arc::clone(bound)] });
        *self.weights.entry(weight).or_default() += 1;
    }

    pub fn remove(&mut self, bound: &Arc<Bound>) {
        let destination = &bound.binding().destination;
        let Some(at) = self.index.get(destination).copied() else { return };
        let Some(place) = self.places.get_mut(at) else { return };
        place.bindings.retain(|other| other != bound);
        let before = place.weight;
        if let Some(first) = place.bindings.first() {
            place.weight = weight_of(first);
            *self.weights.entry(place.weight).or_default() += 1;
        } else {
            self.places.swap_remove(at);
            self.index.remove(destination);
            if let Some(moved) = self.places.get(at).and_then(|place| place.bindings.first()) {
                self.index.insert(moved.binding().destination.clone(), at);
            }
        }
        if let Some(count) = self.weights.get_mut(&before) {
            *count -= 1;
            if *count == 0 {
                self.weights.remove(&before);
            }
        }
    }

    /// The destination of a message with this hash. None when there is none with a weight. It takes as long as there are
    /// destinations.
    pub fn pick(&self, hash: u64) -> Option<&Target> {
        let draw = |place: &Place| mix(hash ^ place.seed);
        let weighty = self.places.iter().filter(|place| place.weight > 0);
        let best = if self.weights.len() == 1 {
            weighty.max_by_key(|place| draw(place))
        } else {
            // The least of exponential variables whose rates are the weights.
            let score = |place: &Place| {
                let unit = ((draw(place) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
                -unit.ln() / f64::from(place.weight)
            };
            weighty.map(|place| (score(place), place)).min_by(|one, other| one.0.total_cmp(&other.0)).map(|best| best.1)
        };
        best.map(|place| &place.target)
    }
}

/// It was checked when the binding was made.
fn weight_of(bound: &Bound) -> u32 {
    weight(bound.binding().routing_key.as_str()).unwrap_or(0)
}

/// The `x-modulus-hash` type: the destinations in the order of their names, one chosen by the hash of the keys.
#[derive(Debug, Default)]
pub(super) struct Modulus {
    /// Each with the number of bindings that lead there.
    places: Vec<(Destination, Target, u32)>,
}

impl Modulus {
    pub fn add(&mut self, bound: &Bound) {
        let destination = &bound.binding().destination;
        match self.places.binary_search_by(|(other, ..)| other.cmp(destination)) {
            Ok(at) => self.places.iter_mut().skip(at).take(1).for_each(|place| place.2 += 1),
            Err(at) => self.places.insert(at, (destination.clone(), bound.target().clone(), 1)),
        }
    }

    pub fn remove(&mut self, bound: &Bound) {
        let destination = &bound.binding().destination;
        let Ok(at) = self.places.binary_search_by(|(other, ..)| other.cmp(destination)) else { return };
        let Some((.., count)) = self.places.get_mut(at) else { return };
        *count -= 1;
        if *count == 0 {
            self.places.remove(at);
        }
    }

    pub fn pick(&self, hash: u64) -> Option<&Target> {
        let at = hash.checked_rem(self.places.len() as u64)?;
        self.places.get(at as usize).map(|(_, target, _)| target)
    }
}

/// The random types: one binding is drawn, all with the same chance.
#[derive(Debug, Default)]
pub(super) struct Lottery {
    bindings: Vec<Arc<Bound>>,
    positions: HashMap<Arc<Bound>, usize>,
}

impl Lottery {
    pub fn add(&mut self, bound: &Arc<Bound>) {
        self.positions.insert(Arc::clone(bound), self.bindings.len());
        self.bindings.push(Arc::clone(bound));
    }

    pub fn remove(&mut self, bound: &Arc<Bound>) {
        let Some(at) = self.positions.remove(bound) else { return };
        self.bindings.swap_remove(at);
        if let Some(moved) = self.bindings.get(at) {
            self.positions.insert(Arc::clone(moved), at);
        }
    }

    pub fn pick(&self, random: u64) -> Option<&Target> {
        let at = random.checked_rem(self.bindings.len() as u64)?;
        self.bindings.get(at as usize).map(|bound| bound.target())
    }
}

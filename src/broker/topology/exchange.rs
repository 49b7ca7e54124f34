//! An exchange: its definition and the bindings at it.

use super::binding::{Binding, Bound, Destination};
use super::direct::Direct;
use super::fanout::Fanout;
use super::headers::{Headers, validate_x_match};
use super::jms::{self, Jms};
use super::ring::{self, HashOn, Lottery, Modulus, Ring};
use super::topic::Topic;
use crate::broker::arguments::equivalent_arguments;
use crate::broker::count::Throughput;
use crate::broker::refusal::{Refusal, Resource};
use crate::broker::window::{DEDUPLICATION_HEADER, WindowSettings, whole_number};
use crate::name::Name;
use crate::value::{Binary, Table, Value};
use std::collections::HashSet;
use std::sync::Arc;

/// The argument that names the type by which a delaying exchange routes.
const DELAYED_TYPE: &str = "x-delayed-type";

/// The argument that names the exchange for messages this one has no destination for.
pub(super) const ALTERNATE_EXCHANGE: &str = "alternate-exchange";
/// How many messages an `x-recent-history` exchange keeps.
const HISTORY_LENGTH: &str = "x-recent-history-length";
/// How many messages an `x-message-deduplication` exchange remembers, for how many ms, and where.
const CACHE_SIZE: &str = "x-cache-size";
const CACHE_TTL: &str = "x-cache-ttl";
const CACHE_PERSISTENCE: &str = "x-cache-persistence";
const MEMORY: &[u8] = b"memory";
/// How many messages an `x-recent-history` exchange keeps, if its arguments do not say.
const HISTORY_LENGTH_DEFAULT: usize = 20;

/// An exchange type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeKind {
    /// By equal key.
    Direct,
    /// To every destination.
    Fanout,
    /// By patterns of words.
    Topic,
    /// By message headers.
    Headers,
    /// To one destination, by a hash of the key, a header or a property; shares by weight.
    ConsistentHash,
    /// To one destination, by a hash of the keys.
    ModulusHash,
    /// To one destination by chance.
    Random,
    /// The same; its destinations are classic queues of this node.
    LocalRandom,
    /// To every destination; a new one gets the last messages too.
    RecentHistory,
    /// Where a selector of headers is true.
    JmsTopic,
    /// To every destination, but for duplicates.
    Deduplication,
    /// When the message's delay is over, as the exchange type that `x-delayed-type` names.
    Delayed,
}

/// Every type and its name in declarations and listings.
const KINDS: [(ExchangeKind, &str); 12] = [
    (ExchangeKind::Direct, "direct"),
    (ExchangeKind::Fanout, "fanout"),
    (ExchangeKind::Topic, "topic"),
    (ExchangeKind::Headers, "headers"),
    (ExchangeKind::ConsistentHash, "x-consistent-hash"),
    (ExchangeKind::ModulusHash, "x-modulus-hash"),
    (ExchangeKind::Random, "x-random"),
    (ExchangeKind::LocalRandom, "x-local-random"),
    (ExchangeKind::RecentHistory, "x-recent-history"),
    (ExchangeKind::JmsTopic, "x-jms-topic"),
    (ExchangeKind::Deduplication, "x-message-deduplication"),
    (ExchangeKind::Delayed, "x-delayed-message"),
];

impl ExchangeKind {
    /// The names of all types.
    pub fn all_names() -> impl Iterator<Item = &'static str> {
        KINDS.iter().map(|(_, name)| *name)
    }

    /// Reads a type's name.
    ///
    /// # Errors
    /// `UnknownExchangeType` for any other name. RabbitMQ checks this before anything else about a declaration.
    pub fn parse(name: &str) -> Result<ExchangeKind, Refusal> {
        let known = KINDS.iter().find(|(_, known)| *known == name);
        known.map(|(kind, _)| *kind).ok_or_else(|| Refusal::UnknownExchangeType(name.to_owned()))
    }

    /// The type's name in declarations and listings.
    pub fn name(self) -> &'static str {
        KINDS.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }
}

/// An exchange as it is declared: what is kept on disk and listed.
#[derive(Clone, Debug)]
pub struct ExchangeSpec {
    /// Its name; empty for the default exchange only.
    pub name: Name,
    /// Its type.
    pub kind: ExchangeKind,
    /// Outlives a restart.
    pub durable: bool,
    /// Goes when its last outgoing binding goes.
    pub auto_delete: bool,
    /// Clients cannot publish to it.
    pub internal: bool,
    /// Everything else; `alternate-exchange` is the one with a meaning.
    pub arguments: Table,
}

impl ExchangeSpec {
    /// Checks that a redeclaration asks for what exists (compat.md 1.7: of the arguments only `alternate-exchange`, and those
    /// that a type adds).
    pub(super) fn check_equivalent(&self, received: &ExchangeSpec, resource: &Resource) -> Result<(), Refusal> {
        let differs = |arg: &str, received: &dyn std::fmt::Display, current: &dyn std::fmt::Display| {
            let difference = format!("received '{received}' but current is '{current}'");
            Err(Refusal::Inequivalent { resource: resource.clone(), arg: arg.to_owned(), difference })
        };
        if self.kind != received.kind {
            return differs("type", &received.kind.name(), &self.kind.name());
        }
        if self.durable != received.durable {
            return differs("durable", &received.durable, &self.durable);
        }
        if self.auto_delete != received.auto_delete {
            return differs("auto_delete", &received.auto_delete, &self.auto_delete);
        }
        if self.internal != received.internal {
            return differs("internal", &received.internal, &self.internal);
        }
        let own = match self.kind {
            ExchangeKind::ConsistentHash => &ring::ARGUMENTS[..],
            ExchangeKind::Delayed => &[DELAYED_TYPE],
            _ => &[],
        };
        let keys: Vec<&str> = std::iter::once(ALTERNATE_EXCHANGE).chain(own.iter().copied()).collect();
        equivalent_arguments(resource, &self.arguments, &received.arguments, &keys)
    }

    /// The type by which messages are routed: a delaying exchange names it in its arguments. Types that keep something of
    /// each message are none for that.
    ///
    /// # Errors
    /// `DelayedType`, `UnknownExchangeType`.
    pub(super) fn routes_as(&self) -> Result<ExchangeKind, Refusal> {
        if self.kind != ExchangeKind::Delayed {
            return Ok(self.kind);
        }
        match self.arguments.get(DELAYED_TYPE) {
            Some(Value::LongString(name)) => match ExchangeKind::parse(&String::from_utf8_lossy(name))? {
                ExchangeKind::Delayed => {
                    Err(Refusal::DelayedType("'x-delayed-message' can't be used for 'x-delayed-type'"))
                }
                ExchangeKind::RecentHistory => {
                    Err(Refusal::DelayedType("'x-recent-history' can't be used for 'x-delayed-type'"))
                }
                ExchangeKind::Deduplication => {
                    Err(Refusal::DelayedType("'x-message-deduplication' can't be used for 'x-delayed-type'"))
                }
                kind => Ok(kind),
            },
            _ => Err(Refusal::DelayedType("'x-delayed-type' must be an existing exchange type")),
        }
    }

    /// Checks what a new exchange's arguments must be like.
    pub(super) fn check_arguments(&self, resource: &Resource) -> Result<(), Refusal> {
        if let Some(other) = self.arguments.get(ALTERNATE_EXCHANGE).filter(|value| value.as_long_string().is_none()) {
            return Err(Refusal::ArgumentType(other.type_name(), ALTERNATE_EXCHANGE, resource.clone()));
        }
        match self.routes_as()? {
            ExchangeKind::ConsistentHash => HashOn::of(&self.arguments).map(|_| ()),
            ExchangeKind::RecentHistory => self.check_history_length(),
            ExchangeKind::Deduplication => self.check_window(),
            _ => Ok(()),
        }
    }

    fn check_history_length(&self) -> Result<(), Refusal> {
        match self.arguments.get(HISTORY_LENGTH) {
            Some(value) if value.as_integer().is_none_or(|length| length < 1) => {
                let given = match value {
                    Value::LongString(bytes) => Binary(bytes).to_string(),
                    other => other.to_string(),
                };
                let explanation = format!("Invalid argument {given}, '{HISTORY_LENGTH}' must be a positive integer");
                Err(Refusal::Unacceptable(explanation))
            }
            _ => Ok(()),
        }
    }

    fn check_window(&self) -> Result<(), Refusal> {
        let refuse = |explanation: String| Err(Refusal::Unacceptable(explanation));
        let positive =
            |key: &str| self.arguments.get(key).map(|value| whole_number(value).is_some_and(|number| number > 0));
        if positive(CACHE_SIZE) != Some(true) {
            let explanation = format!("Missing or invalid argument, '{CACHE_SIZE}' must be an integer greater than 0");
            return refuse(explanation);
        }
        if positive(CACHE_TTL) == Some(false) {
            return refuse(format!("Invalid argument, '{CACHE_TTL}' must be an integer greater than 0"));
        }
        match self.arguments.get(CACHE_PERSISTENCE) {
            Some(value) if !matches!(value.as_long_string(), Some(b"disk" | MEMORY)) => {
                refuse(format!("Invalid argument, '{CACHE_PERSISTENCE}' must be either 'disk' or 'memory'"))
            }
            _ => Ok(()),
        }
    }

    /// What the window of an `x-message-deduplication` exchange is like, and whether it is kept on disk. None: the exchange
    /// is of another type.
    pub fn window(&self) -> Option<(WindowSettings, bool)> {
        if self.kind != ExchangeKind::Deduplication {
            return None;
        }
        let number = |key: &str| self.arguments.get(key).and_then(whole_number);
        let header = self.arguments.get("x-deduplication-header").and_then(Value::as_str);
        let settings = WindowSettings {
            header: header.unwrap_or(DEDUPLICATION_HEADER).to_owned(),
            size: number(CACHE_SIZE).unwrap_or(1),
            ttl_ms: number(CACHE_TTL),
        };
        let in_memory = self.arguments.get(CACHE_PERSISTENCE).and_then(Value::as_long_string) == Some(MEMORY);
        Some((settings, self.durable && !in_memory))
    }

    /// How many messages an `x-recent-history` exchange keeps; None: it is of another type.
    pub fn history_length(&self) -> Option<usize> {
        let length = self.arguments.get(HISTORY_LENGTH).and_then(Value::as_integer);
        let length = length.and_then(|length| usize::try_from(length).ok()).unwrap_or(HISTORY_LENGTH_DEFAULT);
        (self.kind == ExchangeKind::RecentHistory).then_some(length)
    }
}

/// An exchange in being.
#[derive(Debug)]
pub struct Exchange {
    spec: ExchangeSpec,
    alternate: Option<Name>,
    /// A policy makes messages with a delay wait here.
    delayed: bool,
    pub(super) router: Router,
    pub(super) outgoing: HashSet<Arc<Bound>>,
    pub(super) incoming: HashSet<Arc<Bound>>,
    throughput: Arc<Throughput>,
}

impl Exchange {
    pub(super) fn new(spec: ExchangeSpec) -> Exchange {
        // No exchange can have a name that is not text or too long: such an alternate is one that does not exist.
        let alternate = spec.arguments.get(ALTERNATE_EXCHANGE).and_then(Value::as_str).and_then(Name::new);
        let router = Router::new(&spec);
        let (outgoing, incoming, throughput) = (HashSet::new(), HashSet::new(), Arc::default());
        Exchange { spec, alternate, delayed: false, router, outgoing, incoming, throughput }
    }

    /// The definition.
    pub fn spec(&self) -> &ExchangeSpec {
        &self.spec
    }

    /// The name.
    pub fn name(&self) -> &Name {
        &self.spec.name
    }

    /// Whether a message with a delay waits here before it is routed.
    pub fn delays(&self) -> bool {
        self.spec.kind == ExchangeKind::Delayed || self.delayed
    }

    /// Sets whether a policy makes messages wait; true when that changes where they go.
    pub(super) fn set_delayed(&mut self, delayed: bool) -> bool {
        let before = self.delays();
        self.delayed = delayed;
        before != self.delays()
    }

    /// Where messages go that have no destination here; it need not exist.
    pub fn alternate(&self) -> Option<&Name> {
        self.alternate.as_ref()
    }

    /// Sets the alternate that a policy names; true when that changes where messages go.
    pub(super) fn set_alternate(&mut self, policy: Option<Name>) -> bool {
        let argument = self.spec.arguments.get(ALTERNATE_EXCHANGE).and_then(Value::as_str).and_then(Name::new);
        let alternate = argument.or(policy);
        let changed = alternate != self.alternate;
        self.alternate = alternate;
        changed
    }

    /// How many messages came in and were handed on.
    pub fn throughput(&self) -> &Arc<Throughput> {
        &self.throughput
    }

    /// Bindings that have this exchange as their source, in no order.
    pub fn outgoing(&self) -> impl ExactSizeIterator<Item = &Arc<Bound>> {
        self.outgoing.iter()
    }

    /// Bindings that have this exchange as their destination, in no order.
    pub fn incoming(&self) -> impl ExactSizeIterator<Item = &Arc<Bound>> {
        self.incoming.iter()
    }
}

/// The bindings of an exchange in the form in which its type finds destinations.
#[derive(Debug)]
pub(super) enum Router {
    /// The default exchange: every queue, by its name; it has no bindings of its own.
    Default,
    Direct(Direct),
    Fanout(Fanout),
    Topic(Topic),
    Headers(Headers),
    Ring(HashOn, Ring),
    Modulus(Modulus),
    Lottery(Lottery),
    /// To every destination, and into the exchange's history.
    History(Fanout),
    Jms(Jms),
    /// To every destination what is no duplicate: who publishes finds out.
    Gate(Fanout),
}

impl Router {
    fn new(spec: &ExchangeSpec) -> Router {
        // It was checked when the exchange was declared.
        match spec.routes_as().unwrap_or(ExchangeKind::Direct) {
            _ if spec.name.as_str().is_empty() => Router::Default,
            ExchangeKind::Direct | ExchangeKind::Delayed => Router::Direct(Direct::default()),
            ExchangeKind::Fanout => Router::Fanout(Fanout::default()),
            ExchangeKind::Topic => Router::Topic(Topic::default()),
            ExchangeKind::Headers => Router::Headers(Headers::default()),
            ExchangeKind::ConsistentHash => {
                // The arguments were checked when the exchange was declared.
                Router::Ring(HashOn::of(&spec.arguments).unwrap_or(HashOn::Key), Ring::default())
            }
            ExchangeKind::ModulusHash => Router::Modulus(Modulus::default()),
            ExchangeKind::Random | ExchangeKind::LocalRandom => Router::Lottery(Lottery::default()),
            ExchangeKind::RecentHistory => Router::History(Fanout::default()),
            ExchangeKind::JmsTopic => Router::Jms(Jms::default()),
            ExchangeKind::Deduplication => Router::Gate(Fanout::default()),
        }
    }

    /// Takes up a binding that is not yet there.
    pub(super) fn add(&mut self, bound: &Arc<Bound>) {
        match self {
            Router::Default => {}
            Router::Direct(direct) => direct.add(bound),
            Router::Fanout(fanout) | Router::History(fanout) | Router::Gate(fanout) => fanout.add(bound),
            Router::Topic(topic) => topic.add(bound),
            Router::Headers(headers) => headers.add(bound),
            Router::Ring(_, ring) => ring.add(bound),
            Router::Modulus(modulus) => modulus.add(bound),
            Router::Lottery(lottery) => lottery.add(bound),
            Router::Jms(jms) => jms.add(bound),
        }
    }

    /// Drops a binding that is there.
    pub(super) fn remove(&mut self, bound: &Arc<Bound>) {
        match self {
            Router::Default => {}
            Router::Direct(direct) => direct.remove(bound),
            Router::Fanout(fanout) | Router::History(fanout) | Router::Gate(fanout) => fanout.remove(bound),
            Router::Topic(topic) => topic.remove(bound),
            Router::Headers(headers) => headers.remove(bound),
            Router::Ring(_, ring) => ring.remove(bound),
            Router::Modulus(modulus) => modulus.remove(bound),
            Router::Lottery(lottery) => lottery.remove(bound),
            Router::Jms(jms) => jms.remove(bound),
        }
    }
}

/// Checks what an exchange of this type asks of a new binding.
///
/// # Errors
/// `InvalidXMatch`; `Unacceptable` with RabbitMQ's explanation.
pub(super) fn check_binding(kind: ExchangeKind, binding: &Binding) -> Result<(), Refusal> {
    let key = &binding.routing_key;
    match kind {
        ExchangeKind::Headers => validate_x_match(&binding.arguments),
        ExchangeKind::ConsistentHash => ring::weight(key.as_str()).map(|_| ()),
        ExchangeKind::JmsTopic => jms::selector(binding).map(|_| ()),
        ExchangeKind::LocalRandom if !key.as_str().is_empty() => {
            Err(Refusal::Unacceptable(format!("Non empty binding '{key}' key not permitted")))
        }
        ExchangeKind::LocalRandom if matches!(binding.destination, Destination::Exchange(_)) => {
            Err(Refusal::Unacceptable("Destination not found".to_owned()))
        }
        _ => Ok(()),
    }
}

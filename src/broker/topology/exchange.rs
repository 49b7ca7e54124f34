//! An exchange: its definition and the bindings at it.

use super::binding::Bound;
use super::direct::Direct;
use super::fanout::Fanout;
use super::headers::Headers;
use super::topic::Topic;
use crate::broker::arguments::equivalent_arguments;
use crate::broker::refusal::{Refusal, Resource};
use crate::name::Name;
use crate::value::{Table, Value};
use std::collections::HashSet;
use std::sync::Arc;

/// The argument that names the exchange for messages this one has no destination for.
pub(super) const ALTERNATE_EXCHANGE: &str = "alternate-exchange";

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
}

impl ExchangeKind {
    /// Reads a type's name.
    ///
    /// # Errors
    /// `UnknownExchangeType` for any other name. RabbitMQ checks this before anything else about a declaration.
    pub fn parse(name: &str) -> Result<ExchangeKind, Refusal> {
        match name {
            "direct" => Ok(ExchangeKind::Direct),
            "fanout" => Ok(ExchangeKind::Fanout),
            "topic" => Ok(ExchangeKind::Topic),
            "headers" => Ok(ExchangeKind::Headers),
            other => Err(Refusal::UnknownExchangeType(other.to_owned())),
        }
    }

    /// The type's name in declarations and listings.
    pub fn name(self) -> &'static str {
        match self {
            ExchangeKind::Direct => "direct",
            ExchangeKind::Fanout => "fanout",
            ExchangeKind::Topic => "topic",
            ExchangeKind::Headers => "headers",
        }
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
    /// Checks that a redeclaration asks for what exists (compat.md 1.7: only `alternate-exchange` of the arguments).
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
        equivalent_arguments(resource, &self.arguments, &received.arguments, &[ALTERNATE_EXCHANGE])
    }

    /// Checks what a new exchange's arguments must be like.
    pub(super) fn check_arguments(&self, resource: &Resource) -> Result<(), Refusal> {
        match self.arguments.get(ALTERNATE_EXCHANGE) {
            None | Some(Value::LongString(_)) => Ok(()),
            Some(other) => Err(Refusal::InvalidArgument(
                ALTERNATE_EXCHANGE.to_owned(),
                resource.clone(),
                format!("{{unacceptable_type,{}}}", other.type_name()),
            )),
        }
    }
}

/// An exchange in being.
#[derive(Debug)]
pub struct Exchange {
    spec: ExchangeSpec,
    alternate: Option<Name>,
    pub(super) router: Router,
    pub(super) outgoing: HashSet<Arc<Bound>>,
    pub(super) incoming: HashSet<Arc<Bound>>,
}

impl Exchange {
    pub(super) fn new(spec: ExchangeSpec) -> Exchange {
        // No exchange can have a name that is not text or too long: such an alternate is one that does not exist.
        let alternate = spec.arguments.get(ALTERNATE_EXCHANGE).and_then(Value::as_str).and_then(Name::new);
        let router = Router::new(&spec);
        Exchange { spec, alternate, router, outgoing: HashSet::new(), incoming: HashSet::new() }
    }

    /// The definition.
    pub fn spec(&self) -> &ExchangeSpec {
        &self.spec
    }

    /// The name.
    pub fn name(&self) -> &Name {
        &self.spec.name
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
}

impl Router {
    fn new(spec: &ExchangeSpec) -> Router {
        match spec.kind {
            _ if spec.name.as_str().is_empty() => Router::Default,
            ExchangeKind::Direct => Router::Direct(Direct::default()),
            ExchangeKind::Fanout => Router::Fanout(Fanout::default()),
            ExchangeKind::Topic => Router::Topic(Topic::default()),
            ExchangeKind::Headers => Router::Headers(Headers::default()),
        }
    }

    /// Takes up a binding that is not yet there.
    pub(super) fn add(&mut self, bound: &Arc<Bound>) {
        match self {
            Router::Default => {}
            Router::Direct(direct) => direct.add(bound),
            Router::Fanout(fanout) => fanout.add(bound),
            Router::Topic(topic) => topic.add(bound),
            Router::Headers(headers) => headers.add(bound),
        }
    }

    /// Drops a binding that is there.
    pub(super) fn remove(&mut self, bound: &Arc<Bound>) {
        match self {
            Router::Default => {}
            Router::Direct(direct) => direct.remove(bound),
            Router::Fanout(fanout) => fanout.remove(bound),
            Router::Topic(topic) => topic.remove(bound),
            Router::Headers(headers) => headers.remove(bound),
        }
    }
}

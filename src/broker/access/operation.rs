//! What a client may want to do, and what each operation needs: the table of compat.md 2.12, in RabbitMQ's order of checks.

use super::grants::Grants;
use crate::broker::refusal::{Refusal, Resource, ResourceKind};
use crate::broker::topology::Destination;
use crate::limits::SHORT_STRING_MAX;
use crate::name::Name;
use smallvec::{SmallVec, smallvec};

/// The name under which the default exchange is looked for in permissions.
const DEFAULT_EXCHANGE: &str = "amq.default";

/// Kinds of access to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To make and delete it.
    Configure,
    /// To send messages to it.
    Write,
    /// To get messages from it.
    Read,
}

impl Access {
    /// The word in texts.
    pub fn word(self) -> &'static str {
        match self {
            Access::Configure => "configure",
            Access::Write => "write",
            Access::Read => "read",
        }
    }
}

/// Whoever says what a client may do that the broker's own permissions say nothing of: a token, an outside service. An
/// answer may take its time, so none is asked for under a lock.
pub trait Authority: Send + Sync + std::fmt::Debug {
    /// Whether the client may be in a virtual host.
    fn enters(&self, vhost: &Name) -> bool;

    /// Whether it has this access to a name.
    fn permits(&self, vhost: &Name, access: Access, kind: ResourceKind, name: &str) -> bool;

    /// Whether it may use a routing key of a topic exchange.
    fn permits_topic(&self, vhost: &Name, access: Access, exchange: &str, key: &str) -> bool;

    /// Whether a new secret changes what it says (connection.update-secret).
    fn is_renewed(&self) -> bool {
        false
    }

    /// Whether its answers come from another machine, and so take their time.
    fn waits(&self) -> bool {
        false
    }
}

/// Where it stands what a client may do in a virtual host.
#[derive(Clone, Copy, Debug)]
pub enum Rights<'a> {
    /// In the broker's own permissions. None: nothing.
    Granted(Option<&'a Grants>),
    /// Somebody else says it.
    Told(&'a dyn Authority),
}

impl<'a> From<Option<&'a Grants>> for Rights<'a> {
    fn from(grants: Option<&'a Grants>) -> Rights<'a> {
        Rights::Granted(grants)
    }
}

impl Rights<'_> {
    /// Whether the client may be in the virtual host.
    pub fn enters(&self, vhost: &Name) -> bool {
        match self {
            Rights::Granted(grants) => grants.is_some_and(|grants| grants.permissions.is_some()),
            Rights::Told(authority) => authority.enters(vhost),
        }
    }

    fn permits(&self, vhost: &Name, access: Access, kind: ResourceKind, name: &str) -> bool {
        match self {
            Rights::Granted(grants) => grants.is_some_and(|grants| grants.permits(access, name)),
            Rights::Told(authority) => authority.permits(vhost, access, kind, name),
        }
    }

    fn permits_topic(&self, vhost: &Name, access: Access, exchange: &str, key: &str) -> bool {
        match self {
            Rights::Granted(grants) => grants.is_some_and(|grants| grants.permits_topic(access, exchange, key)),
            Rights::Told(authority) => authority.permits_topic(vhost, access, exchange, key),
        }
    }
}

/// What a client wants to do.
#[derive(Clone, Copy, Debug)]
pub enum Operation<'a> {
    /// exchange.declare; the alternate exchange counts only if the exchange is new.
    DeclareExchange {
        /// Its name.
        exchange: &'a str,
        /// The alternate exchange that its arguments name.
        alternate: Option<&'a str>,
    },
    /// Passive exchange.declare.
    CheckExchange(&'a str),
    /// exchange.delete.
    DeleteExchange(&'a str),
    /// queue.declare; the dead-letter exchange counts only if the queue is new.
    DeclareQueue {
        /// Its name.
        queue: &'a str,
        /// The dead-letter exchange that its arguments name.
        dead_letters: Option<&'a str>,
    },
    /// Passive queue.declare.
    CheckQueue(&'a str),
    /// queue.delete.
    DeleteQueue(&'a str),
    /// queue.bind, exchange.bind, and both kinds of unbind.
    Bind {
        /// What the binding leads to.
        destination: &'a Destination,
        /// The exchange that messages come from.
        source: &'a str,
    },
    /// A binding's key, if its source is a topic exchange.
    BindTopic {
        /// The topic exchange.
        source: &'a str,
        /// The key.
        key: &'a str,
    },
    /// basic.publish.
    Publish(&'a str),
    /// Each key of a publish, if the exchange is a topic exchange.
    PublishTopic {
        /// The topic exchange.
        exchange: &'a str,
        /// The key.
        key: &'a str,
    },
    /// basic.get.
    Get(&'a str),
    /// basic.consume.
    Consume(&'a str),
    /// queue.purge.
    Purge(&'a str),
}

/// One thing that an operation needs.
enum Need<'a> {
    Access(Access, ResourceKind, &'a str),
    /// At least one kind of access.
    Any(ResourceKind, &'a str),
    Topic(Access, &'a str, &'a str),
    /// The exchange is not the default one.
    Named(&'a str),
    /// The exchange is not one of the broker's own.
    Deletable(&'a str),
}

impl<'a> Operation<'a> {
    fn needs(self) -> SmallVec<[Need<'a>; 4]> {
        use Access::{Configure, Read, Write};
        use ResourceKind::{Exchange, Queue};
        match self {
            Operation::DeclareExchange { exchange, alternate } => {
                let mut needs = smallvec![Need::Named(exchange), Need::Access(Configure, Exchange, exchange)];
                if let Some(alternate) = alternate {
                    needs.push(Need::Access(Read, Exchange, exchange));
                    needs.push(Need::Access(Write, Exchange, alternate));
                }
                needs
            }
            Operation::CheckExchange(exchange) => smallvec![Need::Named(exchange), Need::Any(Exchange, exchange)],
            Operation::DeleteExchange(exchange) => {
                let configure = Need::Access(Configure, Exchange, exchange);
                smallvec![Need::Named(exchange), Need::Deletable(exchange), configure]
            }
            Operation::DeclareQueue { queue, dead_letters } => {
                let mut needs = smallvec![Need::Access(Configure, Queue, queue)];
                if let Some(exchange) = dead_letters {
                    needs.push(Need::Access(Read, Queue, queue));
                    needs.push(Need::Access(Write, Exchange, exchange));
                }
                needs
            }
            Operation::CheckQueue(queue) => smallvec![Need::Any(Queue, queue)],
            Operation::DeleteQueue(queue) => smallvec![Need::Access(Configure, Queue, queue)],
            Operation::Bind { destination: Destination::Queue(queue), source } => {
                let write = Need::Access(Write, Queue, queue.as_str());
                smallvec![write, Need::Named(source), Need::Access(Read, Exchange, source)]
            }
            Operation::Bind { destination: Destination::Exchange(exchange), source } => {
                let (write, named) = (Need::Access(Write, Exchange, exchange.as_str()), Need::Named(exchange.as_str()));
                smallvec![write, named, Need::Named(source), Need::Access(Read, Exchange, source)]
            }
            Operation::BindTopic { source, key } => smallvec![Need::Topic(Read, source, key)],
            Operation::Publish(exchange) => smallvec![Need::Access(Write, Exchange, exchange)],
            Operation::PublishTopic { exchange, key } => smallvec![Need::Topic(Write, exchange, key)],
            Operation::Get(queue) | Operation::Consume(queue) | Operation::Purge(queue) => {
                smallvec![Need::Access(Read, Queue, queue)]
            }
        }
    }
}

/// Whether a user with these rights may do this in the virtual host.
///
/// # Errors
/// `AccessRefused`, `TopicRefused`; `DefaultExchange` and `SystemExchange` where RabbitMQ refuses them between two checks
/// of permissions.
pub fn authorize<'a>(
    rights: impl Into<Rights<'a>>,
    user: &Name,
    vhost: &Name,
    operation: Operation<'_>,
) -> Result<(), Refusal> {
    let rights = rights.into();
    let permits = |access, kind, name: &str| {
        let name = if kind == ResourceKind::Exchange && name.is_empty() { DEFAULT_EXCHANGE } else { name };
        rights.permits(vhost, access, kind, name)
    };
    for need in operation.needs() {
        match need {
            Need::Access(access, kind, name) if !permits(access, kind, name) => {
                return Err(refused(access, kind, name, user, vhost));
            }
            Need::Any(kind, name) => {
                let all = [Access::Configure, Access::Write, Access::Read];
                if !all.into_iter().any(|access| permits(access, kind, name)) {
                    return Err(refused(Access::Configure, kind, name, user, vhost));
                }
            }
            Need::Topic(access, exchange, key) if !rights.permits_topic(vhost, access, exchange, key) => {
                return Err(Refusal::TopicRefused {
                    access: access.word(),
                    key: key.to_owned(),
                    exchange: Resource::exchange(vhost, &named(exchange)),
                    user: user.clone(),
                });
            }
            Need::Named("") => return Err(Refusal::DefaultExchange),
            Need::Deletable(exchange) if exchange.starts_with("amq.") => {
                return Err(Refusal::SystemExchange(Resource::exchange(vhost, &named(exchange))));
            }
            Need::Access(..) | Need::Topic(..) | Need::Named(_) | Need::Deletable(_) => {}
        }
    }
    Ok(())
}

fn refused(access: Access, kind: ResourceKind, name: &str, user: &Name, vhost: &Name) -> Refusal {
    let is_default = kind == ResourceKind::Exchange && name.is_empty();
    let name = named(if is_default { DEFAULT_EXCHANGE } else { name });
    let resource = Resource { kind, name, vhost: vhost.clone() };
    Refusal::AccessRefused { access: access.word(), resource, user: user.clone() }
}

/// A name for a text. Names come from short strings, so that none is too long.
fn named(name: &str) -> Name {
    let end = name.floor_char_boundary(SHORT_STRING_MAX);
    name.get(..end).and_then(Name::new).unwrap_or_default()
}

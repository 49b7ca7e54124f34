//! The domain's "no". Protocols map a [`Refusal`] to their own codes; the text is RabbitMQ's (compat.md 1.4).

use crate::name::Name;
use std::fmt;

/// A resource as RabbitMQ prints it: `queue 'q' in vhost '/'`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// What it is.
    pub kind: ResourceKind,
    /// Its name.
    pub name: Name,
    /// The virtual host it is in.
    pub vhost: Name,
}

/// Kinds of named resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResourceKind {
    /// An exchange.
    Exchange,
    /// A queue.
    Queue,
}

impl ResourceKind {
    /// The word RabbitMQ uses in texts.
    pub fn word(self) -> &'static str {
        match self {
            ResourceKind::Exchange => "exchange",
            ResourceKind::Queue => "queue",
        }
    }
}

impl Resource {
    /// A queue of a virtual host.
    pub fn queue(vhost: &Name, name: &Name) -> Resource {
        Resource { kind: ResourceKind::Queue, name: name.clone(), vhost: vhost.clone() }
    }

    /// An exchange of a virtual host.
    pub fn exchange(vhost: &Name, name: &Name) -> Resource {
        Resource { kind: ResourceKind::Exchange, name: name.clone(), vhost: vhost.clone() }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} '{}' in vhost '{}'", self.kind.word(), self.name, self.vhost)
    }
}

/// What a refusal is about: protocols have a code for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// What is named is not there.
    NotFound,
    /// The client may not be here, or be more.
    NotAllowed,
    /// Somebody else has it.
    Locked,
    /// The client may not do this.
    Refused,
    /// What there is, or what was sent, does not fit.
    Unfit,
    /// Nobody can do this.
    NotImplemented,
    /// Not now.
    Unavailable,
}

/// Why the domain refuses an operation. `Display` gives the explanation without the code's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The exchange or queue does not exist.
    NotFound(Resource),
    /// A queue name was left empty and the channel has declared none.
    NoQueueDeclared,
    /// The virtual host does not exist.
    VhostNotFound(String),
    /// The user has no permissions in the virtual host.
    VhostRefused(Name, Name),
    /// The user does not exist.
    NoSuchUser(String),
    /// The user has not this permission for the resource.
    AccessRefused {
        /// `configure`, `write` or `read`.
        access: &'static str,
        /// What it is for; the default exchange is `amq.default` here.
        resource: Resource,
        /// The user.
        user: Name,
    },
    /// The user has not this permission for a key of a topic exchange.
    TopicRefused {
        /// `write` or `read`.
        access: &'static str,
        /// The routing key.
        key: String,
        /// The topic exchange.
        exchange: Resource,
        /// The user.
        user: Name,
    },
    /// There are as many connections or channels as there may be; RabbitMQ's explanation.
    LimitReached(String),
    /// There are as many queues in the virtual host as there may be: the queue, how many.
    QueueLimit(Resource, u64),
    /// There are as many virtual hosts, queues or exchanges on the node as there may be; RabbitMQ's explanation.
    NodeLimit(String),
    /// A regular expression that is none: the expression, what is wrong with it.
    InvalidPattern(String, String),
    /// The virtual host is protected from deletion.
    ProtectedVhost(Name),
    /// A declaration differs from what exists.
    Inequivalent {
        /// The object that exists.
        resource: Resource,
        /// The property or argument that differs.
        arg: String,
        /// What differs, as RabbitMQ words it: `received 'false' but current is 'true'`.
        difference: String,
    },
    /// The exchange type is not known.
    UnknownExchangeType(String),
    /// A delaying exchange does not say, or wrongly, as what type it routes; RabbitMQ's words.
    DelayedType(&'static str),
    /// Names that begin with `amq.` are the broker's.
    ReservedName(ResourceKind, Name),
    /// A predeclared exchange cannot be deleted.
    SystemExchange(Resource),
    /// The default exchange cannot be declared, deleted or bound.
    DefaultExchange,
    /// Clients cannot publish to an internal exchange.
    InternalExchange(Resource),
    /// The queue is exclusive to another connection.
    Locked(Resource),
    /// `basic.get` of a quorum queue that serves a single active consumer.
    NoGet(Resource),
    /// The queue's messages on disk cannot be read; what is wrong with them.
    Damaged(Resource, String),
    /// A consumer has, or asks for, exclusive use of the queue.
    ExclusiveUse(Resource),
    /// `if-unused`: the object is in use.
    InUse(Resource),
    /// `if-empty`: the queue holds messages.
    NotEmpty(Resource),
    /// An argument's value is not acceptable: the argument, the object, RabbitMQ's reason (`{value_zero,0}`).
    InvalidArgument(String, Resource, String),
    /// An argument that names an exchange is no text: the type it has, the argument, the object.
    ArgumentType(&'static str, &'static str, Resource),
    /// An argument that the queue's type does not take: the argument, the queue, RabbitMQ's name of the type.
    ForeignArgument(String, Resource, &'static str),
    /// A flag that the queue's type does not take.
    InvalidProperty(&'static str, Resource),
    /// The broker cannot invent the name of a queue of this type.
    ServerNamed(&'static str),
    /// A headers binding's `x-match` is not one of the four; the value as printed.
    InvalidXMatch(String),
    /// An exchange or binding asks for what its type does not offer; RabbitMQ's explanation.
    Unacceptable(String),
    /// A message's content is not acceptable; RabbitMQ's explanation.
    InvalidMessage(String),
    /// The feature is not offered; the explanation.
    NotImplemented(String),
    /// The node cannot take the operation now (stopping, storage failed).
    Unavailable(String),
}

impl Refusal {
    /// What it is about.
    pub fn kind(&self) -> RefusalKind {
        match self {
            Refusal::NotFound(_) | Refusal::NoQueueDeclared | Refusal::Damaged(..) => RefusalKind::NotFound,
            Refusal::VhostNotFound(_) | Refusal::VhostRefused(..) | Refusal::LimitReached(_) => RefusalKind::NotAllowed,
            Refusal::Locked(_) | Refusal::NoGet(_) => RefusalKind::Locked,
            Refusal::AccessRefused { .. }
            | Refusal::TopicRefused { .. }
            | Refusal::ReservedName(..)
            | Refusal::SystemExchange(_)
            | Refusal::DefaultExchange
            | Refusal::InternalExchange(_)
            | Refusal::ExclusiveUse(_) => RefusalKind::Refused,
            Refusal::Inequivalent { .. }
            | Refusal::UnknownExchangeType(_)
            | Refusal::DelayedType(_)
            | Refusal::InUse(_)
            | Refusal::NotEmpty(_)
            | Refusal::InvalidArgument(..)
            | Refusal::ArgumentType(..)
            | Refusal::ForeignArgument(..)
            | Refusal::InvalidProperty(..)
            | Refusal::ServerNamed(_)
            | Refusal::InvalidXMatch(_)
            | Refusal::QueueLimit(..)
            | Refusal::NodeLimit(_)
            | Refusal::NoSuchUser(_)
            | Refusal::InvalidPattern(..)
            | Refusal::ProtectedVhost(_)
            | Refusal::Unacceptable(_)
            | Refusal::InvalidMessage(_) => RefusalKind::Unfit,
            Refusal::NotImplemented(_) => RefusalKind::NotImplemented,
            Refusal::Unavailable(_) => RefusalKind::Unavailable,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NotFound(resource) => write!(f, "no {resource}"),
            Refusal::NoQueueDeclared => f.write_str("no previously declared queue"),
            Refusal::VhostNotFound(vhost) => write!(f, "vhost {vhost} not found"),
            Refusal::VhostRefused(vhost, user) => write!(f, "access to vhost '{vhost}' refused for user '{user}'"),
            Refusal::NoSuchUser(user) => write!(f, "user '{user}' does not exist"),
            Refusal::AccessRefused { access, resource, user } => {
                write!(f, "{access} access to {resource} refused for user '{user}'")
            }
            Refusal::TopicRefused { access, key, exchange, user } => {
                write!(f, "{access} access to topic '{key}' in {exchange} refused for user '{user}'")
            }
            Refusal::QueueLimit(Resource { name, vhost, .. }, limit) => {
                write!(f, "cannot declare queue '{name}': queue limit in vhost '{vhost}' ({limit}) is reached")
            }
            Refusal::InvalidPattern(pattern, fault) => write!(f, "invalid regular expression '{pattern}': {fault}"),
            Refusal::ProtectedVhost(vhost) => {
                write!(f, "Cannot delete vhost '{vhost}' because it is protected from deletion")
            }
            Refusal::Inequivalent { resource, arg, difference } => {
                write!(f, "inequivalent arg '{arg}' for {resource}: {difference}")
            }
            Refusal::UnknownExchangeType(kind) => write!(f, "unknown exchange type '{kind}'"),
            Refusal::DelayedType(reason) => write!(f, "Invalid argument, {reason}"),
            Refusal::ReservedName(kind, name) => {
                write!(f, "{} name '{name}' contains reserved prefix 'amq.*'", kind.word())
            }
            Refusal::SystemExchange(resource) => write!(f, "deletion of system {resource} not allowed"),
            Refusal::DefaultExchange => f.write_str("operation not permitted on the default exchange"),
            Refusal::InternalExchange(resource) => {
                write!(f, "cannot publish to internal {resource}")
            }
            Refusal::Locked(resource) => write!(
                f,
                "cannot obtain exclusive access to locked {resource}. It could be originally declared on another \
                 connection or the exclusive property value does not match that of the original declaration."
            ),
            Refusal::NoGet(resource) => write!(
                f,
                "cannot obtain access to locked {resource}. basic.get operations are not supported by quorum queues with \
                 single active consumer"
            ),
            Refusal::Damaged(resource, damage) => {
                write!(f, "{resource} has messages that cannot be read: purge or delete it ({damage})")
            }
            Refusal::ExclusiveUse(resource) => write!(f, "{resource} in exclusive use"),
            Refusal::InUse(resource) => write!(f, "{resource} in use"),
            Refusal::NotEmpty(resource) => write!(f, "{resource} not empty"),
            Refusal::InvalidArgument(arg, resource, reason) => {
                write!(f, "invalid arg '{arg}' for {resource}: {reason}")
            }
            Refusal::ArgumentType(kind, arg, resource) => {
                write!(f, "invalid type '{kind}' for arg '{arg}' in {resource}")
            }
            Refusal::ForeignArgument(arg, resource, kind) => {
                write!(f, "invalid arg '{arg}' for {resource} of queue type {kind}")
            }
            Refusal::InvalidProperty(property, resource) => write!(f, "invalid property '{property}' for {resource}"),
            Refusal::ServerNamed(kind) => write!(f, "Cannot declare a server-named queue for type {kind}"),
            Refusal::InvalidXMatch(value) => write!(f, "Invalid x-match field value {value}"),
            Refusal::Unacceptable(reason)
            | Refusal::InvalidMessage(reason)
            | Refusal::LimitReached(reason)
            | Refusal::NodeLimit(reason)
            | Refusal::NotImplemented(reason)
            | Refusal::Unavailable(reason) => f.write_str(reason),
        }
    }
}

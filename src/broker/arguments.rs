//! Arguments of queue declarations: which a queue type takes, what they may be, and when two declarations are the same
//! (compat.md 1.4, 1.8, 2.9).

use super::queue::{PRIORITY_MAX, QueueKind};
use super::refusal::{Refusal, Resource};
use crate::value::{Table, Value};

/// The argument that names a queue's type.
pub const QUEUE_TYPE: &str = "x-queue-type";
/// The type of queues whose declaration names none, unless told otherwise.
const CLASSIC_NAME: &str = "classic";
const CLASSIC: &[u8] = CLASSIC_NAME.as_bytes();
/// Longest time in milliseconds that an argument may give: 10 years (compat.md 0, row 16).
pub const TIME_MAX: i64 = 315_360_000_000;

/// What an argument may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// An integer of at least 0.
    Count,
    /// The same, at most 255.
    Priority,
    /// Milliseconds, at least 0.
    Time,
    /// Milliseconds, at least 1.
    Lease,
    /// An integer of at least 1.
    Positive,
    /// Any integer.
    Integer,
    /// Yes or no.
    Bool,
    /// Text.
    Text,
    /// Text that needs `x-dead-letter-exchange` beside it.
    DeadLetterKey,
    /// One of these words; else this reason.
    Word(&'static [&'static str], &'static str),
    /// 2, the only version there is.
    Version,
    /// A number and a unit of time.
    Age,
}

/// Queue types that take an argument: classic, quorum, stream.
type Takers = [bool; 3];
const CLASSIC_ONLY: Takers = [true, false, false];
const QUORUM_ONLY: Takers = [false, true, false];
const STREAM_ONLY: Takers = [false, false, true];
const QUEUES: Takers = [true, true, false];
const ALL: Takers = [true, true, true];

const OVERFLOWS: &[&str] = &["drop-head", "reject-publish", "reject-publish-dlx"];
const LOCATORS: &[&str] = &["client-local", "balanced", "random", "least-leaders"];
const STRATEGIES: &[&str] = &["at-most-once", "at-least-once"];
const RETRIES: &[&str] = &["disabled", "all", "failed", "returned"];

/// Every known argument, in the order in which RabbitMQ looks at them.
const ARGUMENTS: &[(&str, Shape, Takers)] = &[
    ("x-expires", Shape::Lease, QUEUES),
    ("x-message-ttl", Shape::Time, QUEUES),
    ("x-dead-letter-exchange", Shape::Text, QUEUES),
    ("x-dead-letter-routing-key", Shape::DeadLetterKey, QUEUES),
    ("x-dead-letter-strategy", Shape::Word(STRATEGIES, "invalid_dlx_strategy"), QUORUM_ONLY),
    ("x-max-length", Shape::Count, QUEUES),
    ("x-max-length-bytes", Shape::Count, ALL),
    ("x-max-in-memory-length", Shape::Count, QUORUM_ONLY),
    ("x-max-in-memory-bytes", Shape::Count, QUORUM_ONLY),
    ("x-max-priority", Shape::Priority, CLASSIC_ONLY),
    ("x-overflow", Shape::Word(OVERFLOWS, "invalid_overflow"), QUEUES),
    ("x-queue-mode", Shape::Text, CLASSIC_ONLY),
    ("x-queue-version", Shape::Version, CLASSIC_ONLY),
    ("x-single-active-consumer", Shape::Bool, QUEUES),
    ("x-delivery-limit", Shape::Integer, QUORUM_ONLY),
    ("x-delayed-retry-type", Shape::Word(RETRIES, "invalid_delayed_retry_type"), QUORUM_ONLY),
    ("x-delayed-retry-min", Shape::Time, QUORUM_ONLY),
    ("x-delayed-retry-max", Shape::Time, QUORUM_ONLY),
    ("x-consumer-timeout", Shape::Time, QUEUES),
    ("x-consumer-disconnected-timeout", Shape::Time, QUORUM_ONLY),
    ("x-quorum-initial-group-size", Shape::Positive, QUORUM_ONLY),
    ("x-quorum-target-group-size", Shape::Positive, QUORUM_ONLY),
    ("x-initial-cluster-size", Shape::Positive, STREAM_ONLY),
    ("x-max-age", Shape::Age, STREAM_ONLY),
    ("x-stream-max-segment-size-bytes", Shape::Count, STREAM_ONLY),
    ("x-stream-filter-size-bytes", Shape::Count, STREAM_ONLY),
    ("x-message-deduplication", Shape::Bool, QUEUES),
    ("x-cache-size", Shape::Positive, QUEUES),
    ("x-cache-ttl", Shape::Lease, QUEUES),
    ("x-deduplication-header", Shape::Text, QUEUES),
    ("x-queue-leader-locator", Shape::Word(LOCATORS, "invalid_queue_locator_arg"), ALL),
    ("x-queue-master-locator", Shape::Text, CLASSIC_ONLY),
];

/// The flags of a queue declaration that not every type takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueFlags {
    /// Survives a restart.
    pub durable: bool,
    /// Belongs to a connection.
    pub exclusive: bool,
    /// Goes with its last consumer.
    pub auto_delete: bool,
}

/// The type of a declared queue.
///
/// # Errors
/// `InvalidArgument` for a type that is none, `NotImplemented` for streams.
pub fn queue_kind(arguments: &Table, queue: &Resource) -> Result<QueueKind, Refusal> {
    let invalid = |reason| Err(Refusal::InvalidArgument(QUEUE_TYPE.to_owned(), queue.clone(), reason));
    match arguments.get(QUEUE_TYPE) {
        None => Ok(QueueKind::Classic),
        Some(Value::LongString(name)) => match name.as_slice() {
            CLASSIC => Ok(QueueKind::Classic),
            b"quorum" => Ok(QueueKind::Quorum),
            b"stream" => Err(Refusal::NotImplemented(format!(
                "cannot declare {queue}: queue type 'stream' is not supported, use 'classic' or 'quorum'"
            ))),
            other => invalid(format!("\"unsupported queue type '{}'\"", String::from_utf8_lossy(other))),
        },
        Some(other) => invalid(format!("{{unacceptable_type,{}}}", other.type_name())),
    }
}

/// Names the type in arguments that name none: `default`, or classic where a queue with these flags cannot have it
/// (compat.md 1.8).
pub fn with_queue_type(mut arguments: Table, flags: QueueFlags, default: &str) -> Table {
    if arguments.get(QUEUE_TYPE).is_none() {
        let fits = flags.durable && !flags.exclusive && !flags.auto_delete;
        arguments.insert(QUEUE_TYPE, if fits { default } else { CLASSIC_NAME });
    }
    arguments
}

/// Checks the declaration of a new queue in RabbitMQ's order: its type, the values of what the type takes, what it does not
/// take, its flags.
///
/// # Errors
/// As RabbitMQ: `NotImplemented`, `InvalidArgument`, `ForeignArgument`, `InvalidProperty`.
pub fn check_queue(arguments: &Table, flags: QueueFlags, queue: &Resource) -> Result<QueueKind, Refusal> {
    let kind = queue_kind(arguments, queue)?;
    for (key, shape, _) in ARGUMENTS.iter().filter(|(_, _, takers)| takes(*takers, kind)) {
        if let Some(value) = arguments.get(*key) {
            let checked = shape.check(value, arguments);
            checked.map_err(|reason| Refusal::InvalidArgument((*key).to_owned(), queue.clone(), reason))?;
        }
    }
    let foreign: Vec<&str> =
        ARGUMENTS.iter().filter(|(_, _, takers)| !takes(*takers, kind)).map(|(key, ..)| *key).collect();
    check_foreign(arguments, &foreign, kind, queue)?;
    if kind == QueueKind::Quorum {
        let wrong =
            [(flags.auto_delete, "auto-delete"), (flags.exclusive, "exclusive-owner"), (!flags.durable, "non-durable")];
        if let Some((_, property)) = wrong.into_iter().find(|(wrong, _)| *wrong) {
            return Err(Refusal::InvalidProperty(property, queue.clone()));
        }
    }
    Ok(kind)
}

/// Whether the broker may invent the name of such a queue: asked before anything else.
///
/// # Errors
/// `ServerNamed`.
pub fn check_server_named(arguments: &Table, queue: &Resource) -> Result<(), Refusal> {
    match queue_kind(arguments, queue) {
        Ok(QueueKind::Quorum) => Err(Refusal::ServerNamed("quorum")),
        _ => Ok(()),
    }
}

/// Arguments of consumers that only a stream takes.
const STREAM_CONSUMERS: &[&str] = &["x-stream-offset", "x-stream-filter", "x-stream-match-unfiltered"];

/// What a consumer's arguments say (compat.md 1.9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConsumerArguments {
    /// `x-priority`.
    pub priority: i64,
    /// `x-consumer-timeout`, in milliseconds.
    pub timeout: Option<u64>,
}

/// Checks the arguments of a consumer of a queue of this type.
///
/// # Errors
/// As RabbitMQ: `InvalidArgument`, `ForeignArgument`.
pub fn check_consumer(arguments: &Table, kind: QueueKind, queue: &Resource) -> Result<ConsumerArguments, Refusal> {
    let integer = |key: &str, shape: Shape| match arguments.get(key) {
        None => Ok(None),
        Some(value) => {
            let checked = shape.check(value, arguments);
            checked.map_err(|reason| Refusal::InvalidArgument(key.to_owned(), queue.clone(), reason))?;
            Ok(value.as_integer())
        }
    };
    let priority = integer("x-priority", Shape::Integer)?.unwrap_or(0);
    let timeout = integer("x-consumer-timeout", Shape::Time)?.and_then(|ms| u64::try_from(ms).ok());
    check_foreign(arguments, STREAM_CONSUMERS, kind, queue)?;
    Ok(ConsumerArguments { priority, timeout })
}

/// Refuses the first of the arguments given that belongs to another type.
fn check_foreign(arguments: &Table, foreign: &[&str], kind: QueueKind, queue: &Resource) -> Result<(), Refusal> {
    let mut keys = arguments.iter().filter_map(|(key, _)| key.as_str());
    match keys.find(|key| foreign.contains(key)) {
        Some(key) => Err(Refusal::ForeignArgument(key.to_owned(), queue.clone(), type_name(kind))),
        None => Ok(()),
    }
}

fn takes(takers: Takers, kind: QueueKind) -> bool {
    let [classic, quorum, _] = takers;
    match kind {
        QueueKind::Classic => classic,
        QueueKind::Quorum => quorum,
    }
}

fn type_name(kind: QueueKind) -> &'static str {
    match kind {
        QueueKind::Classic => "rabbit_classic_queue",
        QueueKind::Quorum => "rabbit_quorum_queue",
    }
}

impl Shape {
    /// RabbitMQ's reason if the value has not this shape.
    fn check(self, value: &Value, arguments: &Table) -> Result<(), String> {
        match self {
            Shape::Bool => value.as_bool().map(|_| ()).ok_or_else(|| unacceptable(value)),
            Shape::Text => text(value).map(|_| ()),
            Shape::DeadLetterKey => {
                text(value)?;
                let exchange = arguments.get("x-dead-letter-exchange");
                exchange.map(|_| ()).ok_or_else(|| "routing_key_but_no_dlx_defined".to_owned())
            }
            Shape::Word(words, reason) => {
                let given = text(value)?;
                let known = words.iter().any(|word| word.as_bytes() == given);
                if known { Ok(()) } else { Err(reason.to_owned()) }
            }
            Shape::Age => age(text(value)?),
            _ => self.check_integer(value),
        }
    }

    fn check_integer(self, value: &Value) -> Result<(), String> {
        let number = value.as_integer();
        let number = number.ok_or_else(|| format!("\"expected integer, got {}\"", value.type_name()))?;
        let zero_is_wrong = matches!(self, Shape::Lease | Shape::Positive);
        let max = match self {
            Shape::Time | Shape::Lease => TIME_MAX,
            Shape::Priority => i64::from(PRIORITY_MAX),
            _ => i64::MAX,
        };
        match number {
            number if self == Shape::Version && number != 2 => Err("invalid_queue_version".to_owned()),
            0 if zero_is_wrong => Err("{value_zero,0}".to_owned()),
            number if number < 0 && self != Shape::Integer => Err(format!("{{value_negative,{number}}}")),
            number if number <= max => Ok(()),
            number if self == Shape::Priority => Err(format!("{{max_value_exceeded,{number}}}")),
            number => Err(format!("{{value_too_big,{number}}}")),
        }
    }
}

fn text(value: &Value) -> Result<&[u8], String> {
    value.as_long_string().ok_or_else(|| unacceptable(value))
}

fn unacceptable(value: &Value) -> String {
    format!("{{unacceptable_type,{}}}", value.type_name())
}

/// `<number><Y|M|D|h|m|s>`
fn age(text: &[u8]) -> Result<(), String> {
    let valid = text.split_last().is_some_and(|(unit, number)| {
        b"YMDhms".contains(unit) && !number.is_empty() && number.iter().all(u8::is_ascii_digit) && number != b"0"
    });
    if valid { Ok(()) } else { Err("invalid_max_age".to_owned()) }
}

/// Checks that a redeclaration of a queue repeats the arguments that its type knows. Queue type `classic` equals none.
///
/// # Errors
/// `Inequivalent` for the first that differs.
pub fn equivalent_queue(resource: &Resource, existing: &Table, received: &Table) -> Result<(), Refusal> {
    let kind = queue_kind(existing, resource)?;
    let taken = ARGUMENTS.iter().filter(|(_, _, takers)| takes(*takers, kind)).map(|(key, ..)| *key);
    let keys: Vec<&str> = std::iter::once(QUEUE_TYPE).chain(taken).collect();
    equivalent_arguments(resource, existing, received, &keys)
}

/// Checks that the arguments `keys` of a redeclaration equal those of what exists. Queue type `classic` equals none.
///
/// # Errors
/// `Inequivalent` for the first that differs, worded as RabbitMQ does (compat.md 1.4).
pub fn equivalent_arguments(
    resource: &Resource,
    existing: &Table,
    received: &Table,
    keys: &[&str],
) -> Result<(), Refusal> {
    for key in keys {
        let (received, current) = match (received.get(*key), existing.get(*key)) {
            (None, None) => continue,
            (Some(received), Some(current)) if received.equivalent(current) => continue,
            (Some(one), None) | (None, Some(one)) if *key == QUEUE_TYPE && one.as_long_string() == Some(CLASSIC) => {
                continue;
            }
            (Some(received), Some(current)) => (format!("'{received}'"), format!("'{current}'")),
            (received, current) => (or_none(received), or_none(current)),
        };
        let difference = format!("received {received} but current is {current}");
        return Err(Refusal::Inequivalent { resource: resource.clone(), arg: (*key).to_owned(), difference });
    }
    Ok(())
}

fn or_none(value: Option<&Value>) -> String {
    match value {
        None => "none".to_owned(),
        Some(value) => format!("the value '{value}' of type '{}'", value.type_name()),
    }
}

#[cfg(test)]
#[path = "arguments/tests.rs"]
mod tests;

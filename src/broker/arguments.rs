//! Typed arguments of declarations, and when two declarations' arguments are the same.

use super::refusal::{Refusal, Resource};
use crate::value::{Table, Value};

/// The argument that names a queue's type.
const QUEUE_TYPE: &str = "x-queue-type";

/// The type of a queue whose declaration names none.
const CLASSIC: &[u8] = b"classic";

/// The arguments that a redeclaration of a classic queue must repeat (compat.md 1.8, 2.9); others are not compared.
pub const CLASSIC_QUEUE_ARGUMENTS: &[&str] = &[
    "x-expires",
    "x-message-ttl",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-priority",
    "x-overflow",
    "x-queue-mode",
    "x-queue-version",
    "x-single-active-consumer",
    QUEUE_TYPE,
    "x-queue-master-locator",
    "x-queue-leader-locator",
];

/// The arguments of a queue declaration, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueArguments {
    raw: Table,
}

impl QueueArguments {
    /// Checks the arguments of a declaration of `queue`.
    ///
    /// # Errors
    /// `InvalidArgument` with RabbitMQ's reason; `NotImplemented` for the queue types that this broker does not have.
    pub fn parse(arguments: &Table, queue: &Resource) -> Result<QueueArguments, Refusal> {
        check_queue_type(arguments, queue)?;
        Ok(QueueArguments { raw: arguments.clone() })
    }

    /// The arguments as they were declared, unknown ones included.
    pub fn raw(&self) -> &Table {
        &self.raw
    }
}

fn check_queue_type(arguments: &Table, queue: &Resource) -> Result<(), Refusal> {
    let invalid = |reason| Err(Refusal::InvalidArgument(QUEUE_TYPE.to_owned(), queue.clone(), reason));
    match arguments.get(QUEUE_TYPE) {
        None => Ok(()),
        Some(Value::LongString(name)) => match name.as_slice() {
            CLASSIC => Ok(()),
            b"quorum" | b"stream" => Err(Refusal::NotImplemented(format!(
                "cannot declare {queue}: queue type '{}' is not supported, use 'classic'",
                String::from_utf8_lossy(name)
            ))),
            other => invalid(format!("\"unsupported queue type '{}'\"", String::from_utf8_lossy(other))),
        },
        Some(other) => invalid(format!("{{unacceptable_type,{}}}", other.type_name())),
    }
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

//! RabbitMQ's definitions.json (compat.md 2.14), read when the node starts: what it names is made, nothing is deleted.
//!
//! - [`file`]: the file as checked types, so that a faulty one changes nothing. [`json`]: reading JSON with its places. [`absent`]: what
//!   it names that is not there.
//! - [`export`]: the same shapes, of what there is.
//! - [`import`]: making what is named, in RabbitMQ's order.
//! - [`source`]: what is imported when the node starts.

mod absent;
pub mod export;
pub mod file;
pub mod import;
mod json;
pub mod source;
#[cfg(test)]
mod source_tests;
#[cfg(test)]
mod tests;

pub use file::Definitions;
pub use import::import;
pub use json::Fault;
pub use source::Sources;

use std::fmt;

/// The global parameter that holds the hash of what was imported at a start, as in RabbitMQ. It is the node's own: it is
/// neither exported nor imported.
const HASH_PARAMETER: &str = "imported_definition_hash_value";

/// What is wrong with definitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefinitionsError {
    /// The file, or the address they are fetched from.
    pub origin: String,
    /// Where in it: `users[2].name`; empty for the whole file.
    pub place: String,
    /// What is wrong there.
    pub problem: String,
}

impl DefinitionsError {
    /// A fault of what is from there.
    pub fn new(origin: &str, fault: Fault) -> DefinitionsError {
        DefinitionsError { origin: origin.to_owned(), place: fault.place, problem: fault.problem }
    }
}

impl fmt::Display for DefinitionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let colon = if self.place.is_empty() { "" } else { ": " };
        write!(f, "{}: {}{colon}{}", self.origin, self.place, self.problem)
    }
}

impl std::error::Error for DefinitionsError {}

//! RabbitMQ's definitions.json (compat.md 2.14), read when the node starts: what it names is made, nothing is deleted.
//!
//! - [`file`]: the file as checked types, so that a faulty one changes nothing. [`json`]: reading JSON with its places.
//! - [`export`]: the same shapes, of what there is.
//! - [`import`]: making what is named, in RabbitMQ's order.

pub mod export;
pub mod file;
pub mod import;
mod json;
#[cfg(test)]
mod tests;

pub use file::Definitions;
pub use import::import;
pub use json::Fault;

use std::fmt;
use std::path::{Path, PathBuf};

/// What is wrong with a definitions file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefinitionsError {
    /// The file.
    pub file: PathBuf,
    /// Where in it: `users[2].name`; empty for the whole file.
    pub place: String,
    /// What is wrong there.
    pub problem: String,
}

impl DefinitionsError {
    /// A fault of this file.
    pub fn new(file: &Path, fault: Fault) -> DefinitionsError {
        DefinitionsError { file: file.to_path_buf(), place: fault.place, problem: fault.problem }
    }
}

impl fmt::Display for DefinitionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let colon = if self.place.is_empty() { "" } else { ": " };
        write!(f, "{}: {}{colon}{}", self.file.display(), self.place, self.problem)
    }
}

impl std::error::Error for DefinitionsError {}

/// Reads and checks a definitions file.
///
/// # Errors
/// It cannot be read, is no JSON, or not what RabbitMQ exports of a whole broker.
pub fn read(path: &Path) -> Result<Definitions, DefinitionsError> {
    let whole = |problem| DefinitionsError::new(path, Fault { place: String::new(), problem });
    let text = std::fs::read(path).map_err(|fault| whole(format!("cannot be read: {fault}")))?;
    Definitions::parse(&text).map_err(|fault| DefinitionsError::new(path, fault))
}

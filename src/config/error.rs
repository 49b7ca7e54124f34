//! Why a configuration was refused, in the words the operator reads.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A line of the configuration file, counted from 1.
    File(PathBuf, usize),
    /// An environment variable.
    Variable(String),
    /// A command line option.
    Option(&'static str),
    /// The declaration itself.
    Default,
}

/// A configuration that was refused. Prints as one line: the place, the key, what was expected, what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    origin: Origin,
    text: String,
}

impl ConfigError {
    /// A value of the wrong type, form or size.
    pub(super) fn value(origin: Origin, key: &str, expected: String, found: String) -> ConfigError {
        let text = format!("expected {expected}, found {found}");
        match origin {
            Origin::File(..) | Origin::Default => ConfigError { origin, text: format!("{key}: {text}") },
            Origin::Variable(_) | Origin::Option(_) => ConfigError { origin, text },
        }
    }

    /// A key, section or variable that does not exist.
    pub(super) fn unknown(origin: Origin, what: String, nearest: Option<String>) -> ConfigError {
        let hint = nearest.map(|known| format!("; did you mean {known}?")).unwrap_or_default();
        ConfigError { origin, text: format!("{what}{hint}") }
    }

    /// A setting that is wrong without another.
    pub(super) fn needs(origin: Origin, key: &str, other: &str) -> ConfigError {
        let text = match origin {
            Origin::File(..) | Origin::Default => format!("{key}: needs {other}"),
            Origin::Variable(_) | Origin::Option(_) => format!("needs {other}"),
        };
        ConfigError { origin, text }
    }

    /// Anything else.
    pub(super) fn other(origin: Origin, text: String) -> ConfigError {
        ConfigError { origin, text }
    }

    /// Whether the fault is in the command line.
    pub fn is_usage(&self) -> bool {
        matches!(self.origin, Origin::Option(_))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Line 0: the file as a whole.
            Origin::File(path, 0) => write!(f, "{}", path.display()),
            Origin::File(path, line) => write!(f, "{}:{line}", path.display()),
            Origin::Variable(name) => f.write_str(name),
            Origin::Option(name) => f.write_str(name),
            Origin::Default => f.write_str("default"),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Default => write!(f, "default of {}", self.text),
            origin => write!(f, "{origin}: {}", self.text),
        }
    }
}

impl std::error::Error for ConfigError {}

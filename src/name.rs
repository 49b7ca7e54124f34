//! Names: of virtual hosts, exchanges, queues, users. A name fits an AMQP short string (at most 255 bytes of UTF-8).

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// A name of at most [`crate::limits::SHORT_STRING_MAX`] bytes, cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

impl Name {
    /// Takes `text` as a name. None when it is longer than a short string can be.
    pub fn new(text: &str) -> Option<Name> {
        (text.len() <= crate::limits::SHORT_STRING_MAX).then(|| Name(Arc::from(text)))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The empty name.
impl Default for Name {
    fn default() -> Name {
        Name(Arc::from(""))
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

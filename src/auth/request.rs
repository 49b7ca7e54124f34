//! A client that wants to log in.

use crate::broker::access::User;
use std::sync::Arc;

/// Who a client says it is, and by what.
#[derive(Clone, PartialEq, Eq)]
pub enum Claim {
    /// A name and a password, or what stands for one.
    Password {
        /// The name.
        name: String,
        /// The password as it was sent.
        password: Vec<u8>,
    },
    /// A new token for a client that has logged in by one.
    Renewal {
        /// The name it is logged in by, which must be the new token's.
        name: String,
        /// The token.
        token: Vec<u8>,
    },
    /// A name that its certificate proves.
    Certificate {
        /// The name.
        name: String,
    },
}

impl Claim {
    /// The name.
    pub fn name(&self) -> &str {
        match self {
            Claim::Password { name, .. } | Claim::Renewal { name, .. } | Claim::Certificate { name } => name,
        }
    }
}

/// Without the password, so that no log can hold it.
impl std::fmt::Debug for Claim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Claim({})", self.name())
    }
}

/// A login that is to be decided.
#[derive(Clone, Debug)]
pub struct Request {
    /// Who the client says it is.
    pub claim: Claim,
    /// The broker's user of that name, if there is one.
    pub user: Option<Arc<User>>,
    /// The client is on this machine.
    pub loopback: bool,
    /// Where it comes from, `host:port`.
    pub peer: String,
}

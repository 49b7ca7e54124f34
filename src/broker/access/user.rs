//! Users as they are stored.

use super::operation::Authority;
use crate::name::Name;
use std::sync::Arc;

/// How a password is hashed (compat.md 2.13).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HashAlgorithm {
    /// SHA-256, what RabbitMQ takes unless told otherwise.
    #[default]
    Sha256,
    /// SHA-512.
    Sha512,
    /// MD5: of users that are as old as RabbitMQ 3.5.
    Md5,
    /// Argon2id, which RabbitMQ does not know.
    Argon2id,
}

impl HashAlgorithm {
    const NAMES: [(HashAlgorithm, &'static str); 4] = [
        (HashAlgorithm::Sha256, "rabbit_password_hashing_sha256"),
        (HashAlgorithm::Sha512, "rabbit_password_hashing_sha512"),
        (HashAlgorithm::Md5, "rabbit_password_hashing_md5"),
        (HashAlgorithm::Argon2id, "warren_password_hashing_argon2id"),
    ];

    /// The name in definitions.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(algorithm, _)| *algorithm == self).map_or("", |(_, name)| name)
    }

    /// The algorithm of a name.
    pub fn parse(name: &str) -> Option<HashAlgorithm> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(algorithm, _)| *algorithm)
    }
}

/// A password as it is stored: a salt of four bytes and the hash of salt and password; of Argon2id its usual text, which
/// begins with `$argon2id$`. Empty: no login by password.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PasswordHash {
    /// How it was made.
    pub algorithm: HashAlgorithm,
    /// Salt and hash.
    pub salted: Vec<u8>,
}

/// Without the hash, so that no log can hold it.
impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PasswordHash({:?})", self.algorithm)
    }
}

/// How much a user may have at a time; None = no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserLimits {
    /// Connections.
    pub max_connections: Option<u64>,
    /// Channels of all connections.
    pub max_channels: Option<u64>,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: Name,
    /// The password, hashed.
    pub password: PasswordHash,
    /// Tags: rights outside AMQP, but for `impersonator`.
    pub tags: Vec<Name>,
    /// Limits.
    pub limits: UserLimits,
}

impl User {
    /// A user without limits.
    pub fn new(name: Name, password: PasswordHash, tags: &[&str]) -> User {
        let tags = tags.iter().filter_map(|tag| Name::new(tag)).collect();
        User { name, password, tags, limits: UserLimits::default() }
    }

    /// Who a client is that has logged in as this user.
    pub fn identity(&self) -> Identity {
        Identity { user: self.name.clone(), tags: self.tags.clone(), authority: None, expires_ms: None }
    }
}

/// Who a client is: as found when it logged in.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The user's name.
    pub user: Name,
    /// The user's tags.
    pub tags: Vec<Name>,
    /// Who says what the client may do. None: the broker's own permissions of the user.
    pub authority: Option<Arc<dyn Authority>>,
    /// Until when the login is good, in milliseconds of the Unix epoch. None: for ever.
    pub expires_ms: Option<u64>,
}

/// The same user with the same tags, for as long.
impl PartialEq for Identity {
    fn eq(&self, other: &Identity) -> bool {
        (&self.user, &self.tags, self.expires_ms) == (&other.user, &other.tags, other.expires_ms)
    }
}

impl Eq for Identity {}

impl Identity {
    /// Whether the user has a tag.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|own| own.as_str() == tag)
    }
}

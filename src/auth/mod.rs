//! Who may log in. Users and their hashed passwords are the engine's; [`password`] knows how they are hashed.

mod mechanism;
pub mod password;

pub use mechanism::Mechanism;

use crate::broker::access::{HashAlgorithm, Identity, PasswordHash, User};
use crate::name::Name;
use std::collections::HashSet;
use std::io;

/// Why a login is refused. Clients are not told which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// No such user, or another password.
    WrongCredentials,
    /// The user may log in from this machine only.
    NotLoopback,
}

impl std::fmt::Display for Denied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Denied::WrongCredentials => "invalid credentials",
            Denied::NotLoopback => "user can only connect via localhost",
        })
    }
}

/// Decides who may log in.
#[derive(Debug)]
pub struct Authenticator {
    /// Compared with the password of a user that does not exist, so that the answer takes as long.
    nobody: PasswordHash,
    loopback_users: HashSet<Name>,
    anonymous: Option<Anonymous>,
    mechanisms: Vec<Mechanism>,
}

/// As whom a client is logged in that says nothing of itself.
#[derive(Clone)]
pub struct Anonymous {
    /// The user's name.
    pub user: Name,
    /// The user's password: if it is another, nobody is logged in so.
    pub password: String,
}

/// Without the password, so that no log can hold it.
impl std::fmt::Debug for Anonymous {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Anonymous({})", self.user)
    }
}

impl Authenticator {
    /// `loopback_users`: the names of those who may log in from this machine only.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn new(loopback_users: &[Name]) -> io::Result<Authenticator> {
        let nobody = password::hash(&[], HashAlgorithm::default())?;
        let (loopback_users, mechanisms) = (loopback_users.iter().cloned().collect(), Mechanism::ALL.to_vec());
        Ok(Authenticator { nobody, loopback_users, anonymous: None, mechanisms })
    }

    /// The same, for a node that lets clients in that say nothing of themselves.
    #[must_use]
    pub fn with_anonymous(mut self, anonymous: Option<Anonymous>) -> Authenticator {
        self.anonymous = anonymous;
        self
    }

    /// The same, for a node that takes these mechanisms only.
    #[must_use]
    pub fn with_mechanisms(mut self, mechanisms: Vec<Mechanism>) -> Authenticator {
        self.mechanisms = mechanisms;
        self
    }

    /// Whether a client may say in this way who it is.
    pub fn takes(&self, mechanism: Mechanism) -> bool {
        self.mechanisms.contains(&mechanism) && (mechanism != Mechanism::Anonymous || self.anonymous.is_some())
    }

    /// As whom clients are logged in that say nothing of themselves; None: they are not.
    pub fn anonymous(&self) -> Option<&Anonymous> {
        self.anonymous.as_ref()
    }

    /// Checks a password. `user`: the user that the client names, if there is one; `loopback`: the peer is on this machine.
    ///
    /// # Errors
    /// It is wrong or empty, or the user may not log in from there.
    pub fn login(&self, user: Option<&User>, password: &[u8], loopback: bool) -> Result<Identity, Denied> {
        let right = password::matches(user.map_or(&self.nobody, |user| &user.password), password);
        match user {
            Some(user) if right && !password.is_empty() => self.admit(user, loopback),
            _ => Err(Denied::WrongCredentials),
        }
    }

    /// The same for a client that has proved who it is, or need not.
    ///
    /// # Errors
    /// There is no such user, or it may not log in from there.
    pub fn login_without_password(&self, user: Option<&User>, loopback: bool) -> Result<Identity, Denied> {
        user.map_or(Err(Denied::WrongCredentials), |user| self.admit(user, loopback))
    }

    fn admit(&self, user: &User, loopback: bool) -> Result<Identity, Denied> {
        if !loopback && self.loopback_users.contains(user.name.as_str()) {
            return Err(Denied::NotLoopback);
        }
        Ok(user.identity())
    }
}

/// A user with this password.
///
/// # Errors
/// The name is longer than 255 bytes, or the system gives no randomness for the salt.
pub fn user(name: &str, password: &str, tags: &[&str]) -> io::Result<User> {
    let name = Name::new(name).ok_or_else(|| io::Error::other("user name longer than 255 bytes"))?;
    Ok(User::new(name, password::hash(password.as_bytes(), HashAlgorithm::default())?, tags))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authenticator() -> Authenticator {
        Authenticator::new(&[Name::new("guest").unwrap()]).unwrap()
    }

    fn guest() -> User {
        user("guest", "hunter", &["administrator"]).unwrap()
    }

    #[test]
    fn the_right_password_from_this_machine() {
        let identity = authenticator().login(Some(&guest()), b"hunter", true).unwrap();
        assert_eq!(identity.user.as_str(), "guest");
        assert!(identity.has_tag("administrator") && !identity.has_tag("impersonator"));
    }

    #[test]
    fn wrong_credentials() {
        let nobody = User::new(Name::new("nobody").unwrap(), PasswordHash::default(), &[]);
        let blank = user("blank", "", &[]).unwrap();
        for (user, password) in
            [(Some(&guest()), ""), (Some(&guest()), "hunter2"), (Some(&nobody), ""), (Some(&blank), ""), (None, "")]
        {
            let denied = authenticator().login(user, password.as_bytes(), true);
            assert_eq!(denied, Err(Denied::WrongCredentials), "{user:?} {password}");
        }
    }

    #[test]
    fn loopback_users_only_from_this_machine() {
        assert_eq!(authenticator().login(Some(&guest()), b"hunter", false), Err(Denied::NotLoopback));
        assert_eq!(authenticator().login(Some(&guest()), b"wrong", false), Err(Denied::WrongCredentials));
        assert_eq!(authenticator().login_without_password(Some(&guest()), false), Err(Denied::NotLoopback));
        let app = user("app", "hunter", &[]).unwrap();
        assert!(authenticator().login(Some(&app), b"hunter", false).is_ok());
        assert!(authenticator().login_without_password(Some(&app), false).is_ok());
        assert_eq!(authenticator().login_without_password(None, true), Err(Denied::WrongCredentials));
    }

    #[test]
    fn nothing_prints_a_password() {
        assert!(!format!("{:?} {:?}", guest(), authenticator()).contains("hunter"));
    }
}

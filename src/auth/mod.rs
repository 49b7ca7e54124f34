//! Who may log in. Passwords are known only as salted SHA-256.

use crate::name::Name;
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::io;

const SALT_BYTES: usize = 16;

/// A user who has logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user's name.
    pub user: Name,
}

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

/// The node's users.
#[derive(Debug)]
pub struct Authenticator {
    users: HashMap<Vec<u8>, User>,
    /// Compared with the password of a user that does not exist, so that the answer takes as long.
    nobody: Secret,
    loopback_users: HashSet<Vec<u8>>,
}

#[derive(Debug)]
struct User {
    name: Name,
    secret: Secret,
}

impl Authenticator {
    /// One user, and the names of those who may log in from this machine only.
    ///
    /// # Errors
    /// The user's name is longer than 255 bytes, or the system gives no randomness for the salt.
    pub fn new(user: &str, password: &str, loopback_users: &[String]) -> io::Result<Authenticator> {
        let name = Name::new(user).ok_or_else(|| io::Error::other("user name longer than 255 bytes"))?;
        let secret = Secret::new(password.as_bytes())?;
        Ok(Authenticator {
            users: HashMap::from([(user.as_bytes().to_vec(), User { name, secret })]),
            nobody: Secret::new(&[])?,
            loopback_users: loopback_users.iter().map(|name| name.as_bytes().to_vec()).collect(),
        })
    }

    /// Checks a name and password. `loopback`: the peer is on this machine.
    ///
    /// # Errors
    /// They are wrong, or the user may not log in from there.
    pub fn login(&self, user: &[u8], password: &[u8], loopback: bool) -> Result<Identity, Denied> {
        let known = self.users.get(user);
        let right = known.map_or(&self.nobody, |user| &user.secret).matches(password);
        match known {
            Some(known) if right => {
                let local_only = self.loopback_users.contains(user);
                if local_only && !loopback {
                    return Err(Denied::NotLoopback);
                }
                Ok(Identity { user: known.name.clone() })
            }
            _ => Err(Denied::WrongCredentials),
        }
    }
}

/// A password's salt and hash.
struct Secret {
    salt: [u8; SALT_BYTES],
    hash: [u8; 32],
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    fn new(password: &[u8]) -> io::Result<Secret> {
        let mut salt = [0; SALT_BYTES];
        getrandom::fill(&mut salt).map_err(|fault| io::Error::other(fault.to_string()))?;
        Ok(Secret { salt, hash: hash(&salt, password) })
    }

    /// Takes the same time wherever the difference is.
    fn matches(&self, password: &[u8]) -> bool {
        let given = hash(&self.salt, password);
        let difference = self.hash.iter().zip(given).fold(0, |difference, (left, right)| difference | (left ^ right));
        std::hint::black_box(difference) == 0
    }
}

fn hash(salt: &[u8], password: &[u8]) -> [u8; 32] {
    let mut sha = Sha256::new();
    sha.update(salt);
    sha.update(password);
    sha.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest() -> Authenticator {
        Authenticator::new("guest", "hunter", &["guest".to_owned()]).unwrap()
    }

    #[test]
    fn the_right_password_from_this_machine() {
        assert_eq!(guest().login(b"guest", b"hunter", true).unwrap().user.as_str(), "guest");
    }

    #[test]
    fn wrong_credentials() {
        for (user, password) in [("guest", ""), ("guest", "hunter2"), ("Guest", "hunter"), ("", ""), ("nobody", "")] {
            assert_eq!(
                guest().login(user.as_bytes(), password.as_bytes(), true),
                Err(Denied::WrongCredentials),
                "{user} {password}"
            );
        }
    }

    #[test]
    fn loopback_users_only_from_this_machine() {
        assert_eq!(guest().login(b"guest", b"hunter", false), Err(Denied::NotLoopback));
        assert_eq!(guest().login(b"guest", b"wrong", false), Err(Denied::WrongCredentials));
        let open = Authenticator::new("app", "hunter", &["guest".to_owned()]).unwrap();
        assert!(open.login(b"app", b"hunter", false).is_ok());
    }

    #[test]
    fn nothing_prints_a_password() {
        assert!(!format!("{:?}", guest()).contains("hunter"));
    }
}

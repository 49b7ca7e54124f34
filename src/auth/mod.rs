//! Who may log in, by a chain of back ends: the broker's own users ([`password`] knows how their passwords are hashed), an outside
//! [`service`], a [`token`]. [`failures`] slows those who guess.

pub mod failures;
mod hasher;
mod mechanism;
pub mod outside;
pub mod password;
mod request;
pub mod service;
pub mod token;

pub use mechanism::Mechanism;
pub use request::{Claim, Request};

use crate::broker::access::{Authority, HashAlgorithm, Identity, PasswordHash, User};
use crate::clock::Now;
use crate::name::Name;
use failures::{Failures, Source, TURN_WAIT};
use hasher::Hasher;
use service::{Asked, Service};
use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use token::Tokens;
use tokio::sync::Semaphore;

/// Why a login is refused. Clients are not told which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// No such user, or another password.
    WrongCredentials,
    /// The user may log in from this machine only.
    NotLoopback,
    /// Too many logins have failed from where it comes, and too many wait to be looked at.
    TooMany,
    /// Somebody who has to be asked does not answer.
    NoAnswer,
}

/// Questions to others that may be under way at a time.
const OUTSIDE_MAX: usize = 8;

impl std::fmt::Display for Denied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Denied::WrongCredentials => "invalid credentials",
            Denied::NotLoopback => "user can only connect via localhost",
            Denied::TooMany => "too many failed logins from this address",
            Denied::NoAnswer => "an authentication back end does not answer",
        })
    }
}

/// Somebody who may know a client.
#[derive(Clone, Debug)]
pub enum Backend {
    /// The broker's own users.
    Internal,
    /// An outside service. `rights`: it also says what its users may do; else the broker's own permissions do.
    Service {
        /// The service.
        service: Arc<Service>,
        /// Whether it says what its users may do.
        rights: bool,
    },
    /// A token in the password's place.
    Tokens(Arc<Tokens>),
}

/// Decides who may log in.
#[derive(Debug)]
pub struct Authenticator {
    /// Compared with the password of a user that does not exist, so that the answer takes as long.
    nobody: PasswordHash,
    loopback_users: HashSet<Name>,
    anonymous: Option<Anonymous>,
    mechanisms: Vec<Mechanism>,
    hashing: HashAlgorithm,
    failures: Arc<Failures>,
    hasher: Hasher,
    /// Asked in this order: the first that knows the client decides.
    backends: Vec<Backend>,
    /// Questions to others that are under way.
    outside: Semaphore,
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
        let hashing = HashAlgorithm::default();
        Ok(Authenticator {
            nobody: password::of_nobody(hashing)?,
            loopback_users: loopback_users.iter().cloned().collect(),
            anonymous: None,
            mechanisms: Mechanism::ALL.to_vec(),
            hashing,
            failures: Arc::default(),
            hasher: Hasher::new()?,
            backends: vec![Backend::Internal],
            outside: Semaphore::new(OUTSIDE_MAX),
        })
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

    /// The same, for a node whose new passwords are hashed so.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn with_hashing(mut self, hashing: HashAlgorithm) -> io::Result<Authenticator> {
        self.nobody = password::of_nobody(hashing)?;
        self.hashing = hashing;
        Ok(self)
    }

    /// The same, for a node that asks these, in this order.
    #[must_use]
    pub fn with_backends(mut self, backends: Vec<Backend>) -> Authenticator {
        self.backends = backends;
        self
    }

    /// How new passwords are hashed.
    pub fn hashing(&self) -> HashAlgorithm {
        self.hashing
    }

    /// Whether a client may say in this way who it is.
    pub fn takes(&self, mechanism: Mechanism) -> bool {
        self.mechanisms.contains(&mechanism) && (mechanism != Mechanism::Anonymous || self.anonymous.is_some())
    }

    /// As whom clients are logged in that say nothing of themselves; None: they are not.
    pub fn anonymous(&self) -> Option<&Anonymous> {
        self.anonymous.as_ref()
    }

    /// Lets a client in if that can be said at once. None: ask [`Authenticator::judge`].
    pub fn admit_at_once(&self, request: &Request) -> Option<Identity> {
        let user = request.user.as_deref().filter(|_| matches!(self.backends.first(), Some(Backend::Internal)));
        match &request.claim {
            Claim::Renewal { .. } => None,
            Claim::Password { password, .. } => {
                let stored = user.map(|user| &user.password)?;
                let known = if password::is_slow(stored) {
                    self.hasher.remembers(stored, password)
                } else {
                    password::matches(stored, password)
                };
                (known && !password.is_empty()).then(|| self.admit(user?, request.loopback).ok())?
            }
            Claim::Certificate { .. } => self.admit(user?, request.loopback).ok(),
        }
    }

    /// Decides about a login. The answer to one that is wrong may take some seconds.
    ///
    /// # Errors
    /// Why it is refused.
    pub async fn judge(self: Arc<Authenticator>, request: Request) -> Result<Identity, Denied> {
        let source = Source::of(&request.peer);
        let Some(turn) = self.failures.turn(source, TURN_WAIT).await else { return Err(Denied::TooMany) };
        let verdict = self.check(&request).await;
        // While an answer waits, others of that source are looked at.
        drop(turn);
        // That a service does not answer is no fault of the client's.
        if verdict.as_ref().is_err_and(|denied| *denied != Denied::NoAnswer) {
            let wait = self.failures.failed(source, Now::read().monotonic);
            tokio::time::sleep(wait).await;
        }
        verdict
    }

    /// Asks one after the other; the first that knows the client decides.
    async fn check(&self, request: &Request) -> Result<Identity, Denied> {
        let mut denied = Denied::WrongCredentials;
        for backend in &self.backends {
            let verdict = match backend {
                Backend::Internal => self.check_own(request).await,
                Backend::Service { service, rights } => self.check_service(request, service, *rights).await,
                Backend::Tokens(tokens) => self.check_token(request, tokens).await,
            };
            match verdict {
                Ok(identity) if !request.loopback && self.loopback_users.contains(identity.user.as_str()) => {
                    return Err(Denied::NotLoopback);
                }
                Ok(identity) => return Ok(identity),
                Err(reason) => denied = reason,
            }
        }
        Err(denied)
    }

    async fn check_own(&self, request: &Request) -> Result<Identity, Denied> {
        let user = request.user.as_deref();
        let password = match &request.claim {
            Claim::Certificate { .. } => return user.map(User::identity).ok_or(Denied::WrongCredentials),
            Claim::Renewal { .. } => return Err(Denied::WrongCredentials),
            Claim::Password { password, .. } => password,
        };
        // Others know users that we do not; asking them takes its own time, so that nothing is given away.
        if user.is_none() && self.backends.len() > 1 {
            return Err(Denied::WrongCredentials);
        }
        let stored = user.map_or(&self.nobody, |user| &user.password);
        let right = if password::is_slow(stored) {
            self.hasher.matches(stored, password).await
        } else {
            password::matches(stored, password)
        };
        user.filter(|_| right && !password.is_empty()).map(User::identity).ok_or(Denied::WrongCredentials)
    }

    async fn check_service(&self, request: &Request, service: &Arc<Service>, rights: bool) -> Result<Identity, Denied> {
        let password = match &request.claim {
            Claim::Certificate { .. } => None,
            Claim::Renewal { .. } => return Err(Denied::WrongCredentials),
            // What is not text cannot be asked about.
            Claim::Password { password, .. } => match String::from_utf8(password.clone()) {
                Ok(password) if !password.is_empty() => Some(password),
                _ => return Err(Denied::WrongCredentials),
            },
        };
        let (asked, name) = (service.clone(), request.claim.name().to_owned());
        let user = Name::new(&name).ok_or(Denied::WrongCredentials)?;
        match self.ask(move || asked.login(&name, password.as_deref())).await {
            Some(Ok(Some(tags))) => {
                let host = request.peer.rsplit_once(':').map_or(request.peer.as_str(), |(host, _)| host);
                let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                let says = Asked { service: service.clone(), user: user.clone(), tags: tags.clone(), host };
                let authority = rights.then(|| Arc::new(says) as Arc<dyn Authority>);
                Ok(Identity { user, tags, authority, expires_ms: None })
            }
            Some(Ok(None)) | None => Err(Denied::WrongCredentials),
            Some(Err(fault)) => {
                tracing::error!("logins: {fault}");
                Err(Denied::NoAnswer)
            }
        }
    }

    async fn check_token(&self, request: &Request, tokens: &Arc<Tokens>) -> Result<Identity, Denied> {
        let (token, wanted) = match &request.claim {
            Claim::Certificate { .. } => return Err(Denied::WrongCredentials),
            Claim::Password { password, .. } => (password.clone(), None),
            Claim::Renewal { name, token } => (token.clone(), Some(name.as_str())),
        };
        let asked = tokens.clone();
        let verdict = self.ask(move || asked.check(&token, Now::read().wall_ms)).await;
        match verdict {
            Some(Ok(identity)) if wanted.is_none_or(|wanted| wanted == identity.user.as_str()) => Ok(identity),
            Some(Err(reason)) => {
                tracing::info!(peer = request.peer, reason, "no login by a token");
                Err(Denied::WrongCredentials)
            }
            _ => Err(Denied::WrongCredentials),
        }
    }

    /// Does what may wait for another machine on a thread that may wait. None when there is none.
    async fn ask<T: Send + 'static>(&self, question: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let _one_of_some = self.outside.acquire().await.ok()?;
        tokio::task::spawn_blocking(question).await.ok()
    }

    /// Checks a password. `user`: the user that the client names, if there is one; `loopback`: the peer is on this machine.
    ///
    /// # Errors
    /// It is wrong or empty, or the user may not log in from there.
    pub fn login(&self, user: Option<&User>, password: &[u8], loopback: bool) -> Result<Identity, Denied> {
        let right = self.hasher.matches_here(user.map_or(&self.nobody, |user| &user.password), password);
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

/// A user with this password, hashed as RabbitMQ does.
///
/// # Errors
/// As [`user_hashed`].
pub fn user(name: &str, password: &str, tags: &[&str]) -> io::Result<User> {
    user_hashed(name, password, tags, HashAlgorithm::default())
}

/// A user with this password, hashed so.
///
/// # Errors
/// The name is longer than 255 bytes, or the system gives no randomness for the salt.
pub fn user_hashed(name: &str, password: &str, tags: &[&str], hashing: HashAlgorithm) -> io::Result<User> {
    let name = Name::new(name).ok_or_else(|| io::Error::other("user name longer than 255 bytes"))?;
    Ok(User::new(name, password::hash(password.as_bytes(), hashing)?, tags))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

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

    fn request(user: Option<&User>, password: &str, loopback: bool) -> Request {
        let claim = Claim::Password { name: "guest".into(), password: password.into() };
        Request { claim, user: user.cloned().map(Arc::new), loopback, peer: "10.0.0.1:5".into() }
    }

    fn judge(auth: &Arc<Authenticator>, request: Request) -> Result<Identity, Denied> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(auth.clone().judge(request))
    }

    #[test]
    fn slow_hashes_are_compared_once_and_then_known() {
        let auth = Arc::new(authenticator().with_hashing(HashAlgorithm::Argon2id).unwrap());
        let guest = user_hashed("guest", "hunter", &[], HashAlgorithm::Argon2id).unwrap();
        assert_eq!(auth.admit_at_once(&request(Some(&guest), "hunter", true)), None);
        assert!(judge(&auth, request(Some(&guest), "hunter", true)).is_ok());
        assert!(auth.admit_at_once(&request(Some(&guest), "hunter", true)).is_some());
        assert_eq!(auth.admit_at_once(&request(Some(&guest), "hunter", false)), None, "from this machine only");
        assert_eq!(judge(&auth, request(Some(&guest), "hunter", false)), Err(Denied::NotLoopback));
        assert_eq!(judge(&auth, request(Some(&guest), "wrong", true)), Err(Denied::WrongCredentials));
        assert_eq!(judge(&auth, request(None, "hunter", true)), Err(Denied::WrongCredentials));
        let blank = user_hashed("blank", "", &[], HashAlgorithm::Argon2id).unwrap();
        assert_eq!(judge(&auth, request(Some(&blank), "", true)), Err(Denied::WrongCredentials));
    }

    #[test]
    fn a_right_login_is_let_in_though_many_have_failed() {
        let auth = Arc::new(authenticator());
        for _ in 0..50 {
            auth.failures.failed(Source::of("10.0.0.1:5"), Now::read().monotonic);
        }
        assert!(judge(&auth, request(Some(&guest()), "hunter", true)).is_ok());
    }

    #[tokio::test]
    async fn an_address_that_hammers_is_slowed_and_keeps_no_right_login_of_its_own_out() {
        let (auth, tried) = (Arc::new(authenticator()), Arc::new(AtomicUsize::new(0)));
        for number in 0..50 {
            let (auth, tried) = (auth.clone(), tried.clone());
            tokio::spawn(async move {
                loop {
                    let wrong = request(Some(&guest()), &format!("{number}"), true);
                    assert!(auth.clone().judge(wrong).await.is_err());
                    tried.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let right = auth.clone().judge(request(Some(&guest()), "hunter", true)).await;
            assert!(right.is_ok(), "{right:?}");
        }
        let tried = tried.load(Ordering::Relaxed);
        assert!(tried < 100, "{tried} were answered in a second");
    }
}

//! Who asks, and whether they may: Basic authentication, and the rules of user tags.

use super::answer::Failure;
use super::request::Caller;
use super::route::Needs;
use crate::auth::{Authenticator, Claim, Denied, Request};
use crate::broker::access::{Access, Authority, Identity};
use crate::broker::refusal::ResourceKind;
use crate::engine::{Broker, Churn, INTERNAL_USER};
use crate::name::Name;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::sync::Arc;

/// The client's end of a request's connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// It is on this machine.
    pub loopback: bool,
    /// Its address, `host:port`.
    pub address: String,
    /// It came through the socket of this machine's tools.
    pub is_tool: bool,
}

/// A name and a password as a client gave them.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    user: String,
    password: Vec<u8>,
}

/// Without the password, so that no log can hold it.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({:?})", self.user)
    }
}

impl Credentials {
    /// Reads an `Authorization` header. None when it is none that we take.
    pub fn parse(header: &str) -> Option<Credentials> {
        let (scheme, given) = header.split_once(' ')?;
        if scheme.eq_ignore_ascii_case("bearer") {
            // The token says who its bearer is.
            return Some(Credentials { user: String::new(), password: given.trim().as_bytes().to_vec() });
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = STANDARD.decode(given.trim()).ok()?;
        let colon = decoded.iter().position(|byte| *byte == b':')?;
        let (user, password) = decoded.split_at_checked(colon)?;
        Some(Credentials { user: String::from_utf8(user.to_vec()).ok()?, password: password.get(1..)?.to_vec() })
    }

    /// Whether they are a token.
    pub fn is_token(&self) -> bool {
        self.user.is_empty()
    }

    /// From a form.
    pub fn new(user: &str, password: &str) -> Credentials {
        Credentials { user: user.to_owned(), password: password.as_bytes().to_vec() }
    }
}

/// Finds out who asks. A wrong answer may take some seconds.
///
/// # Errors
/// Wrong credentials, no management user, or one that may log in from this machine only.
pub async fn authenticate(
    broker: &Broker,
    auth: &Arc<Authenticator>,
    credentials: Credentials,
    peer: &Peer,
) -> Result<Caller, Failure> {
    let Credentials { user: name, password } = credentials;
    let user = broker.user(&name);
    let request = Request {
        claim: Claim::Password { name: name.clone(), password },
        user,
        loopback: peer.loopback,
        peer: peer.address.clone(),
    };
    let verdict = match auth.admit_at_once(&request) {
        Some(identity) => Ok(identity),
        None => auth.clone().judge(request).await,
    };
    let outcome = match verdict {
        Ok(identity) => {
            let caller = Caller { identity };
            if caller.is_management() { Ok(caller) } else { Err(Failure::not_authorised("Not management user")) }
        }
        Err(Denied::NotLoopback) => Err(Failure::not_authorised("User can only log in via localhost")),
        Err(_) => Err(Failure::not_authenticated()),
    };
    let churn = broker.churn();
    Churn::note(if outcome.is_ok() { &churn.http_logins_succeeded } else { &churn.http_logins_failed });
    if let Err(failure) = &outcome {
        tracing::warn!(user = ?name, reason = failure.reason, "HTTP access denied");
    }
    outcome
}

/// Whoever can open the socket of this machine's tools: an administrator who may do everything everywhere.
pub fn local_administrator() -> Caller {
    let name = |text: &str| Name::new(text).unwrap_or_default();
    let (user, tags) = (name(INTERNAL_USER), vec![name("administrator")]);
    Caller { identity: Identity { user, tags, authority: Some(Arc::new(Everything)), expires_ms: None } }
}

/// Says yes to everything.
#[derive(Debug)]
struct Everything;

impl Authority for Everything {
    fn enters(&self, _: &Name) -> bool {
        true
    }

    fn permits(&self, _: &Name, _: Access, _: ResourceKind, _: &str) -> bool {
        true
    }

    fn permits_topic(&self, _: &Name, _: Access, _: &str, _: &str) -> bool {
        true
    }
}

/// Whether a caller may use an endpoint. `vhost`, `user`: the virtual host and the user that its path names.
///
/// # Errors
/// In RabbitMQ's words.
pub fn check(
    broker: &Broker,
    caller: &Caller,
    needs: Needs,
    (vhost, user): (Option<&str>, Option<&str>),
) -> Result<(), Failure> {
    let no_vhost = "User not authorised to access virtual host";
    let no_object = "User not authorised to access object";
    // A virtual host that does not exist is nobody's secret: it is not found.
    let vhost = vhost.filter(|vhost| broker.vhost_name(vhost).is_some());
    let member = || vhost.is_none_or(|vhost| caller.is_member(broker, vhost));
    let own = || user == Some(caller.identity.user.as_str());
    let (may, reason) = match needs {
        Needs::Nothing | Needs::Management => (true, ""),
        Needs::Monitoring => (caller.is_monitor(), "Not monitor user"),
        Needs::Administrator => (caller.is_admin(), "Not administrator user"),
        Needs::Policymaker => (caller.is_policymaker(), no_object),
        Needs::PolicymakerThere => (caller.is_admin() || (caller.is_policymaker() && member()), no_object),
        Needs::Sight => (caller.is_monitor() || member(), no_vhost),
        Needs::Member => (caller.is_admin() || member(), no_vhost),
        Needs::OwnerOrMonitoring => (caller.is_monitor() || own(), no_object),
        Needs::OwnerOrAdministrator => (caller.is_admin() || own(), no_object),
    };
    if may { Ok(()) } else { Err(Failure::not_authorised(reason)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<(String, Vec<u8>)> {
        Credentials::parse(text).map(|given| (given.user, given.password))
    }

    #[test]
    fn basic_credentials() {
        let encoded = |text: &str| STANDARD.encode(text);
        let header = format!("Basic {}", encoded("guest:pass:word"));
        assert_eq!(parse(&header), Some(("guest".to_owned(), b"pass:word".to_vec())));
        assert_eq!(parse(&format!("basic  {}", encoded(":"))), Some((String::new(), Vec::new())));
        for wrong in ["", "Basic", "Basic !", &format!("Basic {}", encoded("guest")), "Basic gDo="] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        let given = Credentials::parse(&header).unwrap();
        assert!(!format!("{given:?}").contains("word"));
    }
}

//! SASL mechanisms: how a client says who it is (compat.md 1.5).

use crate::auth::{Authenticator, Mechanism};
use crate::value::{Table, Value};

/// What connection.start offers to a client whose certificate names a user, or none.
pub(super) fn mechanisms(auth: &Authenticator, certificate: Option<&str>) -> String {
    let offered = Mechanism::ALL.into_iter().filter(|mechanism| is_offered(auth, *mechanism, certificate));
    offered.map(Mechanism::name).collect::<Vec<_>>().join(" ")
}

fn is_offered(auth: &Authenticator, mechanism: Mechanism, certificate: Option<&str>) -> bool {
    auth.takes(mechanism) && (mechanism != Mechanism::External || certificate.is_some())
}

/// Who a client says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// A user with a password.
    Password(Credentials),
    /// Whoever the settings say.
    Anonymous,
    /// Whom its certificate names.
    Certificate(String),
}

/// A user name and password as the client sent them.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    pub user: Vec<u8>,
    pub password: Vec<u8>,
}

/// Without the password, so that no log can hold it.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({})", String::from_utf8_lossy(&self.user))
    }
}

/// Why there are no credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SaslFault {
    UnknownMechanism,
    MalformedResponse,
}

/// Reads the response of a mechanism.
pub(super) fn claim(
    mechanism: &str,
    response: &[u8],
    auth: &Authenticator,
    certificate: Option<&str>,
) -> Result<Claim, SaslFault> {
    let mechanism = Mechanism::parse(mechanism).filter(|mechanism| is_offered(auth, *mechanism, certificate));
    match mechanism.ok_or(SaslFault::UnknownMechanism)? {
        Mechanism::Plain => plain(response).map(Claim::Password).ok_or(SaslFault::MalformedResponse),
        Mechanism::AmqPlain => amqplain(response).map(Claim::Password).ok_or(SaslFault::MalformedResponse),
        Mechanism::Anonymous => Ok(Claim::Anonymous),
        Mechanism::External => Ok(Claim::Certificate(certificate.unwrap_or_default().to_owned())),
    }
}

/// `\0user\0password`. RabbitMQ has no authorization identity: the first byte must be 0.
fn plain(response: &[u8]) -> Option<Credentials> {
    let mut parts = response.split(|byte| *byte == 0);
    let (identity, user, password) = (parts.next()?, parts.next()?, parts.next()?);
    let well_formed = identity.is_empty() && parts.next().is_none();
    well_formed.then(|| Credentials { user: user.to_vec(), password: password.to_vec() })
}

/// A field table without its length.
fn amqplain(response: &[u8]) -> Option<Credentials> {
    let table = Table::decode(response).ok()?;
    let field = |name: &str| table.get(name).and_then(Value::as_long_string).map(<[u8]>::to_vec);
    Some(Credentials { user: field("LOGIN")?, password: field("PASSWORD")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth(anonymous: bool) -> Authenticator {
        let user = crate::name::Name::new("guest").unwrap();
        let guest = crate::auth::Anonymous { user, password: "guest".into() };
        Authenticator::new(&[]).unwrap().with_anonymous(anonymous.then_some(guest))
    }

    fn read(mechanism: &str, response: &[u8]) -> Result<(String, String), SaslFault> {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        match claim(mechanism, response, &auth(true), None)? {
            Claim::Password(found) => Ok((text(found.user), text(found.password))),
            other => panic!("no password: {other:?}"),
        }
    }

    #[test]
    fn plain() {
        assert_eq!(read("PLAIN", b"\0guest\0pass"), Ok(("guest".into(), "pass".into())));
        assert_eq!(read("PLAIN", b"\0guest\0"), Ok(("guest".into(), String::new())));
        for wrong in [&b""[..], b"guest\0pass", b"id\0guest\0pass", b"\0guest", b"\0guest\0pass\0", b"\0"] {
            assert_eq!(read("PLAIN", wrong), Err(SaslFault::MalformedResponse), "{wrong:?}");
        }
    }

    #[test]
    fn amqplain() {
        let mut table = Table::new();
        table.insert("PASSWORD", "pass");
        let mut response = Vec::new();
        table.encode_content(&mut response);
        assert_eq!(read("AMQPLAIN", &response), Err(SaslFault::MalformedResponse));
        table.insert("LOGIN", "guest");
        response.clear();
        table.encode_content(&mut response);
        assert_eq!(read("AMQPLAIN", &response), Ok(("guest".into(), "pass".into())));
        response.pop();
        assert_eq!(read("AMQPLAIN", &response), Err(SaslFault::MalformedResponse));
    }

    #[test]
    fn others_are_unknown() {
        assert_eq!(read("plain", b"\0a\0b"), Err(SaslFault::UnknownMechanism));
        assert_eq!(claim("EXTERNAL", b"", &auth(true), None), Err(SaslFault::UnknownMechanism));
        assert_eq!(claim("ANONYMOUS", b"", &auth(false), None), Err(SaslFault::UnknownMechanism));
    }

    #[test]
    fn without_a_password() {
        assert_eq!(claim("ANONYMOUS", b"me", &auth(true), None), Ok(Claim::Anonymous));
        assert_eq!(claim("EXTERNAL", b"", &auth(false), Some("CN=u")), Ok(Claim::Certificate("CN=u".into())));
        assert_eq!(mechanisms(&auth(true), None), "PLAIN AMQPLAIN ANONYMOUS");
        assert_eq!(mechanisms(&auth(false), Some("CN=u")), "PLAIN AMQPLAIN EXTERNAL");
    }

    #[test]
    fn only_those_of_the_settings() {
        let auth = auth(true).with_mechanisms(vec![Mechanism::External, Mechanism::Plain]);
        assert_eq!(mechanisms(&auth, Some("CN=u")), "PLAIN EXTERNAL");
        assert_eq!(claim("ANONYMOUS", b"", &auth, None), Err(SaslFault::UnknownMechanism));
        assert_eq!(claim("AMQPLAIN", b"", &auth, None), Err(SaslFault::UnknownMechanism));
    }
}

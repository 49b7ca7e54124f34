//! SASL mechanisms: how a client says who it is (compat.md 1.5).

use crate::value::{Table, Value};

/// What connection.start offers.
pub(super) const MECHANISMS: &str = "PLAIN AMQPLAIN";

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
pub(super) fn credentials(mechanism: &str, response: &[u8]) -> Result<Credentials, SaslFault> {
    match mechanism {
        "PLAIN" => plain(response).ok_or(SaslFault::MalformedResponse),
        "AMQPLAIN" => amqplain(response).ok_or(SaslFault::MalformedResponse),
        _ => Err(SaslFault::UnknownMechanism),
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

    fn read(mechanism: &str, response: &[u8]) -> Result<(String, String), SaslFault> {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        credentials(mechanism, response).map(|found| (text(found.user), text(found.password)))
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
    }
}

//! From the protocol header to connection.open (compat.md 1.5).
//!
//! Before login the client is not trusted: whatever is wrong, it is not told, and its socket stays open for a while
//! without being listened to.

use super::capabilities::{Capabilities, server_properties};
use super::connection::{Connection, Phase};
use super::error::{AmqpError, Code};
use super::heartbeat::Heartbeat;
use super::link::{Link, Tuned};
use super::open::Open;
use super::sasl::{self, Claim, Credentials, SaslFault};
use super::told::Introduction;
use crate::auth::{self, Denied, Request};
use crate::broker::access::Identity;
use crate::limits::FRAME_MAX_MIN;
use crate::value::Value;
use crate::wire::frame::{Frame, FrameKind, read_frame, read_protocol_header};
use crate::wire::method::{read_method, table_from_amq, table_to_amq};
use amq_protocol::protocol::{AMQPClass, connection};
use std::time::Duration;

/// Longest `connection_name` of a client that is kept, in bytes.
const NAME_MAX: usize = 255;

/// What is known of a client that has logged in.
#[derive(Clone, Debug)]
pub(super) struct Login {
    pub(super) identity: Identity,
    capabilities: Capabilities,
    introduction: Introduction,
}

/// A client whose login is being decided.
#[derive(Debug)]
pub(super) struct Pending {
    user: String,
    capabilities: Capabilities,
    introduction: Introduction,
}

impl Connection {
    /// The first bytes of the client. Returns how many were used.
    pub(super) fn on_protocol_header(&mut self, bytes: &[u8]) -> usize {
        match read_protocol_header(bytes) {
            None => 0,
            Some(Ok(())) => {
                self.write_start();
                self.phase = Phase::ExpectStartOk;
                8
            }
            Some(Err(answer)) => {
                self.output_mut().frames().extend_from_slice(answer);
                self.stranger = stranger(bytes);
                if self.stranger.is_none() {
                    self.fault = Some("not an AMQP 0-9-1 protocol header".to_owned());
                }
                self.finish();
                bytes.len()
            }
        }
    }

    fn write_start(&mut self) {
        let mechanisms = sasl::mechanisms(&self.auth, self.peer.certificate_name.as_deref());
        let properties = server_properties(&self.settings, &self.broker.cluster_name());
        let start = connection::AMQPMethod::Start(connection::Start {
            version_major: 0,
            version_minor: 9,
            server_properties: table_to_amq(&properties).unwrap_or_default(),
            mechanisms: mechanisms.into(),
            locales: "en_US".into(),
        });
        self.write(AMQPClass::Connection(start));
    }

    /// A frame before connection.open. Returns how many bytes were used.
    pub(super) fn on_handshake(&mut self, bytes: &[u8]) -> usize {
        match read_frame(bytes, self.settings.initial_frame_max) {
            Ok(None) => 0,
            Ok(Some((frame, length))) => {
                self.on_handshake_frame(&frame);
                length
            }
            Err(error) => {
                self.refuse(error.to_string());
                bytes.len()
            }
        }
    }

    fn on_handshake_frame(&mut self, frame: &Frame<'_>) {
        if frame.kind == FrameKind::Heartbeat {
            return;
        }
        if frame.kind != FrameKind::Method || frame.channel != 0 {
            return self.refuse("unexpected frame before connection.open".to_owned());
        }
        let method = match read_method(frame.payload) {
            Ok(AMQPClass::Connection(method)) => method,
            Ok(_) => return self.refuse("unexpected method before connection.open".to_owned()),
            Err(error) => return self.refuse(error.to_string()),
        };
        let phase = std::mem::replace(&mut self.phase, Phase::Closed);
        match (phase, method) {
            (_, connection::AMQPMethod::Close(_)) => self.on_client_close(),
            (Phase::ExpectStartOk, connection::AMQPMethod::StartOk(start_ok)) => self.on_start_ok(start_ok),
            (Phase::ExpectTuneOk(login), connection::AMQPMethod::TuneOk(tune_ok)) => self.on_tune_ok(login, &tune_ok),
            (Phase::ExpectOpen(login, tuned), connection::AMQPMethod::Open(open)) => self.on_open(login, tuned, &open),
            _ => self.refuse("unexpected method before connection.open".to_owned()),
        }
    }

    fn on_start_ok(&mut self, start_ok: connection::StartOk) {
        let properties = table_from_amq(&start_ok.client_properties);
        let capabilities = Capabilities::of(&properties);
        let client_name = properties.get("connection_name").and_then(Value::as_str);
        self.client_name = client_name.filter(|name| name.len() <= NAME_MAX).map(str::to_owned);
        let mechanism = start_ok.mechanism.as_str();
        let introduction = Introduction { mechanism: mechanism.to_owned(), properties };
        let certificate = self.peer.certificate_name.as_deref();
        let claim = match sasl::claim(mechanism, start_ok.response.as_bytes(), &self.auth, certificate) {
            Ok(claim) => claim,
            Err(SaslFault::UnknownMechanism) => return self.refuse("unknown authentication mechanism".to_owned()),
            Err(SaslFault::MalformedResponse) => return self.refuse("malformed authentication response".to_owned()),
        };
        let Some(request) = self.request(claim) else { return self.refuse("nobody is anonymous here".to_owned()) };
        let pending = Pending { user: request.claim.name().to_owned(), capabilities, introduction };
        match self.auth.admit_at_once(&request) {
            Some(identity) => self.decide(pending, Ok(identity)),
            None => {
                self.phase = Phase::ExpectVerdict(Box::new(pending));
                self.question = Some(request);
            }
        }
    }

    /// The login that was asked about has been decided.
    pub(super) fn judged(&mut self, verdict: Result<Identity, Denied>) {
        if let Phase::Open(open) = &mut self.phase
            && open.is_asking
        {
            let identity = verdict.ok();
            let expires_ms = identity.as_ref().and_then(|identity| identity.expires_ms);
            return match open.renew(identity) {
                Ok(()) => self.set_expiry(expires_ms),
                Err(error) => self.close(&error),
            };
        }
        match std::mem::replace(&mut self.phase, Phase::Closed) {
            Phase::ExpectVerdict(pending) => self.decide(*pending, verdict),
            // The connection has ended meanwhile.
            phase => self.phase = phase,
        }
    }

    fn decide(&mut self, pending: Pending, verdict: Result<Identity, Denied>) {
        let Pending { user, capabilities, introduction } = pending;
        let mechanism = introduction.mechanism.clone();
        match verdict {
            Ok(identity) => {
                self.tell_login(identity.user.as_str(), &mechanism, None);
                let settings = self.settings.clone();
                self.write(AMQPClass::Connection(connection::AMQPMethod::Tune(connection::Tune {
                    channel_max: settings.channel_max,
                    frame_max: settings.frame_max,
                    heartbeat: settings.heartbeat,
                })));
                self.phase = Phase::ExpectTuneOk(Login { identity, capabilities, introduction });
            }
            Err(denied) => {
                self.tell_login(&user, &mechanism, Some(&denied.to_string()));
                let connection = self.name();
                tracing::warn!(%connection, ?user, mechanism, reason = %denied, "login refused");
                self.is_told = true;
                if !capabilities.authentication_failure_close {
                    return self.refuse("login refused".to_owned());
                }
                self.close(&AmqpError::new(
                    Code::AccessRefused,
                    format_args!(
                        "Login was refused using authentication mechanism {mechanism}. For details see the broker \
                         logfile."
                    ),
                ));
            }
        }
    }

    /// The login is good until then, in milliseconds of the Unix epoch.
    fn set_expiry(&mut self, expires_ms: Option<u64>) {
        let left = |expires: u64| Duration::from_millis(expires.saturating_sub(self.now.wall_ms));
        // A time beyond all clocks is for ever.
        self.expires = expires_ms.and_then(|expires| self.now.monotonic.checked_add(left(expires)));
    }

    /// What is to be decided about a client's claim. None: it claims to be nobody, and nobody is let in so.
    fn request(&self, claim: Claim) -> Option<Request> {
        let (claim, is_text) = match claim {
            Claim::Password(Credentials { user, password }) => {
                let name = String::from_utf8_lossy(&user).into_owned();
                (auth::Claim::Password { name, password }, std::str::from_utf8(&user).is_ok())
            }
            Claim::Anonymous => {
                let anonymous = self.auth.anonymous()?;
                let (name, password) = (anonymous.user.as_str().to_owned(), anonymous.password.clone().into_bytes());
                (auth::Claim::Password { name, password }, true)
            }
            Claim::Certificate(name) => (auth::Claim::Certificate { name }, true),
        };
        // A name that is not text is printed with replacement characters: no user can have the printed one for the other.
        let user = if is_text { self.broker.user(claim.name()) } else { None };
        Some(Request { claim, user, loopback: self.peer.loopback, peer: self.peer.address.clone() })
    }

    fn on_tune_ok(&mut self, login: Login, tune_ok: &connection::TuneOk) {
        let (settings, now) = (&self.settings, self.now.monotonic);
        let checked = check("frame_max", tune_ok.frame_max, settings.frame_max, FRAME_MAX_MIN)
            .and_then(|()| check("channel_max", tune_ok.channel_max.into(), settings.channel_max.into(), 1));
        if let Err(explanation) = checked {
            return self.close(&AmqpError::new(Code::NotAllowed, explanation).about((10, 31)));
        }
        // Without a limit a frame can still not be larger than a message with its properties.
        let whole_message = u32::try_from(settings.max_message_size).unwrap_or(u32::MAX).saturating_add(65_536);
        let read_max = if tune_ok.frame_max == 0 { whole_message } else { tune_ok.frame_max };
        let tuned = Tuned { frame_max: tune_ok.frame_max, read_max, channel_max: tune_ok.channel_max };
        self.heartbeat = Heartbeat::new(tune_ok.heartbeat, now);
        self.phase = Phase::ExpectOpen(login, tuned);
    }

    fn on_open(&mut self, login: Login, tuned: Tuned, open: &connection::Open) {
        let Login { identity, capabilities, introduction } = login;
        self.set_expiry(identity.expires_ms);
        let session = match self.broker.open_session(open.virtual_host.as_str(), identity) {
            Ok(_) if !self.broker.is_admitting() => {
                let error = AmqpError::new(Code::ConnectionForced, "the node does not serve clients");
                return self.close(&error.about((10, 40)));
            }
            Ok(session) => session,
            Err(refusal) => return self.close(&AmqpError::from(refusal).about((10, 40))),
        };
        let (connection, name) = (self.name(), self.client_name.as_deref().unwrap_or_default());
        tracing::info!(%connection, ?name, user = ?session.identity().user.as_str(), vhost = ?session.vhost().as_str(), "opened");
        let peer = format!("{} -> {}", self.peer.address, self.peer.local).into();
        let mut link = Link::new(session, self.settings.clone(), capabilities, peer, tuned, self.now);
        self.introduce(&link, &tuned, &introduction);
        self.tell_opened(&link, &tuned, &introduction);
        // What the handshake needed is more than an idle connection does.
        self.out.shrink();
        std::mem::swap(&mut link.out, &mut self.out);
        self.deadline = None;
        self.phase = Phase::Open(Box::new(Open::new(link)));
        self.write(AMQPClass::Connection(connection::AMQPMethod::OpenOk(connection::OpenOk {})));
    }

    /// Gives up on a client that has not logged in, without a word. It keeps its socket for a while, so that it does not
    /// try again at once. `reason` is for the log.
    fn refuse(&mut self, reason: String) {
        self.fault = Some(reason);
        self.deadline = Some(self.end_by(true));
        self.phase = Phase::Refused;
    }
}

/// Who does not know what this port is for, by its first bytes.
fn stranger(bytes: &[u8]) -> Option<&'static str> {
    let http: [&[u8]; 4] = [b"GET ", b"HEAD ", b"POST ", b"PUT "];
    match bytes {
        // The record header of a ClientHello.
        [0x16, 0x03, ..] => Some("a TLS client"),
        _ if http.iter().any(|method| bytes.starts_with(method)) => Some("an HTTP client"),
        // The beginnings of the PROXY protocol's two versions.
        _ if bytes.starts_with(b"PROXY ") || bytes.starts_with(b"\r\n\r\n\0\r\n") => {
            Some("a proxy that listener.proxies does not name")
        }
        _ => None,
    }
}

/// Checks a value of tune-ok. 0 means no limit, which a client cannot choose if there is one.
fn check(name: &str, client: u32, server: u32, min: u32) -> Result<(), String> {
    if client != 0 && client < min {
        return Err(format!("negotiated {name} = {client} is lower than the minimum allowed value ({min})"));
    }
    if server != 0 && (client == 0 || client > server) {
        let no_limit = if client == 0 { " (no limit)" } else { "" };
        return Err(format!(
            "negotiated {name} = {client}{no_limit} is higher than the maximum allowed value ({server})"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn tune_rules() {
        assert_eq!(check("frame_max", 4096, 131_072, 4096), Ok(()));
        assert_eq!(check("frame_max", 0, 0, 4096), Ok(()));
        assert_eq!(check("frame_max", 8192, 0, 4096), Ok(()));
        let refused = [
            (("frame_max", 4095, 131_072, 4096), "frame_max = 4095 is lower than the minimum allowed value (4096)"),
            (("channel_max", 0, 2047, 1), "channel_max = 0 (no limit) is higher than the maximum allowed value (2047)"),
            (("channel_max", 2048, 2047, 1), "channel_max = 2048 is higher than the maximum allowed value (2047)"),
        ];
        for ((name, client, server, min), text) in refused {
            assert_eq!(check(name, client, server, min), Err(format!("negotiated {text}")));
        }
    }
}

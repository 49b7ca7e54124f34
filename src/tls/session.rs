//! One TLS session, without a socket: encrypted bytes in, plain bytes out, and the other way round. It keeps no buffers: what
//! is not complete stays with its owner, so that an idle session costs its keys and little else. The library remembers places
//! in what is not complete, so the owner shows it the same bytes at every call.

use super::TlsError;
use super::certificate::{CertificateFacts, LoginFrom};
use rustls::server::{ServerConfig, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{Error, InvalidMessage};
use std::sync::Arc;

/// Bytes that a record may have besides its content: header, nonce, padding, tag (RFC 8446 5.2, RFC 5246 6.2.3).
const RECORD_OVERHEAD: usize = 256;
/// Most bytes of content in a record.
const RECORD_BYTES: usize = 16 * 1024;
/// Room for a handshake message at first; more is made when it is needed.
const MESSAGE_BYTES: usize = 4096;

/// How far a session got with what it was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Encrypted bytes that are done with.
    pub used: usize,
    /// Plain bytes that came out.
    pub plain: usize,
}

/// What a session's handshake agreed on, in RabbitMQ's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secured {
    /// `tlsv1.3`.
    pub protocol: &'static str,
    /// How keys are agreed on: `any`, `ecdhe_rsa`.
    pub key_exchange: String,
    /// The cipher: `aes_256_gcm`.
    pub cipher: String,
    /// How content is protected from change: `aead`.
    pub hash: &'static str,
    /// The client's certificate, which an authority has signed.
    pub certificate: Option<CertificateFacts>,
}

/// The server's side of one TLS session.
pub struct Session {
    tls: UnbufferedServerConnection,
    ended: bool,
}

/// Without its keys.
impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl Session {
    pub(super) fn new(config: Arc<ServerConfig>) -> Result<Session, TlsError> {
        let tls = UnbufferedServerConnection::new(config).map_err(|error| TlsError::new(error.to_string()))?;
        Ok(Session { tls, ended: false })
    }

    /// Whether the handshake goes on.
    pub fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// Whether the client has said that nothing more comes.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Takes the complete records at the beginning of `sealed`: content goes to `plain`, which is at least as long as
    /// `sealed`; what the session itself has to say is put behind `answer`.
    ///
    /// # Errors
    /// The client does not keep to TLS, or shows a certificate that is not trusted: `answer` holds the alert.
    pub fn open(&mut self, sealed: &mut [u8], plain: &mut [u8], answer: &mut Vec<u8>) -> Result<Progress, TlsError> {
        let mut done = Progress::default();
        loop {
            let rest = sealed.get_mut(done.used..).unwrap_or_default();
            let UnbufferedStatus { discard, state, .. } = self.tls.process_tls_records(rest);
            done.used += discard;
            let state = match state {
                Ok(state) => state,
                Err(error) => {
                    let error = TlsError::new(match error {
                        // The first byte of what came is none of TLS.
                        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
                            "no TLS: a client without it".to_owned()
                        }
                        error => error.to_string(),
                    });
                    self.last_words(answer);
                    return Err(error);
                }
            };
            match state {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(|error| TlsError::new(error.to_string()))?;
                        let end = done.plain + record.payload.len();
                        let Some(room) = plain.get_mut(done.plain..end) else {
                            return Err(TlsError::new("more content than was sent"));
                        };
                        room.copy_from_slice(record.payload);
                        done.plain = end;
                        done.used += record.discard;
                    }
                }
                ConnectionState::EncodeTlsData(mut message) => {
                    append(answer, |room| match message.encode(room) {
                        Ok(written) => Ok(written),
                        Err(EncodeError::InsufficientSize(needed)) => Err(needed.required_size),
                        Err(EncodeError::AlreadyEncoded) => Ok(0),
                    });
                }
                // The answer is sent by the owner, in order.
                ConnectionState::TransmitTlsData(message) => message.done(),
                ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_) => return Ok(done),
                ConnectionState::PeerClosed | ConnectionState::Closed => {
                    self.ended = true;
                    return Ok(done);
                }
                _ => return Err(TlsError::new("early data")),
            }
        }
    }

    /// Encrypts `plain`, of which records of at most [`Session::SEAL_BYTES`] together are taken, to `sealed`. Returns how many
    /// bytes were taken and how many came out. `incomplete`: what [`Session::open`] has left.
    ///
    /// # Errors
    /// The session cannot encrypt any more.
    pub fn seal(
        &mut self,
        plain: &[u8],
        sealed: &mut [u8],
        incomplete: &mut Vec<u8>,
    ) -> Result<(usize, usize), TlsError> {
        let part = plain.get(..plain.len().min(Self::SEAL_BYTES)).unwrap_or_default();
        let full = || TlsError::new("no room for a record");
        let mut written = 0;
        loop {
            let room = sealed.get_mut(written..).unwrap_or_default();
            let UnbufferedStatus { discard, state, .. } = self.tls.process_tls_records(incomplete);
            match state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => match traffic.encrypt(part, room) {
                    Ok(more) => {
                        discarded(incomplete, discard);
                        return Ok((part.len(), written + more));
                    }
                    Err(EncryptError::InsufficientSize(_)) => return Err(full()),
                    Err(EncryptError::EncryptExhausted) => return Err(TlsError::new("keys are used up")),
                },
                Ok(ConnectionState::EncodeTlsData(mut message)) => {
                    written += message.encode(room).map_err(|_| full())?
                }
                Ok(ConnectionState::TransmitTlsData(message)) => message.done(),
                Ok(_) => return Err(TlsError::new("cannot encrypt now")),
                Err(error) => return Err(TlsError::new(error.to_string())),
            }
            discarded(incomplete, discard);
        }
    }

    /// Most plain bytes that [`Session::seal`] takes at once.
    pub const SEAL_BYTES: usize = 4 * RECORD_BYTES;

    /// Room that [`Session::seal`] needs: four records, and a change of keys before them.
    pub const SEALED_BYTES: usize = 5 * (RECORD_BYTES + RECORD_OVERHEAD);

    /// Tells the client, behind `answer`, that nothing more comes. It is the last call.
    pub fn end(&mut self, answer: &mut Vec<u8>, incomplete: &mut [u8]) {
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = self.tls.process_tls_records(incomplete).state {
            append(answer, |room| match traffic.queue_close_notify(room) {
                Ok(written) => Ok(written),
                Err(EncryptError::InsufficientSize(needed)) => Err(needed.required_size),
                Err(EncryptError::EncryptExhausted) => Ok(0),
            });
        }
    }

    /// After an error: the alert that says so. Nothing is read any more: as long as there is something to say, the library does
    /// not look at what it is given.
    fn last_words(&mut self, answer: &mut Vec<u8>) {
        while self.tls.wants_write() {
            let Ok(ConnectionState::EncodeTlsData(mut message)) = self.tls.process_tls_records(&mut []).state else {
                return;
            };
            append(answer, |room| match message.encode(room) {
                Ok(written) => Ok(written),
                Err(EncodeError::InsufficientSize(needed)) => Err(needed.required_size),
                Err(EncodeError::AlreadyEncoded) => Ok(0),
            });
        }
    }

    /// What the handshake agreed on.
    pub fn secured(&self, login_from: LoginFrom) -> Secured {
        let certificate = self.tls.peer_certificates().and_then(<[_]>::first);
        let is_13 = self.tls.protocol_version() == Some(rustls::ProtocolVersion::TLSv1_3);
        let suite = self.tls.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite())).unwrap_or_default();
        let (key_exchange, cipher) = suite_parts(&suite);
        Secured {
            protocol: if is_13 { "tlsv1.3" } else { "tlsv1.2" },
            key_exchange,
            cipher,
            hash: "aead",
            certificate: certificate.and_then(|der| CertificateFacts::read(der, login_from)),
        }
    }
}

/// `TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384` as `ecdhe_rsa` and `aes_256_gcm`; TLS 1.3's have no key exchange in their names.
fn suite_parts(suite: &str) -> (String, String) {
    let suite = suite.to_lowercase();
    let (exchange, cipher) = match suite.split_once("_with_") {
        Some((exchange, cipher)) => (exchange.trim_start_matches("tls_"), cipher),
        None => ("any", suite.trim_start_matches("tls13_")),
    };
    let cipher = cipher.rsplit_once("_sha").map_or(cipher, |(cipher, _)| cipher);
    (exchange.to_owned(), cipher.to_owned())
}

fn discarded(incomplete: &mut Vec<u8>, count: usize) {
    incomplete.drain(..count.min(incomplete.len()));
}

/// Lets `write` put something behind `out`; it says how much room it needs if there is too little.
fn append(out: &mut Vec<u8>, mut write: impl FnMut(&mut [u8]) -> Result<usize, usize>) {
    let start = out.len();
    let mut room = MESSAGE_BYTES;
    loop {
        out.resize(start + room, 0);
        match write(out.get_mut(start..).unwrap_or_default()) {
            Ok(written) => return out.truncate(start + written),
            Err(needed) if needed > room => room = needed,
            Err(_) => return out.truncate(start),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_in_rabbitmqs_words() {
        let parts = |suite| suite_parts(suite);
        assert_eq!(parts("TLS13_AES_256_GCM_SHA384"), ("any".into(), "aes_256_gcm".into()));
        let wanted = ("ecdhe_rsa".into(), "chacha20_poly1305".into());
        assert_eq!(parts("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"), wanted);
    }
}

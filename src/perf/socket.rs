//! A socket, plain or with TLS. Both block or not as the TCP stream below does.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

/// Bytes that TLS may hold encrypted while the stream takes none.
const HELD_BYTES: usize = 256 * 1024;

/// A connected socket.
pub(super) enum Socket {
    Plain(TcpStream),
    Tls(Box<Tls>),
}

/// A stream and the TLS session on it.
pub(super) struct Tls {
    stream: TcpStream,
    session: ClientConnection,
}

/// Whom a TLS client trusts: the certificates of a PEM file.
pub(super) fn trust(file: &Path) -> Result<Arc<ClientConfig>, String> {
    let failed = |error: &dyn std::fmt::Display| format!("--tls-ca: {}: {error}", file.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| failed(&error))? {
        let certificate = certificate.map_err(|error| failed(&error))?;
        roots.add(certificate).map_err(|error| failed(&error))?;
    }
    if roots.is_empty() {
        return Err(failed(&"no certificate in it"));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| failed(&error))?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

impl Socket {
    /// Shakes hands as a client of `host`, on a stream that blocks.
    pub(super) fn tls(mut stream: TcpStream, host: &str, trust: &Arc<ClientConfig>) -> Result<Self, String> {
        let failed = |error: &dyn std::fmt::Display| format!("TLS with {host}: {error}");
        let name = ServerName::try_from(host.to_owned()).map_err(|error| failed(&error))?;
        let mut session = ClientConnection::new(Arc::clone(trust), name).map_err(|error| failed(&error))?;
        session.set_buffer_limit(Some(HELD_BYTES));
        session.complete_io(&mut stream).map_err(|error| failed(&error))?;
        Ok(Self::Tls(Box::new(Tls { stream, session })))
    }

    pub(super) fn stream(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(tls) => &tls.stream,
        }
    }

    /// Whether a read that brought this much of what it had room for has emptied the stream.
    pub(super) fn is_emptied(&self, count: usize, room: usize) -> bool {
        // TLS gives records: there may be more of them in the session or the stream.
        matches!(self, Self::Plain(_)) && count < room
    }

    /// Whether a write that took this much of what it was given has filled the stream.
    pub(super) fn is_filled(&self, count: usize, given: usize) -> bool {
        match self {
            Self::Plain(_) => count < given,
            Self::Tls(tls) => tls.session.wants_write(),
        }
    }

    /// Writes what TLS holds back; whether nothing is left of it.
    pub(super) fn pump(&mut self) -> io::Result<bool> {
        match self {
            Self::Plain(_) => Ok(true),
            Self::Tls(tls) => tls.pump(),
        }
    }
}

impl Tls {
    fn pump(&mut self) -> io::Result<bool> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.stream) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

impl Read for Socket {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let tls = match self {
            Self::Plain(stream) => return stream.read(room),
            Self::Tls(tls) => tls,
        };
        loop {
            match tls.session.reader().read(room) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return read,
            }
            if tls.session.read_tls(&mut tls.stream)? == 0 {
                return Ok(0);
            }
            tls.session.process_new_packets().map_err(io::Error::other)?;
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let tls = match self {
            Self::Plain(stream) => return stream.write(bytes),
            Self::Tls(tls) => tls,
        };
        if !tls.pump()? {
            return Err(ErrorKind::WouldBlock.into());
        }
        let count = tls.session.writer().write(bytes)?;
        tls.pump()?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pump().map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::PrivateKeyDer;
    use rustls::{ServerConfig, ServerConnection, StreamOwned};
    use std::net::TcpListener;
    use std::thread;

    #[test]
    fn tls_carries_both_ways_and_trusts_only_whom_it_was_told_to() {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ca.pem");
        std::fs::write(&file, made.cert.pem()).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth();
        let config = Arc::new(config.with_single_cert(vec![made.cert.der().clone()], key).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let echo = thread::spawn(move || {
            for _ in 0..2 {
                let (stream, _) = listener.accept().unwrap();
                let mut tls = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
                let mut bytes = vec![0; 1_000_000];
                if tls.read_exact(&mut bytes).is_ok() {
                    tls.write_all(&bytes).unwrap();
                }
            }
        });
        let mut socket = Socket::tls(TcpStream::connect(addr).unwrap(), "localhost", &trust(&file).unwrap()).unwrap();
        let sent: Vec<u8> = (0..1_000_000_u32).map(|number| number as u8).collect();
        socket.write_all(&sent).unwrap();
        let mut got = vec![0; sent.len()];
        socket.read_exact(&mut got).unwrap();
        assert!(got == sent);
        let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(&file, other.cert.pem()).unwrap();
        let refused = Socket::tls(TcpStream::connect(addr).unwrap(), "localhost", &trust(&file).unwrap());
        assert!(refused.err().unwrap().contains("TLS with localhost"));
        drop(socket);
        echo.join().unwrap();
        std::fs::write(&file, "nothing").unwrap();
        assert!(trust(&file).unwrap_err().contains("no certificate"));
    }
}

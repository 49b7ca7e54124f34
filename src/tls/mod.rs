//! TLS, the only module that knows it: certificates and how they are read again, sessions without a socket, and the names
//! in clients' certificates. Listeners of every protocol take their sessions here.

mod certificate;
mod files;
mod session;
#[cfg(test)]
mod tests;

pub use certificate::{CertificateFacts, LoginFrom, SanType};
pub use session::{Progress, Secured, Session};

use files::Stamp;
use parking_lot::RwLock;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use rustls::{RootCertStore, SupportedProtocolVersion};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};

/// A TLS stream for those who read and write whole streams, such as an HTTP server.
pub use tokio_rustls::server::TlsStream;

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// TLS 1.2.
    V12,
    /// TLS 1.3.
    V13,
}

/// Whether clients show certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    /// They are not asked for one (`verify_none`).
    Ignored,
    /// One that is shown must be signed by an authority (`verify_peer`).
    Verified,
    /// One must be shown, too (`verify_peer` and `fail_if_no_peer_cert`).
    Required,
}

/// The password of a private key; it is never printed.
#[derive(Clone, Default)]
pub struct KeyPassword(pub String);

impl fmt::Debug for KeyPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What a TLS server needs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The certificate and those it is signed by, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// The key's password; empty for none.
    pub key_password: KeyPassword,
    /// Those who may sign clients' certificates, PEM.
    pub authorities: Option<PathBuf>,
    /// Whether clients show certificates.
    pub clients: ClientCertificates,
    /// Versions that are spoken.
    pub versions: Vec<Version>,
    /// Where the user's name stands in a client's certificate.
    pub login_from: LoginFrom,
}

/// Why there is no TLS: prints as one line.
#[derive(Debug)]
pub struct TlsError(String);

impl TlsError {
    fn new(text: impl Into<String>) -> TlsError {
        TlsError(text.into())
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TlsError {}

/// One side of TLS: what sessions are begun with. Its files may change while it is in use.
#[derive(Debug)]
pub struct Server {
    settings: Settings,
    loaded: RwLock<Loaded>,
}

#[derive(Debug)]
struct Loaded {
    config: Arc<ServerConfig>,
    stamp: Stamp,
    /// The certificate's end, in seconds of the Unix epoch.
    not_after: i64,
}

/// Lets clients of other libraries (HTTP back ends) use TLS with the same cryptography. To be called once, at the start.
pub fn install() {
    // Somebody else having done it is as good.
    let _ = aws_lc_rs::default_provider().install_default();
}

impl Server {
    /// Reads the files.
    ///
    /// # Errors
    /// A file cannot be read, or does not hold what it should; key and certificate do not fit.
    pub fn load(settings: Settings) -> Result<Server, TlsError> {
        let loaded = RwLock::new(load(&settings)?);
        Ok(Server { settings, loaded })
    }

    /// Reads the files again. New sessions use them; on an error they go on with the old ones.
    ///
    /// # Errors
    /// As [`Server::load`].
    pub fn reload(&self) -> Result<(), TlsError> {
        let loaded = load(&self.settings);
        let mut current = self.loaded.write();
        match loaded {
            Ok(loaded) => *current = loaded,
            Err(error) => {
                // The same files are not tried again until one of them changes.
                current.stamp = Stamp::of(&self.settings);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Reads the files again if one of them has changed; None if not.
    pub fn reload_if_changed(&self) -> Option<Result<(), TlsError>> {
        let changed = Stamp::of(&self.settings) != self.loaded.read().stamp;
        changed.then(|| self.reload())
    }

    /// The file of the certificate.
    pub fn certificate(&self) -> &Path {
        &self.settings.certificate
    }

    /// When the certificate ends, in seconds of the Unix epoch.
    pub fn not_after(&self) -> i64 {
        self.loaded.read().not_after
    }

    /// Where the user's name stands in a client's certificate.
    pub fn login_from(&self) -> LoginFrom {
        self.settings.login_from
    }

    /// A session for a new connection.
    ///
    /// # Errors
    /// The library refuses its settings.
    pub fn session(&self) -> Result<Session, TlsError> {
        Session::new(self.loaded.read().config.clone())
    }

    /// The server's side of a handshake on a whole stream. The caller bounds its time.
    ///
    /// # Errors
    /// The handshake fails.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> std::io::Result<TlsStream<S>> {
        let config = self.loaded.read().config.clone();
        tokio_rustls::TlsAcceptor::from(config).accept(stream).await
    }
}

fn load(settings: &Settings) -> Result<Loaded, TlsError> {
    // Before the files are read: a change meanwhile is seen the next time.
    let stamp = Stamp::of(settings);
    let chain = files::certificates(&settings.certificate)?;
    let not_after = chain.first().map_or(0, |certificate| certificate::not_after(certificate));
    let key = files::key(&settings.key, &settings.key_password)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let versions: Vec<&SupportedProtocolVersion> = settings.versions.iter().map(|version| version.known()).collect();
    let refused = |error: rustls::Error| TlsError::new(format!("{}: {error}", settings.certificate.display()));
    let builder = ServerConfig::builder_with_provider(provider.clone());
    let builder = builder.with_protocol_versions(&versions).map_err(refused)?;
    let builder = match settings.clients {
        ClientCertificates::Ignored => builder.with_no_client_auth(),
        clients => builder.with_client_cert_verifier(verifier(settings, clients, provider)?),
    };
    let config = builder.with_single_cert(chain, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            let (certificate, key) = (settings.certificate.display(), settings.key.display());
            TlsError::new(format!("{key} is not the key of the certificate in {certificate}"))
        }
        error => refused(error),
    })?;
    Ok(Loaded { config: Arc::new(config), stamp, not_after })
}

fn verifier(
    settings: &Settings,
    clients: ClientCertificates,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, TlsError> {
    let Some(path) = &settings.authorities else {
        return Err(TlsError::new("clients' certificates cannot be verified without the certificates of authorities"));
    };
    let refused = |fault: &dyn fmt::Display| TlsError::new(format!("{}: {fault}", path.display()));
    let mut roots = RootCertStore::empty();
    for certificate in files::certificates(path)? {
        roots.add(certificate).map_err(|error| refused(&error))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match clients {
        ClientCertificates::Required => builder,
        _ => builder.allow_unauthenticated(),
    };
    builder.build().map_err(|error| refused(&error))
}

impl Version {
    fn known(self) -> &'static SupportedProtocolVersion {
        match self {
            Version::V12 => &rustls::version::TLS12,
            Version::V13 => &rustls::version::TLS13,
        }
    }
}

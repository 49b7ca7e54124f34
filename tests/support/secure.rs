//! Certificates for a test, and a tunnel: what is said to it in plain is said to the broker in TLS.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};

/// Who signs, and the files of what was signed.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: PathBuf,
}

/// The files of a certificate and its key.
#[derive(Clone)]
pub struct Pair {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    /// A new one; its certificate is `ca.pem` in `dir`.
    pub fn new(dir: &Path) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, "test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate");
        std::fs::write(dir.join("ca.pem"), issuer.pem()).expect("a writable directory");
        Authority { issuer, dir: dir.to_owned() }
    }

    /// Its certificate.
    pub fn path(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// Signs a certificate of `localhost` with this common name; its files are called like it.
    pub fn sign(&self, name: &str) -> Pair {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Acme");
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let pair =
            Pair { certificate: self.dir.join(format!("{name}.pem")), key: self.dir.join(format!("{name}.key")) };
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        std::fs::write(&pair.certificate, certificate.pem()).expect("a writable directory");
        std::fs::write(&pair.key, key.serialize_pem()).expect("a writable directory");
        pair
    }

    /// The lines of `[tls]` for a broker with this certificate.
    pub fn settings(&self, pair: &Pair) -> String {
        format!("[tls]\ncertificate = {:?}\nkey = {:?}\nauthorities = {:?}\n", pair.certificate, pair.key, self.path())
    }

    /// A tunnel to a broker whose certificate this authority has signed, with a certificate of the client's own or none.
    /// It lasts as long as the process.
    pub fn tunnel(&self, broker: SocketAddr, own: Option<&Pair>) -> SocketAddr {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.issuer.pem().as_bytes()).expect("PEM")).expect("a certificate");
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().expect("versions").with_root_certificates(roots);
        let config = match own {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let chain = vec![CertificateDer::from_pem_file(&pair.certificate).expect("a certificate")];
                let key = PrivateKeyDer::from_pem_file(&pair.key).expect("a key");
                builder.with_client_auth_cert(chain, key).expect("a pair")
            }
        };
        let connector = TlsConnector::from(Arc::new(config));
        let (send, receive) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
                send.send(listener.local_addr().expect("an address")).expect("a receiver");
                while let Ok((near, _)) = listener.accept().await {
                    tokio::spawn(forward(near, broker, connector.clone()));
                }
            });
        });
        receive.recv().expect("a tunnel")
    }
}

async fn forward(mut near: TcpStream, broker: SocketAddr, connector: TlsConnector) {
    let Ok(far) = TcpStream::connect(broker).await else { return };
    let name = ServerName::try_from("localhost").expect("a name");
    if let Ok(mut far) = connector.connect(name, far).await {
        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    }
}

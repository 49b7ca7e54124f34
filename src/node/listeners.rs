//! The node's listeners: bound before the store is touched, served once it is there.

use super::NodeError;
use crate::config::{self, Config};
use crate::listener::{Network, Service, SocketOptions, accept, bind};
use crate::tls::{self, ClientCertificates, LoginFrom, SanType, Version};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How often it is seen that a certificate's files have changed.
const CERTIFICATE_CHECK: Duration = Duration::from_secs(10);

/// An address that is listened on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Address {
    pub address: SocketAddr,
    pub secure: bool,
    /// Somebody else of us listens on the port with IPv4.
    pub only_ipv6: bool,
}

impl Address {
    /// Listens there again.
    pub fn bind_again(self, options: SocketOptions) -> Result<(Address, TcpListener), String> {
        let listener = bind(self.address, self.only_ipv6, options);
        listener.map(|listener| (self, listener)).map_err(|error| format!("{}: {error}", self.address))
    }
}

/// Sockets that are bound, and not yet served.
pub(super) struct Listeners {
    bound: Vec<(Address, TcpListener)>,
    options: SocketOptions,
    tls: Option<Arc<tls::Server>>,
}

impl Listeners {
    /// Reads the certificates and binds every address of the settings. A port that is in use must not cost the mark of a
    /// clean stop, so this comes first of all.
    pub fn bind(config: &Config) -> Result<Listeners, NodeError> {
        let tls = certificates(config)?;
        let settings = &config.listener;
        let plain = settings.address.iter().map(|address| (*address, false));
        let wanted: Vec<_> = plain.chain(settings.tls_address.iter().map(|address| (*address, true))).collect();
        if wanted.is_empty() {
            return Err(NodeError::Failed("listener.address and listener.tls_address name nothing".to_owned()));
        }
        let options = SocketOptions {
            backlog: settings.backlog,
            keepalive: settings.keepalive,
            buffers: [settings.receive_buffer, settings.send_buffer],
            reset_on_close: settings.reset_on_close,
        };
        let mut bound = Vec::new();
        for (address, secure) in &wanted {
            let setting = if *secure { "listener.tls_address" } else { "listener.address" };
            let refused = |error| NodeError::Listen(setting, *address, error);
            let same_port = |other: &SocketAddr| other.port() == address.port() && other.port() != 0;
            let only_ipv6 = wanted.iter().any(|(other, _)| other.is_ipv4() && same_port(other));
            let listener = bind(*address, only_ipv6, options).map_err(refused)?;
            let address = listener.local_addr().map_err(refused)?;
            bound.push((Address { address, secure: *secure, only_ipv6 }, listener));
        }
        Ok(Listeners { bound, options, tls })
    }

    /// Where they are bound, and whether TLS is spoken there.
    pub fn addresses(&self) -> Vec<(SocketAddr, bool)> {
        self.bound.iter().map(|(address, _)| (address.address, address.secure)).collect()
    }

    /// The certificates, where something needs them.
    pub fn tls(&self) -> Option<&Arc<tls::Server>> {
        self.tls.as_ref()
    }

    /// Accepts connections from now on, and watches the certificates.
    pub fn serve(self, service: &Service) -> Doors {
        tokio::spawn(watch(self.tls.clone(), service.stop.clone()));
        let mut doors = Doors {
            service: service.clone(),
            tls: self.tls,
            options: self.options,
            addresses: self.bound.iter().map(|(address, _)| *address).collect(),
            end: service.stop.child_token(),
            tasks: Vec::new(),
        };
        self.bound.into_iter().for_each(|(address, listener)| doors.open_one(address, listener));
        doors
    }
}

/// The addresses at which clients come in: they can be closed, and opened again.
pub(super) struct Doors {
    service: Service,
    tls: Option<Arc<tls::Server>>,
    options: SocketOptions,
    addresses: Vec<Address>,
    end: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Doors {
    /// Where clients come in, port 0 replaced by what the system gave.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.addresses.iter().map(|address| address.address).collect()
    }

    /// Whether clients can come in.
    pub fn are_open(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// Closes the sockets. Connections stay.
    pub async fn close(&mut self) {
        self.end.cancel();
        for task in std::mem::take(&mut self.tasks) {
            // Its panic, if any, was reported by its own thread; the socket is closed then, too.
            let _ = task.await;
        }
    }

    /// Opens those again that were closed: all of them or none.
    ///
    /// # Errors
    /// When somebody else listens there meanwhile.
    pub fn open(&mut self) -> Result<(), String> {
        let bound = self.addresses.iter().map(|address| address.bind_again(self.options));
        let bound: Vec<_> = bound.collect::<Result<_, String>>()?;
        self.end = self.service.stop.child_token();
        bound.into_iter().for_each(|(address, listener)| self.open_one(address, listener));
        Ok(())
    }

    fn open_one(&mut self, Address { address, secure, .. }: Address, listener: TcpListener) {
        tracing::info!(%address, tls = secure, "listening");
        let tls = self.tls.clone().filter(|_| secure);
        self.tasks.push(tokio::spawn(accept(listener, tls, self.service.clone(), self.end.clone())));
    }
}

/// What the settings name; None where nothing needs it.
fn certificates(config: &Config) -> Result<Option<Arc<tls::Server>>, NodeError> {
    let settings = &config.tls;
    let (certificate, key) = match (&settings.certificate, &settings.key) {
        (Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
        _ if !config.listener.tls_address.is_empty() => {
            return Err(NodeError::Failed("listener.tls_address needs tls.certificate and tls.key".to_owned()));
        }
        _ if !config.management.tls_address.is_empty() => {
            return Err(NodeError::Failed("management.tls_address needs tls.certificate and tls.key".to_owned()));
        }
        _ => return Ok(None),
    };
    let place = settings.login_from_place;
    let server = tls::Server::load(tls::Settings {
        certificate,
        key,
        key_password: tls::KeyPassword(settings.key_password.reveal().to_owned()),
        authorities: settings.authorities.clone(),
        clients: match settings.clients {
            config::ClientCertificates::Ignored => ClientCertificates::Ignored,
            config::ClientCertificates::Verified => ClientCertificates::Verified,
            config::ClientCertificates::Required => ClientCertificates::Required,
        },
        versions: settings
            .versions
            .iter()
            .map(|version| if *version == "1.3" { Version::V13 } else { Version::V12 })
            .collect(),
        login_from: match settings.login_from {
            config::LoginFrom::DistinguishedName => LoginFrom::DistinguishedName,
            config::LoginFrom::CommonName => LoginFrom::CommonName,
            config::LoginFrom::SanDns => LoginFrom::AlternativeName(SanType::Dns, place),
            config::LoginFrom::SanIp => LoginFrom::AlternativeName(SanType::Ip, place),
            config::LoginFrom::SanEmail => LoginFrom::AlternativeName(SanType::Email, place),
            config::LoginFrom::SanUri => LoginFrom::AlternativeName(SanType::Uri, place),
        },
    });
    Ok(Some(Arc::new(server.map_err(NodeError::Tls)?)))
}

/// Whose word counts for who their clients are.
pub(super) fn proxies(networks: &[(IpAddr, u8)]) -> Arc<[Network]> {
    networks.iter().map(|(address, bits)| Network { address: *address, bits: *bits }).collect()
}

/// Reads the certificates again on SIGHUP, and when their files have changed. Without any, SIGHUP changes nothing.
async fn watch(tls: Option<Arc<tls::Server>>, stop: CancellationToken) {
    let mut hang_up = signal(SignalKind::hangup()).ok();
    let told = |outcome: Result<(), tls::TlsError>| match outcome {
        Ok(()) => tracing::info!("certificates are read again"),
        Err(error) => tracing::error!(%error, "certificates cannot be read again: the old ones stay in use"),
    };
    loop {
        let asked = async {
            match &mut hang_up {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        let outcome = tokio::select! {
            () = stop.cancelled() => return,
            _ = asked => tls.as_ref().map(|tls| tls.reload()),
            () = tokio::time::sleep(CERTIFICATE_CHECK), if tls.is_some() => {
                tls.as_ref().and_then(|tls| tls.reload_if_changed())
            }
        };
        outcome.into_iter().for_each(told);
    }
}

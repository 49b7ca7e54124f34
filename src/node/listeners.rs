//! The node's listeners: bound before the store is touched, served once it is there.

use super::NodeError;
use crate::config::{self, Config};
use crate::listener::{Network, Service, accept, bind};
use crate::tls::{self, ClientCertificates, LoginFrom, SanType, Version};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How often it is seen that a certificate's files have changed.
const CERTIFICATE_CHECK: Duration = Duration::from_secs(10);

/// Sockets that are bound, and not yet served.
pub(super) struct Listeners {
    bound: Vec<(SocketAddr, TcpListener, bool)>,
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
        let mut bound = Vec::new();
        for (address, secure) in &wanted {
            let setting = if *secure { "listener.tls_address" } else { "listener.address" };
            let refused = |error| NodeError::Listen(setting, *address, error);
            let same_port = |other: &SocketAddr| other.port() == address.port() && other.port() != 0;
            let only_ipv6 = wanted.iter().any(|(other, _)| other.is_ipv4() && same_port(other));
            let listener = bind(*address, only_ipv6, settings.backlog).map_err(refused)?;
            bound.push((listener.local_addr().map_err(refused)?, listener, *secure));
        }
        Ok(Listeners { bound, tls })
    }

    /// Where they are bound, and whether TLS is spoken there.
    pub fn addresses(&self) -> Vec<(SocketAddr, bool)> {
        self.bound.iter().map(|(address, _, secure)| (*address, *secure)).collect()
    }

    /// The certificates, where something needs them.
    pub fn tls(&self) -> Option<&Arc<tls::Server>> {
        self.tls.as_ref()
    }

    /// Accepts connections from now on, and watches the certificates. Returns where.
    pub fn serve(self, service: &Service) -> Vec<SocketAddr> {
        let mut addresses = Vec::new();
        for (address, listener, secure) in self.bound {
            tracing::info!(%address, tls = secure, "listening");
            addresses.push(address);
            tokio::spawn(accept(listener, self.tls.clone().filter(|_| secure), service.clone()));
        }
        tokio::spawn(watch(self.tls, service.stop.clone()));
        addresses
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

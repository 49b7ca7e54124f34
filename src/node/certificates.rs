//! Certificates: those of AMQP, and those of the management API, which may be the same files. They are read again on SIGHUP and
//! when their files change.

use super::NodeError;
use crate::clock::Now;
use crate::config::{self, Config};
use crate::tls::{self, ClientCertificates, KeyPassword, LoginFrom, SanType, Server, Settings, Version};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How often it is seen that a certificate's files have changed.
const CHECK: Duration = Duration::from_secs(10);

/// What the settings name; None where nothing needs it.
#[derive(Clone, Debug)]
pub(super) struct Certificates {
    /// Those of AMQP.
    pub amqp: Option<Arc<Server>>,
    /// Those of the management API.
    pub http: Option<Arc<Server>>,
}

impl Certificates {
    /// Reads them.
    pub fn load(config: &Config) -> Result<Certificates, NodeError> {
        let (amqp, http) = (of_amqp(config), of_http(config));
        if amqp.is_none() && !config.listener.tls_address.is_empty() {
            return Err(NodeError::Failed("listener.tls_address needs tls.certificate and tls.key".to_owned()));
        }
        if http.is_none() && !config.management.tls_address.is_empty() {
            return Err(NodeError::Failed("management.tls_address needs a certificate and its key".to_owned()));
        }
        let http = http.filter(|_| !config.management.tls_address.is_empty());
        let load = |settings: Option<Settings>| match settings.map(Server::load).transpose() {
            Ok(server) => Ok(server.map(Arc::new)),
            Err(error) => Err(NodeError::Tls(error)),
        };
        let loaded = Certificates { amqp: load(amqp)?, http: load(http)? };
        loaded.each().for_each(tell_end);
        Ok(loaded)
    }

    /// All of them.
    pub fn each(&self) -> impl Iterator<Item = &Arc<Server>> {
        self.amqp.iter().chain(&self.http)
    }

    /// Reads them again on SIGHUP, and when their files have changed. Without any, SIGHUP changes nothing.
    pub async fn watch(self, stop: CancellationToken) {
        let mut hang_up = signal(SignalKind::hangup()).ok();
        let has_any = self.each().next().is_some();
        loop {
            let asked = async {
                match &mut hang_up {
                    Some(signal) => signal.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                _ = asked => self.each().for_each(|server| told(server, server.reload())),
                () = tokio::time::sleep(CHECK), if has_any => {
                    let changed = self.each().filter_map(|server| Some((server, server.reload_if_changed()?)));
                    changed.for_each(|(server, outcome)| told(server, outcome));
                }
            }
        }
    }
}

fn told(server: &Arc<Server>, outcome: Result<(), tls::TlsError>) {
    match outcome {
        Ok(()) => {
            let certificate = server.certificate().display();
            tracing::info!(%certificate, "certificates are read again");
            tell_end(server);
        }
        Err(error) => tracing::error!(%error, "certificates cannot be read again: the old ones stay in use"),
    }
}

/// Clients refuse a certificate that has ended; the log says why.
fn tell_end(server: &Arc<Server>) {
    if server.not_after() <= i64::try_from(Now::unix_seconds()).unwrap_or(i64::MAX) {
        let certificate = server.certificate().display();
        tracing::warn!(%certificate, "the certificate has ended: clients will refuse it");
    }
}

fn of_amqp(config: &Config) -> Option<Settings> {
    let settings = &config.tls;
    let place = settings.login_from_place;
    Some(Settings {
        certificate: settings.certificate.clone()?,
        key: settings.key.clone()?,
        key_password: KeyPassword(settings.key_password.reveal().to_owned()),
        authorities: settings.authorities.clone(),
        clients: clients(settings.clients),
        versions: versions(config),
        login_from: match settings.login_from {
            config::LoginFrom::DistinguishedName => LoginFrom::DistinguishedName,
            config::LoginFrom::CommonName => LoginFrom::CommonName,
            config::LoginFrom::SanDns => LoginFrom::AlternativeName(SanType::Dns, place),
            config::LoginFrom::SanIp => LoginFrom::AlternativeName(SanType::Ip, place),
            config::LoginFrom::SanEmail => LoginFrom::AlternativeName(SanType::Email, place),
            config::LoginFrom::SanUri => LoginFrom::AlternativeName(SanType::Uri, place),
        },
    })
}

fn of_http(config: &Config) -> Option<Settings> {
    let (own, amqp) = (&config.management, &config.tls);
    let (certificate, key, password) = match (&own.tls_certificate, &own.tls_key) {
        (Some(certificate), Some(key)) => (certificate, key, &own.tls_key_password),
        _ => (amqp.certificate.as_ref()?, amqp.key.as_ref()?, &amqp.key_password),
    };
    let asked = |wanted| !matches!(clients(wanted), ClientCertificates::Ignored);
    if !own.tls_address.is_empty() && asked(amqp.clients) && !asked(own.tls_clients) {
        tracing::warn!(
            "tls.clients is about AMQP: whoever comes by HTTPS needs no certificate unless management.tls_clients says so"
        );
    }
    Some(Settings {
        certificate: certificate.clone(),
        key: key.clone(),
        key_password: KeyPassword(password.reveal().to_owned()),
        authorities: own.tls_authorities.clone().or_else(|| amqp.authorities.clone()),
        clients: clients(own.tls_clients),
        versions: versions(config),
        login_from: LoginFrom::DistinguishedName,
    })
}

fn clients(wanted: config::ClientCertificates) -> ClientCertificates {
    match wanted {
        config::ClientCertificates::Ignored => ClientCertificates::Ignored,
        config::ClientCertificates::Verified => ClientCertificates::Verified,
        config::ClientCertificates::Required => ClientCertificates::Required,
    }
}

fn versions(config: &Config) -> Vec<Version> {
    config.tls.versions.iter().map(|version| if *version == "1.3" { Version::V13 } else { Version::V12 }).collect()
}

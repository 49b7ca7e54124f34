//! Ports and certificates.

use super::{Finding, Patient};
use crate::clock::Now;
use crate::config::{ClientCertificates, Config, Secret};
use crate::tls;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Time for a connection to a port of this machine.
const CONNECT: Duration = Duration::from_secs(2);
/// A certificate that ends within so many days is told.
const SOON: i64 = 30;
const DAY: i64 = 86_400;

pub(super) fn look(patient: &Patient) -> Vec<Finding> {
    let config = patient.config;
    let mut findings: Vec<Finding> = addresses(config).map(|address| port(address, patient.is_running())).collect();
    let allowed = fs::read_to_string("/proc/sys/net/core/somaxconn").ok().and_then(|text| text.trim().parse().ok());
    findings.extend(allowed.map(|allowed| backlog(config.listener.backlog, allowed)));
    findings.extend(certificate(config));
    findings
}

fn addresses(config: &Config) -> impl Iterator<Item = SocketAddr> {
    let lists = [
        &config.listener.address,
        &config.listener.tls_address,
        &config.management.address,
        &config.management.tls_address,
        &config.prometheus.address,
    ];
    lists.into_iter().flatten().copied().filter(|address| address.port() > 0).collect::<Vec<_>>().into_iter()
}

/// While the node runs the port must answer, else it must be free.
fn port(address: SocketAddr, running: bool) -> Finding {
    if running {
        let near = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        return match TcpStream::connect_timeout(&SocketAddr::new(near, address.port()), CONNECT) {
            Ok(_) => Finding::good("port", format!("{address} answers")),
            Err(error) => Finding::bad(
                "port",
                format!("{address} does not answer: {error}"),
                "the node runs with other settings, or does not serve clients (rabbitmqctl start_app)",
            ),
        };
    }
    match TcpListener::bind(address) {
        Ok(_) => Finding::good("port", format!("{address} is free")),
        Err(error) => Finding::bad(
            "port",
            format!("{address} cannot be listened on: {error}"),
            "ss -ltnp shows who has it: another broker, RabbitMQ perhaps",
        ),
    }
}

fn backlog(wanted: u32, allowed: u32) -> Finding {
    match wanted <= allowed {
        true => Finding::good("backlog", format!("{wanted} connections may wait")),
        false => Finding::doubtful(
            "backlog",
            format!("the system lets {allowed} connections wait, listener.backlog asks for {wanted}"),
            format!("sysctl -w net.core.somaxconn={wanted}"),
        ),
    }
}

fn certificate(config: &Config) -> Vec<Finding> {
    let now = i64::try_from(Now::unix_seconds()).unwrap_or(i64::MAX);
    let judged = certificates(config).into_iter().map(|(setting, loaded)| match loaded {
        Ok(server) => ends(&server.certificate().display().to_string(), (server.not_after() - now).div_euclid(DAY)),
        Err(error) => Finding::bad(
            "certificate",
            error.to_string(),
            format!("the node does not start with it: see {setting} and its key"),
        ),
    });
    judged.collect()
}

/// The certificates that the settings name, by the setting, as far as they can be read.
pub(in crate::cli) fn certificates(config: &Config) -> Vec<(&'static str, Result<tls::Server, tls::TlsError>)> {
    tls::install();
    let (amqp, http) = (&config.tls, &config.management);
    let load = |certificate: &Path, key: &Path, password: &Secret, clients, authorities: Option<&PathBuf>| {
        tls::Server::load(tls::Settings {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            key_password: tls::KeyPassword(password.reveal().to_owned()),
            authorities: authorities.cloned(),
            clients: match clients {
                ClientCertificates::Ignored => tls::ClientCertificates::Ignored,
                _ => tls::ClientCertificates::Verified,
            },
            versions: vec![tls::Version::V13],
            login_from: tls::LoginFrom::DistinguishedName,
        })
    };
    let mut found = Vec::new();
    if let (Some(certificate), Some(key)) = (&amqp.certificate, &amqp.key) {
        let loaded = load(certificate, key, &amqp.key_password, amqp.clients, amqp.authorities.as_ref());
        found.push(("tls.certificate", loaded));
    }
    if let (Some(certificate), Some(key)) = (&http.tls_certificate, &http.tls_key) {
        let authorities = http.tls_authorities.as_ref().or(amqp.authorities.as_ref());
        let loaded = load(certificate, key, &http.tls_key_password, http.tls_clients, authorities);
        found.push(("management.tls_certificate", loaded));
    }
    found
}

fn ends(certificate: &str, days: i64) -> Finding {
    let advice = "put the new one in its place: the node reads it within ten seconds";
    match days {
        ..0 => Finding::bad("certificate", format!("{certificate} has ended"), advice),
        0..SOON => Finding::doubtful("certificate", format!("{certificate} ends in {days} days"), advice),
        _ => Finding::good("certificate", format!("{certificate} is good for {days} days")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Grade::*;
    use super::*;

    #[test]
    fn a_port_must_be_free_or_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!((port(address, true).grade, port(address, false).grade), (Good, Bad));
        drop(listener);
        assert_eq!((port(address, true).grade, port(address, false).grade), (Bad, Good));
    }

    #[test]
    fn backlog_and_certificates_are_judged() {
        assert_eq!((backlog(1024, 4096).grade, backlog(1024, 128).grade), (Good, Doubtful));
        assert_eq!([-1, 0, 29, 30].map(|days| ends("c.pem", days).grade), [Bad, Doubtful, Doubtful, Good]);
    }
}

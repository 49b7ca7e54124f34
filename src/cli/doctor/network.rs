//! Ports and certificates.

use super::{Finding, Patient};
use crate::clock::Now;
use crate::config::Config;
use crate::tls;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
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

fn certificate(config: &Config) -> Option<Finding> {
    let (certificate, key) = (config.tls.certificate.clone()?, config.tls.key.clone()?);
    tls::install();
    let loaded = tls::Server::load(tls::Settings {
        certificate: certificate.clone(),
        key,
        key_password: tls::KeyPassword(config.tls.key_password.reveal().to_owned()),
        authorities: config.tls.authorities.clone(),
        clients: tls::ClientCertificates::Ignored,
        versions: vec![tls::Version::V13],
        login_from: tls::LoginFrom::DistinguishedName,
    });
    let now = i64::try_from(Now::unix_seconds()).unwrap_or(i64::MAX);
    Some(match loaded {
        Ok(server) => ends((server.not_after() - now).div_euclid(DAY)),
        Err(error) => Finding::bad(
            "certificate",
            error.to_string(),
            "the node does not start with it: see tls.certificate and tls.key",
        ),
    })
}

fn ends(days: i64) -> Finding {
    let advice = "put the new one in its place: the node reads it within ten seconds";
    match days {
        ..0 => Finding::bad("certificate", "it has ended", advice),
        0..SOON => Finding::doubtful("certificate", format!("it ends in {days} days"), advice),
        _ => Finding::good("certificate", format!("good for {days} days")),
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
        assert_eq!([-1, 0, 29, 30].map(|days| ends(days).grade), [Bad, Doubtful, Doubtful, Good]);
    }
}

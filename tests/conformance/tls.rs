//! AMQPS: whatever works in plain works in TLS, certificates log in, and files are read again.

use crate::stage::*;
use crate::support::*;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A broker with a TLS port; `top` are more settings before any section, `more` are some of `[tls]` and sections behind it.
fn secure_broker(dir: &Path, top: &str, more: &str) -> (Broker, Authority, SocketAddr) {
    let authority = Authority::new(dir);
    let server = authority.sign("broker");
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let tls = authority.settings(&server);
    let broker = broker_with(dir, &format!("listener.tls_address = \"{address}\"\n{top}\n{tls}{more}"));
    (broker, authority, address)
}

fn start_ok(client: &mut Client, mechanism: &str, response: &str) {
    let start_ok = connection::StartOk {
        client_properties: Options::default().properties,
        mechanism: mechanism.into(),
        response: response.into(),
        locale: "en_US".into(),
    };
    client.send(0, AMQPClass::Connection(connection::AMQPMethod::StartOk(start_ok))).unwrap();
}

/// What connection.start offers through a tunnel.
fn greeted(tunnel: SocketAddr) -> (Client, String) {
    let mut client = Client::raw(tunnel).unwrap();
    client.send_bytes(b"AMQP\0\0\x09\x01").unwrap();
    let mechanisms = client.start().unwrap().mechanisms.to_string();
    (client, mechanisms)
}

#[test]
fn messages_of_any_size_go_both_ways() {
    let dir = tempfile::tempdir().unwrap();
    let (broker, authority, address) = secure_broker(dir.path(), "", "");
    let mut client = open_at(authority.tunnel(address, None));
    let name = queue(&mut client);
    client.confirm_select(CH).unwrap();
    let bodies: Vec<String> = [0, 1, 16, 4000, 16_384, 16_385, 200_000, 3_000_000].map(|size| "x".repeat(size)).into();
    for body in &bodies {
        publish(&mut client, &name, body);
        assert_eq!(client.wait_confirms(CH), Ok(vec![]));
    }
    // The other door leads to the same house.
    let mut plain = open_at(broker.addr);
    let drained: Vec<usize> = drain(&mut plain, &name).iter().map(String::len).collect();
    assert_eq!(drained, bodies.iter().map(String::len).collect::<Vec<_>>());
    (0..3000).for_each(|at| publish(&mut client, &name, &at.to_string()));
    assert_eq!(client.wait_confirms(CH), Ok(vec![]));
    let drained = drain(&mut client, &name);
    assert_eq!(drained, (0..3000).map(|at| at.to_string()).collect::<Vec<_>>());
}

#[test]
fn errors_and_ends_reach_the_client() {
    let dir = tempfile::tempdir().unwrap();
    let (mut broker, authority, address) = secure_broker(dir.path(), "", "");
    let tunnel = authority.tunnel(address, None);
    let options = Options { password: "wrong".into(), ..Options::default() };
    let refused = Client::open(tunnel, &options).map(drop).unwrap_err();
    assert!(format!("{refused:?}").contains("ACCESS_REFUSED"), "{refused:?}");
    let mut client = open_at(tunnel);
    assert!(broker.term().unwrap().success());
    let closed = format!("{:?}", client.recv());
    assert!(closed.contains("CONNECTION_FORCED"), "{closed}");
}

#[test]
fn what_is_no_tls_is_told_so_and_closed() {
    let dir = tempfile::tempdir().unwrap();
    let (broker, _, address) = secure_broker(dir.path(), "", "");
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"AMQP\0\0\x09\x01").unwrap();
    let mut answer = Vec::new();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.read_to_end(&mut answer).unwrap();
    // An alert record, fatal.
    assert!(answer.starts_with(&[21, 3]) && answer.get(5) == Some(&2), "{answer:?}");
    eventually("it is in the log", || broker.stderr().contains("TLS handshake"));
}

#[test]
fn a_handshake_has_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let (broker, _, address) = secure_broker(dir.path(), "listener.handshake_timeout = \"300ms\"", "");
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    // The start of a record, and no more: the broker closes, be it by a reset.
    stream.write_all(&[0x16, 3, 1]).unwrap();
    let closed = stream.read(&mut [0; 10]);
    assert!(
        matches!(&closed, Ok(0)) || closed.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset),
        "{closed:?}"
    );
    eventually("it is in the log", || broker.stderr().contains("no TLS handshake in time"));
}

#[test]
fn a_certificate_logs_in() {
    let dir = tempfile::tempdir().unwrap();
    let definitions = dir.path().join("definitions.json");
    std::fs::write(
        &definitions,
        r#"{"rabbitmq_version": "4.1.0", "vhosts": [{"name": "/"}],
            "users": [{"name": "CN=app,O=Acme", "password_hash": "", "tags": []}],
            "permissions": [{"user": "CN=app,O=Acme", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}]}"#,
    )
    .unwrap();
    let more = format!("clients = \"verify\"\n[definitions]\nfile = {definitions:?}\n");
    let (_broker, authority, address) = secure_broker(dir.path(), "", &more);
    let (app, other) = (authority.sign("app"), authority.sign("other"));
    let (mut client, mechanisms) = greeted(authority.tunnel(address, Some(&app)));
    assert_eq!(mechanisms, "PLAIN AMQPLAIN ANONYMOUS EXTERNAL");
    start_ok(&mut client, "EXTERNAL", "");
    let tune = client.tune().unwrap();
    client.tune_ok(&tune, &Options::default()).unwrap();
    client.open_vhost("/").unwrap();
    client.open_channel(CH).unwrap();
    queue(&mut client);
    // Nobody is called like that.
    let (mut client, _) = greeted(authority.tunnel(address, Some(&other)));
    start_ok(&mut client, "EXTERNAL", "");
    let refused = format!("{:?}", client.recv());
    assert!(refused.contains("ACCESS_REFUSED"), "{refused}");
    // Without a certificate there is TLS, and no such login.
    let (_, mechanisms) = greeted(authority.tunnel(address, None));
    assert_eq!(mechanisms, "PLAIN AMQPLAIN ANONYMOUS");
}

#[test]
fn a_new_certificate_is_taken_at_a_signal_and_clients_stay() {
    let dir = tempfile::tempdir().unwrap();
    let (broker, old, address) = secure_broker(dir.path(), "", "");
    let mut before = open_at(old.tunnel(address, None));
    let elsewhere = tempfile::tempdir().unwrap();
    let new = Authority::new(elsewhere.path());
    let pair = new.sign("broker");
    std::fs::copy(&pair.certificate, dir.path().join("broker.pem")).unwrap();
    std::fs::copy(&pair.key, dir.path().join("broker.key")).unwrap();
    Command::new("kill").args(["-HUP", &broker.pid().to_string()]).status().unwrap();
    eventually("they are read again", || broker.stderr().contains("certificates are read again"));
    let mut after = open_at(new.tunnel(address, None));
    let name = queue(&mut before);
    publish(&mut after, &name, "m");
    eventually("it arrived", || counts(&mut before, &name).0 == 1);
    assert!(Client::open(old.tunnel(address, None), &Options::default()).is_err());
}

#[test]
fn a_hang_up_ends_nobody_who_has_no_certificates() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = broker_with(dir.path(), "");
    Command::new("kill").args(["-HUP", &broker.pid().to_string()]).status().unwrap();
    open_at(broker.addr);
    assert!(broker.alive());
}

#[test]
fn a_start_without_certificates_says_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("warren.toml");
    for (config, wanted) in [
        ("listener.tls_address = \"127.0.0.1:1\"", "listener.tls_address: needs tls.certificate and tls.key"),
        ("tls.certificate = \"/none.pem\"\ntls.key = \"/none.key\"", "TLS: /none.pem: cannot be read"),
    ] {
        std::fs::write(&file, config).unwrap();
        let args = ["--config", file.to_str().unwrap()];
        let told = Broker::try_start(&dir.path().join("data"), free_port(), &args).map(drop).unwrap_err();
        assert!(told.contains(wanted), "{told}");
    }
}

#[test]
fn the_management_api_does_not_ask_for_the_certificate_that_amqp_requires() {
    let (dir, https) = (tempfile::tempdir().unwrap(), SocketAddr::from(([127, 0, 0, 1], free_port())));
    let served = format!("management.tls_address = \"{https}\"");
    let (_broker, authority, amqps) = secure_broker(dir.path(), &served, "clients = \"require\"\n");
    assert!(Client::open(authority.tunnel(amqps, None), &Options::default()).is_err());
    let mut stream = TcpStream::connect(authority.tunnel(https, None)).unwrap();
    stream.write_all(b"GET /api/whoami HTTP/1.0\r\nAuthorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n\r\n").unwrap();
    let mut answer = String::new();
    // The tunnel may end without TLS's own end.
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
}

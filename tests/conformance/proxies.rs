//! Who a client is, when a proxy says so, and on which addresses it comes.

use crate::stage::*;
use crate::support::*;
use std::net::SocketAddr;

const ONE: &[u8] = b"PROXY TCP4 203.0.113.9 192.0.2.2 40000 5672\r\n";

/// A client behind the proxy 127.0.0.2 that says `header`, and whether guest is let in.
fn behind(addr: SocketAddr, header: &[u8]) -> Result<(), Error> {
    let mut client = Client::raw_from("127.0.0.2", addr)?;
    greet(&mut client, header)
}

fn greet(client: &mut Client, header: &[u8]) -> Result<(), Error> {
    client.send_bytes(header)?;
    client.send_bytes(b"AMQP\0\0\x09\x01")?;
    client.start()?;
    client.start_ok(&Options::default())?;
    client.tune().map(drop)
}

#[test]
fn a_trusted_proxy_says_who_its_client_is() {
    let dir = tempfile::tempdir().unwrap();
    // Whoever starts the broker comes from another address and says no header.
    let broker = broker_with(dir.path(), "[listener]\nproxies = [\"127.0.0.2\"]\n");
    // guest is from elsewhere now, whatever the socket's address is.
    let refused = format!("{:?}", behind(broker.addr, ONE).unwrap_err());
    assert!(refused.contains("ACCESS_REFUSED"), "{refused}");
    assert!(broker.stderr().contains("203.0.113.9:40000 -> 192.0.2.2:5672"), "{}", broker.stderr());
    let version_2 = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &[203, 0, 113, 8, 192, 0, 2, 2, 0, 9, 0, 8]].concat();
    assert!(behind(broker.addr, &version_2).is_err());
    assert!(broker.stderr().contains("203.0.113.8:9 -> 192.0.2.2:8"), "{}", broker.stderr());
    // Its own connections, and clients on this machine.
    behind(broker.addr, b"PROXY UNKNOWN\r\n").unwrap();
    behind(broker.addr, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0").unwrap();
    behind(broker.addr, b"PROXY TCP4 127.0.0.1 127.0.0.1 40000 5672\r\n").unwrap();
}

#[test]
fn a_trusted_proxy_has_to_say_it() {
    let dir = tempfile::tempdir().unwrap();
    let broker = broker_with(dir.path(), "[listener]\nproxies = [\"127.0.0.2\"]\n");
    // From an address that is not the proxy's, a header is no protocol.
    let mut client = Client::raw(broker.addr).unwrap();
    assert!(greet(&mut client, ONE).is_err());
    open_at(broker.addr);
    assert!(behind(broker.addr, b"").is_err());
    eventually("it is in the log", || broker.stderr().contains("no PROXY header"));
}

#[test]
fn ipv4_and_ipv6_each_or_both() {
    let dir = tempfile::tempdir().unwrap();
    let (both, one) = (free_port(), free_port());
    let listen = format!("[listener]\naddress = [\"[::]:{both}\", \"[::]:{one}\", \"0.0.0.0:{one}\"]\n");
    let file = dir.path().join("w.toml");
    std::fs::write(&file, listen).unwrap();
    // Without --listen, which would stand for all of them.
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_warren"))
        .args(["serve", "--config", file.to_str().unwrap(), "--data-dir"])
        .arg(dir.path().join("data"))
        .envs([("WARREN_MANAGEMENT_ADDRESS", ""), ("WARREN_PROMETHEUS_ADDRESS", "")])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let v4 = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    let v6 = |port: u16| SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], port));
    eventually("it listens", || Client::connect(v4(one)).is_ok());
    for address in [v4(both), v4(one), v6(both), v6(one)] {
        // guest from this machine, however it is written.
        Client::connect(address).unwrap_or_else(|error| panic!("{address}: {error:?}"));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

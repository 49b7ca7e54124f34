//! The PROXY protocol, versions 1 and 2 (haproxy.org, proxy-protocol.txt): a proxy says before the first byte of its client
//! who that client is. It is believed only if it comes from a source that the settings trust.

use std::io::{Error, Result};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The bytes that version 2 begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// What is read first: less than the shortest header has.
const FIRST_BYTES: usize = SIGNATURE.len();
/// Longest header of version 1, in bytes (section 2.1).
const LINE_BYTES: usize = 107;
/// Longest header of version 2 that is taken behind its fixed part, in bytes: addresses have at most 216, the rest tells
/// about TLS.
const HEADER_BYTES: usize = 4096;

/// A part of the address space: those that share the first `bits` of `address`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// An address in it.
    pub address: IpAddr,
    /// How many of its bits count.
    pub bits: u8,
}

impl Network {
    /// Whether an address is in it. An IPv4 address is the same when it is written as IPv6.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (one, other, width) = match (self.address.to_canonical(), address.to_canonical()) {
            (IpAddr::V4(one), IpAddr::V4(other)) => (one.to_bits().into(), other.to_bits().into(), 32),
            (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits(), other.to_bits(), 128),
            _ => return false,
        };
        let different: u128 = one ^ other;
        different.checked_shr(width - u32::from(self.bits).min(width)).unwrap_or(0) == 0
    }
}

/// What a proxy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// The connection is its own, or it does not know: the socket's addresses count.
    Nothing,
    /// The client, and the address that it connected to.
    Ends(SocketAddr, SocketAddr),
}

/// Reads a header and not a byte more.
///
/// # Errors
/// There is none, or it is malformed; those of the stream.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Told> {
    let mut header = [0; FIRST_BYTES];
    stream.read_exact(&mut header).await?;
    if header == *SIGNATURE {
        let mut fixed = [0; 4];
        stream.read_exact(&mut fixed).await?;
        let [command, family, high, low] = fixed;
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length > HEADER_BYTES {
            return Err(Error::other("PROXY header is too long"));
        }
        let mut rest = vec![0; length];
        stream.read_exact(&mut rest).await?;
        return version_2(command, family, &rest).ok_or_else(malformed);
    }
    if !header.starts_with(b"PROXY ") {
        return Err(Error::other("no PROXY header"));
    }
    let mut line = header.to_vec();
    while !line.ends_with(b"\r\n") {
        if line.len() >= LINE_BYTES {
            return Err(malformed());
        }
        line.push(stream.read_u8().await?);
    }
    version_1(&line).ok_or_else(malformed)
}

fn malformed() -> Error {
    Error::other("malformed PROXY header")
}

/// `PROXY TCP4 192.0.2.1 192.0.2.2 40000 5672\r\n`.
fn version_1(line: &[u8]) -> Option<Told> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix("\r\n")?;
    let words: Vec<&str> = line.split(' ').collect();
    match words.as_slice() {
        ["PROXY", "UNKNOWN", ..] => Some(Told::Nothing),
        ["PROXY", family @ ("TCP4" | "TCP6"), source, destination, source_port, destination_port] => {
            let address = |host: &str, port: &str| {
                let host: IpAddr = host.parse().ok()?;
                let fits = host.is_ipv4() == (*family == "TCP4") && port.bytes().all(|byte| byte.is_ascii_digit());
                fits.then_some(SocketAddr::new(host, port.parse().ok()?))
            };
            Some(Told::Ends(address(source, source_port)?, address(destination, destination_port)?))
        }
        _ => None,
    }
}

/// Version 2 behind its signature: version and command, family and protocol, and what its length says.
fn version_2(command: u8, family: u8, rest: &[u8]) -> Option<Told> {
    match (command, family) {
        (0x20, _) => Some(Told::Nothing),
        (0x21, 0x11) => {
            let (hosts, ports) = rest.split_at_checked(8)?;
            let (source, destination) = hosts.split_at_checked(4)?;
            let host = |bytes: &[u8]| Some(IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)));
            ends(host(source)?, host(destination)?, ports)
        }
        (0x21, 0x21) => {
            let (hosts, ports) = rest.split_at_checked(32)?;
            let (source, destination) = hosts.split_at_checked(16)?;
            let host = |bytes: &[u8]| Some(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)));
            ends(host(source)?, host(destination)?, ports)
        }
        // Other families: what the proxy forwards is no TCP connection that has addresses.
        (0x21, _) => Some(Told::Nothing),
        _ => None,
    }
}

fn ends(source: IpAddr, destination: IpAddr, ports: &[u8]) -> Option<Told> {
    let [source_high, source_low, high, low, ..] = *ports else { return None };
    let source = SocketAddr::new(source, u16::from_be_bytes([source_high, source_low]));
    Some(Told::Ends(source, SocketAddr::new(destination, u16::from_be_bytes([high, low]))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(bytes: &[u8]) -> (Result<Told>, usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut left = bytes;
        let told = runtime.block_on(read(&mut left));
        (told, left.len())
    }

    fn ends(source: &str, destination: &str) -> Told {
        Told::Ends(source.parse().unwrap(), destination.parse().unwrap())
    }

    fn second(command: u8, family: u8, length: u16, rest: &[u8]) -> Vec<u8> {
        let length = length.to_be_bytes();
        [&SIGNATURE[..], &[command, family, length[0], length[1]], rest, b"AMQP"].concat()
    }

    #[test]
    fn version_1_and_not_a_byte_more() {
        let (told, left) = from(b"PROXY TCP4 192.0.2.1 192.0.2.2 40000 5672\r\nAMQP");
        assert_eq!((told.unwrap(), left), (ends("192.0.2.1:40000", "192.0.2.2:5672"), 4));
        let (told, left) = from(b"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n\r\n");
        assert_eq!((told.unwrap(), left), (ends("[2001:db8::1]:1", "[::1]:65535"), 2));
        for line in [&b"PROXY UNKNOWN\r\nAMQP"[..], b"PROXY UNKNOWN ffff::1 x 1 2\r\nAMQP"] {
            let (told, left) = from(line);
            assert_eq!((told.unwrap(), left), (Told::Nothing, 4));
        }
    }

    #[test]
    fn version_2_and_not_a_byte_more() {
        let four = [192, 0, 2, 1, 192, 0, 2, 2, 0x9c, 0x40, 0x16, 0x28];
        let (told, left) = from(&second(0x21, 0x11, 12, &four));
        assert_eq!((told.unwrap(), left), (ends("192.0.2.1:40000", "192.0.2.2:5672"), 4));
        // What stands behind the addresses is passed over.
        let (told, left) = from(&second(0x21, 0x11, 16, &[&four[..], &[3, 0, 1, 9]].concat()));
        assert_eq!((told.unwrap(), left), (ends("192.0.2.1:40000", "192.0.2.2:5672"), 4));
        let mut six = [0; 36];
        (six[0], six[1], six[15], six[31], six[33], six[35]) = (0x20, 1, 1, 1, 1, 2);
        let (told, _) = from(&second(0x21, 0x21, 36, &six));
        assert_eq!(told.unwrap(), ends("[2001::1]:1", "[::1]:2"));
        for (command, family) in [(0x20, 0), (0x20, 0x11), (0x21, 0x31), (0x21, 0)] {
            let (told, left) = from(&second(command, family, 0, &[]));
            assert_eq!((told.unwrap(), left), (Told::Nothing, 4));
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        let long = [b"PROXY TCP4 ", &[b'1'; 200][..]].concat();
        for bytes in [
            &b"AMQP\0\0\x09\x01AMQP\0\0\x09\x01"[..],
            b"PROXY TCP4 ::1 ::1 1 2\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
            b"PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
            b"PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
            b"PROXY TCP4 192.0.2.1",
            &long,
            &second(0x21, 0x11, 11, &[0; 11]),
            &second(0x21, 0x21, 12, &[0; 12]),
            &second(0x31, 0x11, 12, &[0; 12]),
            &second(0x22, 0x11, 12, &[0; 12]),
            &second(0x21, 0x11, 5000, &[0; 5000]),
        ] {
            assert!(from(bytes).0.is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn networks() {
        let network = |text: &str, bits| Network { address: text.parse().unwrap(), bits };
        let within = |network: Network, address: &str| network.contains(address.parse().unwrap());
        assert!(within(network("10.0.0.0", 8), "10.255.1.2") && !within(network("10.0.0.0", 8), "11.0.0.0"));
        assert!(within(network("10.0.0.0", 8), "::ffff:10.1.2.3") && !within(network("10.0.0.0", 8), "::a00:1"));
        assert!(within(network("0.0.0.0", 0), "1.2.3.4") && !within(network("0.0.0.0", 0), "::1"));
        assert!(within(network("192.0.2.1", 32), "192.0.2.1") && !within(network("192.0.2.1", 32), "192.0.2.0"));
        assert!(within(network("2001:db8::", 32), "2001:db8:ffff::1") && !within(network("::", 128), "::1"));
    }
}

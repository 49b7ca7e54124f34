//! Peers that mean harm: only their own connection suffers, and what they can make the broker hold is bounded.

use crate::stage::*;
use crate::support::*;
use std::collections::BTreeSet;
use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;

/// A field table of `depth` tables, each inside the one before: its content, without its length.
fn nested(depth: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for level in (0..depth).rev() {
        // Key "", type F, length of what is inside.
        bytes.extend([0, b'F']);
        bytes.extend(u32::try_from(6 * level).unwrap().to_be_bytes());
    }
    bytes
}

/// connection.start-ok whose client properties are these bytes.
fn start_ok(properties: &[u8]) -> Vec<u8> {
    let mut payload = vec![0, 10, 0, 11];
    payload.extend(u32::try_from(properties.len()).unwrap().to_be_bytes());
    payload.extend(properties);
    payload.extend(b"\x05PLAIN\0\0\0\x0c\0guest\0guest\x05en_US");
    payload
}

fn greeted() -> Client {
    let mut client = Client::raw(addr()).unwrap();
    client.send_bytes(b"AMQP\0\0\x09\x01").unwrap();
    client.start().unwrap();
    client
}

#[test]
fn a_table_nested_deep_before_login_ends_only_its_connection() {
    let mut witness = open();
    let (mut too_large, mut deep) = (greeted(), greeted());
    too_large.send_frame(1, 0, &start_ok(&nested(20_000))).unwrap();
    // As deep as fits into the largest frame before login.
    deep.send_frame(1, 0, &start_ok(&nested(1350))).unwrap();
    gone(&mut too_large);
    gone(&mut deep);
    witness.sync(CH).unwrap();
    open().sync(CH).unwrap();
}

#[test]
fn a_table_nested_deep_in_a_declaration_ends_only_its_connection() {
    let (mut witness, mut client) = (open(), open());
    let arguments = nested(20_000);
    let mut payload = b"\0\x32\0\x0a\0\0\x01q\0".to_vec();
    payload.extend(u32::try_from(arguments.len()).unwrap().to_be_bytes());
    payload.extend(&arguments);
    let text = "SYNTAX_ERROR - cannot decode method 10 of class 50: ";
    client.send_frame(1, CH, &payload).unwrap();
    let closed = client.closed(CH).unwrap();
    assert_eq!((closed.scope, closed.code), (Scope::Connection, 502));
    assert!(closed.text.starts_with(text), "{}", closed.text);
    gone(&mut client);
    witness.sync(CH).unwrap();
}

#[test]
fn a_table_nested_deep_in_headers_harms_nobody() {
    let mut client = open();
    let (headers, name) = (exchange(&mut client, "headers"), queue(&mut client));
    let mut arguments = FieldTable::default();
    arguments.insert("x-match".into(), AMQPValue::LongString("any".into()));
    arguments.insert("key".into(), AMQPValue::LongString("value".into()));
    client.bind_with(CH, &name, &headers, "", arguments).unwrap();
    let table = nested(20_000);
    let mut properties = vec![0x20, 0];
    properties.extend(u32::try_from(table.len()).unwrap().to_be_bytes());
    properties.extend(&table);
    for exchange in [headers.as_str(), ""] {
        let publish =
            basic::Publish { exchange: exchange.into(), routing_key: name.as_str().into(), ..Default::default() };
        client.publish_raw(CH, publish, &properties, b"deep").unwrap();
    }
    // By headers it has none that match; by name it arrives as it was sent.
    let delivery = take(&mut client, &name);
    assert_eq!((delivery.properties, delivery.body), (properties, b"deep".to_vec()));
    assert_eq!(counts(&mut client, &name), (0, 0));
}

/// Memory of a broker, in kilobytes.
fn resident(broker: &Broker) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", broker.pid())).expect("a Linux process");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("its resident memory");
    line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse().ok()).expect("kilobytes")
}

/// Processor time a broker has used, in hundredths of a second.
fn processor_time(broker: &Broker) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", broker.pid())).expect("a Linux process");
    let fields = stat.rsplit_once(')').expect("its name").1.split_whitespace();
    fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("ticks")).sum()
}

#[test]
fn a_large_frame_costs_no_more_than_its_size() {
    const SIZE: usize = 200 << 20;
    let dir = tempfile::tempdir().unwrap();
    let broker = broker_with(dir.path(), "[limits]\nframe_max = 0\nmax_message_size = \"256MiB\"\n");
    let mut client = open_at(broker.addr);
    let (before, used) = (resident(&broker), processor_time(&broker));
    let publish = basic::Publish { routing_key: "nowhere".into(), ..Default::default() };
    client.send(CH, AMQPClass::Basic(basic::AMQPMethod::Publish(publish))).unwrap();
    client.send_frame(2, CH, &crate::framing::content_header(60, 0, SIZE as u64)).unwrap();
    client.send_frame(3, CH, &vec![1; SIZE]).unwrap();
    client.sync(CH).unwrap();
    let used = processor_time(&broker) - used;
    assert!(used < 300, "{used} hundredths of a second");
    eventually("its memory is given back", || resident(&broker) < before + (SIZE as u64 / 4096));
}

/// Sockets that the broker has open.
fn sockets(broker: &Broker) -> BTreeSet<PathBuf> {
    let open = std::fs::read_dir(format!("/proc/{}/fd", broker.pid())).unwrap();
    // What was closed meanwhile has no link any more.
    let links = open.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with("socket:")).collect()
}

#[test]
fn a_client_that_closes_and_does_not_read_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let broker = broker_with(dir.path(), "");
    let mut other = open_at(broker.addr);
    let name = queue(&mut other);
    let before = sockets(&broker);
    let mut deaf = open_with(broker.addr, &Options { heartbeat: 1, ..Default::default() });
    // Looked for now: on a slow machine its heartbeats may already be late when it closes.
    let its: Vec<PathBuf> = sockets(&broker).difference(&before).cloned().collect();
    assert_eq!(its.len(), 1, "{its:?}");
    deaf.send(
        CH,
        AMQPClass::Basic(basic::AMQPMethod::Consume(basic::Consume {
            queue: name.as_str().into(),
            no_ack: true,
            ..Default::default()
        })),
    )
    .unwrap();
    let body = vec![b'x'; 1 << 20];
    for _ in 0..32 {
        other.publish(CH, "", &name, &BasicProperties::default(), &body).unwrap();
        other.sync(CH).unwrap();
    }
    let close = connection::Close { reply_code: 200, reply_text: "bye".into(), class_id: 0, method_id: 0 };
    deaf.send(0, AMQPClass::Connection(connection::AMQPMethod::Close(close))).unwrap();
    eventually("its socket is closed", || sockets(&broker).is_disjoint(&its.iter().cloned().collect()));
    drop(deaf);
}

#[test]
fn a_flood_before_login_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let broker = broker_with(dir.path(), "");
    let before = resident(&broker);
    let floods: [Vec<u8>; 4] = [
        // A frame that announces 4 GB, one that announces what is allowed but never ends, junk, heartbeats.
        [&b"AMQP\0\0\x09\x01\x01\0\0\xff\xff\xff\xff"[..], &[0; 500_000]].concat(),
        [&b"AMQP\0\0\x09\x01\x01\0\0\0\0\x20\0"[..], &[0; 8191]].concat(),
        [&b"AMQP\0\0\x09\x01"[..], &[0xAA; 500_000]].concat(),
        [&b"AMQP\0\0\x09\x01"[..], &b"\x08\0\0\0\0\0\0\xce".repeat(60_000)].concat(),
    ];
    let clients: Vec<TcpStream> = (0..200)
        .map(|number| {
            let mut stream = TcpStream::connect(broker.addr).unwrap();
            stream.set_write_timeout(Some(std::time::Duration::from_millis(500))).unwrap();
            // The broker may stop reading, or close: both are fine.
            let _ = stream.write_all(&floods[number % floods.len()]);
            stream
        })
        .collect();
    open_at(broker.addr).sync(CH).unwrap();
    let grown = resident(&broker).saturating_sub(before);
    assert!(grown < 200 * 64, "{grown} KB for 200 clients");
    for stream in clients {
        let _ = stream.shutdown(Shutdown::Both);
    }
    open_at(broker.addr).sync(CH).unwrap();
}

#[test]
fn an_announced_size_is_not_reserved() {
    let mut client = open();
    let name = queue(&mut client);
    for channel in 2..=100 {
        client.open_channel(channel).unwrap();
        let publish = basic::Publish { routing_key: name.as_str().into(), ..Default::default() };
        client.send(channel, AMQPClass::Basic(basic::AMQPMethod::Publish(publish))).unwrap();
        client.send_frame(2, channel, &crate::framing::content_header(60, 0, 16_777_216)).unwrap();
    }
    publish(&mut client, &name, "served");
    assert_eq!(drain(&mut client, &name), ["served"]);
}

//! What a restart leaves: durable definitions and persistent messages.

use crate::stage::*;
use crate::support::*;
use std::path::Path;

fn persistent() -> BasicProperties {
    BasicProperties::default().with_delivery_mode(2)
}

fn broker(dir: &Path) -> Broker {
    Broker::start(dir, &[])
}

/// Ends the broker and starts it again: with SIGKILL under the client's feet, or by the book.
fn restart(mut broker: Broker, client: Client, kill: bool) -> Broker {
    if kill {
        broker.kill9();
        drop(client);
    } else {
        // It would be told and waited for.
        drop(client);
        assert!(broker.term().unwrap().success());
    }
    Broker::start(&broker.data_dir.clone(), &[])
}

/// A durable queue with these messages, confirmed.
fn filled(client: &mut Client, name: &str, bodies: &[&str]) {
    client.declare_queue(CH, name, true).unwrap();
    client.confirm_select(CH).unwrap();
    for body in bodies {
        client.publish(CH, "", name, &persistent(), body.as_bytes()).unwrap();
    }
    assert_eq!(client.wait_confirms(CH), Ok(vec![]));
}

#[test]
fn confirmed_messages_are_there_after_a_restart() {
    for kill in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let broker = broker(dir.path());
        let mut client = open_at(broker.addr);
        let bodies: Vec<String> = (0..3000).map(|number| number.to_string()).collect();
        let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
        filled(&mut client, "q", &bodies);
        let broker = restart(broker, client, kill);
        let mut client = open_at(broker.addr);
        assert_eq!(counts(&mut client, "q"), (3000, 0), "kill: {kill}");
        assert_eq!(drain(&mut client, "q"), bodies, "kill: {kill}");
    }
}

#[test]
fn what_was_delivered_before_is_marked_after() {
    for kill in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let broker = broker(dir.path());
        let mut client = open_at(broker.addr);
        filled(&mut client, "q", &["a", "b", "c", "d"]);
        take(&mut client, "q");
        take(&mut client, "q");
        client.ack(CH, 1, false).unwrap();
        // The ack is handled before the publish: what is confirmed then proves that it was committed.
        client.sync(CH).unwrap();
        client.publish(CH, "", "q", &persistent(), b"e").unwrap();
        client.wait_confirms(CH).unwrap();
        let broker = restart(broker, client, kill);
        let mut client = open_at(broker.addr);
        let after = drain_marked(&mut client, "q");
        let bodies: Vec<&str> = after.iter().map(|(body, _)| body.as_str()).collect();
        assert_eq!(bodies, ["b", "c", "d", "e"], "kill: {kill}");
        assert!(after[0].1, "b was delivered before; kill: {kill}");
        if !kill {
            assert!(after[1..].iter().all(|(_, again)| !again), "{after:?}");
        }
    }
}

#[test]
fn messages_come_back_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let broker = broker(dir.path());
    let mut client = open_at(broker.addr);
    filled(&mut client, "q", &[]);
    // Persistent, and a header table with a key twice.
    let properties = b"\x30\0\0\0\0\x0e\x01kI\0\0\0\x01\x01kI\0\0\0\x02\x02".to_vec();
    let large: Vec<u8> = (0..1_500_000_u32).map(|i| (i % 249) as u8).collect();
    for body in [&b""[..], b"small", &large] {
        let publish = basic::Publish { routing_key: "q".into(), ..Default::default() };
        client.publish_raw(CH, publish, &properties, body).unwrap();
    }
    client.wait_confirms(CH).unwrap();
    let broker = restart(broker, client, true);
    let mut client = open_at(broker.addr);
    for body in [&b""[..], b"small", &large] {
        let got = take(&mut client, "q");
        assert_eq!((got.properties, got.routing_key.as_str()), (properties.clone(), "q"));
        assert!(got.body == body, "{} bytes of {}", got.body.len(), body.len());
    }
}

#[test]
fn transient_messages_and_queues_are_gone() {
    let dir = tempfile::tempdir().unwrap();
    let broker = broker(dir.path());
    let mut client = open_at(broker.addr);
    filled(&mut client, "durable", &["kept"]);
    client.publish(CH, "", "durable", &BasicProperties::default(), b"transient").unwrap();
    client.publish(CH, "", "durable", &BasicProperties::default().with_delivery_mode(1), b"transient").unwrap();
    client.publish(CH, "", "durable", &persistent(), b"kept too").unwrap();
    client.declare_queue(CH, "transient", false).unwrap();
    client.publish(CH, "", "transient", &persistent(), b"lost").unwrap();
    client.wait_confirms(CH).unwrap();
    let broker = restart(broker, client, false);
    let mut client = open_at(broker.addr);
    assert_eq!(drain(&mut client, "durable"), ["kept", "kept too"]);
    let text = "NOT_FOUND - no queue 'transient' in vhost '/'";
    channel_refuses(&mut client, |client| client.declare_passive(CH, "transient"), (404, text), QUEUE_DECLARE);
}

#[test]
fn durable_definitions_are_there_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let broker = broker(dir.path());
    let mut client = open_at(broker.addr);
    let declare = |name: &str, kind: &str| exchange::Declare {
        exchange: name.into(),
        kind: kind.into(),
        durable: true,
        ..Default::default()
    };
    client.declare_exchange(CH, declare("topic", "topic")).unwrap();
    client.declare_exchange(CH, declare("headers", "headers")).unwrap();
    client.declare_exchange(CH, declare("deleted", "fanout")).unwrap();
    client.declare_exchange(CH, exchange::Declare { durable: false, ..declare("transient", "fanout") }).unwrap();
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongInt(1000));
    let limited = queue::Declare { queue: "limited".into(), durable: true, arguments, ..Default::default() };
    client.declare(CH, limited.clone()).unwrap();
    client.declare_queue(CH, "plain", true).unwrap();
    client.declare_queue(CH, "deleted", true).unwrap();
    client.bind(CH, "plain", "topic", "a.*").unwrap();
    client.bind(CH, "plain", "topic", "unbound").unwrap();
    let mut headers = FieldTable::default();
    headers.insert("k".into(), AMQPValue::LongString("v".into()));
    client.bind_with(CH, "limited", "headers", "", headers.clone()).unwrap();
    client.unbind(CH, "plain", "topic", "unbound").unwrap();
    client.delete_queue(CH, "deleted").unwrap();
    client.delete_exchange(CH, "deleted").unwrap();

    let broker = restart(broker, client, true);
    let mut client = open_at(broker.addr);
    client.declare_exchange(CH, declare("topic", "topic")).unwrap();
    client.declare_exchange(CH, declare("headers", "headers")).unwrap();
    client.declare(CH, limited).unwrap();
    publish_to(&mut client, "topic", "a.b", "by topic");
    publish_to(&mut client, "topic", "unbound", "lost");
    client.publish(CH, "headers", "", &BasicProperties::default().with_headers(headers), b"by headers").unwrap();
    assert_eq!(drain(&mut client, "plain"), ["by topic"]);
    assert_eq!(drain(&mut client, "limited"), ["by headers"]);
    let no_queue = "NOT_FOUND - no queue 'deleted' in vhost '/'";
    channel_refuses(&mut client, |client| client.declare_passive(CH, "deleted"), (404, no_queue), QUEUE_DECLARE);
    for name in ["deleted", "transient"] {
        let text = format!("NOT_FOUND - no exchange '{name}' in vhost '/'");
        channel_refuses(&mut client, |client| client.exchange_passive(CH, name), (404, &text), EXCHANGE_DECLARE);
    }
}

#[test]
fn exclusive_queues_are_gone_and_auto_delete_ones_wait_for_consumers() {
    let dir = tempfile::tempdir().unwrap();
    let broker = broker(dir.path());
    let mut client = open_at(broker.addr);
    let durable = |name: &str| queue::Declare { queue: name.into(), durable: true, ..Default::default() };
    client.declare(CH, queue::Declare { exclusive: true, ..durable("exclusive") }).unwrap();
    let auto = || queue::Declare { auto_delete: true, ..durable("auto") };
    client.declare(CH, auto()).unwrap();
    let broker = restart(broker, client, true);
    let mut client = open_at(broker.addr);
    let text = "NOT_FOUND - no queue 'exclusive' in vhost '/'";
    channel_refuses(&mut client, |client| client.declare_passive(CH, "exclusive"), (404, text), QUEUE_DECLARE);
    client.declare(CH, auto()).unwrap();
    client.consume(CH, "auto", "c", true).unwrap();
    client.cancel(CH, "c").unwrap();
    let text = "NOT_FOUND - no queue 'auto' in vhost '/'";
    channel_refuses(&mut client, |client| client.declare_passive(CH, "auto"), (404, text), QUEUE_DECLARE);
}

#[test]
fn what_was_purged_or_acknowledged_stays_gone() {
    let dir = tempfile::tempdir().unwrap();
    let broker = broker(dir.path());
    let mut client = open_at(broker.addr);
    filled(&mut client, "purged", &["a", "b"]);
    filled(&mut client, "consumed", &["a", "b", "c"]);
    assert_eq!(client.purge(CH, "purged"), Ok(2));
    take(&mut client, "consumed");
    take(&mut client, "consumed");
    client.ack(CH, 0, true).unwrap();
    assert_eq!(client.get(CH, "consumed", true).unwrap().unwrap().text(), "c");
    let broker = restart(broker, client, false);
    let mut client = open_at(broker.addr);
    assert_eq!(counts(&mut client, "purged"), (0, 0));
    assert_eq!(counts(&mut client, "consumed"), (0, 0));
}

#[test]
fn a_deleted_queue_of_the_same_name_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let broker = broker(dir.path());
    let mut client = open_at(broker.addr);
    filled(&mut client, "q", &["old"]);
    client.delete_queue(CH, "q").unwrap();
    filled(&mut client, "q", &["new"]);
    let broker = restart(broker, client, true);
    assert_eq!(drain(&mut open_at(broker.addr), "q"), ["new"]);
}

#[test]
fn publishing_goes_on_where_it_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = broker(dir.path());
    for round in 0..4 {
        let mut client = open_at(broker.addr);
        filled(&mut client, "q", &[&format!("{round}a"), &format!("{round}b")]);
        broker = restart(broker, client, round % 2 == 0);
    }
    let mut client = open_at(broker.addr);
    assert_eq!(drain(&mut client, "q"), ["0a", "0b", "1a", "1b", "2a", "2b", "3a", "3b"]);
}

#[test]
fn a_few_left_of_many_are_there_after_a_restart() {
    for kill in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let broker = broker(dir.path());
        let mut client = open_at(broker.addr);
        let bodies: Vec<String> = (0..1500).map(|number| format!("{number:0500}")).collect();
        filled(&mut client, "q", &bodies.iter().map(String::as_str).collect::<Vec<_>>());
        client.consume(CH, "q", "", false).unwrap();
        client.deliveries(1500).unwrap();
        let left = [3_u64, 700, 701, 1499, 1500];
        (1..=1500).filter(|tag| !left.contains(tag)).for_each(|tag| client.ack(CH, tag, false).unwrap());
        // Handled before the publish: what is confirmed then proves that they were committed.
        client.sync(CH).unwrap();
        client.publish(CH, "", "q", &persistent(), b"last").unwrap();
        client.wait_confirms(CH).unwrap();
        let broker = restart(broker, client, kill);
        let mut client = open_at(broker.addr);
        let mut expected: Vec<&str> = left.iter().map(|tag| bodies[*tag as usize - 1].as_str()).collect();
        expected.push("last");
        assert_eq!(counts(&mut client, "q"), (6, 0), "kill: {kill}");
        assert_eq!(drain(&mut client, "q"), expected, "kill: {kill}");
    }
}

//! Publishing and confirms (compat.md 1.9, 2.1).

use super::*;

#[test]
fn every_way_of_cutting_the_bytes_gives_the_same_messages() {
    let node = node();
    let mut client = node.channel();
    client.queue("q", false);
    let properties = PropertiesBuilder { content_type: Some(b"text/plain"), priority: Some(3), ..Default::default() };
    let body: Vec<u8> = (0..9000_u32).map(|byte| byte as u8).collect();
    let mut bytes = message(1, "", "q", false, &properties, b"hello");
    bytes.extend(message(1, "", "q", false, &properties, b""));
    bytes.extend(message(1, "", "q", false, &properties, &body));
    for size in [1, 7, 100, 5000, bytes.len()] {
        bytes.chunks(size).for_each(|piece| client.send(piece));
        client.consume("q", "c", true);
        let found = client.delivered(3);
        let bodies: Vec<&[u8]> = found.iter().map(|(_, _, body)| body.as_slice()).collect();
        assert_eq!(bodies, [b"hello", b"".as_slice(), &body], "pieces of {size}");
        let cancel = basic::Cancel { consumer_tag: "c".into(), nowait: true };
        client.method(1, AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)));
    }
}

#[test]
fn messages_that_look_like_those_before_them_go_their_own_ways() {
    let node = node();
    let mut client = node.channel();
    ["q", "r"].into_iter().for_each(|queue| client.queue(queue, false));
    client.confirms();
    let plain = PropertiesBuilder::default();
    let other = PropertiesBuilder { priority: Some(7), ..Default::default() };
    let expired = PropertiesBuilder { expiration: Some(b"0"), ..Default::default() };
    let mut bytes = Vec::new();
    let mut publish = |key, properties: &PropertiesBuilder<'_>, body: &str| {
        bytes.extend(message(1, "", key, false, properties, body.as_bytes()));
    };
    for turn in 0..3 {
        ["a", "b", "c"].into_iter().for_each(|body| publish("q", &plain, &format!("{body}{turn}")));
        publish("r", &plain, "r1");
        publish("r", &plain, "r2");
        publish("q", &other, &format!("d{turn}"));
        publish("q", &expired, &format!("e{turn}"));
        publish("q", &plain, "");
        publish("q", &plain, "longer");
        publish("nowhere", &plain, "n1");
        publish("nowhere", &plain, "n2");
        publish("q", &plain, &format!("f{turn}"));
    }
    // Whole, and cut where nothing is whole.
    for size in [bytes.len(), 30] {
        bytes.chunks(size).for_each(|piece| client.send(piece));
        let confirmed = acks(&client.read());
        assert!(confirmed.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let mut worker = node.channel();
        worker.consume("q", "c", true);
        let found = worker.delivered(3 * 7);
        let bodies: Vec<String> = found.iter().map(|(.., body)| String::from_utf8_lossy(body).into_owned()).collect();
        let expected = (0..3).flat_map(|turn| {
            let numbered = |body: &str| format!("{body}{turn}");
            ["a", "b", "c", "d"].map(numbered).into_iter().chain([String::new(), "longer".into(), numbered("f")])
        });
        assert_eq!(bodies, expected.collect::<Vec<_>>(), "pieces of {size}");
        worker.consume("r", "d", true);
        assert_eq!(worker.delivered(6).len(), 6);
    }
    client.publish("", "q", b"last");
    assert_eq!(acks(&client.read()), [(73, false)], "every one has its number");
    // What was remembered ends with what it was remembered of.
    let delete = queue::Delete { queue: "r".into(), nowait: true, ..Default::default() };
    client.publish("", "r", b"r3");
    client.method(1, AMQPClass::Queue(queue::AMQPMethod::Delete(delete)));
    client.send(&message(1, "", "r", true, &plain, b"r3"));
    client.publish("", "r", b"r3");
    assert_eq!(acks(&client.read()).len(), 3);
    client.queue("r", false);
    client.publish("", "r", b"r4");
    let mut worker = node.channel();
    worker.consume("r", "d", true);
    assert_eq!(worker.delivered(1)[0].2, b"r4");
}

#[test]
fn property_bytes_pass_through() {
    let node = node();
    let mut client = node.channel();
    client.queue("q", false);
    // Headers with a duplicate key and a tag that nobody knows.
    let headers = [1, b'a', b't', 1, 1, b'a', b'Z', 9];
    let mut properties = vec![0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0x20, 0, 0, 0, 0, headers.len() as u8];
    properties.extend_from_slice(&headers);
    let mut bytes = publish_method(1, "", "q", false, false);
    write_content(&mut bytes, 1, &properties, b"hi", 4096);
    client.send(&bytes);
    client.consume("q", "c", true);
    let seen = client.read_until(|seen| seen.len() >= 3);
    assert_eq!(seen[1..], [Seen::Header(1, properties), Seen::Body(1, b"hi".to_vec())]);
}

#[test]
fn a_transient_publish_is_confirmed_in_its_turn() {
    let node = node();
    let mut client = node.channel();
    client.queue("q", false);
    client.confirms();
    client.publish("", "q", b"1");
    assert_eq!(acks(&client.read()), [(1, false)]);
    let mut three = Vec::new();
    (0..3).for_each(|_| three.extend(message(1, "", "q", false, &PropertiesBuilder::default(), b"x")));
    client.send(&three);
    assert_eq!(acks(&client.read()), [(4, true)]);
    client.publish("amq.direct", "nowhere", b"unroutable");
    assert_eq!(acks(&client.read()), [(5, false)]);
}

#[test]
fn a_durable_publish_is_confirmed_when_it_is_on_disk() {
    let node = node();
    let mut client = node.channel();
    client.queue("q", true);
    client.confirms();
    let before = node.storage.writes();
    client.persist("", "q", b"1");
    client.persist("", "q", b"2");
    let seen = client.read_until(|seen| acks(seen).last().is_some_and(|(tag, _)| *tag == 2));
    assert!(node.storage.writes() > before);
    assert!(acks(&seen).windows(2).all(|pair| pair[0].0 < pair[1].0));
}

#[test]
fn what_consumers_have_acknowledged_is_confirmed_before_the_disk_has_it() {
    let node = node();
    let (mut client, mut worker) = (node.channel(), node.channel());
    client.queue("q", true);
    worker.consume("q", "c", false);
    client.confirms();
    node.storage.fail_at(1, Fault::Full);
    let persistent = PropertiesBuilder { delivery_mode: Some(2), ..Default::default() };
    let mut two = message(1, "", "q", false, &persistent, b"1");
    two.extend(message(1, "", "q", false, &persistent, b"2"));
    client.send(&two);
    assert_eq!(worker.delivered(2).len(), 2);
    worker.ack(2, false);
    client.connection.on_wake(client.now);
    assert_eq!(acks(&client.read()), [], "one of them is not acknowledged");
    worker.ack(1, false);
    assert_eq!(acks(&client.read_until(|seen| !acks(seen).is_empty())), [(2, true)]);
    node.storage.heal();
}

#[test]
fn a_return_precedes_its_confirm() {
    let node = node();
    let mut client = node.channel();
    client.confirms();
    client.send(&message(1, "amq.direct", "nowhere", true, &PropertiesBuilder::default(), b"back"));
    let seen = client.read();
    let [Seen::Method(1, AMQPClass::Basic(basic::AMQPMethod::Return(returned))), Seen::Header(..), body, ack] =
        &seen[..]
    else {
        panic!("{seen:?}")
    };
    assert_eq!((returned.reply_code, returned.reply_text.as_str()), (312, "NO_ROUTE"));
    assert_eq!((returned.exchange.as_str(), returned.routing_key.as_str()), ("amq.direct", "nowhere"));
    assert_eq!(*body, Seen::Body(1, b"back".to_vec()));
    assert_eq!(acks(std::slice::from_ref(ack)), [(1, false)]);
}

#[test]
fn refused_publishes_close_the_channel_and_their_bodies_are_dropped() {
    let node = node();
    let mut client = node.channel();
    let with = |exchange: &str, properties: PropertiesBuilder<'_>, size: usize| {
        message(1, exchange, "q", false, &properties, &vec![0; size])
    };
    let expiring = PropertiesBuilder { expiration: Some(b"10s"), ..Default::default() };
    let user = PropertiesBuilder { user_id: Some(b"other"), ..Default::default() };
    let plain = PropertiesBuilder::default;
    for (bytes, code, text) in [
        (with("nope", plain(), 10), 404, "NOT_FOUND - no exchange 'nope' in vhost '/'"),
        (with("nope", plain(), 20_000), 404, "NOT_FOUND - no exchange 'nope' in vhost '/'"),
        (
            with("nope", plain(), 1_048_577),
            406,
            "PRECONDITION_FAILED - message size 1048577 is larger than configured max size 1048576",
        ),
        (
            with("amq.rabbitmq.trace", plain(), 1),
            403,
            "ACCESS_REFUSED - cannot publish to internal exchange 'amq.rabbitmq.trace' in vhost '/'",
        ),
        (with("", expiring, 1), 406, "PRECONDITION_FAILED - invalid expiration '10s': {leftover_string,\"s\"}"),
        (
            with("", user, 1),
            406,
            "PRECONDITION_FAILED - user_id property set to 'other' but authenticated user was 'guest'",
        ),
    ] {
        client.send(&bytes);
        assert_eq!(client.channel_closed(1), (code, text.to_owned()));
        client.open_channel(1);
    }
}

#[test]
fn a_route_is_looked_up_again_when_the_topology_changes() {
    let node = node();
    let mut client = node.channel();
    client.confirms();
    client.queue("q", false);
    client.publish("amq.direct", "k", b"nowhere");
    client.read();
    client.bind("q", "amq.direct", "k");
    client.publish("amq.direct", "k", b"here");
    client.read();
    assert_eq!(client.ready("q"), 1);
}

#[test]
fn headers_are_part_of_the_route() {
    let node = node();
    let mut client = node.channel();
    for color in ["red", "blue"] {
        client.queue(color, false);
        let arguments: Table = [("color", color)].into_iter().collect();
        let bind = queue::Bind {
            queue: color.into(),
            exchange: "amq.headers".into(),
            arguments: table_to_amq(&arguments).unwrap(),
            ..Default::default()
        };
        client.method(1, AMQPClass::Queue(queue::AMQPMethod::Bind(bind)));
        client.only();
    }
    for color in ["red", "blue", "blue"] {
        let headers: Table = [("color", color)].into_iter().collect();
        let properties = PropertiesBuilder { headers: Some(headers), ..Default::default() };
        client.send(&message(1, "amq.headers", "", false, &properties, b"x"));
    }
    assert_eq!((client.ready("red"), client.ready("blue")), (1, 2));
}

#[test]
fn too_many_bytes_not_on_disk_hold_the_publisher() {
    let mut node = node();
    node.settings.unconfirmed_bytes_max = 1;
    let mut client = node.channel();
    client.queue("q", true);
    client.confirms();
    for _ in 0..50 {
        client.persist("", "q", b"message");
    }
    let seen = client.read_until(|seen| acks(seen).last().is_some_and(|(tag, _)| *tag == 50));
    assert!(!seen.is_empty());
    assert_eq!(client.unsent.len(), 0);
    assert!(client.connection.wants_read());
}

#[test]
fn incomplete_messages_of_all_channels_together_are_bounded() {
    let mut node = node();
    node.settings.unconfirmed_bytes_max = 1;
    let mut client = node.open();
    for channel in 1..=3 {
        client.open_channel(channel);
        let bytes = message(channel, "", "q", false, &PropertiesBuilder::default(), &vec![0; 1 << 20]);
        client.send(&bytes[..bytes.len() - 2056]);
    }
    let text = "RESOURCE_ERROR - incomplete messages of all channels are larger than 2097152 bytes";
    assert_eq!(client.closed(), (506, text.to_owned(), 60, 40));
}

/// A client on channel 1, and what declares a durable queue and publishes to it, then closes.
fn declare_publish_and(closes: (u16, AMQPClass)) -> Vec<u8> {
    let declare = queue::Declare { queue: "q".into(), durable: true, ..Default::default() };
    let mut bytes = Vec::new();
    write_method(&mut bytes, 1, &AMQPClass::Queue(queue::AMQPMethod::Declare(declare)));
    for body in [b"one", b"two"] {
        bytes.extend(message(1, "", "q", false, &PropertiesBuilder::default(), body));
    }
    write_method(&mut bytes, closes.0, &closes.1);
    bytes
}

#[test]
fn what_is_published_behind_a_declaration_is_kept_when_the_connection_closes() {
    let node = node();
    let mut client = node.channel();
    node.storage.fail_at(1, Fault::Full);
    let close = connection::Close { reply_code: 200, reply_text: "bye".into(), class_id: 0, method_id: 0 };
    client.send(&declare_publish_and((0, AMQPClass::Connection(connection::AMQPMethod::Close(close)))));
    client.nothing();
    assert!(!client.connection.wants_read(), "what follows a close that waits is left where it is");
    node.storage.heal();
    let seen = client.read_until(|seen| seen.len() >= 2);
    assert!(matches!(&seen[0], Seen::Method(1, AMQPClass::Queue(queue::AMQPMethod::DeclareOk(_)))), "{seen:?}");
    let close_ok = AMQPClass::Connection(connection::AMQPMethod::CloseOk(connection::CloseOk {}));
    assert_eq!(seen[1..], [Seen::Method(0, close_ok)]);
    assert!(client.connection.is_finished());
    assert_eq!(node.channel().ready("q"), 2);
}

#[test]
fn what_is_published_behind_a_declaration_is_kept_when_the_channel_closes() {
    let node = node();
    let mut client = node.channel();
    node.storage.fail_at(1, Fault::Full);
    let close = channel::Close { reply_code: 200, reply_text: "bye".into(), class_id: 0, method_id: 0 };
    client.send(&declare_publish_and((1, AMQPClass::Channel(channel::AMQPMethod::Close(close)))));
    client.nothing();
    node.storage.heal();
    let seen = client.read_until(|seen| seen.len() >= 2);
    let close_ok = AMQPClass::Channel(channel::AMQPMethod::CloseOk(channel::CloseOk {}));
    assert_eq!(seen[1..], [Seen::Method(1, close_ok)]);
    client.open_channel(1);
    assert_eq!(client.ready("q"), 2);
}

//! Bindings, and which queues a message reaches through each exchange type.

use crate::stage::*;
use crate::support::*;

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

fn table(fields: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in fields {
        table.insert((*key).into(), value.clone());
    }
    table
}

/// Publishes one message per key, its body the key, and says which keys reached the queue.
fn reached(client: &mut Client, exchange: &str, queue: &str, keys: &[&str]) -> Vec<String> {
    keys.iter().for_each(|key| publish_to(client, exchange, key, key));
    drain(client, queue)
}

#[test]
fn the_default_exchange_knows_queues_by_name() {
    let mut client = open();
    let (one, other) = (queue(&mut client), queue(&mut client));
    publish(&mut client, &one, "for one");
    let got = take(&mut client, &one);
    assert_eq!((got.exchange.as_str(), got.routing_key.as_str(), got.text().as_str()), ("", one.as_str(), "for one"));
    assert_eq!(drain(&mut client, &other), Vec::<String>::new());
}

#[test]
fn direct_compares_keys() {
    let mut client = open();
    let (name, queue) = (exchange(&mut client, "direct"), queue(&mut client));
    client.bind(CH, &queue, &name, "key").unwrap();
    client.bind(CH, &queue, &name, "").unwrap();
    client.bind(CH, &queue, &name, "#").unwrap();
    let keys = ["key", "Key", "key.", "", "#", "other"];
    assert_eq!(reached(&mut client, &name, &queue, &keys), ["key", "", "#"]);
}

#[test]
fn fanout_ignores_keys() {
    let mut client = open();
    let name = exchange(&mut client, "fanout");
    let queues = [queue(&mut client), queue(&mut client), queue(&mut client)];
    for (number, queue) in queues.iter().enumerate() {
        client.bind(CH, queue, &name, &number.to_string()).unwrap();
    }
    publish_to(&mut client, &name, "any", "to all");
    for queue in &queues {
        assert_eq!(drain(&mut client, queue), ["to all"]);
    }
}

#[test]
fn topic_matches_word_by_word() {
    let keys = ["", "a", "b", "a.b", "a.c", "a.b.c", "a..c", ".", "a.", "a.x.b", "a.x.y.b", "b.a.b"];
    let cases: [(&str, &[&str]); 14] = [
        ("a.b", &["a.b"]),
        ("", &[""]),
        // An empty key has no words.
        ("*", &["a", "b"]),
        ("#", &keys),
        ("*.*", &["a.b", "a.c", ".", "a."]),
        ("a.*", &["a.b", "a.c", "a."]),
        ("a.#", &["a", "a.b", "a.c", "a.b.c", "a..c", "a.", "a.x.b", "a.x.y.b"]),
        ("#.b", &["b", "a.b", "a.x.b", "a.x.y.b", "b.a.b"]),
        ("a.#.b", &["a.b", "a.x.b", "a.x.y.b"]),
        ("a.*.b", &["a.x.b"]),
        ("a.*.c", &["a.b.c", "a..c"]),
        ("#.a.#", &["a", "a.b", "a.c", "a.b.c", "a..c", "a.", "a.x.b", "a.x.y.b", "b.a.b"]),
        ("#.#.x.#.b", &["a.x.b", "a.x.y.b"]),
        ("a*", &[]),
    ];
    let mut client = open();
    for (pattern, expected) in cases {
        let (name, queue) = (exchange(&mut client, "topic"), queue(&mut client));
        client.bind(CH, &queue, &name, pattern).unwrap();
        assert_eq!(reached(&mut client, &name, &queue, &keys), expected, "{pattern}");
    }
}

#[test]
fn headers_match_by_all_or_any() {
    let messages = [
        ("none", table(&[])),
        ("a", table(&[("a", text("1"))])),
        ("ab", table(&[("a", text("1")), ("b", AMQPValue::LongInt(2))])),
        ("wrong", table(&[("a", text("other")), ("b", AMQPValue::LongInt(3))])),
        ("typed", table(&[("a", AMQPValue::LongInt(1)), ("b", AMQPValue::LongInt(2))])),
        ("abx", table(&[("a", text("1")), ("b", AMQPValue::LongInt(2)), ("x-c", AMQPValue::Boolean(true))])),
    ];
    let (a, b, x) = (("a", text("1")), ("b", AMQPValue::LongInt(2)), ("x-c", AMQPValue::Boolean(true)));
    let with = |kind: &str| ("x-match", text(kind));
    let cases: [(&str, FieldTable, &[&str]); 10] = [
        ("default is all", table(&[a.clone(), b.clone()]), &["ab", "abx"]),
        ("all", table(&[with("all"), a.clone(), b.clone()]), &["ab", "abx"]),
        ("any", table(&[with("any"), a.clone(), b.clone()]), &["a", "ab", "typed", "abx"]),
        ("all ignores x-", table(&[with("all"), a.clone(), x.clone()]), &["a", "ab", "abx"]),
        ("any ignores x-", table(&[with("any"), x.clone()]), &[]),
        ("all-with-x", table(&[with("all-with-x"), a.clone(), x.clone()]), &["abx"]),
        ("any-with-x", table(&[with("any-with-x"), b.clone(), x.clone()]), &["ab", "typed", "abx"]),
        ("nothing in all", table(&[with("all")]), &["none", "a", "ab", "wrong", "typed", "abx"]),
        ("nothing in any", table(&[with("any")]), &[]),
        ("void is presence", table(&[("a", AMQPValue::Void)]), &["a", "ab", "wrong", "typed", "abx"]),
    ];
    let mut client = open();
    for (what, arguments, expected) in cases {
        let (name, queue) = (exchange(&mut client, "headers"), queue(&mut client));
        client.bind_with(CH, &queue, &name, "", arguments).unwrap();
        for (body, headers) in &messages {
            let properties = BasicProperties::default().with_headers(headers.clone());
            client.publish(CH, &name, "", &properties, body.as_bytes()).unwrap();
        }
        client.publish(CH, &name, "", &BasicProperties::default(), b"none").unwrap();
        let mut expected: Vec<&str> = expected.to_vec();
        if expected.contains(&"none") {
            expected.push("none");
        }
        assert_eq!(drain(&mut client, &queue), expected, "{what}");
    }
}

#[test]
fn a_headers_binding_must_know_how_to_match() {
    let mut client = open();
    let (name, queue) = (exchange(&mut client, "headers"), queue(&mut client));
    let arguments = table(&[("x-match", text("some"))]);
    let closed = client.bind_with(CH, &queue, &name, "", arguments).unwrap_err().closed();
    assert_eq!((closed.scope, closed.code, (closed.class, closed.method)), (Scope::Channel, 406, QUEUE_BIND));
    assert!(closed.text.starts_with("PRECONDITION_FAILED - Invalid x-match field value "), "{}", closed.text);
}

#[test]
fn a_queue_gets_one_copy_however_many_bindings_match() {
    let mut client = open();
    let (name, queue) = (exchange(&mut client, "topic"), queue(&mut client));
    for pattern in ["#", "a.*", "*.b", "a.b"] {
        client.bind(CH, &queue, &name, pattern).unwrap();
    }
    publish_to(&mut client, &name, "a.b", "once");
    assert_eq!(drain(&mut client, &queue), ["once"]);
}

#[test]
fn bindings_are_idempotent() {
    let mut client = open();
    let (name, queue) = (exchange(&mut client, "direct"), queue(&mut client));
    client.bind(CH, &queue, &name, "k").unwrap();
    client.bind(CH, &queue, &name, "k").unwrap();
    publish_to(&mut client, &name, "k", "once");
    assert_eq!(drain(&mut client, &queue), ["once"]);
    client.unbind(CH, &queue, &name, "k").unwrap();
    client.unbind(CH, &queue, &name, "k").unwrap();
    publish_to(&mut client, &name, "k", "lost");
    assert_eq!(drain(&mut client, &queue), Vec::<String>::new());
}

#[test]
fn arguments_are_part_of_a_binding() {
    let mut client = open();
    let (name, queue) = (exchange(&mut client, "direct"), queue(&mut client));
    let (one, other) = (table(&[("n", AMQPValue::LongInt(1))]), table(&[("n", AMQPValue::LongInt(2))]));
    client.bind_with(CH, &queue, &name, "k", one.clone()).unwrap();
    client.bind_with(CH, &queue, &name, "k", other.clone()).unwrap();
    client.unbind_with(CH, &queue, &name, "k", one).unwrap();
    publish_to(&mut client, &name, "k", "by the other");
    client.unbind_with(CH, &queue, &name, "k", other).unwrap();
    publish_to(&mut client, &name, "k", "lost");
    assert_eq!(drain(&mut client, &queue), ["by the other"]);
}

#[test]
fn a_binding_needs_both_its_ends() {
    let mut client = open();
    let (name, queue) = (exchange(&mut client, "direct"), queue(&mut client));
    let no_queue = "NOT_FOUND - no queue 'none of these' in vhost '/'";
    let no_exchange = "NOT_FOUND - no exchange 'none of these' in vhost '/'";
    let none = "none of these";
    channel_refuses(&mut client, |client| client.bind(CH, none, &name, "k"), (404, no_queue), QUEUE_BIND);
    channel_refuses(&mut client, |client| client.bind(CH, &queue, none, "k"), (404, no_exchange), QUEUE_BIND);
    let from = |client: &mut Client| client.bind_exchange(CH, &name, none, "k");
    channel_refuses(&mut client, from, (404, no_exchange), EXCHANGE_BIND);
    let to = |client: &mut Client| client.bind_exchange(CH, none, &name, "k");
    channel_refuses(&mut client, to, (404, no_exchange), EXCHANGE_BIND);
}

#[test]
fn unbinding_what_is_not_there_is_fine() {
    let mut client = open();
    let (name, queue) = (exchange(&mut client, "direct"), queue(&mut client));
    client.unbind(CH, &queue, &name, "never").unwrap();
    client.unbind(CH, "none of these", &name, "k").unwrap();
    client.unbind(CH, &queue, "none of these", "k").unwrap();
    client.unbind_exchange(CH, "none of these", &name, "k").unwrap();
    client.unbind_exchange(CH, &name, "none of these", "k").unwrap();
}

#[test]
fn a_new_binding_counts_from_the_next_message_on() {
    // The publisher's last route is remembered by the broker: it must not be stale.
    let mut client = open();
    let (name, first, second) = (exchange(&mut client, "direct"), queue(&mut client), queue(&mut client));
    client.bind(CH, &first, &name, "k").unwrap();
    publish_to(&mut client, &name, "k", "1");
    client.bind(CH, &second, &name, "k").unwrap();
    publish_to(&mut client, &name, "k", "2");
    client.unbind(CH, &first, &name, "k").unwrap();
    publish_to(&mut client, &name, "k", "3");
    assert_eq!(drain(&mut client, &first), ["1", "2"]);
    assert_eq!(drain(&mut client, &second), ["2", "3"]);
    client.delete_queue(CH, &second).unwrap();
    client.declare_queue(CH, &second, false).unwrap();
    publish_to(&mut client, &name, "k", "4");
    assert_eq!(drain(&mut client, &second), Vec::<String>::new());
}

#[test]
fn queues_are_bound_and_unbound_without_waiting() {
    let mut client = open();
    let (name, queue) = (exchange(&mut client, "fanout"), queue(&mut client));
    let bind = queue::Bind {
        queue: queue.as_str().into(),
        exchange: name.as_str().into(),
        nowait: true,
        ..Default::default()
    };
    client.send(CH, AMQPClass::Queue(queue::AMQPMethod::Bind(bind))).unwrap();
    publish_to(&mut client, &name, "", "arrived");
    assert_eq!(client.leftovers(CH).unwrap(), []);
    assert_eq!(drain(&mut client, &queue), ["arrived"]);
}

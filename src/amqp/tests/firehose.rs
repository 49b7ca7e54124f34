//! The firehose: copies of what is published and delivered (compat.md 5).

use super::*;
use crate::broker::content::Content;
use crate::value::Value;

/// Routing key, headers and body of what a queue got.
fn copies(client: &mut Client, queue: &str) -> Vec<(String, Table, Vec<u8>)> {
    let mut copies = Vec::new();
    loop {
        client.get(queue, true);
        let seen = client.read_until(|seen| !seen.is_empty());
        let Seen::Method(_, AMQPClass::Basic(basic::AMQPMethod::GetOk(ok))) = &seen[0] else { return copies };
        let Seen::Header(_, header) = &seen[1] else { panic!("{seen:?}") };
        let headers = Table::decode(Content::parse(header).unwrap().headers()).unwrap();
        let body = if let Some(Seen::Body(_, body)) = seen.get(2) { body.clone() } else { Vec::new() };
        copies.push((ok.routing_key.as_str().to_owned(), headers, body));
    }
}

fn names(headers: &Table) -> Vec<&str> {
    headers.iter().map(|(key, _)| key.as_str().unwrap()).collect()
}

fn text(text: &str) -> Value {
    Value::from(text)
}

#[test]
fn publishes_and_deliveries_are_copied_while_it_is_on() {
    let node = node();
    let mut tracer = node.channel();
    tracer.queue("copies", false);
    tracer.bind("copies", "amq.rabbitmq.trace", "#");
    let mut client = node.channel();
    client.queue("q", false);
    client.bind("q", "amq.direct", "key");
    client.publish("amq.direct", "key", b"before");
    assert_eq!(tracer.ready("copies"), 0);
    assert!(!node.broker.is_traced("/").unwrap());

    node.broker.set_tracing("/", true).unwrap();
    let headers: Table = [("CC", Value::from(vec![text("other")]))].into_iter().collect();
    let properties = PropertiesBuilder {
        content_type: Some(b"text/plain"),
        headers: Some(headers.clone()),
        delivery_mode: Some(1),
        timestamp: Some(1_700_000_000),
        ..Default::default()
    };
    client.send(&message(1, "amq.direct", "key", false, &properties, b"body"));
    client.publish("", "nowhere", b"lost");
    assert!(node.broker.is_traced("/").unwrap());
    let published = copies(&mut tracer, "copies");
    assert_eq!(published.len(), 2, "{published:?}");
    let (key, copy, body) = &published[0];
    assert_eq!((key.as_str(), body.as_slice()), ("publish.amq.direct", &b"body"[..]));
    let order = ["exchange_name", "routing_keys", "properties", "node", "vhost", "connection", "channel", "user"];
    assert_eq!(names(copy), [&order[..], &["routed_queues"]].concat());
    assert_eq!(copy.get("exchange_name"), Some(&text("amq.direct")));
    assert_eq!(copy.get("routing_keys"), Some(&Value::from(vec![text("key"), text("other")])));
    let listed = copy.get("properties").unwrap().as_table().unwrap();
    assert_eq!(names(listed), ["timestamp", "delivery_mode", "headers", "content_type"]);
    assert_eq!(listed.get("delivery_mode"), Some(&Value::I32(1)));
    assert_eq!(listed.get("timestamp"), Some(&Value::I32(1_700_000_000)));
    assert_eq!(listed.get("headers"), Some(&Value::Table(headers)));
    assert_eq!(listed.get("content_type"), Some(&text("text/plain")));
    assert_eq!(copy.get("vhost"), Some(&text("/")));
    assert_eq!(copy.get("connection"), Some(&text("127.0.0.1:50000 -> 127.0.0.1:5672")));
    assert_eq!(copy.get("channel"), Some(&Value::I32(1)));
    assert_eq!(copy.get("user"), Some(&text("guest")));
    assert_eq!(copy.get("routed_queues"), Some(&Value::from(vec![text("q")])));
    let (key, copy, body) = &published[1];
    assert_eq!((key.as_str(), body.as_slice()), ("publish.", &b"lost"[..]));
    assert_eq!(copy.get("routed_queues"), Some(&Value::Array(vec![])));

    // Deliveries: got, consumed, again.
    client.get("q", false);
    client.read();
    client.nack(1, false, true);
    client.consume("q", "c", true);
    assert_eq!(client.deliveries().len(), 2);
    let delivered = copies(&mut tracer, "copies");
    let seen = delivered.iter().map(|(key, copy, body)| (key.as_str(), copy.get("redelivered"), &body[..]));
    let seen: Vec<_> = seen.collect();
    assert_eq!(seen[0], ("deliver.q", Some(&Value::I32(0)), &b"before"[..]));
    assert_eq!(seen[1], ("deliver.q", Some(&Value::I32(1)), &b"before"[..]));
    assert_eq!(seen[2], ("deliver.q", Some(&Value::I32(0)), &b"body"[..]));
    let (_, copy, _) = &delivered[2];
    let order = ["redelivered", "vhost", "connection", "channel", "user"];
    assert_eq!(names(copy), [&["exchange_name", "routing_keys", "properties", "node"][..], &order].concat());
    assert_eq!(copy.get("routing_keys"), Some(&Value::from(vec![text("key"), text("other")])));

    node.broker.set_tracing("/", false).unwrap();
    client.publish("amq.direct", "key", b"after");
    assert_eq!(copies(&mut tracer, "copies"), []);
    assert!(node.broker.set_tracing("nowhere", true).is_err());
}

#[test]
fn a_transaction_is_traced_as_it_is_published_and_a_confirm_is_what_it_was() {
    let node = node();
    let mut tracer = node.channel();
    tracer.queue("copies", true);
    tracer.bind("copies", "amq.rabbitmq.trace", "publish.#");
    node.broker.set_tracing("/", true).unwrap();
    let mut client = node.channel();
    client.queue("q", true);
    client.confirms();
    client.persist("", "q", b"1");
    client.publish("", "nowhere", b"2");
    let seen = client.read_until(|seen| acks(seen).iter().any(|(tag, _)| *tag == 2));
    assert_eq!(acks(&seen).iter().map(|(tag, _)| *tag).max(), Some(2));
    assert_eq!(tracer.ready("copies"), 2);
    client.open_channel(2);
    client.method(2, AMQPClass::Tx(amq_protocol::protocol::tx::AMQPMethod::Select(Default::default())));
    client.only();
    client.send(&message(2, "", "q", false, &PropertiesBuilder::default(), b"3"));
    assert_eq!((tracer.ready("copies"), client.ready("q")), (3, 1));
}

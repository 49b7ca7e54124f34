//! basic.consume and basic.cancel.

use crate::stage::*;
use crate::support::*;

#[test]
fn consume_ok_comes_before_the_first_delivery() {
    let mut client = open();
    let name = queue_of(&mut client, &["a", "b"]);
    let consume = basic::Consume { queue: name.as_str().into(), consumer_tag: "c".into(), ..Default::default() };
    client.send(CH, AMQPClass::Basic(basic::AMQPMethod::Consume(consume))).unwrap();
    let ok = basic::ConsumeOk { consumer_tag: "c".into() };
    assert_eq!(method_of(client.recv().unwrap()), AMQPClass::Basic(basic::AMQPMethod::ConsumeOk(ok)));
    for (tag, body) in [(1, "a"), (2, "b")] {
        let expected = Delivery {
            channel: CH,
            consumer_tag: "c".to_owned(),
            delivery_tag: tag,
            redelivered: false,
            exchange: String::new(),
            routing_key: name.clone(),
            left: None,
            properties: vec![0, 0],
            body: body.as_bytes().to_vec(),
        };
        assert_eq!(client.recv().unwrap().delivery(), Some(expected));
    }
}

#[test]
fn deliveries_name_exchange_and_key_of_the_publish() {
    let mut client = open();
    let (exchange, name) = (exchange(&mut client, "topic"), queue(&mut client));
    client.bind(CH, &name, &exchange, "a.#").unwrap();
    client.consume(CH, &name, "", true).unwrap();
    for key in ["a", "a.b", "a.b", "a.b.c"] {
        publish_to(&mut client, &exchange, key, "x");
        let delivery = client.delivery().unwrap();
        assert_eq!((delivery.exchange.as_str(), delivery.routing_key.as_str()), (exchange.as_str(), key));
    }
}

#[test]
fn without_wait_deliveries_come_at_once() {
    let mut client = open();
    let name = queue_of(&mut client, &["a"]);
    let consume =
        basic::Consume { queue: name.as_str().into(), consumer_tag: "c".into(), nowait: true, ..Default::default() };
    client.send(CH, AMQPClass::Basic(basic::AMQPMethod::Consume(consume))).unwrap();
    let delivery = client.recv().unwrap().delivery().expect("no consume-ok");
    assert_eq!((delivery.consumer_tag.as_str(), delivery.text().as_str()), ("c", "a"));
    let cancel = basic::Cancel { consumer_tag: "c".into(), nowait: true };
    client.send(CH, AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel))).unwrap();
    assert_eq!(client.leftovers(CH).unwrap(), []);
    assert_eq!(counts(&mut client, &name), (0, 0));
}

#[test]
fn the_broker_names_a_consumer_without_a_tag() {
    let mut client = open();
    let name = queue(&mut client);
    let (one, other) = (client.consume(CH, &name, "", true).unwrap(), client.consume(CH, &name, "", true).unwrap());
    assert_ne!(one, other);
    for tag in [one, other] {
        let random = tag.strip_prefix("amq.ctag-").unwrap_or_else(|| panic!("{tag}"));
        let base64url = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        assert!(random.len() == 22 && random.chars().all(base64url), "{tag}");
    }
}

#[test]
fn a_tag_is_used_once_on_a_channel() {
    let mut client = open();
    client.open_channel(2).unwrap();
    let name = queue(&mut client);
    client.consume(CH, &name, "c", true).unwrap();
    // Other channels have their own.
    client.consume(2, &name, "c", true).unwrap();
    // After a cancel it is free.
    client.cancel(2, "c").unwrap();
    client.consume(2, &name, "c", true).unwrap();
    let text = "NOT_ALLOWED - attempt to reuse consumer tag 'c'";
    connection_refuses(&mut client, |client| client.consume(CH, &name, "c", true), (530, text), BASIC_CONSUME);
}

#[test]
fn an_unknown_queue_is_refused() {
    let mut client = open();
    let text = "NOT_FOUND - no queue 'none of these' in vhost '/'";
    channel_refuses(&mut client, |client| client.consume(CH, "none of these", "", true), (404, text), BASIC_CONSUME);
}

#[test]
fn consumers_per_channel_can_be_limited() {
    let dir = tempfile::tempdir().unwrap();
    let broker = broker_with(dir.path(), "[limits]\nconsumer_max_per_channel = 2\n");
    let mut client = open_at(broker.addr);
    client.open_channel(2).unwrap();
    let name = queue(&mut client);
    for channel in [1, 1, 2, 2] {
        client.consume(channel, &name, "", true).unwrap();
    }
    let text = "NOT_ALLOWED - reached maximum (2) of consumers per channel";
    connection_refuses(&mut client, |client| client.consume(CH, &name, "", true), (530, text), BASIC_CONSUME);
}

#[test]
fn an_exclusive_consumer_has_the_queue_for_itself() {
    let (mut client, mut other) = (open(), open());
    client.open_channel(2).unwrap();
    let name = queue(&mut client);
    let text = format!("ACCESS_REFUSED - queue '{name}' in vhost '/' in exclusive use");
    let refusal = (403, text.as_str());
    let exclusive = || basic::Consume { queue: name.as_str().into(), exclusive: true, ..Default::default() };

    let own = basic::Consume { consumer_tag: "own".into(), ..exclusive() };
    client.consume_with(2, own).unwrap();
    channel_refuses(&mut client, |client| client.consume(CH, &name, "", true), refusal, BASIC_CONSUME);
    channel_refuses(&mut other, |other| other.consume(CH, &name, "", true), refusal, BASIC_CONSUME);
    channel_refuses(&mut other, |other| other.consume_with(CH, exclusive()), refusal, BASIC_CONSUME);

    client.cancel(2, "own").unwrap();
    client.consume(CH, &name, "shared", true).unwrap();
    // Whoever wants it alone comes too late.
    channel_refuses(&mut other, |other| other.consume_with(CH, exclusive()), refusal, BASIC_CONSUME);
    client.cancel(CH, "shared").unwrap();
    other.consume_with(CH, exclusive()).unwrap();
}

#[test]
fn what_needs_no_ack_is_gone_but_has_a_tag() {
    let mut client = open();
    let name = queue_of(&mut client, &["a", "b"]);
    client.consume(CH, &name, "", true).unwrap();
    let tags: Vec<u64> = client.deliveries(2).unwrap().iter().map(|delivery| delivery.delivery_tag).collect();
    assert_eq!(tags, [1, 2]);
    let text = "PRECONDITION_FAILED - unknown delivery tag 2";
    channel_refuses(&mut client, |client| client.ack(CH, 2, false), (406, text), BASIC_ACK);
    assert_eq!(counts(&mut client, &name), (0, 0));
}

#[test]
fn after_cancel_ok_nothing_comes_and_what_came_can_be_settled() {
    let mut client = open();
    let name = queue_of(&mut client, &["a", "b"]);
    client.consume(CH, &name, "c", false).unwrap();
    let [a, b] = client.deliveries(2).unwrap().try_into().unwrap();
    client.cancel(CH, "c").unwrap();
    publish(&mut client, &name, "later");
    assert_eq!(client.leftovers(CH).unwrap(), []);
    client.ack(CH, a.delivery_tag, false).unwrap();
    client.reject(CH, b.delivery_tag, true).unwrap();
    client.sync(CH).unwrap();
    let expected = [("b".to_owned(), true), ("later".to_owned(), false)];
    assert_eq!(drain_marked(&mut client, &name), expected);
}

#[test]
fn what_is_still_delivered_comes_before_cancel_ok() {
    let mut client = open();
    let name = queue(&mut client);
    client.consume(CH, &name, "c", true).unwrap();
    let mut bytes = Vec::new();
    for _ in 0..500 {
        let publish = basic::Publish { routing_key: name.as_str().into(), ..Default::default() };
        bytes.extend(encode_method(CH, AMQPClass::Basic(basic::AMQPMethod::Publish(publish))));
        bytes.extend(b"\x02\0\x01\0\0\0\x0e\0\x3c\0\0\0\0\0\0\0\0\0\0\0\0\xce");
    }
    let cancel = basic::Cancel { consumer_tag: "c".into(), nowait: false };
    bytes.extend(encode_method(CH, AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel))));
    client.send_bytes(&bytes).unwrap();
    let mut delivered = 0;
    while client.recv().unwrap().delivery().is_some() {
        delivered += 1;
    }
    assert_eq!(client.leftovers(CH).unwrap(), []);
    // Each is either with the consumer or still in the queue.
    assert_eq!(delivered + counts(&mut client, &name).0, 500);
}

#[test]
fn cancelling_an_unknown_tag_is_fine() {
    let mut client = open();
    client.cancel(CH, "none of these").unwrap();
    client.sync(CH).unwrap();
}

#[test]
fn a_new_consumer_gets_what_waited() {
    let mut client = open();
    let name = queue(&mut client);
    for number in 0..3000 {
        publish(&mut client, &name, &number.to_string());
    }
    let mut consumer = open();
    client.sync(CH).unwrap();
    consumer.consume(CH, &name, "", true).unwrap();
    let bodies: Vec<String> = consumer.deliveries(3000).unwrap().iter().map(Delivery::text).collect();
    assert_eq!(bodies, (0..3000).map(|number| number.to_string()).collect::<Vec<_>>());
}

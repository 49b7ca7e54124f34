//! `x-delayed-message` exchanges (compat.md 2.11). What needs an exact clock is tested beside the connection machine.

use crate::featured::*;
use crate::stage::*;
use crate::support::*;

fn declaration(name: &str, arguments: &[(&str, AMQPValue)]) -> exchange::Declare {
    exchange::Declare {
        exchange: name.into(),
        kind: "x-delayed-message".into(),
        durable: true,
        arguments: table(arguments),
        ..Default::default()
    }
}

fn waiting(milliseconds: i64) -> BasicProperties {
    let headers = table(&[("x-delay", number(milliseconds))]);
    BasicProperties::default().with_delivery_mode(2).with_headers(headers)
}

/// A delaying exchange that routes as a direct one, and a durable queue at it.
fn delaying(client: &mut Client) -> (String, String) {
    let (exchange, queue) = (unique("x"), unique("q"));
    client.declare_exchange(CH, declaration(&exchange, &[("x-delayed-type", text("direct"))])).unwrap();
    client.declare_queue(CH, &queue, true).unwrap();
    client.bind(CH, &queue, &exchange, "key").unwrap();
    (exchange, queue)
}

#[test]
fn declarations_are_checked() {
    let mut client = open();
    let name = unique("x");
    let missing = "PRECONDITION_FAILED - Invalid argument, 'x-delayed-type' must be an existing exchange type";
    let itself = "PRECONDITION_FAILED - Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'";
    let keeps = "PRECONDITION_FAILED - Invalid argument, 'x-message-deduplication' can't be used for 'x-delayed-type'";
    let unknown = "PRECONDITION_FAILED - unknown exchange type 'no'";
    for (arguments, refusal) in [
        (vec![], missing),
        (vec![("x-delayed-type", number(1))], missing),
        (vec![("x-delayed-type", text("x-delayed-message"))], itself),
        (vec![("x-delayed-type", text("x-message-deduplication"))], keeps),
        (vec![("x-delayed-type", text("no"))], unknown),
    ] {
        let declare = declaration(&name, &arguments);
        channel_refuses(&mut client, |client| client.declare_exchange(CH, declare), (406, refusal), EXCHANGE_DECLARE);
    }
    let topic = declaration(&name, &[("x-delayed-type", text("topic"))]);
    client.declare_exchange(CH, topic.clone()).unwrap();
    client.declare_exchange(CH, topic).unwrap();
    let other = declaration(&name, &[("x-delayed-type", text("fanout"))]);
    let differs = format!(
        "PRECONDITION_FAILED - inequivalent arg 'x-delayed-type' for exchange '{name}' in vhost '/': received 'fanout' but \
         current is 'topic'"
    );
    channel_refuses(&mut client, |client| client.declare_exchange(CH, other), (406, &differs), EXCHANGE_DECLARE);
    client.delete_exchange(CH, &name).unwrap();
}

#[test]
fn messages_come_in_order_of_their_time_and_say_what_they_waited() {
    let mut client = open();
    let (exchange, queue) = delaying(&mut client);
    client.consume(CH, &queue, "", true).unwrap();
    for (delay, body) in [(900, "c"), (300, "a"), (600, "b"), (0, "now"), (-7, "again")] {
        client.publish(CH, &exchange, "key", &waiting(delay), body.as_bytes()).unwrap();
    }
    let came = client.deliveries(5).unwrap();
    let of = |delivery: &Delivery| (delivery.text(), header(delivery, "x-delay").unwrap());
    let expected = [("now", 0), ("again", -7), ("a", -300), ("b", -600), ("c", -900)]
        .map(|(body, delay)| (body.to_owned(), number(delay)));
    assert_eq!(came.iter().map(of).collect::<Vec<_>>(), expected);
    assert!(came.iter().all(|delivery| delivery.exchange == exchange && delivery.routing_key == "key"));
}

#[test]
fn a_mandatory_one_is_confirmed_without_return() {
    let mut client = open();
    let (exchange, _) = delaying(&mut client);
    client.confirm_select(CH).unwrap();
    client.publish_mandatory(CH, &exchange, "nobody", &waiting(1), b"m").unwrap();
    assert_eq!(client.wait_confirms(CH), Ok(vec![]));
    client.publish_mandatory(CH, &exchange, "nobody", &waiting(0), b"m").unwrap();
    assert_eq!(client.returned().unwrap().code, 312);
}

#[test]
fn what_waits_survives_a_kill_and_goes_with_its_exchange() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = Broker::start(dir.path(), &[]);
    let mut client = open_at(broker.addr);
    let (exchange, queue) = delaying(&mut client);
    let (other, other_queue) = delaying(&mut client);
    client.confirm_select(CH).unwrap();
    for (exchange, delay, body) in
        [(&exchange, 1500, "b"), (&exchange, 1000, "a"), (&other, 1, "gone"), (&other, 1200, "gone")]
    {
        client.publish(CH, exchange, "key", &waiting(delay), body.as_bytes()).unwrap();
    }
    assert_eq!(client.wait_confirms(CH), Ok(vec![]));
    client.delete_exchange(CH, &other).unwrap();
    client.purge(CH, &other_queue).unwrap();
    // A purge waits for no disk. This does, and the purge came before it.
    client.declare_queue(CH, &unique("q"), true).unwrap();
    broker.kill9();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = open_at(broker.addr);
    client.consume(CH, &queue, "", true).unwrap();
    let came = client.deliveries(2).unwrap();
    assert_eq!(came.iter().map(Delivery::text).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(counts(&mut client, &other_queue).0, 0);
}

#[test]
fn a_duplicate_does_not_wait_behind_an_exchange_that_drops_it() {
    let mut client = open();
    let (exchange, queue) = delaying(&mut client);
    let gate = unique("x");
    client
        .declare_exchange(
            CH,
            exchange::Declare {
                exchange: gate.as_str().into(),
                kind: "x-message-deduplication".into(),
                durable: true,
                arguments: table(&[("x-cache-size", number(10))]),
                ..Default::default()
            },
        )
        .unwrap();
    client.bind_exchange(CH, &exchange, &gate, "").unwrap();
    client.confirm_select(CH).unwrap();
    for (identity, delay, body) in [("a", 400, "late"), ("b", 100, "early"), ("a", 1, "again")] {
        let headers = table(&[("x-delay", number(delay)), ("x-deduplication-header", text(identity))]);
        let properties = BasicProperties::default().with_delivery_mode(2).with_headers(headers);
        client.publish(CH, &gate, "key", &properties, body.as_bytes()).unwrap();
    }
    assert_eq!(client.wait_confirms(CH), Ok(vec![]), "the duplicate is acknowledged");
    client.consume(CH, &queue, "", true).unwrap();
    let came: Vec<String> = client.deliveries(2).unwrap().iter().map(Delivery::text).collect();
    assert_eq!(came, ["early", "late"]);
    assert_eq!(drain(&mut client, &queue), Vec::<String>::new());
}

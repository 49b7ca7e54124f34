//! More exchange types (compat.md 2.11): those that choose a queue, that remember, that read selectors.

use crate::featured::{await_message, header, number, table, text};
use crate::stage::*;
use crate::support::*;
use std::path::Path;

fn declare(name: &str, kind: &str, arguments: &[(&str, AMQPValue)]) -> exchange::Declare {
    exchange::Declare { exchange: name.into(), kind: kind.into(), arguments: table(arguments), ..Default::default() }
}

fn exchange_with(client: &mut Client, kind: &str, arguments: &[(&str, AMQPValue)]) -> String {
    let name = unique("x");
    client.declare_exchange(CH, declare(&name, kind, arguments)).expect("an exchange");
    name
}

/// So many queues, bound with this key.
fn bound(client: &mut Client, exchange: &str, count: usize, key: &str) -> Vec<String> {
    let queues: Vec<String> = (0..count).map(|_| queue(client)).collect();
    queues.iter().for_each(|queue| client.bind(CH, queue, exchange, key).expect("a binding"));
    queues
}

fn spread(client: &mut Client, exchange: &str, messages: usize) {
    (0..messages).for_each(|number| publish_to(client, exchange, &format!("key {number}"), &format!("{number}")));
}

fn drained(client: &mut Client, queues: &[String]) -> Vec<Vec<String>> {
    queues.iter().map(|queue| drain(client, queue)).collect()
}

fn refuses_declaration(client: &mut Client, declare: exchange::Declare, explanation: &str) {
    let text = format!("PRECONDITION_FAILED - {explanation}");
    channel_refuses(client, |client| client.declare_exchange(CH, declare), (406, &text), EXCHANGE_DECLARE);
}

fn refuses_binding(client: &mut Client, queue: &str, exchange: &str, key: &str, explanation: &str) {
    let text = format!("PRECONDITION_FAILED - {explanation}");
    channel_refuses(client, |client| client.bind(CH, queue, exchange, key), (406, &text), QUEUE_BIND);
}

fn with_header(key: &str, value: AMQPValue) -> BasicProperties {
    BasicProperties::default().with_headers(table(&[(key, value)]))
}

#[test]
fn a_consistent_hash_sends_equal_keys_the_same_way_and_to_one_queue() {
    let mut client = open();
    let name = exchange_with(&mut client, "x-consistent-hash", &[]);
    let queues = bound(&mut client, &name, 4, "10");
    spread(&mut client, &name, 400);
    let first = drained(&mut client, &queues);
    assert_eq!(first.iter().map(Vec::len).sum::<usize>(), 400);
    assert!(first.iter().all(|bodies| bodies.len() > 50), "{:?}", first.iter().map(Vec::len).collect::<Vec<_>>());
    spread(&mut client, &name, 400);
    assert_eq!(drained(&mut client, &queues), first);
    let mut other = open();
    spread(&mut other, &name, 400);
    other.sync(CH).unwrap();
    assert_eq!(drained(&mut client, &queues), first, "whoever publishes");
    client.unbind(CH, &queues[3], &name, "10").unwrap();
    spread(&mut client, &name, 400);
    for (now, then) in drained(&mut client, &queues).iter().zip(&first).take(3) {
        assert!(then.iter().all(|body| now.contains(body)), "what stays is not moved");
    }
}

#[test]
fn a_consistent_hash_minds_weights_of_any_size() {
    let mut client = open();
    let name = exchange_with(&mut client, "x-consistent-hash", &[]);
    let queues = bound(&mut client, &name, 1, "1");
    let heavy = bound(&mut client, &name, 1, "4000000000");
    let none = bound(&mut client, &name, 1, "0");
    spread(&mut client, &name, 100);
    assert_eq!(drain(&mut client, &heavy[0]).len(), 100);
    assert_eq!((drain(&mut client, &queues[0]).len(), drain(&mut client, &none[0]).len()), (0, 0));
    refuses_binding(&mut client, &queues[0], &name, "x", "The binding key must be an integer: <<\"x\">>");
    refuses_binding(&mut client, &queues[0], &name, "-3", "The binding key must be greater than 0");
}

#[test]
fn a_consistent_hash_hashes_what_it_is_told_to() {
    let mut client = open();
    let by_header = exchange_with(&mut client, "x-consistent-hash", &[("hash-header", text("id"))]);
    let queues = bound(&mut client, &by_header, 5, "1");
    for number in 0..50 {
        let properties = with_header("id", text(&format!("{}", number % 5)));
        client.publish(CH, &by_header, "same key", &properties, format!("{}", number % 5).as_bytes()).unwrap();
    }
    let mut seen = 0;
    for mut bodies in drained(&mut client, &queues) {
        assert_eq!(bodies.len() % 10, 0, "all of one value or none");
        bodies.sort();
        bodies.dedup();
        seen += bodies.len();
    }
    assert_eq!(seen, 5);

    let by_property = exchange_with(&mut client, "x-consistent-hash", &[("hash-property", text("message_id"))]);
    let queues = bound(&mut client, &by_property, 5, "1");
    for number in 0..50 {
        let properties = BasicProperties::default().with_message_id(format!("m{number}").into());
        client.publish(CH, &by_property, "same key", &properties, b"x").unwrap();
    }
    let used = drained(&mut client, &queues).iter().filter(|bodies| !bodies.is_empty()).count();
    assert!(used > 1, "the key is the same, the property is not");
}

#[test]
fn arguments_of_a_consistent_hash_are_checked() {
    let mut client = open();
    let (header, property) = (("hash-header", text("id")), ("hash-property", text("timestamp")));
    let both = [header.clone(), property.clone()];
    refuses_declaration(
        &mut client,
        declare(&unique("x"), "x-consistent-hash", &both),
        "hash-header and hash-property are mutually exclusive",
    );
    let unknown = [("hash-property", text("app_id"))];
    refuses_declaration(
        &mut client,
        declare(&unique("x"), "x-consistent-hash", &unknown),
        "Unsupported property: app_id",
    );
    let name = exchange_with(&mut client, "x-consistent-hash", &[header]);
    let text = format!(
        "inequivalent arg 'hash-header' for exchange '{name}' in vhost '/': received none but current is the value 'id' \
         of type 'longstr'"
    );
    refuses_declaration(&mut client, declare(&name, "x-consistent-hash", &[]), &text);
}

/// Where messages go does not change with a restart: not by hash, and not by which binding of a queue was the first.
#[test]
fn a_consistent_hash_outlives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let queues: Vec<String> = (0..4).map(|number| format!("q{number}")).collect();
    let run = |dir: &Path, first: bool| {
        let mut broker = Broker::start(dir, &[]);
        let mut client = open_at(broker.addr);
        if first {
            let durable = exchange::Declare { durable: true, ..declare("x", "x-consistent-hash", &[]) };
            client.declare_exchange(CH, durable).unwrap();
            for (number, queue) in queues.iter().enumerate() {
                client.declare_queue(CH, queue, true).unwrap();
                client.bind(CH, queue, "x", "3").unwrap();
                // It says nothing: only the first counts.
                client.bind(CH, queue, "x", &number.to_string()).unwrap();
            }
        }
        spread(&mut client, "x", 200);
        let found = drained(&mut client, &queues);
        drop(client);
        broker.kill9();
        found
    };
    let before = run(dir.path(), true);
    assert_eq!(before.iter().map(Vec::len).sum::<usize>(), 200);
    assert!(before.iter().all(|bodies| bodies.len() > 20));
    assert_eq!(run(dir.path(), false), before);
}

#[test]
fn a_modulus_hash_divides_among_queues() {
    let mut client = open();
    let name = exchange_with(&mut client, "x-modulus-hash", &[]);
    let queues = bound(&mut client, &name, 3, "any");
    spread(&mut client, &name, 300);
    let first = drained(&mut client, &queues);
    assert_eq!(first.iter().map(Vec::len).sum::<usize>(), 300);
    assert!(first.iter().all(|bodies| bodies.len() > 50));
    spread(&mut client, &name, 300);
    assert_eq!(drained(&mut client, &queues), first);
    // The keys of CC and BCC are part of the hash, and make no copies.
    let copies = AMQPValue::FieldArray(vec![text("more")].into());
    for number in 0..30 {
        let properties = with_header("CC", copies.clone());
        client.publish(CH, &name, &format!("{number}"), &properties, b"cc").unwrap();
    }
    assert_eq!(drained(&mut client, &queues).iter().map(Vec::len).sum::<usize>(), 30);
}

#[test]
fn chance_takes_any_queue_and_each_message_once() {
    for kind in ["x-random", "x-local-random"] {
        let mut client = open();
        let name = exchange_with(&mut client, kind, &[]);
        let queues = bound(&mut client, &name, 3, "");
        // The same key: a route that is kept would send them all one way.
        (0..300).for_each(|number| publish_to(&mut client, &name, "k", &number.to_string()));
        let found = drained(&mut client, &queues);
        assert_eq!(found.iter().map(Vec::len).sum::<usize>(), 300);
        assert!(found.iter().all(|bodies| bodies.len() > 30), "{kind}");
        let lone = exchange_with(&mut client, kind, &[]);
        client.publish_mandatory(CH, &lone, "k", &BasicProperties::default(), b"x").unwrap();
        assert_eq!(client.returned().unwrap().code, 312);
    }
}

#[test]
fn a_local_random_exchange_takes_classic_queues_without_key() {
    let mut client = open();
    let name = exchange_with(&mut client, "x-local-random", &[]);
    let queue = queue(&mut client);
    refuses_binding(&mut client, &queue, &name, "k", "Non empty binding 'k' key not permitted");
    let quorum = crate::featured::quorum_with(&mut client, &[]);
    refuses_binding(&mut client, &quorum, &name, "", "Queue type rabbit_quorum_queue not valid for this exchange type");
    let to_exchange = |client: &mut Client| client.bind_exchange(CH, "amq.fanout", &name, "");
    let text = "PRECONDITION_FAILED - Destination not found";
    channel_refuses(&mut client, to_exchange, (406, text), EXCHANGE_BIND);
}

#[test]
fn a_new_binding_gets_the_last_messages() {
    let mut client = open();
    let name = exchange_with(&mut client, "x-recent-history", &[("x-recent-history-length", number(3))]);
    let first = queue(&mut client);
    client.bind(CH, &first, &name, "ignored").unwrap();
    for body in ["1", "2", "3", "4"] {
        publish_to(&mut client, &name, "k", body);
    }
    let hidden = with_header("x-recent-history-no-store", AMQPValue::Boolean(true));
    client.publish(CH, &name, "k", &hidden, b"hidden").unwrap();
    assert_eq!(drain(&mut client, &first), ["1", "2", "3", "4", "hidden"]);
    let second = queue(&mut client);
    client.bind(CH, &second, &name, "").unwrap();
    let got = take(&mut client, &second);
    assert_eq!((got.exchange.as_str(), got.routing_key.as_str(), got.redelivered), (name.as_str(), "k", false));
    client.ack(CH, got.delivery_tag, false).unwrap();
    assert_eq!(drain(&mut client, &second), ["3", "4"]);
    // Binding again is no new binding.
    client.bind(CH, &second, &name, "").unwrap();
    assert_eq!(drain(&mut client, &second), Vec::<String>::new());
    // An exchange that is bound hands them on.
    let (outer, third) = (exchange(&mut client, "fanout"), queue(&mut client));
    client.bind(CH, &third, &outer, "").unwrap();
    client.bind_exchange(CH, &outer, &name, "").unwrap();
    assert_eq!(drain(&mut client, &third), ["2", "3", "4"]);
    client.delete_exchange(CH, &name).unwrap();
    client.declare_exchange(CH, declare(&name, "x-recent-history", &[])).unwrap();
    client.bind(CH, &second, &name, "").unwrap();
    assert_eq!(drain(&mut client, &second), Vec::<String>::new(), "its history went with it");
}

#[test]
fn a_history_without_bindings_keeps_twenty_messages() {
    let mut client = open();
    let name = exchange_with(&mut client, "x-recent-history", &[]);
    client.tx_select(CH).unwrap();
    (0..15).for_each(|number| publish_to(&mut client, &name, "", &number.to_string()));
    client.tx_commit(CH).unwrap();
    client.close_channel(CH).unwrap();
    client.open_channel(CH).unwrap();
    (15..30).for_each(|number| publish_to(&mut client, &name, "", &number.to_string()));
    client.publish_mandatory(CH, &name, "", &BasicProperties::default(), b"30").unwrap();
    assert_eq!(client.returned().unwrap().code, 312, "kept, and yet no queue had it");
    let queue = queue(&mut client);
    client.bind(CH, &queue, &name, "").unwrap();
    let expected: Vec<String> = (11..=30).map(|number| number.to_string()).collect();
    assert_eq!(drain(&mut client, &queue), expected);
    let wrong = declare(&unique("x"), "x-recent-history", &[("x-recent-history-length", number(0))]);
    let text = "Invalid argument 0, 'x-recent-history-length' must be a positive integer";
    refuses_declaration(&mut client, wrong, text);
}

#[test]
fn selectors_are_read_as_sql_and_as_the_jms_library_sends_them() {
    let mut client = open();
    let name = exchange_with(&mut client, "x-jms-topic", &[("rjms_version", text("3.4.0"))]);
    let (by_term, by_sql, all) = (queue(&mut client), queue(&mut client), queue(&mut client));
    let term = [
        ("rjms_erlang_selector", text("{'=',{'ident',<<\"colour\">>},<<\"red\">>}.")),
        ("rjms_version", text("3.4.0")),
    ];
    client.bind_with(CH, &by_term, &name, "topic", table(&term)).unwrap();
    let sql = [("x-jms-selector", text("colour LIKE 'b%' OR size BETWEEN 1 AND 3"))];
    client.bind_with(CH, &by_sql, &name, "topic", table(&sql)).unwrap();
    client.bind(CH, &all, &name, "topic").unwrap();
    let publish = |client: &mut Client, headers: &[(&str, AMQPValue)], body: &str| {
        let properties = BasicProperties::default().with_headers(table(headers));
        client.publish(CH, &name, "topic", &properties, body.as_bytes()).unwrap();
    };
    publish(&mut client, &[("colour", text("red"))], "red");
    publish(&mut client, &[("colour", text("blue"))], "blue");
    publish(&mut client, &[("colour", text("red")), ("size", number(2))], "small red");
    publish(&mut client, &[], "none");
    assert_eq!(drain(&mut client, &by_term), ["red", "small red"]);
    assert_eq!(drain(&mut client, &by_sql), ["blue", "small red"]);
    assert_eq!(drain(&mut client, &all), ["red", "blue", "small red", "none"]);
    let wrong = table(&[("x-jms-selector", text("size >"))]);
    let refused = format!(
        "PRECONDITION_FAILED - cannot parse selector '\"size >\"' binding destination '{all}' to exchange '{name}'"
    );
    let bind = |client: &mut Client| client.bind_with(CH, &all, &name, "topic", wrong);
    channel_refuses(&mut client, bind, (406, &refused), QUEUE_BIND);
}

/// The types are met on the way of every message: behind a binding, as alternate, as dead-letter exchange.
#[test]
fn the_types_work_wherever_exchanges_do() {
    let mut client = open();
    for kind in ["x-consistent-hash", "x-modulus-hash", "x-random", "x-local-random", "x-recent-history", "x-jms-topic"]
    {
        let name = exchange_with(&mut client, kind, &[]);
        let key = match kind {
            "x-consistent-hash" => "1",
            _ => "",
        };
        let target = bound(&mut client, &name, 1, key).remove(0);
        let outer = exchange(&mut client, "fanout");
        client.bind_exchange(CH, &name, &outer, "").unwrap();
        publish_to(&mut client, &outer, "k", "by binding");
        let first = exchange_with(&mut client, "direct", &[("alternate-exchange", text(&name))]);
        publish_to(&mut client, &first, "k", "as alternate");
        let copies = with_header("CC", AMQPValue::FieldArray(vec![text("l"), text("m")].into()));
        client.publish(CH, &name, "k", &copies, b"with copies").unwrap();
        assert_eq!(drain(&mut client, &target), ["by binding", "as alternate", "with copies"], "{kind}");
        let source = crate::featured::queue_with(
            &mut client,
            &[("x-dead-letter-exchange", text(&name)), ("x-max-length", number(0))],
        );
        publish(&mut client, &source, "dead");
        let dead = await_message(&mut client, &target);
        assert_eq!((dead.text().as_str(), dead.exchange.as_str()), ("dead", name.as_str()), "{kind}");
        assert!(header(&dead, "x-death").is_some());
        // Without a destination the alternate of the type itself is asked.
        let fallback = queue(&mut client);
        let fan = exchange(&mut client, "fanout");
        client.bind(CH, &fallback, &fan, "").unwrap();
        let empty = exchange_with(&mut client, kind, &[("alternate-exchange", text(&fan))]);
        publish_to(&mut client, &empty, "k", "none there");
        assert_eq!(drain(&mut client, &fallback), ["none there"], "{kind}");
    }
}

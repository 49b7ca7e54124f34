//! Dead letters: when, where to, and with which history (compat.md 2.5).

use crate::featured::*;
use crate::stage::*;
use crate::support::*;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// A queue that the default exchange leads to, and arguments that send dead letters there.
fn morgue(client: &mut Client) -> (String, Vec<(&'static str, AMQPValue)>) {
    let name = queue(client);
    let arguments = vec![("x-dead-letter-exchange", text("")), ("x-dead-letter-routing-key", text(&name))];
    (name, arguments)
}

fn and(
    mut arguments: Vec<(&'static str, AMQPValue)>,
    more: &[(&'static str, AMQPValue)],
) -> Vec<(&'static str, AMQPValue)> {
    arguments.extend(more.iter().cloned());
    arguments
}

#[test]
fn every_reason_has_its_name() {
    let mut client = open();
    let (dead, to_dead) = morgue(&mut client);
    let died = |client: &mut Client, body: &str, reason: &str, from: &str| {
        let letter = await_message(client, &dead);
        assert_eq!(
            (letter.text(), letter.exchange.as_str(), letter.routing_key.as_str()),
            (body.to_owned(), "", dead.as_str())
        );
        assert_eq!(deaths(&letter), [(from.to_owned(), reason.to_owned(), 1)]);
        for which in ["first", "last"] {
            let fact = |what: &str| header(&letter, &format!("x-{which}-death-{what}"));
            assert_eq!(
                (fact("reason"), fact("queue"), fact("exchange")),
                (Some(text(reason)), Some(text(from)), Some(text("")))
            );
        }
    };
    let rejected = queue_with(&mut client, &to_dead);
    for refuse in 0..2 {
        publish(&mut client, &rejected, "no");
        let held = take(&mut client, &rejected);
        match refuse {
            0 => client.reject(CH, held.delivery_tag, false).unwrap(),
            _ => client.nack(CH, held.delivery_tag, false, false).unwrap(),
        }
        died(&mut client, "no", "rejected", &rejected);
    }
    let expired = queue_with(&mut client, &and(to_dead.clone(), &[("x-message-ttl", number(20))]));
    publish(&mut client, &expired, "old");
    died(&mut client, "old", "expired", &expired);
    let short = queue_with(&mut client, &and(to_dead.clone(), &[("x-max-length", number(1))]));
    publish(&mut client, &short, "first");
    publish(&mut client, &short, "second");
    died(&mut client, "first", "maxlen", &short);
    let refusing = [("x-max-length", number(1)), ("x-overflow", text("reject-publish-dlx"))];
    let refusing = queue_with(&mut client, &and(to_dead.clone(), &refusing));
    publish(&mut client, &refusing, "in");
    publish(&mut client, &refusing, "refused");
    died(&mut client, "refused", "maxlen", &refusing);
    assert_eq!(drain(&mut client, &refusing), ["in"]);
}

#[test]
fn acknowledged_and_requeued_messages_do_not_die() {
    let mut client = open();
    let (dead, to_dead) = morgue(&mut client);
    let name = queue_with(&mut client, &to_dead);
    ["a", "b", "c"].iter().for_each(|body| publish(&mut client, &name, body));
    let a = take(&mut client, &name);
    client.ack(CH, a.delivery_tag, false).unwrap();
    let b = take(&mut client, &name);
    client.nack(CH, b.delivery_tag, false, true).unwrap();
    assert_eq!(client.purge(CH, &name), Ok(2));
    publish(&mut client, &name, "d");
    client.delete_queue(CH, &name).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(counts(&mut client, &dead), (0, 0));
}

#[test]
fn the_rest_of_a_message_stays_and_its_expiration_goes() {
    let mut client = open();
    let (dead, to_dead) = morgue(&mut client);
    let name = queue_with(&mut client, &to_dead);
    let mine = table(&[("k", text("v")), ("x-death", text("a client's own means nothing"))]);
    let properties = expiring(20).with_headers(mine).with_message_id("id".into()).with_priority(3);
    publish_with(&mut client, &name, properties, "m");
    let letter = await_message(&mut client, &dead);
    let properties = letter.parsed_properties();
    assert_eq!(properties.expiration(), &None);
    assert_eq!((properties.message_id().as_ref().unwrap().as_str(), properties.priority()), ("id", &Some(3)));
    assert_eq!(header(&letter, "k"), Some(text("v")));
    let Some(AMQPValue::FieldArray(all)) = header(&letter, "x-death") else { panic!("{letter:?}") };
    let AMQPValue::FieldTable(death) = &all.as_slice()[0] else { panic!("{all:?}") };
    let field = |key: &str| death.inner().get(key).cloned();
    assert_eq!(field("original-expiration"), Some(text("20")));
    assert!(matches!(field("time"), Some(AMQPValue::Timestamp(_))));
    assert_eq!(field("exchange"), Some(text("")));
    assert_eq!(field("routing-keys"), Some(AMQPValue::FieldArray(vec![text(&name)].into())));
}

#[test]
fn without_a_key_of_their_own_they_keep_theirs_through_any_exchange() {
    let mut client = open();
    for kind in ["direct", "topic", "headers", "fanout"] {
        let exchange = exchange(&mut client, kind);
        let target = queue(&mut client);
        let with = if kind == "headers" { table(&[("h", number(1))]) } else { FieldTable::default() };
        client.bind_with(CH, &target, &exchange, "key.of.it", with).unwrap();
        let name = queue_with(&mut client, &[("x-dead-letter-exchange", text(&exchange))]);
        client.bind(CH, &name, "amq.direct", "key.of.it").unwrap();
        let properties = BasicProperties::default().with_headers(table(&[("h", number(1))]));
        client.publish(CH, "amq.direct", "key.of.it", &properties, b"m").unwrap();
        let held = take(&mut client, &name);
        client.reject(CH, held.delivery_tag, false).unwrap();
        let letter = await_message(&mut client, &target);
        assert_eq!((letter.exchange.as_str(), letter.routing_key.as_str()), (exchange.as_str(), "key.of.it"));
        client.unbind(CH, &name, "amq.direct", "key.of.it").unwrap();
    }
}

#[test]
fn copies_keys_are_in_the_history_and_go_along_but_blind_ones_do_not() {
    let mut client = open();
    let (source, exchange) = (exchange(&mut client, "fanout"), exchange(&mut client, "direct"));
    let [own, copy, blind] = ["own", "copy", "blind"].map(|key| {
        let target = queue(&mut client);
        client.bind(CH, &target, &exchange, key).unwrap();
        target
    });
    let name = queue_with(&mut client, &[("x-dead-letter-exchange", text(&exchange)), ("x-max-length", number(0))]);
    client.bind(CH, &name, &source, "").unwrap();
    let keys = |key: &str| AMQPValue::FieldArray(vec![text(key)].into());
    let headers = table(&[("CC", keys("copy")), ("BCC", keys("blind"))]);
    client.publish(CH, &source, "own", &BasicProperties::default().with_headers(headers), b"m").unwrap();
    for target in [&own, &copy] {
        let letter = await_message(&mut client, target);
        assert_eq!((letter.exchange.as_str(), letter.routing_key.as_str()), (exchange.as_str(), "own"));
        assert_eq!((header(&letter, "CC"), header(&letter, "BCC")), (Some(keys("copy")), None));
        let Some(AMQPValue::FieldArray(all)) = header(&letter, "x-death") else { panic!("{letter:?}") };
        let AMQPValue::FieldTable(death) = &all.as_slice()[0] else { panic!("{all:?}") };
        let routed = AMQPValue::FieldArray(vec![text("own"), text("copy")].into());
        assert_eq!(death.inner().get("routing-keys"), Some(&routed));
        assert_eq!(death.inner().get("exchange"), Some(&text(&source)));
        let mut fields: Vec<&str> = death.inner().keys().map(|key| key.as_str()).collect();
        fields.sort_unstable();
        assert_eq!(fields, ["count", "exchange", "queue", "reason", "routing-keys", "time"]);
    }
    assert_eq!(counts(&mut client, &blind), (0, 0));
}

#[test]
fn a_missing_exchange_swallows_them() {
    let mut client = open();
    let name = queue_with(&mut client, &[("x-dead-letter-exchange", text("there-is-none"))]);
    publish(&mut client, &name, "m");
    let held = take(&mut client, &name);
    client.reject(CH, held.delivery_tag, false).unwrap();
    assert_eq!(counts(&mut client, &name), (0, 0));
}

#[test]
fn a_retry_queue_brings_a_rejected_message_back_and_counts() {
    let mut client = open();
    let (work, retry) = (unique("work"), unique("retry"));
    let to = |queue: &str| [("x-dead-letter-exchange", text("")), ("x-dead-letter-routing-key", text(queue))].to_vec();
    client.declare(CH, featured(&work, false, &to(&retry))).unwrap();
    client.declare(CH, featured(&retry, false, &and(to(&work), &[("x-message-ttl", number(20))]))).unwrap();
    publish(&mut client, &work, "m");
    client.consume(CH, &work, "", false).unwrap();
    for round in 0..4 {
        let delivery = client.delivery().unwrap();
        assert!(!delivery.redelivered);
        let expected: Vec<_> = [(&retry, "expired"), (&work, "rejected")]
            .iter()
            .filter(|_| round > 0)
            .map(|(queue, reason)| ((*queue).clone(), (*reason).to_owned(), round))
            .collect();
        assert_eq!(deaths(&delivery), expected);
        client.reject(CH, delivery.delivery_tag, false).unwrap();
    }
}

#[test]
fn a_cycle_that_nobody_rejects_ends() {
    let mut client = open();
    let name = unique("q");
    let itself = [("x-dead-letter-exchange", text("")), ("x-dead-letter-routing-key", text(&name))];
    client.declare(CH, featured(&name, false, &and(itself.to_vec(), &[("x-message-ttl", number(10))]))).unwrap();
    publish(&mut client, &name, "m");
    eventually("it does not come back", || counts(&mut client, &name).0 == 0);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(counts(&mut client, &name), (0, 0));
}

#[test]
fn none_is_lost_between_its_queues_when_the_broker_dies() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = Broker::start(dir.path(), &[]);
    let mut client = open_at(first.addr);
    client.declare_queue(CH, "dead", true).unwrap();
    let to_dead = [("x-dead-letter-exchange", text("")), ("x-dead-letter-routing-key", text("dead"))];
    client.declare(CH, featured("q", true, &and(to_dead.to_vec(), &[("x-message-ttl", number(200))]))).unwrap();
    client.confirm_select(CH).unwrap();
    for at in 0..2000 {
        publish_with(&mut client, "q", BasicProperties::default().with_delivery_mode(2), &at.to_string());
    }
    client.wait_confirms(CH).unwrap();
    std::thread::sleep(Duration::from_millis(195));
    first.kill9();
    let second = Broker::start(dir.path(), &[]);
    let mut client = open_at(second.addr);
    let (mut all, deadline) = (BTreeSet::new(), Instant::now() + Duration::from_secs(60));
    while all.len() < 2000 {
        match client.get(CH, "dead", true).unwrap() {
            Some(letter) => drop(all.insert(letter.text().parse::<u32>().unwrap())),
            None => {
                let left = counts(&mut client, "q").0;
                assert!(Instant::now() < deadline, "{} have died, {left} wait: {all:?}", all.len());
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
    assert_eq!(all, (0..2000).collect());
}

//! Quorum queues, of one member (compat.md 2.8).

use crate::featured::*;
use crate::stage::*;
use crate::support::*;
use std::time::{Duration, Instant};

fn counted(delivery: &Delivery) -> (Option<AMQPValue>, Option<AMQPValue>) {
    (header(delivery, "x-delivery-count"), header(delivery, "x-acquired-count"))
}

#[test]
fn what_the_type_does_not_take() {
    let mut client = open();
    let declare = |flags: (bool, bool, bool)| queue::Declare {
        queue: "quorum-refused".into(),
        durable: flags.0,
        exclusive: flags.1,
        auto_delete: flags.2,
        arguments: table(&[("x-queue-type", text("quorum"))]),
        ..Default::default()
    };
    for (flags, property) in [
        ((false, false, false), "non-durable"),
        ((true, true, false), "exclusive-owner"),
        ((true, false, true), "auto-delete"),
    ] {
        let text =
            format!("PRECONDITION_FAILED - invalid property '{property}' for queue 'quorum-refused' in vhost '/'");
        channel_refuses(&mut client, |client| client.declare(CH, declare(flags)), (406, &text), QUEUE_DECLARE);
    }
    let text = "PRECONDITION_FAILED - invalid arg 'x-max-priority' for queue 'quorum-refused' in vhost '/' of queue type \
                rabbit_quorum_queue";
    let foreign = [("x-queue-type", crate::featured::text("quorum")), ("x-max-priority", number(3))];
    let declare = featured("quorum-refused", true, &foreign);
    channel_refuses(&mut client, |client| client.declare(CH, declare), (406, text), QUEUE_DECLARE);
    let unnamed = queue::Declare {
        durable: true,
        arguments: table(&[("x-queue-type", crate::featured::text("quorum"))]),
        ..Default::default()
    };
    let text = "PRECONDITION_FAILED - Cannot declare a server-named queue for type quorum";
    channel_refuses(&mut client, |client| client.declare(CH, unnamed), (406, text), QUEUE_DECLARE);
}

#[test]
fn returns_are_counted_and_failures_apart() {
    let mut client = open();
    let name = quorum_with(&mut client, &[]);
    publish(&mut client, &name, "m");
    let first = take(&mut client, &name);
    assert_eq!(counted(&first), (None, None));
    client.nack(CH, first.delivery_tag, false, true).unwrap();
    let second = take(&mut client, &name);
    assert!(second.redelivered);
    assert_eq!(counted(&second), (None, Some(number(1))), "a message given back has not failed");
    client.reject(CH, second.delivery_tag, true).unwrap();
    let third = take(&mut client, &name);
    assert_eq!(counted(&third), (Some(number(1)), Some(number(2))));
    client.close_channel(CH).unwrap();
    client.open_channel(CH).unwrap();
    assert_eq!(counted(&take(&mut client, &name)), (Some(number(2)), Some(number(3))));
}

#[test]
fn too_many_failures_are_the_end() {
    let mut client = open();
    let dead = queue(&mut client);
    let arguments = [
        ("x-delivery-limit", number(2)),
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text(&dead)),
    ];
    let name = quorum_with(&mut client, &arguments);
    publish(&mut client, &name, "m");
    for _ in 0..3 {
        let held = take(&mut client, &name);
        client.reject(CH, held.delivery_tag, true).unwrap();
    }
    let letter = await_message(&mut client, &dead);
    assert_eq!(deaths(&letter), [(name.clone(), "delivery_limit".to_owned(), 1)]);
    assert_eq!(counts(&mut client, &name), (0, 0));
    // The limit is twenty where nothing else is said.
    let name = quorum_with(&mut client, &[]);
    publish(&mut client, &name, "m");
    for _ in 0..21 {
        let held = take(&mut client, &name);
        client.reject(CH, held.delivery_tag, true).unwrap();
    }
    assert!(client.get(CH, &name, true).unwrap().is_none());
}

#[test]
fn what_came_back_is_served_first_in_the_order_of_its_return() {
    let mut client = open();
    let name = quorum_with(&mut client, &[]);
    ["a", "b", "c", "d"].iter().for_each(|body| publish(&mut client, &name, body));
    let held: Vec<_> = (0..3).map(|_| take(&mut client, &name)).collect();
    [1, 0, 2].iter().for_each(|at| client.nack(CH, held[*at].delivery_tag, false, true).unwrap());
    assert_eq!(drain(&mut client, &name), ["b", "a", "c", "d"]);
}

#[test]
fn messages_are_kept_whatever_their_delivery_mode() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = Broker::start(dir.path(), &[]);
    let mut client = open_at(first.addr);
    let name = quorum_with(&mut client, &[]);
    client.confirm_select(CH).unwrap();
    publish(&mut client, &name, "m");
    client.wait_confirms(CH).unwrap();
    first.kill9();
    let second = Broker::start(dir.path(), &[]);
    assert_eq!(drain(&mut open_at(second.addr), &name), ["m"]);
}

#[test]
fn high_priorities_are_served_twice_as_often() {
    let mut client = open();
    let name = quorum_with(&mut client, &[]);
    for at in 0..4 {
        publish_with(&mut client, &name, with_priority(4), &format!("low{at}"));
        publish_with(&mut client, &name, with_priority(5), &format!("high{at}"));
    }
    let expected = ["high0", "high1", "low0", "high2", "high3", "low1", "low2", "low3"];
    assert_eq!(drain(&mut client, &name), expected);
}

#[test]
fn a_failed_message_waits_before_it_comes_again() {
    let mut client = open();
    let retry = [("x-delayed-retry-type", text("failed")), ("x-delayed-retry-min", number(100))];
    let name = quorum_with(&mut client, &retry);
    publish(&mut client, &name, "m");
    client.consume(CH, &name, "", false).unwrap();
    for round in 1..3 {
        let delivery = client.delivery().unwrap();
        let begun = Instant::now();
        client.reject(CH, delivery.delivery_tag, true).unwrap();
        assert_eq!(counts(&mut client, &name).0, 0);
        let again = client.delivery().unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(95), "{:?} in round {round}", begun.elapsed());
        client.nack(CH, again.delivery_tag, false, true).unwrap();
    }
    assert_eq!(client.delivery().unwrap().text(), "m", "what is given back does not wait");
}

#[test]
fn at_least_once_waits_for_a_place_to_go() {
    let mut client = open();
    let exchange = exchange(&mut client, "direct");
    let arguments = [
        ("x-dead-letter-exchange", text(&exchange)),
        ("x-dead-letter-routing-key", text("k")),
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-overflow", text("reject-publish")),
    ];
    let name = quorum_with(&mut client, &arguments);
    publish(&mut client, &name, "m");
    let held = take(&mut client, &name);
    client.reject(CH, held.delivery_tag, false).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let late = queue(&mut client);
    client.bind(CH, &late, &exchange, "k").unwrap();
    assert_eq!(await_message(&mut client, &late).text(), "m");
}

#[test]
fn at_least_once_without_refusals_is_at_most_once() {
    let mut client = open();
    let exchange = exchange(&mut client, "direct");
    for overflow in [&[][..], &[("x-overflow", text("drop-head"))]] {
        let strict = [
            ("x-dead-letter-exchange", text(&exchange)),
            ("x-dead-letter-routing-key", text("k")),
            ("x-dead-letter-strategy", text("at-least-once")),
        ];
        let name = quorum_with(&mut client, &[&strict, overflow].concat());
        publish(&mut client, &name, "m");
        let held = take(&mut client, &name);
        client.reject(CH, held.delivery_tag, false).unwrap();
        // It led nowhere, and a way that comes later finds nothing.
        client.sync(CH).unwrap();
        std::thread::sleep(Duration::from_millis(100));
        let late = queue(&mut client);
        client.bind(CH, &late, &exchange, "k").unwrap();
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(counts(&mut client, &late).0, 0);
        client.unbind(CH, &late, &exchange, "k").unwrap();
    }
}

#[test]
fn it_knows_no_exclusive_consumers() {
    let mut client = open();
    let name = quorum_with(&mut client, &[]);
    for tag in ["one", "other"] {
        let (queue, consumer_tag) = (name.as_str().into(), tag.into());
        client.consume_with(CH, basic::Consume { queue, consumer_tag, exclusive: true, ..Default::default() }).unwrap();
    }
    (0..2).for_each(|_| publish(&mut client, &name, "m"));
    let mut tags: Vec<String> = client.deliveries(2).unwrap().into_iter().map(|got| got.consumer_tag).collect();
    tags.sort();
    assert_eq!(tags, ["one", "other"]);
}

#[test]
fn its_messages_expire_and_its_length_is_limited() {
    let mut client = open();
    let name = quorum_with(&mut client, &[("x-message-ttl", number(20))]);
    publish(&mut client, &name, "m");
    eventually("it has expired", || counts(&mut client, &name).0 == 0);
    // It has no reject-publish-dlx.
    for overflow in ["drop-head", "reject-publish-dlx"] {
        let limits = [("x-max-length", number(2)), ("x-overflow", text(overflow))];
        let name = quorum_with(&mut client, &limits);
        (0..5).for_each(|at| publish(&mut client, &name, &at.to_string()));
        assert_eq!(drain(&mut client, &name), ["3", "4"], "{overflow}");
    }
    let name = quorum_with(&mut client, &[("x-max-length-bytes", number(5)), ("x-overflow", text("reject-publish"))]);
    client.confirm_select(CH).unwrap();
    (0..4).for_each(|_| publish(&mut client, &name, "ab"));
    assert_eq!(client.wait_confirms(CH), Ok(vec![3, 4]));
    assert_eq!(counts(&mut client, &name).0, 2);
}

#[test]
fn it_is_not_deleted_on_conditions() {
    let mut client = open();
    let name = quorum_with(&mut client, &[]);
    for (if_unused, if_empty, flag) in
        [(true, false, "if-unused"), (false, true, "if-empty"), (true, true, "if-unused")]
    {
        let mut other = open();
        let delete = queue::Delete { queue: name.as_str().into(), if_unused, if_empty, ..Default::default() };
        let text = format!(
            "NOT_IMPLEMENTED - cannot delete queue '{name}' in vhost '/'. queue.delete operations with {flag} flag set are \
             not supported by quorum queues"
        );
        connection_refuses(&mut other, |other| other.delete(CH, delete), (540, &text), QUEUE_DELETE);
    }
    assert_eq!(client.delete_queue(CH, &name), Ok(0));
}

#[test]
fn its_consumers_do_not_share_their_channels_limit() {
    let mut client = open();
    let name = quorum_with(&mut client, &[]);
    client.qos(CH, 5, true).unwrap();
    client.qos(CH, 0, true).unwrap();
    client.consume(CH, &name, "without", false).unwrap();
    client.qos(CH, 5, true).unwrap();
    let text = format!("NOT_IMPLEMENTED - queue '{name}' in vhost '/' does not support global qos");
    connection_refuses(&mut client, |client| client.consume(CH, &name, "with", false), (540, &text), BASIC_CONSUME);
}

#[test]
fn one_with_a_single_active_consumer_is_not_got_from() {
    let mut client = open();
    let name = quorum_with(&mut client, &[("x-single-active-consumer", yes())]);
    let text = format!(
        "RESOURCE_LOCKED - cannot obtain access to locked queue '{name}' in vhost '/'. basic.get operations are not supported \
         by quorum queues with single active consumer"
    );
    channel_refuses(&mut client, |client| client.get(CH, &name, true), (405, &text), BASIC_GET);
}

/// A quorum queue whose messages expire at once and have to arrive at `exchange`.
fn strict(client: &mut Client, exchange: &str) -> String {
    let arguments = [
        ("x-dead-letter-exchange", text(exchange)),
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-overflow", text("reject-publish")),
        ("x-message-ttl", number(20)),
    ];
    quorum_with(client, &arguments)
}

#[test]
fn at_least_once_waits_for_room() {
    let mut client = open();
    let dead = exchange(&mut client, "fanout");
    let name = strict(&mut client, &dead);
    let full = queue_with(&mut client, &[("x-max-length", number(1)), ("x-overflow", text("reject-publish"))]);
    client.bind(CH, &full, &dead, "").unwrap();
    publish(&mut client, &name, "a");
    eventually("one has room", || counts(&mut client, &full).0 == 1);
    publish(&mut client, &name, "b");
    eventually("the other died", || counts(&mut client, &name).0 == 0);
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(drain(&mut client, &full), ["a"]);
    assert_eq!(await_message(&mut client, &full).text(), "b");
}

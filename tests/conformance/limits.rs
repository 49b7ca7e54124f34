//! Length limits and what happens at them (compat.md 2.4).

use crate::featured::*;
use crate::stage::*;
use crate::support::*;

#[test]
fn the_oldest_make_room() {
    let mut client = open();
    let name = queue_with(&mut client, &[("x-max-length", number(3))]);
    (0..10).for_each(|at| publish(&mut client, &name, &at.to_string()));
    assert_eq!(counts(&mut client, &name), (3, 0));
    assert_eq!(drain(&mut client, &name), ["7", "8", "9"]);
}

#[test]
fn bytes_of_bodies_count() {
    let mut client = open();
    let name = queue_with(&mut client, &[("x-max-length-bytes", number(10))]);
    ["aaaa", "bbbb", "cc", "d"].iter().for_each(|body| publish(&mut client, &name, body));
    assert_eq!(drain(&mut client, &name), ["bbbb", "cc", "d"]);
    publish(&mut client, &name, "more than ten bytes");
    assert_eq!(counts(&mut client, &name), (0, 0));
}

#[test]
fn only_ready_messages_count() {
    let mut client = open();
    let name = queue_with(&mut client, &[("x-max-length", number(2))]);
    ["a", "b"].iter().for_each(|body| publish(&mut client, &name, body));
    let held = take(&mut client, &name);
    take(&mut client, &name);
    ["c", "d"].iter().for_each(|body| publish(&mut client, &name, body));
    assert_eq!(counts(&mut client, &name), (2, 0));
    // What comes back is the oldest, and goes first.
    client.nack(CH, held.delivery_tag, false, true).unwrap();
    eventually("one had to go", || counts(&mut client, &name) == (2, 0));
    assert_eq!(drain(&mut client, &name), ["c", "d"]);
}

#[test]
fn a_full_queue_that_refuses_nacks_its_publishers() {
    let mut client = open();
    for overflow in ["reject-publish", "reject-publish-dlx"] {
        let name = queue_with(&mut client, &[("x-max-length", number(3)), ("x-overflow", text(overflow))]);
        client.confirm_select(CH).unwrap();
        (0..6).for_each(|at| publish(&mut client, &name, &at.to_string()));
        let nacked = client.wait_confirms(CH).unwrap();
        assert_eq!(nacked.len(), 3, "{nacked:?}");
        assert_eq!(drain(&mut client, &name), ["0", "1", "2"]);
        publish(&mut client, &name, "room again");
        assert_eq!(client.wait_confirms(CH), Ok(vec![]));
        // Without confirms it is silent.
        client.close_channel(CH).unwrap();
        client.open_channel(CH).unwrap();
        (0..5).for_each(|_| publish(&mut client, &name, "m"));
        assert_eq!(counts(&mut client, &name), (3, 0));
    }
}

#[test]
fn a_message_that_another_queue_takes_is_still_nacked() {
    let mut client = open();
    let full = queue_with(&mut client, &[("x-max-length", number(0)), ("x-overflow", text("reject-publish"))]);
    let (open_queue, exchange) = (queue(&mut client), exchange(&mut client, "fanout"));
    client.bind(CH, &full, &exchange, "").unwrap();
    client.bind(CH, &open_queue, &exchange, "").unwrap();
    client.confirm_select(CH).unwrap();
    publish_to(&mut client, &exchange, "", "m");
    assert_eq!(client.wait_confirms(CH), Ok(vec![1]));
    assert_eq!(drain(&mut client, &open_queue), ["m"]);
}

#[test]
fn a_consumer_that_waits_needs_no_room() {
    let mut client = open();
    for overflow in ["drop-head", "reject-publish"] {
        let name = queue_with(&mut client, &[("x-max-length", number(0)), ("x-overflow", text(overflow))]);
        publish(&mut client, &name, "lost");
        assert_eq!(counts(&mut client, &name), (0, 0));
        client.consume(CH, &name, "", true).unwrap();
        ["a", "b", "c"].iter().for_each(|body| publish(&mut client, &name, body));
        assert_eq!(client.deliveries(3).unwrap().iter().map(Delivery::text).collect::<Vec<_>>(), ["a", "b", "c"]);
    }
}

#[test]
fn limits_hold_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = Broker::start(dir.path(), &[]);
    let mut client = open_at(first.addr);
    client.declare(CH, featured("n", true, &[("x-max-length", number(3))])).unwrap();
    client.declare(CH, featured("b", true, &[("x-max-length-bytes", number(30))])).unwrap();
    client.confirm_select(CH).unwrap();
    let persistent = || BasicProperties::default().with_delivery_mode(2);
    for at in 0..3 {
        publish_with(&mut client, "n", persistent(), &at.to_string());
        publish_with(&mut client, "b", persistent(), &at.to_string().repeat(10));
    }
    client.wait_confirms(CH).unwrap();
    first.kill9();
    let second = Broker::start(dir.path(), &[]);
    let mut client = open_at(second.addr);
    assert_eq!((counts(&mut client, "n").0, counts(&mut client, "b").0), (3, 3));
    publish_with(&mut client, "n", persistent(), "3");
    publish_with(&mut client, "b", persistent(), &"3".repeat(10));
    eventually("the oldest has gone", || counts(&mut client, "n").0 == 3 && counts(&mut client, "b").0 == 3);
    assert_eq!(drain(&mut client, "n"), ["1", "2", "3"]);
    assert_eq!(drain(&mut client, "b"), ["1111111111", "2222222222", "3333333333"]);
}

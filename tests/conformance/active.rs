//! The single active consumer (compat.md 2.7).

use crate::featured::*;
use crate::stage::*;
use crate::support::*;

#[test]
fn one_is_served_and_the_next_takes_over() {
    let mut client = open();
    let name = queue_with(&mut client, &[("x-single-active-consumer", yes())]);
    let mut other = open();
    client.consume(CH, &name, "first", false).unwrap();
    other.consume(CH, &name, "second", false).unwrap();
    (0..4).for_each(|at| publish(&mut client, &name, &at.to_string()));
    let held = client.deliveries(4).unwrap();
    assert_eq!(counts(&mut client, &name), (0, 2));
    client.ack(CH, held[0].delivery_tag, false).unwrap();
    client.cancel(CH, "first").unwrap();
    publish(&mut client, &name, "4");
    assert_eq!(other.delivery().unwrap().text(), "4");
    // What the first still holds comes back when its channel ends.
    client.close_channel(CH).unwrap();
    let back: Vec<_> = other.deliveries(3).unwrap().iter().map(Delivery::text).collect();
    assert_eq!(back, ["1", "2", "3"]);
}

#[test]
fn a_classic_queue_chooses_by_age_alone() {
    let mut client = open();
    let name = queue_with(&mut client, &[("x-single-active-consumer", yes())]);
    let with_priority = |tag: &str, priority| basic::Consume {
        queue: name.as_str().into(),
        consumer_tag: tag.into(),
        no_ack: true,
        arguments: table(&[("x-priority", number(priority))]),
        ..Default::default()
    };
    client.consume_with(CH, with_priority("low", 1)).unwrap();
    client.consume_with(CH, with_priority("high", 9)).unwrap();
    publish(&mut client, &name, "m");
    assert_eq!(client.delivery().unwrap().consumer_tag, "low");
}

#[test]
fn a_quorum_queue_changes_to_a_higher_priority_when_nothing_is_held() {
    let mut client = open();
    let name = quorum_with(&mut client, &[("x-single-active-consumer", yes())]);
    let with_priority = |tag: &str, priority| basic::Consume {
        queue: name.as_str().into(),
        consumer_tag: tag.into(),
        arguments: table(&[("x-priority", number(priority))]),
        ..Default::default()
    };
    client.consume_with(CH, with_priority("low", 1)).unwrap();
    publish(&mut client, &name, "a");
    let held = client.delivery().unwrap();
    client.consume_with(CH, with_priority("high", 9)).unwrap();
    publish(&mut client, &name, "b");
    client.sync(CH).unwrap();
    client.ack(CH, held.delivery_tag, false).unwrap();
    let next = client.delivery().unwrap();
    assert_eq!((next.consumer_tag.as_str(), next.text()), ("high", "b".into()));
}

#[test]
fn exclusive_consumers_are_refused() {
    let mut client = open();
    let name = queue_with(&mut client, &[("x-single-active-consumer", yes())]);
    let consume = basic::Consume { queue: name.as_str().into(), exclusive: true, ..Default::default() };
    let text = format!("ACCESS_REFUSED - queue '{name}' in vhost '/' in exclusive use");
    channel_refuses(&mut client, |client| client.consume_with(CH, consume), (403, &text), BASIC_CONSUME);
}

//! Which consumer is served: the single active one, or by priority; and for how long (compat.md 2.7).

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

#[test]
fn the_highest_priority_with_credit_is_served_and_equals_take_turns() {
    let mut client = open();
    for name in [queue(&mut client), quorum_with(&mut client, &[])] {
        for (tag, priority) in [("low", -5), ("none", 0), ("high", 9), ("high too", 9)] {
            client.qos(CH, 2, false).unwrap();
            let arguments =
                if priority == 0 { FieldTable::default() } else { table(&[("x-priority", number(priority))]) };
            let consumer_tag = format!("{tag} of {name}").as_str().into();
            let queue = name.as_str().into();
            client.consume_with(CH, basic::Consume { queue, consumer_tag, arguments, ..Default::default() }).unwrap();
        }
        (0..9).for_each(|at| publish(&mut client, &name, &at.to_string()));
        let held = client.deliveries(8).unwrap();
        let order: Vec<&str> = held.iter().map(|delivery| delivery.consumer_tag.split(" of").next().unwrap()).collect();
        assert_eq!(order, ["high", "high too", "high", "high too", "none", "none", "low", "low"]);
        // Of several that wait for credit the first that gets some is served.
        let low = held.last().unwrap();
        client.ack(CH, low.delivery_tag, false).unwrap();
        let next = client.delivery().unwrap();
        assert_eq!((&next.consumer_tag, next.text().as_str()), (&low.consumer_tag, "8"));
        client.delete_queue(CH, &name).unwrap();
        client.leftovers(CH).unwrap();
    }
}

/// A client whose consumer may hold messages for 200 ms, and holds one of this queue.
fn late(name: &str, options: &Options) -> Client {
    let mut client = open_with(addr(), options);
    let (queue, arguments) = (name.into(), table(&[("x-consumer-timeout", number(200))]));
    let consume = basic::Consume { queue, consumer_tag: "late".into(), arguments, ..Default::default() };
    client.consume_with(CH, consume).unwrap();
    publish(&mut client, name, "m");
    assert!(!client.delivery().unwrap().redelivered);
    client
}

const TOO_LATE: &str = "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: 200 ms. \
                        This timeout value can be configured, see consumers doc guide to learn more";

#[test]
fn who_acknowledges_too_late_loses_its_channel() {
    let mut other = open();
    let unaware = without_capability("consumer_cancel_notify");
    for (name, options) in [(queue(&mut other), Options::default()), (quorum_with(&mut other, &[]), unaware)] {
        let mut client = late(&name, &options);
        let closed = client.closed(CH).unwrap();
        assert_eq!((closed.scope, closed.code, closed.text.as_str()), (Scope::Channel, 406, TOO_LATE));
        assert_eq!(drain_marked(&mut other, &name), [("m".to_owned(), true)]);
        // The connection goes on.
        client.open_channel(CH).unwrap();
        client.sync(CH).unwrap();
    }
}

#[test]
fn a_quorum_queues_late_consumer_is_cancelled_if_its_client_understands() {
    let mut other = open();
    let name = quorum_with(&mut other, &[]);
    let mut client = late(&name, &Options::default());
    let cancel = basic::Cancel { consumer_tag: "late".into(), nowait: true };
    assert_eq!(method_of(client.recv().unwrap()), AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)));
    let back = take(&mut other, &name);
    assert!(back.redelivered);
    // It was on its way when the consumer was cancelled: no fault, and no effect.
    client.ack(CH, 1, false).unwrap();
    client.sync(CH).unwrap();
    other.ack(CH, back.delivery_tag, false).unwrap();
    assert_eq!(counts(&mut other, &name), (0, 0));
}

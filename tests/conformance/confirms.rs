//! Publisher confirms: one for every publish, never two.

use crate::stage::*;
use crate::support::*;

fn persistent() -> BasicProperties {
    BasicProperties::default().with_delivery_mode(2)
}

fn ack(delivery_tag: u64) -> Option<(u64, bool, bool)> {
    Some((delivery_tag, false, false))
}

fn durable_queue(client: &mut Client) -> String {
    let name = unique("q");
    client.declare_queue(CH, &name, true).unwrap();
    name
}

#[test]
fn one_publish_is_confirmed_by_its_number() {
    let mut client = open();
    let name = queue(&mut client);
    publish(&mut client, &name, "not counted: before confirm.select");
    client.confirm_select(CH).unwrap();
    for number in 1..=3 {
        publish(&mut client, &name, "counted");
        assert_eq!(client.recv().unwrap().confirm(), ack(number));
    }
}

#[test]
fn select_may_be_repeated_and_need_not_be_answered() {
    let mut client = open();
    let name = queue(&mut client);
    let select = || AMQPClass::Confirm(confirm::AMQPMethod::Select(confirm::Select { nowait: true }));
    client.send(CH, select()).unwrap();
    publish(&mut client, &name, "a");
    assert_eq!(client.recv().unwrap().confirm(), ack(1));
    client.send(CH, select()).unwrap();
    let ok = AMQPClass::Confirm(confirm::AMQPMethod::SelectOk(confirm::SelectOk {}));
    client.send(CH, AMQPClass::Confirm(confirm::AMQPMethod::Select(confirm::Select { nowait: false }))).unwrap();
    assert_eq!(method_of(client.recv().unwrap()), ok);
    publish(&mut client, &name, "b");
    assert_eq!(client.recv().unwrap().confirm(), ack(2));
}

#[test]
fn every_publish_is_confirmed_exactly_once() {
    let mut client = open();
    let (durable, transient) = (durable_queue(&mut client), queue(&mut client));
    let fanout = exchange(&mut client, "fanout");
    client.bind(CH, &durable, &fanout, "").unwrap();
    client.bind(CH, &transient, &fanout, "").unwrap();
    client.confirm_select(CH).unwrap();
    let targets = [("", durable.as_str()), ("", transient.as_str()), (fanout.as_str(), ""), ("", "nowhere")];
    for number in 0..2000 {
        let (exchange, key) = targets[number % targets.len()];
        let properties = if number % 3 == 0 { persistent() } else { BasicProperties::default() };
        client.publish(CH, exchange, key, &properties, number.to_string().as_bytes()).unwrap();
    }
    // The client refuses a tag that is confirmed twice, or never published.
    assert_eq!(client.wait_confirms(CH), Ok(vec![]));
    assert_eq!(client.leftovers(CH).unwrap(), []);
    assert_eq!((counts(&mut client, &durable).0, counts(&mut client, &transient).0), (1000, 1000));
    client.delete_queue(CH, &durable).unwrap();
}

#[test]
fn what_cannot_be_routed_is_confirmed() {
    let mut client = open();
    client.confirm_select(CH).unwrap();
    publish(&mut client, &unique("key"), "dropped");
    assert_eq!(client.recv().unwrap().confirm(), ack(1));
}

#[test]
fn a_return_comes_before_its_confirm() {
    let mut client = open();
    let name = durable_queue(&mut client);
    client.confirm_select(CH).unwrap();
    let key = unique("key");
    client.publish_mandatory(CH, "", &key, &persistent(), b"returned").unwrap();
    assert_eq!(client.recv().unwrap().returned().expect("basic.return").text, "NO_ROUTE");
    assert_eq!(client.recv().unwrap().confirm(), ack(1));
    // Also when many are on their way.
    for number in 0..500_u32 {
        let key = if number % 2 == 0 { &name } else { &key };
        client.publish_mandatory(CH, "", key, &persistent(), &number.to_be_bytes()).unwrap();
    }
    let mut returned = Vec::new();
    let mut confirmed = 1;
    let mut acked = std::collections::BTreeSet::new();
    while acked.len() < 500 {
        let event = client.recv().unwrap();
        if let Some(back) = event.returned() {
            let number = u64::from(u32::from_be_bytes(back.body.try_into().unwrap()));
            assert!(!acked.contains(&(number + 2)), "{number} is returned after its confirm");
            returned.push(number);
        } else if let Some((tag, multiple, false)) = event.confirm() {
            if multiple {
                acked.extend(confirmed + 1..=tag);
                confirmed = tag;
            } else {
                acked.insert(tag);
            }
        } else {
            panic!("{event:?}");
        }
    }
    assert_eq!(returned, (0..500).filter(|number| number % 2 == 1).collect::<Vec<u64>>());
    client.delete_queue(CH, &name).unwrap();
}

#[test]
fn channels_count_by_themselves() {
    let mut client = open();
    client.open_channel(2).unwrap();
    let name = queue(&mut client);
    client.confirm_select(CH).unwrap();
    client.confirm_select(2).unwrap();
    for _ in 0..2 {
        client.publish(2, "", &name, &BasicProperties::default(), b"x").unwrap();
        client.wait_confirms(2).unwrap();
    }
    publish(&mut client, &name, "x");
    let event = client.recv().unwrap();
    assert_eq!((event.channel(), event.confirm()), (CH, ack(1)));
}

#[test]
fn a_channel_without_confirms_gets_none() {
    let mut client = open();
    let name = durable_queue(&mut client);
    client.publish(CH, "", &name, &persistent(), b"x").unwrap();
    assert_eq!(client.leftovers(CH).unwrap(), []);
    // A number that is used again starts without.
    client.confirm_select(CH).unwrap();
    client.close_channel(CH).unwrap();
    client.open_channel(CH).unwrap();
    client.publish(CH, "", &name, &persistent(), b"x").unwrap();
    assert_eq!(client.leftovers(CH).unwrap(), []);
    client.delete_queue(CH, &name).unwrap();
}

#[test]
fn a_queue_that_goes_takes_no_confirm_along() {
    let mut client = open();
    client.open_channel(2).unwrap();
    client.confirm_select(CH).unwrap();
    for _ in 0..20 {
        let name = durable_queue(&mut client);
        for _ in 0..50 {
            client.publish(CH, "", &name, &persistent(), &[1; 1000]).unwrap();
        }
        client.delete_queue(CH, &name).unwrap();
    }
    assert_eq!(client.wait_confirms(CH), Ok(vec![]));
}

#[test]
fn what_a_consumer_has_is_confirmed_too() {
    let mut client = open();
    let name = durable_queue(&mut client);
    client.consume(CH, &name, "", true).unwrap();
    client.confirm_select(CH).unwrap();
    for _ in 0..100 {
        client.publish(CH, "", &name, &persistent(), b"x").unwrap();
    }
    assert_eq!(client.wait_confirms(CH), Ok(vec![]));
    assert_eq!(client.deliveries(100).unwrap().len(), 100);
    client.delete_queue(CH, &name).unwrap();
}

#[test]
fn a_refused_publish_is_not_confirmed() {
    let mut client = open();
    let name = queue(&mut client);
    client.confirm_select(CH).unwrap();
    publish(&mut client, &name, "a");
    assert_eq!(client.recv().unwrap().confirm(), ack(1));
    publish_to(&mut client, "none of these", "k", "b");
    assert!(matches!(client.recv().unwrap(), Event::Closed(closed) if closed.code == 404));
}

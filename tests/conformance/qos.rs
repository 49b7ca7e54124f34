//! basic.qos: what a consumer may hold.

use crate::stage::*;
use crate::support::*;

fn bodies(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(Delivery::text).collect()
}

/// Deliveries that are there after a round trip.
fn delivered(client: &mut Client) -> Vec<Delivery> {
    client.leftovers(CH).unwrap().iter().map(|event| event.delivery().expect("a delivery")).collect()
}

#[test]
fn a_consumer_holds_its_prefetch_count() {
    let mut client = open();
    let name = queue_of(&mut client, &["a", "b", "c", "d", "e"]);
    client.qos(CH, 2, false).unwrap();
    client.consume(CH, &name, "", false).unwrap();
    let held = client.deliveries(2).unwrap();
    assert_eq!(bodies(&held), ["a", "b"]);
    assert_eq!(delivered(&mut client), []);
    client.ack(CH, held[1].delivery_tag, false).unwrap();
    assert_eq!(client.delivery().unwrap().text(), "c");
    assert_eq!(delivered(&mut client), []);
    client.ack(CH, 3, true).unwrap();
    assert_eq!(bodies(&client.deliveries(2).unwrap()), ["d", "e"]);
}

#[test]
fn every_consumer_has_its_own_count() {
    let mut client = open();
    let (one, other) = (queue_of(&mut client, &["a", "b", "c"]), queue_of(&mut client, &["A", "B", "C"]));
    client.qos(CH, 2, false).unwrap();
    client.consume(CH, &one, "", false).unwrap();
    client.consume(CH, &other, "", false).unwrap();
    let mut held = bodies(&client.deliveries(4).unwrap());
    held.sort();
    assert_eq!(held, ["A", "B", "a", "b"]);
    assert_eq!(delivered(&mut client), []);
}

#[test]
fn a_later_count_is_for_later_consumers() {
    let mut client = open();
    let (early, late) = (queue_of(&mut client, &["a", "b", "c"]), queue_of(&mut client, &["A", "B", "C"]));
    client.qos(CH, 1, false).unwrap();
    client.consume(CH, &early, "", false).unwrap();
    assert_eq!(client.delivery().unwrap().text(), "a");
    client.qos(CH, 3, false).unwrap();
    assert_eq!(delivered(&mut client), []);
    client.consume(CH, &late, "", false).unwrap();
    assert_eq!(bodies(&client.deliveries(3).unwrap()), ["A", "B", "C"]);
    client.ack(CH, 1, false).unwrap();
    assert_eq!(client.delivery().unwrap().text(), "b");
    assert_eq!(delivered(&mut client), []);
}

#[test]
fn zero_is_no_limit() {
    let mut client = open();
    let name = queue(&mut client);
    client.qos(CH, 1, false).unwrap();
    client.qos(CH, 0, false).unwrap();
    client.consume(CH, &name, "", false).unwrap();
    (0..1000).for_each(|number| publish(&mut client, &name, &number.to_string()));
    assert_eq!(client.deliveries(1000).unwrap().len(), 1000);
}

#[test]
fn it_does_not_limit_consumers_that_need_no_ack() {
    let mut client = open();
    let name = queue_of(&mut client, &["a", "b", "c"]);
    client.qos(CH, 1, false).unwrap();
    client.consume(CH, &name, "", true).unwrap();
    assert_eq!(bodies(&client.deliveries(3).unwrap()), ["a", "b", "c"]);
}

#[test]
fn a_global_count_is_shared_by_the_channel() {
    let mut client = open();
    let (one, other) = (queue(&mut client), queue(&mut client));
    client.qos(CH, 3, true).unwrap();
    client.consume(CH, &one, "one", false).unwrap();
    client.consume(CH, &other, "other", false).unwrap();
    for body in ["a", "b", "c", "d"] {
        publish(&mut client, &one, body);
        publish(&mut client, &other, body);
    }
    let held = client.deliveries(3).unwrap();
    assert_eq!(delivered(&mut client), []);
    client.ack(CH, held[0].delivery_tag, false).unwrap();
    client.delivery().unwrap();
    assert_eq!(delivered(&mut client), []);
    client.ack(CH, 0, true).unwrap();
    client.deliveries(3).unwrap();
    assert_eq!(delivered(&mut client), []);
    client.ack(CH, 0, true).unwrap();
    client.delivery().unwrap();
}

#[test]
fn a_global_count_changes_at_once() {
    let mut client = open();
    let name = queue_of(&mut client, &["a", "b", "c", "d", "e"]);
    client.qos(CH, 1, true).unwrap();
    client.consume(CH, &name, "", false).unwrap();
    assert_eq!(client.delivery().unwrap().text(), "a");
    assert_eq!(delivered(&mut client), []);
    client.qos(CH, 3, true).unwrap();
    assert_eq!(bodies(&client.deliveries(2).unwrap()), ["b", "c"]);
    assert_eq!(delivered(&mut client), []);
    client.qos(CH, 0, true).unwrap();
    assert_eq!(bodies(&client.deliveries(2).unwrap()), ["d", "e"]);
}

#[test]
fn the_smaller_of_both_counts() {
    let mut client = open();
    let name = queue_of(&mut client, &["a", "b", "c", "d"]);
    client.qos(CH, 3, true).unwrap();
    client.qos(CH, 2, false).unwrap();
    client.consume(CH, &name, "", false).unwrap();
    assert_eq!(bodies(&client.deliveries(2).unwrap()), ["a", "b"]);
    assert_eq!(delivered(&mut client), []);
}

#[test]
fn a_count_of_bytes_is_not_implemented() {
    let mut client = open();
    let text = "NOT_IMPLEMENTED - prefetch_size!=0 (100)";
    let qos = |client: &mut Client| client.send_frame(1, CH, b"\0\x3c\0\x0a\0\0\0\x64\0\x01\0");
    connection_refuses(&mut client, qos, (540, text), BASIC_QOS);
}

#[test]
fn a_nacked_message_frees_its_place() {
    let mut client = open();
    let name = queue_of(&mut client, &["a", "b"]);
    client.qos(CH, 1, false).unwrap();
    client.consume(CH, &name, "", false).unwrap();
    let first = client.delivery().unwrap();
    client.nack(CH, first.delivery_tag, false, true).unwrap();
    let again = client.delivery().unwrap();
    assert_eq!((again.text().as_str(), again.redelivered, again.delivery_tag), ("a", true, 2));
    client.reject(CH, again.delivery_tag, false).unwrap();
    assert_eq!(client.delivery().unwrap().text(), "b");
}

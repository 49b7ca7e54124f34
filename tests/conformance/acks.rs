//! basic.ack, nack, reject and recover.

use crate::stage::*;
use crate::support::*;

fn five(client: &mut Client) -> String {
    queue_of(client, &["a", "b", "c", "d", "e"])
}

fn marked(expected: &[(&str, bool)]) -> Vec<(String, bool)> {
    expected.iter().map(|(body, again)| ((*body).to_owned(), *again)).collect()
}

#[test]
fn an_unknown_tag_is_refused() {
    let mut client = open();
    let text = |tag: u64| format!("PRECONDITION_FAILED - unknown delivery tag {tag}");
    channel_refuses(&mut client, |client| client.ack(CH, 1, false), (406, &text(1)), BASIC_ACK);
    channel_refuses(&mut client, |client| client.ack(CH, 7, true), (406, &text(7)), BASIC_ACK);
    channel_refuses(&mut client, |client| client.ack(CH, 0, false), (406, &text(0)), BASIC_ACK);
    channel_refuses(&mut client, |client| client.nack(CH, 2, false, true), (406, &text(2)), BASIC_NACK);
    channel_refuses(&mut client, |client| client.nack(CH, 3, true, false), (406, &text(3)), BASIC_NACK);
    channel_refuses(&mut client, |client| client.reject(CH, 4, true), (406, &text(4)), BASIC_REJECT);
    channel_refuses(&mut client, |client| client.reject(CH, u64::MAX, false), (406, &text(u64::MAX)), BASIC_REJECT);
}

#[test]
fn a_settled_tag_is_unknown() {
    let settle: [fn(&mut Client); 3] = [
        |client| client.ack(CH, 1, false).unwrap(),
        |client| client.nack(CH, 1, false, true).unwrap(),
        |client| client.reject(CH, 1, false).unwrap(),
    ];
    for first in settle {
        let mut client = open();
        let name = five(&mut client);
        take(&mut client, &name);
        first(&mut client);
        let text = "PRECONDITION_FAILED - unknown delivery tag 1";
        channel_refuses(&mut client, |client| client.ack(CH, 1, false), (406, text), BASIC_ACK);
    }
}

#[test]
fn a_tag_belongs_to_its_channel() {
    let mut client = open();
    client.open_channel(2).unwrap();
    let name = five(&mut client);
    take(&mut client, &name);
    client.ack(2, 1, false).unwrap();
    let closed = client.closed(2).unwrap();
    assert_eq!((closed.code, closed.text.as_str()), (406, "PRECONDITION_FAILED - unknown delivery tag 1"));
    client.ack(CH, 1, false).unwrap();
    client.sync(CH).unwrap();
}

#[test]
fn a_multiple_ack_settles_all_up_to_its_tag() {
    let mut client = open();
    let name = five(&mut client);
    (0..4).for_each(|_| drop(take(&mut client, &name)));
    client.ack(CH, 2, false).unwrap();
    // 2 is settled already, 1 and 3 are settled now, 4 stays.
    client.ack(CH, 3, true).unwrap();
    client.sync(CH).unwrap();
    client.close_channel(CH).unwrap();
    client.open_channel(CH).unwrap();
    assert_eq!(drain_marked(&mut client, &name), marked(&[("d", true), ("e", false)]));
}

#[test]
fn a_multiple_ack_of_a_settled_tag_is_refused() {
    let mut client = open();
    let name = five(&mut client);
    (0..3).for_each(|_| drop(take(&mut client, &name)));
    client.ack(CH, 2, false).unwrap();
    let text = "PRECONDITION_FAILED - unknown delivery tag 2";
    channel_refuses(&mut client, |client| client.ack(CH, 2, true), (406, text), BASIC_ACK);
}

#[test]
fn zero_and_multiple_settle_all() {
    let mut client = open();
    let name = five(&mut client);
    (0..3).for_each(|_| drop(take(&mut client, &name)));
    client.ack(CH, 0, true).unwrap();
    client.sync(CH).unwrap();
    client.close_channel(CH).unwrap();
    client.open_channel(CH).unwrap();
    assert_eq!(drain_marked(&mut client, &name), marked(&[("d", false), ("e", false)]));
}

#[test]
fn refused_messages_return_to_their_places() {
    let mut client = open();
    let name = five(&mut client);
    (0..4).for_each(|_| drop(take(&mut client, &name)));
    client.nack(CH, 2, false, true).unwrap();
    client.reject(CH, 4, true).unwrap();
    assert_eq!(counts(&mut client, &name), (3, 0));
    client.reject(CH, 1, true).unwrap();
    client.ack(CH, 3, false).unwrap();
    let expected = marked(&[("a", true), ("b", true), ("d", true), ("e", false)]);
    assert_eq!(drain_marked(&mut client, &name), expected);
}

#[test]
fn a_multiple_nack_returns_all_in_order() {
    let mut client = open();
    let name = five(&mut client);
    (0..4).for_each(|_| drop(take(&mut client, &name)));
    client.nack(CH, 3, true, true).unwrap();
    client.nack(CH, 0, true, false).unwrap();
    let expected = marked(&[("a", true), ("b", true), ("c", true), ("e", false)]);
    assert_eq!(drain_marked(&mut client, &name), expected);
}

#[test]
fn what_is_discarded_does_not_return() {
    let mut client = open();
    let name = five(&mut client);
    (0..3).for_each(|_| drop(take(&mut client, &name)));
    client.reject(CH, 1, false).unwrap();
    client.nack(CH, 3, true, false).unwrap();
    client.sync(CH).unwrap();
    client.close_channel(CH).unwrap();
    client.open_channel(CH).unwrap();
    assert_eq!(drain_marked(&mut client, &name), marked(&[("d", false), ("e", false)]));
}

#[test]
fn a_returned_message_gets_a_new_tag_and_stays_marked() {
    let mut client = open();
    let name = five(&mut client);
    for tag in 1..=3 {
        let got = take(&mut client, &name);
        assert_eq!((got.text().as_str(), got.delivery_tag, got.redelivered), ("a", tag, tag > 1));
        client.reject(CH, tag, true).unwrap();
    }
}

#[test]
fn recover_returns_all_in_order() {
    let mut client = open();
    let name = five(&mut client);
    (0..4).for_each(|_| drop(take(&mut client, &name)));
    client.ack(CH, 2, false).unwrap();
    client.recover(CH, true).unwrap();
    let expected = marked(&[("a", true), ("c", true), ("d", true), ("e", false)]);
    assert_eq!(drain_marked(&mut client, &name), expected);
    let text = "PRECONDITION_FAILED - unknown delivery tag 1";
    channel_refuses(&mut client, |client| client.ack(CH, 1, false), (406, text), BASIC_ACK);
}

#[test]
fn recovered_messages_are_delivered_again() {
    let mut client = open();
    let name = five(&mut client);
    client.consume(CH, &name, "", false).unwrap();
    assert_eq!(client.deliveries(5).unwrap().len(), 5);
    client.ack(CH, 3, true).unwrap();
    client.recover(CH, true).unwrap();
    let again: Vec<_> =
        client.deliveries(2).unwrap().iter().map(|d| (d.text(), d.delivery_tag, d.redelivered)).collect();
    assert_eq!(again, [("d".to_owned(), 6, true), ("e".to_owned(), 7, true)]);
    client.ack(CH, 0, true).unwrap();
    assert_eq!(counts(&mut client, &name), (0, 1));
}

#[test]
fn an_asynchronous_recover_has_no_reply() {
    let mut client = open();
    let name = five(&mut client);
    take(&mut client, &name);
    let recover = basic::RecoverAsync { requeue: true };
    client.send(CH, AMQPClass::Basic(basic::AMQPMethod::RecoverAsync(recover))).unwrap();
    assert_eq!(client.leftovers(CH).unwrap(), []);
    assert_eq!(counts(&mut client, &name), (5, 0));
}

#[test]
fn recovery_without_requeue_is_not_implemented() {
    let text = "NOT_IMPLEMENTED - requeue=false";
    connection_refuses(&mut open(), |client| client.recover(CH, false), (540, text), BASIC_RECOVER);
}

#[test]
fn requeue_keeps_the_order_of_many() {
    let mut client = open();
    let name = queue(&mut client);
    (0..2000).for_each(|number| publish(&mut client, &name, &number.to_string()));
    client.qos(CH, 1500, false).unwrap();
    client.consume(CH, &name, "c", false).unwrap();
    let held = client.deliveries(1500).unwrap();
    client.cancel(CH, "c").unwrap();
    // Every third is acknowledged, the rest returns from the last to the first.
    for delivery in held.iter().rev() {
        match delivery.delivery_tag % 3 {
            0 => client.ack(CH, delivery.delivery_tag, false).unwrap(),
            1 => client.nack(CH, delivery.delivery_tag, false, true).unwrap(),
            _ => client.reject(CH, delivery.delivery_tag, true).unwrap(),
        }
    }
    client.sync(CH).unwrap();
    let expected: Vec<(String, bool)> = (0..2000)
        .filter(|number| *number >= 1500 || (number + 1) % 3 != 0)
        .map(|number| (number.to_string(), number < 1500))
        .collect();
    assert_eq!(drain_marked(&mut client, &name), expected);
}

#[test]
fn a_few_left_of_many_keep_place_and_content() {
    let mut client = open();
    let name = queue(&mut client);
    let body = |number: u32| format!("{number:0500}");
    (0..2000).for_each(|number| publish(&mut client, &name, &body(number)));
    client.qos(CH, 1500, false).unwrap();
    client.consume(CH, &name, "c", false).unwrap();
    client.deliveries(1500).unwrap();
    client.cancel(CH, "c").unwrap();
    let left = [3_u64, 700, 701, 1499, 1500];
    (1..=1500).filter(|tag| !left.contains(tag)).for_each(|tag| client.ack(CH, tag, false).unwrap());
    client.nack(CH, 701, false, true).unwrap();
    client.nack(CH, 0, true, true).unwrap();
    assert_eq!(counts(&mut client, &name), (505, 0));
    let returned = left.iter().map(|tag| (body(*tag as u32 - 1), true));
    let expected: Vec<(String, bool)> = returned.chain((1500..2000).map(|number| (body(number), false))).collect();
    assert_eq!(drain_marked(&mut client, &name), expected);
}

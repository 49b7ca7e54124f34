//! Where two rules meet: what one channel, queue or limit does while another goes.

use crate::stage::*;
use crate::support::*;

#[test]
fn the_largest_message_passes() {
    let mut client = open();
    let name = queue(&mut client);
    let body: Vec<u8> = (0..16_777_216_u32).map(|i| (i % 247) as u8).collect();
    let mut consumer = open();
    consumer.qos(CH, 1, false).unwrap();
    consumer.consume(CH, &name, "", false).unwrap();
    for _ in 0..3 {
        client.publish(CH, "", &name, &BasicProperties::default(), &body).unwrap();
    }
    client.sync(CH).unwrap();
    let delivery = consumer.delivery().unwrap();
    assert!(delivery.body == body);
    consumer.ack(CH, delivery.delivery_tag, false).unwrap();
    assert!(consumer.delivery().unwrap().body == body);
    assert!(take(&mut client, &name).body == body);
}

#[test]
fn a_deaf_consumer_that_is_lost_gives_everything_back() {
    let (mut publisher, mut deaf) = (open(), open());
    let name = queue(&mut publisher);
    deaf.consume(CH, &name, "", false).unwrap();
    for number in 0..200_u32 {
        let mut body = vec![0; 100_000];
        body[..4].copy_from_slice(&number.to_be_bytes());
        publisher.publish(CH, "", &name, &BasicProperties::default(), &body).unwrap();
    }
    publisher.sync(CH).unwrap();
    deaf.delivery().unwrap();
    deaf.break_off();
    eventually("all is back", || counts(&mut publisher, &name) == (200, 0));
    for number in 0..200_u32 {
        let delivery = publisher.get(CH, &name, true).unwrap().unwrap();
        assert_eq!(delivery.body[..4], number.to_be_bytes());
        assert!(delivery.redelivered || number > 0);
    }
}

#[test]
fn a_deaf_consumer_can_be_cancelled() {
    let (mut publisher, mut deaf) = (open(), open());
    let name = queue(&mut publisher);
    deaf.consume(CH, &name, "c", false).unwrap();
    for _ in 0..200 {
        publisher.publish(CH, "", &name, &BasicProperties::default(), &[0; 100_000]).unwrap();
    }
    publisher.sync(CH).unwrap();
    deaf.cancel(CH, "c").unwrap();
    let delivered = deaf.leftovers(CH).unwrap().iter().filter(|event| event.delivery().is_some()).count();
    assert_eq!(delivered + counts(&mut publisher, &name).0 as usize, 200);
    deaf.nack(CH, 0, true, true).unwrap();
    deaf.sync(CH).unwrap();
    assert_eq!(counts(&mut publisher, &name), (200, 0));
}

#[test]
fn a_queue_is_deleted_under_a_deaf_consumer() {
    let (mut publisher, mut deaf) = (open(), open());
    let name = queue(&mut publisher);
    deaf.consume(CH, &name, "c", false).unwrap();
    for _ in 0..200 {
        publisher.publish(CH, "", &name, &BasicProperties::default(), &[0; 100_000]).unwrap();
    }
    publisher.delete_queue(CH, &name).unwrap();
    // It is told, and may settle what it got.
    let cancel = basic::Cancel { consumer_tag: "c".into(), nowait: true };
    let cancel = AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel));
    deaf.find(Some(CH), |event| (event.method() == Some(&cancel)).then_some(())).unwrap();
    deaf.ack(CH, 0, true).unwrap();
    deaf.sync(CH).unwrap();
}

#[test]
fn a_deleted_queue_holds_a_shared_limit_until_its_messages_are_settled() {
    let mut client = open();
    let (one, other) = (queue_of(&mut client, &["a"]), queue_of(&mut client, &["b"]));
    client.qos(CH, 1, true).unwrap();
    client.consume(CH, &one, "", false).unwrap();
    let held = client.delivery().unwrap();
    client.consume(CH, &other, "", false).unwrap();
    client.delete_queue(CH, &one).unwrap();
    client.leftovers(CH).unwrap();
    client.ack(CH, held.delivery_tag, false).unwrap();
    assert_eq!(client.delivery().unwrap().text(), "b");
}

#[test]
fn returned_messages_free_a_shared_limit() {
    let mut client = open();
    let (one, other) = (queue_of(&mut client, &["a"]), queue_of(&mut client, &["b"]));
    client.qos(CH, 1, true).unwrap();
    client.consume(CH, &one, "one", false).unwrap();
    let held = client.delivery().unwrap();
    client.cancel(CH, "one").unwrap();
    client.consume(CH, &other, "other", false).unwrap();
    // What the cancelled consumer holds still counts.
    assert_eq!(client.leftovers(CH).unwrap(), []);
    client.nack(CH, held.delivery_tag, false, true).unwrap();
    assert_eq!(client.delivery().unwrap().text(), "b");
    assert_eq!(drain_marked(&mut client, &one), [("a".to_owned(), true)]);
}

#[test]
fn recover_frees_every_limit() {
    let mut client = open();
    let name = queue_of(&mut client, &["a", "b", "c"]);
    client.qos(CH, 2, true).unwrap();
    client.qos(CH, 2, false).unwrap();
    client.consume(CH, &name, "", false).unwrap();
    for round in 0..3 {
        let held = client.deliveries(2).unwrap();
        let got: Vec<_> = held.iter().map(|delivery| (delivery.text(), delivery.redelivered)).collect();
        assert_eq!(got, [("a".to_owned(), round > 0), ("b".to_owned(), round > 0)]);
        client.recover(CH, true).unwrap();
    }
}

#[test]
fn an_exclusive_consumer_that_goes_leaves_the_queue_to_others() {
    let (mut first, mut second) = (open(), open());
    let name = queue_of(&mut first, &["a", "b"]);
    let exclusive = || basic::Consume { queue: name.as_str().into(), exclusive: true, ..Default::default() };
    first.consume_with(CH, exclusive()).unwrap();
    assert_eq!(first.deliveries(2).unwrap().len(), 2);
    first.close().unwrap();
    second.consume_with(CH, exclusive()).unwrap();
    let again: Vec<_> = second.deliveries(2).unwrap().iter().map(|d| (d.text(), d.redelivered)).collect();
    assert_eq!(again, [("a".to_owned(), true), ("b".to_owned(), true)]);
}

#[test]
fn one_settlement_covers_several_queues() {
    let mut client = open();
    let (one, other) = (queue_of(&mut client, &["a", "b"]), queue_of(&mut client, &["A", "B"]));
    for name in [&one, &other, &one, &other] {
        take(&mut client, name);
    }
    client.nack(CH, 3, true, true).unwrap();
    assert_eq!((counts(&mut client, &one), counts(&mut client, &other)), ((2, 0), (1, 0)));
    client.ack(CH, 4, false).unwrap();
    assert_eq!(drain(&mut client, &one), ["a", "b"]);
    assert_eq!(drain(&mut client, &other), ["A"]);
}

#[test]
fn a_channel_closed_in_the_middle_of_a_message_starts_afresh() {
    let mut client = open();
    let name = queue(&mut client);
    client.open_channel(2).unwrap();
    let publish = basic::Publish { routing_key: name.as_str().into(), ..Default::default() };
    client.send(2, AMQPClass::Basic(basic::AMQPMethod::Publish(publish))).unwrap();
    client.send_frame(2, 2, &crate::framing::content_header(60, 0, 10)).unwrap();
    let close = channel::Close { reply_code: 200, reply_text: "".into(), class_id: 0, method_id: 0 };
    let close = AMQPClass::Channel(channel::AMQPMethod::Close(close));
    let text = "UNEXPECTED_FRAME - expected content body, got non content body frame instead";
    connection_refuses(&mut client, |client| client.send(2, close), (505, text), BASIC_PUBLISH);
    let mut other = open();
    publish_to(&mut other, "", &name, "whole");
    assert_eq!(drain(&mut other, &name), ["whole"]);
}

#[test]
fn an_exchange_goes_with_the_exclusive_queue_that_was_bound_to_it() {
    let (mut owner, mut other) = (open(), open());
    let name = unique("x");
    let declare = exchange::Declare {
        exchange: name.as_str().into(),
        kind: "fanout".into(),
        auto_delete: true,
        ..Default::default()
    };
    other.declare_exchange(CH, declare).unwrap();
    let exclusive = queue::Declare { exclusive: true, ..Default::default() };
    let queue = owner.declare(CH, exclusive).unwrap().queue.to_string();
    owner.bind(CH, &queue, &name, "").unwrap();
    owner.close().unwrap();
    let text = format!("NOT_FOUND - no exchange '{name}' in vhost '/'");
    channel_refuses(&mut other, |other| other.exchange_passive(CH, &name), (404, &text), EXCHANGE_DECLARE);
}

#[test]
fn a_consumer_serves_its_own_channel() {
    // Publish, deliver, acknowledge and confirm on one channel.
    let mut client = open();
    let name = unique("q");
    client.declare_queue(CH, &name, true).unwrap();
    client.qos(CH, 10, false).unwrap();
    client.consume(CH, &name, "", false).unwrap();
    client.confirm_select(CH).unwrap();
    for number in 0..500_u32 {
        let properties = BasicProperties::default().with_delivery_mode(2);
        client.publish(CH, "", &name, &properties, &number.to_be_bytes()).unwrap();
    }
    for number in 0..500_u32 {
        let delivery = client.delivery().unwrap();
        assert_eq!(delivery.body, number.to_be_bytes());
        client.ack(CH, delivery.delivery_tag, false).unwrap();
    }
    assert_eq!(client.wait_confirms(CH), Ok(vec![]));
    assert_eq!(client.delete_queue(CH, &name), Ok(0));
}

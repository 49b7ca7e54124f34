//! Several consumers: who gets what, and who must not suffer from whom.

use crate::stage::*;
use crate::support::*;

#[test]
fn consumers_take_turns() {
    let mut client = open();
    let name = queue(&mut client);
    client.consume(CH, &name, "one", true).unwrap();
    client.consume(CH, &name, "two", true).unwrap();
    client.consume(CH, &name, "three", true).unwrap();
    let mut tags = Vec::new();
    for number in 0..9 {
        publish(&mut client, &name, &number.to_string());
        tags.push(client.delivery().unwrap().consumer_tag);
    }
    let (first, rest) = tags.split_at(3);
    let mut once = first.to_vec();
    once.sort();
    assert_eq!(once, ["one", "three", "two"]);
    assert_eq!(rest, [first, first].concat());
}

#[test]
fn messages_that_come_together_are_shared_too() {
    let (mut publisher, mut one, mut two) = (open(), open(), open());
    let name = queue(&mut publisher);
    one.consume(CH, &name, "", true).unwrap();
    two.consume(CH, &name, "", true).unwrap();
    let mut bytes = Vec::new();
    for number in 0..100_u8 {
        let publish = basic::Publish { routing_key: name.as_str().into(), ..Default::default() };
        bytes.extend(encode_method(CH, AMQPClass::Basic(basic::AMQPMethod::Publish(publish))));
        bytes.extend(b"\x02\0\x01\0\0\0\x0e\0\x3c\0\0\0\0\0\0\0\0\0\x01\0\0\xce\x03\0\x01\0\0\0\x01");
        bytes.extend([number, 0xCE]);
    }
    publisher.send_bytes(&bytes).unwrap();
    publisher.sync(CH).unwrap();
    let mut all: Vec<u8> = Vec::new();
    for consumer in [&mut one, &mut two] {
        let bodies: Vec<u8> = consumer.deliveries(50).unwrap().iter().map(|delivery| delivery.body[0]).collect();
        assert!(bodies.is_sorted(), "{bodies:?}");
        assert_eq!(consumer.leftovers(CH).unwrap(), []);
        all.extend(bodies);
    }
    all.sort_unstable();
    assert_eq!(all, (0..100).collect::<Vec<u8>>());
}

#[test]
fn only_consumers_with_credit_are_served() {
    let mut client = open();
    let name = queue(&mut client);
    client.qos(CH, 1, false).unwrap();
    client.consume(CH, &name, "one at a time", false).unwrap();
    client.qos(CH, 0, false).unwrap();
    client.consume(CH, &name, "all", false).unwrap();
    (0..10).for_each(|number| publish(&mut client, &name, &number.to_string()));
    let deliveries = client.deliveries(10).unwrap();
    let with = |tag: &str| deliveries.iter().filter(|delivery| delivery.consumer_tag == tag).count();
    assert_eq!((with("one at a time"), with("all")), (1, 9));
}

#[test]
fn a_message_that_comes_back_goes_to_who_has_credit() {
    let mut client = open();
    client.open_channel(2).unwrap();
    let name = queue_of(&mut client, &["a"]);
    client.qos(CH, 1, false).unwrap();
    client.consume(CH, &name, "first", false).unwrap();
    let first = client.delivery().unwrap();
    client.consume(2, &name, "second", false).unwrap();
    client.cancel(CH, "first").unwrap();
    client.nack(CH, first.delivery_tag, false, true).unwrap();
    let again = client.delivery().unwrap();
    assert_eq!((again.consumer_tag.as_str(), again.redelivered), ("second", true));
}

#[test]
fn a_consumer_that_does_not_read_slows_nobody() {
    const MESSAGES: usize = 256;
    let (mut publisher, mut deaf, mut reader) = (open(), open(), open());
    let (exchange, of_deaf, of_reader) =
        (exchange(&mut publisher, "fanout"), queue(&mut publisher), queue(&mut publisher));
    publisher.bind(CH, &of_deaf, &exchange, "").unwrap();
    publisher.bind(CH, &of_reader, &exchange, "").unwrap();
    deaf.consume(CH, &of_deaf, "", true).unwrap();
    reader.consume(CH, &of_reader, "", true).unwrap();
    publisher.confirm_select(CH).unwrap();
    let body = vec![5; 200_000];
    for _ in 0..MESSAGES {
        publisher.publish(CH, &exchange, "", &BasicProperties::default(), &body).unwrap();
    }
    assert_eq!(publisher.wait_confirms(CH), Ok(vec![]));
    for _ in 0..MESSAGES {
        assert_eq!(reader.delivery().unwrap().body.len(), 200_000);
    }
    // What was not taken from the socket has not left the queue for good: most of it is still there.
    assert!(counts(&mut publisher, &of_deaf).0 > 0);
    for _ in 0..MESSAGES {
        assert_eq!(deaf.delivery().unwrap().body.len(), 200_000);
    }
    assert_eq!(counts(&mut publisher, &of_deaf), (0, 1));
}

#[test]
fn a_deaf_consumer_leaves_the_rest_to_others_of_its_queue() {
    let (mut publisher, mut deaf, mut reader) = (open(), open(), open());
    let name = queue(&mut publisher);
    deaf.consume(CH, &name, "", false).unwrap();
    reader.consume(CH, &name, "", false).unwrap();
    let body = vec![5; 200_000];
    for _ in 0..256 {
        publisher.publish(CH, "", &name, &BasicProperties::default(), &body).unwrap();
    }
    publisher.sync(CH).unwrap();
    let mut read = 0;
    while counts(&mut publisher, &name).0 > 0 {
        let delivery = reader.delivery().unwrap();
        reader.ack(CH, delivery.delivery_tag, false).unwrap();
        read += 1;
    }
    assert!(read > 128, "the reader got {read} of 256");
}

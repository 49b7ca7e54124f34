//! Too little room on the disk: publishers are held, consumers go on.

use crate::stage::*;
use crate::support::*;

/// More than any disk has.
const NO_DISK_IS_ENOUGH: &str = "[disk]\nfree_limit = \"1000000TiB\"\n";

fn publish_persistent(client: &mut Client, body: &str) {
    let properties = BasicProperties::default().with_delivery_mode(2);
    client.publish(CH, "", "q", &properties, body.as_bytes()).unwrap();
}

#[test]
fn publishers_are_held_and_told_while_consumers_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = broker_with(dir.path(), "");
    let mut client = open_at(broker.addr);
    client.declare_queue(CH, "q", true).unwrap();
    client.confirm_select(CH).unwrap();
    ["a", "b"].iter().for_each(|body| publish_persistent(&mut client, body));
    client.wait_confirms(CH).unwrap();
    drop(client);
    assert!(broker.term().unwrap().success());

    let mut broker = broker_with(dir.path(), NO_DISK_IS_ENOUGH);
    let mut consumer = open_at(broker.addr);
    consumer.qos(CH, 1, false).unwrap();
    consumer.consume(CH, "q", "", false).unwrap();
    let first = consumer.delivery().unwrap();
    let mut publisher = open_at(broker.addr);
    publisher.confirm_select(CH).unwrap();
    publish_persistent(&mut publisher, "held");
    let blocked = connection::AMQPMethod::Blocked(connection::Blocked { reason: "low on disk".into() });
    assert_eq!(method_of(publisher.recv().unwrap()), AMQPClass::Connection(blocked));
    let mut unaware = open_with(broker.addr, &without_capability("connection.blocked"));
    publish_persistent(&mut unaware, "held too");

    // Acks are read, deliveries go on; nothing is said to those who only consume.
    consumer.ack(CH, first.delivery_tag, false).unwrap();
    let second = consumer.delivery().unwrap();
    assert_eq!((first.text().as_str(), second.text().as_str()), ("a", "b"));
    consumer.ack(CH, second.delivery_tag, false).unwrap();
    assert_eq!(consumer.leftovers(CH).unwrap(), []);
    assert_eq!(counts(&mut consumer, "q"), (0, 1));
    assert_eq!(publisher.unconfirmed(CH), 1);
    for client in [&mut publisher, &mut unaware] {
        client.timeout = std::time::Duration::from_millis(200);
        assert_eq!(client.recv(), Err(Error::Timeout));
    }
    drop((publisher, unaware, consumer));
    assert!(broker.term().unwrap().success());

    let broker = broker_with(dir.path(), "");
    assert_eq!(counts(&mut open_at(broker.addr), "q"), (0, 0));
}

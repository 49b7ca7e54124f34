//! Too little room on the disk: publishers are held, consumers go on.

use crate::stage::*;
use crate::support::*;

/// A broker of which the disk has too little room, with these messages in its durable queue `q`.
fn alarmed(dir: &std::path::Path, bodies: &[&str]) -> Broker {
    let mut broker = broker_with(dir, "");
    let mut client = open_at(broker.addr);
    client.declare_queue(CH, "q", true).unwrap();
    client.confirm_select(CH).unwrap();
    bodies.iter().for_each(|body| publish_persistent(&mut client, body));
    client.wait_confirms(CH).unwrap();
    drop(client);
    assert!(broker.term().unwrap().success());
    broker_with(dir, NO_DISK_IS_ENOUGH)
}

/// More than any disk has.
const NO_DISK_IS_ENOUGH: &str = "[disk]\nfree_limit = \"1000000TiB\"\n";

fn publish_persistent(client: &mut Client, body: &str) {
    let properties = BasicProperties::default().with_delivery_mode(2);
    client.publish(CH, "", "q", &properties, body.as_bytes()).unwrap();
}

#[test]
fn publishers_are_held_and_told_while_consumers_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = alarmed(dir.path(), &["a", "b"]);
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

#[test]
fn a_worker_that_publishes_has_its_acks_read_too() {
    let dir = tempfile::tempdir().unwrap();
    let broker = alarmed(dir.path(), &["a", "b", "c"]);
    let mut worker = open_at(broker.addr);
    worker.qos(CH, 1, false).unwrap();
    worker.consume(CH, "q", "", false).unwrap();
    for (number, expected) in ["a", "b", "c"].iter().enumerate() {
        let delivery = worker.delivery().unwrap();
        assert_eq!(delivery.text(), *expected);
        publish_persistent(&mut worker, "a result");
        if number == 0 {
            let blocked = connection::AMQPMethod::Blocked(connection::Blocked { reason: "low on disk".into() });
            assert_eq!(method_of(worker.recv().unwrap()), AMQPClass::Connection(blocked));
        }
        worker.ack(CH, delivery.delivery_tag, false).unwrap();
    }
    // Behind held publishes too: what is left is what was not acknowledged.
    assert_eq!(worker.get(CH, "q", true), Ok(None));
}

//! The event exchange, over the wire (compat.md 5). Headers are tested beside the connection machine.

use crate::stage::*;
use crate::support::*;

const EVENTS: &str = "amq.rabbitmq.event";

#[test]
fn what_happens_is_told_to_who_listens() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path(), &[]);
    let mut listener = open_at(broker.addr);
    let name = queue(&mut listener);
    ["queue.*", "channel.closed", "connection.#"].iter().for_each(|key| listener.bind(CH, &name, EVENTS, key).unwrap());
    listener.consume(CH, &name, "", true).unwrap();
    let mut client = open_at(broker.addr);
    client.declare_queue(CH, "told", true).unwrap();
    client.delete_queue(CH, "told").unwrap();
    client.close().unwrap();
    let told: Vec<_> = listener.deliveries(5).unwrap();
    let keys: Vec<&str> = told.iter().map(|event| event.routing_key.as_str()).collect();
    assert_eq!(keys, ["connection.created", "queue.created", "queue.deleted", "channel.closed", "connection.closed"]);
    assert!(told.iter().all(|event| event.exchange == EVENTS && event.body.is_empty()));
    assert!(told.iter().all(|event| *event.parsed_properties().delivery_mode() == Some(2)));
}

#[test]
fn the_exchange_is_the_brokers_and_its_bindings_outlast_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = Broker::start(dir.path(), &[]);
    let mut client = open_at(broker.addr);
    let act = |client: &mut Client| client.publish(CH, EVENTS, "x", &BasicProperties::default(), b"");
    let text = "ACCESS_REFUSED - cannot publish to internal exchange 'amq.rabbitmq.event' in vhost '/'";
    channel_refuses(&mut client, act, (403, text), BASIC_PUBLISH);
    let text = "ACCESS_REFUSED - deletion of system exchange 'amq.rabbitmq.event' in vhost '/' not allowed";
    channel_refuses(&mut client, |client| client.delete_exchange(CH, EVENTS), (403, text), EXCHANGE_DELETE);
    client.declare_queue(CH, "events", true).unwrap();
    client.bind(CH, "events", EVENTS, "exchange.created").unwrap();
    drop(client);
    assert!(broker.term().unwrap().success());
    let broker = Broker::start(dir.path(), &[]);
    let mut client = open_at(broker.addr);
    exchange(&mut client, "fanout");
    eventually("the event arrives", || counts(&mut client, "events").0 == 1);
}

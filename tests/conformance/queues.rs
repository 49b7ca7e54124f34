//! Queues: purged, deleted, gone with their consumers, meant by an empty name.

use crate::stage::*;
use crate::support::*;

fn delete(name: &str) -> queue::Delete {
    queue::Delete { queue: name.into(), ..Default::default() }
}

const NONE_DECLARED: (u16, &str) = (404, "NOT_FOUND - no previously declared queue");

#[test]
fn purge_takes_what_is_ready() {
    let mut client = open();
    let name = queue_of(&mut client, &["held", "a", "b"]);
    let held = take(&mut client, &name);
    assert_eq!(client.purge(CH, &name), Ok(2));
    assert_eq!(client.purge(CH, &name), Ok(0));
    publish(&mut client, &name, "later");
    client.nack(CH, held.delivery_tag, false, true).unwrap();
    assert_eq!(drain(&mut client, &name), ["held", "later"]);
}

#[test]
fn what_is_not_there_cannot_be_purged() {
    let mut client = open();
    let text = "NOT_FOUND - no queue 'none of these' in vhost '/'";
    channel_refuses(&mut client, |client| client.purge(CH, "none of these"), (404, text), QUEUE_PURGE);
}

#[test]
fn delete_tells_what_was_ready() {
    let mut client = open();
    let name = queue_of(&mut client, &["held", "a", "b"]);
    let held = take(&mut client, &name);
    assert_eq!(client.delete_queue(CH, &name), Ok(2));
    client.ack(CH, held.delivery_tag, false).unwrap();
    let text = format!("NOT_FOUND - no queue '{name}' in vhost '/'");
    channel_refuses(&mut client, |client| client.declare_passive(CH, &name), (404, &text), QUEUE_DECLARE);
    // A queue of the same name is another one.
    client.declare_queue(CH, &name, false).unwrap();
    assert_eq!(counts(&mut client, &name), (0, 0));
}

#[test]
fn what_is_not_there_is_deleted_too() {
    let mut client = open();
    assert_eq!(client.delete_queue(CH, "none of these"), Ok(0));
    let conditional = queue::Delete { if_unused: true, if_empty: true, ..delete("none of these") };
    assert_eq!(client.delete(CH, conditional), Ok(0));
}

#[test]
fn messages_of_a_deleted_queue_do_not_come_back() {
    let mut client = open();
    let name = queue_of(&mut client, &["a"]);
    let held = take(&mut client, &name);
    client.delete_queue(CH, &name).unwrap();
    client.declare_queue(CH, &name, false).unwrap();
    client.nack(CH, held.delivery_tag, false, true).unwrap();
    client.sync(CH).unwrap();
    assert_eq!(counts(&mut client, &name), (0, 0));
}

#[test]
fn if_unused_spares_a_queue_with_consumers() {
    let mut client = open();
    let name = queue(&mut client);
    client.open_channel(2).unwrap();
    client.consume(2, &name, "c", true).unwrap();
    let unused = || queue::Delete { if_unused: true, ..delete(&name) };
    let text = format!("PRECONDITION_FAILED - queue '{name}' in vhost '/' in use");
    channel_refuses(&mut client, |client| client.delete(CH, unused()), (406, &text), QUEUE_DELETE);
    client.cancel(2, "c").unwrap();
    assert_eq!(client.delete(CH, unused()), Ok(0));
}

#[test]
fn if_empty_spares_a_queue_with_messages() {
    let mut client = open();
    let name = queue_of(&mut client, &["a"]);
    let empty = || queue::Delete { if_empty: true, ..delete(&name) };
    let text = format!("PRECONDITION_FAILED - queue '{name}' in vhost '/' not empty");
    channel_refuses(&mut client, |client| client.delete(CH, empty()), (406, &text), QUEUE_DELETE);
    assert_eq!(client.purge(CH, &name), Ok(1));
    assert_eq!(client.delete(CH, empty()), Ok(0));
}

#[test]
fn an_auto_delete_queue_goes_with_its_last_consumer() {
    let ways: [fn(&mut Client); 4] = [
        |client| client.cancel(2, "second").unwrap(),
        |client| client.close_channel(2).unwrap(),
        |client| client.ack(2, 99, false).unwrap(),
        |client| client.close().unwrap(),
    ];
    for way in ways {
        let (mut client, mut other) = (open(), open());
        client.open_channel(2).unwrap();
        let name = unique("q");
        let auto = queue::Declare { queue: name.as_str().into(), auto_delete: true, ..Default::default() };
        client.declare(CH, auto).unwrap();
        // It is not in a hurry before its first consumer.
        assert_eq!(counts(&mut other, &name), (0, 0));
        client.consume(CH, &name, "first", true).unwrap();
        client.consume(2, &name, "second", true).unwrap();
        client.cancel(CH, "first").unwrap();
        assert_eq!(counts(&mut other, &name), (0, 1));
        way(&mut client);
        eventually("the queue is gone", || {
            let gone = other.declare_passive(CH, &name).is_err();
            if gone {
                other.open_channel(CH).unwrap()
            };
            gone
        });
    }
}

#[test]
fn consumers_of_a_deleted_queue_are_told() {
    let (mut client, mut other) = (open(), open());
    let name = queue_of(&mut client, &["a"]);
    client.consume(CH, &name, "c", false).unwrap();
    let held = client.delivery().unwrap();
    other.delete_queue(CH, &name).unwrap();
    let cancel = basic::Cancel { consumer_tag: "c".into(), nowait: true };
    let told = method_of(client.recv().unwrap());
    assert_eq!(told, AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)));
    // Whether it answers, acknowledges or cancels as well: all is fine.
    let ok = basic::CancelOk { consumer_tag: "c".into() };
    client.send(CH, AMQPClass::Basic(basic::AMQPMethod::CancelOk(ok))).unwrap();
    client.ack(CH, held.delivery_tag, false).unwrap();
    client.cancel(CH, "c").unwrap();
    client.sync(CH).unwrap();
}

#[test]
fn clients_that_do_not_understand_are_not_told() {
    let mut client = open_with(addr(), &without_capability("consumer_cancel_notify"));
    let mut other = open();
    let name = queue(&mut client);
    client.consume(CH, &name, "c", true).unwrap();
    other.delete_queue(CH, &name).unwrap();
    assert_eq!(client.leftovers(CH).unwrap(), []);
    // The tag is free.
    let name = queue_of(&mut client, &["a"]);
    client.consume(CH, &name, "c", true).unwrap();
    assert_eq!(client.delivery().unwrap().text(), "a");
}

#[test]
fn an_empty_name_is_the_queue_last_declared() {
    let mut client = open();
    let (exchange, first, name) = (exchange(&mut client, "direct"), queue(&mut client), queue(&mut client));
    publish(&mut client, &name, "a");
    publish(&mut client, &name, "b");
    assert_eq!(take(&mut client, "").text(), "a");
    client.bind(CH, "", &exchange, "k").unwrap();
    // An empty key stands for the name too.
    client.bind(CH, "", &exchange, "").unwrap();
    publish_to(&mut client, &exchange, "k", "by key");
    publish_to(&mut client, &exchange, &name, "by name");
    publish_to(&mut client, &exchange, "", "lost");
    assert_eq!(client.purge(CH, ""), Ok(3));
    client.unbind(CH, "", &exchange, "").unwrap();
    publish_to(&mut client, &exchange, &name, "lost");
    client.consume(CH, "", "c", true).unwrap();
    assert_eq!(counts(&mut client, &name), (0, 1));
    assert_eq!(client.delete_queue(CH, ""), Ok(0));
    assert_eq!(counts(&mut client, &first), (0, 0));
    // Passive declarations count as well.
    publish(&mut client, &first, "of the first");
    assert_eq!(drain(&mut client, ""), ["of the first"]);
}

#[test]
fn an_empty_name_means_nothing_on_a_new_channel() {
    let mut client = open();
    let exchange = exchange(&mut client, "direct");
    queue(&mut client);
    client.close_channel(CH).unwrap();
    client.open_channel(CH).unwrap();
    channel_refuses(&mut client, |client| client.get(CH, "", true), NONE_DECLARED, BASIC_GET);
    channel_refuses(&mut client, |client| client.consume(CH, "", "", true), NONE_DECLARED, BASIC_CONSUME);
    channel_refuses(&mut client, |client| client.purge(CH, ""), NONE_DECLARED, QUEUE_PURGE);
    channel_refuses(&mut client, |client| client.delete_queue(CH, ""), NONE_DECLARED, QUEUE_DELETE);
    channel_refuses(&mut client, |client| client.bind(CH, "", &exchange, "k"), NONE_DECLARED, QUEUE_BIND);
    channel_refuses(&mut client, |client| client.unbind(CH, "", &exchange, "k"), NONE_DECLARED, QUEUE_UNBIND);
}

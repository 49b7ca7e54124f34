//! Exclusive queues: one connection's, and gone with it.

use crate::stage::*;
use crate::support::*;

fn exclusive(name: &str) -> queue::Declare {
    queue::Declare { queue: name.into(), exclusive: true, ..Default::default() }
}

fn locked(name: &str) -> String {
    format!(
        "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{name}' in vhost '/'. It could be \
         originally declared on another connection or the exclusive property value does not match that of the \
         original declaration."
    )
}

#[test]
fn other_connections_get_nothing_of_it() {
    let (mut owner, mut other) = (open(), open());
    let name = unique("q");
    owner.declare(CH, exclusive(&name)).unwrap();
    let exchange = exchange(&mut other, "fanout");
    let text = locked(&name);
    let refusal = (405, text.as_str());
    channel_refuses(&mut other, |other| other.declare(CH, exclusive(&name)), refusal, QUEUE_DECLARE);
    channel_refuses(&mut other, |other| other.declare_queue(CH, &name, false), refusal, QUEUE_DECLARE);
    channel_refuses(&mut other, |other| other.declare_passive(CH, &name), refusal, QUEUE_DECLARE);
    channel_refuses(&mut other, |other| other.bind(CH, &name, &exchange, ""), refusal, QUEUE_BIND);
    channel_refuses(&mut other, |other| other.consume(CH, &name, "", true), refusal, BASIC_CONSUME);
    channel_refuses(&mut other, |other| other.get(CH, &name, true), refusal, BASIC_GET);
    channel_refuses(&mut other, |other| other.purge(CH, &name), refusal, QUEUE_PURGE);
    channel_refuses(&mut other, |other| other.delete_queue(CH, &name), refusal, QUEUE_DELETE);
    // Publishing is everybody's.
    publish(&mut other, &name, "from another");
    other.sync(CH).unwrap();
    assert_eq!(drain(&mut owner, &name), ["from another"]);
}

#[test]
fn all_channels_of_its_connection_share_it() {
    let mut owner = open();
    owner.open_channel(2).unwrap();
    let name = unique("q");
    owner.declare(CH, exclusive(&name)).unwrap();
    owner.close_channel(CH).unwrap();
    owner.declare(2, exclusive(&name)).unwrap();
    owner.publish(2, "", &name, &BasicProperties::default(), b"kept").unwrap();
    assert_eq!(owner.get(2, &name, true).unwrap().unwrap().text(), "kept");
}

#[test]
fn exclusiveness_cannot_be_changed() {
    let mut client = open();
    let (own, shared) = (unique("q"), queue(&mut client));
    client.declare(CH, exclusive(&own)).unwrap();
    let text = locked(&own);
    channel_refuses(&mut client, |client| client.declare_queue(CH, &own, false), (405, &text), QUEUE_DECLARE);
    let text = locked(&shared);
    channel_refuses(&mut client, |client| client.declare(CH, exclusive(&shared)), (405, &text), QUEUE_DECLARE);
}

#[test]
fn it_lasts_no_longer_whatever_its_declaration_says() {
    let mut client = open();
    let name = unique("q");
    client.declare(CH, queue::Declare { durable: true, ..exclusive(&name) }).unwrap();
    client.declare(CH, exclusive(&name)).unwrap();
}

#[test]
fn it_is_gone_before_its_connection_is_closed() {
    let (mut owner, mut other) = (open(), open());
    let name = unique("q");
    owner.declare(CH, exclusive(&name)).unwrap();
    publish(&mut owner, &name, "lost");
    owner.close().unwrap();
    let text = format!("NOT_FOUND - no queue '{name}' in vhost '/'");
    channel_refuses(&mut other, |other| other.declare_passive(CH, &name), (404, &text), QUEUE_DECLARE);
    other.declare(CH, exclusive(&name)).unwrap();
    assert_eq!(drain(&mut other, &name), Vec::<String>::new());
}

#[test]
fn it_goes_with_a_connection_that_is_lost() {
    let (mut owner, mut other) = (open(), open());
    let name = unique("q");
    owner.declare(CH, exclusive(&name)).unwrap();
    owner.break_off();
    eventually("the queue is gone", || {
        let closed = other.declare_passive(CH, &name).unwrap_err().closed();
        other.open_channel(CH).unwrap();
        closed.code == 404
    });
}

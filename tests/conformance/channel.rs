//! Channels: opened, closed by either side, and what is said of a wrong one.

use crate::stage::*;
use crate::support::*;

fn close() -> AMQPClass {
    let close = channel::Close { reply_code: 200, reply_text: "".into(), class_id: 0, method_id: 0 };
    AMQPClass::Channel(channel::AMQPMethod::Close(close))
}

fn close_ok() -> AMQPClass {
    AMQPClass::Channel(channel::AMQPMethod::CloseOk(channel::CloseOk {}))
}

#[test]
fn a_method_on_a_channel_never_opened_is_refused() {
    let mut client = open();
    let text = "CHANNEL_ERROR - expected 'channel.open'";
    connection_refuses(&mut client, |client| client.declare_queue(7, "q", false), (504, text), QUEUE_DECLARE);
}

#[test]
fn a_channel_is_opened_once() {
    let mut client = open();
    let text = "CHANNEL_ERROR - second 'channel.open' seen";
    connection_refuses(&mut client, |client| client.open_channel(CH), (504, text), CHANNEL_OPEN);
}

#[test]
fn a_number_is_free_again_after_close_ok() {
    let mut client = open();
    for _ in 0..3 {
        client.close_channel(CH).unwrap();
        client.open_channel(CH).unwrap();
    }
    client.sync(CH).unwrap();
}

#[test]
fn delivery_tags_begin_again_with_the_channel() {
    let mut client = open();
    let name = queue_of(&mut client, &["a", "b"]);
    assert_eq!(take(&mut client, &name).delivery_tag, 1);
    assert_eq!(take(&mut client, &name).delivery_tag, 2);
    client.close_channel(CH).unwrap();
    client.open_channel(CH).unwrap();
    assert_eq!(take(&mut client, &name).delivery_tag, 1);
}

#[test]
fn a_closed_channel_gives_back_what_it_held_and_its_consumers_go() {
    let mut client = open();
    client.open_channel(2).unwrap();
    let name = queue_of(&mut client, &["a", "b", "c"]);
    client.qos(2, 1, false).unwrap();
    client.consume(2, &name, "", false).unwrap();
    assert_eq!(client.delivery().unwrap().text(), "a");
    assert_eq!(counts(&mut client, &name), (2, 1));
    client.close_channel(2).unwrap();
    assert_eq!(counts(&mut client, &name), (3, 0));
    let expected = [("a".to_owned(), true), ("b".to_owned(), false), ("c".to_owned(), false)];
    assert_eq!(drain_marked(&mut client, &name), expected);
}

#[test]
fn an_error_on_one_channel_leaves_the_others() {
    let mut client = open();
    client.open_channel(2).unwrap();
    let name = queue_of(&mut client, &["kept"]);
    client.declare_passive(2, "none of these").unwrap_err();
    assert_eq!(drain(&mut client, &name), ["kept"]);
}

#[test]
fn frames_are_dropped_until_close_ok() {
    let mut client = open();
    client.answer_closes(false);
    client.open_channel(2).unwrap();
    let (kept, dropped) = (queue(&mut client), unique("q"));
    let mut unknown = client.declare_passive(CH, "none of these").unwrap_err().closed();
    unknown.text.truncate(9);
    assert_eq!((unknown.code, unknown.text.as_str()), (404, "NOT_FOUND"));

    // Nothing of this happens: not the publish, the declare or the second error.
    publish(&mut client, &kept, "lost");
    let declare = queue::Declare { queue: dropped.as_str().into(), ..Default::default() };
    client.send(CH, AMQPClass::Queue(queue::AMQPMethod::Declare(declare))).unwrap();
    client.ack(CH, 77, false).unwrap();
    client.send(CH, close_ok()).unwrap();

    let missing = client.declare_passive(2, &dropped).unwrap_err().closed();
    assert_eq!((missing.channel, missing.code), (2, 404));
    client.open_channel(CH).unwrap();
    assert_eq!(drain(&mut client, &kept), Vec::<String>::new());
}

#[test]
fn a_close_that_crosses_ours_is_answered() {
    let mut client = open();
    client.answer_closes(false);
    client.declare_passive(CH, "none of these").unwrap_err();
    client.send(CH, close()).unwrap();
    assert_eq!(method_of(client.recv().unwrap()), close_ok());
    client.send(CH, close_ok()).unwrap();
    client.open_channel(CH).unwrap();
    client.sync(CH).unwrap();
}

#[test]
fn messages_are_back_before_the_close_is_told() {
    let mut client = open();
    client.answer_closes(false);
    client.open_channel(2).unwrap();
    let name = queue_of(&mut client, &["a", "b"]);
    take(&mut client, &name);
    client.ack(CH, 99, false).unwrap();
    let closed = client.closed(CH).unwrap();
    assert_eq!((closed.code, closed.text.as_str()), (406, "PRECONDITION_FAILED - unknown delivery tag 99"));
    // The close is not answered yet, and the message can be had.
    let back = client.get(2, &name, true).unwrap().unwrap();
    assert_eq!((back.text().as_str(), back.redelivered, back.left), ("a", true, Some(1)));
}

#[test]
fn flow_can_be_asked_for_but_not_stopped() {
    let mut client = open();
    let flow = |active| AMQPClass::Channel(channel::AMQPMethod::Flow(channel::Flow { active }));
    let ok = AMQPClass::Channel(channel::AMQPMethod::FlowOk(channel::FlowOk { active: true }));
    client.send(CH, flow(true)).unwrap();
    assert_eq!(method_of(client.recv().unwrap()), ok);
    let text = "NOT_IMPLEMENTED - active=false";
    connection_refuses(&mut client, |client| client.send(CH, flow(false)), (540, text), CHANNEL_FLOW);
}

#[test]
fn access_is_granted_to_those_who_ask_for_it() {
    let mut client = open();
    // access.request of a realm, with all its bits; access.request-ok carries ticket 1.
    client.send_frame(1, CH, b"\0\x1e\0\x0a\x05/data\x1f").unwrap();
    let frame = client.recv_frame(std::time::Instant::now() + client.timeout).unwrap();
    assert_eq!(frame, Frame { kind: 1, channel: CH, payload: vec![0, 30, 0, 11, 0, 1] });
}

#[test]
fn many_channels_work_side_by_side() {
    let mut client = open();
    let name = queue(&mut client);
    for channel in 2..=200 {
        client.open_channel(channel).unwrap();
        client.publish(channel, "", &name, &BasicProperties::default(), &channel.to_be_bytes()).unwrap();
        client.sync(channel).unwrap();
    }
    let bodies: Vec<Vec<u8>> =
        std::iter::from_fn(|| client.get(CH, &name, true).unwrap()).map(|delivery| delivery.body).collect();
    assert_eq!(bodies, (2..=200_u16).map(|channel| channel.to_be_bytes().to_vec()).collect::<Vec<_>>());
}

//! Connections: closed by the client, by the broker, or lost.

use crate::stage::*;
use crate::support::*;

fn close() -> AMQPClass {
    let close = connection::Close { reply_code: 200, reply_text: "bye".into(), class_id: 0, method_id: 0 };
    AMQPClass::Connection(connection::AMQPMethod::Close(close))
}

fn close_ok() -> AMQPClass {
    AMQPClass::Connection(connection::AMQPMethod::CloseOk(connection::CloseOk {}))
}

#[test]
fn a_client_that_closes_is_answered_and_the_socket_closed() {
    let mut client = open();
    client.close().unwrap();
    gone(&mut client);
}

#[test]
fn a_client_may_close_during_the_handshake() {
    let mut client = Client::raw(addr()).unwrap();
    client.send_bytes(b"AMQP\0\0\x09\x01").unwrap();
    client.start().unwrap();
    client.start_ok(&Options::default()).unwrap();
    let tune = client.tune().unwrap();
    client.tune_ok(&tune, &Options::default()).unwrap();
    client.close().unwrap();
    gone(&mut client);
}

#[test]
fn what_was_published_before_a_close_is_kept() {
    let mut client = open();
    let name = queue(&mut client);
    for number in 0..1000 {
        publish(&mut client, &name, &number.to_string());
    }
    client.close().unwrap();
    let mut other = open();
    assert_eq!(drain(&mut other, &name), (0..1000).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[test]
fn frames_after_our_close_are_dropped_until_close_ok() {
    let mut client = open();
    let name = queue(&mut client);
    client.answer_closes(false);
    let closed = client.open_channel(CH).unwrap_err().closed();
    assert_eq!((closed.scope, closed.code), (Scope::Connection, 504));
    publish(&mut client, &name, "lost");
    let purge = queue::Purge { queue: name.as_str().into(), ..Default::default() };
    client.send(CH, AMQPClass::Queue(queue::AMQPMethod::Purge(purge))).unwrap();
    client.send(0, close_ok()).unwrap();
    gone(&mut client);
    assert_eq!(drain(&mut open(), &name), Vec::<String>::new());
}

#[test]
fn a_close_that_crosses_ours_is_answered() {
    let mut client = open();
    client.answer_closes(false);
    client.open_channel(CH).unwrap_err();
    client.send(0, close()).unwrap();
    assert_eq!(method_of(client.recv().unwrap()), close_ok());
}

#[test]
fn a_connection_that_ends_gives_its_messages_back_in_order() {
    let ways: [fn(&mut Client); 4] = [
        |client| client.close().unwrap(),
        |client| client.break_off(),
        |client| client.half_close(),
        |client| client.open_channel(CH).map_err(Error::closed).map(|()| panic!("opened twice")).unwrap_or_else(drop),
    ];
    for way in ways {
        let mut lost = open();
        let name = queue_of(&mut lost, &["a", "b", "c", "d", "e"]);
        // Settled out of order, over two channels, by get and by consumer.
        lost.open_channel(2).unwrap();
        lost.qos(2, 2, false).unwrap();
        assert_eq!(take(&mut lost, &name).text(), "a");
        lost.consume(2, &name, "", false).unwrap();
        let [b, c] = lost.deliveries(2).unwrap().try_into().unwrap();
        assert_eq!((b.text(), c.text()), ("b".to_owned(), "c".to_owned()));
        lost.ack(2, b.delivery_tag, false).unwrap();
        assert_eq!(lost.delivery().unwrap().text(), "d");
        way(&mut lost);
        let mut other = open();
        eventually("the lost connection's messages are back", || counts(&mut other, &name) == (4, 0));
        let expected = [("a", true), ("c", true), ("d", true), ("e", false)];
        assert_eq!(drain_marked(&mut other, &name), expected.map(|(body, again)| (body.to_owned(), again)));
    }
}

#[test]
fn a_half_sent_message_is_forgotten_with_its_connection() {
    let mut lost = open();
    let name = queue_of(&mut lost, &["whole"]);
    let publish = basic::Publish { routing_key: name.as_str().into(), ..Default::default() };
    lost.send(CH, AMQPClass::Basic(basic::AMQPMethod::Publish(publish))).unwrap();
    lost.send_frame(2, CH, &crate::framing::content_header(60, 0, 10)).unwrap();
    lost.send_frame(3, CH, b"half").unwrap();
    lost.close().unwrap();
    assert_eq!(drain(&mut open(), &name), ["whole"]);
}

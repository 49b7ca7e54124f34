//! Channels: numbers, errors and their scope, frames out of place (compat.md 1.1, 1.4, 1.6).

use super::*;

fn open(number: u16) -> (u16, AMQPClass) {
    (number, AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {})))
}

fn purge(queue: &str) -> AMQPClass {
    AMQPClass::Queue(queue::AMQPMethod::Purge(queue::Purge { queue: queue.into(), nowait: false }))
}

#[test]
fn faults_that_end_the_connection() {
    let node = node();
    type Act = fn(&mut Client);
    type Close = (u16, &'static str, u16, u16);
    let faults: [(Act, Close); 11] = [
        (|client| client.method(1, open(1).1), (504, "CHANNEL_ERROR - second 'channel.open' seen", 20, 10)),
        (|client| client.method(2, purge("q")), (504, "CHANNEL_ERROR - expected 'channel.open'", 50, 30)),
        (
            |client| client.method(0, open(0).1),
            (504, "CHANNEL_ERROR - unexpected method in connection state running", 20, 10),
        ),
        (
            |client| client.send(&[8, 0, 1, 0, 0, 0, 0, 0xCE]),
            (505, "UNEXPECTED_FRAME - type 8, all octets = <<>>", 0, 0),
        ),
        (
            |client| client.send(&[3, 0, 1, 0, 0, 0, 0, 0xCE]),
            (505, "UNEXPECTED_FRAME - expected method frame, got non method frame instead", 0, 0),
        ),
        (
            |client| {
                client.send(&publish_method(1, "", "q", false, false));
                client.method(1, purge("q"));
            },
            (
                505,
                "UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead",
                60,
                40,
            ),
        ),
        (
            |client| client.send(&publish_method(1, "", "q", false, true)),
            (540, "NOT_IMPLEMENTED - immediate=true", 60, 40),
        ),
        (
            |client| {
                let flow = channel::Flow { active: false };
                client.method(1, AMQPClass::Channel(channel::AMQPMethod::Flow(flow)));
            },
            (540, "NOT_IMPLEMENTED - active=false", 20, 20),
        ),
        (
            |client| {
                let recover = basic::Recover { requeue: false };
                client.method(1, AMQPClass::Basic(basic::AMQPMethod::Recover(recover)));
            },
            (540, "NOT_IMPLEMENTED - requeue=false", 60, 110),
        ),
        (
            |client| {
                let ok = AMQPClass::Queue(queue::AMQPMethod::PurgeOk(queue::PurgeOk { message_count: 1 }));
                client.method(1, ok);
            },
            (503, "COMMAND_INVALID - unimplemented method", 50, 31),
        ),
        (
            |client| client.send(&[1, 0, 1, 0, 0, 0, 8, 0, 60, 0, 10, 0, 0, 0, 7, 0xCE]),
            (502, "SYNTAX_ERROR - cannot decode method 10 of class 60: it ends too early", 60, 10),
        ),
    ];
    for (act, (code, text, class, method)) in faults {
        let mut client = node.channel();
        act(&mut client);
        assert_eq!(client.closed(), (code, text.to_owned(), class, method));
        assert!(client.connection.is_finished(), "{text}");
    }
}

#[test]
fn lost_frame_boundaries_end_the_connection_without_reading_on() {
    let node = node();
    let mut client = node.channel();
    client.send(&[1, 0, 1, 0, 0, 0, 4, 0, 20, 0, 10, 0xFF, 1, 2, 3]);
    let close = client.closed();
    assert_eq!((close.0, client.unsent.len()), (501, 0));
    assert!(!client.connection.is_finished(), "even close-ok is not read");
    client.pass(Duration::from_secs(3));
    assert!(client.connection.is_finished());
}

#[test]
fn channel_max_counts_open_channels() {
    let mut node = node();
    node.settings.channel_max = 2;
    let mut client = node.open();
    client.open_channel(7);
    client.open_channel(60_000);
    client.method(7, close());
    assert!(matches!(client.only(), (7, AMQPClass::Channel(channel::AMQPMethod::CloseOk(_)))));
    client.open_channel(7);
    client.method(8, open(8).1);
    let text = "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)";
    assert_eq!(client.closed(), (530, text.to_owned(), 0, 0));
}

fn close() -> AMQPClass {
    let close = channel::Close { reply_code: 200, reply_text: "".into(), class_id: 0, method_id: 0 };
    AMQPClass::Channel(channel::AMQPMethod::Close(close))
}

#[test]
fn a_channel_error_ends_only_the_channel_and_drops_what_follows() {
    let node = node();
    let mut client = node.channel();
    client.open_channel(2);
    client.method(1, purge("missing"));
    let seen = client.only();
    let (1, AMQPClass::Channel(channel::AMQPMethod::Close(closed))) = seen else { panic!("no close: {seen:?}") };
    assert_eq!(closed.reply_text.as_str(), "NOT_FOUND - no queue 'missing' in vhost '/'");
    assert_eq!((closed.reply_code, closed.class_id, closed.method_id), (404, 50, 30));
    client.publish("", "q", b"dropped");
    client.method(1, open(1).1);
    client.method(1, purge("missing"));
    assert_eq!(client.read(), vec![]);
    client.method(1, close());
    assert!(matches!(client.only(), (1, AMQPClass::Channel(channel::AMQPMethod::CloseOk(_)))), "a crossing close");
    client.method(1, AMQPClass::Channel(channel::AMQPMethod::CloseOk(channel::CloseOk {})));
    client.open_channel(1);
    client.method(2, AMQPClass::Channel(channel::AMQPMethod::Flow(channel::Flow { active: true })));
    assert!(matches!(client.only(), (2, AMQPClass::Channel(channel::AMQPMethod::FlowOk(_)))));
}

#[test]
fn old_methods_are_answered() {
    let node = node();
    let mut client = node.channel();
    client.send(&[1, 0, 1, 0, 0, 0, 6, 0, 30, 0, 10, 0, 0, 0xCE]);
    assert_eq!(client.connection.output(), [1, 0, 1, 0, 0, 0, 6, 0, 30, 0, 11, 0, 1, 0xCE]);
    client.read();
    let secret = connection::UpdateSecret { new_secret: "s".into(), reason: "".into() };
    client.method(0, AMQPClass::Connection(connection::AMQPMethod::UpdateSecret(secret)));
    assert!(matches!(client.connection_method(), connection::AMQPMethod::UpdateSecretOk(_)));
}

//! How long an ending takes, and what may be held meanwhile: by peers that do not read, do not answer, or are not
//! logged in.

use super::*;

fn greeted(node: &Node) -> Client {
    let mut client = node.accept();
    client.send(PROTOCOL_HEADER);
    client.read();
    client
}

fn logged_in(node: &Node) -> Client {
    let mut client = greeted(node);
    client.start_ok("PLAIN", b"\0guest\0guest", &[]);
    client.read();
    client
}

fn tuned(node: &Node, heartbeat: u16) -> Client {
    let mut client = logged_in(node);
    client.tune_ok(2047, 131_072, heartbeat);
    client
}

fn close() -> AMQPClass {
    let close = connection::Close { reply_code: 200, reply_text: "bye".into(), class_id: 0, method_id: 0 };
    AMQPClass::Connection(connection::AMQPMethod::Close(close))
}

fn close_ok() -> AMQPClass {
    AMQPClass::Connection(connection::AMQPMethod::CloseOk(connection::CloseOk {}))
}

/// Ends within `limit`, not before, and then has nothing to write.
fn cut_off_after(client: &mut Client, limit: Duration) {
    client.pass(limit - Duration::from_millis(1));
    assert!(!client.connection.output().is_empty() || !client.connection.is_finished(), "too early");
    client.pass(Duration::from_millis(1));
    assert!(client.connection.is_finished());
    assert_eq!((client.connection.output(), client.connection.deadline()), (&b""[..], None));
}

#[test]
fn a_finished_connection_does_not_wait_forever_to_be_read() {
    let node = node();
    for (heartbeat, limit) in [(0, 30), (60, 30), (7, 7)] {
        let mut client = tuned(&node, heartbeat);
        client.open_vhost("/");
        client.method(0, close());
        assert!(client.connection.is_finished());
        cut_off_after(&mut client, Duration::from_secs(limit));
        assert_eq!(client.connection.fault(), Some("the client does not read"));
    }
}

#[test]
fn a_finished_connection_that_is_read_has_no_deadline() {
    let node = node();
    let mut client = node.open();
    client.method(0, close());
    client.read();
    assert_eq!((client.connection.is_finished(), client.connection.deadline()), (true, None));
    assert_eq!(client.connection.fault(), None);
}

/// A client that takes an end of the stream for a loss must not see it before it has read close-ok.
#[test]
fn whoever_closed_the_connection_closes_the_socket() {
    let node = node();
    let mut client = node.open();
    assert!(!client.connection.was_closed_by_client());
    client.method(0, close());
    assert!(client.connection.is_finished() && client.connection.was_closed_by_client());
    let mut client = node.open();
    client.method(0, AMQPClass::Connection(connection::AMQPMethod::OpenOk(connection::OpenOk {})));
    client.method(0, close_ok());
    assert!(client.connection.is_finished() && !client.connection.was_closed_by_client(), "we did");
}

#[test]
fn our_close_that_nobody_reads_is_dropped() {
    let node = node();
    let mut client = tuned(&node, 0);
    client.open_vhost("/");
    client.open_vhost("/");
    cut_off_after(&mut client, Duration::from_secs(30));
    assert!(client.connection.fault().unwrap().starts_with("CHANNEL_ERROR"), "why it was closed");
}

#[test]
fn a_close_ok_does_not_prolong_the_wait_for_a_reader() {
    let node = node();
    let mut client = tuned(&node, 0);
    client.open_vhost("/");
    client.open_vhost("/");
    client.pass(Duration::from_secs(20));
    client.method(0, close_ok());
    assert!(client.connection.is_finished());
    cut_off_after(&mut client, Duration::from_secs(10));
}

#[test]
fn nothing_is_kept_of_what_follows_our_close() {
    let node = node();
    let mut client = node.open();
    client.open_vhost("/");
    client.read();
    let frame = message(1, "", "q", false, &PropertiesBuilder::default(), &[0; 100_000]);
    let (first, second) = frame.split_at(frame.len() - 2000);
    for piece in first.chunks(1000) {
        client.send(piece);
        assert!(client.unsent.len() <= 1024, "{} bytes are kept", client.unsent.len());
    }
    client.send(second);
    assert!(!client.connection.is_finished());
    client.method(0, close_ok());
    assert!(client.connection.is_finished(), "frames are still told apart");
}

#[test]
fn whoever_fails_before_open_has_three_seconds_and_no_room() {
    let node = node();
    let failures: [fn(&Node) -> Client; 4] = [
        |node| {
            let mut client = greeted(node);
            client.start_ok("PLAIN", b"\0guest\0wrong", &["authentication_failure_close"]);
            client
        },
        |node| {
            let mut client = logged_in(node);
            client.tune_ok(0, 1, 0);
            client
        },
        |node| {
            let mut client = tuned(node, 0);
            client.open_vhost("nope");
            client
        },
        |node| {
            let mut client = greeted(node);
            client.method(0, close());
            client
        },
    ];
    for fail in failures {
        let mut client = fail(&node);
        client.send(&[3, 0, 1, 0, 1, 0, 0]);
        client.send(&[0; 60_000]);
        assert!(client.unsent.len() <= 1024 || !client.connection.wants_read(), "{} are kept", client.unsent.len());
        cut_off_after(&mut client, Duration::from_secs(3));
    }
}

#[test]
fn a_failure_late_in_the_handshake_does_not_prolong_it() {
    let node = node();
    for capabilities in [&["authentication_failure_close"][..], &[]] {
        let mut client = greeted(&node);
        client.pass(Duration::from_secs(9));
        client.start_ok("PLAIN", b"\0guest\0wrong", capabilities);
        cut_off_after(&mut client, Duration::from_secs(1));
    }
    let mut client = node.accept();
    client.pass(Duration::from_secs(9));
    client.send(b"GET / HTTP/1.1\r\n\r\n");
    cut_off_after(&mut client, Duration::from_secs(1));
}

#[test]
fn a_handshake_that_is_not_read_is_dropped_with_its_output() {
    let node = node();
    let mut client = node.accept();
    client.send(PROTOCOL_HEADER);
    cut_off_after(&mut client, Duration::from_secs(10));
    assert_eq!(client.connection.fault(), Some("handshake timeout"));
}

#[test]
fn a_frame_before_open_ok_is_small() {
    let node = node();
    let mut client = tuned(&node, 0);
    client.send(&[1, 0, 0, 0, 0, 0x20, 1]);
    assert_eq!(client.unsent.len(), 0, "refused by its header");
    cut_off_after(&mut client, Duration::from_secs(3));
}

#[test]
fn a_node_that_stops_waits_two_seconds() {
    let node = node();
    let mut open = node.open();
    open.connection.shut_down(open.now);
    cut_off_after(&mut open, Duration::from_secs(2));

    let mut closing = node.open();
    closing.open_vhost("/");
    closing.pass(Duration::from_secs(1));
    closing.connection.shut_down(closing.now);
    cut_off_after(&mut closing, Duration::from_secs(2));

    let mut unread = greeted(&node);
    unread.start_ok("PLAIN", b"\0guest\0guest", &[]);
    unread.connection.shut_down(unread.now);
    assert!(unread.connection.is_finished());
    cut_off_after(&mut unread, Duration::from_secs(2));
}

//! From the protocol header to connection.open, and heartbeats (compat.md 1.5).

use super::*;

#[test]
fn other_protocols_get_a_header_and_are_closed() {
    let node = node();
    for (header, answer, stranger) in [
        (&b"GET / HTTP/1.1\r\n"[..], b"AMQP\x03\x01\0\0", Some("an HTTP client")),
        (b"\x16\x03\x01\0\xA5\x01\0\0", b"AMQP\x03\x01\0\0", Some("a TLS client")),
        (b"PROXY TCP4 ", b"AMQP\x03\x01\0\0", Some("a proxy that listener.proxies does not name")),
        (b"\r\n\r\n\0\r\nQUIT\n", b"AMQP\x03\x01\0\0", Some("a proxy that listener.proxies does not name")),
        (b"AMQP\0\0\x08\0", b"AMQP\x03\x01\0\0", None),
        (b"AMQP\0\0\x09\x02", PROTOCOL_HEADER, None),
    ] {
        let mut client = node.accept();
        client.send(header);
        assert_eq!(client.connection.output(), answer, "{header:?}");
        assert!(client.connection.is_finished());
        assert_eq!(client.connection.stranger(), stranger);
        assert_eq!(client.connection.fault().is_none(), stranger.is_some(), "who came to the wrong port is no error");
    }
}

#[test]
fn the_server_says_who_it_is_and_what_it_can() {
    let node = node();
    let mut client = node.accept();
    for byte in PROTOCOL_HEADER {
        client.send(&[*byte]);
    }
    let connection::AMQPMethod::Start(start) = client.connection_method() else { panic!("no start") };
    assert_eq!((start.version_major, start.version_minor), (0, 9));
    assert_eq!(start.mechanisms.as_bytes(), b"PLAIN AMQPLAIN ANONYMOUS");
    assert_eq!(start.locales.as_bytes(), b"en_US");
    let properties = crate::wire::method::table_from_amq(&start.server_properties);
    assert_eq!(properties.get("product").unwrap().as_str(), Some("Warren"));
    assert_eq!(properties.get("version").unwrap().as_str(), Some("0.1.0"));
    let capabilities = properties.get("capabilities").unwrap().as_table().unwrap();
    assert_eq!(capabilities.len(), 9);
    assert_eq!(capabilities.get("basic.nack").unwrap().as_bool(), Some(true));
}

#[test]
fn amqplain_logs_in() {
    let node = node();
    let mut client = node.accept();
    client.send(PROTOCOL_HEADER);
    client.read();
    let mut response = Vec::new();
    let login: Table = [("LOGIN", "guest"), ("PASSWORD", "guest")].into_iter().collect();
    login.encode_content(&mut response);
    client.start_ok("AMQPLAIN", &response, &[]);
    let connection::AMQPMethod::Tune(tune) = client.connection_method() else { panic!("no tune") };
    assert_eq!((tune.channel_max, tune.frame_max, tune.heartbeat), (2047, 131_072, 60));
}

#[test]
fn a_refused_login_is_told_only_to_who_can_understand_it() {
    let node = node();
    let mut client = node.accept();
    client.send(PROTOCOL_HEADER);
    client.read();
    client.start_ok("PLAIN", b"\0guest\0wrong", &["authentication_failure_close"]);
    let text = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker \
                logfile.";
    assert_eq!(client.closed(), (403, text.to_owned(), 0, 0));
    assert!(client.connection.is_finished());
    assert!(client.connection.fault_is_told(), "the log has the login, and need not have its end");

    for (mechanism, response, loopback) in [
        ("PLAIN", &b"\0guest\0wrong"[..], true),
        ("PLAIN", b"\0guest\0guest", false),
        ("PLAIN", b"guest", true),
        ("EXTERNAL", b"", true),
    ] {
        let mut client = node.accept_from(loopback);
        client.send(PROTOCOL_HEADER);
        client.read();
        client.start_ok(mechanism, response, &[]);
        client.send(&[1; 100_000]);
        assert_eq!((client.read(), client.unsent.len()), (vec![], 0), "nothing is kept");
        assert!(!client.connection.is_finished());
        client.pass(Duration::from_secs(3));
        assert!(client.connection.is_finished());
        assert!(!client.connection.fault().unwrap().contains("wrong"), "no password in the log");
    }
}

#[test]
fn the_whole_handshake_has_one_deadline() {
    let node = node();
    let mut client = node.accept();
    client.pass(Duration::from_secs(9));
    client.send(PROTOCOL_HEADER);
    client.read();
    assert!(!client.connection.is_finished());
    client.pass(Duration::from_secs(1));
    assert!(client.connection.is_finished());
}

#[test]
fn a_frame_before_tune_is_small() {
    let node = node();
    let mut client = node.accept();
    client.send(PROTOCOL_HEADER);
    client.read();
    client.send(&[1, 0, 0, 0, 0, 0x20, 1]);
    assert_eq!(client.unsent.len(), 0, "refused by its header");
    client.pass(Duration::from_secs(3));
    assert!(client.connection.is_finished());
}

fn tuned(node: &Node, channel_max: u16, frame_max: u32) -> Client {
    let mut client = node.accept();
    client.send(PROTOCOL_HEADER);
    client.read();
    client.start_ok("PLAIN", b"\0guest\0guest", &[]);
    client.read();
    client.tune_ok(channel_max, frame_max, 10);
    client
}

#[test]
fn tune_rules_and_unknown_virtual_hosts_are_told() {
    let node = node();
    let lower = "NOT_ALLOWED - negotiated frame_max = 4095 is lower than the minimum allowed value (4096)";
    assert_eq!(tuned(&node, 1, 4095).closed(), (530, lower.to_owned(), 10, 31));
    let higher = "NOT_ALLOWED - negotiated channel_max = 0 (no limit) is higher than the maximum allowed value (2047)";
    assert_eq!(tuned(&node, 0, 4096).closed(), (530, higher.to_owned(), 10, 31));
    let mut client = tuned(&node, 1, 4096);
    client.open_vhost("nope");
    assert_eq!(client.closed(), (530, "NOT_ALLOWED - vhost nope not found".to_owned(), 10, 40));
}

#[test]
fn heartbeats_go_both_ways_on_a_silent_connection() {
    let node = node();
    let mut client = tuned(&node, 1, 4096);
    client.open_vhost("/");
    client.read();
    client.pass(Duration::from_secs(5));
    client.pass(Duration::from_secs(5));
    assert_eq!(client.read(), vec![Seen::Heartbeat]);
    client.send(&[8, 0, 0, 0, 0, 0, 0, 0xCE]);
    client.pass(Duration::from_secs(10));
    client.read();
    assert!(!client.connection.is_finished());
    client.pass(Duration::from_secs(10));
    client.read();
    assert!(!client.connection.is_finished());
    client.pass(Duration::from_secs(10));
    assert!(client.connection.is_finished());
    assert_eq!(client.connection.output(), b"", "abruptly");
}

#[test]
fn closing_from_either_side() {
    let node = node();
    let mut client = node.open();
    let close = connection::Close { reply_code: 200, reply_text: "bye".into(), class_id: 0, method_id: 0 };
    client.method(0, AMQPClass::Connection(connection::AMQPMethod::Close(close)));
    assert!(matches!(client.connection_method(), connection::AMQPMethod::CloseOk(_)));
    assert!(client.connection.is_finished());

    let mut client = node.open();
    client.connection.shut_down(client.now);
    let text = "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'";
    assert_eq!(client.closed(), (320, text.to_owned(), 0, 0));
    assert!(client.connection.is_finished());

    let mut client = node.open();
    client.connection.shut_down(client.now);
    client.read();
    client.send(&message(1, "", "q", false, &PropertiesBuilder::default(), b"ignored"));
    assert_eq!(client.read(), vec![]);
    client.pass(Duration::from_secs(30));
    assert!(client.connection.is_finished(), "without close-ok");
}

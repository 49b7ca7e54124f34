//! Protocol header, connection.start, and who may log in.

use crate::stage::*;
use crate::support::*;

/// A client that was greeted.
fn greeted() -> (Client, connection::Start) {
    let mut client = Client::raw(addr()).unwrap();
    client.send_bytes(b"AMQP\0\0\x09\x01").unwrap();
    let start = client.start().unwrap();
    (client, start)
}

fn start_ok(client: &mut Client, mechanism: &str, response: &str, properties: FieldTable) {
    let start_ok = connection::StartOk {
        client_properties: properties,
        mechanism: mechanism.into(),
        response: response.into(),
        locale: "en_US".into(),
    };
    client.send(0, AMQPClass::Connection(connection::AMQPMethod::StartOk(start_ok))).unwrap();
}

/// AMQPLAIN's response: a table's content without its length.
fn amqplain(user: &str, password: &str) -> String {
    let mut response = String::new();
    for (key, value) in [("LOGIN", user), ("PASSWORD", password)] {
        let length = char::from(u8::try_from(value.len()).unwrap());
        response += &format!("{}{key}S\0\0\0{length}{value}", char::from(u8::try_from(key.len()).unwrap()));
    }
    response
}

#[test]
fn other_protocols_are_answered_with_a_header_and_closed() {
    let headers: [(&[u8], &[u8]); 8] = [
        (b"AMQP\x00\x00\x09\x02", b"AMQP\x00\x00\x09\x01"),
        (b"AMQP\x00\x00\x0a\x00", b"AMQP\x00\x00\x09\x01"),
        (b"AMQP\x00\x00\x08\x00", b"AMQP\x03\x01\x00\x00"),
        (b"AMQP\x00\x01\x00\x00", b"AMQP\x03\x01\x00\x00"),
        (b"AMQP\x02\x01\x00\x00", b"AMQP\x03\x01\x00\x00"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"AMQP\x03\x01\x00\x00"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"AMQP\x03\x01\x00\x00"),
        (b"\r\n\r\n", b"AMQP\x03\x01\x00\x00"),
    ];
    for (header, answer) in headers {
        let mut client = Client::raw(addr()).unwrap();
        client.send_bytes(header).unwrap();
        assert_eq!(client.recv_bytes(9).unwrap(), answer, "{header:?}");
    }
}

#[test]
fn who_came_to_the_wrong_port_is_logged_plainly() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = broker_with(dir.path(), "");
    for hello in [&b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"] {
        let mut client = Client::raw(broker.addr).unwrap();
        client.send_bytes(hello).unwrap();
        client.recv_bytes(9).unwrap();
    }
    assert!(broker.term().unwrap().success());
    let log = broker.stderr();
    for line in ["an HTTP client on the AMQP port", "a TLS client on the AMQP port"] {
        assert!(log.lines().any(|logged| logged.contains("INFO") && logged.contains(line)), "{line}: {log}");
    }
    assert!(!log.contains("WARN"), "{log}");
}

#[test]
fn the_older_header_is_served_too() {
    let mut client = Client::raw(addr()).unwrap();
    client.send_bytes(b"AMQP\x01\x01\x00\x09").unwrap();
    let start = client.start().unwrap();
    assert_eq!((start.version_major, start.version_minor), (0, 9));
}

#[test]
fn a_header_may_come_byte_by_byte() {
    let mut client = Client::raw(addr()).unwrap();
    for byte in b"AMQP\0\0\x09\x01" {
        client.send_bytes(&[*byte]).unwrap();
    }
    client.start().unwrap();
}

#[test]
fn start_says_who_we_are() {
    let (_client, start) = greeted();
    assert_eq!((start.version_major, start.version_minor), (0, 9));
    assert_eq!(start.locales.to_string(), "en_US");
    assert_eq!(start.mechanisms.to_string(), "PLAIN AMQPLAIN ANONYMOUS");
    let properties = start.server_properties.inner();
    let text = |name: &str| match properties.get(name) {
        Some(AMQPValue::LongString(text)) => text.to_string(),
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!((text("product"), text("version")), ("Warren".to_owned(), env!("CARGO_PKG_VERSION").to_owned()));
    for name in ["platform", "copyright", "information", "cluster_name"] {
        assert!(!text(name).is_empty(), "{name}");
    }
}

#[test]
fn start_has_the_capabilities_of_rabbitmq() {
    let (_client, start) = greeted();
    let Some(AMQPValue::FieldTable(table)) = start.server_properties.inner().get("capabilities") else {
        panic!("no capabilities: {:?}", start.server_properties);
    };
    let mut names: Vec<&str> = table.inner().keys().map(|key| key.as_str()).collect();
    names.sort_unstable();
    let expected = [
        "authentication_failure_close",
        "basic.nack",
        "connection.blocked",
        "consumer_cancel_notify",
        "consumer_priorities",
        "direct_reply_to",
        "exchange_exchange_bindings",
        "per_consumer_qos",
        "publisher_confirms",
    ];
    assert_eq!(names, expected);
    assert!(table.inner().values().all(|value| *value == AMQPValue::Boolean(true)), "{table:?}");
}

#[test]
fn plain_logs_in() {
    let (mut client, _) = greeted();
    start_ok(&mut client, "PLAIN", "\0guest\0guest", FieldTable::default());
    client.tune().unwrap();
}

#[test]
fn amqplain_logs_in() {
    let (mut client, _) = greeted();
    start_ok(&mut client, "AMQPLAIN", &amqplain("guest", "guest"), FieldTable::default());
    client.tune().unwrap();
}

#[test]
fn anonymous_logs_in_as_the_user_of_the_settings_while_its_password_is_right() {
    let (mut client, _) = greeted();
    start_ok(&mut client, "ANONYMOUS", "me", FieldTable::default());
    client.tune().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let broker = broker_with(dir.path(), "[auth]\nanonymous_login_password = \"other\"\n");
    let mut client = Client::raw(broker.addr).unwrap();
    client.send_bytes(b"AMQP\0\0\x09\x01").unwrap();
    client.start().unwrap();
    start_ok(&mut client, "ANONYMOUS", "", Options::default().properties);
    let text = "ACCESS_REFUSED - Login was refused using authentication mechanism ANONYMOUS. For details see the broker \
                logfile.";
    connection_refuses(&mut client, |client| client.tune(), (403, text), NO_METHOD);
}

#[test]
fn only_the_mechanisms_of_the_settings_are_offered() {
    let dir = tempfile::tempdir().unwrap();
    let broker = broker_with(dir.path(), "[auth]\nmechanisms = [\"PLAIN\", \"EXTERNAL\"]\n");
    let mut client = Client::raw(broker.addr).unwrap();
    client.send_bytes(b"AMQP\0\0\x09\x01").unwrap();
    assert_eq!(client.start().unwrap().mechanisms.to_string(), "PLAIN");
    start_ok(&mut client, "AMQPLAIN", &amqplain("guest", "guest"), FieldTable::default());
    gone(&mut client);
    open_at(broker.addr);
}

#[test]
fn update_secret_is_answered() {
    let mut client = open();
    let update = connection::UpdateSecret { new_secret: "secret".into(), reason: "it expires".into() };
    client.send(0, AMQPClass::Connection(connection::AMQPMethod::UpdateSecret(update))).unwrap();
    let is_ok = |event: &Event| {
        let ok = matches!(event.method(), Some(AMQPClass::Connection(connection::AMQPMethod::UpdateSecretOk(_))));
        ok.then_some(())
    };
    client.expect(is_ok).unwrap();
    client.sync(CH).unwrap();
}

#[test]
fn a_wrong_password_is_told_to_those_who_understand() {
    let properties = || Options::default().properties;
    let plain = "\0guest\0wrong";
    let nobody = "\0nobody\0guest";
    for (mechanism, response) in
        [("PLAIN", plain.to_owned()), ("PLAIN", nobody.to_owned()), ("AMQPLAIN", amqplain("guest", "wrong"))]
    {
        let (mut client, _) = greeted();
        start_ok(&mut client, mechanism, &response, properties());
        let text = format!(
            "ACCESS_REFUSED - Login was refused using authentication mechanism {mechanism}. For details see the \
             broker logfile."
        );
        connection_refuses(&mut client, |client| client.tune(), (403, &text), NO_METHOD);
    }
}

#[test]
fn a_wrong_password_without_the_capability_closes_the_socket() {
    let (mut client, _) = greeted();
    start_ok(&mut client, "PLAIN", "\0guest\0wrong", without_capability("authentication_failure_close").properties);
    gone(&mut client);
}

#[test]
fn a_faulty_login_closes_the_socket_without_a_word() {
    let faults = [
        ("PLAIN", "guest\0guest"),
        ("PLAIN", "\0guest"),
        ("PLAIN", ""),
        ("AMQPLAIN", "\x05LOGINS\0\0\0\x05guest"),
        ("AMQPLAIN", "\x05LOGINS\0\0\0\x7fguest"),
        ("SCRAM-SHA-256", "n,,n=guest,r=x"),
        ("plain", "\0guest\0guest"),
    ];
    // Each takes as long as the broker makes the client wait: all at once.
    let mut clients: Vec<Client> = faults
        .iter()
        .map(|(mechanism, response)| {
            let (mut client, _) = greeted();
            start_ok(&mut client, mechanism, response, Options::default().properties);
            client
        })
        .collect();
    clients.iter_mut().for_each(gone);
}

#[test]
fn methods_before_login_close_the_socket_without_a_word() {
    let (mut early_open, _) = greeted();
    let open = connection::Open { virtual_host: "/".into() };
    early_open.send(0, AMQPClass::Connection(connection::AMQPMethod::Open(open))).unwrap();
    let (mut early_channel, _) = greeted();
    early_channel.send(1, AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {}))).unwrap();
    let (mut early_publish, _) = greeted();
    early_publish.publish(1, "", "q", &BasicProperties::default(), b"x").unwrap();
    gone(&mut early_open);
    gone(&mut early_channel);
    gone(&mut early_publish);
}

#[test]
fn a_slow_handshake_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let broker = broker_with(dir.path(), "[listener]\nhandshake_timeout = \"1s\"\n");
    let mut silent = Client::raw(broker.addr).unwrap();
    let mut greeted = Client::raw(broker.addr).unwrap();
    greeted.send_bytes(b"AMQP\0\0\x09\x01").unwrap();
    greeted.start().unwrap();
    let mut tuning = Client::raw(broker.addr).unwrap();
    tuning.send_bytes(b"AMQP\0\0\x09\x01").unwrap();
    tuning.start().unwrap();
    tuning.start_ok(&Options::default()).unwrap();
    tuning.tune().unwrap();
    let mut done = open_at(broker.addr);
    gone(&mut silent);
    gone(&mut greeted);
    gone(&mut tuning);
    done.sync(CH).unwrap();
}

#[test]
fn guest_may_come_from_this_machine() {
    assert!(addr().ip().is_loopback());
    open().close().unwrap();
}

#[test]
fn neither_passwords_nor_bodies_are_logged() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = broker_with(dir.path(), "[log]\nlevel = \"trace\"\n[auth]\ndefault_password = \"canary-1\"\n");
    let refused = Client::open(broker.addr, &Options { password: "canary-2".into(), ..Default::default() });
    assert_eq!(refused.err().map(|error| error.closed().code), Some(403));
    let mut client = open_with(broker.addr, &Options { password: "canary-1".into(), ..Default::default() });
    let name = queue(&mut client);
    publish(&mut client, &name, "canary-3");
    assert_eq!(take(&mut client, &name).text(), "canary-3");
    client.ack(CH, 99, false).unwrap();
    client.closed(CH).unwrap();
    drop(client);
    assert!(broker.term().unwrap().success());
    let log = broker.stderr();
    assert!(log.contains("listening") && !log.contains("canary"), "{log}");
}

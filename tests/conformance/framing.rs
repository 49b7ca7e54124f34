//! Frames: what is read, and what ends the connection.

use crate::stage::*;
use crate::support::*;

/// A frame whose end marker is what the test says.
fn frame(kind: u8, channel: u16, payload: &[u8], end: u8) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend(channel.to_be_bytes());
    bytes.extend(u32::try_from(payload.len()).unwrap().to_be_bytes());
    bytes.extend(payload);
    bytes.push(end);
    bytes
}

fn refused(bytes: &[u8], code: u16, text: &str, method: (u16, u16)) {
    let mut client = open();
    connection_refuses(&mut client, |client| client.send_bytes(bytes), (code, text), method);
}

#[test]
fn what_is_no_frame_is_a_frame_error() {
    let small = Options { frame_max: Some(4096), ..Default::default() };
    let cases: [(&Options, Vec<u8>, &str); 6] = [
        (
            &Options::default(),
            frame(1, 2, &[0, 20, 0, 10, 0], 0x41),
            "type 1, all octets = <<0,20,0,10,0>>: {invalid_frame_end_marker,65}",
        ),
        (&Options::default(), frame(8, 0, &[], 0), "type 8, all octets = <<>>: {invalid_frame_end_marker,0}"),
        (
            &Options::default(),
            frame(3, 1, b"twenty printable ones", 0xCF),
            "type 3, first 16 octets = <<\"twenty printable\">>: {invalid_frame_end_marker,207}",
        ),
        (&Options::default(), frame(7, 1, &[1, 2], 0xCE), "type 7, all octets = <<1,2>>: unknown_frame"),
        // Only the first seven bytes: a payload that is too large is not waited for.
        (
            &Options::default(),
            [&[3, 0, 1][..], &131_073_u32.to_be_bytes()].concat(),
            "type 3, all octets = <<>>: {frame_too_large,131073,131064}",
        ),
        (
            &small,
            [&[1, 0, 1][..], &4097_u32.to_be_bytes()].concat(),
            "type 1, all octets = <<>>: {frame_too_large,4097,4088}",
        ),
    ];
    // The broker keeps each of them waiting for some seconds: all at once.
    let mut clients = cases.map(|(options, bytes, text)| {
        let mut client = open_with(addr(), options);
        client.send_bytes(&bytes).unwrap();
        let closed = client.closed(0).unwrap();
        let got = (closed.scope, closed.code, closed.text, (closed.class, closed.method));
        assert_eq!(got, (Scope::Connection, 501, format!("FRAME_ERROR - {text}"), NO_METHOD));
        client
    });
    clients.iter_mut().for_each(gone);
}

#[test]
fn a_payload_may_be_as_large_as_frame_max() {
    // Eight bytes more than the specification allows: clients are often off by that.
    let mut client = open();
    let name = queue(&mut client);
    let body = vec![7; 131_072];
    let publish = basic::Publish { routing_key: name.as_str().into(), ..Default::default() };
    client.send(CH, AMQPClass::Basic(basic::AMQPMethod::Publish(publish))).unwrap();
    client.send_frame(2, CH, &content_header(60, 0, body.len() as u64)).unwrap();
    client.send_frame(3, CH, &body).unwrap();
    assert_eq!(take(&mut client, &name).body, body);
}

#[test]
fn a_heartbeat_belongs_to_channel_0() {
    refused(&frame(8, 1, &[], 0xCE), 505, "UNEXPECTED_FRAME - type 8, all octets = <<>>", NO_METHOD);
}

#[test]
fn a_heartbeat_on_channel_0_is_taken() {
    let mut client = open();
    client.send_heartbeat().unwrap();
    client.sync(CH).unwrap();
}

#[test]
fn an_unknown_method_ends_the_connection() {
    refused(&frame(1, 1, &[0, 50, 0, 99], 0xCE), 503, "COMMAND_INVALID - unknown method 99 of class 50", (50, 99));
    refused(&frame(1, 1, &[0, 77, 0, 10], 0xCE), 503, "COMMAND_INVALID - unknown method 10 of class 77", (77, 10));
}

#[test]
fn a_method_that_ends_too_early_is_a_syntax_error() {
    // queue.declare whose name is longer than its frame.
    refused(
        &frame(1, 1, &[0, 50, 0, 10, 0, 0, 200, b'q'], 0xCE),
        502,
        "SYNTAX_ERROR - cannot decode method 10 of class 50: it ends too early",
        QUEUE_DECLARE,
    );
}

#[test]
fn only_some_methods_are_for_the_broker() {
    let ok = AMQPClass::Queue(queue::AMQPMethod::DeclareOk(queue::DeclareOk {
        queue: "q".into(),
        message_count: 0,
        consumer_count: 0,
    }));
    let mut client = open();
    let text = "COMMAND_INVALID - unimplemented method";
    connection_refuses(&mut client, |client| client.send(CH, ok), (503, text), (50, 11));
}

#[test]
fn channel_0_takes_connection_methods_only() {
    let mut client = open();
    let flow = AMQPClass::Channel(channel::AMQPMethod::Flow(channel::Flow { active: true }));
    let text = "CHANNEL_ERROR - unexpected method in connection state running";
    connection_refuses(&mut client, |client| client.send(0, flow), (504, text), CHANNEL_FLOW);
}

#[test]
fn a_connection_is_opened_once() {
    let mut client = open();
    let open = AMQPClass::Connection(connection::AMQPMethod::Open(connection::Open { virtual_host: "/".into() }));
    let text = "CHANNEL_ERROR - unexpected method in connection state running";
    connection_refuses(&mut client, |client| client.send(0, open), (504, text), CONNECTION_OPEN);
}

#[test]
fn frames_may_be_cut_anywhere() {
    let mut client = open();
    let name = unique("q");
    let declare = queue::Declare { queue: name.as_str().into(), ..Default::default() };
    let publish = basic::Publish { routing_key: name.as_str().into(), ..Default::default() };
    let get = basic::Get { queue: name.as_str().into(), no_ack: true };
    let mut bytes = encode_method(CH, AMQPClass::Queue(queue::AMQPMethod::Declare(declare)));
    bytes.extend(encode_method(CH, AMQPClass::Basic(basic::AMQPMethod::Publish(publish))));
    bytes.extend(frame(2, CH, &content_header(60, 0, 5), 0xCE));
    bytes.extend(frame(3, CH, b"he", 0xCE));
    bytes.extend(frame(3, CH, b"llo", 0xCE));
    bytes.extend(encode_method(CH, AMQPClass::Basic(basic::AMQPMethod::Get(get))));
    for byte in bytes {
        client.send_bytes(&[byte]).unwrap();
    }
    assert!(matches!(
        method_of(client.recv().unwrap()),
        AMQPClass::Queue(queue::AMQPMethod::DeclareOk(ok)) if ok.queue.as_str() == name
    ));
    assert_eq!(client.recv().unwrap().delivery().expect("get-ok").text(), "hello");
}

#[test]
fn pipelined_methods_are_answered_in_order() {
    let mut client = open();
    let name = unique("q");
    let mut bytes = Vec::new();
    let passive = queue::Declare { queue: name.as_str().into(), passive: true, ..Default::default() };
    let declare = queue::Declare { passive: false, ..passive.clone() };
    let bind = queue::Bind {
        queue: name.as_str().into(),
        exchange: "amq.fanout".into(),
        routing_key: "".into(),
        ..Default::default()
    };
    let delete = queue::Delete { queue: name.as_str().into(), ..Default::default() };
    for method in [
        queue::AMQPMethod::Declare(declare),
        queue::AMQPMethod::Bind(bind),
        queue::AMQPMethod::Declare(passive),
        queue::AMQPMethod::Delete(delete),
    ] {
        bytes.extend(encode_method(CH, AMQPClass::Queue(method)));
    }
    client.send_bytes(&bytes).unwrap();
    let replies: Vec<AMQPClass> = (0..4).map(|_| method_of(client.recv().unwrap())).collect();
    use queue::AMQPMethod::*;
    assert!(
        matches!(
            replies.as_slice(),
            [
                AMQPClass::Queue(DeclareOk(_)),
                AMQPClass::Queue(BindOk(_)),
                AMQPClass::Queue(DeclareOk(_)),
                AMQPClass::Queue(DeleteOk(_))
            ]
        ),
        "{replies:?}"
    );
}

/// Payload of a content header without properties.
pub fn content_header(class: u16, weight: u16, size: u64) -> Vec<u8> {
    let mut payload = class.to_be_bytes().to_vec();
    payload.extend(weight.to_be_bytes());
    payload.extend(size.to_be_bytes());
    payload.extend([0, 0]);
    payload
}

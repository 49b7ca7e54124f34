//! Every method both ways, and hostile payloads.

use super::frame::{FrameKind, read_frame};
use super::method::*;
use super::{MethodFault, WireError};
use crate::limits::TABLE_DEPTH_MAX;
use crate::value::{Table, Value, ValueError};
use amq_protocol::protocol::{AMQPClass, access, basic, channel, confirm, connection, exchange, queue, tx};
use amq_protocol::types::{AMQPValue, FieldTable};

fn arguments() -> FieldTable {
    let mut inner = FieldTable::default();
    inner.insert("deep".into(), AMQPValue::FieldArray(vec![AMQPValue::Void, AMQPValue::Boolean(true)].into()));
    let mut table = FieldTable::default();
    table.insert("x-max-length".into(), AMQPValue::LongInt(5));
    table.insert("x-table".into(), AMQPValue::FieldTable(inner));
    table
}

/// Every method of compat.md 1.3 with its ids; fields that exist are not at their default.
pub(super) fn every_method() -> Vec<(u16, u16, AMQPClass)> {
    [definitions(), messages()].concat()
}

/// Classes connection to queue.
#[rustfmt::skip]
fn definitions() -> Vec<(u16, u16, AMQPClass)> {
    use amq_protocol::protocol::AMQPClass::{Access, Channel, Connection, Exchange, Queue};
    let t = arguments;
    vec![
        (10, 10, Connection(connection::AMQPMethod::Start(connection::Start { version_major: 0, version_minor: 9, server_properties: t(), mechanisms: "PLAIN".into(), locales: "en_US".into() }))),
        (10, 11, Connection(connection::AMQPMethod::StartOk(connection::StartOk { client_properties: t(), mechanism: "PLAIN".into(), response: "\0u\0p".into(), locale: "en_US".into() }))),
        (10, 20, Connection(connection::AMQPMethod::Secure(connection::Secure { challenge: "c".into() }))),
        (10, 21, Connection(connection::AMQPMethod::SecureOk(connection::SecureOk { response: "r".into() }))),
        (10, 30, Connection(connection::AMQPMethod::Tune(connection::Tune { channel_max: 2047, frame_max: 131_072, heartbeat: 60 }))),
        (10, 31, Connection(connection::AMQPMethod::TuneOk(connection::TuneOk { channel_max: 2047, frame_max: 131_072, heartbeat: 60 }))),
        (10, 40, Connection(connection::AMQPMethod::Open(connection::Open { virtual_host: "/".into() }))),
        (10, 41, Connection(connection::AMQPMethod::OpenOk(connection::OpenOk {}))),
        (10, 50, Connection(connection::AMQPMethod::Close(connection::Close { reply_code: 320, reply_text: "bye".into(), class_id: 50, method_id: 10 }))),
        (10, 51, Connection(connection::AMQPMethod::CloseOk(connection::CloseOk {}))),
        (10, 60, Connection(connection::AMQPMethod::Blocked(connection::Blocked { reason: "low on disk".into() }))),
        (10, 61, Connection(connection::AMQPMethod::Unblocked(connection::Unblocked {}))),
        (10, 70, Connection(connection::AMQPMethod::UpdateSecret(connection::UpdateSecret { new_secret: "s".into(), reason: "r".into() }))),
        (10, 71, Connection(connection::AMQPMethod::UpdateSecretOk(connection::UpdateSecretOk {}))),
        (20, 10, Channel(channel::AMQPMethod::Open(channel::Open {}))),
        (20, 11, Channel(channel::AMQPMethod::OpenOk(channel::OpenOk {}))),
        (20, 20, Channel(channel::AMQPMethod::Flow(channel::Flow { active: true }))),
        (20, 21, Channel(channel::AMQPMethod::FlowOk(channel::FlowOk { active: true }))),
        (20, 40, Channel(channel::AMQPMethod::Close(channel::Close { reply_code: 404, reply_text: "no".into(), class_id: 50, method_id: 20 }))),
        (20, 41, Channel(channel::AMQPMethod::CloseOk(channel::CloseOk {}))),
        (30, 10, Access(access::AMQPMethod::Request(access::Request { realm: "/data".into(), exclusive: true, passive: false, active: true, write: false, read: true }))),
        (30, 11, Access(access::AMQPMethod::RequestOk(access::RequestOk {}))),
        (40, 10, Exchange(exchange::AMQPMethod::Declare(exchange::Declare { exchange: "x".into(), kind: "topic".into(), passive: true, durable: false, auto_delete: true, internal: false, nowait: true, arguments: t() }))),
        (40, 11, Exchange(exchange::AMQPMethod::DeclareOk(exchange::DeclareOk {}))),
        (40, 20, Exchange(exchange::AMQPMethod::Delete(exchange::Delete { exchange: "x".into(), if_unused: true, nowait: false }))),
        (40, 21, Exchange(exchange::AMQPMethod::DeleteOk(exchange::DeleteOk {}))),
        (40, 30, Exchange(exchange::AMQPMethod::Bind(exchange::Bind { destination: "d".into(), source: "s".into(), routing_key: "k".into(), nowait: true, arguments: t() }))),
        (40, 31, Exchange(exchange::AMQPMethod::BindOk(exchange::BindOk {}))),
        (40, 40, Exchange(exchange::AMQPMethod::Unbind(exchange::Unbind { destination: "d".into(), source: "s".into(), routing_key: "k".into(), nowait: true, arguments: t() }))),
        (40, 51, Exchange(exchange::AMQPMethod::UnbindOk(exchange::UnbindOk {}))),
        (50, 10, Queue(queue::AMQPMethod::Declare(queue::Declare { queue: "q".into(), passive: false, durable: true, exclusive: false, auto_delete: true, nowait: false, arguments: t() }))),
        (50, 11, Queue(queue::AMQPMethod::DeclareOk(queue::DeclareOk { queue: "q".into(), message_count: 1, consumer_count: 2 }))),
        (50, 20, Queue(queue::AMQPMethod::Bind(queue::Bind { queue: "q".into(), exchange: "x".into(), routing_key: "k".into(), nowait: true, arguments: t() }))),
        (50, 21, Queue(queue::AMQPMethod::BindOk(queue::BindOk {}))),
        (50, 30, Queue(queue::AMQPMethod::Purge(queue::Purge { queue: "q".into(), nowait: true }))),
        (50, 31, Queue(queue::AMQPMethod::PurgeOk(queue::PurgeOk { message_count: 3 }))),
        (50, 40, Queue(queue::AMQPMethod::Delete(queue::Delete { queue: "q".into(), if_unused: true, if_empty: false, nowait: true }))),
        (50, 41, Queue(queue::AMQPMethod::DeleteOk(queue::DeleteOk { message_count: 4 }))),
        (50, 50, Queue(queue::AMQPMethod::Unbind(queue::Unbind { queue: "q".into(), exchange: "x".into(), routing_key: "k".into(), arguments: t() }))),
        (50, 51, Queue(queue::AMQPMethod::UnbindOk(queue::UnbindOk {}))),
    ]
}

/// Classes basic, confirm and tx.
#[rustfmt::skip]
fn messages() -> Vec<(u16, u16, AMQPClass)> {
    use amq_protocol::protocol::AMQPClass::{Basic, Confirm, Tx};
    let t = arguments;
    vec![
        (60, 10, Basic(basic::AMQPMethod::Qos(basic::Qos { prefetch_count: 100, global: true }))),
        (60, 11, Basic(basic::AMQPMethod::QosOk(basic::QosOk {}))),
        (60, 20, Basic(basic::AMQPMethod::Consume(basic::Consume { queue: "q".into(), consumer_tag: "c".into(), no_local: true, no_ack: false, exclusive: true, nowait: false, arguments: t() }))),
        (60, 21, Basic(basic::AMQPMethod::ConsumeOk(basic::ConsumeOk { consumer_tag: "c".into() }))),
        (60, 30, Basic(basic::AMQPMethod::Cancel(basic::Cancel { consumer_tag: "c".into(), nowait: true }))),
        (60, 31, Basic(basic::AMQPMethod::CancelOk(basic::CancelOk { consumer_tag: "c".into() }))),
        (60, 40, Basic(basic::AMQPMethod::Publish(basic::Publish { exchange: "x".into(), routing_key: "k".into(), mandatory: true, immediate: false }))),
        (60, 50, Basic(basic::AMQPMethod::Return(basic::Return { reply_code: 312, reply_text: "NO_ROUTE".into(), exchange: "x".into(), routing_key: "k".into() }))),
        (60, 60, Basic(basic::AMQPMethod::Deliver(basic::Deliver { consumer_tag: "c".into(), delivery_tag: 7, redelivered: true, exchange: "x".into(), routing_key: "k".into() }))),
        (60, 70, Basic(basic::AMQPMethod::Get(basic::Get { queue: "q".into(), no_ack: true }))),
        (60, 71, Basic(basic::AMQPMethod::GetOk(basic::GetOk { delivery_tag: 7, redelivered: false, exchange: "x".into(), routing_key: "k".into(), message_count: 9 }))),
        (60, 72, Basic(basic::AMQPMethod::GetEmpty(basic::GetEmpty {}))),
        (60, 80, Basic(basic::AMQPMethod::Ack(basic::Ack { delivery_tag: 7, multiple: true }))),
        (60, 90, Basic(basic::AMQPMethod::Reject(basic::Reject { delivery_tag: 7, requeue: true }))),
        (60, 100, Basic(basic::AMQPMethod::RecoverAsync(basic::RecoverAsync { requeue: true }))),
        (60, 110, Basic(basic::AMQPMethod::Recover(basic::Recover { requeue: true }))),
        (60, 111, Basic(basic::AMQPMethod::RecoverOk(basic::RecoverOk {}))),
        (60, 120, Basic(basic::AMQPMethod::Nack(basic::Nack { delivery_tag: 7, multiple: false, requeue: true }))),
        (85, 10, Confirm(confirm::AMQPMethod::Select(confirm::Select { nowait: true }))),
        (85, 11, Confirm(confirm::AMQPMethod::SelectOk(confirm::SelectOk {}))),
        (90, 10, Tx(tx::AMQPMethod::Select(tx::Select {}))),
        (90, 11, Tx(tx::AMQPMethod::SelectOk(tx::SelectOk {}))),
        (90, 20, Tx(tx::AMQPMethod::Commit(tx::Commit {}))),
        (90, 21, Tx(tx::AMQPMethod::CommitOk(tx::CommitOk {}))),
        (90, 30, Tx(tx::AMQPMethod::Rollback(tx::Rollback {}))),
        (90, 31, Tx(tx::AMQPMethod::RollbackOk(tx::RollbackOk {}))),
    ]
}

/// The payload of a method frame that we write.
pub(super) fn payload_of(class: &AMQPClass) -> Vec<u8> {
    let mut out = b"before".to_vec();
    write_method(&mut out, 258, class);
    let (frame, used) = read_frame(&out[6..], 0).unwrap().unwrap();
    assert_eq!((frame.kind, frame.channel, used + 6), (FrameKind::Method, 258, out.len()));
    frame.payload.to_vec()
}

fn fault(payload: &[u8]) -> MethodFault {
    match read_method(payload) {
        Err(WireError::MalformedMethod { fault, class, method }) => {
            assert_eq!((class, method), method_id(payload));
            fault
        }
        other => panic!("{other:?}"),
    }
}

/// connection.start-ok with `content` as the client properties.
fn start_ok(content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u32).to_be_bytes();
    [&[0, 10, 0, 11][..], &length, content, b"\x05PLAIN\0\0\0\0\x05en_US"].concat()
}

#[test]
fn every_method_round_trips() {
    for (class, method, value) in every_method() {
        let payload = payload_of(&value);
        assert_eq!(method_id(&payload), (class, method));
        assert_eq!(read_method(&payload), Ok(value), "{class}.{method}");
    }
}

#[test]
fn every_method_cut_anywhere_or_continued_is_refused() {
    for (_, _, value) in every_method() {
        let payload = payload_of(&value);
        for cut in 4..payload.len() {
            assert_eq!(fault(&payload[..cut]), MethodFault::Truncated, "{value:?} cut at {cut}");
        }
        for cut in 0..4 {
            let error = read_method(&payload[..cut]).unwrap_err();
            assert_eq!(error.code(), 501);
            assert!(error.to_string().ends_with(": unknown_frame"));
        }
        assert_eq!(fault(&[&payload[..], &[0]].concat()), MethodFault::Trailing, "{value:?}");
    }
}

#[test]
fn methods_that_do_not_exist_are_named() {
    let known: Vec<_> = every_method().iter().map(|(class, method, _)| (*class, *method)).collect();
    for class in 0..128_u16 {
        for method in 0..130_u16 {
            if known.contains(&(class, method)) {
                continue;
            }
            let payload = [class.to_be_bytes(), method.to_be_bytes()].concat();
            let error = read_method(&payload).unwrap_err();
            assert_eq!(error, WireError::UnknownMethod { class, method });
            assert_eq!((error.code(), error.method()), (503, (class, method)));
        }
    }
    assert_eq!(WireError::UnknownMethod { class: 61, method: 10 }.to_string(), "unknown method 10 of class 61");
}

#[test]
fn nesting_that_would_overflow_the_stack_is_refused_before_the_parser() {
    let mut content = Vec::new();
    for level in 1..=20_000_usize {
        let mut outer = vec![1, b'k', b'F'];
        outer.extend_from_slice(&(content.len() as u32).to_be_bytes());
        outer.append(&mut content);
        content = outer;
        if level == TABLE_DEPTH_MAX {
            assert!(read_method(&start_ok(&content)).is_ok());
        }
        if level == TABLE_DEPTH_MAX + 1 || level == 20_000 {
            assert_eq!(fault(&start_ok(&content)), MethodFault::Table(ValueError::TooDeep));
        }
    }
    let mut arrays = b"\x01k".to_vec();
    for inner in (0..20_000_u32).rev() {
        arrays.push(b'A');
        arrays.extend_from_slice(&(inner * 5).to_be_bytes());
    }
    assert_eq!(fault(&start_ok(&arrays)), MethodFault::Table(ValueError::TooDeep));
}

#[test]
fn text_that_is_not_utf8_is_a_syntax_error() {
    assert_eq!(fault(b"\0\x14\0\x0A\x01\xFF"), MethodFault::NotText);
    assert_eq!(fault(&start_ok(b"\x01\xFFV")), MethodFault::Table(ValueError::KeyNotText));
    assert_eq!(fault(&start_ok(b"\x01kF\0\0\0\x03\x01\xFFV")), MethodFault::Table(ValueError::KeyNotText));
    assert!(read_method(&start_ok(b"\x01kS\0\0\0\x01\xFF")).is_ok(), "long strings are bytes");
    let error = read_method(b"\0\x14\0\x0A\x01\xFF").unwrap_err();
    assert_eq!(
        (error.code(), error.to_string().as_str()),
        (502, "cannot decode method 10 of class 20: malformed UTF-8 in a short string")
    );
}

#[test]
fn tags_that_only_amq_protocol_knows_are_refused() {
    assert_eq!(fault(&start_ok(b"\x01kU\0\0")), MethodFault::Table(ValueError::UnknownTag(b'U')));
}

#[test]
fn every_tag_survives_amq_protocol_both_ways() {
    let inner: Table = [("in", Value::I64(-5))].into_iter().collect();
    // Keys in order, for amq-protocol sorts them.
    let table: Table = [
        ("a", Value::Bool(true)),
        ("b", Value::I8(-1)),
        ("c", Value::U8(255)),
        ("d", Value::I16(-2)),
        ("e", Value::U16(65534)),
        ("f", Value::I32(-3)),
        ("g", Value::U32(4_294_967_293)),
        ("h", Value::I64(i64::MIN)),
        ("i", Value::F32(1.5)),
        ("j", Value::F64(-1.5)),
        ("k", Value::Decimal { scale: 3, value: u32::MAX }),
        ("l", Value::LongString(vec![0xFF, 0])),
        ("m", Value::Array(vec![Value::Void, Value::U8(1), Value::Table(inner.clone())])),
        ("n", Value::Timestamp(u64::MAX)),
        ("o", Value::Table(inner)),
        ("p", Value::Void),
        ("q", Value::Bytes(vec![0, 255])),
    ]
    .into_iter()
    .collect();
    assert_eq!(table_from_amq(&table_to_amq(&table).unwrap()), table);

    let mut content = Vec::new();
    table.encode_content(&mut content);
    let payload = start_ok(&content);
    let parsed = read_method(&payload).unwrap();
    let AMQPClass::Connection(connection::AMQPMethod::StartOk(method)) = &parsed else {
        panic!("{parsed:?}");
    };
    assert_eq!(table_from_amq(&method.client_properties), table);
    assert_eq!(payload_of(&parsed), payload, "written as it was read");

    let long = read_method(&start_ok(b"\x01kL\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFE")).unwrap();
    assert_eq!(payload_of(&long), start_ok(b"\x01kl\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFE"), "L is l, as in RabbitMQ");
}

#[test]
fn keys_that_are_not_text_do_not_reach_amq_protocol() {
    let table = Table::decode(b"\x01\xFFV").unwrap();
    assert_eq!(table_to_amq(&table), Err(ValueError::KeyNotText));
    let nested: Table = [("k", Value::Array(vec![Value::Table(table)]))].into_iter().collect();
    assert_eq!(table_to_amq(&nested), Err(ValueError::KeyNotText));
}

#[test]
fn the_prefetch_size_is_not_lost() {
    assert_eq!(qos_prefetch_size(b"\0\x3C\0\x0A\0\0\x01\x02\0\x05\0"), Some(258));
    assert_eq!(qos_prefetch_size(b"\0\x3C\0\x0A\0\0\x01"), None);
    assert_eq!(qos_prefetch_size(b"\0\x3C\0\x14\0\0\x01\x02\0\x05\0"), None);
}

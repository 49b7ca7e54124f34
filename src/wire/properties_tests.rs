//! Content headers and basic properties, against `amq-protocol` where it has an opinion.

use super::WireError;
use super::properties::*;
use crate::value::{Table, Value, ValueError};
use amq_protocol::frame::{AMQPContentHeader, AMQPFrame, WriteContext, gen_frame};
use amq_protocol::protocol::BasicProperties;
use amq_protocol::types::{AMQPValue, FieldTable};

fn headers() -> Table {
    [("x-a", Value::from("v")), ("n", Value::I32(5))].into_iter().collect()
}

fn full() -> PropertiesBuilder<'static> {
    PropertiesBuilder {
        content_type: Some(b"text/plain"),
        content_encoding: Some(b"gzip"),
        headers: Some(headers()),
        delivery_mode: Some(2),
        priority: Some(9),
        correlation_id: Some(b"corr"),
        reply_to: Some(b"reply"),
        expiration: Some(b"60000"),
        message_id: Some(b"id-1"),
        timestamp: Some(0x0102_0304_0506_0708),
        message_type: Some(b"type"),
        user_id: Some(b"guest"),
        app_id: Some(b"app"),
        cluster_id: Some(b"cluster"),
    }
}

/// `full` with the values whose bit is not in `keep` (the wire's flag bits) left out.
fn only(keep: u16) -> PropertiesBuilder<'static> {
    let mut one = full();
    let mut drop = |bit: u16, absent: &mut dyn FnMut(&mut PropertiesBuilder<'static>)| {
        if keep & (1 << bit) == 0 {
            absent(&mut one);
        }
    };
    drop(15, &mut |p| p.content_type = None);
    drop(14, &mut |p| p.content_encoding = None);
    drop(13, &mut |p| p.headers = None);
    drop(12, &mut |p| p.delivery_mode = None);
    drop(11, &mut |p| p.priority = None);
    drop(10, &mut |p| p.correlation_id = None);
    drop(9, &mut |p| p.reply_to = None);
    drop(8, &mut |p| p.expiration = None);
    drop(7, &mut |p| p.message_id = None);
    drop(6, &mut |p| p.timestamp = None);
    drop(5, &mut |p| p.message_type = None);
    drop(4, &mut |p| p.user_id = None);
    drop(3, &mut |p| p.app_id = None);
    drop(2, &mut |p| p.cluster_id = None);
    one
}

fn encode(builder: &PropertiesBuilder<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    builder.encode(&mut out);
    out
}

#[test]
fn every_combination_of_properties_round_trips() {
    for keep in (0..=0xFFFC_u16).step_by(4) {
        let builder = only(keep);
        let bytes = encode(&builder);
        assert_eq!(bytes[..2], keep.to_be_bytes());
        let properties = Properties::parse(&bytes).unwrap();
        assert_eq!(properties.to_builder().unwrap(), builder);
        assert_eq!(is_persistent(&bytes), keep & 0x1000 != 0);
    }
}

#[test]
fn a_content_header_is_written_as_amq_protocol_does() {
    let mut table = FieldTable::default();
    table.insert("x-a".into(), AMQPValue::LongString("v".into()));
    let properties = BasicProperties::default()
        .with_content_type("text/plain".into())
        .with_content_encoding("gzip".into())
        .with_headers(table)
        .with_delivery_mode(2)
        .with_priority(9)
        .with_correlation_id("corr".into())
        .with_reply_to("reply".into())
        .with_expiration("60000".into())
        .with_message_id("id-1".into())
        .with_timestamp(0x0102_0304_0506_0708)
        .with_type("type".into())
        .with_user_id("guest".into())
        .with_app_id("app".into())
        .with_cluster_id("cluster".into());
    let frame = AMQPFrame::Header(1, AMQPContentHeader { class_id: 60, body_size: 0x01_0203_0405, properties });
    let (theirs, _) = gen_frame(&frame)(WriteContext::from(Vec::new())).unwrap().into_inner();

    let headers = Some([("x-a", "v")].into_iter().collect());
    let payload = PropertiesBuilder { headers, ..full() }.content_header(0x01_0203_0405);
    assert_eq!(payload, theirs[7..theirs.len() - 1]);
    let header = read_content_header(&payload).unwrap();
    assert_eq!(header.body_size, 0x01_0203_0405);
    assert_eq!(header.properties, &payload[12..]);
}

#[test]
fn properties_cut_or_continued_are_refused() {
    let bytes = encode(&full());
    for cut in 0..bytes.len() {
        assert_eq!(Properties::parse(&bytes[..cut]), Err(WireError::MalformedProperties), "cut at {cut}");
        is_persistent(&bytes[..cut]);
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(Properties::parse(&longer), Err(WireError::MalformedProperties));
    assert_eq!(Properties::parse(&[0, 1, 0, 0]), Err(WireError::MalformedProperties), "a second flag word");
    assert_eq!(Properties::parse(&[0, 2]), Err(WireError::MalformedProperties), "a fifteenth property");
}

#[test]
fn only_delivery_mode_2_is_persistent() {
    for mode in 0..=u8::MAX {
        let plain = PropertiesBuilder { delivery_mode: Some(mode), ..Default::default() };
        assert_eq!(is_persistent(&encode(&plain)), mode == 2);
        assert_eq!(is_persistent(&encode(&PropertiesBuilder { delivery_mode: Some(mode), ..full() })), mode == 2);
    }
    assert!(!is_persistent(&[0, 0]));
    assert!(!is_persistent(&[0x10, 0]), "announced and missing");
    assert!(!is_persistent(&[]));
}

#[test]
fn headers_are_not_looked_into_and_stay_as_they_came() {
    // Duplicate keys, a key that is not UTF-8, a true that is 2, a tag that nobody knows.
    let headers = b"\x01aB\x01\x01aB\x02\x01\xFFV\x01bt\x02\x01c?";
    let bytes = [&[0x20, 0, 0, 0, 0, headers.len() as u8][..], headers].concat();
    let properties = Properties::parse(&bytes).unwrap();
    assert_eq!(properties.headers(), Some(&headers[..]));
    assert_eq!(properties.to_builder(), Err(ValueError::UnknownTag(b'?')));
    let payload = [&b"\0\x3C\0\0\0\0\0\0\0\0\0\0"[..], &bytes].concat();
    assert_eq!(read_content_header(&payload).unwrap().properties, bytes);
}

#[test]
fn other_content_headers_are_refused_with_rabbitmqs_texts() {
    let refused = |payload: &[u8]| {
        let error = read_content_header(payload).unwrap_err();
        format!("{} {error}", error.code())
    };
    assert_eq!(
        refused(b"\0\x0A\0\0\0\0\0\0\0\0\0\0\0\0"),
        "505 expected content header for class 60, got one for class 10 instead"
    );
    assert_eq!(
        refused(b"\0\x3C\0\x01\0\0\0\0\0\0\0\0\0\0"),
        "505 expected content header for class 60, got non content header frame instead"
    );
    for cut in 0..12 {
        assert!(refused(&b"\0\x3C\0\0\0\0\0\0\0\0\0\0"[..cut]).starts_with("501 type 2, all octets = <<"));
    }
}

#[test]
fn a_short_string_too_long_is_cut() {
    let long = [b'x'; 300];
    let bytes = encode(&PropertiesBuilder { user_id: Some(&long), priority: Some(1), ..Default::default() });
    assert_eq!(Properties::parse(&bytes).unwrap().user_id(), Some(&long[..255]));
}

//! The in-place readers and writers against `amq-protocol`.

use super::frame::read_frame;
use super::hot::*;
use super::method::write_method;
use super::{MethodFault, WireError};
use amq_protocol::protocol::{AMQPClass, basic};

fn payload_of(method: basic::AMQPMethod) -> Vec<u8> {
    let frame = frame_of(1, method);
    read_frame(&frame, 0).unwrap().unwrap().0.payload.to_vec()
}

fn frame_of(channel: u16, method: basic::AMQPMethod) -> Vec<u8> {
    let mut out = Vec::new();
    write_method(&mut out, channel, &AMQPClass::Basic(method));
    out
}

const BITS: [bool; 2] = [false, true];
const TAGS: [u64; 4] = [0, 1, 0x0102_0304_0506_0708, u64::MAX];

fn names() -> [(String, String); 4] {
    let long = "é".repeat(127) + "x";
    [("".into(), "".into()), ("amq.topic".into(), "a.b.c".into()), (long.clone(), "".into()), ("".into(), long)]
}

fn exchange_and_key(exchange: &str, key: &str) -> Vec<u8> {
    [&[exchange.len() as u8], exchange.as_bytes(), &[key.len() as u8], key.as_bytes()].concat()
}

#[test]
fn publish_reads_as_amq_protocol_writes() {
    for (exchange, key) in names() {
        for mandatory in BITS {
            for immediate in BITS {
                let payload = payload_of(basic::AMQPMethod::Publish(basic::Publish {
                    exchange: exchange.as_str().into(),
                    routing_key: key.as_str().into(),
                    mandatory,
                    immediate,
                }));
                let expected = Hot::Publish {
                    exchange: exchange.as_bytes(),
                    routing_key: key.as_bytes(),
                    exchange_and_key: &exchange_and_key(&exchange, &key),
                    mandatory,
                    immediate,
                };
                assert_eq!(read_hot(&payload), Ok(Some(expected)));
            }
        }
    }
}

#[test]
fn settlements_read_as_amq_protocol_writes() {
    for delivery_tag in TAGS {
        for first in BITS {
            let ack = payload_of(basic::AMQPMethod::Ack(basic::Ack { delivery_tag, multiple: first }));
            assert_eq!(read_hot(&ack), Ok(Some(Hot::Ack { tag: delivery_tag, multiple: first })));
            let reject = payload_of(basic::AMQPMethod::Reject(basic::Reject { delivery_tag, requeue: first }));
            assert_eq!(read_hot(&reject), Ok(Some(Hot::Reject { tag: delivery_tag, requeue: first })));
            for requeue in BITS {
                let nack = basic::Nack { delivery_tag, multiple: first, requeue };
                let nack = payload_of(basic::AMQPMethod::Nack(nack));
                assert_eq!(read_hot(&nack), Ok(Some(Hot::Nack { tag: delivery_tag, multiple: first, requeue })));
            }
        }
    }
}

#[test]
fn other_methods_are_not_hot() {
    assert_eq!(read_hot(&payload_of(basic::AMQPMethod::Get(basic::Get::default()))), Ok(None));
    assert_eq!(read_hot(&payload_of(basic::AMQPMethod::Deliver(basic::Deliver::default()))), Ok(None));
    assert_eq!(read_hot(b"\0\x3C\x01\x28\0\0\0\0\0"), Ok(None), "method 296 is not 40");
    assert_eq!(read_hot(b"\0\x32\0\x28\0\0\0\0"), Ok(None), "queue.delete is not basic.publish");
    assert_eq!(read_hot(b"\0\x3C\0"), Ok(None), "too short for ids: the general reader refuses it");
}

#[test]
fn hot_methods_cut_or_continued_are_refused() {
    let publish = basic::Publish { exchange: "x".into(), routing_key: "key".into(), ..Default::default() };
    for method in [
        basic::AMQPMethod::Publish(publish),
        basic::AMQPMethod::Ack(basic::Ack::default()),
        basic::AMQPMethod::Nack(basic::Nack::default()),
        basic::AMQPMethod::Reject(basic::Reject::default()),
    ] {
        let payload = payload_of(method);
        let id = u16::from(payload[3]);
        for cut in 4..payload.len() {
            let fault = MethodFault::Truncated;
            let expected = WireError::MalformedMethod { class: 60, method: id, fault };
            assert_eq!(read_hot(&payload[..cut]), Err(expected), "{id} cut at {cut}");
        }
        let longer = [&payload[..], &[0]].concat();
        let expected = WireError::MalformedMethod { class: 60, method: id, fault: MethodFault::Trailing };
        assert_eq!(read_hot(&longer), Err(expected));
    }
}

#[test]
fn names_that_are_not_text_are_a_syntax_error() {
    assert_eq!(text("é".as_bytes()), Ok("é"));
    let error = text(b"\xFF").unwrap_err();
    assert_eq!((error.code(), error.method()), (502, (60, 40)));
}

#[test]
fn deliveries_are_written_as_amq_protocol_does() {
    for (exchange, key) in names() {
        let both = exchange_and_key(&exchange, &key);
        for delivery_tag in TAGS {
            for redelivered in BITS {
                let (exchange, routing_key) = (exchange.as_str().into(), key.as_str().into());
                let deliver =
                    basic::Deliver { consumer_tag: "ctag".into(), delivery_tag, redelivered, exchange, routing_key };
                let mut out = Vec::new();
                write_deliver(&mut out, 513, b"ctag", delivery_tag, redelivered, &both);
                assert_eq!(out, frame_of(513, basic::AMQPMethod::Deliver(deliver.clone())));

                let (exchange, routing_key) = (deliver.exchange, deliver.routing_key);
                let get = basic::GetOk { delivery_tag, redelivered, exchange, routing_key, message_count: 0x0102_0304 };
                out.clear();
                write_get_ok(&mut out, 65535, delivery_tag, redelivered, &both, 0x0102_0304);
                assert_eq!(out, frame_of(65535, basic::AMQPMethod::GetOk(get)));
            }
        }
    }
}

#[test]
fn returns_and_confirms_are_written_as_amq_protocol_does() {
    for (exchange, key) in names() {
        let returned = basic::Return {
            reply_code: 312,
            reply_text: "NO_ROUTE".into(),
            exchange: exchange.as_str().into(),
            routing_key: key.as_str().into(),
        };
        let mut out = Vec::new();
        write_return(&mut out, 2, 312, "NO_ROUTE", &exchange_and_key(&exchange, &key));
        assert_eq!(out, frame_of(2, basic::AMQPMethod::Return(returned)));
    }
    for delivery_tag in TAGS {
        for multiple in BITS {
            let mut out = Vec::new();
            write_ack(&mut out, 3, delivery_tag, multiple);
            assert_eq!(out, frame_of(3, basic::AMQPMethod::Ack(basic::Ack { delivery_tag, multiple })));
            out.clear();
            write_nack(&mut out, 3, delivery_tag, multiple);
            let nack = basic::Nack { delivery_tag, multiple, requeue: false };
            assert_eq!(out, frame_of(3, basic::AMQPMethod::Nack(nack)));
        }
    }
}

#[test]
fn too_long_short_strings_are_cut_and_the_frame_stays_whole() {
    let mut out = Vec::new();
    write_return(&mut out, 1, 312, &"é".repeat(200), b"\0\0");
    let (frame, used) = read_frame(&out, 0).unwrap().unwrap();
    assert_eq!((used, frame.payload[6]), (out.len(), 254));
    out.clear();
    write_deliver(&mut out, 1, &[b'c'; 300], 1, false, b"\0\0");
    let (frame, used) = read_frame(&out, 0).unwrap().unwrap();
    assert_eq!((used, frame.payload[4]), (out.len(), 255));
}

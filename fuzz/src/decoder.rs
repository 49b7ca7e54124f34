//! Bytes into everything that reads the wire: frames, methods, content headers, field tables.
//!
//! The first byte chooses the reader, the others are what it reads. A panic is a finding.

use amq_protocol::protocol::{AMQPClass, basic};
use warren::value::{Table, Value, scan};
use warren::wire::frame::{
    FRAME_END, FrameKind, PROTOCOL_HEADER, PROTOCOL_HEADER_1_0, read_frame, read_protocol_header,
};
use warren::wire::hot::{Hot, read_hot};
use warren::wire::method::{method_id, qos_prefetch_size, read_method, table_from_amq, table_to_amq, write_method};
use warren::wire::output::write_frame;
use warren::wire::properties::{Properties, is_persistent, read_content_header};

/// Frame limits that streams are read with; 0 is none.
const LIMITS: [u32; 3] = [4096, 131_072, 0];

/// Reads `data` with every oracle that fits it.
pub fn run(data: &[u8]) {
    let Some((reader, bytes)) = data.split_first() else { return };
    match reader % 4 {
        0 => LIMITS.into_iter().for_each(|limit| stream(bytes, limit)),
        1 => method(bytes),
        2 => content_header(bytes),
        _ => table(bytes),
    }
}

/// Frames, one behind the other, as a connection would take them.
fn stream(bytes: &[u8], limit: u32) {
    if let Some(Err(answer)) = read_protocol_header(bytes) {
        assert!(answer == PROTOCOL_HEADER || answer == PROTOCOL_HEADER_1_0);
    }
    let mut rest = bytes;
    loop {
        match read_frame(rest, limit) {
            Ok(Some((frame, used))) => {
                assert!(used <= rest.len());
                let mut again = Vec::new();
                write_frame(&mut again, frame.kind, frame.channel, frame.payload);
                assert_eq!(again, rest[..used]);
                assert_eq!(rest[used - 1], FRAME_END);
                for cut in [used - 1, used / 2, 6] {
                    assert_eq!(read_frame(&rest[..cut], limit), Ok(None), "a part of a frame is not a frame");
                }
                match frame.kind {
                    FrameKind::Method => method(frame.payload),
                    FrameKind::Header => content_header(frame.payload),
                    FrameKind::Body | FrameKind::Heartbeat => {}
                }
                rest = &rest[used..];
            }
            Ok(None) => break,
            Err(error) => {
                assert!(matches!(error.code(), 501 | 505));
                assert!(!error.to_string().is_empty());
                break;
            }
        }
    }
}

/// The payload of a method frame: both readers agree, and what is read is written and read again as the same.
fn method(payload: &[u8]) {
    let cold = read_method(payload);
    match (read_hot(payload), &cold) {
        (Ok(Some(hot)), Ok(class)) => agree(hot, class),
        (Ok(Some(Hot::Publish { exchange, routing_key, .. })), Err(_)) => {
            let text = [exchange, routing_key].iter().all(|name| std::str::from_utf8(name).is_ok());
            assert!(!text, "read in place, and refused otherwise: {payload:?}");
        }
        (Ok(Some(hot)), Err(error)) => panic!("{hot:?} is read in place, and refused otherwise: {error}"),
        (Err(hot), Ok(class)) => panic!("refused in place ({hot}), and read otherwise: {class:?}"),
        (Err(hot), Err(cold)) => assert_eq!((hot.code(), hot.method()), (cold.code(), cold.method())),
        (Ok(None), _) => {}
    }
    let class = match cold {
        Ok(class) => class,
        Err(error) => {
            assert!(matches!(error.code(), 501..=503));
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert_eq!(qos_prefetch_size(payload).is_some(), method_id(payload) == (60, 10));
    // Compared as bytes: a NaN is not equal to itself.
    let once = written(&class);
    let again = read_method(&once).unwrap_or_else(|error| panic!("{error}: {class:?}"));
    assert_eq!(method_id(&once), method_id(payload));
    assert_eq!(written(&again), once);
}

fn written(class: &AMQPClass) -> Vec<u8> {
    let mut out = Vec::new();
    write_method(&mut out, 1, class);
    let (frame, used) = read_frame(&out, 0).expect("a frame of ours").expect("a whole frame");
    assert_eq!((used, frame.kind, frame.channel), (out.len(), FrameKind::Method, 1));
    frame.payload.to_vec()
}

fn agree(hot: Hot<'_>, class: &AMQPClass) {
    let AMQPClass::Basic(method) = class else { panic!("{hot:?} {class:?}") };
    match (hot, method) {
        (
            Hot::Publish { exchange, routing_key, exchange_and_key, mandatory, immediate },
            basic::AMQPMethod::Publish(other),
        ) => {
            assert_eq!(exchange, other.exchange.as_str().as_bytes());
            assert_eq!(routing_key, other.routing_key.as_str().as_bytes());
            assert_eq!(exchange_and_key.len(), exchange.len() + routing_key.len() + 2);
            assert_eq!((mandatory, immediate), (other.mandatory, other.immediate));
        }
        (Hot::Ack { tag, multiple }, basic::AMQPMethod::Ack(other)) => {
            assert_eq!((tag, multiple), (other.delivery_tag, other.multiple));
        }
        (Hot::Nack { tag, multiple, requeue }, basic::AMQPMethod::Nack(other)) => {
            assert_eq!((tag, multiple, requeue), (other.delivery_tag, other.multiple, other.requeue));
        }
        (Hot::Reject { tag, requeue }, basic::AMQPMethod::Reject(other)) => {
            assert_eq!((tag, requeue), (other.delivery_tag, other.requeue));
        }
        (hot, method) => panic!("{hot:?} {method:?}"),
    }
}

/// The payload of a content header frame.
fn content_header(payload: &[u8]) {
    let Ok(header) = read_content_header(payload) else { return };
    assert_eq!(header.properties.len(), payload.len() - 12);
    let persistent = is_persistent(header.properties);
    let Ok(properties) = Properties::parse(header.properties) else { return };
    assert_eq!(persistent, properties.delivery_mode() == Some(2));
    if let Some(headers) = properties.headers() {
        table(headers);
    }
    let Ok(builder) = properties.to_builder() else { return };
    let mut again = Vec::new();
    builder.encode(&mut again);
    // Headers may come out in other bytes (any true is 1, L is l), but not in more or fewer.
    assert_eq!((again.len(), &again[..2]), (header.properties.len(), &header.properties[..2]));
    let reread = Properties::parse(&again).expect("properties of ours");
    assert_eq!(reread.content_type(), properties.content_type());
    assert_eq!(reread.expiration(), properties.expiration());
    assert_eq!(reread.user_id(), properties.user_id());
    assert_eq!(reread.cluster_id(), properties.cluster_id());
    let whole = builder.content_header(header.body_size);
    assert_eq!(read_content_header(&whole).map(|header| header.body_size), Ok(header.body_size));
}

/// The content of a field table: the scan and the decoder give the same verdict, and encoding is stable.
fn table(content: &[u8]) {
    let decoded = Table::decode(content);
    assert_eq!(scan(content), decoded.as_ref().map(|_| ()).map_err(|error| *error));
    let Ok(decoded) = decoded else { return };
    let mut once = Vec::new();
    decoded.encode_content(&mut once);
    assert_eq!(once.len(), content.len());
    let again = Table::decode(&once).expect("a table of ours");
    assert_eq!(again.len(), decoded.len());
    let mut twice = Vec::new();
    again.encode_content(&mut twice);
    assert_eq!(twice, once);
    assert!(decoded.iter().all(|(key, _)| decoded.get(key.as_bytes()).is_some()));
    if let Ok(theirs) = table_to_amq(&decoded) {
        let ours = table_from_amq(&theirs);
        assert!(ours.iter().all(|(key, _)| decoded.get(key.as_bytes()).is_some()));
    }
    // Printed in refusals, so a peer chooses what is printed.
    assert!(!Value::Table(decoded).to_string().is_empty());
}

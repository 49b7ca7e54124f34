//! Mutated frames, methods, properties and tables: nothing panics, and what is accepted is consistent.

use super::WireError;
use super::frame::read_frame;
use super::hot::{Hot, read_hot};
use super::method::{read_method, write_method};
use super::method_tests::{every_method, payload_of};
use super::properties::{Properties, PropertiesBuilder, is_persistent, read_content_header};
use crate::value::{Table, Value, scan};
use amq_protocol::protocol::{AMQPClass, basic};

/// Xorshift64: the same bytes in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// A few small changes: bits, extreme bytes, cuts, doubled and inserted pieces.
    fn mutate(&mut self, seed: &[u8]) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            match self.below(6) {
                0 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (self.0 % 8)),
                1 => bytes
                    .iter_mut()
                    .skip(at)
                    .take(1)
                    .for_each(|byte| *byte = b"\0\x01\x7F\xFFAFStx"[self.0 as usize % 9]),
                2 => bytes.truncate(at),
                3 => bytes.insert(at, self.next() as u8),
                4 => bytes.extend_from_within(at..),
                _ => bytes.iter_mut().skip(at).take(4).for_each(|byte| *byte = 0),
            }
        }
        bytes
    }
}

const ROUNDS: usize = 1500;

#[test]
fn mutated_methods_read_the_same_twice_or_not_at_all() {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let (mut accepted, mut refused) = (0, 0);
    for (_, _, class) in every_method() {
        let seed = payload_of(&class);
        for _ in 0..ROUNDS {
            let payload = random.mutate(&seed);
            let method = read_method(&payload);
            match (read_hot(&payload), &method) {
                (Ok(Some(hot)), Ok(class)) => assert_agree(hot, class),
                (Ok(Some(Hot::Publish { exchange, routing_key, .. })), Err(_)) => {
                    let text = [exchange, routing_key].iter().all(|name| std::str::from_utf8(name).is_ok());
                    assert!(!text, "only text is left to the caller: {payload:?}");
                }
                (Ok(Some(hot)), Err(error)) => panic!("{hot:?} {error}"),
                (Err(hot), method) => {
                    // Of two faults each reader may name another.
                    let verdict = |error: &WireError| (error.code(), error.method());
                    assert_eq!(Some(verdict(&hot)), method.as_ref().err().map(verdict));
                }
                (Ok(None), _) => {}
            }
            let Ok(method) = method else {
                refused += 1;
                continue;
            };
            accepted += 1;
            // NaN is not equal to itself, so compare what is written.
            let mut out = Vec::new();
            write_method(&mut out, 1, &method);
            let (frame, used) = read_frame(&out, 0).unwrap().unwrap();
            assert_eq!(used, out.len());
            let again = read_method(frame.payload).unwrap();
            assert_eq!(payload_of(&again), frame.payload);
        }
    }
    assert!(accepted > 2_000 && refused > 10_000, "{accepted} accepted, {refused} refused");
}

fn assert_agree(hot: Hot<'_>, class: &AMQPClass) {
    let AMQPClass::Basic(method) = class else {
        panic!("{hot:?} {class:?}");
    };
    match (hot, method) {
        (
            Hot::Publish { exchange, routing_key, exchange_and_key, mandatory, immediate },
            basic::AMQPMethod::Publish(theirs),
        ) => {
            assert_eq!(exchange, theirs.exchange.as_str().as_bytes());
            assert_eq!(routing_key, theirs.routing_key.as_str().as_bytes());
            assert_eq!(exchange_and_key.len(), exchange.len() + routing_key.len() + 2);
            assert_eq!((mandatory, immediate), (theirs.mandatory, theirs.immediate));
        }
        (Hot::Ack { tag, multiple }, basic::AMQPMethod::Ack(theirs)) => {
            assert_eq!((tag, multiple), (theirs.delivery_tag, theirs.multiple));
        }
        (Hot::Nack { tag, multiple, requeue }, basic::AMQPMethod::Nack(theirs)) => {
            assert_eq!((tag, multiple, requeue), (theirs.delivery_tag, theirs.multiple, theirs.requeue));
        }
        (Hot::Reject { tag, requeue }, basic::AMQPMethod::Reject(theirs)) => {
            assert_eq!((tag, requeue), (theirs.delivery_tag, theirs.requeue));
        }
        (hot, method) => panic!("{hot:?} {method:?}"),
    }
}

#[test]
fn mutated_streams_of_frames_are_read_within_their_bytes() {
    let mut random = Random(0xD1B5_4A32_D192_ED03);
    let mut stream = Vec::new();
    for (_, _, class) in every_method() {
        write_method(&mut stream, 1, &class);
    }
    super::output::write_content(&mut stream, 1, b"\0\x3C\0\0\0\0\0\0\0\0\0\x03\0\0", b"abc", 4096);
    super::output::write_heartbeat(&mut stream);
    let (mut read, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let bytes = random.mutate(&stream);
        let mut rest = &bytes[..];
        loop {
            match read_frame(rest, 4096) {
                Ok(Some((frame, used))) => {
                    assert_eq!(used, frame.payload.len() + 8);
                    assert_eq!(rest[used - 1], 0xCE);
                    rest = &rest[used..];
                    read += 1;
                }
                Ok(None) => break,
                Err(error) => {
                    assert!(matches!(error.code(), 501 | 505));
                    assert!(!error.to_string().is_empty());
                    refused += 1;
                    break;
                }
            }
        }
    }
    assert!(read > 100_000 && refused > 1_000, "{read} read, {refused} refused");
}

#[test]
fn mutated_properties_never_disagree_with_themselves() {
    let mut random = Random(0x2545_F491_4F6C_DD1D);
    let builder = PropertiesBuilder {
        content_type: Some(b"text/plain"),
        headers: Some([("k", Value::from("v"))].into_iter().collect()),
        delivery_mode: Some(2),
        expiration: Some(b"1000"),
        timestamp: Some(1),
        user_id: Some(b"guest"),
        ..Default::default()
    };
    let seed = builder.content_header(3);
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..200_000 {
        let payload = random.mutate(&seed);
        let Ok(header) = read_content_header(&payload) else {
            continue;
        };
        assert_eq!(header.properties.len(), payload.len() - 12);
        let persistent = is_persistent(header.properties);
        let Ok(properties) = Properties::parse(header.properties) else {
            refused += 1;
            continue;
        };
        accepted += 1;
        assert_eq!(persistent, properties.delivery_mode() == Some(2));
        let Ok(copy) = properties.to_builder() else {
            continue;
        };
        // Only the headers can come out in other bytes (any true is 1, L is l).
        let mut out = Vec::new();
        copy.encode(&mut out);
        assert_eq!(out.len(), header.properties.len());
        assert_eq!(out[..2], header.properties[..2]);
        assert_eq!(Properties::parse(&out).unwrap().timestamp(), properties.timestamp());
        assert_eq!(Properties::parse(&out).unwrap().user_id(), properties.user_id());
    }
    assert!(accepted > 10_000 && refused > 10_000, "{accepted} accepted, {refused} refused");
}

#[test]
fn scan_and_decode_give_the_same_verdict_on_mutated_tables() {
    let mut random = Random(0x1234_5678_9ABC_DEF1);
    let inner: Table = [("n", Value::I32(5)), ("s", Value::from("text"))].into_iter().collect();
    let array = Value::Array(vec![Value::Table(inner.clone()), Value::Bool(true), Value::Array(vec![Value::Void])]);
    let table: Table =
        [("array", array), ("table", Value::Table(inner)), ("t", Value::Timestamp(9)), ("x", Value::Bytes(vec![1; 9]))]
            .into_iter()
            .collect();
    let mut seed = Vec::new();
    table.encode_content(&mut seed);
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..200_000 {
        let content = random.mutate(&seed);
        let verdict = scan(&content);
        let decoded = Table::decode(&content);
        assert_eq!(verdict, decoded.as_ref().map(|_| ()).map_err(|error| *error));
        match decoded {
            Ok(decoded) => {
                accepted += 1;
                let mut encoded = Vec::new();
                decoded.encode_content(&mut encoded);
                assert_eq!(encoded.len(), content.len());
                let mut again = Vec::new();
                Table::decode(&encoded).unwrap().encode_content(&mut again);
                assert_eq!(again, encoded);
                assert!(!Value::Table(decoded).to_string().is_empty());
            }
            Err(_) => refused += 1,
        }
    }
    assert!(accepted > 10_000 && refused > 10_000, "{accepted} accepted, {refused} refused");
}

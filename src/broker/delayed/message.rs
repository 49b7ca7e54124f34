//! A delayed message: how long it waits, and what becomes of it when it is due.

use crate::broker::content::Content;
use crate::broker::message::Record;
use crate::value::{Reader, Table, Value};

/// The header that says how many milliseconds a message waits.
const DELAY: &str = "x-delay";
/// The header that carries routing keys which nobody is to see.
const BLIND_KEYS: &str = "BCC";

/// Milliseconds that a message with these headers waits. None when it is to be routed at once: no `x-delay`, one that is no
/// number, one that is not positive (a message that has waited already has it negated), or one longer than 2^32-1 ms.
///
/// Integers of every width count, text that is one, and floats without their fraction, as in RabbitMQ's plugin.
pub fn delay_of(headers: &Table) -> Option<u32> {
    let delay = match headers.get(DELAY)? {
        Value::LongString(text) => std::str::from_utf8(text).ok()?.parse().ok()?,
        value => value.as_integer().or_else(|| value.as_float().map(|delay| delay as i64))?,
    };
    u32::try_from(delay).ok().filter(|delay| *delay > 0)
}

/// The content header of a message with more routing keys than its own put where [`Released::of`] finds them: those of
/// `BCC` are no longer in it. None when it is damaged.
pub fn with_keys(header: &[u8], keys: &[&[u8]]) -> Option<Vec<u8>> {
    let keys = keys.iter().map(|key| Value::LongString(key.to_vec())).collect();
    let added = Table::from_iter([(BLIND_KEYS, Value::Array(keys))]);
    Content::parse(header)?.rewrite(|key| key != BLIND_KEYS.as_bytes(), &added, true)
}

/// A message that has waited, as it is routed.
#[derive(Debug, PartialEq, Eq)]
pub struct Released {
    /// The content header: `x-delay` is negated, so that the message does not wait again behind another delaying exchange.
    pub header: Vec<u8>,
    /// The keys to route with: the routing key, then those of `CC` and `BCC`.
    pub keys: Vec<Vec<u8>>,
}

impl Released {
    /// What a message becomes when it is due. None when its content header is damaged.
    pub fn of(record: &Record<'_>) -> Option<Released> {
        let content = Content::parse(record.header)?;
        let mut names = Reader::new(record.exchange_and_key);
        names.short_string()?;
        let mut keys = vec![names.short_string()?.to_vec()];
        for header in ["CC", BLIND_KEYS] {
            if let Some(Value::Array(more)) = content.header(header) {
                keys.extend(more.iter().filter_map(Value::as_long_string).map(<[u8]>::to_vec));
            }
        }
        let given = content.header(DELAY)?;
        let delay = delay_of(&Table::from_iter([(DELAY, given)]))?;
        let added = Table::from_iter([(DELAY, Value::I64(-i64::from(delay)))]);
        let keep = |key: &[u8]| key != DELAY.as_bytes() && key != BLIND_KEYS.as_bytes();
        Some(Released { header: content.rewrite(keep, &added, true)?, keys })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::content::tests;

    fn payload(headers: &Table) -> Vec<u8> {
        let mut entries = Vec::new();
        headers.encode_content(&mut entries);
        tests::payload(&entries, None)
    }

    fn delay(value: Value) -> Option<u32> {
        delay_of(&Table::from_iter([(DELAY, value)]))
    }

    #[test]
    fn numbers_of_every_sort_are_delays() {
        let hundred = [
            Value::I8(100),
            Value::U8(100),
            Value::I16(100),
            Value::U16(100),
            Value::I32(100),
            Value::U32(100),
            Value::I64(100),
            Value::F32(100.9),
            Value::F64(100.9),
            Value::from("100"),
            Value::from("+100"),
        ];
        for value in hundred {
            assert_eq!(delay(value.clone()), Some(100), "{value:?}");
        }
        assert_eq!(delay(Value::I64(4_294_967_295)), Some(u32::MAX));
    }

    #[test]
    fn everything_else_is_none() {
        let none = [
            Value::I32(0),
            Value::I32(-5),
            Value::I64(4_294_967_296),
            Value::I64(i64::MIN),
            Value::F64(0.5),
            Value::F64(f64::NAN),
            Value::F64(1e300),
            Value::from(""),
            Value::from("soon"),
            Value::from("1.5"),
            Value::LongString(vec![0xff]),
            Value::Bool(true),
            Value::Timestamp(100),
            Value::Void,
            Value::Table(Table::new()),
        ];
        for value in none {
            assert_eq!(delay(value.clone()), None, "{value:?}");
        }
        assert_eq!(delay_of(&Table::new()), None);
    }

    fn record<'a>(exchange_and_key: &'a [u8], header: &'a [u8]) -> Record<'a> {
        let (priority, deadline_ms, persistent, died) = (0, 0, true, false);
        Record { exchange_and_key, header, body: b"", priority, deadline_ms, persistent, died, detached: None }
    }

    #[test]
    fn the_header_is_negated_and_the_rest_stays() {
        let headers = Table::from_iter([("a", Value::from("1")), (DELAY, Value::from("250")), ("b", Value::I32(2))]);
        let header = payload(&headers);
        let released = Released::of(&record(b"\x01x\x03key", &header)).unwrap();
        let after = Table::decode(Content::parse(&released.header).unwrap().headers()).unwrap();
        let expected = [("a", Value::from("1")), ("b", Value::I32(2)), (DELAY, Value::I64(-250))];
        assert_eq!(after, Table::from_iter(expected));
        assert_eq!(released.keys, [b"key".to_vec()]);
        assert_eq!(Released::of(&record(b"\x01x\x03key", &released.header)), None, "it does not wait again");
    }

    #[test]
    fn copies_and_blind_copies_are_routed_when_it_is_due() {
        let copies = Value::Array(vec![Value::from("cc")]);
        let header = payload(&Table::from_iter([("CC", copies.clone()), (DELAY, Value::I32(7))]));
        let kept = with_keys(&header, &[b"cc", b"blind"]).unwrap();
        let released = Released::of(&record(b"\x01x\x03key", &kept)).unwrap();
        assert_eq!(released.keys, [&b"key"[..], b"cc", b"cc", b"blind"]);
        let after = Table::decode(Content::parse(&released.header).unwrap().headers()).unwrap();
        assert_eq!(after, Table::from_iter([("CC", copies), (DELAY, Value::I64(-7))]));
    }
}

//! What the broker writes into messages as they come in, as RabbitMQ's interceptors of incoming messages do.

use super::content::Content;
use crate::value::{Table, Value};

/// The header with the time in milliseconds.
const TIME: &str = "timestamp_in_ms";
/// The header with the node's name.
const NODE: &str = "x-routed-by";

/// What becomes of what a message says already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// It stays.
    Missing,
    /// It is written over.
    Overwrite,
}

impl Stamp {
    fn applies(self, is_there: bool) -> bool {
        self == Stamp::Overwrite || !is_there
    }
}

/// What is written.
#[derive(Clone, Debug)]
pub struct Stamps {
    /// The time, as the property `timestamp` and as a header.
    pub time: Option<Stamp>,
    /// The node's name, as a header.
    pub node: Option<(Stamp, String)>,
}

impl Stamps {
    /// A content header's payload with what is written into it. None when nothing is, or when it is damaged.
    pub fn write(&self, payload: &[u8], wall_ms: u64) -> Option<Vec<u8>> {
        let content = Content::parse(payload)?;
        let mut headers = Table::new();
        if self.time.is_some_and(|stamp| stamp.applies(content.header(TIME).is_some())) {
            headers.push(TIME, Value::I64(i64::try_from(wall_ms).unwrap_or(i64::MAX)));
        }
        if let Some((stamp, node)) = &self.node
            && stamp.applies(content.header(NODE).is_some())
        {
            headers.push(NODE, node.as_str());
        }
        let mut written = None;
        if !headers.is_empty() {
            written = Some(content.rewrite(|key| headers.get(key).is_none(), &headers, true)?);
        }
        if self.time.is_some_and(|stamp| stamp.applies(content.timestamp().is_some())) {
            let content = Content::parse(written.as_deref().unwrap_or(payload))?;
            written = Some(content.with_timestamp(wall_ms / 1000)?);
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::content::tests::payload;

    const NOW: u64 = 1_700_000_000_123;

    fn both(stamp: Stamp) -> Stamps {
        Stamps { time: Some(stamp), node: Some((stamp, "warren@a".to_owned())) }
    }

    fn said(payload: &[u8]) -> (Option<Value>, Option<Value>, Option<u64>) {
        let content = Content::parse(payload).unwrap();
        (content.header(TIME), content.header(NODE), content.timestamp())
    }

    #[test]
    fn what_is_missing_is_written_and_the_rest_stays() {
        let before = payload(b"\x01kt\x01", Some("60"));
        let after = both(Stamp::Missing).write(&before, NOW).unwrap();
        let wanted = (Some(Value::I64(NOW as i64)), Some(Value::from("warren@a")), Some(NOW / 1000));
        assert_eq!(said(&after), wanted);
        let content = Content::parse(&after).unwrap();
        assert_eq!((content.header("k"), content.expiration()), (Some(Value::Bool(true)), Some(&b"60"[..])));
        assert_eq!(content.message_id(), Some(&b"id"[..]));
        // Once more, by another node and later: nothing is missing.
        assert_eq!(both(Stamp::Missing).write(&after, NOW + 5000), None);
        let other = Stamps { time: Some(Stamp::Overwrite), node: Some((Stamp::Overwrite, "b".to_owned())) };
        let over = other.write(&after, NOW + 5000).unwrap();
        let wanted = (Some(Value::I64(NOW as i64 + 5000)), Some(Value::from("b")), Some(NOW / 1000 + 5));
        assert_eq!(said(&over), wanted);
        assert_eq!(over.len(), after.len() - "warren@a".len() + "b".len(), "each is there once");
    }

    #[test]
    fn one_alone() {
        let time = Stamps { time: Some(Stamp::Missing), node: None };
        let node = Stamps { time: None, node: Some((Stamp::Missing, "n".to_owned())) };
        let before = payload(b"", None);
        assert_eq!(said(&node.write(&before, NOW).unwrap()), (None, Some(Value::from("n")), None));
        let after = time.write(&before, NOW).unwrap();
        assert_eq!(said(&after), (Some(Value::I64(NOW as i64)), None, Some(NOW / 1000)));
        // A publisher's own time in seconds stays, and gets the header all the same.
        let own = Content::parse(&before).unwrap().with_timestamp(7).unwrap();
        assert_eq!(said(&time.write(&own, NOW).unwrap()), (Some(Value::I64(NOW as i64)), None, Some(7)));
        assert_eq!(Stamps { time: None, node: None }.write(&before, NOW), None);
        assert_eq!(time.write(b"", NOW), None);
    }
}

//! Content headers edited byte for byte.

use super::*;
use proptest::prelude::*;

/// A content header with content type, these headers, priority, expiration and message id.
pub fn payload(headers: &[u8], expiration: Option<&str>) -> Vec<u8> {
    let mut payload = b"\0\x3c\0\0\0\0\0\0\0\0\0\x05".to_vec();
    let flags: u16 = 1 << 15 | HEADERS | 1 << 11 | 1 << 7 | if expiration.is_some() { EXPIRATION } else { 0 };
    payload.extend_from_slice(&flags.to_be_bytes());
    payload.extend_from_slice(b"\x04text");
    payload.extend_from_slice(&(headers.len() as u32).to_be_bytes());
    payload.extend_from_slice(headers);
    payload.push(9);
    if let Some(expiration) = expiration {
        payload.push(expiration.len() as u8);
        payload.extend_from_slice(expiration.as_bytes());
    }
    payload.extend_from_slice(b"\x02id");
    payload
}

const ODD: &[u8] = b"\x01bS\0\0\0\x01x\x01al\0\0\0\0\0\0\0\x05\x01bV\x01cF\0\0\0\x04\x01dt\x01";

#[test]
fn parts_are_found() {
    let bytes = payload(ODD, Some("60"));
    let content = Content::parse(&bytes).unwrap();
    assert_eq!((content.headers(), content.expiration()), (ODD, Some(&b"60"[..])));
    assert_eq!(content.header("a"), Some(Value::I64(5)));
    assert_eq!(content.header("b"), Some(Value::LongString(b"x".to_vec())), "the first of two");
    assert_eq!(content.header("d"), None);
    assert_eq!(entries(ODD).map(|(key, _)| key).collect::<Vec<_>>(), [b"b", b"a", b"b", b"c"]);
    assert_eq!(Content::parse(&payload(b"", None)).unwrap().expiration(), None);
}

#[test]
fn the_rest_stays_byte_for_byte() {
    let added = Table::from_iter([("z", Value::Bool(true))]);
    let kept = b"\x01bS\0\0\0\x01x\x01bV\x01cF\0\0\0\x04\x01dt\x01\x01zt\x01";
    let bytes = payload(ODD, Some("60"));
    let content = Content::parse(&bytes).unwrap();
    assert_eq!(content.rewrite(|key| key != b"a", &added, false).unwrap(), payload(kept, None));
    assert_eq!(content.rewrite(|key| key != b"a", &added, true).unwrap(), payload(kept, Some("60")));
    assert_eq!(with_headers(&payload(ODD, None), &Table::from_iter([("b", Value::Void)])).unwrap(), {
        payload(b"\x01al\0\0\0\0\0\0\0\x05\x01cF\0\0\0\x04\x01dt\x01\x01bV", None)
    });
}

#[test]
fn headers_are_added_where_there_were_none() {
    let mut bytes = b"\0\x3c\0\0\0\0\0\0\0\0\0\x05".to_vec();
    bytes.extend_from_slice(b"\x10\0\x02");
    let with = with_headers(&bytes, &Table::from_iter([("z", Value::Void)])).unwrap();
    assert_eq!(with, [&bytes[..12], b"\x30\0\0\0\0\x03\x01zV\x02"].concat());
}

proptest! {
    #[test]
    fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..80), at in 0..60usize, byte in any::<u8>()) {
        let mut damaged = payload(ODD, Some("60"));
        if let Some(place) = damaged.get_mut(at) {
            *place = byte;
        }
        for bytes in [bytes, damaged] {
            if let Some(content) = Content::parse(&bytes) {
                content.rewrite(|_| true, &Table::new(), true);
                content.header("a");
            }
        }
    }
}

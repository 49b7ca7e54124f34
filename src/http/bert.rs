//! Answers in Erlang's external term format, which RabbitMQ gives to whoever accepts `application/bert`: its terms as they are before they
//! become JSON. Objects are lists of pairs with atoms for keys, tables that users have filled are maps with binaries for keys, and
//! null is the empty atom.

use serde_json::{Map, Number, Value as Json};

/// The media type.
pub(super) const KIND: &str = "application/bert";

/// Members whose objects are tables of users.
const TABLES: &[&str] = &[
    "arguments",
    "capabilities",
    "client_properties",
    "definition",
    "effective_policy_definition",
    "headers",
    "limits",
    "value",
];

/// Members whose text is an atom in RabbitMQ.
const ATOMS: &[&str] = &[
    "activity_status",
    "destination_type",
    "hashing_algorithm",
    "leader",
    "members",
    "mode",
    "node",
    "online",
    "rates_mode",
    "state",
    "type",
];

/// Longest atom, in characters.
const ATOM_MAX: usize = 255;

/// How text is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Words {
    /// As binaries.
    Binaries,
    /// As atoms.
    Atoms,
    /// As binaries, and so are all keys below.
    OfTable,
}

impl Words {
    /// Those of a member.
    fn below(self, key: &str) -> Words {
        match self {
            Words::OfTable => Words::OfTable,
            _ if TABLES.contains(&key) => Words::OfTable,
            _ if ATOMS.contains(&key) => Words::Atoms,
            _ => Words::Binaries,
        }
    }
}

/// Whether a client prefers it to JSON.
pub(super) fn is_preferred(accept: &str) -> bool {
    let mut ranges: Vec<(f32, bool, &str)> = accept
        .split(',')
        .map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default();
            let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |q| q.parse::<f32>().ok());
            (weight.unwrap_or(0.0), !kind.contains('*'), kind)
        })
        .filter(|(weight, ..)| *weight > 0.0)
        .collect();
    // The heaviest first, names before patterns, else as the client has them.
    ranges.sort_by(|one, other| other.0.total_cmp(&one.0).then(other.1.cmp(&one.1)));
    let known = [KIND, "application/json", "application/*", "*/*"];
    let first = ranges.iter().find(|(.., kind)| known.iter().any(|known| known.eq_ignore_ascii_case(kind)));
    first.is_some_and(|(.., kind)| kind.eq_ignore_ascii_case(KIND))
}

/// A value as a term.
pub(super) fn encode(value: &Json) -> Vec<u8> {
    let mut bytes = vec![131];
    term(&mut bytes, value, Words::Binaries);
    bytes
}

/// Recursion: as deep as the value is.
fn term(bytes: &mut Vec<u8>, value: &Json, words: Words) {
    match value {
        Json::Null => atom(bytes, ""),
        Json::Bool(true) => atom(bytes, "true"),
        Json::Bool(false) => atom(bytes, "false"),
        Json::Number(value) => number(bytes, value),
        Json::String(text) if words == Words::Atoms && text.chars().count() <= ATOM_MAX => atom(bytes, text),
        Json::String(text) => binary(bytes, text),
        Json::Array(elements) => {
            if !elements.is_empty() {
                tagged(bytes, 108, elements.len());
                elements.iter().for_each(|element| term(bytes, element, words));
            }
            bytes.push(106);
        }
        Json::Object(members) => object(bytes, members, words),
    }
}

fn object(bytes: &mut Vec<u8>, members: &Map<String, Json>, words: Words) {
    if words == Words::OfTable {
        tagged(bytes, 116, members.len());
        for (key, member) in members {
            binary(bytes, key);
            term(bytes, member, words);
        }
        return;
    }
    if !members.is_empty() {
        tagged(bytes, 108, members.len());
        for (key, member) in members {
            bytes.extend_from_slice(&[104, 2]);
            if key.chars().count() <= ATOM_MAX {
                atom(bytes, key)
            } else {
                binary(bytes, key)
            }
            term(bytes, member, words.below(key));
        }
    }
    bytes.push(106);
}

/// A tag and how much follows. There is no more than fits: answers are built in memory.
fn tagged(bytes: &mut Vec<u8>, tag: u8, count: usize) {
    bytes.push(tag);
    bytes.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
}

fn binary(bytes: &mut Vec<u8>, text: &str) {
    tagged(bytes, 109, text.len());
    bytes.extend_from_slice(text.as_bytes());
}

/// Text of at most [`ATOM_MAX`] characters.
fn atom(bytes: &mut Vec<u8>, text: &str) {
    match u8::try_from(text.len()) {
        Ok(length) => bytes.extend_from_slice(&[119, length]),
        Err(_) => {
            bytes.push(118);
            bytes.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    bytes.extend_from_slice(text.as_bytes());
}

fn number(bytes: &mut Vec<u8>, number: &Number) {
    let integer = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    let Some(integer) = integer else {
        bytes.push(70);
        bytes.extend_from_slice(&number.as_f64().unwrap_or(0.0).to_be_bytes());
        return;
    };
    if let Ok(small) = u8::try_from(integer) {
        bytes.extend_from_slice(&[97, small]);
    } else if let Ok(small) = i32::try_from(integer) {
        bytes.push(98);
        bytes.extend_from_slice(&small.to_be_bytes());
    } else {
        bytes.extend_from_slice(&[110, 8, u8::from(integer < 0)]);
        // Of 64 bits, with or without a sign.
        bytes.extend_from_slice(&(integer.unsigned_abs() as u64).to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn objects_are_lists_of_pairs() {
        // What erl's term_to_binary([{name,<<"q">>},{state,running}]) gives, with atoms in UTF-8.
        let wanted = b"\x83l\0\0\0\x02h\x02w\x04namem\0\0\0\x01qh\x02w\x05statew\x07runningj";
        assert_eq!(encode(&json!({"name": "q", "state": "running"})), wanted);
        assert_eq!(encode(&json!({})), [131, 106]);
        assert_eq!(encode(&json!([])), [131, 106]);
        assert_eq!(encode(&json!([true, null])), b"\x83l\0\0\0\x02w\x04truew\0j");
    }

    #[test]
    fn tables_of_users_make_no_atoms() {
        let wanted =
            b"\x83l\0\0\0\x01h\x02w\x09argumentst\0\0\0\x01m\0\0\0\x04typet\0\0\0\x01m\0\0\0\x05statem\0\0\0\x01xj";
        assert_eq!(encode(&json!({"arguments": {"type": {"state": "x"}}})), wanted);
        assert_eq!(encode(&json!({"limits": {}})), b"\x83l\0\0\0\x01h\x02w\x06limitst\0\0\0\0j");
        let long = "x".repeat(256);
        assert_eq!(encode(&json!({ "state": long.as_str() }))[15..20], *b"m\0\0\x01\0");
        let wide = "é".repeat(255);
        assert_eq!(encode(&json!({ "state": wide }))[15..18], [118, 1, 254]);
    }

    #[test]
    fn numbers_of_every_size() {
        let of = |value: Json| encode(&value)[1..].to_vec();
        assert_eq!(of(json!(255)), [97, 255]);
        assert_eq!(of(json!(256)), [98, 0, 0, 1, 0]);
        assert_eq!(of(json!(-1)), [98, 255, 255, 255, 255]);
        assert_eq!(of(json!(1u64 << 31)), [110, 8, 0, 0, 0, 0, 128, 0, 0, 0, 0]);
        assert_eq!(of(json!(i64::MIN)), [110, 8, 1, 0, 0, 0, 0, 0, 0, 0, 128]);
        assert_eq!(of(json!(u64::MAX)), [110, 8, 0, 255, 255, 255, 255, 255, 255, 255, 255]);
        assert_eq!(of(json!(1.5)), [70, 63, 248, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn who_prefers_it() {
        for accept in [
            "application/bert",
            "text/html, application/bert",
            "application/bert, application/json",
            "*/*;q=0.1,application/BERT",
        ] {
            assert!(is_preferred(accept), "{accept}");
        }
        for accept in [
            "",
            "*/*",
            "application/json",
            "application/json, application/bert",
            "application/bert;q=0.5, */*",
            "application/bert;q=0",
            "application/bert;q=x",
        ] {
            assert!(!is_preferred(accept), "{accept}");
        }
    }
}

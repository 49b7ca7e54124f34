//! Field tables to and from bytes (compat.md 1.2).
//!
//! A table is a row of entries: short-string key, tag, value. An array is a row of tag and value. Nothing is allocated
//! by a length or count that the bytes declare.

use super::{Key, Reader, Table, Value, ValueError};
use crate::limits::TABLE_DEPTH_MAX;

/// Checks the content of a table (without its length prefix) and builds nothing: lengths, tags and depth.
///
/// # Errors
/// As [`Table::decode`]; what passes one passes the other.
pub fn scan(content: &[u8]) -> Result<(), ValueError> {
    // What follows each table or array that is open, the innermost last.
    let mut outer = [(Reader::new(&[]), Row::Table); TABLE_DEPTH_MAX];
    let mut depth = 0_usize;
    let (mut rest, mut row) = (Reader::new(content), Row::Table);
    loop {
        if rest.is_empty() {
            let Some(&(after, kind)) = depth.checked_sub(1).and_then(|index| outer.get(index)) else {
                return Ok(());
            };
            (rest, row) = (after, kind);
            depth -= 1;
            continue;
        }
        if row == Row::Table {
            rest.short_string().ok_or(ValueError::Truncated)?;
        }
        let tag = rest.octet().ok_or(ValueError::Truncated)?;
        let inner = match tag {
            b'F' => Row::Table,
            b'A' => Row::Array,
            _ => {
                skip_scalar(tag, &mut rest)?;
                continue;
            }
        };
        let content = rest.long_string().ok_or(ValueError::Truncated)?;
        *outer.get_mut(depth).ok_or(ValueError::TooDeep)? = (rest, row);
        depth += 1;
        (rest, row) = (Reader::new(content), inner);
    }
}

/// What a row of values is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Row {
    Table,
    Array,
}

fn skip_scalar(tag: u8, rest: &mut Reader<'_>) -> Result<(), ValueError> {
    let skipped = match tag {
        b'V' => Some(&[][..]),
        b't' | b'b' | b'B' => rest.take(1),
        b's' | b'u' => rest.take(2),
        b'I' | b'i' | b'f' => rest.take(4),
        b'D' => rest.take(5),
        b'l' | b'L' | b'd' | b'T' => rest.take(8),
        b'S' | b'x' => rest.long_string(),
        _ => return Err(ValueError::UnknownTag(tag)),
    };
    skipped.map(|_| ()).ok_or(ValueError::Truncated)
}

/// See [`Table::decode`].
pub(super) fn decode(content: &[u8]) -> Result<Table, ValueError> {
    decode_table(content, TABLE_DEPTH_MAX)
}

/// Recursion: at most `levels`, which starts at [`TABLE_DEPTH_MAX`].
fn decode_table(content: &[u8], levels: usize) -> Result<Table, ValueError> {
    let mut rest = Reader::new(content);
    let mut table = Table::new();
    while !rest.is_empty() {
        let key = rest.short_string().and_then(Key::new).ok_or(ValueError::Truncated)?;
        table.push(key, decode_value(&mut rest, levels)?);
    }
    Ok(table)
}

fn decode_array(content: &[u8], levels: usize) -> Result<Vec<Value>, ValueError> {
    let mut rest = Reader::new(content);
    let mut elements = Vec::new();
    while !rest.is_empty() {
        elements.push(decode_value(&mut rest, levels)?);
    }
    Ok(elements)
}

fn decode_value(rest: &mut Reader<'_>, levels: usize) -> Result<Value, ValueError> {
    let tag = rest.octet().ok_or(ValueError::Truncated)?;
    if let b'F' | b'A' = tag {
        let content = rest.long_string().ok_or(ValueError::Truncated)?;
        let levels = levels.checked_sub(1).ok_or(ValueError::TooDeep)?;
        return match tag {
            b'F' => decode_table(content, levels).map(Value::Table),
            _ => decode_array(content, levels).map(Value::Array),
        };
    }
    decode_scalar(tag, rest)?.ok_or(ValueError::Truncated)
}

fn decode_scalar(tag: u8, rest: &mut Reader<'_>) -> Result<Option<Value>, ValueError> {
    Ok(match tag {
        b't' => rest.octet().map(|octet| Value::Bool(octet != 0)),
        b'b' => rest.array().map(i8::from_be_bytes).map(Value::I8),
        b'B' => rest.octet().map(Value::U8),
        b's' => rest.array().map(i16::from_be_bytes).map(Value::I16),
        b'u' => rest.short().map(Value::U16),
        b'I' => rest.array().map(i32::from_be_bytes).map(Value::I32),
        b'i' => rest.long().map(Value::U32),
        b'l' | b'L' => rest.array().map(i64::from_be_bytes).map(Value::I64),
        b'f' => rest.array().map(f32::from_be_bytes).map(Value::F32),
        b'd' => rest.array().map(f64::from_be_bytes).map(Value::F64),
        b'D' => rest.octet().zip(rest.long()).map(|(scale, value)| Value::Decimal { scale, value }),
        b'S' => rest.long_string().map(|bytes| Value::LongString(bytes.to_vec())),
        b'T' => rest.long_long().map(Value::Timestamp),
        b'V' => Some(Value::Void),
        b'x' => rest.long_string().map(|bytes| Value::Bytes(bytes.to_vec())),
        _ => return Err(ValueError::UnknownTag(tag)),
    })
}

/// Appends four length bytes and what `content` appends.
pub(super) fn encode_prefixed(out: &mut Vec<u8>, content: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    content(out);
    let length = out.len() - at - 4;
    if let Some(prefix) = out.get_mut(at..at + 4) {
        prefix.copy_from_slice(&(length as u32).to_be_bytes());
    }
}

/// Appends the entries of a table. Recursion: as deep as the value was built, which for a peer's value is bounded above.
pub(super) fn encode_table(table: &Table, out: &mut Vec<u8>) {
    for (key, value) in table.iter() {
        out.push(key.as_bytes().len() as u8); // a Key is at most 255 bytes
        out.extend_from_slice(key.as_bytes());
        encode_value(value, out);
    }
}

fn encode_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Bool(truth) => out.extend_from_slice(&[b't', u8::from(*truth)]),
        Value::I8(number) => scalar(out, b'b', &number.to_be_bytes()),
        Value::U8(number) => scalar(out, b'B', &number.to_be_bytes()),
        Value::I16(number) => scalar(out, b's', &number.to_be_bytes()),
        Value::U16(number) => scalar(out, b'u', &number.to_be_bytes()),
        Value::I32(number) => scalar(out, b'I', &number.to_be_bytes()),
        Value::U32(number) => scalar(out, b'i', &number.to_be_bytes()),
        Value::I64(number) => scalar(out, b'l', &number.to_be_bytes()),
        Value::F32(number) => scalar(out, b'f', &number.to_be_bytes()),
        Value::F64(number) => scalar(out, b'd', &number.to_be_bytes()),
        Value::Decimal { scale, value } => {
            out.extend_from_slice(&[b'D', *scale]);
            out.extend_from_slice(&value.to_be_bytes());
        }
        Value::LongString(bytes) => long_string(out, b'S', bytes),
        Value::Array(elements) => {
            out.push(b'A');
            encode_prefixed(out, |out| elements.iter().for_each(|element| encode_value(element, out)));
        }
        Value::Timestamp(seconds) => scalar(out, b'T', &seconds.to_be_bytes()),
        Value::Table(table) => {
            out.push(b'F');
            encode_prefixed(out, |out| encode_table(table, out));
        }
        Value::Void => out.push(b'V'),
        Value::Bytes(bytes) => long_string(out, b'x', bytes),
    }
}

fn scalar(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    out.extend_from_slice(bytes);
}

fn long_string(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
}

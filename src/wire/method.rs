//! Methods as `amq-protocol`'s types.
//!
//! Its parser recurses on nested tables without a bound, and a stack overflow ends the process. So every payload is
//! walked first, along the method's signature: lengths, depth and short strings are right before the parser sees it.

use super::error::{MethodFault, Octets, WireError};
use super::frame::FrameKind;
use super::output::write_frame;
use crate::value::{Key, Reader, Table, Value, ValueError, scan};
use amq_protocol::protocol::{AMQPClass, gen_class, parse_class};
use amq_protocol::types::{AMQPValue, DecimalValue, FieldTable, ShortString};

/// Class and method id of a method frame's payload. (0, 0), which is no method, if it is too short.
#[inline]
pub fn method_id(payload: &[u8]) -> (u16, u16) {
    let mut ids = Reader::new(payload);
    ids.short().zip(ids.short()).unwrap_or_default()
}

/// Reads the payload of a method frame.
///
/// # Errors
/// The method is unknown, or its fields are malformed or do not fill the payload exactly.
pub fn read_method(payload: &[u8]) -> Result<AMQPClass, WireError> {
    let Some(fields) = payload.get(4..) else {
        let octets = Octets::of(payload, payload.len());
        return Err(WireError::UnknownFrame { kind: FrameKind::Method as u8, octets });
    };
    let (class, method) = method_id(payload);
    let signature = signature(class, method).ok_or(WireError::UnknownMethod { class, method })?;
    check(signature, fields).map_err(|fault| WireError::MalformedMethod { class, method, fault })?;
    match parse_class(payload) {
        Ok(([], parsed)) => Ok(parsed),
        // What `check` leaves to the parser: the keys of tables must be UTF-8.
        Ok(_) | Err(_) => {
            let fault = MethodFault::Table(ValueError::KeyNotText);
            Err(WireError::MalformedMethod { class, method, fault })
        }
    }
}

/// Appends a method frame.
pub fn write_method(out: &mut Vec<u8>, channel: u16, class: &AMQPClass) {
    // A vector takes every write, so the generator has no error to give.
    if let Ok((payload, _)) = cookie_factory::r#gen(gen_class(class), Vec::with_capacity(128)) {
        write_frame(out, FrameKind::Method, channel, &payload);
    }
}

/// The prefetch size of a basic.qos payload, in bytes, which `amq-protocol` leaves out and RabbitMQ refuses unless 0.
pub fn qos_prefetch_size(payload: &[u8]) -> Option<u32> {
    match method_id(payload) {
        (60, 10) => Reader::new(payload.get(4..)?).long(),
        _ => None,
    }
}

/// Kinds of method fields on the wire.
#[derive(Clone, Copy)]
enum Field {
    Octet,
    Short,
    Long,
    LongLong,
    ShortStr,
    LongStr,
    Table,
    /// Up to eight flags in one octet.
    Bits,
}

/// The fields of every method (compat.md 1.3).
fn signature(class: u16, method: u16) -> Option<&'static [Field]> {
    use Field::{Bits, Long, LongLong, LongStr, Octet, Short, ShortStr, Table};
    let fields: &'static [Field] = match (class, method) {
        (10, 10) => &[Octet, Octet, Table, LongStr, LongStr],
        (10, 11) => &[Table, ShortStr, LongStr, ShortStr],
        (10, 20 | 21) => &[LongStr],
        (10, 30 | 31) => &[Short, Long, Short],
        (10, 40) => &[ShortStr, ShortStr, Bits],
        (10, 41 | 60) => &[ShortStr],
        (10, 50) | (20, 40) => &[Short, ShortStr, Short, Short],
        (10, 70) => &[LongStr, ShortStr],
        (10, 51 | 61 | 71) => &[],
        (20, 10) => &[ShortStr],
        (20, 11) => &[LongStr],
        (20, 20 | 21) => &[Bits],
        (20, 41) => &[],
        (30, 10) => &[ShortStr, Bits],
        (30, 11) => &[Short],
        (40, 10) => &[Short, ShortStr, ShortStr, Bits, Table],
        (40, 20) => &[Short, ShortStr, Bits],
        (40, 30 | 40) => &[Short, ShortStr, ShortStr, ShortStr, Bits, Table],
        (40, 11 | 21 | 31 | 51) => &[],
        (50, 10) => &[Short, ShortStr, Bits, Table],
        (50, 11) => &[ShortStr, Long, Long],
        (50, 20) => &[Short, ShortStr, ShortStr, ShortStr, Bits, Table],
        (50, 30 | 40) => &[Short, ShortStr, Bits],
        (50, 31 | 41) => &[Long],
        (50, 50) => &[Short, ShortStr, ShortStr, ShortStr, Table],
        (50, 21 | 51) => &[],
        (60, 10) => &[Long, Short, Bits],
        (60, 20) => &[Short, ShortStr, ShortStr, Bits, Table],
        (60, 21 | 31 | 72) => &[ShortStr],
        (60, 30) => &[ShortStr, Bits],
        (60, 40) => &[Short, ShortStr, ShortStr, Bits],
        (60, 50) => &[Short, ShortStr, ShortStr, ShortStr],
        (60, 60) => &[ShortStr, LongLong, Bits, ShortStr, ShortStr],
        (60, 70) => &[Short, ShortStr, Bits],
        (60, 71) => &[LongLong, Bits, ShortStr, ShortStr, Long],
        (60, 80 | 90 | 120) => &[LongLong, Bits],
        (60, 100 | 110) => &[Bits],
        (60, 11 | 111) => &[],
        (85, 10) => &[Bits],
        (85, 11) => &[],
        (90, 10 | 11 | 20 | 21 | 30 | 31) => &[],
        _ => return None,
    };
    Some(fields)
}

/// Walks over the fields without building anything.
fn check(signature: &[Field], fields: &[u8]) -> Result<(), MethodFault> {
    let mut rest = Reader::new(fields);
    for field in signature {
        let read = match field {
            Field::Octet | Field::Bits => rest.take(1),
            Field::Short => rest.take(2),
            Field::Long => rest.take(4),
            Field::LongLong => rest.take(8),
            Field::ShortStr => rest.short_string(),
            Field::LongStr | Field::Table => rest.long_string(),
        };
        let content = read.ok_or(MethodFault::Truncated)?;
        match field {
            Field::ShortStr if std::str::from_utf8(content).is_err() => return Err(MethodFault::NotText),
            Field::Table => scan(content).map_err(MethodFault::Table)?,
            _ => {}
        }
    }
    if rest.is_empty() { Ok(()) } else { Err(MethodFault::Trailing) }
}

/// A method's table as ours. `amq-protocol` has sorted the keys and of duplicates kept the last.
/// Recursion: as deep as the table, which [`read_method`] has bounded.
pub fn table_from_amq(table: &FieldTable) -> Table {
    table
        .into_iter()
        .filter_map(|(key, value)| Some((Key::new(key.as_str().as_bytes())?, value_from_amq(value))))
        .collect()
}

fn value_from_amq(value: &AMQPValue) -> Value {
    match value {
        AMQPValue::Boolean(truth) => Value::Bool(*truth),
        AMQPValue::ShortShortInt(number) => Value::I8(*number),
        AMQPValue::ShortShortUInt(number) => Value::U8(*number),
        AMQPValue::ShortInt(number) => Value::I16(*number),
        AMQPValue::ShortUInt(number) => Value::U16(*number),
        AMQPValue::LongInt(number) => Value::I32(*number),
        AMQPValue::LongUInt(number) => Value::U32(*number),
        AMQPValue::LongLongInt(number) => Value::I64(*number),
        AMQPValue::Float(number) => Value::F32(*number),
        AMQPValue::Double(number) => Value::F64(*number),
        AMQPValue::DecimalValue(DecimalValue { scale, value }) => Value::Decimal { scale: *scale, value: *value },
        AMQPValue::ShortString(text) => Value::LongString(text.as_str().as_bytes().to_vec()),
        AMQPValue::LongString(bytes) => Value::LongString(bytes.as_bytes().to_vec()),
        AMQPValue::FieldArray(elements) => Value::Array(elements.as_slice().iter().map(value_from_amq).collect()),
        AMQPValue::Timestamp(seconds) => Value::Timestamp(*seconds),
        AMQPValue::FieldTable(table) => Value::Table(table_from_amq(table)),
        AMQPValue::ByteArray(bytes) => Value::Bytes(bytes.as_slice().to_vec()),
        AMQPValue::Void => Value::Void,
    }
}

/// Our table as `amq-protocol`'s, which sorts the keys and of duplicates keeps the last.
///
/// # Errors
/// A key is not UTF-8.
pub fn table_to_amq(table: &Table) -> Result<FieldTable, ValueError> {
    let mut converted = FieldTable::default();
    for (key, value) in table.iter() {
        let text = key.as_str().ok_or(ValueError::KeyNotText)?;
        let key = ShortString::try_new(text).map_err(|_| ValueError::KeyNotText)?;
        converted.insert(key, value_to_amq(value)?);
    }
    Ok(converted)
}

fn value_to_amq(value: &Value) -> Result<AMQPValue, ValueError> {
    Ok(match value {
        Value::Bool(truth) => AMQPValue::Boolean(*truth),
        Value::I8(number) => AMQPValue::ShortShortInt(*number),
        Value::U8(number) => AMQPValue::ShortShortUInt(*number),
        Value::I16(number) => AMQPValue::ShortInt(*number),
        Value::U16(number) => AMQPValue::ShortUInt(*number),
        Value::I32(number) => AMQPValue::LongInt(*number),
        Value::U32(number) => AMQPValue::LongUInt(*number),
        Value::I64(number) => AMQPValue::LongLongInt(*number),
        Value::F32(number) => AMQPValue::Float(*number),
        Value::F64(number) => AMQPValue::Double(*number),
        Value::Decimal { scale, value } => AMQPValue::DecimalValue(DecimalValue { scale: *scale, value: *value }),
        Value::LongString(bytes) => AMQPValue::LongString(bytes.as_slice().into()),
        Value::Array(elements) => {
            AMQPValue::FieldArray(elements.iter().map(value_to_amq).collect::<Result<Vec<_>, _>>()?.into())
        }
        Value::Timestamp(seconds) => AMQPValue::Timestamp(*seconds),
        Value::Table(table) => AMQPValue::FieldTable(table_to_amq(table)?),
        Value::Void => AMQPValue::Void,
        Value::Bytes(bytes) => AMQPValue::ByteArray(bytes.as_slice().into()),
    })
}

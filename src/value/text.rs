//! Values as RabbitMQ prints them in error texts: Erlang terms, but a long string at the top stands as it is.

use super::{Table, Value};
use std::fmt::{self, Display, Formatter, Write};

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Value::LongString(bytes) | Value::Bytes(bytes) => f.write_str(&String::from_utf8_lossy(bytes)),
            other => write_term(f, other),
        }
    }
}

/// Bytes as an Erlang binary: `<<"text">>`, or `<<1,2,3>>` when a byte is not printable ASCII.
#[derive(Clone, Copy, Debug)]
pub struct Binary<'a>(pub &'a [u8]);

impl Display for Binary<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Binary(bytes) = self;
        f.write_str("<<")?;
        if !bytes.is_empty() && bytes.iter().all(|byte| matches!(byte, b' '..=b'~')) {
            f.write_char('"')?;
            for &byte in *bytes {
                if matches!(byte, b'"' | b'\\') {
                    f.write_char('\\')?;
                }
                f.write_char(char::from(byte))?;
            }
            f.write_char('"')?;
        } else {
            list(f, bytes.iter(), |f, byte| write!(f, "{byte}"))?;
        }
        f.write_str(">>")
    }
}

/// Recursion: as deep as the value was built.
fn write_term(f: &mut Formatter<'_>, value: &Value) -> fmt::Result {
    match value {
        Value::Bool(truth) => write!(f, "{truth}"),
        Value::I8(number) => write!(f, "{number}"),
        Value::U8(number) => write!(f, "{number}"),
        Value::I16(number) => write!(f, "{number}"),
        Value::U16(number) => write!(f, "{number}"),
        Value::I32(number) => write!(f, "{number}"),
        Value::U32(number) => write!(f, "{number}"),
        Value::I64(number) => write!(f, "{number}"),
        Value::F32(number) => write!(f, "{:?}", f64::from(*number)),
        Value::F64(number) => write!(f, "{number:?}"),
        Value::Decimal { scale, value } => write!(f, "{{{scale},{value}}}"),
        Value::LongString(bytes) | Value::Bytes(bytes) => Binary(bytes).fmt(f),
        Value::Timestamp(seconds) => write!(f, "{seconds}"),
        Value::Void => f.write_str("undefined"),
        Value::Array(elements) => {
            f.write_char('[')?;
            list(f, elements.iter(), |f, element| {
                write!(f, "{{{},", element.type_name())?;
                write_term(f, element)?;
                f.write_char('}')
            })?;
            f.write_char(']')
        }
        Value::Table(table) => write_table(f, table),
    }
}

fn write_table(f: &mut Formatter<'_>, table: &Table) -> fmt::Result {
    f.write_char('[')?;
    list(f, table.iter(), |f, (key, value)| {
        write!(f, "{{{},{},", Binary(key.as_bytes()), value.type_name())?;
        write_term(f, value)?;
        f.write_char('}')
    })?;
    f.write_char(']')
}

fn list<T>(
    f: &mut Formatter<'_>,
    items: impl Iterator<Item = T>,
    mut write_item: impl FnMut(&mut Formatter<'_>, T) -> fmt::Result,
) -> fmt::Result {
    for (index, item) in items.enumerate() {
        if index > 0 {
            f.write_char(',')?;
        }
        write_item(f, item)?;
    }
    Ok(())
}

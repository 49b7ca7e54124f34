//! Typed values and tables: arguments of definitions, client properties, message headers (compat.md 1.2).
//!
//! The types keep what the wire said: integer widths, the order of entries, duplicate keys and keys that are not UTF-8.

#[path = "value/codec.rs"]
mod codec;
#[path = "value/reader.rs"]
mod reader;
#[path = "value/table.rs"]
mod table;
#[path = "value/text.rs"]
mod text;

pub use codec::scan;
pub use reader::Reader;
pub use table::{Key, Table};
pub use text::Binary;

use std::fmt;

/// One value of a field table, in RabbitMQ's dialect of AMQP 0-9-1. `Display` prints it as RabbitMQ does in error texts.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `t`
    Bool(bool),
    /// `b`
    I8(i8),
    /// `B`
    U8(u8),
    /// `s`: RabbitMQ's signed 16 bits, not the specification's short string.
    I16(i16),
    /// `u`
    U16(u16),
    /// `I`
    I32(i32),
    /// `i`
    U32(u32),
    /// `l`, and `L` when read.
    I64(i64),
    /// `f`
    F32(f32),
    /// `d`
    F64(f64),
    /// `D`: `value` divided by ten to the power of `scale`.
    Decimal {
        /// Decimal digits after the point.
        scale: u8,
        /// All digits.
        value: u32,
    },
    /// `S`: text by custom, any bytes in fact.
    LongString(Vec<u8>),
    /// `A`
    Array(Vec<Value>),
    /// `T`: seconds since 1970.
    Timestamp(u64),
    /// `F`
    Table(Table),
    /// `V`
    Void,
    /// `x`
    Bytes(Vec<u8>),
}

impl Value {
    /// RabbitMQ's word for the type, as it stands in `the value '5' of type 'signedint'` (compat.md 1.4).
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Bool(_) => "bool",
            Value::I8(_) => "byte",
            Value::U8(_) => "unsignedbyte",
            Value::I16(_) => "short",
            Value::U16(_) => "unsignedshort",
            Value::I32(_) => "signedint",
            Value::U32(_) => "unsignedint",
            Value::I64(_) => "long",
            Value::F32(_) => "float",
            Value::F64(_) => "double",
            Value::Decimal { .. } => "decimal",
            Value::LongString(_) => "longstr",
            Value::Array(_) => "array",
            Value::Timestamp(_) => "timestamp",
            Value::Table(_) => "table",
            Value::Void => "void",
            Value::Bytes(_) => "binary",
        }
    }

    /// The number, if it is of one of the integer types. A timestamp is not.
    pub fn as_integer(&self) -> Option<i64> {
        match *self {
            Value::I8(number) => Some(number.into()),
            Value::U8(number) => Some(number.into()),
            Value::I16(number) => Some(number.into()),
            Value::U16(number) => Some(number.into()),
            Value::I32(number) => Some(number.into()),
            Value::U32(number) => Some(number.into()),
            Value::I64(number) => Some(number),
            _ => None,
        }
    }

    /// The number, if it is of one of the two float types.
    pub fn as_float(&self) -> Option<f64> {
        match *self {
            Value::F32(number) => Some(number.into()),
            Value::F64(number) => Some(number),
            _ => None,
        }
    }

    /// The text, if it is a long string of UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(self.as_long_string()?).ok()
    }

    /// The bytes, if it is a long string.
    pub fn as_long_string(&self) -> Option<&[u8]> {
        match self {
            Value::LongString(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The truth value, if it is a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match *self {
            Value::Bool(truth) => Some(truth),
            _ => None,
        }
    }

    /// The elements, if it is an array.
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Value::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// The table, if it is one.
    pub fn as_table(&self) -> Option<&Table> {
        match self {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    /// Equality as declarations see it: integers of any width by value, floats of any width by value, all else exactly
    /// (compat.md 1.8). Elements of arrays and tables are compared exactly, as RabbitMQ does.
    pub fn equivalent(&self, other: &Value) -> bool {
        if let (Some(left), Some(right)) = (self.as_integer(), other.as_integer()) {
            return left == right;
        }
        if let (Some(left), Some(right)) = (self.as_float(), other.as_float()) {
            return left == right;
        }
        self == other
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Value {
        Value::Bool(truth)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::I64(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::LongString(text.as_bytes().to_vec())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::LongString(text.into_bytes())
    }
}

impl From<Table> for Value {
    fn from(table: Table) -> Value {
        Value::Table(table)
    }
}

impl From<Vec<Value>> for Value {
    fn from(elements: Vec<Value>) -> Value {
        Value::Array(elements)
    }
}

/// Why bytes are not a field table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueError {
    /// The bytes end inside a key, a value, or the length that was announced.
    Truncated,
    /// No type has this tag.
    UnknownTag(u8),
    /// Tables and arrays are nested deeper than [`crate::limits::TABLE_DEPTH_MAX`].
    TooDeep,
    /// A key is not UTF-8 where text is needed.
    KeyNotText,
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValueError::Truncated => f.write_str("field table ends too early"),
            ValueError::UnknownTag(tag) => write!(f, "unknown field type {tag}"),
            ValueError::TooDeep => {
                write!(f, "field table is nested deeper than {} levels", crate::limits::TABLE_DEPTH_MAX)
            }
            ValueError::KeyNotText => f.write_str("field table key is not UTF-8"),
        }
    }
}

impl std::error::Error for ValueError {}

#[cfg(test)]
#[path = "value/tests.rs"]
mod tests;

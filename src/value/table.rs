//! An ordered table of keys and values.

use super::{Value, ValueError, codec};
use crate::limits::SHORT_STRING_MAX;
use crate::name::Name;
use std::fmt;

/// A key of a table: at most [`SHORT_STRING_MAX`] bytes, text by custom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Box<[u8]>);

impl Key {
    /// Takes `bytes` as a key. None when they are longer than a short string can be.
    pub fn new(bytes: &[u8]) -> Option<Key> {
        (bytes.len() <= SHORT_STRING_MAX).then(|| Key(bytes.into()))
    }

    /// The key as it is on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The key as text, if it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// For keys that stand in the source text. One that is too long for a short string is cut.
impl From<&'static str> for Key {
    fn from(literal: &'static str) -> Key {
        let end = literal.floor_char_boundary(SHORT_STRING_MAX);
        Key(literal.as_bytes().get(..end).unwrap_or_default().into())
    }
}

impl From<&Name> for Key {
    fn from(name: &Name) -> Key {
        Key(name.as_str().as_bytes().into())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

/// Keys and values in the order they came, duplicates included.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table(Vec<(Key, Value)>);

impl Table {
    /// A table without entries.
    pub fn new() -> Table {
        Table(Vec::new())
    }

    /// Reads the content of a table, without its length prefix.
    ///
    /// # Errors
    /// The bytes end too early, hold an unknown tag, or nest deeper than [`crate::limits::TABLE_DEPTH_MAX`].
    pub fn decode(content: &[u8]) -> Result<Table, ValueError> {
        codec::decode(content)
    }

    /// Appends the table with its length prefix.
    pub fn encode(&self, out: &mut Vec<u8>) {
        codec::encode_prefixed(out, |out| codec::encode_table(self, out));
    }

    /// Appends the table without its length prefix.
    pub fn encode_content(&self, out: &mut Vec<u8>) {
        codec::encode_table(self, out);
    }

    /// The value of `key`. Of duplicates the first wins, as in RabbitMQ's `table_lookup`.
    pub fn get<K: AsRef<[u8]> + ?Sized>(&self, key: &K) -> Option<&Value> {
        let key = key.as_ref();
        self.0.iter().find(|(candidate, _)| candidate.as_bytes() == key).map(|(_, value)| value)
    }

    /// Sets the value of `key`: in the place of the entry that [`Table::get`] finds, else at the end.
    pub fn insert(&mut self, key: impl Into<Key>, value: impl Into<Value>) {
        let (key, value) = (key.into(), value.into());
        match self.0.iter_mut().find(|(candidate, _)| *candidate == key) {
            Some((_, present)) => *present = value,
            None => self.0.push((key, value)),
        }
    }

    /// Appends an entry, even if the key is there already.
    pub fn push(&mut self, key: impl Into<Key>, value: impl Into<Value>) {
        self.0.push((key.into(), value.into()));
    }

    /// Removes every entry of `key`; returns the value that [`Table::get`] found.
    pub fn remove<K: AsRef<[u8]> + ?Sized>(&mut self, key: &K) -> Option<Value> {
        let key = key.as_ref();
        let first = self.0.iter().position(|(candidate, _)| candidate.as_bytes() == key)?;
        let (_, value) = self.0.remove(first);
        self.0.retain(|(candidate, _)| candidate.as_bytes() != key);
        Some(value)
    }

    /// The entries in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&Key, &Value)> + ExactSizeIterator {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// How many entries, duplicates included.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when there is no entry.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Keeps order and duplicates.
impl<K: Into<Key>, V: Into<Value>> FromIterator<(K, V)> for Table {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Table {
        Table(entries.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

impl IntoIterator for Table {
    type Item = (Key, Value);
    type IntoIter = std::vec::IntoIter<(Key, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

//! A message's content header as bytes: single properties and header entries are found, put in and cut out; everything else
//! stays byte for byte as its publisher sent it (compat.md 1.1, 1.2).
//!
//! Layout: u16 class, u16 weight, u64 body size, u16 property flags, then the properties that the flags name.

use crate::value::{Reader, Table, Value};
use std::ops::Range;

/// Bytes before the property flags.
const BEFORE_FLAGS: usize = 12;
/// Bytes before the properties.
const FIXED: usize = 14;
const HEADERS: u16 = 1 << 13;
const EXPIRATION: u16 = 1 << 8;
const TIMESTAMP: u16 = 1 << 6;

/// Where the parts of a content header are that the broker edits.
#[derive(Clone, Debug)]
pub struct Content<'a> {
    payload: &'a [u8],
    flags: u16,
    /// Entries of the headers table, without its length; an empty range where they would be.
    headers: Range<usize>,
    /// The headers table with its length.
    table: Range<usize>,
    /// The reply-to with its length.
    reply_to: Range<usize>,
    /// The expiration with its length.
    expiration: Range<usize>,
}

impl<'a> Content<'a> {
    /// Looks through a content header's payload. None when it is not one.
    pub fn parse(payload: &'a [u8]) -> Option<Content<'a>> {
        let mut reader = Reader::new(payload);
        reader.take(BEFORE_FLAGS)?;
        let flags = reader.short()?;
        let at = |reader: &Reader<'_>| payload.len() - reader.rest().len();
        let has = |bit: u16| flags & (1 << bit) != 0;
        for _ in [15, 14].into_iter().filter(|bit| has(*bit)) {
            reader.short_string()?;
        }
        let begin = at(&reader);
        let (mut headers, mut table) = (begin..begin, begin..begin);
        if has(13) {
            reader.long_string()?;
            table = begin..at(&reader);
            headers = begin + 4..table.end;
        }
        reader.take([12, 11].into_iter().filter(|bit| has(*bit)).count())?;
        if has(10) {
            reader.short_string()?;
        }
        let begin = at(&reader);
        let mut reply_to = begin..begin;
        if has(9) {
            reader.short_string()?;
            reply_to = begin..at(&reader);
        }
        let begin = at(&reader);
        let mut expiration = begin..begin;
        if has(8) {
            reader.short_string()?;
            expiration = begin..at(&reader);
        }
        Some(Content { payload, flags, headers, table, reply_to, expiration })
    }

    /// The entries of the headers table, as bytes; none without a table.
    pub fn headers(&self) -> &'a [u8] {
        self.payload.get(self.headers.clone()).unwrap_or_default()
    }

    /// The `reply-to` property.
    pub fn reply_to(&self) -> Option<&'a [u8]> {
        self.payload.get(self.reply_to.clone())?.get(1..)
    }

    /// The payload with another `reply-to`. None when the name is too long.
    pub fn with_reply_to(&self, name: &[u8]) -> Option<Vec<u8>> {
        let mut payload = self.payload.get(..self.reply_to.start)?.to_vec();
        payload.push(u8::try_from(name.len()).ok()?);
        payload.extend_from_slice(name);
        payload.extend_from_slice(self.payload.get(self.reply_to.end..)?);
        Some(payload)
    }

    /// The `expiration` property.
    pub fn expiration(&self) -> Option<&'a [u8]> {
        self.payload.get(self.expiration.clone())?.get(1..)
    }

    /// The `correlation-id` property.
    pub fn correlation_id(&self) -> Option<&'a [u8]> {
        self.property(10)?.short_string()
    }

    /// The `message-id` property.
    pub fn message_id(&self) -> Option<&'a [u8]> {
        self.property(7)?.short_string()
    }

    /// The `timestamp` property, in seconds.
    pub fn timestamp(&self) -> Option<u64> {
        self.property(6)?.long_long()
    }

    /// The payload with another `timestamp`.
    pub fn with_timestamp(&self, seconds: u64) -> Option<Vec<u8>> {
        let rest = self.before_property(6)?.rest();
        let before = self.payload.get(FIXED..self.payload.len() - rest.len())?;
        let behind = if self.flags & TIMESTAMP != 0 { rest.get(8..)? } else { rest };
        let mut payload = Vec::with_capacity(self.payload.len() + 8);
        payload.extend_from_slice(self.payload.get(..BEFORE_FLAGS)?);
        payload.extend_from_slice(&(self.flags | TIMESTAMP).to_be_bytes());
        payload.extend_from_slice(before);
        payload.extend_from_slice(&seconds.to_be_bytes());
        payload.extend_from_slice(behind);
        Some(payload)
    }

    /// What follows the properties before the one with this bit. None when it is not there.
    fn property(&self, bit: u16) -> Option<Reader<'a>> {
        self.before_property(bit).filter(|_| self.flags & (1 << bit) != 0)
    }

    /// What follows the properties before the one with this bit, or before where it would be.
    fn before_property(&self, bit: u16) -> Option<Reader<'a>> {
        let mut reader = Reader::new(self.payload.get(FIXED..)?);
        let has = |bit: u16| self.flags & (1 << bit) != 0;
        for before in (bit + 1..16).rev().filter(|bit| has(*bit)) {
            match before {
                13 => reader.long_string()?,
                11 | 12 => reader.take(1)?,
                6 => reader.take(8)?,
                _ => reader.short_string()?,
            };
        }
        Some(reader)
    }

    /// The value of a header. The first of several with the same key.
    pub fn header(&self, key: &str) -> Option<Value> {
        let (_, entry) = entries(self.headers()).find(|(name, _)| *name == key.as_bytes())?;
        Table::decode(entry).ok()?.remove(key)
    }

    /// The payload with other headers: the entries that `keep` says, then `added`. With `expires` false, without its
    /// expiration. None when the headers are damaged.
    pub fn rewrite(&self, keep: impl Fn(&[u8]) -> bool, added: &Table, expires: bool) -> Option<Vec<u8>> {
        let mut headers = Vec::with_capacity(self.headers.len() + 64);
        let mut seen = 0;
        for (key, entry) in entries(self.headers()) {
            seen += entry.len();
            if keep(key) {
                headers.extend_from_slice(entry);
            }
        }
        if seen != self.headers.len() {
            return None;
        }
        added.encode_content(&mut headers);
        let mut flags = self.flags | HEADERS;
        if !expires {
            flags &= !EXPIRATION;
        }
        let mut payload = Vec::with_capacity(self.payload.len() + headers.len() + 4);
        payload.extend_from_slice(self.payload.get(..BEFORE_FLAGS)?);
        payload.extend_from_slice(&flags.to_be_bytes());
        payload.extend_from_slice(self.payload.get(FIXED..self.table.start)?);
        payload.extend_from_slice(&u32::try_from(headers.len()).ok()?.to_be_bytes());
        payload.extend_from_slice(&headers);
        let rest_from = if expires { self.expiration.start } else { self.expiration.end };
        payload.extend_from_slice(self.payload.get(self.table.end..self.expiration.start)?);
        payload.extend_from_slice(self.payload.get(rest_from..)?);
        Some(payload)
    }
}

/// The payload of a content header with these headers in place of others with their keys.
pub fn with_headers(payload: &[u8], headers: &Table) -> Option<Vec<u8>> {
    Content::parse(payload)?.rewrite(|key| headers.get(key).is_none(), headers, true)
}

/// The entries of a table: key, and the bytes of key and value. Ends at the first that is damaged.
pub fn entries(mut table: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    std::iter::from_fn(move || {
        let mut reader = Reader::new(table);
        let key = reader.short_string()?;
        match reader.octet()? {
            b't' | b'b' | b'B' => reader.take(1)?,
            b's' | b'u' => reader.take(2)?,
            b'I' | b'i' | b'f' => reader.take(4)?,
            b'l' | b'L' | b'd' | b'T' => reader.take(8)?,
            b'D' => reader.take(5)?,
            b'S' | b'x' | b'A' | b'F' => reader.long_string()?,
            b'V' => &[],
            _ => return None,
        };
        let (entry, rest) = table.split_at_checked(table.len() - reader.rest().len())?;
        table = rest;
        Some((key, entry))
    })
}

#[cfg(test)]
#[path = "content_tests.rs"]
pub(super) mod tests;

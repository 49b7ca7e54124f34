//! Content headers and the basic properties (compat.md 1.1).
//!
//! A message's property bytes pass through the broker as they came. [`Properties`] looks into them in place; headers
//! are decoded only by who needs them.

use super::error::{Octets, WireError};
use super::frame::FrameKind;
use super::hot::short;
use crate::value::{Reader, Table, ValueError};

const BASIC: u16 = 60;

/// The payload of a content header frame, in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentHeader<'a> {
    /// Size of the body that follows, in bytes. Not yet compared with any limit.
    pub body_size: u64,
    /// Property flags and values as they came. Not yet checked: see [`Properties::parse`].
    pub properties: &'a [u8],
}

/// Reads the payload of a content header frame.
///
/// # Errors
/// It is too short, of another class than basic, or has a weight.
#[inline]
pub fn read_content_header(payload: &[u8]) -> Result<ContentHeader<'_>, WireError> {
    let mut rest = Reader::new(payload);
    let (Some(class), Some(weight), Some(body_size)) = (rest.short(), rest.short(), rest.long_long()) else {
        let octets = Octets::of(payload, payload.len());
        return Err(WireError::UnknownFrame { kind: FrameKind::Header as u8, octets });
    };
    match (class, weight) {
        (BASIC, 0) => Ok(ContentHeader { body_size, properties: rest.rest() }),
        (BASIC, _) => Err(WireError::ContentHeaderExpected),
        _ => Err(WireError::ContentHeaderClass(class)),
    }
}

/// Appends the payload of a content header frame: `properties` are flags and values.
#[inline]
pub fn write_content_header(out: &mut Vec<u8>, body_size: u64, properties: &[u8]) {
    out.reserve(12 + properties.len());
    out.extend_from_slice(&[0, BASIC as u8, 0, 0]);
    out.extend_from_slice(&body_size.to_be_bytes());
    out.extend_from_slice(properties);
}

/// True when the properties say delivery-mode 2. Malformed properties are not persistent.
#[inline]
pub fn is_persistent(properties: &[u8]) -> bool {
    let Some((flags, values)) = properties.split_first_chunk::<2>() else {
        return false;
    };
    let flags = u16::from_be_bytes(*flags);
    if flags & DELIVERY_MODE == 0 {
        return false;
    }
    if flags & BEFORE_DELIVERY_MODE == 0 {
        return values.first() == Some(&PERSISTENT);
    }
    Properties { flags, values }.delivery_mode() == Some(PERSISTENT)
}

/// The delivery mode that asks for disk. All others are transient.
pub const PERSISTENT: u8 = 2;

const CONTENT_TYPE: u16 = 1 << 15;
const CONTENT_ENCODING: u16 = 1 << 14;
const HEADERS: u16 = 1 << 13;
const DELIVERY_MODE: u16 = 1 << 12;
const PRIORITY: u16 = 1 << 11;
const CORRELATION_ID: u16 = 1 << 10;
const REPLY_TO: u16 = 1 << 9;
const EXPIRATION: u16 = 1 << 8;
const MESSAGE_ID: u16 = 1 << 7;
const TIMESTAMP: u16 = 1 << 6;
const TYPE: u16 = 1 << 5;
const USER_ID: u16 = 1 << 4;
const APP_ID: u16 = 1 << 3;
const CLUSTER_ID: u16 = 1 << 2;

const BEFORE_DELIVERY_MODE: u16 = CONTENT_TYPE | CONTENT_ENCODING | HEADERS;

/// Bit 1 is no property of class basic; bit 0 announces more flags, and there are no more properties to flag.
const UNKNOWN: u16 = 0b11;

/// The basic properties of a message, in place. An accessor walks over the values before its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Properties<'a> {
    flags: u16,
    values: &'a [u8],
}

impl<'a> Properties<'a> {
    /// Checks that flags and values fill `bytes` exactly. What is inside the headers is not looked at.
    ///
    /// # Errors
    /// A flag is unknown, a value is cut off, or bytes follow the last one.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Properties<'a>, WireError> {
        let (flags, values) = bytes.split_first_chunk::<2>().ok_or(WireError::MalformedProperties)?;
        let flags = u16::from_be_bytes(*flags);
        let mut rest = Reader::new(values);
        if flags & UNKNOWN != 0 || skip(flags, &mut rest).is_none() || !rest.is_empty() {
            return Err(WireError::MalformedProperties);
        }
        Ok(Properties { flags, values })
    }

    /// The value of one flag.
    #[inline]
    fn value(&self, flag: u16) -> Option<Reader<'a>> {
        if self.flags & flag == 0 {
            return None;
        }
        let mut rest = Reader::new(self.values);
        skip(self.flags & !(flag | (flag - 1)), &mut rest)?;
        Some(rest)
    }

    /// MIME type of the body.
    pub fn content_type(&self) -> Option<&'a [u8]> {
        self.value(CONTENT_TYPE)?.short_string()
    }

    /// Encoding of the body.
    pub fn content_encoding(&self) -> Option<&'a [u8]> {
        self.value(CONTENT_ENCODING)?.short_string()
    }

    /// The content of the headers table, undecoded.
    pub fn headers(&self) -> Option<&'a [u8]> {
        self.value(HEADERS)?.long_string()
    }

    /// [`PERSISTENT`], or any other number for transient.
    pub fn delivery_mode(&self) -> Option<u8> {
        self.value(DELIVERY_MODE)?.octet()
    }

    /// Priority, 0 to 255.
    pub fn priority(&self) -> Option<u8> {
        self.value(PRIORITY)?.octet()
    }

    /// Which request a reply belongs to.
    pub fn correlation_id(&self) -> Option<&'a [u8]> {
        self.value(CORRELATION_ID)?.short_string()
    }

    /// Where to send a reply.
    pub fn reply_to(&self) -> Option<&'a [u8]> {
        self.value(REPLY_TO)?.short_string()
    }

    /// Time to live: a number of milliseconds as text.
    pub fn expiration(&self) -> Option<&'a [u8]> {
        self.value(EXPIRATION)?.short_string()
    }

    /// Application's message id.
    pub fn message_id(&self) -> Option<&'a [u8]> {
        self.value(MESSAGE_ID)?.short_string()
    }

    /// Application's time, in seconds since 1970.
    pub fn timestamp(&self) -> Option<u64> {
        self.value(TIMESTAMP)?.long_long()
    }

    /// Application's message type.
    pub fn message_type(&self) -> Option<&'a [u8]> {
        self.value(TYPE)?.short_string()
    }

    /// The user who publishes; checked by the broker if present.
    pub fn user_id(&self) -> Option<&'a [u8]> {
        self.value(USER_ID)?.short_string()
    }

    /// Application that publishes.
    pub fn app_id(&self) -> Option<&'a [u8]> {
        self.value(APP_ID)?.short_string()
    }

    /// Unused by applications; the wire allows it.
    pub fn cluster_id(&self) -> Option<&'a [u8]> {
        self.value(CLUSTER_ID)?.short_string()
    }

    /// A copy to change and encode again, for a message that the broker rewrites.
    ///
    /// # Errors
    /// The headers are not a table that we can read.
    pub fn to_builder(&self) -> Result<PropertiesBuilder<'a>, ValueError> {
        Ok(PropertiesBuilder {
            content_type: self.content_type(),
            content_encoding: self.content_encoding(),
            headers: self.headers().map(Table::decode).transpose()?,
            delivery_mode: self.delivery_mode(),
            priority: self.priority(),
            correlation_id: self.correlation_id(),
            reply_to: self.reply_to(),
            expiration: self.expiration(),
            message_id: self.message_id(),
            timestamp: self.timestamp(),
            message_type: self.message_type(),
            user_id: self.user_id(),
            app_id: self.app_id(),
            cluster_id: self.cluster_id(),
        })
    }
}

/// Reads past the values of `flags`, in wire order. None when one is cut off.
#[inline]
fn skip(mut flags: u16, rest: &mut Reader<'_>) -> Option<()> {
    while flags != 0 {
        let flag = 1 << (15 - flags.leading_zeros());
        match flag {
            HEADERS => rest.long_string().map(|_| ())?,
            DELIVERY_MODE | PRIORITY => rest.octet().map(|_| ())?,
            TIMESTAMP => rest.long_long().map(|_| ())?,
            _ => rest.short_string().map(|_| ())?,
        }
        flags &= !flag;
    }
    Some(())
}

/// Basic properties to encode. A short string longer than 255 bytes is cut.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PropertiesBuilder<'a> {
    /// See [`Properties::content_type`].
    pub content_type: Option<&'a [u8]>,
    /// See [`Properties::content_encoding`].
    pub content_encoding: Option<&'a [u8]>,
    /// The headers.
    pub headers: Option<Table>,
    /// See [`Properties::delivery_mode`].
    pub delivery_mode: Option<u8>,
    /// See [`Properties::priority`].
    pub priority: Option<u8>,
    /// See [`Properties::correlation_id`].
    pub correlation_id: Option<&'a [u8]>,
    /// See [`Properties::reply_to`].
    pub reply_to: Option<&'a [u8]>,
    /// See [`Properties::expiration`].
    pub expiration: Option<&'a [u8]>,
    /// See [`Properties::message_id`].
    pub message_id: Option<&'a [u8]>,
    /// See [`Properties::timestamp`].
    pub timestamp: Option<u64>,
    /// See [`Properties::message_type`].
    pub message_type: Option<&'a [u8]>,
    /// See [`Properties::user_id`].
    pub user_id: Option<&'a [u8]>,
    /// See [`Properties::app_id`].
    pub app_id: Option<&'a [u8]>,
    /// See [`Properties::cluster_id`].
    pub cluster_id: Option<&'a [u8]>,
}

impl PropertiesBuilder<'_> {
    /// Appends flags and values.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let at = out.len();
        out.extend_from_slice(&[0; 2]);
        let mut flags = 0;
        push_short(out, &mut flags, CONTENT_TYPE, self.content_type);
        push_short(out, &mut flags, CONTENT_ENCODING, self.content_encoding);
        if let Some(headers) = &self.headers {
            flags |= HEADERS;
            headers.encode(out);
        }
        push_bytes(out, &mut flags, DELIVERY_MODE, self.delivery_mode.map(u8::to_be_bytes));
        push_bytes(out, &mut flags, PRIORITY, self.priority.map(u8::to_be_bytes));
        push_short(out, &mut flags, CORRELATION_ID, self.correlation_id);
        push_short(out, &mut flags, REPLY_TO, self.reply_to);
        push_short(out, &mut flags, EXPIRATION, self.expiration);
        push_short(out, &mut flags, MESSAGE_ID, self.message_id);
        push_bytes(out, &mut flags, TIMESTAMP, self.timestamp.map(u64::to_be_bytes));
        push_short(out, &mut flags, TYPE, self.message_type);
        push_short(out, &mut flags, USER_ID, self.user_id);
        push_short(out, &mut flags, APP_ID, self.app_id);
        push_short(out, &mut flags, CLUSTER_ID, self.cluster_id);
        if let Some(place) = out.get_mut(at..at + 2) {
            place.copy_from_slice(&flags.to_be_bytes());
        }
    }

    /// The payload of a content header frame with these properties.
    pub fn content_header(&self, body_size: u64) -> Vec<u8> {
        let mut payload = Vec::with_capacity(64);
        write_content_header(&mut payload, body_size, &[]);
        self.encode(&mut payload);
        payload
    }
}

fn push_short(out: &mut Vec<u8>, flags: &mut u16, flag: u16, value: Option<&[u8]>) {
    if let Some(value) = value.map(short) {
        *flags |= flag;
        out.push(value.len() as u8);
        out.extend_from_slice(value);
    }
}

fn push_bytes<const N: usize>(out: &mut Vec<u8>, flags: &mut u16, flag: u16, value: Option<[u8; N]>) {
    if let Some(value) = value {
        *flags |= flag;
        out.extend_from_slice(&value);
    }
}

//! What can be wrong with a peer's bytes. All of it ends the connection.

use crate::value::{Binary, ValueError};
use std::fmt;

/// A peer's bytes are not AMQP, or not where they may be. `Display` gives RabbitMQ's explanation (compat.md 1.1)
/// without the code's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WireError {
    /// The payload is larger than the negotiated `frame_max`.
    FrameTooLarge {
        /// Frame type as it came.
        kind: u8,
        /// Payload size that the frame announces, in bytes.
        size: u32,
        /// Largest payload we would send ourselves, in bytes.
        max: u32,
    },
    /// The byte after the payload is not 0xCE.
    FrameEnd {
        /// Frame type as it came.
        kind: u8,
        /// The payload's first bytes.
        octets: Octets,
        /// The byte that came.
        marker: u8,
    },
    /// The frame type does not exist, or the payload cannot be one of its type.
    UnknownFrame {
        /// Frame type as it came.
        kind: u8,
        /// The payload's first bytes.
        octets: Octets,
    },
    /// A heartbeat came on a channel other than 0.
    HeartbeatOnChannel,
    /// A method was due and another frame came.
    MethodExpected,
    /// A content header was due and another frame came, or one with a weight.
    ContentHeaderExpected,
    /// The content header is of another class than basic; the class that came.
    ContentHeaderClass(u16),
    /// A body frame was due and another frame came.
    ContentBodyExpected,
    /// A content header announces a body larger than [`crate::limits::BODY_SIZE_CEILING`].
    BodyTooLarge {
        /// The size announced, in bytes.
        size: u64,
        /// The largest size allowed, in bytes.
        max: u64,
    },
    /// A body frame holds more than the content header announced.
    BodyOverrun,
    /// No method has these ids.
    UnknownMethod {
        /// Class id.
        class: u16,
        /// Method id.
        method: u16,
    },
    /// A method's fields cannot be read.
    MalformedMethod {
        /// Class id.
        class: u16,
        /// Method id.
        method: u16,
        /// What is wrong.
        fault: MethodFault,
    },
    /// The basic properties cannot be read.
    MalformedProperties,
}

/// Why a method's fields cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MethodFault {
    /// The payload ends inside a field.
    Truncated,
    /// Bytes are left after the last field.
    Trailing,
    /// A short string is not UTF-8.
    NotText,
    /// A field table is malformed.
    Table(ValueError),
}

/// The first bytes of a payload, at most 16, kept for an error text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Octets {
    bytes: [u8; 16],
    kept: usize,
    whole: bool,
}

impl Octets {
    /// Keeps the beginning of `payload`, of which `size` bytes were announced.
    pub fn of(payload: &[u8], size: usize) -> Octets {
        let mut bytes = [0; 16];
        let kept = payload.len().min(bytes.len());
        bytes.iter_mut().zip(payload).for_each(|(to, from)| *to = *from);
        Octets { bytes, kept, whole: kept == size }
    }
}

impl WireError {
    /// The AMQP reply code (compat.md 1.4).
    pub fn code(&self) -> u16 {
        match self {
            WireError::FrameTooLarge { .. }
            | WireError::FrameEnd { .. }
            | WireError::UnknownFrame { .. }
            | WireError::BodyTooLarge { .. }
            | WireError::BodyOverrun => 501,
            WireError::MalformedMethod { .. } | WireError::MalformedProperties => 502,
            WireError::UnknownMethod { .. } => 503,
            WireError::HeartbeatOnChannel
            | WireError::MethodExpected
            | WireError::ContentHeaderExpected
            | WireError::ContentHeaderClass(_)
            | WireError::ContentBodyExpected => 505,
        }
    }

    /// True when the frame boundaries are lost and nothing that follows can be read.
    pub fn is_out_of_sync(&self) -> bool {
        matches!(self, WireError::FrameTooLarge { .. } | WireError::FrameEnd { .. } | WireError::UnknownFrame { .. })
    }

    /// Class and method that the error is about, (0, 0) if none: for the close method's fields.
    pub fn method(&self) -> (u16, u16) {
        match *self {
            WireError::UnknownMethod { class, method } | WireError::MalformedMethod { class, method, .. } => {
                (class, method)
            }
            _ => (0, 0),
        }
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WireError::FrameTooLarge { kind, size, max } => {
                write!(f, "type {kind}, all octets = <<>>: {{frame_too_large,{size},{max}}}")
            }
            WireError::FrameEnd { kind, octets, marker } => {
                write!(f, "type {kind}, {octets}: {{invalid_frame_end_marker,{marker}}}")
            }
            WireError::UnknownFrame { kind, octets } => write!(f, "type {kind}, {octets}: unknown_frame"),
            WireError::HeartbeatOnChannel => f.write_str("type 8, all octets = <<>>"),
            WireError::MethodExpected => f.write_str("expected method frame, got non method frame instead"),
            WireError::ContentHeaderExpected => {
                f.write_str("expected content header for class 60, got non content header frame instead")
            }
            WireError::ContentHeaderClass(class) => {
                write!(f, "expected content header for class 60, got one for class {class} instead")
            }
            WireError::ContentBodyExpected => f.write_str("expected content body, got non content body frame instead"),
            WireError::BodyTooLarge { size, max } => {
                write!(f, "content body size {size} exceeds maximum allowed size {max}")
            }
            WireError::BodyOverrun => f.write_str("content body frame exceeds remaining content size"),
            WireError::UnknownMethod { class, method } => write!(f, "unknown method {method} of class {class}"),
            WireError::MalformedMethod { class, method, fault } => {
                write!(f, "cannot decode method {method} of class {class}: {fault}")
            }
            WireError::MalformedProperties => f.write_str("cannot decode basic properties"),
        }
    }
}

impl std::error::Error for WireError {}

impl fmt::Display for MethodFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MethodFault::Truncated => f.write_str("it ends too early"),
            MethodFault::Trailing => f.write_str("bytes follow its last field"),
            MethodFault::NotText => f.write_str("malformed UTF-8 in a short string"),
            MethodFault::Table(fault) => fault.fmt(f),
        }
    }
}

impl fmt::Display for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = Binary(self.bytes.get(..self.kept).unwrap_or_default());
        if self.whole { write!(f, "all octets = {shown}") } else { write!(f, "first {} octets = {shown}", self.kept) }
    }
}

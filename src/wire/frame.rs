//! Frames (compat.md 1.1): type u8, channel u16, size u32, payload, 0xCE.

use super::error::{Octets, WireError};
use crate::limits::FRAME_OVERHEAD;

/// Last byte of every frame.
pub const FRAME_END: u8 = 0xCE;

/// The header of AMQP 0-9-1: what clients send first, and what is answered to a version near it.
pub const PROTOCOL_HEADER: &[u8; 8] = b"AMQP\x00\x00\x09\x01";

/// The header of AMQP 0-9, which is served as 0-9-1.
const PROTOCOL_HEADER_0_9: &[u8; 8] = b"AMQP\x01\x01\x00\x09";

/// The header of AMQP 1.0 with SASL: what RabbitMQ, which speaks it, answers to anything else.
pub const PROTOCOL_HEADER_1_0: &[u8; 8] = b"AMQP\x03\x01\x00\x00";

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// A method with its fields.
    Method = 1,
    /// A content header: body size and properties.
    Header = 2,
    /// A piece of a body.
    Body = 3,
    /// Nothing: the peer is alive.
    Heartbeat = 8,
}

/// A complete frame, in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it carries.
    pub kind: FrameKind,
    /// Its channel; 0 is the connection itself.
    pub channel: u16,
    /// What is between its header and its end marker.
    pub payload: &'a [u8],
}

/// Reads the frame at the beginning of `buf`: the frame and the bytes it takes, or None while it is incomplete.
///
/// Type and size are judged from the first seven bytes, so the caller never waits for a frame that will be refused.
/// A payload may be as large as `frame_max` (bytes, 0 = unlimited), 8 more than the specification allows, because
/// clients are often off by the overhead. With 0 the caller must bound what it buffers.
///
/// # Errors
/// The frame type, its size or its end marker is wrong, or it is a heartbeat that is not empty or not on channel 0.
#[inline]
pub fn read_frame(buf: &[u8], frame_max: u32) -> Result<Option<(Frame<'_>, usize)>, WireError> {
    let Some((header, rest)) = buf.split_first_chunk::<7>() else {
        return Ok(None);
    };
    let [kind, channel_high, channel_low, size @ ..] = *header;
    let channel = u16::from_be_bytes([channel_high, channel_low]);
    let size = u32::from_be_bytes(size);
    let Some(kind) = judge(kind, channel, size, frame_max) else {
        return Err(refuse(kind, size, frame_max, rest));
    };
    let Some((payload, after)) = rest.split_at_checked(size as usize) else {
        return Ok(None);
    };
    match after.first() {
        None => Ok(None),
        Some(&FRAME_END) => Ok(Some((Frame { kind, channel, payload }, payload.len() + FRAME_OVERHEAD))),
        Some(&marker) => Err(end_marker(kind, payload, marker)),
    }
}

#[inline]
fn judge(kind: u8, channel: u16, size: u32, frame_max: u32) -> Option<FrameKind> {
    if size > frame_max && frame_max != 0 {
        return None;
    }
    match kind {
        1 => Some(FrameKind::Method),
        2 => Some(FrameKind::Header),
        3 => Some(FrameKind::Body),
        8 if channel == 0 && size == 0 => Some(FrameKind::Heartbeat),
        _ => None,
    }
}

#[cold]
fn refuse(kind: u8, size: u32, frame_max: u32, rest: &[u8]) -> WireError {
    if size > frame_max && frame_max != 0 {
        return WireError::FrameTooLarge { kind, size, max: frame_max.saturating_sub(FRAME_OVERHEAD as u32) };
    }
    if kind == FrameKind::Heartbeat as u8 && size == 0 {
        return WireError::HeartbeatOnChannel;
    }
    let size = size as usize;
    WireError::UnknownFrame { kind, octets: Octets::of(rest.get(..size).unwrap_or(rest), size) }
}

#[cold]
fn end_marker(kind: FrameKind, payload: &[u8], marker: u8) -> WireError {
    WireError::FrameEnd { kind: kind as u8, octets: Octets::of(payload, payload.len()), marker }
}

/// The first seven bytes of a frame.
#[inline]
pub fn frame_header(kind: FrameKind, channel: u16, size: u32) -> [u8; 7] {
    let [channel_high, channel_low] = channel.to_be_bytes();
    let [a, b, c, d] = size.to_be_bytes();
    [kind as u8, channel_high, channel_low, a, b, c, d]
}

/// Judges the eight bytes that a connection begins with. None while more are needed.
///
/// # Errors
/// The bytes cannot be a header we speak; they are judged as soon as that is sure. Answer with the eight bytes given
/// and close.
pub fn read_protocol_header(buf: &[u8]) -> Option<Result<(), &'static [u8; 8]>> {
    let begun = buf.get(..8).unwrap_or(buf);
    if [PROTOCOL_HEADER, PROTOCOL_HEADER_0_9].iter().any(|header| begun == *header) {
        return Some(Ok(()));
    }
    let known = [PROTOCOL_HEADER, PROTOCOL_HEADER_0_9, PROTOCOL_HEADER_1_0];
    if begun.len() < 8 && known.iter().any(|header| header.starts_with(begun)) {
        return None;
    }
    Some(Err(match begun {
        [b'A', b'M', b'Q', b'P', 0, 0, minor, ..] if *minor >= 9 => PROTOCOL_HEADER,
        // AMQP 1.0 is not spoken here: its own header would be a promise.
        _ if begun == PROTOCOL_HEADER_1_0 => PROTOCOL_HEADER,
        _ => PROTOCOL_HEADER_1_0,
    }))
}

//! Content and heartbeats, cut into frames.

use super::frame::{FRAME_END, FrameKind, frame_header};
use crate::limits::FRAME_OVERHEAD;

/// Appends a content header frame with `header_payload` as it is, then `body` in frames of at most `frame_max` bytes
/// (0 = unlimited), end marker and all. An empty body has no frame.
#[inline]
pub fn write_content(out: &mut Vec<u8>, channel: u16, header_payload: &[u8], body: &[u8], frame_max: u32) {
    out.reserve(header_payload.len() + body.len() + 2 * FRAME_OVERHEAD);
    write_frame(out, FrameKind::Header, channel, header_payload);
    if body.is_empty() {
        return;
    }
    let limit = body_limit(frame_max);
    if body.len() <= limit {
        return write_frame(out, FrameKind::Body, channel, body);
    }
    for piece in body.chunks(limit) {
        write_frame(out, FrameKind::Body, channel, piece);
    }
}

/// Appends a heartbeat frame.
#[inline]
pub fn write_heartbeat(out: &mut Vec<u8>) {
    write_frame(out, FrameKind::Heartbeat, 0, &[]);
}

/// Appends one frame. The payload must fit the peer's `frame_max`.
#[inline]
pub fn write_frame(out: &mut Vec<u8>, kind: FrameKind, channel: u16, payload: &[u8]) {
    out.extend_from_slice(&frame_header(kind, channel, payload.len() as u32));
    out.extend_from_slice(payload);
    out.push(FRAME_END);
}

/// Largest payload of a body frame, in bytes; at least 1, so that cutting always ends.
#[inline]
fn body_limit(frame_max: u32) -> usize {
    match frame_max {
        0 => u32::MAX as usize,
        limited => (limited as usize).saturating_sub(FRAME_OVERHEAD).max(1),
    }
}

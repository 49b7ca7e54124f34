//! Assembly of a message from its frames: publish, content header, body.
//!
//! ```text
//!          publish            header, size > 0           last body frame
//!   Idle ──────────► Header ───────────────────► Body ───────────────────► Idle
//!                      └───────── header, size 0 ───────────────────────────▲
//! ```
//!
//! A message whose frames are all in the read buffer never comes here (see [`whole`]); a body in one frame is not copied.

use crate::wire::frame::{FrameKind, read_frame};
use crate::wire::properties::{ContentHeader, read_content_header};

/// Buffers of an assembly that are kept for the next message, in bytes.
const KEPT: usize = 16 * 1024;

/// Which frame of a message is due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Due {
    /// None: the next frame is a method.
    #[default]
    Method,
    /// The content header.
    Header,
    /// Body frames.
    Body,
}

/// A message that is not complete.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    due: Due,
    /// Exchange and routing key as on the wire.
    pub exchange_and_key: Vec<u8>,
    /// basic.publish's flag.
    pub mandatory: bool,
    /// Payload of the content header frame.
    pub header: Vec<u8>,
    body: Vec<u8>,
    missing: u64,
}

/// What a body frame brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// More is missing.
    Incomplete,
    /// It was the whole body.
    Whole,
    /// With those before it, it makes the body: see [`Assembly::take_body`].
    Assembled,
    /// It is more than the header announced.
    Overrun,
}

impl Assembly {
    /// Which frame is due.
    #[inline]
    pub fn due(&self) -> Due {
        self.due
    }

    /// A publish came.
    pub fn begin(&mut self, exchange_and_key: &[u8], mandatory: bool) {
        self.exchange_and_key.clear();
        self.exchange_and_key.extend_from_slice(exchange_and_key);
        self.mandatory = mandatory;
        self.due = Due::Header;
    }

    /// Its header came.
    pub fn header(&mut self, payload: &[u8], body_size: u64) {
        self.header.clear();
        self.header.extend_from_slice(payload);
        self.missing = body_size;
        self.due = if body_size == 0 { Due::Method } else { Due::Body };
    }

    /// A body frame came. The buffer grows by what arrives, not by what was announced.
    pub fn body(&mut self, payload: &[u8]) -> Progress {
        let Some(missing) = self.missing.checked_sub(payload.len() as u64) else { return Progress::Overrun };
        self.missing = missing;
        if missing > 0 {
            self.body.extend_from_slice(payload);
            return Progress::Incomplete;
        }
        self.due = Due::Method;
        if self.body.is_empty() {
            return Progress::Whole;
        }
        self.body.extend_from_slice(payload);
        Progress::Assembled
    }

    /// Bytes that are kept until the message is complete.
    pub fn held(&self) -> usize {
        if self.due == Due::Body { self.header.len() + self.body.len() } else { 0 }
    }

    /// The body, to be given back with [`Assembly::recycle`].
    pub fn take_body(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.body)
    }

    /// The message is done with: buffers are kept for the next one, the small ones.
    pub fn recycle(&mut self, mut body: Vec<u8>) {
        if body.capacity() <= KEPT {
            body.clear();
            self.body = body;
        }
        if self.header.capacity() > KEPT {
            self.header = Vec::new();
        }
    }
}

/// The rest of a message of `channel` at the beginning of `rest`: header payload, header, body, and the bytes they take.
/// None unless both are there, right, and the body is in one frame; [`Assembly`] then finds out what is the matter.
#[inline]
pub(super) fn whole(rest: &[u8], channel: u16, frame_max: u32) -> Option<(&[u8], ContentHeader<'_>, &[u8], usize)> {
    let (header_frame, header_length) = read_frame(rest, frame_max).ok()??;
    if header_frame.kind != FrameKind::Header || header_frame.channel != channel {
        return None;
    }
    let header = read_content_header(header_frame.payload).ok()?;
    if header.body_size == 0 {
        return Some((header_frame.payload, header, &[], header_length));
    }
    let (body_frame, body_length) = read_frame(rest.get(header_length..)?, frame_max).ok()??;
    let fits = body_frame.kind == FrameKind::Body
        && body_frame.channel == channel
        && body_frame.payload.len() as u64 == header.body_size;
    fits.then_some((header_frame.payload, header, body_frame.payload, header_length + body_length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::output::{write_content, write_frame};
    use crate::wire::properties::PropertiesBuilder;

    fn header(size: u64) -> Vec<u8> {
        PropertiesBuilder::default().content_header(size)
    }

    #[test]
    fn a_message_in_one_buffer_is_read_in_place() {
        let mut bytes = Vec::new();
        write_content(&mut bytes, 3, &header(5), b"hello", 0);
        let length = bytes.len();
        bytes.extend_from_slice(b"next");
        let (payload, parsed, body, used) = whole(&bytes, 3, 4096).unwrap();
        assert_eq!((payload, parsed.body_size, body, used), (&header(5)[..], 5, &b"hello"[..], length));
        for cut in 0..length {
            assert!(whole(&bytes[..cut], 3, 4096).is_none(), "{cut}");
        }
        assert!(whole(&bytes, 4, 4096).is_none());
    }

    #[test]
    fn a_body_in_several_frames_is_not_whole() {
        let mut bytes = Vec::new();
        write_content(&mut bytes, 3, &header(20), &[7; 20], 18);
        assert!(whole(&bytes, 3, 4096).is_none());
    }

    #[test]
    fn an_empty_body_has_no_frame() {
        let mut bytes = Vec::new();
        write_frame(&mut bytes, FrameKind::Header, 1, &header(0));
        assert!(whole(&bytes, 1, 0).is_some_and(|(_, _, body, used)| body.is_empty() && used == bytes.len()));
        let mut assembly = Assembly::default();
        assembly.begin(b"\0\x01k", true);
        assert_eq!(assembly.due(), Due::Header);
        assembly.header(&header(0), 0);
        assert_eq!(assembly.due(), Due::Method);
    }

    #[test]
    fn one_body_frame_is_not_copied_and_several_are_joined() {
        let mut assembly = Assembly::default();
        assembly.begin(b"\0\x01k", false);
        assembly.header(&header(3), 3);
        assert_eq!((assembly.body(b"abc"), assembly.held()), (Progress::Whole, 0));
        assembly.begin(b"\0\x01k", false);
        assembly.header(&header(5), 5);
        assert_eq!(assembly.body(b"ab"), Progress::Incomplete);
        assert_eq!(assembly.body(b""), Progress::Incomplete);
        assert_eq!((assembly.held(), assembly.due()), (header(5).len() + 2, Due::Body));
        assert_eq!(assembly.body(b"cde"), Progress::Assembled);
        assert_eq!((assembly.take_body(), assembly.due()), (b"abcde".to_vec(), Due::Method));
    }

    #[test]
    fn more_than_announced_is_an_overrun_and_nothing_is_reserved_for_it() {
        let mut assembly = Assembly::default();
        assembly.begin(b"\0\x01k", false);
        assembly.header(&header(u64::MAX), u64::MAX);
        assert_eq!(assembly.body(b"abc"), Progress::Incomplete);
        assert!(assembly.take_body().capacity() < 100);
        assembly.header(&header(2), 2);
        assert_eq!(assembly.body(b"abc"), Progress::Overrun);
    }
}

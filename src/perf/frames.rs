//! Frames read in place: payloads lent, nothing copied.

/// Bytes around a frame's payload.
const OVERHEAD: usize = crate::limits::FRAME_OVERHEAD;

/// Frame types.
pub(super) const METHOD: u8 = 1;
pub(super) const HEADER: u8 = 2;
pub(super) const BODY: u8 = 3;

/// Class and method id.
pub(super) type MethodId = (u16, u16);

pub(super) const CONNECTION_CLOSE: MethodId = (10, 50);
pub(super) const CHANNEL_CLOSE: MethodId = (20, 40);
pub(super) const CHANNEL_CLOSE_OK: MethodId = (20, 41);
pub(super) const DELIVER: MethodId = (60, 60);
pub(super) const ACK: MethodId = (60, 80);
pub(super) const NACK: MethodId = (60, 120);

/// One frame, lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) kind: u8,
    pub(super) payload: &'a [u8],
}

impl Frame<'_> {
    /// Bytes it takes on the wire.
    pub(super) fn len(&self) -> usize {
        self.payload.len() + OVERHEAD
    }

    /// Class and method id, of a method frame.
    pub(super) fn method(&self) -> Option<MethodId> {
        match (self.kind, self.payload.first_chunk::<4>()) {
            (METHOD, Some([a, b, c, d])) => Some((u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]))),
            _ => None,
        }
    }

    /// What the broker says when it closes channel or connection.
    pub(super) fn refusal(&self) -> Option<String> {
        match self.method() {
            Some(CHANNEL_CLOSE | CONNECTION_CLOSE) => Some(close_text(self.payload)),
            _ => None,
        }
    }
}

/// The frame that `bytes` begin with, once it is whole.
#[inline]
pub(super) fn next(bytes: &[u8]) -> Option<Frame<'_>> {
    let (head, rest) = bytes.split_first_chunk::<7>()?;
    let [kind, _, _, s0, s1, s2, s3] = *head;
    let size = u32::from_be_bytes([s0, s1, s2, s3]) as usize;
    let payload = rest.get(..size)?;
    // The end marker must have arrived too.
    rest.get(size)?;
    Some(Frame { kind, payload })
}

/// The text of a close method's payload.
fn close_text(payload: &[u8]) -> String {
    let text = payload.get(6..).and_then(|rest| {
        let (length, rest) = rest.split_first()?;
        rest.get(..usize::from(*length))
    });
    format!("the broker refused: {}", String::from_utf8_lossy(text.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perf::template::append;
    use amq_protocol::frame::AMQPFrame;
    use amq_protocol::protocol::{AMQPClass, channel};

    #[test]
    fn a_frame_is_whole_with_its_last_byte() {
        let bytes = [1, 0, 5, 0, 0, 0, 4, 0, 60, 0, 80, 0xCE, 8, 0, 0, 0, 0, 0, 0, 0xCE];
        assert!((0..12).all(|end| next(&bytes[..end]).is_none()));
        let frame = next(&bytes).unwrap();
        assert_eq!((frame.payload, frame.method(), frame.len()), (&[0, 60, 0, 80][..], Some(ACK), 12));
        assert_eq!(next(&bytes[12..]).unwrap(), Frame { kind: 8, payload: &[] });
    }

    #[test]
    fn closes_are_read() {
        let mut bytes = Vec::new();
        let close = channel::Close { reply_code: 404, reply_text: "NOT_FOUND - q".into(), class_id: 50, method_id: 10 };
        append(&mut bytes, &AMQPFrame::Method(1, AMQPClass::Channel(channel::AMQPMethod::Close(close)))).unwrap();
        assert_eq!(next(&bytes).unwrap().refusal().unwrap(), "the broker refused: NOT_FOUND - q");
        assert_eq!(close_text(&[0, 20]), "the broker refused: ");
    }
}

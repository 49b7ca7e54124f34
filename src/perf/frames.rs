//! Frames read in place: headers walked in one big buffer, payloads lent, nothing copied.

use std::io::{self, ErrorKind, Read};

/// Bytes asked from the socket at once.
const READ_BYTES: usize = 512 * 1024;

/// Bytes around a frame's payload.
const OVERHEAD: usize = crate::limits::FRAME_OVERHEAD;

/// Frame types.
pub(super) const METHOD: u8 = 1;
pub(super) const HEADER: u8 = 2;
pub(super) const BODY: u8 = 3;

/// One frame, lent from the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) kind: u8,
    pub(super) channel: u16,
    pub(super) payload: &'a [u8],
}

impl Frame<'_> {
    /// Class and method id, of a method frame.
    pub(super) fn method(&self) -> Option<(u16, u16)> {
        match (self.kind, self.payload.first_chunk::<4>()) {
            (METHOD, Some([a, b, c, d])) => Some((u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]))),
            _ => None,
        }
    }
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    Bytes,
    /// The socket's read timeout passed.
    Nothing,
    End,
}

/// Bytes read and not yet walked.
pub(super) struct FrameBuffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl FrameBuffer {
    /// A buffer that holds at least one frame of `frame_max` bytes.
    pub(super) fn new(frame_max: u32) -> Self {
        Self { bytes: vec![0; READ_BYTES.max(frame_max as usize + OVERHEAD)], start: 0, end: 0 }
    }

    /// Reads once. What was not walked moves to the front first: less than a frame.
    pub(super) fn fill(&mut self, source: &mut impl Read) -> io::Result<Filled> {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let room = self.bytes.get_mut(self.end..).unwrap_or_default();
        if room.is_empty() {
            return Err(io::Error::new(ErrorKind::InvalidData, "a frame larger than negotiated"));
        }
        match source.read(room) {
            Ok(0) => Ok(Filled::End),
            Ok(count) => {
                self.end += count;
                Ok(Filled::Bytes)
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => Ok(Filled::Nothing),
                _ => Err(error),
            },
        }
    }

    /// The next whole frame.
    pub(super) fn next(&mut self) -> Option<Frame<'_>> {
        let rest = self.bytes.get(self.start..self.end)?;
        let (head, rest) = rest.split_first_chunk::<7>()?;
        let [kind, c0, c1, s0, s1, s2, s3] = *head;
        let size = u32::from_be_bytes([s0, s1, s2, s3]) as usize;
        let payload = rest.get(..size)?;
        // The end marker must have arrived too.
        rest.get(size)?;
        self.start += size + OVERHEAD;
        Some(Frame { kind, channel: u16::from_be_bytes([c0, c1]), payload })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out the bytes in steps of `step`.
    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(room.len());
            room[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    #[test]
    fn frames_are_found_however_the_bytes_arrive() {
        let bytes = [1, 0, 5, 0, 0, 0, 4, 0, 60, 0, 80, 0xCE, 8, 0, 0, 0, 0, 0, 0, 0xCE, 3, 0, 1, 0, 0, 0, 1, 9, 0xCE];
        for step in 1..=bytes.len() {
            let mut source = Drip(&bytes, step);
            let mut buffer = FrameBuffer::new(4096);
            let mut found = Vec::new();
            while buffer.fill(&mut source).unwrap() == Filled::Bytes {
                while let Some(frame) = buffer.next() {
                    found.push((frame.kind, frame.channel, frame.payload.to_vec(), frame.method()));
                }
            }
            let expected =
                vec![(1, 5, vec![0, 60, 0, 80], Some((60, 80))), (8, 0, vec![], None), (3, 1, vec![9], None)];
            assert_eq!(found, expected, "step {step}");
        }
    }
}

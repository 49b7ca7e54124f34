//! Deliveries walked with the least work: one whose frames have the same lengths as the last is taken in one step.

use super::frames::{BODY, DELIVER, Frame, HEADER, METHOD, next};

/// Frame header, class and method.
const METHOD_HEAD: usize = 11;

/// Frame header, class, weight and body size.
const HEADER_HEAD: usize = 19;

/// Bytes before a frame's payload.
const FRAME_HEAD: usize = 7;

/// One message, or a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Delivery<'a> {
    pub(super) tag: u64,
    pub(super) redelivered: bool,
    pub(super) consumer_tag: &'a [u8],
    /// The body, where it is in one frame.
    pub(super) body: &'a [u8],
}

/// What a step along the bytes brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// A whole message in three frames.
    Message(Delivery<'a>),
    /// Any other frame, to be looked at by itself.
    Frame(Frame<'a>),
    /// Nothing whole is left.
    End,
}

/// The lengths and first bytes of the last delivery's frames.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shape {
    method: [u8; METHOD_HEAD],
    header: [u8; HEADER_HEAD],
    body: [u8; FRAME_HEAD],
    header_at: usize,
    body_at: usize,
    end: usize,
    consumer_tag: usize,
}

impl Shape {
    /// The next message or frame of `bytes`, and how many bytes it takes.
    #[inline]
    pub(super) fn step<'a>(&mut self, bytes: &'a [u8]) -> (Step<'a>, usize) {
        if let Some(delivery) = self.same(bytes) {
            return (Step::Message(delivery), self.end);
        }
        if self.learn(bytes).is_some()
            && let Some(delivery) = self.same(bytes)
        {
            return (Step::Message(delivery), self.end);
        }
        match next(bytes) {
            // The first frame of a message that has not come whole, or has more than three frames.
            Some(frame) => {
                let length = frame.len();
                (Step::Frame(frame), length)
            }
            None => (Step::End, 0),
        }
    }

    /// The message that `bytes` begin with, if it has the shape of the last one.
    #[inline]
    fn same<'a>(&self, bytes: &'a [u8]) -> Option<Delivery<'a>> {
        let message = bytes.get(..self.end)?;
        let header = message.get(self.header_at..)?;
        let body = message.get(self.body_at..)?;
        let fits = message.first_chunk() == Some(&self.method)
            && header.first_chunk() == Some(&self.header)
            && body.first_chunk() == Some(&self.body);
        if !fits {
            return None;
        }
        let (length, rest) = message.get(METHOD_HEAD..)?.split_first()?;
        if usize::from(*length) != self.consumer_tag {
            return None;
        }
        let (consumer_tag, rest) = rest.split_at_checked(self.consumer_tag)?;
        let (tag, rest) = rest.split_first_chunk::<8>()?;
        Some(Delivery {
            tag: u64::from_be_bytes(*tag),
            redelivered: rest.first().is_some_and(|bits| bits & 1 != 0),
            consumer_tag,
            body: body.get(FRAME_HEAD..body.len() - 1)?,
        })
    }

    /// Takes the shape of the message that `bytes` begin with, if it is whole and in three frames.
    fn learn(&mut self, bytes: &[u8]) -> Option<()> {
        let method = next(bytes).filter(|frame| frame.method() == Some(DELIVER))?;
        let header_at = method.len();
        let header_bytes = bytes.get(header_at..)?;
        let header = next(header_bytes).filter(|frame| frame.kind == HEADER)?;
        let body_at = header_at + header.len();
        let body_bytes = bytes.get(body_at..)?;
        let body = next(body_bytes).filter(|frame| frame.kind == BODY)?;
        let size = header.payload.get(4..)?.first_chunk::<8>()?;
        if u64::from_be_bytes(*size) != body.payload.len() as u64 {
            return None;
        }
        *self = Self {
            method: *bytes.first_chunk()?,
            header: *header_bytes.first_chunk()?,
            body: *body_bytes.first_chunk()?,
            header_at,
            body_at,
            end: body_at + body.len(),
            consumer_tag: usize::from(*method.payload.get(4)?),
        };
        Some(())
    }
}

/// A message whose frames come one by one.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) tag: u64,
    pub(super) redelivered: bool,
    pub(super) consumer_tag: Vec<u8>,
    size: u64,
    left: u64,
}

/// What a frame of such a message brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Nothing to count yet.
    None,
    /// A part of the body that starts at this place; whether it is the last. An empty body is one empty part.
    Body { place: u64, last: bool },
}

impl Parts {
    /// Takes a method, header or body frame.
    pub(super) fn take(&mut self, frame: &Frame<'_>) -> Result<Part, String> {
        match frame.kind {
            METHOD if frame.method() == Some(DELIVER) => {
                self.deliver(frame.payload).ok_or("malformed basic.deliver")?;
                Ok(Part::None)
            }
            HEADER => {
                let size = frame.payload.get(4..).and_then(|rest| rest.first_chunk::<8>());
                self.size = u64::from_be_bytes(*size.ok_or("malformed content header")?);
                self.left = self.size;
                Ok(if self.left == 0 { Part::Body { place: 0, last: true } } else { Part::None })
            }
            BODY => {
                let place = self.size - self.left;
                self.left = self.left.saturating_sub(frame.payload.len() as u64);
                Ok(Part::Body { place, last: self.left == 0 })
            }
            _ => Ok(Part::None),
        }
    }

    fn deliver(&mut self, payload: &[u8]) -> Option<()> {
        let (length, rest) = payload.get(4..)?.split_first()?;
        let (consumer_tag, rest) = rest.split_at_checked(usize::from(*length))?;
        let (tag, rest) = rest.split_first_chunk::<8>()?;
        self.consumer_tag.clear();
        self.consumer_tag.extend_from_slice(consumer_tag);
        self.tag = u64::from_be_bytes(*tag);
        self.redelivered = rest.first()? & 1 != 0;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::FrameKind;
    use crate::wire::hot::write_deliver;
    use crate::wire::output::{write_content, write_frame};
    use crate::wire::properties::PropertiesBuilder;

    fn deliver(out: &mut Vec<u8>, consumer: &str, tag: u64, redelivered: bool, body: &[u8], frame_max: u32) {
        write_deliver(out, 1, consumer.as_bytes(), tag, redelivered, b"\x00\x01q");
        let header = PropertiesBuilder::default().content_header(body.len() as u64);
        write_content(out, 1, &header, body, frame_max);
    }

    #[test]
    fn messages_are_taken_whole_whatever_their_lengths() {
        let mut bytes = Vec::new();
        let all =
            [("0", 1, &b"abc"[..]), ("0", 2, b"def"), ("11", 3, b"ghi"), ("0", 4, b"a longer body"), ("0", 5, b"x")];
        for (consumer, tag, body) in all {
            deliver(&mut bytes, consumer, tag, tag == 4, body, 4096);
        }
        let (mut shape, mut rest) = (Shape::default(), &bytes[..]);
        for (consumer, tag, body) in all {
            let (step, used) = shape.step(rest);
            let Step::Message(found) = step else { panic!("{step:?}") };
            assert_eq!((found.consumer_tag, found.tag, found.body), (consumer.as_bytes(), tag, body));
            assert_eq!(found.redelivered, tag == 4);
            rest = &rest[used..];
        }
        assert_eq!(shape.step(rest), (Step::End, 0));
    }

    #[test]
    fn what_is_cut_off_waits_or_comes_by_frames() {
        let mut bytes = Vec::new();
        deliver(&mut bytes, "0", 1, false, b"abc", 4096);
        let whole = bytes.len();
        for end in 0..whole {
            let (mut shape, mut at, mut parts) = (Shape::default(), 0, Parts::default());
            let mut done = 0;
            // First what has come, then, on from where that ended, all.
            for end in [end, whole] {
                loop {
                    let (step, used) = shape.step(&bytes[at..end]);
                    at += used;
                    match step {
                        Step::Message(_) => done += 1,
                        Step::Frame(frame) => {
                            done += i32::from(parts.take(&frame).unwrap() == Part::Body { place: 0, last: true })
                        }
                        Step::End => break,
                    }
                }
            }
            assert_eq!((done, at), (1, whole), "cut at {end}");
        }
    }

    #[test]
    fn bodies_of_many_frames_and_of_none_end_with_their_last_part() {
        let mut bytes = Vec::new();
        deliver(&mut bytes, "0", 1, false, &[7; 9000], 4096);
        deliver(&mut bytes, "0", 2, true, b"", 4096);
        write_frame(&mut bytes, FrameKind::Heartbeat, 0, &[]);
        let (mut shape, mut parts, mut rest) = (Shape::default(), Parts::default(), &bytes[..]);
        let mut found = Vec::new();
        loop {
            let (step, used) = shape.step(rest);
            rest = &rest[used..];
            match step {
                Step::Frame(frame) => found.push(parts.take(&frame).unwrap()),
                Step::End => break,
                other => panic!("{other:?}"),
            }
        }
        let body = |place, last| Part::Body { place, last };
        let first = [Part::None, Part::None, body(0, false), body(4088, false), body(8176, true)];
        assert_eq!(found, [&first[..], &[Part::None, body(0, true), Part::None]].concat());
        assert_eq!((parts.tag, parts.redelivered), (2, true));
    }
}

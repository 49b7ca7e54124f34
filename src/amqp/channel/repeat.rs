//! A publisher that goes on as it began: message after message, its frames differ in nothing but the body. These are recognised by
//! one comparison with the frames of an earlier message, whose checks and route hold for them too.

use super::Channel;
use super::publish::{Admitted, tag_of_next};
use crate::amqp::content::Due;
use crate::amqp::link::Link;
use crate::limits::{FRAME_OVERHEAD, REPEATED_BYTES};
use crate::wire::frame::FRAME_END;
use std::ops::Range;

/// Bytes before a frame's payload.
const FRAME_HEADER: usize = FRAME_OVERHEAD - 1;
/// Where exchange and routing key are in the frame of a publish: behind class, method and ticket.
const NAMES: usize = FRAME_HEADER + 6;
/// While messages differ, every so many is remembered.
const ATTEMPTS: u32 = 64;

/// The frames of an earlier message: method, content header, and the header of the body's frame.
#[derive(Debug, Default)]
pub(super) struct Repeat {
    /// Empty: there is none.
    frames: Vec<u8>,
    exchange_and_key: Range<usize>,
    header: Range<usize>,
    body_size: usize,
    persistent: bool,
    priority: u8,
    /// The version of the topology that the message's route belongs to.
    version: u64,
    misses: u32,
}

impl Channel {
    /// Takes the messages at the beginning of `bytes` that repeat an earlier one. Returns how many bytes they take: 0 when the
    /// next frame is something else, has not all come, or has to wait.
    pub fn on_repeats(&mut self, link: &mut Link, bytes: &[u8]) -> usize {
        if self.repeat.frames.is_empty()
            || self.is_barred()
            || self.transaction.is_some()
            || self.assembly.due() != Due::Method
            || self.repeat.version != link.session.topology_version()
        {
            return 0;
        }
        let used = self.take_repeats(link, bytes).unwrap_or(0);
        self.repeat.misses = self.repeat.misses.wrapping_add(u32::from(used == 0));
        used
    }

    fn take_repeats(&mut self, link: &mut Link, bytes: &[u8]) -> Option<usize> {
        let repeat = &self.repeat;
        let exchange_and_key = repeat.frames.get(repeat.exchange_and_key.clone())?;
        let header = repeat.frames.get(repeat.header.clone())?;
        let queue = self.route.only_queue(exchange_and_key, repeat.version)?;
        let admitted = Admitted::plain(repeat.persistent, repeat.priority);
        let (mut rest, mut count) = (bytes, 0);
        while let Some((frames, behind)) = rest.split_at_checked(repeat.frames.len())
            && frames == repeat.frames
            && let Some((body, behind)) = behind.split_at_checked(repeat.body_size)
            && let Some((&FRAME_END, behind)) = behind.split_first()
            && !link.must_wait()
        {
            let tag = tag_of_next(&mut self.confirms, self.number, link);
            link.batch.push_to(link.session.broker(), queue, &admitted.parts(exchange_and_key, header, body), tag);
            rest = behind;
            count += 1;
        }
        if count > 0 {
            self.route.count_repeats(link, self.number, (count, repeat.body_size as u64), self.confirms.is_some());
        }
        Some(bytes.len() - rest.len())
    }

    /// A message was taken whose frames are at the beginning of `frames`, its body in one, and on which nothing was found that
    /// depends on more than these. If the next ones are likely to be the same, it is remembered.
    #[inline]
    pub(super) fn remember(&mut self, link: &Link, frames: &[u8], message: Whole) {
        if self.repeat.frames.is_empty() || self.repeat.misses >= ATTEMPTS {
            self.remember_now(link, frames, message);
        }
    }

    #[cold]
    fn remember_now(&mut self, link: &Link, frames: &[u8], message: Whole) {
        let Whole { method, names, header, body_size, persistent, priority } = message;
        self.repeat.misses = 0;
        let header = method + FRAME_HEADER..method + FRAME_HEADER + header;
        let front = frames.get(..header.end + 1 + FRAME_HEADER).filter(|front| front.len() <= REPEATED_BYTES);
        if let Some(front) = front.filter(|_| body_size > 0) {
            let (frames, exchange_and_key) = (front.to_vec(), NAMES..NAMES + names);
            let version = link.session.topology_version();
            self.repeat =
                Repeat { frames, exchange_and_key, header, body_size, persistent, priority, version, misses: 0 };
        }
    }
}

/// What is to be remembered of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whole {
    /// Bytes of the method's frame, of the names in it, and of the content header's payload.
    pub method: usize,
    pub names: usize,
    pub header: usize,
    pub body_size: usize,
    pub persistent: bool,
    pub priority: u8,
}

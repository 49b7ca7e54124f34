//! Frames that a channel keeps for later: behind an answer that waits for the disk, and behind publishes that an alarm
//! holds. Definitions do not wait behind the answers of others: theirs wait with those, in order. Behind a commit that waits
//! nothing is kept: RabbitMQ refuses it.
//!
//! While an alarm lasts a connection that publishes is read all the same, so that its acks and consumers get on; RabbitMQ
//! would not read it. Its publishes are kept as they came, neither confirmed nor lost, and are taken in their order when the
//! alarm is over. What a channel sends behind them overtakes them only where no client can tell:
//!
//! | kept so far | kept too | taken at once |
//! |---|---|---|
//! | publishes | everything but → | ack, nack, reject; qos, consume, cancel, get, recover, flow |
//! | and a method that answers about the topology or the channel's mode | everything but → | ack, nack, reject of a tag |
//! | and tx, recover, channel.close, or what would fail | everything | |
//!
//! A get or a consumer does not find the held messages, as it would not have found them in RabbitMQ's socket. Answers keep
//! their order. An error closes its channel only after the publishes before it were taken. connection.close waits for all;
//! when the socket is lost or the node stops, held publishes go: they were not confirmed. When the buffer is full
//! (`limits.held_bytes_max`, and `memory.held_watermark` for all connections together) the socket is read no more.

use super::channel::PUBLISH;
use super::error::{AmqpError, Code};
use super::open::{Open, Slot, Step, Taken};
use crate::limits::DEFERRED_BYTES;
use crate::wire::frame::{Frame, FrameKind};
use crate::wire::method::method_id;

/// channel.close.
const CHANNEL_CLOSE: (u16, u16) = (20, 40);

/// Frames that a channel keeps.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Behind an alarm; before those in `deferred`.
    held: Vec<u8>,
    reach: Reach,
    /// Behind an answer; the first `taken` bytes were taken.
    deferred: Vec<u8>,
    taken: usize,
}

/// What is held back behind held publishes, beside more publishes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    #[default]
    Topology,
    Methods,
    Everything,
}

impl Kept {
    fn is_empty(&self) -> bool {
        self.held.is_empty() && self.deferred.is_empty()
    }

    /// Whether a frame may overtake what is kept.
    fn lets_pass(&self, frame: &Frame<'_>) -> bool {
        if frame.kind != FrameKind::Method || !self.deferred.is_empty() {
            return false;
        }
        match method_id(frame.payload) {
            // ack, reject, nack. Tag 0 means all deliveries so far, and a get that is held would be one of them.
            (60, 80 | 90 | 120) => match self.reach {
                Reach::Topology => true,
                Reach::Methods => frame.payload.get(4..12).is_some_and(|tag| tag != [0; 8]),
                Reach::Everything => false,
            },
            // qos, consume, cancel, cancel-ok, get, recover-async, recover; flow
            (60, 10 | 20 | 30 | 31 | 70 | 100 | 110) | (20, 20) => self.reach == Reach::Topology,
            _ => false,
        }
    }
}

impl Reach {
    /// Of a frame that is held.
    fn of(frame: &Frame<'_>) -> Reach {
        if frame.kind != FrameKind::Method {
            return Reach::Topology;
        }
        match method_id(frame.payload) {
            PUBLISH => Reach::Topology,
            // access, exchange, queue, confirm; qos, consume, cancel, cancel-ok, get; flow
            (30 | 40 | 50 | 85, _) | (60, 10 | 20 | 30 | 31 | 70) | (20, 20) => Reach::Methods,
            _ => Reach::Everything,
        }
    }
}

/// Whether a frame is a method about an exchange or a queue.
fn is_definition(frame: &Frame<'_>) -> bool {
    frame.kind == FrameKind::Method && matches!(method_id(frame.payload), (40 | 50, _))
}

impl Open {
    /// A frame on a channel that waits or keeps frames; `bytes` are the frame's own.
    #[inline(never)]
    pub(super) fn on_barred(&mut self, frame: &Frame<'_>, rest: &[u8], length: usize) -> Taken {
        let bytes = rest.get(..length).unwrap_or_default();
        let Some(Slot::Open(channel)) = self.slots.get_mut(&frame.channel) else { return Ok(Step::Used(length)) };
        if channel.is_committing() {
            let about = method_id(frame.payload);
            if frame.kind != FrameKind::Method || about == CHANNEL_CLOSE {
                return self.take_frame(frame, rest, length, true);
            }
            let explanation = "unexpected command while processing 'tx.commit'";
            return Err(AmqpError::new(Code::ChannelError, explanation).about(about));
        }
        let kept = match &channel.kept {
            Some(kept) if !channel.is_waiting() && kept.deferred.is_empty() => kept,
            None if channel.takes_definitions() && is_definition(frame) => {
                return match self.take_frame(frame, rest, length, true) {
                    // Nothing has happened but the error, which comes again behind the answers.
                    Err(_) => Ok(self.defer(frame.channel, bytes)),
                    taken => taken,
                };
            }
            _ => return Ok(self.defer(frame.channel, bytes)),
        };
        if !kept.lets_pass(frame) {
            return Ok(self.hold(frame, bytes, Reach::of(frame)));
        }
        match self.take_frame(frame, rest, length, true) {
            // Nothing has happened but the error, which comes again in its turn.
            Err(_) => Ok(self.hold(frame, bytes, Reach::Everything)),
            taken => taken,
        }
    }

    /// A publish has to wait: an alarm holds it, for all else the socket is not read.
    #[cold]
    pub(super) fn on_held_publish(&mut self, frame: &Frame<'_>, bytes: &[u8]) -> Step {
        self.link.has_published = true;
        if self.link.session.alarm().is_some() {
            return self.hold(frame, bytes, Reach::Topology);
        }
        self.waits = true;
        Step::Wait
    }

    fn hold(&mut self, frame: &Frame<'_>, bytes: &[u8], reach: Reach) -> Step {
        let Some(Slot::Open(channel)) = self.slots.get_mut(&frame.channel) else { return Step::Used(bytes.len()) };
        let fits = self.held + bytes.len() as u64 <= self.link.settings.held_bytes_max;
        if !fits || !self.link.session.reserve_held(bytes.len()) {
            self.held_full = true;
            return Step::Wait;
        }
        self.held += bytes.len() as u64;
        let kept = channel.kept.get_or_insert_default();
        if kept.held.is_empty() {
            self.holding.push(frame.channel);
        }
        kept.held.extend_from_slice(bytes);
        kept.reach = kept.reach.max(reach);
        Step::Used(bytes.len())
    }

    fn defer(&mut self, number: u16, bytes: &[u8]) -> Step {
        let Some(Slot::Open(channel)) = self.slots.get_mut(&number) else { return Step::Used(bytes.len()) };
        if self.deferred > 0 && self.deferred + bytes.len() > DEFERRED_BYTES && !self.replaying {
            self.deferred_full = true;
            return Step::Wait;
        }
        self.deferred += bytes.len();
        channel.kept.get_or_insert_default().deferred.extend_from_slice(bytes);
        Step::Used(bytes.len())
    }

    /// Frames that can be taken now, with their channel and how much of them was taken before. What is not taken is to be
    /// [put back](Open::put_back).
    pub fn next_replay(&mut self) -> Option<(u16, Vec<u8>, usize)> {
        if self.waits || self.held_full || self.link.is_choked() {
            return None;
        }
        let alarm = self.link.session.alarm().is_some();
        loop {
            let number = match self.resumed.pop() {
                Some(number) => number,
                None if !alarm => self.next_holding()?,
                None => return None,
            };
            let Some(Slot::Open(channel)) = self.slots.get_mut(&number) else { continue };
            if channel.is_waiting() {
                continue;
            }
            let Some(mut kept) = channel.kept.take() else { continue };
            let (mut frames, taken) = (std::mem::take(&mut kept.deferred), std::mem::take(&mut kept.taken));
            self.deferred = self.deferred.saturating_sub(frames.len() - taken);
            self.deferred_full = false;
            if alarm {
                channel.kept = Some(kept).filter(|kept| !kept.is_empty());
            } else if !kept.held.is_empty() {
                self.forget_held(number, kept.held.len());
                // They came first.
                let behind = std::mem::replace(&mut frames, kept.held);
                frames.extend_from_slice(behind.get(taken..).unwrap_or_default());
                return Some((number, frames, 0));
            }
            if !frames.is_empty() {
                return Some((number, frames, taken));
            }
        }
    }

    /// A channel whose held frames can be taken, when there is no alarm. One that waits comes again when it is resumed.
    fn next_holding(&mut self) -> Option<u16> {
        let slots = &self.slots;
        let ready = |number: &u16| matches!(slots.get(number), Some(Slot::Open(channel)) if !channel.is_waiting());
        let at = self.holding.iter().position(ready)?;
        Some(self.holding.swap_remove(at))
    }

    /// The first `taken` bytes of a channel's replayed frames were taken.
    pub fn put_back(&mut self, number: u16, frames: Vec<u8>, taken: usize) {
        let Some(Slot::Open(channel)) = self.slots.get_mut(&number) else { return };
        if taken >= frames.len() {
            return;
        }
        self.deferred += frames.len() - taken;
        let kept = channel.kept.get_or_insert_default();
        if kept.deferred.is_empty() {
            (kept.deferred, kept.taken) = (frames, taken);
        } else {
            // The channel began to wait, and some were deferred again.
            kept.deferred.extend_from_slice(frames.get(taken..).unwrap_or_default());
        }
        self.resumed.push(number);
    }

    /// Whether frames that are kept could be taken, had the socket room for what they bring about.
    pub fn has_replays(&self) -> bool {
        !self.resumed.is_empty()
    }

    /// A channel ends: what it keeps is gone.
    pub(super) fn forget_kept(&mut self, number: u16, kept: &Kept) {
        self.deferred = self.deferred.saturating_sub(kept.deferred.len() - kept.taken);
        self.deferred_full = false;
        if !kept.held.is_empty() {
            self.forget_held(number, kept.held.len());
        }
    }

    fn forget_held(&mut self, number: u16, bytes: usize) {
        self.held = self.held.saturating_sub(bytes as u64);
        self.link.session.release_held(bytes);
        self.held_full = false;
        self.holding.retain(|other| *other != number);
    }
}

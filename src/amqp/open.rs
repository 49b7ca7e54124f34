//! An open connection: its frames, and the channels they go to.

use super::channel::{Channel, PUBLISH, Publish};
use super::content::Due;
use super::error::{AmqpError, Code, short_text};
use super::link::Link;
use crate::broker::access::Identity;
use crate::clock::Now;
use crate::engine::Epoch;
use crate::wire::WireError;
use crate::wire::frame::{Frame, FrameKind, read_frame};
use crate::wire::hot::{Hot, read_hot};
use crate::wire::method::{method_id, read_method};
use amq_protocol::protocol::{AMQPClass, channel, connection};
use std::collections::BTreeMap;
use std::time::Instant;

/// connection.update-secret.
const UPDATE_SECRET: (u16, u16) = (10, 70);

/// An open connection.
#[derive(Debug)]
pub(super) struct Open {
    pub link: Link,
    pub(super) slots: BTreeMap<u16, Slot>,
    /// Channels in `slots` that are open.
    open_channels: usize,
    /// The channel of the last publish; 0: there was none.
    publisher: u16,
    /// Channels with publishes that wait for an epoch.
    pub(super) unconfirmed: Vec<u16>,
    pub(super) last_done: Epoch,
    /// Channels whose deferred frames can go on.
    pub(super) resumed: Vec<u16>,
    /// Kept frames are being taken: they are bounded already.
    pub(super) replaying: bool,
    /// A publish is next and has to wait.
    pub(super) waits: bool,
    /// Channels with frames that an alarm holds, and the bytes of those.
    pub(super) holding: Vec<u16>,
    pub(super) held: u64,
    /// They are as many as may be, and another one is next.
    pub(super) held_full: bool,
    /// Bytes of all channels' deferred frames, at most [`DEFERRED_BYTES`](crate::limits::DEFERRED_BYTES) and one frame, or
    /// what was held.
    pub(super) deferred: usize,
    /// They are as many as may be, and another one is next.
    pub(super) deferred_full: bool,
    /// connection.close is next and has to wait for channels: what they deferred came before it.
    pub(super) close_waits: bool,
    /// The client was told that it is blocked.
    pub(super) told_blocked: bool,
    /// A new secret, to be judged outside; nothing is read until it is.
    pub(super) secret: Option<Vec<u8>>,
    pub(super) is_asking: bool,
    /// When late acknowledgements were last looked for.
    acks_checked: Instant,
}

/// ```text
///   channel.open ──► Open ── our channel.close ──► Closing ── close-ok ──► (gone)
///                     └────── client's channel.close ─────────────────────► (gone)
/// ```
#[derive(Debug)]
pub(super) enum Slot {
    Open(Box<Channel>),
    /// We have sent channel.close: every frame is dropped until close-ok.
    Closing,
}

/// Why a walk ended before the bytes did.
#[derive(Debug)]
pub(super) enum Stop {
    /// An error on a channel; the frame that caused it is used.
    Fault(u16, AmqpError),
    /// The client closes the connection.
    ClientCloses,
}

/// What to do after a frame.
pub(super) enum Step {
    Used(usize),
    /// Leave this frame and those behind it.
    Wait,
    ClientCloses,
}

/// What came of a frame.
pub(super) type Taken = Result<Step, AmqpError>;

impl Open {
    pub fn new(link: Link) -> Open {
        Open {
            acks_checked: link.now.monotonic,
            link,
            slots: BTreeMap::new(),
            open_channels: 0,
            publisher: 0,
            unconfirmed: Vec::new(),
            last_done: 0,
            resumed: Vec::new(),
            replaying: false,
            waits: false,
            holding: Vec::new(),
            held: 0,
            held_full: false,
            deferred: 0,
            deferred_full: false,
            close_waits: false,
            told_blocked: false,
            secret: None,
            is_asking: false,
        }
    }

    /// When to look for late acknowledgements next.
    pub fn ack_deadline(&self) -> Option<Instant> {
        Some(self.acks_checked + self.link.ack_interval()?)
    }

    /// A channel on which an acknowledgement is late.
    pub fn late_ack(&mut self, now: Instant) -> Option<(u16, AmqpError)> {
        self.acks_checked = now;
        let link = &mut self.link;
        self.slots.iter_mut().find_map(|(number, slot)| match slot {
            Slot::Open(channel) => channel.check_acks(link, now).err().map(|error| (*number, error)),
            Slot::Closing => None,
        })
    }

    /// A turn begins.
    pub fn begin(&mut self, now: Now) {
        self.link.begin(now);
    }

    /// Whether more input can be taken.
    pub fn wants_read(&self) -> bool {
        !self.has_stopped() && !self.link.is_choked()
    }

    /// Takes complete frames; returns the bytes used, and why it stopped before their end.
    pub fn walk(&mut self, bytes: &[u8]) -> (usize, Option<Stop>) {
        let mut used = 0;
        loop {
            if self.link.is_choked() {
                return (used, None);
            }
            used += self.take_repeats(bytes.get(used..).unwrap_or_default());
            let rest = bytes.get(used..).unwrap_or_default();
            let (frame, length) = match read_frame(rest, self.link.tuned.read_max) {
                Ok(Some(complete)) => complete,
                Ok(None) => return (used, None),
                Err(error) => return (bytes.len(), Some(Stop::Fault(0, error.into()))),
            };
            match self.take_frame(&frame, rest, length, false) {
                Ok(Step::Used(count)) if self.is_asking => return (used + count, None),
                Ok(Step::Used(count)) => used += count,
                Ok(Step::Wait) => return (used, None),
                Ok(Step::ClientCloses) => return (used + length, Some(Stop::ClientCloses)),
                Err(error) => return (used + length, Some(Stop::Fault(frame.channel, error))),
            }
        }
    }

    /// Takes messages of the last publisher that repeat one of its earlier ones; returns the bytes used.
    #[inline]
    fn take_repeats(&mut self, bytes: &[u8]) -> usize {
        match self.slots.get_mut(&self.publisher) {
            Some(Slot::Open(channel)) if self.publisher != 0 => channel.on_repeats(&mut self.link, bytes),
            _ => 0,
        }
    }

    /// Takes the frame of `length` bytes at the beginning of `rest`. `passing`: also when its channel keeps frames.
    #[inline]
    pub(super) fn take_frame(&mut self, frame: &Frame<'_>, rest: &[u8], length: usize, passing: bool) -> Taken {
        let channel = match self.slots.get_mut(&frame.channel) {
            Some(Slot::Open(channel)) => channel,
            Some(Slot::Closing) => return self.on_closing(frame).map(|()| Step::Used(length)),
            None if frame.channel == 0 => return self.on_channel_zero(frame, length),
            None => return self.on_unopened(frame).map(|()| Step::Used(length)),
        };
        if channel.is_barred() && !passing {
            return self.on_barred(frame, rest, length);
        }
        match (frame.kind, channel.due()) {
            (FrameKind::Method, Due::Method) => {}
            (FrameKind::Header, Due::Header) => {
                channel.on_header(&mut self.link, frame.payload).map_err(|error| error.about(PUBLISH))?;
                return Ok(Step::Used(length));
            }
            (FrameKind::Body, Due::Body) => {
                channel.on_body(&mut self.link, frame.payload).map_err(|error| error.about(PUBLISH))?;
                return Ok(Step::Used(length));
            }
            (_, Due::Method) => return Err(WireError::MethodExpected.into()),
            (_, Due::Header) => return Err(AmqpError::from(WireError::ContentHeaderExpected).about(PUBLISH)),
            (_, Due::Body) => return Err(AmqpError::from(WireError::ContentBodyExpected).about(PUBLISH)),
        }
        let handled = match read_hot(frame.payload)? {
            None => return self.on_cold(frame, length),
            Some(Hot::Publish { exchange_and_key, mandatory, immediate, .. }) => {
                if self.link.must_wait() {
                    return Ok(self.on_held_publish(frame, rest.get(..length).unwrap_or_default()));
                }
                self.publisher = frame.channel;
                let publish = Publish { exchange_and_key, mandatory, immediate };
                channel.on_publish(&mut self.link, publish, (rest, length))
            }
            Some(Hot::Ack { tag, multiple }) => channel.on_ack(&mut self.link, tag, multiple).map(|()| length),
            Some(Hot::Nack { tag, multiple, requeue }) => {
                channel.on_nack(&mut self.link, tag, multiple, requeue).map(|()| length)
            }
            Some(Hot::Reject { tag, requeue }) => channel.on_reject(&mut self.link, tag, requeue).map(|()| length),
        };
        handled.map(Step::Used).map_err(|error| error.about(method_id(frame.payload)))
    }

    /// A method on an open channel that is not read in place: everything before it takes effect first.
    fn on_cold(&mut self, frame: &Frame<'_>, length: usize) -> Taken {
        let about = method_id(frame.payload);
        let method = read_method(frame.payload)?;
        self.commit();
        match method {
            AMQPClass::Channel(channel::AMQPMethod::Open(_)) => {
                return Err(AmqpError::new(Code::ChannelError, "second 'channel.open' seen").about(about));
            }
            AMQPClass::Channel(channel::AMQPMethod::Close(_)) => {
                self.end_channel(frame.channel);
                self.write_close_ok(frame.channel);
            }
            method => {
                if let Some(Slot::Open(channel)) = self.slots.get_mut(&frame.channel) {
                    let done = channel.on_method(&mut self.link, frame.payload, method);
                    done.map_err(|error| error.about(about))?;
                }
            }
        }
        Ok(Step::Used(length))
    }

    fn on_channel_zero(&mut self, frame: &Frame<'_>, length: usize) -> Taken {
        match frame.kind {
            FrameKind::Heartbeat => return Ok(Step::Used(length)),
            FrameKind::Header | FrameKind::Body => return Err(WireError::MethodExpected.into()),
            FrameKind::Method => {}
        }
        match read_method(frame.payload)? {
            AMQPClass::Connection(connection::AMQPMethod::Close(_)) => {
                self.close_waits = self.has_waiting();
                Ok(if self.close_waits { Step::Wait } else { Step::ClientCloses })
            }
            AMQPClass::Connection(connection::AMQPMethod::UpdateSecret(update)) => {
                let identity = self.link.session.identity();
                match &identity.authority {
                    // Passwords do not expire, so a new one changes nothing.
                    None => self.write_secret_ok(),
                    Some(authority) if authority.is_renewed() => {
                        self.secret = Some(update.new_secret.as_bytes().to_vec());
                        self.is_asking = true;
                    }
                    // The secret means nothing to who is asked, but what the client may do is asked anew.
                    Some(_) => {
                        let identity = identity.clone();
                        self.renew(Some(identity))?;
                    }
                }
                Ok(Step::Used(length))
            }
            _ => {
                let error = AmqpError::new(Code::ChannelError, "unexpected method in connection state running");
                Err(error.about(method_id(frame.payload)))
            }
        }
    }

    fn write_secret_ok(&mut self) {
        let ok = connection::AMQPMethod::UpdateSecretOk(connection::UpdateSecretOk {});
        self.link.out.method(0, &AMQPClass::Connection(ok));
    }

    /// The client's new secret has been judged. What it may not do any more ends.
    pub fn renew(&mut self, identity: Option<Identity>) -> Result<(), AmqpError> {
        self.is_asking = false;
        let refused = "New secret was refused by one of the backends";
        let identity = identity.ok_or_else(|| AmqpError::new(Code::NotAllowed, refused).about(UPDATE_SECRET))?;
        self.link.session.renew(identity).map_err(|refusal| AmqpError::from(refusal).about(UPDATE_SECRET))?;
        for slot in self.slots.values_mut() {
            if let Slot::Open(channel) = slot {
                channel.check_access(&mut self.link);
            }
        }
        self.write_secret_ok();
        Ok(())
    }

    fn on_unopened(&mut self, frame: &Frame<'_>) -> Result<(), AmqpError> {
        let expected = || AmqpError::new(Code::ChannelError, "expected 'channel.open'");
        if frame.kind != FrameKind::Method {
            return Err(expected());
        }
        let AMQPClass::Channel(channel::AMQPMethod::Open(_)) = read_method(frame.payload)? else {
            return Err(expected().about(method_id(frame.payload)));
        };
        let max = usize::from(self.link.tuned.channel_max);
        if max > 0 && self.open_channels >= max {
            let open = self.open_channels;
            let explanation =
                format!("number of channels opened ({open}) has reached the negotiated channel_max ({max})");
            // RabbitMQ names no method here.
            return Err(AmqpError::new(Code::NotAllowed, explanation));
        }
        let record = self.link.session.open_channel(frame.channel)?;
        self.open_channels += 1;
        self.slots.insert(frame.channel, Slot::Open(Box::new(Channel::new(frame.channel, record))));
        self.link.tell_channel_opened(frame.channel);
        let ok = channel::AMQPMethod::OpenOk(channel::OpenOk {});
        self.link.out.method(frame.channel, &AMQPClass::Channel(ok));
        Ok(())
    }

    /// A frame on a channel that we close: dropped, but for close-ok and a close that crosses ours.
    fn on_closing(&mut self, frame: &Frame<'_>) -> Result<(), AmqpError> {
        match method_id(frame.payload) {
            (20, 41) if frame.kind == FrameKind::Method => {
                self.slots.remove(&frame.channel);
            }
            (20, 40) if frame.kind == FrameKind::Method => self.write_close_ok(frame.channel),
            _ => {}
        }
        Ok(())
    }

    fn write_close_ok(&mut self, number: u16) {
        let ok = channel::AMQPMethod::CloseOk(channel::CloseOk {});
        self.link.out.method(number, &AMQPClass::Channel(ok));
    }

    /// Whether a channel waits, or keeps frames.
    pub(super) fn has_waiting(&self) -> bool {
        self.slots.values().any(|slot| matches!(slot, Slot::Open(channel) if channel.is_barred()))
    }

    /// Ends a channel because of an error: what it holds goes back before the close frame is written.
    pub fn fail_channel(&mut self, number: u16, error: &AmqpError) {
        self.commit();
        self.end_channel(number);
        self.slots.insert(number, Slot::Closing);
        let (class_id, method_id) = error.method();
        let close = channel::AMQPMethod::Close(channel::Close {
            reply_code: error.code() as u16,
            reply_text: short_text(error.text()),
            class_id,
            method_id,
        });
        self.link.out.method(number, &AMQPClass::Channel(close));
    }

    fn end_channel(&mut self, number: u16) {
        if let Some(Slot::Open(mut channel)) = self.slots.remove(&number) {
            self.open_channels -= 1;
            self.link.waiting.retain(|other| *other != number);
            // What it was last is counted before it goes.
            channel.count_publishes(&self.link);
            self.link.session.close_channel(number);
            if let Some(kept) = channel.kept.take() {
                self.forget_kept(number, &kept);
            }
            channel.release(&mut self.link);
            self.link.tell_channel_closed(number);
        }
    }

    /// The connection ends: all channels end, then the session.
    pub fn end(&mut self) {
        self.commit();
        while let Some(number) = self.slots.keys().next().copied() {
            self.end_channel(number);
            self.slots.remove(&number);
        }
        self.link.session.close();
        self.link.tell_closed();
    }
}

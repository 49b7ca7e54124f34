//! What the channels of an open connection share: the session, the output, and what a turn has collected.

use super::capabilities::Capabilities;
use super::error::{AmqpError, Code};
use super::flight::Flight;
use super::output::Output;
use super::settings::Settings;
use super::settlements::Settlements;
use crate::clock::Now;
use crate::engine::{Batch, Epoch, Item, Session};
use crate::limits::OUTPUT_BYTES;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Late acknowledgements are looked for no more, and no less, often than this.
const ACK_CHECK_MIN: Duration = Duration::from_millis(100);
const ACK_CHECK_MAX: Duration = Duration::from_secs(60);

/// What the channels of a connection share.
#[derive(Debug)]
pub(super) struct Link {
    pub session: Session,
    pub settings: Arc<Settings>,
    pub capabilities: Capabilities,
    /// `peer -> local`, as the firehose and events name the connection.
    pub name: Arc<str>,
    pub tuned: Tuned,
    pub now: Now,
    pub out: Output,
    pub batch: Batch,
    pub settlements: Settlements,
    /// Taken from the outbox, not yet written.
    pub backlog: VecDeque<Item>,
    incoming: Vec<Item>,
    /// Confirming channels that have published since the last flush.
    pub publishers: Vec<u16>,
    /// Channels that have published since their publishes were last counted.
    pub counting: Vec<u16>,
    /// Channels whose shared credit has grown.
    pub sharers: Vec<u16>,
    /// Channels that wait for an epoch.
    pub waiting: Vec<u16>,
    pub flight: Flight,
    /// Bytes of message bodies that are not complete.
    assembling: u64,
    pub has_published: bool,
    /// Deliveries of this turn are copied for the firehose.
    pub traced: bool,
    /// The shortest time that a delivery may wait for its acknowledgement.
    ack_timeout: Option<Duration>,
    /// Whether publishers are to wait, as far as this turn has asked.
    hold: Option<bool>,
}

/// What tune and tune-ok agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tuned {
    /// Largest frame we send, in bytes; 0 = unlimited.
    pub frame_max: u32,
    /// Largest frame payload we take, in bytes.
    pub read_max: u32,
    /// Open channels at a time; 0 = no limit.
    pub channel_max: u16,
}

impl Link {
    pub fn new(
        session: Session,
        settings: Arc<Settings>,
        capabilities: Capabilities,
        name: Arc<str>,
        tuned: Tuned,
        now: Now,
    ) -> Link {
        Link {
            session,
            settings,
            capabilities,
            name,
            tuned,
            now,
            out: Output::default(),
            batch: Batch::default(),
            settlements: Settlements::default(),
            backlog: VecDeque::new(),
            incoming: Vec::new(),
            publishers: Vec::new(),
            counting: Vec::new(),
            sharers: Vec::new(),
            waiting: Vec::new(),
            flight: Flight::default(),
            assembling: 0,
            has_published: false,
            traced: false,
            ack_timeout: None,
            hold: None,
        }
    }

    /// A consumer has begun that may hold messages for so long, if it is not the node's own time. Without a limit too: a
    /// policy may set one later.
    pub fn expect_acks_within(&mut self, timeout: Option<Duration>) {
        let timeout = timeout.unwrap_or(self.settings.consumer_timeout);
        let timeout = if timeout.is_zero() { Duration::MAX } else { timeout };
        self.ack_timeout = Some(self.ack_timeout.map_or(timeout, |shortest| shortest.min(timeout)));
    }

    /// How often late acknowledgements are looked for: RabbitMQ does it once a minute. None while nothing can be late.
    pub fn ack_interval(&self) -> Option<Duration> {
        let timeout = self.ack_timeout.or(Some(self.settings.consumer_timeout).filter(|timeout| !timeout.is_zero()));
        timeout.map(|timeout| (timeout / 4).clamp(ACK_CHECK_MIN, ACK_CHECK_MAX))
    }

    /// A turn begins.
    pub fn begin(&mut self, now: Now) {
        self.now = now;
        self.hold = None;
        self.traced = self.session.is_traced();
    }

    /// Whether a publish has to wait: an alarm, memory, or too much that is not on disk. Asked once a turn, so a turn may
    /// overshoot by what it read.
    #[inline]
    pub fn must_wait(&mut self) -> bool {
        self.batch.is_full() || self.hold.unwrap_or_else(|| self.look())
    }

    fn look(&mut self) -> bool {
        let full = self.flight_is_full();
        let hold = full || self.session.alarm().is_some() || self.session.must_hold();
        self.hold = Some(hold);
        hold
    }

    /// Looks again whether a publish has to wait.
    pub fn must_still_wait(&mut self) -> bool {
        self.hold = None;
        self.must_wait()
    }

    fn flight_is_full(&mut self) -> bool {
        while self.flight.bytes() >= self.settings.unconfirmed_bytes_max {
            let Some(epoch) = self.flight.oldest() else { return false };
            self.session.wake_at(epoch);
            // The epoch may have ended before the waiter was there.
            let done = self.session.done_epoch();
            self.flight.release(done);
            if done < epoch {
                return true;
            }
        }
        false
    }

    /// Whether a reply that belongs to `epoch` may be sent. If not, the outbox will be rung.
    pub fn is_done(&self, epoch: Option<Epoch>) -> bool {
        let Some(epoch) = epoch else { return true };
        if self.session.done_epoch() >= epoch {
            return true;
        }
        self.session.wake_at(epoch);
        self.session.done_epoch() >= epoch
    }

    /// Moves what has arrived in the outbox to the backlog.
    pub fn collect(&mut self) {
        self.session.outbox().take(&mut self.incoming);
        self.backlog.extend(self.incoming.drain(..));
    }

    /// Takes what the backlog and the outbox hold for a channel and `matching`.
    pub fn extract(&mut self, matching: impl Fn(&Item) -> bool) -> Vec<Item> {
        self.collect();
        let (mut taken, mut left) = (Vec::new(), VecDeque::new());
        for item in self.backlog.drain(..) {
            if matching(&item) { taken.push(item) } else { left.push_back(item) }
        }
        self.backlog = left;
        taken
    }

    /// Whether the socket lags so far behind that no more deliveries are written.
    #[inline]
    pub fn is_backed_up(&self) -> bool {
        self.out.len() >= OUTPUT_BYTES
    }

    /// Whether so much output waits that no more input is taken. Deliveries alone do not get there: a connection that
    /// lags still has its acks read.
    #[inline]
    pub fn is_choked(&self) -> bool {
        self.out.len() as u64 > self.settings.max_message_size + 4 * OUTPUT_BYTES as u64
    }

    /// Part of a body is kept.
    ///
    /// # Errors
    /// The connection's channels together keep too much.
    pub fn keep(&mut self, bytes: usize) -> Result<(), AmqpError> {
        self.assembling += bytes as u64;
        let max = self.settings.unconfirmed_bytes_max.max(self.settings.max_message_size.saturating_mul(2));
        if self.assembling > max {
            return Err(AmqpError::new(
                Code::ResourceError,
                format_args!("incomplete messages of all channels are larger than {max} bytes"),
            ));
        }
        Ok(())
    }

    /// Kept parts of a body are gone.
    pub fn unkeep(&mut self, bytes: usize) {
        self.assembling = self.assembling.saturating_sub(bytes as u64);
    }
}

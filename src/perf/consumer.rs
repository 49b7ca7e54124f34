//! A consuming connection: counts messages by their frame headers and acknowledges in batches.

use super::args::Plan;
use super::connection::{CHANNEL_CLOSE, CONNECTION_CLOSE, Connection, DELIVER, close_text};
use super::frames::{BODY, Filled, Frame, HEADER};
use super::histogram::Histogram;
use super::shared::Shared;
use std::time::Duration;

/// What one consumer did.
#[derive(Debug, Default)]
pub(super) struct Consumed {
    pub(super) messages: u64,
    /// When the last message had arrived, since the run's start.
    pub(super) last_delivery: Duration,
    /// Publish to delivery in nanoseconds, of messages that carry a time.
    pub(super) latency: Histogram,
}

/// One consuming connection.
pub(super) struct Consumer {
    connection: Connection,
    /// Messages per ack; 0 = none.
    acks: u64,
    stamps: bool,
    /// Acks not yet taken by the socket.
    output: Vec<u8>,
    message: Message,
    tag: u64,
    unacked: u64,
    consumed: Consumed,
}

/// The message that is arriving.
#[derive(Debug, Default)]
struct Message {
    tag: u64,
    /// Body bytes still to come.
    left: u64,
    /// The body's first frame is still to come.
    fresh: bool,
}

impl Consumer {
    pub(super) fn connect(plan: &Plan, index: usize) -> Result<Self, String> {
        let mut connection = Connection::open(&plan.login)?;
        if plan.prefetch > 0 {
            connection.qos(plan.prefetch)?;
        }
        for queue in plan.queues_of(index, plan.consumers) {
            connection.consume(&queue, plan.acks == 0)?;
        }
        Ok(Self {
            connection,
            acks: plan.acks,
            stamps: plan.stamps(),
            output: Vec::new(),
            message: Message::default(),
            tag: 0,
            unacked: 0,
            consumed: Consumed::default(),
        })
    }

    /// Consumes until the run's end.
    pub(super) fn run(mut self, shared: &Shared) -> Result<Consumed, String> {
        self.consumed.last_delivery = shared.elapsed();
        loop {
            let filled = self.connection.fill()?;
            let now = shared.elapsed();
            if filled == Filled::Bytes {
                let before = self.consumed.messages;
                self.walk(now)?;
                let count = self.consumed.messages - before;
                if count > 0 {
                    self.consumed.last_delivery = now;
                    shared.add_consumed(count);
                }
            }
            self.flush()?;
            if shared.consumers_are_done(now.saturating_sub(self.consumed.last_delivery)) {
                break;
            }
        }
        if self.acks > 0 && self.unacked > 0 {
            self.ack();
        }
        while !self.output.is_empty() && !shared.failed() {
            self.flush()?;
            self.connection.fill_now()?;
            while self.connection.input.next().is_some() {}
        }
        self.connection.close_channel()?;
        self.connection.close()?;
        Ok(self.consumed)
    }

    /// Handles the frames that have arrived.
    fn walk(&mut self, now: Duration) -> Result<(), String> {
        while let Some(frame) = self.connection.input.next() {
            let done = match frame.kind {
                HEADER => self.message.on_header(&frame),
                BODY => {
                    if self.message.fresh && self.stamps {
                        sample(&mut self.consumed.latency, frame.payload, now);
                    }
                    self.message.on_body(&frame)
                }
                _ => match frame.method() {
                    Some(DELIVER) => {
                        self.message.tag = delivery_tag(frame.payload).ok_or("malformed basic.deliver")?;
                        false
                    }
                    Some(CHANNEL_CLOSE | CONNECTION_CLOSE) => return Err(close_text(frame.payload)),
                    _ => false,
                },
            };
            if done {
                self.consumed.messages += 1;
                self.tag = self.message.tag;
                self.unacked += 1;
                if self.acks > 0 && self.unacked >= self.acks {
                    self.ack();
                }
            }
        }
        Ok(())
    }

    /// Queues one ack for everything received.
    fn ack(&mut self) {
        let multiple = self.unacked > 1;
        self.unacked = 0;
        // frame header, class 60 method 80, tag, flag, end: encoded by hand because it is one per message at BATCH 1
        self.output.extend_from_slice(&[1, 0, 1, 0, 0, 0, 13, 0, 60, 0, 80]);
        self.output.extend_from_slice(&self.tag.to_be_bytes());
        self.output.extend_from_slice(&[u8::from(multiple), 0xCE]);
    }

    /// Writes what the socket takes: a broker that does not read now may wait for us to read.
    fn flush(&mut self) -> Result<(), String> {
        if !self.output.is_empty() {
            let taken = self.connection.write_some(&self.output)?;
            self.output.drain(..taken);
        }
        Ok(())
    }
}

impl Message {
    /// Whether the message is complete: its body is empty.
    fn on_header(&mut self, frame: &Frame<'_>) -> bool {
        let size = frame.payload.get(4..).and_then(|rest| rest.first_chunk::<8>());
        self.left = size.map_or(0, |size| u64::from_be_bytes(*size));
        self.fresh = true;
        self.left == 0
    }

    /// Whether the message is complete.
    fn on_body(&mut self, frame: &Frame<'_>) -> bool {
        self.fresh = false;
        self.left = self.left.saturating_sub(frame.payload.len() as u64);
        self.left == 0
    }
}

/// The delivery tag in the payload of `basic.deliver`: behind the consumer tag.
fn delivery_tag(payload: &[u8]) -> Option<u64> {
    let (length, rest) = payload.get(4..)?.split_first()?;
    Some(u64::from_be_bytes(*rest.get(usize::from(*length)..)?.first_chunk::<8>()?))
}

/// Counts the age of a message whose body begins with the time it was due.
fn sample(latency: &mut Histogram, body: &[u8], now: Duration) {
    if let Some(stamp) = body.first_chunk::<8>() {
        latency.add((now.as_nanos() as u64).saturating_sub(u64::from_be_bytes(*stamp)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_ends_with_its_last_body_frame() {
        let frame = |kind, payload| Frame { kind, channel: 1, payload };
        let mut message = Message::default();
        assert!(message.on_header(&frame(HEADER, &[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])));
        assert!(!message.on_header(&frame(HEADER, &[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0])));
        assert!(!message.on_body(&frame(BODY, &[1, 2, 3])));
        assert!(message.on_body(&frame(BODY, &[4, 5])));
    }

    #[test]
    fn the_tag_is_behind_the_consumer_tag() {
        let payload = [0, 60, 0, 60, 3, b'a', b'b', b'c', 0, 0, 0, 0, 0, 0, 1, 2, 0];
        assert_eq!(delivery_tag(&payload), Some(258));
        assert_eq!(delivery_tag(&payload[..12]), None);
    }

    #[test]
    fn ages_are_sampled() {
        let mut latency = Histogram::default();
        sample(&mut latency, &1_000_u64.to_be_bytes(), Duration::from_nanos(1_031));
        sample(&mut latency, &[1, 2, 3], Duration::from_secs(1));
        assert_eq!((latency.max(), latency.quantile(1.0)), (31, 31));
    }
}

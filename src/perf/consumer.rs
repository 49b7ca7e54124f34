//! A consuming connection: counts messages and acknowledges in batches.

use super::args::Verify;
use super::connection::Connection;
use super::delivery::{Delivery, Part, Parts, Shape, Step};
use super::frames::CHANNEL_CLOSE_OK;
use super::latency::Latencies;
use super::link::Link;
use super::plan::Load;
use super::shared::Shared;
use super::template::append_method;
use super::verify::Tracker;
use super::worker::{Role, Turn};
use amq_protocol::protocol::{AMQPClass, basic, channel};
use std::time::Duration;

/// What one consumer did.
#[derive(Debug)]
pub(super) struct Consumed {
    pub(super) messages: u64,
    /// When the last message had arrived, since the run's start.
    pub(super) last_delivery: Duration,
    /// From the time a message was due to its delivery.
    pub(super) latency: Latencies,
    pub(super) tracker: Option<Tracker>,
}

/// One consuming connection.
pub(super) struct Consumer {
    queues: Vec<String>,
    /// Messages per ack; 0 = none.
    acks: u64,
    rate: f64,
    stamps: bool,
    stage: Stage,
    shape: Shape,
    parts: Parts,
    /// The last message that has come, and how many since the last ack.
    tag: u64,
    unacked: u64,
    /// Frames that wait for the next turn.
    output: Vec<u8>,
    consumed: Consumed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Starting,
    Consuming,
    /// `channel.close` is sent.
    Closing,
    Closed,
}

impl Consumer {
    pub(super) fn connect(connection: &mut Connection, load: &Load, index: usize) -> Result<Self, String> {
        if load.prefetch > 0 {
            connection.qos(load.prefetch)?;
        }
        Ok(Self::new(load, index))
    }

    fn new(load: &Load, index: usize) -> Self {
        Self {
            queues: load.queues_of(index),
            acks: load.acks,
            rate: load.consume_rate,
            stamps: load.stamps() && load.publishers > 0,
            stage: Stage::Starting,
            shape: Shape::default(),
            parts: Parts::default(),
            tag: 0,
            unacked: 0,
            output: Vec::new(),
            consumed: Consumed {
                messages: 0,
                last_delivery: Duration::ZERO,
                latency: Latencies::default(),
                tracker: (load.verify > Verify::None).then(|| Tracker::new(load.verify, load.size)),
            },
        }
    }

    /// Asks for deliveries; consumer tags are the queues' places in its own list, and short. The replies are not waited
    /// for: deliveries may come first.
    fn start(&mut self) -> Result<(), String> {
        for (number, queue) in self.queues.iter().enumerate() {
            let consume = basic::Consume {
                queue: queue.as_str().into(),
                consumer_tag: number.to_string().into(),
                no_ack: self.acks == 0,
                ..Default::default()
            };
            append_method(&mut self.output, 1, AMQPClass::Basic(basic::AMQPMethod::Consume(consume)))?;
        }
        self.stage = Stage::Consuming;
        Ok(())
    }

    /// A whole message has come.
    #[inline]
    fn count(&mut self, tag: u64) {
        self.consumed.messages += 1;
        self.tag = tag;
        self.unacked += 1;
        // Behind channel.close there is no channel to acknowledge on.
        if self.acks > 0 && self.unacked >= self.acks && self.stage == Stage::Consuming {
            self.ack();
        }
    }

    #[inline]
    fn see(&mut self, delivery: &Delivery<'_>, now: Duration) {
        if self.stamps {
            self.sample(delivery.body, now);
        }
        if let Some(tracker) = &mut self.consumed.tracker {
            tracker.see(number(delivery.consumer_tag), delivery.redelivered, delivery.body);
        }
        self.count(delivery.tag);
    }

    /// A part of a message of several frames has come.
    fn see_part(&mut self, part: &Part, payload: &[u8], now: Duration) {
        let Part::Body { place, last } = *part else { return };
        if place == 0 && self.stamps {
            self.sample(payload, now);
        }
        if let Some(tracker) = &mut self.consumed.tracker {
            match place {
                0 => tracker.see(number(&self.parts.consumer_tag), self.parts.redelivered, payload),
                _ => tracker.see_content(place as usize, payload),
            }
        }
        if last {
            self.count(self.parts.tag);
        }
    }

    /// Counts the age of a message whose body begins with the time it was due.
    fn sample(&mut self, body: &[u8], now: Duration) {
        if let Some(due) = body.first_chunk::<8>() {
            self.consumed.latency.add((now.as_nanos() as u64).saturating_sub(u64::from_be_bytes(*due)));
        }
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

    /// Messages that the rate allows now.
    fn allowed(&self, now: Duration) -> u64 {
        match self.rate > 0.0 {
            true => ((now.as_secs_f64() * self.rate) as u64 + 1).saturating_sub(self.consumed.messages),
            false => u64::MAX,
        }
    }

    fn stop(&mut self) -> Result<(), String> {
        if self.acks > 0 && self.unacked > 0 {
            self.ack();
        }
        let close = channel::Close { reply_code: 200, ..Default::default() };
        append_method(&mut self.output, 1, AMQPClass::Channel(channel::AMQPMethod::Close(close)))?;
        self.stage = Stage::Closing;
        Ok(())
    }
}

impl Role for Consumer {
    type Outcome = (Consumed, Vec<String>);

    fn input(&mut self, bytes: &[u8], shared: &Shared) -> Result<usize, String> {
        let now = shared.elapsed();
        let before = self.consumed.messages;
        let end = before.saturating_add(self.allowed(now));
        let mut used = 0;
        while self.consumed.messages < end || self.stage != Stage::Consuming {
            let (step, length) = self.shape.step(bytes.get(used..).unwrap_or_default());
            used += length;
            match step {
                Step::Message(delivery) => self.see(&delivery, now),
                Step::Frame(frame) => {
                    if let Some(refusal) = frame.refusal() {
                        return Err(refusal);
                    }
                    if frame.method() == Some(CHANNEL_CLOSE_OK) {
                        self.stage = Stage::Closed;
                    }
                    let part = self.parts.take(&frame)?;
                    self.see_part(&part, frame.payload, now);
                }
                Step::End => break,
            }
        }
        let count = self.consumed.messages - before;
        if count > 0 {
            self.consumed.last_delivery = now;
            shared.add_consumed(count);
        }
        Ok(used)
    }

    fn may_read(&self, now: Duration) -> bool {
        self.stage != Stage::Consuming || self.allowed(now) > 0
    }

    fn turn(&mut self, link: &mut Link, shared: &Shared) -> Result<Turn, String> {
        let now = shared.elapsed();
        match self.stage {
            Stage::Starting => self.start()?,
            Stage::Consuming => {
                if shared.consumers_are_done(now, now.saturating_sub(self.consumed.last_delivery)) {
                    self.stop()?;
                }
            }
            Stage::Closing if shared.failed() => return Ok(Turn::Done),
            Stage::Closing => {}
            Stage::Closed => return Ok(Turn::Done),
        }
        link.output().append(&mut self.output);
        link.flush()?;
        if self.stage == Stage::Consuming && self.allowed(now) == 0 {
            return Ok(Turn::At(Duration::from_secs_f64(self.consumed.messages as f64 / self.rate)));
        }
        Ok(Turn::Wait)
    }

    fn outcome(self) -> Self::Outcome {
        (self.consumed, self.queues)
    }
}

/// The number that is a consumer tag.
fn number(consumer_tag: &[u8]) -> u32 {
    consumer_tag
        .iter()
        .fold(0, |number: u32, digit| number.wrapping_mul(10).wrapping_add(u32::from(digit.wrapping_sub(b'0'))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perf::plan::tests::load;
    use crate::perf::verify::Mark;
    use crate::wire::hot::write_deliver;
    use crate::wire::output::write_content;
    use crate::wire::properties::PropertiesBuilder;

    /// Deliveries with these numbers in their bodies, tags from 1.
    fn deliveries(numbers: &[u64]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (tag, number) in (1..).zip(numbers) {
            let mut body = crate::perf::verify::filler(64);
            Mark { due: 0, number: *number, publisher: 0 }.write(&mut body);
            write_deliver(&mut bytes, 1, b"0", tag, false, b"\x00\x01q");
            write_content(&mut bytes, 1, &PropertiesBuilder::default().content_header(64), &body, 4096);
        }
        bytes
    }

    fn started(load: &Load) -> (Consumer, Shared) {
        let mut consumer = Consumer::new(load, 0);
        consumer.start().unwrap();
        consumer.output.clear();
        (consumer, Shared::new(load))
    }

    #[test]
    fn acks_come_in_batches_and_cover_all() {
        let (mut consumer, shared) = started(&Load { acks: 2, ..load() });
        let bytes = deliveries(&[0, 1, 2]);
        assert_eq!(consumer.input(&bytes, &shared), Ok(bytes.len()));
        let ack = |tag: u64, multiple: u8| {
            [&[1, 0, 1, 0, 0, 0, 13, 0, 60, 0, 80][..], &tag.to_be_bytes(), &[multiple, 0xCE]].concat()
        };
        assert_eq!(consumer.output, ack(2, 1));
        consumer.output.clear();
        consumer.stop().unwrap();
        assert_eq!(consumer.output[..ack(3, 0).len()], ack(3, 0));
        assert_eq!(shared.counts().consumed, 3);
    }

    #[test]
    fn nothing_is_acknowledged_on_a_closed_channel() {
        let (mut consumer, shared) = started(&Load { acks: 1, ..load() });
        consumer.stop().unwrap();
        let closing = consumer.output.clone();
        consumer.input(&deliveries(&[0, 1]), &shared).unwrap();
        assert_eq!(consumer.output, closing);
    }

    #[test]
    fn a_rate_leaves_the_rest_for_later() {
        let (mut consumer, shared) = started(&Load { consume_rate: 0.001, ..load() });
        let bytes = deliveries(&[0, 1]);
        let used = consumer.input(&bytes, &shared).unwrap();
        assert_eq!((used, consumer.consumed.messages), (bytes.len() / 2, 1));
        assert!(!consumer.may_read(shared.elapsed()));
        assert!(consumer.may_read(Duration::from_secs(1001)));
    }

    #[test]
    fn a_verified_load_tracks_what_came() {
        let (mut consumer, shared) = started(&Load { verify: Verify::Content, size: 64, ..load() });
        consumer.input(&deliveries(&[0, 2, 1]), &shared).unwrap();
        let trackers = vec![(consumer.consumed.tracker.unwrap(), vec![0])];
        let faults = crate::perf::verify::judge(trackers, &[4], 1);
        assert_eq!((faults.missing, faults.reordered, faults.duplicated, faults.corrupted), (1, 1, 0, 0));
    }

    #[test]
    fn consumer_tags_are_numbers() {
        assert_eq!((number(b"0"), number(b"127")), (0, 127));
    }
}

//! A publishing connection: writes the template as fast as window, rate and socket allow.

use super::args::Verify;
use super::connection::Connection;
use super::frames::{ACK, CHANNEL_CLOSE_OK, NACK, next};
use super::latency::Latencies;
use super::link::Link;
use super::plan::Load;
use super::shared::Shared;
use super::template::{Template, append_method};
use super::verify::Mark;
use super::worker::{Role, Turn};
use amq_protocol::protocol::{AMQPClass, channel};
use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

/// With a rate, the shortest pause between writes: shorter ones cost more CPU than they gain precision.
const PAUSE_MIN: Duration = Duration::from_micros(20);

/// Longest wait for a confirm or for the broker to read.
const STUCK: Duration = Duration::from_secs(60);

/// Writes in one turn; then the worker's other connections have theirs.
const WRITES: usize = 4;

/// What one publisher did.
#[derive(Debug, Default)]
pub(super) struct Published {
    pub(super) messages: u64,
    pub(super) confirmed: u64,
    pub(super) nacked: u64,
    /// When the broker had handled them all, since the run's start.
    pub(super) finished: Duration,
    /// From the time a message was due to its confirm.
    pub(super) confirm_latency: Latencies,
    /// From the time a message was due to its writing: this program's own share of every latency, and the broker's where
    /// it did not read.
    pub(super) lateness: Latencies,
}

/// One publishing connection.
pub(super) struct Publisher {
    template: Template,
    /// What is being written of the template.
    pending: Range<usize>,
    window: Option<u64>,
    share: Option<u64>,
    rate: f64,
    /// Time of the first message by the rate.
    offset: Duration,
    marks: bool,
    stamps: bool,
    number: u32,
    stage: Stage,
    /// When it last got on.
    progress: Duration,
    /// When the last message was made, where no rate says when it was due.
    made: Duration,
    confirms: Confirms,
    result: Published,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Publishing,
    /// Everything is sent, confirms are missing.
    Settling,
    /// `channel.close` is sent: its `-ok` says that the broker has handled everything before it.
    Closing,
    Closed,
}

impl Publisher {
    pub(super) fn connect(connection: &mut Connection, load: &Load, index: usize) -> Result<Self, String> {
        if load.confirms > 0 {
            connection.confirm_select()?;
        }
        Self::new(load, index, connection.frame_max)
    }

    fn new(load: &Load, index: usize, frame_max: u32) -> Result<Self, String> {
        let template = Template::new(&load.addresses_of(index), load.size, load.persistent, frame_max)?;
        // Publishers of one rate take turns, as those of many machines would on average.
        let interval = if load.rate > 0.0 { 1.0 / load.rate } else { 0.0 };
        Ok(Self {
            template,
            pending: 0..0,
            window: (load.confirms > 0).then_some(load.confirms),
            share: load.share(index),
            rate: load.rate,
            offset: Duration::from_secs_f64(interval * index as f64 / load.publishers.max(1) as f64),
            marks: load.stamps() || load.verify > Verify::None,
            stamps: load.stamps(),
            number: index as u32,
            stage: Stage::Publishing,
            progress: Duration::ZERO,
            made: Duration::ZERO,
            confirms: Confirms::default(),
            result: Published::default(),
        })
    }

    fn outstanding(&self) -> u64 {
        self.result.messages - self.confirms.settled
    }

    /// Messages the rate allows now.
    fn due(&self, now: Duration) -> u64 {
        if self.rate == 0.0 {
            return u64::MAX;
        }
        match now.checked_sub(self.offset) {
            Some(since) => ((since.as_secs_f64() * self.rate) as u64 + 1).saturating_sub(self.result.messages),
            None => 0,
        }
    }

    /// When a message is due by the rate.
    fn due_time(&self, message: u64) -> Duration {
        match self.rate > 0.0 {
            true => self.offset + Duration::from_secs_f64(message as f64 / self.rate),
            false => self.made,
        }
    }

    /// Takes up to `count` messages of the template: those to its end.
    fn make(&mut self, count: u64, now: Duration, shared: &Shared) {
        let first = self.result.messages;
        let (range, count) = self.template.range(first, count);
        self.made = now;
        if self.marks {
            for message in first..first + count {
                // The time it was due, not the time it was written: a broker that does not read gets no discount.
                let due = self.due_time(message).as_nanos() as u64;
                self.template.mark(message, &Mark { due, number: message, publisher: self.number });
                if self.rate > 0.0 && self.stamps {
                    self.result.lateness.add((now.as_nanos() as u64).saturating_sub(due));
                }
            }
        }
        self.pending = range;
        self.result.messages += count;
        self.progress = now;
        shared.add_published(count);
    }

    /// Writes what is pending; whether all is gone.
    fn write(&mut self, link: &mut Link, now: Duration) -> Result<bool, String> {
        let taken = link.write(self.template.bytes(self.pending.clone()))?;
        self.pending.start += taken;
        if taken > 0 {
            self.progress = now;
        }
        Ok(self.pending.is_empty())
    }

    /// Waits, but not for ever.
    fn wait(&self, now: Duration, what: &str) -> Result<Turn, String> {
        if now.saturating_sub(self.progress) > STUCK {
            return Err(format!("{what} for {} s", STUCK.as_secs()));
        }
        Ok(Turn::Wait)
    }

    fn publish(&mut self, link: &mut Link, shared: &Shared) -> Result<Turn, String> {
        for _ in 0..WRITES {
            let now = shared.elapsed();
            if !self.pending.is_empty() && !self.write(link, now)? {
                return self.wait(now, "the broker reads nothing");
            }
            let left = self.share.map_or(u64::MAX, |share| share - self.result.messages);
            if left == 0 || shared.time_is_up(now) || shared.failed() {
                self.stage = Stage::Settling;
                return self.settle(link, shared);
            }
            let room = self.window.map_or(u64::MAX, |window| window - self.outstanding());
            if room == 0 {
                return self.wait(now, "no confirm");
            }
            let due = self.due(now);
            if due == 0 {
                return Ok(Turn::At(self.due_time(self.result.messages).max(now + PAUSE_MIN)));
            }
            self.make(left.min(room).min(due), now, shared);
        }
        Ok(Turn::Again)
    }

    fn settle(&mut self, link: &mut Link, shared: &Shared) -> Result<Turn, String> {
        if self.window.is_some() && self.outstanding() > 0 && !shared.failed() {
            return self.wait(shared.elapsed(), "no confirm");
        }
        let close = channel::Close { reply_code: 200, ..Default::default() };
        append_method(link.output(), 1, AMQPClass::Channel(channel::AMQPMethod::Close(close)))?;
        self.stage = Stage::Closing;
        self.close(link, shared)
    }

    fn close(&mut self, link: &mut Link, shared: &Shared) -> Result<Turn, String> {
        link.flush()?;
        if shared.failed() { Ok(Turn::Done) } else { self.wait(shared.elapsed(), "no channel.close-ok") }
    }

    /// A confirm has come.
    fn confirmed(&mut self, payload: &[u8], nack: bool, shared: &Shared) -> Result<(), String> {
        let (tag, flags) =
            payload.get(4..).and_then(|rest| rest.split_first_chunk::<8>()).ok_or("malformed confirm")?;
        let multiple = flags.first().is_some_and(|flags| flags & 1 != 0);
        let (tag, before) = (u64::from_be_bytes(*tag), self.confirms.settled);
        let low = self.confirms.low;
        self.confirms.settle(tag, multiple);
        let count = self.confirms.settled - before;
        let now = shared.elapsed();
        if nack {
            self.result.nacked += count;
        } else if self.stamps {
            for tag in if multiple { low + 1..tag + 1 } else { tag..tag + 1 } {
                let age = now.saturating_sub(self.due_time(tag.saturating_sub(1)));
                self.result.confirm_latency.add(age.as_nanos() as u64);
            }
        }
        self.progress = now;
        shared.add_confirmed(count);
        Ok(())
    }
}

impl Role for Publisher {
    type Outcome = Published;

    fn input(&mut self, bytes: &[u8], shared: &Shared) -> Result<usize, String> {
        let mut used = 0;
        while let Some(frame) = next(bytes.get(used..).unwrap_or_default()) {
            used += frame.len();
            if let Some(refusal) = frame.refusal() {
                return Err(refusal);
            }
            match frame.method() {
                Some(method @ (ACK | NACK)) => self.confirmed(frame.payload, method == NACK, shared)?,
                Some(CHANNEL_CLOSE_OK) => {
                    self.stage = Stage::Closed;
                    self.result.finished = shared.elapsed();
                }
                _ => {}
            }
        }
        Ok(used)
    }

    fn turn(&mut self, link: &mut Link, shared: &Shared) -> Result<Turn, String> {
        match self.stage {
            Stage::Publishing => self.publish(link, shared),
            Stage::Settling => self.settle(link, shared),
            Stage::Closing => self.close(link, shared),
            Stage::Closed => Ok(Turn::Done),
        }
    }

    fn outcome(mut self) -> Published {
        self.result.confirmed = self.confirms.settled - self.result.nacked;
        self.result
    }
}

/// Confirms counted. Brokers answer nearly in order, so the set stays tiny.
#[derive(Debug, Default)]
struct Confirms {
    /// Publishes confirmed or nacked.
    settled: u64,
    /// All tags up to this one are settled.
    low: u64,
    /// Settled tags above `low`.
    above: BTreeSet<u64>,
}

impl Confirms {
    fn settle(&mut self, tag: u64, multiple: bool) {
        if tag <= self.low {
            return;
        }
        if multiple {
            let later = self.above.split_off(&(tag + 1));
            self.settled += tag - self.low - self.above.len() as u64;
            self.above = later;
            self.low = tag;
        } else if tag == self.low + 1 {
            self.settled += 1;
            self.low = tag;
        } else if self.above.insert(tag) {
            self.settled += 1;
        }
        while self.above.remove(&(self.low + 1)) {
            self.low += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perf::plan::tests::load;

    #[test]
    fn confirms_are_counted_once_in_any_order() {
        let mut confirms = Confirms::default();
        confirms.settle(1, false);
        confirms.settle(4, false);
        confirms.settle(4, false);
        assert_eq!((confirms.settled, confirms.low), (2, 1));
        confirms.settle(3, true);
        assert_eq!((confirms.settled, confirms.low), (4, 4));
        confirms.settle(2, false);
        confirms.settle(10, true);
        assert_eq!((confirms.settled, confirms.low, confirms.above.len()), (10, 10, 0));
    }

    fn publisher(rate: f64, index: usize) -> Publisher {
        let load = Load { publishers: 4, rate, size: 64, ..load() };
        Publisher::new(&load, index, 131_072).unwrap()
    }

    #[test]
    fn publishers_of_one_rate_take_turns() {
        let (first, third) = (publisher(10.0, 0), publisher(10.0, 2));
        assert_eq!((first.due_time(0), first.due_time(1)), (Duration::ZERO, Duration::from_millis(100)));
        assert_eq!(third.due_time(0), Duration::from_millis(50));
        assert_eq!((third.due(Duration::from_millis(49)), third.due(Duration::from_millis(51))), (0, 1));
        assert_eq!((first.due(Duration::from_millis(50)), first.due(Duration::from_secs(1))), (1, 11));
    }

    #[test]
    fn latency_counts_from_the_time_a_message_was_due() {
        // The broker did not read for a second: every message of that second is late, not only the one written late.
        let mut publisher = publisher(10.0, 0);
        let shared = Shared::new(&load());
        publisher.make(10, Duration::from_secs(1), &shared);
        assert_eq!(publisher.result.messages, 10);
        let micros = |share| publisher.result.lateness.micros(share);
        assert!((micros(0.5) - 500_000.0).abs() < 60_000.0, "{}", micros(0.5));
        assert!((micros(1.0) - 1_000_000.0).abs() < 1_000.0, "{}", micros(1.0));
    }
}

//! A publishing connection: writes the template as fast as window, rate and socket allow.

use super::args::Plan;
use super::connection::{ACK, CHANNEL_CLOSE, CONNECTION_CLOSE, Connection, NACK, close_text};
use super::frames::Filled;
use super::shared::Shared;
use super::template::Template;
use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

/// With a rate, the shortest sleep between writes: shorter ones cost more CPU than they gain precision.
const SLEEP_MIN: Duration = Duration::from_micros(100);

/// With a rate, the longest sleep: the end of the run must be seen.
const SLEEP_MAX: Duration = Duration::from_millis(10);

/// Longest wait for a confirm or for the broker to read.
const STUCK: Duration = Duration::from_secs(60);

/// What one publisher did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Published {
    pub(super) messages: u64,
    pub(super) confirmed: u64,
    pub(super) nacked: u64,
    /// When the broker had handled them all, since the run's start.
    pub(super) finished: Duration,
}

/// One publishing connection.
pub(super) struct Publisher {
    connection: Connection,
    template: Template,
    window: Option<u64>,
    share: Option<u64>,
    rate: u64,
    stamps: bool,
    published: u64,
    confirms: Confirms,
}

impl Publisher {
    pub(super) fn connect(plan: &Plan, index: usize) -> Result<Self, String> {
        let mut connection = Connection::open(&plan.login)?;
        if plan.confirms > 0 {
            connection.confirm_select()?;
        }
        let queues = plan.queues_of(index, plan.publishers);
        let template = Template::new(&queues, plan.size, plan.persistent, connection.frame_max)?;
        Ok(Self {
            connection,
            template,
            window: (plan.confirms > 0).then_some(plan.confirms),
            share: plan.share(index),
            rate: plan.rate,
            stamps: plan.stamps(),
            published: 0,
            confirms: Confirms::default(),
        })
    }

    /// Publishes until the run's end, then waits for the last confirm and for the broker to have read everything.
    pub(super) fn run(mut self, shared: &Shared) -> Result<Published, String> {
        loop {
            let left = self.share.map_or(u64::MAX, |share| share - self.published);
            if left == 0 || shared.time_is_up() || shared.failed() {
                break;
            }
            let due = self.due(shared.elapsed());
            let room = self.window.map_or(u64::MAX, |window| window - self.outstanding());
            if room == 0 {
                self.await_confirm(shared)?;
            } else if due == 0 {
                thread::sleep(self.pause(shared.elapsed()));
            } else {
                self.publish(left.min(room).min(due), shared)?;
            }
        }
        shared.add_published(self.published);
        while self.window.is_some() && self.outstanding() > 0 && !shared.failed() {
            self.await_confirm(shared)?;
        }
        self.connection.close_channel()?;
        let finished = shared.elapsed();
        self.connection.close()?;
        let Confirms { settled, nacked, .. } = self.confirms;
        Ok(Published { messages: self.published, confirmed: settled - nacked, nacked, finished })
    }

    fn outstanding(&self) -> u64 {
        self.published - self.confirms.settled
    }

    /// Messages the rate allows now.
    fn due(&self, now: Duration) -> u64 {
        if self.rate == 0 {
            return u64::MAX;
        }
        let scheduled = (now.as_nanos() * u128::from(self.rate) / 1_000_000_000) as u64 + 1;
        scheduled.saturating_sub(self.published)
    }

    /// When a message is due by the rate, in nanoseconds since the start.
    fn due_time(&self, message: u64) -> u64 {
        (u128::from(message) * 1_000_000_000 / u128::from(self.rate.max(1))) as u64
    }

    fn pause(&self, now: Duration) -> Duration {
        let next = Duration::from_nanos(self.due_time(self.published));
        next.saturating_sub(now).clamp(SLEEP_MIN, SLEEP_MAX)
    }

    /// Writes up to `count` messages: those to the end of the template.
    fn publish(&mut self, count: u64, shared: &Shared) -> Result<(), String> {
        if self.stamps {
            let to_end = self.template.messages() - self.published % self.template.messages();
            for message in self.published..self.published + count.min(to_end) {
                // The time it was due, not the time it was written: a broker that does not read gets no discount.
                self.template.stamp(message, self.due_time(message));
            }
        }
        let (bytes, count) = self.template.slice(self.published, count);
        self.published += count;
        let mut rest = bytes;
        let mut stuck_since: Option<Instant> = None;
        loop {
            let taken = self.connection.write_some(rest)?;
            rest = rest.get(taken..).unwrap_or_default();
            if rest.is_empty() {
                return Ok(());
            }
            if taken > 0 {
                stuck_since = None;
            } else if stuck_since.get_or_insert_with(Instant::now).elapsed() > STUCK || shared.failed() {
                return Err(format!("the broker reads nothing for {} s", STUCK.as_secs()));
            }
            // It may wait for us to read its confirms.
            if self.connection.fill_now()? == Filled::Bytes {
                self.confirms.take(&mut self.connection)?;
            }
        }
    }

    /// Waits until at least one confirm arrived.
    fn await_confirm(&mut self, shared: &Shared) -> Result<(), String> {
        let since = Instant::now();
        let before = self.confirms.settled;
        while self.confirms.settled == before && !shared.failed() {
            self.connection.fill()?;
            self.confirms.take(&mut self.connection)?;
            if since.elapsed() > STUCK {
                return Err(format!("no confirm for {} s", STUCK.as_secs()));
            }
        }
        Ok(())
    }
}

/// Confirms counted. Brokers answer nearly in order, so the set stays tiny.
#[derive(Debug, Default)]
struct Confirms {
    /// Publishes confirmed or nacked.
    settled: u64,
    nacked: u64,
    /// All tags up to this one are settled.
    low: u64,
    /// Settled tags above `low`.
    above: BTreeSet<u64>,
}

impl Confirms {
    /// Reads the confirms among the frames that have arrived.
    fn take(&mut self, connection: &mut Connection) -> Result<(), String> {
        while let Some(frame) = connection.input.next() {
            match frame.method() {
                Some(method @ (ACK | NACK)) => {
                    let Some((tag, flags)) = frame.payload.get(4..).and_then(|rest| rest.split_first_chunk::<8>())
                    else {
                        return Err("malformed confirm".to_owned());
                    };
                    let multiple = flags.first().is_some_and(|flags| flags & 1 != 0);
                    let before = self.settled;
                    self.settle(u64::from_be_bytes(*tag), multiple);
                    if method == NACK {
                        self.nacked += self.settled - before;
                    }
                }
                Some(CHANNEL_CLOSE | CONNECTION_CLOSE) => return Err(close_text(frame.payload)),
                _ => {}
            }
        }
        Ok(())
    }

    fn settle(&mut self, tag: u64, multiple: bool) {
        if tag <= self.low {
            return;
        }
        if multiple {
            let later = self.above.split_off(&(tag + 1));
            self.settled += tag - self.low - self.above.len() as u64;
            self.above = later;
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
}

//! Time: messages that expire at the head, returned messages that waited long enough, a queue that nobody uses. Nothing is
//! scanned: only heads are looked at, and only where some message has a deadline (compat.md 2.3).

use super::{Effects, Outlet, Queue, Reason};
use crate::broker::message::Run;

/// Most messages that one command drops; the rest goes with the next tick, so that no lock is held for long.
pub(super) const BURST: u32 = 4096;

/// Identities of duplicates are forgotten at most so often by time alone, in milliseconds.
const FORGET_MS: u64 = 1000;

impl<O: Outlet> Queue<O> {
    /// Whether [`Queue::apply`] has to know the time.
    #[inline]
    pub fn needs_time(&self) -> bool {
        self.timed
            || self.settings.expires.is_some()
            || self.settings.retry.is_on()
            || !self.delayed.is_empty()
            || self.window.is_some()
    }

    /// What time alone does, before a command.
    pub(super) fn pass_time(&mut self, now: u64, effects: &mut Effects<O>) {
        let mut back = false;
        while let Some(((due, sequence), ())) = self.delayed.first_key_value() {
            let (due, sequence) = (*due, *sequence);
            if due > now {
                break;
            }
            self.delayed.remove(&(due, sequence));
            self.make_ready(sequence, 1);
            back = true;
        }
        if self.timed {
            self.expire(now, effects);
        }
        self.forget_duplicates(now);
        if back && self.damage.is_none() {
            // They go before what the command brings, and take no room that it may want.
            self.dispatch(now, effects);
        }
    }

    /// Drops messages at the heads whose time is over; of the ones that have just come none.
    pub(super) fn expire(&mut self, now: u64, effects: &mut Effects<O>) {
        let mut left = BURST;
        for at in 0..self.levels.len() {
            while let Some(run) = self.head(at) {
                let count = self.expired_prefix(&run, now).min(left);
                if count == 0 {
                    break;
                }
                left -= count;
                self.drop_ready(run.part(0, count), Reason::Expired, effects);
            }
        }
    }

    fn is_expired(&self, run: &Run, at: u32, now: u64) -> bool {
        let record = run.chunk.record(run.index + at);
        record.is_some_and(|record| record.deadline_ms > 0 && record.deadline_ms <= now)
            && !self.fresh.contains(&(run.first() + u64::from(at)))
    }

    fn expired_prefix(&self, run: &Run, now: u64) -> u32 {
        if !run.chunk.is_timed() {
            return 0;
        }
        (0..run.count).take_while(|at| self.is_expired(run, *at, now)).count() as u32
    }

    /// The messages of a run that come before the first expired one.
    pub(super) fn live_prefix(&self, run: &Run, now: u64) -> u32 {
        (0..run.count).take_while(|at| !self.is_expired(run, *at, now)).count() as u32
    }

    /// Says when time alone will change something.
    pub(super) fn set_timer(&mut self, now: u64, effects: &mut Effects<O>) {
        if self.timed {
            self.expire(now, effects);
            // Dead letters on their way are here again after a crash.
            let gone = self.ready == 0 && self.unsettled == 0 && self.dying == 0 && self.delayed.is_empty();
            self.timed = !gone;
        }
        let mut due = self.delayed.first_key_value().map(|((due, _), ())| *due);
        if self.timed {
            due = due.into_iter().chain(self.next_deadline(effects)).min();
        }
        if let Some(expires) = self.settings.expires {
            due = due.into_iter().chain(self.unused_until(expires, now, effects)).min();
        }
        if let Some(window) = &self.window {
            // Being forgotten is in no hurry.
            let forgets = window.next_deadline().map(|deadline| deadline.max(now.saturating_add(FORGET_MS)));
            due = due.into_iter().chain(forgets).min();
        }
        effects.timer = effects.timer.into_iter().chain(due).min();
    }

    /// The earliest deadline at a head. A head that is on disk is asked for.
    fn next_deadline(&mut self, effects: &mut Effects<O>) -> Option<u64> {
        let mut earliest = None;
        for at in 0..self.levels.len() {
            if self.levels.at(at).ready == 0 {
                continue;
            }
            match self.head(at) {
                Some(run) => {
                    let deadline = run.chunk.record(run.index).map(|record| record.deadline_ms);
                    earliest = earliest.into_iter().chain(deadline.filter(|deadline| *deadline > 0)).min();
                }
                None => effects.load |= self.wants_load(),
            }
        }
        earliest
    }

    /// When the queue will have been unused for too long; None while it has consumers.
    fn unused_until(&mut self, expires: u64, now: u64, effects: &mut Effects<O>) -> Option<u64> {
        if self.consumers.len() > 0 {
            self.unused_since = None;
            return None;
        }
        let until = self.unused_since.get_or_insert(now).saturating_add(expires);
        effects.unused |= until <= now;
        (until > now).then_some(until)
    }
}

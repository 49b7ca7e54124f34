//! Handing ready messages to consumers.

use super::{Effects, Outlet, Queue, QueueKind, Reason};
use crate::broker::count::Count;
use crate::broker::message::{Returns, Run};

/// High-priority messages of a quorum queue for each low one, while both are ready (compat.md 0, row 11).
const FAVOUR: u32 = 2;

impl<O: Outlet> Queue<O> {
    /// Hands out runs while there are messages and consumers with credit.
    pub(super) fn dispatch(&mut self, now: u64, effects: &mut Effects<O>) {
        while self.ready > 0 {
            let Some(mut span) = self.next_span() else {
                effects.load |= self.consumers.next().is_some() && self.wants_load();
                return;
            };
            let Some((consumer, alone)) = self.consumers.next() else { return };
            let (window, most) = (consumer.window(), if alone { span.count } else { 1 });
            if span.chunk.is_timed() {
                let live = self.live_prefix(&span, now);
                if live == 0 {
                    self.drop_ready(span.part(0, 1), Reason::Expired, effects);
                    continue;
                }
                span = span.part(0, live);
            }
            let most = most.min(span.count);
            let fitting = span.chunk.span_end(span.index, span.index + most, window) - span.index;
            let Some((consumer, _)) = self.consumers.next() else { return };
            let count = consumer.take_credit(fitting);
            if count == 0 {
                self.consumers.rotate();
                continue;
            }
            let run = span.part(0, count);
            consumer.sent(run.count, run.bytes());
            let (id, no_ack, outlet) = (consumer.spec.id, consumer.spec.no_ack, consumer.spec.outlet.clone());
            self.consumers.rotate();
            self.totals.add(if no_ack { Count::DeliverNoAck } else { Count::Deliver }, u64::from(run.count));
            if run.redelivered {
                self.totals.add(Count::Redeliver, u64::from(run.count));
            }
            self.hand_out(&run, no_ack, effects);
            outlet.deliver(id, run);
            effects.rouse(outlet);
        }
        effects.load |= self.wants_read_ahead() && self.consumers.next().is_some() && self.wants_load();
    }

    /// The next messages that can be handed out, all from one chunk: what was returned first, then by priority and
    /// sequence. None when what is next is not in memory.
    pub(super) fn next_span(&mut self) -> Option<Run> {
        let (at, most) = self.next_level()?;
        let run = self.head(at)?;
        Some(if most < run.count { run.part(0, most) } else { run })
    }

    /// The level that is served next, and how many of its messages before another's turn.
    #[inline]
    fn next_level(&self) -> Option<(usize, u32)> {
        let is_ready = |at: usize| self.levels.at(at).ready > 0;
        if self.settings.kind == QueueKind::Quorum && is_ready(0) && is_ready(1) && !self.returned.precedes_levels() {
            let left = FAVOUR.saturating_sub(self.favoured);
            return Some(if left > 0 { (0, left) } else { (1, 1) });
        }
        (0..self.levels.len()).find(|at| is_ready(*at)).map(|at| (at, u32::MAX))
    }

    /// The next messages of a level. None when there are none in memory.
    pub(super) fn head(&mut self, at: usize) -> Option<Run> {
        let range = self.levels.at(at).range();
        if let Some((first, count)) = self.returned.first(range.clone()) {
            // Its messages are not settled, so it has an entry; its records may have to be read.
            let (start, entry) =
                self.entries.range(..=first).next_back().filter(|(_, entry)| entry.absent.is_none())?;
            let index = (first - start) as u32;
            let returns = self.counted.get(first);
            return Some(Run { chunk: entry.chunk.clone(), index, count, redelivered: true, returns });
        }
        loop {
            let first = self.first_ready_entry(at);
            let (first, entry) = self.entries.range(first..range.end).next().map(|(first, entry)| (*first, entry))?;
            let level = self.levels.at_mut(at);
            if level.middle.as_ref().is_some_and(|middle| middle.first < first) {
                return None;
            }
            let Some((from, to)) = entry.ready_span() else {
                level.cursor = entry.chunk.end();
                continue;
            };
            let chunk = entry.chunk.clone();
            let known = level.maybe_delivered.saturating_sub(first).min(u64::from(to)) as u32;
            let (mut to, redelivered) = if known > from { (known, true) } else { (to, false) };
            let mut returns = Returns::default();
            // What came back before a restart goes out by itself, with its count.
            match self.counted.first_in(first + u64::from(from)..first + u64::from(to)) {
                Some(counted) if counted == first + u64::from(from) => {
                    (to, returns) = (from + 1, self.counted.get(counted));
                }
                Some(counted) => to = (counted - first) as u32,
                None => {}
            }
            return Some(Run { chunk, index: from, count: to - from, redelivered, returns });
        }
    }

    /// Takes a run, the front of [`Queue::next_span`], out of the ready messages.
    pub(super) fn hand_out(&mut self, run: &Run, no_ack: bool, effects: &mut Effects<O>) {
        self.take_out(run);
        self.unsettled += u64::from(run.count);
        if no_ack {
            let settled = self.acknowledge(run.first(), run.count, effects);
            self.unsettled = self.unsettled.saturating_sub(u64::from(settled));
        }
    }

    /// Takes a run, the front of its level, out of the ready messages.
    pub(super) fn take_out(&mut self, run: &Run) {
        let first = run.first();
        self.ready -= u64::from(run.count);
        if self.settings.max_bytes.is_some() {
            let bodies = run.chunk.body_bytes(run.index, run.index + run.count);
            self.ready_bodies = self.ready_bodies.saturating_sub(bodies);
        }
        let returned = self.returned.take(first, run.count);
        let level = self.levels.of(first);
        level.ready -= u64::from(run.count);
        if !returned && let Some(entry) = self.entries.get_mut(&run.chunk.first()) {
            entry.next = run.index + run.count;
            level.cursor = run.chunk.first() + u64::from(entry.next);
            if let Some(middle) = &mut level.middle {
                middle.ahead = middle.ahead.saturating_sub(run.bytes() as u64);
            }
        }
        if self.settings.kind == QueueKind::Quorum && !returned {
            let high = first < self.levels.at(1).base;
            self.favoured = if high { self.favoured.saturating_add(run.count) } else { 0 };
        }
    }

    /// Key of the entry that holds the level's first message never handed out, or a key before it.
    pub(super) fn first_ready_entry(&self, at: usize) -> u64 {
        let cursor = self.levels.at(at).cursor;
        match self.entries.range(..=cursor).next_back() {
            Some((first, entry)) if entry.chunk.end() > cursor => *first,
            _ => cursor,
        }
    }
}

//! Handing ready messages to consumers.

use super::{Effects, Outlet, Queue};
use crate::broker::message::Run;

impl<O: Outlet> Queue<O> {
    /// Hands out runs while there are messages and consumers with credit.
    pub(super) fn dispatch(&mut self, effects: &mut Effects<O>) {
        while self.ready > 0 {
            let Some(span) = self.next_span() else {
                effects.load |= self.consumers.next().is_some() && self.wants_load();
                return;
            };
            let Some((consumer, alone)) = self.consumers.next() else { return };
            let most = if alone { span.count } else { 1 };
            let fitting = span.chunk.span_end(span.index, span.index + most, consumer.window()) - span.index;
            let count = consumer.take_credit(fitting);
            if count == 0 {
                self.consumers.rotate();
                continue;
            }
            let run = span.part(0, count);
            consumer.sent(run.bytes());
            let (id, no_ack, outlet) = (consumer.spec.id, consumer.spec.no_ack, consumer.spec.outlet.clone());
            self.consumers.rotate();
            self.hand_out(&run, no_ack);
            outlet.deliver(id, run);
            if !effects.wake.iter().any(|other| other.same(&outlet)) {
                effects.wake.push(outlet);
            }
        }
        effects.load |= self.wants_read_ahead() && self.consumers.next().is_some() && self.wants_load();
    }

    /// The next messages that can be handed out, all from one chunk: what was returned first, then by sequence.
    /// None when nothing is ready in memory.
    pub(super) fn next_span(&mut self) -> Option<Run> {
        if let Some((first, count)) = self.returned.first_key_value() {
            // Its messages are not settled, so it has an entry; its records may have to be read.
            let (start, entry) = self.entries.range(..=*first).next_back().filter(|(_, entry)| !entry.absent)?;
            let index = (*first - start) as u32;
            return Some(Run { chunk: entry.chunk.clone(), index, count: *count, redelivered: true });
        }
        loop {
            let first = self.first_ready_entry();
            let (first, entry) = self.entries.range(first..).next()?;
            if self.middle.as_ref().is_some_and(|middle| middle.first < *first) {
                return None;
            }
            let Some((from, to)) = entry.ready_span() else {
                self.cursor = entry.chunk.end();
                continue;
            };
            let chunk = entry.chunk.clone();
            let known = self.disk.maybe_delivered.saturating_sub(*first).min(u64::from(to)) as u32;
            let (to, redelivered) = if known > from { (known, true) } else { (to, false) };
            return Some(Run { chunk, index: from, count: to - from, redelivered });
        }
    }

    /// Takes a run, the front of [`Queue::next_span`], out of the ready messages.
    pub(super) fn hand_out(&mut self, run: &Run, no_ack: bool) {
        let first = run.first();
        self.ready -= u64::from(run.count);
        self.unsettled += u64::from(run.count);
        if let Some(count) = self.returned.remove(&first) {
            if count > run.count {
                self.returned.insert(first + u64::from(run.count), count - run.count);
            }
        } else if let Some(entry) = self.entries.get_mut(&run.chunk.first()) {
            entry.next = run.index + run.count;
            self.cursor = run.chunk.first() + u64::from(entry.next);
            self.shorten_head(run.bytes());
        }
        if no_ack {
            let settled = self.settle(first, run.count);
            self.unsettled = self.unsettled.saturating_sub(u64::from(settled));
        }
    }

    /// Key of the entry that holds the first message never handed out, or a key before it.
    pub(super) fn first_ready_entry(&self) -> u64 {
        match self.entries.range(..=self.cursor).next_back() {
            Some((first, entry)) if entry.chunk.end() > self.cursor => *first,
            _ => self.cursor,
        }
    }
}

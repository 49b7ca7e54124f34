//! Length limits (compat.md 2.4): only ready messages count.

use super::expiry::BURST;
use super::{Dead, Effects, Outlet, Overflow, Queue, Reason};
use crate::broker::message::{Chunk, Returns, Run};
use std::sync::Arc;

impl<O: Outlet> Queue<O> {
    fn has_room(&self, messages: u64, bodies: u64) -> bool {
        let (length, bytes) = (self.settings.max_length, self.settings.max_bytes);
        length.is_none_or(|max| messages <= max) && bytes.is_none_or(|max| bodies <= max)
    }

    /// Messages at the head make room until the queue is within its limits.
    pub(super) fn keep_bounds(&mut self, now: u64, effects: &mut Effects<O>) {
        if self.settings.refuses() {
            return;
        }
        let mut left = BURST;
        while !self.has_room(self.ready, self.ready_bodies) {
            let Some(run) = self.next_span() else {
                effects.load |= self.wants_load();
                return;
            };
            if left == 0 {
                effects.timer = Some(now);
                return;
            }
            let mut count = 0;
            let (mut messages, mut bodies) = (self.ready, self.ready_bodies);
            while count < run.count.min(left) && !self.has_room(messages, bodies) {
                messages -= 1;
                let index = run.index + count;
                bodies = bodies.saturating_sub(run.chunk.body_bytes(index, index + 1));
                count += 1;
            }
            left -= count;
            self.drop_ready(run.part(0, count), Reason::MaxLen, effects);
        }
    }

    /// Appends what there is room for, and what consumers take at once; the rest is refused.
    pub(super) fn enqueue_what_fits(&mut self, chunk: Chunk, level: usize, now: u64, effects: &mut Effects<O>) {
        let count = chunk.count();
        let mut taken = 0;
        loop {
            let end = self.fitting(&chunk, taken);
            if end == taken {
                break;
            }
            if (taken, end) == (0, count) {
                self.append(chunk, level);
                return;
            }
            let Some(part) = chunk.slice(taken, end) else { break };
            self.append(part, level);
            taken = end;
            if taken < count && self.damage.is_none() {
                self.dispatch(now, effects);
            }
        }
        if taken == count {
            return;
        }
        effects.refused = Some(taken);
        if self.settings.overflow == Overflow::RejectPublishDlx && self.settings.dead_letters.is_some() {
            let run = Run {
                chunk: Arc::new(chunk),
                index: taken,
                count: count - taken,
                redelivered: false,
                returns: Returns::default(),
            };
            effects.dead.push(Dead { run, reason: Reason::MaxLen, waits: false });
        }
    }

    /// The index up to which messages of `chunk` from `from` on have room. RabbitMQ looks before each message whether the
    /// queue is full; a message that finds it empty and a consumer ready needs no room.
    fn fitting(&mut self, chunk: &Chunk, from: u32) -> u32 {
        let (mut messages, mut bodies, mut end) = (self.ready, self.ready_bodies, from);
        while end < chunk.count() && self.has_room(messages + 1, bodies + chunk.body_bytes(end, end + 1)) {
            messages += 1;
            bodies += chunk.body_bytes(end, end + 1);
            end += 1;
        }
        let handed_over = end == from && end < chunk.count() && self.ready == 0 && self.consumers.next().is_some();
        if handed_over { end + 1 } else { end }
    }

    /// Counts the bodies of all ready and all durable messages: a limit for them was set on a queue that is in use.
    pub(super) fn count_bodies(&mut self) {
        self.ready_bodies = 0;
        for level in self.levels.iter_mut() {
            let middle = level.middle.as_ref();
            self.ready_bodies += middle.map_or(0, |middle| middle.bodies);
            level.bodies = middle.map_or(0, |middle| middle.bodies.saturating_sub(middle.transient_bodies));
        }
        for (first, entry) in &self.entries {
            let count = entry.chunk.count();
            self.ready_bodies += entry.bodies(entry.next, count);
            if entry.chunk.durable() {
                self.levels.of(*first).bodies += entry.open_bodies();
            }
        }
        for (first, count) in self.returned.spans() {
            if let Some((start, entry)) = self.entries.range(..=first).next_back() {
                let from = (first - start) as u32;
                self.ready_bodies += entry.bodies(from, from + count);
            }
        }
    }
}

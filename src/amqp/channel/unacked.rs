//! Deliveries of a channel that are not settled, by delivery tag.

use crate::broker::identity::ConsumerId;
use crate::broker::message::Span;
use crate::engine::QueueHandle;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// A run whose messages have consecutive delivery tags.
#[derive(Debug)]
pub struct UnackedRun<Q = QueueHandle> {
    /// Delivery tag of the run's first message.
    pub first: u64,
    /// The queue it came from.
    pub queue: Arc<Q>,
    /// The consumer it went to; None for `basic.get`.
    pub consumer: Option<ConsumerId>,
    /// The messages.
    pub span: Span,
    /// When they were delivered.
    pub since: Instant,
    /// They went back to the queue, unasked: whatever the client says of their tags is accepted and means nothing.
    revoked: bool,
}

impl<Q> UnackedRun<Q> {
    /// The messages `skip..skip + count` of this run.
    pub fn part(&self, skip: u32, count: u32) -> UnackedRun<Q> {
        UnackedRun {
            first: self.first + u64::from(skip),
            queue: self.queue.clone(),
            consumer: self.consumer,
            span: self.span.part(skip, count),
            since: self.since,
            revoked: self.revoked,
        }
    }

    fn drop_front(&mut self, count: u32) {
        self.first += u64::from(count);
        self.span = self.span.part(count, self.span.count - count);
    }
}

/// All unsettled deliveries of a channel.
///
/// A run is found by a key that is at most its first tag and greater than every tag before it: a run that loses messages
/// at its front keeps its key.
#[derive(Debug)]
pub struct Unacked<Q = QueueHandle> {
    runs: BTreeMap<u64, UnackedRun<Q>>,
    /// Messages of the runs that are not revoked.
    held: u64,
}

impl<Q> Default for Unacked<Q> {
    fn default() -> Self {
        Unacked { runs: BTreeMap::new(), held: 0 }
    }
}

impl<Q> Unacked<Q> {
    /// Remembers a delivered run. Tags only grow.
    pub fn insert(&mut self, first: u64, queue: Arc<Q>, consumer: Option<ConsumerId>, span: Span, since: Instant) {
        self.held += u64::from(span.count);
        self.runs.insert(first, UnackedRun { first, queue, consumer, span, since, revoked: false });
    }

    /// Deliveries that are not settled.
    #[inline]
    pub fn len(&self) -> u64 {
        self.held
    }

    /// All runs that are not revoked, in order of tags.
    pub fn iter(&self) -> impl Iterator<Item = &UnackedRun<Q>> {
        self.runs.values().filter(|run| !run.revoked)
    }

    /// Revokes what a consumer holds; `each` gets every run. The tags stay known until they are settled.
    pub fn revoke(&mut self, consumer: ConsumerId, mut each: impl FnMut(&UnackedRun<Q>)) {
        for run in self.runs.values_mut().filter(|run| run.consumer == Some(consumer) && !run.revoked) {
            each(run);
            run.revoked = true;
            self.held = self.held.saturating_sub(u64::from(run.span.count));
        }
    }

    /// Takes back a run that was taken: its tags are unsettled again.
    pub fn restore(&mut self, run: UnackedRun<Q>) {
        if !run.revoked {
            self.held += u64::from(run.span.count);
        }
        // A run that has lost these messages at its front may stand under one of their tags.
        if let Some((key, other)) = self.runs.range(..=run.first).next_back()
            && other.first > run.first
        {
            let key = *key;
            if let Some(other) = self.runs.remove(&key) {
                self.runs.insert(other.first, other);
            }
        }
        self.runs.insert(run.first, run);
    }

    /// Whether nothing is unsettled.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Takes one tag, or with `multiple` all up to it (0: all). `each` gets the run before it shrinks, and which messages
    /// of it are taken: how many to skip, and how many; revoked runs it does not get. False, and nothing is taken, when the
    /// tag is not unsettled.
    pub fn take(&mut self, tag: u64, multiple: bool, mut each: impl FnMut(&UnackedRun<Q>, u32, u32)) -> bool {
        let mut taken = 0;
        let mut each = |run: &UnackedRun<Q>, skip, count| {
            if !run.revoked {
                taken += u64::from(count);
                each(run, skip, count);
            }
        };
        let known = if multiple {
            if tag != 0 && self.find(tag).is_none() {
                return false;
            }
            self.take_up_to(if tag == 0 { u64::MAX } else { tag }, &mut each);
            true
        } else {
            self.take_one(tag, &mut each)
        };
        self.held = self.held.saturating_sub(taken);
        known
    }

    /// Takes everything that is not revoked, in order of tags.
    pub fn drain(&mut self) -> impl Iterator<Item = UnackedRun<Q>> + use<Q> {
        self.held = 0;
        std::mem::take(&mut self.runs).into_values().filter(|run| !run.revoked)
    }

    /// The key of the run that holds a tag, and the tag's place in the run.
    fn find(&self, tag: u64) -> Option<(u64, u32)> {
        let (key, held) = self.runs.range(..=tag).next_back()?;
        let skip = tag.checked_sub(held.first).and_then(|skip| u32::try_from(skip).ok())?;
        (skip < held.span.count).then_some((*key, skip))
    }

    fn take_one(&mut self, tag: u64, each: &mut impl FnMut(&UnackedRun<Q>, u32, u32)) -> bool {
        let Some((key, held)) = self.runs.range_mut(..=tag).next_back() else { return false };
        let key = *key;
        let skip = match tag.checked_sub(held.first).map(u32::try_from) {
            Some(Ok(skip)) if skip < held.span.count => skip,
            _ => return false,
        };
        each(held, skip, 1);
        let behind = held.span.count - skip - 1;
        if held.span.count == 1 {
            self.runs.remove(&key);
        } else if skip == 0 {
            held.drop_front(1);
        } else {
            let rest = held.part(skip + 1, behind);
            held.span.count = skip;
            if behind > 0 {
                self.runs.insert(rest.first, rest);
            }
        }
        true
    }

    fn take_up_to(&mut self, tag: u64, each: &mut impl FnMut(&UnackedRun<Q>, u32, u32)) {
        while let Some(mut entry) = self.runs.first_entry() {
            let held = entry.get_mut();
            let Some(span) = tag.checked_sub(held.first) else { return };
            let count = span.saturating_add(1).min(held.span.count.into()) as u32;
            each(held, 0, count);
            if count < held.span.count {
                held.drop_front(count);
                return;
            }
            entry.remove();
        }
    }
}

#[cfg(test)]
#[path = "unacked_tests.rs"]
mod tests;

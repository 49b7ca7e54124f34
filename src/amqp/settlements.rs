//! Settled messages on their way to their queues: the acks of a turn are handed over with one lock a queue.

use crate::broker::identity::ConsumerId;
use crate::broker::message::Span;
use crate::engine::{QueueHandle, Session};
use std::sync::Arc;

/// Queues and consumers collected before something is handed over.
const GROUPS: usize = 16;

/// Messages that were acknowledged or discarded during one turn.
#[derive(Debug, Default)]
pub(super) struct Settlements {
    groups: Vec<Group>,
}

#[derive(Debug)]
struct Group {
    queue: Arc<QueueHandle>,
    consumer: Option<ConsumerId>,
    /// First sequence number and count, each within one chunk.
    spans: Vec<(u64, u32)>,
    /// Where the chunk of the last span ends.
    chunk_end: u64,
}

impl Settlements {
    /// Adds the messages `skip..skip + count` of a span.
    #[inline]
    pub fn add(
        &mut self,
        session: &Session,
        queue: &Arc<QueueHandle>,
        consumer: Option<ConsumerId>,
        span: Span,
        (skip, count): (u32, u32),
    ) {
        let first = span.first + u64::from(skip);
        let known =
            self.groups.iter_mut().rev().find(|group| group.consumer == consumer && Arc::ptr_eq(&group.queue, queue));
        if let Some(group) = known {
            group.add(first, count, span.chunk_end);
            return;
        }
        if self.groups.len() >= GROUPS {
            self.flush(session);
        }
        let spans = vec![(first, count)];
        self.groups.push(Group { queue: queue.clone(), consumer, spans, chunk_end: span.chunk_end });
    }

    /// Hands everything to the queues. What this frees is delivered at once.
    pub fn flush(&mut self, session: &Session) {
        for group in self.groups.drain(..) {
            session.settle(&group.queue, group.spans, group.consumer);
        }
    }
}

impl Group {
    fn add(&mut self, first: u64, count: u32, chunk_end: u64) {
        match self.spans.last_mut() {
            Some(last) if last.0 + u64::from(last.1) == first && first < self.chunk_end => last.1 += count,
            _ => self.spans.push((first, count)),
        }
        self.chunk_end = chunk_end;
    }
}

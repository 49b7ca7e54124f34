//! Routes, and the chunks that a connection packs during one turn.

use super::session::Session;
use super::{Epoch, QueueHandle};
use crate::broker::identity::QueueId;
use crate::broker::message::{ChunkBuilder, Parts};
use crate::broker::queue::Command;
use crate::limits::TURN_BYTES;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::sync::Arc;

/// The queues that a message goes to. Good while the topology has the same version.
#[derive(Clone, Debug, Default)]
pub struct Route {
    pub(super) targets: SmallVec<[Arc<QueueHandle>; 1]>,
}

impl Route {
    /// Whether it leads nowhere.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }
}

/// Pending chunks are kept with their queues for the next turn up to this many.
const KEPT: usize = 8;

/// Messages packed by a connection during one turn, per target queue.
#[derive(Debug, Default)]
pub struct Batch {
    pending: Vec<Pending>,
    /// Where a queue's pending chunk is, once there are many.
    index: HashMap<QueueId, usize>,
    bytes: usize,
    /// The same, once for each queue.
    spread: usize,
    /// Something durable was handed over since the last flush.
    durable: bool,
}

#[derive(Debug)]
struct Pending {
    queue: Arc<QueueHandle>,
    builder: ChunkBuilder,
}

impl Batch {
    /// Adds a message for every queue of `route`.
    pub fn push(&mut self, session: &Session, route: &Route, parts: &Parts<'_>) {
        for queue in &route.targets {
            let at = self.position(queue);
            let Some(pending) = self.pending.get_mut(at) else { continue };
            if !pending.builder.fits(parts) {
                self.durable |= pending.hand_over(session);
            }
            pending.builder.push(parts);
        }
        self.bytes += parts.record_len();
        self.spread += parts.record_len() * route.targets.len();
    }

    /// Hands everything over. Returns the epoch that a confirm of these messages waits for; None when none is durable.
    pub fn flush(&mut self, session: &Session) -> Option<Epoch> {
        if self.bytes == 0 {
            return None;
        }
        for pending in &mut self.pending {
            self.durable |= pending.hand_over(session);
        }
        if self.pending.len() > KEPT {
            self.pending.clear();
            self.index.clear();
        }
        self.bytes = 0;
        self.spread = 0;
        let committer = session.broker().committer();
        if session.broker().memory().is_short() {
            committer.nudge();
        }
        // Read after the appends: see store::committer.
        std::mem::take(&mut self.durable).then(|| committer.open_epoch())
    }

    /// Bytes of the messages pushed since the last flush.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether so much was pushed since the last flush, all queues counted, that the turn has to end.
    pub fn is_full(&self) -> bool {
        self.spread >= TURN_BYTES
    }

    fn position(&mut self, queue: &Arc<QueueHandle>) -> usize {
        if self.pending.len() <= KEPT {
            let known = self.pending.iter().position(|pending| Arc::ptr_eq(&pending.queue, queue));
            if let Some(at) = known {
                return at;
            }
        } else if let Some(at) = self.index.get(&queue.id()) {
            return *at;
        }
        self.pending.push(Pending { queue: queue.clone(), builder: ChunkBuilder::default() });
        if self.pending.len() == KEPT + 1 {
            self.index = self.pending.iter().enumerate().map(|(at, pending)| (pending.queue.id(), at)).collect();
        } else if self.pending.len() > KEPT {
            self.index.insert(queue.id(), self.pending.len() - 1);
        }
        self.pending.len() - 1
    }
}

impl Pending {
    /// Hands the chunk to its queue; true when it is to be stored.
    fn hand_over(&mut self, session: &Session) -> bool {
        if self.builder.is_empty() {
            return false;
        }
        let broker = session.broker();
        let durable = self.builder.persistent() && self.queue.definition().is_stored();
        let chunk = self.builder.finish(durable, broker.memory().ledger());
        if durable {
            broker.committer().appended(chunk.bytes().len() as u64);
        }
        self.queue.apply(broker, Command::Enqueue(chunk));
        durable
    }
}

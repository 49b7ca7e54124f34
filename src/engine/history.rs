//! The histories of `x-recent-history` exchanges, shared between those who publish to them and those who bind.
//!
//! A binding's replay is what the history held when the binding took effect. A message that is published just then on another
//! connection is delivered once at most: it may be missing from the replay, never be there twice.

use super::broker::Broker;
use super::publish::{Batch, Route};
use crate::broker::history::History;
use crate::broker::message::{Chunk, Ledger, Parts};
use parking_lot::Mutex;
use std::sync::Arc;

/// The history of one exchange.
#[derive(Debug)]
pub(super) struct SharedHistory(Mutex<History>);

impl SharedHistory {
    pub fn new(length: usize) -> Arc<SharedHistory> {
        Arc::new(SharedHistory(Mutex::new(History::new(length))))
    }

    pub fn keep(&self, parts: &Parts<'_>, ledger: &Arc<Ledger>) {
        self.0.lock().keep(parts, ledger);
    }

    /// The messages so far.
    pub fn messages(&self) -> Vec<Arc<Chunk>> {
        self.0.lock().messages().cloned().collect()
    }
}

/// Publishes the messages, each where `route` says.
pub(super) fn replay(broker: &Broker, messages: &[Arc<Chunk>], route: impl Fn(&Parts<'_>) -> Route) {
    let mut batch = Batch::default();
    for record in messages.iter().filter_map(|chunk| chunk.record(0)) {
        let parts = Parts {
            exchange_and_key: record.exchange_and_key,
            header: record.header,
            body: record.body,
            persistent: record.persistent,
            priority: record.priority,
            deadline_ms: record.deadline_ms,
            died: record.died,
            detached: None,
        };
        batch.push(broker, &route(&parts), &parts, None);
        if batch.is_full() {
            batch.flush(broker);
        }
    }
    // Nobody waits for it: a replay is nobody's publish.
    batch.flush(broker);
}

//! The last messages of an `x-recent-history` exchange (compat.md 2.11): replayed to each new binding.
//!
//! They are in memory only, as in RabbitMQ: a restart forgets them. What is kept is bounded twice, by the number that the
//! exchange asks for and by [`HISTORY_BYTES`]; it counts against the node's memory budget.

use super::content::Content;
use super::message::{Chunk, ChunkBuilder, Ledger, Parts};
use crate::limits::HISTORY_BYTES;
use crate::value::Value;
use std::collections::VecDeque;
use std::sync::Arc;

/// A message with this header, true, is not kept.
const NO_STORE: &str = "x-recent-history-no-store";

/// The last messages of an exchange, the oldest first.
#[derive(Debug)]
pub struct History {
    length: usize,
    bytes: usize,
    /// A chunk of one message each.
    kept: VecDeque<Arc<Chunk>>,
}

impl History {
    /// A history of at most so many messages.
    pub fn new(length: usize) -> History {
        History { length, bytes: 0, kept: VecDeque::new() }
    }

    /// Keeps a message, unless it says that it is not to be; older ones make room.
    pub fn keep(&mut self, parts: &Parts<'_>, ledger: &Arc<Ledger>) {
        let unwanted = Content::parse(parts.header).and_then(|content| content.header(NO_STORE));
        if unwanted == Some(Value::Bool(true)) {
            return;
        }
        let mut builder = ChunkBuilder::default();
        // Its own bound counts what it keeps, so it shares nothing.
        builder.push(&Parts { detached: None, ..*parts });
        let chunk = Arc::new(builder.finish(false, ledger));
        self.bytes += chunk.memory();
        self.kept.push_back(chunk);
        // The last message stays, however large: a message has a bound of its own.
        while self.kept.len() > self.length || (self.bytes > HISTORY_BYTES && self.kept.len() > 1) {
            let Some(oldest) = self.kept.pop_front() else { break };
            self.bytes -= oldest.memory();
        }
    }

    /// The messages, the oldest first, each a chunk of its own.
    pub fn messages(&self) -> impl ExactSizeIterator<Item = &Arc<Chunk>> {
        self.kept.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::content::tests::payload;

    fn bodies(history: &History) -> Vec<Vec<u8>> {
        history.messages().map(|chunk| chunk.record(0).unwrap().body.to_vec()).collect()
    }

    fn keep(history: &mut History, header: &[u8], body: &[u8], ledger: &Arc<Ledger>) {
        let names = b"\x01x\x01k";
        let (persistent, priority, deadline_ms, died) = (false, 0, 0, false);
        let detached = None;
        let parts = Parts { exchange_and_key: names, header, body, persistent, priority, deadline_ms, died, detached };
        history.keep(&parts, ledger);
    }

    #[test]
    fn the_last_ones_are_kept_and_not_those_that_do_not_want_it() {
        let (mut history, ledger) = (History::new(2), Arc::default());
        let plain = payload(b"", None);
        let unwanted = payload(b"\x19x-recent-history-no-storet\x01", None);
        let wanted = payload(b"\x19x-recent-history-no-storet\0", None);
        for (header, body) in [(&plain, b"1"), (&plain, b"2"), (&unwanted, b"3"), (&wanted, b"4")] {
            keep(&mut history, header, body, &ledger);
        }
        assert_eq!(bodies(&history), [b"2", b"4"]);
        drop(history);
        assert_eq!(ledger.bytes(), 0);
    }

    #[test]
    fn large_messages_push_others_out_but_the_last_stays() {
        let (mut history, ledger) = (History::new(1000), Arc::default());
        let (header, body) = (payload(b"", None), vec![0; HISTORY_BYTES / 4]);
        for _ in 0..9 {
            keep(&mut history, &header, &body, &ledger);
        }
        assert_eq!(history.messages().len(), 3);
        assert!(ledger.bytes() <= HISTORY_BYTES as i64);
        keep(&mut history, &header, &vec![0; HISTORY_BYTES * 2], &ledger);
        assert_eq!(history.messages().len(), 1);
        keep(&mut history, &header, b"small", &ledger);
        assert_eq!(bodies(&history), [b"small"]);
    }
}

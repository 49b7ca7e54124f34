//! What a queue has for the disk, and its state there.

use super::entry::{Entry, Settled};
use super::paging::Middle;
use super::{Outlet, Queue};
use crate::broker::message::Chunk;
use crate::limits::HEAD_BYTES;
use std::collections::VecDeque;
use std::sync::Arc;

/// What recovery needs of a durable queue without reading its messages; written with every commit that touches it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueState {
    /// The next message's number.
    pub next_sequence: u64,
    /// No stored message has a lower number.
    pub first: u64,
    /// Stored messages that are not settled.
    pub messages: u64,
    /// Bytes of their records.
    pub bytes: u64,
    /// Messages below were possibly delivered. An unclean stop makes it `next_sequence`.
    pub maybe_delivered: u64,
}

/// A stored chunk of which nothing is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// Its first sequence number.
    pub first: u64,
    /// Whether it was stored as durable.
    pub durable: bool,
    /// Whether settlements of it were stored too.
    pub settled: bool,
}

/// What one commit writes for a queue.
#[derive(Debug, Default)]
pub struct Collected {
    /// Durable chunks to store.
    pub puts: Vec<Arc<Chunk>>,
    /// Chunks to store without log, to free memory.
    pub spills: Vec<Arc<Chunk>>,
    /// Chunks of which some messages are settled.
    pub settled: Vec<(u64, Settled)>,
    /// Stored chunks that are settled.
    pub deletes: Vec<Deleted>,
    /// Ranges of sequence numbers of which nothing is left.
    pub dropped: Vec<(u64, u64)>,
    /// The queue's state after all that; None for a transient queue.
    pub state: Option<QueueState>,
    /// The room given was not enough: there is more for the same epoch.
    pub more: bool,
}

/// Book-keeping for the next commit.
#[derive(Debug)]
pub(super) struct Disk {
    announced: bool,
    pub changed: bool,
    /// Durable chunks not yet collected.
    fresh: VecDeque<u64>,
    /// The epoch being collected and the first message that is not its own: what arrives while an epoch is written in
    /// pieces belongs to the next one, or a fast publisher could keep it open.
    collecting: (u64, u64),
    touched: Vec<u64>,
    deletes: Vec<Deleted>,
    pub dropped: Vec<(u64, u64)>,
    /// Whether transient chunks were ever written.
    pub spilled: bool,
    /// The chunk of requeued messages that is being read.
    pub fetching: Option<u64>,
    /// Ready bytes that are kept in memory at the head.
    pub head: usize,
    pub messages: u64,
    pub bytes: u64,
    /// Messages below this number may have been delivered before the last restart.
    pub maybe_delivered: u64,
}

impl Default for Disk {
    fn default() -> Disk {
        Disk {
            announced: false,
            changed: false,
            fresh: VecDeque::new(),
            collecting: (0, 0),
            touched: Vec::new(),
            deletes: Vec::new(),
            dropped: Vec::new(),
            spilled: false,
            fetching: None,
            head: HEAD_BYTES,
            messages: 0,
            bytes: 0,
            maybe_delivered: 0,
        }
    }
}

impl Disk {
    /// True once when there is something for the disk since the last collection.
    pub fn announce(&mut self) -> bool {
        let first = self.changed && !self.announced;
        self.announced |= self.changed;
        first
    }

    pub fn fresh(&mut self, chunk: &Chunk) {
        self.fresh.push_back(chunk.first());
        self.messages += u64::from(chunk.count());
        self.bytes += chunk.bytes().len() as u64;
        self.changed = true;
    }

    pub fn settled(&mut self, messages: u32, bytes: usize) {
        self.messages = self.messages.saturating_sub(u64::from(messages));
        self.bytes = self.bytes.saturating_sub(bytes as u64);
        self.changed = true;
    }

    pub fn touched(&mut self, first: u64) {
        self.touched.push(first);
        self.changed = true;
    }

    /// A chunk is settled: what was stored of it has to go. What was never collected leaves no trace.
    pub fn gone(&mut self, entry: &Entry) {
        if entry.stored.is_some() {
            let (first, durable) = (entry.chunk.first(), entry.chunk.durable());
            self.deletes.push(Deleted { first, durable, settled: entry.settled_stored });
            self.changed = true;
        }
    }
}

impl<O: Outlet> Queue<O> {
    /// A durable queue as it was stored, its messages on disk only.
    pub fn recover(auto_delete: bool, state: QueueState) -> Queue<O> {
        let mut queue = Queue::new(true, auto_delete);
        queue.next_sequence = state.next_sequence;
        queue.cursor = state.first;
        queue.ready = state.messages;
        queue.disk.messages = state.messages;
        queue.disk.bytes = state.bytes;
        queue.disk.maybe_delivered = state.maybe_delivered;
        if state.messages > 0 {
            let (first, end) = (state.first, state.next_sequence);
            queue.middle = Some(Middle {
                first,
                end,
                messages: state.messages,
                transient: 0,
                bytes: state.bytes,
                loading: false,
                ahead: 0,
            });
        }
        queue
    }

    /// Takes what the commit of `epoch` has to write, chunks only while `room` bytes are left. Records that are settled
    /// already were left out by [`Disk::gone`]. With `spill`, transient chunks are included but for that many bytes at the
    /// head: what [`Queue::evict`] keeps, or else chunks that are to leave memory would stay.
    pub fn collect(&mut self, epoch: u64, spill: Option<usize>, room: &mut usize) -> Collected {
        self.disk.announced = false;
        self.disk.changed = false;
        if self.disk.collecting.0 != epoch {
            self.disk.collecting = (epoch, self.next_sequence);
        }
        let mut collected = Collected::default();
        self.collect_fresh(epoch, room, &mut collected);
        for first in std::mem::take(&mut self.disk.touched) {
            if let Some(entry) = self.entries.get_mut(&first) {
                entry.touched = false;
                if entry.chunk.durable() {
                    entry.settled_stored = true;
                    collected.settled.push((first, entry.settled.clone()));
                }
            }
        }
        collected.deletes = std::mem::take(&mut self.disk.deletes);
        collected.dropped = std::mem::take(&mut self.disk.dropped);
        if let Some(keep) = spill {
            self.collect_spills(epoch, keep, room, &mut collected);
        }
        collected.state = self.durable.then(|| self.state());
        collected
    }

    fn collect_fresh(&mut self, epoch: u64, room: &mut usize, collected: &mut Collected) {
        let end = self.disk.collecting.1;
        while let Some(first) = self.disk.fresh.front().copied().filter(|first| *first < end) {
            if *room == 0 {
                collected.more = true;
                return;
            }
            self.disk.fresh.pop_front();
            if let Some(entry) = self.entries.get_mut(&first) {
                *room = room.saturating_sub(entry.chunk.bytes().len());
                entry.stored = Some(epoch);
                collected.puts.push(entry.chunk.clone());
                if entry.settled.count() > 0 {
                    entry.settled_stored = true;
                    collected.settled.push((first, entry.settled.clone()));
                }
            }
        }
    }

    /// The queue's state for the disk, as if the node stopped uncleanly after it.
    pub fn state(&self) -> QueueState {
        let first = self.entries.first_key_value().map_or(self.next_sequence, |(first, _)| *first);
        let first = self.middle.map_or(first, |middle| first.min(middle.first));
        // What is not collected yet is not on disk, and not counted.
        let uncollected = || self.disk.fresh.iter().filter_map(|first| self.entries.get(first));
        let messages = uncollected().map(|entry| u64::from(entry.chunk.count() - entry.settled.count())).sum();
        let bytes = uncollected().map(|entry| entry.chunk.bytes().len() as u64).sum();
        QueueState {
            next_sequence: self.next_sequence,
            first,
            messages: self.disk.messages.saturating_sub(messages),
            bytes: self.disk.bytes.saturating_sub(bytes),
            maybe_delivered: self.cursor.max(self.disk.maybe_delivered),
        }
    }
}

//! What a queue has for the disk, what it has only there, and how it comes back.

use super::entry::{Entry, Settled};
use super::{Effects, Outlet, Queue};
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

/// A chunk read from disk.
#[derive(Debug)]
pub struct StoredChunk {
    /// The messages.
    pub chunk: Chunk,
    /// Those settled before.
    pub settled: Settled,
}

/// Messages that are only on disk: O(1) memory however many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Middle {
    pub first: u64,
    pub end: u64,
    pub messages: u64,
    pub bytes: u64,
    pub loading: bool,
    /// Ready bytes in memory before it.
    pub ahead: u64,
}

/// What to read from disk for the head of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadRequest {
    /// First sequence number wanted.
    pub first: u64,
    /// Sequence number after the last that can be there.
    pub end: u64,
    /// Bytes wanted.
    pub bytes: usize,
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
#[derive(Debug, Default)]
pub(super) struct Disk {
    announced: bool,
    changed: bool,
    /// Durable chunks not yet collected.
    fresh: VecDeque<u64>,
    touched: Vec<u64>,
    deletes: Vec<Deleted>,
    dropped: Vec<(u64, u64)>,
    /// Whether transient chunks were ever written.
    spilled: bool,
    messages: u64,
    bytes: u64,
    /// Messages below this number may have been delivered before the last restart.
    pub maybe_delivered: u64,
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
            queue.middle =
                Some(Middle { first, end, messages: state.messages, bytes: state.bytes, loading: false, ahead: 0 });
        }
        queue
    }

    /// Takes what the commit of `epoch` has to write, chunks only while `room` bytes are left. Records that are settled
    /// already were left out by [`Disk::gone`]. With `spill`, transient chunks are included but for that many bytes at the
    /// head: what [`Queue::evict`] keeps, or else chunks that are to leave memory would stay.
    pub fn collect(&mut self, epoch: u64, spill: Option<usize>, room: &mut usize) -> Collected {
        self.disk.announced = false;
        self.disk.changed = false;
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
        while let Some(first) = self.disk.fresh.front().copied() {
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

    /// Drops chunks from memory that are on disk (`done` is the last finished epoch), but for `keep` bytes at the head.
    pub fn evict(&mut self, done: u64, keep: usize) {
        for first in self.evictable(keep) {
            let Some(entry) = self.entries.get(&first) else { return };
            let untouched = entry.next == 0 && entry.settled.count() == 0;
            if !untouched || entry.stored.is_none_or(|epoch| epoch > done) {
                return;
            }
            let (messages, bytes) = (u64::from(entry.chunk.count()), entry.chunk.bytes().len() as u64);
            let end = entry.chunk.end();
            let ahead = match &self.middle {
                Some(middle) => middle.ahead,
                None => self.ready_bytes_before(first),
            };
            let start = Middle { first, end, messages: 0, bytes: 0, loading: false, ahead };
            let middle = self.middle.get_or_insert(start);
            middle.end = end;
            middle.messages += messages;
            middle.bytes += bytes;
            self.entries.remove(&first);
        }
    }

    /// Whether the queue holds chunks in memory beyond `keep` bytes at its head.
    pub fn is_long(&self, keep: usize) -> bool {
        !self.evictable(keep).is_empty()
    }

    /// Whether transient messages of this queue were written to disk.
    pub fn has_spilled(&self) -> bool {
        self.disk.spilled
    }

    /// What to read next from disk; None when nothing is there or it is being read.
    pub fn load_request(&mut self) -> Option<LoadRequest> {
        let middle = self.middle.as_mut().filter(|middle| !middle.loading)?;
        middle.loading = true;
        Some(LoadRequest { first: middle.first, end: middle.end, bytes: HEAD_BYTES })
    }

    /// A read failed: the request can be made again.
    pub fn load_failed(&mut self) {
        if let Some(middle) = &mut self.middle {
            middle.loading = false;
        }
    }

    pub(super) fn loaded(&mut self, first: u64, chunks: Vec<StoredChunk>, end: u64, effects: &mut Effects<O>) {
        // A purge may have dropped what was being read.
        let Some(middle) = self.middle.as_mut().filter(|middle| middle.first == first) else { return };
        middle.loading = false;
        for StoredChunk { chunk, settled } in chunks {
            let live = chunk.count().saturating_sub(settled.count());
            middle.messages = middle.messages.saturating_sub(u64::from(live));
            let bytes = chunk.bytes().len() as u64;
            middle.bytes = middle.bytes.saturating_sub(bytes);
            middle.ahead += bytes;
            let chunk = Arc::new(chunk);
            if live > 0 {
                self.entries.insert(chunk.first(), Entry::from_disk(chunk, settled));
            } else {
                self.disk.gone(&Entry::from_disk(chunk, settled));
            }
        }
        middle.first = end.max(middle.first);
        if middle.first >= middle.end {
            let missing = middle.messages;
            self.middle = None;
            if missing > 0 {
                self.ready = self.ready.saturating_sub(missing);
                self.disk.messages = self.disk.messages.saturating_sub(missing);
                effects.damage = Some(format!("{missing} messages are not on disk where they should be"));
            }
        }
    }

    pub(super) fn wants_load(&self) -> bool {
        self.middle.is_some_and(|middle| !middle.loading)
    }

    /// Whether the head in memory is short while more is on disk.
    pub(super) fn wants_read_ahead(&self) -> bool {
        self.middle.is_some_and(|middle| middle.ahead < HEAD_BYTES as u64 / 2)
    }

    /// Messages of the head were handed out.
    pub(super) fn shorten_head(&mut self, bytes: usize) {
        if let Some(middle) = &mut self.middle {
            middle.ahead = middle.ahead.saturating_sub(bytes as u64);
        }
    }

    fn ready_bytes_before(&self, end: u64) -> u64 {
        let head = self.entries.range(self.first_ready_entry()..end).map(|(_, entry)| entry);
        head.map(|entry| entry.chunk.span_bytes(entry.next, entry.chunk.count()) as u64).sum()
    }

    pub(super) fn drop_middle(&mut self) {
        if let Some(middle) = self.middle.take() {
            self.disk.dropped.push((middle.first, middle.end));
            let durable = || self.entries.values().filter(|entry| entry.chunk.durable());
            self.disk.messages = durable().map(|entry| u64::from(entry.chunk.count() - entry.settled.count())).sum();
            self.disk.bytes = durable().map(|entry| entry.chunk.bytes().len() as u64).sum();
            self.disk.changed = true;
        }
    }

    fn collect_spills(&mut self, epoch: u64, keep: usize, room: &mut usize, collected: &mut Collected) {
        for first in self.evictable(keep) {
            if *room == 0 {
                collected.more = true;
                return;
            }
            if let Some(entry) = self.entries.get_mut(&first)
                && entry.stored.is_none()
                && !entry.chunk.durable()
            {
                entry.stored = Some(epoch);
                self.disk.spilled = true;
                *room = room.saturating_sub(entry.chunk.bytes().len());
                collected.spills.push(entry.chunk.clone());
            }
        }
    }

    /// Keys of the chunks that may leave memory, in order: those behind the middle, or behind `keep` ready bytes.
    fn evictable(&self, keep: usize) -> Vec<u64> {
        if let Some(middle) = &self.middle {
            return self.entries.range(middle.end..).map(|(first, _)| *first).collect();
        }
        let mut kept = 0;
        let ready = self.entries.range(self.first_ready_entry()..);
        let beyond = ready.skip_while(|(_, entry)| {
            kept += entry.chunk.memory();
            kept <= keep || entry.next > 0
        });
        beyond.map(|(first, _)| *first).collect()
    }
}

//! What leaves memory when it is short, and how it comes back: the middle of a long queue, and the records of messages
//! in consumers' hands.

use super::entry::{Entry, Settled};
use super::storage::Collected;
use super::{Effects, Outlet, Queue};
use crate::broker::message::Chunk;
use std::sync::Arc;

/// Chunks smaller than this stay when their messages are in consumers' hands, in bytes of memory.
const ABSENT_BYTES: usize = 4 * 1024;

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
    /// How many of them are transient.
    pub transient: u64,
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

impl<O: Outlet> Queue<O> {
    /// Drops chunks from memory that are on disk (`done` is the last finished epoch), but for `keep` bytes at the head.
    pub fn evict(&mut self, done: u64, keep: usize) {
        self.evict_unsettled(done, keep);
        for first in self.evictable(keep) {
            let Some(entry) = self.entries.get(&first) else { return };
            let untouched = entry.next == 0 && entry.settled.count() == 0;
            if !untouched || entry.stored.is_none_or(|epoch| epoch > done) {
                return;
            }
            let (messages, bytes) = (u64::from(entry.chunk.count()), entry.chunk.bytes().len() as u64);
            let (end, transient) = (entry.chunk.end(), !entry.chunk.durable());
            let ahead = match &self.middle {
                Some(middle) => middle.ahead,
                None => self.ready_bytes_before(first),
            };
            let start = Middle { first, end, messages: 0, transient: 0, bytes: 0, loading: false, ahead };
            let middle = self.middle.get_or_insert(start);
            middle.end = end;
            middle.messages += messages;
            middle.transient += if transient { messages } else { 0 };
            middle.bytes += bytes;
            self.entries.remove(&first);
        }
    }

    /// Drops the records of messages in consumers' hands that are on disk, but for the oldest `keep` bytes: those are
    /// acknowledged first. If they come back, they are read again.
    fn evict_unsettled(&mut self, done: u64, keep: usize) {
        for first in self.unsettled_beyond(keep) {
            let Some(entry) = self.entries.get_mut(&first) else { continue };
            if entry.stored.is_some_and(|epoch| epoch <= done)
                && let Some(absent) = entry.chunk.thin_out(Vec::new())
            {
                entry.chunk = Arc::new(absent);
                entry.absent = true;
            }
        }
    }

    /// Keys of the chunks that are all in consumers' hands, beyond the oldest `keep` bytes.
    fn unsettled_beyond(&self, keep: usize) -> Vec<u64> {
        let mut kept = 0;
        let held = self.entries.range(..self.first_ready_entry()).filter(|(first, entry)| {
            let returned = self.returned.range(**first..entry.chunk.end()).next().is_some();
            !entry.absent && !returned && entry.next == entry.chunk.count()
        });
        let beyond = held.skip_while(|(_, entry)| {
            kept += entry.chunk.memory();
            kept <= keep
        });
        beyond.filter(|(_, entry)| entry.chunk.memory() >= ABSENT_BYTES).map(|(first, _)| *first).collect()
    }

    /// Whether the queue holds chunks in memory beyond `keep` bytes at its head.
    pub fn is_long(&self, keep: usize) -> bool {
        !self.evictable(keep).is_empty() || !self.unsettled_beyond(keep).is_empty()
    }

    /// Whether transient messages of this queue were written to disk.
    pub fn has_spilled(&self) -> bool {
        self.disk.spilled
    }

    /// What to read next from disk, `head` bytes of it; None when nothing is there or it is being read.
    pub fn load_request(&mut self, head: usize) -> Option<LoadRequest> {
        if let Some(first) = self.absent_front().filter(|_| self.disk.fetching.is_none()) {
            let entry = self.entries.get(&first)?;
            self.disk.fetching = Some(first);
            return Some(LoadRequest { first, end: entry.chunk.end(), bytes: 1 });
        }
        let middle = self.middle.as_mut().filter(|middle| !middle.loading)?;
        middle.loading = true;
        self.disk.head = head;
        Some(LoadRequest { first: middle.first, end: middle.end, bytes: head })
    }

    /// A read found no space, which is not the fault of what is read: the request can be made again.
    pub fn load_again(&mut self) {
        self.disk.fetching = None;
        if let Some(middle) = &mut self.middle {
            middle.loading = false;
        }
    }

    pub(super) fn unreadable(&mut self, text: String, effects: &mut Effects<O>) {
        self.load_again();
        effects.wake.extend(self.cancel_all());
        effects.damage = Some(text.clone());
        self.damage = Some(text);
    }

    /// What is wrong with the messages on disk.
    pub fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    /// Key of the chunk of the first requeued message, if its records are on disk only.
    fn absent_front(&self) -> Option<u64> {
        let (first, _) = self.returned.first_key_value()?;
        let (start, entry) = self.entries.range(..=*first).next_back()?;
        entry.absent.then_some(*start)
    }

    /// The records of requeued messages were read.
    fn fetched(&mut self, first: u64, chunks: Vec<StoredChunk>) -> Result<(), String> {
        self.disk.fetching = None;
        // It may have been settled by a purge meanwhile.
        let Some(entry) = self.entries.get_mut(&first).filter(|entry| entry.absent) else { return Ok(()) };
        let stored = chunks.into_iter().find(|stored| stored.chunk.first() == first);
        let stored = stored.ok_or_else(|| format!("messages from {first} on are not on disk where they should be"))?;
        entry.chunk = Arc::new(stored.chunk);
        entry.absent = false;
        Ok(())
    }

    /// Chunks were read.
    ///
    /// # Errors
    /// What is missing of them.
    pub(super) fn loaded(
        &mut self,
        first: u64,
        chunks: Vec<StoredChunk>,
        end: u64,
        effects: &mut Effects<O>,
    ) -> Result<(), String> {
        if self.disk.fetching == Some(first) {
            return self.fetched(first, chunks);
        }
        // A purge may have dropped what was being read.
        let Some(middle) = self.middle.as_mut().filter(|middle| middle.first == first) else { return Ok(()) };
        middle.loading = false;
        for StoredChunk { chunk, settled } in chunks {
            let live = chunk.count().saturating_sub(settled.count());
            middle.messages = middle.messages.saturating_sub(u64::from(live));
            if !chunk.durable() {
                middle.transient = middle.transient.saturating_sub(u64::from(live));
            }
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
            let (missing, transient) = (middle.messages, middle.transient);
            self.middle = None;
            self.ready = self.ready.saturating_sub(missing);
            if missing > transient {
                self.disk.messages = self.disk.messages.saturating_sub(missing);
                return Err(format!("{missing} messages are not on disk where they should be"));
            }
            effects.lost += missing;
        }
        Ok(())
    }

    pub(super) fn wants_load(&self) -> bool {
        let absent = self.disk.fetching.is_none() && self.absent_front().is_some();
        absent || self.middle.is_some_and(|middle| !middle.loading)
    }

    /// Whether the head in memory is short while more is on disk.
    pub(super) fn wants_read_ahead(&self) -> bool {
        self.middle.is_some_and(|middle| middle.ahead < self.disk.head as u64 / 2)
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

    /// Takes transient chunks that are to leave memory and are not on disk.
    pub(super) fn collect_spills(&mut self, epoch: u64, keep: usize, room: &mut usize, collected: &mut Collected) {
        for first in self.evictable(keep).into_iter().chain(self.unsettled_beyond(keep)) {
            if *room == 0 {
                collected.more = true;
                return;
            }
            if let Some(entry) = self.entries.get_mut(&first)
                && entry.stored.is_none()
                && !entry.chunk.durable()
                && !entry.chunk.is_thin()
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

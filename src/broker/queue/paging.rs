//! What leaves memory when it is short, and how it comes back: the middle of a long queue, and the records of messages
//! in consumers' hands.

use super::entry::{Entry, Settled};
use super::storage::Collected;
use super::{Effects, Outlet, Queue};
use crate::broker::count::Count;
use crate::broker::message::{Chunk, Returns};
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
    /// How often others came back before, by sequence number.
    pub returns: Vec<(u64, Returns)>,
}

/// Messages that are only on disk: O(1) memory however many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Middle {
    pub first: u64,
    pub end: u64,
    pub messages: u64,
    /// How many of them are transient.
    pub transient: u64,
    pub bytes: u64,
    /// Bytes of their bodies; a guess after a restart if nobody had counted them.
    pub bodies: u64,
    /// How many of these are of transient messages.
    pub transient_bodies: u64,
    pub loading: bool,
    /// Ready bytes in memory before it.
    pub ahead: u64,
}

impl Middle {
    /// A chunk has come back to memory. Returns the bytes of its bodies that the middle did not know of.
    fn take(&mut self, entry: &Entry) -> u64 {
        let live = u64::from(entry.chunk.count() - entry.settled.count());
        let (records, bodies) = (entry.open_records(), entry.open_bodies());
        self.messages = self.messages.saturating_sub(live);
        self.bytes = self.bytes.saturating_sub(records);
        self.ahead += records;
        if !entry.chunk.durable() {
            self.transient = self.transient.saturating_sub(live);
            self.transient_bodies = self.transient_bodies.saturating_sub(bodies);
        }
        let beyond = bodies.saturating_sub(self.bodies);
        self.bodies = self.bodies.saturating_sub(bodies);
        beyond
    }
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
        for at in 0..self.levels.len() {
            self.evict_level(at, done, keep);
        }
    }

    fn evict_level(&mut self, at: usize, done: u64, keep: usize) {
        for first in self.evictable(at, keep) {
            let Some(entry) = self.entries.get(&first) else { return };
            let untouched = entry.next == 0 && entry.settled.count() == 0;
            if !untouched || entry.stored.is_none_or(|epoch| epoch > done) {
                return;
            }
            let (messages, bytes, bodies) = (u64::from(entry.chunk.count()), entry.open_records(), entry.open_bodies());
            let (end, transient) = (entry.chunk.end(), !entry.chunk.durable());
            let ahead = match &self.levels.at(at).middle {
                Some(middle) => middle.ahead,
                None => self.ready_bytes_before(at, first),
            };
            let start = Middle { first, end, ahead, ..Middle::default() };
            let middle = self.levels.at_mut(at).middle.get_or_insert(start);
            middle.end = end;
            middle.messages += messages;
            middle.bytes += bytes;
            middle.bodies += bodies;
            if transient {
                middle.transient += messages;
                middle.transient_bodies += bodies;
            }
            self.entries.remove(&first);
            self.counted.leave(first..end);
        }
    }

    /// Drops the records of messages in consumers' hands that are on disk, but for the oldest `keep` bytes: those are
    /// acknowledged first. If they come back, they are read again.
    fn evict_unsettled(&mut self, done: u64, keep: usize) {
        if self.settings.max_bytes.is_some() {
            // What comes back is counted by its body.
            return;
        }
        for first in self.unsettled_beyond(keep) {
            let Some(entry) = self.entries.get_mut(&first) else { continue };
            if entry.stored.is_some_and(|epoch| epoch <= done) {
                let exact = entry.open_records();
                entry.leave();
                if entry.chunk.durable() {
                    let level = self.levels.of(first);
                    level.bytes = (level.bytes + entry.open_records()).saturating_sub(exact);
                }
            }
        }
    }

    /// Keys of the chunks that are all in consumers' hands, beyond the oldest `keep` bytes.
    fn unsettled_beyond(&self, keep: usize) -> Vec<u64> {
        let mut kept = 0;
        let held = (0..self.levels.len()).flat_map(|at| {
            let begin = self.levels.at(at).base;
            self.entries.range(begin..self.first_ready_entry(at).max(begin))
        });
        let held = held.filter(|(first, entry)| {
            entry.absent.is_none()
                && entry.next == entry.chunk.count()
                && !self.returned.any_in(**first..entry.chunk.end())
        });
        let beyond = held.skip_while(|(_, entry)| {
            kept += entry.chunk.weight();
            kept <= keep
        });
        beyond.filter(|(_, entry)| entry.chunk.weight() >= ABSENT_BYTES).map(|(first, _)| *first).collect()
    }

    /// Whether the queue holds chunks in memory beyond `keep` bytes at its head.
    pub fn is_long(&self, keep: usize) -> bool {
        (0..self.levels.len()).any(|at| !self.evictable(at, keep).is_empty()) || !self.unsettled_beyond(keep).is_empty()
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
        let level = self.loadable()?;
        let level = self.levels.at_mut(level);
        level.head = head;
        let middle = level.middle.as_mut()?;
        middle.loading = true;
        Some(LoadRequest { first: middle.first, end: middle.end, bytes: head })
    }

    /// A read found no space, which is not the fault of what is read: the request can be made again.
    pub fn load_again(&mut self) {
        self.disk.fetching = None;
        for middle in self.levels.iter_mut().filter_map(|level| level.middle.as_mut()) {
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

    /// Key of the chunk of the next requeued or doomed message, if its records are on disk only.
    fn absent_front(&self) -> Option<u64> {
        // Every level's: the first one's is served next, but the others' may have a deadline.
        let ready = self.levels.iter().filter(|level| level.ready > 0);
        let returned = ready.filter_map(|level| self.returned.first(level.range())).map(|(first, _)| first);
        let doomed = self.doomed.front().map(|(first, _, _)| *first);
        returned.chain(doomed).find_map(|first| {
            let (start, entry) = self.entries.range(..=first).next_back()?;
            entry.absent.map(|_| *start)
        })
    }

    /// The records of requeued messages were read.
    fn fetched(&mut self, first: u64, chunks: Vec<StoredChunk>, effects: &mut Effects<O>) -> Result<(), String> {
        self.disk.fetching = None;
        // It may have been settled by a purge meanwhile.
        let Some(entry) = self.entries.get_mut(&first).filter(|entry| entry.absent.is_some()) else { return Ok(()) };
        let stored = chunks.into_iter().find(|stored| stored.chunk.first() == first);
        let stored = stored.ok_or_else(|| format!("messages from {first} on are not on disk where they should be"))?;
        let (records, bodies, chunk) = (entry.open_records(), entry.open_bodies(), first..entry.chunk.end());
        entry.chunk = Arc::new(stored.chunk);
        let mean = entry.absent.take();
        let bounded = self.settings.max_bytes.is_some();
        if entry.chunk.durable() {
            let level = self.levels.of(first);
            level.bytes = (level.bytes + entry.open_records()).saturating_sub(records);
            level.bodies = if bounded { (level.bodies + entry.open_bodies()).saturating_sub(bodies) } else { 0 };
        }
        if let (true, Some(mean)) = (bounded, mean) {
            // The bodies of those that came back were counted by their average.
            for (back, count) in self.returned.spans().into_iter().filter(|(back, _)| chunk.contains(back)) {
                let from = (back - first) as u32;
                let exact = entry.bodies(from, from + count);
                self.ready_bodies = (self.ready_bodies + exact).saturating_sub(mean.bodies(count));
            }
        }
        self.bury_read(effects);
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
        let read = chunks.iter().map(|stored| u64::from(stored.chunk.count())).sum();
        self.totals.add(Count::DiskReads, read);
        if self.disk.fetching == Some(first) {
            return self.fetched(first, chunks, effects);
        }
        // A purge may have dropped what was being read.
        let level = self.levels.of(first);
        let Some(middle) = level.middle.as_mut().filter(|middle| middle.first == first) else { return Ok(()) };
        middle.loading = false;
        let (mut beyond, bounded) = (0, self.settings.max_bytes.is_some());
        for StoredChunk { chunk, settled, returns } in chunks {
            self.timed |= chunk.is_timed();
            let entry = Entry::from_disk(Arc::new(chunk), settled);
            beyond += middle.take(&entry);
            if entry.is_settled() {
                self.disk.gone(&entry);
            } else {
                returns.into_iter().for_each(|(sequence, returns)| self.counted.restore(sequence, returns));
                self.entries.insert(entry.chunk.first(), entry);
            }
        }
        if bounded {
            self.ready_bodies += beyond;
            level.bodies += beyond;
        }
        middle.first = end.max(middle.first);
        if middle.first >= middle.end {
            let (missing, transient) = (middle.messages, middle.transient);
            if bounded {
                // Of messages that are not there, or a guess that was too high.
                self.ready_bodies = self.ready_bodies.saturating_sub(middle.bodies);
                let durable = middle.bodies.saturating_sub(middle.transient_bodies);
                level.bodies = level.bodies.saturating_sub(durable);
            }
            level.middle = None;
            level.ready = level.ready.saturating_sub(missing);
            self.ready = self.ready.saturating_sub(missing);
            if missing > transient {
                level.messages = level.messages.saturating_sub(missing);
                return Err(format!("{missing} messages are not on disk where they should be"));
            }
            effects.lost += missing;
        }
        Ok(())
    }

    /// Whether [`Queue::load_request`] has something to ask for.
    pub(super) fn wants_load(&self) -> bool {
        let absent = || self.disk.fetching.is_none() && self.absent_front().is_some();
        self.damage.is_none() && (absent() || self.loadable().is_some())
    }

    /// Whether the head in memory is short while more is on disk.
    pub(super) fn wants_read_ahead(&self) -> bool {
        self.levels.iter().any(|level| level.middle.is_some())
    }

    /// The level whose middle is to be read next: one that has nothing else, or one that will soon have nothing.
    fn loadable(&self) -> Option<usize> {
        let idle = |at: &usize| self.levels.at(*at).middle.is_some_and(|middle| !middle.loading);
        let starves = |at: &usize| {
            let level = self.levels.at(*at);
            let before = level.middle.map_or(level.base, |middle| middle.first);
            let first = self.first_ready_entry(*at).min(before);
            self.entries.range(first..before).all(|(_, entry)| entry.ready_span().is_none())
        };
        let short = |at: &usize| {
            let level = self.levels.at(*at);
            level.middle.is_some_and(|middle| middle.ahead < level.head as u64 / 2)
        };
        let levels = || (0..self.levels.len()).filter(idle);
        levels().find(starves).or_else(|| levels().find(short))
    }

    fn ready_bytes_before(&self, at: usize, end: u64) -> u64 {
        let head = self.entries.range(self.first_ready_entry(at)..end).map(|(_, entry)| entry);
        head.map(|entry| entry.chunk.span_bytes(entry.next, entry.chunk.count()) as u64).sum()
    }

    pub(super) fn drop_middle(&mut self, at: usize) {
        let bounded = self.settings.max_bytes.is_some();
        let level = self.levels.at_mut(at);
        if let Some(middle) = level.middle.take() {
            self.disk.dropped.push((middle.first, middle.end));
            let range = level.range();
            let durable =
                || self.entries.range(range.clone()).map(|(_, entry)| entry).filter(|entry| entry.chunk.durable());
            level.messages = durable().map(|entry| u64::from(entry.chunk.count() - entry.settled.count())).sum();
            level.bytes = durable().map(Entry::open_records).sum();
            level.bodies = if bounded { durable().map(Entry::open_bodies).sum() } else { 0 };
            level.changed = true;
            self.disk.changed = true;
        }
    }

    /// Takes transient chunks that are to leave memory and are not on disk.
    pub(super) fn collect_spills(&mut self, epoch: u64, keep: usize, room: &mut usize, collected: &mut Collected) {
        let ready = (0..self.levels.len()).flat_map(|at| self.evictable(at, keep));
        for first in ready.chain(self.unsettled_beyond(keep)).collect::<Vec<u64>>() {
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
                *room = room.saturating_sub(entry.chunk.commit_bytes());
                collected.spills.push(entry.chunk.clone());
            }
        }
    }

    /// Keys of a level's chunks that may leave memory, in order: those behind the middle, or behind `keep` ready bytes.
    fn evictable(&self, at: usize, keep: usize) -> Vec<u64> {
        let level = self.levels.at(at);
        let end = level.range().end;
        if let Some(middle) = &level.middle {
            return self.entries.range(middle.end..end).map(|(first, _)| *first).collect();
        }
        let keep = keep / self.levels.len();
        let mut kept = 0;
        let ready = self.entries.range(self.first_ready_entry(at)..end);
        let beyond = ready.skip_while(|(_, entry)| {
            kept += entry.chunk.weight();
            kept <= keep || entry.next > 0
        });
        beyond.map(|(first, _)| *first).collect()
    }
}

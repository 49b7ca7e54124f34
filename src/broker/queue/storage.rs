//! What a queue has for the disk, and its state there.

use super::entry::{Entry, Settled};
use super::level::Level;
use super::{Outlet, Queue, QueueSettings};
use crate::broker::count::Count;
use crate::broker::message::{Chunk, Returns};
use crate::broker::window::Stored;
use smallvec::SmallVec;
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
    /// Bytes of the bodies of stored messages that are not settled; [`BODIES_UNKNOWN`] while nobody counts them.
    pub body_bytes: u64,
    /// Whether some message may have a deadline.
    pub timed: bool,
}

/// What a count takes in a commit, in bytes, at a guess.
const COUNT_BYTES: usize = 64;

/// The bodies were not counted: the queue had no limit for them.
pub const BODIES_UNKNOWN: u64 = u64::MAX;

/// A stored chunk of which nothing is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// Its first sequence number.
    pub first: u64,
    /// Whether it was stored as durable.
    pub durable: bool,
    /// Whether settlements of it were stored too.
    pub settled: bool,
    /// Whether its records referred to detached bodies.
    pub refers: bool,
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
    /// How often messages of stored chunks came back.
    pub returns: Vec<(u64, Returns)>,
    /// Messages whose count is not wanted any more.
    pub forgotten: Vec<u64>,
    /// Stored chunks that are settled.
    pub deletes: Vec<Deleted>,
    /// Ranges of sequence numbers of which nothing is left.
    pub dropped: Vec<(u64, u64)>,
    /// What is to be written of a deduplication window: with the last of its messages, or after it.
    pub identities: Stored,
    /// The states of the queue's levels after all that, each with its index; none for a transient queue.
    pub states: SmallVec<[(u8, QueueState); 1]>,
    /// The room given was not enough: there is more for the same epoch.
    pub more: bool,
}

/// Book-keeping for the next commit.
#[derive(Debug, Default)]
pub(super) struct Disk {
    announced: bool,
    pub changed: bool,
    /// Durable chunks not yet collected.
    fresh: VecDeque<u64>,
    /// The epoch being collected and how many of the fresh chunks are its own: what arrives while an epoch is written in
    /// pieces belongs to the next one, or a fast publisher could keep it open.
    collecting: (u64, usize),
    /// Identities below this number belong to the messages of that epoch.
    identities: u64,
    touched: Vec<u64>,
    deletes: Vec<Deleted>,
    pub dropped: Vec<(u64, u64)>,
    /// Whether transient chunks were ever written.
    pub spilled: bool,
    /// The chunk of requeued or doomed messages that is being read.
    pub fetching: Option<u64>,
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
            let (settled, refers) = (entry.settled_stored, entry.chunk.refers());
            self.deletes.push(Deleted { first, durable, settled, refers });
            self.changed = true;
        }
    }
}

impl<O: Outlet> Queue<O> {
    /// A durable queue as it was stored, its messages on disk only: the states of its levels, each with its index.
    pub fn recover(auto_delete: bool, settings: Arc<QueueSettings>, states: &[(u8, QueueState)]) -> Queue<O> {
        let mut queue = Queue::new(true, auto_delete, settings);
        for (at, state) in states {
            queue.levels.at_mut(usize::from(*at)).recover(*state);
            queue.timed |= state.timed;
        }
        queue.ready = queue.levels.iter().map(|level| level.ready).sum();
        if queue.settings.max_bytes.is_some() {
            queue.ready_bodies = queue.levels.iter().map(|level| level.bodies).sum();
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
            self.disk.collecting = (epoch, self.disk.fresh.len());
            self.disk.identities = self.window.as_ref().map_or(0, |window| window.next());
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
        if self.counted.is_changed() {
            self.collect_counts(room, &mut collected);
        }
        collected.deletes = std::mem::take(&mut self.disk.deletes);
        collected.dropped = std::mem::take(&mut self.disk.dropped);
        if let Some(keep) = spill {
            self.collect_spills(epoch, keep, room, &mut collected);
        }
        if self.disk.collecting.1 == 0
            && let Some(window) = self.window.as_mut().filter(|_| self.durable)
        {
            collected.identities = window.collect(self.disk.identities);
        }
        let written = collected.puts.iter().chain(&collected.spills).map(|chunk| u64::from(chunk.count())).sum();
        self.totals.add(Count::DiskWrites, written);
        if self.durable {
            collected.states = self.states(false);
            self.levels.iter_mut().for_each(|level| level.changed = false);
        }
        collected
    }

    fn collect_fresh(&mut self, epoch: u64, room: &mut usize, collected: &mut Collected) {
        while self.disk.collecting.1 > 0 {
            let Some(first) = self.disk.fresh.front().copied() else { return };
            if *room == 0 {
                collected.more = true;
                return;
            }
            self.disk.fresh.pop_front();
            self.disk.collecting.1 -= 1;
            if let Some(entry) = self.entries.get_mut(&first) {
                *room = room.saturating_sub(entry.chunk.commit_bytes());
                entry.stored = Some(epoch);
                // A piece before this one has written its level without it.
                self.levels.of(first).changed = true;
                collected.puts.push(entry.chunk.clone());
                if entry.settled.count() > 0 {
                    entry.settled_stored = true;
                    collected.settled.push((first, entry.settled.clone()));
                }
            }
        }
    }

    fn collect_counts(&mut self, room: &mut usize, collected: &mut Collected) {
        let entries = &self.entries;
        let is_stored = |sequence: u64| {
            let entry = entries.range(..=sequence).next_back().map(|(_, entry)| entry);
            entry.is_some_and(|entry| entry.stored.is_some() && entry.chunk.durable())
        };
        let most = (*room / COUNT_BYTES).max(1);
        collected.returns = self.counted.collect(most, is_stored);
        collected.more |= collected.returns.len() == most;
        *room = room.saturating_sub(collected.returns.len() * COUNT_BYTES);
        collected.forgotten = self.counted.collect_forgotten();
    }

    /// The states of the levels for the disk, as if the node stopped uncleanly after it: of all, or of those that changed.
    pub fn states(&self, all: bool) -> SmallVec<[(u8, QueueState); 1]> {
        let levels = self.levels.iter().enumerate();
        let wanted = levels.filter(|(_, level)| all || level.changed || self.levels.len() == 1);
        wanted.map(|(at, level)| (at as u8, self.state(level))).collect()
    }

    fn state(&self, level: &Level) -> QueueState {
        let first = self.entries.range(level.range()).next().map_or(level.next_sequence, |(first, _)| *first);
        let first = level.middle.map_or(first, |middle| first.min(middle.first));
        // What is not collected yet is not on disk, and not counted.
        let bounded = self.settings.max_bytes.is_some();
        let range = level.range();
        let uncollected = || {
            let fresh = self.disk.fresh.iter().filter(|first| range.contains(*first));
            fresh.filter_map(|first| self.entries.get(first))
        };
        let messages = uncollected().map(|entry| u64::from(entry.chunk.count() - entry.settled.count())).sum();
        let bytes = uncollected().map(Entry::open_records).sum();
        let bodies = if bounded { uncollected().map(Entry::open_bodies).sum() } else { 0 };
        QueueState {
            next_sequence: level.next_sequence,
            first,
            messages: level.messages.saturating_sub(messages),
            bytes: level.bytes.saturating_sub(bytes),
            maybe_delivered: level.cursor.max(level.maybe_delivered),
            body_bytes: if bounded { level.bodies.saturating_sub(bodies) } else { BODIES_UNKNOWN },
            timed: self.timed,
        }
    }
}

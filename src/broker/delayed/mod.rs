//! The messages that an exchange keeps until they are due (compat.md 2.11, `x-delayed-message`): on disk all of them, in
//! memory those that are due next and those that are on their way to the disk. It does no I/O, reads no clock and takes no
//! lock.
//!
//! ```text
//!   accept ──► on its way to disk ──► on disk, in order of due time ──► moving ──► gone
//!                     │                 │◄── window ──►│horizon          │
//!                     └── also in the window if it is due before it      └ until its queues have it on disk
//! ```
//!
//! Messages that are due in the same millisecond and come together are one chunk: its [`Place`] is their due time and the
//! number of the first. A place is taken as a whole, in order, and deleted only when the targets have its messages on disk:
//! a crash in between may double them, never lose them.

mod message;
#[cfg(test)]
mod tests;

pub use message::{Released, delay_of, with_keys};

use crate::broker::message::Chunk;
use crate::limits::{DELAYED_LOAD_BYTES, DELAYED_MOVE_BYTES, DELAYED_MOVING_MAX};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Where a chunk lies among the delayed messages of its exchange: by due time, ties in publishing order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// When it is due, in wall clock ms.
    pub due: u64,
    /// Number of its first message.
    pub number: u64,
}

impl Place {
    /// Behind every place.
    pub const END: Place = Place { due: u64::MAX, number: u64::MAX };
}

/// What recovery needs without reading messages; written with every commit that changes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DelayState {
    /// The next message's number.
    pub next_number: u64,
    /// Messages on disk.
    pub messages: u64,
    /// No message on disk has a place before it.
    pub first: Place,
}

/// What one commit writes.
#[derive(Debug, Default)]
pub struct CollectedDelays {
    /// Chunks to store.
    pub puts: Vec<(Place, Arc<Chunk>)>,
    /// Stored chunks whose messages are where they were to go.
    pub deletes: Vec<Place>,
    /// The state after all that.
    pub state: DelayState,
    /// The room given was not enough: there is more for the same epoch.
    pub more: bool,
}

/// What is to be done next.
#[derive(Debug)]
pub enum Step {
    /// These are due, in order: route them, then say so with [`Delays::moved`].
    Move(Vec<(Place, Arc<Chunk>)>),
    /// Read these from disk, then say so with [`Delays::loaded`] or [`Delays::unreadable`].
    Load(LoadDelayed),
    /// Nothing before this time, in wall clock ms.
    Wait(u64),
    /// Nothing until [`Delays::arrived`] makes room: too much is on its way to the queues' disk.
    Full,
    /// Nothing.
    Idle,
}

/// What is to be read from disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadDelayed {
    /// The place to begin at.
    pub from: Place,
    /// Stop when so many bytes are there; at least one chunk.
    pub bytes: usize,
}

#[derive(Debug)]
struct Entry {
    chunk: Arc<Chunk>,
    /// The epoch whose commit has written it; 0 when it was read from disk.
    stored: Option<u64>,
}

/// Chunks of one step that have been taken.
#[derive(Debug)]
struct Moving {
    /// In order.
    places: Vec<(Place, u32)>,
    /// The epoch that makes them durable in their queues; None while they are being moved.
    epoch: Option<u64>,
}

/// The delayed messages of an exchange.
#[derive(Debug)]
pub struct Delays {
    closed: bool,
    /// Chunks in memory that have not been taken: before the horizon all there are; behind it those that are not known to be
    /// on disk.
    entries: BTreeMap<Place, Entry>,
    /// Behind it lies what is only on disk.
    horizon: Place,
    /// Memory of the entries before the horizon.
    near: usize,
    /// The last place that was taken: the horizon stays behind it, so that nothing is read from disk twice.
    taken: Place,
    /// Chunks not yet collected, in order of their numbers.
    fresh: VecDeque<(Place, Arc<Chunk>)>,
    /// The epoch being collected and how many of the fresh chunks are its own.
    collecting: (u64, usize),
    next_number: u64,
    /// Messages that are not due, or due and not taken.
    pending: u64,
    /// Messages on disk after the last collection.
    stored: u64,
    moving: VecDeque<Moving>,
    moving_places: usize,
    /// Chunks to be deleted from disk.
    deletes: Vec<(Place, u32)>,
    /// Something is being read from disk.
    loading: bool,
    /// What is on disk cannot be read.
    broken: bool,
    /// The first place on disk whose chunk is damaged: it stays there, to be found again.
    damaged: Place,
    announced: bool,
    changed: bool,
}

impl Default for Delays {
    fn default() -> Delays {
        Delays::recover(DelayState::default())
    }
}

impl Delays {
    /// The delayed messages as they were stored, all of them on disk only.
    pub fn recover(state: DelayState) -> Delays {
        Delays {
            closed: false,
            entries: BTreeMap::new(),
            horizon: if state.messages > 0 { state.first } else { Place::END },
            near: 0,
            taken: Place::default(),
            fresh: VecDeque::new(),
            collecting: (0, 0),
            next_number: state.next_number,
            pending: state.messages,
            stored: state.messages,
            moving: VecDeque::new(),
            moving_places: 0,
            deletes: Vec::new(),
            loading: false,
            broken: false,
            damaged: Place::END,
            announced: false,
            changed: false,
        }
    }

    /// Messages that have not been moved to queues.
    pub fn pending(&self) -> u64 {
        self.pending
    }

    /// Takes messages that are due together, with so many bytes for the window. True when there is something for the disk
    /// and was not before.
    pub fn accept(&mut self, due: u64, chunk: Chunk, window: usize) -> bool {
        if self.closed {
            return false;
        }
        let place = Place { due, number: self.next_number };
        self.next_number += u64::from(chunk.count());
        self.pending += u64::from(chunk.count());
        let chunk = Arc::new(chunk);
        if place < self.horizon {
            self.near += chunk.memory();
        }
        self.fresh.push_back((place, chunk.clone()));
        self.entries.insert(place, Entry { chunk, stored: None });
        self.shrink(window);
        self.changed = true;
        self.announce()
    }

    /// What is to be done at `now`, wall clock ms, with so many bytes for the window. One caller at a time.
    pub fn next(&mut self, now: u64, window: usize) -> Step {
        if self.closed {
            return Step::Idle;
        }
        let first = self.first_near();
        if let Some(place) = first.filter(|place| place.due <= now) {
            return self.take_due(place, now);
        }
        if self.horizon < Place::END && self.near <= window / 2 && !self.broken {
            self.loading = true;
            return Step::Load(LoadDelayed { from: self.horizon, bytes: DELAYED_LOAD_BYTES.min(window) });
        }
        first.map_or(Step::Idle, |place| Step::Wait(place.due))
    }

    /// What was taken last is in its queues' memory, durable there with `epoch`; None: nowhere, or where nothing lasts.
    /// True when there is something for the disk and was not before.
    pub fn moved(&mut self, epoch: Option<u64>) -> bool {
        match (epoch, self.moving.back_mut()) {
            (Some(_), Some(last)) => last.epoch = epoch,
            (None, Some(_)) => {
                let last = self.moving.pop_back();
                self.finish(last);
            }
            (_, None) => {}
        }
        self.announce()
    }

    /// Everything up to epoch `done` is on disk. Says whether there is something for the disk that was not there before, and
    /// whether there is room again after [`Step::Full`].
    pub fn arrived(&mut self, done: u64) -> (bool, bool) {
        let was_full = self.is_full();
        while let Some(moving) = self.moving.pop_front_if(|moving| moving.epoch.is_some_and(|epoch| epoch <= done)) {
            self.finish(Some(moving));
        }
        (self.announce(), was_full && !self.is_full())
    }

    /// What [`Step::Load`] asked for: chunks in order, the place of the first one that was not read (None: there is no more),
    /// and the first that is damaged.
    pub fn loaded(
        &mut self,
        from: Place,
        chunks: Vec<(Place, Chunk)>,
        end: Option<Place>,
        damaged: Option<Place>,
        window: usize,
    ) {
        self.loading = false;
        // The window has shrunk meanwhile: what lies between was not read.
        if self.closed || from != self.horizon {
            return;
        }
        self.damaged = damaged.map_or(self.damaged, |damaged| self.damaged.min(damaged));
        for (place, chunk) in chunks {
            self.entries.entry(place).or_insert_with(|| Entry { chunk: Arc::new(chunk), stored: Some(0) });
        }
        self.horizon = end.unwrap_or(Place::END);
        self.near += self.entries.range(from..self.horizon).map(|(_, entry)| entry.chunk.memory()).sum::<usize>();
        self.shrink(window);
    }

    /// What is on disk cannot be read now; `for_good`: nor later. What is in memory goes on.
    pub fn unreadable(&mut self, for_good: bool) {
        self.loading = false;
        self.broken |= for_good;
    }

    /// Takes what the commit of `epoch` has to write, chunks only while `room` bytes are left. None when it is closed.
    pub fn collect(&mut self, epoch: u64, room: &mut usize) -> Option<CollectedDelays> {
        if self.closed {
            return None;
        }
        (self.announced, self.changed) = (false, false);
        self.forget(epoch.saturating_sub(1));
        // What arrives while an epoch is written in pieces belongs to the next one.
        if self.collecting.0 != epoch {
            self.collecting = (epoch, self.fresh.len());
        }
        let mut collected = CollectedDelays::default();
        while self.collecting.1 > 0 {
            if *room == 0 {
                collected.more = true;
                break;
            }
            let Some((place, chunk)) = self.fresh.pop_front() else { break };
            self.collecting.1 -= 1;
            *room = room.saturating_sub(chunk.bytes().len());
            self.stored += u64::from(chunk.count());
            if let Some(entry) = self.entries.get_mut(&place) {
                entry.stored = Some(epoch);
            }
            collected.puts.push((place, chunk));
        }
        // A chunk that is yet to be written must not be deleted before.
        let written = self.fresh.front().map_or(u64::MAX, |(place, _)| place.number);
        for (place, count) in self.deletes.extract_if(.., |(place, _)| place.number < written) {
            self.stored = self.stored.saturating_sub(u64::from(count));
            collected.deletes.push(place);
        }
        collected.state = self.state();
        Some(collected)
    }

    /// Everything up to epoch `done` is on disk: what is not due next leaves memory.
    pub fn forget(&mut self, done: u64) {
        if !self.loading {
            let gone = |_: &Place, entry: &mut Entry| entry.stored.is_some_and(|epoch| epoch <= done);
            self.entries.extract_if(self.horizon.., gone).for_each(drop);
        }
    }

    /// Whether some of it would leave memory when it is on disk.
    pub fn has_far(&self) -> bool {
        self.entries.last_key_value().is_some_and(|(place, _)| *place >= self.horizon)
    }

    /// Ends it: whatever comes is ignored from now on.
    pub fn close(&mut self) {
        *self = Delays { closed: true, ..Delays::default() };
    }

    fn first_near(&self) -> Option<Place> {
        self.entries.first_key_value().map(|(place, _)| *place).filter(|place| *place < self.horizon)
    }

    fn is_full(&self) -> bool {
        self.moving_places >= DELAYED_MOVING_MAX
    }

    fn take_due(&mut self, first: Place, now: u64) -> Step {
        if self.is_full() {
            return Step::Full;
        }
        let (mut taken, mut places, mut bytes) = (Vec::new(), Vec::new(), 0);
        let mut next = Some(first);
        while let Some(place) = next.filter(|place| place.due <= now && bytes < DELAYED_MOVE_BYTES) {
            let Some(Entry { chunk, .. }) = self.entries.remove(&place) else { break };
            self.near = self.near.saturating_sub(chunk.memory());
            self.pending = self.pending.saturating_sub(u64::from(chunk.count()));
            self.taken = self.taken.max(place);
            bytes += chunk.bytes().len();
            places.push((place, chunk.count()));
            taken.push((place, chunk));
            next = self.first_near();
        }
        self.moving_places += places.len();
        self.moving.push_back(Moving { places, epoch: None });
        Step::Move(taken)
    }

    fn finish(&mut self, moved: Option<Moving>) {
        let Some(moved) = moved else { return };
        self.moving_places = self.moving_places.saturating_sub(moved.places.len());
        self.deletes.extend(moved.places);
        self.changed = true;
    }

    /// Leaves to the disk what the window has no room for, from its end.
    fn shrink(&mut self, window: usize) {
        while self.near > window {
            let mut last = self.entries.range(..self.horizon).rev();
            let (Some((place, entry)), Some(_)) = (last.next(), last.next()) else { return };
            if *place <= self.taken {
                return;
            }
            let (place, memory, read) = (*place, entry.chunk.memory(), entry.stored == Some(0));
            self.near = self.near.saturating_sub(memory);
            self.horizon = place;
            if read && !self.loading {
                self.entries.remove(&place);
            }
        }
    }

    fn announce(&mut self) -> bool {
        let first = self.changed && !self.announced;
        self.announced |= self.changed;
        first
    }

    fn state(&self) -> DelayState {
        let moving = self.moving.iter().filter_map(|moving| moving.places.first()).map(|(place, _)| *place);
        let deletes = self.deletes.iter().map(|(place, _)| *place);
        let first = self.entries.first_key_value().map_or(self.horizon, |(place, _)| self.horizon.min(*place));
        let first = moving.chain(deletes).fold(first.min(self.damaged), Place::min);
        DelayState { next_number: self.next_number, messages: self.stored, first }
    }
}

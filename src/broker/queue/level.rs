//! One priority's messages. An ordinary queue has one level; a queue with priorities has one for each, the highest first.
//!
//! The top byte of a sequence number tells the level, so that all levels share the maps of entries and requeued messages,
//! and the keys on disk, each in its own range, the highest priority before the others.

use super::paging::Middle;
use super::settings::{PRIORITY_MAX, QueueSettings};
use super::storage::{BODIES_UNKNOWN, QueueState};
use crate::limits::HEAD_BYTES;
use std::ops::Range;

/// Bits of a sequence number below its level.
const LEVEL_SHIFT: u32 = 56;
/// Bytes of a record that are not its body, at a guess.
const HEADER_GUESS: u64 = 64;

/// One priority's messages.
#[derive(Clone, Debug)]
pub(super) struct Level {
    /// The first sequence number that it can have.
    pub base: u64,
    pub next_sequence: u64,
    /// No message of the level below this one was left without being handed out, but for requeued ones.
    pub cursor: u64,
    pub middle: Option<Middle>,
    /// Messages that can be handed out.
    pub ready: u64,
    /// Durable messages that are not settled, whether written yet or not.
    pub messages: u64,
    /// Bytes of their records.
    pub bytes: u64,
    /// Bytes of their bodies, while the queue has a limit for them.
    pub bodies: u64,
    /// Messages below this number may have been delivered before the last restart.
    pub maybe_delivered: u64,
    /// Ready bytes that are kept in memory at the head.
    pub head: usize,
    /// Whether its state on disk is to be written again.
    pub changed: bool,
}

impl Level {
    fn new(base: u64) -> Level {
        Level {
            base,
            next_sequence: base,
            cursor: base,
            middle: None,
            ready: 0,
            messages: 0,
            bytes: 0,
            bodies: 0,
            maybe_delivered: base,
            head: HEAD_BYTES,
            changed: false,
        }
    }

    /// The level as it was stored, its messages on disk only.
    pub fn recover(&mut self, state: QueueState) {
        self.next_sequence = state.next_sequence;
        self.cursor = state.first;
        self.ready = state.messages;
        self.messages = state.messages;
        self.bytes = state.bytes;
        // Where nobody counted, a record is taken to have a small header: the limit is rather kept too late than too early.
        let guess = state.bytes.saturating_sub(state.messages * HEADER_GUESS);
        self.bodies = if state.body_bytes == BODIES_UNKNOWN { guess } else { state.body_bytes };
        self.maybe_delivered = state.maybe_delivered;
        if state.messages > 0 {
            self.middle = Some(Middle {
                first: state.first,
                end: state.next_sequence,
                messages: state.messages,
                transient: 0,
                bytes: state.bytes,
                bodies: self.bodies,
                transient_bodies: 0,
                loading: false,
                ahead: 0,
            });
        }
    }

    /// The sequence numbers that it can have.
    pub fn range(&self) -> Range<u64> {
        self.base..self.base.saturating_add(1 << LEVEL_SHIFT)
    }
}

/// The levels of a queue, highest priority first.
#[derive(Clone, Debug)]
pub(super) struct Levels {
    top: Level,
    rest: Vec<Level>,
    /// The top byte of the first level's sequence numbers.
    first: u64,
}

impl Levels {
    pub fn new(settings: &QueueSettings) -> Levels {
        let highest = settings.highest_level();
        let first = highest.map_or(0, |highest| u64::from(PRIORITY_MAX - highest));
        let levels = highest.map_or(1, |highest| u64::from(highest) + 1);
        let level = |at: u64| Level::new((first + at) << LEVEL_SHIFT);
        Levels { top: level(0), rest: (1..levels).map(level).collect(), first }
    }

    /// The level of a sequence number. A number that belongs to none counts to the first.
    #[inline]
    pub fn of(&mut self, sequence: u64) -> &mut Level {
        let at = (sequence >> LEVEL_SHIFT).saturating_sub(self.first) as usize;
        match at.checked_sub(1).and_then(|at| self.rest.get_mut(at)) {
            Some(level) => level,
            None => &mut self.top,
        }
    }

    /// The level at an index; one beyond the last is the first.
    #[inline]
    pub fn at(&self, index: usize) -> &Level {
        index.checked_sub(1).and_then(|at| self.rest.get(at)).unwrap_or(&self.top)
    }

    /// As [`Levels::at`].
    #[inline]
    pub fn at_mut(&mut self, index: usize) -> &mut Level {
        match index.checked_sub(1).and_then(|at| self.rest.get_mut(at)) {
            Some(level) => level,
            None => &mut self.top,
        }
    }

    pub fn len(&self) -> usize {
        1 + self.rest.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Level> {
        std::iter::once(&self.top).chain(&self.rest)
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Level> {
        std::iter::once(&mut self.top).chain(&mut self.rest)
    }
}

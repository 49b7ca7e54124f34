//! A queue that drops duplicates (compat.md 2.11): a message whose identity the window knows is not appended. Its publisher is
//! told that it is there, as for the first.
//!
//! Dead letters pass: the broker moves them, and a queue to which a message comes back after a while would lose it. A
//! message that a full queue refuses is not remembered, so that it may be tried again.

use super::{Effects, Outlet, Queue};
use crate::broker::message::Chunk;
use crate::broker::window::{Mark, Window};
use std::collections::HashSet;

impl<O: Outlet> Queue<O> {
    /// Appends what is no duplicate.
    pub(super) fn enqueue_once(&mut self, chunk: Chunk, level: usize, now: u64, effects: &mut Effects<O>) {
        let Some(mut window) = self.window.take() else { return };
        let (kept, marks) = first_ones(&window, &chunk, now);
        let durable = chunk.durable();
        let whole = kept.len() == chunk.count() as usize;
        let unique = if whole { Some(chunk) } else { chunk.pick(kept.iter().copied()) };
        let mut accepted = kept.len();
        if let Some(unique) = unique.filter(|unique| unique.count() > 0) {
            self.accept(unique, level, now, effects);
            if let Some(refused) = effects.refused {
                accepted = refused as usize;
                // In the chunk as it came. Duplicates behind it are refused with it, and recognised when they come again.
                effects.refused = kept.get(accepted).copied();
            }
        }
        for mark in marks.into_iter().take(accepted).flatten() {
            window.remember(mark, now, durable);
        }
        self.disk.changed |= window.has_changed();
        self.window = Some(window);
    }

    /// What time does to the window.
    pub(super) fn forget_duplicates(&mut self, now: u64) {
        if let Some(window) = &mut self.window {
            window.pass_time(now);
            self.disk.changed |= window.has_changed();
        }
    }

    /// The window of a queue that is recovered. False when it is damaged.
    pub fn restore_window(&mut self, blocks: Vec<(u64, Vec<u8>)>, now: u64) -> bool {
        let Some(settings) = &self.settings.deduplication else { return true };
        let Some(window) = Window::recover(settings.clone(), blocks, now) else { return false };
        self.window = Some(Box::new(window));
        true
    }
}

/// The indexes of the messages that are no duplicates, and their marks.
fn first_ones(window: &Window, chunk: &Chunk, now: u64) -> (Vec<u32>, Vec<Option<Mark>>) {
    let (mut kept, mut marks, mut met) = (Vec::new(), Vec::new(), HashSet::new());
    for (index, record) in (0..chunk.count()).filter_map(|index| Some((index, chunk.record(index)?))) {
        let mark = if record.died { None } else { Mark::of(record.header, window.header()) };
        let duplicate = mark.is_some_and(|mark| window.knows(mark.identity, now) || !met.insert(mark.identity));
        if !duplicate {
            kept.push(index);
            marks.push(mark);
        }
    }
    (kept, marks)
}

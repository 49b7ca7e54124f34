//! What a publisher is told before the disk has its messages: that consumers have acknowledged all of them, which is as good
//! (design.md 1). Only for a few messages at a time, and only if they went straight to consumers: whoever publishes many waits
//! for the disk once for all of them.

use super::{Effects, Outlet, Queue};
use crate::limits::RECEIPTS_MAX;
use std::collections::VecDeque;

/// Whom to tell that consumers have acknowledged all messages of a chunk.
#[derive(Clone, Debug)]
pub struct Receipt<O> {
    /// The publisher.
    pub outlet: O,
    /// What it calls the chunk.
    pub number: u64,
}

/// Receipts that may still be given. They are a service, not a promise: the oldest goes when there are too many.
#[derive(Debug)]
pub(super) struct Receipts<O>(VecDeque<Open<O>>);

#[derive(Debug)]
struct Open<O> {
    /// First sequence number of the chunk, and the one behind its last.
    first: u64,
    end: u64,
    receipt: Receipt<O>,
}

impl<O> Default for Receipts<O> {
    fn default() -> Self {
        Receipts(VecDeque::new())
    }
}

impl<O> Receipts<O> {
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn add(&mut self, first: u64, end: u64, receipt: Receipt<O>) {
        if self.0.len() >= RECEIPTS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(Open { first, end, receipt });
    }

    fn take(&mut self, sequence: u64) -> Option<Receipt<O>> {
        let at = self.0.iter().position(|open| (open.first..open.end).contains(&sequence))?;
        self.0.remove(at).map(|open| open.receipt)
    }

    pub fn clear(&mut self) {
        self.0 = VecDeque::new();
    }
}

impl<O: Outlet> Queue<O> {
    /// Whether the messages of a chunk that is about to be appended go straight to a consumer, and nothing else of them has to
    /// be on disk.
    pub(super) fn goes_straight(&mut self) -> bool {
        self.ready == 0 && self.window.is_none() && !self.settings.refuses() && self.consumers.next().is_some()
    }

    /// Notes a receipt for the chunk that was just appended to a level.
    pub(super) fn note_receipt(&mut self, level: usize, receipt: Receipt<O>) {
        let end = self.levels.at(level).next_sequence;
        if let Some((first, _)) = self.entries.range(..end).next_back() {
            self.receipts.add(*first, end, receipt);
        }
    }

    /// A consumer has acknowledged messages of a chunk; returns how many were not settled before. If those were its last, the
    /// publisher is told.
    #[inline]
    pub(super) fn acknowledge(&mut self, first: u64, count: u32, effects: &mut Effects<O>) -> u32 {
        let settled = self.settle(first, count);
        if !self.receipts.is_empty() && settled > 0 && !self.holds(first) {
            self.sign(first, effects);
        }
        settled
    }

    fn sign(&mut self, sequence: u64, effects: &mut Effects<O>) {
        if let Some(Receipt { outlet, number }) = self.receipts.take(sequence) {
            outlet.acknowledged(number);
            effects.rouse(outlet);
        }
    }

    /// Messages have gone another way than to consumers who acknowledge them: the publisher waits for the disk.
    #[inline]
    pub(super) fn forgo_receipt(&mut self, sequence: u64) {
        if !self.receipts.is_empty() {
            self.receipts.take(sequence);
        }
    }

    fn holds(&self, sequence: u64) -> bool {
        self.entries.range(..=sequence).next_back().is_some_and(|(_, entry)| entry.chunk.end() > sequence)
    }
}

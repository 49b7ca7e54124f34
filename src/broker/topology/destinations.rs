//! A set of destinations that counts how many bindings lead to each.
//!
//! A message visits each destination once however many bindings lead there, so the destinations are kept, not the
//! bindings. Small sets are scanned; a large one has an index, so that adding and removing never costs the whole set.

use super::binding::Target;
use smallvec::SmallVec;
use std::collections::HashMap;

/// Sets up to this size are scanned; an index would cost more than it saves.
const SCANNED: usize = 16;

/// Destinations, each once, with the number of bindings that lead to it.
#[derive(Debug, Default)]
pub(super) struct Destinations {
    entries: SmallVec<[(Target, u32); 1]>,
    /// Present exactly while the set is larger than [`SCANNED`].
    index: Option<Box<Index>>,
}

/// Where each target is in the entries. Boxed, since most sets have one entry and no index.
#[derive(Debug)]
struct Index(HashMap<Target, usize>);

impl Destinations {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &Target> {
        self.entries.iter().map(|(target, _)| target)
    }

    /// One more binding leads to `target`.
    pub(super) fn add(&mut self, target: &Target) {
        if let Some((_, count)) = self.position(target).and_then(|at| self.entries.get_mut(at)) {
            *count = count.saturating_add(1);
            return;
        }
        let at = self.entries.len();
        self.entries.push((target.clone(), 1));
        if let Some(index) = &mut self.index {
            index.0.insert(target.clone(), at);
        } else if at >= SCANNED {
            let places = self.entries.iter().enumerate().map(|(at, (target, _))| (target.clone(), at));
            self.index = Some(Box::new(Index(places.collect())));
        }
    }

    /// One binding less leads to `target`.
    pub(super) fn remove(&mut self, target: &Target) {
        let Some(at) = self.position(target) else { return };
        let Some((_, count)) = self.entries.get_mut(at) else { return };
        if *count > 1 {
            *count -= 1;
            return;
        }
        self.entries.swap_remove(at);
        if self.entries.len() <= SCANNED {
            self.index = None;
            self.entries.shrink_to_fit();
        } else if let Some(index) = &mut self.index {
            index.0.remove(target);
            if let Some((moved, _)) = self.entries.get(at) {
                index.0.insert(moved.clone(), at);
            }
        }
    }

    fn position(&self, target: &Target) -> Option<usize> {
        match &self.index {
            Some(index) => index.0.get(target).copied(),
            None => self.entries.iter().position(|(known, _)| known == target),
        }
    }
}

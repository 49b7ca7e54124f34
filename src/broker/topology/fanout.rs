//! The fanout type: a message goes to every destination, whatever its key.

use super::binding::Bound;
use super::destinations::Destinations;

/// The bindings of a fanout exchange.
#[derive(Debug, Default)]
pub(super) struct Fanout {
    destinations: Destinations,
}

impl Fanout {
    pub(super) fn add(&mut self, bound: &Bound) {
        self.destinations.add(bound.target());
    }

    pub(super) fn remove(&mut self, bound: &Bound) {
        self.destinations.remove(bound.target());
    }

    pub(super) fn matching(&self) -> &Destinations {
        &self.destinations
    }
}

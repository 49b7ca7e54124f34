//! What goes away together: a binding takes an auto-delete exchange with it, an exchange or queue its bindings.

use super::binding::{Bound, Destination};
use super::definitions::Topology;
use super::exchange::ExchangeSpec;
use crate::name::Name;
use std::sync::Arc;

/// Everything that one operation removed, durable or not.
#[derive(Debug, Default)]
pub struct Removed {
    /// The exchanges.
    pub exchanges: Vec<ExchangeSpec>,
    /// The bindings.
    pub bindings: Vec<Arc<Bound>>,
}

impl Removed {
    /// All exchanges.
    pub fn exchanges(&self) -> impl Iterator<Item = &ExchangeSpec> {
        self.exchanges.iter()
    }

    /// The exchanges that are on disk.
    pub fn durable_exchanges(&self) -> impl Iterator<Item = &ExchangeSpec> {
        self.exchanges.iter().filter(|exchange| exchange.durable)
    }

    /// The bindings that are on disk.
    pub fn durable_bindings(&self) -> impl Iterator<Item = &Arc<Bound>> {
        self.bindings.iter().filter(|bound| bound.is_durable())
    }

    /// Whether nothing was removed.
    pub fn is_empty(&self) -> bool {
        self.exchanges.is_empty() && self.bindings.is_empty()
    }
}

impl Topology {
    /// Forgets a queue with its bindings; a missing one is no error. The result says what else went.
    pub fn remove_queue(&mut self, name: &str) -> Removed {
        let mut removed = Removed::default();
        let Some(queue) = self.queues.remove(name) else { return removed };
        self.changed();
        let mut doomed = Vec::new();
        for bound in queue.incoming {
            self.detach_from_source(&bound, &mut doomed);
            removed.bindings.push(bound);
        }
        self.remove_exchanges(doomed, removed)
    }

    /// Removes a binding that is there.
    pub(super) fn remove_binding(&mut self, bound: &Arc<Bound>) -> Removed {
        let mut doomed = Vec::new();
        self.detach_from_source(bound, &mut doomed);
        self.detach_from_destination(bound);
        self.changed();
        self.remove_exchanges(doomed, Removed { exchanges: Vec::new(), bindings: vec![Arc::clone(bound)] })
    }

    /// Removes exchanges with their bindings, then the auto-delete exchanges that this leaves without outgoing ones, and
    /// so on. Adds to `removed`.
    pub(super) fn remove_exchanges(&mut self, mut doomed: Vec<Name>, mut removed: Removed) -> Removed {
        while let Some(name) = doomed.pop() {
            let Some(exchange) = self.exchanges.remove(name.as_str()) else { continue };
            self.changed();
            removed.exchanges.push(exchange.spec().clone());
            for bound in exchange.outgoing {
                self.detach_from_destination(&bound);
                removed.bindings.push(bound);
            }
            for bound in exchange.incoming {
                // A binding to itself was among the outgoing ones.
                if bound.binding().source != name {
                    self.detach_from_source(&bound, &mut doomed);
                    removed.bindings.push(bound);
                }
            }
        }
        removed
    }

    /// Dooms the source when it is auto-delete and this was its last binding.
    fn detach_from_source(&mut self, bound: &Arc<Bound>, doomed: &mut Vec<Name>) {
        let Some(source) = self.exchanges.get_mut(bound.binding().source.as_str()) else { return };
        if source.outgoing.remove(bound) {
            source.router.remove(bound);
            if source.spec().auto_delete && source.outgoing.is_empty() {
                doomed.push(source.name().clone());
            }
        }
    }

    fn detach_from_destination(&mut self, bound: &Arc<Bound>) {
        match &bound.binding().destination {
            Destination::Queue(name) => {
                if let Some(queue) = self.queues.get_mut(name.as_str()) {
                    queue.incoming.remove(bound);
                }
            }
            Destination::Exchange(name) => {
                if let Some(exchange) = self.exchanges.get_mut(name.as_str()) {
                    exchange.incoming.remove(bound);
                }
            }
        }
    }
}

//! Bind, unbind, and the listings of bindings.

use super::binding::{Binding, Bound, Destination, Target};
use super::definitions::{Topology, refuse_default_exchange};
use super::exchange::check_binding;
use super::removal::Removed;
use crate::broker::refusal::{Refusal, Resource};
use std::sync::Arc;

impl Topology {
    /// Binds. True when the binding is new; binding again is no error.
    ///
    /// # Errors
    /// `DefaultExchange` at either end; `NotFound` for a missing end, the source first; `InvalidXMatch` and
    /// `Unacceptable` for what the exchange's type does not take.
    pub fn bind(&mut self, binding: Binding) -> Result<bool, Refusal> {
        refuse_default_ends(&binding)?;
        let bound = self.resolve(binding)?;
        if let Some(source) = self.exchange(bound.binding().source.as_str()) {
            check_binding(source.spec().kind, bound.binding())?;
        }
        let bound = Arc::new(bound);
        let Some(source) = self.exchanges.get_mut(bound.binding().source.as_str()) else { return Ok(false) };
        if !source.outgoing.insert(Arc::clone(&bound)) {
            return Ok(false);
        }
        source.router.add(&bound);
        match &bound.binding().destination {
            Destination::Queue(name) => {
                if let Some(queue) = self.queues.get_mut(name.as_str()) {
                    queue.incoming.insert(bound);
                }
            }
            Destination::Exchange(name) => {
                if let Some(exchange) = self.exchanges.get_mut(name.as_str()) {
                    exchange.incoming.insert(bound);
                }
            }
        }
        self.changed();
        Ok(true)
    }

    /// Unbinds. True when the binding was there; a missing binding or end is no error. The second value says what went:
    /// the binding, and auto-delete exchanges that lost their last one.
    ///
    /// # Errors
    /// `DefaultExchange` at either end.
    pub fn unbind(&mut self, binding: Binding) -> Result<(bool, Removed), Refusal> {
        refuse_default_ends(&binding)?;
        let Ok(probe) = self.resolve(binding) else { return Ok((false, Removed::default())) };
        let bound = self.exchange(probe.binding().source.as_str()).and_then(|source| source.outgoing.get(&probe));
        let Some(bound) = bound.map(Arc::clone) else { return Ok((false, Removed::default())) };
        Ok((true, self.remove_binding(&bound)))
    }

    /// Whether a binding would outlive a restart: both its ends exist and are durable.
    pub fn is_durable(&self, binding: &Binding) -> bool {
        let destination = match &binding.destination {
            Destination::Queue(name) => self.queues.get(name.as_str()).is_some_and(|queue| queue.durable),
            Destination::Exchange(name) => self.exchange(name.as_str()).is_some_and(|end| end.spec().durable),
        };
        destination && self.exchange(binding.source.as_str()).is_some_and(|source| source.spec().durable)
    }

    /// All bindings, in no order. The default exchange's are implied by the queues and not among them.
    pub fn bindings(&self) -> impl Iterator<Item = &Arc<Bound>> {
        self.exchanges.values().flat_map(|exchange| exchange.outgoing.iter())
    }

    /// The bindings that lead to a queue, in no order; none when there is no such queue.
    pub fn bindings_of_queue(&self, name: &str) -> impl Iterator<Item = &Arc<Bound>> {
        self.queues.get(name).into_iter().flat_map(|queue| queue.incoming.iter())
    }

    /// Finds both ends. Names are replaced by the ends' own, so that a name is in memory once however many bindings
    /// have it.
    fn resolve(&self, binding: Binding) -> Result<Bound, Refusal> {
        let missing = |resource| Refusal::NotFound(resource);
        let source = self
            .exchange(binding.source.as_str())
            .ok_or_else(|| missing(Resource::exchange(&self.vhost, &binding.source)))?;
        let (destination, target, durable) = match &binding.destination {
            Destination::Queue(name) => {
                let (name, queue) = self
                    .queues
                    .get_key_value(name.as_str())
                    .ok_or_else(|| missing(Resource::queue(&self.vhost, name)))?;
                (Destination::Queue(name.clone()), Target::Queue(queue.id), queue.durable)
            }
            Destination::Exchange(name) => {
                let exchange =
                    self.exchange(name.as_str()).ok_or_else(|| missing(Resource::exchange(&self.vhost, name)))?;
                let name = exchange.name();
                (Destination::Exchange(name.clone()), Target::Exchange(name.clone()), exchange.spec().durable)
            }
        };
        let durable = durable && source.spec().durable;
        let binding = Binding { source: source.name().clone(), destination, ..binding };
        Ok(Bound::new(binding, target, durable))
    }
}

fn refuse_default_ends(binding: &Binding) -> Result<(), Refusal> {
    refuse_default_exchange(&binding.source)?;
    match &binding.destination {
        Destination::Exchange(name) => refuse_default_exchange(name),
        Destination::Queue(_) => Ok(()),
    }
}

//! The ways of messages through a virtual host's exchanges, and what exchanges keep for them: histories and windows.

use super::broker::Broker;
use super::delays::DelayHandle;
use super::gates::{Gate, GateRoute, forget_identities};
use super::history::SharedHistory;
use super::publish::{Delayed, Route};
use super::stored;
use super::vhost::Definitions;
use crate::broker::delayed::DelayState;
use crate::broker::identity::QueueId;
use crate::broker::queue::QueueKind;
use crate::broker::refusal::{Refusal, Resource};
use crate::broker::topology::{
    Binding, Delay, Destination, Exchange, ExchangeKind, ExchangeSpec, GateWay, Message, Removed, Way,
};
use crate::broker::window::Window;
use crate::name::Name;
use crate::store::Change;
use std::sync::Arc;

impl Definitions {
    pub(super) fn route(&self, exchange: &Exchange, message: &Message<'_>) -> Route {
        let mut way = Way::default();
        self.topology.route(exchange, message, &mut way);
        Route {
            targets: way.queues.iter().filter_map(|id| self.queues.get(id).cloned()).collect(),
            replies: Vec::new(),
            is_reply: false,
            histories: self.histories_of(&way.histories),
            gates: way.gates.iter().filter_map(|gate| self.gate_route(gate, message.keys)).collect(),
            delays: self.delays_of(&way.delays, message.keys),
            lasts: way.lasts,
            is_topic: exchange.spec().kind == ExchangeKind::Topic,
            source: Some(exchange.throughput().clone()),
        }
    }

    fn delays_of(&self, delays: &[Delay], keys: &[&[u8]]) -> Vec<Delayed> {
        let more = || keys.iter().skip(1).map(|key| key.to_vec()).collect();
        let delays = delays.iter().filter_map(|Delay { exchange, ms }| {
            Some(Delayed { at: self.delays.get(exchange)?.clone(), ms: *ms, more: more() })
        });
        delays.collect()
    }

    /// Makes room for the delayed messages of an exchange, if it delays any.
    pub(super) fn add_delays(&mut self, broker: &Broker, exchange: &Name, changes: &mut Vec<Change>) {
        let Some(found) = self.topology.exchange(exchange.as_str()).filter(|found| found.delays()) else { return };
        if self.delays.contains_key(exchange) {
            return;
        }
        let (id, resource) = (broker.delaying().next(), Resource::exchange(self.topology.vhost(), exchange));
        if found.spec().durable {
            changes.push(stored::put_delay(id, &resource));
        }
        let delays = DelayHandle::new(id, resource, DelayState::default(), broker.delaying());
        self.delays.insert(exchange.clone(), delays);
    }

    pub(super) fn histories_of(&self, names: &[Name]) -> Vec<Arc<SharedHistory>> {
        names.iter().filter_map(|name| self.histories.get(name).cloned()).collect()
    }

    fn gate_route(&self, way: &GateWay, keys: &[&[u8]]) -> Option<GateRoute> {
        Some(GateRoute {
            gate: self.gates.get(&way.exchange)?.clone(),
            open: way.open,
            targets: way.queues.iter().filter_map(|id| self.queues.get(id).cloned()).collect(),
            histories: self.histories_of(&way.histories),
            delays: self.delays_of(&way.delays, keys),
            gates: way.gates.clone(),
        })
    }

    /// Gives a new exchange its window, if it is of the type that has one. Returns the window's number if it is stored.
    pub(super) fn open_gate(
        &mut self,
        broker: &Broker,
        spec: &ExchangeSpec,
        changes: &mut Vec<Change>,
    ) -> Option<QueueId> {
        let (settings, is_stored) = spec.window()?;
        let id = broker.next_queue();
        self.gates.insert(spec.name.clone(), Gate::new(id, Window::new(settings), is_stored));
        if is_stored {
            changes.push(stored::put_next_queue(QueueId(id.0 + 1)));
        }
        is_stored.then_some(id)
    }

    /// What belongs to removed exchanges goes with them.
    pub(super) fn forget(&mut self, removed: &Removed, changes: &mut Vec<Change>) {
        for exchange in &removed.exchanges {
            self.histories.remove(&exchange.name);
            if let Some(delays) = self.delays.remove(&exchange.name) {
                delays.close();
                changes.extend(stored::delete_delay(delays.id()));
            }
            if let Some(gate) = self.gates.remove(&exchange.name) {
                gate.close();
                if gate.is_stored() {
                    changes.push(forget_identities(gate.id()));
                }
            }
        }
    }

    /// Only classic queues are bound to an `x-local-random` exchange; the topology has checked the rest.
    pub(super) fn check_local(&self, binding: &Binding) -> Result<(), Refusal> {
        let source = self.topology.exchange(binding.source.as_str()).map(|source| source.spec().kind);
        let local = source == Some(ExchangeKind::LocalRandom) && binding.routing_key.as_str().is_empty();
        match &binding.destination {
            Destination::Queue(name)
                if local && self.queue(name).is_some_and(|queue| queue.settings().kind != QueueKind::Classic) =>
            {
                let explanation = "Queue type rabbit_quorum_queue not valid for this exchange type";
                Err(Refusal::Unacceptable(explanation.to_owned()))
            }
            _ => Ok(()),
        }
    }
}

/// The history that an exchange needs, if it is of the type that has one.
pub(super) fn history_of(spec: &ExchangeSpec) -> Option<(Name, Arc<SharedHistory>)> {
    Some((spec.name.clone(), SharedHistory::new(spec.history_length()?)))
}

//! Tests of the topology, one file a chapter, and what they build their scenes with.

mod bind;
mod choice;
mod declare;
mod gates;
mod headers;
mod route;
mod topic;

use super::{Binding, Bound, Destination, ExchangeKind, ExchangeSpec, Message, Removed, Topology, Way};
use crate::broker::content::tests::payload;
use crate::broker::identity::QueueId;
use crate::broker::refusal::Refusal;
use crate::name::Name;
use crate::value::Table;
use std::sync::Arc;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn topology() -> Topology {
    Topology::new(name("/"))
}

fn spec(text: &str, kind: ExchangeKind) -> ExchangeSpec {
    let arguments = Table::new();
    ExchangeSpec { name: name(text), kind, durable: true, auto_delete: false, internal: false, arguments }
}

fn to_queue(source: &str, queue: &str, key: &str) -> Binding {
    Binding {
        source: name(source),
        destination: Destination::Queue(name(queue)),
        routing_key: name(key),
        arguments: Table::new(),
    }
}

fn to_exchange(source: &str, exchange: &str, key: &str) -> Binding {
    Binding { destination: Destination::Exchange(name(exchange)), ..to_queue(source, "", key) }
}

/// Routes; the result is sorted.
fn routed(topology: &Topology, exchange: &str, key: &str) -> Vec<u64> {
    routed_with(topology, exchange, key, &Table::new())
}

fn routed_with(topology: &Topology, exchange: &str, key: &str, headers: &Table) -> Vec<u64> {
    let mut encoded = Vec::new();
    headers.encode_content(&mut encoded);
    let mut ids: Vec<u64> =
        way(topology, exchange, &[key.as_bytes()], &payload(&encoded, None), 0).queues.iter().map(|id| id.0).collect();
    ids.sort_unstable();
    ids
}

/// The way of a message with these keys and this content header; `random` is what chance says.
fn way(topology: &Topology, exchange: &str, keys: &[&[u8]], content: &[u8], random: u64) -> Way {
    let mut way = Way { queues: vec![QueueId(999)], histories: vec![name("old")], ..Way::default() };
    topology.route(topology.exchange(exchange).unwrap(), &Message { keys, content, random: &|| random }, &mut way);
    way
}

/// One line a binding, sorted.
fn lines<'b>(bindings: impl IntoIterator<Item = &'b Arc<Bound>>) -> Vec<String> {
    let line = |bound: &Arc<Bound>| {
        let binding = bound.binding();
        format!("{} -{}-> {}", binding.source, binding.routing_key, binding.destination.name())
    };
    let mut lines: Vec<String> = bindings.into_iter().map(line).collect();
    lines.sort();
    lines
}

fn exchange_names(removed: &Removed) -> Vec<&str> {
    removed.exchanges.iter().map(|spec| spec.name.as_str()).collect()
}

fn text<T: std::fmt::Debug>(result: Result<T, Refusal>) -> String {
    result.unwrap_err().to_string()
}

/// What must hold after every operation: each binding stands at both its ends, and nowhere else.
fn check(topology: &Topology) {
    let mut at_destination: Vec<*const Bound> = Vec::new();
    for end in topology.queues.values() {
        at_destination.extend(end.incoming.iter().map(Arc::as_ptr));
    }
    for exchange in topology.exchanges.values() {
        at_destination.extend(exchange.incoming.iter().map(Arc::as_ptr));
    }
    let mut at_source: Vec<*const Bound> = topology.bindings().map(Arc::as_ptr).collect();
    at_destination.sort();
    at_source.sort();
    assert_eq!(at_source, at_destination);
    for bound in topology.bindings() {
        assert_eq!(bound.is_durable(), topology.is_durable(bound.binding()));
    }
}

/// Repeatable random numbers.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound).unwrap()).unwrap()
    }
}

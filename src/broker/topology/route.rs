//! The walk of a message from its exchange to queues.

use super::binding::Target;
use super::definitions::Topology;
use super::destinations::Destinations;
use super::exchange::{Exchange, Router};
use crate::broker::identity::QueueId;
use crate::name::Name;
use crate::value::Table;
use std::collections::HashSet;

impl Topology {
    /// Finds the queues of a message with one routing key; see [`Topology::route_keys`].
    pub fn route(
        &self,
        exchange: &Exchange,
        key: &[u8],
        headers: &mut dyn FnMut() -> Option<Table>,
        out: &mut Vec<QueueId>,
    ) {
        self.route_keys(exchange, &[key], headers, out);
    }

    /// Finds the queues of a message: `out` is replaced by them, each once, in no meaningful order.
    ///
    /// `keys` are the routing key and those of the `CC` and `BCC` headers: an alternate exchange is asked only if none of
    /// them leads anywhere (compat.md 2.2). `headers` is called at most once, and only if a headers exchange with
    /// bindings is met. The walk visits an exchange once, so that cycles end and its length is bounded by the number of
    /// exchanges.
    pub fn route_keys(
        &self,
        exchange: &Exchange,
        keys: &[&[u8]],
        headers: &mut dyn FnMut() -> Option<Table>,
        out: &mut Vec<QueueId>,
    ) {
        out.clear();
        let mut walk = Walk { start: exchange.name(), hits: 0, queues: out, pending: Vec::new(), seen: HashSet::new() };
        let mut message = Message { keys, headers, table: None };
        self.visit(exchange, &mut message, &mut walk);
        let mut next = 0;
        while let Some(name) = walk.pending.get(next).copied() {
            next += 1;
            if let Some(exchange) = self.exchange(name.as_str()) {
                self.visit(exchange, &mut message, &mut walk);
            }
        }
        // One look at a set of destinations cannot find a queue twice.
        if walk.hits > 1 {
            out.sort_unstable();
            out.dedup();
        }
    }

    fn visit<'t>(&'t self, exchange: &'t Exchange, message: &mut Message<'_>, walk: &mut Walk<'t, '_>) {
        let before = walk.hits;
        match &exchange.router {
            Router::Default => {
                for key in message.keys {
                    if let Some(queue) = std::str::from_utf8(key).ok().and_then(|name| self.queue(name)) {
                        walk.hits += 1;
                        walk.queues.push(queue);
                    }
                }
            }
            Router::Direct(direct) => {
                for destinations in message.keys.iter().filter_map(|key| direct.matching(key)) {
                    walk.take(destinations);
                }
            }
            Router::Fanout(fanout) => walk.take(fanout.matching()),
            Router::Topic(topic) => {
                for key in message.keys {
                    topic.matching(key, |destinations| walk.take(destinations));
                }
            }
            Router::Headers(headers) => {
                if !headers.is_empty() {
                    for bound in headers.matching(message.headers()) {
                        walk.hits += 1;
                        walk.go(bound.target());
                    }
                }
            }
        }
        if walk.hits == before
            && let Some(alternate) = exchange.alternate()
        {
            walk.go_to_exchange(alternate);
        }
    }
}

/// What a message is routed by.
struct Message<'m> {
    keys: &'m [&'m [u8]],
    headers: &'m mut dyn FnMut() -> Option<Table>,
    table: Option<Table>,
}

impl Message<'_> {
    fn headers(&mut self) -> &Table {
        self.table.get_or_insert_with(|| (self.headers)().unwrap_or_default())
    }
}

/// How far a walk has come.
struct Walk<'t, 'o> {
    start: &'t Name,
    /// How many times destinations were found; a queue can be among several.
    hits: usize,
    queues: &'o mut Vec<QueueId>,
    /// Exchanges in the order in which they were met, the visited ones included.
    pending: Vec<&'t Name>,
    seen: HashSet<&'t Name>,
}

impl<'t> Walk<'t, '_> {
    fn take(&mut self, destinations: &'t Destinations) {
        if destinations.is_empty() {
            return;
        }
        self.hits += 1;
        self.queues.reserve(destinations.iter().len());
        for target in destinations.iter() {
            self.go(target);
        }
    }

    fn go(&mut self, target: &'t Target) {
        match target {
            Target::Queue(id) => self.queues.push(*id),
            Target::Exchange(name) => self.go_to_exchange(name),
        }
    }

    fn go_to_exchange(&mut self, name: &'t Name) {
        if name != self.start && self.seen.insert(name) {
            self.pending.push(name);
        }
    }
}

//! The walk of a message from its exchange to queues.

use super::binding::Target;
use super::definitions::Topology;
use super::destinations::Destinations;
use super::exchange::{Exchange, Router};
use crate::broker::content::Content;
use crate::broker::delayed::delay_of;
use crate::broker::hash::hash_all;
use crate::broker::identity::QueueId;
use crate::name::Name;
use crate::value::Table;
use std::collections::HashSet;

/// A message as the way through exchanges sees it.
#[derive(Clone, Copy)]
pub struct Message<'m> {
    /// The routing key, and those of the `CC` and `BCC` headers.
    pub keys: &'m [&'m [u8]],
    /// The payload of its content header frame. Looked at only by exchange types that need it; damage counts as absence.
    pub content: &'m [u8],
    /// Draws a random number.
    pub random: &'m dyn Fn() -> u64,
}

/// A message is to wait at an exchange before it is routed from there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delay {
    /// The exchange.
    pub exchange: Name,
    /// For how long, in milliseconds.
    pub ms: u32,
}

/// Where a message goes.
#[derive(Clone, Debug, Default)]
pub struct Way {
    /// The queues, each once, in no meaningful order.
    pub queues: Vec<QueueId>,
    /// Exchanges on the way that remember their last messages.
    pub histories: Vec<Name>,
    /// Exchanges on the way that only let through what is no duplicate, and where it goes from there.
    pub gates: Vec<GateWay>,
    /// Exchanges at which the message is to wait: it goes no further there now, not even to an alternate exchange.
    pub delays: Vec<Delay>,
    /// Whether every message with the same exchange and keys goes this way, as long as the topology stays the same: nothing
    /// else of the message was looked at, and nothing left to chance.
    pub lasts: bool,
}

/// An exchange that drops duplicates, and the way behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateWay {
    /// The exchange.
    pub exchange: Name,
    /// Whether it is reached without passing another gate.
    pub open: bool,
    /// The queues behind it, each once.
    pub queues: Vec<QueueId>,
    /// Exchanges behind it that remember their last messages.
    pub histories: Vec<Name>,
    /// Exchanges behind it at which the message is to wait.
    pub delays: Vec<Delay>,
    /// The gates behind it, by their places in [`Way::gates`].
    pub gates: Vec<usize>,
}

impl Topology {
    /// Finds the queues of a message; `way` is replaced.
    ///
    /// An alternate exchange is asked only if none of the keys leads anywhere (compat.md 2.2). The walk visits an exchange
    /// once, so that cycles end and its length is bounded by the number of exchanges. It ends at exchanges that drop duplicates:
    /// the way behind each is found by a walk of its own.
    pub fn route(&self, exchange: &Exchange, message: &Message<'_>, way: &mut Way) {
        let mut facts = Facts { message, headers: None };
        let mut walk = Walk::new(exchange.name());
        self.walk(exchange, &mut facts, &mut walk, false);
        way.queues = walk.queues;
        way.histories = walk.histories;
        way.delays = walk.delays;
        way.lasts = walk.lasts;
        way.gates = walk.gates.iter().map(|name| GateWay::new(name, true)).collect();
        let mut next = 0;
        while let Some(name) = way.gates.get(next).map(|gate| gate.exchange.clone()) {
            if let Some(exchange) = self.exchange(name.as_str()) {
                self.pass_gate(exchange, next, &mut facts, way);
            }
            next += 1;
        }
    }

    /// Finds the way behind a gate.
    fn pass_gate(&self, exchange: &Exchange, at: usize, facts: &mut Facts<'_>, way: &mut Way) {
        let mut walk = Walk::new(exchange.name());
        self.walk(exchange, facts, &mut walk, true);
        way.lasts &= walk.lasts;
        let mut behind = Vec::new();
        for name in walk.gates {
            behind.push(way.gates.iter().position(|gate| gate.exchange == *name).unwrap_or(way.gates.len()));
            if way.gates.iter().all(|gate| gate.exchange != *name) {
                way.gates.push(GateWay::new(name, false));
            }
        }
        if let Some(gate) = way.gates.get_mut(at) {
            (gate.queues, gate.histories) = (walk.queues, walk.histories);
            (gate.delays, gate.gates) = (walk.delays, behind);
        }
    }

    /// Walks from `exchange` on, up to gates; with `through`, through itself if it is one.
    fn walk<'t>(&'t self, exchange: &'t Exchange, facts: &mut Facts<'_>, walk: &mut Walk<'t>, through: bool) {
        match &exchange.router {
            Router::Gate(_) if !through => walk.gates.push(exchange.name()),
            _ => self.visit(exchange, facts, walk),
        }
        let mut next = 0;
        while let Some(name) = walk.pending.get(next).copied() {
            next += 1;
            match self.exchange(name.as_str()) {
                Some(exchange) if matches!(exchange.router, Router::Gate(_)) => walk.gates.push(exchange.name()),
                Some(exchange) => self.visit(exchange, facts, walk),
                None => {}
            }
        }
        // One look at a set of destinations cannot find a queue twice.
        if walk.hits > 1 {
            walk.queues.sort_unstable();
            walk.queues.dedup();
        }
    }

    fn visit<'t>(&'t self, exchange: &'t Exchange, facts: &mut Facts<'_>, walk: &mut Walk<'t>) {
        if exchange.delays() {
            walk.lasts = false;
            if let Some(ms) = delay_of(facts.headers()) {
                walk.delays.push(Delay { exchange: exchange.name().clone(), ms });
                return;
            }
        }
        let before = walk.hits;
        let keys = facts.message.keys;
        match &exchange.router {
            Router::Default => {
                for key in keys {
                    if let Some(queue) = std::str::from_utf8(key).ok().and_then(|name| self.queue(name)) {
                        walk.hits += 1;
                        walk.queues.push(queue);
                    }
                }
            }
            Router::Direct(direct) => {
                for destinations in keys.iter().filter_map(|key| direct.matching(key)) {
                    walk.take(destinations);
                }
            }
            Router::Fanout(fanout) | Router::Gate(fanout) => walk.take(fanout.matching()),
            Router::Topic(topic) => {
                for key in keys {
                    topic.matching(key, |destinations| walk.take(destinations));
                }
            }
            Router::Headers(headers) => {
                if !headers.is_empty() {
                    walk.lasts = false;
                    for bound in headers.matching(facts.headers()) {
                        walk.hit(bound.target());
                    }
                }
            }
            Router::Jms(jms) => {
                if !jms.is_empty() {
                    walk.lasts = false;
                    for bound in jms.matching(facts.headers()) {
                        walk.hit(bound.target());
                    }
                }
            }
            Router::Ring(on, ring) => {
                walk.lasts &= !on.depends_on_content();
                let key = keys.first().copied().unwrap_or_default();
                walk.hit_one(ring.pick(on.hash(key, facts.message.content)));
            }
            Router::Modulus(modulus) => walk.hit_one(modulus.pick(hash_all(keys.iter().copied()))),
            Router::Lottery(lottery) => {
                walk.lasts = false;
                walk.hit_one(lottery.pick((facts.message.random)()));
            }
            Router::History(fanout) => {
                walk.histories.push(exchange.name().clone());
                walk.take(fanout.matching());
            }
        }
        if walk.hits == before
            && let Some(alternate) = exchange.alternate()
        {
            walk.go_to_exchange(alternate);
        }
    }
}

/// What is known of a message so far: its headers are decoded once, when they are asked for.
struct Facts<'m> {
    message: &'m Message<'m>,
    headers: Option<Table>,
}

impl Facts<'_> {
    fn headers(&mut self) -> &Table {
        self.headers.get_or_insert_with(|| {
            let headers =
                Content::parse(self.message.content).and_then(|content| Table::decode(content.headers()).ok());
            headers.unwrap_or_default()
        })
    }
}

/// How far a walk has come.
struct Walk<'t> {
    start: &'t Name,
    /// How many times destinations were found; a queue can be among several.
    hits: usize,
    queues: Vec<QueueId>,
    histories: Vec<Name>,
    gates: Vec<&'t Name>,
    delays: Vec<Delay>,
    lasts: bool,
    /// Exchanges in the order in which they were met, the visited ones included.
    pending: Vec<&'t Name>,
    seen: HashSet<&'t Name>,
}

impl GateWay {
    fn new(exchange: &Name, open: bool) -> GateWay {
        let (queues, histories, delays, gates) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        GateWay { exchange: exchange.clone(), open, queues, histories, delays, gates }
    }
}

impl<'t> Walk<'t> {
    fn new(start: &'t Name) -> Walk<'t> {
        let (queues, histories, gates) = (Vec::new(), Vec::new(), Vec::new());
        let (delays, pending, seen) = (Vec::new(), Vec::new(), HashSet::new());
        Walk { start, hits: 0, queues, histories, gates, delays, lasts: true, pending, seen }
    }

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

    fn hit(&mut self, target: &'t Target) {
        self.hits += 1;
        self.go(target);
    }

    fn hit_one(&mut self, target: Option<&'t Target>) {
        if let Some(target) = target {
            self.hit(target);
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

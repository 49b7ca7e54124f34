//! Events of the node (compat.md 5): what happens to connections, channels, consumers and definitions is told as messages to
//! the exchange `amq.rabbitmq.event` of one virtual host, as RabbitMQ's plugin does: the routing key says what, the headers
//! to whom, the body is empty.
//!
//! - [`told`]: what they say.
//!
//! Whoever has something to tell puts it into a bounded list, under whatever lock it holds: nothing waits here. The relay's
//! thread publishes it. While nothing is bound to the exchange nothing is even put together.

mod told;

pub(super) use told::By;
pub use told::listed;

use super::broker::Broker;
use super::publish::Batch;
use super::relay::Relay;
use crate::broker::message::Parts;
use crate::broker::topology::{ExchangeKind, Topology};
use crate::limits::EVENTS;
use crate::name::Name;
use crate::store::committer::Waiter;
use crate::value::{Table, Value};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The exchange that events go to.
pub const EVENT_EXCHANGE: &str = "amq.rabbitmq.event";
/// Who did what nobody asked for: RabbitMQ's name for itself.
pub const INTERNAL_USER: &str = "rmq-internal";

/// Flags of the properties that an event has: headers, delivery-mode, timestamp.
const FLAGS: u16 = 1 << 13 | 1 << 12 | 1 << 6;

/// Something that has happened.
#[derive(Debug)]
struct Event {
    /// The routing key.
    kind: &'static str,
    fields: Table,
    /// Wall clock ms.
    time: u64,
}

/// Events on their way.
#[derive(Debug)]
pub(super) struct Events {
    vhost: Name,
    /// Something is bound to the exchange.
    wanted: AtomicBool,
    waiting: Mutex<Vec<Event>>,
    lost: AtomicU64,
    relay: Arc<Relay>,
}

impl Events {
    /// Of a node whose event exchange is in `vhost`.
    pub fn new(vhost: Name, relay: Arc<Relay>) -> Events {
        let (wanted, waiting, lost) = (AtomicBool::new(false), Mutex::default(), AtomicU64::new(0));
        Events { vhost, wanted, waiting, lost, relay }
    }

    /// The virtual host of the exchange.
    pub fn vhost(&self) -> &Name {
        &self.vhost
    }

    /// A virtual host has changed: if it is the one of the exchange, something may be bound there now, or nothing any more.
    pub fn look_at(&self, topology: &Topology) {
        if *topology.vhost() == self.vhost {
            let bound = topology.exchange(EVENT_EXCHANGE).is_some_and(|exchange| exchange.outgoing().len() > 0);
            self.wanted.store(bound, Ordering::Relaxed);
        }
    }

    /// Events that were dropped because too many waited.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn put(&self, event: Event) {
        let mut waiting = self.waiting.lock();
        if waiting.len() < EVENTS {
            waiting.push(event);
            let first = waiting.len() == 1;
            drop(waiting);
            if first {
                self.relay.wake();
            }
        } else if self.lost.fetch_add(1, Ordering::Relaxed) == 0 {
            drop(waiting);
            tracing::warn!("events come faster than they can be published: some are lost, which is told only once");
        }
    }
}

/// Makes the exchange.
pub(super) fn predeclare(topology: &mut Topology) {
    topology.predeclare(EVENT_EXCHANGE, ExchangeKind::Topic, true);
}

impl Broker {
    /// Tells whoever listens that something has happened. `fields` is asked only if somebody does.
    #[inline]
    pub fn tell(&self, kind: &'static str, fields: impl FnOnce() -> Table) {
        if self.events().wanted.load(Ordering::Relaxed) {
            self.events().put(Event { kind, fields: fields(), time: self.now() });
        }
    }

    /// Events that were dropped because too many waited.
    pub fn lost_events(&self) -> u64 {
        self.events().lost()
    }

    /// Publishes the events that wait; whether there were some.
    pub(super) fn publish_events(&self, batch: &mut Batch) -> bool {
        let events = std::mem::take(&mut *self.events().waiting.lock());
        let Ok(vhost) = self.vhost(self.events().vhost.as_str()) else { return false };
        for Event { kind, fields, time } in &events {
            let Some(route) = vhost.route_internally(EVENT_EXCHANGE, &[kind.as_bytes()], b"") else {
                continue;
            };
            if route.is_empty() {
                continue;
            }
            let parts = Parts {
                exchange_and_key: &short_strings(EVENT_EXCHANGE, kind),
                header: &content_header(fields, *time),
                body: b"",
                persistent: true,
                priority: 0,
                deadline_ms: 0,
                died: false,
                detached: None,
            };
            batch.push(self, &route, &parts, None);
        }
        batch.flush(self);
        !events.is_empty()
    }
}

fn short_strings(exchange: &str, key: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(exchange.len() + key.len() + 2);
    for text in [exchange, key] {
        bytes.push(text.len() as u8);
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

fn content_header(fields: &Table, time: u64) -> Vec<u8> {
    let mut headers = Table::new();
    headers.push("timestamp_in_ms", Value::I64(time as i64));
    fields.iter().for_each(|(key, value)| headers.push(key.clone(), value.clone()));
    let mut header = vec![0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    header.extend_from_slice(&FLAGS.to_be_bytes());
    headers.encode(&mut header);
    header.push(2);
    header.extend_from_slice(&(time / 1000).to_be_bytes());
    header
}

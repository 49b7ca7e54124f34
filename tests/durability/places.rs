//! The queues and exchanges of the load: one of each feature, and what each may do with a message.

use crate::message::DELIVERY_LIMIT;
use crate::support::{AMQPValue, Client, Error, FieldTable, exchange, queue};

/// Queues of the load.
pub const QUEUES: [&str; 13] = [
    "crash.solo",
    "crash.a",
    "crash.b",
    "crash.ttl",
    "crash.short",
    "crash.refuse",
    "crash.priority",
    "crash.single",
    "crash.quorum",
    "crash.once",
    "crash.gated",
    "crash.due",
    "crash.dead",
];
/// Has one exclusive consumer at a time.
pub const SOLO: usize = 0;
/// Its messages expire, and go to [`DEAD`].
pub const TTL: usize = 3;
/// Takes few messages; the oldest go to [`DEAD`].
pub const SHORT: usize = 4;
/// Takes few messages, and refuses the others.
pub const REFUSE: usize = 5;
pub const PRIORITY: usize = 6;
/// Its highest priority.
pub const HIGHEST: u8 = 5;
/// Serves one of its consumers.
pub const SINGLE: usize = 7;
/// What failed too often goes to [`DEAD`], at least once.
pub const QUORUM: usize = 8;
/// Takes each message once.
pub const ONCE: usize = 9;
/// Behind [`GATE`].
pub const GATED: usize = 10;
/// Behind [`DELAYED`].
pub const DUE: usize = 11;
/// Where dead letters go.
pub const DEAD: usize = 12;

pub const FANOUT: &str = "crash.fanout";
pub const TOPIC: &str = "crash.topic";
/// What no queue of it takes goes to [`OTHER`].
pub const ALTERNATE: &str = "crash.alternate";
/// Lets each message through once.
pub const GATE: &str = "crash.gate";
/// Its messages wait.
pub const DELAYED: &str = "crash.delayed";
/// Lets each message through once, to [`DELAYED`].
pub const LATER: &str = "crash.later";
const OTHER: &str = "crash.other";
const DLX: &str = "crash.dlx";
const TOPIC_PATTERN: &str = "order.*.new";

/// Identities that a window holds: more than come between a message and its duplicate.
const WINDOW: i64 = 1_000_000;

/// Where a message must come out: a bit for each queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Of each of these.
    pub each: u16,
    /// Of one of these: a queue, or where the queue sends what it does not keep.
    pub any: u16,
}

/// Each of these queues.
pub fn only(queues: &[usize]) -> Places {
    Places { each: queues.iter().map(|queue| 1 << queue).sum(), any: 0 }
}

impl Places {
    pub fn is_empty(self) -> bool {
        self == Places::default()
    }

    pub fn has(self, queue: usize) -> bool {
        (self.each | self.any) & 1 << queue != 0
    }

    /// How often the message must come out.
    pub fn copies(self) -> u64 {
        u64::from(self.each.count_ones()) + u64::from(self.any != 0)
    }
}

/// Queues, exchanges and bindings; all have their `-ok` before the first crash.
pub fn define(client: &mut Client) -> Result<(), Error> {
    client.open_channel(1)?;
    for (name, kind) in [(FANOUT, "fanout"), (TOPIC, "topic"), (OTHER, "fanout"), (DLX, "fanout")] {
        declare_exchange(client, name, kind, &[])?;
    }
    declare_exchange(client, ALTERNATE, "direct", &[("alternate-exchange", text(OTHER))])?;
    declare_exchange(client, DELAYED, "x-delayed-message", &[("x-delayed-type", text("direct"))])?;
    for name in [GATE, LATER] {
        let window = [("x-cache-size", number(WINDOW)), ("x-cache-ttl", number(3_600_000))];
        declare_exchange(client, name, "x-message-deduplication", &window)?;
    }
    for (number, name) in QUEUES.iter().enumerate() {
        let declare = queue::Declare { queue: (*name).into(), durable: true, ..Default::default() };
        client.declare(1, queue::Declare { arguments: arguments_of(number), ..declare })?;
    }
    for queue in &QUEUES[..3] {
        client.bind(1, queue, FANOUT, "")?;
    }
    for queue in &QUEUES[1..3] {
        client.bind(1, queue, TOPIC, TOPIC_PATTERN)?;
    }
    client.bind(1, QUEUES[2], OTHER, "")?;
    client.bind(1, QUEUES[GATED], GATE, "")?;
    client.bind_exchange(1, DELAYED, LATER, "")?;
    client.bind(1, QUEUES[DUE], DELAYED, QUEUES[DUE])?;
    client.bind(1, QUEUES[DEAD], DLX, "")
}

fn declare_exchange(client: &mut Client, name: &str, kind: &str, arguments: &[(&str, AMQPValue)]) -> Result<(), Error> {
    let (exchange, kind, arguments) = (name.into(), kind.into(), table(arguments));
    client.declare_exchange(1, exchange::Declare { exchange, kind, durable: true, arguments, ..Default::default() })
}

fn table(entries: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in entries {
        table.insert((*key).into(), value.clone());
    }
    table
}

fn number(number: i64) -> AMQPValue {
    AMQPValue::LongLongInt(number)
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

fn arguments_of(queue: usize) -> FieldTable {
    let letters = ("x-dead-letter-exchange", text(DLX));
    let arguments = match queue {
        TTL => vec![("x-message-ttl", number(30)), letters],
        SHORT => vec![("x-max-length", number(100)), letters],
        REFUSE => vec![("x-max-length", number(200)), ("x-overflow", text("reject-publish"))],
        PRIORITY => vec![("x-max-priority", number(i64::from(HIGHEST)))],
        SINGLE => vec![("x-single-active-consumer", AMQPValue::Boolean(true))],
        QUORUM => vec![
            ("x-queue-type", text("quorum")),
            ("x-delivery-limit", number(DELIVERY_LIMIT)),
            ("x-dead-letter-strategy", text("at-least-once")),
            ("x-overflow", text("reject-publish")),
            letters,
        ],
        ONCE => vec![("x-message-deduplication", AMQPValue::Boolean(true)), ("x-cache-size", number(WINDOW))],
        _ => Vec::new(),
    };
    table(&arguments)
}

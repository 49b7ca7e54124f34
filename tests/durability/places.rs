//! The queues and exchanges of the load: one of each feature, and what each may do with a message.

use crate::message::DELIVERY_LIMIT;
use crate::support::{AMQPValue, Client, Error, FieldTable, exchange, queue};

/// Queues of the load.
pub const QUEUES: [&str; 10] = [
    "crash.solo",
    "crash.a",
    "crash.b",
    "crash.ttl",
    "crash.short",
    "crash.refuse",
    "crash.priority",
    "crash.single",
    "crash.quorum",
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
/// Where dead letters go.
pub const DEAD: usize = 9;

pub const FANOUT: &str = "crash.fanout";
pub const TOPIC: &str = "crash.topic";
/// What no queue of it takes goes to [`OTHER`].
pub const ALTERNATE: &str = "crash.alternate";
const OTHER: &str = "crash.other";
const DLX: &str = "crash.dlx";
const TOPIC_PATTERN: &str = "order.*.new";

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
        let declare =
            exchange::Declare { exchange: name.into(), kind: kind.into(), durable: true, ..Default::default() };
        client.declare_exchange(1, declare)?;
    }
    let mut arguments = FieldTable::default();
    arguments.insert("alternate-exchange".into(), text(OTHER));
    let (exchange, kind) = (ALTERNATE.into(), "direct".into());
    client.declare_exchange(1, exchange::Declare { exchange, kind, durable: true, arguments, ..Default::default() })?;
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
    client.bind(1, QUEUES[DEAD], DLX, "")
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

fn arguments_of(queue: usize) -> FieldTable {
    let number = AMQPValue::LongLongInt;
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
        _ => Vec::new(),
    };
    let mut table = FieldTable::default();
    for (key, value) in arguments {
        table.insert(key.into(), value);
    }
    table
}

//! What can happen to a queue, and random histories of it.

use crate::letters::Fate;
use crate::once::Mark;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use warren::broker::queue::{DeadLetters, Overflow, QueueKind, QueueSettings, Retry, RetryKind};
use warren::broker::window::{DEDUPLICATION_HEADER, WindowSettings};
use warren::name::Name;

/// Most commands of a history.
const LENGTH: usize = 160;
/// Messages say that they are one of so many, so that there are duplicates.
const IDENTITIES: u64 = 12;

/// What a queue is declared with: it cannot change.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    pub kind: QueueKind,
    pub max_priority: Option<u8>,
    pub single_active: bool,
    /// There is always a dead-letter exchange, and messages have all priorities. Otherwise messages may vanish unseen, and
    /// then only one place is left from which they can.
    pub lettered: bool,
    pub durable: bool,
    /// The limit that consumers of a channel share.
    pub shared: i64,
    /// Duplicates are dropped: how many identities are remembered, and for how long each.
    pub once: Option<(u64, Option<u64>)>,
}

/// What a policy can change.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    pub message_ttl: Option<u64>,
    pub expires: Option<u64>,
    pub max_length: Option<u64>,
    pub max_bytes: Option<u64>,
    pub overflow: Overflow,
    pub dead_letters: bool,
    pub delivery_limit: Option<u32>,
    pub retry: (RetryKind, u64, u64),
}

/// Who the messages of a chunk say they are.
#[derive(Clone, Copy, Debug)]
pub struct Marks {
    first: u64,
    stride: u64,
    /// How long each is to be remembered, if they say so.
    ttl: Option<u64>,
}

impl Marks {
    pub fn of(self, at: u64) -> Mark {
        ((self.first + at * self.stride) % IDENTITIES, self.ttl.map(|ttl| ttl * (1 + at % 3)))
    }
}

/// What can happen.
#[derive(Clone, Debug)]
pub enum Op {
    Enqueue { messages: u32, durable: bool, priority: u8, ttl: Option<u64>, marks: Option<Marks> },
    Consume { prefetch: Option<u32>, no_ack: bool, priority: i32, exclusive: bool, shares: bool },
    Cancel(Index),
    Settle { at: Index, count: u32 },
    Discard { at: Index, count: u32 },
    Requeue { at: Index, count: u32, failed: bool },
    Take { no_ack: bool },
    Purge,
    Touch,
    Configure(Policy),
    Wait(i64),
    Bury { count: usize, fate: Fate },
    Commit { short: bool },
    Evict { keep: usize },
    Read,
    Load,
    LoadAgain,
    Crash { pieces: usize },
    Restart,
}

impl Config {
    /// Its settings under a policy.
    pub fn settings(&self, policy: Option<Policy>) -> QueueSettings {
        let Config { kind, single_active, .. } = *self;
        let max_priority = self.max_priority.filter(|_| kind == QueueKind::Classic);
        let exchange = || Name::new("dlx").expect("a name");
        let letters = DeadLetters { exchange: exchange(), routing_key: None, at_least_once: false };
        let header = || DEDUPLICATION_HEADER.to_owned();
        let deduplication = self.once.map(|(size, ttl_ms)| WindowSettings { header: header(), size, ttl_ms });
        let fixed = QueueSettings { kind, single_active, max_priority, deduplication, ..QueueSettings::default() };
        let Some(policy) = policy else {
            return QueueSettings { dead_letters: self.lettered.then_some(letters), ..fixed };
        };
        let (retry, min_ms, max_ms) = policy.retry;
        QueueSettings {
            message_ttl: policy.message_ttl,
            expires: policy.expires,
            max_length: policy.max_length,
            max_bytes: policy.max_bytes,
            overflow: policy.overflow,
            dead_letters: (self.lettered || policy.dead_letters).then_some(letters),
            delivery_limit: policy.delivery_limit.filter(|_| kind == QueueKind::Quorum),
            retry: if kind == QueueKind::Quorum { Retry { kind: retry, min_ms, max_ms } } else { Retry::default() },
            ..fixed
        }
    }
}

pub fn history() -> impl Strategy<Value = (Config, Vec<Op>)> {
    (config(), prop::collection::vec(op(), 1..LENGTH))
}

fn config() -> impl Strategy<Value = Config> {
    let kind = select(vec![QueueKind::Classic, QueueKind::Classic, QueueKind::Quorum]);
    let once = weighted(0.4, (1..16u64, weighted(0.5, 1..100u64)));
    (kind, weighted(0.3, 1..5u8), prop::bool::weighted(0.2), any::<bool>(), prop::bool::weighted(0.9), 1..12i64, once)
        .prop_map(|(kind, max_priority, single_active, lettered, durable, shared, once)| {
            // A quorum queue is always durable.
            let durable = durable || kind == QueueKind::Quorum;
            Config { kind, max_priority, single_active, lettered, durable, shared, once }
        })
}

fn policy() -> impl Strategy<Value = Policy> {
    let overflow = select(vec![Overflow::DropHead, Overflow::RejectPublish, Overflow::RejectPublishDlx]);
    let retry = select(vec![RetryKind::Disabled, RetryKind::All, RetryKind::Failed, RetryKind::Returned]);
    (
        weighted(0.3, 0..60u64),
        weighted(0.2, 1..80u64),
        weighted(0.4, 0..60u64),
        weighted(0.3, 0..20_000u64),
        overflow,
        any::<bool>(),
        weighted(0.5, 0..4u32),
        (retry, 0..20u64, 0..30u64),
    )
        .prop_map(
            |(message_ttl, expires, max_length, max_bytes, overflow, dead_letters, delivery_limit, retry)| Policy {
                message_ttl,
                expires,
                max_length,
                max_bytes,
                overflow,
                dead_letters,
                delivery_limit,
                retry,
            },
        )
}

fn op() -> impl Strategy<Value = Op> {
    let at = any::<Index>;
    let fate = select(vec![Fate::Gone, Fate::Back, Fate::BackByDetour]);
    let consumer =
        (weighted(0.5, 1..20u32), prop::bool::weighted(0.3), -1..2i32, prop::bool::weighted(0.1), any::<bool>());
    let marks = (0..IDENTITIES, 0..4u64, weighted(0.2, 1..100u64));
    let marks = weighted(0.8, marks.prop_map(|(first, stride, ttl)| Marks { first, stride, ttl }));
    prop_oneof![
        10 => (1..40u32, any::<bool>(), 0..8u8, weighted(0.3, 0..40u64), marks)
            .prop_map(|(messages, durable, priority, ttl, marks)| Op::Enqueue { messages, durable, priority, ttl, marks }),
        4 => consumer.prop_map(|(prefetch, no_ack, priority, exclusive, shares)|
            Op::Consume { prefetch, no_ack: no_ack && !shares, priority, exclusive, shares }),
        3 => at().prop_map(Op::Cancel),
        7 => (at(), 1..40u32).prop_map(|(at, count)| Op::Settle { at, count }),
        4 => (at(), 1..20u32).prop_map(|(at, count)| Op::Discard { at, count }),
        6 => (at(), 1..40u32, any::<bool>()).prop_map(|(at, count, failed)| Op::Requeue { at, count, failed }),
        5 => any::<bool>().prop_map(|no_ack| Op::Take { no_ack }),
        1 => Just(Op::Purge),
        1 => Just(Op::Touch),
        3 => policy().prop_map(Op::Configure),
        5 => prop_oneof![5 => 0..30i64, 1 => -50..0i64, 1 => 30..500i64].prop_map(Op::Wait),
        4 => (1..40usize, fate).prop_map(|(count, fate)| Op::Bury { count, fate }),
        6 => any::<bool>().prop_map(|short| Op::Commit { short }),
        5 => prop_oneof![1 => Just(0), 2 => 0..4000usize].prop_map(|keep| Op::Evict { keep }),
        6 => Just(Op::Read),
        6 => Just(Op::Load),
        1 => Just(Op::LoadAgain),
        1 => (0..4usize).prop_map(|pieces| Op::Crash { pieces }),
        1 => Just(Op::Restart),
    ]
}

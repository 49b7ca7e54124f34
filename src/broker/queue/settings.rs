//! What a queue's arguments and policies amount to (compat.md 2.9): the only form in which the queue machine knows them.

use crate::broker::message::Returns;
use crate::broker::window::WindowSettings;
use crate::name::Name;

/// Most priority levels: `x-max-priority` is at most 255.
pub const PRIORITY_MAX: u8 = 255;

/// Priorities of a quorum queue from this one on are high (compat.md 0, row 11).
const QUORUM_HIGH: u8 = 5;

/// Kinds of queue (`x-queue-type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueueKind {
    /// RabbitMQ's classic queue.
    #[default]
    Classic,
    /// A quorum queue, with this node as its one member.
    Quorum,
}

impl QueueKind {
    /// The type's name in `x-queue-type`.
    pub fn name(self) -> &'static str {
        match self {
            QueueKind::Classic => "classic",
            QueueKind::Quorum => "quorum",
        }
    }
}

/// What happens to a message that finds the queue at its limit (`x-overflow`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// The oldest ready messages make room for it.
    #[default]
    DropHead,
    /// It is refused: its publisher gets a `basic.nack`.
    RejectPublish,
    /// The same, and it is dead-lettered.
    RejectPublishDlx,
}

/// Where dead letters go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetters {
    /// `x-dead-letter-exchange`.
    pub exchange: Name,
    /// `x-dead-letter-routing-key`; None: under the keys they had.
    pub routing_key: Option<Name>,
    /// `x-dead-letter-strategy` is `at-least-once` and the overflow mode allows it: a dead letter stays in the queue
    /// until its targets have it.
    pub at_least_once: bool,
}

/// Which returned messages wait before they are delivered again (`x-delayed-retry-type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RetryKind {
    /// None.
    #[default]
    Disabled,
    /// All.
    All,
    /// Those whose delivery failed: rejected, or their channel ended.
    Failed,
    /// Those that their consumer gave back (`basic.nack`).
    Returned,
}

/// Delayed retry: a returned message waits `min` × its delivery count, at most `max`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retry {
    /// Which messages wait.
    pub kind: RetryKind,
    /// Milliseconds.
    pub min_ms: u64,
    /// Milliseconds, at least `min_ms`.
    pub max_ms: u64,
}

/// A queue's settings, arguments and policies merged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueSettings {
    /// Its type.
    pub kind: QueueKind,
    /// Milliseconds that a message may wait (`x-message-ttl`).
    pub message_ttl: Option<u64>,
    /// Milliseconds that the queue may be unused (`x-expires`).
    pub expires: Option<u64>,
    /// Ready messages (`x-max-length`).
    pub max_length: Option<u64>,
    /// Bytes of ready messages' bodies (`x-max-length-bytes`).
    pub max_bytes: Option<u64>,
    /// At a limit.
    pub overflow: Overflow,
    /// Where dead letters go; None: nowhere.
    pub dead_letters: Option<DeadLetters>,
    /// Highest priority; None: the queue has no priorities (`x-max-priority`).
    pub max_priority: Option<u8>,
    /// One consumer is served, the others wait (`x-single-active-consumer`).
    pub single_active: bool,
    /// Failed deliveries after which a message is dead-lettered (`x-delivery-limit`); None: no limit.
    pub delivery_limit: Option<u32>,
    /// Delayed retry.
    pub retry: Retry,
    /// Milliseconds that a consumer may hold a message (`x-consumer-timeout`); None: the node's setting.
    pub consumer_timeout: Option<u64>,
    /// Which messages are duplicates (`x-message-deduplication`).
    pub deduplication: Option<WindowSettings>,
}

impl Retry {
    /// Whether some messages wait.
    pub fn is_on(&self) -> bool {
        self.kind != RetryKind::Disabled
    }

    /// Milliseconds that a message waits which came back so often; `failed`: its last delivery failed.
    pub fn wait(&self, returns: Returns, failed: bool) -> Option<u64> {
        let waits = match self.kind {
            RetryKind::Disabled => false,
            RetryKind::All => true,
            RetryKind::Failed => failed,
            RetryKind::Returned => !failed,
        };
        // A message that only ever came back unharmed waits the least time.
        let times = u64::from(returns.failed.max(1));
        waits.then(|| self.min_ms.saturating_mul(times).min(self.max_ms.max(self.min_ms)))
    }
}

impl QueueSettings {
    /// Whether the queue has a length limit.
    #[inline]
    pub fn is_bounded(&self) -> bool {
        self.max_length.is_some() || self.max_bytes.is_some()
    }

    /// The number of the lowest level; None: there is one.
    pub(super) fn highest_level(&self) -> Option<u8> {
        match self.kind {
            QueueKind::Quorum => Some(1),
            QueueKind::Classic => self.max_priority,
        }
    }

    /// The level that a message of this priority belongs to, for [`super::Command::Enqueue`].
    pub fn level_of(&self, priority: u8) -> usize {
        match self.kind {
            QueueKind::Quorum => usize::from(priority < QUORUM_HIGH),
            QueueKind::Classic => usize::from(self.max_priority.unwrap_or(0).saturating_sub(priority)),
        }
    }

    /// Whether messages may be refused.
    #[inline]
    pub fn refuses(&self) -> bool {
        self.is_bounded() && self.overflow != Overflow::DropHead
    }
}

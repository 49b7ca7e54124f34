//! The engine: queues behind locks, definitions, and what carries effects out after the locks are released. Everything is
//! in memory and never waits; the disk is the store's.
//!
//! - [`broker`]: the façade that every protocol uses. [`session`]: one connection's presence in a virtual host.
//! - [`vhost`]: definitions of a virtual host, written through to the committer. [`stored`]: their shape on disk.
//! - [`connections`], [`channels`], [`pairs`]: who is connected, and what each has done. [`listing`]: what there is, for whoever lists it.
//!   [`samples`]: how fast it grows. [`letters`]: how many messages were dead-lettered.
//!   [`sums`]: what all queues have together.
//! - [`catalog`]: virtual hosts, users, permissions. [`import`]: what an administrator makes. [`sessions`]: who is connected.
//! - [`ways`]: ways through its exchanges.
//! - [`queue_handle`]: a queue, its lock and its effects. The seam for replication (design.md 8).
//! - [`publish`]: routes, and the chunks that a connection packs. [`outbox`]: what waits for a connection.
//! - [`policies`]: policies of virtual hosts.
//! - [`delays`]: delayed messages of exchanges.
//! - [`relay`]: carries dead letters. [`replies`]: direct reply-to. [`timers`]: tells queues that time has passed.
//! - [`events`]: what happens, as messages.
//! - [`gates`]: windows of exchanges that drop duplicates. [`history`]: last messages of exchanges.
//!   [`dice`]: chance, for routing.
//! - [`limits`]: how much there may be. `upkeep`: what an operator does to a broker that runs.
//! - [`loader`]: reads messages back from disk. [`memory`]: the budget. [`alarms`]: why publishers are held.

mod alarms;
#[cfg(test)]
mod bodies_tests;
pub mod broker;
pub mod catalog;
pub mod channels;
pub mod connections;
mod delays;
mod dice;
#[cfg(test)]
mod duplicates_tests;
pub mod events;
mod gates;
mod history;
mod import;
mod letters;
mod limits;
pub mod listing;
pub mod loader;
pub mod memory;
pub mod outbox;
pub mod pairs;
pub mod policies;
pub mod publish;
pub mod queue_handle;
mod relay;
pub mod replies;
pub mod samples;
mod seeds;
pub mod session;
mod sessions;
mod start;
mod stored;
mod sums;
#[cfg(test)]
mod tests;
mod timers;
mod upkeep;
pub mod vhost;
mod ways;

pub use crate::store::committer::Epoch;
pub use crate::store::figures::IoTotals;
pub use broker::{Broker, Found, Options};
pub use catalog::{FirstStart, FirstUser, ParameterRecord, PermissionRecord, TopicPermissionRecord, VhostRecord};
pub use channels::{ChannelRecord, ConsumerRecord};
pub use connections::{Churn, ConnectionInfo, ConnectionRecord, TlsInfo, Traffic, TrafficTotals};
pub use events::{EVENT_EXCHANGE, INTERNAL_USER, listed};
pub use letters::{LetterCounts, STRATEGIES};
pub use limits::NodeLimits;
pub use listing::{BindingRecord, Bindings, ExchangeRecord, ObjectTotals};
pub use outbox::{Item, Order, Outbox};
pub use pairs::{Listed, Pairs};
pub use publish::{Batch, Flushed, PublishTag, Route};
pub use queue_handle::QueueHandle;
pub use replies::{REPLY_TO, ReplyTarget, is_reply_name};
pub use samples::{ChurnTotals, Lengths, NodeSample, ProcessSample, QueueSample, Series, VhostSample};
pub use seeds::{SeedUser, VhostSeeds};
pub use session::{ConsumeSpec, DeclaredQueue, QueueSpec, Session};
pub use sessions::VhostTotals;
pub use sums::QueueSums;
pub use vhost::TRACE_EXCHANGE;

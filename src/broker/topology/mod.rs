//! The definitions of one virtual host: exchanges, queue names and bindings, and the way of a message through them.
//!
//! - [`definitions`]: [`Topology`], the declarations of exchanges and queue names.
//! - [`exchange`]: what an exchange is; [`binding`]: what a binding is; `bindings`: bind, unbind, listings.
//! - [`removal`]: what goes away together with an exchange, a queue or a binding.
//! - `direct`, `fanout`, `topic`, `headers`, `jms`: one file an exchange type: from message to destinations.
//! - `ring`: the types that choose one destination: by hash, by chance.
//! - `destinations`: a set of destinations that stays fast when it is large.
//! - `route`: the walk from exchange to exchange to queues.
//!
//! Rules: compat.md 1.4 (texts), 1.7 (exchanges), 2.2 (alternate exchange), 2.11 (more types).

pub mod binding;
mod bindings;
pub mod definitions;
mod destinations;
mod direct;
pub mod exchange;
mod fanout;
mod headers;
mod jms;
pub mod removal;
mod ring;
mod route;
#[cfg(test)]
mod tests;
mod topic;

pub use binding::{Binding, Bound, Destination};
pub use definitions::{Topology, refuse_default_exchange};
pub use exchange::{Exchange, ExchangeKind, ExchangeSpec};
pub use removal::Removed;
pub use route::{Delay, GateWay, Message, Way};

//! The domain, pure: no tokio, no rocksdb, no clock, no locks.
//!
//! - [`message`]: records and chunks, messages as bytes.
//! - [`topology`]: one virtual host's exchanges, queue names and bindings, and the route walk.
//! - [`queue`]: the queue machine: commands and time in, deliveries and effects out.
//! - [`arguments`]: typed arguments of declarations.
//! - [`refusal`]: the domain's "no". [`identity`]: numbers of objects.

pub mod arguments;
pub mod identity;
pub mod message;
pub mod queue;
pub mod refusal;
pub mod topology;

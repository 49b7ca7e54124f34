//! The domain, pure: no tokio, no rocksdb, no clock, no locks.
//!
//! - [`message`]: records and chunks, messages as bytes. [`body`]: bodies that several of them share.
//! - [`topology`]: one virtual host's exchanges, queue names and bindings, and the route walk.
//! - [`queue`]: the queue machine: commands and time in, deliveries and effects out.
//! - [`delayed`]: messages that an exchange keeps until they are due.
//! - [`content`]: single properties and headers of a message. [`dead_letter`]: what becomes of it when it dies.
//! - [`arguments`]: arguments of declarations. [`policy`]: what they and policies amount to.
//! - [`access`]: who may do what.
//! - [`history`]: the last messages of an exchange. [`hash`]: hashes that never change.
//! - [`count`]: what is counted of messages.
//! - [`selector`]: conditions on headers, as SQL.
//! - [`window`]: which messages came before.
//! - [`refusal`]: the domain's "no". [`identity`]: numbers of objects.

pub mod access;
pub mod arguments;
pub mod body;
pub mod content;
pub mod count;
pub mod dead_letter;
pub mod delayed;
pub mod hash;
pub mod history;
pub mod identity;
pub mod message;
pub mod policy;
pub mod queue;
pub mod refusal;
pub mod selector;
pub mod stamps;
pub mod topology;
pub mod window;

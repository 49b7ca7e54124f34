//! AMQP 0-9-1: the connection machine. Bytes and time in, bytes out, calls on the engine in between.
//!
//! - [`Connection`]: phases, deadlines, turns. [`handshake`]: up to connection.open; [`sasl`], [`capabilities`].
//! - [`open`]: frames to channels. [`turn`]: what a turn owes at its end. [`link`]: what channels share.
//! - [`kept`]: frames that are taken later, because of an alarm or of an answer that waits.
//! - [`channel`]: everything that happens on one channel. [`content`]: messages from frames.
//! - [`settlements`], [`flight`]: acks on their way to queues, publishes on their way to the disk.
//! - [`error`]: codes, texts and scopes. [`ending`]: how connections end. [`heartbeat`], [`output`].
//! - [`told`]: what the node's events say of connections, channels and consumers.

mod capabilities;
mod channel;
mod connection;
mod content;
mod ending;
mod error;
mod flight;
mod handshake;
mod heartbeat;
mod kept;
mod link;
mod open;
mod output;
mod sasl;
mod settings;
mod settlements;
#[cfg(test)]
mod tests;
mod told;
mod turn;

pub use connection::Connection;
pub use settings::{Peer, Settings};

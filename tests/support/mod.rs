//! What the test binaries share: a blocking AMQP client that shows every byte, and the broker as a child process.
//!
//! A peer's refusal is a value ([`Closed`]), so a test asserts the exact code and text. Nothing here sleeps to wait for
//! the broker: every wait ends with a frame or with [`Error::Timeout`].
#![allow(dead_code, unused_imports)]

mod broker;
mod calls;
mod client;
mod confirms;
mod event;
mod secure;

pub use amq_protocol::protocol::{
    AMQPClass, BasicProperties, basic, channel, confirm, connection, exchange, queue, tx,
};
pub use amq_protocol::types::{AMQPValue, FieldArray, FieldTable};
pub use broker::{Broker, free_port};
pub use client::{Client, Options};
pub use confirms::ConfirmTracker;
pub use event::{Closed, Content, Delivery, Error, Event, Frame, Returned, Scope, encode_method, encode_properties};
pub use secure::{Authority, Pair};

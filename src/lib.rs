//! Warren: a message broker that speaks AMQP 0-9-1 as RabbitMQ does.
//!
//! A module uses those below it, never those above (checked by `tests/tidy.rs`):
//!
//! - [`node`]: the composition root: opens the store, recovers, starts listeners, stops them in reverse order.
//! - [`cli`], [`config`]: the command line and the settings. [`perf`]: the load generator behind `warren perf`.
//! - [`definitions`]: RabbitMQ's definitions file.
//! - [`listener`]: sockets; drives one connection machine a socket. [`tls`]: certificates and sessions.
//! - [`http`]: RabbitMQ's management HTTP API. [`metrics`]: figures of the process.
//! - [`amqp`]: the connection machine: bytes and time in, bytes out. [`auth`]: who may log in.
//! - [`engine`]: queues behind locks, definitions, effects.
//! - [`store`]: the disk.
//! - [`broker`]: the domain, pure: messages, topology, the queue machine.
//! - [`wire`]: frames, methods, properties.
//! - [`name`], [`value`], [`clock`], [`limits`], [`span`], [`version`]: vocabulary.

pub mod amqp;
pub mod auth;
pub mod broker;
pub mod cli;
pub mod clock;
pub mod config;
pub mod definitions;
pub mod engine;
pub mod http;
pub mod limits;
pub mod listener;
pub mod metrics;
pub mod name;
pub mod node;
pub mod perf;
pub mod span;
pub mod store;
pub mod tls;
pub mod value;
pub mod version;
pub mod wire;

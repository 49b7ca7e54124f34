//! Conformance over the wire, chapter by chapter of RabbitMQ's behaviour: exact codes, texts, scopes and orders.
//!
//! One broker serves all tests that need nothing special of it; every test makes its own names. With
//! `WARREN_TEST_ADDR=127.0.0.1:5672` they talk to the broker that listens there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[path = "../support/mod.rs"]
mod support;

mod access;
mod acks;
mod active;
mod alarm;
mod arguments;
mod channel;
mod choices;
mod closing;
mod confirms;
mod consume;
mod content;
mod corners;
mod dead_letters;
mod declare;
mod delayed;
mod duplicates;
mod durability;
mod events;
mod exchanges;
mod exclusive;
mod expiry;
mod fairness;
mod featured;
mod firehose;
mod framing;
mod get;
mod handshake;
mod heartbeat;
mod hostile;
mod limits;
mod logins;
mod operators;
mod paging;
mod priorities;
mod proxies;
mod publish;
mod qos;
mod queues;
mod quorum;
mod replies;
mod routing;
mod shutdown;
mod stage;
mod tls;
mod tools;
mod transactions;
mod tune;
mod ways;

//! The management HTTP API over real sockets: golden JSON, statuses, rights. One broker serves the tests that need nothing
//! special of it; every test makes its own names.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[path = "../support/mod.rs"]
mod support;

mod api;
mod bounds;
mod connections;
mod definitions;
mod description;
mod exchanges;
mod golden;
mod golden_cases;
mod keys;
mod lists;
mod messages;
mod policies;
mod prometheus;
mod queues;
mod rates;
mod rights;
mod secrets;
mod sites;
mod terms;
mod traces;
mod users;
mod vhosts;

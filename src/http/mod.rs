//! RabbitMQ's management HTTP API (compat.md 3): a shell like `listener`. It calls the engine's façade as any protocol does.
//!
//! - [`route`]: the form of the table of endpoints; every module below holds its part of it. [`socket`]: clients' sockets.
//!   [`server`]: the way of a request. [`rights`]: who asks, and whether they may. [`request`], [`answer`]: what handlers get
//!   and give.
//! - [`list`], `page`: filter, sort, page, columns. `cors`: pages of other sites. [`json`]: JSON as values of AMQP.
//!   [`stats`]: counters and rates. `bert`: answers as Erlang's terms. `offer`: what of it is offered.
//! - `overview`, `nodes`, `health`; `vhosts`, `users`, `limits`, `parameters`, `policies`; `exchanges`, `queues`, `bindings`,
//!   `messages`; `connections`; `definitions`; `absent`: the endpoints. [`openapi`]: their description. [`prometheus`]: figures.
//!
//! A handler runs on a thread for blocking work, few of them at a time: it may take its while without keeping a task of a
//! client's connection from its thread. Nothing here waits under a lock of the engine.

mod absent;
pub mod answer;
mod bert;
mod bindings;
mod connections;
pub mod control;
mod cors;
mod definitions;
mod exchanges;
mod health;
pub mod json;
mod limits;
pub mod list;
mod messages;
mod nodes;
mod offer;
pub mod openapi;
mod overview;
mod page;
mod parameters;
pub mod place;
mod policies;
pub mod prometheus;
mod queues;
pub mod request;
pub mod rights;
pub mod route;
pub mod server;
pub mod socket;
pub mod stats;
mod users;
mod vhosts;

pub use control::{Control, Limit, Serving};
pub use cors::Cors;
pub use offer::Offer;
pub use place::{Listener, Place};
pub use server::Service;
pub use socket::serve;

use route::Route;

/// Every endpoint below `/api`.
pub fn routes() -> impl Iterator<Item = &'static Route> {
    let tables = [
        overview::ROUTES,
        nodes::ROUTES,
        health::ROUTES,
        vhosts::ROUTES,
        users::ROUTES,
        limits::ROUTES,
        parameters::ROUTES,
        policies::ROUTES,
        exchanges::ROUTES,
        queues::ROUTES,
        bindings::ROUTES,
        messages::ROUTES,
        connections::ROUTES,
        definitions::ROUTES,
        absent::ROUTES,
        openapi::ROUTES,
    ];
    tables.into_iter().flatten()
}

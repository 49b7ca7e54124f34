//! What RabbitMQ's plugins list beside queues and connections, and of which this node runs none: shovels, federation links, streams'
//! clients. Their parameters can be kept all the same (`/parameters/shovel`, `/parameters/federation-upstream`).

use super::answer::{Failure, Outcome};
use super::list::{Ident, list};
use super::request::Request;
use super::route::{Needs, Route, delete, get};
use serde_json::Value as Json;

pub(super) const ROUTES: &[Route] = &[
    get("/shovels", Needs::Monitoring, none, "Running shovels: none"),
    get("/shovels/{vhost}", Needs::Monitoring, none_there, "The same in a virtual host"),
    get("/shovels/vhost/{vhost}/{name}", Needs::Monitoring, not_there, "A running shovel"),
    delete("/shovels/vhost/{vhost}/{name}", Needs::Monitoring, not_there, "Ends one"),
    delete("/shovels/vhost/{vhost}/{name}/restart", Needs::Monitoring, not_there, "Restarts one"),
    get("/federation-links", Needs::Monitoring, none, "Running federation links: none"),
    get("/federation-links/{vhost}", Needs::Monitoring, none_there, "The same in a virtual host"),
    get("/federation-links/state/down", Needs::Monitoring, none, "Federation links that are down: none"),
    get("/federation-links/{vhost}/state/down", Needs::Monitoring, none_there, "The same in a virtual host"),
    delete("/federation-links/vhost/{vhost}/{id}/{node}/restart", Needs::Monitoring, not_there, "Restarts one"),
    get("/stream/connections", Needs::Management, none, "Connections of the stream protocol: none"),
    get("/stream/connections/{vhost}", Needs::Sight, none_there, "The same in a virtual host"),
    get("/stream/publishers", Needs::Management, none, "Publishers to streams: none"),
    get("/stream/publishers/{vhost}", Needs::Sight, none_there, "The same in a virtual host"),
    get("/stream/consumers", Needs::Management, none, "Consumers of streams: none"),
    get("/stream/consumers/{vhost}", Needs::Sight, none_there, "The same in a virtual host"),
];

fn none(request: &Request) -> Outcome {
    list(request, Vec::<()>::new(), |()| Ident::default(), |()| Json::Null)
}

fn none_there(request: &Request) -> Outcome {
    request.vhost()?;
    none(request)
}

fn not_there(_: &Request) -> Outcome {
    Err(Failure::not_found())
}

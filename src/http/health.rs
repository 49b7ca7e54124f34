//! Probes of containers and monitors (compat.md 3.2): 200 when all is well, 503 with the reason when not.

use super::answer::{Answer, Failure, Outcome};
use super::control::Serving;
use super::messages;
use super::request::Request;
use super::route::{Needs, Route, get};
use crate::broker::access::Operation;
use crate::clock::Now;
use crate::engine::QueueSpec;
use crate::name::Name;
use crate::value::Table;
use serde_json::{Value as Json, json};

pub(super) const ROUTES: &[Route] = &[
    get("/aliveness-test/{vhost}", Needs::Member, aliveness, "Publishes and gets a message in a virtual host"),
    get("/healthchecks/node", Needs::Management, fine, "Deprecated: always well"),
    get("/healthchecks/node/{node}", Needs::Management, fine, "Deprecated: always well"),
    get("/health/checks/alarms", Needs::Management, alarms, "No alarm is in effect"),
    get("/health/checks/local-alarms", Needs::Management, alarms, "No alarm is in effect on this node"),
    get("/health/checks/virtual-hosts", Needs::Management, fine, "All virtual hosts run"),
    get("/health/checks/node-is-quorum-critical", Needs::Management, fine, "Nothing depends on this node's vote alone"),
    get("/health/checks/node-is-mirror-sync-critical", Needs::Management, fine, "There are no mirrored queues"),
    get("/health/checks/is-in-service", Needs::Management, in_service, "The node serves clients"),
    get("/health/checks/ready-to-serve-clients", Needs::Management, ready, "The node serves and listens"),
    get("/health/checks/below-node-connection-limit", Needs::Management, below_limit, "More connections can be opened"),
    get(
        "/health/checks/reached-target-cluster-size",
        Needs::Management,
        fine,
        "The cluster has one node, as it should",
    ),
    get("/health/checks/metadata-store/initialized", Needs::Management, fine, "Definitions are read"),
    get("/health/checks/metadata-store/initialized/with-data", Needs::Management, fine, "Definitions are read"),
    get(
        "/health/checks/quorum-queues-without-elected-leaders/all-vhosts",
        Needs::Management,
        fine,
        "Every quorum queue has its leader here",
    ),
    get(
        "/health/checks/quorum-queues-without-elected-leaders/all-vhosts/pattern/{pattern}",
        Needs::Management,
        fine,
        "Every quorum queue has its leader here",
    ),
    get(
        "/health/checks/quorum-queues-without-elected-leaders/vhost/{vhost}",
        Needs::Management,
        fine,
        "Every quorum queue has its leader here",
    ),
    get(
        "/health/checks/quorum-queues-without-elected-leaders/vhost/{vhost}/pattern/{pattern}",
        Needs::Management,
        fine,
        "Every quorum queue has its leader here",
    ),
    get(
        "/health/checks/certificate-expiration/{within}/{unit}",
        Needs::Management,
        certificates,
        "No certificate expires soon",
    ),
    get("/health/checks/port-listener/{port}", Needs::Management, port, "Something listens on a port"),
    get(
        "/health/checks/protocol-listener/{protocols}",
        Needs::Management,
        protocols,
        "One of some protocols is served",
    ),
];

fn fine(_: &Request) -> Outcome {
    Ok(Answer::json(&json!({"status": "ok"})))
}

fn failed(reason: &str, more: &[(&str, Json)]) -> Answer {
    let mut body = json!({"status": "failed", "reason": reason});
    if let Json::Object(members) = &mut body {
        members.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    }
    Answer::json(&body).status(503)
}

fn alarms(request: &Request) -> Outcome {
    let Some(held) = request.broker.held_because() else { return fine(request) };
    let kinds = ["memory", "disk"].into_iter().filter(|kind| held.contains(kind));
    let alarms: Json = kinds.map(|kind| json!({"node": request.place.node, "resource": kind})).collect();
    Ok(failed("There are alarms in effect in the cluster", &[("alarms", alarms)]))
}

fn in_service(request: &Request) -> Outcome {
    match request.place.control.serving() {
        Serving::Drained | Serving::Stopped => Ok(failed("this rabbit node is not currently available to serve", &[])),
        Serving::Yes | Serving::Suspended => fine(request),
    }
}

/// It is in service, listens, and has room for connections; alarms keep nobody out.
fn ready(request: &Request) -> Outcome {
    match request.place.control.serving() {
        Serving::Drained | Serving::Stopped => Ok(failed("the rabbit node is not currently available to serve", &[])),
        Serving::Suspended => Ok(failed("no active listeners for AMQP/AMQPS", &[])),
        Serving::Yes if is_full(request) => below_limit(request),
        Serving::Yes => fine(request),
    }
}

fn is_full(request: &Request) -> bool {
    let limit = request.place.connection_max as usize;
    limit > 0 && request.broker.connections().len() >= limit
}

fn below_limit(request: &Request) -> Outcome {
    let (current, limit) = (request.broker.connections().len(), request.place.connection_max);
    let shown = if limit == 0 { json!("infinity") } else { json!(limit) };
    if limit > 0 && current >= limit as usize {
        let more = [("current", json!(current)), ("limit", shown)];
        return Ok(failed("node connection limit is reached", &more));
    }
    Ok(Answer::json(&json!({"status": "ok", "current": current, "limit": shown})))
}

fn certificates(request: &Request) -> Outcome {
    let within = request.param("within").parse::<u32>();
    let within = within.map_err(|_| Failure::bad_request("Invalid expiration value"))?;
    let unit = request.param("unit");
    if !["days", "weeks", "months", "years"].contains(&unit) {
        return Err(Failure::bad_request("Time unit not recognised. Supported units: days, weeks, months, years."));
    }
    let days = match unit {
        "days" => 1,
        "weeks" => 7,
        "months" => 30,
        _ => 365,
    };
    let until =
        i64::try_from(Now::unix_seconds()).unwrap_or(i64::MAX).saturating_add(i64::from(within) * days * 86_400);
    let first = request.place.tls.iter().map(|tls| tls.not_after()).min();
    if let Some(not_after) = first.filter(|not_after| *not_after <= until) {
        let expired = json!({"node": request.place.node, "not_after": not_after});
        return Ok(failed("Certificates expiring", &[("expired", json!([expired]))]));
    }
    Ok(Answer::json(&json!({"status": "ok"})))
}

fn port(request: &Request) -> Outcome {
    let port = request.param("port").parse::<u16>().map_err(|_| Failure::bad_request("Invalid port"))?;
    let ports: Vec<u16> = request.place.listening().map(|listener| listener.address.port()).collect();
    if ports.contains(&port) {
        return Ok(Answer::json(&json!({"status": "ok", "port": port})));
    }
    Ok(failed("No active listener", &[("missing", json!(port)), ("ports", json!(ports))]))
}

fn protocols(request: &Request) -> Outcome {
    let wanted: Vec<String> = request.param("protocols").split(',').map(str::trim).map(protocol).collect();
    let mut served: Vec<&str> = request.place.listening().map(|listener| listener.protocol).collect();
    served.dedup();
    if let Some(found) = wanted.iter().find(|wanted| served.contains(&wanted.as_str())) {
        return Ok(Answer::json(&json!({"status": "ok", "protocol": found})));
    }
    Ok(failed("No active listener", &[("missing", json!(request.param("protocols"))), ("protocols", json!(served))]))
}

/// A protocol's name as RabbitMQ's listeners have it; aliases that its tools take are understood.
fn protocol(name: &str) -> String {
    let name = name.to_lowercase();
    match name.as_str() {
        "amqp091" | "amqp10" | "amqp1.0" | "amqp" => "amqp",
        "amqps" | "amqp/ssl" | "amqp/tls" => "amqp/ssl",
        "management" | "http" | "http_api" => "http",
        "https" => "https",
        "prometheus" => "http/prometheus",
        _ => &name,
    }
    .to_owned()
}

/// The queue of the aliveness test, as RabbitMQ names it.
const ALIVENESS: &str = "aliveness-test";

fn aliveness(request: &Request) -> Outcome {
    let vhost = request.vhost()?;
    let session = request.session(&vhost)?;
    let name = Name::new(ALIVENESS).unwrap_or_default();
    session.authorize(Operation::Get(ALIVENESS))?;
    session.declare_queue(QueueSpec {
        name: Some(name.clone()),
        durable: false,
        exclusive: false,
        auto_delete: false,
        arguments: Table::new(),
    })?;
    let message =
        messages::Message { exchange: "", key: ALIVENESS, header: &messages::plain_header(12), body: b"test_message" };
    messages::publish_one(request, &session, &message)?;
    let taken = messages::take_one(&session, &name, true)?;
    if taken.is_none() {
        return Ok(failed("aliveness-test queue has no message", &[]));
    }
    fine(request)
}

//! Figures for Prometheus under RabbitMQ's names (compat.md 3.4): of the whole node, of every object, or of chosen families,
//! and some of our own (`warren_…`).

use super::answer::{Answer, Outcome};
use super::place::ERLANG_VERSION;
use super::request::Request;
use super::route::{Needs, Route, get};
use crate::engine::Bindings;
use crate::metrics::process;
use crate::metrics::text::{Exposition, KIND, Kind};
use crate::version::RABBITMQ_VERSION;

mod channels;
mod node;
mod objects;
mod queues;

/// Not below `/api`. The listener for Prometheus alone asks for no login.
pub(super) const ROUTES: &[Route] = &[
    get("/metrics", Needs::Monitoring, aggregated, "Figures of the node"),
    get("/metrics/per-object", Needs::Monitoring, per_object, "Figures of every object"),
    get(
        "/metrics/detailed",
        Needs::Monitoring,
        detailed,
        "Figures of chosen families: `?family=F&vhost=V&queue=REGEX`",
    ),
    get("/metrics/memory-breakdown", Needs::Monitoring, memory, "What memory is used for"),
];

/// A family of figures of single objects, with RabbitMQ's name for it.
type Family = (&'static str, fn(&Request, &mut Exposition, &objects::Chosen));

/// What `/metrics/detailed?family=` knows. Those of the node as a whole come first. RabbitMQ has some more, that say nothing here:
/// `auth_attempt_detailed_metrics` (unless it is told to, it does not keep who came from where), `channel_process_metrics`
/// (reductions of Erlang's), `ra_metrics` (Raft's log) and `stream_consumer_metrics`.
const FAMILIES: &[Family] = &[
    ("connection_churn_metrics", |request, out, _| node::churn(request, out)),
    ("node_coarse_metrics", |request, out, _| node::usage(request, out)),
    ("node_metrics", |request, out, _| node::limits(request, out)),
    ("node_persister_metrics", |request, out, _| node::disk(request, out)),
    ("auth_attempt_metrics", |request, out, _| node::logins(request, out)),
    ("queue_coarse_metrics", queues::coarse),
    ("queue_consumer_count", queues::consumers),
    ("queue_metrics", queues::metrics),
    ("queue_delivery_metrics", queues::deliveries),
    ("queue_exchange_metrics", queues::through_exchanges),
    ("channel_queue_exchange_metrics", queues::published),
    ("exchange_metrics", queues::exchanges),
    ("channel_metrics", channels::channels),
    ("channel_exchange_metrics", channels::publishes),
    ("channel_queue_metrics", channels::deliveries),
    ("connection_coarse_metrics", channels::connection_bytes),
    ("connection_metrics", channels::connections),
];

/// Families that `/metrics/per-object` leaves out: they are told as those of the node, or within another.
const NOT_PER_OBJECT: [&str; 6] = [
    "connection_churn_metrics",
    "node_coarse_metrics",
    "node_metrics",
    "node_persister_metrics",
    "auth_attempt_metrics",
    "queue_consumer_count",
];

/// `/metrics`: of the whole node. Costs what has changed, not what there is. Or of every object, where that is asked for.
pub(super) fn aggregated(request: &Request) -> Outcome {
    if request.place.offer.per_object_metrics {
        return per_object(request);
    }
    let mut out = Exposition::new("rabbitmq_");
    identity(request, &mut out, "aggregated");
    node::node(request, &mut out);
    node::sums(request, &mut out);
    Ok(finish(out, request))
}

/// `/metrics/per-object`: of the node, and of every object.
pub(super) fn per_object(request: &Request) -> Outcome {
    let mut out = Exposition::new("rabbitmq_");
    identity(request, &mut out, "per-object");
    node::node(request, &mut out);
    let chosen = objects::Chosen::of(request)?;
    let of_objects = FAMILIES.iter().filter(|(name, _)| !NOT_PER_OBJECT.contains(name));
    of_objects.for_each(|(_, write)| write(request, &mut out, &chosen));
    queues::info(request, &mut out, &chosen);
    Ok(finish(out, request))
}

/// `/metrics/detailed?family=F&vhost=V&queue=REGEX`: of the families that are asked for.
pub(super) fn detailed(request: &Request) -> Outcome {
    let mut whole = Exposition::new("rabbitmq_");
    identity(request, &mut whole, "detailed");
    let mut out = Exposition::new("rabbitmq_detailed_");
    let chosen = objects::Chosen::of(request)?;
    let mut wanted: Vec<&str> =
        request.query.iter().filter(|(key, _)| key == "family").map(|(_, value)| value.as_str()).collect();
    if wanted.contains(&"queue_metrics") {
        // It has these figures, too: a name that is told twice is none.
        wanted.retain(|family| *family != "queue_consumer_count");
    }
    FAMILIES.iter().filter(|(name, _)| wanted.contains(name)).for_each(|(_, write)| write(request, &mut out, &chosen));
    if ["queue_coarse_metrics", "queue_consumer_count", "queue_metrics"].iter().any(|family| wanted.contains(family)) {
        queues::info(request, &mut out, &chosen);
    }
    let mut text = whole.finish() + &out.finish();
    let mut cluster = Exposition::new("rabbitmq_cluster_");
    cluster_wide(request, &mut cluster, (&chosen, &wanted));
    text.push_str(&cluster.finish());
    Ok(Answer::text(KIND, text))
}

/// What is the same on every node of a cluster.
fn cluster_wide(request: &Request, out: &mut Exposition, (chosen, wanted): (&objects::Chosen, &[&str])) {
    if wanted.contains(&"vhost_status") {
        out.family("vhost_status", Kind::Gauge, "Whether a given vhost is running");
        for name in request.broker.vhost_names() {
            out.sample(&[("vhost", name.as_str())], 1u64);
        }
    }
    for (family, name, help) in [
        ("exchange_bindings", "exchange_bindings", "Number of bindings for an exchange"),
        ("exchange_names", "exchange_name", "Enumerates exchanges without any additional info"),
    ] {
        if !wanted.contains(&family) {
            continue;
        }
        out.family(name, Kind::Gauge, help);
        for vhost in chosen.vhosts(request) {
            let exchanges = request.broker.exchanges_in(vhost.as_str()).into_iter();
            for spec in
                exchanges.map(|exchange| exchange.spec).filter(|spec| !spec.internal && !spec.name.as_str().is_empty())
            {
                let bindings = || request.broker.bindings_in(vhost.as_str(), Bindings::From(spec.name.as_str())).len();
                let value = if family == "exchange_bindings" { bindings() as u64 } else { 1 };
                let labels = [("vhost", vhost.as_str()), ("exchange", spec.name.as_str()), ("type", spec.kind.name())];
                out.sample(&labels, value);
            }
        }
    }
}

/// `/metrics/memory-breakdown`: what memory is used for.
pub(super) fn memory(request: &Request) -> Outcome {
    let mut out = Exposition::new("rabbitmq_");
    identity(request, &mut out, "memory-breakdown");
    let resident = process::usage().resident;
    let messages = u64::try_from(request.broker.memory_used()).unwrap_or(0).min(resident);
    out.one(
        "memory_classic_queue_erlang_process_bytes",
        Kind::Gauge,
        "Messages in memory, of queues of all types",
        messages,
    );
    out.one("memory_other_system_bytes", Kind::Gauge, "Everything else", resident - messages);
    Ok(Answer::text(KIND, out.finish()))
}

fn finish(out: Exposition, request: &Request) -> Answer {
    let mut text = out.finish();
    let mut process = Exposition::new("process_");
    let started = request.place.started_at as f64 / 1000.0;
    process.one("start_time_seconds", Kind::Gauge, "Start time of the process since unix epoch in seconds", started);
    text.push_str(&process.finish());
    let mut own = Exposition::new("warren_");
    node::ours(request, &mut own);
    text.push_str(&own.finish());
    Answer::text(KIND, text)
}

/// What the stock dashboards join on: without it they are empty.
fn identity(request: &Request, out: &mut Exposition, endpoint: &str) {
    let (cluster, id) = (request.broker.cluster_name(), request.broker.cluster_id());
    let labels = [
        ("rabbitmq_node", request.place.node.as_str()),
        ("rabbitmq_cluster", cluster.as_str()),
        ("rabbitmq_cluster_permanent_id", id.as_str()),
        ("rabbitmq_endpoint", endpoint),
    ];
    out.family("identity_info", Kind::Untyped, "RabbitMQ node & cluster identity info").sample(&labels, 1u64);
    let labels = [
        ("rabbitmq_version", RABBITMQ_VERSION),
        ("prometheus_plugin_version", RABBITMQ_VERSION),
        ("prometheus_client_version", request.place.version),
        ("erlang_version", ERLANG_VERSION),
        ("product_name", "Warren"),
        ("product_version", request.place.version),
    ];
    out.family("build_info", Kind::Untyped, "RabbitMQ & Erlang/OTP version info").sample(&labels, 1u64);
}

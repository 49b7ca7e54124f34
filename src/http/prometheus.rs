//! Figures for Prometheus under RabbitMQ's names (compat.md 3.4): of the whole node, of every object, or of chosen families,
//! and some of our own (`warren_…`).

use super::answer::{Answer, Outcome};
use super::place::{ERLANG_VERSION, RABBITMQ_VERSION};
use super::request::Request;
use super::route::{Needs, Route, get};
use crate::broker::count::{Count, Totals};
use crate::engine::{Bindings, ChurnTotals};
use crate::metrics::process;
use crate::metrics::text::{Exposition, KIND, Kind};
use std::sync::atomic::Ordering;

mod objects;

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

/// What `/metrics/detailed?family=` knows.
const FAMILIES: &[Family] = &[
    ("connection_churn_metrics", |request, out, _| churn(request, out)),
    ("node_coarse_metrics", |request, out, _| process_figures(request, out)),
    ("node_metrics", |request, out, _| limits(request, out)),
    ("auth_attempt_metrics", |request, out, _| logins(request, out)),
    ("queue_coarse_metrics", objects::queue_coarse),
    ("queue_consumer_count", objects::queue_consumers),
    ("queue_metrics", objects::queue_metrics),
    ("queue_delivery_metrics", objects::queue_deliveries),
    ("queue_exchange_metrics", objects::queue_published),
    ("exchange_metrics", objects::exchanges),
    ("channel_metrics", objects::channels),
    ("channel_exchange_metrics", objects::channel_publishes),
    ("channel_queue_metrics", objects::channel_deliveries),
    ("connection_coarse_metrics", objects::connection_bytes),
    ("connection_metrics", objects::connections),
];

/// `/metrics`: of the whole node. Costs what has changed, not what there is.
pub(super) fn aggregated(request: &Request) -> Outcome {
    let mut out = Exposition::new("rabbitmq_");
    identity(request, &mut out, "aggregated");
    node(request, &mut out);
    Ok(finish(out, request))
}

/// `/metrics/per-object`: of the node, and of every object.
pub(super) fn per_object(request: &Request) -> Outcome {
    let mut out = Exposition::new("rabbitmq_");
    identity(request, &mut out, "per-object");
    node_without_sums(request, &mut out);
    let chosen = objects::Chosen::of(request)?;
    let of_objects = FAMILIES.iter().filter(|(name, _)| {
        ![
            "connection_churn_metrics",
            "node_coarse_metrics",
            "node_metrics",
            "auth_attempt_metrics",
            "queue_consumer_count",
        ]
        .contains(name)
    });
    of_objects.for_each(|(_, write)| write(request, &mut out, &chosen));
    Ok(finish(out, request))
}

/// `/metrics/detailed?family=F&vhost=V&queue=REGEX`: of the families that are asked for.
pub(super) fn detailed(request: &Request) -> Outcome {
    let mut out = Exposition::new("rabbitmq_detailed_");
    identity(request, &mut out, "detailed");
    let chosen = objects::Chosen::of(request)?;
    let wanted: Vec<&str> =
        request.query.iter().filter(|(key, _)| key == "family").map(|(_, value)| value.as_str()).collect();
    FAMILIES.iter().filter(|(name, _)| wanted.contains(name)).for_each(|(_, write)| write(request, &mut out, &chosen));
    let mut text = out.finish();
    let mut cluster = Exposition::new("rabbitmq_cluster_");
    if wanted.contains(&"vhost_status") {
        cluster.family("vhost_status", Kind::Gauge, "Whether a virtual host runs");
        for name in request.broker.vhost_names() {
            cluster.sample(&[("vhost", name.as_str())], 1u64);
        }
    }
    for (family, name, help) in [
        ("exchange_names", "exchange_name", "Exchanges"),
        ("exchange_bindings", "exchange_bindings", "Bindings of an exchange"),
    ] {
        if wanted.contains(&family) {
            cluster.family(name, Kind::Gauge, help);
            for vhost in request.broker.vhost_names().iter().filter(|vhost| chosen.vhost(vhost.as_str())) {
                for exchange in request.broker.exchanges_in(vhost.as_str()) {
                    let spec = &exchange.spec;
                    let bound = if family == "exchange_bindings" {
                        request.broker.bindings_in(vhost.as_str(), Bindings::From(spec.name.as_str())).len() as u64
                    } else {
                        1
                    };
                    let labels =
                        [("vhost", vhost.as_str()), ("exchange", spec.name.as_str()), ("type", spec.kind.name())];
                    cluster.sample(&labels, bound);
                }
            }
        }
    }
    text.push_str(&cluster.finish());
    Ok(Answer::text(KIND, text))
}

/// `/metrics/memory-breakdown`: what memory is used for.
pub(super) fn memory(request: &Request) -> Outcome {
    let mut out = Exposition::new("rabbitmq_memory_");
    let resident = process::usage().resident;
    let messages = u64::try_from(request.broker.memory_used()).unwrap_or(0).min(resident);
    out.one("classic_queue_erlang_process_bytes", Kind::Gauge, "Messages in memory, of queues of all types", messages);
    out.one("other_system_bytes", Kind::Gauge, "Everything else", resident - messages);
    Ok(Answer::text(KIND, out.finish()))
}

fn finish(out: Exposition, request: &Request) -> Answer {
    let mut text = out.finish();
    let mut own = Exposition::new("warren_");
    ours(request, &mut own);
    text.push_str(&own.finish());
    Answer::text(KIND, text)
}

/// What the stock dashboards join on: without it they are empty.
fn identity(request: &Request, out: &mut Exposition, endpoint: &str) {
    let cluster = request.broker.cluster_name();
    let labels = [
        ("rabbitmq_node", request.place.node.as_str()),
        ("rabbitmq_cluster", cluster.as_str()),
        ("rabbitmq_cluster_permanent_id", cluster.as_str()),
        ("rabbitmq_endpoint", endpoint),
    ];
    out.family("identity_info", Kind::Gauge, "RabbitMQ node & cluster identity info").sample(&labels, 1u64);
    let labels = [
        ("rabbitmq_version", RABBITMQ_VERSION),
        ("prometheus_plugin_version", RABBITMQ_VERSION),
        ("prometheus_client_version", request.place.version),
        ("erlang_version", ERLANG_VERSION),
        ("product_name", "Warren"),
        ("product_version", request.place.version),
    ];
    out.family("build_info", Kind::Gauge, "RabbitMQ & Erlang/OTP version info").sample(&labels, 1u64);
}

fn node(request: &Request, out: &mut Exposition) {
    node_without_sums(request, out);
    let lengths = request.broker.lengths(None);
    out.one("queue_messages_ready", Kind::Gauge, "Messages ready to be delivered to consumers", lengths.ready);
    let unacked = lengths.unacknowledged;
    out.one("queue_messages_unacked", Kind::Gauge, "Messages delivered to consumers but not yet acknowledged", unacked);
    out.one(
        "queue_messages",
        Kind::Gauge,
        "Sum of ready and unacknowledged messages - total queue depth",
        lengths.messages(),
    );
    let [mut all, quorum] = request.broker.message_totals();
    all += quorum;
    objects::channels_together(request, out, &all);
}

fn node_without_sums(request: &Request, out: &mut Exposition) {
    objects_there_are(request, out);
    churn(request, out);
    global(request, out);
    process_figures(request, out);
    limits(request, out);
    logins(request, out);
    alarms(request, out);
}

fn objects_there_are(request: &Request, out: &mut Exposition) {
    let connections = request.broker.connections();
    let channels: Vec<_> = connections.iter().flat_map(|connection| connection.channels()).collect();
    let queues: u64 =
        request.broker.vhost_names().iter().map(|vhost| request.broker.objects_in(vhost.as_str()).queues).sum();
    let consumers: usize = channels.iter().map(|channel| channel.consumer_count()).sum();
    out.one("connections", Kind::Gauge, "Connections currently open", connections.len() as u64);
    out.one("channels", Kind::Gauge, "Channels currently open", channels.len() as u64);
    out.one("consumers", Kind::Gauge, "Consumers currently connected", consumers as u64);
    out.one("queues", Kind::Gauge, "Queues available", queues);
    let protocol = [("protocol", "amqp091")];
    let publishers = channels.iter().filter(|channel| channel.totals().get(Count::Publish) > 0).count();
    out.family("global_publishers", Kind::Gauge, "Publishers currently connected").sample(&protocol, publishers as u64);
    out.family("global_consumers", Kind::Gauge, "Consumers currently connected").sample(&protocol, consumers as u64);
}

fn churn(request: &Request, out: &mut Exposition) {
    let names = [
        ("connections_opened_total", "Total number of connections opened"),
        ("connections_closed_total", "Total number of connections closed or terminated"),
        ("channels_opened_total", "Total number of channels opened"),
        ("channels_closed_total", "Total number of channels closed"),
        ("queues_declared_total", "Total number of queues declared"),
        ("queues_created_total", "Total number of queues created"),
        ("queues_deleted_total", "Total number of queues deleted"),
    ];
    for ((name, help), value) in names.into_iter().zip(ChurnTotals::of(request.broker.churn()).0) {
        out.one(name, Kind::Counter, help, value);
    }
}

/// A counter of queues' messages: its name, what it says, and the number.
type Counted = (&'static str, &'static str, fn(&Totals) -> u64);

/// What all channels have done, by protocol, and by the type of the queues where there is one.
fn global(request: &Request, out: &mut Exposition) {
    let [classic, quorum] = request.broker.message_totals();
    let mut all = classic;
    all += quorum;
    let publishes = request.broker.publish_sizes();
    let protocol = ("protocol", "amqp091");
    let of_protocol: [(&str, &str, u64); 6] = [
        ("received", "Messages received from publishers", all.get(Count::Publish)),
        ("received_confirm", "Messages received from publishers expecting confirmations", publishes.confirmable),
        ("confirmed", "Messages confirmed to publishers", all.get(Count::Confirm)),
        ("routed", "Messages routed to queues or streams", all.get(Count::PublishOut)),
        (
            "unroutable_dropped",
            "Messages published as non-mandatory into an exchange and dropped as unroutable",
            all.get(Count::DropUnroutable),
        ),
        (
            "unroutable_returned",
            "Messages published as mandatory into an exchange and returned to the publisher as unroutable",
            all.get(Count::ReturnUnroutable),
        ),
    ];
    for (name, help, value) in of_protocol {
        out.family(&format!("global_messages_{name}_total"), Kind::Counter, help).sample(&[protocol], value);
    }
    let of_queues: [Counted; 8] = [
        ("messages_delivered", "Messages delivered to consumers", Totals::deliver_get),
        (
            "messages_delivered_consume_manual_ack",
            "Messages delivered to consumers using basic.consume with manual acknowledgment",
            |totals| totals.get(Count::Deliver),
        ),
        (
            "messages_delivered_consume_auto_ack",
            "Messages delivered to consumers using basic.consume with automatic acknowledgment",
            |totals| totals.get(Count::DeliverNoAck),
        ),
        (
            "messages_delivered_get_manual_ack",
            "Messages delivered to consumers using basic.get with manual acknowledgment",
            |totals| totals.get(Count::Get),
        ),
        (
            "messages_delivered_get_auto_ack",
            "Messages delivered to consumers using basic.get with automatic acknowledgment",
            |totals| totals.get(Count::GetNoAck),
        ),
        ("messages_get_empty", "basic.get operations that fetched no message", |totals| totals.get(Count::GetEmpty)),
        ("messages_redelivered", "Messages redelivered to consumers", |totals| totals.get(Count::Redeliver)),
        ("messages_acknowledged", "Messages acknowledged by consumers", |totals| totals.get(Count::Ack)),
    ];
    for (name, help, number) in of_queues {
        out.family(&format!("global_{name}_total"), Kind::Counter, help);
        for (kind, totals) in [("rabbit_classic_queue", &classic), ("rabbit_quorum_queue", &quorum)] {
            out.sample(&[protocol, ("queue_type", kind)], number(totals));
        }
    }
    let buckets = publishes.buckets();
    let buckets: Vec<(f64, u64)> = buckets.iter().map(|(bound, below)| (*bound as f64, *below)).collect();
    out.family("message_size_bytes", Kind::Histogram, "Size of messages received from publishers");
    out.histogram(&[protocol], &buckets, publishes.bytes as f64, publishes.count());
}

fn process_figures(request: &Request, out: &mut Exposition) {
    let usage = process::usage();
    out.one("process_open_fds", Kind::Gauge, "Open file descriptors", usage.open_files);
    out.one("process_open_tcp_sockets", Kind::Gauge, "Open TCP sockets", request.broker.connections().len() as u64);
    out.one("process_resident_memory_bytes", Kind::Gauge, "Memory used in bytes", usage.resident);
    out.one(
        "disk_space_available_bytes",
        Kind::Gauge,
        "Disk space available in bytes",
        request.place.disk_free().unwrap_or(0),
    );
    out.one("erlang_processes_used", Kind::Gauge, "Threads used", usage.threads);
}

fn limits(request: &Request, out: &mut Exposition) {
    let usage = process::usage();
    out.one("process_max_fds", Kind::Gauge, "Open file descriptors limit", usage.files_max);
    out.one("process_max_tcp_sockets", Kind::Gauge, "Open TCP sockets limit", usage.files_max);
    out.one(
        "resident_memory_limit_bytes",
        Kind::Gauge,
        "Memory high watermark in bytes",
        request.place.control.memory_limit(),
    );
    let disk = request.place.control.disk_free_limit();
    out.one("disk_space_available_limit_bytes", Kind::Gauge, "Free disk space low watermark in bytes", disk);
    out.one("erlang_processes_limit", Kind::Gauge, "Threads limit", usage.threads_max);
    out.one("erlang_uptime_seconds", Kind::Gauge, "Node uptime", request.place.uptime_ms() as f64 / 1000.0);
}

fn logins(request: &Request, out: &mut Exposition) {
    let churn = request.broker.churn();
    let (succeeded, failed) =
        (churn.logins_succeeded.load(Ordering::Relaxed), churn.logins_failed.load(Ordering::Relaxed));
    out.one("auth_attempts_total", Kind::Counter, "Total number of authorization attempts", succeeded + failed);
    out.one(
        "auth_attempts_succeeded_total",
        Kind::Counter,
        "Total number of successful authentication attempts",
        succeeded,
    );
    out.one("auth_attempts_failed_total", Kind::Counter, "Total number of failed authentication attempts", failed);
}

fn alarms(request: &Request, out: &mut Exposition) {
    let held = request.broker.held_because().unwrap_or_default();
    let is = |word: &str| u64::from(held.contains(word));
    out.one("alarms_file_descriptor_limit", Kind::Gauge, "is 1 if file descriptor limit alarm is in effect", 0u64);
    out.one(
        "alarms_free_disk_space_watermark",
        Kind::Gauge,
        "is 1 if free disk space watermark alarm is in effect",
        is("disk"),
    );
    out.one(
        "alarms_memory_used_watermark",
        Kind::Gauge,
        "is 1 if VM memory watermark alarm is in effect",
        is("memory"),
    );
}

/// Figures that RabbitMQ does not have.
fn ours(request: &Request, out: &mut Exposition) {
    let commits = request.broker.commits();
    let buckets: Vec<(f64, u64)> = commits.buckets().iter().map(|(us, below)| (*us as f64 / 1e6, *below)).collect();
    out.family("commit_seconds", Kind::Histogram, "Time of commits: an epoch written and synced");
    out.histogram(&[], &buckets, commits.sum_us as f64 / 1e6, commits.count());
    out.one("epochs_total", Kind::Counter, "Epochs that are on disk since the data directory was made", commits.epoch);
    out.one("committed_bytes_total", Kind::Counter, "Bytes of messages appended to epochs", commits.bytes);
    out.one("page_outs_total", Kind::Counter, "How often a queue paged out, as memory was short", commits.page_outs);
    let memory = u64::try_from(request.broker.memory_used()).unwrap_or(0);
    out.one("message_memory_bytes", Kind::Gauge, "Memory that messages take", memory);
}

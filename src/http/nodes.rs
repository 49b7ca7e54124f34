//! The node: what the process uses and what it is allowed.

use super::answer::{Answer, Failure, Outcome};
use super::control::Serving;
use super::list::{Ident, list, object};
use super::overview::contexts;
use super::request::Request;
use super::route::{Needs, Route, delete, get};
use super::stats;
use crate::broker::topology::ExchangeKind;
use crate::metrics::process;
use serde_json::{Map, Value as Json, json};

pub(super) const ROUTES: &[Route] = &[
    get("/nodes", Needs::Monitoring, nodes, "All nodes").paged(),
    get("/nodes/{node}", Needs::Monitoring, node, "A node"),
    get("/nodes/{node}/memory", Needs::Monitoring, memory, "What a node's memory is used for"),
    get("/nodes/{node}/memory/relative", Needs::Monitoring, memory_relative, "The same in parts of a hundred"),
    get("/nodes/{node}/memory/ets", Needs::Monitoring, tables, "Tables of Erlang's: none"),
    get("/nodes/{node}/memory/ets/relative", Needs::Monitoring, tables, "The same in parts of a hundred"),
    get("/nodes/{node}/memory/ets/{filter}", Needs::Monitoring, tables, "Those of one owner: none"),
    get("/nodes/{node}/memory/ets/{filter}/relative", Needs::Monitoring, tables, "The same in parts of a hundred"),
    delete("/reset", Needs::Administrator, reset, "Forgets statistics: they are never wrong for long"),
    delete("/reset/{node}", Needs::Administrator, reset, "The same of one node"),
];

fn check(request: &Request) -> Result<(), Failure> {
    if request.param("node") == request.place.node { Ok(()) } else { Err(Failure::not_found()) }
}

fn nodes(request: &Request) -> Outcome {
    list(request, vec![()], |()| Ident::new("", &request.place.node), |()| describe(request))
}

fn node(request: &Request) -> Outcome {
    check(request)?;
    Ok(object(request, describe(request)))
}

fn describe(request: &Request) -> Json {
    let (place, usage, scheduling) = (&request.place, process::usage(), request.place.threads.look());
    let held = request.broker.held_because().unwrap_or_default();
    let mut node = json!({
        "name": place.node,
        "type": "disc",
        "running": true,
        "being_drained": place.control.serving() == Serving::Drained,
        "os_pid": std::process::id().to_string(),
        "uptime": place.uptime_ms(),
        "processors": std::thread::available_parallelism().map_or(1, usize::from),
        "run_queue": scheduling.runnable,
        "mem_limit": place.control.memory_limit(),
        "mem_alarm": held.contains("memory"),
        "mem_calculation_strategy": "rss",
        "disk_free_limit": place.control.disk_free_limit(),
        "disk_free_alarm": held.contains("disk"),
        "fd_total": usage.files_max,
        "sockets_total": usage.files_max,
        "proc_total": usage.threads_max,
        "rates_mode": place.offer.rates_mode(),
        "net_ticktime": 60,
        "enabled_plugins": ENABLED_PLUGINS,
        "applications": [{"name": "warren", "description": "Warren", "version": place.version}],
        "auth_mechanisms": place.mechanisms.iter()
            .map(|name| json!({"name": name, "description": format!("SASL {name}"), "enabled": true})).collect::<Vec<_>>(),
        "exchange_types": ExchangeKind::all_names()
            .map(|name| json!({"name": name, "description": format!("{name} exchange"), "enabled": true}))
            .collect::<Vec<_>>(),
        "contexts": contexts(request),
        "log_files": ["stderr"],
        "db_dir": place.data_dir,
        "config_files": place.config_files,
        "partitions": [],
        "cluster_links": [],
        "ra_open_file_metrics": {"ra_log_wal": 0, "ra_log_segment_writer": 0},
        "metrics_gc_queue_length": {},
    });
    if let Json::Object(members) = &mut node
        && request.has_statistics()
    {
        members.extend(stats::process(request));
        members.extend(stats::churn(request));
        members.extend(stats::disk(request));
    }
    node
}

/// Names of RabbitMQ's plugins whose work the broker does itself: tools look for them.
const ENABLED_PLUGINS: &[&str] = &[
    "rabbitmq_consistent_hash_exchange",
    "rabbitmq_delayed_message_exchange",
    "rabbitmq_event_exchange",
    "rabbitmq_management",
    "rabbitmq_management_agent",
    "rabbitmq_prometheus",
    "rabbitmq_random_exchange",
    "rabbitmq_recent_history_exchange",
    "rabbitmq_sharding",
];

/// Members of an object.
type Members = Map<String, Json>;

/// Bytes by use. What is not messages is the rest of the process.
fn parts(request: &Request) -> (u64, u64, u64) {
    let resident = process::usage().resident;
    let messages = u64::try_from(request.broker.memory_used()).unwrap_or(0).min(resident);
    (resident, messages, resident - messages)
}

/// Uses of memory that RabbitMQ tells apart and that are not told apart here, or not there: clients look for them all. Messages of
/// queues of all types are `queue_procs`.
const NO_PARTS: [&str; 24] = [
    "allocated_unused",
    "atom",
    "binary",
    "code",
    "connection_channels",
    "connection_other",
    "connection_readers",
    "connection_writers",
    "metadata_store",
    "metadata_store_ets",
    "metrics",
    "mgmt_db",
    "mnesia",
    "msg_index",
    "other_ets",
    "other_proc",
    "plugins",
    "quorum_ets",
    "quorum_queue_dlx_procs",
    "quorum_queue_procs",
    "reserved_unallocated",
    "stream_queue_coordinator_procs",
    "stream_queue_procs",
    "stream_queue_replica_reader_procs",
];

/// A breakdown: of messages, of everything else.
fn breakdown(messages: u64, other: u64) -> Members {
    let mut members: Members = NO_PARTS.iter().map(|part| ((*part).to_owned(), Json::from(0))).collect();
    members.insert("queue_procs".to_owned(), Json::from(messages));
    members.insert("other_system".to_owned(), Json::from(other));
    members
}

fn memory(request: &Request) -> Outcome {
    check(request)?;
    let (resident, messages, other) = parts(request);
    let mut memory = breakdown(messages, other);
    memory.insert("strategy".to_owned(), Json::from("rss"));
    let total = json!({"rss": resident, "allocated": resident, "erlang": other});
    memory.insert("total".to_owned(), total);
    Ok(object(request, json!({ "memory": memory })))
}

fn memory_relative(request: &Request) -> Outcome {
    check(request)?;
    let (resident, messages, _) = parts(request);
    let share = messages * 100 / resident.max(1);
    let mut memory = breakdown(share, 100 - share);
    memory.insert("total".to_owned(), Json::from(100));
    Ok(object(request, json!({ "memory": memory })))
}

/// As RabbitMQ answers for an owner that has none.
fn tables(request: &Request) -> Outcome {
    check(request)?;
    Ok(object(request, json!({"ets_tables_memory": "no_tables"})))
}

fn reset(request: &Request) -> Outcome {
    if request.has_param("node") {
        check(request)?;
    }
    Ok(Answer::nothing())
}

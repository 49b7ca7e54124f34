//! Commands that look at the node: what it is, whether it is well.

use super::api::{Answer, Api, encoded};
use super::changes::Command;
use super::line::Line;
use super::{Failure, Said, Told, done, must};
use serde_json::{Value, json};

/// All of them.
pub(super) const COMMANDS: &[Command] = &[
    ("status", 0..=0, status),
    ("cluster_status", 0..=0, cluster_status),
    ("server_version", 0..=0, |api, _| {
        let version = overview(api)?.get("rabbitmq_version").cloned().unwrap_or_default();
        Ok(Said { value: version, ..Said::doing("Asking node for its version...".to_owned()) })
    }),
    ("erlang_version", 0..=0, |api, _| {
        let version = overview(api)?.get("erlang_version").cloned().unwrap_or_default();
        Ok(Said { value: version, ..Said::default() })
    }),
    ("check_alarms", 0..=0, |api, _| well(api, "health/checks/alarms", "reported no alarms")),
    ("check_local_alarms", 0..=0, |api, _| well(api, "health/checks/local-alarms", "reported no local alarms")),
    ("alarms", 0..=0, |api, _| match api.get("health/checks/alarms")? {
        Answer::Refused(_, reason) => Ok(Said { value: reason.into(), ..Said::default() }),
        _ => Ok(Said { value: "Node reported no alarms, local or clusterwide".into(), ..Said::default() }),
    }),
    ("check_virtual_hosts", 0..=0, |api, _| well(api, "health/checks/virtual-hosts", "reported all vhosts as running")),
    ("check_port_listener", 1..=1, |api, line| {
        let path = format!("health/checks/port-listener/{}", encoded(line.argument(0)));
        well(api, &path, &format!("has a listener on port {}", line.argument(0)))
    }),
    ("check_protocol_listener", 1..=1, |api, line| {
        let path = format!("health/checks/protocol-listener/{}", encoded(line.argument(0)));
        well(api, &path, &format!("has a listener for {}", line.argument(0)))
    }),
    ("check_port_connectivity", 0..=0, check_port_connectivity),
    ("check_certificate_expiration", 0..=0, |api, line| {
        let (within, unit) = (line.option("within").unwrap_or("4"), line.option("unit").unwrap_or("weeks"));
        let path = format!("health/checks/certificate-expiration/{}/{}", encoded(within), encoded(unit));
        well(api, &path, "has no certificate that expires within that time")
    }),
    ("check_if_node_is_quorum_critical", 0..=0, |api, _| {
        well(api, "health/checks/node-is-quorum-critical", "is not critical for any queue")
    }),
    ("check_if_node_is_mirror_sync_critical", 0..=0, |api, _| {
        well(api, "health/checks/node-is-mirror-sync-critical", "is not critical for any queue")
    }),
    ("check_if_metadata_store_is_initialized", 0..=0, |api, _| {
        well(api, "health/checks/is-in-service", "has its metadata store")
    }),
    ("check_if_any_deprecated_features_are_used", 0..=0, |api, _| {
        overview(api)?;
        Ok(Said { after: "Node reported that no deprecated features are used".to_owned(), ..Said::default() })
    }),
    ("check_for_quorum_queues_without_an_elected_leader", 0..=1, |api, _| {
        overview(api)?;
        Ok(Said {
            after: "Node reported all quorum queues as having responsive leader replicas".into(),
            ..Said::default()
        })
    }),
    ("memory_breakdown", 0..=0, |api, _| {
        let node = this_node(api)?;
        Ok(Said {
            value: json!({"total": node.get("mem_used"), "limit": node.get("mem_limit")}),
            ..Said::doing("Reporting memory breakdown on node...".to_owned())
        })
    }),
    ("report", 0..=0, report),
    ("list_unresponsive_queues", 0..=usize::MAX, |api, _| {
        overview(api)?;
        Ok(Said::doing("Listing unresponsive queues ...".to_owned()))
    }),
    ("list_policies_that_match", 1..=1, list_policies_that_match),
    ("quorum_status", 1..=1, |api, line| {
        let path = format!("queues/{}/{}", encoded(line.vhost()), encoded(line.argument(0)));
        let missing = Failure::data(&format!("Queue '{}' does not exist", line.argument(0)));
        let queue = must(api.get(&path)?, missing)?;
        if queue.get("type").and_then(Value::as_str) != Some("quorum") {
            return Err(Failure::data("not a quorum queue"));
        }
        let banner = format!("Status of quorum queue {} on node ...", line.argument(0));
        Ok(Said { value: json!({"Node Name": queue.get("node"), "Raft State": "leader"}), ..Said::doing(banner) })
    }),
    ("metadata_store_status", 0..=0, |api, _| {
        let node = overview(api)?.get("node").cloned().unwrap_or_default();
        let banner = "Status of metadata store on node ...".to_owned();
        Ok(Said {
            value: json!([{"Node Name": node, "Raft State": "leader", "Membership": "voter"}]),
            ..Said::doing(banner)
        })
    }),
    ("force_checkpoint", 0..=usize::MAX, |api, _| {
        done(overview(api)?, "Checkpoints are taken by themselves: nothing to do")
    }),
    ("reclaim_quorum_memory", 1..=1, |api, _| done(overview(api)?, "Memory is given back by itself: nothing to do")),
    ("force_boot", 0..=0, |_, _| Ok(Said::doing("There is one node: it starts by itself".to_owned()))),
    ("force_gc", 0..=0, |api, _| done(overview(api)?, "Memory is given back by itself: nothing to do")),
    ("rebalance", 1..=1, |api, _| done(overview(api)?, "Rebalancing queues ...")),
    ("post_upgrade", 0..=0, |api, _| done(overview(api)?, "Executing post upgrade checks...")),
    ("resolve_hostname", 1..=1, |_, line| {
        use std::net::ToSocketAddrs;
        let host = line.argument(0);
        let found = (host, 0).to_socket_addrs().map_err(|error| Failure::data(&format!("{host}: {error}")))?;
        Ok(Said { value: found.map(|address| address.ip().to_string()).collect::<Vec<_>>().into(), ..Said::default() })
    }),
    ("tls_versions", 0..=0, |_, _| Ok(Said { value: json!(["tlsv1.3", "tlsv1.2"]), ..Said::default() })),
    ("log_location", 0..=0, |_, _| Ok(Said { value: "<stderr>".into(), ..Said::default() })),
    ("rotate_logs", 0..=0, |_, _| Ok(Said::doing("The log goes to standard error: nothing to rotate".to_owned()))),
];

fn overview(api: &Api) -> Result<Value, Failure> {
    must(api.get("overview")?, Failure::data("not found"))
}

fn this_node(api: &Api) -> Result<Value, Failure> {
    let nodes = must(api.get("nodes")?, Failure::data("not found"))?;
    Ok(nodes.as_array().and_then(|nodes| nodes.first()).cloned().unwrap_or_default())
}

/// A health check: well, or why not.
fn well(api: &Api, path: &str, is: &str) -> Told {
    match api.get(path)? {
        Answer::Done(_) => Ok(Said { after: format!("RabbitMQ on node {is}"), ..Said::default() }),
        Answer::NotFound => Err(Failure { status: super::UNAVAILABLE, text: "no such check".to_owned() }),
        Answer::Refused(503, reason) if super::is_stopped(&reason) => Err(Failure::stopped()),
        Answer::Refused(_, reason) => Err(Failure { status: super::UNAVAILABLE, text: reason }),
    }
}

fn status(api: &Api, _: &Line) -> Told {
    let own = super::node::node(api)?;
    let banner = format!("Status of node {} ...", text(&own, "name"));
    if text(&own, "serving") == "stopped" {
        return Ok(Said { value: own, ..Said::doing(banner) });
    }
    let (overview, node) = (overview(api)?, this_node(api)?);
    let of = |value: &Value, member: &str| value.get(member).cloned().unwrap_or_default();
    let total = |member: &str| overview.pointer(&format!("/object_totals/{member}")).cloned().unwrap_or_default();
    let value = json!({
        "pid": of(&own, "os_pid"),
        "rabbitmq_version": of(&overview, "rabbitmq_version"),
        "product_name": of(&overview, "product_name"),
        "product_version": of(&overview, "product_version"),
        "erlang_version": of(&overview, "erlang_version"),
        "node": of(&overview, "node"),
        "is_under_maintenance": text(&own, "serving") == "drained",
        "serving": of(&own, "serving"),
        "uptime": of(&node, "uptime").as_u64().map(|ms| ms / 1000),
        "run_queue": of(&node, "run_queue"),
        "processes": {"limit": of(&node, "proc_total"), "used": of(&node, "proc_used")},
        "file_descriptors": {"total_limit": of(&node, "fd_total"), "total_used": of(&node, "fd_used")},
        "memory": {"strategy": "rss", "total": {"rss": of(&node, "mem_used")}},
        "vm_memory_calculation_strategy": "rss",
        "vm_memory_high_watermark_limit": of(&node, "mem_limit"),
        "disk_free": of(&node, "disk_free"),
        "disk_free_limit": of(&node, "disk_free_limit"),
        "totals": {
            "connection_count": total("connections"),
            "queue_count": total("queues"),
            "virtual_host_count": super::changes::names(api, "vhosts")?.len(),
        },
        "listeners": of(&overview, "listeners"),
        "alarms": alarms(&node),
        "active_plugins": of(&node, "enabled_plugins"),
        "data_directory": of(&own, "data_dir"),
        "config_files": of(&node, "config_files"),
        "log_files": of(&node, "log_files"),
    });
    Ok(Said { value, ..Said::doing(banner) })
}

/// The alarms in a node's description.
fn alarms(node: &Value) -> Vec<Value> {
    let kinds = [("mem_alarm", "memory"), ("disk_free_alarm", "disk")];
    let set = kinds.into_iter().filter(|(member, _)| node.get(*member) == Some(&Value::Bool(true)));
    set.map(|(_, resource)| json!({"type": "resource_limit", "resource": resource, "node": node.get("name")})).collect()
}

fn cluster_status(api: &Api, _: &Line) -> Told {
    let (overview, described) = (overview(api)?, this_node(api)?);
    let node = text(&overview, "node").to_owned();
    let drained = described.get("being_drained") == Some(&Value::Bool(true));
    let value = json!({
        "cluster_name": overview.get("cluster_name"),
        "disk_nodes": [node],
        "running_nodes": [node],
        "ram_nodes": [],
        "partitions": {},
        "alarms": alarms(&described),
        "maintenance_status": {node.clone(): if drained { "under maintenance" } else { "not under maintenance" }},
        "cpu_cores": {node.clone(): described.get("processors")},
        "listeners": {node.clone(): overview.get("listeners")},
        "versions": {node.clone(): {
            "rabbitmq_version": overview.get("rabbitmq_version"),
            "rabbitmq_name": overview.get("product_name"),
        }},
    });
    Ok(Said { value, ..Said::doing(format!("Cluster status of node {node} ...")) })
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// Opens each of the node's ports.
fn check_port_connectivity(api: &Api, _: &Line) -> Told {
    let overview = overview(api)?;
    let listeners = overview.get("listeners").and_then(Value::as_array).cloned().unwrap_or_default();
    for listener in &listeners {
        let port = listener.get("port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
        let host = match text(listener, "ip_address") {
            "" | "0.0.0.0" | "::" => "localhost",
            host => host,
        };
        let Some(port) = port.filter(|port| *port > 0) else { continue };
        std::net::TcpStream::connect((host, port)).map_err(|error| Failure {
            status: super::UNAVAILABLE,
            text: format!("cannot connect to {host}:{port}: {error}"),
        })?;
    }
    let after = "Successfully connected to ports on node".to_owned();
    Ok(Said { after, ..Said::doing("Testing TCP connections to all active listeners on node ...".to_owned()) })
}

fn report(api: &Api, _: &Line) -> Told {
    let mut parts = serde_json::Map::new();
    for path in ["overview", "nodes", "vhosts", "users", "permissions", "policies", "connections", "queues"] {
        let mut part = must(api.get(path)?, Failure::data("not found"))?;
        // A report is sent to others.
        for item in part.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
            item.remove("password_hash");
        }
        parts.insert(path.to_owned(), part);
    }
    Ok(Said { value: Value::Object(parts), ..Said::doing("Reporting server status ...".to_owned()) })
}

fn list_policies_that_match(api: &Api, line: &Line) -> Told {
    let path = format!("queues/{}/{}", encoded(line.vhost()), encoded(line.argument(0)));
    let missing = Failure::data(&format!("Queue '{}' does not exist", line.argument(0)));
    let queue = must(api.get(&path)?, missing)?;
    let names: Vec<&Value> = ["policy", "operator_policy"].iter().filter_map(|member| queue.get(*member)).collect();
    let banner = format!("Listing policies that match {} ...", line.argument(0));
    Ok(Said {
        value: json!(names.into_iter().filter(|name| !name.is_null()).collect::<Vec<_>>()),
        ..Said::doing(banner)
    })
}

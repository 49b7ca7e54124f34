//! Commands that look at the node: what it is, whether it is well.

use super::api::{Answer, Api, encoded};
use super::changes::Command;
use super::line::Line;
use super::{Failure, Said, Told, done, must};
use serde_json::{Value, json};

/// All of them.
pub(super) const COMMANDS: &[Command] = &[
    ("ping", 0..=0, |api, _| {
        overview(api)?;
        Ok(Said { after: "Ping succeeded".to_owned(), ..Said::doing("Will ping the node ...".to_owned()) })
    }),
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
    ("check_running", 0..=0, |api, _| well(api, "health/checks/is-in-service", "is fully booted and running")),
    ("is_running", 0..=0, |api, _| well(api, "health/checks/is-in-service", "is fully booted and running")),
    ("is_booting", 0..=0, |api, _| {
        overview(api)?;
        Ok(Said { value: "RabbitMQ on node is not booting".into(), ..Said::default() })
    }),
    ("node_health_check", 0..=0, |api, _| well(api, "health/checks/is-in-service", "is fully booted and running")),
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
    ("await_startup", 0..=0, |api, line| await_startup(api, line)),
    ("await_online_nodes", 1..=1, |api, line| match line.argument(0) {
        "0" | "1" => await_startup(api, line),
        _ => Err(Failure { status: super::TEMPORARY, text: "there is one node".to_owned() }),
    }),
    ("await_online_quorum_plus_one", 0..=0, |api, line| await_startup(api, line)),
    ("wait", 0..=1, |api, line| await_startup(api, line)),
    ("memory_breakdown", 0..=0, |api, _| {
        let node = this_node(api)?;
        Ok(Said {
            value: json!({"total": node.get("mem_used"), "limit": node.get("mem_limit")}),
            ..Said::doing("Reporting memory breakdown on node...".to_owned())
        })
    }),
    ("environment", 0..=0, |_, _| Err(not_here("it is told by `warren config effective`"))),
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
    ("rebalance", 1..=1, |api, _| done(overview(api)?, "Rebalancing queues ...")),
    ("drain", 0..=0, |_, _| Err(not_here("stop the node: it tells its clients and commits"))),
    ("revive", 0..=0, |api, _| done(overview(api)?, "Reviving node ...")),
    ("post_upgrade", 0..=0, |api, _| done(overview(api)?, "Executing post upgrade checks...")),
    ("resolve_hostname", 1..=1, |_, line| {
        use std::net::ToSocketAddrs;
        let host = line.argument(0);
        let found = (host, 0).to_socket_addrs().map_err(|error| Failure::data(&format!("{host}: {error}")))?;
        Ok(Said { value: found.map(|address| address.ip().to_string()).collect::<Vec<_>>().into(), ..Said::default() })
    }),
    ("tls_versions", 0..=0, |_, _| Ok(Said { value: json!(["tlsv1.3", "tlsv1.2"]), ..Said::default() })),
    ("log_location", 0..=0, |_, _| Ok(Said { value: "<stderr>".into(), ..Said::default() })),
    ("stop", 0..=1, |api, _| stop(api, false)),
    ("shutdown", 0..=1, |api, _| stop(api, true)),
    ("stop_app", 0..=0, |_, _| Err(not_here("there is no broker without its process: use stop"))),
    ("start_app", 0..=0, |api, _| done(overview(api)?, "Starting node ...")),
    ("set_vm_memory_high_watermark", 1..=2, |_, _| {
        Err(not_here("set memory.high_watermark, and start the node again"))
    }),
    ("set_disk_free_limit", 1..=2, |_, _| Err(not_here("set disk.free_limit, and start the node again"))),
    ("set_log_level", 1..=1, |_, _| Err(not_here("set log.level, and start the node again"))),
    ("suspend_listeners", 0..=0, |_, _| Err(not_here("listeners stop with their node"))),
    ("resume_listeners", 0..=0, |api, _| done(overview(api)?, "Will resume client connection listeners ...")),
    ("eval", 1..=usize::MAX, |_, _| Err(not_here("there is no Erlang to evaluate expressions in"))),
    ("join_cluster", 1..=1, |_, _| Err(not_here("there is one node"))),
    ("forget_cluster_node", 1..=1, |_, _| Err(not_here("there is one node"))),
    ("add_member", 2..=usize::MAX, |_, _| Err(not_here("there is one node"))),
    ("delete_member", 2..=usize::MAX, |_, _| Err(not_here("there is one node"))),
    ("grow", 2..=usize::MAX, |_, _| Err(not_here("there is one node"))),
    ("shrink", 1..=usize::MAX, |_, _| Err(not_here("there is one node"))),
    ("rotate_logs", 0..=0, |_, _| Ok(Said::doing("The log goes to standard error: nothing to rotate".to_owned()))),
];

fn overview(api: &Api) -> Result<Value, Failure> {
    must(api.get("overview")?, Failure::data("not found"))
}

fn this_node(api: &Api) -> Result<Value, Failure> {
    let nodes = must(api.get("nodes")?, Failure::data("not found"))?;
    Ok(nodes.as_array().and_then(|nodes| nodes.first()).cloned().unwrap_or_default())
}

/// Something that this broker does not do, and what to do instead.
fn not_here(instead: &str) -> Failure {
    Failure { status: super::SOFTWARE, text: format!("this command is not supported: {instead}") }
}

/// A health check: well, or why not.
fn well(api: &Api, path: &str, is: &str) -> Told {
    match api.get(path)? {
        Answer::Done(_) => Ok(Said { after: format!("RabbitMQ on node {is}"), ..Said::default() }),
        Answer::NotFound => Err(Failure { status: super::UNAVAILABLE, text: "no such check".to_owned() }),
        Answer::Refused(_, reason) => Err(Failure { status: super::UNAVAILABLE, text: reason }),
    }
}

fn status(api: &Api, _: &Line) -> Told {
    let (overview, node) = (overview(api)?, this_node(api)?);
    let of = |value: &Value, member: &str| value.get(member).cloned().unwrap_or_default();
    let value = json!({
        "rabbitmq_version": of(&overview, "rabbitmq_version"),
        "product_name": of(&overview, "product_name"),
        "product_version": of(&overview, "product_version"),
        "erlang_version": of(&overview, "erlang_version"),
        "node": of(&overview, "node"),
        "uptime": of(&node, "uptime"),
        "os_pid": of(&node, "os_pid"),
        "run_queue": of(&node, "run_queue"),
        "memory_used": of(&node, "mem_used"),
        "vm_memory_high_watermark_limit": of(&node, "mem_limit"),
        "disk_free": of(&node, "disk_free"),
        "disk_free_limit": of(&node, "disk_free_limit"),
        "totals": of(&overview, "object_totals"),
        "listeners": of(&overview, "listeners"),
        "alarms": {"memory": of(&node, "mem_alarm"), "disk": of(&node, "disk_free_alarm")},
    });
    Ok(Said { value, ..Said::doing(format!("Status of node {} ...", text(&overview, "node"))) })
}

fn cluster_status(api: &Api, _: &Line) -> Told {
    let overview = overview(api)?;
    let node = text(&overview, "node").to_owned();
    let value = json!({
        "cluster_name": overview.get("cluster_name"),
        "disk_nodes": [node],
        "running_nodes": [node],
        "ram_nodes": [],
        "partitions": {},
        "alarms": [],
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

/// Asks again and again until somebody answers.
fn await_startup(api: &Api, line: &Line) -> Told {
    let begun = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let limit = line.timeout.unwrap_or(std::time::Duration::from_secs(300));
    loop {
        match overview(api) {
            Ok(_) => return Ok(Said::doing("Waiting for the node to start ...".to_owned())),
            Err(failure) if failure.status != super::UNAVAILABLE => return Err(failure),
            Err(_) => {}
        }
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        if now.saturating_sub(begun) >= limit {
            return Err(Failure { status: super::TEMPORARY, text: "the node did not start in time".to_owned() });
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}

/// Ends the node's process as a signal does: clients are told, everything is committed. `wait`: until it has ended.
fn stop(api: &Api, wait: bool) -> Told {
    use rustix::process::{Pid, Signal, kill_process, test_kill_process};
    let unknown = || Failure { status: super::SOFTWARE, text: "the node does not tell its process".to_owned() };
    let node = this_node(api)?;
    let told = node.get("os_pid").map(|pid| pid.as_str().map_or_else(|| pid.to_string(), str::to_owned));
    let pid = told.and_then(|pid| Pid::from_raw(pid.parse().ok()?)).ok_or_else(unknown)?;
    let refused = |error| Failure { status: super::SOFTWARE, text: format!("process {pid:?}: {error}") };
    kill_process(pid, Signal::TERM).map_err(refused)?;
    // Whoever asked ends the wait by a signal of their own if it lasts too long for them.
    while wait && test_kill_process(pid).is_ok() && !has_ended(pid.as_raw_nonzero().get()) {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    Ok(Said::doing("Stopping and halting node ...".to_owned()))
}

/// Whether a process has ended, and only its parent has not taken notice of it.
fn has_ended(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('Z'))
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

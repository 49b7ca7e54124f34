//! Commands that look whether the node is well, and others that only look.

use super::api::{Answer, Api, encoded};
use super::changes::Command;
use super::line::Line;
use super::outcome::{Failure, Said, Told, UNAVAILABLE, done, is_stopped, must};
use super::status::{alarm, alarms, listener, listeners, overview, text, this_node};
use serde_json::{Value, json};

/// All of them.
pub(super) const COMMANDS: &[Command] = &[
    ("server_version", 0..=0, |api, _| {
        let (node, version) = super::node::version(api)?;
        let facts = json!({"result": "ok", "value": version});
        Ok(Said::doing(format!("Asking node {node} for its RabbitMQ version...")).found(version).facts(facts))
    }),
    ("erlang_version", 0..=0, |api, _| {
        let overview = overview(api)?;
        let version = format!("Erlang/OTP {}", text(&overview, "erlang_version"));
        let banner = format!("Asking node {} for its Erlang/OTP version...", text(&overview, "node"));
        let facts = json!({"result": "ok", "value": version});
        Ok(Said::doing(banner).found(version).facts(facts))
    }),
    ("check_alarms", 0..=0, |api, _| no_alarms(api, "no alarms, local or clusterwide")),
    ("check_local_alarms", 0..=0, |api, _| no_alarms(api, "no local alarms")),
    ("check_virtual_hosts", 0..=0, |api, _| {
        let node = super::node::name(api)?;
        let after = format!("Node {node} reported all vhosts as running");
        well(api, "virtual-hosts", format!("Checking if all vhosts are running on node {node} ..."), after)
    }),
    ("check_port_listener", 1..=1, check_port_listener),
    ("check_protocol_listener", 1..=1, check_protocol_listener),
    ("check_port_connectivity", 0..=0, check_port_connectivity),
    ("check_certificate_expiration", 0..=0, |api, line| {
        let (within, unit) = (line.option("within").unwrap_or("4"), line.option("unit").unwrap_or("weeks"));
        if !["days", "weeks", "months", "years"].contains(&unit) {
            let fault = format!("unit '{unit}' is not supported. Please use one of: days, weeks, months, years");
            return Err(Failure::usage(fault));
        }
        let path = format!("certificate-expiration/{}/{}", encoded(within), encoded(unit));
        let banner = format!("Checking certificate expiration on node {} ...", super::node::name(api)?);
        well(api, &path, banner, format!("No certificates are expiring within {within} {unit}."))
    }),
    ("check_if_node_is_quorum_critical", 0..=0, |api, _| {
        only_one(api, "Checking if node {} is critical for quorum of any quorum queues ...")
    }),
    ("check_if_node_is_mirror_sync_critical", 0..=0, |api, _| {
        only_one(api, "Checking if node {} is critical for data safety of any classic mirrored queues ...")
    }),
    ("check_if_metadata_store_is_initialized", 0..=0, |api, _| {
        let after = "Metadata store has successfully initialized on node".to_owned();
        well(api, "is-in-service", String::new(), after)
    }),
    ("check_if_any_deprecated_features_are_used", 0..=0, |api, _| {
        let node = text(&overview(api)?, "node").to_owned();
        let banner = format!("Checking if any deprecated features are used on node {node} ...");
        Ok(Said::doing(banner).then(format!("Node {node} reported no deprecated features being used")))
    }),
    ("check_if_cluster_has_classic_queue_mirroring_policy", 0..=0, |api, _| {
        overview(api)?;
        let banner = "Checking if cluster has any classic queue mirroring policies ...";
        Ok(Said::doing(banner).then("Cluster reported no policies that enable classic queue mirroring"))
    }),
    ("check_if_new_quorum_queue_replicas_have_finished_initial_sync", 0..=0, |api, _| {
        only_one(api, "Checking if node {} runs promotable replicas (non-voters) of any quorum queues ...")
    }),
    ("check_for_quorum_queues_without_an_elected_leader", 0..=1, |api, _| {
        let node = text(&overview(api)?, "node").to_owned();
        let after = format!("Node {node} reported all quorum queues as having responsive leader replicas");
        Ok(Said::doing("Checking leader health of quorum queues ...").then(after))
    }),
    ("report", 0..=0, report),
    ("list_unresponsive_queues", 0..=usize::MAX, |api, line| {
        overview(api)?;
        Ok(Said::doing(format!("Listing unresponsive queues for vhost {} ...", line.vhost())).facts(json!([])))
    }),
    ("list_policies_that_match", 1..=1, list_policies_that_match),
    ("quorum_status", 1..=1, |api, line| {
        let queue = a_queue(api, line)?;
        if text(&queue, "type") != "quorum" {
            return Err(Failure::new(UNAVAILABLE, "Cannot get quorum status of a classic queue"));
        }
        let node = text(&queue, "node");
        let banner = format!("Status of quorum queue {} on node {node} ...", line.argument(0));
        Ok(raft_status(banner, node))
    }),
    ("metadata_store_status", 0..=0, |api, _| {
        let node = text(&overview(api)?, "node").to_owned();
        let banner = format!("Status of metadata store on node {node} ...");
        Ok(raft_status(banner, &node))
    }),
    ("force_checkpoint", 0..=usize::MAX, |api, _| {
        done(overview(api)?, "Checkpoints are taken by themselves: nothing to do")
    }),
    ("reclaim_quorum_memory", 1..=1, |api, line| {
        done(a_queue(api, line)?, "Memory is given back by itself: nothing to do")
    }),
    ("force_boot", 0..=0, |_, _| Ok(Said::doing("There is one node: it starts by itself"))),
    ("force_gc", 0..=0, |api, _| done(overview(api)?, "Memory is given back by itself: nothing to do")),
    ("rebalance", 1..=1, |api, line| match line.argument(0) {
        kind @ ("all" | "classic" | "quorum") => {
            let banner = format!("Re-balancing leaders of {kind} queues...");
            Ok(Said::doing(banner).then(format!("There is one node, {}: nothing to do", super::node::name(api)?)))
        }
        kind => {
            let fault = format!("type {kind} is not supported. Try one of all, classic, quorum.");
            Err(Failure::new(UNAVAILABLE, fault))
        }
    }),
    ("post_upgrade", 0..=0, |api, _| done(overview(api)?, "Executing post upgrade tasks...")),
    ("resolve_hostname", 1..=1, resolve_hostname),
    ("tls_versions", 0..=0, |_, _| {
        Ok(Said::doing("Listing all TLS versions supported by the runtime...").found(json!(["tlsv1.3", "tlsv1.2"])))
    }),
    ("log_location", 0..=0, |api, _| {
        let node = super::node::name(api)?;
        let facts = json!({"node_name": node, "paths": ["<stderr>"], "result": "ok"});
        Ok(Said::doing(format!("Log file location(s) on node {node} ...")).found("<stderr>").facts(facts))
    }),
    ("rotate_logs", 0..=0, |_, _| Ok(Said::doing("The log goes to standard error: nothing to rotate"))),
];

/// A health check that the API has: well, or why not.
fn well(api: &Api, check: &str, banner: String, after: String) -> Told {
    match api.get(&format!("health/checks/{check}"))? {
        Answer::Done(_) => Ok(Said::doing(banner).then(after)),
        Answer::NotFound => Err(Failure::new(UNAVAILABLE, "no such check")),
        Answer::Refused(503, reason) if is_stopped(&reason) => Err(Failure::stopped()),
        Answer::Refused(_, reason) => Err(Failure::new(UNAVAILABLE, reason)),
    }
}

fn no_alarms(api: &Api, none: &str) -> Told {
    let node = this_node(api)?;
    let (name, found) = (text(&node, "name"), alarms(&node));
    if found.is_empty() {
        let banner = format!("Asking node {name} to report any local resource alarms ...");
        return Ok(Said::doing(banner).then(format!("Node {name} reported {none}")));
    }
    Err(Failure::new(UNAVAILABLE, found.iter().map(alarm).collect::<Vec<_>>().join("\n")))
}

/// The one member of what is replicated elsewhere.
fn raft_status(banner: String, node: &str) -> Said {
    let facts = json!([{"Node Name": node, "Raft State": "leader", "Membership": "voter"}]);
    Said::doing(banner).found(format!("Node Name\tRaft State\tMembership\n{node}\tleader\tvoter")).facts(facts)
}

/// A check of what only a cluster can lack.
fn only_one(api: &Api, banner: &str) -> Told {
    let node = text(&overview(api)?, "node").to_owned();
    let after = format!("Node {node} seems to be the only one in a single node cluster, the check does not apply");
    Ok(Said::doing(banner.replace("{}", &node)).then(after))
}

fn a_queue(api: &Api, line: &Line) -> Result<Value, Failure> {
    let path = format!("queues/{}/{}", encoded(line.vhost()), encoded(line.argument(0)));
    let missing = format!("not_found: queue '{}' in vhost '{}'", line.argument(0), line.vhost());
    must(api.get(&path)?, Failure::new(UNAVAILABLE, missing))
}

/// A listener's member, of each once.
fn each(found: &[Value], member: &str) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    for value in found.iter().filter_map(|listener| listener.get(member)) {
        if !all.contains(value) {
            all.push(value.clone());
        }
    }
    all
}

fn words(values: &[Value]) -> String {
    values.iter().map(super::table::text).collect::<Vec<_>>().join(", ")
}

fn check_port_listener(api: &Api, line: &Line) -> Told {
    let Ok(port) = line.argument(0).parse::<u16>() else {
        return Err(Failure::argument("Argument must be a positive integer"));
    };
    let overview = overview(api)?;
    let (node, found) = (text(&overview, "node"), listeners(&overview));
    if found.iter().any(|listener| listener.get("port") == Some(&json!(port))) {
        let banner = format!("Asking node {node} if there's an active listener on port {port} ...");
        let after = format!("A listener for port {port} is running on node {node}.");
        let facts = json!({"node": node, "port": line.argument(0), "result": "ok"});
        return Ok(Said::doing(banner).then(after).facts(facts));
    }
    let others = words(&each(&found, "port"));
    let fault = format!(
        "No listener for port {port} is active on node {node}. Found listeners that use the following ports: {others}"
    );
    Err(Failure::new(UNAVAILABLE, fault))
}

/// Names that RabbitMQ's tools take for the protocols that are here.
fn protocol(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    match name.as_str() {
        "amqp091" | "amqp0-9-1" | "amqp0.9.1" => "amqp".to_owned(),
        "amqps" | "amqp091/ssl" => "amqp/ssl".to_owned(),
        "management" | "http_api" => "http".to_owned(),
        "prometheus" => "http/prometheus".to_owned(),
        _ => name,
    }
}

fn check_protocol_listener(api: &Api, line: &Line) -> Told {
    let overview = overview(api)?;
    let (node, found, asked) = (text(&overview, "node"), listeners(&overview), line.argument(0));
    if found.iter().any(|listener| text(listener, "protocol") == protocol(asked)) {
        let banner = format!("Asking node {node} if there's an active listener for protocol {asked} ...");
        let after = format!("A listener for protocol {asked} is running on node {node}.");
        let facts = json!({"node": node, "protocol": asked, "result": "ok"});
        return Ok(Said::doing(banner).then(after).facts(facts));
    }
    let others = words(&each(&found, "protocol"));
    let fault = format!(
        "No listener for protocol {asked} is active on node {node}. Found listeners for the following protocols: {others}"
    );
    Err(Failure::new(UNAVAILABLE, fault))
}

/// Opens each of the node's ports.
fn check_port_connectivity(api: &Api, _: &Line) -> Told {
    let overview = overview(api)?;
    let (node, found) = (text(&overview, "node"), listeners(&overview));
    let fails = |one: &&Value| {
        let host = match text(one, "interface").trim_matches(['[', ']']) {
            "" | "0.0.0.0" | "::" => "localhost",
            host => host,
        };
        let port = one.get("port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
        port.is_some_and(|port| std::net::TcpStream::connect((host, port)).is_err())
    };
    let failed: Vec<String> = found.iter().filter(fails).map(listener).collect();
    if !failed.is_empty() {
        let lines = failed.join("\n");
        let fault = format!("Connection to ports of the following listeners on node {node} failed: \n{lines}");
        return Err(Failure::new(UNAVAILABLE, fault));
    }
    let ports = words(&each(&found, "port"));
    let facts = json!({"listeners": found, "node": node, "result": "ok"});
    let banner = format!("Testing TCP connections to all active listeners on node {node} ...");
    Ok(Said::doing(banner).then(format!("Successfully connected to ports {ports} on node {node}.")).facts(facts))
}

fn resolve_hostname(_: &Api, line: &Line) -> Told {
    use std::net::ToSocketAddrs;
    let host = line.argument(0);
    let six = match line.option("address-family").unwrap_or("ipv4").to_ascii_lowercase().as_str() {
        "ipv4" => false,
        "ipv6" => true,
        _ => return Err(Failure::argument("the address family is ipv4 or ipv6")),
    };
    let found = (host, 0).to_socket_addrs().map_err(|error| Failure::data(format!("{host}: {error}")))?;
    let mut found: Vec<String> =
        found.filter(|address| address.is_ipv6() == six).map(|address| address.ip().to_string()).collect();
    found.dedup();
    let family = if six { "IPv6" } else { "IPv4" };
    Ok(Said::doing(format!("Resolving hostname {host} to {family} addresses...")).found(found))
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
    let parts = Value::Object(parts);
    let banner = format!("Reporting server status of node {} ...", super::node::name(api)?);
    Ok(Said::doing(banner).found(parts.clone()).facts(parts))
}

fn list_policies_that_match(api: &Api, line: &Line) -> Told {
    let queue = a_queue(api, line)?;
    let names: Vec<&Value> = ["policy", "operator_policy"].iter().filter_map(|member| queue.get(*member)).collect();
    let banner = format!("Listing policies that match {} ...", line.argument(0));
    Ok(Said::doing(banner).found(json!(names.into_iter().filter(|name| !name.is_null()).collect::<Vec<_>>())))
}

//! What the node is: its status, listeners, alarms and memory, for people in RabbitMQ's lines, for programs in its objects.

use super::api::{Api, encoded};
use super::changes::{Command, names};
use super::line::Line;
use super::outcome::{Failure, Said, Told, must};
use serde_json::{Value, json};
use std::fmt::Write;

/// All of them.
pub(super) const COMMANDS: &[Command] = &[
    ("status", 0..=0, status),
    ("cluster_status", 0..=0, cluster_status),
    ("listeners", 0..=0, |api, _| {
        let overview = overview(api)?;
        let (node, found) = (text(&overview, "node"), listeners(&overview));
        let banner = format!("Asking node {node} to report its protocol listeners ...");
        let facts = json!({"listeners": found, "node": node, "result": "ok"});
        Ok(Said::doing(banner).found(found.iter().map(listener).collect::<Vec<_>>()).facts(facts))
    }),
    ("alarms", 0..=0, |api, _| {
        let node = this_node(api)?;
        let (name, found) = (text(&node, "name").to_owned(), alarms(&node));
        let said = Said::doing(format!("Asking node {name} to report any known resource alarms ..."));
        if found.is_empty() {
            let facts = json!({"alarms": [], "node": name, "result": "ok"});
            return Ok(said.then(format!("Node {name} reported no alarms, local or clusterwide")).facts(facts));
        }
        let local: Vec<String> = found.iter().map(alarm).collect();
        let message = format!("Node {name} reported alarms");
        let facts = json!({"global": [], "local": local, "message": message, "result": "ok"});
        Ok(said.found(local).facts(facts))
    }),
    ("memory_breakdown", 0..=0, memory_breakdown),
];

pub(super) fn overview(api: &Api) -> Result<Value, Failure> {
    must(api.get("overview")?, Failure::data("not found"))
}

pub(super) fn this_node(api: &Api) -> Result<Value, Failure> {
    let nodes = must(api.get("nodes")?, Failure::data("not found"))?;
    Ok(nodes.as_array().and_then(|nodes| nodes.first()).cloned().unwrap_or_default())
}

pub(super) fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}

fn of(value: &Value, member: &str) -> Value {
    value.get(member).cloned().unwrap_or_default()
}

/// The alarms in a node's description.
pub(super) fn alarms(node: &Value) -> Vec<Value> {
    let kinds = [("mem_alarm", "memory"), ("disk_free_alarm", "disk")];
    let set = kinds.into_iter().filter(|(member, _)| node.get(*member) == Some(&Value::Bool(true)));
    set.map(|(_, resource)| json!({"type": "resource_limit", "resource": resource, "node": node.get("name")})).collect()
}

/// An alarm in words.
pub(super) fn alarm(alarm: &Value) -> String {
    let what = if text(alarm, "resource") == "disk" { "Free disk space" } else { "Memory" };
    format!("{what} alarm on node {}", text(alarm, "node"))
}

/// The listeners in an overview, as the tools tell of them.
pub(super) fn listeners(overview: &Value) -> Vec<Value> {
    let found = overview.get("listeners").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let tell = |listener: &Value| {
        let interface = text(listener, "ip_address");
        let interface = if interface.contains(':') { format!("[{interface}]") } else { interface.to_owned() };
        let protocol = text(listener, "protocol");
        json!({
            "node": of(listener, "node"),
            "interface": interface,
            "port": of(listener, "port"),
            "protocol": protocol,
            "purpose": purpose(protocol),
        })
    };
    found.iter().map(tell).collect()
}

fn purpose(protocol: &str) -> &str {
    match protocol {
        "amqp" => "AMQP 0-9-1",
        "amqp/ssl" => "AMQP 0-9-1 over TLS",
        "http" => "HTTP API",
        "https" => "HTTP API over TLS (HTTPS)",
        "http/prometheus" => "Prometheus exporter API over HTTP",
        other => other,
    }
}

/// A listener in words.
pub(super) fn listener(listener: &Value) -> String {
    format!(
        "Interface: {}, port: {}, protocol: {}, purpose: {}",
        text(listener, "interface"),
        of(listener, "port"),
        text(listener, "protocol"),
        text(listener, "purpose")
    )
}

/// The unit that sizes are given in, and its bytes.
fn unit(line: &Line) -> Result<(&str, f64), Failure> {
    let unit = line.option("unit").unwrap_or("gb");
    let bytes = match unit.to_ascii_lowercase().as_str() {
        "bytes" => 1.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "tb" => 1e12,
        _ => {
            return Err(Failure::usage(format!(
                "unit '{unit}' is not supported. Please use one of: bytes, mb, gb, tb"
            )));
        }
    };
    Ok((unit, bytes))
}

/// A size in a unit, with at most four digits behind the point.
fn size(bytes: &Value, (unit, factor): (&str, f64)) -> String {
    let number = bytes.as_f64().unwrap_or_default() / factor;
    format!("{} {unit}", (number * 10_000.0).round() / 10_000.0)
}

fn status(api: &Api, line: &Line) -> Told {
    let unit = unit(line)?;
    let own = super::node::node(api)?;
    let (overview, node) = (overview(api)?, this_node(api)?);
    let total = |member: &str| overview.pointer(&format!("/object_totals/{member}")).cloned().unwrap_or_default();
    let facts = json!({
        "pid": of(&own, "os_pid"),
        "os": "Linux",
        "rabbitmq_version": of(&overview, "rabbitmq_version"),
        "product_name": of(&overview, "product_name"),
        "product_version": of(&overview, "product_version"),
        "erlang_version": of(&overview, "erlang_version"),
        "crypto_lib_version": "",
        "node": of(&overview, "node"),
        "is_under_maintenance": text(&own, "serving") == "drained",
        "serving": of(&own, "serving"),
        "uptime": of(&node, "uptime").as_u64().map(|ms| ms / 1000),
        "run_queue": of(&node, "run_queue"),
        "net_ticktime": of(&node, "net_ticktime"),
        "processes": {"limit": of(&node, "proc_total"), "used": of(&node, "proc_used")},
        "file_descriptors": {
            "total_limit": of(&node, "fd_total"),
            "total_used": of(&node, "fd_used"),
            "sockets_limit": of(&node, "sockets_total"),
            "sockets_used": of(&node, "sockets_used"),
        },
        "memory": {"strategy": "rss", "total": {
            "rss": of(&node, "mem_used"),
            "allocated": of(&node, "mem_used"),
            "erlang": of(&node, "mem_used"),
        }},
        "vm_memory_calculation_strategy": "rss",
        "vm_memory_high_watermark_setting": {"absolute": of(&node, "mem_limit")},
        "vm_memory_high_watermark_limit": of(&node, "mem_limit"),
        "disk_free": of(&node, "disk_free"),
        "disk_free_limit": of(&node, "disk_free_limit"),
        "totals": {
            "connection_count": total("connections"),
            "queue_count": total("queues"),
            "virtual_host_count": names(api, "vhosts")?.len(),
        },
        "listeners": listeners(&overview),
        "alarms": alarms(&node),
        "active_plugins": of(&node, "enabled_plugins"),
        "enabled_plugin_file": "",
        "data_directory": of(&own, "data_dir"),
        "config_files": of(&node, "config_files"),
        "log_files": of(&node, "log_files"),
    });
    let banner = format!("Status of node {} ...", text(&own, "name"));
    Ok(Said::doing(banner).found(in_sections(&facts, unit)).facts(facts))
}

/// A status for people, in the sections and words of RabbitMQ's.
fn in_sections(status: &Value, unit: (&str, f64)) -> String {
    let at = |path: &str| status.pointer(path).cloned().unwrap_or_default();
    let plain = |path: &str| super::table::text(&at(path));
    let list = |path: &str| -> Vec<Value> { at(path).as_array().cloned().unwrap_or_default() };
    let each =
        |path: &str| list(path).iter().map(|item| format!(" * {}\n", super::table::text(item))).collect::<String>();
    let lines = |path: &str, tell: fn(&Value) -> String| match list(path) {
        none if none.is_empty() => "(none)\n".to_owned(),
        some => some.iter().map(|item| tell(item) + "\n").collect(),
    };
    let mut out = String::new();
    let mut section = |title: &str, body: String| {
        // Text never fails to be written to.
        let _ = write!(out, "{}{title}\n\n{body}", if out.is_empty() { "" } else { "\n" });
    };
    section("Runtime", runtime(status));
    section("Plugins", format!("Enabled plugins:\n\n{}", each("/active_plugins")));
    section("Data directory", format!("Node data directory: {}\n", plain("/data_directory")));
    section("Config files", each("/config_files"));
    section("Log file(s)", each("/log_files"));
    section("Alarms", lines("/alarms", alarm));
    section(
        "Memory",
        format!(
            "Total memory used: {}\nCalculation strategy: rss\nMemory high watermark setting: computed to: {}\n",
            size(&at("/memory/total/rss"), unit),
            size(&at("/vm_memory_high_watermark_limit"), unit),
        ),
    );
    section(
        "File Descriptors",
        format!(
            "Total: {}, limit: {}\nSockets: {}, limit: {}\n",
            plain("/file_descriptors/total_used"),
            plain("/file_descriptors/total_limit"),
            plain("/file_descriptors/sockets_used"),
            plain("/file_descriptors/sockets_limit"),
        ),
    );
    section(
        "Free Disk Space",
        format!(
            "Low free disk space watermark: {}\nFree disk space: {}\n",
            size(&at("/disk_free_limit"), unit),
            size(&at("/disk_free"), unit)
        ),
    );
    section(
        "Totals",
        format!(
            "Connection count: {}\nQueue count: {}\nVirtual host count: {}\n",
            plain("/totals/connection_count"),
            plain("/totals/queue_count"),
            plain("/totals/virtual_host_count")
        ),
    );
    section("Listeners", lines("/listeners", listener));
    out.trim_end().to_owned()
}

fn runtime(status: &Value) -> String {
    let plain = |path: &str| super::table::text(status.pointer(path).unwrap_or(&Value::Null));
    format!(
        "OS PID: {}\nOS: Linux\nUptime (seconds): {}\nIs under maintenance?: {}\nRabbitMQ version: {}\nNode name: {}\n\
         Product: {} {}\nThreads: {} used, {} limit\n",
        plain("/pid"),
        plain("/uptime"),
        plain("/is_under_maintenance"),
        plain("/rabbitmq_version"),
        plain("/node"),
        plain("/product_name"),
        plain("/product_version"),
        plain("/processes/used"),
        plain("/processes/limit"),
    )
}

fn cluster_status(api: &Api, _: &Line) -> Told {
    let (overview, described) = (overview(api)?, this_node(api)?);
    let node = text(&overview, "node").to_owned();
    let drained = described.get("being_drained") == Some(&Value::Bool(true));
    let (maintenance, alarms) =
        (if drained { "under maintenance" } else { "not under maintenance" }, alarms(&described));
    let (listeners, cores) = (listeners(&overview), of(&described, "processors"));
    let flags = must(api.get("feature-flags")?, Failure::data("not found"))?;
    let version = text(&overview, "rabbitmq_version");
    let facts = json!({
        "cluster_name": of(&overview, "cluster_name"),
        "disk_nodes": [node],
        "running_nodes": [node],
        "ram_nodes": [],
        "partitions": {},
        "alarms": alarms,
        "maintenance_status": {node.clone(): maintenance},
        "cpu_cores": {node.clone(): cores},
        "listeners": {node.clone(): listeners},
        "feature_flags": flags,
        "versions": {node.clone(): {
            "rabbitmq_version": version,
            "rabbitmq_name": of(&overview, "product_name"),
            "erlang_version": of(&overview, "erlang_version"),
        }},
    });
    let none = |lines: String| if lines.is_empty() { "(none)\n".to_owned() } else { lines };
    let flags = flags.as_array().map(Vec::as_slice).unwrap_or_default();
    let flags: String =
        flags.iter().map(|flag| format!("Flag: {}, state: {}\n", text(flag, "name"), text(flag, "state"))).collect();
    let people = format!(
        "Basics\n\nCluster name: {}\nTotal CPU cores available cluster-wide: {cores}\n\nDisk Nodes\n\n{node}\n\n\
         Running Nodes\n\n{node}\n\nVersions\n\n{node}: RabbitMQ {version}\n\nCPU Cores\n\nNode: {node}, available CPU cores: \
         {cores}\n\nMaintenance status\n\nNode: {node}, status: {maintenance}\n\nAlarms\n\n{}\nNetwork Partitions\n\n(none)\n\n\
         Listeners\n\n{}\nFeature flags\n\n{flags}",
        text(&overview, "cluster_name"),
        none(alarms.iter().map(|found| alarm(found) + "\n").collect()),
        none(
            listeners
                .iter()
                .map(|found| format!("Node: {node}, {}\n", listener(found).replace("Interface", "interface")))
                .collect()
        ),
    );
    let said = Said::doing(format!("Cluster status of node {node} ..."));
    Ok(said.found(people.trim_end()).facts(facts))
}

fn memory_breakdown(api: &Api, line: &Line) -> Told {
    let unit = unit(line)?;
    let name = super::node::name(api)?;
    let found = must(api.get(&format!("nodes/{}/memory", encoded(&name)))?, Failure::data("not found"))?;
    let parts = found.get("memory").and_then(Value::as_object).cloned().unwrap_or_default();
    let total = parts.get("total").and_then(|total| total.get("rss")).and_then(Value::as_f64).unwrap_or_default();
    let mut parts: Vec<(String, f64)> =
        parts.into_iter().filter_map(|(name, bytes)| Some((name, bytes.as_f64()?))).collect();
    parts.sort_by(|(left, more), (right, less)| less.total_cmp(more).then_with(|| left.cmp(right)));
    let share = |bytes: f64| if total > 0.0 { (bytes / total * 10_000.0).round() / 100.0 } else { 0.0 };
    let facts =
        parts.iter().map(|(name, bytes)| (name.clone(), json!({"bytes": *bytes as u64, "percentage": share(*bytes)})));
    let facts = Value::Object(facts.collect());
    let lines = parts.iter().map(|(name, bytes)| format!("{name}: {} ({}%)", size(&json!(bytes), unit), share(*bytes)));
    let said = Said::doing(format!("Reporting memory breakdown on node {name}..."));
    Ok(said.found(lines.collect::<Vec<_>>()).facts(facts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_in_their_units() {
        let line = |text: &str| super::super::line::read(&[text.to_owned()]).unwrap();
        let of = |unit_: &str| size(&json!(1_234_567_890), unit(&line(unit_)).unwrap());
        assert_eq!((of("--unit=gb"), of("--unit=mb")), ("1.2346 gb".into(), "1234.5679 mb".into()));
        assert_eq!((of("status"), of("--unit=bytes")), ("1.2346 gb".into(), "1234567890 bytes".into()));
        assert_eq!(unit(&line("--unit=ounces")).unwrap_err().status, super::super::outcome::USAGE);
    }

    #[test]
    fn listeners_and_alarms_in_rabbitmqs_words() {
        let overview = json!({"listeners": [
            {"node": "n", "ip_address": "::", "port": 5672, "protocol": "amqp"},
            {"node": "n", "ip_address": "10.0.0.1", "port": 15672, "protocol": "http"},
        ]});
        let words: Vec<String> = listeners(&overview).iter().map(listener).collect();
        assert_eq!(
            words,
            [
                "Interface: [::], port: 5672, protocol: amqp, purpose: AMQP 0-9-1",
                "Interface: 10.0.0.1, port: 15672, protocol: http, purpose: HTTP API"
            ]
        );
        let node = json!({"name": "n", "mem_alarm": true, "disk_free_alarm": true});
        let words: Vec<String> = alarms(&node).iter().map(alarm).collect();
        assert_eq!(words, ["Memory alarm on node n", "Free disk space alarm on node n"]);
        assert!(alarms(&json!({"mem_alarm": false})).is_empty());
    }
}

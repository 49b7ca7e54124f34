//! Figures for Prometheus.

use crate::api::{Api, Node, eventually, guest, shared};
use crate::support::{BasicProperties, Client, free_port};
use serde_json::json;
use std::collections::HashSet;
use std::net::SocketAddr;

/// The lines of samples, and every line looked at.
fn samples(text: &str) -> Vec<(String, f64)> {
    let mut typed = HashSet::new();
    let mut found = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let name = rest.split(' ').next().unwrap();
            assert!(typed.insert(name.to_owned()), "{name} is told twice");
        } else if !line.starts_with("# HELP ") {
            let (key, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
            let name = key.split('{').next().unwrap();
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| name.strip_suffix(suffix))
                .filter(|name| typed.contains(*name));
            assert!(typed.contains(family.unwrap_or(name)), "{line} has no type");
            found.push((key.to_owned(), value.parse().unwrap_or_else(|_| panic!("{line}"))));
        }
    }
    found
}

fn value(samples: &[(String, f64)], key: &str) -> f64 {
    samples.iter().find(|(name, _)| name == key).unwrap_or_else(|| panic!("no {key}")).1
}

/// Every figure that the stock overview dashboard asks for.
const DASHBOARD: [&str; 38] = [
    "connections",
    "channels",
    "queues",
    "consumers",
    "queue_messages_ready",
    "queue_messages_unacked",
    "connections_opened_total",
    "connections_closed_total",
    "channels_opened_total",
    "channels_closed_total",
    "queues_declared_total",
    "queues_created_total",
    "queues_deleted_total",
    "process_resident_memory_bytes",
    "resident_memory_limit_bytes",
    "disk_space_available_bytes",
    "disk_space_available_limit_bytes",
    "process_open_fds",
    "process_max_fds",
    "erlang_uptime_seconds",
    "message_size_bytes_bucket",
    "message_size_bytes_sum",
    "message_size_bytes_count",
    "global_messages_received_total",
    "global_messages_received_confirm_total",
    "global_messages_confirmed_total",
    "global_messages_routed_total",
    "global_messages_unroutable_dropped_total",
    "global_messages_unroutable_returned_total",
    "global_messages_delivered_total",
    "global_messages_delivered_consume_manual_ack_total",
    "global_messages_delivered_consume_auto_ack_total",
    "global_messages_delivered_get_manual_ack_total",
    "global_messages_delivered_get_auto_ack_total",
    "global_messages_get_empty_total",
    "global_messages_redelivered_total",
    "global_messages_acknowledged_total",
    "global_publishers",
];

#[test]
fn what_the_dashboard_asks_for_is_there() {
    assert!(guest().put("/api/queues/%2F/figures", serde_json::json!({})).status < 300);
    let text = guest().get("/metrics");
    assert_eq!(text.status, 200);
    assert!(text.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    let samples = samples(&text.body);
    for name in DASHBOARD {
        let name = format!("rabbitmq_{name}");
        assert!(samples.iter().any(|(key, _)| key.split('{').next() == Some(name.as_str())), "no {name}");
    }
    let identity = samples.iter().find(|(key, _)| key.starts_with("rabbitmq_identity_info{")).unwrap();
    for label in [
        "rabbitmq_node=\"warren@",
        "rabbitmq_cluster=\"",
        "rabbitmq_cluster_permanent_id=\"",
        "rabbitmq_endpoint=\"aggregated\"",
    ] {
        assert!(identity.0.contains(label), "{}", identity.0);
    }
    assert!(samples.iter().any(|(key, value)| key == "warren_commit_seconds_count" && *value > 0.0));
}

#[test]
fn counted_by_protocol_and_queue_type() {
    let node = Node::start(&[]);
    let mut client = Client::connect(node.broker.addr).unwrap();
    client.open_channel(1).unwrap();
    client.declare_queue(1, "p-q", true).unwrap();
    client.confirm_select(1).unwrap();
    for body in [&b"x"[..], &[0; 5000]] {
        client.publish(1, "", "p-q", &BasicProperties::default(), body).unwrap();
    }
    client.publish(1, "", "nowhere", &BasicProperties::default(), b"x").unwrap();
    client.wait_confirms(1).unwrap();
    client.get(1, "p-q", true).unwrap().unwrap();
    let api = node.as_guest();
    let now = samples(&api.get("/metrics").body);
    let global = |name: &str| value(&now, &format!("rabbitmq_global_messages_{name}_total{{protocol=\"amqp091\"}}"));
    assert_eq!((global("received"), global("received_confirm"), global("confirmed")), (3.0, 3.0, 3.0));
    assert_eq!((global("routed"), global("unroutable_dropped"), global("unroutable_returned")), (2.0, 1.0, 0.0));
    let got = |kind: &str| {
        value(
            &now,
            &format!(
                "rabbitmq_global_messages_delivered_get_auto_ack_total{{protocol=\"amqp091\",queue_type=\"rabbit_{kind}_queue\"}}"
            ),
        )
    };
    assert_eq!((got("classic"), got("quorum")), (1.0, 0.0));
    assert_eq!((value(&now, "rabbitmq_queue_messages_ready"), value(&now, "rabbitmq_queues")), (1.0, 1.0));
    let size = |bound: &str| {
        value(&now, &format!("rabbitmq_message_size_bytes_bucket{{protocol=\"amqp091\",le=\"{bound}\"}}"))
    };
    assert_eq!((size("100"), size("1000"), size("10000"), size("+Inf")), (2.0, 2.0, 3.0, 3.0));
    let of_queues =
        ["queue_messages_bytes", "queue_messages_ready_bytes", "queue_messages_unacked_bytes", "queue_messages_ram"];
    assert_eq!(of_queues.map(|name| value(&now, &format!("rabbitmq_{name}"))), [5000.0, 5000.0, 0.0, 1.0]);
    let sums = ["channel_messages_published_total", "queue_messages_published_total", "channel_get_total"];
    assert_eq!(sums.map(|name| value(&now, &format!("rabbitmq_{name}"))), [3.0, 2.0, 1.0]);
    assert!(value(&now, "warren_committed_bytes_total") >= value(&now, "warren_page_outs_total"));

    let each = samples(&api.get("/metrics/per-object").body);
    assert_eq!(value(&each, "rabbitmq_queue_messages_ready{vhost=\"/\",queue=\"p-q\"}"), 1.0);
    assert_eq!(value(&each, "rabbitmq_queue_messages_published_total{queue_vhost=\"/\",queue=\"p-q\"}"), 2.0);
    assert_eq!(value(&each, "rabbitmq_queue_exchange_messages_published_total{vhost=\"/\",queue=\"p-q\"}"), 2.0);
    assert!(
        each.iter()
            .any(|(key, value)| key.starts_with("rabbitmq_channel_messages_published_total{channel=\"127.0.0.1:")
                && *value == 3.0)
    );
    assert!(
        each.iter().any(|(key, value)| key.starts_with("rabbitmq_connection_incoming_bytes_total{") && *value > 5000.0)
    );
    let of_exchange =
        |name: &str| value(&each, &format!("rabbitmq_exchange_messages_{name}_total{{vhost=\"/\",exchange=\"\"}}"));
    assert_eq!(["published", "unroutable_returned", "unroutable_dropped"].map(of_exchange), [3.0, 0.0, 1.0]);

    let detailed = |query: &str| samples(&api.get(&format!("/metrics/detailed?{query}")).body);
    let coarse = detailed("family=queue_coarse_metrics&family=vhost_status");
    assert_eq!(value(&coarse, "rabbitmq_detailed_queue_messages{vhost=\"/\",queue=\"p-q\"}"), 1.0);
    assert_eq!(value(&coarse, "rabbitmq_cluster_vhost_status{vhost=\"/\"}"), 1.0);
    assert!(!coarse.iter().any(|(key, _)| key.contains("channel")));
    // What two families have is told once, and whose figures these are as everywhere.
    let both = api.get("/metrics/detailed?family=queue_consumer_count&family=queue_metrics").body;
    let told = |what: &str| both.lines().filter(|line| line.starts_with(what)).count();
    assert_eq!(told("# TYPE rabbitmq_detailed_queue_consumers "), 1);
    assert_eq!((told("rabbitmq_identity_info{"), told("rabbitmq_build_info{")), (1, 1));
    let none = |query: &str| !detailed(query).iter().any(|(key, _)| key.contains("queue=\""));
    assert!(
        none("family=queue_coarse_metrics&vhost=other")
            && none("family=queue_coarse_metrics&queue=%5Ez")
            && !none("family=queue_coarse_metrics&queue=%5Ep")
    );
    assert_eq!(api.get("/metrics/detailed?queue=(").status, 400);
    client.close().unwrap();
    let after = samples(&api.get("/metrics").body);
    assert_eq!(
        value(&after, "rabbitmq_global_messages_received_total{protocol=\"amqp091\"}"),
        3.0,
        "also when the channel is gone"
    );
    assert_eq!(value(&after, "rabbitmq_connections"), 0.0);
    assert_eq!(value(&after, "rabbitmq_queue_messages_bytes"), 5000.0);
    assert_eq!(api.delete("/api/queues/%2F/p-q").status, 204);
    assert_eq!(value(&samples(&api.get("/metrics").body), "rabbitmq_queue_messages_bytes"), 0.0);
}

#[test]
fn dead_letters_the_disk_and_turns_are_counted() {
    let node = Node::start(&[]);
    let api = node.as_guest();
    let to = json!({"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dl-target"});
    let mut strict = to.clone();
    for (key, value) in
        [("x-queue-type", "quorum"), ("x-dead-letter-strategy", "at-least-once"), ("x-overflow", "reject-publish")]
    {
        strict[key] = json!(value);
    }
    for (queue, arguments) in [("dl-target", json!({})), ("dl-classic", to), ("dl-quorum", strict)] {
        assert_eq!(api.put(&format!("/api/queues/%2F/{queue}"), json!({"arguments": arguments})).status, 201);
    }
    let mut client = Client::connect(node.broker.addr).unwrap();
    client.open_channel(1).unwrap();
    client.confirm_select(1).unwrap();
    let persistent = BasicProperties::default().with_delivery_mode(2);
    for queue in ["dl-classic", "dl-classic", "dl-quorum"] {
        client.publish(1, "", queue, &persistent, b"12345").unwrap();
    }
    client.wait_confirms(1).unwrap();
    for queue in ["dl-classic", "dl-quorum"] {
        let delivery = client.get(1, queue, false).unwrap().unwrap();
        client.reject(1, delivery.delivery_tag, false).unwrap();
    }
    client.sync(1).unwrap();
    let count = |name: &str, kind: &str, strategy: &str| {
        let labels = format!("{{queue_type=\"rabbit_{kind}_queue\",dead_letter_strategy=\"{strategy}\"}}");
        value(
            &samples(&api.get("/metrics").body),
            &format!("rabbitmq_global_messages_dead_lettered_{name}_total{labels}"),
        )
    };
    eventually("all is where it was to go", || (count("confirmed", "quorum", "at_least_once") == 1.0).then_some(()));
    assert_eq!(count("rejected", "classic", "at_most_once"), 1.0);
    assert_eq!(count("rejected", "quorum", "at_least_once"), 1.0);
    assert_eq!(count("expired", "classic", "at_most_once"), 0.0);
    let now = samples(&api.get("/metrics").body);
    assert!(value(&now, "rabbitmq_io_sync_ops_total") > 0.0 && value(&now, "rabbitmq_io_write_bytes_total") > 10.0);
    assert_eq!(value(&now, "warren_publish_batch_messages_sum"), 3.0);
    assert!((1.0..=3.0).contains(&value(&now, "warren_publish_batch_messages_count")));
    let each = samples(&api.get("/metrics/per-object").body);
    assert_eq!(value(&each, "rabbitmq_queue_messages_ready_bytes{vhost=\"/\",queue=\"dl-classic\"}"), 5.0);
    let info = each.iter().find(|(key, _)| key.starts_with("rabbitmq_queue_info{vhost=\"/\",queue=\"dl-quorum\""));
    assert!(info.is_some_and(|(key, _)| key.contains("queue_type=\"rabbit_quorum_queue\"")), "{info:?}");
    let written = "rabbitmq_queue_disk_writes_total";
    assert_eq!(value(&each, &format!("{written}{{vhost=\"/\",queue=\"dl-classic\"}}")), 2.0);
    assert!(value(&now, written) >= 3.0 && value(&now, "rabbitmq_schema_db_disk_tx_total") > 0.0);
    let on_disk = ["msg_store_write_total", "queue_index_write_ops_total"];
    assert!(on_disk.iter().all(|name| value(&now, &format!("rabbitmq_{name}")) > 0.0));
    let stats = api.json("/api/queues/%2F/dl-classic")["message_stats"].clone();
    assert_eq!(stats["disk_writes"], 2, "{stats}");
    assert!(api.json("/api/overview")["message_stats"]["disk_writes"].as_u64().unwrap() >= 3);
    client.close().unwrap();
}

#[test]
fn a_listener_of_its_own_asks_for_no_login() {
    assert_eq!(shared().nobody().get("/metrics").status, 401);
    let port = free_port();
    let node = Node::start(&[("WARREN_PROMETHEUS_ADDRESS", &format!("127.0.0.1:{port}"))]);
    let open = Api { http: SocketAddr::from(([127, 0, 0, 1], port)), authorization: None };
    for path in ["/metrics", "/metrics/per-object", "/metrics/detailed", "/metrics/memory-breakdown"] {
        let reply = open.get(path);
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        assert!(!samples(&reply.body).is_empty());
    }
    assert_eq!(open.get("/api/overview").status, 404, "figures only");
    let listeners = node.as_guest().json("/api/overview")["listeners"].clone();
    assert!(
        listeners
            .as_array()
            .unwrap()
            .iter()
            .any(|listener| listener["protocol"] == "http/prometheus" && listener["port"] == port)
    );
}

/// The families of `/metrics/detailed`, and the names in each: RabbitMQ's, but for those that would say nothing (reductions of
/// Erlang's processes, segments of streams, confirms by exchange).
const DETAILED: [(&str, &str); 17] = [
    (
        "connection_churn_metrics",
        "connections_opened_total connections_closed_total channels_opened_total channels_closed_total \
         queues_declared_total queues_created_total queues_deleted_total",
    ),
    (
        "node_coarse_metrics",
        "process_open_fds process_open_tcp_sockets process_resident_memory_bytes disk_space_available_bytes \
         erlang_processes_used erlang_gc_runs_total erlang_gc_reclaimed_bytes_total erlang_scheduler_context_switches_total",
    ),
    (
        "node_metrics",
        "process_max_fds process_max_tcp_sockets resident_memory_limit_bytes disk_space_available_limit_bytes \
         erlang_processes_limit erlang_scheduler_run_queue erlang_uptime_seconds",
    ),
    (
        "node_persister_metrics",
        "io_read_ops_total io_read_bytes_total io_write_ops_total io_write_bytes_total io_sync_ops_total io_seek_ops_total \
         io_reopen_ops_total schema_db_ram_tx_total schema_db_disk_tx_total msg_store_read_total msg_store_write_total \
         queue_index_read_ops_total queue_index_write_ops_total io_read_time_seconds_total io_write_time_seconds_total \
         io_sync_time_seconds_total io_seek_time_seconds_total",
    ),
    ("auth_attempt_metrics", "auth_attempts_total auth_attempts_succeeded_total auth_attempts_failed_total"),
    ("queue_coarse_metrics", "queue_messages_ready queue_messages_unacked queue_messages queue_info"),
    ("queue_consumer_count", "queue_consumers queue_info"),
    (
        "queue_metrics",
        "queue_consumers queue_consumer_capacity queue_consumer_utilisation queue_process_memory_bytes queue_messages_ram \
         queue_messages_ram_bytes queue_messages_ready_ram queue_messages_unacked_ram queue_messages_persistent \
         queue_messages_persistent_bytes queue_messages_bytes queue_messages_ready_bytes queue_messages_unacked_bytes \
         queue_messages_paged_out queue_messages_paged_out_bytes queue_disk_reads_total queue_disk_writes_total \
         queue_head_message_timestamp queue_info",
    ),
    (
        "queue_delivery_metrics",
        "queue_get_ack_total queue_get_total queue_messages_delivered_ack_total queue_messages_delivered_total \
         queue_messages_redelivered_total queue_messages_acked_total queue_get_empty_total",
    ),
    ("queue_exchange_metrics", "queue_exchange_messages_published_total"),
    (
        "exchange_metrics",
        "exchange_messages_published_total exchange_messages_unroutable_returned_total \
         exchange_messages_unroutable_dropped_total",
    ),
    (
        "channel_metrics",
        "channel_consumers channel_messages_unacked channel_messages_unconfirmed channel_messages_uncommitted \
         channel_acks_uncommitted consumer_prefetch channel_prefetch",
    ),
    (
        "channel_exchange_metrics",
        "channel_messages_published_total channel_messages_confirmed_total channel_messages_unroutable_returned_total \
         channel_messages_unroutable_dropped_total",
    ),
    (
        "channel_queue_metrics",
        "channel_get_ack_total channel_get_total channel_messages_delivered_ack_total channel_messages_delivered_total \
         channel_messages_redelivered_total channel_messages_acked_total channel_get_empty_total",
    ),
    ("channel_queue_exchange_metrics", "queue_messages_published_total"),
    ("connection_coarse_metrics", "connection_incoming_bytes_total connection_outgoing_bytes_total"),
    (
        "connection_metrics",
        "connection_incoming_packets_total connection_outgoing_packets_total connection_pending_packets connection_channels",
    ),
];

#[test]
fn every_family_has_rabbitmqs_names() {
    let node = Node::start(&[]);
    let api = node.as_guest();
    let mut client = Client::connect(node.broker.addr).unwrap();
    client.open_channel(1).unwrap();
    client.declare_queue(1, "named", true).unwrap();
    let typed = |text: &str, prefix: &str| -> Vec<String> {
        let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
        names.filter_map(|name| Some(name.strip_prefix(prefix)?.to_owned())).collect()
    };
    let whole = typed(&api.get("/metrics").body, "rabbitmq_");
    for (family, names) in DETAILED {
        let text = api.get(&format!("/metrics/detailed?family={family}")).body;
        let names: Vec<&str> = names.split_whitespace().collect();
        assert_eq!(typed(&text, "rabbitmq_detailed_"), names, "{family}");
        // What can be added up is told of all together, too.
        let alone =
            ["queue_info", "queue_consumer_capacity", "queue_consumer_utilisation", "queue_head_message_timestamp"];
        let missing: Vec<_> =
            names.iter().filter(|name| !alone.contains(name) && !whole.iter().any(|there| there == *name)).collect();
        assert!(missing.is_empty(), "{family}: {missing:?} not in /metrics");
    }
    for family in
        ["auth_attempt_detailed_metrics", "channel_process_metrics", "ra_metrics", "stream_consumer_metrics", "x"]
    {
        let text = api.get(&format!("/metrics/detailed?family={family}")).body;
        assert_eq!(typed(&text, "rabbitmq_detailed_"), Vec::<String>::new(), "{family}");
    }
    let all: Vec<String> = DETAILED.iter().map(|(family, _)| format!("family={family}")).collect();
    // Every name is told once, whatever is asked for together.
    samples(&api.get(&format!("/metrics/detailed?{}", all.join("&"))).body);
    client.close().unwrap();
}

#[test]
fn a_cluster_keeps_its_permanent_id() {
    let mut node = Node::start(&[]);
    let id = |node: &Node| {
        let text = node.as_guest().get("/metrics").body;
        text.split("rabbitmq_cluster_permanent_id=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
    };
    let first = id(&node);
    assert!(first.len() == 42 && first.starts_with("rabbitmq-cluster-id-"), "{first}");
    assert_eq!(node.as_guest().put("/api/cluster-name", json!({"name": "other"})).status, 204);
    node.restart();
    assert_eq!(id(&node), first);
    assert_ne!(id(&Node::start(&[])), first);
}

#[test]
fn labels_are_rabbitmqs() {
    let node = Node::start(&[]);
    let api = node.as_guest();
    let mut client = Client::connect(node.broker.addr).unwrap();
    client.open_channel(1).unwrap();
    client.declare_queue(1, "labels", true).unwrap();
    assert_eq!(api.put("/api/exchanges/%2F/inner", json!({"type": "fanout", "internal": true})).status, 201);
    assert_eq!(api.put("/api/exchanges/%2F/outer", json!({"type": "topic"})).status, 201);
    let bound = json!({"routing_key": "a.#"});
    assert_eq!(api.post("/api/bindings/%2F/e/outer/q/labels", bound).status, 201);
    let detailed = |family: &str| samples(&api.get(&format!("/metrics/detailed?family={family}")).body);
    let info = "rabbitmq_detailed_queue_info{vhost=\"/\",queue=\"labels\",queue_type=\"rabbit_classic_queue\",membership=\"leader\"}";
    assert_eq!(value(&detailed("queue_consumer_count"), info), 1.0);
    for (family, name, number) in [("exchange_names", "name", 1.0), ("exchange_bindings", "bindings", 1.0)] {
        let found = detailed(family);
        let key = |exchange: &str, kind: &str| {
            format!("rabbitmq_cluster_exchange_{name}{{vhost=\"/\",exchange=\"{exchange}\",type=\"{kind}\"}}")
        };
        assert_eq!(value(&found, &key("outer", "topic")), number);
        // Neither the default exchange nor internal ones.
        assert!(!found.iter().any(|(told, _)| [key("", "direct"), key("inner", "fanout")].contains(told)), "{found:?}");
    }
    let logins = detailed("auth_attempt_metrics");
    assert_eq!(value(&logins, "rabbitmq_detailed_auth_attempts_succeeded_total{protocol=\"amqp091\"}"), 1.0);
    assert!(value(&logins, "rabbitmq_detailed_auth_attempts_total{protocol=\"http\"}") >= 1.0);
    let name = api.json("/api/connections")[0]["name"].as_str().unwrap().to_owned();
    let connections = detailed("connection_metrics");
    let key = format!("rabbitmq_detailed_connection_channels{{channel=\"{name}\",connection=\"{name}\"}}");
    assert_eq!(value(&connections, &key), 1.0);
    let breakdown = api.get("/metrics/memory-breakdown").body;
    assert!(
        breakdown.contains("rabbitmq_endpoint=\"memory-breakdown\"") && breakdown.contains("\nrabbitmq_memory_other_")
    );
    client.close().unwrap();
}

#[test]
fn what_finds_no_queue_and_what_connections_did_is_told_to_the_end() {
    let node = Node::start(&[]);
    let api = node.as_guest();
    let mut client = Client::connect(node.broker.addr).unwrap();
    client.open_channel(1).unwrap();
    client.open_channel(2).unwrap();
    client.tx_select(2).unwrap();
    for channel in [1, 2] {
        client.publish_mandatory(channel, "amq.topic", "nowhere", &BasicProperties::default(), b"x").unwrap();
        client.publish(channel, "amq.topic", "nowhere", &BasicProperties::default(), b"x").unwrap();
    }
    client.tx_commit(2).unwrap();
    client.sync(1).unwrap();
    let text = api.get("/metrics").body;
    assert!(!text.contains(" -0\n"), "{text}");
    let now = samples(&text);
    for (name, number) in [("published", 4.0), ("unroutable_returned", 2.0), ("unroutable_dropped", 2.0)] {
        assert_eq!(value(&now, &format!("rabbitmq_exchange_messages_{name}_total")), number, "{name}");
        assert_eq!(value(&now, &format!("rabbitmq_channel_messages_{name}_total")), number, "{name}");
        let each = samples(&api.get("/metrics/detailed?family=exchange_metrics").body);
        let key = format!("rabbitmq_detailed_exchange_messages_{name}_total{{vhost=\"/\",exchange=\"amq.topic\"}}");
        assert_eq!(value(&each, &key), number, "{name}");
    }
    assert!(value(&now, "process_start_time_seconds") > 1e9);
    let packets = "rabbitmq_connection_incoming_packets_total";
    let before = value(&now, packets);
    assert!(before > 0.0 && value(&now, "rabbitmq_connection_channels") == 2.0);
    client.close().unwrap();
    eventually("the connection has gone", || {
        let now = samples(&api.get("/metrics").body);
        (value(&now, "rabbitmq_connections") == 0.0).then(|| assert!(value(&now, packets) >= before))
    });
}

#[test]
fn the_management_apis_own_publishes_and_gets_are_counted() {
    let node = Node::start(&[]);
    let api = node.as_guest();
    assert_eq!(api.put("/api/queues/%2F/own", json!({})).status, 201);
    for key in ["own", "own", "nowhere"] {
        let message = json!({"properties": {}, "routing_key": key, "payload": "12345", "payload_encoding": "string"});
        assert_eq!(api.post("/api/exchanges/%2F/amq.default/publish", message).status, 200);
    }
    for mode in ["ack_requeue_true", "ack_requeue_false"] {
        let get = json!({"count": 1, "ackmode": mode, "encoding": "auto"});
        assert_eq!(api.post("/api/queues/%2F/own/get", get).status, 200);
    }
    let stats = api.json("/api/overview")["message_stats"].clone();
    let of = |name: &str| stats[name].as_u64().unwrap_or(0);
    assert_eq!(
        ["publish", "confirm", "return_unroutable", "get", "ack", "redeliver"].map(of),
        [3, 3, 1, 2, 1, 1],
        "{stats}"
    );
    assert_eq!(api.json("/api/vhosts/%2F")["message_stats"]["publish"], 3);
    let now = samples(&api.get("/metrics").body);
    assert_eq!(value(&now, "rabbitmq_message_size_bytes_sum{protocol=\"amqp091\"}"), 15.0);
    assert_eq!(value(&now, "rabbitmq_global_messages_received_confirm_total{protocol=\"amqp091\"}"), 3.0);
}

#[test]
fn a_channels_figures_are_told_apart_by_queue_and_exchange() {
    let node = Node::start(&[]);
    let api = node.as_guest();
    let mut client = Client::connect(node.broker.addr).unwrap();
    for channel in [1, 2] {
        client.open_channel(channel).unwrap();
        client.confirm_select(channel).unwrap();
    }
    for queue in ["apart-1", "apart-2"] {
        client.declare_queue(1, queue, true).unwrap();
    }
    let plain = BasicProperties::default();
    for (channel, exchange, key) in
        [(1, "", "apart-1"), (1, "", "apart-2"), (1, "amq.topic", "nowhere"), (1, "", "apart-1"), (2, "", "apart-2")]
    {
        client.publish(channel, exchange, key, &plain, b"x").unwrap();
    }
    client.publish_mandatory(1, "amq.topic", "nowhere", &plain, b"x").unwrap();
    for channel in [1, 2] {
        client.wait_confirms(channel).unwrap();
    }
    for queue in ["apart-1", "apart-2", "apart-1"] {
        let got = client.get(1, queue, false).unwrap().unwrap();
        client.ack(1, got.delivery_tag, false).unwrap();
    }
    client.consume(1, "apart-2", "c", true).unwrap();
    client.deliveries(1).unwrap();
    client.sync(1).unwrap();

    let name = api.json("/api/connections")[0]["name"].as_str().unwrap().to_owned();
    let told = |name_of: &str, channel: u16, more: &str| -> Option<f64> {
        let labels = format!("channel=\"{name} ({channel})\",vhost=\"/\"{more}");
        let families = "family=channel_exchange_metrics&family=channel_queue_metrics";
        let found = samples(&api.get(&format!("/metrics/detailed?{families}")).body);
        let key = format!("rabbitmq_detailed_channel_{name_of}_total{{{labels}}}");
        found.into_iter().find(|(there, _)| *there == key).map(|(_, value)| value)
    };
    let (default, topic) = (",exchange=\"\"", ",exchange=\"amq.topic\"");
    let published = "messages_published";
    assert_eq!([default, topic].map(|exchange| told(published, 1, exchange)), [Some(3.0), Some(2.0)]);
    assert_eq!(told("messages_unroutable_dropped", 1, topic), Some(1.0));
    assert_eq!(told("messages_unroutable_returned", 1, topic), Some(1.0));
    // Whose confirms are whose is known where there is one exchange.
    assert_eq!((told("messages_confirmed", 1, ""), told("messages_confirmed", 1, default)), (Some(5.0), Some(0.0)));
    assert_eq!((told("messages_confirmed", 2, ""), told("messages_confirmed", 2, default)), (None, Some(1.0)));
    let queues = [",queue=\"apart-1\"", ",queue=\"apart-2\""];
    assert_eq!(queues.map(|queue| told("get_ack", 1, queue)), [Some(2.0), Some(1.0)]);
    assert_eq!(queues.map(|queue| told("messages_acked", 1, queue)), [Some(2.0), Some(1.0)]);
    assert_eq!(queues.map(|queue| told("messages_delivered", 1, queue)), [Some(0.0), Some(1.0)]);
    assert_eq!((told("get_ack", 1, ""), told("get_ack", 2, "")), (None, None), "nothing is left over");
    // What was done with a queue that has gone is the channel's.
    assert_eq!(api.delete("/api/queues/%2F/apart-1").status, 204);
    assert_eq!((told("get_ack", 1, queues[0]), told("get_ack", 1, "")), (None, Some(2.0)));
    client.close().unwrap();
}

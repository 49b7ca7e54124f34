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
    assert_eq!(value(&each, "rabbitmq_queue_messages_published_total{vhost=\"/\",queue=\"p-q\"}"), 2.0);
    assert!(
        each.iter()
            .any(|(key, value)| key.starts_with("rabbitmq_channel_messages_published_total{channel=\"127.0.0.1:")
                && *value == 3.0)
    );
    assert!(
        each.iter().any(|(key, value)| key.starts_with("rabbitmq_connection_incoming_bytes_total{") && *value > 5000.0)
    );
    assert_eq!(value(&each, "rabbitmq_exchange_messages_published_in_total{vhost=\"/\",exchange=\"\"}"), 3.0);

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
    assert!(info.is_some_and(|(key, _)| key.contains("queue_type=\"quorum\"")), "{info:?}");
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

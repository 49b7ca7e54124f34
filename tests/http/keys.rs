//! Keys of `rabbitmq.conf` on a running node.

use crate::api::{Node, only};
use crate::support::Client;
use amq_protocol::protocol::BasicProperties;
use serde_json::{Value, json};
use std::fs;

/// A node with such a file.
fn node(text: &str) -> Node {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rabbitmq.conf");
    fs::write(&file, text).unwrap();
    Node::start(&[("RABBITMQ_CONFIG_FILE", file.to_str().unwrap())])
}

#[test]
fn vhosts_are_made_with_users_and_operator_policies() {
    let mut node = node(
        "default_users.watcher.password = s3cret\ndefault_users.watcher.tags = monitoring\ndefault_users.watcher.configure = ^$\n\
         default_users.watcher.write = ^$\ndefault_users.tenant.vhost_pattern = ^prod-\n\
         default_policies.operator.limits.vhost_pattern = ^prod-\ndefault_policies.operator.limits.queue_pattern = ^q\n\
         default_policies.operator.limits.apply_to = queues\ndefault_policies.operator.limits.max_length = 2\n",
    );
    let api = node.as_guest();
    for vhost in ["prod-1", "test-1"] {
        assert_eq!(api.put(&format!("/api/vhosts/{vhost}"), json!({})).status, 201);
    }
    // Who asks is the made user: by the password and the tag of the file.
    let watcher = node.login("watcher", "s3cret");
    assert_eq!(
        only(&watcher.json("/api/whoami"), &["name", "tags"]),
        json!({"name": "watcher", "tags": ["monitoring"]})
    );
    let rights = |user: &str| {
        let all = api.json(&format!("/api/users/{user}/permissions"));
        all.as_array().unwrap().iter().map(|one| only(one, &["vhost", "configure", "write", "read"])).collect::<Value>()
    };
    let right =
        |vhost: &str, nothing: &str| json!({"vhost": vhost, "configure": nothing, "write": nothing, "read": ".*"});
    assert_eq!(rights("watcher"), json!([right("/", "^$"), right("prod-1", "^$"), right("test-1", "^$")]));
    assert_eq!(rights("tenant"), json!([right("prod-1", ".*")]));
    assert_eq!(node.login("tenant", "").get("/api/whoami").status, 401, "nobody logs in without a password");
    let policies = api.json("/api/operator-policies");
    let wanted = json!([{
        "vhost": "prod-1", "name": "limits", "pattern": "^q", "apply-to": "queues", "definition": {"max-length": 2},
        "priority": 0
    }]);
    assert_eq!(policies, wanted);
    assert_eq!(api.put("/api/queues/prod-1/q", json!({})).status, 201);
    let queue = api.json("/api/queues/prod-1/q");
    assert_eq!(only(&queue, &["operator_policy"]), json!({"operator_policy": "limits"}));
    for _ in 0..3 {
        let message = json!({"properties": {}, "routing_key": "q", "payload": "x", "payload_encoding": "string"});
        assert_eq!(api.post("/api/exchanges/prod-1/amq.default/publish", message).json(), json!({"routed": true}));
    }
    let got = json!({"count": 10, "ackmode": "ack_requeue_true", "encoding": "auto"});
    assert_eq!(api.post("/api/queues/prod-1/q/get", got).json().as_array().unwrap().len(), 2);
    // What is changed stays so: a virtual host is made once.
    let permissions = json!({"configure": "", "write": "", "read": "^r"});
    assert_eq!(api.put("/api/permissions/prod-1/tenant", permissions).status, 204);
    assert_eq!(api.delete("/api/operator-policies/prod-1/limits").status, 204);
    assert_eq!(api.put("/api/vhosts/prod-1", json!({})).status, 204);
    node.restart();
    let api = node.as_guest();
    assert_eq!(api.json("/api/operator-policies"), json!([]));
    assert_eq!(only(&api.json("/api/permissions/prod-1/tenant"), &["read"]), json!({"read": "^r"}));
    assert_eq!(node.login("watcher", "s3cret").get("/api/whoami").status, 200, "it is on disk");
}

#[test]
fn messages_say_when_they_came_and_through_which_node() {
    let node = node(
        "message_interceptors.incoming.set_header_timestamp.overwrite = false\n\
         message_interceptors.incoming.set_header_routing_node.overwrite = true\ncluster_tags.region = north\n\
         node_tags.role = ingress\n",
    );
    let api = node.as_guest();
    let overview = api.json("/api/overview");
    let tags = only(&overview, &["cluster_tags", "node_tags"]);
    assert_eq!(tags, json!({"cluster_tags": {"region": "north"}, "node_tags": {"role": "ingress"}}));
    let name = overview["node"].as_str().unwrap();
    assert_eq!(api.put("/api/queues/%2F/q", json!({})).status, 201);
    let mut client = Client::connect(node.broker.addr).unwrap();
    client.open_channel(1).unwrap();
    // Alike, one behind the other, and a long one in several frames.
    for body in [&b"x"[..], b"x", b"x", b"x", &[0; 200_000]] {
        client.publish(1, "", "q", &BasicProperties::default(), body).unwrap();
    }
    let own = BasicProperties::default().with_timestamp(7);
    client.publish(1, "", "q", &own, b"own").unwrap();
    client.sync(1).unwrap();
    let message = json!({
        "properties": {"headers": {"x-routed-by": "a liar", "k": 1}}, "routing_key": "q", "payload": "x",
        "payload_encoding": "string"
    });
    assert_eq!(api.post("/api/exchanges/%2F/amq.default/publish", message).json(), json!({"routed": true}));
    let got = json!({"count": 10, "ackmode": "ack_requeue_false", "encoding": "auto"});
    let got = api.post("/api/queues/%2F/q/get", got).json();
    let got = got.as_array().unwrap();
    assert_eq!(got.len(), 7);
    for (at, message) in got.iter().enumerate() {
        let properties = &message["properties"];
        let ms = properties["headers"]["timestamp_in_ms"].as_u64().unwrap();
        assert_eq!(properties["headers"]["x-routed-by"], name, "{at}");
        let seconds = if at == 5 { 7 } else { ms / 1000 };
        assert_eq!(properties["timestamp"], seconds, "{at}");
        assert!(ms > 1_700_000_000_000, "{at}");
    }
    assert_eq!(got[6]["properties"]["headers"]["k"], 1);
}

#[test]
fn the_api_below_a_path() {
    let node = node("management.path_prefix = /a/b\n");
    let api = node.as_guest();
    assert_eq!(api.get("/a/b/api/overview").status, 200);
    assert_eq!(api.get("/a/b/metrics").status, 200);
    assert_eq!(api.put("/a/b/api/queues/%2F/q", json!({})).status, 201);
    assert_eq!(api.get("/a/b/api/queues/%2F/q").status, 200);
    for path in ["/api/overview", "/metrics", "/a/b", "/a/api/overview"] {
        assert_eq!(api.get(path).status, 404, "{path}");
    }
    let description = api.json("/a/b/api/openapi.json");
    assert_eq!(description["servers"], json!([{"url": "/a/b"}]));
    assert!(description["paths"]["/api/overview"].is_object());
    // As RabbitMQ, whose contexts do not tell it.
    assert_eq!(api.json("/a/b/api/overview")["contexts"][0]["path"], "/");
    let options = api.call("OPTIONS", "/a/b/api/overview", None, &[]);
    assert_eq!((options.status, options.header("allow").as_deref()), (200, Some("OPTIONS, GET, HEAD")));
}

#[test]
fn what_the_api_offers() {
    let node = node(
        "management.rates_mode = none\nmanagement.restrictions.operator_policy_changes.disabled = true\n\
         management.enable_queue_totals = true\nprometheus.return_per_object_metrics = true\n",
    );
    let api = node.as_guest();
    assert_eq!(api.put("/api/queues/%2F/q", json!({})).status, 201);
    let message = json!({"properties": {}, "routing_key": "q", "payload": "x", "payload_encoding": "string"});
    assert_eq!(api.post("/api/exchanges/%2F/amq.default/publish", message).status, 200);
    let overview = api.json("/api/overview");
    let said =
        only(&overview, &["rates_mode", "message_stats", "is_op_policy_updating_enabled", "enable_queue_totals"]);
    let wanted = json!({
        "rates_mode": "none", "message_stats": null, "is_op_policy_updating_enabled": false, "enable_queue_totals": true
    });
    assert_eq!(said, wanted);
    assert_eq!(overview["queue_totals"]["messages"], 1, "lengths are there all the same");
    for path in ["/api/queues/%2F/q", "/api/exchanges/%2F/amq.default", "/api/vhosts/%2F"] {
        assert!(api.json(path).get("message_stats").is_none(), "{path}");
    }
    assert_eq!(api.json("/api/nodes")[0]["rates_mode"], "none");
    let policy = json!({"pattern": ".*", "definition": {"max-length": 1}});
    assert_eq!(api.put("/api/operator-policies/%2F/p", policy.clone()).status, 405);
    assert_eq!(api.delete("/api/operator-policies/%2F/p").status, 405);
    assert_eq!(api.put("/api/policies/%2F/p", policy).status, 201);
    assert!(api.get("/metrics").body.contains("rabbitmq_queue_messages_ready{vhost=\"/\",queue=\"q\"} 1"));
    let totals = api.json("/api/queues/%2F/q?disable_stats=true");
    assert_eq!(totals["messages"], 1);
}

#[test]
fn an_api_without_statistics_and_passwords() {
    let node = node("management.disable_stats = true\n");
    let overview = node.as_guest().json("/api/overview");
    let said = only(&overview, &["disable_stats", "message_stats", "queue_totals"]);
    assert_eq!(said, json!({"disable_stats": true, "message_stats": null, "queue_totals": null}));
    let node = self::node("management.disable_basic_auth = true\n");
    let refused = node.as_guest().get("/api/overview");
    let reason = json!({"error": "not_authorised", "reason": "HTTP access denied: basic auth disabled"});
    assert_eq!((refused.status, refused.json()), (401, reason));
    let form = node.nobody().send(
        "POST",
        "/api/login",
        Some(b"username=guest&password=guest"),
        &[("content-type", "application/x-www-form-urlencoded")],
    );
    assert_eq!(form.status, 401);
}

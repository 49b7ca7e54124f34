//! Virtual hosts, the node, health checks, and the small endpoints.

use crate::api::{guest, only, shared};
use serde_json::json;

#[test]
fn a_vhost_is_made_changed_protected_and_deleted() {
    let api = guest();
    let path = "/api/vhosts/v%2Flife";
    let body = json!({"description": "for tests", "tags": "a,b", "default_queue_type": "quorum"});
    assert_eq!((api.put(path, body.clone()).status, api.put(path, body).status), (201, 204));
    let shown = api.json(path);
    let node = api.json("/api/overview")["node"].as_str().unwrap().to_owned();
    assert_eq!(
        only(
            &shown,
            &[
                "name",
                "description",
                "tags",
                "metadata",
                "default_queue_type",
                "protected_from_deletion",
                "tracing",
                "cluster_state",
                "messages"
            ]
        ),
        json!({"name": "v/life", "description": "for tests", "tags": ["a", "b"],
            "metadata": {"description": "for tests", "tags": ["a", "b"], "default_queue_type": "quorum"},
            "default_queue_type": "quorum", "protected_from_deletion": false, "tracing": false, "cluster_state": {node: "running"},
            "messages": 0})
    );
    let granted = api.json("/api/permissions/v%2Flife/guest");
    assert_eq!(granted["configure"], ".*", "whoever makes it may do everything in it");
    assert!(api.json("/api/vhosts").as_array().unwrap().iter().any(|vhost| vhost["name"] == "v/life"));
    assert_eq!(api.put(path, json!({"tracing": true})).status, 204);
    assert_eq!(
        only(&api.json(path), &["tracing", "description"]),
        json!({"tracing": true, "description": "for tests"})
    );
    assert_eq!(api.post(&format!("{path}/deletion/protection"), json!({})).status, 204);
    let protected = api.delete(path);
    assert_eq!((protected.status, protected.json()["error"].clone()), (412, json!("precondition_failed")));
    assert_eq!(api.delete(&format!("{path}/deletion/protection")).status, 204);
    assert_eq!(api.put(path, json!({"default_queue_type": "odd"})).status, 400);
    assert_eq!(api.delete(path).status, 204);
    assert_eq!((api.delete(path).status, api.get(path).status), (404, 404));
}

#[test]
fn the_overview() {
    let overview = guest().json("/api/overview");
    for key in [
        "management_version",
        "rates_mode",
        "exchange_types",
        "product_version",
        "product_name",
        "rabbitmq_version",
        "cluster_name",
        "erlang_version",
        "message_stats",
        "churn_rates",
        "queue_totals",
        "object_totals",
        "node",
        "listeners",
        "contexts",
        "statistics_db_event_queue",
        "default_queue_type",
        "disable_stats",
    ] {
        assert!(overview.get(key).is_some(), "no {key} in {overview}");
    }
    assert_eq!(overview["product_name"], "Warren");
    let port = shared().broker.addr.port();
    assert!(
        overview["listeners"]
            .as_array()
            .unwrap()
            .iter()
            .any(|listener| listener["protocol"] == "amqp" && listener["port"] == port)
    );
    assert!(overview["exchange_types"].as_array().unwrap().iter().any(|kind| kind["name"] == "x-delayed-message"));
}

#[test]
fn the_node() {
    let api = guest();
    let nodes = api.json("/api/nodes");
    let node = &nodes[0];
    assert_eq!(
        only(node, &["type", "running", "mem_alarm", "disk_free_alarm", "rates_mode"]),
        json!({"type": "disc", "running": true, "mem_alarm": false, "disk_free_alarm": false, "rates_mode": "basic"})
    );
    for key in ["mem_used", "mem_limit", "disk_free", "fd_used", "fd_total", "proc_used", "uptime", "processors"] {
        assert!(node[key].as_u64().is_some_and(|number| number > 0), "{key} of {node}");
    }
    assert_eq!(node["os_pid"], shared().broker.pid().to_string());
    let path = format!("/api/nodes/{}", node["name"].as_str().unwrap().replace('@', "%40"));
    assert_eq!(api.json(&path)["name"], node["name"]);
    assert!(api.json(&format!("{path}/memory"))["memory"]["total"]["rss"].as_u64().unwrap() > 0);
    assert_eq!(api.get("/api/nodes/other").status, 404);
}

#[test]
fn health_checks() {
    let api = guest();
    let ok = |path: &str| {
        let reply = api.get(path);
        assert_eq!((reply.status, reply.json()["status"].clone()), (200, json!("ok")), "{path}: {reply:?}");
    };
    let (amqp, http) = (shared().broker.addr.port(), shared().http.port());
    for path in [
        "alarms",
        "local-alarms",
        "virtual-hosts",
        "node-is-quorum-critical",
        "is-in-service",
        "ready-to-serve-clients",
        "below-node-connection-limit",
        "reached-target-cluster-size",
        "metadata-store/initialized",
        "metadata-store/initialized/with-data",
        "quorum-queues-without-elected-leaders/all-vhosts/pattern/.*",
        "certificate-expiration/1/months",
        "protocol-listener/amqp091,mqtt",
        "protocol-listener/http",
    ] {
        ok(&format!("/api/health/checks/{path}"));
    }
    ok(&format!("/api/health/checks/port-listener/{amqp}"));
    ok(&format!("/api/health/checks/port-listener/{http}"));
    ok("/api/aliveness-test/%2F");
    ok("/api/healthchecks/node");
    let port = api.get("/api/health/checks/port-listener/1");
    assert_eq!(
        (port.status, only(&port.json(), &["status", "reason", "missing"])),
        (503, json!({"status": "failed", "reason": "No active listener", "missing": 1}))
    );
    let protocol = api.get("/api/health/checks/protocol-listener/mqtt");
    assert_eq!(
        (protocol.status, only(&protocol.json(), &["status", "missing"])),
        (503, json!({"status": "failed", "missing": "mqtt"}))
    );
    assert_eq!(api.get("/api/aliveness-test/nowhere").status, 404);
    assert_eq!(api.get("/api/health/checks/certificate-expiration/1/eons").status, 400);
    let queue = api.json("/api/queues/%2F/aliveness-test");
    assert_eq!(queue["messages"], 0);
}

#[test]
fn the_small_ones() {
    let api = guest();
    assert_eq!(api.json("/api/extensions"), json!([]));
    assert_eq!(api.json("/api/version"), json!(env!("CARGO_PKG_VERSION")));
    assert_eq!(api.json("/api/deprecated-features/used"), json!([]));
    assert!(api.json("/api/feature-flags").as_array().unwrap().iter().all(|flag| flag["state"] == "enabled"));
    assert_eq!(api.put("/api/feature-flags/quorum_queue/enable", json!({})).status, 204);
    assert_eq!(api.put("/api/feature-flags/odd/enable", json!({})).status, 400);
    assert_eq!(api.post("/api/rebalance/queues", json!({})).status, 204);
    assert_eq!(shared().nobody().json("/api/auth"), json!({"oauth_enabled": false}));
    let form = shared().nobody().send(
        "POST",
        "/api/login",
        Some(b"username=guest&password=guest"),
        &[("content-type", "application/x-www-form-urlencoded")],
    );
    assert_eq!((form.status, form.json()["name"].clone()), (200, json!("guest")));
    let wrong = shared().nobody().send(
        "POST",
        "/api/login",
        Some(b"username=guest&password=no"),
        &[("content-type", "application/x-www-form-urlencoded")],
    );
    assert_eq!(wrong.status, 401);
    assert_eq!(api.call("PATCH", "/api/overview", None, &[]).status, 405);
    assert_eq!(api.json("/api/whoami/?columns=name"), json!({"name": "guest"}), "a slash at the end changes nothing");
    assert_eq!(api.get("/api/nothing").status, 404);
    assert_eq!(api.get("/nothing").json(), json!({"error": "Object Not Found", "reason": "Not Found"}));
    let hashed = api.json("/api/auth/hash_password/secret")["ok"].as_str().unwrap().to_owned();
    api.put("/api/users/s-hash", json!({"password_hash": hashed, "tags": "management"}));
    assert_eq!(shared().login("s-hash", "secret").get("/api/whoami").status, 200);
    api.delete("/api/users/s-hash");
}

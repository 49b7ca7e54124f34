//! Queues.

use crate::api::{Node, eventually, guest, only, shared};
use crate::support::{BasicProperties, Client, Options};
use serde_json::{Value, json};

#[test]
fn declared_shown_and_deleted() {
    let api = guest();
    let path = "/api/queues/%2F/q-life";
    let body = json!({"durable": true, "arguments": {"x-max-length": 10, "x-message-ttl": 60000}});
    assert_eq!(api.put(path, body.clone()).status, 201);
    assert_eq!(api.put(path, body).status, 204, "it was there");
    let shown = api.json(path);
    let keys = [
        "name",
        "vhost",
        "type",
        "durable",
        "auto_delete",
        "exclusive",
        "arguments",
        "state",
        "messages",
        "consumers",
        "policy",
        "message_bytes",
        "messages_ready",
        "messages_unacknowledged",
    ];
    assert_eq!(
        only(&shown, &keys),
        json!({
            "name": "q-life", "vhost": "/", "type": "classic", "durable": true, "auto_delete": false, "exclusive": false,
            "arguments": {"x-max-length": 10, "x-message-ttl": 60000, "x-queue-type": "classic"},
            "state": "running", "messages": 0, "consumers": 0, "policy": null, "message_bytes": 0,
            "messages_ready": 0, "messages_unacknowledged": 0,
        })
    );
    let differs = api.put(path, json!({"durable": false}));
    assert_eq!(differs.status, 400);
    assert_eq!(
        differs.json(),
        json!({
            "error": "bad_request",
            "reason": "inequivalent arg 'durable' for queue 'q-life' in vhost '/': received 'false' but current is 'true'",
        })
    );
    assert_eq!(api.delete(path).status, 204);
    let gone = api.get(path);
    assert_eq!((gone.status, gone.json()), (404, json!({"error": "Object Not Found", "reason": "Not Found"})));
    assert_eq!(api.delete(path).status, 404);
}

#[test]
fn a_quorum_queue_has_members_of_its_own() {
    let api = guest();
    let path = "/api/queues/%2F/q-quorum";
    assert_eq!(api.put(path, json!({"arguments": {"x-queue-type": "quorum"}})).status, 201);
    let shown = api.json(path);
    let node = api.json("/api/overview")["node"].clone();
    assert_eq!(
        only(&shown, &["type", "leader", "members", "online", "delivery_limit", "messages_dlx"]),
        json!({"type": "quorum", "leader": node, "members": [node], "online": [node], "delivery_limit": 20, "messages_dlx": 0})
    );
    assert_eq!(api.json("/api/queues/quorum/%2F/q-quorum/status")[0]["Raft State"], "leader");
    assert_eq!(api.delete("/api/queues/%2F/q-quorum?if-empty=true").status, 400, "not on conditions");
    assert_eq!(api.delete(path).status, 204);
}

#[test]
fn wrong_declarations() {
    let api = guest();
    for (path, body, status) in [
        ("/api/queues/%2F/q-wrong", json!({"arguments": {"x-message-ttl": -1}}), 400),
        ("/api/queues/%2F/q-wrong", json!({"arguments": {"x-queue-type": "stream"}}), 400),
        ("/api/queues/%2F/q-wrong", json!({"arguments": 5}), 400),
        ("/api/queues/%2F/q-wrong", json!({"durable": 1}), 400),
        ("/api/queues/nowhere/q-wrong", json!({}), 404),
        ("/api/queues/%2F/amq.own", json!({}), 401),
    ] {
        let reply = api.put(path, body.clone());
        assert_eq!(reply.status, status, "{path} {body}: {reply:?}");
    }
    for (text, status) in [("", 201), ("null", 204), ("[]", 400), ("{", 400), ("\"{}\"", 400)] {
        let reply = api.send("PUT", "/api/queues/%2F/q-body", Some(text.as_bytes()), &[]);
        assert_eq!(reply.status, status, "{text}: {reply:?}");
    }
    assert_eq!(api.delete("/api/queues/%2F/q-body").status, 204);
}

#[test]
fn bytes_of_what_is_ready_and_of_what_is_not() {
    let api = guest();
    let path = "/api/queues/%2F/q-bytes";
    api.put(path, json!({}));
    let mut client = Client::connect(shared().broker.addr).unwrap();
    client.open_channel(1).unwrap();
    let bytes = || {
        let shown = api.json(path);
        ["message_bytes", "message_bytes_ready", "message_bytes_unacknowledged"].map(|key| shown[key].as_u64().unwrap())
    };
    for (size, time) in [(1, 11), (10, 12), (100, 13), (1000, 14)] {
        let properties = BasicProperties::default().with_timestamp(time);
        client.publish(1, "", "q-bytes", &properties, &vec![b'x'; size]).unwrap();
    }
    client.declare_passive(1, "q-bytes").unwrap();
    assert_eq!(bytes(), [1111, 1111, 0]);
    assert_eq!(api.json(path)["head_message_timestamp"], 11);
    let first = client.get(1, "q-bytes", false).unwrap().unwrap();
    let second = client.get(1, "q-bytes", false).unwrap().unwrap();
    assert_eq!(bytes(), [1111, 1100, 11]);
    assert_eq!(api.json(path)["head_message_timestamp"], 13);
    client.nack(1, first.delivery_tag, false, true).unwrap();
    client.sync(1).unwrap();
    assert_eq!(bytes(), [1111, 1101, 10], "what came back is ready");
    assert_eq!(api.json(path)["head_message_timestamp"], 11);
    client.ack(1, second.delivery_tag, false).unwrap();
    client.sync(1).unwrap();
    assert_eq!(bytes(), [1101, 1101, 0]);
    api.delete(path);
}

#[test]
fn a_queue_that_nobody_uses_says_since_when() {
    let api = guest();
    let path = "/api/queues/%2F/q-idle";
    api.put(path, json!({}));
    let idle = || api.json(path)["idle_since"].as_str().map(str::to_owned);
    let first = eventually("the queue is idle", idle);
    assert!(first.len() == 29 && first.ends_with("+00:00"), "{first}");
    let message = json!({"properties": {}, "routing_key": "q-idle", "payload": "x", "payload_encoding": "string"});
    assert_eq!(api.post("/api/exchanges/%2F/amq.default/publish", message).status, 200);
    eventually("it was used again", || idle().filter(|later| *later > first));
    api.delete(path);
}

#[test]
fn numbers_are_fresh() {
    let api = guest();
    let path = "/api/queues/%2F/q-numbers";
    api.put(path, json!({}));
    let mut client = Client::connect(shared().broker.addr).unwrap();
    client.open_channel(1).unwrap();
    for body in ["12345", "1234567890", "1"] {
        client.publish(1, "", "q-numbers", &BasicProperties::default(), body.as_bytes()).unwrap();
    }
    // Whoever declares passively on the same channel knows that the publishes before it are in.
    client.declare_passive(1, "q-numbers").unwrap();
    let shown = api.json(path);
    let keys = ["messages", "messages_ready", "message_bytes", "message_bytes_ready", "messages_persistent"];
    assert_eq!(
        only(&shown, &keys),
        json!({"messages": 3, "messages_ready": 3, "message_bytes": 16, "message_bytes_ready": 16, "messages_persistent": 0})
    );
    assert_eq!(shown["message_stats"]["publish"], 3);
    assert_eq!(api.delete("/api/queues/%2F/q-numbers?if-empty=true").status, 400);
    assert_eq!(api.delete("/api/queues/%2F/q-numbers/contents").status, 204);
    assert_eq!(api.json(path)["messages"], 0);
    assert_eq!(api.delete("/api/queues/%2F/q-numbers?if-empty=true&if-unused=true").status, 204);
}

#[test]
fn lists_show_less_than_the_whole() {
    let node = Node::start(&[("WARREN_MANAGEMENT_SAMPLE_INTERVAL", "100ms")]);
    let api = node.as_guest();
    api.put("/api/queues/%2F/less", json!({}));
    let message = json!({"properties": {}, "routing_key": "less", "payload": "x", "payload_encoding": "string"});
    api.post("/api/exchanges/%2F/amq.default/publish", message);
    let get = json!({"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"});
    api.post("/api/queues/%2F/less/get", get);
    let first = |path: &str| {
        let found = api.json(path);
        found.get("items").unwrap_or(&found)[0].clone()
    };
    let is_null = |shown: &Value| shown.as_object().unwrap().values().any(Value::is_null);
    for path in ["/api/queues", "/api/queues/%2F", "/api/queues?page=1", "/api/users/guest/queues"] {
        let shown =
            eventually("the queue is idle", || Some(first(path)).filter(|shown| !shown["idle_since"].is_null()));
        assert!(!is_null(&shown), "{path}: {shown}");
        for inner in ["garbage_collection", "backing_queue_status"] {
            assert!(shown.get(inner).is_none(), "{path}: {inner}");
        }
        // Flower, KEDA, and what dashboards are made of.
        for key in
            ["name", "vhost", "messages", "messages_ready", "messages_unacknowledged", "consumers", "state", "memory"]
        {
            assert!(shown.get(key).is_some(), "{path}: {key}");
        }
        assert!(shown["message_stats"]["publish_details"]["rate"].is_number(), "{path}");
        assert!(shown["message_stats"]["deliver_get_details"]["rate"].is_number(), "{path}");
    }
    for path in ["/api/queues/detailed", "/api/queues/detailed?page=1"] {
        let whole = first(path);
        assert!(is_null(&whole) && whole["backing_queue_status"]["len"] == 1, "{path}: {whole}");
    }
    let named = first("/api/queues?columns=name,backing_queue_status.len,policy");
    assert_eq!(named, json!({"name": "less", "backing_queue_status": {"len": 1}, "policy": null}));
    let bare = json!({
        "name": "less", "vhost": "/", "type": "classic", "durable": true, "auto_delete": false, "exclusive": false,
        "arguments": {"x-queue-type": "classic"}, "node": api.json("/api/overview")["node"], "state": "running",
    });
    let mut totals = bare.clone();
    for (key, count) in [("messages", 1), ("messages_ready", 1), ("messages_unacknowledged", 0)] {
        totals[key] = json!(count);
    }
    for path in ["/api/queues?", "/api/queues/detailed?", "/api/queues?page=1&"] {
        assert_eq!(first(&format!("{path}disable_stats=true")), bare);
        assert_eq!(first(&format!("{path}disable_stats=true&enable_queue_totals=true")), totals);
    }
    assert_eq!(api.json("/api/queues/%2F/less?disable_stats=true&enable_queue_totals=true"), totals);
}

#[test]
fn queues_of_who_declared_them() {
    let mut node = Node::start(&[]);
    let guest = node.as_guest();
    guest.put("/api/users/bo", json!({"password": "p", "tags": "management"}));
    guest.put("/api/permissions/%2F/bo", json!({"configure": ".*", "write": ".*", "read": ".*"}));
    guest.put("/api/vhosts/apart", json!({}));
    guest.put("/api/queues/apart/of-guest", json!({}));
    guest.put("/api/queues/%2F/also-of-guest", json!({}));
    let bo = node.login("bo", "p");
    bo.put("/api/queues/%2F/by-http", json!({}));
    bo.put("/api/queues/%2F/also-of-guest", json!({}));
    let options = Options { user: "bo".to_owned(), password: "p".to_owned(), ..Options::default() };
    let mut client = Client::open(node.broker.addr, &options).unwrap();
    client.open_channel(1).unwrap();
    client.declare_queue(1, "by-amqp", true).unwrap();
    let of = |api: &crate::api::Api, user: &str| {
        let found = api.json(&format!("/api/users/{user}/queues"));
        found.as_array().unwrap().iter().map(|queue| queue["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(of(&guest, "bo"), ["by-amqp", "by-http"]);
    assert_eq!(of(&guest, "guest"), ["also-of-guest", "of-guest"]);
    assert_eq!(of(&bo, "guest"), ["also-of-guest"], "what the caller sees");
    assert_eq!(of(&guest, "stranger"), [""; 0]);
    assert_eq!(guest.json("/api/users/bo/queues?page=1&page_size=1")["items"][0]["name"], "by-amqp");
    node.restart();
    assert_eq!(of(&node.as_guest(), "bo"), ["by-amqp", "by-http"], "it is known after a start");
}

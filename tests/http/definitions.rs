//! Definitions: what is exported, what is imported, and that the two fit.

use crate::api::{Node, guest};
use serde_json::{Value, json};

fn fill(node: &Node) {
    let api = node.as_guest();
    let done = |status: u16| assert!([201, 204].contains(&status), "{status}");
    done(api.put("/api/vhosts/d-v", json!({"description": "d", "tags": "x", "default_queue_type": "quorum"})).status);
    done(api.put("/api/users/d-user", json!({"password": "p", "tags": "monitoring"})).status);
    done(api.put("/api/user-limits/d-user/max-connections", json!({"value": 7})).status);
    done(api.put("/api/vhost-limits/d-v/max-queues", json!({"value": 70})).status);
    for user in ["guest", "d-user"] {
        done(
            api.put(&format!("/api/permissions/d-v/{user}"), json!({"configure": ".*", "write": "^w", "read": ".*"}))
                .status,
        );
    }
    done(api.put("/api/permissions/d-v/guest", json!({"configure": ".*", "write": ".*", "read": ".*"})).status);
    done(
        api.put("/api/topic-permissions/d-v/d-user", json!({"exchange": "amq.topic", "write": "^a", "read": "^b"}))
            .status,
    );
    done(
        api.put(
            "/api/exchanges/d-v/d-x",
            json!({"type": "headers", "arguments": {"alternate-exchange": "amq.fanout"}}),
        )
        .status,
    );
    done(api.put("/api/exchanges/d-v/d-transient", json!({"type": "fanout", "durable": false})).status);
    done(api.put("/api/queues/d-v/d-q", json!({"arguments": {"x-queue-type": "classic", "x-max-length": 9}})).status);
    done(api.put("/api/queues/d-v/d-quorum", json!({})).status);
    done(
        api.post("/api/bindings/d-v/e/d-x/q/d-q", json!({"routing_key": "k", "arguments": {"x-match": "all", "n": 1}}))
            .status,
    );
    done(api.post("/api/bindings/d-v/e/amq.topic/e/d-x", json!({"routing_key": "a.#"})).status);
    done(api.post("/api/bindings/d-v/e/d-transient/q/d-q", json!({"routing_key": ""})).status);
    done(
        api.put(
            "/api/policies/d-v/d-policy",
            json!({"pattern": "^d", "definition": {"max-length": 5}, "apply-to": "queues"}),
        )
        .status,
    );
    done(
        api.put(
            "/api/operator-policies/d-v/d-operator",
            json!({"pattern": "^d", "definition": {"max-length": 3}, "apply-to": "queues"}),
        )
        .status,
    );
    done(api.put("/api/parameters/shovel/d-v/d-shovel", json!({"value": {"a": 1, "b": [true]}})).status);
    done(api.put("/api/global-parameters/d-global", json!({"value": {"c": "d"}})).status);
}

#[test]
fn a_password_as_it_is_is_hashed_as_the_settings_say() {
    for (hashing, algorithm) in
        [("argon2id", "warren_password_hashing_argon2id"), ("sha512", "rabbit_password_hashing_sha512")]
    {
        let node = Node::start(&[("WARREN_AUTH_PASSWORD_HASHING", hashing)]);
        let definitions = json!({"users": [{"name": "plain", "password": "p", "tags": "management"}]});
        assert_eq!(node.as_guest().post("/api/definitions", definitions).status, 204);
        assert_eq!(node.as_guest().json("/api/users/plain")["hashing_algorithm"], algorithm);
        assert_eq!(node.login("plain", "p").get("/api/whoami").status, 200);
    }
}

#[test]
fn a_cluster_gets_a_name() {
    let node = Node::start(&[]);
    let api = node.as_guest();
    assert_eq!(api.json("/api/cluster-name")["name"], "warren");
    assert_eq!(api.put("/api/cluster-name", json!({"name": "blue"})).status, 204);
    assert_eq!(api.json("/api/overview")["cluster_name"], "blue");
    assert_eq!(api.json("/api/definitions")["original_cluster_name"], "blue");
    assert!(api.get("/metrics").body.contains("rabbitmq_cluster=\"blue\""));
    let client = crate::support::Client::connect(node.broker.addr).unwrap();
    let told = client.server_properties.inner().get("cluster_name").unwrap().clone();
    assert_eq!(told, crate::support::AMQPValue::LongString("blue".into()));
}

#[test]
fn an_export_imports_and_is_exported_the_same() {
    let (one, other) = (Node::start(&[]), Node::start(&[]));
    fill(&one);
    let exported = one.as_guest().json("/api/definitions");
    for key in [
        "rabbit_version",
        "rabbitmq_version",
        "product_name",
        "product_version",
        "rabbitmq_definition_format",
        "original_cluster_name",
        "explanation",
        "users",
        "vhosts",
        "permissions",
        "topic_permissions",
        "parameters",
        "global_parameters",
        "policies",
        "queues",
        "exchanges",
        "bindings",
    ] {
        assert!(exported.get(key).is_some(), "no {key}");
    }
    assert_eq!(exported["rabbitmq_definition_format"], "cluster");
    assert_eq!(
        exported["queues"],
        json!([
            {"name": "d-q", "vhost": "d-v", "type": "classic", "durable": true, "auto_delete": false,
                "arguments": {"x-queue-type": "classic", "x-max-length": 9}},
            {"name": "d-quorum", "vhost": "d-v", "type": "quorum", "durable": true, "auto_delete": false, "arguments": {"x-queue-type": "quorum"}},
        ])
    );
    assert_eq!(exported["exchanges"].as_array().unwrap().len(), 1, "the durable one that is not the broker's");
    assert_eq!(exported["bindings"].as_array().unwrap().len(), 2, "those of durable ends");
    assert_eq!(exported["parameters"].as_array().unwrap().len(), 3, "a shovel, an operator policy, limits");
    let imported = other.as_guest().post("/api/definitions", exported.clone());
    assert_eq!((imported.status, imported.body.as_str()), (204, ""));
    let again = other.as_guest().json("/api/definitions");
    assert_eq!(again, exported);
    assert_eq!(other.as_guest().post("/api/definitions", exported.clone()).status, 204, "once more changes nothing");
    assert_eq!(other.as_guest().json("/api/definitions"), exported);
    assert_eq!(other.login("d-user", "p").get("/api/nodes").status, 200, "with its password");
    assert_eq!(other.as_guest().json("/api/vhost-limits/d-v"), json!([{"vhost": "d-v", "value": {"max-queues": 70}}]));
}

#[test]
fn of_one_vhost_into_another() {
    let node = Node::start(&[]);
    fill(&node);
    let api = node.as_guest();
    let exported = api.json("/api/definitions/d-v");
    assert_eq!(
        (&exported["rabbitmq_definition_format"], &exported["original_vhost_name"], &exported["limits"]),
        (&json!("single_virtual_host"), &json!("d-v"), &json!({"max-queues": 70}))
    );
    assert!(exported.get("users").is_none());
    assert!(exported["queues"][0].get("vhost").is_none());
    let refused = api.post("/api/definitions", exported.clone());
    assert_eq!(refused.status, 400, "{refused:?}");
    api.put("/api/vhosts/d-copy", json!({}));
    assert_eq!(api.post("/api/definitions/d-copy", exported.clone()).status, 204);
    let mut copy = api.json("/api/definitions/d-copy");
    for key in ["original_vhost_name", "explanation", "metadata", "description", "default_queue_type"] {
        copy[key] = exported[key].clone();
    }
    assert_eq!(copy, exported);
    assert_eq!(api.post("/api/definitions/nowhere", exported).status, 404);
}

#[test]
fn uploads_and_downloads() {
    let api = guest();
    let file = json!({"queues": [{"name": "d-uploaded", "vhost": "/", "durable": true, "auto_delete": false, "arguments": {}}]}).to_string();
    let form = format!(
        "--frontier\r\nContent-Disposition: form-data; name=\"other\"\r\n\r\nx\r\n--frontier\r\nContent-Disposition: form-data; \
         name=\"file\"; filename=\"d.json\"\r\nContent-Type: application/json\r\n\r\n{file}\r\n--frontier--\r\n"
    );
    let uploaded = api.send(
        "POST",
        "/api/definitions",
        Some(form.as_bytes()),
        &[("content-type", "multipart/form-data; boundary=frontier")],
    );
    assert_eq!(uploaded.status, 204, "{uploaded:?}");
    assert_eq!(api.delete("/api/queues/%2F/d-uploaded").status, 204);
    let none = api.send(
        "POST",
        "/api/definitions",
        Some(b"--f\r\n\r\n--f--"),
        &[("content-type", "multipart/form-data; boundary=f")],
    );
    assert_eq!(none.status, 400);
    let download = api.get("/api/definitions?download=my%0D%0A%22file.json");
    assert_eq!(download.header("content-disposition").as_deref(), Some("attachment; filename=\"myfile.json\""));
    let wrong = api.post("/api/definitions", json!({"queues": [{"name": "d-wrong"}]}));
    assert_eq!((wrong.status, wrong.json()["reason"].clone()), (400, json!("queues[0]: 'vhost' is missing")));
}

/// Files as RabbitMQ writes them, made by hand from the format.
#[test]
fn files_of_several_versions() {
    for (name, text) in [
        ("3.8", include_str!("samples/rabbitmq-3.8.json")),
        ("3.10", include_str!("samples/rabbitmq-3.10.json")),
        ("3.13", include_str!("samples/rabbitmq-3.13.json")),
        ("4.2", include_str!("samples/rabbitmq-4.2.json")),
    ] {
        let node = Node::start(&[]);
        let api = node.as_guest();
        let reply = api.send("POST", "/api/definitions", Some(text.as_bytes()), &[]);
        assert_eq!(reply.status, 204, "{name}: {reply:?}");
        let file: Value = serde_json::from_str(text).unwrap();
        let exported = api.json("/api/definitions");
        for kind in
            ["users", "vhosts", "queues", "exchanges", "policies", "permissions", "topic_permissions", "bindings"]
        {
            for object in file[kind].as_array().into_iter().flatten() {
                let same = |other: &&Value| {
                    ["name", "vhost", "user", "source", "destination", "routing_key"]
                        .iter()
                        .all(|key| object.get(*key) == other.get(*key))
                };
                assert!(
                    exported[kind].as_array().unwrap().iter().any(|other| same(&other)),
                    "{name}: {kind} {object} not in {}",
                    exported[kind]
                );
            }
        }
        assert_eq!(
            node.login("ops", "test12").get("/api/whoami").status,
            200,
            "{name}: a password that RabbitMQ hashed"
        );
    }
}

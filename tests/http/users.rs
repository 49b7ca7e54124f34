//! Users and permissions.

use crate::api::{guest, only, shared};
use serde_json::json;

#[test]
fn a_user_is_made_changed_and_deleted() {
    let api = guest();
    let path = "/api/users/u-life";
    assert_eq!(api.put(path, json!({"password": "one", "tags": "management,custom"})).status, 201);
    let shown = api.json(path);
    assert_eq!(
        only(&shown, &["name", "tags", "limits", "hashing_algorithm"]),
        json!({"name": "u-life", "tags": ["management", "custom"], "limits": {}, "hashing_algorithm": "warren_password_hashing_argon2id"})
    );
    assert_eq!(
        shared().login("u-life", "one").json("/api/whoami"),
        json!({"name": "u-life", "tags": ["management", "custom"], "is_internal_user": true})
    );
    assert_eq!(api.put(path, json!({"password": "two", "tags": ["monitoring"]})).status, 204);
    assert_eq!(shared().login("u-life", "one").get("/api/whoami").status, 401);
    assert_eq!(shared().login("u-life", "two").get("/api/nodes").status, 200);
    // RabbitMQ's documented example of a hash, of "test12".
    let hash = json!({"password_hash": "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR", "tags": "management",
        "hashing_algorithm": "rabbit_password_hashing_sha256"});
    assert_eq!(api.put(path, hash).status, 204);
    assert_eq!(shared().login("u-life", "test12").get("/api/whoami").status, 200);
    assert_eq!(api.put(path, json!({"tags": "management"})).status, 204);
    assert_eq!(shared().login("u-life", "test12").get("/api/whoami").status, 401, "no password any more");
    assert_eq!(api.put("/api/users/u-wrong", json!({"password": "x"})).json()["reason"], "tags_not_present");
    assert_eq!(api.put("/api/users/u-wrong", json!({"password_hash": "!", "tags": ""})).status, 400);
    assert_eq!(api.delete(path).status, 204);
    assert_eq!((api.delete(path).status, api.get(path).status), (404, 404));
}

#[test]
fn permissions() {
    let api = guest();
    api.put("/api/users/u-perm", json!({"password": "p", "tags": ""}));
    assert!(api.json("/api/users/without-permissions").as_array().unwrap().iter().any(|user| user["name"] == "u-perm"));
    let path = "/api/permissions/%2F/u-perm";
    let body = json!({"configure": "^a", "write": "", "read": ".*"});
    assert_eq!(api.get(path).status, 404);
    assert_eq!((api.put(path, body.clone()).status, api.put(path, body).status), (201, 204));
    let wanted = json!({"user": "u-perm", "vhost": "/", "configure": "^a", "write": "", "read": ".*"});
    assert_eq!(api.json(path), wanted);
    for list in ["/api/permissions", "/api/vhosts/%2F/permissions", "/api/users/u-perm/permissions"] {
        assert!(api.json(list).as_array().unwrap().contains(&wanted), "{list}");
    }
    assert_eq!(api.put(path, json!({"configure": "(", "write": "", "read": ""})).status, 400);
    assert_eq!(api.put(path, json!({"write": ""})).json()["reason"], "[{key_missing,configure},{key_missing,read}]");
    for nobody in ["/api/permissions/nowhere/u-perm", "/api/permissions/%2F/nobody"] {
        let reply = api.put(nobody, json!({}));
        assert_eq!((reply.status, reply.json()["reason"].clone()), (400, json!("vhost_or_user_not_found")));
    }
    let topics = "/api/topic-permissions/%2F/u-perm";
    let body = json!({"exchange": "amq.topic", "write": "^a", "read": "^b"});
    assert_eq!((api.put(topics, body.clone()).status, api.put(topics, body).status), (201, 204));
    let wanted = json!({"user": "u-perm", "vhost": "/", "exchange": "amq.topic", "write": "^a", "read": "^b"});
    assert_eq!(api.json(topics), json!([wanted]));
    assert_eq!(api.json(&format!("{topics}/amq.topic")), json!([wanted]));
    for list in ["/api/topic-permissions", "/api/vhosts/%2F/topic-permissions", "/api/users/u-perm/topic-permissions"] {
        assert!(api.json(list).as_array().unwrap().contains(&wanted), "{list}");
    }
    assert_eq!(api.delete(topics).status, 204);
    assert_eq!(api.get(topics).status, 404);
    assert_eq!(api.delete(path).status, 204);
    assert_eq!(api.delete(path).status, 404);
    assert_eq!(api.post("/api/users/bulk-delete", json!({"users": ["u-perm", "nobody"]})).status, 204);
    assert_eq!(api.get("/api/users/u-perm").status, 404);
}

#[test]
fn what_a_user_may_not_do_as_a_client_it_may_not_do_here() {
    let api = guest();
    api.put("/api/users/u-regex", json!({"password": "p", "tags": "management"}));
    api.put("/api/permissions/%2F/u-regex", json!({"configure": "^mine-", "write": "^mine-", "read": "^mine-"}));
    let user = shared().login("u-regex", "p");
    assert_eq!(user.put("/api/queues/%2F/mine-q", json!({})).status, 201);
    for reply in [
        user.put("/api/queues/%2F/other-q", json!({})),
        user.put("/api/exchanges/%2F/other-x", json!({"type": "direct"})),
        user.post("/api/bindings/%2F/e/amq.direct/q/mine-q", json!({"routing_key": "k"})),
        user.post(
            "/api/exchanges/%2F/amq.default/publish",
            json!({"properties": {}, "routing_key": "mine-q", "payload": "", "payload_encoding": "string"}),
        ),
    ] {
        assert_eq!(
            (reply.status, reply.json()),
            (401, json!({"error": "not_authorised", "reason": "Access refused."}))
        );
    }
    // Keys of topic exchanges have permissions of their own.
    api.put("/api/exchanges/%2F/mine-x", json!({"type": "topic"}));
    let topic = json!({"exchange": "mine-x", "write": "^mine\\.", "read": ""});
    api.put("/api/topic-permissions/%2F/u-regex", topic);
    let publish = |key: &str| {
        let message = json!({"properties": {}, "routing_key": key, "payload": "", "payload_encoding": "string"});
        user.post("/api/exchanges/%2F/mine-x/publish", message).status
    };
    assert_eq!((publish("mine.k"), publish("other.k")), (200, 401));
    api.delete("/api/exchanges/%2F/mine-x");
    assert_eq!(user.delete("/api/queues/%2F/mine-q").status, 204);
    api.delete("/api/users/u-regex");
}

//! Policies, operator policies, parameters, limits.

use crate::api::{guest, only};
use serde_json::json;

#[test]
fn a_policy_is_set_seen_and_cleared() {
    let api = guest();
    api.put("/api/queues/%2F/p-q", json!({}));
    let path = "/api/policies/%2F/p-policy";
    let body = json!({"pattern": "^p-q$", "definition": {"max-length": 5}, "priority": 3, "apply-to": "queues"});
    assert_eq!(api.put(path, body.clone()).status, 201);
    assert_eq!(api.put(path, body).status, 204);
    let wanted = json!({"vhost": "/", "name": "p-policy", "pattern": "^p-q$", "apply-to": "queues", "definition": {"max-length": 5}, "priority": 3});
    assert_eq!(api.json(path), wanted);
    assert!(api.json("/api/policies/%2F").as_array().unwrap().contains(&wanted));
    assert!(api.json("/api/policies").as_array().unwrap().contains(&wanted));
    let operator = "/api/operator-policies/%2F/p-operator";
    let body = json!({"pattern": "^p-q$", "definition": {"max-length": 3}, "apply-to": "queues"});
    assert_eq!(api.put(operator, body).status, 201);
    assert_eq!(
        only(&api.json("/api/queues/%2F/p-q"), &["policy", "operator_policy", "effective_policy_definition"]),
        json!({"policy": "p-policy", "operator_policy": "p-operator", "effective_policy_definition": {"max-length": 3}})
    );
    assert_eq!(api.json(operator)["priority"], 0);
    assert_eq!(api.delete(operator).status, 204);
    assert_eq!(api.delete(path).status, 204);
    assert_eq!((api.delete(path).status, api.get(path).status), (404, 404));
    assert_eq!(api.json("/api/queues/%2F/p-q")["policy"], json!(null));
    api.delete("/api/queues/%2F/p-q");
}

#[test]
fn wrong_policies() {
    let api = guest();
    let reason = |body| {
        let reply = api.put("/api/policies/%2F/p-wrong", body);
        assert_eq!(reply.status, 400, "{reply:?}");
        reply.json()["reason"].as_str().unwrap().to_owned()
    };
    assert_eq!(reason(json!({"pattern": "x"})), "[{key_missing,definition}]");
    assert_eq!(reason(json!({"definition": {"max-length": 1}})), "[{key_missing,pattern}]");
    assert_eq!(
        reason(json!({"pattern": "x", "definition": {"max-lenght": 1}})),
        "Validation failed\n\n[<<\"max-lenght\">>] are not recognised policy settings\n"
    );
    assert!(
        reason(json!({"pattern": "x", "definition": {"max-length": 1}, "apply-to": "all things"}))
            .contains("unrecognised")
    );
    assert!(reason(json!({"pattern": "(", "definition": {"max-length": 1}})).contains("regular expression"));
    assert!(reason(json!({"pattern": "x", "definition": {"max-length": 1}, "priority": "high"})).contains("priority"));
}

#[test]
fn parameters() {
    let api = guest();
    let path = "/api/parameters/shovel/%2F/p-shovel";
    let value = json!({"src-queue": "a", "dest-queue": "b", "list": [1, "x"], "deep": {"f": 1.5}});
    assert_eq!(
        api.put(path, json!({"value": value, "component": "shovel", "vhost": "/", "name": "p-shovel"})).status,
        201
    );
    assert_eq!(api.put(path, json!({"value": value})).status, 204);
    let wanted = json!({"vhost": "/", "component": "shovel", "name": "p-shovel", "value": value});
    assert_eq!(api.json(path), wanted);
    assert_eq!(api.json("/api/parameters/shovel/%2F"), json!([wanted]));
    assert_eq!(api.json("/api/parameters/shovel"), json!([wanted]));
    assert_eq!(api.put(path, json!({})).json()["reason"], "[{key_missing,value}]");
    assert_eq!(api.delete(path).status, 204);
    assert_eq!((api.delete(path).status, api.get(path).status), (404, 404));
    let global = "/api/global-parameters/p-global";
    assert_eq!(api.put(global, json!({"value": {"a": 1}})).status, 201);
    assert_eq!(api.json(global), json!({"name": "p-global", "value": {"a": 1}}));
    assert!(!api.json("/api/global-parameters").as_array().unwrap().is_empty());
    assert_eq!(api.delete(global).status, 204);
}

#[test]
fn limits() {
    let api = guest();
    api.put("/api/vhosts/l-vhost", json!({}));
    assert_eq!(api.json("/api/vhost-limits/l-vhost"), json!([]));
    assert_eq!(api.put("/api/vhost-limits/l-vhost/max-queues", json!({"value": 1})).status, 204);
    assert_eq!(api.put("/api/vhost-limits/l-vhost/max-connections", json!({"value": "100"})).status, 204);
    let wanted = json!({"vhost": "l-vhost", "value": {"max-queues": 1, "max-connections": 100}});
    assert_eq!(api.json("/api/vhost-limits/l-vhost"), json!([wanted]));
    assert!(api.json("/api/vhost-limits").as_array().unwrap().contains(&wanted));
    api.put("/api/permissions/l-vhost/guest", json!({"configure": ".*", "write": ".*", "read": ".*"}));
    assert_eq!(api.put("/api/queues/l-vhost/one", json!({})).status, 201);
    let refused = api.put("/api/queues/l-vhost/two", json!({}));
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(refused.json()["reason"].as_str().unwrap().contains("queue limit"), "{refused:?}");
    assert_eq!(api.put("/api/vhost-limits/l-vhost/max-queues", json!({"value": -1})).status, 204);
    assert_eq!(api.put("/api/queues/l-vhost/two", json!({})).status, 201);
    assert_eq!(api.put("/api/vhost-limits/l-vhost/max-colours", json!({"value": 1})).status, 400);
    assert_eq!(api.delete("/api/vhost-limits/l-vhost/max-connections").status, 204);
    assert_eq!(api.json("/api/vhost-limits/l-vhost"), json!([]));
    api.delete("/api/vhosts/l-vhost");

    api.put("/api/users/l-user", json!({"password": "p", "tags": ""}));
    assert_eq!(api.put("/api/user-limits/l-user/max-channels", json!({"value": 5})).status, 204);
    assert_eq!(api.json("/api/user-limits/l-user"), json!([{"user": "l-user", "value": {"max-channels": 5}}]));
    assert_eq!(api.json("/api/users/l-user")["limits"], json!({"max-channels": 5}));
    assert_eq!(api.delete("/api/user-limits/l-user/max-channels").status, 204);
    assert_eq!(api.put("/api/user-limits/nobody/max-channels", json!({"value": 5})).status, 404);
    api.delete("/api/users/l-user");
}

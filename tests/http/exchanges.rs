//! Exchanges and bindings.

use crate::api::{guest, only};
use serde_json::{Value, json};

#[test]
fn declared_shown_and_deleted() {
    let api = guest();
    let path = "/api/exchanges/%2F/x-life";
    let body = json!({"type": "topic", "arguments": {"alternate-exchange": "amq.fanout"}});
    assert_eq!(api.put(path, body.clone()).status, 201);
    assert_eq!(api.put(path, body).status, 204);
    assert_eq!(
        only(&api.json(path), &["name", "vhost", "type", "durable", "auto_delete", "internal", "arguments"]),
        json!({
            "name": "x-life", "vhost": "/", "type": "topic", "durable": true, "auto_delete": false, "internal": false,
            "arguments": {"alternate-exchange": "amq.fanout"},
        })
    );
    let differs = api.put(path, json!({"type": "direct"}));
    assert_eq!(
        differs.json()["reason"],
        "inequivalent arg 'type' for exchange 'x-life' in vhost '/': received 'direct' but current is 'topic'"
    );
    assert_eq!(api.delete(path).status, 204);
    assert_eq!(api.delete(path).status, 404);
}

#[test]
fn the_default_exchange_and_the_predeclared_ones() {
    let api = guest();
    let default = api.json("/api/exchanges/%2F/amq.default");
    assert_eq!(only(&default, &["name", "type", "durable"]), json!({"name": "", "type": "direct", "durable": true}));
    let all = api.json("/api/exchanges/%2F?columns=name");
    let names: Vec<&str> = all.as_array().unwrap().iter().map(|exchange| exchange["name"].as_str().unwrap()).collect();
    for name in ["", "amq.direct", "amq.fanout", "amq.headers", "amq.match", "amq.topic", "amq.rabbitmq.trace"] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(names, sorted);
    assert_eq!(api.delete("/api/exchanges/%2F/amq.direct").status, 401);
    assert_eq!(api.delete("/api/exchanges/%2F/amq.default").status, 401);
    assert_eq!(api.put("/api/exchanges/%2F/amq.mine", json!({"type": "direct"})).status, 401);
    assert_eq!(
        api.put("/api/exchanges/%2F/x-odd", json!({"type": "odd"})).json()["reason"],
        "unknown exchange type 'odd'"
    );
    assert_eq!(api.put("/api/exchanges/%2F/x-odd", json!({})).json()["reason"], "[{key_missing,type}]");
}

fn keys(bindings: &Value) -> Vec<String> {
    bindings.as_array().unwrap().iter().map(|binding| binding["properties_key"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn bindings_in_all_forms() {
    let api = guest();
    api.put("/api/exchanges/%2F/b-x", json!({"type": "topic"}));
    api.put("/api/exchanges/%2F/b-y", json!({"type": "fanout"}));
    api.put("/api/queues/%2F/b-q", json!({}));
    let to_queue = "/api/bindings/%2F/e/b-x/q/b-q";
    let made = api.post(to_queue, json!({"routing_key": "a.*", "arguments": {}}));
    assert_eq!((made.status, made.header("location").as_deref()), (201, Some("b-q/a.%252A")), "{made:?}");
    let empty = api.post(to_queue, json!({"routing_key": "", "arguments": {}}));
    assert_eq!((empty.status, empty.header("location").as_deref()), (201, Some("b-q/~")));
    let none = api.post("/api/bindings/%2F/e/b-x/q/none", json!({}));
    assert_eq!((none.status, none.json()["reason"].clone()), (404, json!("no queue 'none' in vhost '/'")));
    assert_eq!(api.post(to_queue, json!({"routing_key": "k~/", "arguments": {"n": 1}})).status, 201);
    assert_eq!(api.post("/api/bindings/%2F/e/b-x/e/b-y", json!({"routing_key": "y"})).status, 201);

    let all = api.json(to_queue);
    let found = keys(&all);
    assert_eq!(found.len(), 3);
    assert!(found.contains(&"~".to_owned()) && found.contains(&"a.%2A".to_owned()), "{found:?}");
    let hashed = found.iter().find(|key| key.starts_with("k%7E%2F~")).unwrap();
    assert_eq!(
        api.json(&format!("{to_queue}/~")),
        json!({"source": "b-x", "vhost": "/", "destination": "b-q", "destination_type": "queue", "routing_key": "",
            "arguments": {}, "properties_key": "~"})
    );
    let hashed_path = format!("{to_queue}/{}", hashed.replace('%', "%25"));
    assert_eq!(api.json(&hashed_path)["arguments"], json!({"n": 1}));

    assert_eq!(api.json("/api/queues/%2F/b-q/bindings").as_array().unwrap().len(), 4, "with the default exchange's");
    assert_eq!(keys(&api.json("/api/exchanges/%2F/b-y/bindings/destination")), ["y"]);
    assert_eq!(api.json("/api/exchanges/%2F/b-x/bindings/source").as_array().unwrap().len(), 4);
    let default = api.json("/api/bindings/%2F/e/amq.default/q/b-q");
    assert_eq!(default[0]["routing_key"], "b-q");
    let everything = api.json("/api/bindings/%2F");
    assert!(everything.as_array().unwrap().len() >= 5);

    // Clients that encode the key once more, and those that send it as it is.
    assert_eq!(api.delete(&format!("{to_queue}/a.%252A")).status, 204);
    assert_eq!(api.delete(&format!("{to_queue}/a.%2A")).status, 404);
    assert_eq!(api.delete(&hashed_path).status, 204);
    assert_eq!(api.delete(&format!("{to_queue}/~")).status, 204);
    assert_eq!(api.json(to_queue), json!([]));
    assert_eq!(api.get("/api/bindings/%2F/e/b-x/q/none").status, 404);
    assert_eq!(api.get("/api/bindings/%2F/e/none/q/b-q").status, 404);
    assert_eq!(api.get("/api/bindings/%2F/e/b-x/z/b-q").status, 404);
    assert_eq!(api.delete("/api/exchanges/%2F/b-x?if-unused=true").status, 400);
    for path in ["/api/exchanges/%2F/b-x", "/api/exchanges/%2F/b-y", "/api/queues/%2F/b-q"] {
        assert_eq!(api.delete(path).status, 204);
    }
}

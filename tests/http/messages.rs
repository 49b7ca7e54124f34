//! Publish and get.

use crate::api::guest;
use serde_json::{Value, json};

fn publish(properties: Value, key: &str, payload: &str, encoding: &str) -> Value {
    json!({"properties": properties, "routing_key": key, "payload": payload, "payload_encoding": encoding})
}

#[test]
fn a_message_goes_in_and_comes_out() {
    let api = guest();
    api.put("/api/queues/%2F/m-q", json!({}));
    let to_default = "/api/exchanges/%2F/amq.default/publish";
    let properties = json!({
        "content_type": "text/plain", "delivery_mode": 2, "priority": 3, "correlation_id": "c", "reply_to": "r",
        "expiration": "60000", "message_id": "m", "timestamp": 1700000000, "type": "t", "user_id": "guest", "app_id": "a",
        "headers": {"n": 1, "list": ["x", true], "nested": {"f": 1.5}},
    });
    let routed = api.post(to_default, publish(properties.clone(), "m-q", "hällo", "string"));
    assert_eq!((routed.status, routed.json()), (200, json!({"routed": true})));
    assert_eq!(api.post(to_default, publish(json!({}), "nowhere", "x", "string")).json(), json!({"routed": false}));
    assert_eq!(api.post(to_default, publish(json!({}), "m-q", "/wA=", "base64")).json(), json!({"routed": true}));

    let get = |ackmode: &str, count: u32| {
        api.post("/api/queues/%2F/m-q/get", json!({"count": count, "ackmode": ackmode, "encoding": "auto"})).json()
    };
    let both = get("ack_requeue_true", 5);
    assert_eq!(
        both[0],
        json!({"payload_bytes": 6, "redelivered": false, "exchange": "", "routing_key": "m-q", "message_count": 1,
            "properties": properties, "payload": "hällo", "payload_encoding": "string"})
    );
    assert_eq!(
        both[1],
        json!({"payload_bytes": 2, "redelivered": false, "exchange": "", "routing_key": "m-q", "message_count": 0,
            "properties": [], "payload": "/wA=", "payload_encoding": "base64"})
    );
    let first = get("reject_requeue_true", 1);
    assert_eq!((&first[0]["redelivered"], first[0]["message_count"].as_u64()), (&json!(true), Some(1)));
    let short = api.post(
        "/api/queues/%2F/m-q/get",
        json!({"count": 1, "ackmode": "ack_requeue_false", "encoding": "base64", "truncate": 2}),
    );
    assert_eq!((&short.json()[0]["payload"], &short.json()[0]["payload_bytes"]), (&json!("aMM="), &json!(6)));
    assert_eq!(get("reject_requeue_false", 5).as_array().unwrap().len(), 1);
    assert_eq!(get("ack_requeue_false", 5), json!([]));
    let old = api.post("/api/queues/%2F/m-q/get", json!({"count": 1, "requeue": true, "encoding": "auto"}));
    assert_eq!(old.json(), json!([]));
    assert_eq!(api.json("/api/queues/%2F/m-q")["messages"], 0);
    api.delete("/api/queues/%2F/m-q");
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    let api = guest();
    api.put("/api/queues/%2F/m-wrong", json!({"arguments": {"x-max-length": 0, "x-overflow": "reject-publish"}}));
    let path = "/api/exchanges/%2F/amq.default/publish";
    let reason = |body: Value| {
        let reply = api.post(path, body);
        assert_eq!(reply.status, 400, "{reply:?}");
        reply.json()["reason"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        reason(json!({"routing_key": "", "payload": ""})),
        "[{key_missing,properties},{key_missing,payload_encoding}]"
    );
    assert_eq!(reason(publish(json!({}), "m-wrong", "x", "hex")), "unsupported_encoding: hex");
    assert_eq!(reason(publish(json!({}), "m-wrong", "!", "base64")), "not_base64");
    assert_eq!(reason(publish(json!({"colour": 1}), "m-wrong", "x", "string")), "unknown property colour");
    assert_eq!(reason(publish(json!({"priority": 300}), "m-wrong", "x", "string")), "priority: at most 255");
    assert_eq!(reason(publish(json!({"expiration": "soon"}), "m-wrong", "x", "string")), "invalid expiration 'soon'");
    assert_eq!(
        reason(publish(json!({"user_id": "another"}), "m-wrong", "x", "string")),
        "user_id property set to 'another' but authenticated user was 'guest'"
    );
    assert_eq!(reason(publish(json!({}), "m-wrong", "x", "string")), "rejected", "the queue is full");
    let nowhere = api.post("/api/exchanges/%2F/none/publish", publish(json!({}), "", "", "string"));
    assert_eq!(nowhere.json()["reason"], "404 NOT_FOUND - no exchange 'none' in vhost '/'");
    let get = "/api/queues/%2F/m-wrong/get";
    for body in [
        json!({"ackmode": "ack_requeue_true", "encoding": "auto"}),
        json!({"count": 1, "encoding": "auto"}),
        json!({"count": 1, "ackmode": "ack_requeue_true"}),
        json!({"count": 1, "ackmode": "never", "encoding": "auto"}),
        json!({"count": "many", "ackmode": "ack_requeue_true", "encoding": "auto"}),
    ] {
        assert_eq!(api.post(get, body.clone()).status, 400, "{body}");
    }
    let none = api.post("/api/queues/%2F/none/get", json!({}));
    assert_eq!((none.status, none.json()["reason"].clone()), (404, json!("NOT_FOUND - no queue 'none' in vhost '/'")));
    api.delete("/api/queues/%2F/m-wrong");
}

#[test]
fn copies_reach_their_queues_and_blind_ones_are_not_seen() {
    let api = guest();
    for queue in ["m-to", "m-cc", "m-bcc"] {
        api.put(&format!("/api/queues/%2F/{queue}"), json!({}));
    }
    let headers = json!({"headers": {"CC": ["m-cc"], "BCC": ["m-bcc"]}});
    api.post("/api/exchanges/%2F/amq.default/publish", publish(headers, "m-to", "x", "string"));
    for queue in ["m-to", "m-cc", "m-bcc"] {
        let path = format!("/api/queues/%2F/{queue}/get");
        let got = api.post(&path, json!({"count": 1, "ackmode": "ack_requeue_false", "encoding": "auto"})).json();
        assert_eq!(got[0]["properties"]["headers"], json!({"CC": ["m-cc"]}), "{queue}");
        api.delete(&format!("/api/queues/%2F/{queue}"));
    }
}

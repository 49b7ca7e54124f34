//! Connections, channels, consumers.

use crate::api::{eventually, guest, only, shared};
use crate::support::{AMQPValue, BasicProperties, Client, Options, Scope};
use serde_json::{Value, json};

fn named(name: &str) -> Client {
    let mut options = Options::default();
    options.properties.insert("connection_name".into(), AMQPValue::LongString(name.into()));
    Client::open(shared().broker.addr, &options).unwrap()
}

fn find(name: &str) -> Option<Value> {
    let all = guest().json("/api/connections");
    all.as_array().unwrap().iter().find(|connection| connection["user_provided_name"] == name).cloned()
}

fn path(prefix: &str, name: &Value) -> String {
    format!("{prefix}/{}", name.as_str().unwrap().replace(' ', "%20").replace('>', "%3E"))
}

#[test]
fn a_connection_is_shown_and_closed() {
    let api = guest();
    let mut client = named("c-shown");
    let shown = find("c-shown").unwrap();
    let own = path("/api/connections", &shown["name"]);
    assert_eq!(
        only(
            &shown,
            &[
                "vhost",
                "user",
                "protocol",
                "type",
                "state",
                "channels",
                "ssl",
                "auth_mechanism",
                "frame_max",
                "channel_max",
                "peer_host",
                "host",
                "port"
            ]
        ),
        json!({"vhost": "/", "user": "guest", "protocol": "AMQP 0-9-1", "type": "network", "state": "running", "channels": 0,
            "ssl": false, "auth_mechanism": "PLAIN", "frame_max": 131072, "channel_max": 2047, "peer_host": "127.0.0.1",
            "host": "127.0.0.1", "port": shared().broker.addr.port()})
    );
    assert_eq!(shown["client_properties"]["product"], "warren tests");
    assert_eq!(shown["client_properties"]["capabilities"]["basic.nack"], true);
    assert!(shown["recv_oct"].as_u64().unwrap() > 100 && shown["send_oct"].as_u64().unwrap() > 100, "{shown}");
    assert_eq!(api.json(&own)["name"], shown["name"]);

    let reply = api.call("DELETE", &own, None, &[("x-reason", "spring cleaning")]);
    assert_eq!(reply.status, 204);
    let closed = client.closed(0).unwrap();
    assert_eq!(
        (closed.scope, closed.code, closed.text.as_str()),
        (Scope::Connection, 320, "CONNECTION_FORCED - spring cleaning")
    );
    eventually("the connection is gone", || find("c-shown").is_none().then_some(()));
    assert_eq!(api.get(&own).status, 404);
    assert_eq!(api.delete(&own).status, 404);
}

#[test]
fn all_connections_of_a_user() {
    let api = guest();
    let mut client = named("c-user");
    assert_eq!(api.json("/api/connections/username/nobody"), json!([]));
    assert!(!api.json("/api/connections/username/guest").as_array().unwrap().is_empty());
    assert!(!api.json("/api/vhosts/%2F/connections").as_array().unwrap().is_empty());
    assert_eq!(api.delete("/api/connections/username/nobody").status, 204);
    client.open_channel(1).unwrap();
    client.close().unwrap();
}

#[test]
fn channels_and_consumers() {
    let api = guest();
    let mut client = named("c-channel");
    client.open_channel(1).unwrap();
    client.open_channel(7).unwrap();
    client.declare_queue(7, "c-q", true).unwrap();
    client.qos(7, 10, false).unwrap();
    client.confirm_select(7).unwrap();
    client.consume(7, "c-q", "c-tag", false).unwrap();
    for _ in 0..3 {
        client.publish(7, "", "c-q", &BasicProperties::default(), b"x").unwrap();
    }
    client.wait_confirms(7).unwrap();
    let deliveries = client.deliveries(3).unwrap();
    client.ack(7, deliveries[0].delivery_tag, false).unwrap();
    client.sync(7).unwrap();

    let connection = find("c-channel").unwrap();
    assert_eq!(connection["channels"], 2);
    let own = path("/api/connections", &connection["name"]);
    let channels = api.json(&format!("{own}/channels"));
    assert_eq!(channels.as_array().unwrap().len(), 2);
    let name = channels.as_array().unwrap().iter().find(|channel| channel["number"] == 7).unwrap()["name"].clone();
    assert_eq!(name, format!("{} (7)", connection["name"].as_str().unwrap()));
    let channel = api.json(&path("/api/channels", &name));
    assert_eq!(
        only(
            &channel,
            &[
                "vhost",
                "user",
                "confirm",
                "transactional",
                "consumer_count",
                "messages_unacknowledged",
                "messages_unconfirmed",
                "prefetch_count",
                "global_prefetch_count",
                "state"
            ]
        ),
        json!({"vhost": "/", "user": "guest", "confirm": true, "transactional": false, "consumer_count": 1,
            "messages_unacknowledged": 2, "messages_unconfirmed": 0, "prefetch_count": 10, "global_prefetch_count": 0,
            "state": "running"})
    );
    assert_eq!(
        only(&channel["message_stats"], &["publish", "confirm", "deliver", "ack", "deliver_get"]),
        json!({"publish": 3, "confirm": 3, "deliver": 3, "ack": 1, "deliver_get": 3})
    );
    let consumer = &channel["consumer_details"][0];
    assert_eq!(
        only(
            consumer,
            &["consumer_tag", "queue", "ack_required", "exclusive", "prefetch_count", "active", "activity_status"]
        ),
        json!({"consumer_tag": "c-tag", "queue": {"name": "c-q", "vhost": "/"}, "ack_required": true, "exclusive": false,
            "prefetch_count": 10, "active": true, "activity_status": "up"})
    );
    let listed = api.json("/api/consumers/%2F");
    assert!(listed.as_array().unwrap().iter().any(|listed| listed == consumer));
    let queue = api.json("/api/queues/%2F/c-q");
    assert_eq!(queue["consumer_details"][0], *consumer);
    assert_eq!(
        only(&queue, &["consumers", "messages", "messages_unacknowledged"]),
        json!({"consumers": 1, "messages": 2, "messages_unacknowledged": 2})
    );
    assert_eq!(queue["message_stats"]["ack"], 1);
    assert_eq!(
        api.get(&path("/api/channels", &json!(format!("{} (9)", connection["name"].as_str().unwrap())))).status,
        404
    );
    client.cancel(7, "c-tag").unwrap();
    assert_eq!(api.json(&path("/api/channels", &name))["consumer_count"], 0);
    client.delete_queue(7, "c-q").unwrap();
    client.close().unwrap();
}

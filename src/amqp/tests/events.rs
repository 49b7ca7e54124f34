//! The event exchange: what happens on the node, as messages (compat.md 5).

use super::*;
use crate::broker::content::Content;
use crate::broker::policy::{ApplyTo, Policy};
use crate::engine::EVENT_EXCHANGE;
use crate::value::Value;

/// A client whose queue gets all events of these kinds.
fn listener(node: &Node, keys: &[&str]) -> Client {
    let mut listener = node.channel();
    listener.queue("events", false);
    keys.iter().for_each(|key| listener.bind("events", EVENT_EXCHANGE, key));
    listener
}

/// Waits for so many events: their keys and headers.
fn events(listener: &mut Client, count: usize) -> Vec<(String, Table)> {
    let mut events: Vec<(String, Table)> = Vec::new();
    let begun = Instant::now();
    while events.len() < count {
        assert!(begun.elapsed() < Duration::from_secs(10), "so far: {events:?}");
        listener.get("events", true);
        let seen = listener.read_until(|seen| !seen.is_empty());
        let Seen::Method(_, AMQPClass::Basic(basic::AMQPMethod::GetOk(ok))) = &seen[0] else {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        };
        let Seen::Header(_, header) = &seen[1] else { panic!("{seen:?}") };
        assert_eq!((ok.exchange.as_str(), seen.len()), (EVENT_EXCHANGE, 2), "the body is empty");
        let headers = Table::decode(Content::parse(header).unwrap().headers()).unwrap();
        events.push((ok.routing_key.as_str().to_owned(), headers));
    }
    events
}

fn keys(events: &[(String, Table)]) -> Vec<&str> {
    events.iter().map(|(key, _)| key.as_str()).collect()
}

#[track_caller]
fn says(event: &(String, Table), expected: &[(&str, Value)]) {
    for (key, value) in expected {
        assert_eq!(event.1.get(*key), Some(value), "{key} of {event:?}");
    }
}

fn text(text: &str) -> Value {
    Value::from(text)
}

#[test]
fn definitions_are_told_in_their_order() {
    let node = node();
    let mut listener = listener(&node, &["binding.*", "queue.*", "exchange.*"]);
    // Its own bindings, from the second one on.
    assert_eq!(keys(&events(&mut listener, 2)), ["binding.created"; 2]);
    let mut client = node.channel();
    let arguments: Table = [("x-max-length", Value::I32(5))].into_iter().collect();
    let declare = queue::Declare {
        queue: "q".into(),
        durable: true,
        arguments: table_to_amq(&arguments).unwrap(),
        ..Default::default()
    };
    client.declare(1, declare.clone());
    client.declare(1, declare);
    client.method(1, exchange("x", "topic"));
    client.only();
    client.bind("q", "x", "a.*");
    client.bind("q", "x", "a.*");
    let told = events(&mut listener, 3);
    assert_eq!(keys(&told), ["queue.created", "exchange.created", "binding.created"]);
    let user = ("user_who_performed_action", text("guest"));
    let terms = ["{<<\"x-max-length\">>,signedint,5}", "{<<\"x-queue-type\">>,longstr,<<\"classic\">>}"];
    let listed = Value::from(terms.map(text).to_vec());
    says(&told[0], &[("name", text("q")), ("vhost", text("/")), ("durable", true.into()), ("type", text("classic"))]);
    says(&told[0], &[("exclusive", false.into()), ("auto_delete", false.into()), ("arguments", listed), user.clone()]);
    assert!(matches!(told[0].1.get("timestamp_in_ms"), Some(Value::I64(_))), "{:?}", told[0]);
    says(&told[1], &[("name", text("x")), ("type", text("topic")), ("internal", false.into()), user.clone()]);
    says(&told[2], &[("source_name", text("x")), ("source_kind", text("exchange")), ("routing_key", text("a.*"))]);
    says(&told[2], &[("destination_name", text("q")), ("destination_kind", text("queue")), user.clone()]);
    let delete = queue::Delete { queue: "q".into(), ..Default::default() };
    client.method(1, AMQPClass::Queue(queue::AMQPMethod::Delete(delete.clone())));
    client.only();
    client.method(1, AMQPClass::Queue(queue::AMQPMethod::Delete(delete)));
    client.only();
    let told = events(&mut listener, 2);
    assert_eq!(keys(&told), ["binding.deleted", "queue.deleted"]);
    says(&told[1], &[("name", text("q")), ("vhost", text("/")), user]);
}

#[test]
fn connections_channels_and_consumers_are_told() {
    let node = node();
    let mut listener = listener(&node, &["connection.*", "channel.*", "consumer.*", "user.authentication.*"]);
    let mut client = node.channel();
    client.queue("q", false);
    client.consume("q", "c", false);
    let cancel = basic::Cancel { consumer_tag: "c".into(), nowait: true };
    client.method(1, AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)));
    client.consume("q", "d", true);
    drop(client);
    let told = events(&mut listener, 9);
    let order = [
        "user.authentication.success",
        "connection.created",
        "channel.created",
        "consumer.created",
        "consumer.deleted",
        "consumer.created",
        "consumer.deleted",
        "channel.closed",
        "connection.closed",
    ];
    assert_eq!(keys(&told), order);
    let name = text("127.0.0.1:50000 -> 127.0.0.1:5672");
    says(&told[0], &[("name", text("guest")), ("connection_name", name.clone()), ("auth_mechanism", text("PLAIN"))]);
    says(&told[1], &[("name", name.clone()), ("user", text("guest")), ("vhost", text("/")), ("type", text("network"))]);
    says(&told[1], &[("peer_host", text("127.0.0.1")), ("peer_port", Value::I64(50_000)), ("port", Value::I64(5672))]);
    says(&told[1], &[("user_provided_name", text("test")), ("protocol", text("{0,9,1}")), ("timeout", Value::I64(60))]);
    let connection = told[1].1.get("pid").unwrap().clone();
    says(&told[2], &[("connection", connection.clone()), ("number", Value::I64(1)), ("user", text("guest"))]);
    let channel = told[2].1.get("pid").unwrap().clone();
    says(&told[3], &[("consumer_tag", text("c")), ("queue", text("q")), ("vhost", text("/")), ("channel", channel)]);
    says(&told[3], &[("ack_required", true.into()), ("exclusive", false.into()), ("prefetch_count", Value::I64(0))]);
    says(&told[5], &[("consumer_tag", text("d")), ("ack_required", false.into())]);
    says(&told[8], &[("name", name), ("pid", connection)]);

    let mut stranger = node.accept();
    stranger.send(PROTOCOL_HEADER);
    stranger.read();
    stranger.start_ok("PLAIN", b"\0guest\0wrong", &[]);
    let told = events(&mut listener, 1);
    assert_eq!(keys(&told), ["user.authentication.failure"]);
    says(&told[0], &[("name", text("guest"))]);
}

#[test]
fn alarms_policies_users_and_virtual_hosts_are_told() {
    let node = node();
    let mut listener = listener(&node, &["alarm.*", "policy.*", "*.policy.*", "user.#", "vhost.#", "permission.*"]);
    listener.queue("limited", false);
    node.broker.set_disk_low(true);
    node.broker.set_disk_low(true);
    node.broker.set_disk_low(false);
    let told = events(&mut listener, 2);
    assert_eq!(keys(&told), ["alarm.set", "alarm.cleared"]);
    says(&told[0], &[("source", text("disk")), ("node", text(node.broker.node_name()))]);
    assert_eq!(told[0].1.get("user_who_performed_action"), None);

    let definition: Table = [("max-length", Value::I64(3))].into_iter().collect();
    let name = Name::new("p").unwrap();
    let policy = Policy::new(name.clone(), "^lim", ApplyTo::Queues, definition.clone(), 7, false).unwrap();
    node.broker.set_policy("/", policy, false).unwrap();
    assert!(node.broker.remove_policy("/", &name, false).unwrap());
    let told = events(&mut listener, 4);
    assert_eq!(keys(&told), ["policy.set", "queue.policy.updated", "policy.cleared", "queue.policy.cleared"]);
    says(&told[0], &[("name", text("p")), ("pattern", text("^lim")), ("apply-to", text("queues"))]);
    says(&told[0], &[("priority", Value::I64(7)), ("definition", Value::Table(definition))]);
    says(&told[1], &[("name", text("limited")), ("vhost", text("/"))]);

    let ada = Name::new("ada").unwrap();
    let vhost = Name::new("tenant").unwrap();
    node.broker.put_vhost(&vhost, Default::default()).unwrap();
    node.broker.put_user(auth::user("ada", "secret", &["monitoring"]).unwrap());
    node.broker.put_user(auth::user("ada", "other", &["monitoring"]).unwrap());
    let permissions = crate::broker::access::Permissions::checked("^a", "^b", "^c").unwrap();
    node.broker.set_permissions("ada", "tenant", Some(permissions)).unwrap();
    node.broker.set_permissions("ada", "tenant", None).unwrap();
    node.broker.delete_user("ada").unwrap();
    node.broker.delete_vhost("tenant").unwrap();
    let told = events(&mut listener, 8);
    let order = [
        "vhost.created",
        "user.created",
        "user.tags.set",
        "user.password.changed",
        "permission.created",
        "permission.deleted",
        "user.deleted",
        "vhost.deleted",
    ];
    assert_eq!(keys(&told), order);
    says(&told[1], &[("name", text(ada.as_str())), ("user_who_performed_action", text("rmq-internal"))]);
    says(&told[2], &[("tags", Value::from(vec![text("monitoring")]))]);
    says(&told[4], &[("user", text("ada")), ("vhost", text("tenant")), ("configure", text("^a"))]);
    says(&told[4], &[("write", text("^b")), ("read", text("^c"))]);
}

#[test]
fn parameters_topic_permissions_and_limits_are_told() {
    let node = node();
    let mut listener = listener(&node, &["parameter.*", "topic.permission.*", "vhost.limits.*", "user.password.*"]);
    let name = |text| Name::new(text).unwrap();
    let (vhost, component, own) = (name("/"), name("shovel"), name("mine"));
    let value = Value::Table([("src-uri", "amqp://")].into_iter().collect());
    node.broker.put_parameter(Some(&vhost), &component, &own, value.clone()).unwrap();
    node.broker.put_parameter(Some(&vhost), &component, &own, value.clone()).unwrap();
    node.broker.put_parameter(None, &Name::default(), &own, 5.into()).unwrap();
    assert!(node.broker.remove_parameter(Some(&vhost), &component, &own));
    assert!(!node.broker.remove_parameter(Some(&vhost), &component, &own));
    let told = events(&mut listener, 3);
    assert_eq!(keys(&told), ["parameter.set", "parameter.set", "parameter.cleared"]);
    says(&told[0], &[("vhost", text("/")), ("component", text("shovel")), ("name", text("mine")), ("value", value)]);
    says(&told[1], &[("component", text("global")), ("name", text("mine")), ("value", 5.into())]);
    assert_eq!(told[1].1.get("vhost"), None);
    says(&told[2], &[("vhost", text("/")), ("component", text("shovel")), ("name", text("mine"))]);

    let limits = crate::broker::access::VhostLimits { max_connections: Some(7), max_queues: None };
    node.broker.set_vhost_limits("/", limits).unwrap();
    node.broker.set_vhost_limits("/", Default::default()).unwrap();
    node.broker.set_topic_permissions("guest", "/", &name("amq.topic"), Some(("^w", "^r"))).unwrap();
    node.broker.set_topic_permissions("guest", "/", &name("amq.topic"), None).unwrap();
    node.broker.put_user(crate::broker::access::User::new(name("guest"), Default::default(), &["administrator"]));
    let told = events(&mut listener, 5);
    let order = [
        "vhost.limits.set",
        "vhost.limits.cleared",
        "topic.permission.created",
        "topic.permission.deleted",
        "user.password.cleared",
    ];
    assert_eq!(keys(&told), order);
    says(&told[0], &[("vhost", text("/")), ("max-connections", Value::I64(7))]);
    says(&told[2], &[("user", text("guest")), ("vhost", text("/")), ("exchange", text("amq.topic"))]);
    says(&told[2], &[("write", text("^w")), ("read", text("^r"))]);
}

#[test]
fn nobody_is_told_when_nobody_listens_and_too_many_events_are_dropped_and_counted() {
    let node = node();
    let mut client = node.channel();
    client.queue("q", false);
    client.queue("events", false);
    client.bind("events", EVENT_EXCHANGE, "alarm.*");
    client.method(1, AMQPClass::Queue(queue::AMQPMethod::Purge(queue::Purge { queue: "events".into(), nowait: true })));
    node.broker.set_disk_low(true);
    assert_eq!(keys(&events(&mut client, 1)), ["alarm.set"], "of what came before nothing is kept");
    for _ in 0..crate::limits::EVENTS {
        node.broker.set_disk_low(false);
        node.broker.set_disk_low(true);
    }
    // Some of the twenty thousand were published meanwhile; whatever was not is counted.
    let kept = 2 * crate::limits::EVENTS - node.broker.lost_events() as usize;
    let begun = Instant::now();
    while (client.ready("events") as usize) < kept {
        assert!(begun.elapsed() < Duration::from_secs(60), "{kept} events and not all of them there");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(client.ready("events") as usize, kept);
}

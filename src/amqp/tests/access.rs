//! Virtual hosts, users and permissions, changed while clients are connected (compat.md 2.12).

use super::*;
use crate::broker::access::{Permissions, UserLimits, VhostLimits, VhostMetadata};
use crate::broker::refusal::Refusal;
use crate::store::{Change, Family, Logging, Storage};

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A node with a user, its password its name, and these permissions on "/".
fn node_of(user: &str, [configure, write, read]: [&str; 3]) -> Node {
    let node = node();
    node.broker.put_user(auth::user(user, user, &[]).unwrap());
    permit(&node, user, "/", [configure, write, read]);
    node
}

fn permit(node: &Node, user: &str, vhost: &str, [configure, write, read]: [&str; 3]) {
    let permissions = Permissions::checked(configure, write, read).unwrap();
    node.broker.set_permissions(user, vhost, Some(permissions)).unwrap();
}

fn durable(name: &str) -> queue::Declare {
    queue::Declare { queue: name.into(), durable: true, ..Default::default() }
}

fn passive(name: &str) -> AMQPClass {
    AMQPClass::Queue(queue::AMQPMethod::Declare(queue::Declare {
        queue: name.into(),
        passive: true,
        ..Default::default()
    }))
}

fn refused(text: &str) -> (u16, String) {
    (403, format!("ACCESS_REFUSED - {text} refused for user 'u'"))
}

#[test]
fn a_warm_route_is_judged_again_when_permissions_change() {
    let node = node_of("u", ["", "^amq\\.default$", "q"]);
    let mut owner = node.channel();
    owner.queue("q", false);
    let mut client = node.channel_of("u", "/");
    client.publish("", "q", b"1");
    client.publish("", "q", b"2");
    assert_eq!(owner.ready("q"), 2);
    permit(&node, "u", "/", ["", "", "q"]);
    client.publish("", "q", b"3");
    assert_eq!(client.channel_closed(1), refused("write access to exchange 'amq.default' in vhost '/'"));
    assert_eq!(owner.ready("q"), 2);
    permit(&node, "u", "/", ["", ".*", "q"]);
    client.open_channel(1);
    client.publish("", "q", b"3");
    assert_eq!(owner.ready("q"), 3);
    // Another user's permissions are no matter.
    node.broker.set_permissions("guest", "/", None).unwrap();
    client.publish("", "q", b"4");
    client.get("q", true);
    assert!(matches!(client.read().first(), Some(Seen::Method(1, AMQPClass::Basic(basic::AMQPMethod::GetOk(_))))));
}

#[test]
fn a_consumer_that_may_not_read_any_more_is_cancelled() {
    let node = node_of("u", ["", "", "q"]);
    let mut owner = node.channel();
    owner.queue("q", false);
    let mut client = node.channel_of("u", "/");
    client.qos(1, false);
    client.consume("q", "tag", false);
    owner.publish("", "q", b"held");
    owner.publish("", "q", b"waits");
    assert_eq!(client.delivered(1), vec![(1, false, b"held".to_vec())]);
    permit(&node, "u", "/", ["", "", "other"]);
    let seen = client.read_until(|seen| !seen.is_empty());
    let cancel = basic::Cancel { consumer_tag: "tag".into(), nowait: true };
    assert_eq!(seen, vec![Seen::Method(1, AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)))]);
    // What it holds it may still settle.
    client.ack(1, false);
    client.nothing();
    assert_eq!(owner.ready("q"), 1);
    client.get("q", true);
    assert_eq!(client.channel_closed(1), refused("read access to queue 'q' in vhost '/'"));
}

#[test]
fn an_alternate_or_dead_letter_exchange_counts_on_creation_only() {
    let node = node_of("u", ["^mine", "^mine", "^mine"]);
    let mut client = node.channel_of("u", "/");
    let arguments = |key: &'static str, value: &'static str| {
        let mut table = Table::new();
        table.insert(key, value);
        table_to_amq(&table).unwrap()
    };
    let declare = |name: &str, dlx| {
        let arguments = arguments("x-dead-letter-exchange", dlx);
        AMQPClass::Queue(queue::AMQPMethod::Declare(queue::Declare { arguments, ..durable(name) }))
    };
    client.method(1, declare("mine", "theirs"));
    assert_eq!(client.channel_closed(1), refused("write access to exchange 'theirs' in vhost '/'"));
    client.open_channel(1);
    client.method(1, declare("mine", "mine.dlx"));
    assert!(matches!(client.only(), (1, AMQPClass::Queue(queue::AMQPMethod::DeclareOk(_)))));
    permit(&node, "u", "/", ["^mine", "", ""]);
    client.method(1, declare("mine", "mine.dlx"));
    assert!(matches!(client.only(), (1, AMQPClass::Queue(queue::AMQPMethod::DeclareOk(_)))));
    client.method(1, declare("mine2", "mine.dlx"));
    assert_eq!(client.channel_closed(1), refused("read access to queue 'mine2' in vhost '/'"));
    client.open_channel(1);
    let declare = |alternate| {
        let arguments = arguments("alternate-exchange", alternate);
        let declare =
            exchange::Declare { exchange: "mine".into(), kind: "fanout".into(), arguments, ..Default::default() };
        AMQPClass::Exchange(exchange::AMQPMethod::Declare(declare))
    };
    permit(&node, "u", "/", ["^mine", "^mine", "^mine"]);
    client.method(1, declare("theirs"));
    assert_eq!(client.channel_closed(1), refused("write access to exchange 'theirs' in vhost '/'"));
    client.open_channel(1);
    client.method(1, declare("mine.ae"));
    assert!(matches!(client.only(), (1, AMQPClass::Exchange(exchange::AMQPMethod::DeclareOk(_)))));
}

#[test]
fn a_passive_declaration_needs_any_access() {
    let node = node_of("u", ["", "", "^q$"]);
    node.channel().queue("q", false);
    let mut client = node.channel_of("u", "/");
    client.method(1, passive("q"));
    assert!(matches!(client.only(), (1, AMQPClass::Queue(queue::AMQPMethod::DeclareOk(_)))));
    // Whether it exists is not told.
    client.method(1, passive("missing"));
    assert_eq!(client.channel_closed(1), refused("configure access to queue 'missing' in vhost '/'"));
}

#[test]
fn topic_permissions_for_every_key() {
    let node = node_of("u", [".*", ".*", ".*"]);
    let topic = Some(("^{username}\\.", "^(u|all)\\."));
    node.broker.set_topic_permissions("u", "/", &name("amq.topic"), topic).unwrap();
    let mut client = node.channel_of("u", "/");
    client.queue("q", false);
    client.bind("q", "amq.topic", "u.#");
    client.publish("amq.topic", "u.1", b"m");
    assert_eq!(client.ready("q"), 1);
    let text = "write access to topic 'v.1' in exchange 'amq.topic' in vhost '/'";
    client.publish("amq.topic", "v.1", b"m");
    assert_eq!(client.channel_closed(1), refused(text));
    for header in ["CC", "BCC"] {
        client.open_channel(1);
        let mut headers = Table::new();
        headers.insert(header, vec![crate::value::Value::from("u.2"), "v.1".into()]);
        let properties = PropertiesBuilder { headers: Some(headers), ..Default::default() };
        client.send(&message(1, "amq.topic", "u.1", false, &properties, b"m"));
        assert_eq!(client.channel_closed(1), refused(text));
    }
    client.open_channel(1);
    let bind = |key: &str| {
        let (queue, exchange) = ("q".into(), "amq.topic".into());
        let bind = queue::Bind { queue, exchange, routing_key: key.into(), ..Default::default() };
        AMQPClass::Queue(queue::AMQPMethod::Bind(bind))
    };
    client.method(1, bind("v.#"));
    assert_eq!(client.channel_closed(1), refused("read access to topic 'v.#' in exchange 'amq.topic' in vhost '/'"));
    client.open_channel(1);
    // Of another type, keys are no matter.
    client.publish("amq.direct", "v.1", b"m");
    node.broker.set_topic_permissions("u", "/", &name("amq.topic"), None).unwrap();
    client.publish("amq.topic", "v.1", b"m");
    assert_eq!(client.ready("q"), 1);
}

#[test]
fn a_deleted_vhost_ends_its_connections_and_leaves_nothing() {
    let mut node = node();
    let (created, _) = node.broker.put_vhost(&name("v"), VhostMetadata::default()).unwrap();
    assert!(created && !node.broker.put_vhost(&name("v"), VhostMetadata::default()).unwrap().0);
    let mut refused = node.logged_in("guest");
    refused.open_vhost("v");
    assert_eq!(refused.closed(), (530, "NOT_ALLOWED - access to vhost 'v' refused for user 'guest'".into(), 10, 40));
    permit(&node, "guest", "v", [".*", ".*", ".*"]);
    let (mut here, mut other) = (node.channel_of("guest", "v"), node.channel());
    here.declare(1, durable("q"));
    here.bind("q", "amq.topic", "k");
    here.persist("", "q", b"m");
    assert_eq!(here.ready("q"), 1);
    other.method(1, passive("q"));
    assert_eq!(other.channel_closed(1), (404, "NOT_FOUND - no queue 'q' in vhost '/'".into()));
    here.consume("q", "tag", false);
    here.delivered(1);
    node.broker.delete_vhost("v").unwrap();
    assert_eq!(here.closed(), (320, "CONNECTION_FORCED - vhost 'v' is deleted".into(), 0, 0));
    other.open_channel(1);
    other.nothing();
    let mut late = node.logged_in("guest");
    late.open_vhost("v");
    assert_eq!(late.closed(), (530, "NOT_ALLOWED - vhost v not found".into(), 10, 40));
    assert_eq!(node.broker.delete_vhost("v"), Err(Refusal::VhostNotFound("v".into())));
    drop((here, other, late, refused));
    restart(&mut node);
    assert_eq!(node.broker.vhosts().iter().map(|vhost| vhost.name.as_str().to_owned()).collect::<Vec<_>>(), ["/"]);
    assert_eq!(node.broker.permissions().len(), 1);
    // The name can be used again, for something that is empty.
    node.broker.put_vhost(&name("v"), VhostMetadata::default()).unwrap();
    permit(&node, "guest", "v", [".*", ".*", ".*"]);
    let mut again = node.channel_of("guest", "v");
    again.method(1, passive("q"));
    assert_eq!(again.channel_closed(1), (404, "NOT_FOUND - no queue 'q' in vhost 'v'".into()));
}

#[test]
fn everything_is_there_after_a_restart() {
    let mut node = node_of("u", ["a", "b", "c"]);
    let metadata = VhostMetadata {
        description: "d".into(),
        tags: vec![name("one"), name("two")],
        default_queue_type: Some(name("quorum")),
        protected_from_deletion: true,
        tracing: false,
    };
    node.broker.put_vhost(&name("v"), metadata).unwrap();
    node.broker.set_vhost_limits("v", VhostLimits { max_connections: Some(0), max_queues: None }).unwrap();
    node.broker.set_user_limits("u", UserLimits { max_connections: None, max_channels: Some(7) }).unwrap();
    node.broker.set_topic_permissions("u", "v", &name("x"), Some(("w", "r"))).unwrap();
    permit(&node, "guest", "v", ["x", "", ".*"]);
    let all = |node: &Node| {
        let broker = &node.broker;
        (broker.vhosts(), broker.users(), broker.permissions(), broker.topic_permissions())
    };
    let before = all(&node);
    assert_eq!((before.0.len(), before.1.len(), before.2.len(), before.3.len()), (2, 2, 3, 1));
    restart(&mut node);
    assert_eq!(all(&node), before);
    assert_eq!(node.broker.delete_vhost("v"), Err(Refusal::ProtectedVhost(name("v"))));
}

#[test]
fn a_deleted_user_is_disconnected_and_a_changed_one_is_not() {
    let mut node = node_of("u", [".*", ".*", ".*"]);
    let mut client = node.channel_of("u", "/");
    node.broker.put_user(auth::user("u", "other", &[]).unwrap());
    client.nothing();
    node.broker.delete_user("u").unwrap();
    assert_eq!(client.closed(), (320, "CONNECTION_FORCED - user 'u' is deleted".into(), 0, 0));
    assert_eq!(node.broker.delete_user("u"), Err(Refusal::NoSuchUser("u".into())));
    drop(client);
    restart(&mut node);
    assert_eq!((node.broker.users().len(), node.broker.permissions().len()), (1, 1));
}

/// As it was written before there were virtual hosts and users on disk.
#[test]
fn an_old_data_directory_gets_its_vhost_and_the_first_user() {
    let mut node = node();
    node.channel().queue("q", true);
    node.broker.stop().unwrap();
    for kind in [b'v', b'u', b'a'] {
        let change = Change::DeleteRange(Family::Definitions, vec![kind], vec![kind + 1]);
        node.storage.write(&[change], Logging::Synced).unwrap();
    }
    node.broker = start(&node.storage);
    assert_eq!(node.channel().ready("q"), 0);
    restart(&mut node);
    assert_eq!((node.broker.users().len(), node.channel().ready("q")), (1, 0));
}

#[test]
fn what_was_made_once_is_not_made_again() {
    let mut node = node();
    node.broker.put_user(auth::user("admin", "admin", &["administrator"]).unwrap());
    node.broker.delete_user("guest").unwrap();
    restart(&mut node);
    assert!(node.broker.user("guest").is_none() && node.broker.user("admin").is_some());
}

fn start(storage: &Arc<MemoryStorage>) -> Arc<Broker> {
    Broker::start(storage.clone(), options(256 << 20)).unwrap()
}

fn restart(node: &mut Node) {
    node.broker.stop().unwrap();
    node.broker = start(&node.storage);
}

//! How clients say who they are, and how many of them there may be (compat.md 1.5, 2.12).

use super::*;
use crate::auth::Denied;
use crate::broker::access::{
    Access, Authority, Identity, Pattern, Permissions, UserLimits, VhostLimits, VhostMetadata,
};
use crate::broker::policy::{ApplyTo, Policy};
use crate::broker::refusal::ResourceKind;
use crate::engine::{NodeLimits, QueueSpec, SeedUser, VhostSeeds};
use crate::value::Value;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A client that was greeted, and the mechanisms that it was offered.
fn greeted(node: &Node, loopback: bool) -> (Client, String) {
    let mut client = node.accept_from(loopback);
    client.send(PROTOCOL_HEADER);
    let connection::AMQPMethod::Start(start) = client.connection_method() else { panic!("no start") };
    (client, start.mechanisms.to_string())
}

/// Logs in by a mechanism, and opens "/" and channel 1.
fn enter(mut client: Client, mechanism: &str, response: &[u8]) -> Client {
    client.start_ok(mechanism, response, &["authentication_failure_close"]);
    let connection::AMQPMethod::Tune(tune) = client.connection_method() else { panic!("no tune") };
    client.tune_ok(tune.channel_max, tune.frame_max, 60);
    client.open_vhost("/");
    assert!(matches!(client.connection_method(), connection::AMQPMethod::OpenOk(_)));
    client.open_channel(1);
    client
}

fn refused(mut client: Client, mechanism: &str, response: &[u8]) {
    client.start_ok(mechanism, response, &["authentication_failure_close"]);
    let text = format!(
        "ACCESS_REFUSED - Login was refused using authentication mechanism {mechanism}. For details see the broker \
         logfile."
    );
    assert_eq!(client.closed(), (403, text, 0, 0));
}

fn node_of(user: &str) -> Node {
    let node = node();
    node.broker.put_user(auth::user(user, user, &[]).unwrap());
    node.broker.set_permissions(user, "/", Some(Permissions::all())).unwrap();
    node
}

#[test]
fn anonymous_is_who_the_settings_say_while_the_password_is_theirs() {
    let node = node();
    let (client, offered) = greeted(&node, true);
    assert_eq!(offered, "PLAIN AMQPLAIN ANONYMOUS");
    enter(client, "ANONYMOUS", b"whoever");
    refused(greeted(&node, false).0, "ANONYMOUS", b"");
    node.broker.put_user(auth::user("guest", "another", &[]).unwrap());
    refused(greeted(&node, true).0, "ANONYMOUS", b"");
    node.broker.delete_user("guest").unwrap();
    refused(greeted(&node, true).0, "ANONYMOUS", b"");
}

#[test]
fn external_is_offered_to_those_with_a_certificate_only() {
    let mut node = node_of("CN=u");
    let (mut client, offered) = greeted(&node, false);
    assert!(!offered.contains("EXTERNAL"));
    client.start_ok("EXTERNAL", b"", &["authentication_failure_close"]);
    assert_eq!(client.read(), vec![]);
    node.certificate_name = Some("CN=u".into());
    let (client, offered) = greeted(&node, false);
    assert_eq!(offered, "PLAIN AMQPLAIN ANONYMOUS EXTERNAL");
    enter(client, "EXTERNAL", b"");
    node.certificate_name = Some("CN=nobody".into());
    refused(greeted(&node, false).0, "EXTERNAL", b"");
    node.certificate_name = Some("guest".into());
    refused(greeted(&node, false).0, "EXTERNAL", b"");
}

#[test]
fn a_name_that_is_no_text_is_nobody() {
    refused(greeted(&node_of("\u{fffd}"), true).0, "PLAIN", b"\0\xff\0\xef\xbf\xbd");
}

#[test]
fn a_user_without_a_password_has_no_login_by_password() {
    let node = node();
    node.broker.put_user(crate::broker::access::User::new(name("u"), Default::default(), &[]));
    refused(greeted(&node, true).0, "PLAIN", b"\0u\0");
    node.broker.put_user(auth::user("u", "", &[]).unwrap());
    refused(greeted(&node, true).0, "PLAIN", b"\0u\0");
}

#[test]
fn an_impersonator_may_name_another_user() {
    let node = node_of("u");
    let say = |client: &mut Client| {
        let properties = PropertiesBuilder { user_id: Some(b"other"), ..Default::default() };
        client.send(&message(1, "", "nowhere", true, &properties, b"m"));
    };
    let mut client = node.channel_of("u", "/");
    say(&mut client);
    let text = "PRECONDITION_FAILED - user_id property set to 'other' but authenticated user was 'u'";
    assert_eq!(client.channel_closed(1), (406, text.into()));
    // Tags count as they were at login.
    node.broker.put_user(auth::user("u", "u", &["impersonator"]).unwrap());
    let mut client = node.channel_of("u", "/");
    say(&mut client);
    assert!(matches!(client.read().first(), Some(Seen::Method(1, AMQPClass::Basic(basic::AMQPMethod::Return(_))))));
}

fn open_refused(node: &Node, user: &str, vhost: &str, text: &str) {
    let mut client = node.logged_in(user);
    client.open_vhost(vhost);
    assert_eq!(client.closed(), (530, format!("NOT_ALLOWED - {text}"), 10, 40));
}

#[test]
fn connection_limits_of_vhosts_and_users() {
    let node = node_of("u");
    let limit = |max_connections| VhostLimits { max_connections, max_queues: None };
    node.broker.set_vhost_limits("/", limit(Some(2))).unwrap();
    let (mut one, _other) = (node.channel_of("u", "/"), node.channel());
    let full = "access to vhost '/' refused for user 'u': connection limit (2) is reached";
    open_refused(&node, "u", "/", full);
    // The virtual host's limit comes before the user's, both before permissions.
    let of_user = |max_connections| UserLimits { max_connections, max_channels: None };
    node.broker.set_user_limits("u", of_user(Some(1))).unwrap();
    open_refused(&node, "u", "/", full);
    open_refused(&node, "u", "nowhere", "vhost nowhere not found");
    node.broker.set_vhost_limits("/", limit(None)).unwrap();
    let text = "connection refused for user 'u': user connection limit (1) is reached";
    open_refused(&node, "u", "/", text);
    node.broker.put_vhost(&name("v"), VhostMetadata::default()).unwrap();
    open_refused(&node, "u", "v", text);
    // Who goes makes room.
    one.connection.on_disconnect();
    node.channel_of("u", "/");
    node.broker.set_user_limits("u", of_user(Some(0))).unwrap();
    open_refused(&node, "u", "/", "connection refused for user 'u': user connection limit (0) is reached");
}

#[test]
fn the_node_has_a_connection_limit() {
    let mut node = node();
    node.broker.stop().unwrap();
    node.broker = Broker::start(node.storage.clone(), Options { connection_max: Some(1), ..options(1 << 28) }).unwrap();
    let client = node.channel();
    open_refused(&node, "guest", "nowhere", "connection refused: node connection limit (1) is reached");
    drop(client);
    node.channel();
}

#[test]
fn a_user_has_a_channel_limit_over_all_connections() {
    let node = node_of("u");
    node.broker.set_user_limits("u", UserLimits { max_connections: None, max_channels: Some(2) }).unwrap();
    let (mut one, mut two) = (node.channel_of("u", "/"), node.channel_of("u", "/"));
    // Channels that have ended do not count, whoever ended them.
    one.get("nowhere", true);
    assert_eq!(one.channel_closed(1).0, 404);
    one.open_channel(2);
    two.method(2, AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {})));
    let text = "NOT_ALLOWED - number of channels opened for user 'u' has reached the maximum allowed user limit of 2";
    assert_eq!(two.closed(), (530, text.into(), 0, 0));
    // The connection has taken its channel along.
    one.open_channel(3);
    node.channel().open_channel(2);
}

#[test]
fn a_vhost_has_a_queue_limit() {
    let node = node();
    let mut client = node.channel();
    client.queue("q", false);
    node.broker.set_vhost_limits("/", VhostLimits { max_connections: None, max_queues: Some(1) }).unwrap();
    client.queue("q", false);
    let declare = queue::Declare { queue: "p".into(), ..Default::default() };
    client.method(1, AMQPClass::Queue(queue::AMQPMethod::Declare(declare)));
    let text = "PRECONDITION_FAILED - cannot declare queue 'p': queue limit in vhost '/' (1) is reached";
    assert_eq!(client.channel_closed(1), (406, text.into()));
}

#[test]
fn the_node_has_limits_of_vhosts_queues_and_exchanges() {
    // Seven exchanges of each virtual host and that of the events are there without being declared.
    let limits = NodeLimits { vhosts: Some(2), queues: Some(1), exchanges: Some(16), ..Default::default() };
    let node = node_on(Arc::default(), Options { limits, ..options(1 << 28) });
    node.broker.put_vhost(&name("v"), VhostMetadata::default()).unwrap();
    let refusal = node.broker.put_vhost(&name("w"), VhostMetadata::default()).unwrap_err();
    assert_eq!(refusal.to_string(), "cannot create vhost 'w': vhost limit of 2 is reached");
    node.broker.put_vhost(&name("v"), VhostMetadata::default()).unwrap();
    let mut client = node.channel();
    client.queue("q", false);
    client.queue("q", false);
    let elsewhere = |name: &str| {
        let (durable, exclusive, auto_delete, arguments) = (false, false, false, Table::new());
        node.broker.import_queue("v", QueueSpec { name: Name::new(name), durable, exclusive, auto_delete, arguments })
    };
    let text = "cannot declare queue 'q': queue limit in cluster (1) is reached";
    assert_eq!(elsewhere("q").unwrap_err().to_string(), text);
    let declare = queue::Declare { queue: "p".into(), ..Default::default() };
    client.method(1, AMQPClass::Queue(queue::AMQPMethod::Declare(declare)));
    let text = "PRECONDITION_FAILED - cannot declare queue 'p': queue limit in cluster (1) is reached";
    assert_eq!(client.channel_closed(1), (406, text.into()));
    client.open_channel(1);
    let declared = |client: &mut Client, name| {
        client.method(1, exchange(name, "topic"));
        assert!(matches!(client.only(), (1, AMQPClass::Exchange(exchange::AMQPMethod::DeclareOk(_)))));
    };
    declared(&mut client, "x");
    declared(&mut client, "x");
    client.method(1, exchange("y", "topic"));
    let text = "PRECONDITION_FAILED - cannot declare exchange 'y' in vhost '/': exchange limit of 16 is reached";
    assert_eq!(client.channel_closed(1), (406, text.into()));
    node.broker.delete_vhost("v").unwrap();
    client.open_channel(1);
    declared(&mut client, "y");
}

#[test]
fn a_vhost_is_made_with_the_limits_of_its_name() {
    let set =
        |pattern: &str, most| (Pattern::new(pattern), VhostLimits { max_connections: None, max_queues: Some(most) });
    let seeds = VhostSeeds { limits: vec![set("^a", 1), set("^(a|/$)", 2)], ..Default::default() };
    let limits = NodeLimits { seeds, ..Default::default() };
    let mut node = node_on(Arc::default(), Options { limits, ..options(1 << 28) });
    for vhost in ["a", "b"] {
        node.broker.put_vhost(&name(vhost), VhostMetadata::default()).unwrap();
    }
    let queues = |node: &Node, vhost| node.broker.vhost_record(vhost).unwrap().limits.max_queues;
    assert_eq!(["/", "a", "b"].map(|vhost| queues(&node, vhost)), [Some(2), Some(1), None]);
    // What is set afterwards stays so.
    node.broker.set_vhost_limits("a", VhostLimits::default()).unwrap();
    node.broker.put_vhost(&name("a"), VhostMetadata::default()).unwrap();
    node.broker.stop().unwrap();
    node.broker = Broker::start(node.storage.clone(), options(1 << 28)).unwrap();
    assert_eq!(["/", "a", "b"].map(|vhost| queues(&node, vhost)), [Some(2), None, None]);
}

#[test]
fn a_vhost_is_made_with_the_users_and_policies_of_its_name() {
    let made = |user: &str, password| auth::user(user, password, &["x"]).unwrap();
    let seed = |vhosts: &str, user: &str| SeedUser {
        vhosts: Pattern::new(vhosts),
        name: name(user),
        user: made(user, "seed").into(),
        permissions: Permissions::all(),
    };
    let definition = Table::from_iter([("max-length", Value::I64(1))]);
    let policy = Policy::new(name("p"), "^q", ApplyTo::All, definition, 0, true).unwrap();
    let policies = vec![(Pattern::new("^a|/"), policy)];
    let seeds = VhostSeeds { policies, users: vec![seed(".*", "u"), seed("^a", "known")], ..Default::default() };
    let limits = NodeLimits { seeds, ..Default::default() };
    let mut node = node_on(Arc::default(), Options { limits, ..options(1 << 28) });
    node.broker.put_user(made("known", "own"));
    let before = node.broker.user("known").unwrap();
    for vhost in ["a", "b"] {
        node.broker.put_vhost(&name(vhost), VhostMetadata::default()).unwrap();
    }
    let told = |node: &Node| {
        let grants = node.broker.permissions().into_iter().map(|one| format!("{}@{}", one.user, one.vhost));
        let policies = ["/", "a", "b"].map(|vhost| node.broker.policies(vhost, true).unwrap().len());
        (grants.collect::<Vec<_>>().join(" "), policies)
    };
    let wanted = ("guest@/ known@a u@/ u@a u@b".to_owned(), [1, 1, 0]);
    assert_eq!(told(&node), wanted);
    assert_eq!(node.broker.user("known").unwrap().password, before.password, "who is there stays");
    // The policy counts at once, and all of it is on disk.
    node.broker.stop().unwrap();
    node.broker = Broker::start(node.storage.clone(), options(1 << 28)).unwrap();
    assert_eq!(told(&node), wanted);
    assert!(node.broker.user("u").is_some());
}

#[test]
fn the_default_queue_type_is_of_the_vhost_or_else_of_the_node() {
    let mut node = node();
    node.channel().queue("old", true);
    node.broker.stop().unwrap();
    let quorum = Options { default_queue_type: QueueKind::Quorum, ..options(1 << 28) };
    node.broker = Broker::start(node.storage.clone(), quorum).unwrap();
    let mut client = node.channel();
    let declare = |name: &str, durable, kind: Option<&'static str>| {
        let mut arguments = Table::new();
        if let Some(kind) = kind {
            arguments.insert("x-queue-type", kind);
        }
        let arguments = table_to_amq(&arguments).unwrap();
        queue::Declare { queue: name.into(), durable, arguments, ..Default::default() }
    };
    client.declare(1, declare("q", true, None));
    client.declare(1, declare("q", true, Some("quorum")));
    // What cannot be a quorum queue is a classic one.
    client.declare(1, declare("transient", false, None));
    client.declare(1, declare("transient", false, Some("classic")));
    let other = |name: &str, kind| AMQPClass::Queue(queue::AMQPMethod::Declare(declare(name, true, kind)));
    client.method(1, other("q", Some("classic")));
    let text = "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': received 'classic' but \
                current is 'quorum'";
    assert_eq!(client.channel_closed(1), (406, text.into()));
    let metadata = VhostMetadata { default_queue_type: Some(name("classic")), ..Default::default() };
    node.broker.put_vhost(&name("/"), metadata).unwrap();
    client.open_channel(1);
    client.declare(1, declare("c", true, None));
    client.declare(1, declare("old", true, None));
    client.method(1, other("c", Some("quorum")));
    assert_eq!(client.channel_closed(1).0, 406);
}

/// Somebody else's word for what a client may do: to read these queues, and everything else but reading.
#[derive(Debug)]
struct Told(&'static [&'static str]);

impl Authority for Told {
    fn enters(&self, vhost: &Name) -> bool {
        !self.0.is_empty() && vhost.as_str() == "/"
    }

    fn permits(&self, _vhost: &Name, access: Access, _kind: ResourceKind, name: &str) -> bool {
        access != Access::Read || self.0.contains(&name)
    }

    fn permits_topic(&self, _vhost: &Name, _access: Access, exchange: &str, key: &str) -> bool {
        exchange != "amq.topic" || key == "a"
    }

    fn is_renewed(&self) -> bool {
        true
    }
}

/// Who has logged in by a token that is good for so many seconds.
fn by_token(now: Now, seconds: u64, reads: &'static [&'static str]) -> Identity {
    let expires_ms = Some(now.wall_ms + seconds * 1000);
    Identity { user: name("t"), tags: Vec::new(), authority: Some(Arc::new(Told(reads))), expires_ms }
}

/// A client that has logged in by a token, with channel 1.
fn token_client(node: &Node, seconds: u64, reads: &'static [&'static str]) -> Client {
    let (mut client, _) = greeted(node, false);
    client.verdicts.push(Ok(by_token(client.now, seconds, reads)));
    enter(client, "PLAIN", b"\0ignored\0token")
}

fn update_secret(client: &mut Client, verdict: Result<Identity, Denied>) {
    client.verdicts.push(verdict);
    let update = connection::UpdateSecret { new_secret: "another".into(), reason: "time".into() };
    client.method(0, AMQPClass::Connection(connection::AMQPMethod::UpdateSecret(update)));
}

#[test]
fn a_login_ends_when_its_token_does() {
    let node = node();
    let mut client = token_client(&node, 5, &["q"]);
    client.pass(Duration::from_secs(4));
    assert!(client.connection.wants_read());
    client.pass(Duration::from_secs(2));
    assert_eq!(client.closed(), (320, "CONNECTION_FORCED - credential expired".into(), 0, 0));
}

#[test]
fn a_new_token_renews_a_login_and_changes_its_rights() {
    let node = node();
    let mut client = token_client(&node, 5, &["q", "p"]);
    client.queue("q", false);
    client.queue("p", false);
    let (longer, less) = (by_token(client.now, 500, &["q", "p"]), by_token(client.now, 500, &["p"]));
    update_secret(&mut client, Ok(longer));
    let (_, method) = client.only();
    assert!(matches!(method, AMQPClass::Connection(connection::AMQPMethod::UpdateSecretOk(_))));
    client.pass(Duration::from_secs(20));
    client.read();
    client.get("q", true);
    client.read();
    update_secret(&mut client, Ok(less));
    client.read();
    client.get("p", true);
    client.read();
    client.get("q", true);
    let text = "ACCESS_REFUSED - read access to queue 'q' in vhost '/' refused for user 't'";
    assert_eq!(client.channel_closed(1), (403, text.into()));
}

#[test]
fn a_new_token_that_is_not_taken_ends_the_connection() {
    let node = node();
    let mut client = token_client(&node, 5, &["q"]);
    update_secret(&mut client, Err(Denied::WrongCredentials));
    let text = "NOT_ALLOWED - New secret was refused by one of the backends";
    assert_eq!(client.closed(), (530, text.into(), 10, 70));
    let mut client = token_client(&node, 5, &["q"]);
    let nothing = by_token(client.now, 5, &[]);
    update_secret(&mut client, Ok(nothing));
    assert_eq!(client.closed(), (530, "NOT_ALLOWED - access to vhost '/' refused for user 't'".into(), 10, 70));
    // Passwords are not renewed.
    let mut client = node.channel();
    update_secret(&mut client, Err(Denied::WrongCredentials));
    let (_, method) = client.only();
    assert!(matches!(method, AMQPClass::Connection(connection::AMQPMethod::UpdateSecretOk(_))));
}

#[test]
fn rights_of_a_token_are_asked_for_at_every_door() {
    let node = node();
    let mut client = token_client(&node, 5, &["q"]);
    client.publish("amq.topic", "a", b"m");
    client.publish("amq.topic", "b", b"m");
    let text = "ACCESS_REFUSED - write access to topic 'b' in exchange 'amq.topic' in vhost '/' refused for user 't'";
    assert_eq!(client.channel_closed(1), (403, text.into()));
    let (mut client, _) = greeted(&node, false);
    client.verdicts.push(Ok(by_token(client.now, 5, &[])));
    client.start_ok("PLAIN", b"\0t\0token", &["authentication_failure_close"]);
    client.read();
    client.tune_ok(2047, 131_072, 60);
    client.open_vhost("/");
    assert_eq!(client.closed(), (530, "NOT_ALLOWED - access to vhost '/' refused for user 't'".into(), 10, 40));
}

#[test]
fn while_a_login_is_decided_nothing_is_read() {
    let node = node();
    let (mut client, _) = greeted(&node, true);
    // The owner of the connection has taken the question and not answered yet.
    let mut bytes = Vec::new();
    let start_ok = connection::StartOk {
        client_properties: Default::default(),
        mechanism: "PLAIN".into(),
        response: "\0nobody\0x".into(),
        locale: "en_US".into(),
    };
    write_method(&mut bytes, 0, &AMQPClass::Connection(connection::AMQPMethod::StartOk(start_ok)));
    let start_ok_bytes = bytes.len();
    bytes.extend_from_slice(b"more");
    assert_eq!(client.connection.on_bytes(&bytes, client.now), start_ok_bytes);
    assert!(client.connection.take_question().is_some() && client.connection.take_question().is_none());
    assert!(!client.connection.wants_read());
    assert_eq!(client.connection.on_bytes(b"more", client.now), 0);
    // The time for the handshake goes on; what is decided afterwards changes nothing.
    client.pass(Duration::from_secs(11));
    assert!(client.connection.is_finished());
    client.connection.on_verdict(Ok(by_token(client.now, 5, &["q"])), client.now);
    assert!(client.connection.is_finished() && client.read().is_empty());
}

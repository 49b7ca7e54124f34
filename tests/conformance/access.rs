//! Who may do what: virtual hosts, permissions, limits (compat.md 1.4, 1.5, 2.12), with users of a definitions file.

use crate::featured::{table, text};
use crate::stage::*;
use crate::support::*;
use std::path::Path;

/// Users whose passwords are their names: `admin` may do everything everywhere; `app` what begins with "app" or is
/// server-named; `reader` only reads; `nobody` nothing; `few` has limits; `liar` may name others.
const DEFINITIONS: &str = r#"{
  "users": [
    {"name": "admin", "password": "admin", "tags": ["administrator"]},
    {"name": "app", "password": "app", "tags": []},
    {"name": "reader", "password": "reader", "tags": []},
    {"name": "nobody", "password": "nobody", "tags": ["administrator"]},
    {"name": "few", "password": "few", "tags": [], "limits": {"max-connections": 1, "max-channels": 2}},
    {"name": "liar", "password": "liar", "tags": ["impersonator"]}
  ],
  "vhosts": [
    {"name": "/"}, {"name": "other"}, {"name": "one", "limits": {"max-connections": 1, "max-queues": 1}}
  ],
  "permissions": [
    {"user": "admin", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"},
    {"user": "admin", "vhost": "other", "configure": ".*", "write": ".*", "read": ".*"},
    {"user": "admin", "vhost": "one", "configure": ".*", "write": ".*", "read": ".*"},
    {"user": "app", "vhost": "/", "configure": "^(app|amq\\.gen)", "write": "^(app|amq\\.topic)", "read": "^(app|amq\\.topic)"},
    {"user": "reader", "vhost": "/", "configure": "", "write": "", "read": ".*"},
    {"user": "few", "vhost": "/", "configure": "", "write": "", "read": ""},
    {"user": "liar", "vhost": "/", "configure": "", "write": ".*", "read": ""}
  ],
  "topic_permissions": [{"user": "app", "vhost": "/", "exchange": "amq.topic", "write": "^{username}\\.", "read": "^app"}],
  "queues": [{"name": "app", "vhost": "/"}, {"name": "secret", "vhost": "/"}],
  "exchanges": [
    {"name": "app.x", "vhost": "/", "type": "direct"}, {"name": "app.y", "vhost": "/", "type": "direct"},
    {"name": "secret.x", "vhost": "/", "type": "direct"}
  ]
}"#;

fn broker(dir: &Path) -> Broker {
    let file = dir.join("definitions.json");
    std::fs::write(&file, DEFINITIONS).unwrap();
    broker_with(dir, &format!("[definitions]\nfile = {file:?}\n"))
}

fn user(name: &str, vhost: &str) -> Options {
    Options { user: name.into(), password: name.into(), vhost: vhost.into(), ..Default::default() }
}

/// What a user is refused, as the reply text says it.
fn refusal(access: &str, resource: &str, user: &str) -> String {
    format!("ACCESS_REFUSED - {access} access to {resource} in vhost '/' refused for user '{user}'")
}

type Act<'a> = &'a dyn Fn(&mut Client) -> Result<(), Error>;

/// Each is refused on channel 1 with 403 and this access to this resource.
#[track_caller]
fn refuses_all(client: &mut Client, user: &str, acts: &[(Act<'_>, &str, &str, (u16, u16))]) {
    for (act, access, resource, method) in acts {
        channel_refuses(client, |client| act(client), (403, &refusal(access, resource, user)), *method);
    }
}

fn declare_exchange(client: &mut Client, name: &str, alternate: Option<&str>) -> Result<(), Error> {
    let arguments = alternate.map(|alternate| table(&[("alternate-exchange", text(alternate))])).unwrap_or_default();
    let (exchange, kind) = (name.into(), "direct".into());
    client.declare_exchange(CH, exchange::Declare { exchange, kind, arguments, ..Default::default() })
}

fn declare_queue(client: &mut Client, name: &str, dead_letters: Option<&str>) -> Result<(), Error> {
    let arguments = dead_letters.map(|dlx| table(&[("x-dead-letter-exchange", text(dlx))])).unwrap_or_default();
    client.declare(CH, queue::Declare { queue: name.into(), arguments, ..Default::default() }).map(|_| ())
}

fn publish_as(client: &mut Client, exchange: &str, key: &str) -> Result<(), Error> {
    client.publish(CH, exchange, key, &BasicProperties::default(), b"m")
}

#[test]
fn every_operation_needs_what_the_table_says() {
    let dir = tempfile::tempdir().unwrap();
    let broker = broker(dir.path());
    let mut client = open_with(broker.addr, &user("app", "/"));
    refuses_all(
        &mut client,
        "app",
        &[
            (&|c| declare_exchange(c, "x", None), "configure", "exchange 'x'", EXCHANGE_DECLARE),
            (&|c| declare_exchange(c, "app.z", Some("ae")), "write", "exchange 'ae'", EXCHANGE_DECLARE),
            (&|c| c.exchange_passive(CH, "secret.x"), "configure", "exchange 'secret.x'", EXCHANGE_DECLARE),
            (&|c| c.delete_exchange(CH, "secret.x"), "configure", "exchange 'secret.x'", EXCHANGE_DELETE),
            (&|c| declare_queue(c, "q", None), "configure", "queue 'q'", QUEUE_DECLARE),
            (&|c| declare_queue(c, "app.q", Some("dlx")), "write", "exchange 'dlx'", QUEUE_DECLARE),
            (&|c| declare_queue(c, "app.q", Some("")), "write", "exchange 'amq.default'", QUEUE_DECLARE),
            (&|c| c.declare_passive(CH, "secret").map(|_| ()), "configure", "queue 'secret'", QUEUE_DECLARE),
            (&|c| c.declare_passive(CH, "missing").map(|_| ()), "configure", "queue 'missing'", QUEUE_DECLARE),
            (&|c| c.delete_queue(CH, "secret").map(|_| ()), "configure", "queue 'secret'", QUEUE_DELETE),
            (&|c| c.purge(CH, "secret").map(|_| ()), "read", "queue 'secret'", QUEUE_PURGE),
            (&|c| c.get(CH, "secret", true).map(|_| ()), "read", "queue 'secret'", BASIC_GET),
            (&|c| c.consume(CH, "secret", "", true).map(|_| ()), "read", "queue 'secret'", BASIC_CONSUME),
            (&|c| c.bind(CH, "secret", "app.x", "k"), "write", "queue 'secret'", QUEUE_BIND),
            (&|c| c.bind(CH, "app", "secret.x", "k"), "read", "exchange 'secret.x'", QUEUE_BIND),
            (&|c| c.unbind(CH, "secret", "app.x", "k"), "write", "queue 'secret'", QUEUE_UNBIND),
            (&|c| c.unbind(CH, "app", "secret.x", "k"), "read", "exchange 'secret.x'", QUEUE_UNBIND),
            (&|c| c.bind_exchange(CH, "secret.x", "app.x", "k"), "write", "exchange 'secret.x'", EXCHANGE_BIND),
            (&|c| c.bind_exchange(CH, "app.x", "secret.x", "k"), "read", "exchange 'secret.x'", EXCHANGE_BIND),
            (&|c| c.unbind_exchange(CH, "app.x", "secret.x", "k"), "read", "exchange 'secret.x'", EXCHANGE_UNBIND),
            (&|c| publish_as(c, "", "app"), "write", "exchange 'amq.default'", BASIC_PUBLISH),
            (&|c| publish_as(c, "secret.x", "k"), "write", "exchange 'secret.x'", BASIC_PUBLISH),
            (&|c| publish_as(c, "missing", "k"), "write", "exchange 'missing'", BASIC_PUBLISH),
        ],
    );
    // And what it may.
    client.declare(CH, queue::Declare { exclusive: true, ..Default::default() }).unwrap();
    declare_exchange(&mut client, "app.z", Some("app.ae")).unwrap();
    declare_queue(&mut client, "app.q", Some("app.dlx")).unwrap();
    client.bind(CH, "app.q", "app.z", "k").unwrap();
    client.bind_exchange(CH, "app.z", "app.x", "k").unwrap();
    publish_as(&mut client, "app.x", "k").unwrap();
    assert_eq!(counts(&mut client, "app.q").0, 1);
    assert_eq!(drain(&mut client, "app.q"), ["m"]);
    client.unbind_exchange(CH, "app.z", "app.x", "k").unwrap();
    client.unbind(CH, "app.q", "app.z", "k").unwrap();
    client.delete_exchange(CH, "app.z").unwrap();
    client.delete_queue(CH, "app.q").unwrap();
}

#[test]
fn an_empty_expression_permits_nothing_and_any_access_a_passive_declaration() {
    let dir = tempfile::tempdir().unwrap();
    let broker = broker(dir.path());
    let mut client = open_with(broker.addr, &user("reader", "/"));
    refuses_all(
        &mut client,
        "reader",
        &[
            (&|c| c.bind(CH, "app", "amq.direct", "k"), "write", "queue 'app'", QUEUE_BIND),
            (&|c| publish_as(c, "amq.direct", "k"), "write", "exchange 'amq.direct'", BASIC_PUBLISH),
        ],
    );
    client.declare_passive(CH, "secret").unwrap();
    client.exchange_passive(CH, "secret.x").unwrap();
    let missing = "NOT_FOUND - no queue 'missing' in vhost '/'";
    channel_refuses(&mut client, |client| client.declare_passive(CH, "missing"), (404, missing), QUEUE_DECLARE);
    assert!(client.get(CH, "secret", true).unwrap().is_none());
    // The default exchange is refused before permissions are looked at.
    let default = "ACCESS_REFUSED - operation not permitted on the default exchange";
    channel_refuses(&mut client, |client| declare_exchange(client, "", None), (403, default), EXCHANGE_DECLARE);
    let system = "ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost '/' not allowed";
    channel_refuses(&mut client, |client| client.delete_exchange(CH, "amq.direct"), (403, system), EXCHANGE_DELETE);
}

#[test]
fn keys_of_topic_exchanges_have_permissions_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let broker = broker(dir.path());
    let mut client = open_with(broker.addr, &user("app", "/"));
    client.bind(CH, "app", "amq.topic", "app.#").unwrap();
    publish_as(&mut client, "amq.topic", "app.1").unwrap();
    assert_eq!(drain(&mut client, "app"), ["m"]);
    let text = |access: &str, key: &str| refusal(access, &format!("topic '{key}' in exchange 'amq.topic'"), "app");
    let (write, read) = (text("write", "other.1"), text("read", "other.#"));
    channel_refuses(&mut client, |client| publish_as(client, "amq.topic", "other.1"), (403, &write), BASIC_PUBLISH);
    channel_refuses(&mut client, |client| client.bind(CH, "app", "amq.topic", "other.#"), (403, &read), QUEUE_BIND);
    let mut headers = FieldTable::default();
    let keys: FieldArray = vec![AMQPValue::LongString("app.2".into()), AMQPValue::LongString("other.1".into())].into();
    headers.insert("BCC".into(), AMQPValue::FieldArray(keys));
    let copied = BasicProperties::default().with_headers(headers);
    let publish = |client: &mut Client| client.publish(CH, "amq.topic", "app.1", &copied, b"m");
    channel_refuses(&mut client, publish, (403, &write), BASIC_PUBLISH);
    assert!(drain(&mut client, "app").is_empty());
}

#[test]
fn keys_are_judged_after_a_messages_properties_and_before_its_user() {
    let dir = tempfile::tempdir().unwrap();
    let broker = broker(dir.path());
    let mut client = open_with(broker.addr, &user("app", "/"));
    let somebody = BasicProperties::default().with_user_id("somebody".into());
    let copied = somebody.clone().with_headers(table(&[("CC", text("no list"))]));
    let topic = refusal("write", "topic 'other.1' in exchange 'amq.topic'", "app");
    let invalid = "PRECONDITION_FAILED - invalid ";
    let cases = [
        (
            copied.clone().with_expiration("soon".into()).with_reply_to("amq.rabbitmq.reply-to".into()),
            406,
            "PRECONDITION_FAILED - fast reply consumer does not exist".to_owned(),
        ),
        (copied.clone().with_expiration("soon".into()), 406, format!("{invalid}expiration 'soon': no_integer")),
        (copied, 406, format!("{invalid}message: {{unacceptable_type_in_header,\"CC\",longstr}}")),
        (somebody, 403, topic.clone()),
        (BasicProperties::default(), 403, topic),
    ];
    for (properties, code, text) in cases {
        let publish = |client: &mut Client| client.publish(CH, "amq.topic", "other.1", &properties, b"m");
        channel_refuses(&mut client, publish, (code, &text), BASIC_PUBLISH);
    }
}

#[test]
fn an_impersonator_may_name_anybody() {
    let dir = tempfile::tempdir().unwrap();
    let broker = broker(dir.path());
    let named = BasicProperties::default().with_user_id("somebody".into());
    let mut liar = open_with(broker.addr, &user("liar", "/"));
    liar.publish(CH, "", "app", &named, b"m").unwrap();
    liar.sync(CH).unwrap();
    let mut admin = open_with(broker.addr, &user("admin", "/"));
    assert_eq!(take(&mut admin, "app").parsed_properties().user_id().as_ref().unwrap().as_str(), "somebody");
    let text = "PRECONDITION_FAILED - user_id property set to 'somebody' but authenticated user was 'admin'";
    channel_refuses(&mut admin, |client| client.publish(CH, "", "app", &named, b"m"), (406, text), BASIC_PUBLISH);
}

/// connection.open is refused with 530 and this text.
#[track_caller]
fn open_refused(broker: &Broker, user: &Options, text: &str) {
    let closed = Client::open(broker.addr, user).err().expect("a refusal").closed();
    let (code, method) = (closed.code, (closed.class, closed.method));
    assert_eq!((closed.scope, code, closed.text.as_str(), method), (Scope::Connection, 530, text, CONNECTION_OPEN));
}

#[test]
fn a_vhost_is_opened_by_whom_it_is_for() {
    let dir = tempfile::tempdir().unwrap();
    let broker = broker(dir.path());
    open_refused(&broker, &user("admin", "missing"), "NOT_ALLOWED - vhost missing not found");
    open_refused(&broker, &user("app", "other"), "NOT_ALLOWED - access to vhost 'other' refused for user 'app'");
    // A tag is no permission.
    open_refused(&broker, &user("nobody", "/"), "NOT_ALLOWED - access to vhost '/' refused for user 'nobody'");
    // The default user was not made: the file says who there is.
    let guest = Client::open(broker.addr, &Options::default()).err().expect("a refusal").closed();
    assert_eq!(guest.code, 403);
    let (mut here, mut there) =
        (open_with(broker.addr, &user("admin", "/")), open_with(broker.addr, &user("admin", "other")));
    here.declare_queue(CH, "q", false).unwrap();
    publish(&mut here, "q", "here");
    there.declare_queue(CH, "q", false).unwrap();
    publish(&mut there, "q", "there");
    assert_eq!((drain(&mut here, "q"), drain(&mut there, "q")), (vec!["here".into()], vec!["there".into()]));
    let text = "NOT_FOUND - no queue 'app' in vhost 'other'";
    channel_refuses(&mut there, |client| client.declare_passive(CH, "app"), (404, text), QUEUE_DECLARE);
}

#[test]
fn vhosts_and_users_have_limits() {
    let dir = tempfile::tempdir().unwrap();
    let broker = broker(dir.path());
    let mut only = open_with(broker.addr, &user("admin", "one"));
    let text = "NOT_ALLOWED - access to vhost 'one' refused for user 'admin': connection limit (1) is reached";
    open_refused(&broker, &user("admin", "one"), text);
    only.declare_queue(CH, "a", true).unwrap();
    let text = "PRECONDITION_FAILED - cannot declare queue 'b': queue limit in vhost 'one' (1) is reached";
    channel_refuses(&mut only, |client| client.declare_queue(CH, "b", true), (406, text), QUEUE_DECLARE);
    only.declare_queue(CH, "a", true).unwrap();

    let mut few = open_with(broker.addr, &user("few", "/"));
    let text = "NOT_ALLOWED - connection refused for user 'few': user connection limit (1) is reached";
    open_refused(&broker, &user("few", "/"), text);
    few.open_channel(2).unwrap();
    let text = "NOT_ALLOWED - number of channels opened for user 'few' has reached the maximum allowed user limit of 2";
    connection_refuses(&mut few, |client| client.open_channel(3), (530, text), NO_METHOD);
    eventually("who goes makes room", || Client::open(broker.addr, &user("few", "/")).is_ok());
}

#[test]
fn the_node_has_a_limit() {
    let dir = tempfile::tempdir().unwrap();
    let broker = broker_with(dir.path(), "[listener]\nconnection_max = 1\n");
    let mut first = open_at(broker.addr);
    let text = "NOT_ALLOWED - connection refused: node connection limit (1) is reached";
    open_refused(&broker, &Options::default(), text);
    first.sync(CH).unwrap();
}

#[test]
fn permissions_and_vhosts_are_there_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = broker(dir.path());
    let mut client = open_with(first.addr, &user("admin", "other"));
    client.declare_queue(CH, "q", true).unwrap();
    client.confirm_select(CH).unwrap();
    client.publish(CH, "", "q", &BasicProperties::default().with_delivery_mode(2), b"m").unwrap();
    client.wait_confirms(CH).unwrap();
    first.kill9();
    // Without the file: what was imported stays, and no default user comes.
    let second = Broker::start(&first.data_dir.clone(), &[]);
    assert_eq!(drain(&mut open_with(second.addr, &user("admin", "other")), "q"), ["m"]);
    let text = refusal("read", "queue 'secret'", "app");
    let mut app = open_with(second.addr, &user("app", "/"));
    channel_refuses(&mut app, |client| client.get(CH, "secret", true), (403, &text), BASIC_GET);
    assert_eq!(Client::open(second.addr, &Options::default()).err().expect("a refusal").closed().code, 403);
}

#[test]
fn a_faulty_definitions_file_ends_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("definitions.json");
    let config = dir.path().join("warren.toml");
    std::fs::write(&config, format!("[definitions]\nfile = {file:?}\n")).unwrap();
    let cases = [
        (None, "cannot be read"),
        (Some("{"), "no JSON"),
        (Some(r#"{"users": [{"name": 1}]}"#), "users[0].name: text is expected"),
        (Some(r#"{"original_vhost_name": "/"}"#), "definitions of one virtual host"),
    ];
    for (content, problem) in cases {
        if let Some(content) = content {
            std::fs::write(&file, content).unwrap();
        }
        let data = dir.path().join("data");
        let refused = Broker::try_start(&data, free_port(), &["--config", config.to_str().unwrap()]);
        let Err(said) = refused else { panic!("started with {content:?}") };
        assert!(said.contains("definitions.json") && said.contains(problem), "{problem}: {said}");
    }
}

//! Files as RabbitMQ exports them, and faulty ones.

use super::*;
use crate::auth::password;
use crate::broker::access::HashAlgorithm;
use crate::broker::policy::Object;
use crate::broker::queue::QueueKind;
use crate::broker::refusal::Refusal;
use crate::clock::SystemClock;
use crate::engine::{Broker, Options};
use crate::name::Name;
use crate::store::committer::SyncPolicy;
use crate::store::memory::MemoryStorage;
use crate::value::Value;
use std::sync::Arc;

/// As RabbitMQ 4 exports it, cut down.
const EXPORTED: &str = r#"{
  "rabbit_version": "4.2.0", "rabbitmq_version": "4.2.0", "product_name": "RabbitMQ", "product_version": "4.2.0",
  "rabbitmq_definition_format": "cluster", "original_cluster_name": "rabbit@host", "explanation": "Definitions",
  "users": [
    {"name": "admin", "password_hash": "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR",
     "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": ["administrator"], "limits": {}},
    {"name": "app", "password": "secret", "tags": "", "limits": {"max-connections": 5, "max-channels": -1}}
  ],
  "vhosts": [
    {"name": "/", "description": "Default virtual host", "tags": [], "limits": [],
     "metadata": {"description": "Default virtual host", "tags": [], "default_queue_type": "classic"}},
    {"name": "v", "limits": {"max-queues": 9}, "metadata": {"description": "", "tags": ["a"], "default_queue_type": "quorum"}}
  ],
  "permissions": [
    {"user": "admin", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"},
    {"user": "app", "vhost": "v", "configure": "", "write": "^x$", "read": "^q$"}
  ],
  "topic_permissions": [{"user": "app", "vhost": "v", "exchange": "x", "write": "^{username}", "read": ".*"}],
  "parameters": [
    {"component": "vhost-limits", "vhost": "/", "name": "limits", "value": {"max-connections": 3}},
    {"component": "operator_policy", "vhost": "v", "name": "op",
     "value": {"pattern": ".*", "apply-to": "queues", "priority": 1, "definition": {"max-length": 3}}},
    {"component": "shovel", "vhost": "v", "name": "s", "value": {"src-uri": "amqp://", "ack": true, "n": 1.5}}
  ],
  "global_parameters": [{"name": "cluster_name", "value": "rabbit@host"}],
  "policies": [{"vhost": "v", "name": "p", "pattern": "^q", "apply-to": "all", "definition": {"max-length": 7}, "priority": 2}],
  "queues": [
    {"name": "q", "vhost": "v", "durable": true, "auto_delete": false, "type": "quorum",
     "arguments": {"x-queue-type": "quorum", "x-delivery-limit": 4}},
    {"name": "amq.gen-x", "vhost": "v", "durable": true, "auto_delete": false, "arguments": {}}
  ],
  "exchanges": [
    {"name": "x", "vhost": "v", "type": "topic", "durable": true, "auto_delete": false, "internal": false, "arguments": {}},
    {"name": "amq.topic", "vhost": "v", "type": "topic", "durable": true, "auto_delete": false, "internal": false,
     "arguments": {}}
  ],
  "bindings": [
    {"source": "x", "vhost": "v", "destination": "q", "destination_type": "queue", "routing_key": "a.*", "arguments": {}},
    {"source": "x", "vhost": "v", "destination": "gone", "destination_type": "queue", "routing_key": "", "arguments": {}},
    {"source": "", "vhost": "v", "destination": "q", "destination_type": "queue", "routing_key": "q", "arguments": {}}
  ]
}"#;

pub(super) fn start(storage: &Arc<MemoryStorage>) -> Arc<Broker> {
    let options = Options {
        memory_budget: 256 << 20,
        held_publishes: 0,
        cluster_name: "warren".to_owned(),
        node_name: "warren".to_owned(),
        event_vhost: Name::new("/").unwrap(),
        sync: SyncPolicy::Always,
        clock: Arc::new(SystemClock),
        connection_max: None,
        default_queue_type: QueueKind::Classic,
        limits: Default::default(),
        first_start: None,
    };
    Broker::start(storage.clone(), options).unwrap()
}

#[test]
fn an_export_is_imported_and_stays() {
    let storage = Arc::new(MemoryStorage::default());
    for round in 0..3 {
        let broker = start(&storage);
        if round < 2 {
            import(&broker, Definitions::parse(EXPORTED.as_bytes()).unwrap(), HashAlgorithm::default()).unwrap();
        }
        check(&broker);
        broker.stop().unwrap();
    }
}

fn check(broker: &Arc<Broker>) {
    let users: Vec<_> = broker.users().iter().map(|user| user.name.as_str().to_owned()).collect();
    assert_eq!(users, ["admin", "app"]);
    assert!(password::matches(&broker.user("admin").unwrap().password, b"test12"));
    let app = broker.user("app").unwrap();
    assert!(password::matches(&app.password, b"secret") && app.tags.is_empty());
    assert_eq!((app.limits.max_connections, app.limits.max_channels), (Some(5), None));
    let vhosts = broker.vhosts();
    let [root, v] = vhosts.as_slice() else { panic!("{vhosts:?}") };
    assert_eq!((root.name.as_str(), root.limits.max_connections, root.limits.max_queues), ("/", Some(3), None));
    assert_eq!(root.metadata.description, "Default virtual host");
    assert_eq!((v.name.as_str(), v.limits.max_queues), ("v", Some(9)));
    assert_eq!(v.metadata.default_queue_type.as_ref().map(|kind| kind.as_str()), Some("quorum"));
    assert_eq!((broker.permissions().len(), broker.topic_permissions().len()), (2, 1));
    let policies = broker.policy_of("v", "q", Object::Queue(QueueKind::Quorum)).unwrap();
    assert_eq!(
        policies.map(|policy| policy.map(|name| name.as_str().to_owned())),
        [Some("p".into()), Some("op".into())]
    );
    let parameters = broker.parameters();
    assert_eq!(parameters.len(), 2);
    assert_eq!(parameters[0].value, Value::from("rabbit@host"));
    assert_eq!(parameters[1].value.as_table().unwrap().get("n"), Some(&Value::F64(1.5)));
    // What it names can be used by whom it names.
    let session = broker.open_session("v", app.identity()).unwrap();
    let name = |text| crate::name::Name::new(text).unwrap();
    assert_eq!(session.check_queue(&name("q")).unwrap().messages, 0);
    assert!(session.route("x", b"app.a", b"").is_ok());
    assert!(session.authorize_keys("x", &[b"app.a"]).is_ok());
    assert!(matches!(session.authorize_keys("x", &[b"a.b"]), Err(Refusal::TopicRefused { .. })));
    assert!(matches!(session.check_queue(&name("amq.gen-x")), Err(Refusal::AccessRefused { .. })));
    session.close();
    assert!(matches!(broker.open_session("/", app.identity()), Err(Refusal::VhostRefused(..))));
}

#[test]
fn what_exists_stays_as_it_is() {
    let broker = start(&Arc::new(MemoryStorage::default()));
    let first = r#"{"vhosts": [{"name": "/"}], "queues": [{"name": "q", "vhost": "/", "durable": true}],
        "exchanges": [{"name": "x", "vhost": "/", "type": "fanout"}], "users": [{"name": "u", "tags": "a, b"}]}"#;
    let other = r#"{"queues": [{"name": "q", "vhost": "/", "durable": false}],
        "exchanges": [{"name": "x", "vhost": "/", "type": "topic"}], "users": [{"name": "u", "tags": ["c"]}]}"#;
    import(&broker, Definitions::parse(first.as_bytes()).unwrap(), HashAlgorithm::default()).unwrap();
    assert_eq!(broker.user("u").unwrap().tags.len(), 2);
    import(&broker, Definitions::parse(other.as_bytes()).unwrap(), HashAlgorithm::default()).unwrap();
    assert_eq!(broker.user("u").unwrap().tags.len(), 1, "users are overwritten");
    let again =
        r#"{"queues": [{"name": "q", "vhost": "/"}], "exchanges": [{"name": "x", "vhost": "/", "type": "fanout"}]}"#;
    import(&broker, Definitions::parse(again.as_bytes()).unwrap(), HashAlgorithm::default()).unwrap();
    broker.stop().unwrap();
}

#[test]
fn hashes_of_old_files_are_md5() {
    let algorithm = |version: &str, named: &str| {
        let text =
            format!(r#"{{"rabbit_version": "{version}", "users": [{{"name": "u", "password_hash": ""{named}}}]}}"#);
        Definitions::parse(text.as_bytes()).unwrap().users[0].0.password.algorithm
    };
    assert_eq!(algorithm("3.5.7", ""), HashAlgorithm::Md5);
    assert_eq!(algorithm("3.6.0", ""), HashAlgorithm::Sha256);
    assert_eq!(algorithm("4.2.0", ""), HashAlgorithm::Sha256);
    let named = r#", "hashing_algorithm": "rabbit_password_hashing_sha512""#;
    assert_eq!(algorithm("3.5.7", named), HashAlgorithm::Sha512);
}

#[test]
fn faults_have_a_place() {
    let cases = [
        (r#"{"users": [{"name": "a"}, {"tags": []}]}"#, "users[1]", "'name' is missing"),
        (r#"{"users": [{"name": 5}]}"#, "users[0].name", "text is expected"),
        (r#"{"users": {}}"#, "users", "a list is expected"),
        (r#"{"users": [{"name": "u", "password_hash": "?"}]}"#, "users[0].password_hash", "no base64"),
        (r#"{"users": [{"name": "u", "limits": {"max-x": 1}}]}"#, "users[0].limits.max-x", "unknown limit 'max-x'"),
        (
            r#"{"queues": [{"name": "q", "vhost": "/", "durable": 1}]}"#,
            "queues[0].durable",
            "true or false is expected",
        ),
        (
            r#"{"queues": [{"name": "q", "vhost": "/", "arguments": {"a": [1, null]}}]}"#,
            "queues[0].arguments.a[1]",
            "null is no value",
        ),
        (
            r#"{"rabbitmq_definition_format": "single_virtual_host"}"#,
            "",
            "invalid_definitions_file: these are the definitions of one virtual host; only those of a whole broker can be imported here",
        ),
    ];
    for (text, place, problem) in cases {
        let fault = Definitions::parse(text.as_bytes()).unwrap_err();
        assert_eq!((fault.place.as_str(), fault.problem.as_str()), (place, problem), "{text}");
    }
    for (text, place) in [
        ("{", ""),
        ("[]", ""),
        (
            r#"{"permissions": [{"user": "u", "vhost": "/", "configure": "(", "write": "", "read": ""}]}"#,
            "permissions[0].configure",
        ),
        (r#"{"policies": [{"vhost": "/", "name": "p", "pattern": ".*", "definition": {"no": 1}}]}"#, "policies[0]"),
    ] {
        assert_eq!(Definitions::parse(text.as_bytes()).unwrap_err().place, place, "{text}");
    }
}

#[test]
fn what_cannot_be_made_has_its_place() {
    let broker = start(&Arc::new(MemoryStorage::default()));
    let cases = [
        (
            r#"{"permissions": [{"user": "u", "vhost": "v", "configure": "", "write": "", "read": ""}]}"#,
            "permissions[0]",
            "vhost v not found",
        ),
        (r#"{"queues": [{"name": "q", "vhost": "v"}]}"#, "queues[0]", "vhost v not found"),
    ];
    for (text, place, problem) in cases {
        let fault =
            import(&broker, Definitions::parse(text.as_bytes()).unwrap(), HashAlgorithm::default()).unwrap_err();
        assert_eq!((fault.place.as_str(), fault.problem.as_str()), (place, problem));
    }
    broker.stop().unwrap();
}

#[test]
fn all_that_is_not_supported_is_told_at_once_and_before_anything_is_made() {
    let text = r#"{"vhosts": [{"name": "/"}, {"name": "s", "metadata": {"default_queue_type": "stream"}}],
        "queues": [{"name": "q", "vhost": "/"}, {"name": "log", "vhost": "/", "arguments": {"x-queue-type": "stream"}},
            {"name": "old", "vhost": "s", "type": "stream"}, {"name": "m", "vhost": "/", "type": "rabbit_mqtt_qos0_queue"}],
        "exchanges": [{"name": "x", "vhost": "/", "type": "fanout"}, {"name": "f", "vhost": "/", "type": "x-federation-upstream"}]}"#;
    let told = "nothing is imported, because this is not supported: vhost 's' (default queue type stream), \
                exchange 'f' in vhost '/' (type x-federation-upstream), queue 'log' in vhost '/' (type stream), \
                queue 'old' in vhost 's' (type stream), queue 'm' in vhost '/' (type rabbit_mqtt_qos0_queue)";
    assert_eq!(Definitions::parse(text.as_bytes()).unwrap_err().problem, told);
    let streams: Vec<String> =
        (0..25).map(|n| format!(r#"{{"name": "s{n}", "vhost": "/", "type": "stream"}}"#)).collect();
    let many = format!(r#"{{"queues": [{}]}}"#, streams.join(","));
    let told = Definitions::parse(many.as_bytes()).unwrap_err().problem;
    assert!(told.contains("'s19'") && !told.contains("'s20'") && told.ends_with(", and 5 more"), "{told}");
}

#[test]
fn types_are_known_by_their_modules_too() {
    let text = r#"{"vhosts": [{"name": "a", "default_queue_type": "rabbit_quorum_queue"}, {"name": "b", "default_queue_type": ""}],
        "queues": [{"name": "c", "vhost": "/", "type": "rabbit_classic_queue"}, {"name": "q", "vhost": "/", "type": "rabbit_quorum_queue"},
            {"name": "u", "vhost": "/", "type": "undefined"}]}"#;
    let found = Definitions::parse(text.as_bytes()).unwrap();
    let types = found.vhosts.iter().map(|(_, about, _)| about.default_queue_type.as_ref().map(Name::as_str));
    assert_eq!(types.collect::<Vec<_>>(), [Some("quorum"), None]);
    let stream = r#"{"queues": [{"name": "s", "vhost": "/", "type": "rabbit_stream_queue"}]}"#;
    assert!(Definitions::parse(stream.as_bytes()).unwrap_err().problem.ends_with("'s' in vhost '/' (type stream)"));
}

#[test]
fn what_is_kept_without_effect_is_told() {
    let text = r#"{"parameters": [{"component": "shovel", "vhost": "/", "name": "move", "value": {}},
            {"component": "other", "vhost": "/", "name": "o", "value": {}}],
        "policies": [{"vhost": "/", "name": "p", "pattern": "^f", "definition": {"federation-upstream-set": "all"}},
            {"vhost": "/", "name": "ha", "pattern": "", "definition": {"ha-mode": "all"}}]}"#;
    let told = Definitions::parse(text.as_bytes()).unwrap().idle;
    let wanted = "shovel 'move' in vhost '/', federation-upstream-set of policy 'p' in vhost '/'";
    assert_eq!(told.as_deref(), Some(wanted));
    assert_eq!(Definitions::parse(b"{}").unwrap().idle, None);
}

#[test]
fn a_mark_of_the_byte_order_is_no_fault() {
    assert!(Definitions::parse(b"\xef\xbb\xbf{\"queues\": [{\"name\": \"q\", \"vhost\": \"/\"}]}").is_ok());
}

//! Declaring and deleting exchanges and queue names.

use super::*;
use crate::value::Value;

#[test]
fn a_new_virtual_host_has_the_predeclared_exchanges() {
    let topology = topology();
    let mut listed: Vec<_> = topology
        .exchanges()
        .map(|exchange| {
            let spec = exchange.spec();
            assert!(spec.durable && !spec.auto_delete);
            (spec.name.as_str().to_owned(), spec.kind.name(), spec.internal)
        })
        .collect();
    listed.sort();
    let expected = [
        ("", "direct", false),
        ("amq.direct", "direct", false),
        ("amq.fanout", "fanout", false),
        ("amq.headers", "headers", false),
        ("amq.match", "headers", false),
        ("amq.rabbitmq.trace", "topic", true),
        ("amq.topic", "topic", false),
    ];
    assert_eq!(listed, expected.map(|(name, kind, internal)| (name.to_owned(), kind, internal)));
    assert_eq!(topology.vhost().as_str(), "/");
}

#[test]
fn kinds_have_names() {
    for kind in [ExchangeKind::Direct, ExchangeKind::Fanout, ExchangeKind::Topic, ExchangeKind::Headers] {
        assert_eq!(ExchangeKind::parse(kind.name()), Ok(kind));
    }
    assert_eq!(text(ExchangeKind::parse("x-odd")), "unknown exchange type 'x-odd'");
}

#[test]
fn redeclaring_the_same_is_no_error_and_no_change() {
    let mut topology = topology();
    assert_eq!(topology.declare_exchange(spec("x", ExchangeKind::Fanout)), Ok(true));
    let version = topology.version();
    assert_eq!(topology.declare_exchange(spec("x", ExchangeKind::Fanout)), Ok(false));
    assert_eq!(topology.declare_exchange(spec("amq.topic", ExchangeKind::Topic)), Ok(false));
    assert_eq!(topology.version(), version);
    assert_eq!(topology.check_exchange(&name("x")).unwrap().spec().kind, ExchangeKind::Fanout);
}

#[test]
fn redeclaring_otherwise_names_the_first_difference() {
    let mut topology = topology();
    topology.declare_exchange(spec("x", ExchangeKind::Fanout)).unwrap();
    let mut refused = |change: fn(&mut ExchangeSpec)| {
        let mut asked = spec("x", ExchangeKind::Fanout);
        change(&mut asked);
        text(topology.declare_exchange(asked))
    };
    assert_eq!(
        refused(|asked| {
            asked.kind = ExchangeKind::Direct;
            asked.durable = false;
        }),
        "inequivalent arg 'type' for exchange 'x' in vhost '/': received 'direct' but current is 'fanout'"
    );
    assert_eq!(
        refused(|asked| asked.durable = false),
        "inequivalent arg 'durable' for exchange 'x' in vhost '/': received 'false' but current is 'true'"
    );
    assert_eq!(
        refused(|asked| asked.auto_delete = true),
        "inequivalent arg 'auto_delete' for exchange 'x' in vhost '/': received 'true' but current is 'false'"
    );
    assert_eq!(
        refused(|asked| asked.internal = true),
        "inequivalent arg 'internal' for exchange 'x' in vhost '/': received 'true' but current is 'false'"
    );
    assert_eq!(
        refused(|asked| asked.arguments.push("alternate-exchange", "y")),
        "inequivalent arg 'alternate-exchange' for exchange 'x' in vhost '/': received the value 'y' of type 'longstr' \
         but current is none"
    );
    let mut other_argument = spec("x", ExchangeKind::Fanout);
    other_argument.arguments.push("x-anything", 5);
    assert_eq!(topology.declare_exchange(other_argument), Ok(false));
}

#[test]
fn a_redeclared_alternate_exchange_is_compared() {
    let mut topology = topology();
    let with = |alternate: &str| {
        let mut asked = spec("x", ExchangeKind::Fanout);
        asked.arguments.push("alternate-exchange", alternate);
        asked
    };
    assert_eq!(topology.declare_exchange(with("y")), Ok(true));
    assert_eq!(topology.declare_exchange(with("y")), Ok(false));
    assert_eq!(
        text(topology.declare_exchange(spec("x", ExchangeKind::Fanout))),
        "inequivalent arg 'alternate-exchange' for exchange 'x' in vhost '/': received none but current is the value 'y' \
         of type 'longstr'"
    );
    assert_eq!(
        text(topology.declare_exchange(with("z"))),
        "inequivalent arg 'alternate-exchange' for exchange 'x' in vhost '/': received 'z' but current is 'y'"
    );
}

#[test]
fn names_and_arguments_are_checked_on_create_only() {
    let mut topology = topology();
    assert_eq!(
        text(topology.declare_exchange(spec("amq.mine", ExchangeKind::Direct))),
        "exchange name 'amq.mine' contains reserved prefix 'amq.*'"
    );
    assert_eq!(
        text(topology.declare_exchange(spec("amq.direct", ExchangeKind::Topic))),
        "inequivalent arg 'type' for exchange 'amq.direct' in vhost '/': received 'topic' but current is 'direct'"
    );
    let default = "operation not permitted on the default exchange";
    assert_eq!(text(topology.declare_exchange(spec("", ExchangeKind::Direct))), default);
    assert_eq!(text(topology.check_exchange(&name("")).map(|_| ())), default);
    assert_eq!(text(topology.delete_exchange(&name(""), false)), default);
    let mut odd = spec("x", ExchangeKind::Direct);
    odd.arguments.push("alternate-exchange", Value::Bool(true));
    assert_eq!(
        text(topology.declare_exchange(odd)),
        "invalid type 'bool' for arg 'alternate-exchange' in exchange 'x' in vhost '/'"
    );
    assert_eq!(text(topology.check_exchange(&name("x")).map(|_| ())), "no exchange 'x' in vhost '/'");
    assert_eq!(topology.version(), 0);
}

#[test]
fn deleting_is_idempotent_and_spares_the_system_and_the_used() {
    let mut topology = topology();
    assert!(topology.delete_exchange(&name("x"), true).unwrap().is_empty());
    assert_eq!(
        text(topology.delete_exchange(&name("amq.direct"), false)),
        "deletion of system exchange 'amq.direct' in vhost '/' not allowed"
    );
    topology.declare_exchange(spec("x", ExchangeKind::Fanout)).unwrap();
    topology.declare_exchange(ExchangeSpec { durable: false, ..spec("y", ExchangeKind::Fanout) }).unwrap();
    topology.add_queue(name("q"), QueueId(1), true);
    topology.bind(to_queue("x", "q", "")).unwrap();
    topology.bind(to_exchange("amq.direct", "x", "in")).unwrap();
    topology.bind(to_exchange("x", "y", "out")).unwrap();
    topology.bind(to_exchange("x", "x", "self")).unwrap();
    assert_eq!(text(topology.delete_exchange(&name("x"), true)), "exchange 'x' in vhost '/' in use");
    check(&topology);
    let removed = topology.delete_exchange(&name("x"), false).unwrap();
    assert_eq!(exchange_names(&removed), ["x"]);
    assert_eq!(lines(&removed.bindings), ["amq.direct -in-> x", "x --> q", "x -out-> y", "x -self-> x"]);
    assert_eq!(lines(removed.durable_bindings()), ["amq.direct -in-> x", "x --> q", "x -self-> x"]);
    assert_eq!(removed.durable_exchanges().count(), 1);
    assert!(topology.exchange("x").is_none());
    assert_eq!(topology.bindings().count(), 0);
    check(&topology);
    let removed = topology.delete_exchange(&name("y"), true).unwrap();
    assert_eq!((exchange_names(&removed), removed.durable_exchanges().count()), (vec!["y"], 0));
}

#[test]
fn if_unused_looks_at_outgoing_bindings_only() {
    let mut topology = topology();
    topology.declare_exchange(spec("x", ExchangeKind::Fanout)).unwrap();
    topology.bind(to_exchange("amq.direct", "x", "in")).unwrap();
    assert_eq!(exchange_names(&topology.delete_exchange(&name("x"), true).unwrap()), ["x"]);
}

#[test]
fn queue_names_are_taken_once() {
    let mut topology = topology();
    assert!(topology.add_queue(name("q"), QueueId(1), true));
    assert!(!topology.add_queue(name("q"), QueueId(2), true));
    assert_eq!(topology.queue("q"), Some(QueueId(1)));
    assert_eq!(topology.queues().map(|(name, id)| (name.as_str(), id.0)).collect::<Vec<_>>(), [("q", 1)]);
    assert!(topology.remove_queue("q").is_empty());
    assert!(topology.remove_queue("q").is_empty());
    assert_eq!(topology.queue("q"), None);
    assert!(topology.add_queue(name("q"), QueueId(3), false));
    assert_eq!(routed(&topology, "", "q"), [3]);
}

//! Policies take effect at once on what is there, and outlive a restart (compat.md 2.9).

use super::*;
use crate::broker::policy::{ApplyTo, Object, Policy};
use crate::broker::queue::QueueKind;
use crate::name::Name;
use crate::value::Value;

fn policy(name: &str, apply_to: ApplyTo, definition: &[(&'static str, Value)], operator: bool) -> Policy {
    let definition = definition.iter().cloned().collect();
    Policy::new(Name::new(name).unwrap(), "^q", apply_to, definition, 0, operator).unwrap()
}

fn declare(client: &mut Client, exchange: &str) {
    let declare = exchange::Declare { exchange: exchange.into(), kind: "direct".into(), ..Default::default() };
    client.method(1, AMQPClass::Exchange(exchange::AMQPMethod::Declare(declare)));
    assert!(matches!(client.only(), (1, AMQPClass::Exchange(exchange::AMQPMethod::DeclareOk(_)))));
}

fn name(name: &str) -> Name {
    Name::new(name).unwrap()
}

#[test]
fn a_limit_reaches_a_queue_that_is_full_and_leaves_it_again() {
    let node = node();
    let mut client = node.channel();
    client.declare(1, queue::Declare { queue: "q".into(), ..Default::default() });
    (0..10).for_each(|_| client.publish("", "q", b"m"));
    assert_eq!(client.ready("q"), 10);
    node.broker.set_policy("/", policy("p", ApplyTo::Queues, &[("max-length", 4.into())], false), false).unwrap();
    assert_eq!(client.ready("q"), 4, "the oldest had to go");
    node.broker.set_policy("/", policy("o", ApplyTo::Queues, &[("max-length", 2.into())], true), true).unwrap();
    assert_eq!(client.ready("q"), 2, "the operator's word is the least");
    let object = Object::Queue(QueueKind::Classic);
    assert_eq!(node.broker.policy_of("/", "q", object).unwrap(), [Some(name("p")), Some(name("o"))]);
    assert_eq!(node.broker.policy_of("/", "other", object).unwrap(), [None, None]);
    for (which, operator) in [("p", false), ("o", true)] {
        assert!(node.broker.remove_policy("/", &name(which), operator).unwrap());
        assert!(!node.broker.remove_policy("/", &name(which), operator).unwrap());
    }
    (0..10).for_each(|_| client.publish("", "q", b"m"));
    assert_eq!(client.ready("q"), 12);
}

#[test]
fn an_exchange_gets_an_alternate_unless_it_has_one() {
    let node = node();
    let mut client = node.channel();
    client.declare(1, queue::Declare { queue: "lost".into(), ..Default::default() });
    declare(&mut client, "q.before");
    let definition = [("alternate-exchange", "amq.fanout".into())];
    node.broker.set_policy("/", policy("p", ApplyTo::Exchanges, &definition, false), false).unwrap();
    declare(&mut client, "q.after");
    declare(&mut client, "x.not");
    client.bind("lost", "amq.fanout", "");
    ["q.before", "q.after", "x.not"].iter().for_each(|exchange| client.publish(exchange, "k", b"m"));
    assert_eq!(client.ready("lost"), 2);
    node.broker.remove_policy("/", &name("p"), false).unwrap();
    client.publish("q.before", "k", b"m");
    assert_eq!(client.ready("lost"), 2);
}

#[test]
fn any_exchange_delays_messages_if_its_policy_says_so() {
    let node = node();
    let mut client = node.channel();
    declare(&mut client, "q.x");
    client.queue("target", false);
    client.bind("target", "q.x", "k");
    let publish = |client: &mut Client, delay: i64| {
        let headers = Some(Table::from_iter([("x-delay", Value::I64(delay))]));
        client.send(&message(1, "q.x", "k", false, &PropertiesBuilder { headers, ..Default::default() }, b"m"));
    };
    publish(&mut client, 3_600_000);
    assert_eq!(client.ready("target"), 1);
    let definition = [("delayed-message", true.into())];
    node.broker.set_policy("/", policy("p", ApplyTo::Exchanges, &definition, false), false).unwrap();
    publish(&mut client, 3_600_000);
    publish(&mut client, 1);
    client.publish("q.x", "k", b"m");
    assert_eq!(
        (client.ready("target") >= 2, node.broker.messages_delayed("/", "q.x").unwrap() >= Some(1)),
        (true, true)
    );
    let begun = Instant::now();
    while client.ready("target") < 3 {
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
    assert_eq!(node.broker.messages_delayed("/", "q.x"), Ok(Some(1)));
    node.broker.remove_policy("/", &name("p"), false).unwrap();
    publish(&mut client, 3_600_000);
    assert_eq!(client.ready("target"), 4);
    assert_eq!(node.broker.messages_delayed("/", "q.x"), Ok(Some(1)), "what waits goes on waiting");
}

#[test]
fn policies_are_there_after_a_restart() {
    let storage = Arc::new(MemoryStorage::default());
    let broker = Broker::start(storage.clone(), options(1 << 28)).unwrap();
    broker.set_policy("/", policy("p", ApplyTo::Queues, &[("max-length", 4.into())], false), false).unwrap();
    broker.set_policy("/", policy("o", ApplyTo::All, &[("expires", 9000.into())], true), true).unwrap();
    broker.set_policy("/", policy("gone", ApplyTo::All, &[("expires", 9000.into())], true), true).unwrap();
    broker.remove_policy("/", &name("gone"), true).unwrap();
    broker.stop().unwrap();
    let broker = Broker::start(storage, options(1 << 28)).unwrap();
    let names = |operator| {
        let policies = broker.policies("/", operator).unwrap();
        policies.iter().map(|policy| policy.name.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((names(false), names(true)), (vec!["p".to_owned()], vec!["o".to_owned()]));
    broker.stop().unwrap();
}

#[test]
fn an_exchanges_argument_counts_before_its_policy() {
    let node = node();
    let mut client = node.channel();
    for queue in ["by argument", "by policy"] {
        client.declare(1, queue::Declare { queue: queue.into(), ..Default::default() });
    }
    client.bind("by argument", "amq.fanout", "");
    client.bind("by policy", "amq.topic", "#");
    let arguments = Table::from_iter([("alternate-exchange", Value::from("amq.fanout"))]);
    let (exchange, kind) = ("q.x".into(), "direct".into());
    let declare =
        exchange::Declare { exchange, kind, arguments: table_to_amq(&arguments).unwrap(), ..Default::default() };
    client.method(1, AMQPClass::Exchange(exchange::AMQPMethod::Declare(declare)));
    assert!(matches!(client.only(), (1, AMQPClass::Exchange(exchange::AMQPMethod::DeclareOk(_)))));
    let definition = [("alternate-exchange", "amq.topic".into())];
    node.broker.set_policy("/", policy("p", ApplyTo::Exchanges, &definition, false), false).unwrap();
    client.publish("q.x", "k", b"m");
    assert_eq!((client.ready("by argument"), client.ready("by policy")), (1, 0));
}

/// Asks until it is so.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn times_follow_policies_at_once() {
    let node = node();
    let mut client = node.channel();
    client.queue("q", false);
    client.publish("", "q", b"before");
    node.broker.set_policy("/", policy("p", ApplyTo::Queues, &[("message-ttl", 1.into())], false), false).unwrap();
    client.publish("", "q", b"after");
    client.get("q", true);
    client.read();
    eventually("it has expired", || client.ready("q") == 0);
    node.broker.set_policy("/", policy("p", ApplyTo::Queues, &[("expires", 1.into())], false), false).unwrap();
    eventually("nobody used the queue", || {
        client.send(&message(1, "", "q", true, &PropertiesBuilder::default(), b"m"));
        let returned = |seen: &Seen| matches!(seen, Seen::Method(1, AMQPClass::Basic(basic::AMQPMethod::Return(_))));
        client.read().iter().any(returned)
    });
}

#[test]
fn bytes_are_counted_as_soon_as_a_policy_asks() {
    let node = node();
    let mut client = node.channel();
    client.queue("q", false);
    (0..10).for_each(|_| client.publish("", "q", b"123"));
    node.broker.set_policy("/", policy("p", ApplyTo::All, &[("max-length-bytes", 13.into())], false), false).unwrap();
    assert_eq!(client.ready("q"), 4);
    node.broker.set_policy("/", policy("o", ApplyTo::All, &[("max-length-bytes", 6.into())], true), true).unwrap();
    assert_eq!(client.ready("q"), 2);
}

#[test]
fn a_quorum_queues_limits_follow_policies_at_once() {
    let node = node();
    let mut client = node.channel();
    let arguments = table_to_amq(&Table::from_iter([("x-queue-type", "quorum")])).unwrap();
    client.declare(1, queue::Declare { queue: "q".into(), durable: true, arguments, ..Default::default() });
    let fail = |client: &mut Client, tag| {
        client.publish("", "q", b"m");
        client.get("q", false);
        client.read_until(|seen| seen.len() == 3);
        let reject = basic::Reject { delivery_tag: tag, requeue: true };
        client.method(1, AMQPClass::Basic(basic::AMQPMethod::Reject(reject)));
    };
    fail(&mut client, 1);
    assert_eq!(client.ready("q"), 1);
    client.get("q", true);
    client.read();
    let set = |definition: &[(&'static str, Value)], operator| {
        let policy = policy("p", ApplyTo::QuorumQueues, definition, operator);
        node.broker.set_policy("/", policy, operator).unwrap();
    };
    set(&[("delivery-limit", 0.into())], false);
    fail(&mut client, 3);
    assert_eq!(client.ready("q"), 0, "once is too often");
    set(&[("delivery-limit", 5.into()), ("delayed-retry-type", "all".into())], false);
    set(&[("delayed-retry-min", 3_600_000.into())], true);
    fail(&mut client, 4);
    assert_eq!(client.ready("q"), 0, "it waits");
    let expected = Table::from_iter([
        ("delivery-limit", Value::from(5)),
        ("delayed-retry-type", "all".into()),
        ("delayed-retry-min", 3_600_000.into()),
    ]);
    let object = Object::Queue(QueueKind::Quorum);
    assert_eq!(node.broker.effective_policy("/", "q", object).unwrap(), expected);
    assert!(node.broker.remove_policy("/", &name("p"), true).unwrap());
    assert!(node.broker.remove_policy("/", &name("p"), false).unwrap());
    fail(&mut client, 5);
    assert_eq!(client.ready("q"), 1, "as before all policies");
}

#[test]
fn dead_letters_and_overflow_follow_policies_at_once() {
    let node = node();
    let mut client = node.channel();
    for queue in ["q", "dead"] {
        client.declare(1, queue::Declare { queue: queue.into(), ..Default::default() });
    }
    client.publish("", "q", b"m");
    let definition =
        [("dead-letter-exchange", "".into()), ("dead-letter-routing-key", "dead".into()), ("max-length", 0.into())];
    node.broker.set_policy("/", policy("p", ApplyTo::Queues, &definition, false), false).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while client.ready("dead") == 0 {
        assert!(Instant::now() < deadline, "no dead letter");
    }
    let definition = [("overflow", "reject-publish".into()), ("max-length", 1.into())];
    node.broker.set_policy("/", policy("o", ApplyTo::Queues, &definition, true), true).unwrap();
    let object = Object::Queue(QueueKind::Classic);
    let effective = node.broker.effective_policy("/", "q", object).unwrap();
    let value = |key: &str| effective.get(key).cloned();
    assert_eq!((value("max-length"), value("overflow")), (Some(0.into()), Some("reject-publish".into())));
    client.publish("", "q", b"refused");
    assert_eq!((client.ready("q"), client.ready("dead")), (0, 1), "refused, not dead-lettered");
    assert_eq!(node.broker.effective_policy("/", "x", object).unwrap(), Table::new());
}

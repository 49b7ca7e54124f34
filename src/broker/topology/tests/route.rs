//! The walk: from exchange to exchange to queues.

use super::*;

/// A virtual host with queues `q1`, `q2`, `q3` and fanout exchanges `a`, `b`, `c`.
fn scene() -> Topology {
    let mut topology = topology();
    for number in 1..=3 {
        topology.add_queue(name(&format!("q{number}")), QueueId(number), true);
    }
    for exchange in ["a", "b", "c"] {
        topology.declare_exchange(spec(exchange, ExchangeKind::Fanout)).unwrap();
    }
    topology
}

fn with_alternate(text: &str, kind: ExchangeKind, alternate: &str) -> ExchangeSpec {
    let mut asked = spec(text, kind);
    asked.arguments.push("alternate-exchange", alternate);
    asked
}

#[test]
fn the_default_exchange_leads_to_the_queue_of_that_name() {
    let topology = scene();
    assert_eq!(routed(&topology, "", "q2"), [2]);
    assert_eq!(routed(&topology, "", "q9"), Vec::<u64>::new());
    assert_eq!(way(&topology, "", &[b"q\xff"], b"", 0).queues, []);
}

#[test]
fn direct_wants_the_very_key_and_fanout_none() {
    let mut topology = scene();
    topology.bind(to_queue("amq.direct", "q1", "k")).unwrap();
    topology.bind(to_queue("amq.direct", "q2", "k")).unwrap();
    topology.bind(to_queue("amq.direct", "q2", "#")).unwrap();
    topology.bind(to_queue("a", "q1", "k")).unwrap();
    topology.bind(to_queue("a", "q1", "l")).unwrap();
    topology.bind(to_queue("a", "q3", "")).unwrap();
    assert_eq!(routed(&topology, "amq.direct", "k"), [1, 2]);
    assert_eq!(routed(&topology, "amq.direct", "kk"), Vec::<u64>::new());
    assert_eq!(routed(&topology, "a", "anything"), [1, 3]);
    topology.unbind(to_queue("a", "q1", "k")).unwrap();
    assert_eq!(routed(&topology, "a", "anything"), [1, 3]);
    topology.unbind(to_queue("a", "q1", "l")).unwrap();
    assert_eq!(routed(&topology, "a", "anything"), [3]);
}

#[test]
fn several_keys_reach_a_queue_once() {
    let mut topology = scene();
    for (queue, key) in [("q1", "k"), ("q2", "k"), ("q1", "l"), ("q3", "l")] {
        topology.bind(to_queue("amq.direct", queue, key)).unwrap();
        topology.bind(to_queue("amq.topic", queue, key)).unwrap();
    }
    let keys: [&[u8]; 3] = [b"k", b"l", b"none"];
    for exchange in ["amq.direct", "amq.topic"] {
        assert_eq!(way(&topology, exchange, &keys, b"", 0).queues, [QueueId(1), QueueId(2), QueueId(3)]);
    }
    assert_eq!(way(&topology, "", &[b"q1", b"q1"], b"", 0).queues, [QueueId(1)]);
}

#[test]
fn a_topic_queue_with_many_matching_patterns_gets_one_copy() {
    let mut topology = scene();
    for pattern in ["#", "a.*", "*.b", "a.b", "a.#.b"] {
        topology.bind(to_queue("amq.topic", "q1", pattern)).unwrap();
    }
    assert_eq!(routed(&topology, "amq.topic", "a.b"), [1]);
}

#[test]
fn cycles_end_and_diamonds_deliver_once() {
    let mut topology = scene();
    for binding in [
        to_exchange("a", "b", ""),
        to_exchange("b", "c", ""),
        to_exchange("c", "a", ""),
        to_exchange("a", "a", "self"),
        to_exchange("a", "c", ""),
        to_queue("a", "q1", ""),
        to_queue("b", "q1", ""),
        to_queue("b", "q2", ""),
        to_queue("c", "q3", ""),
    ] {
        topology.bind(binding).unwrap();
    }
    for start in ["a", "b", "c"] {
        assert_eq!(routed(&topology, start, "k"), [1, 2, 3]);
    }
}

#[test]
fn a_message_keeps_its_key_along_a_long_chain() {
    let mut topology = topology();
    topology.add_queue(name("end"), QueueId(7), true);
    for number in 0..1_000 {
        topology.declare_exchange(spec(&format!("x{number}"), ExchangeKind::Topic)).unwrap();
    }
    for number in 0..999 {
        topology.bind(to_exchange(&format!("x{number}"), &format!("x{}", number + 1), "k.#")).unwrap();
    }
    topology.bind(to_queue("x999", "end", "k.z")).unwrap();
    assert_eq!(routed(&topology, "x0", "k.z"), [7]);
    assert_eq!(routed(&topology, "x0", "k.y"), Vec::<u64>::new());
}

#[test]
fn internal_exchanges_are_reached_by_binding() {
    let mut topology = scene();
    topology.declare_exchange(ExchangeSpec { internal: true, ..spec("inner", ExchangeKind::Fanout) }).unwrap();
    topology.bind(to_exchange("a", "inner", "")).unwrap();
    topology.bind(to_queue("inner", "q2", "")).unwrap();
    assert_eq!(routed(&topology, "a", ""), [2]);
}

#[test]
fn the_alternate_takes_what_nothing_else_does() {
    let mut topology = scene();
    topology.declare_exchange(with_alternate("x", ExchangeKind::Direct, "y")).unwrap();
    topology.bind(to_queue("x", "q1", "k")).unwrap();
    assert_eq!(routed(&topology, "x", "other"), Vec::<u64>::new(), "the alternate does not exist yet");
    topology.declare_exchange(with_alternate("y", ExchangeKind::Direct, "a")).unwrap();
    topology.bind(to_queue("y", "q2", "second")).unwrap();
    topology.bind(to_queue("a", "q3", "")).unwrap();
    assert_eq!(routed(&topology, "x", "k"), [1]);
    assert_eq!(routed(&topology, "x", "second"), [2]);
    assert_eq!(routed(&topology, "x", "third"), [3]);
    let out = way(&topology, "x", &[b"k", b"third"], b"", 0).queues;
    assert_eq!(out, [QueueId(1)], "one key found a queue, so the other needs no alternate");
    assert_eq!(topology.exchange("x").unwrap().alternate(), Some(&name("y")));
}

#[test]
fn a_bound_exchange_that_finds_nothing_asks_its_own_alternate_only() {
    let mut topology = scene();
    topology.declare_exchange(with_alternate("x", ExchangeKind::Fanout, "a")).unwrap();
    topology.declare_exchange(with_alternate("y", ExchangeKind::Direct, "b")).unwrap();
    topology.bind(to_exchange("x", "y", "")).unwrap();
    topology.bind(to_queue("a", "q1", "")).unwrap();
    topology.bind(to_queue("b", "q2", "")).unwrap();
    assert_eq!(routed(&topology, "x", "k"), [2]);
}

#[test]
fn alternates_in_a_circle_end() {
    let mut topology = scene();
    topology.declare_exchange(with_alternate("x", ExchangeKind::Direct, "y")).unwrap();
    topology.declare_exchange(with_alternate("y", ExchangeKind::Direct, "x")).unwrap();
    topology.declare_exchange(with_alternate("z", ExchangeKind::Direct, "z")).unwrap();
    assert_eq!(routed(&topology, "x", "k"), Vec::<u64>::new());
    assert_eq!(routed(&topology, "z", "k"), Vec::<u64>::new());
    topology.declare_exchange(with_alternate("named", ExchangeKind::Direct, "")).unwrap();
    assert_eq!(routed(&topology, "named", "q3"), [3]);
}

#[test]
fn each_change_has_a_version_and_nothing_else_has() {
    let mut topology = scene();
    let mut last = topology.version();
    let mut moved = |topology: &Topology| {
        let grew = topology.version() > last;
        last = topology.version();
        grew
    };
    topology.bind(to_queue("a", "q1", "")).unwrap();
    assert!(moved(&topology));
    topology.bind(to_queue("a", "q1", "")).unwrap();
    topology.unbind(to_queue("a", "q2", "")).unwrap();
    assert!(!moved(&topology));
    topology.unbind(to_queue("a", "q1", "")).unwrap();
    assert!(moved(&topology));
    topology.remove_queue("q1");
    assert!(moved(&topology));
    topology.delete_exchange(&name("a"), false).unwrap();
    assert!(moved(&topology));
}

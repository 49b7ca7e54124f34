//! Exchanges that drop duplicates: the way ends at them, and goes on behind them.

use super::*;
use crate::value::Value;

fn gate(text: &str) -> ExchangeSpec {
    let mut gate = spec(text, ExchangeKind::Deduplication);
    gate.arguments.push("x-cache-size", 10);
    gate
}

fn scene() -> Topology {
    let mut topology = topology();
    for number in 1..=4 {
        topology.add_queue(name(&format!("q{number}")), QueueId(number), true);
    }
    for text in ["g", "h"] {
        topology.declare_exchange(gate(text)).unwrap();
    }
    topology
}

/// Name, whether it is open, queues and gates behind it.
fn gates(way: &Way) -> Vec<(&str, bool, Vec<u64>, Vec<usize>)> {
    let gate = |gate: &super::super::GateWay| {
        let queues = gate.queues.iter().map(|queue| queue.0).collect();
        (way.gates.iter().position(|other| other == gate).unwrap(), gate.open, queues, gate.gates.clone())
    };
    let named = |(at, open, queues, gates): (usize, bool, Vec<u64>, Vec<usize>)| {
        (way.gates[at].exchange.as_str(), open, queues, gates)
    };
    way.gates.iter().map(gate).map(named).collect()
}

#[test]
fn what_is_published_to_a_gate_goes_behind_it() {
    let mut topology = scene();
    topology.bind(to_queue("g", "q1", "ignored")).unwrap();
    topology.bind(to_exchange("g", "amq.fanout", "")).unwrap();
    topology.bind(to_queue("amq.fanout", "q2", "")).unwrap();
    let found = way(&topology, "g", &[b"k"], b"", 0);
    assert_eq!((found.queues.len(), found.lasts), (0, true));
    assert_eq!(gates(&found), [("g", true, vec![1, 2], vec![])]);
}

#[test]
fn gates_are_met_on_the_way_and_behind_each_other() {
    let mut topology = scene();
    for binding in [
        to_queue("amq.fanout", "q1", ""),
        to_exchange("amq.fanout", "g", ""),
        to_exchange("g", "h", ""),
        to_exchange("h", "g", ""),
        to_queue("g", "q2", ""),
        to_queue("h", "q3", ""),
    ] {
        topology.bind(binding).unwrap();
    }
    let found = way(&topology, "amq.fanout", &[b"k"], b"", 0);
    assert_eq!(found.queues, [QueueId(1)]);
    assert_eq!(gates(&found), [("g", true, vec![2], vec![1]), ("h", false, vec![3], vec![0])]);
}

#[test]
fn a_gate_has_an_alternate_and_can_be_one() {
    let mut topology = scene();
    let mut first = spec("first", ExchangeKind::Direct);
    first.arguments.push("alternate-exchange", "g");
    topology.declare_exchange(first).unwrap();
    topology.delete_exchange(&name("g"), false).unwrap();
    let mut second = gate("g");
    second.arguments.push("alternate-exchange", "amq.fanout");
    topology.declare_exchange(second).unwrap();
    topology.bind(to_queue("amq.fanout", "q4", "")).unwrap();
    let found = way(&topology, "first", &[b"k"], b"", 0);
    assert_eq!(gates(&found), [("g", true, vec![4], vec![])]);
}

#[test]
fn its_arguments_are_checked() {
    let declare = |arguments: &[(&'static str, Value)]| {
        let arguments = arguments.iter().cloned().collect();
        let exchange = ExchangeSpec { arguments, ..spec("x", ExchangeKind::Deduplication) };
        topology().declare_exchange(exchange).map(|_| ()).map_err(|refusal| refusal.to_string())
    };
    let size = ("x-cache-size", Value::from(5));
    let missing = Err("Missing or invalid argument, 'x-cache-size' must be an integer greater than 0".to_owned());
    assert_eq!(declare(&[]), missing);
    assert_eq!(declare(&[("x-cache-size", 0.into())]), missing);
    assert_eq!(declare(&[("x-cache-size", "many".into())]), missing);
    assert_eq!(declare(&[("x-cache-size", "5".into())]), Ok(()));
    let ttl = Err("Invalid argument, 'x-cache-ttl' must be an integer greater than 0".to_owned());
    assert_eq!(declare(&[size.clone(), ("x-cache-ttl", 0.into())]), ttl);
    let place = Err("Invalid argument, 'x-cache-persistence' must be either 'disk' or 'memory'".to_owned());
    assert_eq!(declare(&[size.clone(), ("x-cache-persistence", "paper".into())]), place);
    let all = [
        size,
        ("x-cache-ttl", 1000.into()),
        ("x-cache-persistence", "memory".into()),
        ("x-deduplication-header", "id".into()),
    ];
    assert_eq!(declare(&all), Ok(()));
    let settings = |durable| {
        let arguments = all.iter().cloned().collect();
        ExchangeSpec { durable, arguments, ..spec("x", ExchangeKind::Deduplication) }.window().unwrap()
    };
    let (window, stored) = settings(true);
    assert_eq!((window.header.as_str(), window.size, window.ttl_ms, stored), ("id", 5, Some(1000), false));
    assert!(gate("g").window().unwrap().1, "on disk, if nothing else is said");
    assert!(!ExchangeSpec { durable: false, ..gate("g") }.window().unwrap().1);
    assert!(spec("x", ExchangeKind::Fanout).window().is_none());
}

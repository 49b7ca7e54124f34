//! Binding and unbinding, and what goes with a last binding.

use super::*;

#[test]
fn binding_is_idempotent_and_arguments_are_part_of_it_in_any_order() {
    let mut topology = topology();
    topology.add_queue(name("q"), QueueId(1), true);
    let with = |arguments: &[(&'static str, i64)]| Binding {
        arguments: arguments.iter().copied().collect(),
        ..to_queue("amq.direct", "q", "k")
    };
    assert_eq!(topology.bind(with(&[("a", 1), ("b", 2)])), Ok(true));
    assert_eq!(topology.bind(with(&[("b", 2), ("a", 1)])), Ok(false));
    assert_eq!(topology.bind(with(&[("a", 1), ("b", 3)])), Ok(true));
    assert_eq!(topology.bind(with(&[])), Ok(true));
    assert_eq!(topology.bindings_of_queue("q").count(), 3);
    assert_eq!(routed(&topology, "amq.direct", "k"), [1]);
    assert!(!topology.unbind(with(&[("a", 2)])).unwrap().0);
    let (was_there, removed) = topology.unbind(with(&[("b", 2), ("a", 1)])).unwrap();
    assert!(was_there);
    assert_eq!(lines(&removed.bindings), ["amq.direct -k-> q"]);
    assert_eq!(routed(&topology, "amq.direct", "k"), [1]);
    assert!(topology.unbind(with(&[])).unwrap().0);
    assert!(topology.unbind(with(&[("a", 1), ("b", 3)])).unwrap().0);
    assert_eq!(routed(&topology, "amq.direct", "k"), Vec::<u64>::new());
    check(&topology);
}

#[test]
fn a_float_that_equals_nothing_is_still_one_binding() {
    let mut topology = topology();
    topology.add_queue(name("q"), QueueId(1), true);
    let mut odd = to_queue("amq.headers", "q", "");
    odd.arguments.push("a", crate::value::Value::F64(f64::NAN));
    assert_eq!(topology.bind(odd.clone()), Ok(true));
    assert_eq!(topology.bind(odd.clone()), Ok(false));
    assert!(topology.unbind(odd).unwrap().0);
    assert_eq!(topology.bindings().count(), 0);
}

#[test]
fn missing_ends_are_errors_when_binding_only_and_the_source_comes_first() {
    let mut topology = topology();
    let bind = |topology: &mut Topology, binding: Binding| text(topology.bind(binding));
    assert_eq!(bind(&mut topology, to_queue("x", "q", "")), "no exchange 'x' in vhost '/'");
    assert_eq!(bind(&mut topology, to_queue("amq.direct", "q", "")), "no queue 'q' in vhost '/'");
    assert_eq!(bind(&mut topology, to_exchange("amq.direct", "y", "")), "no exchange 'y' in vhost '/'");
    for binding in [to_queue("x", "q", ""), to_queue("amq.direct", "q", ""), to_exchange("amq.direct", "y", "")] {
        let (was_there, removed) = topology.unbind(binding).unwrap();
        assert!(!was_there && removed.is_empty());
    }
    let default = "operation not permitted on the default exchange";
    for binding in [to_queue("", "q", "k"), to_exchange("amq.direct", "", "k")] {
        assert_eq!(bind(&mut topology, binding.clone()), default);
        assert_eq!(text(topology.unbind(binding)), default);
    }
    assert_eq!(topology.version(), 0);
}

#[test]
fn x_match_is_checked_at_headers_exchanges_only() {
    let mut topology = topology();
    topology.add_queue(name("q"), QueueId(1), true);
    let with = |source: &str, x_match: crate::value::Value| {
        let mut binding = to_queue(source, "q", "");
        binding.arguments.push("x-match", x_match);
        binding
    };
    assert_eq!(
        text(topology.bind(with("amq.match", "some".into()))),
        "Invalid x-match field value <<\"some\">>; expected all, any, all-with-x, or any-with-x"
    );
    assert_eq!(
        text(topology.bind(with("amq.match", 7.into()))),
        "Invalid x-match field value 7 of type long; expected longstr"
    );
    for form in ["all", "any", "all-with-x", "any-with-x"] {
        assert_eq!(topology.bind(with("amq.match", form.into())), Ok(true));
    }
    assert_eq!(topology.bind(with("amq.direct", "some".into())), Ok(true));
    assert_eq!(topology.bindings().count(), 5);
}

#[test]
fn a_binding_is_durable_if_both_ends_are() {
    let mut topology = topology();
    topology.declare_exchange(ExchangeSpec { durable: false, ..spec("brief", ExchangeKind::Direct) }).unwrap();
    topology.add_queue(name("kept"), QueueId(1), true);
    topology.add_queue(name("lost"), QueueId(2), false);
    let cases = [
        (to_queue("amq.direct", "kept", ""), true),
        (to_queue("amq.direct", "lost", ""), false),
        (to_queue("brief", "kept", ""), false),
        (to_exchange("amq.direct", "amq.topic", ""), true),
        (to_exchange("amq.direct", "brief", ""), false),
    ];
    for (binding, durable) in cases {
        assert_eq!(topology.is_durable(&binding), durable);
        topology.bind(binding).unwrap();
    }
    check(&topology);
    assert_eq!(
        lines(topology.bindings().filter(|bound| bound.is_durable())),
        ["amq.direct --> amq.topic", "amq.direct --> kept"]
    );
    assert!(!topology.is_durable(&to_queue("amq.direct", "missing", "")));
}

#[test]
fn an_auto_delete_exchange_goes_with_its_last_outgoing_binding() {
    let mut topology = topology();
    topology.declare_exchange(ExchangeSpec { auto_delete: true, ..spec("x", ExchangeKind::Topic) }).unwrap();
    topology.add_queue(name("q"), QueueId(1), true);
    topology.bind(to_exchange("amq.direct", "x", "in")).unwrap();
    topology.unbind(to_exchange("amq.direct", "x", "in")).unwrap();
    assert!(topology.exchange("x").is_some(), "it never had an outgoing one");
    topology.bind(to_exchange("amq.direct", "x", "in")).unwrap();
    topology.bind(to_queue("x", "q", "a")).unwrap();
    topology.bind(to_exchange("x", "amq.fanout", "b")).unwrap();
    assert!(topology.unbind(to_queue("x", "q", "a")).unwrap().1.exchanges.is_empty());
    let (_, removed) = topology.unbind(to_exchange("x", "amq.fanout", "b")).unwrap();
    assert_eq!(exchange_names(&removed), ["x"]);
    assert_eq!(lines(&removed.bindings), ["amq.direct -in-> x", "x -b-> amq.fanout"]);
    check(&topology);
}

#[test]
fn auto_deletion_cascades_to_the_sources() {
    let mut topology = topology();
    for exchange in ["a", "b", "c"] {
        topology.declare_exchange(ExchangeSpec { auto_delete: true, ..spec(exchange, ExchangeKind::Fanout) }).unwrap();
    }
    topology.declare_exchange(spec("kept", ExchangeKind::Fanout)).unwrap();
    topology.add_queue(name("q"), QueueId(1), true);
    for binding in [
        to_exchange("kept", "a", ""),
        to_exchange("a", "b", ""),
        to_exchange("b", "c", ""),
        to_exchange("c", "a", "cycle"),
        to_queue("c", "q", ""),
    ] {
        topology.bind(binding).unwrap();
    }
    let (_, removed) = topology.unbind(to_exchange("c", "a", "cycle")).unwrap();
    assert!(removed.exchanges.is_empty());
    let removed = topology.remove_queue("q");
    assert_eq!(exchange_names(&removed), ["c", "b", "a"]);
    assert_eq!(lines(&removed.bindings), ["a --> b", "b --> c", "c --> q", "kept --> a"]);
    assert!(topology.exchange("kept").is_some());
    assert_eq!(topology.bindings().count(), 0);
    check(&topology);
}

#[test]
fn deleting_an_exchange_takes_auto_delete_sources_along() {
    let mut topology = topology();
    topology.declare_exchange(ExchangeSpec { auto_delete: true, ..spec("a", ExchangeKind::Direct) }).unwrap();
    topology.declare_exchange(spec("x", ExchangeKind::Fanout)).unwrap();
    topology.bind(to_exchange("a", "x", "1")).unwrap();
    topology.bind(to_exchange("a", "x", "2")).unwrap();
    topology.bind(to_exchange("a", "a", "self")).unwrap();
    let removed = topology.delete_exchange(&name("x"), false).unwrap();
    assert_eq!(exchange_names(&removed), ["x"], "its binding to itself keeps it");
    let (_, removed) = topology.unbind(to_exchange("a", "a", "self")).unwrap();
    assert_eq!(exchange_names(&removed), ["a"]);
    assert_eq!(removed.bindings.len(), 1);
    check(&topology);
}

#[test]
fn a_hundred_thousand_bindings_come_and_go_at_every_type() {
    const COUNT: usize = 100_000;
    for exchange in ["amq.direct", "amq.fanout", "amq.topic", "amq.headers"] {
        let mut topology = topology();
        topology.add_queue(name("all"), QueueId(0), true);
        let binding = |number: usize| to_queue(exchange, "all", &format!("key.{number}"));
        for number in 0..COUNT {
            assert_eq!(topology.bind(binding(number)), Ok(true));
        }
        assert_eq!(topology.bindings_of_queue("all").count(), COUNT);
        assert_eq!(routed(&topology, exchange, "key.77777"), [0]);
        for number in 0..COUNT / 2 {
            assert!(topology.unbind(binding(number)).unwrap().0);
        }
        assert_eq!(routed(&topology, exchange, "key.77777"), [0]);
        assert_eq!(topology.remove_queue("all").bindings.len(), COUNT - COUNT / 2);
        assert_eq!(topology.bindings().count(), 0);
        assert_eq!(routed(&topology, exchange, "key.77777"), Vec::<u64>::new());
    }
}

#[test]
fn a_hundred_thousand_queues_on_one_key_come_and_go() {
    const COUNT: u64 = 100_000;
    for exchange in ["amq.direct", "amq.fanout", "amq.topic", "amq.headers"] {
        let mut topology = topology();
        for number in 0..COUNT {
            let queue = format!("q{number}");
            topology.add_queue(name(&queue), QueueId(number), false);
            topology.bind(to_queue(exchange, &queue, "k")).unwrap();
        }
        assert_eq!(routed(&topology, exchange, "k").len(), 100_000);
        for number in 0..COUNT - 3 {
            assert_eq!(topology.remove_queue(&format!("q{number}")).bindings.len(), 1);
        }
        assert_eq!(routed(&topology, exchange, "k"), [COUNT - 3, COUNT - 2, COUNT - 1]);
        check(&topology);
    }
}

/// Random operations against a plain list of bindings.
#[test]
fn every_operation_leaves_both_ends_in_step() {
    let mut random = Random(0x5eed);
    let mut topology = topology();
    let exchanges = ["a", "b", "c", "d"];
    let mut listed: Vec<String> = Vec::new();
    for round in 0..20_000 {
        let (one, other) = (exchanges[random.below(4)], exchanges[random.below(4)]);
        let queue = ["p", "q", "r"][random.below(3)];
        let key = ["", "#", "k"][random.below(3)];
        let binding = if random.below(2) == 0 { to_queue(one, queue, key) } else { to_exchange(one, other, key) };
        let removed = match random.below(12) {
            0 => {
                let kind = [ExchangeKind::Direct, ExchangeKind::Fanout, ExchangeKind::Topic, ExchangeKind::Headers];
                let asked = ExchangeSpec { auto_delete: random.below(2) == 0, ..spec(one, kind[random.below(4)]) };
                let _ = topology.declare_exchange(asked);
                Removed::default()
            }
            1 => topology.delete_exchange(&name(one), false).unwrap(),
            2 => topology.remove_queue(queue),
            3 => {
                topology.add_queue(name(queue), QueueId(round), true);
                Removed::default()
            }
            4..8 => topology.unbind(binding).unwrap().1,
            _ => {
                if topology.bind(binding.clone()) == Ok(true) {
                    listed.push(format!("{} -{}-> {}", binding.source, key, binding.destination.name()));
                }
                Removed::default()
            }
        };
        for gone in lines(&removed.bindings) {
            let at = listed.iter().position(|line| *line == gone).unwrap();
            listed.swap_remove(at);
        }
        listed.sort();
        assert_eq!(lines(topology.bindings()), listed);
        check(&topology);
    }
}

//! Types that choose one destination: by hash, by weight, by chance.

use super::*;
use crate::value::Value;

const QUEUES: u64 = 10;

/// Queues `q0` to `q9` bound to an exchange `x` of this type, each with the key that `key` says.
fn scene(kind: ExchangeKind, key: impl Fn(u64) -> String) -> Topology {
    let mut topology = topology();
    topology.declare_exchange(spec("x", kind)).unwrap();
    for number in 0..QUEUES {
        topology.add_queue(name(&format!("q{number}")), QueueId(number), true);
        topology.bind(to_queue("x", &format!("q{number}"), &key(number))).unwrap();
    }
    topology
}

fn chosen(topology: &Topology, key: &str, content: &[u8], random: u64) -> Option<u64> {
    let way = way(topology, "x", &[key.as_bytes()], content, random);
    assert!(way.queues.len() <= 1);
    way.queues.first().map(|queue| queue.0)
}

/// Where each of `count` keys goes.
fn spread(topology: &Topology, count: usize) -> Vec<Option<u64>> {
    (0..count).map(|number| chosen(topology, &format!("key {number}"), b"", 0)).collect()
}

fn shares(choices: &[Option<u64>]) -> Vec<usize> {
    (0..QUEUES).map(|queue| choices.iter().filter(|choice| **choice == Some(queue)).count()).collect()
}

fn refused(topology: &mut Topology, binding: Binding) -> String {
    text(topology.bind(binding))
}

#[test]
fn a_consistent_hash_gives_equal_shares() {
    let topology = scene(ExchangeKind::ConsistentHash, |_| "1".to_owned());
    for share in shares(&spread(&topology, 10_000)) {
        assert!((850..1150).contains(&share), "{share}");
    }
    assert!(way(&topology, "x", &[b"k"], b"", 0).lasts);
}

#[test]
fn shares_follow_weights_however_large() {
    let weights = ["1", "2", "3", "4", "0", "0", "0", "0", "0", "0"];
    let topology = scene(ExchangeKind::ConsistentHash, |number| weights[number as usize].to_owned());
    let shares = shares(&spread(&topology, 10_000));
    for (share, weight) in shares.iter().zip([1_usize, 2, 3, 4]) {
        assert!((weight * 900..weight * 1100).contains(share), "{share} for weight {weight}");
    }
    assert_eq!(shares[4..], [0; 6]);
    let topology = scene(ExchangeKind::ConsistentHash, |number| match number {
        0 => "4000000000".to_owned(),
        1 => "9".repeat(200),
        _ => "1".to_owned(),
    });
    let choices = spread(&topology, 1_000);
    assert!(choices.iter().all(|choice| matches!(choice, Some(0 | 1))));
}

#[test]
fn a_destination_that_goes_or_comes_moves_no_message_between_the_others() {
    let weight = |number: u64| (number % 3 + 1).to_string();
    let mut topology = scene(ExchangeKind::ConsistentHash, weight);
    let before = spread(&topology, 5_000);
    topology.remove_queue("q4");
    let without = spread(&topology, 5_000);
    for (before, without) in before.iter().zip(&without) {
        assert!(before == without || *before == Some(4));
        assert_ne!(*without, Some(4));
    }
    topology.add_queue(name("q4"), QueueId(4), true);
    topology.bind(to_queue("x", "q4", &weight(4))).unwrap();
    assert_eq!(spread(&topology, 5_000), before, "the order of bindings says nothing");
}

#[test]
fn choices_never_change_from_version_to_version() {
    let topology = scene(ExchangeKind::ConsistentHash, |_| "1".to_owned());
    let first: Vec<u64> = spread(&topology, 12).into_iter().flatten().collect();
    assert_eq!(first, [1, 2, 8, 5, 3, 4, 7, 7, 0, 1, 3, 3]);
    let topology = scene(ExchangeKind::ModulusHash, |_| String::new());
    let first: Vec<u64> = spread(&topology, 12).into_iter().flatten().collect();
    assert_eq!(first, [4, 0, 7, 6, 1, 4, 3, 9, 0, 2, 3, 9]);
}

#[test]
fn only_the_first_binding_of_a_destination_counts() {
    let mut topology = scene(ExchangeKind::ConsistentHash, |number| if number < 2 { "1" } else { "0" }.to_owned());
    let before = spread(&topology, 1_000);
    topology.bind(to_queue("x", "q0", "100")).unwrap();
    assert_eq!(spread(&topology, 1_000), before);
    topology.unbind(to_queue("x", "q0", "1")).unwrap();
    assert!(shares(&spread(&topology, 1_000))[0] > 950, "now the other one is the first");
    topology.unbind(to_queue("x", "q0", "100")).unwrap();
    assert_eq!(shares(&spread(&topology, 1_000))[..2], [0, 1_000]);
    for number in 1..QUEUES {
        topology.remove_queue(&format!("q{number}"));
    }
    assert_eq!(chosen(&topology, "k", b"", 0), None);
}

#[test]
fn weights_are_whole_numbers() {
    let mut topology = scene(ExchangeKind::ConsistentHash, |_| "1".to_owned());
    for (key, explanation) in [
        ("a", "The binding key must be an integer: <<\"a\">>"),
        ("", "The binding key must be an integer: <<>>"),
        ("1.5", "The binding key must be an integer: <<\"1.5\">>"),
        ("-", "The binding key must be an integer: <<\"-\">>"),
        ("-1", "The binding key must be greater than 0"),
    ] {
        assert_eq!(refused(&mut topology, to_queue("x", "q0", key)), explanation);
    }
    for key in ["0", "-0", "+7", "007"] {
        topology.bind(to_queue("x", "q0", key)).unwrap();
    }
    check(&topology);
}

#[test]
fn a_header_or_a_property_decides_if_the_exchange_says_so() {
    let hashed_on = |argument: &'static str, what: &str| {
        let mut topology = scene(ExchangeKind::ConsistentHash, |_| "1".to_owned());
        let mut exchange = spec("x", ExchangeKind::ConsistentHash);
        exchange.arguments.push(argument, what);
        topology.delete_exchange(&name("x"), false).unwrap();
        topology.declare_exchange(exchange).unwrap();
        for number in 0..QUEUES {
            topology.bind(to_queue("x", &format!("q{number}"), "1")).unwrap();
        }
        topology
    };
    let by_key = scene(ExchangeKind::ConsistentHash, |_| "1".to_owned());
    let by_header = hashed_on("hash-header", "id");
    let with = |value: Value| {
        let mut headers = Vec::new();
        Table::from_iter([("id", value)]).encode_content(&mut headers);
        payload(&headers, None)
    };
    for text in ["a", "b", "c", "d", "7"] {
        let choice = chosen(&by_header, "ignored", &with(text.into()), 0);
        assert_eq!(choice, chosen(&by_key, text, b"", 0), "a header hashes as a routing key does");
    }
    assert_eq!(
        chosen(&by_header, "", &with(Value::I8(7)), 0),
        chosen(&by_header, "", &with(Value::I64(7)), 0),
        "numbers by value"
    );
    let none = chosen(&by_header, "k", b"", 0);
    assert!(none.is_some() && none == chosen(&by_header, "l", &payload(b"", None), 0), "all without it go together");
    assert!(!way(&by_header, "x", &[b"k"], b"", 0).lasts);
    let by_property = hashed_on("hash-property", "message_id");
    assert_eq!(chosen(&by_property, "k", &payload(b"", None), 0), chosen(&by_key, "id", b"", 0));
}

#[test]
fn what_is_hashed_is_checked() {
    let declare = |arguments: &[(&'static str, Value)]| {
        let arguments = arguments.iter().cloned().collect();
        let exchange = ExchangeSpec { arguments, ..spec("y", ExchangeKind::ConsistentHash) };
        topology().declare_exchange(exchange).map_err(|refusal| refusal.to_string())
    };
    let (header, property) = (("hash-header", Value::from("id")), ("hash-property", Value::from("timestamp")));
    assert_eq!(declare(std::slice::from_ref(&header)), Ok(true));
    assert_eq!(declare(std::slice::from_ref(&property)), Ok(true));
    let both = Err("hash-header and hash-property are mutually exclusive".to_owned());
    assert_eq!(declare(&[header, property]), both);
    assert_eq!(declare(&[("hash-property", "app_id".into())]), Err("Unsupported property: app_id".to_owned()));
    assert!(declare(&[("hash-header", 5.into())]).is_err());
}

#[test]
fn a_modulus_goes_by_the_order_of_names() {
    let mut topology = scene(ExchangeKind::ModulusHash, |number| format!("ignored {number}"));
    let before = spread(&topology, 10_000);
    for share in shares(&before) {
        assert!((850..1150).contains(&share), "{share}");
    }
    topology.bind(to_queue("x", "q0", "again")).unwrap();
    assert_eq!(spread(&topology, 10_000), before, "a queue counts once");
    topology.unbind(to_queue("x", "q0", "again")).unwrap();
    assert_eq!(spread(&topology, 10_000), before);
    let several = way(&topology, "x", &[b"k", b"l"], b"", 0);
    assert_eq!((several.queues.len(), several.lasts), (1, true));
    for number in 0..QUEUES {
        topology.remove_queue(&format!("q{number}"));
    }
    assert_eq!(chosen(&topology, "k", b"", 0), None);
}

#[test]
fn chance_draws_among_bindings() {
    for kind in [ExchangeKind::Random, ExchangeKind::LocalRandom] {
        let mut topology = scene(kind, |_| String::new());
        let drawn: Vec<_> = (0..QUEUES).map(|random| chosen(&topology, "k", b"", random)).collect();
        assert_eq!(shares(&drawn), [1; QUEUES as usize]);
        assert!(!way(&topology, "x", &[b"k"], b"", 0).lasts);
        topology.remove_queue("q3");
        assert!((0..100).all(|random| chosen(&topology, "k", b"", random) != Some(3)));
    }
}

#[test]
fn a_local_random_exchange_takes_queues_without_a_key() {
    let mut topology = scene(ExchangeKind::LocalRandom, |_| String::new());
    let key = "Non empty binding 'k' key not permitted";
    assert_eq!(refused(&mut topology, to_queue("x", "q0", "k")), key);
    assert_eq!(refused(&mut topology, to_exchange("x", "amq.fanout", "")), "Destination not found");
}

#[test]
fn a_choice_is_made_anywhere_on_the_way() {
    let mut topology = scene(ExchangeKind::ConsistentHash, |_| "1".to_owned());
    topology.declare_exchange(spec("inner", ExchangeKind::Random)).unwrap();
    topology.bind(to_exchange("amq.fanout", "x", "")).unwrap();
    topology.bind(to_exchange("amq.fanout", "inner", "")).unwrap();
    topology.bind(to_queue("inner", "q1", "")).unwrap();
    let found = way(&topology, "amq.fanout", &[b"key 0"], b"", 0);
    assert!(found.queues.contains(&QueueId(1)) && !found.lasts);
    let mut asked = spec("first", ExchangeKind::Direct);
    asked.arguments.push("alternate-exchange", "x");
    topology.declare_exchange(asked).unwrap();
    assert_eq!(routed(&topology, "first", "key 0").len(), 1);
}

#[test]
fn a_history_remembers_and_goes_to_all() {
    let mut topology = scene(ExchangeKind::RecentHistory, |_| String::new());
    topology.bind(to_exchange("amq.fanout", "x", "")).unwrap();
    let found = way(&topology, "amq.fanout", &[b"k"], b"", 0);
    assert_eq!((found.queues.len(), found.histories, found.lasts), (10, vec![name("x")], true));
    assert_eq!(topology.exchange("x").unwrap().spec().history_length(), Some(20));
    assert_eq!(topology.exchange("amq.fanout").unwrap().spec().history_length(), None);
    for (given, printed) in [(Value::from(0), "0"), ("many".into(), "<<\"many\">>"), (Value::Bool(true), "true")] {
        let mut exchange = spec("y", ExchangeKind::RecentHistory);
        exchange.arguments.push("x-recent-history-length", given);
        let explanation = format!("Invalid argument {printed}, 'x-recent-history-length' must be a positive integer");
        assert_eq!(text(topology.declare_exchange(exchange)), explanation);
    }
}

#[test]
fn selectors_choose_by_headers() {
    let mut topology = topology();
    topology.declare_exchange(spec("x", ExchangeKind::JmsTopic)).unwrap();
    let selectors: [(&'static str, &str); 3] = [
        ("rjms_erlang_selector", "{'=',{'ident',<<\"colour\">>},<<\"red\">>}."),
        ("x-jms-selector", "colour = 'blue' OR size > 5"),
        ("other", "says nothing"),
    ];
    for (number, (argument, selector)) in selectors.into_iter().enumerate() {
        let queue = format!("q{number}");
        topology.add_queue(name(&queue), QueueId(number as u64), true);
        let arguments = Table::from_iter([(argument, Value::from(selector))]);
        topology.bind(Binding { arguments, ..to_queue("x", &queue, "ignored") }).unwrap();
    }
    let red = Table::from_iter([("colour", Value::from("red"))]);
    let large = Table::from_iter([("colour", Value::from("red")), ("size", Value::from(6))]);
    assert_eq!(routed_with(&topology, "x", "k", &red), [0, 2]);
    assert_eq!(routed_with(&topology, "x", "k", &large), [0, 1, 2]);
    assert_eq!(routed(&topology, "x", "k"), [2]);
    assert!(!way(&topology, "x", &[b"k"], b"", 0).lasts);
    let arguments = Table::from_iter([("x-jms-selector", Value::from("size >"))]);
    let wrong = Binding { arguments, ..to_queue("x", "q0", "") };
    assert_eq!(
        refused(&mut topology, wrong),
        "cannot parse selector '\"size >\"' binding destination 'q0' to exchange 'x'"
    );
    topology.remove_queue("q2");
    assert_eq!(routed(&topology, "x", "k"), Vec::<u64>::new());
}

//! Topic matching: rules, an oracle, bounds.

use super::super::binding::Target;
use super::super::topic::Topic;
use super::*;

/// A trie of patterns; pattern number n leads to queue n.
fn trie(patterns: &[String]) -> (Topic, Vec<Bound>) {
    let mut topic = Topic::default();
    let bound = |(number, pattern): (usize, &String)| {
        let target = Target::Queue(QueueId(u64::try_from(number).unwrap()));
        Bound::new(to_queue("x", "q", pattern), target, true)
    };
    let bounds: Vec<Bound> = patterns.iter().enumerate().map(bound).collect();
    bounds.iter().for_each(|bound| topic.add(bound));
    (topic, bounds)
}

fn matches(topic: &Topic, key: &str) -> Vec<u64> {
    let mut found = Vec::new();
    topic.matching(key.as_bytes(), |destinations| {
        found.extend(destinations.iter().map(|target| match target {
            Target::Queue(id) => id.0,
            Target::Exchange(_) => unreachable!(),
        }));
    });
    found.sort_unstable();
    found.dedup();
    found
}

/// The rules word by word, exponential and plain.
fn oracle(pattern: &[&str], key: &[&str]) -> bool {
    match (pattern.split_first(), key.split_first()) {
        (None, None) => true,
        (None, Some(_)) => false,
        (Some((&"#", rest)), None) => oracle(rest, key),
        (Some((&"#", rest)), Some((_, tail))) => oracle(rest, key) || oracle(pattern, tail),
        (Some(_), None) => false,
        (Some((&"*", rest)), Some((_, tail))) => oracle(rest, tail),
        (Some((word, rest)), Some((first, tail))) => word == first && oracle(rest, tail),
    }
}

fn words(text: &str) -> Vec<&str> {
    if text.is_empty() { Vec::new() } else { text.split('.').collect() }
}

#[test]
fn the_rules() {
    let cases = [
        ("a.b", "a.b", true),
        ("a.b", "a.b.c", false),
        ("a.b", "a", false),
        ("*", "a", true),
        ("*", "", false),
        ("*", "a.b", false),
        ("a.*.c", "a..c", true),
        ("#", "", true),
        ("#", "a.b.c", true),
        ("a.#", "a", true),
        ("a.#", "ab", false),
        ("#.z", "z", true),
        ("#.z", "y.z.z", true),
        ("#.z", "z.y", false),
        ("a.#.z", "a.z", true),
        ("*.#", "", false),
        ("#.*", "a", true),
        ("#.#", "", true),
        ("a.#.#.b", "a.b", true),
        ("", "", true),
        ("", "a", false),
        (".", ".", true),
        (".", "", false),
        ("*.*", ".", true),
        ("a*", "ab", false),
        ("a*", "a*", true),
        ("a", "*", false),
        ("#", "#", true),
    ];
    for (pattern, key, expected) in cases {
        let (topic, _) = trie(&[pattern.to_owned()]);
        assert_eq!(matches(&topic, key) == [0], expected, "{pattern} on {key}");
        assert_eq!(oracle(&words(pattern), &words(key)), expected, "oracle: {pattern} on {key}");
    }
}

#[test]
fn a_key_need_not_be_text() {
    let (topic, _) = trie(&["*.b".to_owned()]);
    let mut found = 0;
    topic.matching(b"\xff\xfe.b", |_| found += 1);
    assert_eq!(found, 1);
}

fn random_words(random: &mut Random, alphabet: &[&str], most: usize) -> String {
    let count = random.below(most + 1);
    (0..count).map(|_| alphabet[random.below(alphabet.len())]).collect::<Vec<_>>().join(".")
}

#[test]
fn random_patterns_match_as_the_oracle_says_and_leave_nothing() {
    let mut random = Random(0xfeed_beef);
    for _ in 0..300 {
        let count = 1 + random.below(60);
        let patterns: Vec<String> =
            (0..count).map(|_| random_words(&mut random, &["a", "b", "c", "", "*", "#", "#"], 7)).collect();
        let (mut topic, bounds) = trie(&patterns);
        let removed = random.below(count + 1);
        for keep in [0, removed] {
            bounds.iter().take(keep).for_each(|bound| topic.remove(bound));
            for _ in 0..40 {
                let key = random_words(&mut random, &["a", "b", "c", "d", ""], 7);
                let expected: Vec<u64> = (keep..count)
                    .filter(|number| oracle(&words(&patterns[*number]), &words(&key)))
                    .map(|number| u64::try_from(number).unwrap())
                    .collect();
                assert_eq!(matches(&topic, &key), expected, "{key} on {patterns:?} from {keep}");
            }
        }
        bounds.iter().skip(removed).for_each(|bound| topic.remove(bound));
        assert!(topic.is_empty());
    }
}

#[test]
fn one_pattern_bound_twice_stays_until_both_are_gone() {
    let mut topology = topology();
    topology.add_queue(name("q"), QueueId(1), true);
    topology.bind(to_queue("amq.topic", "q", "a.#.#")).unwrap();
    topology.bind(to_queue("amq.topic", "q", "a.#")).unwrap();
    assert_eq!(routed(&topology, "amq.topic", "a.b"), [1]);
    topology.unbind(to_queue("amq.topic", "q", "a.#")).unwrap();
    assert_eq!(routed(&topology, "amq.topic", "a.b"), [1]);
    topology.unbind(to_queue("amq.topic", "q", "a.#.#")).unwrap();
    assert_eq!(routed(&topology, "amq.topic", "a.b"), Vec::<u64>::new());
}

#[test]
fn consecutive_hashes_cost_what_one_costs() {
    let key = vec!["a"; 128].join(".");
    let steps = |pattern: &str| trie(&[pattern.to_owned()]).0.matching(key.as_bytes(), |_| ());
    let one = steps("#");
    assert_eq!(steps(&vec!["#"; 100].join(".")), one);
    assert!(one <= 2 * 128 + 2, "{one}");
    assert_eq!(steps(&format!("{}.b", vec!["#"; 100].join("."))), one);
}

#[test]
fn hashes_between_words_cost_no_more_than_words_times_places() {
    let key = vec!["a"; 127].join(".");
    for unit in ["#.a", "#.*", "*.#"] {
        let pattern = format!("{}.b", vec![unit; 60].join("."));
        let (topic, _) = trie(&[pattern]);
        let steps = topic.matching(key.as_bytes(), |_| panic!("must not match"));
        assert!(steps <= 128 * 122, "{steps}");
    }
}

#[test]
fn many_shapes_on_one_long_key_stay_within_words_times_nodes() {
    let key = vec!["a"; 127].join(".");
    let mut random = Random(0xabcdef);
    let patterns: Vec<String> =
        (0..2_000).map(|_| format!("{}.b", random_words(&mut random, &["a", "*", "#"], 9))).collect();
    let (topic, _) = trie(&patterns);
    let nodes: usize = patterns.iter().map(|pattern| words(pattern).len()).sum();
    let steps = topic.matching(key.as_bytes(), |_| panic!("must not match"));
    assert!(steps <= nodes * 128, "{steps} of {nodes}");
}

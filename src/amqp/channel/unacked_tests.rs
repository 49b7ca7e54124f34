//! What a channel holds unsettled: every way to take from it.

use super::*;
use std::collections::BTreeSet;

fn span(first: u64, count: u32) -> Span {
    Span { first, count, chunk_end: first + u64::from(count) }
}

/// Tags 1 to 10 in runs of 4, 1 and 5 messages; the sequence number of a message is its tag plus 99.
fn ten() -> Unacked<()> {
    let mut unacked = Unacked::default();
    for (tag, count) in [(1, 4), (5, 1), (6, 5)] {
        unacked.insert(tag, Arc::new(()), Some(ConsumerId(tag)), span(tag + 99, count), Instant::now());
    }
    unacked
}

fn take(unacked: &mut Unacked<()>, tag: u64, multiple: bool) -> Option<Vec<u64>> {
    let mut taken = Vec::new();
    let known = unacked.take(tag, multiple, |held, skip, count| {
        let first = held.span.first + u64::from(skip);
        taken.extend((first..first + u64::from(count)).map(|sequence| sequence - 99));
    });
    known.then_some(taken)
}

#[test]
fn single_tags_in_any_order() {
    let mut unacked = ten();
    for tag in [3, 1, 10, 5, 2, 7, 4, 6, 9, 8] {
        assert_eq!(take(&mut unacked, tag, false), Some(vec![tag]));
        assert_eq!(take(&mut unacked, tag, false), None, "{tag} is taken");
    }
    assert!(unacked.is_empty());
}

#[test]
fn multiple_takes_all_up_to_the_tag() {
    let mut unacked = ten();
    assert_eq!(take(&mut unacked, 2, false), Some(vec![2]));
    assert_eq!(take(&mut unacked, 7, true), Some(vec![1, 3, 4, 5, 6, 7]));
    assert_eq!(take(&mut unacked, 7, true), None);
    assert_eq!(take(&mut unacked, 8, true), Some(vec![8]));
    assert_eq!(take(&mut unacked, 0, true), Some(vec![9, 10]));
    assert_eq!(take(&mut unacked, 0, true), Some(vec![]));
}

#[test]
fn what_is_not_unsettled_is_unknown_and_takes_nothing() {
    let mut unacked = ten();
    for tag in [0, 11, u64::MAX] {
        assert_eq!(take(&mut unacked, tag, false), None, "{tag}");
    }
    assert_eq!(take(&mut unacked, 11, true), None);
    assert_eq!(take(&mut unacked, 0, true), Some((1..=10).collect()));
}

#[test]
fn agrees_with_a_set_of_tags() {
    let mut state = 7_u64;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for _ in 0..200 {
        let (mut unacked, mut set, mut next) = (Unacked::default(), BTreeSet::new(), 1);
        for _ in 0..100 {
            if random(3) == 0 {
                let count = 1 + random(6) as u32;
                unacked.insert(next, Arc::new(()), None, span(next + 99, count), Instant::now());
                set.extend(next..next + u64::from(count));
                next += u64::from(count) + random(2);
            } else {
                let (tag, multiple) = (random(next + 2), random(4) == 0);
                let known = set.contains(&tag) || (multiple && tag == 0);
                let expected = known.then(|| match multiple {
                    false => vec![tag],
                    true => set.iter().copied().filter(|held| tag == 0 || *held <= tag).collect(),
                });
                assert_eq!(take(&mut unacked, tag, multiple), expected);
                expected.into_iter().flatten().for_each(|tag| assert!(set.remove(&tag)));
            }
        }
        let left: Vec<u64> =
            unacked.drain().flat_map(|held| held.first..held.first + u64::from(held.span.count)).collect();
        assert_eq!(left, set.into_iter().collect::<Vec<_>>());
    }
}

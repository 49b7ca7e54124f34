//! Messages that came back: a classic queue puts each at its place, a quorum queue serves them first, in the order of their
//! return (compat.md 1.9, 2.8).

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

/// Requeued messages, in spans of consecutive numbers, each within one chunk.
#[derive(Debug)]
pub(super) enum Returned {
    /// By sequence number.
    ByPlace(BTreeMap<u64, u32>),
    /// By the time of their return.
    ByTime(VecDeque<(u64, u32)>),
}

impl Returned {
    /// None at all. `by_time`: a quorum queue's.
    pub fn new(by_time: bool) -> Returned {
        if by_time { Returned::ByTime(VecDeque::new()) } else { Returned::ByPlace(BTreeMap::new()) }
    }

    /// The span that is served next before the messages of `level`.
    #[inline]
    pub fn first(&self, level: Range<u64>) -> Option<(u64, u32)> {
        match self {
            Returned::ByPlace(spans) if spans.is_empty() => None,
            Returned::ByPlace(spans) => spans.range(level).next().map(|(first, count)| (*first, *count)),
            Returned::ByTime(spans) => spans.front().copied(),
        }
    }

    /// Whether the next span is served whatever its level.
    pub fn precedes_levels(&self) -> bool {
        matches!(self, Returned::ByTime(spans) if !spans.is_empty())
    }

    pub fn insert(&mut self, first: u64, count: u32) {
        match self {
            Returned::ByPlace(spans) => {
                spans.insert(first, count);
            }
            Returned::ByTime(spans) => spans.push_back((first, count)),
        }
    }

    /// Takes `count` messages off the span that begins at `first`, if it is one that [`Returned::first`] may give.
    #[inline]
    pub fn take(&mut self, first: u64, count: u32) -> bool {
        let rest = |all: u32| (all > count).then(|| (first + u64::from(count), all - count));
        match self {
            Returned::ByPlace(spans) if spans.is_empty() => false,
            Returned::ByPlace(spans) => {
                let Some(all) = spans.remove(&first) else { return false };
                spans.extend(rest(all));
                true
            }
            Returned::ByTime(spans) => {
                let Some((_, all)) = spans.pop_front_if(|(front, _)| *front == first) else { return false };
                if let Some(rest) = rest(all) {
                    spans.push_front(rest);
                }
                true
            }
        }
    }

    /// Whether a span begins in `range`.
    pub fn any_in(&self, range: Range<u64>) -> bool {
        match self {
            Returned::ByPlace(spans) => spans.range(range).next().is_some(),
            Returned::ByTime(spans) => spans.iter().any(|(first, _)| range.contains(first)),
        }
    }

    /// Spans that are served next, `most` of them.
    pub fn some(&self, most: usize) -> Vec<(u64, u32)> {
        match self {
            Returned::ByPlace(spans) => spans.iter().take(most).map(|(first, count)| (*first, *count)).collect(),
            Returned::ByTime(spans) => spans.iter().take(most).copied().collect(),
        }
    }

    /// All spans.
    pub fn spans(&self) -> Vec<(u64, u32)> {
        match self {
            Returned::ByPlace(spans) => spans.iter().map(|(first, count)| (*first, *count)).collect(),
            Returned::ByTime(spans) => spans.iter().copied().collect(),
        }
    }

    /// Takes all spans.
    pub fn drain(&mut self) -> Vec<(u64, u32)> {
        match self {
            Returned::ByPlace(spans) => std::mem::take(spans).into_iter().collect(),
            Returned::ByTime(spans) => std::mem::take(spans).into(),
        }
    }
}

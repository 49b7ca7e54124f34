//! The naive queue: every message in a map, nothing clever.

use std::collections::{BTreeMap, BTreeSet};
use warren::broker::identity::ConsumerId;

/// A message, by its sequence number in the maps that hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    pub body: u64,
    pub durable: bool,
    /// Was handed out before.
    pub delivered: bool,
    /// Where the chunk it came in ends.
    pub chunk_end: u64,
}

#[derive(Debug)]
pub struct Holder {
    pub prefetch: Option<u32>,
    pub no_ack: bool,
    pub holds: u32,
}

#[derive(Debug, Default)]
pub struct Naive {
    pub ready: BTreeMap<u64, Message>,
    pub unsettled: BTreeMap<u64, (Message, Option<ConsumerId>)>,
    pub consumers: BTreeMap<ConsumerId, Holder>,
}

impl Naive {
    /// The next message must be the lowest ready one.
    pub fn hand_out(&mut self, sequence: u64, body: u64, redelivered: bool, to: Option<ConsumerId>, no_ack: bool) {
        let (first, mut message) = self.ready.pop_first().expect("a message came that is not ready");
        assert_eq!((first, message.body), (sequence, body), "another message was next");
        assert_eq!(redelivered, message.delivered, "redelivered flag of {sequence}");
        message.delivered = true;
        if no_ack {
            return;
        }
        if let Some(holder) = to.and_then(|id| self.consumers.get_mut(&id)) {
            holder.holds += 1;
            assert!(holder.prefetch.is_none_or(|prefetch| holder.holds <= prefetch), "prefetch exceeded");
        }
        self.unsettled.insert(sequence, (message, to));
    }

    /// Up to `count` consecutive unsettled messages of one chunk and holder, from the `at`-th on.
    pub fn span(&self, at: usize, count: u32) -> Option<(u64, u32, Option<ConsumerId>)> {
        let (first, (message, holder)) = self.unsettled.iter().nth(at)?;
        let same = (*first..).zip(self.unsettled.range(*first..)).take(count as usize);
        let same = same.take_while(|(expected, (sequence, (other, other_holder)))| {
            expected == *sequence && other.chunk_end == message.chunk_end && other_holder == holder
        });
        Some((*first, same.count() as u32, *holder))
    }

    /// Takes unsettled messages out of their holder's hands.
    pub fn release(&mut self, first: u64, count: u32) -> Vec<(u64, Message)> {
        let taken: Vec<u64> = self.unsettled.range(first..first + u64::from(count)).map(|(at, _)| *at).collect();
        taken
            .into_iter()
            .map(|sequence| {
                let (message, holder) = self.unsettled.remove(&sequence).unwrap();
                if let Some(holder) = holder.and_then(|id| self.consumers.get_mut(&id)) {
                    holder.holds -= 1;
                }
                (sequence, message)
            })
            .collect()
    }

    /// Durable messages that are not settled.
    pub fn durable(&self) -> BTreeSet<u64> {
        let ready = self.ready.iter().filter(|(_, message)| message.durable).map(|(sequence, _)| *sequence);
        let unsettled = self.unsettled.iter().filter(|(_, (message, _))| message.durable);
        ready.chain(unsettled.map(|(sequence, _)| *sequence)).collect()
    }

    /// Whether some consumer could take a message.
    pub fn is_hungry(&self) -> bool {
        let mut consumers = self.consumers.values();
        consumers.any(|holder| holder.no_ack || holder.prefetch.is_none_or(|prefetch| holder.holds < prefetch))
    }
}

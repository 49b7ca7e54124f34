//! What is counted of messages: one list of counters for queues, channels, exchanges and the node, by RabbitMQ's names
//! (compat.md 3.3, `message_stats`).

use std::ops::AddAssign;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Something that happens to messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Published; by a queue: appended.
    Publish,
    /// Published to an exchange.
    PublishIn,
    /// Handed on by an exchange, once for each queue.
    PublishOut,
    /// Confirmed to publishers.
    Confirm,
    /// Delivered to consumers that acknowledge.
    Deliver,
    /// Delivered to consumers that do not.
    DeliverNoAck,
    /// Taken by `basic.get`, to be acknowledged.
    Get,
    /// Taken by `basic.get` without.
    GetNoAck,
    /// `basic.get` that found no message.
    GetEmpty,
    /// Delivered again.
    Redeliver,
    /// Acknowledged.
    Ack,
    /// Returned to publishers.
    ReturnUnroutable,
    /// Dropped, since no queue was bound.
    DropUnroutable,
    /// Read from disk, by a queue.
    DiskReads,
    /// Written to disk, by a queue.
    DiskWrites,
}

/// How many there are.
pub const COUNTS: usize = 15;

impl Count {
    /// All of them.
    pub const ALL: [Count; COUNTS] = [
        Count::Publish,
        Count::PublishIn,
        Count::PublishOut,
        Count::Confirm,
        Count::Deliver,
        Count::DeliverNoAck,
        Count::Get,
        Count::GetNoAck,
        Count::GetEmpty,
        Count::Redeliver,
        Count::Ack,
        Count::ReturnUnroutable,
        Count::DropUnroutable,
        Count::DiskReads,
        Count::DiskWrites,
    ];

    /// RabbitMQ's name.
    pub fn name(self) -> &'static str {
        match self {
            Count::Publish => "publish",
            Count::PublishIn => "publish_in",
            Count::PublishOut => "publish_out",
            Count::Confirm => "confirm",
            Count::Deliver => "deliver",
            Count::DeliverNoAck => "deliver_no_ack",
            Count::Get => "get",
            Count::GetNoAck => "get_no_ack",
            Count::GetEmpty => "get_empty",
            Count::Redeliver => "redeliver",
            Count::Ack => "ack",
            Count::ReturnUnroutable => "return_unroutable",
            Count::DropUnroutable => "drop_unroutable",
            Count::DiskReads => "disk_reads",
            Count::DiskWrites => "disk_writes",
        }
    }
}

/// A number for each [`Count`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals([u64; COUNTS]);

impl Totals {
    /// One of the numbers.
    pub fn get(&self, count: Count) -> u64 {
        self.0.get(count as usize).copied().unwrap_or(0)
    }

    /// Adds to one of the numbers.
    #[inline]
    pub fn add(&mut self, count: Count, by: u64) {
        if let Some(total) = self.0.get_mut(count as usize) {
            *total = total.wrapping_add(by);
        }
    }

    /// Messages delivered in whatever way: RabbitMQ's `deliver_get`.
    pub fn deliver_get(&self) -> u64 {
        [Count::Deliver, Count::DeliverNoAck, Count::Get, Count::GetNoAck].map(|count| self.get(count)).iter().sum()
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        *self == Totals::default()
    }

    /// What is left of each number without its part.
    pub fn without(mut self, part: &Totals) -> Totals {
        self.0.iter_mut().zip(part.0).for_each(|(all, own)| *all = all.saturating_sub(own));
        self
    }
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Totals) {
        for count in Count::ALL {
            self.add(count, other.get(count));
        }
    }
}

/// The same numbers, counted by one thread at a time and read by any.
#[derive(Debug, Default)]
pub struct Counters([AtomicU64; COUNTS]);

impl Counters {
    /// Adds to one of the numbers. Whoever counts is alone with it: no locked instruction is needed.
    #[inline]
    pub fn add(&self, count: Count, by: u64) {
        if let Some(counter) = self.0.get(count as usize) {
            counter.store(counter.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
        }
    }

    /// The numbers as they are.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for (total, counter) in totals.0.iter_mut().zip(&self.0) {
            *total = counter.load(Ordering::Relaxed);
        }
        totals
    }
}

/// Bounds of the sizes of messages, in bytes, as RabbitMQ's figures have them.
pub const SIZE_BOUNDS: [u64; 8] = [100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 50_000_000, 100_000_000];

/// Publishes by the size of their bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Publishes {
    /// How many were at most so large as each bound and larger than the one before; the last: larger than all.
    sizes: [u64; SIZE_BOUNDS.len() + 1],
    /// Bytes of all bodies.
    pub bytes: u64,
    /// Publishes on channels in confirm mode.
    pub confirmable: u64,
}

impl Publishes {
    /// So many messages of one size were published.
    #[inline]
    pub fn add(&mut self, count: u64, bytes: u64, confirmable: bool) {
        let at = SIZE_BOUNDS.iter().position(|bound| bytes <= *bound).unwrap_or(SIZE_BOUNDS.len());
        if let Some(size) = self.sizes.get_mut(at) {
            *size += count;
        }
        self.bytes += bytes * count;
        self.confirmable += if confirmable { count } else { 0 };
    }

    /// How many were at most so large as each bound.
    pub fn buckets(&self) -> Vec<(u64, u64)> {
        let below = self.sizes.iter().scan(0, |sum, size| {
            *sum += size;
            Some(*sum)
        });
        SIZE_BOUNDS.into_iter().zip(below).collect()
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.sizes.iter().sum()
    }
}

impl AddAssign for Publishes {
    fn add_assign(&mut self, other: Publishes) {
        for (all, own) in self.sizes.iter_mut().zip(other.sizes) {
            *all = all.wrapping_add(own);
        }
        self.bytes = self.bytes.wrapping_add(other.bytes);
        self.confirmable = self.confirmable.wrapping_add(other.confirmable);
    }
}

/// Bounds of how many messages a channel takes at a time.
pub const BATCH_BOUNDS: [u64; 7] = [1, 4, 16, 64, 256, 1024, 4096];

/// Turns of channels by how many messages each brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Batches {
    /// How many brought at most so many as each bound and more than the one before; the last: more than all.
    counts: [u64; BATCH_BOUNDS.len() + 1],
    /// Messages of all.
    pub messages: u64,
}

impl Batches {
    /// A turn brought so many.
    pub fn add(&mut self, messages: u64) {
        let at = BATCH_BOUNDS.iter().position(|bound| messages <= *bound).unwrap_or(BATCH_BOUNDS.len());
        if let Some(count) = self.counts.get_mut(at) {
            *count += 1;
        }
        self.messages += messages;
    }

    /// How many brought at most so many as each bound.
    pub fn buckets(&self) -> Vec<(u64, u64)> {
        let below = self.counts.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        BATCH_BOUNDS.into_iter().zip(below).collect()
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

impl AddAssign for Batches {
    fn add_assign(&mut self, other: Batches) {
        for (all, own) in self.counts.iter_mut().zip(other.counts) {
            *all = all.wrapping_add(own);
        }
        self.messages = self.messages.wrapping_add(other.messages);
    }
}

/// Messages through an exchange, counted by many.
#[derive(Debug, Default)]
pub struct Throughput {
    incoming: AtomicU64,
    outgoing: AtomicU64,
    returned: AtomicU64,
    dropped: AtomicU64,
    stirred: AtomicBool,
}

impl Throughput {
    /// Messages came in and were handed on. True for the first since [`Throughput::settle`].
    pub fn add(&self, incoming: u64, outgoing: u64) -> bool {
        self.incoming.fetch_add(incoming, Ordering::Relaxed);
        self.outgoing.fetch_add(outgoing, Ordering::Relaxed);
        !self.is_stirred() && !self.stirred.swap(true, Ordering::Relaxed)
    }

    /// Messages that came in found no queue: they went back to their publisher, or were dropped.
    pub fn add_unroutable(&self, returned: u64, dropped: u64) {
        self.returned.fetch_add(returned, Ordering::Relaxed);
        self.dropped.fetch_add(dropped, Ordering::Relaxed);
    }

    /// Messages that found no queue: returned, dropped.
    pub fn unroutable(&self) -> [u64; 2] {
        [&self.returned, &self.dropped].map(|number| number.load(Ordering::Relaxed))
    }

    /// Somebody looks at the numbers now.
    pub fn settle(&self) {
        self.stirred.store(false, Ordering::Relaxed);
    }

    /// Whether messages came since somebody looked.
    pub fn is_stirred(&self) -> bool {
        self.stirred.load(Ordering::Relaxed)
    }

    /// The numbers as they are.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        totals.add(Count::PublishIn, self.incoming.load(Ordering::Relaxed));
        totals.add(Count::PublishOut, self.outgoing.load(Ordering::Relaxed));
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_apart_by_their_bounds() {
        let mut publishes = Publishes::default();
        for (bytes, confirmable) in [(0, false), (100, true), (101, true), (1_000, false), (1 << 30, true)] {
            publishes.add(1, bytes, confirmable);
        }
        let buckets = publishes.buckets();
        assert_eq!((buckets[0], buckets[1], buckets[7]), ((100, 2), (1_000, 4), (100_000_000, 4)));
        assert_eq!((publishes.count(), publishes.confirmable, publishes.bytes), (5, 3, (1 << 30) + 1_201));
        let mut twice = publishes;
        twice += publishes;
        assert_eq!(twice.count(), 10);
    }

    #[test]
    fn what_finds_no_queue_is_returned_or_dropped() {
        let throughput = Throughput::default();
        throughput.add_unroutable(1, 0);
        throughput.add_unroutable(0, 2);
        assert_eq!(throughput.unroutable(), [1, 2]);
        assert!(throughput.totals().is_empty());
    }

    #[test]
    fn turns_by_their_messages() {
        let mut batches = Batches::default();
        [1, 4, 5, 10_000].into_iter().for_each(|messages| batches.add(messages));
        let buckets = batches.buckets();
        assert_eq!((buckets[0], buckets[1], buckets[6]), ((1, 1), (4, 2), (4096, 3)));
        assert_eq!((batches.count(), batches.messages), (4, 10_010));
        let mut twice = batches;
        twice += batches;
        assert_eq!((twice.count(), twice.messages), (8, 20_020));
    }

    #[test]
    fn every_count_has_a_place_and_a_name_of_its_own() {
        let counters = Counters::default();
        for (at, count) in Count::ALL.into_iter().enumerate() {
            assert_eq!(count as usize, at);
            counters.add(count, at as u64 + 1);
        }
        let totals = counters.totals();
        assert!(Count::ALL.into_iter().enumerate().all(|(at, count)| totals.get(count) == at as u64 + 1));
        assert_eq!(totals.deliver_get(), 5 + 6 + 7 + 8);
        let mut doubled = totals;
        doubled += totals;
        assert_eq!(doubled.get(Count::DropUnroutable), 26);
        let names: std::collections::HashSet<_> = Count::ALL.map(Count::name).into_iter().collect();
        assert_eq!(names.len(), COUNTS);
    }
}

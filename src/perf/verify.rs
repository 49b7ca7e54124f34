//! What a body says of its message, and whether every message came, once, in order, unharmed.

use super::args::Verify;
use std::collections::HashMap;
use std::ops::AddAssign;

/// Bytes at the start of a verified body: time due, number, publisher, checksum of these.
pub(super) const VERIFIED_BYTES: usize = 24;

/// What is written into a body when it is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// When it was due, in nanoseconds since the run's start.
    pub(super) due: u64,
    /// Counts the publisher's messages from 0.
    pub(super) number: u64,
    pub(super) publisher: u32,
}

impl Mark {
    /// Writes as much as the body has room for: all, the time, or nothing.
    pub(super) fn write(&self, body: &mut [u8]) {
        if let Some(room) = body.first_chunk_mut::<VERIFIED_BYTES>() {
            *room = self.bytes();
        } else if let Some(room) = body.first_chunk_mut::<8>() {
            *room = self.due.to_be_bytes();
        }
    }

    fn bytes(&self) -> [u8; VERIFIED_BYTES] {
        let mut bytes = [0; VERIFIED_BYTES];
        let (fields, sum) = bytes.split_at_mut(20);
        let parts = self.due.to_be_bytes().into_iter().chain(self.number.to_be_bytes());
        for (place, byte) in fields.iter_mut().zip(parts.chain(self.publisher.to_be_bytes())) {
            *place = byte;
        }
        sum.copy_from_slice(&crc32fast::hash(fields).to_be_bytes());
        bytes
    }

    /// Reads it back; `None` if its checksum does not fit.
    fn read(body: &[u8]) -> Option<Self> {
        let (fields, rest) = body.split_at_checked(20)?;
        let sum = u32::from_be_bytes(*rest.first_chunk()?);
        let (due, fields_left) = fields.split_first_chunk::<8>()?;
        let (number, publisher) = fields_left.split_first_chunk::<8>()?;
        (crc32fast::hash(fields) == sum).then_some(Self {
            due: u64::from_be_bytes(*due),
            number: u64::from_be_bytes(*number),
            publisher: u32::from_be_bytes(*publisher.first_chunk()?),
        })
    }
}

/// What bodies hold behind their mark: not one byte repeated, so that a shift shows.
pub(super) fn filler(size: usize) -> Vec<u8> {
    (0..size).map(|place| (place * 31 % 251) as u8).collect()
}

/// What is wrong with the messages of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Faults {
    pub(super) missing: u64,
    pub(super) duplicated: u64,
    pub(super) reordered: u64,
    pub(super) corrupted: u64,
}

impl AddAssign for Faults {
    fn add_assign(&mut self, other: Self) {
        self.missing += other.missing;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.corrupted += other.corrupted;
    }
}

/// Messages that one consumer saw.
#[derive(Debug)]
pub(super) struct Tracker {
    level: Verify,
    filler: Vec<u8>,
    /// By queue and publisher.
    seen: HashMap<(u32, u32), Seen>,
    faults: Faults,
}

#[derive(Debug, Default)]
struct Seen {
    /// One bit a message.
    bits: Vec<u64>,
    /// The next number that order allows.
    next: u64,
}

impl Tracker {
    pub(super) fn new(level: Verify, size: usize) -> Self {
        let filler = if level == Verify::Content { filler(size) } else { Vec::new() };
        Self { level, filler, seen: HashMap::new(), faults: Faults::default() }
    }

    /// Looks at a message that came from `queue`. `body` is its first frame's part at least.
    pub(super) fn see(&mut self, queue: u32, redelivered: bool, body: &[u8]) {
        let Some(mark) = Mark::read(body) else {
            self.faults.corrupted += 1;
            return;
        };
        let seen = self.seen.entry((queue, mark.publisher)).or_default();
        if mark.number < seen.next && !redelivered && self.level >= Verify::Order {
            self.faults.reordered += 1;
        }
        seen.next = seen.next.max(mark.number + 1);
        if !seen.mark(mark.number) {
            self.faults.duplicated += 1;
        }
        self.see_content(0, body);
    }

    /// Looks at a part of a body that starts at `place`.
    pub(super) fn see_content(&mut self, place: usize, part: &[u8]) {
        if self.level < Verify::Content {
            return;
        }
        let skipped = VERIFIED_BYTES.saturating_sub(place).min(part.len());
        let expected = self.filler.get(place + skipped..place + part.len());
        if expected.is_none() || expected != part.get(skipped..) {
            self.faults.corrupted += 1;
        }
    }
}

impl Seen {
    /// Whether the message is new.
    fn mark(&mut self, number: u64) -> bool {
        let (word, bit) = ((number / 64) as usize, 1 << (number % 64));
        if word >= self.bits.len() {
            self.bits.resize(word + 1, 0);
        }
        let Some(word) = self.bits.get_mut(word) else { return false };
        let new = *word & bit == 0;
        *word |= bit;
        new
    }
}

/// What all consumers saw, against `published`: how many messages each publisher sent, to `copies` queues each. `queues`
/// tells for each tracker which queue its own numbers stand for.
pub(super) fn judge(trackers: Vec<(Tracker, Vec<u32>)>, published: &[u64], copies: u64) -> Faults {
    let mut faults = Faults::default();
    let mut all: HashMap<(u32, u32), Vec<u64>> = HashMap::new();
    for (tracker, queues) in trackers {
        faults += tracker.faults;
        for ((queue, publisher), seen) in tracker.seen {
            // One message for one queue: whichever it came from, it may come once.
            let queue = if copies == 1 { 0 } else { queues.get(queue as usize).copied().unwrap_or(u32::MAX) };
            let merged = all.entry((queue, publisher)).or_default();
            if merged.len() < seen.bits.len() {
                merged.resize(seen.bits.len(), 0);
            }
            for (mine, theirs) in merged.iter_mut().zip(&seen.bits) {
                faults.duplicated += u64::from((*mine & theirs).count_ones());
                *mine |= theirs;
            }
        }
    }
    let seen: u64 = all.values().flatten().map(|word| u64::from(word.count_ones())).sum();
    faults.missing = (published.iter().sum::<u64>() * copies).saturating_sub(seen);
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(publisher: u32, number: u64) -> Vec<u8> {
        let mut body = filler(100);
        Mark { due: 7, number, publisher }.write(&mut body);
        body
    }

    /// The faults when one consumer of one queue sees these of one publisher's messages.
    fn faults(numbers: &[u64], published: u64) -> Faults {
        let mut tracker = Tracker::new(Verify::Content, 100);
        numbers.iter().for_each(|number| tracker.see(0, false, &body(0, *number)));
        judge(vec![(tracker, vec![0])], &[published], 1)
    }

    #[test]
    fn a_mark_is_read_as_written_where_there_is_room() {
        let mark = Mark { due: 1, number: u64::MAX, publisher: 9 };
        let mut body = [0; 30];
        mark.write(&mut body);
        assert_eq!(Mark::read(&body), Some(mark));
        let mut short = [0; 10];
        mark.write(&mut short);
        assert_eq!(short, [0, 0, 0, 0, 0, 0, 0, 1, 0, 0]);
        let mut tiny = [5; 7];
        mark.write(&mut tiny);
        assert_eq!(tiny, [5; 7]);
    }

    #[test]
    fn each_fault_is_found() {
        let none = Faults::default();
        assert_eq!(faults(&[0, 1, 2], 3), none);
        assert_eq!(faults(&[0, 2], 3), Faults { missing: 1, ..none });
        assert_eq!(faults(&[0, 2, 1], 3), Faults { reordered: 1, ..none });
        assert_eq!(faults(&[0, 1, 1, 2], 3), Faults { duplicated: 1, reordered: 1, ..none });
        assert_eq!(faults(&[], 200), Faults { missing: 200, ..none });
    }

    #[test]
    fn every_changed_byte_is_found() {
        for place in 0..100 {
            let mut changed = body(0, 0);
            changed[place] ^= 0x10;
            let mut tracker = Tracker::new(Verify::Content, 100);
            tracker.see(0, false, &changed);
            assert_eq!(tracker.faults.corrupted, 1, "byte {place}");
        }
        let mut tracker = Tracker::new(Verify::Content, 100);
        tracker.see(0, false, &body(0, 0)[..60]);
        tracker.see_content(60, &filler(100)[60..]);
        assert_eq!(tracker.faults.corrupted, 0);
        tracker.see_content(61, &filler(100)[60..]);
        assert_eq!(tracker.faults.corrupted, 1);
    }

    #[test]
    fn a_redelivery_may_be_out_of_order_but_not_twice() {
        let mut tracker = Tracker::new(Verify::Order, 100);
        for number in [0, 2] {
            tracker.see(0, false, &body(0, number));
        }
        tracker.see(0, true, &body(0, 1));
        assert_eq!(judge(vec![(tracker, vec![0])], &[3], 1), Faults::default());
    }

    #[test]
    fn consumers_share_a_queue_and_publishers_a_consumer() {
        let track = |numbers: &[(u32, u64)]| {
            let mut tracker = Tracker::new(Verify::Order, 100);
            numbers.iter().for_each(|(publisher, number)| tracker.see(0, false, &body(*publisher, *number)));
            tracker
        };
        let both = || vec![(track(&[(0, 0), (1, 0), (0, 2)]), vec![0]), (track(&[(0, 1), (1, 1)]), vec![0])];
        assert_eq!(judge(both(), &[3, 2], 1), Faults::default());
        let twice = vec![(track(&[(0, 0)]), vec![0]), (track(&[(0, 0)]), vec![0])];
        assert_eq!(judge(twice, &[1], 1), Faults { duplicated: 1, ..Faults::default() });
    }

    #[test]
    fn a_copied_message_comes_once_from_each_queue() {
        let track = |queues: &[u32]| {
            let mut tracker = Tracker::new(Verify::Order, 100);
            queues.iter().for_each(|queue| tracker.see(*queue, false, &body(0, 0)));
            tracker
        };
        assert_eq!(judge(vec![(track(&[0, 1]), vec![4, 5])], &[1], 2), Faults::default());
        assert_eq!(judge(vec![(track(&[0]), vec![4])], &[1], 2), Faults { missing: 1, ..Faults::default() });
        let twice = vec![(track(&[0]), vec![4]), (track(&[0]), vec![4])];
        assert_eq!(judge(twice, &[1], 2), Faults { missing: 1, duplicated: 1, ..Faults::default() });
    }
}

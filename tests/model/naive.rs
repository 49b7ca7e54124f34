//! The naive queue: every message in a map, nothing clever. It does not say what the machine will do next; it judges what the
//! machine did, and says what should have been done by now.

use crate::consumers::Consumers;
use crate::once::{Mark, Once};
use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash};
use std::ops::Range;
use std::sync::Arc;
use warren::broker::identity::ConsumerId;
use warren::broker::message::Returns;
use warren::broker::queue::{Counts, Overflow, PRIORITY_MAX, QueueKind, QueueSettings, Reason, Retry, RetryKind};

/// What was published, by the number in its body; it never changes.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Bytes of the body.
    pub body: u64,
    /// Bytes of the record.
    pub record: u64,
    /// Wall clock ms; 0 = never.
    pub deadline: u64,
    /// Its deaths so far, the last one first: queue, reason, count.
    pub deaths: Vec<(&'static str, Reason, i64)>,
    /// Who it says it is.
    pub mark: Option<Mark>,
}

/// A message, by its sequence number in the maps that hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    pub id: u64,
    pub durable: bool,
    /// Was handed out before; None: nobody can know.
    pub delivered: Option<bool>,
    /// Where the chunk that it was handed out from ends.
    pub chunk_end: u64,
    pub returns: Returns,
}

/// A message on its way to the dead-letter exchange.
#[derive(Clone, Copy, Debug)]
pub struct Dying {
    pub message: Message,
    pub reason: Reason,
    /// The machine has handed it over.
    pub told: bool,
}

/// A delivery as the machine made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub sequence: u64,
    pub chunk_end: u64,
    pub id: u64,
    pub redelivered: bool,
    pub returns: Returns,
}

impl Delivery {
    pub fn note(&self, digest: &mut DefaultHasher) {
        let Delivery { sequence, id, redelivered, returns, .. } = *self;
        (sequence, id, redelivered, returns.failed, returns.acquired).hash(digest);
    }
}

#[derive(Debug)]
pub struct Naive {
    pub settings: Arc<QueueSettings>,
    pub facts: Vec<Facts>,
    pub ready: BTreeMap<u64, Message>,
    /// Bytes of the bodies of ready messages.
    pub bodies: u64,
    /// Nobody had counted them before a crash, or before the records of messages in consumers' hands left memory: the machine
    /// guesses until the queue was empty once.
    pub guessed: bool,
    /// The ready messages of a quorum queue that came back, in the order of their return.
    returned: VecDeque<u64>,
    /// High-priority messages of a quorum queue since the last low one.
    favoured: u32,
    /// Messages that came back and wait, by the time when they are ready again.
    pub delayed: BTreeMap<(u64, u64), Message>,
    pub unsettled: BTreeMap<u64, (Message, Option<ConsumerId>)>,
    pub dying: BTreeMap<u64, Dying>,
    pub consumers: Consumers,
    /// Numbers of the messages that the command brought.
    pub fresh: Range<u64>,
    /// Nobody has used the queue since.
    pub unused_since: Option<u64>,
    /// Which messages came before.
    pub once: Once,
}

impl Naive {
    pub fn new(settings: Arc<QueueSettings>) -> Naive {
        Naive {
            consumers: Consumers::new(&settings),
            once: Once::new(settings.deduplication.clone()),
            settings,
            facts: vec![Facts::default()],
            ready: BTreeMap::new(),
            bodies: 0,
            guessed: false,
            returned: VecDeque::new(),
            favoured: 0,
            delayed: BTreeMap::new(),
            unsettled: BTreeMap::new(),
            dying: BTreeMap::new(),
            fresh: 0..0,
            unused_since: None,
        }
    }

    /// The sequence numbers of each priority, the highest first.
    pub fn levels(&self) -> Vec<Range<u64>> {
        let highest = match self.settings.kind {
            QueueKind::Quorum => Some(1),
            QueueKind::Classic => self.settings.max_priority,
        };
        let top = highest.map_or(0, |highest| u64::from(PRIORITY_MAX - highest));
        let count = highest.map_or(1, |highest| u64::from(highest) + 1);
        (top..top + count).map(|level| level << 56..(level << 56).saturating_add(1 << 56)).collect()
    }

    pub fn facts(&self, message: &Message) -> &Facts {
        &self.facts[message.id as usize]
    }

    pub fn is_expired(&self, sequence: u64, now: u64) -> bool {
        let deadline = self.facts(&self.ready[&sequence]).deadline;
        deadline > 0 && deadline <= now && !self.fresh.contains(&sequence)
    }

    /// The message of a level that is served before its others.
    pub fn head(&self, level: &Range<u64>) -> Option<u64> {
        let returned = self.returned.front().copied();
        returned.or_else(|| self.ready.range(level.clone()).next().map(|(sequence, _)| *sequence))
    }

    /// The message that must be served next: what came back, then the highest priority; a quorum queue serves two of high
    /// priority for one of low.
    pub fn next(&self) -> Option<u64> {
        if self.settings.kind == QueueKind::Quorum && self.returned.is_empty() {
            let heads: Vec<u64> = self.levels().iter().filter_map(|level| self.head(level)).collect();
            return heads.get(usize::from(heads.len() == 2 && self.favoured >= 2)).copied();
        }
        self.returned.front().copied().or_else(|| self.ready.keys().next().copied())
    }

    fn is_over(&self, messages: u64, bodies: u64) -> bool {
        self.settings.max_length.is_some_and(|max| messages > max)
            || self.settings.max_bytes.is_some_and(|max| bodies > max)
    }

    pub fn refuses(&self) -> bool {
        let bounded = self.settings.max_length.is_some() || self.settings.max_bytes.is_some();
        bounded && self.settings.overflow != Overflow::DropHead
    }

    /// Whether a message of so many bytes has no room.
    pub fn is_full_for(&self, body: u64) -> bool {
        self.is_over(self.ready.len() as u64 + 1, self.bodies + body)
    }

    /// Whether messages have to make room.
    pub fn overflows(&self) -> bool {
        let bodies = if self.guesses() { 0 } else { self.bodies };
        !self.refuses() && self.is_over(self.ready.len() as u64, bodies)
    }

    /// Whether it is only guessed how many bytes there are.
    pub fn guesses(&self) -> bool {
        self.guessed && self.settings.max_bytes.is_some()
    }

    pub fn add_ready(&mut self, sequence: u64, message: Message, came_back: bool) {
        self.bodies += self.facts(&message).body;
        assert!(self.ready.insert(sequence, message).is_none());
        if came_back && self.settings.kind == QueueKind::Quorum {
            self.returned.push_back(sequence);
        }
    }

    fn take_out(&mut self, sequence: u64) -> Message {
        let message = self.ready.remove(&sequence).expect("a message that is ready");
        self.bodies -= self.facts(&message).body;
        if self.returned.front() == Some(&sequence) {
            self.returned.pop_front();
        } else if self.settings.kind == QueueKind::Quorum {
            let high = self.levels()[0].contains(&sequence);
            self.favoured = if high { self.favoured + 1 } else { 0 };
        }
        message
    }

    /// A ready message goes to the dead-letter exchange, or nowhere.
    fn drop_ready(&mut self, sequence: u64, reason: Reason) {
        let message = self.take_out(sequence);
        if self.settings.dead_letters.is_some() {
            self.dying.insert(sequence, Dying { message, reason, told: true });
        }
    }

    /// A message in nobody's hands is to go.
    pub fn doom(&mut self, sequence: u64, message: Message, reason: Reason) {
        if self.settings.dead_letters.is_some() {
            self.dying.insert(sequence, Dying { message, reason, told: false });
        }
    }

    /// A message comes back from a consumer (compat.md 2.8).
    pub fn give_back(&mut self, sequence: u64, mut message: Message, failed: bool, now: u64) {
        if self.settings.kind == QueueKind::Quorum {
            message.returns.acquired += 1;
            message.returns.failed += u32::from(failed);
            if self.settings.delivery_limit.is_some_and(|limit| message.returns.failed > limit) {
                return self.doom(sequence, message, Reason::DeliveryLimit);
            }
            if let Some(wait) = self.wait(message.returns, failed) {
                self.delayed.insert((now + wait, sequence), message);
                return;
            }
        }
        self.add_ready(sequence, message, true);
    }

    /// How long a message waits that came back so often (compat.md 2.8); None: not at all.
    fn wait(&self, returns: Returns, failed: bool) -> Option<u64> {
        let Retry { kind, min_ms, max_ms } = self.settings.retry;
        let waits = match kind {
            RetryKind::Disabled => false,
            RetryKind::All => true,
            RetryKind::Failed => failed,
            RetryKind::Returned => !failed,
        };
        waits.then(|| (min_ms * u64::from(returns.failed.max(1))).min(max_ms.max(min_ms)))
    }

    /// The level of a priority: the highest comes first (compat.md 2.6 and 0, row 11).
    pub fn level_of(&self, priority: u8) -> usize {
        match (self.settings.kind, self.settings.max_priority) {
            (QueueKind::Quorum, _) => usize::from(priority <= 4),
            (QueueKind::Classic, None) => 0,
            (QueueKind::Classic, Some(highest)) => usize::from(highest - priority.min(highest)),
        }
    }

    /// The next message is handed out.
    pub fn hand_out(&mut self, delivery: Delivery, to: Option<ConsumerId>, no_ack: bool, now: u64) {
        let Delivery { sequence, chunk_end, id, redelivered, returns } = delivery;
        let mut message = self.take_out(sequence);
        assert_eq!(message.id, id, "another message has the number {sequence}");
        assert!(message.delivered.is_none_or(|delivered| delivered == redelivered), "redelivered flag of {sequence}");
        assert_eq!(message.returns, returns, "returns of {sequence}");
        let deadline = self.facts(&message).deadline;
        let alive = deadline == 0 || deadline > now || self.fresh.contains(&sequence);
        assert!(alive, "{sequence} was handed out after its time");
        message.delivered = Some(true);
        message.chunk_end = chunk_end;
        if !no_ack {
            self.unsettled.insert(sequence, (message, to));
        }
    }

    /// What time does before a command: `dead` is what the machine let go, in order.
    pub fn pass_time(&mut self, now: u64, dead: &mut VecDeque<(u64, Reason)>) {
        self.once.pass_time(now);
        while let Some(entry) = self.delayed.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((_, sequence), message) = entry.remove_entry();
            self.add_ready(sequence, message, true);
        }
        self.expire(now, dead);
    }

    /// Expired heads that the machine let go.
    pub fn expire(&mut self, now: u64, dead: &mut VecDeque<(u64, Reason)>) {
        while let Some((sequence, Reason::Expired)) = dead.front().copied()
            && self.levels().iter().any(|level| self.head(level) == Some(sequence))
            && self.is_expired(sequence, now)
        {
            self.drop_ready(sequence, Reason::Expired);
            dead.pop_front();
        }
    }

    /// Deliveries of a command, between them what was found expired.
    pub fn deliver(&mut self, deliveries: &[(ConsumerId, Delivery)], now: u64, dead: &mut VecDeque<(u64, Reason)>) {
        self.consumers.begin();
        for (consumer, delivery) in deliveries {
            while self.next() != Some(delivery.sequence) {
                let next = self.next().unwrap_or_else(|| panic!("{delivery:?} came, and nothing is ready"));
                // Where messages may be refused they come one by one: what nobody took at once is as old as the others.
                let deadline = self.facts(&self.ready[&next]).deadline;
                let expired = self.is_expired(next, now) || (self.refuses() && deadline > 0 && deadline <= now);
                assert!(expired, "{delivery:?} came, and {next} was next");
                if self.settings.dead_letters.is_some() {
                    assert_eq!(dead.pop_front(), Some((next, Reason::Expired)), "{delivery:?} came, {next} was next");
                }
                self.drop_ready(next, Reason::Expired);
            }
            let no_ack = self.consumers.takes(*consumer);
            self.hand_out(*delivery, Some(*consumer), no_ack, now);
        }
        let kept = self.next().filter(|next| self.fresh.contains(next) && self.consumers.is_hungry());
        assert_eq!(kept, None, "it came just now, and a consumer waits");
        self.fresh = 0..0;
    }

    /// What left the queue after the deliveries of a command: for lack of room, then of time.
    pub fn let_go(&mut self, now: u64, dead: &mut VecDeque<(u64, Reason)>, counts: &Counts) {
        while let Some((sequence, Reason::MaxLen)) = dead.front().copied() {
            assert!(self.overflows() || self.guesses(), "{sequence} was dropped and there was room");
            assert_eq!(self.next(), Some(sequence), "what is dropped is what would be served next");
            self.drop_ready(sequence, Reason::MaxLen);
            dead.pop_front();
        }
        self.expire(now, dead);
        assert!(dead.is_empty(), "let go without a reason: {dead:?}");
        if self.settings.dead_letters.is_none() {
            while self.ready.len() as u64 > counts.ready {
                let next = self.next().expect("a ready message");
                let reason = self.overflows() || self.guesses() || self.is_expired(next, now);
                assert!(reason, "{next} was dropped without a reason");
                self.drop_ready(next, Reason::MaxLen);
            }
            // What waited for the disk to be dead-lettered has nowhere to go any more.
            if counts.dying < self.dying.len() as u64 {
                self.dying.retain(|_, dying| dying.told);
            }
        }
        let empty = self.all().next().is_none();
        self.guessed &= !empty;
    }

    /// Messages in the hands of one consumer, from the `at`-th on, at most `count`: those of consecutive numbers in one chunk
    /// together.
    pub fn spans(&self, at: usize, count: u32) -> (Vec<(u64, u32, u64)>, Option<ConsumerId>) {
        let Some((first, (_, holder))) = self.unsettled.iter().nth(at) else { return (Vec::new(), None) };
        let mut spans: Vec<(u64, u32, u64)> = Vec::new();
        let held = self.unsettled.range(*first..).filter(|(_, (_, other))| other == holder).take(count as usize);
        for (sequence, (message, _)) in held {
            match spans.last_mut() {
                Some(last) if last.0 + u64::from(last.1) == *sequence && last.2 == message.chunk_end => last.1 += 1,
                _ => spans.push((*sequence, 1, message.chunk_end)),
            }
        }
        (spans, *holder)
    }

    /// Takes messages out of their holder's hands.
    pub fn release(&mut self, spans: &[(u64, u32, u64)]) -> Vec<(u64, Message)> {
        let numbers = spans.iter().flat_map(|(first, count, _)| *first..*first + u64::from(*count));
        let taken: Vec<u64> = numbers.collect();
        let released = taken.into_iter().map(|sequence| {
            let (message, holder) = self.unsettled.remove(&sequence).expect("a message in somebody's hands");
            holder.iter().for_each(|id| self.consumers.gives_back(*id));
            (sequence, message)
        });
        released.collect()
    }

    /// All messages that are not settled.
    pub fn all(&self) -> impl Iterator<Item = (u64, Message)> + '_ {
        let ready = self.ready.iter().map(|(sequence, message)| (*sequence, *message));
        let delayed = self.delayed.iter().map(|((_, sequence), message)| (*sequence, *message));
        let unsettled = self.unsettled.iter().map(|(sequence, (message, _))| (*sequence, *message));
        let dying = self.dying.iter().map(|(sequence, dying)| (*sequence, dying.message));
        ready.chain(delayed).chain(unsettled).chain(dying)
    }

    pub fn purge(&mut self) -> u64 {
        let purged = self.ready.len() as u64;
        self.ready.clear();
        self.returned.clear();
        self.bodies = 0;
        purged
    }

    /// When time alone changes something, as far as anyone can see.
    pub fn next_moment(&self) -> Option<u64> {
        let heads = self.levels().into_iter().filter_map(|level| self.head(&level));
        let deadlines = heads.map(|head| self.facts(&self.ready[&head]).deadline).filter(|deadline| *deadline > 0);
        let delayed = self.delayed.keys().next().map(|(due, _)| *due);
        deadlines.chain(delayed).min()
    }

    /// The queue's own time: when it is over for lack of users.
    pub fn unused_until(&mut self, now: u64) -> Option<u64> {
        let expires = self.settings.expires?;
        if !self.consumers.is_empty() {
            self.unused_since = None;
            return None;
        }
        Some(*self.unused_since.get_or_insert(now) + expires)
    }
}

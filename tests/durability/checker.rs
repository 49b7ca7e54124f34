//! What the broker did, held against what it promised (the rules are those of an at-least-once queue whose confirms
//! mean "on disk").
//!
//! A **life** is the time from a broker's start to its end. What a client knows counts fully only within one life:
//! a crash may lose the `redelivered` flag and an acknowledgement that was not yet on disk, but no confirmed message.

use crate::bits::Bits;
use crate::message::Id;
use crate::places::Places;
use std::collections::{BTreeMap, HashMap};

/// How much before its time a message may come: the broker follows the wall clock slowly.
const SLACK_MS: u64 = 100;

/// Violations of each rule kept in words; more are only counted.
const VIOLATIONS_KEPT: u64 = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// A confirmed publish never arrived; or it did, was not acknowledged, and is nowhere.
    Loss,
    /// A delivery nobody published, in a queue it does not belong to, or with other bytes.
    Phantom,
    /// A second delivery in one broker life without `redelivered`.
    Unflagged,
    /// A delivery after a settled ack with no crash between.
    AfterAck,
    /// A duplicate of what was confirmed before was taken.
    Twice,
    /// A delayed message came before its time.
    Early,
    /// First deliveries out of publishing order.
    Order,
    /// A requeued message came back later than its place allows.
    RequeueOrder,
    /// A publish confirmed twice, or a confirm of nothing.
    Confirm,
    /// A publish of a transaction that was rolled back arrived.
    Rollback,
    /// `basic.return` missing, doubled, after its ack, or for a routable message.
    Return,
    /// The broker stopped answering, or refused what it must do.
    Liveness,
    /// A definition with `-ok` is gone after a restart, or a deleted one is back.
    Topology,
    /// What nothing refers to is still on disk.
    Leak,
}

#[derive(Clone, Debug)]
pub struct Violation {
    pub rule: Rule,
    pub text: String,
}

#[derive(Clone, Debug, Default)]
pub struct Stats {
    pub invoked: u64,
    pub confirmed: u64,
    pub nacked: u64,
    pub returned: u64,
    pub rolled_back: u64,
    pub deliveries: u64,
    /// (message, queue) pairs delivered at least once, and those that should be at most.
    pub delivered: u64,
    pub copies: u64,
    pub duplicates_flagged: u64,
    /// Second deliveries without the flag where the first was in a former life: allowed, reported.
    pub duplicates_unflagged: u64,
    /// Deliveries after a settled ack with a crash between: allowed, reported.
    pub after_ack: u64,
    /// Publishes without a confirm that arrived all the same.
    pub recovered: u64,
    /// Duplicates that were published and confirmed.
    pub doubles: u64,
}

#[derive(Default)]
struct Slot {
    delivered: Bits,
    settled: Bits,
    /// An ack was sent.
    acked: Bits,
    /// Delivered in the present life.
    delivered_now: HashMap<u64, Seen>,
    /// Settled since the last crash.
    settled_safely: Bits,
}

/// How a message was delivered in the present life.
#[derive(Default)]
struct Seen {
    /// Without `redelivered`.
    unflagged: bool,
    /// By which sessions.
    by: Vec<u64>,
    /// The last session that had begun at its last delivery.
    sessions: u64,
}

impl Seen {
    /// Notes a delivery; returns whether it lacks the flag. The first one may be seen after the second: a broker that stops takes
    /// the message from one session and gives it to another, and each of them reads its socket in its own time.
    fn again(&mut self, session: u64, sessions: u64, redelivered: bool) -> bool {
        let overtaken = !self.unflagged && session <= self.sessions && !self.by.contains(&session);
        let lacks = !self.by.is_empty() && !redelivered && !overtaken;
        self.unflagged |= !redelivered;
        self.by.push(session);
        self.sessions = sessions;
        lacks
    }
}

#[derive(Default)]
struct Producer {
    invoked: u64,
    /// First seq of each publishing channel.
    sessions: Vec<u64>,
    confirmed: Bits,
    nacked: Bits,
    returned: Bits,
    rolled_back: Bits,
    /// A duplicate of it was confirmed: it is there.
    doubles: Bits,
    /// Confirmed, itself or a duplicate, before the present life.
    confirmed_before: Bits,
    /// Not to come before, in wall clock ms.
    due: HashMap<u64, u64>,
    slots: Vec<Slot>,
    /// Messages that were published before the last crash: what a queue passed on, it may pass on again.
    before_crash: u64,
}

impl Producer {
    fn all_confirmed(&self) -> Bits {
        let mut all = self.confirmed.clone();
        self.doubles.iter().for_each(|seq| {
            all.insert(seq);
        });
        all
    }
}

/// One consumer on one channel.
struct Session {
    queue: usize,
    life: u32,
    /// For the only consumer of its queue: its prefetch count. Order rules are strict then.
    solo: Option<u64>,
    /// Highest seq delivered, by producer, publishing channel and priority: unflagged ones, for a solo consumer all.
    high: HashMap<(u32, usize, u8), u64>,
    /// Requeued here and not yet back; how many later messages came first.
    requeued: HashMap<Id, u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId(u64);

/// What the topology does with messages.
#[derive(Clone, Copy)]
pub struct Rules {
    /// Where a message must come out.
    pub route: fn(Id) -> Places,
    /// Messages of a queue that differ in this have no order.
    pub rank: fn(usize, Id) -> u8,
    /// Queues, by their bits, whose messages come in any order.
    pub unordered: u16,
    /// Queues, by their bits, that take each message once.
    pub once: u16,
}

/// The history so far, as bits, and the verdict.
pub struct Checker {
    queues: usize,
    rules: Rules,
    producers: Vec<Producer>,
    sessions: HashMap<u64, Session>,
    sessions_ever: u64,
    life: u32,
    /// The last life that ended with a crash.
    crashed_life: Option<u32>,
    pub stats: Stats,
    violations: Vec<Violation>,
    counts: BTreeMap<Rule, u64>,
}

impl Checker {
    pub fn new(queues: usize, rules: Rules) -> Self {
        Self {
            queues,
            rules,
            producers: Vec::new(),
            sessions: HashMap::new(),
            sessions_ever: 0,
            life: 0,
            crashed_life: None,
            stats: Stats::default(),
            violations: Vec::new(),
            counts: BTreeMap::new(),
        }
    }

    pub fn violation(&mut self, rule: Rule, text: String) {
        let count = self.counts.entry(rule).or_default();
        *count += 1;
        if *count <= VIOLATIONS_KEPT {
            self.violations.push(Violation { rule, text });
        }
    }

    pub fn violation_count(&self) -> u64 {
        self.counts.values().sum()
    }

    pub fn counts(&self) -> &BTreeMap<Rule, u64> {
        &self.counts
    }

    pub fn life(&self) -> u32 {
        self.life
    }

    /// Copies that may still be in the broker.
    pub fn backlog(&self) -> u64 {
        self.stats.copies - self.stats.delivered
    }

    /// A producer opened a channel; its later publishes are ordered among themselves.
    pub fn publisher_session(&mut self, producer: u32) {
        let queues = self.queues;
        while self.producers.len() <= producer as usize {
            let slots = (0..queues).map(|_| Slot::default()).collect();
            self.producers.push(Producer { slots, ..Default::default() });
        }
        let producer = &mut self.producers[producer as usize];
        producer.sessions.push(producer.invoked);
    }

    /// The next message of a producer; called before its first byte is sent.
    pub fn invoke(&mut self, producer: u32) -> Id {
        let state = &mut self.producers[producer as usize];
        let id = Id { producer, seq: state.invoked };
        state.invoked += 1;
        self.stats.invoked += 1;
        self.stats.copies += (self.rules.route)(id).copies();
        id
    }

    /// A message that is about to be sent is not to come before it is due, in wall clock ms.
    pub fn waits(&mut self, id: Id, due: u64) {
        self.producers[id.producer as usize].due.insert(id.seq, due);
    }

    /// A delayed message came.
    pub fn came(&mut self, id: Id, now: u64) {
        let Some(producer) = self.publisher(id, Rule::Phantom) else { return };
        if let Some(due) = producer.due.get(&id.seq).copied().filter(|due| now + SLACK_MS < *due) {
            self.violation(Rule::Early, format!("{id:?} came {} ms before its time", due - now));
        }
    }

    /// A duplicate was confirmed, the message itself or not.
    pub fn confirmed_double(&mut self, id: Id, nack: bool) {
        if nack {
            return self.violation(Rule::Confirm, format!("a duplicate of {id:?} was refused"));
        }
        let Some(producer) = self.publisher(id, Rule::Confirm) else { return };
        producer.doubles.insert(id.seq);
        self.stats.doubles += 1;
    }

    pub fn returned(&mut self, id: Id) {
        if !(self.rules.route)(id).is_empty() {
            self.violation(Rule::Return, format!("{id:?} was returned but has a queue"));
        }
        let Some(producer) = self.publisher(id, Rule::Return) else { return };
        let settled = producer.confirmed.contains(id.seq) || producer.nacked.contains(id.seq);
        if !producer.returned.insert(id.seq) {
            self.violation(Rule::Return, format!("{id:?} was returned twice"));
        } else if settled {
            self.violation(Rule::Return, format!("{id:?} was returned after its confirm"));
        }
        self.stats.returned += 1;
    }

    pub fn confirmed(&mut self, id: Id, nack: bool) {
        let routed = !(self.rules.route)(id).is_empty();
        let Some(producer) = self.publisher(id, Rule::Confirm) else { return };
        let before = producer.confirmed.contains(id.seq) || producer.nacked.contains(id.seq);
        let returned = producer.returned.contains(id.seq);
        let set = if nack { &mut producer.nacked } else { &mut producer.confirmed };
        set.insert(id.seq);
        if before {
            return self.violation(Rule::Confirm, format!("{id:?} was confirmed twice"));
        }
        if nack {
            self.stats.nacked += 1;
            return;
        }
        self.stats.confirmed += 1;
        if !routed && !returned {
            self.violation(Rule::Return, format!("{id:?} is unroutable and was confirmed before its return"));
        }
    }

    fn publisher(&mut self, id: Id, rule: Rule) -> Option<&mut Producer> {
        let known = self.producers.get(id.producer as usize).is_some_and(|producer| id.seq < producer.invoked);
        if !known {
            self.violation(rule, format!("{id:?} was never published"));
            return None;
        }
        self.producers.get_mut(id.producer as usize)
    }

    /// A consumer started in broker life `life`; `solo` is its prefetch count if it is its queue's only one.
    pub fn consumer_session(&mut self, queue: usize, life: u32, solo: Option<u64>) -> SessionId {
        self.sessions_ever += 1;
        let session = Session { queue, life, solo, high: HashMap::new(), requeued: HashMap::new() };
        self.sessions.insert(self.sessions_ever, session);
        SessionId(self.sessions_ever)
    }

    pub fn end_session(&mut self, session: SessionId) {
        self.sessions.remove(&session.0);
    }

    pub fn delivered(&mut self, session: SessionId, id: Id, redelivered: bool) {
        self.stats.deliveries += 1;
        let (queue, life) = self.place(session);
        let routed = (self.rules.route)(id).has(queue);
        let Some(producer) = self.publisher(id, Rule::Phantom) else { return };
        if producer.rolled_back.contains(id.seq) {
            return self.violation(Rule::Rollback, format!("{id:?} was rolled back and came out of queue {queue}"));
        }
        if !routed {
            return self.violation(Rule::Phantom, format!("{id:?} came out of queue {queue}"));
        }
        self.check_repetition(session, (queue, life), id, redelivered);
        if self.rules.unordered & 1 << queue == 0 {
            self.check_order(session, id, redelivered);
        }
    }

    fn check_repetition(&mut self, session: SessionId, (queue, life): (usize, u32), id: Id, redelivered: bool) {
        let now = life == self.life;
        let places = (self.rules.route)(id);
        let producer = &mut self.producers[id.producer as usize];
        let confirmed_before = producer.confirmed_before.contains(id.seq);
        let once = self.rules.once & 1 << queue != 0;
        // A crash between a dead letter's arrival and its settlement at its source doubles it; and between a message and its
        // identity what was not confirmed, and is published again.
        let doubled = (places.any != 0 || (once && !confirmed_before)) && id.seq < producer.before_crash;
        let elsewhere = |slot: &Slot| slot.delivered.contains(id.seq);
        let known = places.any != 0 && producer.slots.iter().any(elsewhere);
        let passed = producer.slots.iter().any(|slot| slot.settled_safely.contains(id.seq));
        let slot = &mut producer.slots[queue];
        let first = slot.delivered.insert(id.seq);
        let first_now = !now || !slot.delivered_now.contains_key(&id.seq);
        let seen = now.then(|| slot.delivered_now.entry(id.seq).or_default());
        let unflagged = seen.is_some_and(|seen| seen.again(session.0, self.sessions_ever, redelivered));
        let settled = slot.settled.contains(id.seq);
        let settled_safely = now && (slot.settled_safely.contains(id.seq) || (places.any != 0 && passed));
        self.stats.delivered += u64::from(first && !known);
        self.stats.duplicates_flagged += u64::from(!first && redelivered);
        self.stats.duplicates_unflagged += u64::from(!first && !redelivered && first_now);
        self.stats.after_ack += u64::from(settled && !settled_safely);
        if doubled {
            return;
        }
        // What a crash leaves comes with the flag; without it this is another copy.
        let another = now && !first && first_now && !redelivered;
        if another && confirmed_before && once {
            self.violation(Rule::Twice, format!("{id:?} came again from queue {queue} as if for the first time"));
        }
        if unflagged {
            self.violation(Rule::Unflagged, format!("{id:?} came again from queue {queue} without redelivered"));
        }
        if settled_safely {
            self.violation(Rule::AfterAck, format!("{id:?} came again from queue {queue} after its ack was settled"));
        }
    }

    fn check_order(&mut self, session: SessionId, id: Id, redelivered: bool) {
        let channel = self.producers[id.producer as usize].sessions.partition_point(|first| *first <= id.seq);
        let Some(state) = self.sessions.get_mut(&session.0) else { return };
        let key = (id.producer, channel, (self.rules.rank)(state.queue, id));
        let high = state.high.get(&key).copied();
        let back = state.requeued.remove(&id).is_some();
        let advances = high.is_none_or(|high| id.seq > high);
        let mut late = None;
        if let (Some(prefetch), true) = (state.solo, advances) {
            for (waiting, overtaken) in &mut state.requeued {
                if waiting.producer == id.producer && waiting.seq < id.seq {
                    *overtaken += 1;
                    // What was on its way when the requeue was sent may come first: a prefetch window, and another
                    // that acks sent just before had freed.
                    if *overtaken == 2 * prefetch + 1 {
                        late = Some(*waiting);
                    }
                }
            }
        }
        let in_question = if state.solo.is_some() { !back } else { !redelivered };
        if advances && (in_question || state.solo.is_some()) {
            state.high.insert(key, id.seq);
        }
        let queue = state.queue;
        if let Some(waiting) = late {
            self.violation(
                Rule::RequeueOrder,
                format!("{waiting:?}, requeued to queue {queue}, is overtaken by {id:?}"),
            );
        }
        if in_question && !advances {
            let high = high.unwrap_or_default();
            self.violation(Rule::Order, format!("{id:?} came from queue {queue} after seq {high}"));
        }
    }

    /// A delivery whose bytes are not what was sent.
    pub fn corrupt(&mut self, session: SessionId, text: String) {
        let (queue, _) = self.place(session);
        self.violation(Rule::Phantom, format!("queue {queue}: {text}"));
    }

    /// The consumer is about to give these back to the queue.
    pub fn requeued(&mut self, session: SessionId, ids: &[Id]) {
        if let Some(state) = self.sessions.get_mut(&session.0) {
            state.requeued.extend(ids.iter().map(|id| (*id, 0)));
        }
    }

    /// An ack of this is about to be sent.
    pub fn acked(&mut self, session: SessionId, id: Id) {
        let (queue, _) = self.place(session);
        self.producers[id.producer as usize].slots[queue].acked.insert(id.seq);
    }

    /// The transaction that these were published in is rolled back.
    pub fn rolled_back(&mut self, ids: &[Id]) {
        for id in ids {
            self.producers[id.producer as usize].rolled_back.insert(id.seq);
            self.stats.rolled_back += 1;
            self.stats.copies -= (self.rules.route)(*id).copies();
        }
    }

    /// Acks of these were sent, and a round trip on the channel came back after them.
    pub fn settled(&mut self, session: SessionId, ids: &[Id]) {
        let (queue, life) = self.place(session);
        let safely = self.crashed_life.is_none_or(|crashed| life > crashed);
        for id in ids {
            let slot = &mut self.producers[id.producer as usize].slots[queue];
            slot.settled.insert(id.seq);
            if safely {
                slot.settled_safely.insert(id.seq);
            }
        }
    }

    fn place(&self, session: SessionId) -> (usize, u32) {
        let session = &self.sessions[&session.0];
        (session.queue, session.life)
    }

    /// The broker is gone, and what it had not made durable with it.
    pub fn crashed(&mut self) {
        self.crashed_life = Some(self.life);
        self.producers.iter_mut().for_each(|producer| producer.before_crash = producer.invoked);
        self.slots().for_each(|slot| slot.settled_safely.clear());
        self.next_life();
    }

    /// The broker stopped in order: a settled ack must still hold afterwards.
    pub fn stopped(&mut self) {
        self.next_life();
    }

    fn next_life(&mut self) {
        self.life += 1;
        for producer in &mut self.producers {
            producer.confirmed_before = producer.all_confirmed();
        }
        self.slots().for_each(|slot| slot.delivered_now.clear());
    }

    fn slots(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.producers.iter_mut().flat_map(|producer| &mut producer.slots)
    }

    /// After the queues were drained: what is missing, and everything that was wrong.
    pub fn finish(&mut self) -> &[Violation] {
        let mut missing = Vec::new();
        let mut recovered = 0;
        for (number, producer) in (0..).zip(&self.producers) {
            for (queue, slot) in producer.slots.iter().enumerate() {
                let id = |seq| Id { producer: number, seq };
                let confirmed = producer.all_confirmed();
                let lost = confirmed.iter().filter(|seq| {
                    (self.rules.route)(id(*seq)).each & 1 << queue != 0 && !slot.delivered.contains(*seq)
                });
                missing.extend(lost.map(|seq| (id(seq), queue)));
                recovered += slot.delivered.iter().filter(|seq| !confirmed.contains(*seq)).count() as u64;
            }
        }
        let mut nowhere = Vec::new();
        for (number, producer) in (0..).zip(&self.producers) {
            for seq in producer.all_confirmed().iter() {
                let id = Id { producer: number, seq };
                let any = (self.rules.route)(id).any;
                if any != 0 && !producer.slots.iter().any(|slot| slot.acked.contains(seq)) {
                    let queues = 0..producer.slots.len();
                    let seen: Vec<usize> = queues.filter(|at| producer.slots[*at].delivered.contains(seq)).collect();
                    nowhere.push(format!(
                        "{id:?} was confirmed, may come from one of {any:#b}, came from {seen:?}, and was never acknowledged"
                    ));
                }
            }
        }
        self.stats.recovered = recovered;
        for text in nowhere {
            self.violation(Rule::Loss, text);
        }
        for (id, queue) in missing {
            self.violation(Rule::Loss, format!("{id:?} was confirmed and never came out of queue {queue}"));
        }
        &self.violations
    }

    /// (message, queue) pairs whose ack a round trip followed.
    pub fn settled_count(&self) -> u64 {
        self.producers.iter().flat_map(|producer| &producer.slots).map(|slot| slot.settled.len()).sum()
    }
}

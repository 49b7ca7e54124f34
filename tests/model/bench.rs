//! The queue machine, its disk and the naive queue side by side.

use crate::consumers::Holder;
use crate::disk::Disk;
use crate::history::{Config, Op};
use crate::letters::{Fate, Letters};
use crate::naive::{Delivery, Message, Naive};
use crate::once::Verdict;
use proptest::sample::Index;
use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::sync::Arc;
use warren::broker::identity::ConsumerId;
use warren::broker::message::{Ledger, Run, Span};
use warren::broker::queue::{
    Command, ConsumerSpec, Dead, Effects, Outlet, Overflow, Queue, QueueSettings, Reason, SharedCredit, Taken,
};
use warren::store::bodies::BodyPool;

/// Where deliveries are written down.
#[derive(Clone, Default, Debug)]
pub struct Journal(Rc<RefCell<Vec<(ConsumerId, Run)>>>);

impl Outlet for Journal {
    fn deliver(&self, consumer: ConsumerId, run: Run) {
        self.0.borrow_mut().push((consumer, run));
    }
    fn cancelled(&self, _consumer: ConsumerId) {}
    fn acknowledged(&self, _receipt: u64) {}
    fn same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

/// What the machine did for one command.
pub struct Seen {
    deliveries: Vec<(ConsumerId, Delivery)>,
    /// Bytes that consumers were sent.
    sent: Vec<(ConsumerId, u64)>,
    /// Dead letters by sequence number and body, in order.
    dead: Vec<(u64, u64, Reason)>,
    /// Those of them that left the queue's own ready messages.
    dropped: VecDeque<(u64, Reason)>,
    /// Dead letters that the queue never took, by body.
    turned_away: Vec<u64>,
    refused: Option<u32>,
    unused: bool,
}

impl Seen {
    fn note(&self, digest: &mut DefaultHasher) {
        for (consumer, delivery) in &self.deliveries {
            consumer.hash(digest);
            delivery.note(digest);
        }
        for (sequence, id, reason) in &self.dead {
            (sequence, id, reason.name()).hash(digest);
        }
        (&self.turned_away, self.refused, self.unused).hash(digest);
    }
}

pub struct Bench {
    pub config: Config,
    pub queue: Queue<Journal>,
    pub journal: Journal,
    pub naive: Naive,
    pub disk: Disk,
    pub letters: Letters,
    pub ledger: Arc<Ledger>,
    pub pool: BodyPool,
    /// Wall clock ms.
    pub now: u64,
    /// When the machine wants to be told the time.
    pub timer: Option<u64>,
    /// At the last command the queue was unused for too long: nobody waits for that any more.
    pub over: bool,
    /// The next number of each level.
    pub next: Vec<u64>,
    pub next_consumer: u64,
    pub shared: Arc<SharedCredit>,
    /// Consumers that share it, whether still there or not.
    pub sharing: HashSet<ConsumerId>,
    /// All that was seen from outside.
    pub digest: DefaultHasher,
}

impl Bench {
    pub fn new(config: Config) -> Bench {
        let settings = Arc::new(config.settings(None));
        let mut naive = Naive::new(settings.clone());
        naive.consumers.shared = config.shared;
        let ledger = Arc::<Ledger>::default();
        Bench {
            config,
            queue: Queue::new(config.durable, false, settings),
            journal: Journal::default(),
            disk: Disk::default(),
            letters: Letters::default(),
            pool: BodyPool::new(0, ledger.clone()),
            ledger,
            now: 1_000_000,
            timer: None,
            over: false,
            next: naive.levels().iter().map(|level| level.start).collect(),
            naive,
            next_consumer: 0,
            shared: Arc::new(SharedCredit::new(config.shared)),
            sharing: HashSet::new(),
            digest: DefaultHasher::new(),
        }
    }

    pub fn run(&mut self, op: Op) {
        self.catch_up();
        match op {
            Op::Enqueue { messages, durable, priority, ttl, marks } => {
                self.publish(messages, durable, priority, ttl, marks);
            }
            Op::Consume { prefetch, no_ack, priority, exclusive, shares } => {
                let id = ConsumerId(self.next_consumer + 1);
                self.consume(Holder { id, prefetch, no_ack, priority, exclusive, shares: shares && !no_ack, holds: 0 });
            }
            Op::Cancel(which) => {
                let ids = self.naive.consumers.ids();
                if !ids.is_empty() {
                    self.cancel(*which.get(&ids));
                }
            }
            Op::Settle { at, count } => self.settle(at, count),
            Op::Discard { at, count } => self.discard(at, count),
            Op::Requeue { at, count, failed } => {
                let (spans, holder) = self.spans(at, count);
                self.requeue(&spans, holder, failed);
            }
            Op::Take { no_ack } => self.take(no_ack),
            Op::Purge => {
                let mut effects = Effects::default();
                assert_eq!(self.queue.purge(&mut effects), self.naive.purge(), "what a purge says that it dropped");
            }
            Op::Touch => {
                let seen = self.act(Command::Touch);
                self.naive.unused_since = None;
                self.follow(seen);
            }
            Op::Configure(policy) => self.configure(self.config.settings(Some(policy))),
            Op::Wait(ms) => self.wait(ms),
            Op::Bury { count, fate } => self.bury(count, fate),
            Op::Commit { short } => {
                self.commit(short.then_some(500), usize::MAX);
            }
            Op::Evict { keep } => {
                self.queue.evict(self.disk.epoch, keep);
                let held = self.naive.ready.len() < self.naive.all().count();
                self.naive.guessed |= held && self.naive.settings.max_bytes.is_none();
            }
            Op::Read => self.read(),
            Op::Load => self.load(),
            Op::LoadAgain => {
                if self.disk.reading.take().is_some() {
                    self.queue.load_again();
                    self.disk.wanted = true;
                }
            }
            Op::Crash { pieces } if self.config.durable => self.crash(pieces),
            Op::Restart if self.config.durable => self.restart(),
            Op::Crash { .. } | Op::Restart => {}
        }
    }

    /// What vanishes or is delivered for the time alone must not be taken for the next command's doing.
    fn catch_up(&mut self) {
        let due = self.naive.delayed.keys().next().is_some_and(|(due, _)| *due <= self.now);
        if due || self.naive.settings.dead_letters.is_none() {
            self.tick();
        }
    }

    /// What must hold after every step.
    pub fn check(&mut self) {
        let counts = self.queue.counts();
        assert_eq!(counts.ready, self.naive.ready.len() as u64, "ready");
        assert_eq!(counts.unsettled, self.naive.unsettled.len() as u64, "unsettled");
        assert_eq!(counts.dying, self.naive.dying.len() as u64, "dying");
        assert_eq!(counts.delayed, self.naive.delayed.len() as u64, "delayed");
        assert_eq!(counts.consumers, self.naive.consumers.len());
        if self.disk.wanted || self.disk.reading.is_some() {
            return;
        }
        let starving = self.naive.consumers.is_hungry() && !self.naive.ready.is_empty();
        assert!(!starving, "a consumer starves: messages are ready and nothing is being read");
        assert!(!self.naive.overflows(), "the queue is too long, and nothing is being read");
        let untold = self.naive.dying.iter().find(|(_, dying)| !dying.told);
        assert!(untold.is_none(), "{untold:?} is to be dead-lettered and nothing is being read");
        if let Some(moment) = self.naive.next_moment() {
            let on_time = self.timer.is_some_and(|timer| timer <= moment);
            assert!(on_time, "timer {:?}, due at {moment}", self.timer);
        }
        if let Some(until) = self.naive.unused_until(self.now).filter(|until| *until > self.now && !self.over) {
            assert!(self.timer.is_some_and(|timer| timer <= until), "timer {:?}, unused until {until}", self.timer);
        }
    }

    /// All that is left comes out in order; then nothing is left in memory or on disk.
    pub fn finish(mut self) -> u64 {
        self.catch_up();
        self.naive.consumers.ids().into_iter().for_each(|id| self.cancel(id));
        self.configure(self.config.settings(None));
        self.check();
        for round in 0.. {
            assert!(round < 100_000, "the queue does not get empty");
            while !self.naive.unsettled.is_empty() {
                let (spans, holder) = self.naive.spans(0, u32::MAX);
                self.requeue(&spans, holder, false);
            }
            self.bury(usize::MAX, Fate::Gone);
            self.commit(None, usize::MAX);
            if self.naive.all().next().is_none() {
                break;
            }
            let before = self.naive.ready.len();
            match self.naive.delayed.keys().next() {
                Some((due, _)) if before == 0 => self.wait(due.saturating_sub(self.now) as i64),
                _ => self.take(true),
            }
            if self.naive.ready.len() == before {
                self.read();
                self.load();
            }
            self.check();
        }
        assert!(matches!(self.queue.take(true, self.now, &mut Effects::default()), Taken::Empty));
        if self.naive.once.is_timed() {
            // Longer than anything is remembered.
            self.wait(10_000);
        }
        self.commit(None, usize::MAX);
        self.disk.assert_empty(self.naive.once.is_timed());
        let (ledger, digest) = (self.ledger.clone(), self.digest.finish());
        drop(self);
        assert_eq!(ledger.bytes(), 0, "memory is counted that nobody holds");
        digest
    }

    fn consume(&mut self, holder: Holder) {
        let id = holder.id;
        assert_eq!(self.queue.may_consume(holder.exclusive), self.naive.consumers.may_add(holder.exclusive));
        if !self.naive.consumers.may_add(holder.exclusive) {
            return;
        }
        self.next_consumer = id.0;
        if holder.shares {
            self.sharing.insert(id);
        }
        let Holder { no_ack, exclusive, priority, prefetch, .. } = holder;
        let (outlet, shared) = (self.journal.clone(), holder.shares.then(|| self.shared.clone()));
        let seen =
            self.act(Command::Consume(ConsumerSpec { id, outlet, no_ack, exclusive, priority, prefetch, shared }));
        self.naive.consumers.add(holder);
        self.follow(seen);
    }

    pub fn cancel(&mut self, id: ConsumerId) {
        let seen = self.act(Command::Cancel(id));
        self.naive.consumers.remove(id);
        self.follow(seen);
    }

    fn settle(&mut self, at: Index, count: u32) {
        let (spans, holder) = self.spans(at, count);
        let freed = self.free_shared(&spans, holder);
        let pairs = spans.iter().map(|(first, count, _)| (*first, *count)).collect();
        let seen = self.act(Command::Settle { spans: pairs, consumer: holder });
        self.naive.release(&spans);
        self.follow(seen);
        self.tell_sharers(freed);
    }

    fn discard(&mut self, at: Index, count: u32) {
        let (spans, holder) = self.spans(at, count);
        let freed = self.free_shared(&spans, holder);
        let pairs = spans.iter().map(|(first, count, _)| (*first, *count)).collect();
        let seen = self.act(Command::Discard { spans: pairs, consumer: holder });
        for (sequence, message) in self.naive.release(&spans) {
            self.naive.doom(sequence, message, Reason::Rejected);
        }
        self.follow(seen);
        self.tell_sharers(freed);
    }

    pub fn requeue(&mut self, spans: &[(u64, u32, u64)], holder: Option<ConsumerId>, failed: bool) {
        let freed = self.free_shared(spans, holder);
        let given = spans.iter().map(|(first, count, chunk_end)| (*first, *count, *chunk_end));
        let given = given.map(|(first, count, chunk_end)| Span { first, count, chunk_end }).collect();
        let seen = self.act(Command::Requeue { spans: given, consumer: holder, failed });
        for (sequence, message) in self.naive.release(spans) {
            self.naive.give_back(sequence, message, failed, self.now);
        }
        self.follow(seen);
        self.tell_sharers(freed);
    }

    /// As a channel does it: the shared credit grows before the queue hears of it, and the other consumers are told after.
    fn free_shared(&mut self, spans: &[(u64, u32, u64)], holder: Option<ConsumerId>) -> bool {
        let shares = holder.is_some_and(|id| self.sharing.contains(&id));
        if shares {
            let count = spans.iter().map(|(_, count, _)| i64::from(*count)).sum();
            self.shared.add(count);
            self.naive.consumers.shared += count;
        }
        shares
    }

    fn tell_sharers(&mut self, freed: bool) {
        for id in self.naive.consumers.sharers().into_iter().filter(|_| freed) {
            let seen = self.act(Command::Credit { consumer: id, bytes: 0 });
            self.follow(seen);
        }
    }

    pub fn take(&mut self, no_ack: bool) {
        let mut effects = Effects::default();
        let now = if self.queue.needs_time() { self.now } else { 0 };
        let taken = self.queue.take(no_ack, now, &mut effects);
        let mut seen = self.see(effects);
        self.naive.pass_time(self.now, &mut seen.dropped);
        match taken {
            Taken::Message(run, left) => {
                let delivery = self.delivery(&run, 0);
                delivery.note(&mut self.digest);
                assert_eq!(self.naive.next(), Some(delivery.sequence), "what basic.get gives");
                self.naive.hand_out(delivery, None, no_ack, self.now);
                assert_eq!(left, self.naive.ready.len() as u64);
            }
            Taken::Empty => assert!(self.naive.ready.is_empty()),
            Taken::OnDisk => {
                assert!(!self.naive.ready.is_empty());
                let read = self.disk.wanted || self.disk.reading.is_some();
                assert!(read, "the next message is on disk and nobody reads it");
            }
        }
        self.naive.unused_since = None;
        seen.refused = None;
        self.follow(seen);
    }

    fn configure(&mut self, settings: QueueSettings) {
        let settings = Arc::new(settings);
        let seen = self.act(Command::Configure(settings.clone()));
        if settings.expires != self.naive.settings.expires {
            self.naive.unused_since = None;
        }
        self.naive.settings = settings;
        self.follow(seen);
    }

    fn wait(&mut self, ms: i64) {
        self.now = self.now.saturating_add_signed(ms);
        let mut ticks = 0;
        while self.timer.is_some_and(|timer| timer <= self.now) {
            self.timer = None;
            self.tick();
            ticks += 1;
            assert!(ticks < 10_000, "the timer is due again and again");
        }
    }

    pub fn tick(&mut self) {
        let seen = self.act(Command::Tick);
        self.follow(seen);
    }

    fn spans(&self, at: Index, count: u32) -> (Vec<(u64, u32, u64)>, Option<ConsumerId>) {
        match self.naive.unsettled.len() {
            0 => (Vec::new(), None),
            held => self.naive.spans(at.index(held), count),
        }
    }

    /// The messages of a chunk have come to a level, up to the index that was refused; duplicates have not.
    pub fn enqueue(&mut self, command: Command<Journal>, level: usize, messages: &[(Message, Verdict)]) {
        let before = (self.naive.ready.len() as u64, self.naive.bodies);
        let seen = self.act(command);
        let first = self.next[level];
        self.next[level] = self.next_of(level);
        let (taken, refused) = sort_out(messages, &seen, self.next[level] - first);
        for (at, message) in taken.iter().enumerate() {
            self.naive.add_ready(first + at as u64, *message, false);
            let mark = self.naive.facts(message).mark;
            self.naive.once.remember(message.id, mark, message.durable, self.now);
        }
        self.naive.fresh = first..self.next[level];
        let dlx = self.naive.settings.overflow == Overflow::RejectPublishDlx;
        let letters = dlx && self.naive.settings.dead_letters.is_some();
        assert_eq!(seen.turned_away, if letters { refused.clone() } else { Vec::new() }, "dead letters of a refusal");
        let died = seen.dropped.len();
        self.follow(seen);
        let (ready, bodies) = (self.naive.ready.len() as u64, self.naive.bodies);
        if let Some(id) = refused.first() {
            assert!(self.naive.refuses());
            let room = !self.naive.is_full_for(self.naive.facts[*id as usize].body);
            let vanished = died > 0 || self.naive.settings.dead_letters.is_none();
            assert!(!room || vanished || self.naive.guesses(), "body {id} was refused and has room");
            assert!(ready > 0 || !self.naive.consumers.is_hungry(), "body {id} was refused and somebody waits for it");
        }
        if self.naive.refuses() {
            let (length, bytes) = (self.naive.settings.max_length, self.naive.settings.max_bytes);
            assert!(length.is_none_or(|max| ready <= before.0.max(max)), "longer than its limit");
            let fits = bytes.is_none_or(|max| bodies <= before.1.max(max));
            assert!(fits || self.naive.guesses(), "more bytes than its limit");
        }
    }

    /// The number that a level's next message gets.
    fn next_of(&self, level: usize) -> u64 {
        let states = self.queue.states(true);
        states.iter().find(|(at, _)| usize::from(*at) == level).map(|(_, state)| state.next_sequence).unwrap()
    }

    /// Applies a command as the engine does, and mirrors what time does before it.
    pub fn act(&mut self, command: Command<Journal>) -> Seen {
        let timed = match &command {
            Command::Enqueue(chunk, ..) => chunk.is_timed(),
            Command::Loaded { .. } | Command::Configure(_) => true,
            _ => false,
        };
        let loaded = matches!(command, Command::Loaded { .. });
        let now = if timed || self.queue.needs_time() { self.now } else { 0 };
        let mut effects = Effects::default();
        self.queue.apply(command, now, &mut effects);
        let mut seen = self.see(effects);
        // What is loaded was not there before: it expires in its turn.
        let mut none = VecDeque::new();
        self.naive.pass_time(self.now, if loaded { &mut none } else { &mut seen.dropped });
        seen
    }

    fn see(&mut self, effects: Effects<Journal>) -> Seen {
        assert_eq!((effects.damage, effects.lost), (None, 0));
        self.disk.wanted |= effects.load;
        self.timer = self.timer.into_iter().chain(effects.timer).min();
        let mut seen = Seen {
            deliveries: Vec::new(),
            sent: Vec::new(),
            dead: Vec::new(),
            dropped: VecDeque::new(),
            turned_away: Vec::new(),
            refused: effects.refused,
            unused: effects.unused,
        };
        for Dead { run, reason, waits } in effects.dead {
            for at in 0..run.count {
                let (sequence, id) = (run.first() + u64::from(at), self.letters.id_of(&run, at));
                if !waits {
                    seen.turned_away.push(id);
                    continue;
                }
                seen.dead.push((sequence, id, reason));
                self.letters.take(run.part(at, 1), reason);
                if matches!(reason, Reason::Expired | Reason::MaxLen) {
                    seen.dropped.push_back((sequence, reason));
                }
            }
        }
        for (consumer, run) in std::mem::take(&mut *self.journal.0.borrow_mut()) {
            for at in 0..run.count {
                seen.deliveries.push((consumer, self.delivery(&run, at)));
            }
            seen.sent.push((consumer, run.bytes() as u64));
        }
        seen.note(&mut self.digest);
        seen
    }

    /// Holds the rest of what the machine did against the naive queue, which knows the command by now.
    pub fn follow(&mut self, mut seen: Seen) {
        for (sequence, id, reason) in &seen.dead {
            let ready = self.naive.ready.get(sequence).copied();
            let message = self.naive.dying.get(sequence).map(|dying| dying.message).or(ready);
            assert_eq!(message.map(|message| message.id), Some(*id), "the dead letter {sequence}");
            if matches!(reason, Reason::Rejected | Reason::DeliveryLimit) {
                let dying = self.naive.dying.get_mut(sequence).expect("a doomed message");
                assert_eq!((dying.reason, std::mem::replace(&mut dying.told, true)), (*reason, false));
            }
        }
        self.naive.deliver(&seen.deliveries, self.now, &mut seen.dropped);
        self.naive.let_go(self.now, &mut seen.dropped, &self.queue.counts());
        let until = self.naive.unused_until(self.now);
        self.over = seen.unused;
        assert_eq!(seen.unused, until.is_some_and(|until| until <= self.now), "unused until {until:?}");
        for (consumer, bytes) in seen.sent {
            let seen = self.act(Command::Credit { consumer, bytes });
            self.follow(seen);
        }
    }

    fn delivery(&self, run: &Run, at: u32) -> Delivery {
        let id = self.letters.id_of(run, at);
        let facts = &self.naive.facts[id as usize];
        self.letters.check_history(run, at, facts);
        let (sequence, chunk_end) = (run.first() + u64::from(at), run.chunk.end());
        Delivery { sequence, chunk_end, id, redelivered: run.redelivered, returns: run.returns }
    }
}

/// What was taken of a chunk, `count` messages, and the numbers of what was refused: neither holds duplicates.
fn sort_out(messages: &[(Message, Verdict)], seen: &Seen, count: u64) -> (Vec<Message>, Vec<u64>) {
    let (before, behind) = messages.split_at(seen.refused.map_or(messages.len(), |at| at as usize));
    let firsts = |part: &[(Message, Verdict)], doubtful: bool| {
        let first = |(message, verdict): &(Message, Verdict)| {
            (*verdict == Verdict::First || (doubtful && *verdict == Verdict::Either)).then_some(*message)
        };
        part.iter().filter_map(first).collect::<Vec<Message>>()
    };
    let (least, most) = (firsts(before, false), firsts(before, true));
    let taken = if count == most.len() as u64 { most } else { least };
    assert_eq!(taken.len() as u64, count, "messages taken of {messages:?}, refused from {:?} on", seen.refused);
    // A doubtful one comes last. The one that is named as refused was no duplicate.
    let last = behind.last().is_some_and(|(message, _)| seen.turned_away.contains(&message.id));
    let refused = firsts(behind, behind.len() == 1 || last);
    (taken, refused.iter().map(|message| message.id).collect())
}

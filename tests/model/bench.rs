//! The queue machine, its disk and the naive queue side by side.

use crate::naive::{Holder, Message, Naive};
use proptest::sample::Index;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use warren::broker::identity::{ConsumerId, QueueId};
use warren::broker::message::{ChunkBuilder, Ledger, Parts, Run, Span};
use warren::broker::queue::{Command, ConsumerSpec, Effects, LoadRequest, Outlet, Queue, QueueState, Taken};
use warren::store::committer::add_queue;
use warren::store::memory::MemoryStorage;
use warren::store::recovery;
use warren::store::{Change, Family, Logging, Storage, keys};

const QUEUE: QueueId = QueueId(7);
/// Chunk bytes that one piece of a commit takes: little, so that commits have several.
const ROOM: usize = 3000;

/// What can happen.
#[derive(Clone, Debug)]
pub enum Op {
    Enqueue { messages: u32, durable: bool },
    Consume { prefetch: Option<u32>, no_ack: bool, priority: i32 },
    Cancel(Index),
    Settle { at: Index, count: u32 },
    Requeue { at: Index, count: u32 },
    Take { no_ack: bool },
    Purge,
    Commit { short: bool },
    Evict { keep: usize },
    Load,
    Crash { pieces: usize },
    Restart,
}

/// Where deliveries are written down.
#[derive(Clone, Default)]
struct Journal(Rc<RefCell<Vec<(ConsumerId, Run)>>>);

impl Outlet for Journal {
    fn deliver(&self, consumer: ConsumerId, run: Run) {
        self.0.borrow_mut().push((consumer, run));
    }
    fn cancelled(&self, _consumer: ConsumerId) {}
    fn same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

pub struct Bench {
    queue: Queue<Journal>,
    journal: Journal,
    naive: Naive,
    disk: MemoryStorage,
    ledger: Arc<Ledger>,
    epoch: u64,
    /// Durable messages as of the last complete commit.
    committed: BTreeSet<u64>,
    bodies: u64,
    next: u64,
    next_consumer: u64,
    load_wanted: bool,
}

impl Bench {
    pub fn new() -> Bench {
        Bench {
            queue: Queue::new(true, false, Arc::default()),
            journal: Journal::default(),
            naive: Naive::default(),
            disk: MemoryStorage::default(),
            ledger: Arc::default(),
            epoch: 0,
            committed: BTreeSet::new(),
            bodies: 0,
            next: 0,
            next_consumer: 0,
            load_wanted: false,
        }
    }

    pub fn run(&mut self, op: Op) {
        match op {
            Op::Enqueue { messages, durable } => self.enqueue(messages, durable),
            Op::Consume { prefetch, no_ack, priority } => self.consume(prefetch, no_ack, priority),
            Op::Cancel(which) => {
                let ids: Vec<ConsumerId> = self.naive.consumers.keys().copied().collect();
                if !ids.is_empty() {
                    let id = *which.get(&ids);
                    self.naive.consumers.remove(&id);
                    self.apply(Command::Cancel(id));
                }
            }
            Op::Settle { at, count } => {
                if let Some((first, count, holder)) = self.span(at, count) {
                    self.naive.release(first, count);
                    self.apply(Command::Settle { spans: vec![(first, count)], consumer: holder });
                }
            }
            Op::Requeue { at, count } => {
                if let Some((first, count, holder)) = self.span(at, count) {
                    self.requeue(first, count, holder);
                }
            }
            Op::Take { no_ack } => self.take(no_ack),
            Op::Purge => {
                let mut effects = Effects::default();
                assert_eq!(self.queue.purge(&mut effects), self.naive.ready.len() as u64);
                self.naive.ready.clear();
            }
            Op::Commit { short } => self.commit(short.then_some(500), usize::MAX),
            Op::Evict { keep } => self.queue.evict(self.epoch, keep),
            Op::Load => self.load(),
            Op::Crash { pieces } => self.crash(pieces),
            Op::Restart => self.restart(),
        }
    }

    /// What must hold after every step.
    pub fn check(&mut self) {
        let counts = self.queue.counts();
        assert_eq!(counts.ready, self.naive.ready.len() as u64, "ready");
        assert_eq!(counts.unsettled, self.naive.unsettled.len() as u64, "unsettled");
        assert_eq!(counts.consumers, self.naive.consumers.len());
        if self.naive.is_hungry() && !self.naive.ready.is_empty() {
            assert!(self.load_wanted, "a consumer starves: messages are ready and nothing is being read");
        }
    }

    /// All that is left comes out in order; then nothing is left in memory.
    pub fn finish(mut self) {
        let ids: Vec<ConsumerId> = self.naive.consumers.keys().copied().collect();
        for id in ids {
            self.naive.consumers.remove(&id);
            self.apply(Command::Cancel(id));
        }
        while let Some((first, count, holder)) = self.naive.span(0, u32::MAX) {
            self.requeue(first, count, holder);
        }
        while !self.naive.ready.is_empty() {
            let before = self.naive.ready.len();
            self.take(true);
            if self.naive.ready.len() == before {
                self.load();
            }
        }
        assert!(matches!(self.queue.take(true, 0, &mut Effects::default()), Taken::Empty));
        self.commit(None, usize::MAX);
        for family in [Family::Chunks, Family::Settled, Family::Transient] {
            let left = self.scan(family);
            assert_eq!(left, Vec::<u64>::new(), "{} is left on disk of a drained queue", family.name());
        }
        let ledger = self.ledger.clone();
        drop(self);
        assert_eq!(ledger.bytes(), 0, "memory is counted that nobody holds");
    }

    fn enqueue(&mut self, messages: u32, durable: bool) {
        let mut builder = ChunkBuilder::default();
        let (first, end) = (self.next, self.next + u64::from(messages));
        for sequence in first..end {
            self.bodies += 1;
            let mut body = self.bodies.to_le_bytes().to_vec();
            body.resize(8 + (self.bodies % 900) as usize, b'.');
            builder.push(&Parts {
                exchange_and_key: b"\0\x01q",
                header: b"header",
                body: &body,
                persistent: durable,
                priority: 0,
                deadline_ms: 0,
                died: false,
            });
            let message = Message { body: self.bodies, durable, delivered: false, chunk_end: end };
            self.naive.ready.insert(sequence, message);
        }
        self.next = end;
        let chunk = builder.finish(durable, &self.ledger);
        self.apply(Command::Enqueue(chunk, 0));
    }

    fn consume(&mut self, prefetch: Option<u32>, no_ack: bool, priority: i32) {
        self.next_consumer += 1;
        let id = ConsumerId(self.next_consumer);
        self.naive.consumers.insert(id, Holder { prefetch, no_ack, holds: 0 });
        let outlet = self.journal.clone();
        let spec = ConsumerSpec { id, outlet, no_ack, exclusive: false, priority, prefetch, shared: None };
        self.apply(Command::Consume(spec));
    }

    fn requeue(&mut self, first: u64, count: u32, holder: Option<ConsumerId>) {
        let chunk_end = self.naive.unsettled[&first].0.chunk_end;
        let released = self.naive.release(first, count);
        self.naive.ready.extend(released);
        self.apply(Command::Requeue { spans: vec![Span { first, count, chunk_end }], consumer: holder, failed: false });
    }

    fn take(&mut self, no_ack: bool) {
        let mut effects = Effects::default();
        match self.queue.take(no_ack, 0, &mut effects) {
            Taken::Message(run, left) => {
                let body = body(&run, 0);
                self.naive.hand_out(run.first(), body, run.redelivered, None, no_ack);
                assert_eq!(left, self.naive.ready.len() as u64);
            }
            Taken::Empty => assert!(self.naive.ready.is_empty()),
            Taken::OnDisk => {
                assert!(!self.naive.ready.is_empty());
                assert!(effects.load || self.load_wanted, "the next message is on disk and nobody reads it");
            }
        }
        self.load_wanted |= effects.load;
    }

    /// Runs a commit for at most `pieces` pieces.
    fn commit(&mut self, spill: Option<usize>, pieces: usize) {
        let epoch = self.epoch + 1;
        for _ in 0..pieces {
            let mut room = ROOM;
            let collected = self.queue.collect(epoch, spill, &mut room);
            let more = collected.more;
            let (mut logged, mut unlogged) = (Vec::new(), Vec::new());
            add_queue(QUEUE, collected, &mut logged, &mut unlogged);
            self.disk.write(&unlogged, Logging::Unlogged).unwrap();
            self.disk.write(&logged, Logging::Synced).unwrap();
            if !more {
                self.epoch = epoch;
                self.committed = self.naive.durable();
                return;
            }
        }
    }

    fn load(&mut self) {
        self.load_wanted = false;
        let Some(request) = self.queue.load_request(700) else { return };
        let (chunks, end) = recovery::load(&self.disk, QUEUE, request, &self.ledger).unwrap();
        self.apply(Command::Loaded { first: request.first, chunks, end });
    }

    /// The process dies after some pieces of a commit. What a complete commit held, and was not settled since, is there.
    fn crash(&mut self, pieces: usize) {
        let before = self.committed.clone();
        let live = self.naive.durable();
        self.commit(None, pieces);
        let mut state = self.stored_state();
        let stored = self.stored_messages();
        assert_eq!(state.messages, stored.len() as u64, "the stored count");
        let sequences: BTreeSet<u64> = stored.iter().map(|(sequence, _)| *sequence).collect();
        assert!(before.intersection(&live).all(|sequence| sequences.contains(sequence)), "committed messages are lost");
        assert!(sequences.iter().all(|sequence| before.contains(sequence) || live.contains(sequence)), "ghosts");
        state.maybe_delivered = state.next_sequence;
        self.recover(state, stored, |_| true);
    }

    /// The node stops cleanly and starts again.
    fn restart(&mut self) {
        self.naive.consumers.clear();
        let ids = 1..=self.next_consumer;
        ids.for_each(|id| self.apply(Command::Cancel(ConsumerId(id))));
        while let Some((first, count, _)) = self.naive.span(0, u32::MAX) {
            self.requeue(first, count, None);
        }
        self.commit(None, usize::MAX);
        let delivered: BTreeSet<u64> =
            self.naive.ready.iter().filter(|(_, message)| message.delivered).map(|(sequence, _)| *sequence).collect();
        let stored = self.stored_messages();
        let sequences: BTreeSet<u64> = stored.iter().map(|(sequence, _)| *sequence).collect();
        assert_eq!(sequences, self.naive.durable(), "a clean stop keeps exactly the durable messages");
        let state = self.queue.states(true)[0].1;
        self.recover(state, stored, |sequence| delivered.contains(&sequence));
    }

    fn recover(&mut self, state: QueueState, stored: Vec<(u64, Message)>, delivered: impl Fn(u64) -> bool) {
        self.disk.write(&[everything(Family::Transient)], Logging::Unlogged).unwrap();
        self.journal = Journal::default();
        self.queue = Queue::recover(false, Arc::default(), &[(0, state)]);
        self.next = state.next_sequence;
        let ready = stored.into_iter();
        let ready = ready.map(|(at, message)| (at, Message { delivered: delivered(at), ..message }));
        self.naive = Naive { ready: ready.collect(), ..Naive::default() };
        self.committed = self.naive.durable();
        self.load_wanted = false;
    }

    fn stored_state(&self) -> QueueState {
        let value = self.disk.get(Family::QueueState, &keys::queue(QUEUE, 0)).unwrap();
        value.map_or_else(QueueState::default, |value| warren::store::records::read_queue_state(&value).unwrap())
    }

    /// Durable messages on disk that are not settled there.
    fn stored_messages(&self) -> Vec<(u64, Message)> {
        let request = LoadRequest { first: 0, end: u64::MAX, bytes: usize::MAX };
        let (chunks, _) = recovery::load(&self.disk, QUEUE, request, &Arc::default()).unwrap();
        let mut messages = Vec::new();
        for stored in chunks.into_iter().filter(|stored| stored.chunk.durable()) {
            let (chunk_end, chunk) = (stored.chunk.end(), Arc::new(stored.chunk));
            for index in (0..chunk.count()).filter(|index| !stored.settled.contains(*index)) {
                let run =
                    Run { chunk: chunk.clone(), index, count: 1, redelivered: false, returns: Default::default() };
                let message = Message { body: body(&run, 0), durable: true, delivered: true, chunk_end };
                messages.push((run.first(), message));
            }
        }
        messages
    }

    fn scan(&self, family: Family) -> Vec<u64> {
        let mut keys_found = Vec::new();
        let to = keys::chunk(QueueId(QUEUE.0 + 1), 0);
        self.disk
            .scan(family, &keys::chunk(QUEUE, 0), &to, &mut |key, _| {
                keys_found.push(keys::chunk_first(key).unwrap());
                true
            })
            .unwrap();
        keys_found
    }

    fn span(&self, at: Index, count: u32) -> Option<(u64, u32, Option<ConsumerId>)> {
        if self.naive.unsettled.is_empty() {
            return None;
        }
        self.naive.span(at.index(self.naive.unsettled.len()), count)
    }

    fn apply(&mut self, command: Command<Journal>) {
        let mut effects = Effects::default();
        self.queue.apply(command, 0, &mut effects);
        assert_eq!(effects.damage, None);
        self.load_wanted |= effects.load;
        let delivered = std::mem::take(&mut *self.journal.0.borrow_mut());
        for (consumer, run) in delivered {
            let no_ack = self.naive.consumers[&consumer].no_ack;
            for at in 0..run.count {
                let sequence = run.first() + u64::from(at);
                self.naive.hand_out(sequence, body(&run, at), run.redelivered, Some(consumer), no_ack);
            }
            if !no_ack {
                self.apply(Command::Credit { consumer, bytes: run.bytes() as u64 });
            }
        }
    }
}

fn body(run: &Run, at: u32) -> u64 {
    let record = run.chunk.record(run.index + at).expect("a record that was handed out is there");
    u64::from_le_bytes(record.body[..8].try_into().unwrap())
}

fn everything(family: Family) -> Change {
    Change::DeleteRange(family, Vec::new(), vec![0xff; 17])
}

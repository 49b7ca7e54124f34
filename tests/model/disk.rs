//! The disk of the bench: commits in pieces, reads that answer late, crashes and restarts.

use crate::bench::{Bench, Journal};
use crate::naive::{Message, Naive};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use warren::broker::identity::QueueId;
use warren::broker::message::{Returns, Run};
use warren::broker::queue::{Command, LoadRequest, Queue, QueueState, SharedCredit, StoredChunk};
use warren::store::bodies::{self, BodyPool};
use warren::store::committer::Piece;
use warren::store::memory::MemoryStorage;
use warren::store::recovery;
use warren::store::{Change, Family, Logging, Storage, keys, records};

const QUEUE: QueueId = QueueId(7);
/// Chunk bytes that one piece of a commit takes: little, so that commits have several.
const ROOM: usize = 3000;
/// Bytes that one read takes.
const HEAD: usize = 700;

/// What a read of the disk found: the first number asked for, the chunks, and up to where there are no others.
type Read = (u64, Vec<StoredChunk>, u64);

#[derive(Default)]
pub struct Disk {
    storage: MemoryStorage,
    /// The last epoch that is complete.
    pub epoch: u64,
    /// Durable messages as of then, and how often they had come back.
    committed: BTreeMap<u64, Returns>,
    /// The machine has something to read.
    pub wanted: bool,
    /// What the last commit wrote was guessed in part ([`Naive::guessed`]).
    guessed: bool,
    /// What was read and not yet taken.
    pub reading: Option<Read>,
}

impl Disk {
    pub fn assert_empty(&self, window: bool) {
        assert!(!window || self.blocks().is_empty(), "what is remembered too long is left on disk");
        for family in [Family::Chunks, Family::Settled, Family::Transient] {
            let mut left = Vec::new();
            let to = keys::chunk(QueueId(QUEUE.0 + 1), 0);
            let mut visit = |key: &[u8], _: &[u8]| {
                left.push(keys::chunk_first(key).unwrap());
                true
            };
            self.storage.scan(family, &keys::chunk(QUEUE, 0), &to, &mut visit).unwrap();
            assert_eq!(left, Vec::<u64>::new(), "{} is left on disk of a drained queue", family.name());
        }
        for (family, from) in [(Family::Bodies, &b""[..]), (Family::Transient, &b"b"[..])] {
            let mut left = Vec::new();
            let mut visit = |key: &[u8], _: &[u8]| {
                left.push(key.to_vec());
                true
            };
            self.storage.scan(family, from, &[0xff; 18], &mut visit).unwrap();
            assert_eq!(left, Vec::<Vec<u8>>::new(), "bodies are left on disk of a drained queue");
        }
    }

    /// The deduplication window: blocks by the number of their first entry.
    fn blocks(&self) -> Vec<(u64, Vec<u8>)> {
        recovery::recover(&self.storage).unwrap().windows.remove(&QUEUE).unwrap_or_default()
    }

    fn states(&self, levels: usize) -> Vec<(u8, QueueState)> {
        let stored = (0..levels).filter_map(|level| {
            let value = self.storage.get(Family::QueueState, &keys::queue(QUEUE, level as u8)).unwrap()?;
            Some((level as u8, records::read_queue_state(&value).unwrap()))
        });
        stored.collect()
    }

    /// Durable messages on disk that are not settled there.
    fn messages(&self) -> Vec<(u64, Message)> {
        let request = LoadRequest { first: 0, end: u64::MAX, bytes: usize::MAX };
        let (chunks, _) = recovery::load(&self.storage, QUEUE, request, &BodyPool::new(1, Arc::default())).unwrap();
        let mut messages = Vec::new();
        for stored in chunks.into_iter().filter(|stored| stored.chunk.durable()) {
            let chunk = Arc::new(stored.chunk);
            for index in (0..chunk.count()).filter(|index| !stored.settled.contains(*index)) {
                let run =
                    Run { chunk: chunk.clone(), index, count: 1, redelivered: false, returns: Returns::default() };
                let record = chunk.record(index).unwrap();
                let id = u64::from_le_bytes(record.body[..8].try_into().unwrap());
                let returns = stored.returns.iter().find(|(sequence, _)| *sequence == run.first());
                let returns = returns.map_or_else(Returns::default, |(_, returns)| *returns);
                messages.push((run.first(), Message { id, durable: true, delivered: None, chunk_end: 0, returns }));
            }
        }
        messages
    }
}

impl Bench {
    /// Applies a command after which the naive queue is as it should be already.
    pub fn apply(&mut self, command: Command<Journal>) {
        let seen = self.act(command);
        self.follow(seen);
    }

    /// Runs a commit for at most `pieces` pieces; whether it is complete.
    pub fn commit(&mut self, spill: Option<usize>, pieces: usize) -> bool {
        let epoch = self.disk.epoch + 1;
        self.disk.guessed = self.naive.guessed || (pieces == 0 && self.disk.guessed);
        for _ in 0..pieces {
            let mut room = ROOM;
            let collected = self.queue.collect(epoch, spill, &mut room);
            let mut piece = Piece::default();
            let more = piece.add_queue(QUEUE, collected);
            let (mut logged, mut unlogged) = piece.into_changes();
            bodies::count(&self.disk.storage, &mut unlogged).unwrap();
            bodies::count(&self.disk.storage, &mut logged).unwrap();
            self.disk.storage.write(&unlogged, Logging::Unlogged).unwrap();
            self.disk.storage.write(&logged, Logging::Logged).unwrap();
            if !more {
                self.disk.epoch = epoch;
                self.naive.once.commit();
                let (blocks, most) = (self.disk.blocks().len(), self.naive.once.most_blocks());
                assert!(blocks <= most, "{blocks} blocks for a window of {most}");
                let durable = self.naive.all().filter(|(_, message)| message.durable);
                self.disk.committed = durable.map(|(sequence, message)| (sequence, message.returns)).collect();
                self.arrive();
                return true;
            }
        }
        false
    }

    /// The disk is read as the machine asked.
    pub fn read(&mut self) {
        if self.disk.reading.is_some() || !std::mem::take(&mut self.disk.wanted) {
            return;
        }
        if let Some(request) = self.queue.load_request(HEAD) {
            let (chunks, end) = recovery::load(&self.disk.storage, QUEUE, request, &self.pool).unwrap();
            self.disk.reading = Some((request.first, chunks, end));
        }
    }

    /// What was read reaches the machine.
    pub fn load(&mut self) {
        if let Some((first, chunks, end)) = self.disk.reading.take() {
            // What time does first is not mixed up with what loading does.
            self.tick();
            self.apply(Command::Loaded { first, chunks, end });
        }
    }

    /// The process dies after some pieces of a commit. What a complete commit held, and was not settled since, is there.
    pub fn crash(&mut self, pieces: usize) {
        let before = self.disk.committed.clone();
        let live: BTreeMap<u64, Returns> =
            self.naive.all().map(|(sequence, message)| (sequence, message.returns)).collect();
        self.commit(None, pieces);
        let mut states = self.disk.states(self.next.len());
        let stored = self.disk.messages();
        self.check_states(&states, &stored);
        let sequences: BTreeSet<u64> = stored.iter().map(|(sequence, _)| *sequence).collect();
        let kept = before.keys().filter(|sequence| live.contains_key(sequence));
        let lost: Vec<&u64> = kept.filter(|sequence| !sequences.contains(sequence)).collect();
        assert!(lost.is_empty(), "committed messages are lost: {lost:?}");
        let ghost = sequences.iter().find(|sequence| !before.contains_key(sequence) && !live.contains_key(sequence));
        assert_eq!(ghost, None, "a ghost");
        for (sequence, Message { returns, .. }) in &stored {
            let (least, most) = (before.get(sequence).copied().unwrap_or_default(), live.get(sequence));
            let known = least.acquired <= returns.acquired && most.is_none_or(|most| returns.acquired <= most.acquired);
            let failed = least.failed <= returns.failed && most.is_none_or(|most| returns.failed <= most.failed);
            assert!(known && failed, "{sequence} came back {returns:?}, stored {least:?}, now {most:?}");
        }
        states.iter_mut().for_each(|(_, state)| state.maybe_delivered = state.next_sequence);
        let fates = self.naive.all().map(|(sequence, message)| (message.id, sequences.contains(&sequence)));
        let fates = fates.collect();
        self.naive.once.restart(false, &fates);
        let stored = stored.into_iter().map(|(at, message)| (at, Message { delivered: Some(true), ..message }));
        self.recover(&states, stored.collect());
    }

    /// The node stops cleanly and starts again.
    pub fn restart(&mut self) {
        self.naive.consumers.ids().into_iter().for_each(|id| self.cancel(id));
        while !self.naive.unsettled.is_empty() {
            let (spans, holder) = self.naive.spans(0, u32::MAX);
            self.requeue(&spans, holder, true);
        }
        // Once for the dead letters on their way, once for what their arrival settles.
        self.commit(None, usize::MAX);
        self.commit(None, usize::MAX);
        let was: BTreeMap<u64, Message> = self.naive.all().filter(|(_, message)| message.durable).collect();
        let stored = self.disk.messages();
        let sequences: Vec<u64> = stored.iter().map(|(sequence, _)| *sequence).collect();
        assert_eq!(
            sequences,
            was.keys().copied().collect::<Vec<_>>(),
            "a clean stop keeps exactly the durable messages"
        );
        let states = self.queue.states(true);
        self.check_states(&states, &stored);
        let counted = stored.iter().find(|(at, message)| message.returns != was[at].returns);
        assert_eq!(counted, None, "a clean stop keeps how often a message came back");
        self.naive.once.restart(true, &BTreeMap::new());
        let known = |at: u64| was[&at].delivered.filter(|_| !self.naive.dying.contains_key(&at));
        let stored = stored.into_iter().map(|(at, message)| (at, Message { delivered: known(at), ..message }));
        let stored = stored.collect();
        self.recover(&states, stored);
    }

    /// Stored counts are what is stored.
    fn check_states(&self, states: &[(u8, QueueState)], stored: &[(u64, Message)]) {
        for (level, state) in states {
            let range = &self.naive.levels()[usize::from(*level)];
            let of_level = || stored.iter().filter(|(sequence, _)| range.contains(sequence));
            let facts = || of_level().map(|(_, message)| self.naive.facts(message));
            assert_eq!(state.messages, of_level().count() as u64, "stored messages of level {level}");
            let bytes = facts().map(|facts| facts.record).sum::<u64>();
            assert!(state.bytes == bytes || self.disk.guessed, "level {level}: {} of {bytes} bytes", state.bytes);
            assert!(of_level().all(|(sequence, _)| (state.first..state.next_sequence).contains(sequence)));
            if state.body_bytes != u64::MAX && !self.disk.guessed {
                let bodies: u64 = facts().map(|facts| facts.body).sum();
                assert_eq!(state.body_bytes, bodies, "stored bodies of level {level}");
            }
        }
    }

    fn recover(&mut self, states: &[(u8, QueueState)], stored: Vec<(u64, Message)>) {
        self.disk.storage.write(&[everything(Family::Transient)], Logging::Unlogged).unwrap();
        self.disk.wanted = false;
        self.disk.reading = None;
        self.letters.forget();
        self.journal = Journal::default();
        let settings = self.naive.settings.clone();
        self.queue = Queue::recover(false, settings.clone(), states);
        assert!(self.queue.restore_window(self.disk.blocks(), self.now), "the window on disk can be read");
        self.next = self.naive.levels().iter().map(|level| level.start).collect();
        for (level, state) in states {
            self.next[usize::from(*level)] = state.next_sequence;
        }
        let (facts, guessed) = (std::mem::take(&mut self.naive.facts), self.disk.guessed);
        let once = std::mem::take(&mut self.naive.once);
        self.naive = Naive::new(settings);
        (self.naive.facts, self.naive.once) = (facts, once);
        self.naive.consumers.shared = self.config.shared;
        self.shared = Arc::new(SharedCredit::new(self.config.shared));
        self.sharing = HashSet::new();
        stored.into_iter().for_each(|(sequence, message)| self.naive.add_ready(sequence, message, false));
        self.naive.guessed = guessed || states.iter().any(|(_, state)| state.body_bytes == u64::MAX);
        self.timer = None;
        self.disk.committed = self.naive.all().map(|(sequence, message)| (sequence, message.returns)).collect();
        // Deadlines that passed meanwhile, and a timer for the others.
        self.tick();
    }
}

fn everything(family: Family) -> Change {
    Change::DeleteRange(family, Vec::new(), vec![0xff; 17])
}

//! Messages as bytes, and what becomes of the dead ones: some come back to the queue, at once or by way of another one.

use crate::bench::Bench;
use crate::history::Marks;
use crate::naive::{Facts, Message};
use crate::once::{Mark, Verdict};
use std::collections::VecDeque;
use warren::broker::content::Content;
use warren::broker::dead_letter::{Death, Letter};
use warren::broker::message::{ChunkBuilder, Parts, Record, Returns, Run};
use warren::broker::queue::{Command, QueueKind, Reason};
use warren::broker::window::DEDUPLICATION_HEADER;
use warren::value::{Table, Value};

/// The queue under test, as its dead letters name it.
const QUEUE: &str = "q";
/// Another queue, in which a dead letter expires before it comes back.
const DETOUR: &str = "detour";

/// Where the dead-letter exchange leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Gone,
    Back,
    BackByDetour,
}

/// Dead letters of the queue.
#[derive(Default)]
pub struct Letters {
    /// Those that the machine handed over.
    waiting: VecDeque<(Run, Reason)>,
    /// Those that have arrived; the queue hears of it after the next commit.
    arrived: Vec<(u64, u32)>,
}

impl Letters {
    /// The number in a message's body.
    pub fn id_of(&self, run: &Run, at: u32) -> u64 {
        let record = run.chunk.record(run.index + at).expect("a record that was handed out is there");
        u64::from_le_bytes(record.body[..8].try_into().unwrap())
    }

    pub fn take(&mut self, run: Run, reason: Reason) {
        self.waiting.push_back((run, reason));
    }

    /// The `x-death` header of a message, against what it went through.
    pub fn check_history(&self, run: &Run, at: u32, facts: &Facts) {
        let record = run.chunk.record(run.index + at).expect("a record that was handed out is there");
        assert_eq!(record.died, !facts.deaths.is_empty());
        if record.died {
            assert_eq!(history(record.header), facts.deaths);
        }
    }

    /// After a crash the queue hears of nothing.
    pub fn forget(&mut self) {
        *self = Letters::default();
    }
}

fn history(header: &[u8]) -> Vec<(&'static str, Reason, i64)> {
    let content = Content::parse(header).expect("a content header");
    let Some(Value::Array(deaths)) = content.header("x-death") else { panic!("no x-death") };
    let deaths = deaths.iter().map(|death| {
        let Value::Table(death) = death else { panic!("x-death holds {death:?}") };
        let text = |key: &str| death.get(key).and_then(Value::as_str).expect("a text");
        let queue = if text("queue") == QUEUE { QUEUE } else { DETOUR };
        let all = [Reason::Rejected, Reason::Expired, Reason::MaxLen, Reason::DeliveryLimit];
        let reason = all.into_iter().find(|reason| reason.name() == text("reason")).expect("a reason");
        (queue, reason, death.get("count").and_then(Value::as_integer).expect("a count"))
    });
    deaths.collect()
}

/// A content header with what a message says of itself: who it is, and how long it may wait.
fn header(mark: Option<Mark>, expiration: Option<u64>) -> Vec<u8> {
    let mut header = vec![0, 60, 0, 0];
    header.extend_from_slice(&[0; 8]);
    header.extend_from_slice(&[u8::from(expiration.is_some()) | (u8::from(mark.is_some()) << 5), 0]);
    if let Some((identity, ttl)) = mark {
        let mut headers = Table::from_iter([(DEDUPLICATION_HEADER, Value::from(identity as i64))]);
        ttl.into_iter().for_each(|ttl| headers.insert("x-cache-ttl", ttl as i64));
        headers.encode(&mut header);
    }
    if let Some(ms) = expiration {
        let text = ms.to_string();
        header.push(text.len() as u8);
        header.extend_from_slice(text.as_bytes());
    }
    header
}

fn die(deaths: &mut Vec<(&'static str, Reason, i64)>, queue: &'static str, reason: Reason) {
    let known = deaths.iter().position(|(other, why, _)| (*other, *why) == (queue, reason));
    let count = known.map_or(0, |at| deaths.remove(at).2);
    deaths.insert(0, (queue, reason, count + 1));
}

/// Not where it has been, unless somebody rejected it since (compat.md 2.5).
fn may_enter(deaths: &[(&'static str, Reason, i64)], reason: Reason) -> bool {
    let since = deaths.iter().position(|(queue, ..)| *queue == QUEUE);
    let rejected = |at: usize| deaths[..=at].iter().any(|(_, why, _)| *why == Reason::Rejected);
    reason == Reason::Rejected || since.is_none_or(rejected)
}

impl Bench {
    /// Messages of one priority come, as a publisher's turn packs them. One that may be a duplicate or not ends its chunk: the
    /// count of what was taken shows which it was.
    pub fn publish(&mut self, messages: u32, durable: bool, priority: u8, ttl: Option<u64>, marks: Option<Marks>) {
        let priority = if self.config.lettered { priority } else { 0 };
        let durable = (durable || self.config.kind == QueueKind::Quorum) && self.config.durable;
        let (mut builder, mut packed, mut once) = (ChunkBuilder::default(), Vec::new(), self.naive.once.clone());
        for at in 0..u64::from(messages) {
            let (expiration, mark) = (ttl.map(|ttl| ttl * (1 + at % 3)), marks.map(|marks| marks.of(at)));
            let header = header(mark, expiration);
            let size = 8 + (self.naive.facts.len() * 7 % 900);
            let facts = Facts { body: size as u64, mark, ..Facts::default() };
            let id = self.pack(&mut builder, (b"\0\x01q", &header), facts, (durable, priority), expiration);
            let verdict = once.judge(mark, self.now);
            packed.push((id, verdict));
            match verdict {
                Verdict::First => once.remember(id, mark, durable, self.now),
                Verdict::Duplicate => {}
                Verdict::Either => {
                    self.hand_over(std::mem::take(&mut builder), std::mem::take(&mut packed), durable, priority);
                    once = self.naive.once.clone();
                }
            }
        }
        if !packed.is_empty() {
            self.hand_over(builder, packed, durable, priority);
        }
    }

    /// Adds a message to a chunk as the queue keeps it. Returns its number.
    fn pack(
        &mut self,
        builder: &mut ChunkBuilder,
        (exchange_and_key, header): (&[u8], &[u8]),
        mut facts: Facts,
        (persistent, priority): (bool, u8),
        expiration: Option<u64>,
    ) -> u64 {
        let id = self.naive.facts.len() as u64;
        let mut body = id.to_le_bytes().to_vec();
        body.resize(facts.body as usize, b'.');
        let ttl = expiration.into_iter().chain(self.naive.settings.message_ttl).min();
        facts.deadline = ttl.map_or(0, |ttl| self.now + ttl);
        let (deadline_ms, died) = (facts.deadline, !facts.deaths.is_empty());
        // Some bodies are kept beside their chunks.
        let shared = id.is_multiple_of(3).then(|| self.pool.make(&body));
        let (body, detached) = (&body[..], shared.as_ref());
        let parts = Parts { exchange_and_key, header, body, persistent, priority, deadline_ms, died, detached };
        facts.record = parts.weight() as u64;
        builder.push(&parts);
        self.naive.facts.push(facts);
        id
    }

    fn hand_over(&mut self, mut builder: ChunkBuilder, packed: Vec<(u64, Verdict)>, durable: bool, priority: u8) {
        let level = self.naive.level_of(priority);
        assert_eq!(self.naive.settings.level_of(priority), level, "the level of priority {priority}");
        let returns = Returns::default();
        let message = |id: u64| Message { id, durable, delivered: Some(false), chunk_end: 0, returns };
        let messages: Vec<(Message, Verdict)> = packed.iter().map(|(id, verdict)| (message(*id), *verdict)).collect();
        let chunk = builder.finish(durable, &self.ledger);
        self.enqueue(Command::Enqueue(chunk, level, None), level, &messages);
    }

    /// The relay carries dead letters. The queue hears of it when they are on disk where they went.
    pub fn bury(&mut self, count: usize, fate: Fate) {
        let count = count.min(self.letters.waiting.len());
        for (run, reason) in self.letters.waiting.drain(..count).collect::<Vec<_>>() {
            self.letters.arrived.push((run.first(), run.count));
            let record = run.chunk.record(run.index).expect("a dead letter has its record");
            if fate != Fate::Gone {
                self.carry(&record, reason, fate, self.letters.id_of(&run, 0));
            }
        }
        if count == 0 || fate == Fate::Gone {
            self.arrive();
        }
    }

    fn carry(&mut self, record: &Record<'_>, reason: Reason, fate: Fate, id: u64) {
        let mut deaths = self.naive.facts[id as usize].deaths.clone();
        die(&mut deaths, QUEUE, reason);
        let death = Death { queue: QUEUE, reason, exchange: "dlx", routing_key: None, time: 1 };
        let mut letter = Letter::of(record, &death).expect("a dead letter");
        let mut reason = reason;
        if fate == Fate::BackByDetour {
            reason = Reason::Expired;
            die(&mut deaths, DETOUR, reason);
            let second = Record { header: &letter.header, exchange_and_key: &letter.exchange_and_key, ..*record };
            let second = Record { died: true, deadline_ms: 0, ..second };
            letter = Letter::of(&second, &Death { queue: DETOUR, reason, ..death }).expect("a dead letter");
        }
        assert_eq!(letter.may_enter(QUEUE, reason), may_enter(&deaths, reason));
        if !may_enter(&deaths, reason) {
            return;
        }
        let facts = Facts { body: self.naive.facts[id as usize].body, deaths, ..Facts::default() };
        let (durable, priority) = (record.persistent && self.config.durable, record.priority);
        let mut builder = ChunkBuilder::default();
        let keys = (&letter.exchange_and_key[..], &letter.header[..]);
        let id = self.pack(&mut builder, keys, facts, (durable, priority), None);
        // Dead letters pass, whoever they are.
        self.hand_over(builder, vec![(id, Verdict::First)], durable, priority);
    }

    /// The queue is told which of its dead letters have arrived.
    pub fn arrive(&mut self) {
        let spans = std::mem::take(&mut self.letters.arrived);
        if spans.is_empty() {
            return;
        }
        for sequence in spans.iter().flat_map(|(first, count)| *first..*first + u64::from(*count)) {
            let dying = self.naive.dying.remove(&sequence);
            assert!(dying.is_some_and(|dying| dying.told), "{sequence} was buried alive");
        }
        self.apply(Command::Buried(spans));
    }
}

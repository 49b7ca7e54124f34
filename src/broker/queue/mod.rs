//! The queue machine: [`Queue::apply`] takes a command and the time, and returns effects. It does no I/O, reads no clock
//! and takes no lock; the engine holds it behind a mutex and performs the effects (design.md 5, 6 and 8).
//!
//! ```text
//!   returned ──► head ──► middle ──► tail ◄── enqueue
//!   (requeued,   chunks   on disk    chunks
//!    by place)   in memory  only     in memory
//! ```
//!
//! A message is *ready* in one of these, then *unsettled* in a consumer's hands, then settled and gone; or it is *dying*: on
//! its way to the dead-letter exchange, settled when it is there. A queue with priorities has such a chain for each.

mod bounds;
mod consumers;
mod counted;
mod dead;
mod dispatch;
mod duplicates;
mod effects;
mod entry;
mod expiry;
mod level;
mod paging;
mod receipts;
mod returned;
mod settings;
mod status;
mod storage;
#[cfg(test)]
mod tests;

pub use consumers::{ConsumerSpec, Outlet, SharedCredit};
pub use dead::{Dead, Reason};
pub use effects::Effects;
pub use entry::Settled;
pub use paging::{LoadRequest, StoredChunk};
pub use receipts::Receipt;
pub use settings::{DeadLetters, Overflow, PRIORITY_MAX, QueueKind, QueueSettings, Retry, RetryKind};
pub use status::Status;
pub use storage::{Collected, Deleted, QueueState};

use crate::broker::count::{Count, Totals};
use crate::broker::identity::ConsumerId;
use crate::broker::message::{Chunk, Run, Span};
use crate::broker::window::Window;
use consumers::Consumers;
use counted::Counted;
use entry::Entry;
use level::Levels;
use receipts::Receipts;
use returned::Returned;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use storage::Disk;

/// What can be asked of a queue.
#[derive(Debug)]
pub enum Command<O> {
    /// Appends a chunk of messages to a level ([`QueueSettings::level_of`]), and who is told if consumers acknowledge all of it
    /// before the disk has it.
    Enqueue(Chunk, usize, Option<Receipt<O>>),
    /// Adds a consumer; the caller has checked exclusiveness with [`Queue::may_consume`].
    Consume(ConsumerSpec<O>),
    /// Removes a consumer. What it holds unsettled stays with its channel.
    Cancel(ConsumerId),
    /// Messages are acknowledged: they are gone.
    Settle {
        /// Consecutive messages: first sequence number and count.
        spans: Vec<(u64, u32)>,
        /// The consumer whose credit they free; None for `basic.get`.
        consumer: Option<ConsumerId>,
    },
    /// Messages are discarded: dead-lettered, or gone.
    Discard {
        /// Consecutive messages: first sequence number and count.
        spans: Vec<(u64, u32)>,
        /// The consumer whose credit they free; None for `basic.get`.
        consumer: Option<ConsumerId>,
    },
    /// Messages come back, each to its place.
    Requeue {
        /// The messages.
        spans: Vec<Span>,
        /// The consumer whose credit they free; None when it is gone, and for `basic.get`.
        consumer: Option<ConsumerId>,
        /// Whether their delivery failed: a `basic.reject`, or the end of their channel (compat.md 2.8).
        failed: bool,
    },
    /// Dead letters have arrived where they were to go, or nowhere.
    Buried(Vec<(u64, u32)>),
    /// A consumer's connection has taken bytes, or its channel's shared credit has grown.
    Credit {
        /// The consumer.
        consumer: ConsumerId,
        /// Bytes taken from its outbox.
        bytes: u64,
    },
    /// Chunks that were on disk only, as asked for by [`Queue::load_request`].
    Loaded {
        /// First sequence number of the request.
        first: u64,
        /// The chunks, in order.
        chunks: Vec<StoredChunk>,
        /// Sequence number up to which nothing else is stored.
        end: u64,
    },
    /// What [`Queue::load_request`] asked for is damaged; the text says how. Nothing is delivered until a purge drops it.
    Unreadable(String),
    /// New settings, effective at once. Type, priorities and single active consumer stay as they were declared.
    Configure(Arc<QueueSettings>),
    /// The queue is in use: it was redeclared, or asked for a message.
    Touch,
    /// Time has passed: [`Effects::timer`] was due.
    Tick,
}

/// What `basic.get` finds.
#[derive(Debug)]
pub enum Taken {
    /// A message, and how many are ready behind it.
    Message(Run, u64),
    /// No message is ready.
    Empty,
    /// The next message must be read from disk first; ask again when it is loaded.
    OnDisk,
}

/// Counters for listings and replies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that can be handed out.
    pub ready: u64,
    /// Messages handed out and not settled.
    pub unsettled: u64,
    /// Messages on their way to the dead-letter exchange.
    pub dying: u64,
    /// Returned messages that wait before they are ready again.
    pub delayed: u64,
    /// Consumers.
    pub consumers: usize,
}

/// A queue's state.
#[derive(Debug)]
pub struct Queue<O> {
    durable: bool,
    auto_delete: bool,
    closed: bool,
    settings: Arc<QueueSettings>,
    /// Chunks in memory with unsettled messages, by first sequence number.
    entries: BTreeMap<u64, Entry>,
    levels: Levels,
    returned: Returned,
    /// How often messages came back; only a quorum queue counts it.
    counted: Counted,
    /// Returned messages that wait, by the time when they are ready again.
    delayed: BTreeMap<(u64, u64), ()>,
    consumers: Consumers<O>,
    ready: u64,
    /// Bytes of the bodies of ready messages, while there is a limit for them.
    ready_bodies: u64,
    unsettled: u64,
    dying: u64,
    /// Discarded messages whose records have to be read before they can be dead-lettered.
    doomed: VecDeque<(u64, u32, Reason)>,
    disk: Disk,
    /// What is on disk cannot be read; the text says what.
    damage: Option<String>,
    /// Some message may have a deadline.
    timed: bool,
    /// Numbers of the messages that the command brings: one that expires at once may still find a consumer.
    fresh: Range<u64>,
    /// Since when nobody uses the queue, in wall clock ms.
    unused_since: Option<u64>,
    /// High-priority messages of a quorum queue that were served since the last low one.
    favoured: u32,
    /// Which messages came before; boxed, since most queues do not ask.
    window: Option<Box<Window>>,
    receipts: Receipts<O>,
    /// What was done with its messages.
    totals: Totals,
    /// Something was asked of it since [`Queue::look`] last looked.
    stirred: bool,
}

impl<O: Outlet> Queue<O> {
    /// An empty queue.
    pub fn new(durable: bool, auto_delete: bool, settings: Arc<QueueSettings>) -> Queue<O> {
        Queue {
            durable,
            auto_delete,
            closed: false,
            entries: BTreeMap::new(),
            levels: Levels::new(&settings),
            returned: Returned::new(settings.kind == QueueKind::Quorum),
            counted: Counted::default(),
            delayed: BTreeMap::new(),
            consumers: Consumers::new(settings.single_active, settings.kind),
            ready: 0,
            ready_bodies: 0,
            unsettled: 0,
            dying: 0,
            doomed: VecDeque::new(),
            disk: Disk::default(),
            damage: None,
            timed: false,
            fresh: 0..0,
            unused_since: None,
            favoured: 0,
            window: settings.deduplication.clone().map(|settings| Box::new(Window::new(settings))),
            receipts: Receipts::default(),
            totals: Totals::default(),
            stirred: false,
            settings,
        }
    }

    /// Applies one command at `now`, wall clock ms; 0 will do if [`Queue::needs_time`] says so. Deliveries go to the
    /// consumers' outlets at once; the rest is in `effects`. A closed queue ignores everything.
    pub fn apply(&mut self, command: Command<O>, now: u64, effects: &mut Effects<O>) {
        if self.closed {
            return;
        }
        self.pass_time(now, effects);
        match command {
            Command::Enqueue(chunk, level, receipt) => {
                let receipt = receipt.filter(|_| self.goes_straight());
                self.enqueue(chunk, level, now, effects);
                if let Some(receipt) = receipt {
                    self.note_receipt(level, receipt);
                }
            }
            Command::Consume(spec) => self.consumers.add(spec),
            Command::Cancel(consumer) => {
                let removed = self.consumers.remove(consumer).is_some();
                effects.unused |= removed && self.auto_delete && self.consumers.len() == 0;
            }
            Command::Settle { spans, consumer } => {
                let settled = spans.iter().map(|(first, count)| self.acknowledge(*first, *count, effects)).sum();
                self.unsettled = self.unsettled.saturating_sub(u64::from(settled));
                self.totals.add(Count::Ack, u64::from(settled));
                self.free_credit(consumer, settled);
            }
            Command::Discard { spans, consumer } => self.discard(&spans, consumer, effects),
            Command::Requeue { spans, consumer, failed } => self.requeue(&spans, consumer, failed, now, effects),
            Command::Buried(spans) => {
                let settled: u32 = spans.iter().map(|(first, count)| self.settle(*first, *count)).sum();
                self.dying = self.dying.saturating_sub(u64::from(settled));
            }
            Command::Credit { consumer, bytes } => self.consumers.credit(consumer, 0, bytes),
            Command::Loaded { first, chunks, end } => {
                if let Err(text) = self.loaded(first, chunks, end, effects) {
                    self.unreadable(text, effects);
                }
            }
            Command::Unreadable(text) => self.unreadable(text, effects),
            Command::Configure(settings) => self.configure(settings),
            Command::Touch => self.unused_since = None,
            Command::Tick => {}
        }
        self.finish(now, effects);
    }

    /// Takes the next message for `basic.get`; with `no_ack` it is settled at once.
    pub fn take(&mut self, no_ack: bool, now: u64, effects: &mut Effects<O>) -> Taken {
        if self.closed {
            return Taken::Empty;
        }
        self.unused_since = None;
        self.pass_time(now, effects);
        let taken = match self.next_span() {
            Some(run) => {
                let run = run.part(0, 1);
                self.totals.add(if no_ack { Count::GetNoAck } else { Count::Get }, 1);
                self.totals.add(Count::Redeliver, u64::from(run.redelivered));
                self.hand_out(&run, no_ack, effects);
                Taken::Message(run, self.ready)
            }
            None if self.ready > 0 => {
                effects.load |= self.wants_load();
                Taken::OnDisk
            }
            None => {
                self.totals.add(Count::GetEmpty, 1);
                Taken::Empty
            }
        };
        self.finish(now, effects);
        taken
    }

    /// What every command ends with: deliveries, then what has no place or no time left.
    fn finish(&mut self, now: u64, effects: &mut Effects<O>) {
        if self.damage.is_none() {
            self.dispatch(now, effects);
        }
        self.fresh = 0..0;
        if self.settings.is_bounded() {
            self.keep_bounds(now, effects);
        }
        self.set_timer(now, effects);
        if !self.doomed.is_empty() {
            effects.load |= self.wants_load();
        }
        effects.dirty |= self.disk.announce();
        effects.stirred |= self.stir();
    }

    /// Whether this is the first time since it was last looked at that something is asked of it.
    pub fn stir(&mut self) -> bool {
        !std::mem::replace(&mut self.stirred, true)
    }

    /// Whether something was asked of it since it was last looked at.
    pub fn is_stirred(&self) -> bool {
        self.stirred
    }

    /// What whoever keeps samples wants to know; from then on it is told again when something is asked of the queue.
    pub fn look(&mut self) -> (Counts, Totals) {
        self.stirred = false;
        (self.counts(), self.totals)
    }

    /// Drops all ready messages; returns how many.
    pub fn purge(&mut self, effects: &mut Effects<O>) -> u64 {
        let purged = self.ready;
        self.receipts.clear();
        for (first, count) in self.returned.drain() {
            self.settle(first, count);
        }
        for at in 0..self.levels.len() {
            self.drop_middle(at);
            let level = self.levels.at(at).range();
            let firsts: Vec<u64> =
                self.entries.range(self.first_ready_entry(at)..level.end).map(|(first, _)| *first).collect();
            for first in firsts {
                let Some(entry) = self.entries.get(&first) else { continue };
                let (next, count) = (entry.next, entry.chunk.count());
                self.settle(first + u64::from(next), count.saturating_sub(next));
            }
            let level = self.levels.at_mut(at);
            level.cursor = level.next_sequence;
            level.ready = 0;
        }
        self.ready = 0;
        self.ready_bodies = 0;
        self.damage = None;
        effects.dirty |= self.disk.announce();
        effects.stirred |= self.stir();
        purged
    }

    /// Whether a consumer may be added: not beside an exclusive one, and an exclusive one only alone and where every consumer
    /// is served. A quorum queue knows no exclusive consumers.
    pub fn may_consume(&self, exclusive: bool) -> bool {
        if self.settings.single_active {
            return !exclusive;
        }
        self.settings.kind == QueueKind::Quorum
            || (!self.consumers.has_exclusive() && (!exclusive || self.consumers.len() == 0))
    }

    /// Messages by their condition, and consumers.
    pub fn counts(&self) -> Counts {
        let (ready, unsettled, dying) = (self.ready, self.unsettled, self.dying);
        Counts { ready, unsettled, dying, delayed: self.delayed.len() as u64, consumers: self.consumers.len() }
    }

    /// Its settings.
    pub fn settings(&self) -> &Arc<QueueSettings> {
        &self.settings
    }

    /// Whether the queue was deleted.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Ends the queue: every later command is ignored; its consumers are told. Returns the outlets to wake.
    pub fn close(&mut self) -> Vec<O> {
        self.closed = true;
        self.entries.clear();
        self.receipts.clear();
        self.returned.drain();
        self.counted.clear();
        self.delayed.clear();
        self.doomed.clear();
        for level in self.levels.iter_mut() {
            level.middle = None;
            level.ready = 0;
        }
        self.ready = 0;
        self.unsettled = 0;
        self.dying = 0;
        self.cancel_all()
    }

    /// Removes all consumers and tells them; returns their outlets.
    fn cancel_all(&mut self) -> Vec<O> {
        let consumers = self.consumers.drain();
        consumers.inspect(|spec| spec.outlet.cancelled(spec.id)).map(|spec| spec.outlet).collect()
    }

    fn enqueue(&mut self, chunk: Chunk, level: usize, now: u64, effects: &mut Effects<O>) {
        if self.window.is_some() {
            self.enqueue_once(chunk, level, now, effects);
        } else {
            self.accept(chunk, level, now, effects);
        }
    }

    fn accept(&mut self, chunk: Chunk, level: usize, now: u64, effects: &mut Effects<O>) {
        if self.settings.refuses() {
            self.enqueue_what_fits(chunk, level, now, effects);
        } else {
            self.append(chunk, level);
        }
    }

    fn append(&mut self, chunk: Chunk, level: usize) {
        let level = self.levels.at_mut(level);
        let chunk = Arc::new(chunk.number(level.next_sequence));
        level.next_sequence = chunk.end();
        level.ready += u64::from(chunk.count());
        self.totals.add(Count::Publish, u64::from(chunk.count()));
        self.ready += u64::from(chunk.count());
        let bodies = if self.settings.max_bytes.is_some() { chunk.body_bytes(0, chunk.count()) } else { 0 };
        self.ready_bodies += bodies;
        if chunk.durable() {
            level.messages += u64::from(chunk.count());
            level.bytes += chunk.span_bytes(0, chunk.count()) as u64;
            level.bodies += bodies;
            level.changed = true;
            self.disk.fresh(&chunk);
        }
        if chunk.is_timed() {
            self.timed = true;
            self.fresh = chunk.first()..chunk.end();
        }
        self.entries.insert(chunk.first(), Entry::new(chunk));
    }

    fn free_credit(&mut self, consumer: Option<ConsumerId>, messages: u32) {
        if let Some(consumer) = consumer {
            self.consumers.credit(consumer, messages, 0);
        }
    }

    /// Marks messages as gone; returns how many were not settled before. The unsettled count is the caller's.
    fn settle(&mut self, first: u64, count: u32) -> u32 {
        let bounded = self.settings.max_bytes.is_some();
        let Some((start, entry)) = self.entries.range_mut(..=first).next_back() else { return 0 };
        let (start, from) = (*start, (first - start) as u32);
        let to = (from + count).min(entry.chunk.count());
        let bytes = entry.records(from, to);
        let bodies = if bounded { entry.bodies(from, to) } else { 0 };
        let settled = entry.settled.settle(from, to);
        if entry.chunk.durable() {
            let level = self.levels.of(first);
            level.messages = level.messages.saturating_sub(u64::from(settled));
            level.bytes = level.bytes.saturating_sub(bytes);
            level.bodies = level.bodies.saturating_sub(bodies);
            if level.messages == 0 {
                // What averages and guesses were wrong by goes with the last message.
                (level.bytes, level.bodies) = (0, 0);
            }
            level.changed = true;
            self.disk.changed = true;
        }
        if entry.is_settled() {
            if let Some(entry) = self.entries.remove(&start) {
                self.disk.gone(&entry);
            }
        } else {
            entry.thin_out();
            if !entry.touched && entry.stored.is_some() {
                entry.touched = true;
                self.disk.touched(start);
            }
        }
        self.counted.forget(first..first + u64::from(count));
        settled
    }

    /// Messages of a consumer come back.
    fn requeue(
        &mut self,
        spans: &[Span],
        consumer: Option<ConsumerId>,
        failed: bool,
        now: u64,
        effects: &mut Effects<O>,
    ) {
        let count = spans.iter().map(|span| span.count).sum();
        if self.settings.kind == QueueKind::Quorum {
            spans.iter().for_each(|span| self.give_back_counted(span, failed, now, effects));
        } else {
            spans.iter().for_each(|span| self.give_back(span.first, span.count));
        }
        self.free_credit(consumer, count);
    }

    fn give_back(&mut self, first: u64, count: u32) {
        self.unsettled = self.unsettled.saturating_sub(u64::from(count));
        self.make_ready(first, count);
    }

    /// Messages that were out of the queue's reach are ready again.
    fn make_ready(&mut self, first: u64, count: u32) {
        self.ready += u64::from(count);
        self.levels.of(first).ready += u64::from(count);
        if self.settings.max_bytes.is_some()
            && let Some((start, entry)) = self.entries.range(..=first).next_back()
        {
            let from = (first - start) as u32;
            self.ready_bodies += entry.bodies(from, from + count);
        }
        self.returned.insert(first, count);
    }

    /// A quorum queue counts how often each message came back (compat.md 2.8).
    fn give_back_counted(&mut self, span: &Span, failed: bool, now: u64, effects: &mut Effects<O>) {
        for sequence in span.first..span.first + u64::from(span.count) {
            let returns = self.counted.add(sequence, failed);
            self.disk.changed = true;
            if self.settings.delivery_limit.is_some_and(|limit| returns.failed > limit) {
                self.unsettled = self.unsettled.saturating_sub(1);
                self.doom(sequence, 1, Reason::DeliveryLimit, effects);
            } else if let Some(wait) = self.settings.retry.wait(returns, failed) {
                self.unsettled = self.unsettled.saturating_sub(1);
                self.delayed.insert((now.saturating_add(wait), sequence), ());
            } else {
                self.give_back(sequence, 1);
            }
        }
    }

    /// New settings. What cannot change stays as it is.
    fn configure(&mut self, settings: Arc<QueueSettings>) {
        let bounded = self.settings.max_bytes.is_some();
        if settings.expires != self.settings.expires {
            // The time begins with the setting, whatever was before.
            self.unused_since = None;
        }
        self.settings = settings;
        if self.settings.max_bytes.is_some() && !bounded {
            self.count_bodies();
        }
    }
}

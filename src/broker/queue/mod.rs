//! The queue machine: [`Queue::apply`] takes a command and the time, and returns effects. It does no I/O, reads no clock
//! and takes no lock; the engine holds it behind a mutex and performs the effects (design.md 5, 6 and 8).
//!
//! ```text
//!   returned ──► head ──► middle ──► tail ◄── enqueue
//!   (requeued,   chunks   on disk    chunks
//!    by place)   in memory  only     in memory
//! ```
//!
//! A message is *ready* in one of these, then *unsettled* in a consumer's hands, then settled and gone.

mod consumers;
mod dispatch;
mod entry;
mod paging;
mod settings;
mod storage;
#[cfg(test)]
mod tests;

pub use consumers::{ConsumerSpec, Outlet, SharedCredit};
pub use entry::Settled;
pub use paging::{LoadRequest, StoredChunk};
pub use settings::{DeadLetters, Deduplication, Overflow, PRIORITY_MAX, QueueKind, QueueSettings, Retry, RetryKind};
pub use storage::{Collected, Deleted, QueueState};

use crate::broker::identity::ConsumerId;
use crate::broker::message::{Chunk, Run, Span};
use consumers::Consumers;
use entry::Entry;
use paging::Middle;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::Arc;
use storage::Disk;

/// What can be asked of a queue.
#[derive(Debug)]
pub enum Command<O> {
    /// Appends a chunk of messages.
    Enqueue(Chunk),
    /// Adds a consumer; the caller has checked exclusiveness with [`Queue::may_consume`].
    Consume(ConsumerSpec<O>),
    /// Removes a consumer. What it holds unsettled stays with its channel.
    Cancel(ConsumerId),
    /// Messages are acknowledged or discarded: they are gone.
    Settle {
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
    },
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
}

/// What has to be done after the lock is released.
#[derive(Debug)]
pub struct Effects<O> {
    /// Outlets that were given something, each once.
    pub wake: SmallVec<[O; 2]>,
    /// The head is on disk: [`Queue::load_request`] says what to read.
    pub load: bool,
    /// The queue has something for the disk and was not listed as dirty before.
    pub dirty: bool,
    /// The last consumer of an auto-delete queue has gone.
    pub unused: bool,
    /// What is on disk cannot be read; the text says what. The consumers were told that there is nothing more.
    pub damage: Option<String>,
    /// Transient messages that are not where they were paged out to: a full disk took them.
    pub lost: u64,
}

impl<O> Default for Effects<O> {
    fn default() -> Self {
        Effects { wake: SmallVec::new(), load: false, dirty: false, unused: false, damage: None, lost: 0 }
    }
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
    /// Consumers.
    pub consumers: usize,
}

/// A queue's state.
#[derive(Debug)]
pub struct Queue<O> {
    durable: bool,
    auto_delete: bool,
    closed: bool,
    next_sequence: u64,
    /// Chunks in memory with unsettled messages, by first sequence number.
    entries: BTreeMap<u64, Entry>,
    /// No message below this one was left without being handed out, but for `returned`.
    cursor: u64,
    middle: Option<Middle>,
    /// Requeued messages: first sequence number and count, each within one chunk.
    returned: BTreeMap<u64, u32>,
    consumers: Consumers<O>,
    ready: u64,
    unsettled: u64,
    disk: Disk,
    /// What is on disk cannot be read; the text says what.
    damage: Option<String>,
}

impl<O: Outlet> Queue<O> {
    /// An empty queue.
    pub fn new(durable: bool, auto_delete: bool) -> Queue<O> {
        Queue {
            durable,
            auto_delete,
            closed: false,
            next_sequence: 0,
            entries: BTreeMap::new(),
            cursor: 0,
            middle: None,
            returned: BTreeMap::new(),
            consumers: Consumers::default(),
            ready: 0,
            unsettled: 0,
            disk: Disk::default(),
            damage: None,
        }
    }

    /// Applies one command. Deliveries go to the consumers' outlets at once; the rest is in `effects`.
    /// A closed queue ignores everything.
    pub fn apply(&mut self, command: Command<O>, effects: &mut Effects<O>) {
        if self.closed {
            return;
        }
        match command {
            Command::Enqueue(chunk) => self.enqueue(chunk),
            Command::Consume(spec) => self.consumers.add(spec),
            Command::Cancel(consumer) => {
                let removed = self.consumers.remove(consumer).is_some();
                effects.unused |= removed && self.auto_delete && self.consumers.len() == 0;
            }
            Command::Settle { spans, consumer } => {
                let settled = spans.iter().map(|(first, count)| self.settle(*first, *count)).sum();
                self.unsettled = self.unsettled.saturating_sub(u64::from(settled));
                self.free_credit(consumer, settled);
            }
            Command::Requeue { spans, consumer } => {
                let count = spans.iter().map(|span| span.count).sum();
                spans.iter().for_each(|span| self.give_back(span));
                self.free_credit(consumer, count);
            }
            Command::Credit { consumer, bytes } => self.consumers.credit(consumer, 0, bytes),
            Command::Loaded { first, chunks, end } => {
                if let Err(text) = self.loaded(first, chunks, end, effects) {
                    self.unreadable(text, effects);
                }
            }
            Command::Unreadable(text) => self.unreadable(text, effects),
        }
        if self.damage.is_none() {
            self.dispatch(effects);
        }
        effects.dirty |= self.disk.announce();
    }

    /// Takes the next message for `basic.get`; with `no_ack` it is settled at once.
    pub fn take(&mut self, no_ack: bool, effects: &mut Effects<O>) -> Taken {
        if self.closed {
            return Taken::Empty;
        }
        let taken = match self.next_span() {
            Some(run) => {
                let run = run.part(0, 1);
                self.hand_out(&run, no_ack);
                Taken::Message(run, self.ready)
            }
            None if self.ready > 0 => {
                effects.load |= self.wants_load();
                Taken::OnDisk
            }
            None => Taken::Empty,
        };
        effects.dirty |= self.disk.announce();
        taken
    }

    /// Drops all ready messages; returns how many.
    pub fn purge(&mut self, effects: &mut Effects<O>) -> u64 {
        let purged = self.ready;
        for (first, count) in std::mem::take(&mut self.returned) {
            self.settle(first, count);
        }
        self.drop_middle();
        let firsts: Vec<u64> = self.entries.range(self.first_ready_entry()..).map(|(first, _)| *first).collect();
        for first in firsts {
            let Some(entry) = self.entries.get(&first) else { continue };
            let (next, count) = (entry.next, entry.chunk.count());
            self.settle(first + u64::from(next), count.saturating_sub(next));
        }
        self.cursor = self.next_sequence;
        self.ready = 0;
        self.damage = None;
        effects.dirty |= self.disk.announce();
        purged
    }

    /// Whether a consumer may be added: not beside an exclusive one, and an exclusive one only alone.
    pub fn may_consume(&self, exclusive: bool) -> bool {
        !self.consumers.has_exclusive() && (!exclusive || self.consumers.len() == 0)
    }

    /// Messages ready and unsettled, and consumers.
    pub fn counts(&self) -> Counts {
        Counts { ready: self.ready, unsettled: self.unsettled, consumers: self.consumers.len() }
    }

    /// Whether the queue was deleted.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Ends the queue: every later command is ignored; its consumers are told. Returns the outlets to wake.
    pub fn close(&mut self) -> Vec<O> {
        self.closed = true;
        self.entries.clear();
        self.returned.clear();
        self.middle = None;
        self.ready = 0;
        self.unsettled = 0;
        self.cancel_all()
    }

    /// Removes all consumers and tells them; returns their outlets.
    fn cancel_all(&mut self) -> Vec<O> {
        let consumers = self.consumers.drain();
        consumers.inspect(|spec| spec.outlet.cancelled(spec.id)).map(|spec| spec.outlet).collect()
    }

    fn enqueue(&mut self, chunk: Chunk) {
        let chunk = Arc::new(chunk.number(self.next_sequence));
        self.next_sequence = chunk.end();
        self.ready += u64::from(chunk.count());
        if chunk.durable() {
            self.disk.fresh(&chunk);
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
        let Some((start, entry)) = self.entries.range_mut(..=first).next_back() else { return 0 };
        let from = (first - start) as u32;
        let to = (from + count).min(entry.chunk.count());
        let bytes = entry.chunk.span_bytes(from, to);
        let settled = entry.settled.settle(from, to);
        let start = *start;
        if entry.chunk.durable() {
            self.disk.settled(settled, bytes);
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
        settled
    }

    fn give_back(&mut self, span: &Span) {
        self.ready += u64::from(span.count);
        self.unsettled = self.unsettled.saturating_sub(u64::from(span.count));
        self.returned.insert(span.first, span.count);
    }
}

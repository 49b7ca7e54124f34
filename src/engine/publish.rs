//! Routes, and the chunks that a connection packs during one turn.

use super::broker::Broker;
use super::delays::DelayHandle;
use super::gates::{self, GateRoute};
use super::history::SharedHistory;
use super::outbox::Outlet;
use super::replies::ReplyTarget;
use super::{Epoch, QueueHandle};
use crate::broker::body::DETACHED_BYTES;
use crate::broker::count::Throughput;
use crate::broker::delayed;
use crate::broker::identity::QueueId;
use crate::broker::message::{ChunkBuilder, Parts};
use crate::broker::queue::{Command, Receipt};
use crate::limits::{RECEIPT_MESSAGES, TURN_BYTES};
use crate::name::Name;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::sync::Arc;

/// The queues that a message goes to. Good while the topology has the same version.
#[derive(Clone, Debug, Default)]
pub struct Route {
    pub(super) targets: SmallVec<[Arc<QueueHandle>; 1]>,
    /// The channels that take the message as a direct reply.
    pub(super) replies: Vec<Arc<ReplyTarget>>,
    /// A key is a requester's name: that counts as a way even when the requester has gone.
    pub(super) is_reply: bool,
    /// What keeps the message for later bindings.
    pub(super) histories: Vec<Arc<SharedHistory>>,
    /// Exchanges that drop duplicates, and what is behind them.
    pub(super) gates: Vec<GateRoute>,
    /// Exchanges at which the message waits.
    pub(super) delays: Vec<Delayed>,
    /// See [`Route::lasts`].
    pub(super) lasts: bool,
    /// See [`Route::is_topic`].
    pub(super) is_topic: bool,
    /// Where messages of the exchange are counted.
    pub(super) source: Option<Arc<Throughput>>,
}

/// A message waits at an exchange.
#[derive(Clone, Debug)]
pub(super) struct Delayed {
    /// The exchange's delayed messages.
    pub at: Arc<DelayHandle>,
    /// For how long, in milliseconds.
    pub ms: u32,
    /// Routing keys beside the message's own.
    pub more: Vec<Vec<u8>>,
}

/// Which publish a message is: for the queue that refuses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishTag {
    /// Its channel.
    pub channel: u16,
    /// Its number on the channel.
    pub sequence: u64,
}

impl Route {
    /// Whether it leads nowhere: a duplicate's route leads where the first one went.
    pub fn is_empty(&self) -> bool {
        let gated = self.gates.iter().any(|gate| !gate.targets.is_empty() || !gate.delays.is_empty());
        self.targets.is_empty() && !self.is_reply && self.delays.is_empty() && !gated
    }

    /// The queue that is all there is of it.
    #[inline]
    pub fn only_queue(&self) -> Option<&Arc<QueueHandle>> {
        let only = !self.is_reply
            && self.replies.is_empty()
            && self.histories.is_empty()
            && self.gates.is_empty()
            && self.delays.is_empty();
        match &self.targets[..] {
            [queue] if only => Some(queue),
            _ => None,
        }
    }

    /// Counts messages that went this way, of which `returned` found no queue and went back to their publisher. Returns how many
    /// reached a queue, once for each.
    pub fn count(&self, broker: &Broker, messages: u64, returned: u64) -> u64 {
        let handed_on = messages * self.targets.len() as u64;
        if let Some(source) = &self.source {
            if source.add(messages, handed_on) {
                broker.samples().stir_exchange(source);
            }
            if self.is_empty() {
                source.add_unroutable(returned, messages.saturating_sub(returned));
            }
        }
        handed_on
    }

    /// The exchange that it begins at, where messages are counted.
    pub fn source(&self) -> Option<&Arc<Throughput>> {
        self.source.as_ref()
    }

    /// Whether the queues that it may lead to are to share the body of a message, as far as they do not yet.
    fn shares(&self, parts: &Parts<'_>) -> bool {
        let queues = self.targets.len() + self.gates.iter().map(|gate| gate.targets.len()).sum::<usize>();
        let (bytes, many) = SMALL_DETACHED;
        let small = parts.body.len() >= bytes && queues >= many && !parts.persistent;
        parts.detached.is_none() && (small || parts.body.len() >= DETACHED_BYTES && queues > 1)
    }

    /// The names of its queues.
    pub fn queues(&self) -> impl Iterator<Item = &Name> {
        self.targets.iter().map(|queue| queue.name())
    }

    /// Whether it leads nowhere and nothing keeps the message either.
    pub fn is_idle(&self) -> bool {
        self.is_empty() && self.histories.is_empty() && self.gates.iter().all(|gate| gate.histories.is_empty())
    }

    /// The same route, to a requester too if it is still there: such a route is good for one message.
    pub(super) fn add_reply(&mut self, requester: Option<Arc<ReplyTarget>>) {
        self.replies.extend(requester);
        self.is_reply = true;
        self.lasts = false;
    }

    /// Whether the route is good for later messages with the same exchange and key: not if it leads to a channel, or was
    /// found by more than the key.
    pub fn lasts(&self) -> bool {
        self.lasts
    }

    /// Whether it begins at a topic exchange: then permissions may say more about keys
    /// ([`Session::authorize_keys`](super::Session::authorize_keys)).
    pub fn is_topic(&self) -> bool {
        self.is_topic
    }
}

/// Pending chunks are kept with their queues for the next turn up to this many.
const KEPT: usize = 8;
/// The same while most of them are used in every turn: one publisher to many queues.
const KEPT_WIDE: usize = 256;
/// A transient body from this size on that goes to so many queues is detached too: nothing is counted on disk for it.
const SMALL_DETACHED: (usize, usize) = (512, 16);

/// Messages packed by a connection during one turn, per target queue.
#[derive(Debug, Default)]
pub struct Batch {
    pending: Vec<Pending>,
    /// Where a queue's pending chunk is, once there are many.
    index: HashMap<(QueueId, usize), usize>,
    /// Where the next queue is expected: routes ask for their queues in the same order again and again.
    next: usize,
    bytes: usize,
    /// The same, once for each queue.
    spread: usize,
    /// Something durable was handed over since the last flush.
    durable: bool,
    /// Messages that a full queue refused.
    refused: Vec<PublishTag>,
    /// Messages that wait, and the time from which they do.
    waiting: Vec<Waiting>,
    now: u64,
    /// Number of the last receipt.
    receipts: u64,
}

/// What became of what a connection packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    /// The epoch that a confirm of these messages waits for; None when none is durable.
    pub epoch: Option<Epoch>,
    /// Number of the [`Item::Acknowledged`](super::Item::Acknowledged) that may come before that epoch, and means as much.
    pub receipt: Option<u64>,
}

/// Messages that are due together, packed for the exchange that delays them.
#[derive(Debug)]
struct Waiting {
    at: Arc<DelayHandle>,
    due: u64,
    builder: ChunkBuilder,
}

#[derive(Debug)]
struct Pending {
    queue: Arc<QueueHandle>,
    /// The queue's level: its messages of one priority.
    level: usize,
    builder: ChunkBuilder,
    /// The messages' publishes, as far as the queue may refuse them.
    tags: Vec<Option<PublishTag>>,
}

impl Batch {
    /// Adds a message for one queue, as [`Batch::push`] does for a route of which that is all ([`Route::only_queue`]).
    #[inline]
    pub fn push_to(&mut self, broker: &Broker, queue: &Arc<QueueHandle>, parts: &Parts<'_>, tag: Option<PublishTag>) {
        let length = parts.record_len();
        self.add(broker, queue, parts, tag);
        self.bytes += length;
        self.spread += length;
    }

    /// Adds a message for every queue of `route`. A queue that may refuse it says so under `tag`.
    pub fn push(&mut self, broker: &Broker, route: &Route, parts: &Parts<'_>, tag: Option<PublishTag>) {
        let (shared, own);
        let length = parts.record_len();
        let parts = if parts.body.len() >= SMALL_DETACHED.0 && route.shares(parts) {
            shared = broker.bodies().make(parts.body);
            broker.committer().appended(parts.body.len() as u64);
            self.spread += parts.body.len();
            own = Parts { detached: Some(&shared), ..*parts };
            &own
        } else {
            parts
        };
        for queue in &route.targets {
            self.add(broker, queue, parts, tag);
        }
        if !route.gates.is_empty() {
            self.push_through(broker, route, parts, tag);
        }
        for reply in &route.replies {
            reply.deliver(parts, broker.memory().ledger());
        }
        for history in &route.histories {
            history.keep(parts, broker.memory().ledger());
        }
        if !route.delays.is_empty() {
            self.delay(broker, &route.delays, parts);
        }
        self.bytes += length;
        self.spread += parts.record_len() * route.targets.len();
    }

    /// Adds a message to what is pending for a queue. Returns the place.
    #[inline]
    fn add(&mut self, broker: &Broker, queue: &Arc<QueueHandle>, parts: &Parts<'_>, tag: Option<PublishTag>) -> usize {
        let traits = queue.traits();
        let (level, own);
        let parts = if traits.is_plain() {
            level = 0;
            parts
        } else {
            level = queue.level_of(parts.priority);
            own = traits.adapt(parts, || broker.now());
            &own
        };
        let at = self.position(queue, level);
        let Some(pending) = self.pending.get_mut(at) else { return at };
        if !pending.builder.fits(parts) {
            self.durable |= pending.hand_over(broker, &mut self.refused).durable;
        }
        pending.builder.push(parts);
        if tag.is_some() && traits.refuses() {
            pending.tags.resize(pending.builder.count() as usize - 1, None);
            pending.tags.push(tag);
        }
        at
    }

    /// The message goes through exchanges that drop duplicates: it reaches its queues at once, under the locks of their
    /// windows, so that nobody finds it known who could not find it there.
    fn push_through(&mut self, broker: &Broker, route: &Route, parts: &Parts<'_>, tag: Option<PublishTag>) {
        let now = broker.now();
        let locked = gates::lock(&route.gates);
        let passed = gates::pass(&route.gates, &locked, parts, now);
        let (mut durable, mut refused) = (false, false);
        for queue in passed.targets.iter().filter(|queue| !route.targets.iter().any(|own| Arc::ptr_eq(own, queue))) {
            // What came before it stays before it.
            let level = queue.level_of(parts.priority);
            let at = self.position(queue, level);
            if let Some(pending) = self.pending.get_mut(at) {
                self.durable |= pending.hand_over(broker, &mut self.refused).durable;
            }
            let at = self.add(broker, queue, parts, tag);
            if let Some(pending) = self.pending.get_mut(at) {
                let handed = pending.hand_over(broker, &mut self.refused);
                durable |= handed.durable;
                refused |= handed.refused;
            }
            self.spread += parts.record_len();
        }
        for history in &passed.histories {
            history.keep(parts, broker.memory().ledger());
        }
        if !passed.delays.is_empty() {
            self.delay(broker, passed.delays.iter().copied(), parts);
            // A window must not be on disk before what it remembers.
            self.let_wait(broker);
            durable = true;
        }
        self.durable |= durable || passed.known_durably;
        // What led nowhere, or what a queue refused, may come again.
        if !(passed.targets.is_empty() && passed.delays.is_empty() || refused) {
            gates::note(broker, &route.gates, locked, &passed, durable, now);
        }
    }

    /// Packs a message for the exchanges that delay it. Those that are due in the same millisecond are packed together, if
    /// they come close together.
    #[cold]
    fn delay<'d>(&mut self, broker: &Broker, delays: impl IntoIterator<Item = &'d Delayed>, parts: &Parts<'_>) {
        if self.waiting.is_empty() {
            // None comes before its time.
            self.now = broker.now_up();
        }
        for Delayed { at, ms, more } in delays {
            let ms = u64::from(*ms);
            let keys: Vec<&[u8]> = more.iter().map(Vec::as_slice).collect();
            let header = if keys.is_empty() { None } else { delayed::with_keys(parts.header, &keys) };
            // Delayed messages are few in memory and share nothing on disk.
            let mut own = Parts { detached: None, ..*parts };
            own.header = header.as_deref().unwrap_or(parts.header);
            if own.deadline_ms > 0 {
                own.deadline_ms = own.deadline_ms.saturating_add(ms);
            }
            let due = self.now.saturating_add(ms);
            let is_it = |waiting: &&mut Waiting| waiting.due == due && Arc::ptr_eq(&waiting.at, at);
            let known = self.waiting.iter_mut().rev().take(KEPT).find(is_it);
            match known.filter(|waiting| waiting.builder.fits(&own)) {
                Some(waiting) => waiting.builder.push(&own),
                None => {
                    let mut builder = ChunkBuilder::default();
                    builder.push(&own);
                    self.waiting.push(Waiting { at: at.clone(), due, builder });
                }
            }
            self.spread += own.record_len();
        }
    }

    /// Hands over what waits.
    fn let_wait(&mut self, broker: &Broker) {
        for Waiting { at, due, mut builder } in self.waiting.drain(..) {
            at.accept(broker, due, builder.finish(true, broker.memory().ledger()));
            self.durable = true;
        }
    }

    /// Hands everything over. Returns the epoch that a confirm of these messages waits for; None when none is durable.
    pub fn flush(&mut self, broker: &Broker) -> Option<Epoch> {
        self.flush_for(broker, None).epoch
    }

    /// As [`Batch::flush`]; `publisher` is told if all of it is acknowledged before it is on disk. That is for who publishes a
    /// few messages to one queue, and then waits.
    pub fn flush_for(&mut self, broker: &Broker, publisher: Option<&Outlet>) -> Flushed {
        if self.bytes == 0 {
            return Flushed::default();
        }
        let mut receipt = publisher.filter(|_| self.is_small()).map(|outlet| {
            self.receipts += 1;
            Receipt { outlet: outlet.clone(), number: self.receipts }
        });
        let number = receipt.as_ref().map(|receipt| receipt.number);
        let mut used = 0;
        for pending in self.pending.iter_mut().filter(|pending| !pending.builder.is_empty()) {
            used += 1;
            self.durable |= pending.hand_over_for(broker, &mut self.refused, receipt.take()).durable;
        }
        self.let_wait(broker);
        let kept = if used * 2 > self.pending.len() { KEPT_WIDE } else { KEPT };
        if self.pending.len() > kept {
            self.pending.clear();
            self.index.clear();
        }
        self.bytes = 0;
        self.spread = 0;
        let committer = broker.committer();
        if broker.memory().is_short() {
            committer.nudge();
        }
        // Read after the appends: see store::committer.
        let epoch = std::mem::take(&mut self.durable).then(|| committer.open_epoch());
        Flushed { epoch, receipt: number.filter(|_| epoch.is_some()) }
    }

    /// Whether all that was pushed since the last flush are a few messages for one queue.
    fn is_small(&self) -> bool {
        let mut pending = self.pending.iter().filter(|pending| !pending.builder.is_empty());
        let one = pending.next().is_some_and(|pending| pending.builder.count() <= RECEIPT_MESSAGES);
        one && pending.next().is_none() && !self.durable && self.refused.is_empty() && self.waiting.is_empty()
    }

    /// Messages that queues have refused since the last call.
    pub fn take_refused(&mut self) -> Vec<PublishTag> {
        std::mem::take(&mut self.refused)
    }

    /// Bytes of the messages pushed since the last flush.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether so much was pushed since the last flush, all queues counted, that the turn has to end.
    pub fn is_full(&self) -> bool {
        self.spread >= TURN_BYTES
    }

    #[inline]
    fn position(&mut self, queue: &Arc<QueueHandle>, level: usize) -> usize {
        let is_it = |pending: &Pending| pending.level == level && Arc::ptr_eq(&pending.queue, queue);
        let expected = if self.pending.get(self.next).is_some_and(is_it) { Some(self.next) } else { None };
        let at = expected.unwrap_or_else(|| self.look_for(queue, level));
        self.next = if at + 1 < self.pending.len() { at + 1 } else { 0 };
        at
    }

    fn look_for(&mut self, queue: &Arc<QueueHandle>, level: usize) -> usize {
        if self.pending.len() <= KEPT {
            let is_it = |pending: &Pending| pending.level == level && Arc::ptr_eq(&pending.queue, queue);
            let known = self.pending.iter().position(is_it);
            if let Some(at) = known {
                return at;
            }
        } else if let Some(at) = self.index.get(&(queue.id(), level)) {
            return *at;
        }
        let (builder, tags) = (ChunkBuilder::default(), Vec::new());
        self.pending.push(Pending { queue: queue.clone(), level, builder, tags });
        if self.pending.len() == KEPT + 1 {
            let pending = self.pending.iter().enumerate();
            self.index = pending.map(|(at, pending)| ((pending.queue.id(), pending.level), at)).collect();
        } else if self.pending.len() > KEPT {
            self.index.insert((queue.id(), level), self.pending.len() - 1);
        }
        self.pending.len() - 1
    }
}

/// What became of a chunk.
#[derive(Clone, Copy, Debug, Default)]
struct Handed {
    /// It is to be stored.
    durable: bool,
    /// Some of it was refused.
    refused: bool,
}

impl Pending {
    /// Hands the chunk to its queue.
    fn hand_over(&mut self, broker: &Broker, refused: &mut Vec<PublishTag>) -> Handed {
        self.hand_over_for(broker, refused, None)
    }

    fn hand_over_for(
        &mut self,
        broker: &Broker,
        refused: &mut Vec<PublishTag>,
        receipt: Option<Receipt<Outlet>>,
    ) -> Handed {
        if self.builder.is_empty() {
            return Handed::default();
        }
        let durable = self.builder.persistent() && self.queue.definition().is_stored();
        let chunk = self.builder.finish(durable, broker.memory().ledger());
        if durable {
            broker.committer().appended(chunk.bytes().len() as u64);
        }
        let from = self.queue.apply(broker, Command::Enqueue(chunk, self.level, receipt.filter(|_| durable)));
        if let Some(from) = from {
            refused.extend(self.tags.iter().skip(from as usize).flatten());
        }
        self.tags.clear();
        Handed { durable, refused: from.is_some() }
    }
}

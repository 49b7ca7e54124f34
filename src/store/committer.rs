//! The one thread that writes. It closes an epoch, takes what queues and definitions have for the disk, writes it as one
//! batch, marks the epoch done and wakes who waits for it. What arrives meanwhile is the next batch (design.md 5, 7).
//!
//! The order that promises rest on: a caller appends first and reads the open epoch after; the committer moves the open
//! epoch on before it collects. So what was appended is in the epoch that was read, or in an earlier one.

use super::figures::{Commits, Figures, IoTotals, Slowness};
use super::{Change, Family, Logging, Storage, StoreError, bodies, keys, proof, records};
use crate::broker::delayed::CollectedDelays;
use crate::broker::identity::{DelayId, QueueId};
use crate::broker::queue::Collected;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Number of a commit.
pub type Epoch = u64;

/// When the log is synced (`durability.sync`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Before anything is confirmed.
    Always,
    /// Every so often; a power cut loses what was confirmed since.
    Interval(Duration),
    /// Never; the operating system decides.
    Never,
}

/// A queue, or an exchange's delayed messages, as the committer sees it.
pub trait Source: Send + Sync {
    /// Adds what the commit of `epoch` has to write to `piece`; with `spill`, transient chunks too that memory has no room
    /// for. Chunks are taken only while `room` bytes are left. True when there is more for the same epoch.
    fn collect(&self, epoch: Epoch, spill: bool, room: &mut usize, piece: &mut Piece) -> bool;
    /// All epochs up to `done` are on disk, and memory is short.
    fn evict(&self, done: Epoch);
    /// Whether what it has is written only after everything else of its epoch: it speaks of other sources' messages, and
    /// must not be on disk before them.
    fn is_late(&self) -> bool {
        false
    }
}

/// Whoever waits for an epoch.
pub trait Waiter: Send + Sync {
    /// The epoch is done, or will never be.
    fn wake(&self);
    /// Whether it still has to know what it asked for with a receipt ([`Committer::wake_soon`]).
    fn still_waits(&self, _receipt: u64) -> bool {
        true
    }
}

/// A [`Waiter`], and what it waits for.
struct Waiting {
    epoch: Epoch,
    waiter: Arc<dyn Waiter>,
    /// It has time until then, and may come to know by a receipt of this number.
    patience: Option<(Instant, u64)>,
}

impl Waiting {
    /// Whether its epoch has to be closed at `now`.
    fn is_over(&self, now: Instant) -> bool {
        self.patience.is_none_or(|(until, _)| until <= now)
    }

    fn still_waits(&self) -> bool {
        self.patience.is_none_or(|(_, receipt)| self.waiter.still_waits(receipt))
    }
}

/// What the committer asks of the engine.
pub trait Steward: Send + Sync {
    /// Memory is short: chunks are to leave it.
    fn memory_is_short(&self) -> bool;
    /// Queues with chunks in memory beyond their heads.
    fn long_queues(&self) -> Vec<Arc<dyn Source>>;
    /// Chunks have left memory: publishers that are held may go on.
    fn evicted(&self);
    /// The disk is full (true), or has room again (false).
    fn disk_full(&self, full: bool);
    /// The disk failed: nothing is confirmed any more, the node has to stop.
    fn failed(&self, error: &StoreError);
}

/// Longest time that changes nobody waits for stay in memory.
const LAZY: Duration = Duration::from_millis(10);
/// How often a full disk is tried again, and long queues are looked for while memory is short.
const RETRY: Duration = Duration::from_millis(250);
/// RocksDB recovers from a full disk by itself within seconds of having space; if it does not after this many tries, it
/// is opened again.
const REOPEN: u32 = 60;
const SWEEP: Duration = Duration::from_millis(20);
/// How long an epoch stays open for who is likely to get a receipt: as long as a commit takes of late, within these bounds. The
/// lower one keeps the thread from waking for nearly every message of a steady load.
const PATIENCE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(2));

#[derive(Default)]
struct Inbox {
    dirty: Vec<Arc<dyn Source>>,
    definitions: Vec<Change>,
    waiters: Vec<Waiting>,
    /// The thread sleeps, and wakes by itself at this time.
    sleeps_until: Option<Instant>,
    /// How long commits take of late.
    patience: Duration,
    urgent: bool,
    stop: bool,
}

/// The committer's door: cheap to share.
pub struct Committer {
    storage: Arc<dyn Storage>,
    inbox: Mutex<Inbox>,
    bell: Condvar,
    open: AtomicU64,
    done: AtomicU64,
    appended: AtomicU64,
    failed: AtomicBool,
    figures: Figures,
}

impl Committer {
    /// A committer whose last commit was `last`.
    pub fn new(storage: Arc<dyn Storage>, last: Epoch) -> Arc<Committer> {
        Arc::new(Committer {
            storage,
            inbox: Mutex::default(),
            bell: Condvar::new(),
            open: AtomicU64::new(last + 1),
            done: AtomicU64::new(last),
            appended: AtomicU64::new(0),
            failed: AtomicBool::new(false),
            figures: Figures::default(),
        })
    }

    /// Runs the thread until [`Committer::stop`].
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(
        self: &Arc<Self>,
        policy: SyncPolicy,
        steward: Arc<dyn Steward>,
    ) -> std::io::Result<std::thread::JoinHandle<()>> {
        let (committer, last) = (self.clone(), self.done_epoch());
        let run = move || {
            let synced = Instant::now();
            let (marked_epoch, synced_epoch, slowness) = (last, last, Slowness::default());
            Writer { committer, policy, steward, synced, marked_epoch, synced_epoch, unsynced: false, slowness }.run()
        };
        std::thread::Builder::new().name("committer".into()).spawn(run)
    }

    /// The storage that it writes to: for readers.
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    /// The epoch that takes what was appended before this call. Read it after appending.
    pub fn open_epoch(&self) -> Epoch {
        self.open.load(Ordering::SeqCst)
    }

    /// The last epoch that is on disk.
    pub fn done_epoch(&self) -> Epoch {
        self.done.load(Ordering::Acquire)
    }

    /// How long commits took.
    pub fn commits(&self) -> Commits {
        self.figures.commits(self.done_epoch())
    }

    /// What was read from and written to the disk.
    pub fn io(&self) -> IoTotals {
        self.storage.io()
    }

    /// Whether the disk failed: no epoch will be done any more.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Lists a queue that has something for the disk; it says so once until it is collected.
    pub fn dirty(&self, source: Arc<dyn Source>) {
        let mut inbox = self.inbox.lock();
        inbox.dirty.push(source);
        if inbox.dirty.len() == 1 {
            self.bell.notify_one();
        }
    }

    /// Counts appended bytes: many of them close an epoch though nobody waits.
    pub fn appended(&self, bytes: u64) {
        let before = self.appended.fetch_add(bytes, Ordering::Relaxed);
        let limit = crate::limits::COMMIT_BYTES as u64;
        if before < limit && before + bytes >= limit {
            self.inbox.lock().urgent = true;
            self.bell.notify_one();
        }
    }

    /// Memory has become short: chunks that nobody waits for may have to leave it. The thread looks at memory under the
    /// inbox's lock, so without it the bell could ring between its look and its sleep.
    pub fn nudge(&self) {
        let _looking = self.inbox.lock();
        self.bell.notify_one();
    }

    /// Adds changes of definitions; returns the epoch that takes them.
    pub fn define(&self, changes: Vec<Change>) -> Epoch {
        let mut inbox = self.inbox.lock();
        inbox.definitions.extend(changes);
        inbox.urgent = true;
        self.bell.notify_one();
        self.open.load(Ordering::SeqCst)
    }

    /// Wakes `waiter` when `epoch` is done. The epoch closes soon, even if it holds nothing.
    pub fn wake_at(&self, epoch: Epoch, waiter: Arc<dyn Waiter>) {
        if self.done_epoch() >= epoch || self.has_failed() {
            waiter.wake();
            return;
        }
        self.inbox.lock().waiters.push(Waiting { epoch, waiter, patience: None });
        self.bell.notify_one();
    }

    /// As [`Committer::wake_at`], but the epoch stays open for a while, since `waiter` is likely to get a receipt first.
    pub fn wake_soon(&self, epoch: Epoch, waiter: Arc<dyn Waiter>, receipt: u64) {
        if self.done_epoch() >= epoch || self.has_failed() {
            waiter.wake();
            return;
        }
        let mut inbox = self.inbox.lock();
        let until = Instant::now() + inbox.patience.clamp(PATIENCE.0, PATIENCE.1);
        inbox.waiters.push(Waiting { epoch, waiter, patience: Some((until, receipt)) });
        if inbox.sleeps_until.is_none_or(|wakes| wakes > until) {
            self.bell.notify_one();
        }
    }

    /// Commits what is there and ends the thread.
    pub fn stop(&self) {
        self.inbox.lock().stop = true;
        self.bell.notify_one();
    }
}

/// The thread's own side.
struct Writer {
    committer: Arc<Committer>,
    policy: SyncPolicy,
    steward: Arc<dyn Steward>,
    synced: Instant,
    /// The last epoch that left a marker: an empty one leaves none.
    marked_epoch: Epoch,
    synced_epoch: Epoch,
    unsynced: bool,
    slowness: Slowness,
}

impl Drop for Writer {
    /// A thread that dies must not leave a node that looks alive and confirms nothing.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.fail(&StoreError::Failed("the committer ended with a panic".into()));
        }
    }
}

/// What one epoch takes.
struct Work {
    dirty: Vec<Arc<dyn Source>>,
    definitions: Vec<Change>,
    stop: bool,
}

impl Writer {
    fn run(mut self) {
        loop {
            let mut work = self.wait();
            let short = self.steward.memory_is_short();
            if short {
                work.dirty.extend(self.steward.long_queues());
            }
            let stop = work.stop;
            let epoch = self.committer.open.fetch_add(1, Ordering::SeqCst);
            // What arrived between the wait and the close belongs to this epoch as well.
            {
                let mut inbox = self.committer.inbox.lock();
                // One that was listed since the close has something for the next epoch, and relies on its list.
                let late: Vec<_> = inbox.dirty.iter().filter(|source| source.is_late()).cloned().collect();
                work.dirty.append(&mut inbox.dirty);
                inbox.dirty = late;
                work.definitions.append(&mut inbox.definitions);
            }
            let bytes = self.committer.appended.swap(0, Ordering::Relaxed);
            let begun = Instant::now();
            let synced = match self.commit(epoch, &work, short) {
                Ok(synced) => synced,
                Err(error) => return self.fail(&error),
            };
            let took = begun.elapsed();
            self.committer.figures.note(took, bytes);
            if self.slowness.is_news(took, begun + took) {
                tracing::warn!(
                    milliseconds = took.as_millis() as u64,
                    bytes,
                    "a commit was slow: confirms wait for the disk"
                );
            }
            self.finish(epoch, synced.then_some(took));
            if short {
                self.committer.figures.note_page_outs(work.dirty.len());
                work.dirty.iter().for_each(|source| source.evict(epoch));
                self.steward.evicted();
            }
            if stop {
                return;
            }
        }
    }

    /// Waits until an epoch is to be closed. Changes nobody waits for are let gather for [`LAZY`].
    fn wait(&mut self) -> Work {
        let mut inbox = self.committer.inbox.lock();
        let mut lazy_until = None;
        loop {
            let idle = inbox.dirty.is_empty() && inbox.definitions.is_empty();
            let now = Instant::now();
            inbox.waiters.retain(Waiting::still_waits);
            if inbox.stop || inbox.urgent || inbox.waiters.iter().any(|waiting| waiting.is_over(now)) {
                break;
            }
            let patient = inbox.waiters.iter().filter_map(|waiting| Some(waiting.patience?.0)).min();
            let short = self.steward.memory_is_short();
            if idle && !short && !self.unsynced && patient.is_none() {
                lazy_until = None;
                self.committer.bell.wait(&mut inbox);
                continue;
            }
            let due = match self.policy {
                SyncPolicy::Interval(interval) if idle && !short => self.synced + interval,
                _ => *lazy_until.get_or_insert_with(|| now + if idle { SWEEP } else { LAZY }),
            };
            if now >= due {
                break;
            }
            let due = patient.map_or(due, |patient| patient.min(due));
            inbox.sleeps_until = Some(due);
            self.committer.bell.wait_for(&mut inbox, due.saturating_duration_since(now));
            inbox.sleeps_until = None;
        }
        inbox.urgent = false;
        Work {
            dirty: std::mem::take(&mut inbox.dirty),
            definitions: std::mem::take(&mut inbox.definitions),
            stop: inbox.stop,
        }
    }

    /// Writes an epoch: in pieces of bounded size, the last one synced. Each piece leaves the queues' states consistent. Returns
    /// whether the log was synced.
    fn commit(&mut self, epoch: Epoch, work: &Work, spill: bool) -> Result<bool, StoreError> {
        let fresh = !work.definitions.is_empty();
        let mut piece = Piece { logged: work.definitions.clone(), unlogged: Vec::new(), fresh };
        let (mut late, mut sources): (Vec<_>, Vec<_>) = work.dirty.iter().partition(|source| source.is_late());
        let mut synced = false;
        loop {
            if sources.is_empty() {
                sources = std::mem::take(&mut late);
            }
            let mut room = crate::limits::WRITE_BYTES;
            sources.retain(|source| source.collect(epoch, spill, &mut room, &mut piece));
            let storage = &*self.committer.storage;
            if !piece.unlogged.is_empty() {
                bodies::count(storage, &mut piece.unlogged)?;
                self.write(&piece.unlogged, Logging::Unlogged)?;
                piece.unlogged.clear();
            }
            let last = sources.is_empty() && late.is_empty();
            if !piece.logged.is_empty() {
                bodies::count(storage, &mut piece.logged)?;
                let marker = proof::marker(&storage.mark(), epoch, self.synced_epoch);
                piece.logged.push(Change::Put(Family::QueueState, keys::LAST_EPOCH.to_vec(), marker));
                self.marked_epoch = epoch;
                synced = piece.fresh && last && self.policy == SyncPolicy::Always;
                self.write(&piece.logged, if synced { Logging::Synced } else { Logging::Logged })?;
                piece.logged.clear();
            }
            if last {
                break;
            }
        }
        self.unsynced |= piece.fresh && !synced && self.policy != SyncPolicy::Never;
        if self.sync_is_due() || (work.stop && self.policy != SyncPolicy::Never) {
            self.committer.storage.sync()?;
            synced = true;
            self.unsynced = false;
            self.synced = Instant::now();
        }
        if synced {
            self.synced_epoch = self.marked_epoch;
            self.committer.storage.note_synced(self.synced_epoch);
        }
        Ok(synced)
    }

    /// Writes a batch; on a full disk it waits for room, for as long as it takes.
    fn write(&self, changes: &[Change], logging: Logging) -> Result<(), StoreError> {
        let storage = &self.committer.storage;
        let mut outcome = storage.write(changes, logging);
        if !matches!(outcome, Err(StoreError::Full(_))) {
            return outcome;
        }
        self.steward.disk_full(true);
        for attempt in 1.. {
            let Err(StoreError::Full(text)) = outcome else { break };
            let mut inbox = self.committer.inbox.lock();
            if inbox.stop {
                return Err(StoreError::Full(text));
            }
            self.committer.bell.wait_for(&mut inbox, RETRY);
            drop(inbox);
            outcome = storage.write(changes, logging);
            if attempt % REOPEN == 0 && matches!(outcome, Err(StoreError::Full(_))) {
                outcome = storage.reopen().and_then(|()| storage.write(changes, logging));
            }
        }
        self.steward.disk_full(false);
        outcome
    }

    fn sync_is_due(&self) -> bool {
        match self.policy {
            SyncPolicy::Interval(interval) => self.unsynced && self.synced.elapsed() >= interval,
            // A last piece may turn out empty: then the pieces before it are not synced yet.
            SyncPolicy::Always => self.unsynced,
            SyncPolicy::Never => false,
        }
    }

    fn finish(&self, epoch: Epoch, sync: Option<Duration>) {
        self.committer.done.store(epoch, Ordering::Release);
        let mut inbox = self.committer.inbox.lock();
        if let Some(took) = sync {
            inbox.patience = (inbox.patience * 7 + took.min(PATIENCE.1)) / 8;
        }
        let (due, later) = std::mem::take(&mut inbox.waiters).into_iter().partition(|waiting| waiting.epoch <= epoch);
        inbox.waiters = later;
        drop(inbox);
        let due: Vec<Waiting> = due;
        due.iter().filter(|waiting| waiting.still_waits()).for_each(|waiting| waiting.waiter.wake());
    }

    fn fail(&self, error: &StoreError) {
        self.committer.failed.store(true, Ordering::Release);
        self.steward.failed(error);
        let waiters = std::mem::take(&mut self.committer.inbox.lock().waiters);
        waiters.iter().for_each(|waiting| waiting.waiter.wake());
    }
}

/// A piece of a commit: one write that is logged, and one that is not.
#[derive(Debug, Default)]
pub struct Piece {
    logged: Vec<Change>,
    unlogged: Vec<Change>,
    /// Something new is in it, or was in an earlier piece of the commit: a confirm waits for its sync.
    fresh: bool,
}

impl Piece {
    /// Adds what a queue has collected. True when there is more of it.
    pub fn add_queue(&mut self, queue: QueueId, collected: Collected) -> bool {
        let Piece { logged, unlogged, fresh } = self;
        *fresh |= !collected.puts.is_empty() || !collected.identities.puts.is_empty();
        for chunk in collected.puts {
            logged.push(Change::PutChunk(Family::Chunks, keys::chunk(queue, chunk.first()).as_slice().into(), chunk));
        }
        for chunk in collected.spills {
            unlogged.push(Change::PutChunk(
                Family::Transient,
                keys::chunk(queue, chunk.first()).as_slice().into(),
                chunk,
            ));
        }
        for (first, settled) in collected.settled {
            let mut value = Vec::new();
            settled.encode(&mut value);
            logged.push(Change::Put(Family::Settled, keys::chunk(queue, first).to_vec(), records::seal(&value)));
        }
        for (sequence, returns) in collected.returns {
            logged.push(Change::Put(Family::Settled, keys::returns(queue, sequence), records::returns(returns)));
        }
        for sequence in collected.forgotten {
            logged.push(Change::Delete(Family::Settled, keys::returns(queue, sequence)));
        }
        for (first, block) in collected.identities.puts {
            logged.push(Change::Put(Family::Identities, keys::chunk(queue, first).to_vec(), records::seal(&block)));
        }
        for first in collected.identities.deletes {
            logged.push(Change::Delete(Family::Identities, keys::chunk(queue, first).to_vec()));
        }
        for deleted in collected.deletes {
            let key = keys::chunk(queue, deleted.first).to_vec();
            if deleted.settled {
                logged.push(Change::Delete(Family::Settled, key.clone()));
            }
            let (family, bodies, changes) = match deleted.durable {
                true => (Family::Chunks, Family::Bodies, &mut *logged),
                false => (Family::Transient, Family::Transient, &mut *unlogged),
            };
            if deleted.refers {
                changes.push(Change::Delete(bodies, keys::references(&key)));
            }
            changes.push(Change::Delete(family, key));
        }
        for (from, to) in collected.dropped {
            let (from, to) = (keys::chunk(queue, from).to_vec(), keys::chunk(queue, to).to_vec());
            logged.push(Change::DeleteRange(Family::Chunks, from.clone(), to.clone()));
            logged.push(Change::DeleteRange(Family::Settled, from.clone(), to.clone()));
            unlogged.push(Change::DeleteRange(Family::Transient, from, to));
        }
        for (level, state) in collected.states {
            let key = keys::queue(queue, level).to_vec();
            logged.push(Change::Put(Family::QueueState, key, records::queue_state(&state)));
        }
        collected.more
    }

    /// Adds what an exchange's delayed messages have collected. True when there is more of it.
    pub fn add_delays(&mut self, id: DelayId, collected: CollectedDelays) -> bool {
        self.fresh |= !collected.puts.is_empty();
        for (place, chunk) in collected.puts {
            self.logged.push(Change::PutChunk(Family::Delayed, keys::delayed(id, place).as_slice().into(), chunk));
        }
        let deletes = collected.deletes.into_iter();
        self.logged.extend(deletes.map(|place| Change::Delete(Family::Delayed, keys::delayed(id, place).to_vec())));
        let state = records::delay_state(&collected.state);
        self.logged.push(Change::Put(Family::Delayed, keys::delay_state(id).to_vec(), state));
        collected.more
    }

    /// The changes: those that are logged, and those that are not. Without what they mean for detached bodies
    /// ([`bodies::count`]).
    pub fn into_changes(self) -> (Vec<Change>, Vec<Change>) {
        (self.logged, self.unlogged)
    }
}

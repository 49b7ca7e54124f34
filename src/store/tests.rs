//! The store: RocksDB for real, damage and holes, and the committer over a disk that fails.

use super::bodies::BodyPool;
use super::committer::{Committer, Epoch, Piece, Source, Steward, SyncPolicy, Waiter};
use super::memory::{Fault, MemoryStorage};
use super::proof::Proof;
use super::rocks::RocksStorage;
use super::*;
use crate::broker::identity::QueueId;
use crate::broker::message::{ChunkBuilder, Ledger, Parts};
use crate::broker::queue::{Command, ConsumerSpec, Effects, LoadRequest, Outlet, Queue};
use parking_lot::{Condvar, Mutex};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const QUEUE: QueueId = QueueId(3);
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone)]
struct Nowhere;

impl Outlet for Nowhere {
    fn deliver(&self, _: crate::broker::identity::ConsumerId, _: crate::broker::message::Run) {}
    fn cancelled(&self, _: crate::broker::identity::ConsumerId) {}
    fn acknowledged(&self, _: u64) {}
    fn same(&self, _: &Self) -> bool {
        true
    }
}

/// A durable queue as the committer sees it, told when it has something new.
struct OneQueue {
    queue: Mutex<Queue<Nowhere>>,
    ledger: Arc<Ledger>,
}

impl OneQueue {
    fn new() -> Arc<OneQueue> {
        Arc::new(OneQueue { queue: Mutex::new(Queue::new(true, false, Arc::default())), ledger: Arc::default() })
    }

    /// Appends `count` durable messages and returns the epoch that holds them.
    fn append(self: &Arc<Self>, committer: &Committer, count: u32, size: usize) -> Epoch {
        let mut builder = ChunkBuilder::default();
        let body = vec![b'x'; size];
        let (exchange_and_key, header) = (&b"\0\0"[..], &b"h"[..]);
        for _ in 0..count {
            builder.push(&Parts {
                exchange_and_key,
                header,
                body: &body,
                persistent: true,
                priority: 0,
                deadline_ms: 0,
                died: false,
                detached: None,
            });
        }
        let mut effects = Effects::default();
        self.queue.lock().apply(Command::Enqueue(builder.finish(true, &self.ledger), 0, None), 0, &mut effects);
        if effects.dirty {
            committer.dirty(self.clone());
        }
        committer.open_epoch()
    }
}

impl Source for OneQueue {
    fn collect(&self, epoch: Epoch, spill: bool, room: &mut usize, piece: &mut Piece) -> bool {
        piece.add_queue(QUEUE, self.queue.lock().collect(epoch, spill.then_some(0), room))
    }
    fn evict(&self, _: Epoch) {}
}

/// Remembers what the committer told.
#[derive(Default)]
struct Notes {
    full: AtomicBool,
    was_full: AtomicBool,
    failed: AtomicBool,
}

impl Steward for Notes {
    fn memory_is_short(&self) -> bool {
        false
    }
    fn long_queues(&self) -> Vec<Arc<dyn Source>> {
        Vec::new()
    }
    fn evicted(&self) {}
    fn disk_full(&self, full: bool) {
        self.full.store(full, Ordering::SeqCst);
        self.was_full.fetch_or(full, Ordering::SeqCst);
    }
    fn failed(&self, _: &StoreError) {
        self.failed.store(true, Ordering::SeqCst);
    }
}

/// Has got its receipt, and is not to be woken.
#[derive(Default)]
struct Content(AtomicBool);

impl Waiter for Content {
    fn wake(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn still_waits(&self, receipt: u64) -> bool {
        receipt > 1
    }
}

/// Waits to be woken.
#[derive(Default)]
struct Sleeper(Mutex<bool>, Condvar);

impl Waiter for Sleeper {
    fn wake(&self) {
        *self.0.lock() = true;
        self.1.notify_all();
    }
}

impl Sleeper {
    fn sleep(&self) {
        let mut woken = self.0.lock();
        while !*woken {
            assert!(!self.1.wait_for(&mut woken, PATIENCE).timed_out(), "nobody was woken");
        }
    }
}

fn await_epoch(committer: &Arc<Committer>, epoch: Epoch) {
    let sleeper = Arc::new(Sleeper::default());
    committer.wake_at(epoch, sleeper.clone());
    sleeper.sleep();
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

fn stored(storage: &dyn Storage) -> u64 {
    let request = LoadRequest { first: 0, end: u64::MAX, bytes: usize::MAX };
    let (chunks, _) = recovery::load(storage, QUEUE, request, &BodyPool::new(0, Arc::default())).unwrap();
    chunks.iter().map(|stored| u64::from(stored.chunk.count() - stored.settled.count())).sum()
}

#[test]
fn whatever_write_fails_nothing_at_or_after_it_is_done() {
    for nth in 1.. {
        let storage = Arc::new(MemoryStorage::default());
        storage.fail_at(nth, Fault::Broken);
        let committer = Committer::new(storage.clone(), 0);
        let notes = Arc::new(Notes::default());
        let thread = committer.start(SyncPolicy::Always, notes.clone()).unwrap();
        let queue = OneQueue::new();
        let mut confirmed = 0;
        for _ in 0..5 {
            let epoch = queue.append(&committer, 10, 100);
            await_epoch(&committer, epoch);
            if committer.done_epoch() >= epoch {
                confirmed += 10;
            }
        }
        committer.stop();
        thread.join().unwrap();
        storage.cut_power();
        assert!(stored(&*storage) >= confirmed, "write {nth}: confirmed messages are lost");
        assert_eq!(notes.failed.load(Ordering::SeqCst), committer.has_failed());
        if !committer.has_failed() {
            assert_eq!(confirmed, 50);
            return;
        }
        // The sixth is the sync of the stop, when everything is confirmed.
        assert!(confirmed < 50 || nth > 5, "write {nth} failed and everything was confirmed");
    }
}

#[test]
fn an_epoch_closes_for_who_can_wait_unless_a_receipt_came_first() {
    let committer = Committer::new(Arc::new(MemoryStorage::default()), 0);
    let thread = committer.start(SyncPolicy::Always, Arc::new(Notes::default())).unwrap();
    let (content, sleeper) = (Arc::new(Content::default()), Arc::new(Sleeper::default()));
    committer.wake_soon(committer.open_epoch(), content.clone(), 1);
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(committer.done_epoch(), 0, "an epoch was closed for nobody");
    committer.wake_soon(committer.open_epoch(), content.clone(), 1);
    committer.wake_soon(committer.open_epoch(), sleeper.clone(), 1);
    sleeper.sleep();
    assert!(committer.done_epoch() > 0 && !content.0.load(Ordering::SeqCst));
    committer.wake_soon(committer.open_epoch(), content.clone(), 2);
    until("who still waits is woken", || content.0.load(Ordering::SeqCst));
    committer.stop();
    thread.join().unwrap();
}

#[test]
fn a_full_disk_is_waited_for() {
    let storage = Arc::new(MemoryStorage::default());
    storage.fail_at(1, Fault::Full);
    let committer = Committer::new(storage.clone(), 0);
    let notes = Arc::new(Notes::default());
    let thread = committer.start(SyncPolicy::Always, notes.clone()).unwrap();
    let queue = OneQueue::new();
    let epoch = queue.append(&committer, 10, 100);
    let sleeper = Arc::new(Sleeper::default());
    committer.wake_at(epoch, sleeper.clone());
    until("the steward is told", || notes.full.load(Ordering::SeqCst));
    assert!(committer.done_epoch() < epoch);
    storage.heal();
    sleeper.sleep();
    assert!(committer.done_epoch() >= epoch);
    until("the steward is told again", || !notes.full.load(Ordering::SeqCst));
    assert!(notes.was_full.load(Ordering::SeqCst) && !notes.failed.load(Ordering::SeqCst));
    assert_eq!(stored(&*storage), 10);
    committer.stop();
    thread.join().unwrap();
}

#[test]
fn a_big_epoch_is_written_in_pieces_and_then_done() {
    let storage = Arc::new(MemoryStorage::default());
    let committer = Committer::new(storage.clone(), 0);
    let queue = OneQueue::new();
    for _ in 0..10 {
        queue.append(&committer, 3, crate::limits::WRITE_BYTES / 4);
    }
    let thread = committer.start(SyncPolicy::Always, Arc::new(Notes::default())).unwrap();
    let epoch = queue.append(&committer, 1, 10);
    await_epoch(&committer, epoch);
    assert!(storage.writes() > 5, "{} writes", storage.writes());
    storage.cut_power();
    assert_eq!(stored(&*storage), 31);
    committer.stop();
    thread.join().unwrap();
}

#[test]
fn what_nobody_waits_for_is_committed_and_an_empty_epoch_that_somebody_waits_for_closes() {
    let storage = Arc::new(MemoryStorage::default());
    let committer = Committer::new(storage.clone(), 0);
    let thread = committer.start(SyncPolicy::Always, Arc::new(Notes::default())).unwrap();
    let queue = OneQueue::new();
    let epoch = queue.append(&committer, 1, 10);
    until("a lazy commit", || committer.done_epoch() >= epoch);
    let next = committer.open_epoch();
    await_epoch(&committer, next);
    assert!(committer.done_epoch() >= next);
    committer.stop();
    thread.join().unwrap();
}

/// Times that the committer's thread asked about memory: it does so whenever it wakes.
#[derive(Default)]
struct Looks(AtomicU64);

impl Steward for Looks {
    fn memory_is_short(&self) -> bool {
        self.0.fetch_add(1, Ordering::SeqCst);
        false
    }
    fn long_queues(&self) -> Vec<Arc<dyn Source>> {
        Vec::new()
    }
    fn evicted(&self) {}
    fn disk_full(&self, _: bool) {}
    fn failed(&self, _: &StoreError) {}
}

#[test]
fn the_committer_sleeps_when_nothing_is_to_be_written() {
    for policy in [SyncPolicy::Always, SyncPolicy::Interval(PATIENCE), SyncPolicy::Never] {
        let looks = Arc::new(Looks::default());
        let committer = Committer::new(Arc::new(MemoryStorage::default()), 0);
        let thread = committer.start(policy, looks.clone()).unwrap();
        let queue = OneQueue::new();
        let epoch = queue.append(&committer, 1, 10);
        await_epoch(&committer, epoch);
        std::thread::sleep(Duration::from_millis(50));
        let before = looks.0.load(Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(200));
        let woken = looks.0.load(Ordering::SeqCst) - before;
        assert!(woken <= 2, "{policy:?}: woke {woken} times");
        committer.stop();
        thread.join().unwrap();
    }
}

/// Has something for an epoch, and is listed while the one before it closes.
struct Late {
    committer: std::sync::OnceLock<Arc<Committer>>,
    listed: AtomicBool,
    collected: Mutex<Vec<Epoch>>,
    itself: std::sync::Weak<Late>,
}

impl Source for Late {
    fn collect(&self, epoch: Epoch, _: bool, _: &mut usize, _: &mut Piece) -> bool {
        self.collected.lock().push(epoch);
        false
    }
    fn evict(&self, _: Epoch) {}
    fn is_late(&self) -> bool {
        true
    }
}

impl Steward for Late {
    fn memory_is_short(&self) -> bool {
        !self.listed.load(Ordering::SeqCst)
    }
    /// Asked for between the wait for an epoch and its close.
    fn long_queues(&self) -> Vec<Arc<dyn Source>> {
        if let (Some(committer), Some(itself)) = (self.committer.get(), self.itself.upgrade()) {
            committer.dirty(itself);
            self.listed.store(true, Ordering::SeqCst);
        }
        Vec::new()
    }
    fn evicted(&self) {}
    fn disk_full(&self, _: bool) {}
    fn failed(&self, _: &StoreError) {}
}

/// What it was listed for may belong to either epoch: whoever waits for the second relies on that it is collected then.
#[test]
fn what_is_late_and_listed_while_an_epoch_closes_is_collected_for_the_next_one_too() {
    let late = Arc::new_cyclic(|itself| Late {
        committer: std::sync::OnceLock::new(),
        listed: AtomicBool::new(false),
        collected: Mutex::default(),
        itself: itself.clone(),
    });
    let committer = Committer::new(Arc::new(MemoryStorage::default()), 0);
    late.committer.get_or_init(|| committer.clone());
    let thread = committer.start(SyncPolicy::Always, late.clone()).unwrap();
    until("it is collected twice", || late.collected.lock().len() == 2);
    let collected = late.collected.lock().clone();
    assert_eq!(collected[1], collected[0] + 1);
    committer.stop();
    thread.join().unwrap();
}

#[test]
fn settled_before_its_commit_a_message_is_never_written() {
    let storage = Arc::new(MemoryStorage::default());
    let committer = Committer::new(storage.clone(), 0);
    let queue = OneQueue::new();
    let spec = ConsumerSpec {
        id: crate::broker::identity::ConsumerId(1),
        outlet: Nowhere,
        no_ack: true,
        exclusive: false,
        priority: 0,
        prefetch: None,
        shared: None,
    };
    queue.queue.lock().apply(Command::Consume(spec), 0, &mut Effects::default());
    let epoch = queue.append(&committer, 10, 100);
    let thread = committer.start(SyncPolicy::Always, Arc::new(Notes::default())).unwrap();
    await_epoch(&committer, epoch);
    assert!(committer.done_epoch() >= epoch);
    assert_eq!(stored(&*storage), 0);
    committer.stop();
    thread.join().unwrap();
}

fn put(key: &[u8], value: &[u8]) -> Change {
    Change::Put(Family::Definitions, key.to_vec(), value.to_vec())
}

fn keys_of(storage: &dyn Storage, family: Family) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    storage
        .scan(family, b"", &[0xff; 17], &mut |key, _| {
            found.push(key.to_vec());
            true
        })
        .unwrap();
    found
}

#[test]
fn rocksdb_keeps_what_is_logged_and_forgets_the_transient() {
    let dir = tempfile::tempdir().unwrap();
    let storage = RocksStorage::open(dir.path()).unwrap();
    assert!(matches!(RocksStorage::open(dir.path()), Err(StoreError::InUse(_))));
    storage.write(&[put(b"a", b"1"), put(b"b", b"2"), put(b"c", b"3")], Logging::Synced).unwrap();
    storage.write(&[Change::Delete(Family::Definitions, b"a".to_vec())], Logging::Logged).unwrap();
    let transient = Change::Put(Family::Transient, b"t".to_vec(), b"x".to_vec());
    storage.write(&[transient], Logging::Unlogged).unwrap();
    assert_eq!(keys_of(&storage, Family::Transient), [b"t"]);
    storage.reopen().unwrap();
    assert_eq!(keys_of(&storage, Family::Definitions), [b"b", b"c"]);
    let range = Change::DeleteRange(Family::Definitions, b"b".to_vec(), b"c".to_vec());
    storage.write(&[range], Logging::Logged).unwrap();
    drop(storage);
    let storage = RocksStorage::open(dir.path()).unwrap();
    assert_eq!(keys_of(&storage, Family::Definitions), [b"c"]);
    assert_eq!(keys_of(&storage, Family::Transient), Vec::<Vec<u8>>::new());
    assert_eq!(storage.get(Family::Definitions, b"c").unwrap().as_deref(), Some(&b"3"[..]));
}

#[test]
fn a_store_needs_no_direct_writes_and_leaves_nothing_of_their_trial() {
    let disk = tempfile::tempdir().unwrap();
    // Its file system takes them on some kernels only.
    let memory = Path::new("/dev/shm").is_dir().then(|| tempfile::tempdir_in("/dev/shm").unwrap());
    for dir in memory.iter().chain([&disk]) {
        let value = vec![b'x'; 100_001];
        let put = Change::Put(Family::Chunks, b"k".to_vec(), value.clone());
        RocksStorage::open(dir.path()).unwrap().write(&[put], Logging::Synced).unwrap();
        // A start writes what it finds in the log to files.
        let storage = RocksStorage::open(dir.path()).unwrap();
        assert_eq!(storage.get(Family::Chunks, b"k").unwrap(), Some(value));
        let names = contents(dir).into_iter().map(|(path, _)| path);
        let (blobs, trials): (Vec<_>, Vec<_>) =
            names.partition(|path| path.extension().is_some_and(|end| end == "blob"));
        assert_eq!(blobs.len(), 1, "{blobs:?}");
        assert!(!trials.iter().any(|path| path.ends_with("DIRECT")), "{trials:?}");
    }
    assert!(!super::direct::is_possible(Path::new("/nonexistent")));
}

/// Commits numbered 1 to `count`, each synced, in the log of a storage that is not closed in order.
fn log_of(count: u64) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let storage = RocksStorage::open(dir.path()).unwrap();
    for epoch in 1..=count {
        let marker = proof::marker(&storage.mark(), epoch, epoch - 1);
        let filler = Change::Put(Family::Settled, epoch.to_be_bytes().to_vec(), vec![epoch as u8; 500]);
        let last = Change::Put(Family::QueueState, keys::LAST_EPOCH.to_vec(), marker);
        storage.write(&[filler, last], Logging::Synced).unwrap();
    }
    let copy = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let path = file.unwrap().path();
        match std::fs::copy(&path, copy.path().join(path.file_name().unwrap())) {
            // What RocksDB does not need any more it removes in its own time.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            copied => drop(copied.unwrap()),
        }
    }
    copy
}

fn log_file(dir: &tempfile::TempDir) -> std::path::PathBuf {
    let files = std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().path());
    let logs = files.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    logs.max_by_key(|path| std::fs::metadata(path).unwrap().len()).unwrap()
}

fn recovered(dir: &tempfile::TempDir) -> Result<u64, StoreError> {
    let storage = RocksStorage::open(dir.path())?;
    recovery::recover(&storage).map(|recovered| recovered.last_epoch)
}

fn contents(dir: &tempfile::TempDir) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let files = std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().path());
    // RocksDB's own diary says that it was asked.
    let data = files.filter(|path| !path.file_name().unwrap().to_string_lossy().starts_with("LOG"));
    let mut contents: Vec<_> = data.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
    contents.sort();
    contents
}

fn assert_refused_for_ever(dir: &tempfile::TempDir, words: &[&str]) {
    let before = contents(dir);
    for start in ["first", "second"] {
        match recovered(dir) {
            Err(StoreError::Corrupt(text)) => assert!(words.iter().any(|word| text.contains(word)), "{text}"),
            other => panic!("the {start} start hid it: {other:?}"),
        }
        assert!(contents(dir) == before, "the {start} start changed files");
    }
}

#[test]
fn a_torn_tail_is_fine_and_a_hole_is_refused_at_every_start() {
    assert_eq!(recovered(&log_of(40)), Ok(40));

    let torn = log_of(40);
    let bytes = std::fs::read(log_file(&torn)).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    std::fs::write(log_file(&torn), &bytes[..end - 10]).unwrap();
    assert_eq!(recovered(&torn), Ok(39), "the last commit is torn, as if its sync had never returned");

    let holed = log_of(40);
    let mut bytes = std::fs::read(log_file(&holed)).unwrap();
    let middle = end / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(log_file(&holed), bytes).unwrap();
    assert_refused_for_ever(&holed, &["hole", "orrupt"]);
}

#[test]
fn what_was_noted_as_synced_must_be_there() {
    let noted = |epoch| {
        let dir = log_of(40);
        Proof::open(dir.path()).unwrap().note(epoch);
        dir
    };
    assert_eq!(recovered(&noted(40)), Ok(40));

    let torn = noted(40);
    let bytes = std::fs::read(log_file(&torn)).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    std::fs::write(log_file(&torn), &bytes[..end - 10]).unwrap();
    assert_refused_for_ever(&torn, &["commit 40"]);

    let removed = noted(40);
    std::fs::remove_file(log_file(&removed)).unwrap();
    assert_refused_for_ever(&removed, &["commit 40", "orrupt", "issing"]);

    for name in ["CURRENT", "COMMITS"] {
        let removed = noted(40);
        std::fs::remove_file(removed.path().join(name)).unwrap();
        match recovered(&removed) {
            Err(StoreError::Corrupt(text)) => assert!(text.contains(name), "{text}"),
            other => panic!("{name} is not missed: {other:?}"),
        }
    }
}

#[test]
fn a_message_cannot_look_like_a_commit() {
    let dir = log_of(3);
    let storage = RocksStorage::open(dir.path()).unwrap();
    let forged = proof::marker(&proof::Mark::default(), 1000, 999);
    storage.write(&[Change::Put(Family::Settled, b"a".to_vec(), forged)], Logging::Synced).unwrap();
    drop(storage);
    assert_eq!(recovered(&dir), Ok(3));
    let other = log_of(3);
    let marks = [&dir, &other].map(|dir| *Proof::open(dir.path()).unwrap().mark());
    assert_ne!(marks[0], marks[1], "each store has a mark of its own");
}

#[test]
fn a_store_without_a_family_for_delayed_messages_gets_one() {
    let dir = tempfile::tempdir().unwrap();
    let put = Change::Put(Family::Definitions, b"k".to_vec(), b"v".to_vec());
    RocksStorage::open(dir.path()).unwrap().write(&[put], Logging::Synced).unwrap();
    let names = Family::ALL.map(Family::name);
    let mut db = rocksdb::DB::open_cf(&rocksdb::Options::default(), dir.path(), names).unwrap();
    db.drop_cf(Family::Delayed.name()).unwrap();
    drop(db);
    let storage = RocksStorage::open(dir.path()).unwrap();
    assert_eq!(storage.get(Family::Definitions, b"k").unwrap(), Some(b"v".to_vec()));
    let put = Change::Put(Family::Delayed, b"k".to_vec(), b"v".to_vec());
    storage.write(&[put], Logging::Synced).unwrap();
    assert_eq!(storage.get(Family::Delayed, b"k").unwrap(), Some(b"v".to_vec()));
}

#[test]
fn damaged_values_are_reported() {
    let storage = MemoryStorage::default();
    let key = keys::queue(QUEUE, 0).to_vec();
    let mut value = records::queue_state(&Default::default());
    *value.last_mut().unwrap() ^= 1;
    storage.write(&[Change::Put(Family::QueueState, key, value)], Logging::Synced).unwrap();
    assert!(matches!(recovery::recover(&storage), Err(StoreError::Corrupt(_))));

    let committer = Committer::new(Arc::new(MemoryStorage::default()), 0);
    let queue = OneQueue::new();
    queue.append(&committer, 3, 50);
    let collected = queue.queue.lock().collect(1, None, &mut usize::MAX.clone());
    let chunk = collected.puts[0].clone();
    let storage = MemoryStorage::default();
    let mut bytes = chunk.bytes().to_vec();
    let key = keys::chunk(QUEUE, chunk.first()).to_vec();
    bytes[20] ^= 1;
    storage.write(&[Change::Put(Family::Chunks, key, bytes)], Logging::Synced).unwrap();
    let request = LoadRequest { first: 0, end: 10, bytes: usize::MAX };
    let loaded = recovery::load(&storage, QUEUE, request, &BodyPool::new(0, Arc::default()));
    assert!(matches!(loaded, Err(StoreError::Corrupt(_))));
}

#[test]
fn a_stop_in_an_empty_epoch_proves_nothing_that_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let storage = Arc::new(RocksStorage::open(dir.path()).unwrap());
        let last = recovery::recover(&*storage).unwrap().last_epoch;
        let committer = Committer::new(storage, last);
        let thread = committer.start(SyncPolicy::Always, Arc::new(Notes::default())).unwrap();
        let epoch = committer.define(vec![put(b"a", &records::definition(&Default::default()))]);
        await_epoch(&committer, epoch);
        committer.stop();
        thread.join().unwrap();
    }
}

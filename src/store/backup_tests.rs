//! Copies of a RocksDB that is written to: what is in them, what is not taken for one, what is found in them.

use super::backup::{LIST, restore, seal};
use super::inspect;
use super::proof;
use super::rocks::{RocksReader, RocksStorage};
use super::*;
use crate::broker::identity::QueueId;
use crate::broker::message::{ChunkBuilder, Ledger, Parts};
use std::fs;
use std::path::PathBuf;

const QUEUE: QueueId = QueueId(3);

/// A store with one commit and one chunk of `bodies` messages, and a place for copies.
struct Bench {
    dir: tempfile::TempDir,
    storage: RocksStorage,
}

fn bench() -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let storage = RocksStorage::open(&dir.path().join("data")).unwrap();
    Bench { dir, storage }
}

impl Bench {
    fn commit(&self, epoch: Epoch) {
        let mut builder = ChunkBuilder::default();
        let body = vec![b'x'; 3000];
        builder.push(&Parts {
            exchange_and_key: b"\0\0",
            header: b"h",
            body: &body,
            persistent: true,
            priority: 0,
            deadline_ms: 0,
            died: false,
            detached: None,
        });
        let chunk = Arc::new(builder.finish(true, &Arc::<Ledger>::default()));
        let marker = proof::marker(&self.storage.mark(), epoch, epoch - 1);
        let key = keys::chunk(QUEUE, epoch).as_slice().into();
        let changes = [
            Change::PutChunk(Family::Chunks, key, chunk),
            Change::Put(Family::QueueState, keys::LAST_EPOCH.to_vec(), marker),
        ];
        self.storage.write(&changes, Logging::Synced).unwrap();
        self.storage.note_synced(epoch);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A sealed copy.
    fn copy(&self) -> PathBuf {
        let copy = self.path("copies/one");
        self.storage.backup(&copy).unwrap();
        let (mut told, mut last) = (0, 0);
        let copied = seal(&copy, &mut |done, total| (told, last) = (total, done)).unwrap();
        assert!(copied.files > 3 && copied.bytes == last && last <= told, "{copied:?} {last} of {told}");
        copy
    }
}

fn look(dir: &Path) -> Result<inspect::Found, StoreError> {
    inspect::all(&RocksReader::open(dir)?, &mut |_| {})
}

#[test]
fn a_copy_holds_what_was_synced_before_and_goes_into_a_new_place() {
    let bench = bench();
    (1..=40).for_each(|epoch| bench.commit(epoch));
    let copy = bench.copy();
    (41..=60).for_each(|epoch| bench.commit(epoch));
    let again = bench.storage.backup(&copy);
    assert!(matches!(again, Err(StoreError::Directory(..))), "a copy is never written over: {again:?}");
    let (copied, found) = restore(&copy, &bench.path("new"), &mut |_, _| {}).unwrap();
    assert_eq!((found.chunks, found.last_epoch, found.damaged, found.clean_stop), (40, 40, 0, false));
    assert!(copied.bytes > 40 * 3000);
    for dir in [bench.path("data"), copy.clone(), bench.path("new")] {
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&dir).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o700, "{}", dir.display());
    }
    let storage = RocksStorage::open(&bench.path("new")).unwrap();
    assert_eq!(recovery::recover(&storage).unwrap().last_epoch, 40);
    assert!(matches!(look(&bench.path("new")), Err(StoreError::InUse(_))));
    // The copy itself stays as it was.
    restore(&copy, &bench.path("newer"), &mut |_, _| {}).unwrap();
}

#[test]
fn what_is_in_the_way_stays_and_what_is_no_whole_copy_is_refused() {
    let bench = bench();
    bench.commit(1);
    let copy = bench.copy();
    let target = bench.path("target");
    fs::create_dir(&target).unwrap();
    fs::write(target.join("precious"), "mine").unwrap();
    let refused = restore(&copy, &target, &mut |_, _| {}).unwrap_err().to_string();
    assert!(refused.contains("not empty"), "{refused}");
    assert_eq!(fs::read_dir(&target).unwrap().count(), 1);
    fs::remove_file(target.join("precious")).unwrap();
    fs::create_dir(target.join("lost+found")).unwrap();
    restore(&copy, &target, &mut |_, _| {}).unwrap();

    let list = fs::read_to_string(copy.join(LIST)).unwrap();
    let refusals = [list.replacen("warren", "warden", 1), list.replacen(" COMMITS", " ../COMMITS", 1), String::new()];
    for other in refusals {
        fs::write(copy.join(LIST), other).unwrap();
        assert!(matches!(restore(&copy, &bench.path("never"), &mut |_, _| {}), Err(StoreError::Corrupt(_))));
    }
    fs::remove_file(copy.join(LIST)).unwrap();
    let refused = restore(&copy, &bench.path("never"), &mut |_, _| {}).unwrap_err().to_string();
    assert!(refused.contains("no whole backup"), "{refused}");
    assert!(!bench.path("never").exists());
}

#[test]
fn whatever_file_of_a_copy_is_changed_nothing_is_restored() {
    let bench = bench();
    bench.commit(1);
    let copy = bench.copy();
    let target = bench.path("target");
    for file in fs::read_dir(&copy).unwrap().map(|file| file.unwrap().path()) {
        let content = fs::read(&file).unwrap();
        if content.is_empty() || file.ends_with(LIST) {
            continue;
        }
        let mut changed = content.clone();
        changed[content.len() / 2] ^= 1;
        // A file of its own: RocksDB's may be the same one.
        fs::remove_file(&file).unwrap();
        fs::write(&file, changed).unwrap();
        let refused = restore(&copy, &target, &mut |_, _| {});
        assert!(matches!(refused, Err(StoreError::Corrupt(_))), "{}: {refused:?}", file.display());
        assert!(!target.exists(), "{}", file.display());
        fs::write(&file, content).unwrap();
    }
    restore(&copy, &target, &mut |_, _| {}).unwrap();
}

#[test]
fn a_start_in_the_middle_of_a_restore_is_refused() {
    let bench = bench();
    bench.commit(1);
    let copy = bench.copy();
    let target = bench.path("target");
    let mut starts = 0;
    restore(&copy, &target, &mut |_, _| {
        assert!(RocksStorage::open(&target).is_err());
        starts += 1;
    })
    .unwrap();
    assert!(starts > 3, "{starts}");
    RocksStorage::open(&target).unwrap();
}

#[test]
fn damage_is_found_and_named() {
    let bench = bench();
    (1..=3).for_each(|epoch| bench.commit(epoch));
    let mut chunk = bench.storage.get(Family::Chunks, &keys::chunk(QUEUE, 2)).unwrap().unwrap();
    let middle = chunk.len() / 2;
    chunk[middle] ^= 1;
    let changes = [
        Change::Put(Family::Chunks, keys::chunk(QUEUE, 2).to_vec(), chunk),
        Change::Put(Family::Settled, keys::chunk(QUEUE, 3).to_vec(), b"nonsense".to_vec()),
    ];
    bench.storage.write(&changes, Logging::Synced).unwrap();
    let copy = bench.copy();
    drop(bench.storage);
    let found = look(&bench.dir.path().join("data")).unwrap();
    assert_eq!((found.chunks, found.damaged), (3, 2));
    assert_eq!(found.damage, ["messages from number 2 on of queue number 3", "acknowledgements of queue number 3"]);
    let target = bench.dir.path().join("target");
    let refused = restore(&copy, &target, &mut |_, _| {}).unwrap_err().to_string();
    assert!(refused.contains("messages from number 2 on"), "{refused}");
    assert!(!target.exists());
}

#[test]
fn what_is_no_store_is_not_made_one_by_looking() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(look(dir.path()), Err(StoreError::Directory(..))));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

//! RocksDB. Its write-ahead log is the only thing synced; chunks go to blob files so that compaction moves keys only.

use super::committer::Epoch;
use super::figures::{Batch, Io, IoTotals};
use super::proof::{self, Mark, Proof};
use super::reclaim::{self, Garbage, holds_chunks};
use super::{Change, Family, Logging, Storage, StoreError, direct, keys};
use crate::clock::Now;
use parking_lot::RwLock;
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode, Direction,
    ErrorKind, IteratorMode, LogLevel, Options, ReadOptions, WriteBatch, WriteOptions,
};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

/// Bytes of messages that RocksDB collects in memory before it writes a file; two such buffers exist while it does.
const CHUNK_BUFFER_BYTES: usize = 16 * 1024 * 1024;
/// The same for messages that are paged out: that happens only when memory is short.
const SPILL_BUFFER_BYTES: usize = 8 * 1024 * 1024;
/// The same for delayed messages.
const DELAYED_BUFFER_BYTES: usize = 8 * 1024 * 1024;
const SMALL_BUFFER_BYTES: usize = 2 * 1024 * 1024;
const CACHE_BYTES: usize = 4 * 1024 * 1024;
const BLOB_BYTES_MIN: u64 = 1024;
const BLOB_FILE_BYTES: u64 = 64 * 1024 * 1024;
/// A start replays the log: this bounds how long it takes.
const LOG_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// With less space than this, opening the storage again cannot succeed.
const REOPEN_BYTES: u64 = 32 * 1024 * 1024;

/// A RocksDB in a directory of its own.
pub struct RocksStorage {
    shared: Arc<Shared>,
    proof: Proof,
    reclaimer: Option<JoinHandle<()>>,
}

/// What the reclaimer's thread shares.
pub(super) struct Shared {
    path: PathBuf,
    db: RwLock<Option<DB>>,
    /// What the reclaimer has to look at.
    pub(super) garbage: Garbage,
    io: Io,
}

impl RocksStorage {
    /// Opens or creates the storage and empties the transient family.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process has it, [`StoreError::Corrupt`] when it cannot be read.
    pub fn open(path: &Path) -> Result<RocksStorage, StoreError> {
        let refused = |error: std::io::Error| StoreError::Directory(path.display().to_string(), error.to_string());
        make_private(path).map_err(refused)?;
        let proof = Proof::open(path)?;
        check_for_holes(path, &proof)?;
        let mut db = open_db(path)?;
        let transient = Family::Transient;
        db.drop_cf(transient.name()).map_err(|error| store_error(&error))?;
        db.create_cf(transient.name(), &family_options(transient)).map_err(|error| store_error(&error))?;
        let shared = Shared {
            path: path.to_path_buf(),
            db: RwLock::new(Some(db)),
            garbage: Garbage::default(),
            io: Io::default(),
        };
        let shared = Arc::new(shared);
        let reclaimer = reclaim::start(shared.clone()).map_err(|error| StoreError::Failed(error.to_string()))?;
        Ok(RocksStorage { shared, proof, reclaimer: Some(reclaimer) })
    }
}

impl Drop for RocksStorage {
    fn drop(&mut self) {
        self.shared.garbage.stop();
        if let Some(reclaimer) = self.reclaimer.take() {
            // Its panic, if any, was reported by its own thread.
            let _ = reclaimer.join();
        }
    }
}

impl Shared {
    /// Bytes of the files that hold chunks; 0 when it cannot be told. Most delayed messages are beside their keys.
    pub(super) fn chunk_files(&self) -> u64 {
        let (blobs, tables) = ("rocksdb.total-blob-file-size", "rocksdb.total-sst-files-size");
        let places = [
            (Family::Chunks, blobs),
            (Family::Bodies, blobs),
            (Family::Transient, blobs),
            (Family::Delayed, blobs),
            (Family::Delayed, tables),
        ];
        let sizes = self.with(|db| {
            let mut total = 0;
            for (family, property) in places {
                let size = db.property_int_value_cf(handle(db, family)?, property);
                total += size.map_err(|error| store_error(&error))?.unwrap_or(0);
            }
            Ok(total)
        });
        sizes.unwrap_or(0)
    }

    /// Writes chunk deletions out and drops what they delete, so that the disk gets its space back.
    pub(super) fn reclaim(&self) -> Result<(), StoreError> {
        self.with(|db| {
            for family in Family::ALL.into_iter().filter(|family| holds_chunks(*family)) {
                let handle = handle(db, family)?;
                db.flush_cf(handle).map_err(|error| store_error(&error))?;
                db.compact_range_cf(handle, None::<&[u8]>, None::<&[u8]>);
            }
            Ok(())
        })
    }

    fn with<T>(&self, run: impl FnOnce(&DB) -> Result<T, StoreError>) -> Result<T, StoreError> {
        match self.db.read().as_ref() {
            Some(db) => run(db),
            None => Err(StoreError::Full("waiting for space".into())),
        }
    }
}

impl Storage for RocksStorage {
    fn write(&self, changes: &[Change], logging: Logging) -> Result<(), StoreError> {
        self.shared.with(|db| {
            let (mut figures, mut deleted) = (Batch::default(), 0);
            let mut batch = WriteBatch::default();
            for change in changes {
                match change {
                    Change::Put(family, key, value) => {
                        figures.add(*family, key);
                        batch.put_cf(handle(db, *family)?, key, value);
                    }
                    Change::PutChunk(family, key, chunk) => {
                        figures.add_chunk(chunk.bytes().len(), chunk.count());
                        batch.put_cf(handle(db, *family)?, key, chunk.bytes());
                    }
                    Change::PutBody(family, body) => {
                        figures.add_chunk(body.bytes().len(), 0);
                        batch.put_cf(handle(db, *family)?, keys::body(body.id()), body.bytes());
                    }
                    Change::Delete(family, key) => {
                        figures.add(*family, key);
                        deleted += u64::from(holds_chunks(*family) && !keys::is_note(key));
                        batch.delete_cf(handle(db, *family)?, key);
                    }
                    Change::DeleteRange(family, from, to) => {
                        figures.add(*family, from);
                        deleted += u64::from(holds_chunks(*family));
                        batch.delete_range_cf(handle(db, *family)?, from, to);
                    }
                }
            }
            self.shared.garbage.count(figures.chunks, figures.bytes, deleted);
            let mut options = WriteOptions::default();
            options.set_sync(logging == Logging::Synced);
            options.disable_wal(logging == Logging::Unlogged);
            let begun = Now::read().monotonic;
            db.write_opt(batch, &options).map_err(|error| store_error(&error))?;
            let took = Now::read().monotonic.saturating_duration_since(begun);
            self.shared.io.note_write(took, &figures);
            if logging == Logging::Synced {
                self.shared.io.note_sync(took);
            }
            Ok(())
        })
    }

    fn sync(&self) -> Result<(), StoreError> {
        let begun = Now::read().monotonic;
        self.shared.with(|db| db.flush_wal(true).map_err(|error| store_error(&error)))?;
        self.shared.io.note_sync(Now::read().monotonic.saturating_duration_since(begun));
        Ok(())
    }

    fn scan(
        &self,
        family: Family,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        let (begun, mut values, mut bytes) = (Now::read().monotonic, 0, 0);
        let scanned = self.shared.with(|db| {
            scan(db, family, from, to, &mut |key, value| {
                values += 1;
                bytes += (key.len() + value.len()) as u64;
                visit(key, value)
            })
        });
        self.shared.io.note_read(Now::read().monotonic.saturating_duration_since(begun), family, values, bytes);
        scanned
    }

    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let begun = Now::read().monotonic;
        let found = self.shared.with(|db| db.get_cf(handle(db, family)?, key).map_err(|error| store_error(&error)))?;
        let bytes = found.as_ref().map_or(0, |value| value.len() as u64);
        let took = Now::read().monotonic.saturating_duration_since(begun);
        self.shared.io.note_read(took, family, u64::from(found.is_some()), bytes);
        Ok(found)
    }

    fn mark(&self) -> Mark {
        *self.proof.mark()
    }

    fn note_synced(&self, epoch: Epoch) {
        self.proof.note(epoch);
    }

    fn io(&self) -> IoTotals {
        self.shared.io.totals()
    }

    fn backup(&self, dir: &Path) -> Result<(), StoreError> {
        let refused = |error: std::io::Error| StoreError::Directory(dir.display().to_string(), error.to_string());
        if dir.symlink_metadata().is_ok() {
            let text = "it is there already: a backup makes a directory of its own".to_owned();
            return Err(StoreError::Directory(dir.display().to_string(), text));
        }
        if let Some(parent) = dir.parent() {
            std::fs::create_dir_all(parent).map_err(refused)?;
        }
        // Whatever is noted before the copy is made is in it.
        let synced = self.proof.noted();
        self.shared.with(|db| {
            let checkpoint = Checkpoint::new(db).map_err(|error| store_error(&error))?;
            // The log is copied with it, as long as it is: nothing has to be flushed.
            let made = checkpoint.create_checkpoint_with_log_size(dir, LOG_BYTES_MAX);
            made.map_err(|error| StoreError::Directory(dir.display().to_string(), error.into_string()))
        })?;
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700)).map_err(refused)?;
        self.proof.write_copy(dir, synced).map_err(refused)
    }

    fn reopen(&self) -> Result<(), StoreError> {
        let space = rustix::fs::statvfs(&self.shared.path).map_or(0, |disk| disk.f_bavail * disk.f_frsize);
        if space < REOPEN_BYTES {
            return Err(StoreError::Full(format!("{space} bytes are free")));
        }
        let mut db = self.shared.db.write();
        // RocksDB allows one handle a directory: the old one must go first.
        *db = None;
        *db = Some(open_db(&self.shared.path)?);
        Ok(())
    }
}

/// Makes a directory, and those above it, if they are not there. Messages and password hashes will be in it: it is nobody
/// else's.
pub(super) fn make_private(path: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn open_db(path: &Path) -> Result<DB, StoreError> {
    let families = Family::ALL.map(|family| ColumnFamilyDescriptor::new(family.name(), family_options(family)));
    let mut options = db_options(true);
    // Messages are in memory already, and those for which there is no room there are read once, in order: the page cache would
    // only copy them, and hold them twice.
    options.set_use_direct_io_for_flush_and_compaction(direct::is_possible(path));
    DB::open_cf_descriptors(&options, path, families).map_err(|error| {
        if error.kind() == ErrorKind::IOError && error.as_ref().contains("LOCK") {
            StoreError::InUse(path.display().to_string())
        } else {
            store_error(&error)
        }
    })
}

/// A store that is only looked at: nothing is written, repaired or dropped. The node must not run.
pub struct RocksReader {
    db: DB,
    proof: Proof,
}

impl RocksReader {
    /// Opens the store in `path` if it is one, and checks that nothing that was synced is missing.
    ///
    /// # Errors
    /// [`StoreError::Directory`] when there is no store, [`StoreError::InUse`], [`StoreError::Corrupt`].
    pub fn open(path: &Path) -> Result<RocksReader, StoreError> {
        if !path.join(proof::NAME).exists() {
            let text = format!("no {} file: it holds no data", proof::NAME);
            return Err(StoreError::Directory(path.display().to_string(), text));
        }
        let proof = Proof::open(path)?;
        check_for_holes(path, &proof)?;
        let options = db_options(false);
        let there = DB::list_cf(&options, path).map_err(|error| store_error(&error))?;
        let families = Family::ALL.map(Family::name).into_iter().filter(|name| there.iter().any(|found| found == name));
        let db = DB::open_cf_for_read_only(&options, path, families, false).map_err(|error| store_error(&error))?;
        Ok(RocksReader { db, proof })
    }
}

impl Storage for RocksReader {
    fn write(&self, _: &[Change], _: Logging) -> Result<(), StoreError> {
        Err(StoreError::Failed("the store is only read".into()))
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn scan(
        &self,
        family: Family,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        // A family that this version has added holds nothing yet.
        match self.db.cf_handle(family.name()) {
            Some(_) => scan(&self.db, family, from, to, visit),
            None => Ok(()),
        }
    }

    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(handle) = self.db.cf_handle(family.name()) else { return Ok(None) };
        self.db.get_cf(handle, key).map_err(|error| store_error(&error))
    }

    fn mark(&self) -> Mark {
        *self.proof.mark()
    }

    fn reopen(&self) -> Result<(), StoreError> {
        Err(StoreError::Failed("the store is only read".into()))
    }
}

fn scan(
    db: &DB,
    family: Family,
    from: &[u8],
    to: &[u8],
    visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
) -> Result<(), StoreError> {
    let mut options = ReadOptions::default();
    options.set_iterate_lower_bound(from);
    options.set_iterate_upper_bound(to);
    options.fill_cache(false);
    let mode = IteratorMode::From(from, Direction::Forward);
    for pair in db.iterator_cf_opt(handle(db, family)?, options, mode) {
        let (key, value) = pair.map_err(|error| store_error(&error))?;
        if !visit(&key, &value) {
            break;
        }
    }
    Ok(())
}

fn db_options(create: bool) -> Options {
    let mut options = Options::default();
    options.create_if_missing(create);
    options.create_missing_column_families(create);
    // A torn tail is what every power cut leaves; holes are found by the epoch numbers (recovery).
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_paranoid_checks(true);
    options.set_max_total_wal_size(LOG_BYTES_MAX);
    options.set_max_background_jobs(2);
    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(2);
    options.set_max_open_files(256);
    options.set_skip_stats_update_on_db_open(true);
    // What is read is a queue's messages, one file after the other: the system reads ahead.
    options.set_advise_random_on_open(false);
    options.set_stats_dump_period_sec(0);
    options.set_enable_pipelined_write(false);
    options.set_allow_concurrent_memtable_write(false);
    options.set_avoid_unnecessary_blocking_io(true);
    options
}

/// Compares what can be read with what was synced for sure, before RocksDB drops what it cannot read.
fn check_for_holes(path: &Path, proof: &Proof) -> Result<(), StoreError> {
    let proven = proof.proven(path);
    if proven == 0 {
        return Ok(());
    }
    let states = Family::QueueState.name();
    let db =
        DB::open_cf_for_read_only(&db_options(false), path, [states], false).map_err(|error| store_error(&error))?;
    let last = db.get_cf(handle(&db, Family::QueueState)?, keys::LAST_EPOCH).map_err(|error| store_error(&error))?;
    let read = last.and_then(|value| proof::read_marker(proof.mark(), &value)).map_or(0, |(epoch, _)| epoch);
    if proven > read {
        let text =
            format!("the log has a hole: commit {proven} was synced, but nothing after commit {read} can be read");
        return Err(StoreError::Corrupt(text));
    }
    Ok(())
}

fn family_options(family: Family) -> Options {
    let mut options = Options::default();
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&Cache::new_lru_cache(CACHE_BYTES));
    // Delayed messages may be many and have a key each: an index of them all would not stay in bounds.
    table.set_cache_index_and_filter_blocks(family == Family::Delayed);
    options.set_block_based_table_factory(&table);
    options.set_compression_type(DBCompressionType::None);
    match family {
        Family::Chunks | Family::Bodies | Family::Transient => {
            options.set_write_buffer_size(if family == Family::Transient {
                SPILL_BUFFER_BYTES
            } else {
                CHUNK_BUFFER_BYTES
            });
            options.set_max_write_buffer_number(2);
            options.set_enable_blob_files(true);
            options.set_min_blob_size(BLOB_BYTES_MIN);
            options.set_blob_file_size(BLOB_FILE_BYTES);
            options.set_enable_blob_gc(true);
        }
        Family::Delayed => {
            options.set_write_buffer_size(DELAYED_BUFFER_BYTES);
            options.set_max_write_buffer_number(2);
            options.set_enable_blob_files(true);
            options.set_min_blob_size(BLOB_BYTES_MIN);
            options.set_blob_file_size(BLOB_FILE_BYTES);
            options.set_enable_blob_gc(true);
        }
        Family::Definitions | Family::QueueState | Family::Settled | Family::Identities => {
            options.set_write_buffer_size(SMALL_BUFFER_BYTES);
            options.set_max_write_buffer_number(2);
        }
    }
    options
}

fn handle(db: &DB, family: Family) -> Result<&ColumnFamily, StoreError> {
    let missing = || StoreError::Corrupt(format!("column family {} is missing", family.name()));
    db.cf_handle(family.name()).ok_or_else(missing)
}

fn store_error(error: &rocksdb::Error) -> StoreError {
    let text = error.as_ref().to_owned();
    match error.kind() {
        ErrorKind::Corruption => StoreError::Corrupt(text),
        _ if text.contains("No space left on device") => StoreError::Full(text),
        _ => StoreError::Failed(text),
    }
}

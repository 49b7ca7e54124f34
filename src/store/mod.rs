//! The disk: RocksDB behind a narrow door (design.md 6). Nothing above names rocksdb.
//!
//! - [`keys`]: the layout of keys. [`records`]: the shape of values.
//! - [`Storage`]: what a disk must do; [`rocks`] does it for real, [`memory`] in memory (tests, and their faults).
//! - [`committer`]: the one thread that writes, an epoch at a time.
//! - [`figures`]: how long commits take. `direct`: what the file system is capable of.
//! - [`bodies`]: bodies that several chunks share, and who refers to them.
//! - [`proof`]: what was synced for sure, to see holes.
//! - [`backup`]: copies: sealed, and put into place. [`inspect`]: looks at everything that is stored.
//! - [`recovery`]: what a start reads: definitions, queue states, settlements; never the messages.

pub mod backup;
#[cfg(test)]
mod backup_tests;
pub mod bodies;
pub mod committer;
mod direct;
pub mod figures;
pub mod inspect;
pub mod keys;
pub mod memory;
pub mod proof;
mod reclaim;
pub mod records;
pub mod recovery;
pub mod rocks;
#[cfg(test)]
mod tests;

use crate::broker::body::Body;
use crate::broker::message::Chunk;
use committer::Epoch;
use figures::IoTotals;
use proof::Mark;
use smallvec::SmallVec;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Column families (design.md 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// Virtual hosts, exchanges, queues, bindings.
    Definitions,
    /// Per queue: what recovery needs; and the number of the last commit.
    QueueState,
    /// Durable chunks.
    Chunks,
    /// Which messages of a durable chunk are settled, and how often others came back.
    Settled,
    /// Deduplication windows: blocks of identities.
    Identities,
    /// Transient chunks that memory had no room for. Emptied at start, never logged.
    Transient,
    /// Messages that exchanges keep until they are due, in order of due time; and per exchange, what recovery needs.
    Delayed,
    /// Detached bodies of durable chunks, how many records refer to each, and which each chunk refers to ([`bodies`]).
    Bodies,
}

impl Family {
    /// All of them.
    pub const ALL: [Family; 8] = [
        Family::Definitions,
        Family::QueueState,
        Family::Chunks,
        Family::Settled,
        Family::Identities,
        Family::Transient,
        Family::Delayed,
        Family::Bodies,
    ];

    /// The column family's name on disk.
    pub fn name(self) -> &'static str {
        match self {
            Family::Definitions => "definitions",
            Family::QueueState => "queue_state",
            Family::Chunks => "chunks",
            Family::Settled => "settled",
            Family::Identities => "identities",
            Family::Transient => "transient",
            Family::Delayed => "delayed",
            Family::Bodies => "bodies",
        }
    }
}

/// Key of a chunk: 16 bytes in a queue, 24 among delayed messages.
pub type ChunkKey = SmallVec<[u8; 24]>;

/// One change of the disk.
#[derive(Clone, Debug)]
pub enum Change {
    /// Sets a key.
    Put(Family, Vec<u8>, Vec<u8>),
    /// Stores a chunk's bytes as they are.
    PutChunk(Family, ChunkKey, Arc<Chunk>),
    /// Stores a detached body's bytes as they are.
    PutBody(Family, Arc<Body>),
    /// Removes a key; missing is fine.
    Delete(Family, Vec<u8>),
    /// Removes the keys `from..to`.
    DeleteRange(Family, Vec<u8>, Vec<u8>),
}

/// How a batch is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logging {
    /// Logged, and the log synced before the call returns.
    Synced,
    /// Logged: survives the process, not the machine.
    Logged,
    /// Not logged: lost with the process.
    Unlogged,
}

/// What went wrong with the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// No space is left. The batch was not written; it can be tried again.
    Full(String),
    /// Another process has the data directory.
    InUse(String),
    /// The data directory cannot be used as one: its path, and the system's words.
    Directory(String, String),
    /// What was read is not what was written.
    Corrupt(String),
    /// Everything else: nothing more may be written.
    Failed(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Full(text) => write!(f, "no space left on the data directory's disk: {text}"),
            StoreError::InUse(path) => write!(f, "the data directory {path} is in use by another broker"),
            StoreError::Directory(path, error) => write!(
                f,
                "cannot open the data directory {path}: {error}; it must be a directory that this user may write to"
            ),
            StoreError::Corrupt(text) => write!(f, "the data directory is damaged: {text}"),
            StoreError::Failed(text) => write!(f, "the disk failed: {text}"),
        }
    }
}

impl std::error::Error for StoreError {}

/// What the broker needs of a disk. A batch is written whole or not at all; with [`Logging::Synced`] a batch that was
/// written survives a power cut, and so does every logged batch before it.
pub trait Storage: Send + Sync {
    /// Writes a batch.
    fn write(&self, changes: &[Change], logging: Logging) -> Result<(), StoreError>;
    /// Syncs the log: every logged batch survives a power cut after it.
    fn sync(&self) -> Result<(), StoreError>;
    /// Visits the pairs with `from <= key < to` in order until `visit` returns false.
    fn scan(
        &self,
        family: Family,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError>;
    /// The value of a key.
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;
    /// The mark that every commit's marker bears.
    fn mark(&self) -> Mark {
        Mark::default()
    }
    /// Notes that a commit was synced: a start that cannot read it refuses.
    fn note_synced(&self, _epoch: Epoch) {}
    /// What was read and written.
    fn io(&self) -> IoTotals {
        IoTotals::default()
    }
    /// Makes a copy of what is on disk at this moment in `dir`, which must not exist, while the storage is written to. What was
    /// synced before is in it.
    ///
    /// # Errors
    /// [`StoreError::Directory`] when it cannot be made there; [`StoreError::Failed`] when this storage makes no copies.
    fn backup(&self, _dir: &Path) -> Result<(), StoreError> {
        Err(StoreError::Failed("this storage makes no copies".into()))
    }
    /// [`StoreError::Full`] does not go away though there is space: opens the storage again, dropping what was written in
    /// part, and what was not logged.
    fn reopen(&self) -> Result<(), StoreError>;
}

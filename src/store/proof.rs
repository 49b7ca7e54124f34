//! What proves that a commit was synced, kept apart from what RocksDB can read: a start compares the two before RocksDB may
//! drop anything (reliability.md 5.1, C9).
//!
//! - The file `COMMITS` beside RocksDB's holds a random mark of this store and the last synced commit, written after its
//!   sync. It is exact after a kill, and may be some seconds old after a power cut.
//! - Each commit's *marker* in the log holds the mark, its number and the last synced one before it. It is found in the raw
//!   log even behind a hole; the mark keeps a message from looking like one.

use super::StoreError;
use super::committer::Epoch;
use parking_lot::Mutex;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The file's name.
pub const NAME: &str = "COMMITS";
const VERSION: u32 = 1;
/// Version, mark, checksum of both: written once.
const HEAD: usize = 24;
/// Number of the last synced commit and its checksum: written in place.
const TAIL: usize = 12;

/// Random bytes that no message can contain on purpose.
pub type Mark = [u8; 16];

/// The file, open and locked: a second broker on the same directory is refused by it.
#[derive(Debug)]
pub struct Proof {
    file: Mutex<File>,
    mark: Mark,
    synced: Epoch,
}

impl Proof {
    /// Opens the file in `dir`, or makes it.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process has it; [`StoreError::Directory`] when it may not be written; [`StoreError::Corrupt`] when it is damaged, or missing beside
    /// other files of a store.
    pub fn open(dir: &Path) -> Result<Proof, StoreError> {
        let path = dir.join(NAME);
        let failed = |error: std::io::Error| StoreError::Failed(format!("{}: {error}", path.display()));
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let refused = |error: std::io::Error| StoreError::Directory(dir.display().to_string(), error.to_string());
        let file = opened.map_err(refused)?;
        let exclusive = rustix::fs::FlockOperation::NonBlockingLockExclusive;
        rustix::fs::flock(&file, exclusive).map_err(|_| StoreError::InUse(dir.display().to_string()))?;
        let mut content = [0; HEAD + TAIL];
        let whole = file.metadata().map_err(failed)?.len() >= content.len() as u64;
        let other = files(dir).find(|name| is_rocksdb(name));
        if let (false, Some(other)) = (whole, &other) {
            return Err(StoreError::Corrupt(format!("{} has {other} but no whole {NAME} file", dir.display())));
        }
        if !whole {
            let mut mark = Mark::default();
            getrandom::fill(&mut mark).map_err(|error| StoreError::Failed(format!("no random bytes: {error}")))?;
            file.write_all_at(&encode(mark), 0).and_then(|()| file.sync_all()).map_err(failed)?;
            File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)?;
            return Ok(Proof { file: Mutex::new(file), mark, synced: 0 });
        }
        let damaged = || StoreError::Corrupt(format!("{} is damaged", path.display()));
        file.read_exact_at(&mut content, 0).map_err(|_| damaged())?;
        let (mark, synced) = decode(&content).ok_or_else(damaged)?;
        if synced > 0 && !files(dir).any(|name| name == "CURRENT") {
            return Err(StoreError::Corrupt(format!("{} has {NAME} but no CURRENT file", dir.display())));
        }
        Ok(Proof { file: Mutex::new(file), mark, synced })
    }

    /// The store's mark.
    pub fn mark(&self) -> &Mark {
        &self.mark
    }

    /// Notes that `epoch` is synced. A failure is no harm: the next one repeats it.
    pub fn note(&self, epoch: Epoch) {
        let _ = self.file.lock().write_all_at(&tail(epoch), HEAD as u64);
    }

    /// Writes the file of a copy of the store in `dir`, which `synced` is for sure in, and syncs it.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write_copy(&self, dir: &Path, synced: Epoch) -> std::io::Result<()> {
        let mut content = encode(self.mark);
        content.truncate(HEAD);
        content.extend_from_slice(&tail(synced));
        let file = File::create(dir.join(NAME))?;
        file.write_all_at(&content, 0)?;
        file.sync_all()
    }

    /// The last commit that was noted as synced; 0 when none was, or it cannot be read.
    pub fn noted(&self) -> Epoch {
        let mut content = [0; HEAD + TAIL];
        let read = self.file.lock().read_exact_at(&mut content, 0);
        read.ok().and_then(|()| decode(&content)).map_or(0, |(_, synced)| synced)
    }

    /// The highest commit that was synced for sure, by the file and by the logs in `dir`; 0 when nothing is known.
    pub fn proven(&self, dir: &Path) -> Epoch {
        let logs = files(dir).filter(|name| name.ends_with(".log"));
        let read = logs.filter_map(|name| std::fs::read(dir.join(name)).ok());
        read.map(|log| self.proven_by(&log)).max().unwrap_or(0).max(self.synced)
    }

    fn proven_by(&self, log: &[u8]) -> Epoch {
        let starts = log.windows(self.mark.len()).enumerate().filter(|(_, window)| *window == self.mark);
        let markers = starts.filter_map(|(at, _)| read_marker(&self.mark, log.get(at..)?));
        markers.map(|(_, synced)| synced).max().unwrap_or(0)
    }
}

/// What a commit says of itself: its number, and the last commit that was synced before it.
pub fn marker(mark: &Mark, epoch: Epoch, synced: Epoch) -> Vec<u8> {
    let mut content = mark.to_vec();
    content.extend_from_slice(&epoch.to_le_bytes());
    content.extend_from_slice(&synced.to_le_bytes());
    let crc = crc32fast::hash(&content);
    content.extend_from_slice(&crc.to_le_bytes());
    content
}

/// Reads what [`marker`] made from the start of `bytes`: the commit, and the last synced before it.
pub fn read_marker(mark: &Mark, bytes: &[u8]) -> Option<(Epoch, Epoch)> {
    let (content, rest) = bytes.split_first_chunk::<32>()?;
    let crc = u32::from_le_bytes(*rest.first_chunk()?);
    let (words, _) = content.as_chunks::<8>();
    match words {
        [_, _, epoch, synced] if content.starts_with(mark) && crc == crc32fast::hash(content) => {
            Some((u64::from_le_bytes(*epoch), u64::from_le_bytes(*synced)))
        }
        _ => None,
    }
}

fn tail(epoch: Epoch) -> [u8; TAIL] {
    let mut tail = [0; TAIL];
    let (number, crc) = tail.split_at_mut(8);
    number.copy_from_slice(&epoch.to_le_bytes());
    crc.copy_from_slice(&crc32fast::hash(number).to_le_bytes());
    tail
}

fn encode(mark: Mark) -> Vec<u8> {
    let mut content = VERSION.to_le_bytes().to_vec();
    content.extend_from_slice(&mark);
    let crc = crc32fast::hash(&content);
    content.extend_from_slice(&crc.to_le_bytes());
    content.extend_from_slice(&tail(0));
    content
}

fn decode(content: &[u8]) -> Option<(Mark, Epoch)> {
    let (version, rest) = content.split_first_chunk::<4>()?;
    let (mark, rest) = rest.split_first_chunk::<16>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let (number, number_crc) = rest.split_first_chunk::<8>()?;
    let whole = u32::from_le_bytes(*version) == VERSION
        && u32::from_le_bytes(*crc) == crc32fast::hash(content.get(..20)?)
        && u32::from_le_bytes(*number_crc.first_chunk()?) == crc32fast::hash(number);
    whole.then_some((*mark, u64::from_le_bytes(*number)))
}

fn files(dir: &Path) -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok())
}

/// Files without which a store cannot be read.
pub fn is_rocksdb(name: &str) -> bool {
    name == "CURRENT"
        || name.starts_with("MANIFEST-")
        || [".log", ".sst", ".blob"].iter().any(|end| name.ends_with(end))
}

//! Detached bodies on disk (design.md 6): each once, with the number of records that refer to it.
//!
//! | key | value |
//! |---|---|
//! | `b` number | the body |
//! | `c` number | how many records of stored chunks refer to it |
//! | `r` chunk key | the numbers that the chunk's records refer to |
//!
//! Counts change in the batch that stores or deletes the chunk, so no crash comes between: a start has nothing to look for.
//! There is one writer, so a count is read, changed and written. A body goes with its last reference, in the same batch; it
//! is stored with its first one, also if that is the first for the second time. The list of a chunk is what gives its
//! references back when it is deleted unread: by a purge, with its queue. What is paged out without log has the same
//! keys in its own family.

use super::committer::Epoch;
use super::{Change, Family, Storage, StoreError, keys, records};
use crate::broker::body::{Body, BodyId};
use crate::broker::message::{Chunk, Ledger};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// Forgotten bodies are swept out of the pool when it has doubled, from this many on.
const SWEPT: usize = 64;

/// The detached bodies in memory, so that all queues share one copy, and the numbers of new ones.
#[derive(Debug)]
pub struct BodyPool {
    start: Epoch,
    next: AtomicU64,
    ledger: Arc<Ledger>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    bodies: HashMap<BodyId, Weak<Body>>,
    sweep_at: usize,
}

impl Known {
    fn add(&mut self, body: &Arc<Body>) {
        if self.bodies.len() >= self.sweep_at.max(SWEPT) {
            self.bodies.retain(|_, body| body.strong_count() > 0);
            self.sweep_at = self.bodies.len() * 2;
        }
        self.bodies.insert(body.id(), Arc::downgrade(body));
    }
}

impl BodyPool {
    /// A pool for a process whose first commit is `start`: no other process that stored a body had the same.
    pub fn new(start: Epoch, ledger: Arc<Ledger>) -> BodyPool {
        BodyPool { start, next: AtomicU64::new(0), ledger, known: Mutex::default() }
    }

    /// Where bodies are counted.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Detaches a body.
    pub fn make(&self, body: &[u8]) -> Arc<Body> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let id = BodyId((u128::from(self.start) << 64) | u128::from(number));
        let body = Arc::new(Body::new(id, body, &self.ledger));
        self.known.lock().add(&body);
        body
    }

    /// The body of a number: the one in memory, or read from disk. None when it is not there.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it is damaged.
    pub fn read(&self, storage: &dyn Storage, family: Family, id: BodyId) -> Result<Option<Arc<Body>>, StoreError> {
        if let Some(body) = self.known.lock().bodies.get(&id).and_then(Weak::upgrade) {
            return Ok(Some(body));
        }
        let Some(bytes) = storage.get(family, &keys::body(id))? else { return Ok(None) };
        let damaged = || StoreError::Corrupt(format!("body number {:x}", id.0));
        let body = Arc::new(Body::load(id, bytes, &self.ledger).ok_or_else(damaged)?);
        self.known.lock().add(&body);
        Ok(Some(body))
    }
}

/// Adds to a batch what its chunks mean for detached bodies.
///
/// # Errors
/// When what is on disk cannot be read.
pub fn count(storage: &dyn Storage, changes: &mut Vec<Change>) -> Result<(), StoreError> {
    count_family(storage, (Family::Chunks, Family::Bodies), changes)?;
    count_family(storage, (Family::Transient, Family::Transient), changes)
}

fn count_family(
    storage: &dyn Storage,
    (chunks, bodies): (Family, Family),
    changes: &mut Vec<Change>,
) -> Result<(), StoreError> {
    let concerns = |change: &Change| match change {
        Change::PutChunk(family, _, chunk) => *family == chunks && chunk.refers(),
        Change::Delete(family, key) => *family == bodies && keys::referrer(key).is_some(),
        Change::DeleteRange(family, _, _) => *family == chunks,
        Change::Put(..) | Change::PutBody(..) => false,
    };
    if !changes.iter().any(concerns) {
        return Ok(());
    }
    let mut tally =
        Tally { storage, family: bodies, lists: BTreeMap::new(), bodies: BTreeMap::new(), more: Vec::new() };
    for change in changes.iter().filter(|change| concerns(change)) {
        match change {
            Change::PutChunk(_, key, chunk) => tally.refer(keys::references(key), chunk),
            Change::Delete(_, key) => tally.give_back(key)?,
            Change::DeleteRange(_, from, to) => tally.give_back_all(&keys::references(from), &keys::references(to))?,
            Change::Put(..) | Change::PutBody(..) => {}
        }
    }
    changes.append(&mut tally.finish()?);
    Ok(())
}

/// What a batch does to references.
struct Tally<'s> {
    storage: &'s dyn Storage,
    family: Family,
    /// Lists of chunks that the batch has touched, as they are after it; None: gone.
    lists: BTreeMap<Vec<u8>, Option<Vec<BodyId>>>,
    /// By how much the counts change, and the bodies if they are in memory.
    bodies: BTreeMap<BodyId, (i64, Option<Arc<Body>>)>,
    more: Vec<Change>,
}

impl Tally<'_> {
    fn refer(&mut self, list: Vec<u8>, chunk: &Chunk) {
        let mut ids = Vec::new();
        for body in chunk.detached() {
            ids.push(body.id());
            let (count, known) = self.bodies.entry(body.id()).or_default();
            *count += 1;
            known.get_or_insert_with(|| body.clone());
        }
        self.lists.insert(list, Some(ids));
    }

    fn give_back(&mut self, list: &[u8]) -> Result<(), StoreError> {
        let ids = match self.lists.insert(list.to_vec(), None) {
            Some(known) => known.unwrap_or_default(),
            None => match self.storage.get(self.family, list)? {
                Some(value) => read_ids(&value)?,
                None => Vec::new(),
            },
        };
        ids.into_iter().for_each(|id| self.bodies.entry(id).or_default().0 -= 1);
        Ok(())
    }

    fn give_back_all(&mut self, from: &[u8], to: &[u8]) -> Result<(), StoreError> {
        let mut lists: Vec<Vec<u8>> =
            self.lists.range(from.to_vec()..to.to_vec()).map(|(list, _)| list.clone()).collect();
        self.storage.scan(self.family, from, to, &mut |key, _| {
            lists.push(key.to_vec());
            true
        })?;
        // Those that the batch has touched are there twice; the second time gives nothing back.
        for list in lists {
            self.give_back(&list)?;
            self.more.push(Change::Delete(self.family, list));
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<Change>, StoreError> {
        for (id, (change, body)) in std::mem::take(&mut self.bodies) {
            let key = keys::body_count(id);
            let stored = self.storage.get(self.family, &key)?.map_or(Ok(0), |value| read_count(&value))?;
            let count = stored.saturating_add(change).max(0);
            match body {
                Some(body) if stored == 0 && count > 0 => self.more.push(Change::PutBody(self.family, body)),
                _ if stored > 0 && count == 0 => self.more.push(Change::Delete(self.family, keys::body(id))),
                _ => {}
            }
            if count > 0 && count != stored {
                self.more.push(Change::Put(self.family, key, records::seal(&count.to_le_bytes())));
            } else if count == 0 && stored > 0 {
                self.more.push(Change::Delete(self.family, key));
            }
        }
        for (list, ids) in self.lists {
            if let Some(ids) = ids {
                let content: Vec<u8> = ids.iter().flat_map(|id| id.0.to_be_bytes()).collect();
                self.more.push(Change::Put(self.family, list, records::seal(&content)));
            }
        }
        Ok(self.more)
    }
}

fn read_ids(value: &[u8]) -> Result<Vec<BodyId>, StoreError> {
    let (ids, _) = records::open(value, "references to bodies")?.as_chunks::<16>();
    Ok(ids.iter().map(|id| BodyId(u128::from_be_bytes(*id))).collect())
}

fn read_count(value: &[u8]) -> Result<i64, StoreError> {
    let count = records::open(value, "count of references")?.first_chunk::<8>();
    count.map(|count| i64::from_le_bytes(*count)).ok_or_else(|| StoreError::Corrupt("count of references".into()))
}

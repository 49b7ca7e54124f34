//! What a start reads: definitions and queue states. The messages stay where they are, so a start takes as long with ten
//! million messages as with none. And the reading of chunks when they are wanted.

use super::bodies::BodyPool;
use super::committer::Epoch;
use super::{Family, Storage, StoreError, keys, proof, records};
use crate::broker::delayed::{DelayState, LoadDelayed, Place};
use crate::broker::identity::{DelayId, QueueId};
use crate::broker::message::{Chunk, Ledger, stored_weight};
use crate::broker::queue::{LoadRequest, QueueState, Settled, StoredChunk};
use crate::value::Table;
use std::collections::HashMap;
use std::sync::Arc;

/// All that a start needs to know.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Definitions as stored: key and fields.
    pub definitions: Vec<(Vec<u8>, Table)>,
    /// States of durable queues' levels, each with its index.
    pub queues: HashMap<QueueId, Vec<(u8, QueueState)>>,
    /// Deduplication windows of queues and exchanges: blocks, each with the number of its first entry.
    pub windows: HashMap<QueueId, Vec<(u64, Vec<u8>)>>,
    /// Number of the last commit.
    pub last_epoch: Epoch,
    /// Whether the last stop was clean: queue states are exact then.
    pub clean_stop: bool,
}

/// Reads definitions, states and deduplication windows.
///
/// # Errors
/// [`StoreError::Corrupt`] when a value is damaged: nothing is skipped silently.
pub fn recover(storage: &dyn Storage) -> Result<Recovered, StoreError> {
    let mut recovered = Recovered::default();
    let mut outcome = Ok(());
    storage.scan(Family::Definitions, b"", &[0xff; 9], &mut |key, value| {
        match records::read_definition(value) {
            Ok(fields) => recovered.definitions.push((key.to_vec(), fields)),
            Err(error) => outcome = Err(error),
        }
        outcome.is_ok()
    })?;
    outcome?;
    let (mut outcome, mark) = (Ok(()), storage.mark());
    storage.scan(Family::QueueState, b"", &[0xff; 10], &mut |key, value| {
        let read = match keys::queue_of(key) {
            Some((queue, level)) => records::read_queue_state(value).map(|state| {
                recovered.queues.entry(queue).or_default().push((level, state));
            }),
            None if key == keys::CLEAN_STOP => {
                recovered.clean_stop = true;
                Ok(())
            }
            None => match proof::read_marker(&mark, value) {
                Some((epoch, _)) => {
                    recovered.last_epoch = epoch;
                    Ok(())
                }
                None => Err(StoreError::Corrupt("number of the last commit".into())),
            },
        };
        outcome = read;
        outcome.is_ok()
    })?;
    outcome?;
    let mut outcome = Ok(());
    storage.scan(Family::Identities, b"", &[0xff; 17], &mut |key, value| {
        match (keys::owner_of(key), keys::chunk_first(key), records::open(value, "deduplication window")) {
            (Some(owner), Some(first), Ok(block)) => {
                recovered.windows.entry(owner).or_default().push((first, block.to_vec()));
            }
            (_, _, Err(error)) => outcome = Err(error),
            _ => outcome = Err(StoreError::Corrupt("deduplication window".into())),
        }
        outcome.is_ok()
    })?;
    outcome?;
    Ok(recovered)
}

/// Reads chunks of a queue: durable and spilled ones, in order, until `request.bytes` are there. Returns them and the
/// sequence number up to which nothing else is stored.
///
/// # Errors
/// [`StoreError::Corrupt`] when a chunk is damaged.
pub fn load(
    storage: &dyn Storage,
    queue: QueueId,
    request: LoadRequest,
    pool: &BodyPool,
) -> Result<(Vec<StoredChunk>, u64), StoreError> {
    let durable = load_family(storage, Family::Chunks, queue, request, pool)?;
    let transient = load_family(storage, Family::Transient, queue, request, pool)?;
    // What one family did not get to must not be overtaken by the other.
    let end = durable.1.min(transient.1);
    let mut chunks: Vec<StoredChunk> = durable.0.into_iter().chain(transient.0).collect();
    chunks.retain(|stored| stored.chunk.first() < end);
    chunks.sort_by_key(|stored| stored.chunk.first());
    Ok((chunks, end))
}

fn load_family(
    storage: &dyn Storage,
    family: Family,
    queue: QueueId,
    request: LoadRequest,
    pool: &BodyPool,
) -> Result<(Vec<StoredChunk>, u64), StoreError> {
    let durable = family == Family::Chunks;
    let bodies = if durable { Family::Bodies } else { Family::Transient };
    let (mut chunks, mut read, mut bytes, mut end) = (Vec::new(), Vec::new(), 0, request.end);
    let (from, to) = (keys::chunk(queue, request.first), keys::chunk(queue, request.end));
    storage.scan(family, &from, &to, &mut |key, value| {
        let first = keys::chunk_first(key).unwrap_or_default();
        if bytes >= request.bytes {
            end = first;
            return false;
        }
        bytes += stored_weight(value);
        read.push((first, value.to_vec()));
        true
    })?;
    for (first, value) in read {
        let mut failed = None;
        let find = |id| {
            pool.read(storage, bodies, id).unwrap_or_else(|error| {
                failed = Some(error);
                None
            })
        };
        match Chunk::load(first, durable, value, pool.ledger(), find) {
            Some(chunk) => chunks.push(StoredChunk { chunk, settled: Settled::default(), returns: Vec::new() }),
            // It was deleted after it was read, and with it the bodies that nothing else refers to.
            None if storage.get(family, &keys::chunk(queue, first))?.is_none() => {}
            None => {
                let text = format!("messages from {first} on of queue number {}", queue.0);
                return Err(failed.unwrap_or(StoreError::Corrupt(text)));
            }
        }
    }
    if durable && let (Some(first), Some(last)) = (chunks.first(), chunks.last()) {
        let range = (keys::chunk(queue, first.chunk.first()), keys::chunk(queue, last.chunk.end()));
        load_settled(storage, range, &mut chunks)?;
    }
    Ok((chunks, end))
}

fn load_settled(
    storage: &dyn Storage,
    range: ([u8; 16], [u8; 16]),
    chunks: &mut [StoredChunk],
) -> Result<(), StoreError> {
    let mut outcome = Ok(());
    storage.scan(Family::Settled, &range.0, &range.1, &mut |key, value| {
        let first = keys::chunk_first(key);
        if keys::is_returns(key) {
            let sequence = first.unwrap_or_default();
            let after = chunks.partition_point(|stored| stored.chunk.first() <= sequence);
            match (records::read_returns(value), after.checked_sub(1).and_then(|at| chunks.get_mut(at))) {
                (Ok(returns), Some(stored)) => stored.returns.push((sequence, returns)),
                (Ok(_), None) => {}
                (Err(error), _) => outcome = Err(error),
            }
            return outcome.is_ok();
        }
        let read = records::open(value, "settlements").map(Settled::decode);
        let at = first.and_then(|first| chunks.binary_search_by_key(&first, |stored| stored.chunk.first()).ok());
        match (read, at.and_then(|at| chunks.get_mut(at))) {
            (Ok(Some(settled)), Some(stored)) => stored.settled = settled,
            (Ok(None), _) => outcome = Err(StoreError::Corrupt("settlements".into())),
            (Ok(Some(_)), None) => {}
            (Err(error), _) => outcome = Err(error),
        }
        outcome.is_ok()
    })?;
    outcome
}

/// The state of an exchange's delayed messages: the empty one when none was ever stored.
///
/// # Errors
/// [`StoreError::Corrupt`].
pub fn delay_state(storage: &dyn Storage, id: DelayId) -> Result<DelayState, StoreError> {
    let value = storage.get(Family::Delayed, &keys::delay_state(id))?;
    value.map_or(Ok(DelayState::default()), |value| records::read_delay_state(&value))
}

/// Keys from the first on and before the second.
pub type KeyRange = (Vec<u8>, Vec<u8>);

/// The ranges of keys that hold delayed messages of exchanges that are not among `known`, which is sorted: they were not
/// durable. One look for each exchange.
///
/// # Errors
/// When the disk cannot be read.
pub fn stray_delays(storage: &dyn Storage, known: &[DelayId]) -> Result<Vec<KeyRange>, StoreError> {
    let ends = known.iter().map(|id| keys::delay_state(*id).to_vec()).chain([vec![0xff; 25]]);
    let starts = [Vec::new()].into_iter().chain(known.iter().map(|id| keys::delay_state(DelayId(id.0 + 1)).to_vec()));
    let mut strays = Vec::new();
    for (from, to) in starts.zip(ends) {
        let mut found = false;
        storage.scan(Family::Delayed, &from, &to, &mut |_, _| {
            found = true;
            false
        })?;
        if found {
            strays.push((from, to));
        }
    }
    Ok(strays)
}

/// Delayed messages as they were read from disk.
#[derive(Debug, Default)]
pub struct LoadedDelays {
    /// Chunks in order.
    pub chunks: Vec<(Place, Chunk)>,
    /// The place of the first that was not read; None: there is no more.
    pub end: Option<Place>,
    /// The first that is damaged.
    pub damaged: Option<Place>,
}

/// Reads delayed messages of an exchange in order of due time, until `request.bytes` are there.
///
/// # Errors
/// When the disk cannot be read.
pub fn load_delayed(
    storage: &dyn Storage,
    id: DelayId,
    request: LoadDelayed,
    ledger: &Arc<Ledger>,
) -> Result<LoadedDelays, StoreError> {
    let (mut loaded, mut bytes) = (LoadedDelays::default(), 0);
    let (from, to) = (keys::delayed(id, request.from), keys::delayed(id, Place::END));
    storage.scan(Family::Delayed, &from, &to, &mut |key, value| {
        let Some(place) = keys::delayed_place(key) else { return true };
        if bytes >= request.bytes {
            loaded.end = Some(place);
            return false;
        }
        bytes += value.len();
        match Chunk::load_plain(0, true, value.to_vec(), ledger) {
            Some(chunk) => loaded.chunks.push((place, chunk)),
            None => loaded.damaged = loaded.damaged.or(Some(place)),
        }
        true
    })?;
    Ok(loaded)
}

//! The shape of values: a version byte and a checksum before the content.

use super::StoreError;
use crate::broker::queue::QueueState;
use crate::value::Table;

const VERSION: u8 = 1;
/// Begins a commit's marker; unlikely to begin anything else.
const MARKER: [u8; 8] = *b"\x01WRNcmt\x02";

/// Content with version and checksum before it.
pub fn seal(content: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(content.len() + 5);
    value.push(VERSION);
    value.extend_from_slice(&crc32fast::hash(content).to_le_bytes());
    value.extend_from_slice(content);
    value
}

/// The content that [`seal`] sealed; `what` names it in the error.
///
/// # Errors
/// [`StoreError::Corrupt`] when the version is another or the checksum does not fit.
pub fn open<'a>(value: &'a [u8], what: &str) -> Result<&'a [u8], StoreError> {
    match value.split_first_chunk::<5>() {
        Some(([VERSION, c0, c1, c2, c3], content))
            if u32::from_le_bytes([*c0, *c1, *c2, *c3]) == crc32fast::hash(content) =>
        {
            Ok(content)
        }
        _ => Err(StoreError::Corrupt(format!("{what}: wrong version or checksum"))),
    }
}

/// What a commit says of itself: its number, and the last commit that was synced before it. It can be found in the raw
/// log, so that a hole in the log is seen (reliability.md 5.1, C9).
pub fn marker(epoch: u64, synced: u64) -> Vec<u8> {
    let mut content = MARKER.to_vec();
    content.extend_from_slice(&epoch.to_le_bytes());
    content.extend_from_slice(&synced.to_le_bytes());
    let crc = crc32fast::hash(&content);
    content.extend_from_slice(&crc.to_le_bytes());
    content
}

/// Reads what [`marker`] made from the start of `bytes`: the commit, and the last synced before it.
pub fn read_marker(bytes: &[u8]) -> Option<(u64, u64)> {
    let (content, rest) = bytes.split_first_chunk::<24>()?;
    let crc = u32::from_le_bytes(*rest.first_chunk()?);
    let (words, _) = content.as_chunks::<8>();
    match words {
        [magic, epoch, synced] if *magic == MARKER && crc == crc32fast::hash(content) => {
            Some((u64::from_le_bytes(*epoch), u64::from_le_bytes(*synced)))
        }
        _ => None,
    }
}

/// The highest commit that the raw bytes of a log prove to have been synced; 0 when they prove none.
pub fn proven_synced(log: &[u8]) -> u64 {
    let starts = log.windows(MARKER.len()).enumerate().filter(|(_, window)| *window == MARKER);
    let markers = starts.filter_map(|(at, _)| read_marker(log.get(at..)?));
    markers.map(|(_, synced)| synced).max().unwrap_or(0)
}

/// A queue's state.
pub fn queue_state(state: &QueueState) -> Vec<u8> {
    let fields = [state.next_sequence, state.first, state.messages, state.bytes, state.maybe_delivered];
    let content: Vec<u8> = fields.iter().flat_map(|field| field.to_le_bytes()).collect();
    seal(&content)
}

/// Reads what [`queue_state`] made.
///
/// # Errors
/// [`StoreError::Corrupt`].
pub fn read_queue_state(value: &[u8]) -> Result<QueueState, StoreError> {
    let content = open(value, "state of a queue")?;
    let (fields, _) = content.as_chunks::<8>();
    match fields {
        [next_sequence, first, messages, bytes, maybe_delivered] => Ok(QueueState {
            next_sequence: u64::from_le_bytes(*next_sequence),
            first: u64::from_le_bytes(*first),
            messages: u64::from_le_bytes(*messages),
            bytes: u64::from_le_bytes(*bytes),
            maybe_delivered: u64::from_le_bytes(*maybe_delivered),
        }),
        _ => Err(corrupt("state of a queue")),
    }
}

/// A definition: its fields as a table.
pub fn definition(fields: &Table) -> Vec<u8> {
    let mut content = Vec::new();
    fields.encode_content(&mut content);
    seal(&content)
}

/// Reads what [`definition`] made.
///
/// # Errors
/// [`StoreError::Corrupt`].
pub fn read_definition(value: &[u8]) -> Result<Table, StoreError> {
    Table::decode(open(value, "definition")?).map_err(|_| corrupt("definition"))
}

fn corrupt(what: &str) -> StoreError {
    StoreError::Corrupt(format!("{what}: not of the expected shape"))
}

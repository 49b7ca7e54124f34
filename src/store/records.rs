//! The shape of values: a version byte and a checksum before the content.

use super::StoreError;
use crate::broker::delayed::{DelayState, Place};
use crate::broker::message::Returns;
use crate::broker::queue::QueueState;
use crate::value::Table;

const VERSION: u8 = 1;

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

/// A queue's state.
pub fn queue_state(state: &QueueState) -> Vec<u8> {
    let QueueState { next_sequence, first, messages, bytes, maybe_delivered, body_bytes, timed } = *state;
    let fields = [next_sequence, first, messages, bytes, maybe_delivered, body_bytes, u64::from(timed)];
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
        [next_sequence, first, messages, bytes, maybe_delivered, body_bytes, timed] => Ok(QueueState {
            next_sequence: u64::from_le_bytes(*next_sequence),
            first: u64::from_le_bytes(*first),
            messages: u64::from_le_bytes(*messages),
            bytes: u64::from_le_bytes(*bytes),
            maybe_delivered: u64::from_le_bytes(*maybe_delivered),
            body_bytes: u64::from_le_bytes(*body_bytes),
            timed: u64::from_le_bytes(*timed) != 0,
        }),
        _ => Err(corrupt("state of a queue")),
    }
}

/// How often a message came back.
pub fn returns(returns: Returns) -> Vec<u8> {
    let content: Vec<u8> = [returns.failed, returns.acquired].iter().flat_map(|count| count.to_le_bytes()).collect();
    seal(&content)
}

/// Reads what [`returns`] made.
///
/// # Errors
/// [`StoreError::Corrupt`].
pub fn read_returns(value: &[u8]) -> Result<Returns, StoreError> {
    let (counts, _) = open(value, "count of returns")?.as_chunks::<4>();
    match counts {
        [failed, acquired] => {
            Ok(Returns { failed: u32::from_le_bytes(*failed), acquired: u32::from_le_bytes(*acquired) })
        }
        _ => Err(corrupt("count of returns")),
    }
}

/// The state of an exchange's delayed messages.
pub fn delay_state(state: &DelayState) -> Vec<u8> {
    let DelayState { next_number, messages, first } = *state;
    let fields = [next_number, messages, first.due, first.number];
    let content: Vec<u8> = fields.iter().flat_map(|field| field.to_le_bytes()).collect();
    seal(&content)
}

/// Reads what [`delay_state`] made.
///
/// # Errors
/// [`StoreError::Corrupt`].
pub fn read_delay_state(value: &[u8]) -> Result<DelayState, StoreError> {
    let (fields, _) = open(value, "state of delayed messages")?.as_chunks::<8>();
    match fields {
        [next_number, messages, due, number] => Ok(DelayState {
            next_number: u64::from_le_bytes(*next_number),
            messages: u64::from_le_bytes(*messages),
            first: Place { due: u64::from_le_bytes(*due), number: u64::from_le_bytes(*number) },
        }),
        _ => Err(corrupt("state of delayed messages")),
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

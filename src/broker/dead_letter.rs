//! What becomes of a message when it is dead-lettered (compat.md 2.5): other keys, a history in its headers, and no
//! expiration any more.

use super::content::Content;
use super::message::Record;
use super::queue::Reason;
use crate::value::{Reader, Table, Value};

/// Headers of the first and of the last death: reason, queue, exchange.
const FIRST_DEATH: [&str; 3] = ["x-first-death-reason", "x-first-death-queue", "x-first-death-exchange"];
const LAST_DEATH: [&str; 3] = ["x-last-death-reason", "x-last-death-queue", "x-last-death-exchange"];

/// How and where a message dies.
#[derive(Clone, Copy, Debug)]
pub struct Death<'a> {
    /// The queue it leaves.
    pub queue: &'a str,
    /// Why.
    pub reason: Reason,
    /// The dead-letter exchange.
    pub exchange: &'a str,
    /// The dead-letter routing key; None: the message keeps its own.
    pub routing_key: Option<&'a str>,
    /// Seconds since the Unix epoch.
    pub time: u64,
}

/// A message as it is published to the dead-letter exchange.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Exchange and routing key as on the wire.
    pub exchange_and_key: Vec<u8>,
    /// Content header with its history.
    pub header: Vec<u8>,
    /// The keys to route with: the routing key, then those of CC.
    pub keys: Vec<Vec<u8>>,
    /// Its deaths, the last one first.
    deaths: Vec<Table>,
}

impl Letter {
    /// Makes the dead letter of a message. None when its content header is damaged.
    pub fn of(record: &Record<'_>, death: &Death<'_>) -> Option<Letter> {
        let content = Content::parse(record.header)?;
        let mut names = Reader::new(record.exchange_and_key);
        let (exchange, key) = (names.short_string()?, names.short_string()?);
        let mut keys = vec![key.to_vec()];
        if let Some(Value::Array(more)) = content.header("CC") {
            keys.extend(more.iter().filter_map(Value::as_long_string).map(<[u8]>::to_vec));
        }
        let mut deaths = if record.died { deaths(&content) } else { Vec::new() };
        record_death(&mut deaths, death, exchange, &keys, content.expiration());
        if let Some(key) = death.routing_key {
            keys = vec![key.as_bytes().to_vec()];
        }
        let mut exchange_and_key = Vec::new();
        for name in [death.exchange.as_bytes(), keys.first()?] {
            exchange_and_key.push(u8::try_from(name.len()).ok()?);
            exchange_and_key.extend_from_slice(name);
        }
        let mut added = Table::new();
        added.insert("x-death", Value::Array(deaths.iter().cloned().map(Value::Table).collect()));
        let first = record.died && content.header("x-first-death-queue").is_some();
        for names in if first { &[LAST_DEATH][..] } else { &[FIRST_DEATH, LAST_DEATH] } {
            let facts = [death.reason.name().as_bytes(), death.queue.as_bytes(), exchange];
            for (name, fact) in names.iter().zip(facts) {
                added.insert(*name, Value::LongString(fact.to_vec()));
            }
        }
        let keeps_cc = death.routing_key.is_none();
        let keep = |key: &[u8]| added.get(key).is_none() && (keeps_cc || key != b"CC");
        let header = content.rewrite(keep, &added, false)?;
        Some(Letter { exchange_and_key, header, keys, deaths })
    }

    /// Whether the letter may go to `queue`: not if it has been there and nobody rejected it since. A rejected message
    /// may go anywhere.
    pub fn may_enter(&self, queue: &str, reason: Reason) -> bool {
        let field = |death: &Table, key: &str, value: &str| death.get(key).and_then(Value::as_str) == Some(value);
        let Some(at) = self.deaths.iter().position(|death| field(death, "queue", queue)) else { return true };
        reason == Reason::Rejected || self.deaths.iter().take(at + 1).any(|death| field(death, "reason", "rejected"))
    }
}

fn deaths(content: &Content<'_>) -> Vec<Table> {
    let Some(Value::Array(deaths)) = content.header("x-death") else { return Vec::new() };
    deaths.into_iter().filter_map(|death| if let Value::Table(death) = death { Some(death) } else { None }).collect()
}

/// Counts a death: one entry for each queue and reason, the latest at the front.
fn record_death(
    deaths: &mut Vec<Table>,
    death: &Death<'_>,
    exchange: &[u8],
    keys: &[Vec<u8>],
    expiration: Option<&[u8]>,
) {
    let text = |bytes: &[u8]| Value::LongString(bytes.to_vec());
    let same = |other: &Table| {
        other.get("queue").and_then(Value::as_str) == Some(death.queue)
            && other.get("reason").and_then(Value::as_str) == Some(death.reason.name())
    };
    if let Some(at) = deaths.iter().position(same) {
        let mut entry = deaths.remove(at);
        let count = entry.get("count").and_then(Value::as_integer).unwrap_or(0);
        entry.insert("count", Value::I64(count.saturating_add(1)));
        deaths.insert(0, entry);
        return;
    }
    let mut entry = Table::new();
    if let Some(expiration) = expiration {
        entry.insert("original-expiration", text(expiration));
    }
    entry.insert("count", Value::I64(1));
    entry.insert("reason", text(death.reason.name().as_bytes()));
    entry.insert("queue", text(death.queue.as_bytes()));
    entry.insert("time", Value::Timestamp(death.time));
    entry.insert("exchange", text(exchange));
    entry.insert("routing-keys", Value::Array(keys.iter().map(|key| text(key)).collect()));
    deaths.insert(0, entry);
}

#[cfg(test)]
#[path = "dead_letter_tests.rs"]
mod tests;

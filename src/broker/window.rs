//! A deduplication window (compat.md 2.11, 7 row 9): the identities of the last messages, bounded by number and time.
//!
//! An identity is what a message's deduplication header says; of it a hash of 128 bits is kept, cryptographic, so that nobody
//! can make two messages look alike. Entries leave in the order in which they came: when others push them out, or when
//! their time is over. Consumption changes nothing.
//!
//! Entries of durable messages are written to disk in blocks, each after its message or with it; a block is deleted when none of
//! its entries is remembered any more.

use super::content::Content;
use crate::limits::DEDUPLICATION_ENTRIES;
use crate::value::Value;
use sha2::{Digest, Sha256};
use std::collections::{HashMap, VecDeque};

/// The header that identifies a message, if the window's owner names no other.
pub const DEDUPLICATION_HEADER: &str = "x-deduplication-header";

/// The header of a message that says how long it is remembered, in milliseconds.
const OWN_TTL: &str = "x-cache-ttl";
/// Entries of a block on disk.
const BLOCK_ENTRIES: usize = 1024;
/// Bytes of an entry on disk: number, deadline, identity.
const ENTRY_BYTES: usize = 32;

/// What a window is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowSettings {
    /// The header that identifies a message.
    pub header: String,
    /// How many identities are remembered; more than [`DEDUPLICATION_ENTRIES`] count as that.
    pub size: u64,
    /// How long each is, in milliseconds; None: until others push it out.
    pub ttl_ms: Option<u64>,
}

/// What stands for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity([u8; 16]);

/// What a message says about its deduplication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Its identity.
    pub identity: Identity,
    /// How long it is to be remembered, in milliseconds, if it says so itself.
    pub ttl_ms: Option<u64>,
}

impl Mark {
    /// Reads a message's content header. None when it has not the header `name`: it is no duplicate of anything.
    pub fn of(content: &[u8], name: &str) -> Option<Mark> {
        let content = Content::parse(content)?;
        let identity = Identity::of(&content.header(name).filter(|value| *value != Value::Void)?);
        Some(Mark { identity, ttl_ms: content.header(OWN_TTL).as_ref().and_then(whole_number) })
    }
}

impl Identity {
    /// Text by its bytes; numbers by value, whatever their width; all else by type and value.
    fn of(value: &Value) -> Identity {
        let mut hash = Sha256::new();
        match value {
            Value::LongString(bytes) | Value::Bytes(bytes) => {
                hash.update(b"text");
                hash.update(bytes);
            }
            other => {
                hash.update(if other.as_integer().is_some() { "number" } else { other.type_name() });
                hash.update(other.to_string());
            }
        }
        Identity(hash.finalize().first_chunk().copied().unwrap_or_default())
    }
}

/// A whole number of at least 0, also if it is written as text.
pub fn whole_number(value: &Value) -> Option<u64> {
    let number = value.as_integer().or_else(|| value.as_str()?.parse().ok())?;
    u64::try_from(number).ok()
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    identity: Identity,
    /// Wall clock ms; `u64::MAX`: never.
    deadline: u64,
    /// Its message is durable, and so is it.
    durable: bool,
}

/// What a commit writes of a window.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Blocks, by the number of their first entry.
    pub puts: Vec<(u64, Vec<u8>)>,
    /// Blocks of which no entry is remembered.
    pub deletes: Vec<u64>,
}

impl Stored {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.puts.is_empty() && self.deletes.is_empty()
    }
}

/// The window.
#[derive(Debug)]
pub struct Window {
    settings: WindowSettings,
    /// The number of the last entry of each identity.
    known: HashMap<Identity, u64>,
    /// In the order of their numbers, which are dense.
    entries: VecDeque<Entry>,
    /// The number of the first of them.
    first: u64,
    /// Durable entries from this number on are not collected yet.
    collected: u64,
    /// Blocks on disk: the numbers of their first and their last entry.
    blocks: VecDeque<(u64, u64)>,
    deletes: Vec<u64>,
}

impl Window {
    /// An empty window.
    pub fn new(settings: WindowSettings) -> Window {
        Window {
            settings,
            known: HashMap::new(),
            entries: VecDeque::new(),
            first: 0,
            collected: 0,
            blocks: VecDeque::new(),
            deletes: Vec::new(),
        }
    }

    /// A window as it was stored: `blocks` by the number of their first entry. None when one is damaged.
    pub fn recover(settings: WindowSettings, mut blocks: Vec<(u64, Vec<u8>)>, now: u64) -> Option<Window> {
        let mut window = Window::new(settings);
        blocks.sort_unstable_by_key(|(first, _)| *first);
        window.first = blocks.first().map_or(0, |(first, _)| *first);
        for (first, bytes) in blocks {
            let (entries, rest) = bytes.as_chunks::<ENTRY_BYTES>();
            if !rest.is_empty() || entries.is_empty() {
                return None;
            }
            let mut last = first;
            for entry in entries {
                let (number, deadline, identity) = read_entry(entry)?;
                // Numbers of transient messages between them are missing.
                if window.entries.is_empty() || number.saturating_sub(window.next()) > DEDUPLICATION_ENTRIES as u64 {
                    window.entries.clear();
                    window.known.clear();
                    window.first = number;
                }
                while window.next() < number {
                    window.entries.push_back(Entry { identity: Identity([0; 16]), deadline: 0, durable: false });
                }
                if window.next() != number {
                    return None;
                }
                window.known.insert(identity, number);
                window.entries.push_back(Entry { identity, deadline, durable: true });
                window.trim();
                last = number;
            }
            window.blocks.push_back((first, last));
        }
        window.collected = window.next();
        window.pass_time(now);
        Some(window)
    }

    /// The header that identifies a message.
    pub fn header(&self) -> &str {
        &self.settings.header
    }

    /// The number that the next entry gets.
    pub fn next(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// How many entries are remembered.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether a message with this identity came before, at most as long ago as the window reaches.
    pub fn knows(&self, identity: Identity, now: u64) -> bool {
        self.entry(identity).is_some_and(|entry| entry.deadline > now)
    }

    /// The same, if `count` others came before.
    pub fn knows_after(&self, count: u64, identity: Identity, now: u64) -> bool {
        let number = self.known.get(&identity).filter(|_| self.knows(identity, now));
        number.is_some_and(|number| self.reaches(self.next() - number - 1 + count))
    }

    /// Whether an entry is remembered when so many came after it.
    pub fn reaches(&self, count: u64) -> bool {
        count < self.size() as u64
    }

    /// Whether a message is remembered at all.
    pub fn keeps(&self, mark: Mark) -> bool {
        mark.ttl_ms.or(self.settings.ttl_ms) != Some(0)
    }

    fn size(&self) -> usize {
        usize::try_from(self.settings.size).unwrap_or(usize::MAX).clamp(1, DEDUPLICATION_ENTRIES)
    }

    /// Whether the message that is known by this identity is durable.
    pub fn knows_durably(&self, identity: Identity) -> bool {
        self.entry(identity).is_some_and(|entry| entry.durable)
    }

    fn entry(&self, identity: Identity) -> Option<&Entry> {
        let number = self.known.get(&identity)?;
        self.entries.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// Remembers a message that came at `now`; `durable`: its entry goes to disk.
    pub fn remember(&mut self, mark: Mark, now: u64, durable: bool) {
        self.pass_time(now);
        let ttl = mark.ttl_ms.or(self.settings.ttl_ms);
        let deadline = ttl.map_or(u64::MAX, |ttl| now.saturating_add(ttl));
        if !durable && self.collected == self.next() {
            self.collected += 1;
        }
        self.known.insert(mark.identity, self.next());
        self.entries.push_back(Entry { identity: mark.identity, deadline, durable });
        self.trim();
    }

    /// Forgets the oldest entries whose time is over. One that its own message keeps for longer also keeps what came after
    /// it, at most until others push it out.
    pub fn pass_time(&mut self, now: u64) {
        while self.entries.front().is_some_and(|entry| entry.deadline <= now) {
            self.drop_first();
        }
        self.drop_blocks();
    }

    /// When [`Window::pass_time`] will forget something. None: not by time alone.
    pub fn next_deadline(&self) -> Option<u64> {
        self.entries.front().map(|entry| entry.deadline).filter(|deadline| *deadline < u64::MAX)
    }

    /// Takes what is to be written: durable entries with numbers below `end`, and blocks that are to go.
    pub fn collect(&mut self, end: u64) -> Stored {
        let from = self.collected.max(self.first);
        let mut puts = Vec::new();
        let mut block: Option<(u64, u64, Vec<u8>)> = None;
        for number in from..end.min(self.next()) {
            let entry = usize::try_from(number - self.first).ok().and_then(|at| self.entries.get(at));
            let Some(entry) = entry.filter(|entry| entry.durable) else { continue };
            let (_, last, bytes) = block.get_or_insert_with(|| (number, number, Vec::new()));
            *last = number;
            bytes.extend_from_slice(&number.to_le_bytes());
            bytes.extend_from_slice(&entry.deadline.to_le_bytes());
            bytes.extend_from_slice(&entry.identity.0);
            if bytes.len() >= BLOCK_ENTRIES * ENTRY_BYTES
                && let Some((first, last, bytes)) = block.take()
            {
                self.blocks.push_back((first, last));
                puts.push((first, bytes));
            }
        }
        if let Some((first, last, bytes)) = block {
            self.blocks.push_back((first, last));
            puts.push((first, bytes));
        }
        self.collected = self.collected.max(end);
        Stored { puts, deletes: std::mem::take(&mut self.deletes) }
    }

    /// Whether [`Window::collect`] would return something.
    pub fn has_changed(&self) -> bool {
        self.collected < self.next() || !self.deletes.is_empty()
    }

    fn trim(&mut self) {
        let size = self.size();
        while self.entries.len() > size {
            self.drop_first();
        }
        self.drop_blocks();
    }

    fn drop_first(&mut self) {
        let Some(entry) = self.entries.pop_front() else { return };
        if self.known.get(&entry.identity) == Some(&self.first) {
            self.known.remove(&entry.identity);
        }
        self.first += 1;
        if self.entries.is_empty() && self.entries.capacity() > BLOCK_ENTRIES {
            self.known.shrink_to(BLOCK_ENTRIES);
            self.entries.shrink_to(BLOCK_ENTRIES);
        }
    }

    fn drop_blocks(&mut self) {
        while let Some((first, _)) = self.blocks.pop_front_if(|(_, last)| *last < self.first) {
            self.deletes.push(first);
        }
    }
}

fn read_entry(entry: &[u8; ENTRY_BYTES]) -> Option<(u64, u64, Identity)> {
    let (number, rest) = entry.split_first_chunk::<8>()?;
    let (deadline, identity) = rest.split_first_chunk::<8>()?;
    // Nobody counts that far: it is damage.
    let number = Some(u64::from_le_bytes(*number)).filter(|number| *number < u64::MAX / 2)?;
    Some((number, u64::from_le_bytes(*deadline), Identity(*identity.first_chunk()?)))
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;

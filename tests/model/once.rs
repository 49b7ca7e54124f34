//! The naive window (compat.md 2.11): which messages a queue that drops duplicates knows. It says what must be known and what
//! must not be; in between, after a crash or when the clock went back, the machine may choose.

use std::collections::BTreeMap;
use warren::broker::window::WindowSettings;

/// Whether a message is a duplicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    First,
    Duplicate,
    Either,
}

/// What a message says of its identity: which, and for how long it is to be remembered.
pub type Mark = (u64, Option<u64>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    There,
    /// Uncommitted at a crash.
    Perhaps,
    /// Gone in a crash, but it may still take a place.
    Lost,
}

#[derive(Clone, Debug)]
struct Entry {
    identity: u64,
    /// Its message, by the number in the body.
    id: u64,
    /// Wall clock ms.
    deadline: u64,
    durable: bool,
    committed: bool,
    state: State,
    /// Its time was over once: forgotten, or not, when the clock goes back.
    passed: bool,
}

/// Every message that was ever taken, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Once {
    settings: Option<WindowSettings>,
    entries: Vec<Entry>,
}

impl Once {
    pub fn new(settings: Option<WindowSettings>) -> Once {
        Once { settings, entries: Vec::new() }
    }

    /// What the queue must say of a message that comes now.
    pub fn judge(&self, mark: Option<Mark>, now: u64) -> Verdict {
        let (Some(settings), Some((identity, _))) = (&self.settings, mark) else { return Verdict::First };
        // How many came after an entry at least, and at most.
        let (mut least, mut most, mut verdict) = (0, 0, Verdict::First);
        for entry in self.entries.iter().rev() {
            let alive = entry.state != State::Lost && entry.deadline > now && least < settings.size;
            if entry.identity == identity && alive {
                if entry.state == State::There && !entry.passed && most < settings.size {
                    return Verdict::Duplicate;
                }
                verdict = Verdict::Either;
            }
            least += u64::from(entry.state == State::There);
            most += 1;
        }
        verdict
    }

    /// A message was taken.
    pub fn remember(&mut self, id: u64, mark: Option<Mark>, durable: bool, now: u64) {
        let (Some(settings), Some((identity, ttl))) = (&self.settings, mark) else { return };
        let deadline = ttl.or(settings.ttl_ms).map_or(u64::MAX, |ttl| now + ttl);
        let (committed, state, passed) = (false, State::There, false);
        self.entries.push(Entry { identity, id, deadline, durable, committed, state, passed });
    }

    pub fn pass_time(&mut self, now: u64) {
        self.entries.iter_mut().for_each(|entry| entry.passed |= entry.deadline <= now);
    }

    /// A commit is complete.
    pub fn commit(&mut self) {
        self.entries.iter_mut().for_each(|entry| entry.committed |= entry.durable);
    }

    /// The node starts again; `stored` says of each message that was not settled whether it is still there.
    pub fn restart(&mut self, clean: bool, stored: &BTreeMap<u64, bool>) {
        for entry in &mut self.entries {
            // An identity is on disk with its message or after it, never before.
            let vanished = stored.get(&entry.id) == Some(&false);
            entry.state = match entry.state {
                State::There if entry.committed || (clean && entry.durable) => State::There,
                State::There | State::Perhaps if entry.durable && !vanished => State::Perhaps,
                _ => State::Lost,
            };
        }
    }

    /// Most blocks that can be on disk: in each is an entry that is remembered.
    pub fn most_blocks(&self) -> usize {
        self.settings.as_ref().map_or(0, |settings| settings.size as usize)
    }

    /// Whether all entries will be forgotten by time alone.
    pub fn is_timed(&self) -> bool {
        self.settings.as_ref().is_none_or(|settings| settings.ttl_ms.is_some())
    }
}

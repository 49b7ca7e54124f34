//! What listings say of a queue (compat.md 3.3).

use super::entry::Entry;
use super::{Counts, Outlet, Queue};
use crate::broker::content::Content;
use crate::broker::count::Totals;
use crate::broker::identity::ConsumerId;

/// Chunks whose bytes are added up one by one; of a longer queue the others are taken to be like these, so that whoever looks
/// at a long queue does not hold it up.
const SUMMED: usize = 4096;
/// Records that are looked at one by one, where a chunk is handed out or settled in part; the bytes of more of them are taken to
/// be shared alike.
const RECORDS: usize = 8192;

/// A queue at one time.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Messages and consumers.
    pub counts: Counts,
    /// What was done with its messages since it was made or the node started.
    pub totals: Totals,
    /// Bytes of the bodies of all messages.
    pub bytes: u64,
    /// The same of ready messages.
    pub bytes_ready: u64,
    /// The same of messages in consumers' hands.
    pub bytes_unsettled: u64,
    /// The same of messages that survive a restart.
    pub bytes_persistent: u64,
    /// The same of messages that are in memory.
    pub bytes_ram: u64,
    /// Messages that survive a restart.
    pub persistent: u64,
    /// Messages that are in memory.
    pub ram: u64,
    /// Messages that are on disk only.
    pub paged_out: u64,
    /// The single active consumer, where only one is served.
    pub single_active: Option<ConsumerId>,
    /// The consumer that is served alone by its own wish.
    pub exclusive: Option<ConsumerId>,
    /// Consumers that could take a message now.
    pub able: usize,
    /// What is on disk cannot be read.
    pub damaged: bool,
    /// What the next message gives as its time, in seconds; None: it is not in memory, or gives none.
    pub head_timestamp: Option<u64>,
}

impl Status {
    /// Ready messages in memory: what is in consumers' hands is in memory first.
    pub fn ready_ram(&self) -> u64 {
        self.ram.saturating_sub(self.counts.unsettled).min(self.counts.ready)
    }

    /// Whether there are consumers, and one that could take a message now.
    pub fn is_able(&self) -> bool {
        self.counts.consumers > 0 && (self.able > 0 || self.counts.ready == 0)
    }
}

/// Bytes of a chunk's bodies that are not settled.
#[derive(Clone, Copy, Debug, Default)]
struct Open {
    /// Of messages that were handed out once.
    handed: u64,
    /// Of those that were not.
    ready: u64,
}

impl<O: Outlet> Queue<O> {
    /// What was done with its messages.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// How it is. Takes no longer than [`SUMMED`] chunks take, however long the queue.
    pub fn status(&self) -> Status {
        let mut status = Status {
            counts: self.counts(),
            totals: self.totals,
            single_active: self.consumers.single_active(),
            exclusive: self.consumers.exclusive(),
            able: self.consumers.able(),
            damaged: self.damage.is_some(),
            head_timestamp: self.head_timestamp(),
            ..Status::default()
        };
        let (mut walked, mut records, mut open) = (0, RECORDS, Open::default());
        for entry in self.entries.values().take(SUMMED) {
            let messages = u64::from(entry.chunk.count().saturating_sub(entry.settled.count()));
            let Open { handed, ready } = open_bytes(entry, &mut records);
            (open.handed, open.ready) = (open.handed + handed, open.ready + ready);
            let bytes = handed + ready;
            walked += messages;
            status.bytes_ram += bytes;
            if entry.chunk.durable() {
                status.persistent += messages;
                status.bytes_persistent += bytes;
            }
        }
        let middles = self.levels.iter().filter_map(|level| level.middle.as_ref());
        let (mut bytes_paged, mut paged_persistent, mut bytes_paged_persistent) = (0, 0, 0);
        for middle in middles {
            status.paged_out += middle.messages;
            bytes_paged += middle.bodies;
            paged_persistent += middle.messages.saturating_sub(middle.transient);
            bytes_paged_persistent += middle.bodies.saturating_sub(middle.transient_bodies);
        }
        let all = status.counts.ready + status.counts.unsettled + status.counts.dying + status.counts.delayed;
        status.ram = all.saturating_sub(status.paged_out);
        if self.entries.len() > SUMMED && walked > 0 {
            let scale = |sum: u64| (u128::from(sum) * u128::from(status.ram) / u128::from(walked)) as u64;
            (status.bytes_ram, status.bytes_persistent, status.persistent) =
                (scale(status.bytes_ram), scale(status.bytes_persistent), scale(status.persistent));
        }
        status.bytes = status.bytes_ram + bytes_paged;
        self.tell_apart(&mut status, open, bytes_paged, records);
        status.persistent += paged_persistent;
        status.bytes_persistent += bytes_paged_persistent;
        status
    }

    /// Bytes of ready messages and of those in consumers' hands. What came back, and what waits, was handed out before.
    fn tell_apart(&self, status: &mut Status, open: Open, paged: u64, mut records: usize) {
        let Counts { ready, unsettled, dying, delayed, .. } = status.counts;
        let share = |part: u64, of: u64, all: u64| {
            (u128::from(of) * u128::from(part)).checked_div(u128::from(all)).unwrap_or(0) as u64
        };
        let waiting = self.delayed.keys().map(|(_, sequence)| (*sequence, 1));
        let returned = self.spans_bytes(self.returned.some(records).into_iter(), &mut records);
        let waiting = self.spans_bytes(waiting, &mut records);
        if records == 0 || self.entries.len() > SUMMED {
            let all = ready + unsettled + dying + delayed;
            (status.bytes_ready, status.bytes_unsettled) =
                (share(ready, status.bytes, all), share(unsettled, status.bytes, all));
            return;
        }
        let held = open.handed.saturating_sub(returned + waiting);
        status.bytes_ready = open.ready + returned + paged;
        status.bytes_unsettled = if dying == 0 { held } else { share(unsettled, held, unsettled + dying) };
    }

    /// Bytes of the bodies of messages in memory, in spans within one chunk; `records`: how many may still be looked at.
    fn spans_bytes(&self, spans: impl Iterator<Item = (u64, u32)>, records: &mut usize) -> u64 {
        let mut bytes = 0;
        for (first, count) in spans {
            if *records == 0 {
                break;
            }
            *records = records.saturating_sub(count as usize);
            if let Some((start, entry)) = self.entries.range(..=first).next_back() {
                let from = (first - start) as u32;
                bytes += entry.bodies(from, from + count);
            }
        }
        bytes
    }

    fn head_timestamp(&self) -> Option<u64> {
        let at = (0..self.levels.len()).find(|at| self.levels.at(*at).ready > 0)?;
        let level = self.levels.at(at);
        let (entry, index) = match self.returned.first(level.range()) {
            Some((first, _)) => {
                let (start, entry) = self.entries.range(..=first).next_back()?;
                (entry, (first - start) as u32)
            }
            None => {
                let ready = self.entries.range(self.first_ready_entry(at)..level.range().end);
                let mut ready = ready.filter_map(|(first, entry)| Some((*first, entry, entry.ready_span()?.0)));
                let (first, entry, index) = ready.next()?;
                if level.middle.as_ref().is_some_and(|middle| middle.first < first) {
                    return None;
                }
                (entry, index)
            }
        };
        Content::parse(entry.chunk.record(index)?.header)?.timestamp()
    }
}

/// The bytes of a chunk's bodies that are not settled; `records`: how many may still be looked at one by one.
fn open_bytes(entry: &Entry, records: &mut usize) -> Open {
    let count = entry.chunk.count();
    let next = entry.next.min(count);
    let whole = entry.settled.count() == 0 && (next == 0 || next == count);
    if whole || entry.absent.is_some() || count as usize <= *records {
        if !whole && entry.absent.is_none() {
            *records = records.saturating_sub(count as usize);
        }
        return Open { handed: entry.bodies(0, next), ready: entry.bodies(next, count) };
    }
    *records = 0;
    let open = |from: u32, to: u32| (from..to).filter(|index| !entry.settled.contains(*index)).count() as u128;
    let all = u128::from(entry.chunk.all_body_bytes());
    let share = |messages: u128| (all * messages / u128::from(count.max(1))) as u64;
    Open { handed: share(open(0, next)), ready: share(open(next, count)) }
}

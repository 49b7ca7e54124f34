//! What listings say of a queue (compat.md 3.3).

use super::entry::Entry;
use super::{Counts, Outlet, Queue};
use crate::broker::count::Totals;
use crate::broker::identity::ConsumerId;

/// Chunks whose bytes are added up one by one; of a longer queue the others are taken to be like these, so that whoever looks
/// at a long queue does not hold it up.
const SUMMED: usize = 4096;

/// A queue at one time.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Messages and consumers.
    pub counts: Counts,
    /// What was done with its messages since it was made or the node started.
    pub totals: Totals,
    /// Bytes of the bodies of all messages. Those of chunks that are settled in part count by their share of the chunk.
    pub bytes: u64,
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
            ..Status::default()
        };
        let mut walked = 0;
        for entry in self.entries.values().take(SUMMED) {
            let (messages, bytes) = open(entry);
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
        status.persistent += paged_persistent;
        status.bytes_persistent += bytes_paged_persistent;
        status
    }
}

/// Messages of a chunk that are not settled, and the bytes of their bodies.
fn open(entry: &Entry) -> (u64, u64) {
    let (count, settled) = (u64::from(entry.chunk.count()), u64::from(entry.settled.count()));
    let left = count.saturating_sub(settled);
    if let Some(mean) = entry.absent {
        return (left, mean.bodies(left as u32));
    }
    let whole = entry.chunk.all_body_bytes();
    let bytes =
        if settled == 0 { whole } else { (u128::from(whole) * u128::from(left) / u128::from(count.max(1))) as u64 };
    (left, bytes)
}

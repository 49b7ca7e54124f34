//! Gives the disk its space back. Deleted chunks stay in their files until RocksDB compacts them, and a drained queue
//! writes nothing that would make it. Messages that come and go are no garbage: they die in RocksDB's memory, and a
//! compaction beside them would only cost latency. So the files' size is what decides.

use super::Family;
use super::rocks::Shared;
use crate::clock::Now;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// Files smaller than this are left alone, in bytes.
const SMALL: u64 = 64 * 1024 * 1024;
/// While chunks are being deleted, space is reclaimed when they are this part of the files.
const SHARE: u64 = 4;
/// When nothing was deleted for so long, whatever was deleted is reclaimed.
const QUIET: Duration = Duration::from_secs(5);
/// How often the reclaimer looks.
const LOOK: Duration = Duration::from_secs(1);
/// The reclaimer rests this many times as long as it has worked.
const REST: u32 = 3;
/// A chunk's size as long as none was written, in bytes.
const CHUNK_GUESS: u64 = 64 * 1024;

/// Deleted chunks that may still take space.
#[derive(Debug, Default)]
pub(super) struct Garbage {
    state: Mutex<State>,
    bell: Condvar,
}

#[derive(Debug, Default)]
struct State {
    written: u64,
    written_bytes: u64,
    deleted: u64,
    stop: bool,
}

impl State {
    /// Bytes that the deleted chunks had, as far as the mean tells.
    fn deleted_bytes(&self) -> u64 {
        self.deleted.saturating_mul(self.written_bytes.checked_div(self.written).unwrap_or(CHUNK_GUESS))
    }
}

impl Garbage {
    /// A batch was written: how many chunks it stored, their bytes, and how many it deleted.
    pub fn count(&self, written: u64, bytes: u64, deleted: u64) {
        let mut state = self.state.lock();
        state.written += written;
        state.written_bytes += bytes;
        state.deleted += deleted;
    }

    /// Ends the thread.
    pub fn stop(&self) {
        self.state.lock().stop = true;
        self.bell.notify_all();
    }

    /// Waits until there is something to reclaim; false when the thread is to end. `size`: bytes of the files.
    fn wait(&self, size: impl Fn() -> u64) -> bool {
        let mut state = self.state.lock();
        let (mut seen, mut quiet_since) = (state.deleted, Now::read().monotonic);
        while !state.stop {
            let now = Now::read().monotonic;
            if state.deleted != seen {
                (seen, quiet_since) = (state.deleted, now);
            }
            let quiet = now.saturating_duration_since(quiet_since) >= QUIET;
            let bytes = state.deleted_bytes();
            if bytes > 0 {
                let size = size();
                if size >= SMALL && (quiet || bytes >= size / SHARE) {
                    state.deleted = 0;
                    return true;
                }
            }
            self.bell.wait_for(&mut state, LOOK);
        }
        false
    }

    fn rest(&self, time: Duration) {
        let mut state = self.state.lock();
        if !state.stop {
            self.bell.wait_for(&mut state, time);
        }
    }
}

/// Whether a family holds chunks.
pub(super) fn holds_chunks(family: Family) -> bool {
    matches!(family, Family::Chunks | Family::Bodies | Family::Transient | Family::Delayed)
}

/// Runs the thread until [`Garbage::stop`].
///
/// # Errors
/// When no thread can be started.
pub(super) fn start(shared: Arc<Shared>) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("reclaimer".into()).spawn(move || {
        while shared.garbage.wait(|| shared.chunk_files()) {
            let started = Now::read().monotonic;
            if let Err(error) = shared.reclaim() {
                // The committer meets the same error where it matters.
                tracing::warn!(%error, "cannot reclaim disk space");
            }
            shared.garbage.rest(Now::read().monotonic.saturating_duration_since(started) * REST);
        }
    })
}

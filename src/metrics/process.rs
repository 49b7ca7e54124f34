//! What the process uses of the machine, as Linux tells it. What cannot be told is 0.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::fs;

/// Memory, files and threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of memory in use.
    pub resident: u64,
    /// Open files.
    pub open_files: u64,
    /// Open files there may be.
    pub files_max: u64,
    /// Threads.
    pub threads: u64,
    /// Threads and processes there may be.
    pub threads_max: u64,
}

/// What is used now.
pub fn usage() -> Usage {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    Usage {
        resident: number_after(&status, "VmRSS:") * 1024,
        open_files: fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64),
        files_max: number_after(&limits, "Max open files"),
        threads: number_after(&status, "Threads:"),
        threads_max: number_after(&limits, "Max processes"),
    }
}

/// What the threads do with the processors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scheduling {
    /// How often a thread gave a processor to another, of its own accord or not.
    pub switches: u64,
    /// Threads that run or wait for a processor, but for the one that asks.
    pub runnable: u64,
}

/// Watches the threads: those that have ended are not told by the system any more.
#[derive(Debug, Default)]
pub struct Threads(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// Of each thread, as it was seen last.
    switches: HashMap<String, u64>,
    total: u64,
}

impl Threads {
    /// How it is now. Switches are those that were seen: of a thread that has ended, as of the last look.
    pub fn look(&self) -> Scheduling {
        let own = rustix::thread::gettid().as_raw_nonzero().to_string();
        let mut seen = self.0.lock();
        let (mut now, mut runnable) = (HashMap::new(), 0);
        for entry in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
            let Ok(thread) = entry.file_name().into_string() else { continue };
            let Ok(status) = fs::read_to_string(entry.path().join("status")) else { continue };
            let switches = number_after(&status, "voluntary_ctxt_switches:");
            let switches = switches + number_after(&status, "nonvoluntary_ctxt_switches:");
            let before = seen.switches.get(&thread).copied().unwrap_or(0);
            seen.total += switches.saturating_sub(before);
            let runs =
                status.lines().any(|line| line.strip_prefix("State:").is_some_and(|is| is.trim().starts_with('R')));
            runnable += u64::from(runs && thread != own);
            now.insert(thread, switches);
        }
        seen.switches = now;
        Scheduling { switches: seen.total, runnable }
    }
}

/// The first number behind a word at the start of a line; 0 if there is none, or no limit.
fn number_after(text: &str, word: &str) -> u64 {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(word));
    let number = lines.next().and_then(|rest| rest.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_watched() {
        let threads = Threads::default();
        let before = threads.look();
        assert!(before.switches > 0, "{before:?}");
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (stopped, (ready, started)) = (stop.clone(), std::sync::mpsc::channel());
        let busy = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(1));
            ready.send(()).unwrap();
            while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
        started.recv().unwrap();
        let during = threads.look();
        assert!(during.runnable > 0 && during.switches > before.switches, "{before:?} {during:?}");
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        busy.join().unwrap();
        assert!(threads.look().switches >= during.switches, "those of a thread that has ended stay");
    }

    #[test]
    fn the_system_tells() {
        let usage = usage();
        assert!(usage.resident > 1024 * 1024 && usage.open_files > 0 && usage.threads > 0, "{usage:?}");
        assert_eq!(number_after("VmRSS:\t  1024 kB\nThreads:\t7", "Threads:"), 7);
        assert_eq!(
            number_after("Max open files            unlimited            unlimited            files", "Max open files"),
            0
        );
        assert_eq!(number_after("", "Threads:"), 0);
    }
}

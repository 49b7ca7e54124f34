//! What the process uses of the machine, as Linux tells it. What cannot be told is 0.

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

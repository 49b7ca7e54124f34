//! The memory this process may use, and the part of it that messages may take.

use super::MemoryConfig;
use std::fs;
use std::path::{Path, PathBuf};

/// Taken where the system does not tell how much memory there is, in bytes.
const ASSUMED_AVAILABLE: u64 = 1 << 30;

/// A limit on message memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Watermark {
    /// Of the memory the process may use: more than 0, at most 1.
    Share(f64),
    /// In bytes.
    Bytes(u64),
}

impl Watermark {
    /// The limit in bytes, when `available` bytes may be used.
    pub fn bytes(self, available: u64) -> u64 {
        match self {
            Watermark::Share(share) => (available as f64 * share) as u64,
            Watermark::Bytes(bytes) => bytes,
        }
    }
}

impl MemoryConfig {
    /// Message bytes to keep in memory: the watermark applied to [`memory_available`], or to 1 GiB where that is not told.
    pub fn budget(&self) -> u64 {
        self.high_watermark.bytes(memory_available().unwrap_or(ASSUMED_AVAILABLE))
    }

    /// Bytes of publishes that all connections together may hold during an alarm.
    pub fn held(&self) -> u64 {
        self.held_watermark.bytes(memory_available().unwrap_or(ASSUMED_AVAILABLE))
    }
}

/// Bytes of memory this process may use: the least of the machine's memory and the limits of the process's cgroup and
/// those above it (cgroup v2 and v1). None where the system tells neither.
pub fn memory_available() -> Option<u64> {
    available_under(Path::new("/"))
}

/// The same, with `root` in the place of `/`.
pub(super) fn available_under(root: &Path) -> Option<u64> {
    let cgroups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let limits = cgroups.lines().flat_map(|line| cgroup_limits(root, line));
    limits.chain(machine_memory(root)).min()
}

/// The limits that one line of `/proc/self/cgroup` (`number:controllers:path`) leads to.
fn cgroup_limits(root: &Path, line: &str) -> Vec<u64> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { return Vec::new() };
    let (mount, file) = match controllers {
        "" => ("sys/fs/cgroup", "memory.max"),
        list if list.split(',').any(|controller| controller == "memory") => {
            ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
        }
        _ => return Vec::new(),
    };
    // In a container the path may be the host's and name nothing here; then only the mount itself, its last ancestor, answers.
    let relative = PathBuf::from(path.trim_start_matches('/'));
    relative.ancestors().filter_map(|part| read_number(&root.join(mount).join(part).join(file))).collect()
}

/// The number in a file; None for `max`, for no such file, and for v1's "no limit", which no machine's memory is above.
fn read_number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

fn machine_memory(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

//! The machine: limits of the process, memory, the clock.

use super::{Finding, Patient};
use crate::cli::copies::size;
use crate::clock::Now;
use crate::config::memory_available;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Open files that RabbitMQ's documentation asks for in production.
const FILES: u64 = 65_536;
/// Open files that the broker itself takes: RocksDB's, sockets, logs.
const OWN_FILES: u64 = 600;
/// Tasks that a control group should allow.
const TASKS: u64 = 512;
/// No clock that is right shows an earlier time: 2026-01-01.
const EPOCH: u64 = 1_767_225_600;
/// Clocks of disks and of the machine may differ by so many seconds.
const SKEW: u64 = 5;

pub(super) fn look(patient: &Patient) -> Vec<Finding> {
    let limits = fs::read_to_string(patient.process("limits")).unwrap_or_default();
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = kilobytes(&meminfo, "MemAvailable:");
    let budget = patient.config.memory.budget();
    vec![
        files(soft_limit(&limits, "Max open files"), patient.config.listener.connection_max.into()),
        tasks(pids_max()),
        memory(memory_available(), available.filter(|_| !patient.is_running()), budget),
        clock(Now::unix_seconds(), newest(&patient.config.data_dir), synchronised()),
    ]
}

/// The soft limit in a line of `/proc/…/limits`; None: none is told, or it is unlimited.
fn soft_limit(limits: &str, name: &str) -> Option<u64> {
    let rest = limits.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

fn files(limit: Option<u64>, connections: u64) -> Finding {
    let about = "open files";
    let Some(limit) = limit else { return Finding::good(about, "unlimited") };
    let advice =
        "LimitNOFILE= in the systemd unit, --ulimit nofile= of the container, or ulimit -n: a connection needs one";
    match limit {
        _ if limit < OWN_FILES.max(connections + OWN_FILES) => {
            let wanted = match connections {
                0 => format!("a node without clients needs {OWN_FILES}"),
                _ => format!("{connections} connections are to be served"),
            };
            Finding::bad(about, format!("{limit} may be open; {wanted}"), advice)
        }
        _ if limit < FILES => Finding::doubtful(about, format!("{limit} may be open"), advice),
        _ => Finding::good(about, format!("{limit} may be open")),
    }
}

/// The least limit on tasks of our control group.
fn pids_max() -> Option<u64> {
    let group = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = group.lines().find_map(|line| line.strip_prefix("0::"))?.trim_start_matches('/').to_owned();
    let groups = Path::new(&path).ancestors().map(|group| Path::new("/sys/fs/cgroup").join(group).join("pids.max"));
    groups.filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok()).min()
}

fn tasks(limit: Option<u64>) -> Finding {
    match limit {
        Some(limit) if limit < TASKS => Finding::doubtful(
            "threads",
            format!("the control group allows {limit} tasks"),
            "TasksMax= in the systemd unit, --pids-limit of the container",
        ),
        Some(limit) => Finding::good("threads", format!("the control group allows {limit} tasks")),
        None => Finding::good("threads", "no limit"),
    }
}

fn kilobytes(meminfo: &str, name: &str) -> Option<u64> {
    let rest = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
    rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

/// `may_use`: what the process may use; `free`: what others leave of it, if that is to be judged.
fn memory(may_use: Option<u64>, free: Option<u64>, budget: u64) -> Finding {
    let about = "memory";
    let Some(may_use) = may_use else { return Finding::doubtful(about, "cannot be told", "look with free") };
    let found = format!("{} may be used, {} of it for messages", size(may_use), size(budget));
    if budget > may_use / 10 * 9 {
        return Finding::bad(
            about,
            found,
            "lower memory.high_watermark: the system would end the broker before it is reached",
        );
    }
    match free.filter(|free| *free < budget) {
        Some(free) => Finding::doubtful(
            about,
            format!("{found}; other processes leave {}", size(free)),
            "give the broker a machine or a control group of its own, or lower memory.high_watermark",
        ),
        None => Finding::good(about, found),
    }
}

/// When the newest of the broker's files was written, in seconds since 1970.
fn newest(dir: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    let entries = fs::read_dir(dir).ok()?.flatten();
    entries.filter_map(|entry| u64::try_from(entry.metadata().ok()?.mtime()).ok()).max()
}

/// Whether the system keeps its clock by others; None: it does not tell.
fn synchronised() -> Option<bool> {
    let told = Command::new("timedatectl").args(["show", "-p", "NTPSynchronized", "--value"]).output().ok()?;
    match String::from_utf8_lossy(&told.stdout).trim() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

fn clock(now: u64, newest: Option<u64>, synchronised: Option<bool>) -> Finding {
    let about = "clock";
    if now < EPOCH {
        return Finding::bad(
            about,
            "it shows a time before 2026",
            "set it: times to live and certificates depend on it",
        );
    }
    if let Some(ahead) = newest.and_then(|newest| newest.checked_sub(now)).filter(|ahead| *ahead > SKEW) {
        let found = format!("the data directory was written {ahead} s from now");
        return Finding::bad(about, found, "the clock went back: set it, or messages live longer than they should");
    }
    match synchronised {
        Some(true) => Finding::good(about, "synchronised"),
        Some(false) => Finding::doubtful(about, "not synchronised", "timedatectl set-ntp true, or run chrony"),
        None => Finding::good(about, "plausible; the system does not tell whether it is synchronised"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Grade::*;
    use super::*;

    #[test]
    fn limits_are_read_and_judged() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max open files            1024                 1048576              files     \n";
        assert_eq!(soft_limit(text, "Max open files"), Some(1024));
        assert_eq!(soft_limit("Max open files unlimited unlimited files", "Max open files"), None);
        let grade = |limit, connections| files(limit, connections).grade;
        assert_eq!((grade(Some(1 << 20), 0), grade(Some(1024), 0)), (Good, Doubtful));
        assert_eq!((grade(Some(1024), 1000), grade(Some(256), 0), grade(None, 9)), (Bad, Bad, Good));
        assert_eq!((tasks(Some(100)).grade, tasks(Some(9999)).grade, tasks(None).grade), (Doubtful, Good, Good));
    }

    #[test]
    fn memory_is_judged() {
        const GB: u64 = 1 << 30;
        assert_eq!(kilobytes("MemTotal: 1 kB\nMemAvailable:    2048 kB\n", "MemAvailable:"), Some(2 << 20));
        let grade = |may_use, free, budget| memory(may_use, free, budget).grade;
        assert_eq!((grade(Some(8 * GB), None, 4 * GB), grade(Some(8 * GB), Some(7 * GB), 4 * GB)), (Good, Good));
        assert_eq!((grade(Some(8 * GB), Some(GB), 4 * GB), grade(Some(4 * GB), None, 4 * GB)), (Doubtful, Bad));
    }

    #[test]
    fn the_clock_is_judged() {
        let now = EPOCH + 1_000_000;
        assert_eq!((clock(now, Some(now), Some(true)).grade, clock(now, None, None).grade), (Good, Good));
        assert_eq!((clock(now, None, Some(false)).grade, clock(0, None, None).grade), (Doubtful, Bad));
        assert_eq!((clock(now, Some(now + 60), None).grade, clock(now, Some(now + 1), None).grade), (Bad, Good));
    }
}

//! CPU time, memory and disk writes from `/proc`.

use std::fs;
use std::time::Duration;

/// Length of a clock tick in `/proc/PID/stat`: USER_HZ, 100 on every Linux Rust runs on.
const TICK: Duration = Duration::from_millis(10);

/// What the broker has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) cpu: Duration,
    /// Resident memory now, bytes.
    pub(super) rss: u64,
    /// Highest resident memory ever, bytes.
    pub(super) rss_peak: u64,
    /// Bytes it caused to be written to disk; `None` where the kernel does not tell us.
    pub(super) written: Option<u64>,
}

/// What the broker used between two looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) cpu: Duration,
    /// Resident memory at the end, bytes.
    pub(super) rss: u64,
    /// How much it grew.
    pub(super) growth: i64,
    /// Highest resident memory between the looks, bytes.
    pub(super) rss_peak: u64,
    pub(super) written: Option<u64>,
}

impl Usage {
    pub(super) fn of(pid: u32) -> Result<Self, String> {
        let read = |name: &str| {
            let path = format!("/proc/{pid}/{name}");
            fs::read_to_string(&path).map_err(|error| format!("--pid: {path}: {error}"))
        };
        let ticks = cpu_ticks(&read("stat")?).ok_or_else(|| format!("--pid: /proc/{pid}/stat: no CPU times"))?;
        let status = read("status")?;
        let bytes = |key| number(&status, key).unwrap_or(0) * 1024;
        let cpu = TICK.saturating_mul(u32::try_from(ticks).unwrap_or(u32::MAX));
        let written = read("io").ok().and_then(|io| number(&io, "write_bytes:"));
        Ok(Self { cpu, rss: bytes("VmRSS:"), rss_peak: bytes("VmHWM:"), written })
    }

    /// What was used since `before`; `seen` is the highest memory that looks in between saw.
    pub(super) fn since(&self, before: &Self, seen: u64) -> Used {
        // The kernel's own peak is exact, but only if it is not from before.
        let peak = if self.rss_peak > before.rss_peak { self.rss_peak } else { seen.max(self.rss) };
        Used {
            cpu: self.cpu.saturating_sub(before.cpu),
            rss: self.rss,
            growth: self.rss as i64 - before.rss as i64,
            rss_peak: peak,
            written: self.written.zip(before.written).map(|(now, then)| now.saturating_sub(then)),
        }
    }
}

/// CPU time of the calling thread; zero where the kernel does not say.
pub(super) fn thread_cpu() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split_whitespace().next().and_then(|field| field.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

/// Lets this process open as many files as it may.
pub(super) fn allow_many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Where it does not succeed, the connection that is one too many says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// utime + stime: fields 14 and 15. The name in field 2 may hold blanks and brackets, so count from its end.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// The number behind a key at the start of a line.
fn number(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_files_are_read() {
        let stat = "42 (a (strange) name) S 1 42 42 0 -1 4194304 100 0 0 0 123 45 6 7 20 0 3 0 99 1 2";
        assert_eq!(cpu_ticks(stat), Some(168));
        assert_eq!(cpu_ticks("42 nonsense"), None);
        assert_eq!(number("Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t 1024 kB\n", "VmRSS:"), Some(1024));
        assert_eq!(number("rchar: 1\nwrite_bytes: 77\ncancelled_write_bytes: 5\n", "write_bytes:"), Some(77));
    }

    #[test]
    fn this_process_uses_memory() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.rss > 0 && usage.rss_peak >= usage.rss / 2);
        assert!(Usage::of(u32::MAX).is_err());
    }

    #[test]
    fn an_old_peak_is_not_this_runs() {
        let usage = |rss, rss_peak| Usage { rss, rss_peak, ..Usage::default() };
        assert_eq!(usage(50, 100).since(&usage(40, 100), 70).rss_peak, 70);
        assert_eq!(usage(50, 120).since(&usage(40, 100), 70).rss_peak, 120);
        assert_eq!(usage(30, 100).since(&usage(40, 100), 0).growth, -10);
    }
}

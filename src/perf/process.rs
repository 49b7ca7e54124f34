//! CPU time and memory from `/proc`.

use std::fs;
use std::time::Duration;

/// Length of a clock tick in `/proc/PID/stat`: USER_HZ, 100 on every Linux Rust runs on.
const TICK: Duration = Duration::from_millis(10);

/// What the broker has used so far, or between two looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BrokerUsage {
    pub(super) cpu: Duration,
    /// Resident memory now, bytes.
    pub(super) rss: u64,
    /// Highest resident memory ever, bytes.
    pub(super) rss_peak: u64,
}

impl BrokerUsage {
    pub(super) fn of(pid: u32) -> Result<Self, String> {
        let read = |name: &str| {
            let path = format!("/proc/{pid}/{name}");
            fs::read_to_string(&path).map_err(|error| format!("--broker-pid: {path}: {error}"))
        };
        let ticks = cpu_ticks(&read("stat")?).ok_or_else(|| format!("--broker-pid: /proc/{pid}/stat: no CPU times"))?;
        let status = read("status")?;
        let bytes = |key| kilobytes(&status, key).unwrap_or(0) * 1024;
        let cpu = TICK.saturating_mul(u32::try_from(ticks).unwrap_or(u32::MAX));
        Ok(Self { cpu, rss: bytes("VmRSS:"), rss_peak: bytes("VmHWM:") })
    }

    /// CPU since `before`; memory as it is now.
    pub(super) fn since(self, before: &Self) -> Self {
        Self { cpu: self.cpu.saturating_sub(before.cpu), ..self }
    }
}

/// CPU time of the calling thread; zero where the kernel does not say.
pub(super) fn thread_cpu() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split_whitespace().next().and_then(|field| field.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

/// utime + stime: fields 14 and 15. The name in field 2 may hold blanks and brackets, so count from its end.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn kilobytes(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
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
        assert_eq!(kilobytes("Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t 1024 kB\n", "VmRSS:"), Some(1024));
    }

    #[test]
    fn this_process_uses_memory() {
        let usage = BrokerUsage::of(std::process::id()).unwrap();
        assert!(usage.rss > 0 && usage.rss_peak >= usage.rss / 2);
        assert!(BrokerUsage::of(u32::MAX).is_err());
    }
}

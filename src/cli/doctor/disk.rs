//! The data directory and its disk: room, kind, and how fast it syncs.

use super::{Finding, Patient};
use crate::cli::copies::{existing, size};
use crate::clock::Now;
use rustix::fs::{Access, access, statfs, statvfs};
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

/// How long fsync is measured.
const MEASURE: Duration = Duration::from_secs(1);
/// The least of measurements.
const ROUNDS_MIN: usize = 5;
/// Bytes written before each.
const PIECE: [u8; 4096] = [0x5a; 4096];
/// Free inodes below which files may soon not be made any more.
const INODES: u64 = 10_000;
/// Syncs a second below which confirms are slow, and above which no disk is.
const SLOW: f64 = 100.0;
const UNLIKELY: f64 = 40_000.0;

pub(super) fn look(patient: &Patient) -> Vec<Finding> {
    let dir = &patient.config.data_dir;
    let place = existing(dir);
    let mut findings = vec![directory(dir), space(place, patient.config.disk.free_limit), kind(place)];
    findings.push(match time_syncs(place) {
        Ok(times) => syncs(&times),
        Err(error) => Finding::doubtful(
            "fsync",
            format!("cannot be measured in {}: {error}", place.display()),
            match error.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room, then look again",
                _ => "run the doctor as the broker's user",
            },
        ),
    });
    findings
}

fn directory(dir: &Path) -> Finding {
    let shown = dir.display();
    let Ok(found) = dir.metadata() else {
        return Finding::good("data directory", format!("{shown} does not exist; the first start makes it"));
    };
    if !found.is_dir() || access(dir, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK).is_err() {
        let advice = "make it a directory of the broker's user, and run the doctor as that user";
        return Finding::bad("data directory", format!("{shown} cannot be written to"), advice);
    }
    match found.permissions().mode() & 0o007 {
        0 => Finding::good("data directory", format!("{shown}")),
        _ => Finding::doubtful(
            "data directory",
            format!("{shown} can be read by every user of the machine"),
            format!("messages and password hashes are in it: chmod o= {shown}"),
        ),
    }
}

fn space(place: &Path, limit: u64) -> Finding {
    let Ok(disk) = statvfs(place) else {
        return Finding::doubtful("disk space", "cannot be told", "look with df");
    };
    let (free, total) = (disk.f_bavail.saturating_mul(disk.f_frsize), disk.f_blocks.saturating_mul(disk.f_frsize));
    judge_space(free, total, limit, (disk.f_files > 0).then_some(disk.f_favail))
}

fn judge_space(free: u64, total: u64, limit: u64, inodes: Option<u64>) -> Finding {
    let found = format!("{} of {} are free; publishers are held below {}", size(free), size(total), size(limit));
    if free < limit {
        return Finding::bad("disk space", found, "make room, use a larger disk, or lower disk.free_limit");
    }
    if let Some(inodes) = inodes.filter(|inodes| *inodes < INODES) {
        return Finding::bad(
            "disk space",
            format!("{inodes} files can be made yet"),
            "delete files, or make a file system with more inodes",
        );
    }
    if free < limit.saturating_mul(2) || free < total / 20 {
        return Finding::doubtful(
            "disk space",
            found,
            "queues grow when consumers stop: leave room for what you want to keep",
        );
    }
    Finding::good("disk space", found)
}

fn kind(place: &Path) -> Finding {
    let Ok(found) = statfs(place) else { return Finding::doubtful("file system", "cannot be told", "look with df -T") };
    judge_kind(u64::try_from(found.f_type).unwrap_or(0) & 0xffff_ffff)
}

/// Judges a file system by its magic number (statfs(2)).
fn judge_kind(magic: u64) -> Finding {
    let about = "file system";
    match magic {
        0x0102_1994 | 0x8584_58f6 => Finding::bad(
            about,
            "tmpfs: it is in memory",
            "every restart of the machine loses everything: put data_dir on a disk",
        ),
        0x794c_7630 => Finding::doubtful(
            about,
            "overlay: the container's own layer",
            "it goes with the container: mount a volume at data_dir",
        ),
        0x6969 | 0xff53_4d42 | 0xfe53_4d42 | 0x517b => Finding::doubtful(
            about,
            "a network file system",
            "fsync waits for the network, and locks may fail: use a local disk or a block device",
        ),
        0xef53 => Finding::good(about, "ext4"),
        0x5846_5342 => Finding::good(about, "xfs"),
        0x9123_683e => Finding::good(about, "btrfs"),
        0x2fc1_2fc1 => Finding::good(about, "zfs"),
        other => Finding::good(about, format!("number {other:#x}")),
    }
}

/// Times of writes with fdatasync behind each, in a file of our own.
fn time_syncs(place: &Path) -> std::io::Result<Vec<Duration>> {
    let path = place.join(format!(".doctor-{}", std::process::id()));
    let measured = File::create(&path).and_then(|mut file| {
        let (begun, mut times) = (Now::read().monotonic, Vec::new());
        while times.len() < ROUNDS_MIN || Now::read().monotonic.saturating_duration_since(begun) < MEASURE {
            let before = Now::read().monotonic;
            file.write_all(&PIECE)?;
            file.sync_data()?;
            times.push(Now::read().monotonic.saturating_duration_since(before));
        }
        Ok(times)
    });
    let removed = std::fs::remove_file(&path);
    measured.and_then(|times| removed.map(|()| times))
}

fn syncs(times: &[Duration]) -> Finding {
    let mut times = times.to_vec();
    times.sort_unstable();
    let total: Duration = times.iter().sum();
    let rate = times.len() as f64 / total.as_secs_f64().max(1e-9);
    let at = |share: usize| times.get(times.len() * share / 100).or(times.last()).copied().unwrap_or_default();
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    let found =
        format!("{rate:.0} a second; {:.2} ms in the middle, 99 of 100 within {:.2} ms", ms(at(50)), ms(at(99)));
    if rate < SLOW {
        let advice = "a confirm waits for one: publishers with few unconfirmed messages are slow. Use a disk with a safe cache \
                      (an SSD for servers); durability.sync = \"interval\" does not wait, and loses the last moments in a power cut";
        return Finding::doubtful("fsync", found, advice);
    }
    if rate > UNLIKELY {
        let advice = "no disk is that fast: see that neither the virtual machine nor the controller only says that it has written";
        return Finding::doubtful("fsync", found, advice);
    }
    Finding::good("fsync", found)
}

#[cfg(test)]
mod tests {
    use super::super::Grade;
    use super::*;

    #[test]
    fn space_is_judged() {
        const GB: u64 = 1 << 30;
        let grade = |free, total, limit, inodes| judge_space(free, total, limit, inodes).grade;
        assert_eq!(grade(100 * GB, 200 * GB, GB, Some(1 << 20)), Grade::Good);
        assert_eq!(grade(GB / 2, 200 * GB, GB, None), Grade::Bad);
        assert_eq!(grade(3 * GB / 2, 2 * GB, GB, None), Grade::Doubtful);
        assert_eq!(grade(100 * GB, 200 * GB, GB, Some(10)), Grade::Bad);
        assert_eq!(grade(GB, GB, 0, None), Grade::Good);
    }

    #[test]
    fn file_systems_are_judged() {
        let grades = [0x0102_1994, 0x794c_7630, 0x6969, 0xef53, 0x1234].map(|magic| judge_kind(magic).grade);
        assert_eq!(grades, [Grade::Bad, Grade::Doubtful, Grade::Doubtful, Grade::Good, Grade::Good]);
    }

    #[test]
    fn fsync_is_told_with_its_figure() {
        let of = |micros: u64| syncs(&[Duration::from_micros(micros); 200]);
        let good = of(250);
        assert_eq!(good.grade, Grade::Good);
        assert!(good.found.starts_with("4000 a second; 0.25 ms"), "{}", good.found);
        assert_eq!((of(20_000).grade, of(1).grade), (Grade::Doubtful, Grade::Doubtful));
    }

    #[test]
    fn measuring_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        assert!(time_syncs(dir.path()).unwrap().len() >= ROUNDS_MIN);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(time_syncs(&dir.path().join("nowhere")).is_err());
    }
}

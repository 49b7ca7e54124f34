//! Why publishers are held: the disk has little room, or none; messages take more memory than they may, and none of them
//! can leave it (compat.md 1.5.8).

use super::broker::Broker;
use super::events::By;
use std::sync::atomic::{AtomicU8, Ordering};

/// Something that publishers have to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alarm {
    /// Free space is below `disk.free_limit`.
    DiskLow = 1,
    /// A write found no space.
    DiskFull = 2,
    /// Memory is full of messages that cannot be paged out. Paging itself, and what it makes publishers wait, is none.
    Memory = 4,
}

const DISK: u8 = Alarm::DiskLow as u8 | Alarm::DiskFull as u8;
const MEMORY: u8 = Alarm::Memory as u8;

/// The node's alarms.
#[derive(Debug, Default)]
pub(super) struct Alarms(AtomicU8);

impl Alarms {
    /// The reason for `connection.blocked`; None when publishers may go on.
    pub fn reason(&self) -> Option<&'static str> {
        let set = self.0.load(Ordering::Relaxed);
        match (set & MEMORY != 0, set & DISK != 0) {
            (false, false) => None,
            (true, false) => Some("low on memory"),
            (false, true) => Some("low on disk"),
            (true, true) => Some("low on memory & disk"),
        }
    }

    /// Whether there is one because of the disk.
    fn disk(&self) -> bool {
        self.0.load(Ordering::Relaxed) & DISK != 0
    }

    pub fn is_set(&self, alarm: Alarm) -> bool {
        self.0.load(Ordering::Relaxed) & alarm as u8 != 0
    }

    /// Sets or clears an alarm. True when that changed it.
    pub fn set(&self, alarm: Alarm, on: bool) -> bool {
        let bit = alarm as u8;
        let before =
            if on { self.0.fetch_or(bit, Ordering::Relaxed) } else { self.0.fetch_and(!bit, Ordering::Relaxed) };
        (before & bit != 0) != on
    }
}

impl Broker {
    /// Sets or clears an alarm, and tells the log and the connections.
    pub(super) fn set_alarm(&self, alarm: Alarm, on: bool) {
        let disk_before = self.alarms().disk();
        if !self.alarms().set(alarm, on) {
            return;
        }
        let (source, changed) = match alarm {
            Alarm::Memory => ("memory", true),
            Alarm::DiskLow | Alarm::DiskFull => ("disk", self.alarms().disk() != disk_before),
        };
        if changed {
            By::itself(self).tell_alarm(if on { "alarm.set" } else { "alarm.cleared" }, source);
        }
        match (alarm, on) {
            (Alarm::DiskLow, true) => tracing::warn!("free disk space is below disk.free_limit: publishers are held"),
            (Alarm::DiskLow, false) => tracing::info!("free disk space is above disk.free_limit again"),
            (Alarm::DiskFull, true) => {
                tracing::error!("the data directory's disk has no space left: publishers are held until there is some");
            }
            (Alarm::DiskFull, false) => tracing::info!("the data directory's disk has space again"),
            (Alarm::Memory, true) => tracing::warn!(
                "messages that cannot be paged out take more than memory.high_watermark allows: publishers are held"
            ),
            (Alarm::Memory, false) => tracing::info!("messages take less than memory.high_watermark allows again"),
        }
        self.ring_all();
    }

    /// Whether free space on the data directory's disk is below the limit.
    pub fn set_disk_low(&self, low: bool) {
        self.set_alarm(Alarm::DiskLow, low);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons() {
        let alarms = Alarms::default();
        assert_eq!(alarms.reason(), None);
        assert!(alarms.set(Alarm::DiskLow, true) && !alarms.set(Alarm::DiskLow, true));
        assert_eq!(alarms.reason(), Some("low on disk"));
        assert!(alarms.set(Alarm::DiskFull, true) && alarms.set(Alarm::Memory, true));
        assert_eq!(alarms.reason(), Some("low on memory & disk"));
        assert!(alarms.set(Alarm::DiskLow, false));
        assert_eq!(alarms.reason(), Some("low on memory & disk"));
        assert!(alarms.set(Alarm::DiskFull, false) && !alarms.set(Alarm::DiskFull, false));
        assert_eq!(alarms.reason(), Some("low on memory"));
        assert!(alarms.set(Alarm::Memory, false));
        assert_eq!(alarms.reason(), None);
    }
}

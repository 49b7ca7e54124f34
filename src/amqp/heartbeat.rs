//! Heartbeats both ways (compat.md 1.5.6). Time is an argument; the owner asks again at [`Heartbeat::deadline`].

use std::time::{Duration, Instant};

/// What a deadline brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// Nothing to do.
    Quiet,
    /// Nothing was sent for half an interval: write a heartbeat frame.
    Send,
    /// Nothing came in two checks: the peer is gone.
    PeerGone,
}

/// One connection's heartbeats.
#[derive(Debug)]
pub(super) struct Heartbeat {
    interval: Duration,
    next_send: Instant,
    next_check: Instant,
    sent: bool,
    received: bool,
    silent_checks: u8,
}

impl Heartbeat {
    /// Begins at tune-ok. None when `seconds` is 0: neither side sends or checks.
    pub fn new(seconds: u16, now: Instant) -> Option<Heartbeat> {
        let interval = Duration::from_secs(seconds.into());
        (seconds > 0).then(|| Heartbeat {
            interval,
            next_send: now + interval / 2,
            next_check: now + interval,
            sent: false,
            received: false,
            silent_checks: 0,
        })
    }

    /// The negotiated interval.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// When to ask next.
    pub fn deadline(&self) -> Instant {
        self.next_send.min(self.next_check)
    }

    /// Bytes came.
    pub fn received(&mut self) {
        self.received = true;
    }

    /// The socket took bytes.
    pub fn sent(&mut self) {
        self.sent = true;
    }

    /// Checks both directions. `backed_up`: output waits for the socket, which a heartbeat could not overtake.
    /// `deaf`: the connection is not read at present, so silence says nothing about the peer.
    pub fn check(&mut self, now: Instant, backed_up: bool, deaf: bool) -> Beat {
        if now >= self.next_check {
            self.next_check = now + self.interval;
            let heard = std::mem::take(&mut self.received) || deaf;
            self.silent_checks = if heard { 0 } else { self.silent_checks + 1 };
            if self.silent_checks >= 2 {
                return Beat::PeerGone;
            }
        }
        if now >= self.next_send {
            self.next_send = now + self.interval / 2;
            if !std::mem::take(&mut self.sent) && !backed_up {
                return Beat::Send;
            }
        }
        Beat::Quiet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn sends_after_half_an_interval_without_output() {
        let start = Instant::now();
        let mut beat = Heartbeat::new(10, start).unwrap();
        assert_eq!(beat.deadline(), at(start, 5));
        assert_eq!(beat.check(at(start, 4), false, false), Beat::Quiet);
        assert_eq!(beat.check(at(start, 5), false, false), Beat::Send);
        beat.sent();
        beat.received();
        assert_eq!(beat.check(at(start, 10), false, false), Beat::Quiet);
        assert_eq!(beat.check(at(start, 15), true, false), Beat::Quiet);
        assert_eq!(beat.check(at(start, 20), false, false), Beat::Send);
    }

    #[test]
    fn two_silent_checks_end_the_connection() {
        let start = Instant::now();
        let mut beat = Heartbeat::new(10, start).unwrap();
        beat.received();
        assert_ne!(beat.check(at(start, 10), true, false), Beat::PeerGone);
        assert_ne!(beat.check(at(start, 20), true, false), Beat::PeerGone);
        assert_eq!(beat.check(at(start, 30), true, false), Beat::PeerGone);
    }

    #[test]
    fn a_connection_that_is_not_read_is_not_judged() {
        let start = Instant::now();
        let mut beat = Heartbeat::new(10, start).unwrap();
        for seconds in [10, 20, 30, 40] {
            assert_ne!(beat.check(at(start, seconds), true, true), Beat::PeerGone);
        }
    }

    #[test]
    fn zero_is_off() {
        assert!(Heartbeat::new(0, Instant::now()).is_none());
    }
}

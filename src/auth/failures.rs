//! Failed logins, by where they come from: after a few, the answers to more of them take longer and longer, and only some may
//! be under way at a time. A login that is right is never slowed. What is remembered is bounded.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Failures that cost nothing: somebody mistypes, a client is restarted with an old password.
const FREE: u32 = 5;
/// What the next one waits for its answer; each further one waits twice as long, up to the most.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(3);
/// When nothing has failed for so long, all is forgotten.
const FORGET: Duration = Duration::from_secs(60);
/// Logins of one source that has failed often which may be under way at a time.
const UNDER_WAY: u32 = 16;
/// Sources that are remembered; of more, those that failed least are forgotten.
const SOURCES: usize = 4096;

/// Where a login comes from: an IPv4 address, or the half of an IPv6 address that its owner cannot choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Source(IpAddr);

impl Source {
    /// The source of a peer `host:port`.
    pub fn of(peer: &str) -> Source {
        let address = peer.parse::<SocketAddr>().map(|peer| peer.ip().to_canonical());
        Source(match address {
            Ok(IpAddr::V6(address)) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
            Ok(address) => address,
            Err(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        })
    }
}

#[derive(Debug)]
struct Record {
    failures: u32,
    last: Instant,
    under_way: u32,
}

/// All that is remembered.
#[derive(Debug, Default)]
pub struct Failures(Mutex<HashMap<Source, Record>>);

/// A login under way. It is over when this is dropped.
#[derive(Debug)]
pub struct Try {
    failures: Arc<Failures>,
    source: Source,
    counted: bool,
}

impl Failures {
    /// A login begins. None: its source has failed often, and has too many under way.
    pub fn begin(self: &Arc<Failures>, source: Source) -> Option<Try> {
        let mut records = self.0.lock();
        let mut counted = false;
        if let Some(record) = records.get_mut(&source).filter(|record| record.failures > FREE) {
            if record.under_way >= UNDER_WAY {
                return None;
            }
            record.under_way += 1;
            counted = true;
        }
        Some(Try { failures: self.clone(), source, counted })
    }

    /// A login has failed: how long its answer is to wait.
    pub fn failed(&self, source: Source, now: Instant) -> Duration {
        let mut records = self.0.lock();
        if !records.contains_key(&source) && records.len() >= SOURCES {
            make_room(&mut records, now);
        }
        let record = records.entry(source).or_insert(Record { failures: 0, last: now, under_way: 0 });
        if is_over(record, now) {
            record.failures = 0;
        }
        (record.failures, record.last) = (record.failures.saturating_add(1), now);
        match record.failures.checked_sub(FREE + 1) {
            None => Duration::ZERO,
            Some(more) => FIRST_WAIT.saturating_mul(1 << more.min(16)).min(LONGEST_WAIT),
        }
    }
}

fn is_over(record: &Record, now: Instant) -> bool {
    now.saturating_duration_since(record.last) >= FORGET
}

/// Forgets what is over, or else a quarter: those that failed least.
fn make_room(records: &mut HashMap<Source, Record>, now: Instant) {
    records.retain(|_, record| !is_over(record, now) || record.under_way > 0);
    if records.len() < SOURCES {
        return;
    }
    let mut failures: Vec<u32> = records.values().map(|record| record.failures).collect();
    failures.sort_unstable();
    let least = failures.get(SOURCES / 4).copied().unwrap_or(0);
    records.retain(|_, record| record.failures > least);
}

impl Drop for Try {
    fn drop(&mut self) {
        if self.counted
            && let Some(record) = self.failures.0.lock().get_mut(&self.source)
        {
            record.under_way = record.under_way.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources() {
        assert_eq!(Source::of("10.0.0.1:5"), Source::of("[::ffff:10.0.0.1]:6"));
        assert_eq!(Source::of("[2001:db8::1]:5"), Source::of("[2001:db8::ffff:0:0:1]:6"));
        assert_ne!(Source::of("[2001:db8::1]:5"), Source::of("[2001:db8:0:1::1]:5"));
        assert_ne!(Source::of("10.0.0.1:5"), Source::of("10.0.0.2:5"));
        assert_eq!(Source::of("what"), Source::of("ever"));
    }

    #[test]
    fn answers_take_longer_and_longer_until_it_is_forgotten() {
        let (failures, source, now) = (Failures::default(), Source::of("10.0.0.1:5"), Instant::now());
        let waits: Vec<u128> = (0..13).map(|_| failures.failed(source, now).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 100, 200, 400, 800, 1600, 3000, 3000, 3000]);
        assert_eq!(failures.failed(Source::of("10.0.0.2:5"), now), Duration::ZERO);
        assert_eq!(failures.failed(source, now + Duration::from_secs(59)), LONGEST_WAIT);
        assert_eq!(failures.failed(source, now + Duration::from_secs(120)), Duration::ZERO);
    }

    #[test]
    fn only_some_are_under_way_at_a_time() {
        let (failures, source) = (Arc::new(Failures::default()), Source::of("10.0.0.1:5"));
        let tries: Vec<_> = (0..100).map(|_| failures.begin(source)).collect();
        assert!(tries.iter().all(Option::is_some), "nothing has failed");
        (0..6).for_each(|_| {
            failures.failed(source, Instant::now());
        });
        let mut tries: Vec<_> = (0..16).map(|_| failures.begin(source).unwrap()).collect();
        assert!(failures.begin(source).is_none());
        assert!(failures.begin(Source::of("10.0.0.2:5")).is_some());
        tries.pop();
        assert!(failures.begin(source).is_some());
    }

    #[test]
    fn memory_is_bounded() {
        let (failures, now) = (Failures::default(), Instant::now());
        let busy = Source::of("10.0.0.1:5");
        (0..20).for_each(|_| {
            failures.failed(busy, now);
        });
        for number in 0..3 * SOURCES as u32 {
            failures.failed(Source(IpAddr::V4((number + (11 << 24)).into())), now);
        }
        assert!(failures.0.lock().len() <= SOURCES);
        assert_eq!(failures.failed(busy, now), LONGEST_WAIT, "who failed most is remembered");
    }
}

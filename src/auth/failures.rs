//! Failed logins, by where they come from: after a few, the answers to more of them take longer and longer, and only some are looked
//! at at a time, the others wait for their turn. What is remembered is bounded.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Failures that cost nothing: somebody mistypes, a client is restarted with an old password.
const FREE: u32 = 5;
/// What the next one waits for its answer; each further one waits twice as long, up to the most.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(3);
/// When nothing has failed for so long, all is forgotten.
const FORGET: Duration = Duration::from_secs(60);
/// Logins of one source that has failed often which are looked at at a time: whoever else logs in is behind so few at most.
const AT_A_TIME: usize = 4;
/// How long the others wait for their turn: with the wait of an answer less than a handshake may take by default.
pub const TURN_WAIT: Duration = Duration::from_secs(6);
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
    /// A permit for each login that is looked at; made when they begin to be counted.
    turns: Option<Arc<Semaphore>>,
}

/// All that is remembered.
#[derive(Debug, Default)]
pub struct Failures(Mutex<HashMap<Source, Record>>);

/// A login that may be looked at, until this is dropped.
#[derive(Debug)]
pub struct Turn(#[expect(dead_code, reason = "it is held")] Option<OwnedSemaphorePermit>);

impl Failures {
    /// Waits for at most `wait` until a login may be looked at. None: its source has failed often, and has too many others.
    pub async fn turn(&self, source: Source, wait: Duration) -> Option<Turn> {
        let turns = self.0.lock().get_mut(&source).filter(|record| record.failures > FREE).map(|record| {
            let turns = record.turns.get_or_insert_with(|| Arc::new(Semaphore::new(AT_A_TIME)));
            turns.clone()
        });
        let Some(turns) = turns else { return Some(Turn(None)) };
        let turn = tokio::time::timeout(wait, turns.acquire_owned()).await;
        turn.ok()?.ok().map(|turn| Turn(Some(turn)))
    }

    /// A login has failed: how long its answer is to wait.
    pub fn failed(&self, source: Source, now: Instant) -> Duration {
        let mut records = self.0.lock();
        if !records.contains_key(&source) && records.len() >= SOURCES {
            make_room(&mut records, now);
        }
        let record = records.entry(source).or_insert(Record { failures: 0, last: now, turns: None });
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
    records.retain(|_, record| !is_over(record, now));
    if records.len() < SOURCES {
        return;
    }
    let mut failures: Vec<u32> = records.values().map(|record| record.failures).collect();
    failures.sort_unstable();
    let least = failures.get(SOURCES / 4).copied().unwrap_or(0);
    records.retain(|_, record| record.failures > least);
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

    #[tokio::test]
    async fn only_some_are_looked_at_at_a_time() {
        let (failures, source) = (Failures::default(), Source::of("10.0.0.1:5"));
        for _ in 0..100 {
            assert!(failures.turn(source, Duration::ZERO).await.is_some(), "nothing has failed");
        }
        (0..6).for_each(|_| {
            failures.failed(source, Instant::now());
        });
        let mut turns = Vec::new();
        for _ in 0..AT_A_TIME {
            turns.push(failures.turn(source, TURN_WAIT).await.unwrap());
        }
        let soon = Duration::from_millis(20);
        assert!(failures.turn(source, soon).await.is_none(), "not in time");
        assert!(failures.turn(Source::of("10.0.0.2:5"), soon).await.is_some());
        let (next, ()) = tokio::join!(failures.turn(source, TURN_WAIT), async {
            tokio::time::sleep(soon).await;
            turns.pop();
        });
        assert!(next.is_some(), "one is over");
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

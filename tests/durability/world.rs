//! What all actors of a run share.

use crate::checker::{Checker, Rule, Rules};
use crate::message::Id;
use crate::places::{DEAD, DUE, GATED, HIGHEST, ONCE, PRIORITY, QUEUES};
use crate::support::{Client, Error, Options};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Longest wait for one reply or confirm; longer is a broker that hangs.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// splitmix64: small, and the same everywhere.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// 0 to `bound - 1`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }
}

pub fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock past 1970").as_millis() as u64
}

pub fn seed_of_the_moment() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock past 1970");
    now.as_nanos() as u64 % 1_000_000_000
}

pub struct World {
    pub addr: SocketAddr,
    pub seed: u64,
    checker: Mutex<Checker>,
    publishing: AtomicBool,
    running: AtomicBool,
}

impl World {
    pub fn new(addr: SocketAddr, seed: u64) -> Self {
        let rank = |queue: usize, id: Id| if queue == PRIORITY { id.priority().min(HIGHEST) } else { 0 };
        let rules = Rules {
            route: |id| id.route().places,
            rank,
            unordered: 1 << DUE | 1 << DEAD,
            once: 1 << ONCE | 1 << GATED,
        };
        let checker = Checker::new(QUEUES.len(), rules);
        Self {
            addr,
            seed,
            checker: Mutex::new(checker),
            publishing: AtomicBool::new(true),
            running: AtomicBool::new(true),
        }
    }

    pub fn checker(&self) -> MutexGuard<'_, Checker> {
        self.checker.lock().expect("no actor panics while it holds the checker")
    }

    /// The choices of one actor.
    pub fn rng(&self, actor: &str, number: u64) -> Rng {
        let name = crc32fast::hash(actor.as_bytes());
        Rng::new(self.seed ^ (u64::from(name) << 32) ^ number)
    }

    pub fn publishing(&self) -> bool {
        self.publishing.load(Ordering::Relaxed)
    }

    pub fn running(&self) -> bool {
        self.running.load(Ordering::Relaxed)
    }

    pub fn stop_publishing(&self) {
        self.publishing.store(false, Ordering::Relaxed);
    }

    pub fn stop(&self) {
        self.running.store(false, Ordering::Relaxed);
    }

    /// A connection and the broker life it belongs to; `None` once the run is over.
    pub fn connect(&self) -> Option<(Client, u32)> {
        let options = Options { timeout: PATIENCE, ..Default::default() };
        let mut since = Instant::now();
        let mut seen = None;
        while self.running() {
            let life = self.checker().life();
            if seen != Some(life) {
                (seen, since) = (Some(life), Instant::now());
            }
            match Client::open(self.addr, &options) {
                // A broker that died meanwhile has a successor, and the connection may be to either.
                Ok(client) if self.checker().life() == life => return Some((client, life)),
                Ok(_) | Err(Error::Gone) => {}
                Err(error) => self.problem("connect", life, &error),
            }
            if since.elapsed() > 2 * PATIENCE {
                self.checker().violation(Rule::Liveness, format!("no connection within {:?}", 2 * PATIENCE));
                since = Instant::now();
            }
            thread::sleep(Duration::from_millis(10));
        }
        None
    }

    /// Judges why a conversation ended: the broker's death is no fault, anything else is.
    pub fn problem(&self, actor: &str, life: u32, error: &Error) {
        let fine = match error {
            Error::Gone => true,
            // The broker says that it stops.
            Error::Closed(closed) => closed.code == 320,
            Error::Timeout => self.checker().life() != life,
            Error::Unexpected(_) => false,
        };
        if !fine {
            self.checker().violation(Rule::Liveness, format!("{actor} in life {life}: {error:?}"));
            // A broker that refuses will refuse again: no flood.
            thread::sleep(Duration::from_millis(50));
        }
    }
}

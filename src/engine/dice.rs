//! Random numbers for routing: cheap, without lock, different at every start.

use crate::broker::hash::mix;
use std::sync::atomic::{AtomicU64, Ordering};

/// Odd, so that every state is visited once.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A source of random numbers. Not for secrets.
#[derive(Debug)]
pub(super) struct Dice(AtomicU64);

impl Dice {
    pub fn new() -> Dice {
        let mut seed = [0; 8];
        // Without randomness every start throws alike: still a fair die.
        let _ = getrandom::fill(&mut seed);
        Dice(AtomicU64::new(u64::from_ne_bytes(seed)))
    }

    pub fn throw(&self) -> u64 {
        mix(self.0.fetch_add(STEP, Ordering::Relaxed))
    }
}

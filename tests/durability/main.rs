//! Kills the broker again and again under load, and checks what it promised: a confirmed message is not lost, comes
//! unchanged and in order, a second delivery says so, what a queue passes on arrives, what was rolled back
//! never comes, a definition that got its `-ok` survives.
//!
//! `WARREN_CRASH_CYCLES` (default 5) sets how often the broker dies, `WARREN_CRASH_SEED` repeats a run's choices.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[path = "../support/mod.rs"]
mod support;

mod bits;
mod checker;
mod consumer;
mod crash;
mod delayed;
mod message;
mod places;
mod publisher;
mod selftest;
mod topologist;
mod topology;
mod transactor;
mod world;

#[test]
fn what_was_confirmed_survives_kill() {
    let cycles = env("WARREN_CRASH_CYCLES").unwrap_or(5);
    let seed = env("WARREN_CRASH_SEED").unwrap_or_else(world::seed_of_the_moment);
    println!("WARREN_CRASH_SEED={seed} WARREN_CRASH_CYCLES={cycles}");
    crash::run(cycles, seed);
}

#[test]
fn delayed_messages_survive_kill() {
    let cycles = env("WARREN_CRASH_CYCLES").unwrap_or(5);
    let seed = env("WARREN_CRASH_SEED").unwrap_or_else(world::seed_of_the_moment);
    println!("WARREN_CRASH_SEED={seed} WARREN_CRASH_CYCLES={cycles}");
    delayed::run(cycles, seed);
}

fn env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name}={value} is not a number")))
}

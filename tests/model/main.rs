//! The queue machine against a naive queue: random commands, commits, evictions, reads, crashes; what must hold is checked
//! after each. The disk is the store's own, in memory.
//!
//! `WARREN_MODEL_COMMANDS` says how many commands, `WARREN_MODEL_SEED` where to begin: a failure names its seed, and shows the
//! shortest history that fails.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod bench;
mod consumers;
mod disk;
mod history;
mod letters;
mod naive;
mod once;

use bench::Bench;
use history::{Config, Op, history};
use proptest::test_runner::{Config as Cases, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Commands of an ordinary test run.
const COMMANDS: u64 = 100_000;
/// Histories of one seed.
const HISTORIES: u32 = 50;
/// One history in so many is run twice, to see that the machine does the same.
const REPEATED: u64 = 16;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value}")))
}

fn play(config: Config, ops: &[Op]) -> u64 {
    let mut bench = Bench::new(config);
    for op in ops {
        bench.run(op.clone());
        bench.check();
    }
    bench.finish()
}

/// Plays the histories of a seed. The shortest that fails, and how, if one does.
fn play_seed(seed: u64, commands: &AtomicU64) -> Result<(), String> {
    let cases = Cases { cases: HISTORIES, max_shrink_iters: 50_000, failure_persistence: None, ..Cases::default() };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut runner = TestRunner::new_with_rng(cases, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let outcome = runner.run(&history(), |(config, ops)| {
        let played = commands.fetch_add(ops.len() as u64, Ordering::Relaxed);
        let repeated = played.is_multiple_of(REPEATED);
        let played = catch_unwind(AssertUnwindSafe(|| {
            let digest = play(config, &ops);
            assert!(!repeated || play(config, &ops) == digest, "the same history went another way");
        }));
        played.map_err(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            TestCaseError::fail(text.unwrap_or_default())
        })
    });
    match outcome {
        Ok(()) => Ok(()),
        Err(TestError::Fail(reason, (config, ops))) => {
            let ops: Vec<String> = ops.iter().map(|op| format!("    {op:?}")).collect();
            Err(format!("{reason}\nin a queue with {config:?}\nafter\n{}", ops.join("\n")))
        }
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn the_queue_does_what_a_naive_queue_does() {
    let wanted = setting("WARREN_MODEL_COMMANDS").unwrap_or(COMMANDS);
    let moment = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64 % 1_000_000_000;
    let first = setting("WARREN_MODEL_SEED").unwrap_or_else(moment);
    println!("seeds from {first} on");
    let (commands, next, failed) = (AtomicU64::new(0), AtomicU64::new(first), AtomicBool::new(false));
    let failure = Mutex::new(None);
    // What fails on the way to the shortest history is of no interest.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while commands.load(Ordering::Relaxed) < wanted && !failed.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if let Err(text) = play_seed(seed, &commands) {
                        failed.store(true, Ordering::Relaxed);
                        failure.lock().unwrap().get_or_insert((seed, text));
                    }
                }
            });
        }
    });
    std::panic::set_hook(hook);
    println!("{} commands", commands.load(Ordering::Relaxed));
    if let Some((seed, text)) = failure.into_inner().unwrap() {
        panic!("{text}\nWARREN_MODEL_SEED={seed} plays it again");
    }
}

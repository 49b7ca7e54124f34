//! Runs inputs, counts them, and keeps the one that broke something.

use crate::mutate::{Random, mutate};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// An input that takes longer than this is a hang.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the committed inputs of a target are.
pub fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

/// Runs the corpus of `target`, then mutations of it of up to `longest` bytes.
///
/// `WARREN_FUZZ_SECONDS` is for how long, `WARREN_FUZZ_SEED` where the mutations begin, and `WARREN_FUZZ_INPUT` a file
/// that is run alone. What breaks something is written to a file in the folder for temporary files; a crash that nothing
/// can catch leaves its input only with `WARREN_FUZZ_TRACE=1`, which writes every input first.
pub fn fuzz(target: &'static str, body: fn(&[u8]), longest: usize) {
    let seed = number("WARREN_FUZZ_SEED").unwrap_or_else(clock_seed);
    let run = Run { target, body, seed, current: Current::watched(target, seed), trace: number("WARREN_FUZZ_TRACE") };
    if let Some(path) = std::env::var_os("WARREN_FUZZ_INPUT") {
        return run.one(&std::fs::read(path).unwrap());
    }
    let mut paths: Vec<_> = std::fs::read_dir(corpus(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut corpus: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    for (path, input) in paths.iter().zip(&corpus) {
        if catch_unwind(AssertUnwindSafe(|| run.one(input))).is_err() {
            panic!("{} breaks {target}", path.display());
        }
    }
    let seeds = corpus.len();
    corpus.retain(|input| input.len() <= longest);
    let mut random = Random::new(seed);
    let (began, mut count) = (Instant::now(), 0_u64);
    let limit = Duration::from_secs(number("WARREN_FUZZ_SECONDS").unwrap_or(4));
    while began.elapsed() < limit {
        for _ in 0..64 {
            let (first, other) = (random.below(corpus.len()), random.below(corpus.len()));
            run.one(&mutate(&mut random, &corpus[first], &corpus[other], longest));
        }
        count += 64;
    }
    let rate = count as f64 / began.elapsed().as_secs_f64();
    let text = format!("fuzz {target}: {seeds} seeds, {count} mutations, {rate:.0} a second, WARREN_FUZZ_SEED={seed}");
    // Not by a macro: the test harness would keep it to itself.
    eprintln!("{text}");
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn clock_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

struct Run {
    target: &'static str,
    body: fn(&[u8]),
    seed: u64,
    current: Arc<Mutex<Current>>,
    trace: Option<u64>,
}

impl Run {
    fn one(&self, input: &[u8]) {
        self.current.lock().unwrap().begin(input);
        if self.trace.is_some() {
            keep(self.target, self.seed, input);
        }
        if catch_unwind(AssertUnwindSafe(|| (self.body)(input))).is_err() {
            let path = keep(self.target, self.seed, input);
            panic!("{} breaks {} (WARREN_FUZZ_SEED={})", path.display(), self.target, self.seed);
        }
    }
}

fn keep(target: &str, seed: u64, input: &[u8]) -> PathBuf {
    let path = std::env::temp_dir().join(format!("warren-fuzz-{target}-{seed}"));
    std::fs::write(&path, input).unwrap();
    path
}

/// The input that is being run, for the thread that looks out for hangs.
struct Current {
    input: Vec<u8>,
    began: Instant,
}

impl Current {
    fn watched(target: &'static str, seed: u64) -> Arc<Mutex<Current>> {
        let current = Arc::new(Mutex::new(Current { input: Vec::new(), began: Instant::now() }));
        let watched = Arc::downgrade(&current);
        std::thread::spawn(move || watch(target, seed, &watched));
        current
    }

    fn begin(&mut self, input: &[u8]) {
        self.input.clear();
        self.input.extend_from_slice(input);
        self.began = Instant::now();
    }
}

/// Ends the process when an input takes too long: an endless loop cannot be ended otherwise.
fn watch(target: &str, seed: u64, current: &Weak<Mutex<Current>>) {
    while let Some(current) = current.upgrade() {
        let current = current.lock().unwrap();
        if current.began.elapsed() > PATIENCE {
            let path = keep(target, seed, &current.input);
            let text = format!("{} hangs {target} (WARREN_FUZZ_SEED={seed})", path.display());
            eprintln!("{text}");
            std::process::abort();
        }
        drop(current);
        std::thread::sleep(Duration::from_millis(200));
    }
}

//! Fuzzing without a fuzzer's toolchain: the committed corpus, then mutations of it for `WARREN_FUZZ_SECONDS` (4) a
//! target. `fuzz/README.md` says how to run the same bodies under libFuzzer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[path = "../../fuzz/src/connection.rs"]
mod connection;
#[path = "../../fuzz/src/decoder.rs"]
mod decoder;
mod mutate;
mod runner;
mod seeds;

#[test]
fn decoder() {
    runner::fuzz("decoder", decoder::run, 16 * 1024);
}

#[test]
fn connection() {
    runner::fuzz("connection", connection::run, 4 * 1024);
}

/// The corpus in the repository is what `seeds.rs` makes; `WARREN_FUZZ_WRITE_SEEDS=1` writes it.
#[test]
fn seeds_are_committed() {
    for (target, seeds) in [("decoder", seeds::decoder()), ("connection", seeds::connection())] {
        let folder = runner::corpus(target);
        for (name, bytes) in seeds {
            let path = folder.join(&name);
            if std::env::var_os("WARREN_FUZZ_WRITE_SEEDS").is_some() {
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(&path, &bytes).unwrap();
            }
            let committed = std::fs::read(&path).unwrap_or_default();
            assert!(committed == bytes, "{}: not what seeds.rs makes; WARREN_FUZZ_WRITE_SEEDS=1", path.display());
        }
    }
}

//! The speed table: `make bench` measures Warren against its goals, `make bench-peers` beside other brokers and the
//! machine's floor. It starts what it measures, loads it with `warren perf`, and prints.
#![allow(clippy::indexing_slicing, missing_docs, reason = "a program of the makers, for themselves")]

mod broker;
mod figures;
mod floor;
mod machine;
mod paced;
mod peers;
mod rows;

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    // cargo adds --bench.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["relay", port] => relay(port, None),
        ["relay", port, file] => relay(port, Some(PathBuf::from(file))),
        ["relay-paced", port, pairs] => relay_paced(port, pairs, None),
        ["relay-paced", port, pairs, file] => relay_paced(port, pairs, Some(PathBuf::from(file))),
        ["goals", ref options @ ..] => Options::read(options).and_then(|options| rows::run(&options)),
        ["peers", ref options @ ..] => Options::read(options).and_then(|options| peers::run(&options)),
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

const USAGE: &str = "usage: goals|peers [--full] [--only TEXT] [--rounds N]";

fn relay(port: &str, file: Option<PathBuf>) -> Result<(), String> {
    let port = port.parse().map_err(|_| format!("relay: no port: {port}"))?;
    floor::relay(port, file.as_deref())
}

fn relay_paced(port: &str, pairs: &str, file: Option<PathBuf>) -> Result<(), String> {
    let port = port.parse().map_err(|_| format!("relay: no port: {port}"))?;
    let pairs = pairs.parse().map_err(|_| format!("relay: no number: {pairs}"))?;
    paced::relay(port, pairs, file.as_deref())
}

/// How much is measured.
#[derive(Clone, Debug)]
pub struct Options {
    /// As long as the goals are meant, instead of minutes for all.
    pub full: bool,
    /// Only rows whose name holds this text.
    pub only: String,
    /// Turns of all brokers.
    pub rounds: usize,
}

impl Options {
    fn read(words: &[&str]) -> Result<Self, String> {
        let mut options = Options { full: false, only: String::new(), rounds: 0 };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--full" => options.full = true,
                "--only" => options.only = (*words.next().ok_or(USAGE)?).to_owned(),
                "--rounds" => {
                    let rounds = words.next().and_then(|word| word.parse().ok());
                    options.rounds = rounds.ok_or("--rounds needs a number")?;
                }
                _ => return Err(USAGE.to_owned()),
            }
        }
        Ok(options)
    }

    /// The first in the quick form, the second in the full one.
    pub fn pick<T>(&self, quick: T, full: T) -> T {
        if self.full { full } else { quick }
    }
}

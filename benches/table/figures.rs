//! What `warren perf` says of a load.

use crate::broker::{Broker, warren};
use serde_json::Value;
use std::process::Command;

/// A scenario's JSON.
#[derive(Clone, Debug)]
pub struct Figures(Value);

/// Runs `warren perf` with these words against the broker.
pub fn perf(broker: &Broker, words: &str) -> Result<Figures, String> {
    run(Command::new(warren()).arg("perf").args(words.split_whitespace()).args(["--url", &broker.url()]), broker, words)
}

/// The same by TLS.
pub fn perf_tls(broker: &Broker, words: &str) -> Result<Figures, String> {
    let (url, trusted) = broker.tls();
    let mut command = Command::new(warren());
    command.arg("perf").args(words.split_whitespace()).args(["--url", &url]).arg("--tls-ca").arg(trusted);
    run(&mut command, broker, words)
}

fn run(command: &mut Command, broker: &Broker, words: &str) -> Result<Figures, String> {
    command.args(["--json", "--pid", &broker.pid.to_string()]);
    let output = command.output().map_err(|error| format!("warren perf: {error}"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(format!("warren perf {words}: {}", text.trim().trim_start_matches("warren: ")));
    }
    serde_json::from_slice(&output.stdout).map(Figures).map_err(|error| format!("warren perf {words}: {error}"))
}

impl Figures {
    /// A number; 0 where there is none.
    pub fn number(&self, path: &str) -> f64 {
        self.0.pointer(path).and_then(Value::as_f64).unwrap_or(0.0)
    }

    /// Microseconds of the broker's CPU a message, in this part of the scenario ("" for all of it).
    pub fn cpu(&self, part: &str) -> f64 {
        self.number(&format!("{part}/broker_cpu_us_per_message"))
    }

    /// Messages a second.
    pub fn rate(&self, part: &str) -> f64 {
        self.number(&format!("{part}/messages_per_second"))
    }

    /// A latency in milliseconds.
    pub fn latency(&self, part: &str, share: &str) -> f64 {
        self.number(&format!("{part}/latency_us/{share}")) / 1e3
    }
}

/// A rate as people write it.
pub fn rate(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{:.2} M/s", value / 1e6),
        value if value >= 1e4 => format!("{:.0} k/s", value / 1e3),
        value => format!("{value:.0}/s"),
    }
}

/// Microseconds, with the digits that matter.
pub fn micros(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0} µs"),
        value if value >= 10.0 => format!("{value:.1} µs"),
        value => format!("{value:.2} µs"),
    }
}

/// Milliseconds of two percentiles.
pub fn millis(p50: f64, p99: f64) -> String {
    format!("{p50:.3} / {p99:.2} ms")
}

/// Bytes in units of a thousand.
pub fn bytes(value: f64) -> String {
    match value {
        value if value >= 1e7 => format!("{:.0} MB", value / 1e6),
        value if value >= 1e6 => format!("{:.1} MB", value / 1e6),
        value if value >= 1e3 => format!("{:.1} KB", value / 1e3),
        value => format!("{value:.0} B"),
    }
}

/// The middle one of several measurements.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.len() % 2, sorted.get(middle)) {
        (0, Some(upper)) => (sorted.get(middle.saturating_sub(1)).unwrap_or(upper) + upper) / 2.0,
        (_, middle) => middle.copied().unwrap_or(0.0),
    }
}

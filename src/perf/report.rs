//! The figures of a run, for people and for scripts.

use super::args::Verify;
use super::latency::{Latencies, SHARES};
use super::plan::{Load, Topology};
use super::process::Used;
use super::run::Outcome;
use serde_json::{Map, Value, json};
use std::fmt::Write;
use std::time::Duration;

/// Everything there is to print, in order.
#[derive(Debug)]
pub(super) struct Report {
    /// What belongs to no part.
    pub(super) top: Section,
    pub(super) parts: Vec<(&'static str, Section)>,
    /// What a check found wrong: the run fails.
    pub(super) fault: Option<String>,
}

/// The figures of one part of a scenario.
#[derive(Debug, Default)]
pub(super) struct Section {
    lines: Vec<(&'static str, String)>,
    json: Map<String, Value>,
}

impl Report {
    pub(super) fn new(scenario: &str) -> Self {
        let mut top = Section::default();
        top.value("scenario", json!(scenario));
        Self { top, parts: Vec::new(), fault: None }
    }

    /// Adds the figures of a load as a part.
    pub(super) fn part(&mut self, name: &'static str, load: &Load, outcome: &Outcome) {
        let mut section = Section::default();
        section.load(load, outcome);
        self.parts.push((name, section));
        self.judge(outcome);
    }

    /// Makes the run fail if the load's messages were not as they should be.
    pub(super) fn judge(&mut self, outcome: &Outcome) {
        let Some(faults) = outcome.faults.filter(|faults| *faults != Default::default()) else { return };
        self.fault.get_or_insert(format!(
            "verification failed: {} missing, {} duplicated, {} out of order, {} corrupted",
            faults.missing, faults.duplicated, faults.reordered, faults.corrupted
        ));
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        self.top.write(&mut text, "");
        for (name, section) in &self.parts {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name}");
            section.write(&mut text, "  ");
        }
        text
    }

    pub(super) fn json(&self) -> String {
        let mut all = self.top.json.clone();
        for (name, section) in &self.parts {
            all.insert((*name).to_owned(), Value::Object(section.json.clone()));
        }
        format!("{}\n", Value::Object(all))
    }
}

impl Section {
    fn write(&self, text: &mut String, indent: &str) {
        for (name, value) in &self.lines {
            let _ = writeln!(text, "{:<24}{value}", format!("{indent}{name}"));
        }
    }

    /// A line for people.
    pub(super) fn line(&mut self, name: &'static str, text: String) {
        self.lines.push((name, text));
    }

    /// A field for scripts.
    pub(super) fn value(&mut self, key: &str, value: Value) {
        self.json.insert(key.to_owned(), value);
    }

    /// A number for both.
    pub(super) fn figure(&mut self, name: &'static str, key: &str, value: f64, unit: &str) {
        let digits = if value.abs() >= 100.0 { 0 } else { 3 };
        self.line(name, format!("{value:.digits$}{unit}"));
        self.value(key, json!(value));
    }

    /// The load and everything that is known of it.
    pub(super) fn load(&mut self, load: &Load, outcome: &Outcome) {
        self.line("load", words(load));
        for (key, value) in [
            ("publishers", json!(load.publishers)),
            ("consumers", json!(load.consumers)),
            ("queues", json!(load.queues.len())),
            ("size", json!(load.size)),
            ("persistent", json!(load.persistent)),
            ("confirms", json!(load.confirms)),
            ("acks", json!(load.acks)),
            ("prefetch", json!(load.prefetch)),
            ("rate", json!(load.rate)),
        ] {
            self.value(key, value);
        }
        self.counts(load, outcome);
        self.figure("seconds", "seconds", outcome.seconds(), "");
        self.figure("messages/s", "messages_per_second", outcome.rate(load), "");
        let messages = outcome.messages(load);
        let micros = micros_each(outcome.generator_cpu, messages);
        self.figure("generator CPU", "generator_cpu_us_per_message", micros, " µs/message");
        if let Some(broker) = &outcome.broker {
            self.broker(broker, messages);
        }
        self.latencies("latency µs", "latency_us", &outcome.latency);
        self.latencies("confirm µs", "confirm_latency_us", &outcome.confirm_latency);
        self.latencies("written late µs", "written_late_us", &outcome.lateness);
        if let Some(faults) = &outcome.faults {
            let found = [faults.missing, faults.duplicated, faults.reordered, faults.corrupted];
            let [missing, duplicated, reordered, corrupted] = found;
            self.line(
                "verified",
                match found {
                    [0, 0, 0, 0] => format!("{} messages, no fault", outcome.consumed),
                    _ => format!(
                        "{missing} missing, {duplicated} duplicated, {reordered} out of order, {corrupted} corrupted"
                    ),
                },
            );
            let faults = json!({
                "missing": missing, "duplicated": duplicated, "reordered": reordered, "corrupted": corrupted
            });
            self.value("faults", faults);
        }
    }

    fn counts(&mut self, load: &Load, outcome: &Outcome) {
        let count =
            |messages: u64, time: Duration| format!("{messages} ({:.0}/s)", each(messages as f64, time.as_secs_f64()));
        if load.publishers > 0 {
            self.line("published", count(outcome.published(), outcome.publish_time));
        }
        if load.confirms > 0 && load.publishers > 0 {
            self.line("confirmed", count(outcome.confirmed, outcome.publish_time));
        }
        if outcome.nacked > 0 {
            self.line("nacked", outcome.nacked.to_string());
        }
        if load.consumers > 0 {
            self.line("consumed", count(outcome.consumed, outcome.consume_time));
        }
        self.value("published", json!(outcome.published()));
        self.value("confirmed", json!(outcome.confirmed));
        self.value("nacked", json!(outcome.nacked));
        self.value("consumed", json!(outcome.consumed));
        let rate = each(outcome.published() as f64, outcome.publish_time.as_secs_f64());
        self.value("published_per_second", json!(rate));
    }

    /// What the broker used for `messages` (or other things).
    pub(super) fn broker(&mut self, broker: &Used, messages: u64) {
        let micros = micros_each(broker.cpu, messages);
        self.figure("broker CPU", "broker_cpu_us_per_message", micros, " µs/message");
        self.memory(broker);
        self.value("broker_cpu_seconds", json!(broker.cpu.as_secs_f64()));
        if let Some(written) = broker.written {
            self.line("broker disk writes", format!("{:.1} MB", megabytes(written)));
            self.value("broker_written_bytes", json!(written));
        }
    }

    pub(super) fn memory(&mut self, broker: &Used) {
        let (rss, peak) = (megabytes(broker.rss), megabytes(broker.rss_peak));
        self.line("broker memory", format!("{rss:.1} MB, peak {peak:.1} MB"));
        self.value("broker_rss_bytes", json!(broker.rss));
        self.value("broker_rss_peak_bytes", json!(broker.rss_peak));
    }

    /// Percentiles, if there are any.
    pub(super) fn latencies(&mut self, name: &'static str, key: &str, latencies: &Latencies) {
        if latencies.is_empty() {
            return;
        }
        let shares = SHARES.map(|(name, share)| format!("{name} {:.0}", latencies.micros(share)));
        self.line(name, shares.join(", "));
        let shares = SHARES.map(|(name, share)| (name.to_owned(), json!(latencies.micros(share))));
        self.value(key, Value::Object(shares.into_iter().collect()));
    }
}

/// What kind of queues and exchanges a load used.
pub(super) fn describe(topology: &Topology) -> String {
    let durable = if topology.durable { "durable" } else { "transient" };
    match topology.exchanges.first() {
        Some((_, kind)) => format!(
            "{durable} queues, {} {kind} exchange(s), {} bindings",
            topology.exchanges.len(),
            topology.bindings.len()
        ),
        None => format!("{durable} queues, default exchange"),
    }
}

/// What was asked for, in words: figures without it mean nothing.
fn words(load: &Load) -> String {
    let mut words = vec![
        format!("{} publishers, {} consumers, {} queues", load.publishers, load.consumers, load.queues.len()),
        format!("{} B", load.size),
        format!("{} messages", if load.persistent { "persistent" } else { "transient" }),
    ];
    if load.publishers > 0 {
        words.push(match load.confirms {
            0 => "no confirms".to_owned(),
            window => format!("confirms, window {window}"),
        });
    }
    if load.consumers > 0 {
        words.push(match load.acks {
            0 => "no acks".to_owned(),
            1 => "ack each".to_owned(),
            batch => format!("ack every {batch}"),
        });
    }
    if load.prefetch > 0 {
        words.push(format!("prefetch {}", load.prefetch));
    }
    if load.rate > 0.0 {
        words.push(format!("{}/s each publisher", load.rate));
    }
    if load.consume_rate > 0.0 {
        words.push(format!("{}/s each consumer", load.consume_rate));
    }
    if load.verify > Verify::None {
        words.push(format!("verified: {:?}", load.verify).to_lowercase());
    }
    words.join(", ")
}

pub(super) fn each(amount: f64, per: f64) -> f64 {
    if per > 0.0 { amount / per } else { 0.0 }
}

pub(super) fn micros_each(cpu: Duration, count: u64) -> f64 {
    each(cpu.as_secs_f64() * 1e6, count as f64)
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perf::plan::tests::load;
    use crate::perf::verify::Faults;

    #[test]
    fn a_fault_fails_the_run_and_shows_in_both_forms() {
        let faults = Faults { missing: 3, ..Faults::default() };
        let outcome = Outcome { consumed: 7, faults: Some(faults), ..Outcome::default() };
        let mut report = Report::new("throughput");
        report.part("load", &load(), &outcome);
        assert!(report.fault.as_ref().unwrap().contains("3 missing"));
        assert!(report.text().contains("3 missing"), "{}", report.text());
        let json: Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(json.pointer("/load/faults/missing"), Some(&json!(3)));
        assert_eq!(json.pointer("/scenario"), Some(&json!("throughput")));
    }

    #[test]
    fn rates_and_costs_are_of_what_went_the_whole_way() {
        let time = Duration::from_secs(2);
        let broker = Used { cpu: Duration::from_secs(1), ..Used::default() };
        let outcome = Outcome {
            published: vec![300, 200],
            consumed: 400,
            publish_time: Duration::from_secs(1),
            consume_time: time,
            broker: Some(broker),
            ..Outcome::default()
        };
        let mut section = Section::default();
        section.load(&load(), &outcome);
        assert_eq!(section.json.get("messages_per_second"), Some(&json!(200.0)));
        assert_eq!(section.json.get("published_per_second"), Some(&json!(500.0)));
        assert_eq!(section.json.get("broker_cpu_us_per_message"), Some(&json!(2500.0)));
    }
}

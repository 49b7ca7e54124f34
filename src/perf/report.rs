//! The figures of a run, for people and for scripts.

use super::args::Plan;
use super::histogram::Histogram;
use super::process::BrokerUsage;
use std::fmt::Write;
use std::time::Duration;

/// What the workers did, in all.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) published: u64,
    pub(super) confirmed: u64,
    pub(super) nacked: u64,
    pub(super) consumed: u64,
    /// When the broker had handled the last publish.
    pub(super) publish_time: Duration,
    /// When the last message was delivered.
    pub(super) consume_time: Duration,
    pub(super) generator_cpu: Duration,
    pub(super) latency: Histogram,
}

/// Everything there is to print.
pub(super) struct Report<'a> {
    pub(super) plan: &'a Plan,
    pub(super) outcome: Outcome,
    pub(super) broker: Option<BrokerUsage>,
}

/// Percentiles shown of the latency.
const SHARES: [(&str, f64); 5] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];

impl Report<'_> {
    /// Messages that went the whole way the plan asks for.
    fn messages(&self) -> u64 {
        if self.plan.publish_only { self.outcome.published } else { self.outcome.consumed }
    }

    fn seconds(&self) -> f64 {
        self.outcome.publish_time.max(self.outcome.consume_time).as_secs_f64()
    }

    fn micros_per_message(&self, cpu: Duration) -> f64 {
        ratio(cpu.as_secs_f64() * 1e6, self.messages() as f64)
    }

    pub(super) fn text(&self) -> String {
        let (plan, outcome) = (self.plan, &self.outcome);
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name:<24}{value}");
        };
        line("load", self.load());
        if !plan.consume_only {
            line("published", self.count(outcome.published, outcome.publish_time));
        }
        if plan.confirms > 0 && !plan.consume_only {
            line("confirmed", self.count(outcome.confirmed, outcome.publish_time));
        }
        if outcome.nacked > 0 {
            line("nacked", outcome.nacked.to_string());
        }
        if !plan.publish_only {
            line("consumed", self.count(outcome.consumed, outcome.consume_time));
        }
        line("seconds", format!("{:.3}", self.seconds()));
        line("messages/s", format!("{:.0}", ratio(self.messages() as f64, self.seconds())));
        line("generator CPU", format!("{:.3} µs/message", self.micros_per_message(outcome.generator_cpu)));
        if let Some(broker) = &self.broker {
            line("broker CPU", format!("{:.3} µs/message", self.micros_per_message(broker.cpu)));
            line(
                "broker memory",
                format!("{:.1} MB, peak {:.1} MB", megabytes(broker.rss), megabytes(broker.rss_peak)),
            );
        }
        if !outcome.latency.is_empty() {
            let shares = SHARES.map(|(name, share)| format!("{name} {:.0}", self.latency_micros(share)));
            line("latency µs", shares.join(", "));
        }
        text
    }

    pub(super) fn json(&self) -> String {
        let (plan, outcome) = (self.plan, &self.outcome);
        let mut fields = vec![
            format!("\"publishers\":{}", plan.publishers),
            format!("\"consumers\":{}", plan.consumers),
            format!("\"queues\":{}", plan.queues),
            format!("\"size\":{}", plan.size),
            format!("\"persistent\":{}", plan.persistent),
            format!("\"durable\":{}", plan.durable),
            format!("\"confirms\":{}", plan.confirms),
            format!("\"acks\":{}", plan.acks),
            format!("\"prefetch\":{}", plan.prefetch),
            format!("\"rate\":{}", plan.rate),
            format!("\"published\":{}", outcome.published),
            format!("\"confirmed\":{}", outcome.confirmed),
            format!("\"nacked\":{}", outcome.nacked),
            format!("\"consumed\":{}", outcome.consumed),
            format!("\"seconds\":{:.6}", self.seconds()),
            format!("\"messages_per_second\":{:.1}", ratio(self.messages() as f64, self.seconds())),
            format!("\"generator_cpu_us_per_message\":{:.4}", self.micros_per_message(outcome.generator_cpu)),
        ];
        if let Some(broker) = &self.broker {
            fields.push(format!("\"broker_cpu_us_per_message\":{:.4}", self.micros_per_message(broker.cpu)));
            fields.push(format!("\"broker_rss_bytes\":{}", broker.rss));
            fields.push(format!("\"broker_rss_peak_bytes\":{}", broker.rss_peak));
        }
        if !outcome.latency.is_empty() {
            let shares = SHARES.map(|(name, share)| format!("\"{name}\":{:.1}", self.latency_micros(share)));
            fields.push(format!("\"latency_us\":{{{}}}", shares.join(",")));
        }
        format!("{{{}}}\n", fields.join(","))
    }

    /// What was asked for, in words: figures without it mean nothing.
    fn load(&self) -> String {
        let plan = self.plan;
        let mut words = vec![
            format!("{} publishers, {} consumers, {} queues", plan.publishers, plan.consumers, plan.queues),
            format!("{} B", plan.size),
            format!("{} messages", if plan.persistent { "persistent" } else { "transient" }),
            format!("{} queues", if plan.durable { "durable" } else { "transient" }),
        ];
        words.push(match plan.confirms {
            0 => "no confirms".to_owned(),
            window => format!("confirms, window {window}"),
        });
        words.push(match plan.acks {
            _ if plan.publish_only => "not consumed".to_owned(),
            0 => "no acks".to_owned(),
            1 => "ack each".to_owned(),
            batch => format!("ack every {batch}"),
        });
        if plan.prefetch > 0 {
            words.push(format!("prefetch {}", plan.prefetch));
        }
        if plan.rate > 0 {
            words.push(format!("{}/s each publisher", plan.rate));
        }
        words.join(", ")
    }

    fn count(&self, messages: u64, time: Duration) -> String {
        format!("{messages} ({:.0}/s)", ratio(messages as f64, time.as_secs_f64()))
    }

    fn latency_micros(&self, share: f64) -> f64 {
        let nanos = if share >= 1.0 { self.outcome.latency.max() } else { self.outcome.latency.quantile(share) };
        nanos as f64 / 1e3
    }
}

fn ratio(amount: f64, per: f64) -> f64 {
    if per > 0.0 { amount / per } else { 0.0 }
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

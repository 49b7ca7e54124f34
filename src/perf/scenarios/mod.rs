//! One file a scenario, or a family of them: each makes what it needs, runs loads or requests, clears up and reports.

mod calls;
mod churn;
mod connections;
mod load;
mod queues;
mod topic;

use super::args::{PerfArgs, Scenario, Target};
use super::plan::{Defaults, THROUGHPUT};
use super::report::Report;

/// Of the latency scenario.
const LATENCY: Defaults = Defaults { size: 64, acks: 1, rate: 5000.0, ..THROUGHPUT };

/// Of the drain scenario.
const DRAIN: Defaults = Defaults { messages: Some(1_000_000), ..THROUGHPUT };

/// Of the fan-out scenario.
const FANOUT: Defaults =
    Defaults { queues: 100, size: 1000, messages: Some(10_000), exchange: Some("fanout"), ..THROUGHPUT };

/// Runs the scenario that the arguments name.
pub(super) fn run(args: &PerfArgs) -> Result<Report, String> {
    match &args.scenario {
        None => load::simple("throughput", &args.throughput, &THROUGHPUT),
        Some(Scenario::Throughput(args)) => load::simple("throughput", args, &THROUGHPUT),
        Some(Scenario::Latency(args)) => load::simple("latency", args, &LATENCY),
        Some(Scenario::Fanout(args)) => load::simple("fanout", args, &FANOUT),
        Some(Scenario::Drain(args)) => load::drain(args, &DRAIN),
        Some(Scenario::Topic(args)) => topic::run(args),
        Some(Scenario::Queues(args)) => queues::run(args),
        Some(Scenario::Connections(args)) => connections::run(args),
        Some(Scenario::Churn(args)) => churn::run(args),
    }
}

/// The options that every scenario has.
pub(super) fn target(args: &PerfArgs) -> &Target {
    match &args.scenario {
        None => &args.throughput.target,
        Some(Scenario::Throughput(args) | Scenario::Latency(args) | Scenario::Fanout(args) | Scenario::Drain(args)) => {
            &args.target
        }
        Some(Scenario::Topic(args)) => &args.target,
        Some(Scenario::Queues(args)) => &args.target,
        Some(Scenario::Connections(args)) => &args.target,
        Some(Scenario::Churn(args)) => &args.target,
    }
}

//! Scenarios of publishers and consumers alone: throughput, latency, fan-out, drain.

use crate::perf::args::LoadArgs;
use crate::perf::connection::Connection;
use crate::perf::plan::{Defaults, Load, Topology, Until, login};
use crate::perf::report::{Report, Section, describe, each};
use crate::perf::run::{Outcome, run};
use crate::perf::shared::Counts;
use crate::perf::watch::Watch;
use serde_json::json;

/// One load.
pub(super) fn simple(scenario: &str, args: &LoadArgs, defaults: &Defaults) -> Result<Report, String> {
    let (topology, load) = Load::new(args, defaults)?;
    let (login, watch) = (login(&args.target)?, Watch::new(&args.target));
    let mut control = Connection::open(&login)?;
    if !args.predeclared {
        control.prepare(&topology, !args.consume_only)?;
    }
    let outcome = run(&login, &load, &watch)?;
    finish(control, &topology, args.predeclared || args.keep || args.publish_only)?;
    let mut report = Report::new(scenario);
    report.top.line("topology", describe(&topology));
    report.top.value("durable", json!(topology.durable));
    report.top.load(&load, &outcome);
    if load.copies > 1 {
        each_publish(&mut report.top, &load, &outcome);
    }
    report.judge(&outcome);
    Ok(report)
}

/// Where a message reaches many queues: what it costs in all.
fn each_publish(section: &mut Section, load: &Load, outcome: &Outcome) {
    section.value("queues_per_message", json!(load.copies));
    let published = outcome.published() as f64;
    if let Some(broker) = &outcome.broker {
        let micros = each(broker.cpu.as_secs_f64() * 1e6, published);
        section.figure("broker CPU", "broker_cpu_us_per_publish", micros, " µs/publish");
        if let Some(written) = broker.written {
            section.figure(
                "broker disk writes",
                "written_bytes_per_publish",
                each(written as f64, published),
                " B/publish",
            );
        }
    }
}

/// Publishes everything, then consumes everything.
pub(super) fn drain(args: &LoadArgs, defaults: &Defaults) -> Result<Report, String> {
    if args.publish_only || args.consume_only || args.seconds.is_some() {
        return Err("drain publishes and consumes --messages: it takes no --seconds and does no half".to_owned());
    }
    let (topology, load) = Load::new(args, defaults)?;
    let (login, watch) = (login(&args.target)?, Watch::new(&args.target));
    let mut control = Connection::open(&login)?;
    if !args.predeclared {
        control.prepare(&topology, true)?;
    }
    watch.say("publish");
    let publish = Load { consumers: 0, ..load.clone() };
    let published = run(&login, &publish, &watch)?;
    watch.say("drain");
    let count = published.published() * load.copies;
    let consume = Load { publishers: 0, until: Until::Messages(count), expected: published.published.clone(), ..load };
    let consumed = run(&login, &consume, &watch)?;
    finish(control, &topology, args.predeclared || args.keep)?;
    let mut report = Report::new("drain");
    report.top.line("topology", describe(&topology));
    report.top.value("durable", json!(topology.durable));
    report.part("publish", &publish, &published);
    edges(&mut report, &published, |counts| counts.published, published.published());
    report.part("drain", &consume, &consumed);
    edges(&mut report, &consumed, |counts| counts.consumed, consumed.consumed);
    if consumed.consumed < count {
        report.fault.get_or_insert(format!("{} of {count} messages were drained", consumed.consumed));
    }
    Ok(report)
}

/// Rates at the start and at the end, in the report's last part.
fn edges(report: &mut Report, outcome: &Outcome, count: impl Fn(&Counts) -> u64, total: u64) {
    let Some((_, section)) = report.parts.last_mut() else { return };
    let Some((first, last)) = outcome.series.edges(count, total) else { return };
    section.line("first, last tenth", format!("{first:.0}/s, {last:.0}/s: {:.2}", each(last, first)));
    section.value("first_tenth_per_second", json!(first));
    section.value("last_tenth_per_second", json!(last));
}

fn finish(mut control: Connection, topology: &Topology, keep: bool) -> Result<(), String> {
    if !keep {
        control.clear(topology)?;
    }
    control.close()
}

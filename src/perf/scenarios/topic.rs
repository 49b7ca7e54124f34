//! A topic exchange with many bindings: cold keys, warm keys, and a direct exchange to compare with.

use super::calls::{bind, deal, declare, delete, run as call};
use crate::perf::args::TopicArgs;
use crate::perf::connection::Connection;
use crate::perf::pattern::names;
use crate::perf::plan::{Address, Load, Until, default_threads, login, seconds};
use crate::perf::report::{Report, Section, each};
use crate::perf::run::{Outcome, run as run_load};
use crate::perf::watch::Watch;
use amq_protocol::types::FieldTable;
use std::time::Duration;

const TOPIC: &str = "warren.perf.topic";
const DIRECT: &str = "warren.perf.direct";

/// Binding keys, one in three of each shape. The routing key of the same number matches it and no other.
fn pattern(number: usize) -> String {
    match number % 3 {
        0 => format!("site.{number}.*"),
        1 => format!("*.{number}.event"),
        _ => format!("site.{number}.#"),
    }
}

fn key(number: usize) -> String {
    format!("site.{number}.event")
}

pub(super) fn run(args: &TopicArgs) -> Result<Report, String> {
    if args.bindings == 0 || args.queues == 0 || args.keys == 0 || args.keys > args.bindings {
        return Err("--bindings, --keys and --queues must be 1 or more, and --keys at most --bindings".to_owned());
    }
    let (login, watch) = (login(&args.target)?, Watch::new(&args.target));
    let time = seconds(args.seconds)?;
    let mut control = Connection::open(&login)?;
    control.declare_exchange(TOPIC, "topic", false)?;
    control.declare_exchange(DIRECT, "direct", false)?;
    let queues = names("warren.perf.topic", args.queues);
    let declared = queues.clone();
    let request = move |index: usize, out: &mut Vec<u8>| {
        let name = declared.get(index).map_or("", String::as_str);
        declare(out, name, false, &FieldTable::default())
    };
    call(&login, deal(args.calls, queues.len(), request), args.calls.window, None, &watch)?;
    let mut report = Report::new("topic");
    for (name, exchange, topic) in [("bind topic", TOPIC, true), ("bind direct", DIRECT, false)] {
        watch.say(name);
        let queues = queues.clone();
        let request = move |index: usize, out: &mut Vec<u8>| {
            let queue = queues.get(index % queues.len()).map_or("", String::as_str);
            bind(out, queue, exchange, &if topic { pattern(index) } else { key(index) })
        };
        let calls = call(&login, deal(args.calls, args.bindings, request), args.calls.window, None, &watch)?;
        let mut section = Section::default();
        calls.report(&mut section, "bindings", 1);
        report.parts.push((name, section));
    }
    let bindings = args.bindings as u64;
    let cold = load(args, TOPIC, args.bindings, Until::Messages(bindings), &queues);
    watch.say("topic, cold");
    report.part("topic, cold", &cold, &run_load(&login, &cold, &watch)?);
    let mut warm = |name, exchange| -> Result<Outcome, String> {
        let load = load(args, exchange, args.keys, Until::Elapsed(time), &queues);
        // Each key once, so that the figures are of warm ones only.
        let once = Load { until: Until::Messages(args.keys as u64), ..load.clone() };
        run_load(&login, &once, &watch)?;
        watch.say(name);
        let outcome = run_load(&login, &load, &watch)?;
        report.part(name, &load, &outcome);
        Ok(outcome)
    };
    let (topic, direct) = (warm("topic, warm", TOPIC)?, warm("direct", DIRECT)?);
    compare(&mut report.top, &topic, &direct);
    let request = move |index: usize, out: &mut Vec<u8>| delete(out, queues.get(index).map_or("", String::as_str));
    call(&login, deal(args.calls, args.queues, request), args.calls.window, None, &watch)?;
    control.delete_exchange(TOPIC)?;
    control.delete_exchange(DIRECT)?;
    control.close()?;
    Ok(report)
}

fn load(args: &TopicArgs, exchange: &str, keys: usize, until: Until, queues: &[String]) -> Load {
    // Keys from all over the bindings, not the first ones.
    let step = (args.bindings / keys).max(1);
    let address = |number: usize| Address { exchange: exchange.to_owned(), key: key(number * step) };
    Load {
        publishers: 1,
        consumers: 1,
        addresses: (0..keys).map(address).collect(),
        queues: queues.to_vec(),
        size: args.size,
        threads: default_threads(),
        ..Load::idle(until)
    }
}

/// How much a message costs by one exchange and by the other.
fn compare(section: &mut Section, topic: &Outcome, direct: &Outcome) {
    let cost = |outcome: &Outcome| {
        let cpu = outcome.broker.map_or(Duration::ZERO, |broker| broker.cpu);
        each(cpu.as_secs_f64(), outcome.consumed as f64)
    };
    if cost(direct) > 0.0 {
        section.figure("topic / direct CPU", "topic_to_direct_cpu", cost(topic) / cost(direct), "");
    }
    let rate = |outcome: &Outcome| each(outcome.consumed as f64, outcome.seconds());
    section.figure("topic / direct rate", "topic_to_direct_rate", each(rate(topic), rate(direct)), "");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_take_turns() {
        assert_eq!([pattern(3), pattern(4), pattern(5)], ["site.3.*", "*.4.event", "site.5.#"]);
        assert_eq!(key(4), "site.4.event");
    }
}

//! Many queues: how fast they are declared, what they take, and whether some of them are as fast beside the others.

use super::calls::{Calls, bind, deal, declare, delete, run as call};
use crate::perf::args::QueuesArgs;
use crate::perf::pattern::{names, table};
use crate::perf::plan::{Address, Load, Login, Until, default_threads, login, seconds};
use crate::perf::report::{Report, Section, each};
use crate::perf::run::{Outcome, run as run_load};
use crate::perf::watch::Watch;
use serde_json::json;
use std::sync::Arc;

const EXCHANGE: &str = "amq.topic";

struct Queues<'a> {
    args: &'a QueuesArgs,
    login: Login,
    watch: Watch,
    names: Arc<Vec<String>>,
}

pub(super) fn run(args: &QueuesArgs) -> Result<Report, String> {
    if args.count == 0 || args.active > args.count || args.publishers == 0 {
        return Err("--count and --publishers must be 1 or more, and --active at most --count".to_owned());
    }
    let (login, watch) = (login(&args.target)?, Watch::new(&args.target));
    let names = Arc::new(names("warren.perf.many", args.count));
    let queues = Queues { args, login, watch, names };
    let mut report = Report::new("queues");
    let load = queues.load()?;
    let mut alone = None;
    if args.active > 0 {
        queues.declare(0..args.active)?;
        alone = Some(queues.measure(&mut report, "alone", &load)?);
    }
    watch.say("declare");
    let declared = queues.declare(args.active..args.count)?;
    queues.section(&mut report, "declare", "queues", &declared);
    if args.bindings > 0 {
        watch.say("bind");
        let bound = queues.bind()?;
        queues.section(&mut report, "bind", "bindings", &bound);
    }
    if let Some(alone) = alone {
        let beside = queues.measure(&mut report, "beside the others", &load)?;
        let ratio = each(beside.rate(&load), alone.rate(&load));
        report.top.figure("beside / alone", "beside_to_alone", ratio, "");
    }
    if !args.keep {
        watch.say("delete");
        let deleted = queues.delete()?;
        queues.section(&mut report, "delete", "queues", &deleted);
    }
    Ok(report)
}

impl Queues<'_> {
    fn load(&self) -> Result<Load, String> {
        let queues: Vec<String> = self.names.iter().take(self.args.active).cloned().collect();
        let to = |queue: &String| Address { exchange: String::new(), key: queue.clone() };
        Ok(Load {
            publishers: self.args.publishers,
            consumers: self.args.publishers,
            addresses: queues.iter().map(to).collect(),
            queues,
            threads: default_threads(),
            ..Load::idle(Until::Elapsed(seconds(self.args.seconds)?))
        })
    }

    fn measure(&self, report: &mut Report, name: &'static str, load: &Load) -> Result<Outcome, String> {
        self.watch.say(name);
        let outcome = run_load(&self.login, load, &self.watch)?;
        report.part(name, load, &outcome);
        Ok(outcome)
    }

    fn declare(&self, range: std::ops::Range<usize>) -> Result<Calls, String> {
        let (names, durable, arguments) = (Arc::clone(&self.names), self.args.durable, table(&self.args.queue_args)?);
        let first = range.start;
        self.watch.settle();
        let request = move |index: usize, out: &mut Vec<u8>| {
            declare(out, names.get(first + index).map_or("", String::as_str), durable, &arguments)
        };
        call(&self.login, deal(self.args.calls, range.len(), request), self.args.calls.window, None, &self.watch)
    }

    fn bind(&self) -> Result<Calls, String> {
        let (names, each) = (Arc::clone(&self.names), self.args.bindings);
        let count = names.len() * each;
        let request = move |index: usize, out: &mut Vec<u8>| {
            let queue = names.get(index / each).map_or("", String::as_str);
            bind(out, queue, EXCHANGE, &format!("{queue}.{}", index % each))
        };
        call(&self.login, deal(self.args.calls, count, request), self.args.calls.window, None, &self.watch)
    }

    fn delete(&self) -> Result<Calls, String> {
        let names = Arc::clone(&self.names);
        let request = move |index: usize, out: &mut Vec<u8>| delete(out, names.get(index).map_or("", String::as_str));
        call(&self.login, deal(self.args.calls, self.names.len(), request), self.args.calls.window, None, &self.watch)
    }

    fn section(&self, report: &mut Report, name: &'static str, things: &str, calls: &Calls) {
        let mut section = Section::default();
        calls.report(&mut section, things, 1);
        if let Some(broker) = &calls.broker {
            let each = each(broker.growth as f64, calls.replies as f64);
            section.line("memory growth", format!("{each:.0} B each"));
            section.value("growth_bytes_each", json!(each));
        }
        report.parts.push((name, section));
    }
}

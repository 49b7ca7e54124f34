//! Many connections: how fast they come, what they take, and whether a few active ones notice the others.

use crate::perf::args::ConnectionsArgs;
use crate::perf::connection::Connection;
use crate::perf::pattern::names;
use crate::perf::plan::{Address, Load, Login, Topology, Until, default_threads, login, seconds};
use crate::perf::process::allow_many_files;
use crate::perf::report::{Report, Section, each};
use crate::perf::run::run as run_load;
use crate::perf::shared::Counts;
use crate::perf::watch::Watch;
use serde_json::json;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub(super) fn run(args: &ConnectionsArgs) -> Result<Report, String> {
    if args.clients == 0 || args.active > args.count {
        return Err("--clients must be 1 or more, and --active at most --count".to_owned());
    }
    allow_many_files();
    let (login, watch) = (login(&args.target)?, Watch::new(&args.target));
    let mut report = Report::new("connections");
    let (topology, load) = active(args)?;
    let mut control = Connection::open(&login)?;
    let mut measure = |name: &'static str, report: &mut Report| -> Result<(), String> {
        if args.active > 0 {
            watch.say(name);
            control.prepare(&topology, true)?;
            report.part(name, &load, &run_load(&login, &load, &watch)?);
            control.clear(&topology)?;
        }
        Ok(())
    };
    measure("alone", &mut report)?;
    watch.say("connect");
    watch.settle();
    let (idle, section) = open(&login, args, &watch)?;
    report.parts.push(("connect", section));
    measure("beside the others", &mut report)?;
    watch.say("disconnect");
    let started = Instant::now();
    let count = idle.len();
    idle.into_iter().try_for_each(Connection::close)?;
    let mut section = Section::default();
    section.figure("closed each second", "per_second", each(count as f64, started.elapsed().as_secs_f64()), "");
    report.parts.push(("disconnect", section));
    control.close()?;
    Ok(report)
}

/// Half of the active connections publish, each to a queue that one of the others consumes from.
fn active(args: &ConnectionsArgs) -> Result<(Topology, Load), String> {
    let pairs = args.active.div_ceil(2);
    let queues = names("warren.perf.active", pairs);
    let to = |queue: &String| Address { exchange: String::new(), key: queue.clone() };
    let load = Load {
        publishers: pairs,
        consumers: pairs,
        addresses: queues.iter().map(to).collect(),
        queues: queues.clone(),
        size: 64,
        acks: 1,
        rate: args.rate,
        threads: default_threads(),
        ..Load::idle(Until::Elapsed(seconds(args.seconds)?))
    };
    Ok((Topology { queues, ..Topology::default() }, load))
}

/// Opens the idle connections, by several threads.
fn open(login: &Login, args: &ConnectionsArgs, watch: &Watch) -> Result<(Vec<Connection>, Section), String> {
    let count = args.count - args.active;
    let opened = AtomicU64::new(0);
    let mut looks = watch.begin()?;
    let started = Instant::now();
    let share = |client: usize| -> Result<Vec<Connection>, String> {
        let mut mine = Vec::new();
        for _ in (client..count).step_by(args.clients) {
            mine.push(Connection::open(login)?);
            opened.fetch_add(1, Ordering::Relaxed);
        }
        Ok(mine)
    };
    let share = &share;
    let parts: Result<Vec<_>, String> = thread::scope(|scope| {
        let threads: Vec<_> = (0..args.clients).map(|client| scope.spawn(move || share(client))).collect();
        while !threads.iter().all(thread::ScopedJoinHandle::is_finished) {
            thread::sleep(Duration::from_millis(2));
            looks.look(Counts { published: opened.load(Ordering::Relaxed), ..Counts::default() });
        }
        let joined =
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err("a thread panicked".to_owned())));
        joined.collect()
    });
    let connections: Vec<Connection> = parts?.into_iter().flatten().collect();
    let seconds = started.elapsed().as_secs_f64();
    watch.settle();
    let (broker, _) = looks.end()?;
    let mut section = Section::default();
    let rate = each(count as f64, seconds);
    section.line("rate", format!("{count} connections in {seconds:.3} s ({rate:.0}/s)"));
    section.value("count", json!(count));
    section.value("per_second", json!(rate));
    if let Some(broker) = &broker {
        section.figure(
            "broker CPU",
            "broker_cpu_us_each",
            each(broker.cpu.as_secs_f64() * 1e6, count as f64),
            " µs each",
        );
        section.memory(broker);
        let each = each(broker.growth as f64, count as f64);
        section.line("memory growth", format!("{each:.0} B each"));
        section.value("growth_bytes_each", json!(each));
    }
    Ok((connections, section))
}

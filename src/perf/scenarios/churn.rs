//! What comes and goes: connections, channels, queues, bindings, consumers.

use super::calls::{Calls, bind, cancel, close_channel, consume, declare, delete, open_channel, run as call, unbind};
use crate::perf::args::{ChurnArgs, Churned};
use crate::perf::caller::Script;
use crate::perf::connection::Connection;
use crate::perf::frames::MethodId;
use crate::perf::pattern::names;
use crate::perf::plan::{Login, Topology, login, seconds};
use crate::perf::report::Report;
use crate::perf::shared::Counts;
use crate::perf::watch::Watch;
use amq_protocol::types::FieldTable;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Requests that make a thing and unmake it.
const ROUND: u64 = 2;

const EXCHANGE: &str = "amq.direct";

/// One name a client.
const NAMES: &str = "warren.perf.churn-%d";

pub(super) fn run(args: &ChurnArgs) -> Result<Report, String> {
    if args.calls.clients == 0 {
        return Err("--clients must be 1 or more".to_owned());
    }
    let (login, watch) = (login(&args.target)?, Watch::new(&args.target));
    let time = seconds(args.seconds)?;
    let (calls, things) = match args.what {
        Churned::Connection => (connections(&login, args.calls.clients, time, &watch)?, "connections"),
        Churned::Channel => (requests(args, &login, &watch, time)?, "channels"),
        Churned::Queue => (requests(args, &login, &watch, time)?, "queues"),
        Churned::Binding => (requests(args, &login, &watch, time)?, "bindings"),
        Churned::Consumer => (requests(args, &login, &watch, time)?, "consumers"),
    };
    let mut report = Report::new("churn");
    calls.report(&mut report.top, things, ROUND);
    report.top.value("what", serde_json::json!(things));
    Ok(report)
}

/// One request of a round: `made` counts the client's things.
fn request(what: Churned, queue: &str, durable: bool, number: u64, out: &mut Vec<u8>) -> Result<MethodId, String> {
    let (made, make) = (number / ROUND, number.is_multiple_of(ROUND));
    match (what, make) {
        (Churned::Queue, true) => declare(out, &format!("{queue}.{made}"), durable, &FieldTable::default()),
        (Churned::Queue, false) => delete(out, &format!("{queue}.{made}")),
        (Churned::Binding, true) => bind(out, queue, EXCHANGE, &format!("{queue}.{made}")),
        (Churned::Binding, false) => unbind(out, queue, EXCHANGE, &format!("{queue}.{made}")),
        (Churned::Consumer, true) => consume(out, queue, &made.to_string()),
        (Churned::Consumer, false) => cancel(out, &made.to_string()),
        // Channel 1 is open already; a number comes again long after its channel is closed.
        (_, true) => open_channel(out, 2 + (made % 1000) as u16),
        (_, false) => close_channel(out, 2 + (made % 1000) as u16),
    }
}

fn requests(args: &ChurnArgs, login: &Login, watch: &Watch, time: Duration) -> Result<Calls, String> {
    let queues = match args.what {
        Churned::Binding | Churned::Consumer => names(NAMES, args.calls.clients),
        _ => Vec::new(),
    };
    let topology = Topology { queues, durable: args.durable, ..Topology::default() };
    let mut control = Connection::open(login)?;
    control.prepare(&topology, true)?;
    let script = |name: String| -> Script {
        let (what, durable) = (args.what, args.durable);
        Box::new(move |number, out| request(what, &name, durable, number, out).map(Some))
    };
    let scripts = names(NAMES, args.calls.clients).into_iter().map(script).collect();
    let window = match args.what {
        // RabbitMQ fails when a consumer is cancelled before its consume-ok.
        Churned::Consumer => 1,
        // A channel's number is free again only when its close is answered: at most this many are on their way.
        _ => args.calls.window.min(1000),
    };
    let calls = call(login, scripts, window, Some((time, ROUND)), watch)?;
    control.clear(&topology)?;
    control.close()?;
    Ok(calls)
}

/// Connections are opened and closed by one thread a client, each waiting for every reply.
fn connections(login: &Login, clients: usize, time: Duration, watch: &Watch) -> Result<Calls, String> {
    let made = AtomicU64::new(0);
    let mut looks = watch.begin()?;
    let started = Instant::now();
    let churn = || -> Result<Calls, String> {
        let mut calls = Calls::default();
        while started.elapsed() < time {
            let begun = Instant::now();
            Connection::open(login)?.close()?;
            calls.latency.add(begun.elapsed().as_nanos() as u64);
            calls.replies += ROUND;
            made.fetch_add(1, Ordering::Relaxed);
        }
        Ok(calls)
    };
    let churn = &churn;
    let parts: Result<Vec<Calls>, String> = thread::scope(|scope| {
        let threads: Vec<_> = (0..clients).map(|_| scope.spawn(churn)).collect();
        while !threads.iter().all(thread::ScopedJoinHandle::is_finished) {
            thread::sleep(Duration::from_millis(2));
            looks.look(Counts { published: made.load(Ordering::Relaxed), ..Counts::default() });
        }
        let joined =
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err("a thread panicked".to_owned())));
        joined.collect()
    });
    let mut calls = Calls { seconds: started.elapsed().as_secs_f64(), ..Calls::default() };
    for part in parts? {
        calls.replies += part.replies;
        calls.latency.merge(&part.latency);
    }
    calls.broker = looks.end()?.0;
    Ok(calls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_makes_and_unmakes_the_same_thing() {
        for what in [Churned::Channel, Churned::Queue, Churned::Binding, Churned::Consumer] {
            let mut ids = Vec::new();
            for number in 0..4 {
                let mut out = Vec::new();
                ids.push(request(what, "q", false, number, &mut out).unwrap());
                assert!(crate::perf::frames::next(&out).is_some());
            }
            assert_eq!(ids[..2], ids[2..], "{what:?}");
            assert_ne!(ids[0], ids[1], "{what:?}");
        }
    }
}

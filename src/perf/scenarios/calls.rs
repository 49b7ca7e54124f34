//! Requests that have replies: made in bulk, by several connections, some ahead of their replies.

use crate::perf::args::CallArgs;
use crate::perf::caller::{Caller, Script};
use crate::perf::connection::Connection;
use crate::perf::frames::MethodId;
use crate::perf::latency::Latencies;
use crate::perf::plan::{Load, Login, Until, default_threads};
use crate::perf::process::Used;
use crate::perf::report::{Section, each};
use crate::perf::run::{join, spawn};
use crate::perf::shared::Shared;
use crate::perf::template::append_method;
use crate::perf::watch::Watch;
use amq_protocol::protocol::{AMQPClass, basic, channel, queue};
use amq_protocol::types::FieldTable;
use serde_json::json;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What requests came to.
#[derive(Debug, Default)]
pub(super) struct Calls {
    pub(super) replies: u64,
    pub(super) seconds: f64,
    pub(super) latency: Latencies,
    pub(super) broker: Option<Used>,
}

/// Runs one script a connection until each ends, or until the time is up and its round of `round` requests is over.
pub(super) fn run(
    login: &Login,
    scripts: Vec<Script>,
    window: usize,
    limit: Option<(Duration, u64)>,
    watch: &Watch,
) -> Result<Calls, String> {
    let until = limit.map_or(Until::Messages(u64::MAX), |(time, _)| Until::Elapsed(time));
    let round = limit.map_or(1, |(_, round)| round);
    let mut callers = Vec::with_capacity(scripts.len());
    for script in scripts {
        callers.push((Connection::open(login)?, Caller::new(script, window, round)));
    }
    let shared = Arc::new(Shared::new(&Load::idle(until)));
    let workers = spawn("callers", callers, default_threads(), &shared)?;
    let mut looks = watch.begin()?;
    shared.start();
    while !workers.iter().all(JoinHandle::is_finished) {
        thread::sleep(Duration::from_millis(2));
        looks.look(shared.counts());
    }
    watch.settle();
    let (broker, _) = looks.end()?;
    let mut calls = Calls { broker, ..Calls::default() };
    for (connection, called) in join(workers)?.0 {
        connection.close()?;
        calls.replies += called.replies;
        calls.seconds = calls.seconds.max(called.last_reply.as_secs_f64());
        calls.latency.merge(&called.latency);
    }
    Ok(calls)
}

impl Calls {
    /// Adds rate, cost and waiting time; each thing took `requests` requests.
    pub(super) fn report(&self, section: &mut Section, things: &str, requests: u64) {
        let count = self.replies / requests.max(1);
        let rate = each(count as f64, self.seconds);
        section.line("rate", format!("{count} {things} in {:.3} s ({rate:.0}/s)", self.seconds));
        section.value("count", json!(count));
        section.value("seconds", json!(self.seconds));
        section.value("per_second", json!(rate));
        if let Some(broker) = &self.broker {
            section.figure(
                "broker CPU",
                "broker_cpu_us_each",
                each(broker.cpu.as_secs_f64() * 1e6, count as f64),
                " µs each",
            );
            section.memory(broker);
        }
        section.latencies("reply µs", "reply_latency_us", &self.latency);
    }
}

/// Requests number 0 to `count` - 1 dealt out to the clients, each made by `request`.
pub(super) fn deal(
    calls: CallArgs,
    count: usize,
    request: impl Fn(usize, &mut Vec<u8>) -> Result<MethodId, String> + Clone + Send + 'static,
) -> Vec<Script> {
    let clients = calls.clients.clamp(1, count.max(1));
    let one = |client: usize| -> Script {
        let request = request.clone();
        Box::new(move |number, out| {
            let index = client + number as usize * clients;
            if index < count { request(index, out).map(Some) } else { Ok(None) }
        })
    };
    (0..clients).map(one).collect()
}

type Reply = Result<MethodId, String>;

pub(super) fn declare(out: &mut Vec<u8>, name: &str, durable: bool, arguments: &FieldTable) -> Reply {
    let declare = queue::Declare { queue: name.into(), durable, arguments: arguments.clone(), ..Default::default() };
    append_method(out, 1, AMQPClass::Queue(queue::AMQPMethod::Declare(declare)))?;
    Ok((50, 11))
}

pub(super) fn delete(out: &mut Vec<u8>, name: &str) -> Reply {
    let delete = queue::Delete { queue: name.into(), ..Default::default() };
    append_method(out, 1, AMQPClass::Queue(queue::AMQPMethod::Delete(delete)))?;
    Ok((50, 41))
}

pub(super) fn bind(out: &mut Vec<u8>, name: &str, exchange: &str, key: &str) -> Reply {
    let bind =
        queue::Bind { queue: name.into(), exchange: exchange.into(), routing_key: key.into(), ..Default::default() };
    append_method(out, 1, AMQPClass::Queue(queue::AMQPMethod::Bind(bind)))?;
    Ok((50, 21))
}

pub(super) fn unbind(out: &mut Vec<u8>, name: &str, exchange: &str, key: &str) -> Reply {
    let unbind =
        queue::Unbind { queue: name.into(), exchange: exchange.into(), routing_key: key.into(), ..Default::default() };
    append_method(out, 1, AMQPClass::Queue(queue::AMQPMethod::Unbind(unbind)))?;
    Ok((50, 51))
}

pub(super) fn consume(out: &mut Vec<u8>, name: &str, tag: &str) -> Reply {
    let consume = basic::Consume { queue: name.into(), consumer_tag: tag.into(), ..Default::default() };
    append_method(out, 1, AMQPClass::Basic(basic::AMQPMethod::Consume(consume)))?;
    Ok((60, 21))
}

pub(super) fn cancel(out: &mut Vec<u8>, tag: &str) -> Reply {
    let cancel = basic::Cancel { consumer_tag: tag.into(), nowait: false };
    append_method(out, 1, AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)))?;
    Ok((60, 31))
}

pub(super) fn open_channel(out: &mut Vec<u8>, number: u16) -> Reply {
    append_method(out, number, AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {})))?;
    Ok((20, 11))
}

pub(super) fn close_channel(out: &mut Vec<u8>, number: u16) -> Reply {
    let close = channel::Close { reply_code: 200, ..Default::default() };
    append_method(out, number, AMQPClass::Channel(channel::AMQPMethod::Close(close)))?;
    Ok((20, 41))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_is_dealt_once() {
        let calls = CallArgs { clients: 3, window: 1 };
        let mut seen = Vec::new();
        for mut script in deal(calls, 7, |index, out| {
            out.push(index as u8);
            Ok((1, 1))
        }) {
            let mut number = 0;
            while script(number, &mut seen).unwrap().is_some() {
                number += 1;
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..7).collect::<Vec<u8>>());
    }
}

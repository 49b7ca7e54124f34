//! Runs a load: connects everyone, spreads them over threads, watches, and adds up what they did.

use super::connection::Connection;
use super::consumer::{Consumed, Consumer};
use super::latency::Latencies;
use super::plan::{Load, Login};
use super::process::{Used, thread_cpu};
use super::publisher::{Published, Publisher};
use super::shared::Shared;
use super::verify::{Faults, Tracker, judge};
use super::watch::{Series, Watch};
use super::worker::{Role, Worker};
use std::collections::HashMap;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often the end of the workers is looked for.
const POLL: Duration = Duration::from_millis(5);

/// What a load came to.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// By publisher.
    pub(super) published: Vec<u64>,
    pub(super) confirmed: u64,
    pub(super) nacked: u64,
    pub(super) consumed: u64,
    /// When the broker had handled the last publish.
    pub(super) publish_time: Duration,
    /// When the last message was delivered.
    pub(super) consume_time: Duration,
    pub(super) generator_cpu: Duration,
    pub(super) latency: Latencies,
    pub(super) confirm_latency: Latencies,
    pub(super) lateness: Latencies,
    pub(super) faults: Option<Faults>,
    pub(super) broker: Option<Used>,
    pub(super) series: Series,
}

/// Runs the load until its end.
pub(super) fn run(login: &Login, load: &Load, watch: &Watch) -> Result<Outcome, String> {
    // All connect before the first one works: a refusal leaves no thread behind.
    let consumers = connect(login, load.consumers, |connection, index| Consumer::connect(connection, load, index))?;
    let publishers = connect(login, load.publishers, |connection, index| Publisher::connect(connection, load, index))?;
    let shared = Arc::new(Shared::new(load));
    let consumers = spawn("consumers", consumers, load.threads, &shared)?;
    let publishers = spawn("publishers", publishers, load.threads, &shared)?;
    let mut looks = watch.begin()?;
    shared.start();
    let mut wait = |done: &dyn Fn() -> bool| {
        while !done() {
            thread::sleep(POLL);
            looks.look(shared.counts());
        }
    };
    wait(&|| publishers.iter().all(JoinHandle::is_finished));
    let published = join(publishers);
    if published.is_err() {
        shared.give_up();
    }
    shared.publishers_done();
    wait(&|| consumers.iter().all(JoinHandle::is_finished));
    let consumed = join(consumers);
    let (broker, series) = looks.end()?;
    // A worker that failed made the others stop: its reason is the one to tell, and theirs are none.
    let (published, consumed) = (published?, consumed?);
    let mut outcome = Outcome { broker, series, ..Outcome::default() };
    outcome.add_published(published)?;
    outcome.add_consumed(consumed, load)?;
    Ok(outcome)
}

fn connect<R>(
    login: &Login,
    count: usize,
    role: impl Fn(&mut Connection, usize) -> Result<R, String>,
) -> Result<Vec<(Connection, R)>, String> {
    let one = |index| {
        let mut connection = Connection::open(login)?;
        let role = role(&mut connection, index)?;
        Ok((connection, role))
    };
    (0..count).map(one).collect()
}

/// What roles left, and the CPU time they took.
type Left<O> = (Vec<(Connection, O)>, Duration);

/// How a thread ended.
type Finished<O> = Result<Left<O>, String>;

/// Spreads roles over threads that wait for the common start.
pub(super) fn spawn<R: Role>(
    name: &str,
    roles: Vec<(Connection, R)>,
    threads: usize,
    shared: &Arc<Shared>,
) -> Result<Vec<JoinHandle<Finished<R::Outcome>>>, String> {
    let mut parts: Vec<Vec<_>> = (0..threads.min(roles.len())).map(|_| Vec::new()).collect();
    let (count, shared_of_all) = (parts.len().max(1), shared);
    for (index, role) in roles.into_iter().enumerate() {
        if let Some(part) = parts.get_mut(index % count) {
            part.push(role);
        }
    }
    let mut workers = Vec::with_capacity(parts.len());
    for part in parts {
        let worker = Worker::new(part)?;
        let shared = Arc::clone(shared_of_all);
        let body = move || {
            shared.wait_for_start();
            let result = worker.run(&shared);
            if result.is_err() {
                shared.give_up();
            }
            result.map(|left| (left, thread_cpu()))
        };
        let worker = thread::Builder::new().name(format!("perf-{name}")).spawn(body);
        workers.push(worker.map_err(|error| {
            shared_of_all.give_up();
            format!("thread: {error}")
        })?);
    }
    Ok(workers)
}

/// What all threads left, in the order their roles were given.
pub(super) fn join<O>(workers: Vec<JoinHandle<Finished<O>>>) -> Finished<O> {
    let mut cpu = Duration::ZERO;
    let mut parts = Vec::with_capacity(workers.len());
    let mut failure = None;
    for worker in workers {
        match worker.join().unwrap_or_else(|_| Err("a worker thread panicked".to_owned())) {
            Ok((part, used)) => {
                cpu += used;
                parts.push(part.into_iter());
            }
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    let mut left = Vec::new();
    // They were dealt out in turn.
    let count = parts.len().max(1);
    while let Some(next) = parts.get_mut(left.len() % count).and_then(Iterator::next) {
        left.push(next);
    }
    failure.map_or(Ok((left, cpu)), Err)
}

impl Outcome {
    fn add_published(&mut self, (published, cpu): Left<Published>) -> Result<(), String> {
        self.generator_cpu += cpu;
        for (connection, published) in published {
            connection.close()?;
            self.published.push(published.messages);
            self.confirmed += published.confirmed;
            self.nacked += published.nacked;
            self.publish_time = self.publish_time.max(published.finished);
            self.confirm_latency.merge(&published.confirm_latency);
            self.lateness.merge(&published.lateness);
        }
        Ok(())
    }

    fn add_consumed(&mut self, (consumed, cpu): Left<(Consumed, Vec<String>)>, load: &Load) -> Result<(), String> {
        self.generator_cpu += cpu;
        let places: HashMap<&String, u32> = load.queues.iter().zip(0..).collect();
        let mut trackers: Vec<(Tracker, Vec<u32>)> = Vec::new();
        for (connection, (consumed, queues)) in consumed {
            connection.close()?;
            self.consumed += consumed.messages;
            self.consume_time = self.consume_time.max(consumed.last_delivery);
            self.latency.merge(&consumed.latency);
            let queues = queues.iter().filter_map(|queue| places.get(queue).copied()).collect();
            trackers.extend(consumed.tracker.map(|tracker| (tracker, queues)));
        }
        if !trackers.is_empty() {
            let published = if self.published.is_empty() { &load.expected } else { &self.published };
            self.faults = Some(judge(trackers, published, load.copies));
        }
        Ok(())
    }

    /// Messages published in all.
    pub(super) fn published(&self) -> u64 {
        self.published.iter().sum()
    }

    /// Seconds until the last message was handled.
    pub(super) fn seconds(&self) -> f64 {
        self.publish_time.max(self.consume_time).as_secs_f64()
    }

    /// Messages that went the whole way: those consumed, where there are consumers.
    pub(super) fn messages(&self, load: &Load) -> u64 {
        if load.consumers == 0 { self.published() } else { self.consumed }
    }

    /// Such messages a second.
    pub(super) fn rate(&self, load: &Load) -> f64 {
        match self.seconds() {
            0.0 => 0.0,
            seconds => self.messages(load) as f64 / seconds,
        }
    }
}

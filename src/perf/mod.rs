//! `warren perf`: a load generator that costs as little as possible itself.
//!
//! Publishers write the same pre-encoded publish frames over and over; consumers walk frame headers in a big read
//! buffer and count. One thread a connection, blocking sockets, no runtime: what is measured is the broker.

mod args;
mod connection;
mod consumer;
mod frames;
mod histogram;
mod process;
mod publisher;
mod report;
mod shared;
mod template;

pub use args::PerfArgs;

use args::Plan;
use connection::Connection;
use consumer::{Consumed, Consumer};
use process::{BrokerUsage, thread_cpu};
use publisher::{Published, Publisher};
use report::{Outcome, Report};
use shared::Shared;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Runs the load that the arguments describe and prints its figures to standard output.
///
/// # Errors
/// A text for the user: arguments that contradict each other, a broker that cannot be reached or refuses something,
/// a connection lost under load.
pub fn run(args: PerfArgs) -> Result<(), String> {
    let plan = Plan::new(args)?;
    let mut control = Connection::open(&plan.login)?;
    prepare(&mut control, &plan)?;
    let before = plan.broker_pid.map(BrokerUsage::of).transpose()?;
    let shared = Arc::new(Shared::new(&plan));
    let outcome = drive(&plan, &shared)?;
    let broker = match (before, plan.broker_pid) {
        (Some(before), Some(pid)) => Some(BrokerUsage::of(pid)?.since(&before)),
        _ => None,
    };
    finish(&mut control, &plan)?;
    let report = Report { plan: &plan, outcome, broker };
    print!("{}", if plan.json { report.json() } else { report.text() });
    Ok(())
}

/// Declares the queues; what an earlier run left in them is purged unless it is what shall be consumed.
fn prepare(control: &mut Connection, plan: &Plan) -> Result<(), String> {
    for index in 0..plan.queues {
        let queue = plan.queue(index);
        control.declare(&queue, plan.durable)?;
        if !plan.consume_only {
            control.purge(&queue)?;
        }
    }
    Ok(())
}

/// Deletes the queues unless another run is meant to find them.
fn finish(control: &mut Connection, plan: &Plan) -> Result<(), String> {
    if !plan.keep && !plan.publish_only {
        for index in 0..plan.queues {
            control.delete(&plan.queue(index))?;
        }
    }
    control.close()
}

fn drive(plan: &Plan, shared: &Arc<Shared>) -> Result<Outcome, String> {
    // All connect before the first one works: a refusal leaves no thread behind.
    let consumers: Vec<_> =
        (0..plan.consumers).map(|index| Consumer::connect(plan, index)).collect::<Result<_, _>>()?;
    let publishers: Vec<_> =
        (0..plan.publishers).map(|index| Publisher::connect(plan, index)).collect::<Result<_, _>>()?;
    let consumers: Vec<_> = consumers
        .into_iter()
        .map(|consumer| spawn("consumer", shared, move |shared| consumer.run(shared)))
        .collect::<Result<_, _>>()?;
    let publishers: Vec<_> = publishers
        .into_iter()
        .map(|publisher| spawn("publisher", shared, move |shared| publisher.run(shared)))
        .collect::<Result<_, _>>()?;
    shared.start();
    let mut outcome = Outcome::default();
    let mut failure = None;
    for publisher in publishers {
        match join(publisher) {
            Ok((published, cpu)) => outcome.add_published(&published, cpu),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    if failure.is_some() {
        shared.give_up();
    }
    shared.publishers_done();
    for consumer in consumers {
        match join(consumer) {
            Ok((consumed, cpu)) => outcome.add_consumed(&consumed, cpu),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    failure.map_or(Ok(outcome), Err)
}

type Worker<T> = JoinHandle<Result<(T, Duration), String>>;

/// A thread that waits for the common start, works, and says how much CPU it took.
fn spawn<T: Send + 'static>(
    name: &str,
    shared: &Arc<Shared>,
    work: impl FnOnce(&Shared) -> Result<T, String> + Send + 'static,
) -> Result<Worker<T>, String> {
    let give_up = Arc::clone(shared);
    let shared = Arc::clone(shared);
    let body = move || {
        shared.wait_for_start();
        let result = work(&shared);
        if result.is_err() {
            shared.give_up();
        }
        result.map(|value| (value, thread_cpu()))
    };
    let worker = thread::Builder::new().name(format!("perf-{name}")).spawn(body);
    worker.map_err(|error| {
        give_up.give_up();
        format!("thread: {error}")
    })
}

fn join<T>(worker: Worker<T>) -> Result<(T, Duration), String> {
    worker.join().unwrap_or_else(|_| Err("a worker thread panicked".to_owned()))
}

impl Outcome {
    fn add_published(&mut self, published: &Published, cpu: Duration) {
        self.published += published.messages;
        self.confirmed += published.confirmed;
        self.nacked += published.nacked;
        self.publish_time = self.publish_time.max(published.finished);
        self.generator_cpu += cpu;
    }

    fn add_consumed(&mut self, consumed: &Consumed, cpu: Duration) {
        self.consumed += consumed.messages;
        self.consume_time = self.consume_time.max(consumed.last_delivery);
        self.latency.merge(&consumed.latency);
        self.generator_cpu += cpu;
    }
}

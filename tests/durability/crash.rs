//! One run: actors at work, the broker dying under them, then the drain and the verdict.

use crate::checker::Rule;
use crate::message::LONGEST_DELAY;
use crate::places::{self, DEAD, DUE, GATED, ONCE, PRIORITY, QUEUES, QUORUM, REFUSE, SHORT, SINGLE};
use crate::support::{Broker, Client, Error, free_port};
use crate::topology::Topology;
use crate::world::{Rng, World};
use crate::{consumer, publisher, topologist, transactor};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};
use warren::store::rocks::RocksStorage;
use warren::store::{Family, Storage};

const PRODUCERS: u32 = 3;

/// Queue of each consumer thread.
const CONSUMERS: [usize; 16] =
    [0, 1, 1, 2, SHORT, REFUSE, PRIORITY, SINGLE, SINGLE, QUORUM, QUORUM, ONCE, ONCE, GATED, DUE, DEAD];

/// How soon after a restart confirms and deliveries must flow again.
const RECOVERY: Duration = Duration::from_secs(10);

/// What a dead letter may take to arrive, at the most: one that finds no target is tried again every second.
const ON_THE_WAY: Duration = Duration::from_secs(2);

/// Longest drain.
const DRAIN: Duration = Duration::from_secs(120);

/// One cycle in this many ends with SIGTERM instead of SIGKILL.
const CLEAN_EVERY: u64 = 6;

pub fn run(cycles: u64, seed: u64) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut broker = start(dir.path(), free_port()).unwrap_or_else(|error| panic!("{error}"));
    let world = World::new(broker.addr, seed);
    define(&world).expect("the load's queues and exchanges");
    let mut restarts = vec![broker.startup];
    thread::scope(|scope| {
        let publishers: Vec<_> = (0..PRODUCERS)
            .map(|producer| {
                let world = &world;
                scope.spawn(move || publisher::run(world, producer))
            })
            .collect();
        let transactor = scope.spawn(|| transactor::run(&world));
        let mut others = Vec::new();
        for (number, queue) in (0..).zip(CONSUMERS) {
            let world = &world;
            others.push(scope.spawn(move || consumer::run(world, queue, number)));
        }
        let topologist = scope.spawn(|| topologist::run(&world));
        let ended = crash_cycles(&world, &mut broker, cycles, &mut restarts);
        world.stop_publishing();
        if ended.is_ok() {
            publishers.into_iter().for_each(|publisher| publisher.join().expect("publisher"));
            transactor.join().expect("transactor");
        }
        world.stop();
        others.into_iter().for_each(|consumer| consumer.join().expect("consumer"));
        let mut topology = topologist.join().expect("topologist");
        ended.unwrap_or_else(|error| panic!("{error}\n{:?}", world.checker().finish()));
        judge(&world, "last look at the definitions", last_look(&world, &mut topology));
    });
    drain(&world);
    let stopped = broker.term().expect("a broker that stops");
    assert!(stopped.success(), "broker ended with {stopped}:\n{}", broker.stderr());
    world.checker().stopped();
    judge_bodies(&world, dir.path());
    broker = start(dir.path(), broker.addr.port()).unwrap_or_else(|error| panic!("{error}"));
    restarts.push(broker.startup);
    judge(&world, "look at the queues after the last restart", still_empty(&world));
    verdict(&world, cycles, &restarts, &broker);
}

fn start(dir: &Path, port: u16) -> Result<Broker, String> {
    Broker::try_start(dir, port, &[])
}

/// The load's own queues, exchanges and bindings.
fn define(world: &World) -> Result<(), Error> {
    let mut client = Client::connect(world.addr)?;
    places::define(&mut client)?;
    client.close()
}

fn crash_cycles(world: &World, broker: &mut Broker, cycles: u64, restarts: &mut Vec<Duration>) -> Result<(), String> {
    let mut rng = world.rng("crash", 0);
    for cycle in 0..cycles {
        thread::sleep(pause(&mut rng));
        if !broker.alive() {
            return Err(format!("the broker died by itself in cycle {cycle}:\n{}", broker.stderr()));
        }
        if rng.below(CLEAN_EVERY) == 0 {
            let status = broker.term()?;
            if !status.success() {
                return Err(format!("broker ended with {status} after SIGTERM:\n{}", broker.stderr()));
            }
            world.checker().stopped();
        } else {
            broker.kill9();
            world.checker().crashed();
        }
        *broker = start(&broker.data_dir.clone(), broker.addr.port())?;
        restarts.push(broker.startup);
    }
    flows_again(world);
    // The last broker also gets to work for a while.
    thread::sleep(pause(&mut rng));
    Ok(())
}

/// Mostly a while of work; now and then death right after the start, when recovery has just ended.
fn pause(rng: &mut Rng) -> Duration {
    let longest = if rng.below(4) == 0 { 300 } else { 3_000 };
    Duration::from_millis(rng.between(50, longest))
}

/// Confirms and deliveries must both go on soon after a restart.
fn flows_again(world: &World) {
    let since = Instant::now();
    let before = world.checker().stats.clone();
    while since.elapsed() < RECOVERY {
        let now = world.checker().stats.clone();
        if now.confirmed > before.confirmed && now.deliveries > before.deliveries {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    world.checker().violation(Rule::Liveness, format!("no confirms or no deliveries {RECOVERY:?} after the restart"));
}

fn judge(world: &World, what: &str, outcome: Result<(), Error>) {
    if let Err(error) = outcome {
        world.checker().violation(Rule::Liveness, format!("{what}: {error:?}"));
    }
}

fn last_look(world: &World, topology: &mut Topology) -> Result<(), Error> {
    let mut client = Client::connect(world.addr)?;
    topologist::check(world, &mut client, topology)?;
    client.close()
}

fn drain(world: &World) {
    let deadline = Instant::now() + DRAIN;
    for (queue, name) in QUEUES.iter().enumerate() {
        if queue == DUE {
            // Nothing is published any more, but some of it waits.
            thread::sleep(Duration::from_millis(LONGEST_DELAY));
        } else if queue == DEAD {
            // Nothing dies any more; what died is on its way.
            thread::sleep(ON_THE_WAY);
        }
        judge(world, &format!("drain of {name}"), consumer::drain(world, queue, deadline));
    }
}

/// All queues are drained and the broker has stopped: no body that queues shared may be left on disk.
fn judge_bodies(world: &World, dir: &Path) {
    let storage = RocksStorage::open(dir).unwrap_or_else(|error| panic!("{error}"));
    let mut left = Vec::new();
    let mut visit = |key: &[u8], _: &[u8]| {
        left.push(format!("{key:02x?}"));
        true
    };
    storage.scan(Family::Bodies, b"", &[0xff; 18], &mut visit).unwrap_or_else(|error| panic!("{error}"));
    if !left.is_empty() {
        let text = format!("{} keys of shared bodies are left on disk, {:?}", left.len(), left.first());
        world.checker().violation(Rule::Leak, text);
    }
}

/// What was acknowledged before the clean stop does not come back.
fn still_empty(world: &World) -> Result<(), Error> {
    let mut client = Client::connect(world.addr)?;
    client.open_channel(1)?;
    for queue in QUEUES {
        let count = client.declare_passive(1, queue)?.message_count;
        if count > 0 {
            let text = format!("{queue} was drained and has {count} messages after a clean restart");
            world.checker().violation(Rule::AfterAck, text);
        }
    }
    client.close()
}

fn verdict(world: &World, cycles: u64, restarts: &[Duration], broker: &Broker) {
    let mut checker = world.checker();
    let violations = checker.finish().to_vec();
    let stats = checker.stats.clone();
    println!(
        "crash test: seed {}, {cycles} cycles, {} published, {} confirmed, {} nacked, {} returned, {} rolled back, {} delivered \
         ({} of {} copies), {} settled, {} duplicates published, duplicate deliveries {} flagged / {} unflagged after a crash, {} after a settled ack and a \
         crash, {} unconfirmed recovered, restart max {:?}, {} violations",
        world.seed,
        stats.invoked,
        stats.confirmed,
        stats.nacked,
        stats.returned,
        stats.rolled_back,
        stats.deliveries,
        stats.delivered,
        stats.copies,
        checker.settled_count(),
        stats.doubles,
        stats.duplicates_flagged,
        stats.duplicates_unflagged,
        stats.after_ack,
        stats.recovered,
        restarts.iter().max().unwrap_or(&Duration::ZERO),
        checker.violation_count(),
    );
    if !violations.is_empty() {
        violations.iter().for_each(|violation| println!("{:?}: {}", violation.rule, violation.text));
        println!("in all: {:?}", checker.counts());
        println!("--- broker ---\n{}", broker.stderr());
        panic!("{} violations, seed {}", checker.violation_count(), world.seed);
    }
    assert!(stats.confirmed > 0 && stats.deliveries > 0, "nothing happened");
}

//! Delayed messages under SIGKILL: what is persistent and was confirmed comes, and none before its time.

use crate::support::{
    AMQPClass, AMQPValue, BasicProperties, Broker, Client, ConfirmTracker, Error, FieldTable, Options, basic,
    encode_properties, exchange, free_port,
};
use crate::world::{PATIENCE, Rng, wall_ms};
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const EXCHANGE: &str = "crash.delayed";
const QUEUE: &str = "crash.due";
const CHANNEL: u16 = 1;
/// Longest delay of a message.
const DELAY_MS: u64 = 1500;
/// How much before its time a message may come: the broker follows the wall clock slowly.
const SLACK_MS: u64 = 100;
/// All that was confirmed has come by then.
const DRAIN: Duration = Duration::from_secs(120);

struct Run {
    addr: SocketAddr,
    publishing: AtomicBool,
    running: AtomicBool,
    confirmed: Mutex<HashSet<u64>>,
    seen: Mutex<HashSet<u64>>,
    early: Mutex<Vec<String>>,
}

pub fn run(cycles: u64, seed: u64) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let start = |port| Broker::try_start(dir.path(), port, &[]).unwrap_or_else(|error| panic!("{error}"));
    let mut broker = start(free_port());
    let run = Run {
        addr: broker.addr,
        publishing: AtomicBool::new(true),
        running: AtomicBool::new(true),
        confirmed: Mutex::default(),
        seen: Mutex::default(),
        early: Mutex::default(),
    };
    define(run.addr).expect("exchange and queue");
    let mut rng = Rng::new(seed);
    thread::scope(|scope| {
        let publisher = scope.spawn(|| run.publish(Rng::new(seed ^ 1)));
        let consumer = scope.spawn(|| run.consume());
        for _ in 0..cycles {
            thread::sleep(Duration::from_millis(rng.between(50, 1000)));
            assert!(broker.alive(), "the broker died by itself:\n{}", broker.stderr());
            if rng.below(6) == 0 {
                assert!(broker.term().expect("an end").success(), "{}", broker.stderr());
            } else {
                broker.kill9();
            }
            broker = start(run.addr.port());
        }
        thread::sleep(Duration::from_millis(200));
        run.publishing.store(false, Ordering::Relaxed);
        publisher.join().expect("publisher");
        let since = Instant::now();
        while !run.missing().is_empty() && since.elapsed() < DRAIN {
            thread::sleep(Duration::from_millis(20));
        }
        run.running.store(false, Ordering::Relaxed);
        consumer.join().expect("consumer");
    });
    let (missing, confirmed) = (run.missing(), run.confirmed.lock().expect("whole").len());
    println!(
        "delayed: seed {seed}, {cycles} cycles, {confirmed} confirmed, {} came",
        run.seen.lock().expect("whole").len()
    );
    assert!(missing.is_empty(), "{} of {confirmed} lost, seed {seed}: {missing:?}\n{}", missing.len(), broker.stderr());
    let early = run.early.lock().expect("whole");
    assert!(early.is_empty(), "too early: {early:?}");
    assert!(confirmed > 0, "nothing happened");
}

fn define(addr: SocketAddr) -> Result<(), Error> {
    let mut client = Client::connect(addr)?;
    client.open_channel(CHANNEL)?;
    let mut arguments = FieldTable::default();
    arguments.insert("x-delayed-type".into(), AMQPValue::LongString("direct".into()));
    let kind = "x-delayed-message".into();
    let declare = exchange::Declare { exchange: EXCHANGE.into(), kind, durable: true, arguments, ..Default::default() };
    client.declare_exchange(CHANNEL, declare)?;
    client.declare_queue(CHANNEL, QUEUE, true)?;
    client.bind(CHANNEL, QUEUE, EXCHANGE, "key")?;
    client.close()
}

impl Run {
    fn missing(&self) -> Vec<u64> {
        let seen = self.seen.lock().expect("whole");
        self.confirmed.lock().expect("whole").iter().filter(|number| !seen.contains(number)).copied().collect()
    }

    fn connect(&self, go: &AtomicBool) -> Option<Client> {
        let options = Options { timeout: PATIENCE, ..Default::default() };
        while go.load(Ordering::Relaxed) {
            let opened = Client::open(self.addr, &options).and_then(|mut client| {
                client.open_channel(CHANNEL)?;
                Ok(client)
            });
            if let Ok(client) = opened {
                return Some(client);
            }
            thread::sleep(Duration::from_millis(10));
        }
        None
    }

    fn publish(&self, mut rng: Rng) {
        let mut number = 0;
        while let Some(mut client) = self.connect(&self.publishing) {
            // The broker's death ends it, and the next life goes on.
            let _ = self.publish_one_life(&mut client, &mut number, &mut rng);
        }
    }

    fn publish_one_life(&self, client: &mut Client, number: &mut u64, rng: &mut Rng) -> Result<(), Error> {
        client.confirm_select(CHANNEL)?;
        let (mut tracker, mut numbers) = (ConfirmTracker::default(), HashMap::new());
        while self.publishing.load(Ordering::Relaxed) {
            for _ in 0..rng.between(1, 30) {
                *number += 1;
                let delay = rng.between(1, DELAY_MS);
                let mut headers = FieldTable::default();
                headers.insert("x-delay".into(), AMQPValue::LongLongInt(delay as i64));
                // What is not persistent lasts while it waits, and in its queue no longer than any other such message.
                let mode = if rng.below(3) == 0 { 1 } else { 2 };
                let properties = BasicProperties::default().with_headers(headers).with_delivery_mode(mode);
                let body = [number.to_be_bytes(), (wall_ms() + delay).to_be_bytes()].concat();
                let sequence = tracker.publish();
                if mode == 2 {
                    numbers.insert(sequence, *number);
                }
                let publish =
                    basic::Publish { exchange: EXCHANGE.into(), routing_key: "key".into(), ..Default::default() };
                client.publish_raw(CHANNEL, publish, &encode_properties(&properties), &body)?;
            }
            while tracker.outstanding() > 0 {
                let event = client.recv_until(Instant::now() + PATIENCE)?;
                let (tag, multiple, nack) = event.confirm().ok_or(Error::Gone)?;
                assert!(!nack, "{tag} was refused");
                let tags = tracker.settle(tag, multiple, nack).unwrap_or_else(|error| panic!("{error}"));
                let settled = tags.iter().filter_map(|tag| numbers.remove(tag));
                self.confirmed.lock().expect("whole").extend(settled);
            }
        }
        client.sync(CHANNEL)
    }

    fn consume(&self) {
        while let Some(mut client) = self.connect(&self.running) {
            let _ = self.consume_one_life(&mut client);
        }
    }

    fn consume_one_life(&self, client: &mut Client) -> Result<(), Error> {
        client.consume(CHANNEL, QUEUE, "", false)?;
        while self.running.load(Ordering::Relaxed) {
            let event = match client.recv_until(Instant::now() + Duration::from_millis(50)) {
                Err(Error::Timeout) => continue,
                event => event?,
            };
            let Some(delivery) = event.delivery() else { return Err(Error::Gone) };
            let field = |at: usize| u64::from_be_bytes(delivery.body[at..at + 8].try_into().expect("eight bytes"));
            let (number, due, now) = (field(0), field(8), wall_ms());
            if now + SLACK_MS < due {
                self.early.lock().expect("whole").push(format!("{number} by {} ms", due - now));
            }
            self.seen.lock().expect("whole").insert(number);
            let ack = basic::Ack { delivery_tag: delivery.delivery_tag, multiple: false };
            client.send(CHANNEL, AMQPClass::Basic(basic::AMQPMethod::Ack(ack)))?;
        }
        Ok(())
    }
}

//! Large bodies that go to several queues: one copy in memory and on disk, whatever becomes of the queues.

use super::tests::{declare, options, user, within_patience};
use super::*;
use crate::broker::message::{Parts, Run};
use crate::broker::queue::Taken;
use crate::broker::topology::{Binding, Destination};
use crate::name::Name;
use crate::store::memory::MemoryStorage;
use crate::store::{Family, Storage};
use crate::value::{Table, Value};
use crate::wire::properties::PropertiesBuilder;
use std::sync::Arc;
use std::time::{Duration, Instant};

const SIZE: usize = 100_000;
const PATIENCE: Duration = Duration::from_secs(20);

/// Keys of detached bodies, their counts and references on disk.
pub(super) fn left(storage: &dyn Storage) -> Vec<String> {
    let mut left = Vec::new();
    for (family, from) in [(Family::Bodies, &b""[..]), (Family::Transient, &b"b"[..])] {
        let mut visit = |key: &[u8], _: &[u8]| {
            left.push(format!("{} {key:02x?}", family.name()));
            true
        };
        storage.scan(family, from, &[0xff; 18], &mut visit).unwrap();
    }
    left
}

/// Detached bodies on disk.
fn stored(storage: &dyn Storage, family: Family) -> usize {
    let mut count = 0;
    let mut visit = |_: &[u8], value: &[u8]| {
        assert!(value.len() > SIZE);
        count += 1;
        true
    };
    storage.scan(family, b"b", b"c", &mut visit).unwrap();
    count
}

fn body(number: u8) -> Vec<u8> {
    vec![number; SIZE]
}

struct Bench {
    storage: Arc<MemoryStorage>,
    broker: Arc<Broker>,
    session: Session,
}

impl Bench {
    fn new() -> Bench {
        Bench::on(Arc::new(MemoryStorage::default()))
    }

    fn on(storage: Arc<MemoryStorage>) -> Bench {
        let broker = Broker::start(storage.clone(), options()).unwrap();
        let session = broker.open_session("/", user().identity()).unwrap();
        Bench { storage, broker, session }
    }

    fn publish(&self, exchange: &str, numbers: std::ops::Range<u8>, persistent: bool) {
        let names = [&[exchange.len() as u8], exchange.as_bytes(), &[0]].concat();
        let header = PropertiesBuilder::default().content_header(SIZE as u64);
        let route = self.session.route(exchange, b"", &header).unwrap();
        let mut batch = Batch::default();
        for number in numbers {
            let parts = Parts {
                exchange_and_key: &names,
                header: &header,
                body: &body(number),
                persistent,
                priority: 0,
                deadline_ms: 0,
                died: false,
                detached: None,
            };
            batch.push(&self.broker, &route, &parts, None);
        }
        batch.flush(&self.broker);
        self.commit();
    }

    /// What was done so far is on disk.
    fn commit(&self) {
        let epoch = self.broker.committer().open_epoch();
        let deadline = Instant::now() + PATIENCE;
        self.session.wake_at(epoch);
        while self.broker.committer().done_epoch() < epoch {
            assert!(Instant::now() < deadline, "no commit");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Takes the next message of a queue; None when it is empty.
    fn get(&self, queue: &str, no_ack: bool) -> Option<(Arc<QueueHandle>, Run, Vec<u8>)> {
        let (name, deadline) = (Name::new(queue).unwrap(), Instant::now() + PATIENCE);
        loop {
            match self.session.get(&name, no_ack, 1).unwrap() {
                (handle, Taken::Message(run, _)) => {
                    let body = run.chunk.record(run.index).unwrap().body.to_vec();
                    return Some((handle, run, body));
                }
                (_, Taken::Empty) => return None,
                (_, Taken::OnDisk) => assert!(Instant::now() < deadline, "the disk is never read"),
            }
        }
    }

    fn expect(&self, queue: &str, numbers: std::ops::Range<u8>) {
        for number in numbers {
            let (_, _, found) = self.get(queue, true).unwrap();
            assert!(found == body(number), "{queue}: {:?} of {} bytes for {number}", found.first(), found.len());
        }
        assert!(self.get(queue, true).is_none());
    }

    fn stop(self) -> Arc<MemoryStorage> {
        let Bench { storage, broker, session } = self;
        session.close();
        broker.stop().unwrap();
        storage
    }
}

#[test]
fn queues_share_a_body_and_the_last_one_takes_it_along() {
    let bench = Bench::new();
    ["a", "b", "c"].iter().for_each(|name| declare(&bench.session, name));
    bench.publish("amq.fanout", 0..3, true);
    assert_eq!(stored(&*bench.storage, Family::Bodies), 3);
    let memory = bench.broker.memory().ledger().bytes();
    assert!(memory < 4 * SIZE as i64, "{memory} bytes of memory for 3 messages of {SIZE}");
    // "c" is not durable.
    bench.expect("c", 0..3);
    let (handle, run, _) = bench.get("a", false).unwrap();
    bench.session.requeue(&handle, vec![run.span()], None, false);
    bench.expect("a", 0..3);
    bench.commit();
    assert_eq!(stored(&*bench.storage, Family::Bodies), 3, "b has them");
    let bench = Bench::on(bench.stop());
    bench.expect("b", 0..3);
    bench.commit();
    assert_eq!(left(&*bench.storage), Vec::<String>::new());
    assert_eq!(bench.broker.memory().ledger().bytes(), 0);
    bench.stop();
}

#[test]
fn purged_and_deleted_queues_give_their_bodies_back_unread() {
    let bench = Bench::new();
    ["a", "b"].iter().for_each(|name| declare(&bench.session, name));
    bench.publish("amq.fanout", 0..40, true);
    // Nothing of it is in memory now.
    let bench = Bench::on(bench.stop());
    let (a, b) = (Name::new("a").unwrap(), Name::new("b").unwrap());
    assert_eq!(bench.session.purge_queue(&a).unwrap(), 40);
    bench.commit();
    assert_eq!(stored(&*bench.storage, Family::Bodies), 40);
    bench.publish("amq.fanout", 40..42, true);
    bench.session.delete_queue(&b, false, false).unwrap();
    bench.commit();
    assert_eq!(stored(&*bench.storage, Family::Bodies), 2);
    bench.expect("a", 40..42);
    bench.commit();
    assert_eq!(left(&*bench.storage), Vec::<String>::new());
    bench.stop();
}

#[test]
fn what_is_paged_out_is_kept_once_too() {
    for persistent in [true, false] {
        let bench = Bench::new();
        ["a", "b"].iter().for_each(|name| declare(&bench.session, name));
        // 10 MB, of 8 that memory may take.
        bench.publish("amq.fanout", 0..100, persistent);
        let deadline = Instant::now() + PATIENCE;
        while bench.broker.memory().is_short() {
            assert!(Instant::now() < deadline, "nothing leaves memory");
            std::thread::sleep(Duration::from_millis(1));
        }
        let family = if persistent { Family::Bodies } else { Family::Transient };
        let paged = stored(&*bench.storage, family);
        assert!((50..=100).contains(&paged), "{paged} bodies on disk; persistent: {persistent}");
        bench.expect("b", 0..100);
        bench.expect("a", 0..100);
        bench.commit();
        assert_eq!(left(&*bench.storage), Vec::<String>::new(), "persistent: {persistent}");
        assert_eq!(bench.broker.memory().ledger().bytes(), 0);
        bench.stop();
    }
}

#[test]
fn a_dead_letter_shares_its_body_with_the_message() {
    let bench = Bench::new();
    let arguments = [("x-dead-letter-exchange", Value::from(""))];
    let arguments = arguments.into_iter().chain([("x-dead-letter-routing-key", Value::from("a"))]);
    let (name, arguments) = (Name::new("q"), arguments.collect());
    let spec = QueueSpec { name, durable: true, exclusive: false, auto_delete: false, arguments };
    bench.session.declare_queue(spec).unwrap();
    declare(&bench.session, "a");
    bench.session.unbind(binding("a")).unwrap();
    declare(&bench.session, "b");
    bench.session.bind(binding("q")).unwrap();
    bench.publish("amq.fanout", 7..8, true);
    let (handle, run, _) = bench.get("q", false).unwrap();
    bench.session.discard(&handle, vec![run.span()], None);
    drop(run);
    let deadline = Instant::now() + PATIENCE;
    while bench.session.check_queue(&Name::new("a").unwrap()).unwrap().messages == 0 {
        assert!(Instant::now() < deadline, "the dead letter never comes");
        std::thread::sleep(Duration::from_millis(1));
    }
    bench.commit();
    assert_eq!(stored(&*bench.storage, Family::Bodies), 1);
    let bench = Bench::on(bench.stop());
    bench.expect("a", 7..8);
    bench.expect("b", 7..8);
    bench.commit();
    assert_eq!(left(&*bench.storage), Vec::<String>::new());
    bench.stop();
}

fn binding(queue: &str) -> Binding {
    Binding {
        source: Name::new("amq.fanout").unwrap(),
        destination: Destination::Queue(Name::new(queue).unwrap()),
        routing_key: Name::new("").unwrap(),
        arguments: Table::new(),
    }
}

#[test]
fn a_crash_at_any_write_leaves_no_body_and_loses_none() {
    within_patience(|| {
        for nth in 1..12 {
            let bench = Bench::new();
            ["a", "b"].iter().for_each(|name| declare(&bench.session, name));
            bench.publish("amq.fanout", 0..2, true);
            bench.storage.fail_at(nth, crate::store::memory::Fault::Broken);
            bench.get("a", true);
            bench.publish_unwatched(2..3);
            bench.get("a", true);
            bench.publish_unwatched(3..4);
            bench.get("b", true);
            std::thread::sleep(Duration::from_millis(15));
            let storage = bench.storage.clone();
            bench.session.close();
            let _ = bench.broker.stop();
            storage.cut_power();
            let bench = Bench::on(storage);
            for queue in ["a", "b"] {
                while bench.get(queue, true).is_some() {}
            }
            bench.commit();
            assert_eq!(left(&*bench.storage), Vec::<String>::new(), "write {nth} failed");
            bench.stop();
        }
    });
}

impl Bench {
    /// Publishes over a disk that may have failed.
    fn publish_unwatched(&self, numbers: std::ops::Range<u8>) {
        let header = PropertiesBuilder::default().content_header(SIZE as u64);
        let route = self.session.route("amq.fanout", b"", &header).unwrap();
        let mut batch = Batch::default();
        for number in numbers {
            let parts = Parts {
                exchange_and_key: b"\0\0",
                header: &header,
                body: &body(number),
                persistent: true,
                priority: 0,
                deadline_ms: 0,
                died: false,
                detached: None,
            };
            batch.push(&self.broker, &route, &parts, None);
        }
        batch.flush(&self.broker);
        std::thread::sleep(Duration::from_millis(12));
    }
}

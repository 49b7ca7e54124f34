//! Deduplication over a disk that fails, is cut off, or is asked for what is too old. A window must never know a message
//! that is not there, and never forget one that was confirmed.

use super::*;
use crate::broker::access::{PasswordHash, User};
use crate::broker::message::Parts;
use crate::broker::queue::QueueKind;
use crate::broker::topology::{Binding, Destination, ExchangeKind, ExchangeSpec};
use crate::clock::{Clock, Now};
use crate::name::Name;
use crate::store::committer::SyncPolicy;
use crate::store::memory::{Fault, MemoryStorage};
use crate::store::{Family, Storage};
use crate::value::{Table, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Large enough that an epoch is written in several pieces: each takes one, though the queues share them.
const BODY: usize = 4_300_000;
const QUEUES: [&str; 5] = ["q0", "q1", "q2", "q3", "q4"];
const MESSAGES: i64 = 2;

/// A clock that goes when it is told to.
#[derive(Debug)]
struct OwnClock(Now, AtomicU64);

impl Clock for OwnClock {
    fn now(&self) -> Now {
        self.0.after(Duration::from_millis(self.1.load(Ordering::Relaxed)))
    }
}

fn start(storage: &Arc<MemoryStorage>, clock: &Arc<OwnClock>) -> Arc<Broker> {
    let first_start = Some(FirstStart {
        vhost: name("/"),
        user: user().into(),
        permissions: crate::broker::access::Permissions::all(),
    });
    let options = Options {
        memory_budget: 1 << 30,
        held_publishes: 0,
        cluster_name: "warren".to_owned(),
        node_name: "warren".to_owned(),
        event_vhost: name("/"),
        sync: SyncPolicy::Always,
        clock: clock.clone(),
        connection_max: None,
        default_queue_type: QueueKind::Classic,
        limits: Default::default(),
        first_start,
    };
    Broker::start(storage.clone(), options).unwrap()
}

fn user() -> User {
    User::new(name("u"), PasswordHash::default(), &[])
}

fn clock() -> Arc<OwnClock> {
    Arc::new(OwnClock(Now::read(), AtomicU64::new(0)))
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A durable fanout or deduplicating exchange `x` with durable queues, deduplicating if `by_queue`.
fn declare(session: &Session, by_queue: bool, queues: &[&str], window: &[(&'static str, Value)]) {
    let window = |on: bool| if on { window.iter().cloned().collect() } else { Table::new() };
    let kind = if by_queue { ExchangeKind::Fanout } else { ExchangeKind::Deduplication };
    let (auto_delete, internal) = (false, false);
    let arguments = window(!by_queue);
    let exchange = ExchangeSpec { name: name("x"), kind, durable: true, auto_delete, internal, arguments };
    session.declare_exchange(exchange).unwrap();
    for queue in queues {
        let mut arguments = window(by_queue);
        if by_queue {
            arguments.insert("x-message-deduplication", true);
        }
        let (exclusive, durable) = (false, true);
        let spec = QueueSpec { name: Name::new(queue), durable, exclusive, auto_delete, arguments };
        session.declare_queue(spec).unwrap();
        let destination = Destination::Queue(name(queue));
        let binding = Binding { source: name("x"), destination, routing_key: name(""), arguments: Table::new() };
        session.bind(binding).unwrap();
    }
}

/// Publishes a persistent message with this identity; the epoch that its confirm waits for.
fn publish(session: &Session, identity: i64, body: &[u8]) -> Option<Epoch> {
    let mut headers = Vec::new();
    Table::from_iter([("x-deduplication-header", Value::from(identity))]).encode_content(&mut headers);
    let mut header = b"\0\x3c\0\0\0\0\0\0\0\0\0\0".to_vec();
    header.extend_from_slice(&(1_u16 << 13).to_be_bytes());
    header.extend_from_slice(&(headers.len() as u32).to_be_bytes());
    header.extend_from_slice(&headers);
    let parts = Parts {
        exchange_and_key: b"\x01x\0",
        header: &header,
        body,
        persistent: true,
        priority: 0,
        deadline_ms: 0,
        died: false,
        detached: None,
    };
    let (route, mut batch) = (session.route("x", b"", &header).unwrap(), Batch::default());
    batch.push(session.broker(), &route, &parts, None);
    batch.flush(session.broker())
}

/// Waits until an epoch is done; false when the disk failed before.
fn wait(session: &Session, epoch: Option<Epoch>) -> bool {
    let Some(epoch) = epoch else { return true };
    session.wake_at(epoch);
    while session.done_epoch() < epoch {
        if session.broker().committer().has_failed() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

fn ready(session: &Session, queue: &str) -> u64 {
    session.check_queue(&name(queue)).unwrap().messages
}

fn body(number: i64) -> Vec<u8> {
    vec![number as u8; BODY]
}

/// Publishes, and crashes at the `nth` write: the process if `power` stays, else the machine. Then the publisher does what a
/// publisher does: it publishes everything again. Returns whether all went well the first time.
fn crash_and_retry(by_queue: bool, nth: u64, power: bool) -> bool {
    let (storage, clock) = (Arc::new(MemoryStorage::default()), clock());
    let broker = start(&storage, &clock);
    let session = broker.open_session("/", user().identity()).unwrap();
    declare(&session, by_queue, &QUEUES, &[("x-cache-size", 100.into())]);
    let epoch = session.open_epoch();
    assert!(wait(&session, Some(epoch)));
    storage.fail_at(nth, Fault::Broken);
    let epochs: Vec<_> = (0..MESSAGES).map(|number| publish(&session, number, &body(number))).collect();
    let confirmed: Vec<bool> = epochs.iter().map(|epoch| wait(&session, *epoch)).collect();
    session.close();
    storage.heal();
    if confirmed.iter().all(|confirmed| *confirmed) {
        broker.stop().unwrap();
        return true;
    }
    if !power {
        storage.cut_power();
    }
    let broker = start(&storage, &clock);
    let session = broker.open_session("/", user().identity()).unwrap();
    for (queue, least) in QUEUES.iter().map(|queue| (queue, confirmed.iter().filter(|done| **done).count() as u64)) {
        assert!(ready(&session, queue) >= least, "what was confirmed is there");
    }
    let before: Vec<u64> = QUEUES.iter().map(|queue| ready(&session, queue)).collect();
    let epochs: Vec<_> = (0..MESSAGES).map(|number| publish(&session, number, &body(number))).collect();
    assert!(epochs.into_iter().all(|epoch| wait(&session, epoch)));
    for (queue, before) in QUEUES.iter().zip(before) {
        let mut seen = vec![0; MESSAGES as usize];
        while let Some(number) = take(&session, queue) {
            seen[usize::from(number)] += 1;
        }
        for (number, confirmed) in confirmed.iter().enumerate() {
            let expected = if *confirmed { 1..=1 } else { 1..=2 };
            assert!(expected.contains(&seen[number]), "{queue} had {before}, write {nth}, power {power}: {seen:?}");
        }
    }
    session.close();
    broker.stop().unwrap();
    false
}

/// Takes a message: the first byte of its body.
fn take(session: &Session, queue: &str) -> Option<u8> {
    loop {
        match session.get(&name(queue), true, 1).unwrap().1 {
            crate::broker::queue::Taken::Message(run, _) => {
                return run.chunk.record(run.index).unwrap().body.first().copied();
            }
            crate::broker::queue::Taken::Empty => return None,
            crate::broker::queue::Taken::OnDisk => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

#[test]
fn a_crash_at_any_write_loses_nothing_and_doubles_nothing_that_was_confirmed() {
    for by_queue in [false, true] {
        for power in [false, true] {
            let fine = (1..40).find(|nth| crash_and_retry(by_queue, *nth, power));
            assert!(fine.is_some_and(|nth| nth > 2), "{fine:?}: the crashes were to fall among the writes");
        }
    }
}

#[test]
fn a_duplicate_is_confirmed_no_sooner_than_the_first() {
    for by_queue in [false, true] {
        let (storage, clock) = (Arc::new(MemoryStorage::default()), clock());
        let broker = start(&storage, &clock);
        let (one, other) = (
            broker.open_session("/", user().identity()).unwrap(),
            broker.open_session("/", user().identity()).unwrap(),
        );
        declare(&one, by_queue, &["q"], &[("x-cache-size", 100.into())]);
        for identity in 0..200 {
            let first = publish(&one, identity, b"m").unwrap();
            let again = publish(&other, identity, b"m").unwrap();
            assert!(again >= first, "{again} {first}");
        }
        assert_eq!(ready(&one, "q"), 200);
        one.close();
        other.close();
        broker.stop().unwrap();
    }
}

fn blocks(storage: &MemoryStorage) -> usize {
    let mut count = 0;
    storage
        .scan(Family::Identities, b"", &[0xff; 17], &mut |_, _| {
            count += 1;
            true
        })
        .unwrap();
    count
}

/// Waits until something is so: what nobody waits for is written a little later.
fn eventually(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..2000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("not so: {what}");
}

#[test]
fn what_is_old_or_too_many_leaves_the_disk() {
    for by_queue in [false, true] {
        let (storage, clock) = (Arc::new(MemoryStorage::default()), clock());
        let broker = start(&storage, &clock);
        let session = broker.open_session("/", user().identity()).unwrap();
        declare(&session, by_queue, &["q"], &[("x-cache-size", 5.into()), ("x-cache-ttl", 60_000.into())]);
        for identity in 0..50 {
            let epoch = publish(&session, identity, b"m");
            assert!(wait(&session, epoch));
        }
        assert!((1..=6).contains(&blocks(&storage)), "{}", blocks(&storage));
        clock.1.store(61_000, Ordering::Relaxed);
        broker.fire_timers();
        eventually("nothing is left of the window", || blocks(&storage) == 0);
        assert_eq!(ready(&session, "q"), 50);
        let epoch = publish(&session, 49, b"again");
        assert!(wait(&session, epoch));
        assert_eq!((ready(&session, "q"), blocks(&storage)), (51, 1));
        session.delete_exchange(&name("x"), false).unwrap();
        session.delete_queue(&name("q"), false, false).unwrap();
        session.close();
        broker.stop().unwrap();
        assert_eq!(blocks(&storage), 0, "it goes with its owner");
    }
}

#[test]
fn publishers_of_the_same_messages_through_gates_in_a_circle_end() {
    let (storage, clock) = (Arc::new(MemoryStorage::default()), clock());
    let broker = start(&storage, &clock);
    let session = broker.open_session("/", user().identity()).unwrap();
    declare(&session, false, &["q"], &[("x-cache-size", 10_000.into())]);
    let arguments = Table::from_iter([("x-cache-size", Value::from(10_000))]);
    let (kind, durable, auto_delete, internal) = (ExchangeKind::Deduplication, true, false, false);
    session
        .declare_exchange(ExchangeSpec { name: name("y"), kind, durable, auto_delete, internal, arguments })
        .unwrap();
    for (source, to) in [("x", "y"), ("y", "x")] {
        let destination = Destination::Exchange(name(to));
        let (routing_key, arguments) = (name(""), Table::new());
        session.bind(Binding { source: name(source), destination, routing_key, arguments }).unwrap();
    }
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let session = broker.open_session("/", user().identity()).unwrap();
                for identity in 0..1000 {
                    publish(&session, identity, b"m");
                }
                session.close();
            });
        }
    });
    assert_eq!(ready(&session, "q"), 1000);
    session.close();
    broker.stop().unwrap();
}

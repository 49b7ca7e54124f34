//! Publishers, consumers and whoever deletes their queues, all at once, over a disk in memory.

use super::*;
use crate::broker::access::{PasswordHash, Permissions, User, VhostMetadata};
use crate::broker::message::{Parts, Run};
use crate::broker::policy::{ApplyTo, Policy};
use crate::broker::queue::{QueueKind, Taken};
use crate::broker::topology::{Binding, Destination};
use crate::clock::SystemClock;
use crate::name::Name;
use crate::store::committer::SyncPolicy;
use crate::store::memory::MemoryStorage;
use crate::store::{Family, Storage};
use crate::value::{Table, Value};
use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const QUEUES: [&str; 3] = ["a", "b", "c"];
const TIME: Duration = Duration::from_millis(1500);
/// If all is not over by then, something waits for something that waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn user() -> User {
    User::new(Name::new("u").unwrap(), PasswordHash::default(), &[])
}

fn first_start() -> FirstStart {
    FirstStart {
        vhost: Name::new("/").unwrap(),
        user: user().into(),
        permissions: crate::broker::access::Permissions::all(),
    }
}

pub(super) fn declare(session: &Session, name: &str) {
    let spec = QueueSpec {
        name: Name::new(name),
        durable: name != "c",
        exclusive: false,
        auto_delete: false,
        arguments: Table::new(),
    };
    session.declare_queue(spec).unwrap();
    // It may be gone again.
    let _ = session.bind(Binding {
        source: Name::new("amq.fanout").unwrap(),
        destination: Destination::Queue(Name::new(name).unwrap()),
        routing_key: Name::new("").unwrap(),
        arguments: Table::new(),
    });
}

/// Publisher and number in a message's body.
fn read(run: &Run, at: u32) -> (u64, u64) {
    let body = run.chunk.record(run.index + at).unwrap().body;
    let number = |range: std::ops::Range<usize>| u64::from_le_bytes(body[range].try_into().unwrap());
    (number(0..8), number(8..16))
}

fn publish(broker: &Arc<Broker>, publisher: u64, stop: &AtomicBool) -> u64 {
    let session = broker.open_session("/", user().identity()).unwrap();
    let mut batch = Batch::default();
    let mut number = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..20 {
            let key = QUEUES[(number % 3) as usize];
            // Now and then a body that all queues share.
            let wide = number % 20 == 7;
            let route = session.route(if wide { "amq.fanout" } else { "" }, key.as_bytes(), b"").unwrap();
            let mut body = publisher.to_le_bytes().to_vec();
            body.extend_from_slice(&number.to_le_bytes());
            body.resize(16 + (number % 500) as usize + if wide { 5000 } else { 0 }, b'.');
            let exchange_and_key = [&[0, key.len() as u8], key.as_bytes()].concat();
            let parts = Parts {
                exchange_and_key: &exchange_and_key,
                header: b"",
                body: &body,
                persistent: number.is_multiple_of(2),
                priority: 0,
                deadline_ms: 0,
                died: false,
                detached: None,
            };
            batch.push(broker, &route, &parts, None);
            number += 1;
        }
        batch.flush(broker);
        if session.must_hold() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    session.close();
    number
}

/// Consumes from a queue, again whenever it was deleted. Messages that come for the first time keep their publisher's order.
fn consume(broker: &Arc<Broker>, name: &str, no_ack: bool, stop: &AtomicBool, seen: &AtomicU64) {
    let session = broker.open_session("/", user().identity()).unwrap();
    let queue = Name::new(name).unwrap();
    let mut held = None;
    let mut last: HashMap<u64, u64> = HashMap::new();
    while !stop.load(Ordering::Relaxed) {
        let prefetch = (!no_ack).then_some(50);
        let spec = ConsumeSpec { channel: 1, no_ack, exclusive: false, priority: 0, prefetch, shared: None };
        if held.is_none() {
            held = session.consume(&queue, spec).ok();
        }
        let Some((id, handle)) = held.clone() else { continue };
        let mut items = Vec::new();
        session.outbox().take(&mut items);
        if items.is_empty() {
            std::thread::sleep(Duration::from_micros(200));
        }
        for item in items {
            match item {
                Item::Run { run, .. } => {
                    for at in 0..run.count {
                        let (publisher, number) = read(&run, at);
                        let before = last.insert(publisher, number);
                        let in_order = before.is_none_or(|before| before < number) || run.redelivered;
                        assert!(in_order, "{number} of {publisher} after {before:?} in {name}");
                    }
                    seen.fetch_add(run.count.into(), Ordering::Relaxed);
                    session.credit(&handle, id, run.bytes() as u64);
                    if !no_ack && run.first().is_multiple_of(7) {
                        last.clear();
                        session.requeue(&handle, vec![run.span()], Some(id), false);
                    } else if !no_ack {
                        session.settle(&handle, vec![(run.first(), run.count)], Some(id));
                    }
                }
                Item::Cancelled { .. } => held = None,
                Item::Loaded { .. } | Item::Acknowledged { .. } => {}
            }
        }
    }
    if let Some((id, handle)) = held {
        session.cancel(&handle, id);
    }
    session.close();
}

/// Purges, gets, deletes and declares.
fn meddle(broker: &Arc<Broker>, stop: &AtomicBool) {
    let session = broker.open_session("/", user().identity()).unwrap();
    for round in 0_usize.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let name = Name::new(QUEUES[round % 3]).unwrap();
        match round % 5 {
            0 => drop(session.purge_queue(&name)),
            1 => drop(session.delete_queue(&name, false, false)),
            2 | 3 => {
                if let Ok((handle, Taken::Message(run, _))) = session.get(&name, false, 1) {
                    session.discard(&handle, vec![run.span()], None);
                }
            }
            _ => QUEUES.iter().for_each(|name| declare(&session, name)),
        }
        std::thread::sleep(Duration::from_millis(3));
    }
    QUEUES.iter().for_each(|name| declare(&session, name));
    session.close();
}

pub(super) fn options() -> Options {
    Options {
        memory_budget: 8 << 20,
        held_publishes: 0,
        cluster_name: "warren".to_owned(),
        node_name: "warren".to_owned(),
        event_vhost: Name::new("/").unwrap(),
        sync: SyncPolicy::Always,
        clock: Arc::new(SystemClock),
        connection_max: None,
        default_queue_type: QueueKind::Classic,
        limits: Default::default(),
        first_start: Some(first_start()),
    }
}

fn everything_at_once() {
    let storage = Arc::new(MemoryStorage::default());
    let broker = Broker::start(storage.clone(), options()).unwrap();
    let session = broker.open_session("/", user().identity()).unwrap();
    QUEUES.iter().for_each(|name| declare(&session, name));
    let (stop, seen) = (AtomicBool::new(false), AtomicU64::new(0));
    let (broker_ref, stop_ref, seen_ref) = (&broker, &stop, &seen);
    std::thread::scope(|scope| {
        let publishers: Vec<_> =
            (0..3).map(|publisher| scope.spawn(move || publish(broker_ref, publisher, stop_ref))).collect();
        for name in QUEUES {
            scope.spawn(move || consume(broker_ref, name, false, stop_ref, seen_ref));
            scope.spawn(move || consume(broker_ref, name, true, stop_ref, seen_ref));
        }
        scope.spawn(move || meddle(broker_ref, stop_ref));
        std::thread::sleep(TIME);
        stop_ref.store(true, Ordering::Relaxed);
        let published: u64 = publishers.into_iter().map(|publisher| publisher.join().unwrap()).sum();
        assert!(published > 1000, "{published} published");
    });
    assert!(seen.load(Ordering::Relaxed) > 1000, "{seen:?} delivered");
    for name in QUEUES {
        session.delete_queue(&Name::new(name).unwrap(), false, false).unwrap();
    }
    session.close();
    broker.stop().unwrap();
    assert_eq!(broker.memory().ledger().bytes(), 0, "memory is counted that nobody holds");
    assert_eq!(bodies_tests::left(&*storage), Vec::<String>::new(), "bodies to which nothing refers are on disk");
}

/// Uses a virtual host that comes and goes. Whatever is refused is refused.
fn use_vhost(broker: &Arc<Broker>, stop: &AtomicBool, seen: &AtomicU64) {
    let name = |text| Name::new(text).unwrap();
    let definition = Table::from_iter([("max-length", Value::I64(5))]);
    let policy = Policy::new(name("p"), ".*", ApplyTo::Queues, definition, 0, false).unwrap();
    let binding = Binding {
        source: name("amq.direct"),
        destination: Destination::Queue(name("a")),
        routing_key: name("a"),
        arguments: Table::new(),
    };
    let queue = || QueueSpec {
        name: Some(name("a")),
        durable: true,
        exclusive: false,
        auto_delete: false,
        arguments: Table::new(),
    };
    let mut batch = Batch::default();
    while !stop.load(Ordering::Relaxed) {
        let Ok(session) = broker.open_session("v", user().identity()) else { continue };
        let declared = session.declare_queue(queue()).is_ok();
        seen.fetch_add(u64::from(declared), Ordering::Relaxed);
        drop((session.bind(binding.clone()), broker.set_policy("v", policy.clone(), false)));
        if let Ok(route) = session.route("amq.direct", b"a", b"") {
            let (exchange_and_key, persistent) = (b"\x0aamq.direct\x01a", true);
            let (header, body, priority, deadline_ms, died) = (&b""[..], &b"m"[..], 0, 0, false);
            let parts =
                Parts { exchange_and_key, header, body, persistent, priority, deadline_ms, died, detached: None };
            batch.push(broker, &route, &parts, None);
            batch.flush(broker);
        }
        session.close();
    }
}

/// What is left on disk of virtual hosts that have gone must not keep the node from starting.
fn vhosts_come_and_go() {
    const ROUNDS: usize = 200;
    let storage = Arc::new(MemoryStorage::default());
    let broker = Broker::start(storage.clone(), options()).unwrap();
    let (vhost, stop, seen) = (Name::new("v").unwrap(), AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| use_vhost(&broker, &stop, &seen));
        }
        for round in 0.. {
            broker.put_vhost(&vhost, VhostMetadata::default()).unwrap();
            broker.set_permissions("u", "v", Some(Permissions::all())).unwrap();
            std::thread::sleep(Duration::from_micros(500));
            broker.delete_vhost("v").unwrap();
            if round > ROUNDS && seen.load(Ordering::Relaxed) > 100 {
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    broker.stop().unwrap();
    let broker = Broker::start(storage, options()).unwrap();
    assert_eq!((broker.vhosts().len(), broker.permissions().len(), broker.found().queues), (1, 1, 0));
    broker.stop().unwrap();
}

#[test]
fn vhosts_come_and_go_under_their_clients() {
    within_patience(vhosts_come_and_go);
}

#[test]
fn publishers_consumers_and_deletions_do_not_get_in_each_others_way() {
    within_patience(everything_at_once);
}

pub(super) fn within_patience(run: fn()) {
    let (done, finished) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        run();
        let _ = done.send(());
    });
    match finished.recv_timeout(PATIENCE) {
        Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("a deadlock"),
        _ => thread.join().unwrap(),
    }
}

#[test]
fn what_happens_between_the_last_commit_and_the_end_does_not_cost_a_message() {
    let storage = Arc::new(MemoryStorage::default());
    let start = || Broker::start(storage.clone(), options()).unwrap();
    let broker = start();
    let session = broker.open_session("/", user().identity()).unwrap();
    let name = Name::new("a").unwrap();
    declare(&session, "a");
    let mut batch = Batch::default();
    let route = session.route("", b"a", b"").unwrap();
    let (exchange_and_key, header, persistent, died) = (&b"\0\x01a"[..], &b""[..], true, false);
    for body in [b"1", b"2", b"3"] {
        let parts =
            Parts { exchange_and_key, header, body, persistent, priority: 0, deadline_ms: 0, died, detached: None };
        batch.push(&broker, &route, &parts, None);
    }
    batch.flush(&broker);
    broker.committer().stop();
    std::mem::take(&mut *broker.threads.lock()).into_iter().for_each(|thread| thread.join().unwrap());
    // As a timer or a dead letter's arrival may do.
    assert!(matches!(session.get(&name, true, 1).unwrap().1, Taken::Message(..)));
    broker.stop().unwrap();
    drop((session, batch, route, broker));

    let broker = start();
    let session = broker.open_session("/", user().identity()).unwrap();
    let mut bodies = Vec::new();
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        match session.get(&name, true, 1).unwrap().1 {
            Taken::Message(run, _) => bodies.push(run.chunk.record(run.index).unwrap().body.to_vec()),
            Taken::OnDisk => assert!(std::time::Instant::now() < deadline, "the disk is never read"),
            Taken::Empty => break,
        }
    }
    assert_eq!(bodies, [b"2", b"3"]);
    broker.stop().unwrap();
}

#[test]
fn a_clean_stop_doubles_no_dead_letter() {
    const ROUNDS: u64 = 40;
    const MESSAGES: usize = 300;
    let storage = Arc::new(MemoryStorage::default());
    let mut broker = Broker::start(storage.clone(), options()).unwrap();
    for round in 1..=ROUNDS {
        let session = broker.open_session("/", user().identity()).unwrap();
        declare(&session, "dead");
        let arguments = [("x-message-ttl", Value::I64(1)), ("x-dead-letter-exchange", Value::from(""))];
        let arguments = arguments.into_iter().chain([("x-dead-letter-routing-key", Value::from("dead"))]);
        let (name, arguments) = (Name::new("q"), arguments.collect());
        let spec = QueueSpec { name, durable: true, exclusive: false, auto_delete: false, arguments };
        session.declare_queue(spec).unwrap();
        let route = session.route("", b"q", b"").unwrap();
        let (exchange_and_key, persistent, died) = (&b"\0\x01q"[..], true, false);
        let header = crate::wire::properties::PropertiesBuilder::default().content_header(1);
        let (header, mut batch) = (header.as_slice(), Batch::default());
        for _ in 0..MESSAGES {
            let parts = Parts {
                exchange_and_key,
                header,
                body: b"m",
                persistent,
                priority: 0,
                deadline_ms: 0,
                died,
                detached: None,
            };
            batch.push(&broker, &route, &parts, None);
            if broker.now().is_multiple_of(3) {
                batch.flush(&broker);
            }
        }
        batch.flush(&broker);
        std::thread::sleep(Duration::from_micros(round * 100));
        broker.stop().unwrap();
        drop((session, batch, route, broker));
        broker = Broker::start(storage.clone(), options()).unwrap();
        let session = broker.open_session("/", user().identity()).unwrap();
        let ready = |name: &str| session.check_queue(&Name::new(name).unwrap()).unwrap().messages;
        let deadline = std::time::Instant::now() + PATIENCE;
        let all = MESSAGES as u64 * round;
        while ready("q") > 0 || ready("dead") < all {
            assert!(std::time::Instant::now() < deadline, "{} of {all} have died", ready("dead"));
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(ready("dead"), all, "round {round}");
    }
    broker.stop().unwrap();
}

/// A connection's task that publishes to the queue it consumes from, and says whether the message was on disk when its epoch
/// was done.
struct Answers {
    session: Session,
    storage: Arc<MemoryStorage>,
    on_disk: std::sync::Mutex<Option<bool>>,
}

impl std::task::Wake for Answers {
    fn wake(self: Arc<Self>) {
        let broker = self.session.broker();
        let (route, mut batch) = (self.session.route("", b"a", b"").unwrap(), Batch::default());
        let (exchange_and_key, header, body) = (&b"\0\x01a"[..], &b""[..], &b"the answer"[..]);
        let (persistent, priority, deadline_ms, died) = (true, 0, 0, false);
        let parts = Parts { exchange_and_key, header, body, persistent, priority, deadline_ms, died, detached: None };
        batch.push(broker, &route, &parts, None);
        let epoch = batch.flush(broker).unwrap();
        self.session.wake_at(epoch);
        let deadline = std::time::Instant::now() + PATIENCE;
        while self.session.done_epoch() < epoch {
            assert!(std::time::Instant::now() < deadline, "the epoch is never done");
            std::thread::yield_now();
        }
        let mut on_disk = false;
        let mut visit = |_: &[u8], chunk: &[u8]| {
            on_disk |= chunk.windows(body.len()).any(|bytes| bytes == body);
            true
        };
        self.storage.scan(Family::Chunks, &[0; 17], &[0xff; 17], &mut visit).unwrap();
        *self.on_disk.lock().unwrap() = Some(on_disk);
    }
}

/// Whoever finds a queue listed for the disk relies on it.
#[test]
fn a_message_is_on_disk_when_its_epoch_is_done_whoever_changed_the_queue_before() {
    let storage = Arc::new(MemoryStorage::default());
    let broker = Broker::start(storage.clone(), options()).unwrap();
    let session = broker.open_session("/", user().identity()).unwrap();
    declare(&session, "a");
    let spec =
        ConsumeSpec { channel: 1, no_ack: false, exclusive: false, priority: 0, prefetch: Some(1), shared: None };
    session.consume(&Name::new("a").unwrap(), spec).unwrap();
    let other = broker.open_session("/", user().identity()).unwrap();
    let answers = Arc::new(Answers { session: other, storage, on_disk: std::sync::Mutex::default() });
    let outbox = session.outbox().clone();
    let mut rung = Box::pin(outbox.rung());
    let waker = std::task::Waker::from(answers.clone());
    assert!(rung.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
    assert!(outbox.rest());
    // The consumer's connection is woken while this publish is still at work.
    let (route, mut batch) = (session.route("", b"a", b"").unwrap(), Batch::default());
    let (exchange_and_key, header, body, persistent, died) = (&b"\0\x01a"[..], &b""[..], &b"m"[..], true, false);
    let parts = Parts { exchange_and_key, header, body, persistent, priority: 0, deadline_ms: 0, died, detached: None };
    batch.push(&broker, &route, &parts, None);
    batch.flush(&broker);
    assert_eq!(*answers.on_disk.lock().unwrap(), Some(true));
    drop(rung);
    session.close();
    answers.session.close();
    broker.stop().unwrap();
}

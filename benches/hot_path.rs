//! The hot path in parts: frames in (decode), routes (route), the queue machine (apply), frames out (encode), the disk
//! (commit). `warren perf` measures the whole.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use amq_protocol::frame::parse_frame;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::cell::RefCell;
use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;
use warren::broker::identity::{ConsumerId, QueueId};
use warren::broker::message::{ChunkBuilder, Ledger, Parts, Run};
use warren::broker::queue::{Command, ConsumerSpec, Counts, Effects, Outlet, Queue};
use warren::broker::topology::{Binding, Destination, ExchangeKind, ExchangeSpec, Message, Topology, Way};
use warren::name::Name;
use warren::store::committer::Piece;
use warren::store::rocks::RocksStorage;
use warren::store::{Logging, Storage};
use warren::value::Table;
use warren::wire::frame::{FrameKind, read_frame};
use warren::wire::hot::{read_hot, write_deliver};
use warren::wire::output::{write_content, write_frame};
use warren::wire::properties::{Properties, PropertiesBuilder, read_content_header};

const EXCHANGE_AND_KEY: &[u8] = b"\x00\x05queue";

/// The three frames of a publish.
fn publish(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let payload = [&b"\0\x3C\0\x28\0\0"[..], EXCHANGE_AND_KEY, b"\0"].concat();
    write_frame(&mut out, FrameKind::Method, 1, &payload);
    write_content(&mut out, 1, &content_header(body.len()), body, 131_072);
    out
}

fn content_header(size: usize) -> Vec<u8> {
    PropertiesBuilder { delivery_mode: Some(2), ..Default::default() }.content_header(size as u64)
}

fn decode(criterion: &mut Criterion) {
    let frames = publish(&[7; 16]);
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(1));
    group.bench_function("in place", |bencher| {
        bencher.iter(|| {
            let rest = black_box(&frames[..]);
            let (method, used) = read_frame(rest, 131_072).unwrap().unwrap();
            let hot = read_hot(method.payload).unwrap();
            let (header, used_by_header) = read_frame(&rest[used..], 131_072).unwrap().unwrap();
            let header = read_content_header(header.payload).unwrap();
            let properties = Properties::parse(header.properties).unwrap();
            let (body, _) = read_frame(&rest[used + used_by_header..], 131_072).unwrap().unwrap();
            black_box((hot, header.body_size, properties.delivery_mode(), body.payload));
        });
    });
    group.bench_function("amq-protocol", |bencher| {
        bencher.iter(|| {
            let (rest, method) = parse_frame(black_box(&frames[..])).unwrap();
            let (rest, header) = parse_frame(rest).unwrap();
            let (_, body) = parse_frame(rest).unwrap();
            black_box((method, header, body));
        });
    });
    group.finish();
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// An exchange of `kind` with a queue for each of `keys`.
fn topology(kind: ExchangeKind, keys: &[String]) -> Topology {
    let mut topology = Topology::new(name("/"));
    let spec = ExchangeSpec {
        name: name("x"),
        kind,
        durable: true,
        auto_delete: false,
        internal: false,
        arguments: Table::new(),
    };
    topology.declare_exchange(spec).unwrap();
    for (number, key) in keys.iter().enumerate() {
        let queue = name(&format!("q{number}"));
        assert!(topology.add_queue(queue.clone(), QueueId(number as u64), true));
        let destination = Destination::Queue(queue);
        let binding = Binding { source: name("x"), destination, routing_key: name(key), arguments: Table::new() };
        assert!(topology.bind(binding).unwrap());
    }
    topology
}

fn route(criterion: &mut Criterion) {
    let exact: Vec<String> = (0..1000).map(|number| format!("key.{number}")).collect();
    // Words, one wildcard in three kinds of places, and a few that take all.
    let patterns: Vec<String> = (0..1000)
        .map(|number| match number % 4 {
            0 => format!("eu.{number}.*"),
            1 => format!("*.{number}.order"),
            2 => format!("eu.{number}.#"),
            _ => format!("#.n{number}"),
        })
        .collect();
    let mut group = criterion.benchmark_group("route");
    for (label, kind, keys, key, found) in [
        ("direct/1000 keys", ExchangeKind::Direct, &exact[..], "key.500", 1),
        ("topic/1000 patterns", ExchangeKind::Topic, &patterns[..], "eu.500.order", 1),
        ("fanout/10 queues", ExchangeKind::Fanout, &exact[..10], "", 10),
        ("fanout/1000 queues", ExchangeKind::Fanout, &exact[..], "", 1000),
    ] {
        let topology = topology(kind, keys);
        let mut way = Way::default();
        let exchange = topology.exchange("x").unwrap();
        let keys = [key.as_bytes()];
        topology.route(exchange, &Message { keys: &keys, content: b"", random: &|| 0 }, &mut way);
        assert_eq!(way.queues.len(), found, "{label}");
        group.bench_function(label, |bencher| {
            bencher.iter(|| {
                let exchange = topology.exchange(black_box("x")).unwrap();
                let message = Message { keys: black_box(&keys), content: b"", random: &|| 0 };
                topology.route(exchange, &message, &mut way);
                black_box(&way);
            });
        });
    }
    group.finish();
}

fn parts<'a>(header: &'a [u8], body: &'a [u8], persistent: bool) -> Parts<'a> {
    Parts {
        exchange_and_key: EXCHANGE_AND_KEY,
        header,
        body,
        persistent,
        priority: 0,
        deadline_ms: 0,
        died: false,
        detached: None,
    }
}

/// Keeps what it is given.
#[derive(Clone, Default)]
struct Taken(Rc<RefCell<Vec<Run>>>);

impl Outlet for Taken {
    fn deliver(&self, _: ConsumerId, run: Run) {
        self.0.borrow_mut().push(run);
    }

    fn cancelled(&self, _: ConsumerId) {}

    fn acknowledged(&self, _: u64) {}

    fn same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

/// The life of messages in a queue, `size` bytes each: packed, enqueued by chunks of up to `count`, delivered to one
/// consumer, acknowledged.
fn apply(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("apply");
    for size in [16, 1024] {
        for count in [1, 100, 1000] {
            let (header, body) = (content_header(size), vec![7; size]);
            let parts = parts(&header, &body, false);
            group.throughput(Throughput::Elements(count));
            group.bench_function(BenchmarkId::new(format!("{size} bytes"), count), |bencher| {
                let mut machine = Machine::new(false);
                bencher.iter(|| machine.live(&parts, count));
            });
        }
    }
    group.finish();
}

const CONSUMER: ConsumerId = ConsumerId(1);

struct Machine {
    queue: Queue<Taken>,
    outlet: Taken,
    builder: ChunkBuilder,
    ledger: Arc<Ledger>,
}

impl Machine {
    fn new(durable: bool) -> Machine {
        let outlet = Taken::default();
        let mut queue = Queue::new(durable, false, Arc::default());
        let spec = ConsumerSpec {
            id: CONSUMER,
            outlet: outlet.clone(),
            no_ack: false,
            exclusive: false,
            priority: 0,
            prefetch: None,
            shared: None,
        };
        queue.apply(Command::Consume(spec), 0, &mut Effects::default());
        Machine { queue, outlet, builder: ChunkBuilder::default(), ledger: Arc::default() }
    }

    fn live(&mut self, parts: &Parts<'_>, count: u64) {
        for _ in 0..count {
            if !self.builder.fits(parts) {
                self.enqueue();
            }
            self.builder.push(parts);
        }
        self.enqueue();
        self.settle();
    }

    fn settle(&mut self) {
        // More than once when the messages are larger than a consumer's window.
        while self.queue.counts() != (Counts { consumers: 1, ..Counts::default() }) {
            let runs = std::mem::take(&mut *self.outlet.0.borrow_mut());
            assert!(!runs.is_empty());
            let bytes = runs.iter().map(|run| run.bytes() as u64).sum();
            let spans = runs.iter().map(|run| (run.first(), run.count)).collect();
            self.queue.apply(Command::Settle { spans, consumer: Some(CONSUMER) }, 0, &mut Effects::default());
            self.queue.apply(Command::Credit { consumer: CONSUMER, bytes }, 0, &mut Effects::default());
        }
    }

    fn enqueue(&mut self) {
        let durable = self.builder.persistent();
        let chunk = self.builder.finish(durable, &self.ledger);
        let mut effects = Effects::default();
        self.queue.apply(Command::Enqueue(chunk, 0, None), 0, &mut effects);
        black_box(effects);
    }
}

/// The frames of a run of messages, from the chunk they are in.
fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    for size in [16, 1024] {
        const COUNT: u32 = 100;
        let (header, body) = (content_header(size), vec![7; size]);
        let mut builder = ChunkBuilder::default();
        (0..COUNT).for_each(|_| builder.push(&parts(&header, &body, false)));
        let chunk = builder.finish(false, &Arc::default());
        let mut out = Vec::new();
        group.throughput(Throughput::Elements(COUNT.into()));
        group.bench_function(BenchmarkId::new("deliveries", format!("{size} bytes")), |bencher| {
            bencher.iter(|| {
                out.clear();
                for index in 0..COUNT {
                    let record = black_box(&chunk).record(index).unwrap();
                    write_deliver(&mut out, 1, b"consumer", u64::from(index), false, record.exchange_and_key);
                    write_content(&mut out, 1, record.header, record.body, 131_072);
                }
                black_box(&out);
            });
        });
    }
    group.finish();
}

/// A durable queue's new messages, and the settlements of the last ones, on their way to the disk: collected and written as
/// one batch, to the log only or synced too.
fn commit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("commit");
    group.sample_size(20);
    for (label, logging) in [("logged", Logging::Logged), ("synced", Logging::Synced)] {
        for count in [1, 100, 1000] {
            let directory = tempfile::tempdir().unwrap();
            let storage = RocksStorage::open(directory.path()).unwrap();
            let (header, body) = (content_header(256), vec![7; 256]);
            let parts = parts(&header, &body, true);
            let mut machine = Machine::new(true);
            let mut epoch = 0;
            group.throughput(Throughput::Elements(count));
            group.bench_function(BenchmarkId::new(label, count), |bencher| {
                bencher.iter(|| {
                    for _ in 0..count {
                        if !machine.builder.fits(&parts) {
                            machine.enqueue();
                        }
                        machine.builder.push(&parts);
                    }
                    machine.enqueue();
                    epoch += 1;
                    let (mut room, mut piece) = (usize::MAX, Piece::default());
                    piece.add_queue(QueueId(1), machine.queue.collect(epoch, None, &mut room));
                    let (logged, _) = piece.into_changes();
                    storage.write(&logged, logging).unwrap();
                    machine.settle();
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, decode, route, apply, encode, commit);
criterion_main!(benches);

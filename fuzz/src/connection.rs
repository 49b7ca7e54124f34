//! Bytes and operations into the connection machine, over a real engine on a disk in memory.
//!
//! The first byte chooses between bytes from the very start, a handshake and then bytes, and a handshake and then
//! operations; the second the settings. Two clients share the broker. In the end everything must have been given back,
//! and what the queues say they hold must be there, before or after a restart.

mod client;
mod input;
pub mod operations;
mod replies;

use client::{Client, FRAME_MAX, INITIAL_FRAME_MAX, MESSAGE_MAX};
use input::Input;
use operations::{OPS, Op, QUEUES};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use warren::amqp::{Connection, Peer, Settings};
use warren::auth::{self, Authenticator};
use warren::broker::access::{Permissions, User};
use warren::broker::queue::{QueueKind, Taken};
use warren::clock::Now;
use warren::engine::{Broker, FirstStart, Item, Options, Session};
use warren::name::Name;
use warren::store::committer::SyncPolicy;
use warren::store::memory::MemoryStorage;
use warren::store::{Change, Family, Logging, Storage};
use warren::value::Table;
use warren::wire::frame::FrameKind;
use warren::wire::output::write_frame;

/// Bytes from the very start.
pub const RAW: u8 = 0;
/// A handshake, then bytes.
pub const OPEN_RAW: u8 = 1;
/// A handshake, then operations.
pub const OPERATIONS: u8 = 2;

/// Longest wait for the loader's thread.
const PATIENCE: Duration = Duration::from_secs(20);

/// One machine for all runs: deriving a password's hash is slow on purpose.
static AUTH: LazyLock<Arc<Authenticator>> = LazyLock::new(|| Arc::new(Authenticator::new(&[]).expect("randomness")));
/// Where the clocks of all runs begin.
static START: LazyLock<Now> = LazyLock::new(|| Now { monotonic: Instant::now(), wall_ms: 1_700_000_000_000 });

/// Runs `data` against a new broker.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let (mode, options) = (input.byte() % 4, input.byte());
    let mut world = World::new(options);
    match mode {
        RAW => {
            let piece = input.byte().into();
            world.clients[0].send(input.rest(), piece, world.now);
        }
        OPEN_RAW => {
            let piece = input.byte().into();
            world.log_in(0);
            world.clients[0].send(input.rest(), piece, world.now);
            world.answer_bells();
        }
        OPERATIONS.. => {
            world.log_in(0);
            world.log_in(1);
            while !input.is_empty() {
                world.step(&mut input);
            }
            world.flush();
        }
    }
    world.end();
}

/// A broker, two clients, and the time.
struct World {
    storage: Arc<MemoryStorage>,
    broker: Arc<Broker>,
    settings: Arc<Settings>,
    clients: [Client; 2],
    /// The client that operations are for.
    turn: usize,
    /// Frames that were made and not sent.
    frames: Vec<u8>,
    /// Bytes sent at a time; 0 is all.
    piece: usize,
    frame_max: u32,
    heartbeat: u16,
    restart: bool,
    now: Now,
}

impl World {
    fn new(options: u8) -> World {
        let on = |bit: u8| options & (1 << bit) != 0;
        let storage = Arc::new(MemoryStorage::default());
        // A small budget makes chunks leave memory and come back, and publishers wait.
        let memory_budget = if on(1) { 512 * 1024 } else { 512 * 1024 * 1024 };
        let broker = start(&storage, memory_budget);
        let settings = Arc::new(Settings {
            frame_max: if on(2) { 0 } else { FRAME_MAX },
            initial_frame_max: INITIAL_FRAME_MAX,
            stamps: None,
            channel_max: 3,
            heartbeat: 60,
            max_message_size: MESSAGE_MAX,
            consumer_max_per_channel: 3,
            consumer_timeout: std::time::Duration::from_secs(1800),
            unconfirmed_bytes_max: if on(0) { 256 } else { 16 * 1024 * 1024 },
            held_bytes_max: if on(0) { 256 } else { 16 * 1024 * 1024 },
            handshake_timeout: Duration::from_secs(10),
            product: "Warren".to_owned(),
            version: "0".to_owned(),
        });
        World {
            clients: [connect(&settings, &broker), connect(&settings, &broker)],
            storage,
            broker,
            settings,
            turn: 0,
            frames: Vec::new(),
            piece: 0,
            frame_max: if on(3) { 4096 } else { FRAME_MAX },
            heartbeat: if on(4) { 1 } else { 0 },
            restart: on(5),
            now: *START,
        }
    }

    /// The handshake of a client, up to connection.open.
    fn log_in(&mut self, client: usize) {
        let mut bytes = b"AMQP\0\0\x09\x01".to_vec();
        let capabilities = ["connection.blocked", "consumer_cancel_notify"];
        let capabilities: Table = capabilities.into_iter().map(|name| (name, true)).collect();
        let mut properties = Vec::new();
        [("capabilities", capabilities)].into_iter().collect::<Table>().encode(&mut properties);
        let response = b"\x05PLAIN\0\0\0\x0C\0guest\0guest\x05en_US";
        bytes.extend(method(0, b"\0\x0A\0\x0B", &[&properties, response]));
        let (frame_max, heartbeat) = (self.frame_max.to_be_bytes(), self.heartbeat.to_be_bytes());
        bytes.extend(method(0, b"\0\x0A\0\x1F", &[b"\0\x03", &frame_max, &heartbeat]));
        bytes.extend(method(0, b"\0\x0A\0\x28", &[b"\x01/\0\0"]));
        bytes.extend(method(1, b"\0\x14\0\x0A", &[b"\0"]));
        let client = &mut self.clients[client];
        client.send(&bytes, 0, self.now);
        assert!(client.replies.opened, "the handshake works");
        client.replies.body_max = Some(self.frame_max as usize - 8);
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let op = OPS[usize::from(input.byte()) % OPS.len()];
        let (turn, now) = (self.turn, self.now);
        match op {
            Op::Flush => self.flush(),
            Op::Pieces => self.piece = input.byte().into(),
            Op::Switch => {
                self.flush();
                self.turn = 1 - turn;
            }
            Op::Deaf => self.clients[turn].reads = input.byte().is_multiple_of(2),
            Op::Read => self.clients[turn].read(usize::from(input.byte()) * 64, now),
            Op::Wake => self.clients[turn].wake(now),
            Op::Bell => self.answer_bells(),
            Op::Tick => {
                self.now = now.after(Duration::from_millis(u64::from(input.byte()) * 50));
                self.clients[turn].tick(self.now);
            }
            Op::Reconnect => self.reconnect(),
            Op::DiskLow => self.broker.set_disk_low(input.byte() % 2 == 1),
            Op::ShutDown => {
                // Rare: nothing can follow it.
                if input.byte() == 0xD0 {
                    self.flush();
                    self.clients[turn].shut_down(now);
                }
            }
            frames => operations::write(frames, input, &mut self.frames, self.frame_max),
        }
    }

    /// Sends the frames that were made, and gives the threads of the broker a chance to answer.
    fn flush(&mut self) {
        let frames = std::mem::take(&mut self.frames);
        self.clients[self.turn].send(&frames, self.piece, self.now);
        self.answer_bells();
    }

    fn answer_bells(&mut self) {
        while self.clients.iter_mut().any(|client| client.answer_bell(self.now)) {}
    }

    /// The socket of a client breaks, and it comes again.
    fn reconnect(&mut self) {
        self.frames.clear();
        let client = &mut self.clients[self.turn];
        client.disconnect();
        client.after_the_end(self.now);
        *client = connect(&self.settings, &self.broker);
        self.log_in(self.turn);
    }

    fn end(mut self) {
        self.broker.set_disk_low(false);
        let probe = self.broker.open_session("/", guest().identity()).expect("the virtual host");
        for client in &mut self.clients {
            client.close(self.now, &probe);
        }
        probe.close();
        for client in &mut self.clients {
            client.disconnect();
            assert!(client.is_finished() && client.outbox().is_none());
            client.after_the_end(self.now);
        }
        let broker = if self.restart {
            self.broker.stop().expect("a clean stop");
            // As a disk that is opened again: what was written without a log is not kept.
            let transient = Change::DeleteRange(Family::Transient, Vec::new(), vec![0xFF; 32]);
            self.storage.write(&[transient], Logging::Logged).expect("a working disk");
            start(&self.storage, 512 * 1024 * 1024)
        } else {
            self.broker.clone()
        };
        check_queues(&broker);
        broker.stop().expect("a clean stop");
    }
}

fn guest() -> User {
    auth::user("guest", "guest", &[]).expect("a user")
}

fn start(storage: &Arc<MemoryStorage>, memory_budget: u64) -> Arc<Broker> {
    let clock = Arc::new(warren::clock::SystemClock);
    let (vhost, permissions) = (Name::new("/").expect("a short name"), Permissions::all());
    let first_start = Some(FirstStart { vhost, user: guest().into(), permissions });
    let (sync, connection_max, default_queue_type) = (SyncPolicy::Always, None, QueueKind::Classic);
    let options = Options {
        memory_budget,
        held_publishes: 1024 * 1024,
        cluster_name: "warren".to_owned(),
        node_name: "warren".to_owned(),
        event_vhost: Name::new("/").expect("a short name"),
        sync,
        clock,
        connection_max,
        default_queue_type,
        limits: Default::default(),
        first_start,
    };
    Broker::start(storage.clone(), options).expect("what was stored is readable")
}

fn connect(settings: &Arc<Settings>, broker: &Arc<Broker>) -> Client {
    let peer = Peer {
        address: "127.0.0.1:50000".to_owned(),
        local: "127.0.0.1:5672".to_owned(),
        loopback: true,
        certificate_name: None,
        tls: None,
    };
    Client::new(Connection::new(settings.clone(), broker.clone(), AUTH.clone(), peer, *START))
}

/// All clients have gone: no queue has a consumer or an owner, and each has as many messages as it says.
fn check_queues(broker: &Arc<Broker>) {
    let session = broker.open_session("/", guest().identity()).expect("the virtual host");
    for name in QUEUES.iter().map(|name| name.replace('\n', "")).filter(|name| !name.is_empty()) {
        let name = Name::new(&name).expect("a short name");
        let queue = match session.check_queue(&name) {
            Ok(queue) => queue,
            Err(refusal) => {
                assert!(refusal.to_string().starts_with("no queue"), "{refusal}");
                continue;
            }
        };
        assert_eq!(queue.consumers, 0, "consumers of {name} are left");
        let mut ready = queue.messages;
        while let Taken::Message(run, left) = take(&session, &name) {
            assert!(run.chunk.record(run.index).is_some(), "the first of {ready} messages of {name} is readable");
            // One that has expired counts until it is at the head.
            assert!(left < ready, "{left} messages of {name} behind the first of {ready}");
            ready = left;
        }
        let left = session.check_queue(&name).expect("the queue").messages;
        assert_eq!(left, 0, "messages of {name} that nobody gets");
    }
    session.close();
}

/// Takes a message, waiting for the disk if it is there.
fn take(session: &Session, name: &Name) -> Taken {
    let began = Instant::now();
    loop {
        match session.get(name, true, 1).expect("the queue").1 {
            Taken::OnDisk => {}
            taken => return taken,
        }
        let mut items: Vec<Item> = Vec::new();
        while items.is_empty() {
            assert!(began.elapsed() < PATIENCE, "messages of {name} do not come from disk");
            std::thread::sleep(Duration::from_micros(20));
            session.outbox().take(&mut items);
        }
    }
}

fn method(channel: u16, id: &[u8; 4], fields: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    write_frame(&mut out, FrameKind::Method, channel, &[&id[..], &fields.concat()].concat());
    out
}

//! Where the tests play: the broker they share, names of their own, and how a refusal must look.

use crate::support::*;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The channel that most tests use.
pub const CH: u16 = 1;

pub const CONNECTION_TUNE_OK: (u16, u16) = (10, 31);
pub const CONNECTION_OPEN: (u16, u16) = (10, 40);
pub const CHANNEL_OPEN: (u16, u16) = (20, 10);
pub const CHANNEL_FLOW: (u16, u16) = (20, 20);
pub const EXCHANGE_DECLARE: (u16, u16) = (40, 10);
pub const EXCHANGE_DELETE: (u16, u16) = (40, 20);
pub const EXCHANGE_BIND: (u16, u16) = (40, 30);
pub const EXCHANGE_UNBIND: (u16, u16) = (40, 40);
pub const QUEUE_DECLARE: (u16, u16) = (50, 10);
pub const QUEUE_BIND: (u16, u16) = (50, 20);
pub const QUEUE_PURGE: (u16, u16) = (50, 30);
pub const QUEUE_DELETE: (u16, u16) = (50, 40);
pub const QUEUE_UNBIND: (u16, u16) = (50, 50);
pub const BASIC_QOS: (u16, u16) = (60, 10);
pub const BASIC_CONSUME: (u16, u16) = (60, 20);
pub const BASIC_PUBLISH: (u16, u16) = (60, 40);
pub const BASIC_GET: (u16, u16) = (60, 70);
pub const BASIC_ACK: (u16, u16) = (60, 80);
pub const BASIC_REJECT: (u16, u16) = (60, 90);
pub const BASIC_RECOVER: (u16, u16) = (60, 110);
pub const BASIC_NACK: (u16, u16) = (60, 120);
pub const NO_METHOD: (u16, u16) = (0, 0);

/// The broker that all tests share, and the shell that ends it with this process.
struct Shared {
    broker: Broker,
    _reaper: Child,
}

/// Where the shared broker listens.
pub fn addr() -> SocketAddr {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    static GIVEN: OnceLock<Option<SocketAddr>> = OnceLock::new();
    let given = GIVEN.get_or_init(|| {
        let address = std::env::var("WARREN_TEST_ADDR").ok()?;
        Some(address.parse().unwrap_or_else(|_| panic!("WARREN_TEST_ADDR={address} is not IP:PORT")))
    });
    given.unwrap_or_else(|| SHARED.get_or_init(start_shared).broker.addr)
}

/// A static is never dropped, so a shell waits for the end of this process (its standard input closes then), ends the
/// broker and removes its data.
fn start_shared() -> Shared {
    let dir = tempfile::tempdir().expect("a temporary directory").keep();
    let broker = Broker::start(&dir, &[]);
    let reaper = Command::new("sh")
        .args(["-c", "read -r _; kill -9 \"$1\"; rm -rf \"$2\"", "reaper", &broker.pid().to_string()])
        .arg(&dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell");
    Shared { broker, _reaper: reaper }
}

/// A broker for one test, with a configuration file of these lines.
pub fn broker_with(dir: &Path, config: &str) -> Broker {
    let file = dir.join("warren.toml");
    std::fs::write(&file, config).expect("a writable directory");
    Broker::start(&dir.join("data"), &["--config", file.to_str().expect("a UTF-8 path")])
}

/// A connection with channel 1 open.
pub fn open() -> Client {
    open_at(addr())
}

pub fn open_at(addr: SocketAddr) -> Client {
    open_with(addr, &Options::default())
}

pub fn open_with(addr: SocketAddr, options: &Options) -> Client {
    let mut client = Client::open(addr, options).expect("a connection");
    client.open_channel(CH).expect("a channel");
    client
}

/// A client that does not understand what the capability is about.
pub fn without_capability(name: &str) -> Options {
    let mut options = Options::default();
    let mut capabilities = FieldTable::default();
    if let Some(AMQPValue::FieldTable(all)) = options.properties.inner().get("capabilities") {
        all.inner().iter().filter(|(key, _)| key.as_str() != name).for_each(|(key, value)| {
            capabilities.insert(key.clone(), value.clone());
        });
    }
    options.properties.insert("capabilities".into(), AMQPValue::FieldTable(capabilities));
    options
}

/// A name that no other test and no other run has.
pub fn unique(what: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    static RUN: OnceLock<u64> = OnceLock::new();
    let run = RUN.get_or_init(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
        now.as_secs() * 1_000_000 + u64::from(std::process::id())
    });
    format!("{what}-{run:x}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A queue of this test, transient.
pub fn queue(client: &mut Client) -> String {
    let name = unique("q");
    client.declare_queue(CH, &name, false).expect("a queue");
    name
}

/// A queue with these messages in it.
pub fn queue_of(client: &mut Client, bodies: &[&str]) -> String {
    let name = queue(client);
    bodies.iter().for_each(|body| publish(client, &name, body));
    name
}

/// An exchange of this test, transient.
pub fn exchange(client: &mut Client, kind: &str) -> String {
    let name = unique("x");
    let declare = exchange::Declare { exchange: name.as_str().into(), kind: kind.into(), ..Default::default() };
    client.declare_exchange(CH, declare).expect("an exchange");
    name
}

/// Publishes to a queue by its name.
pub fn publish(client: &mut Client, queue: &str, body: &str) {
    publish_to(client, "", queue, body);
}

pub fn publish_to(client: &mut Client, exchange: &str, key: &str, body: &str) {
    client.publish(CH, exchange, key, &BasicProperties::default(), body.as_bytes()).expect("a publish");
}

/// Takes all messages of a queue, acknowledged.
pub fn drain(client: &mut Client, queue: &str) -> Vec<String> {
    drain_marked(client, queue).into_iter().map(|(body, _)| body).collect()
}

/// Takes all messages of a queue, acknowledged, with their redelivered flags.
pub fn drain_marked(client: &mut Client, queue: &str) -> Vec<(String, bool)> {
    std::iter::from_fn(|| client.get(CH, queue, true).expect("a reply to get"))
        .map(|got| (got.text(), got.redelivered))
        .collect()
}

/// Gets one message that has to be acknowledged.
pub fn take(client: &mut Client, queue: &str) -> Delivery {
    client.get(CH, queue, false).expect("a reply to get").expect("a message")
}

/// Ready messages and consumers of a queue.
pub fn counts(client: &mut Client, queue: &str) -> (u32, u32) {
    let ok = client.declare_passive(CH, queue).expect("the queue exists");
    (ok.message_count, ok.consumer_count)
}

/// What the broker does not tell: asks until it is so.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("not within ten seconds: {what}");
}

pub fn method_of(event: Event) -> AMQPClass {
    event.method().unwrap_or_else(|| panic!("expected a method, got {event:?}")).clone()
}

/// What is done on channel 1 closes the channel with this code, text and method. The connection goes on: the channel
/// is opened again.
#[track_caller]
pub fn channel_refuses<T: Debug>(
    client: &mut Client,
    act: impl FnOnce(&mut Client) -> Result<T, Error>,
    (code, text): (u16, &str),
    method: (u16, u16),
) {
    let closed = close_after(client, act);
    assert_eq!(closed, closed_as(Scope::Channel, CH, code, text, method));
    client.open_channel(CH).expect("the connection lives, the number is free");
}

/// What is done closes the connection with this code, text and method, and then the socket.
#[track_caller]
pub fn connection_refuses<T: Debug>(
    client: &mut Client,
    act: impl FnOnce(&mut Client) -> Result<T, Error>,
    (code, text): (u16, &str),
    method: (u16, u16),
) {
    let closed = close_after(client, act);
    assert_eq!(closed, closed_as(Scope::Connection, 0, code, text, method));
    gone(client);
}

/// The broker closes the socket without another word.
#[track_caller]
pub fn gone(client: &mut Client) {
    assert_eq!(client.recv(), Ok(Event::Gone));
}

/// Publishes, acks and raw frames have no reply: their refusal comes by itself.
#[track_caller]
fn close_after<T: Debug>(client: &mut Client, act: impl FnOnce(&mut Client) -> Result<T, Error>) -> Closed {
    match act(client) {
        Err(error) => error.closed(),
        Ok(value) => client.closed(CH).unwrap_or_else(|error| panic!("not refused: {value:?}, {error:?}")),
    }
}

fn closed_as(scope: Scope, channel: u16, code: u16, text: &str, (class, method): (u16, u16)) -> Closed {
    Closed { scope, channel, code, text: text.to_owned(), class, method }
}

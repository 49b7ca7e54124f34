//! Conversations with the connection machine, over a real engine and a disk in memory. Time is the test's own; only the
//! committer's thread is waited for.

mod access;
mod alarms;
mod allocations;
mod channels;
mod consuming;
mod dead_letters;
mod definitions;
mod delayed;
mod ending;
mod events;
mod firehose;
mod fuzz;
mod handshake;
mod logins;
mod policies;
mod publishing;
mod timeouts;
mod transactions;

use super::{Connection, Peer, Settings};
use crate::auth::{self, Anonymous, Authenticator, Denied};
use crate::broker::access::Identity;
use crate::broker::queue::QueueKind;
use crate::clock::{Clock, Now};
use crate::engine::{Broker, FirstStart, Options};
use crate::name::Name;
use crate::store::committer::SyncPolicy;
use crate::store::memory::{Fault, MemoryStorage};
use crate::value::Table;
use crate::wire::frame::{FrameKind, PROTOCOL_HEADER, read_frame};
use crate::wire::method::{read_method, table_to_amq, write_method};
use crate::wire::output::{write_content, write_frame};
use crate::wire::properties::PropertiesBuilder;
use amq_protocol::protocol::{AMQPClass, basic, channel, confirm, connection, exchange, queue};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A broker on a disk in memory.
pub struct Node {
    pub broker: Arc<Broker>,
    pub storage: Arc<MemoryStorage>,
    pub settings: Settings,
    /// Whom the certificates of new clients name.
    pub certificate_name: Option<String>,
}

pub fn node() -> Node {
    node_with(256 << 20)
}

/// guest, for who does not say who it is.
fn anonymous() -> Anonymous {
    Anonymous { user: Name::new("guest").unwrap(), password: "guest".into() }
}

/// guest with everything on "/".
pub fn first_start() -> FirstStart {
    FirstStart {
        vhost: Name::new("/").unwrap(),
        user: auth::user("guest", "guest", &["administrator"]).unwrap().into(),
        permissions: crate::broker::access::Permissions::all(),
    }
}

/// The options of a broker that may hold this many bytes of messages in memory.
pub fn options(memory_budget: u64) -> Options {
    Options {
        memory_budget,
        held_publishes: 64 << 20,
        cluster_name: "warren".to_owned(),
        node_name: "warren".to_owned(),
        event_vhost: Name::new("/").unwrap(),
        sync: SyncPolicy::Always,
        clock: Arc::new(crate::clock::SystemClock),
        connection_max: None,
        default_queue_type: QueueKind::Classic,
        limits: Default::default(),
        first_start: Some(first_start()),
    }
}

/// A broker that may hold this many bytes of messages in memory.
pub fn node_with(memory_budget: u64) -> Node {
    node_of(memory_budget, 64 << 20)
}

/// The same, and its connections this many bytes of publishes during an alarm.
pub fn node_of(memory_budget: u64, held_publishes: u64) -> Node {
    node_on(Arc::new(MemoryStorage::default()), Options { held_publishes, ..options(memory_budget) })
}

/// A broker on a disk that may have been another's.
pub fn node_on(storage: Arc<MemoryStorage>, options: Options) -> Node {
    let settings = Settings {
        frame_max: 131_072,
        initial_frame_max: 8192,
        stamps: None,
        channel_max: 2047,
        heartbeat: 60,
        max_message_size: 1 << 20,
        consumer_max_per_channel: 0,
        consumer_timeout: Duration::from_secs(1800),
        unconfirmed_bytes_max: 32 << 20,
        held_bytes_max: 16 << 20,
        handshake_timeout: Duration::from_secs(10),
        product: "Warren".into(),
        version: "0.1.0".into(),
    };
    Node { broker: Broker::start(storage.clone(), options).unwrap(), storage, settings, certificate_name: None }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.broker.stop();
    }
}

impl Node {
    /// A client whose socket was just accepted.
    pub fn accept(&self) -> Client {
        self.accept_from(true)
    }

    pub fn accept_from(&self, loopback: bool) -> Client {
        let auth =
            Arc::new(Authenticator::new(&[Name::new("guest").unwrap()]).unwrap().with_anonymous(Some(anonymous())));
        let peer = Peer {
            address: "127.0.0.1:50000".into(),
            local: "127.0.0.1:5672".into(),
            loopback,
            certificate_name: self.certificate_name.clone(),
            tls: None,
        };
        let now = Now::read();
        let connection = Connection::new(Arc::new(self.settings.clone()), self.broker.clone(), auth, peer, now);
        Client { connection, now, unsent: Vec::new(), verdicts: Vec::new() }
    }

    /// An open connection.
    pub fn open(&self) -> Client {
        self.open_with(&[])
    }

    /// An open connection whose client has these capabilities.
    pub fn open_with(&self, capabilities: &[&'static str]) -> Client {
        let mut client = self.accept();
        client.send(PROTOCOL_HEADER);
        assert!(matches!(client.connection_method(), connection::AMQPMethod::Start(_)));
        client.start_ok("PLAIN", b"\0guest\0guest", capabilities);
        let connection::AMQPMethod::Tune(tune) = client.connection_method() else { panic!("no tune") };
        client.tune_ok(tune.channel_max, tune.frame_max, 60);
        client.open_vhost("/");
        assert!(matches!(client.connection_method(), connection::AMQPMethod::OpenOk(_)));
        client
    }

    /// An open connection of a user, with channel 1.
    pub fn channel_of(&self, user: &str, vhost: &str) -> Client {
        let mut client = self.logged_in(user);
        client.open_vhost(vhost);
        assert!(matches!(client.connection_method(), connection::AMQPMethod::OpenOk(_)));
        client.open_channel(1);
        client
    }

    /// A connection of a user whose password is its name, before connection.open.
    pub fn logged_in(&self, user: &str) -> Client {
        let mut client = self.accept();
        client.send(PROTOCOL_HEADER);
        assert!(matches!(client.connection_method(), connection::AMQPMethod::Start(_)));
        let response = format!("\0{user}\0{user}");
        client.start_ok("PLAIN", response.as_bytes(), &["consumer_cancel_notify", "authentication_failure_close"]);
        let connection::AMQPMethod::Tune(tune) = client.connection_method() else { panic!("no tune") };
        client.tune_ok(tune.channel_max, tune.frame_max, 60);
        client
    }

    /// An open connection with channel 1.
    pub fn channel(&self) -> Client {
        let mut client = self.open();
        client.open_channel(1);
        client
    }
}

/// A frame as the client sees it.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    Method(u16, AMQPClass),
    Header(u16, Vec<u8>),
    Body(u16, Vec<u8>),
    Heartbeat,
}

/// A delivery: tag, redelivered, body.
pub type Delivery = (u64, bool, Vec<u8>);

/// A scripted client.
pub struct Client {
    pub connection: Connection,
    pub now: Now,
    /// What the connection has left unused.
    pub unsent: Vec<u8>,
    /// How logins are decided, the last one first; the authenticator decides about others.
    pub verdicts: Vec<Result<Identity, Denied>>,
}

impl Client {
    pub fn send(&mut self, bytes: &[u8]) {
        self.unsent.extend_from_slice(bytes);
        self.offer();
    }

    pub fn offer(&mut self) {
        let used = self.connection.on_bytes(&self.unsent, self.now);
        self.unsent.drain(..used);
        if let Some(request) = self.connection.take_question() {
            let verdict = self.verdicts.pop().unwrap_or_else(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                runtime.block_on(self.connection.authenticator().clone().judge(request))
            });
            self.connection.on_verdict(verdict, self.now);
            self.offer();
        }
    }

    pub fn method(&mut self, channel: u16, method: AMQPClass) {
        let mut bytes = Vec::new();
        write_method(&mut bytes, channel, &method);
        self.send(&bytes);
    }

    pub fn pass(&mut self, time: Duration) {
        self.now = self.now.after(time);
        while self.connection.deadline().is_some_and(|deadline| deadline <= self.now.monotonic) {
            self.connection.on_deadline(self.now);
        }
    }

    /// Everything that was written.
    pub fn read(&mut self) -> Vec<Seen> {
        let mut seen = Vec::new();
        loop {
            let output = self.connection.output().to_vec();
            let mut used = 0;
            while let Some((frame, length)) = read_frame(&output[used..], 0).unwrap() {
                used += length;
                let (channel, payload) = (frame.channel, frame.payload.to_vec());
                seen.push(match frame.kind {
                    FrameKind::Method => Seen::Method(channel, read_method(&payload).unwrap()),
                    FrameKind::Header => Seen::Header(channel, payload),
                    FrameKind::Body => Seen::Body(channel, payload),
                    FrameKind::Heartbeat => Seen::Heartbeat,
                });
            }
            if used == 0 {
                return seen;
            }
            self.connection.written(used, self.now);
        }
    }

    /// Wakes the connection until `done` says of what was written so far that it is enough.
    pub fn read_until(&mut self, done: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
        let (mut seen, begun) = (self.read(), Instant::now());
        while !done(&seen) {
            assert!(begun.elapsed() < Duration::from_secs(10), "waited in vain; so far: {seen:?}");
            std::thread::sleep(Duration::from_millis(1));
            self.connection.on_wake(self.now);
            if !self.unsent.is_empty() && self.connection.wants_read() {
                self.offer();
            }
            seen.extend(self.read());
        }
        seen
    }

    /// The next frames: exactly one method.
    pub fn only(&mut self) -> (u16, AMQPClass) {
        let seen = self.read_until(|seen| !seen.is_empty());
        match <[Seen; 1]>::try_from(seen) {
            Ok([Seen::Method(channel, method)]) => (channel, method),
            other => panic!("not one method: {other:?}"),
        }
    }

    pub fn connection_method(&mut self) -> connection::AMQPMethod {
        match self.only() {
            (0, AMQPClass::Connection(method)) => method,
            other => panic!("not a method of the connection: {other:?}"),
        }
    }

    pub fn nothing(&mut self) {
        self.connection.on_wake(self.now);
        assert_eq!(self.read(), vec![]);
    }

    /// Expects channel.close: code and text. Answers it.
    pub fn channel_closed(&mut self, number: u16) -> (u16, String) {
        let (channel, AMQPClass::Channel(channel::AMQPMethod::Close(close))) = self.only() else { panic!("no close") };
        assert_eq!(channel, number);
        self.method(number, AMQPClass::Channel(channel::AMQPMethod::CloseOk(channel::CloseOk {})));
        (close.reply_code, close.reply_text.as_str().to_owned())
    }

    /// Expects connection.close: code, text, class, method. Answers it.
    pub fn closed(&mut self) -> (u16, String, u16, u16) {
        let connection::AMQPMethod::Close(close) = self.connection_method() else { panic!("no close") };
        assert!(!self.connection.is_finished());
        self.method(0, AMQPClass::Connection(connection::AMQPMethod::CloseOk(connection::CloseOk {})));
        assert!(self.connection.is_finished() || !self.connection.wants_read() || self.connection.deadline().is_some());
        (close.reply_code, close.reply_text.as_str().to_owned(), close.class_id, close.method_id)
    }

    pub fn start_ok(&mut self, mechanism: &str, response: &[u8], capabilities: &[&'static str]) {
        let mut properties = Table::new();
        let capabilities: Table = capabilities.iter().map(|name| (*name, true)).collect();
        properties.insert("capabilities", capabilities);
        properties.insert("connection_name", "test");
        self.method(
            0,
            AMQPClass::Connection(connection::AMQPMethod::StartOk(connection::StartOk {
                client_properties: table_to_amq(&properties).unwrap(),
                mechanism: mechanism.into(),
                response: response.into(),
                locale: "en_US".into(),
            })),
        );
    }

    pub fn tune_ok(&mut self, channel_max: u16, frame_max: u32, heartbeat: u16) {
        let ok = connection::TuneOk { channel_max, frame_max, heartbeat };
        self.method(0, AMQPClass::Connection(connection::AMQPMethod::TuneOk(ok)));
    }

    pub fn open_vhost(&mut self, name: &str) {
        let open = connection::Open { virtual_host: name.into() };
        self.method(0, AMQPClass::Connection(connection::AMQPMethod::Open(open)));
    }

    pub fn open_channel(&mut self, number: u16) {
        self.method(number, AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {})));
        let opened = AMQPClass::Channel(channel::AMQPMethod::OpenOk(channel::OpenOk {}));
        assert_eq!(self.only(), (number, opened));
    }

    pub fn declare(&mut self, number: u16, declare: queue::Declare) -> queue::DeclareOk {
        self.method(number, AMQPClass::Queue(queue::AMQPMethod::Declare(declare)));
        match self.only() {
            (_, AMQPClass::Queue(queue::AMQPMethod::DeclareOk(ok))) => ok,
            other => panic!("not declared: {other:?}"),
        }
    }

    /// Declares a queue on channel 1.
    pub fn queue(&mut self, name: &str, durable: bool) {
        self.declare(1, queue::Declare { queue: name.into(), durable, ..Default::default() });
    }

    pub fn bind(&mut self, queue: &str, exchange: &str, key: &str) {
        let bind = queue::Bind {
            queue: queue.into(),
            exchange: exchange.into(),
            routing_key: key.into(),
            ..Default::default()
        };
        self.method(1, AMQPClass::Queue(queue::AMQPMethod::Bind(bind)));
        assert_eq!(self.only(), (1, AMQPClass::Queue(queue::AMQPMethod::BindOk(queue::BindOk {}))));
    }

    pub fn confirms(&mut self) {
        let select = confirm::AMQPMethod::Select(confirm::Select { nowait: false });
        self.method(1, AMQPClass::Confirm(select));
        assert!(matches!(self.only(), (1, AMQPClass::Confirm(confirm::AMQPMethod::SelectOk(_)))));
    }

    /// Publishes a transient message on channel 1.
    pub fn publish(&mut self, exchange: &str, key: &str, body: &[u8]) {
        self.send(&message(1, exchange, key, false, &PropertiesBuilder::default(), body));
    }

    /// Publishes a persistent message on channel 1.
    pub fn persist(&mut self, exchange: &str, key: &str, body: &[u8]) {
        let properties = PropertiesBuilder { delivery_mode: Some(2), ..Default::default() };
        self.send(&message(1, exchange, key, false, &properties, body));
    }

    pub fn consume(&mut self, queue: &str, tag: &str, no_ack: bool) {
        let consume = basic::Consume {
            queue: queue.into(),
            consumer_tag: tag.into(),
            no_ack,
            nowait: true,
            ..Default::default()
        };
        self.method(1, AMQPClass::Basic(basic::AMQPMethod::Consume(consume)));
    }

    pub fn qos(&mut self, prefetch_count: u16, global: bool) {
        let qos = basic::Qos { prefetch_count, global };
        self.method(1, AMQPClass::Basic(basic::AMQPMethod::Qos(qos)));
        assert!(matches!(self.only(), (1, AMQPClass::Basic(basic::AMQPMethod::QosOk(_)))));
    }

    pub fn ack(&mut self, delivery_tag: u64, multiple: bool) {
        let ack = basic::Ack { delivery_tag, multiple };
        self.method(1, AMQPClass::Basic(basic::AMQPMethod::Ack(ack)));
    }

    pub fn nack(&mut self, delivery_tag: u64, multiple: bool, requeue: bool) {
        let nack = basic::Nack { delivery_tag, multiple, requeue };
        self.method(1, AMQPClass::Basic(basic::AMQPMethod::Nack(nack)));
    }

    pub fn get(&mut self, queue: &str, no_ack: bool) {
        let get = basic::Get { queue: queue.into(), no_ack };
        self.method(1, AMQPClass::Basic(basic::AMQPMethod::Get(get)));
    }

    /// The deliveries that were written, and nothing else.
    pub fn deliveries(&mut self) -> Vec<Delivery> {
        deliveries(&self.read())
    }

    /// Waits for a number of deliveries.
    pub fn delivered(&mut self, count: usize) -> Vec<Delivery> {
        let found = deliveries(&self.read_until(|seen| deliveries(seen).len() >= count));
        assert_eq!(found.len(), count);
        found
    }

    /// Ready messages of a queue.
    pub fn ready(&mut self, queue: &str) -> u32 {
        self.declare(1, queue::Declare { queue: queue.into(), passive: true, ..Default::default() }).message_count
    }
}

/// The bytes of a publish.
pub fn message(
    channel: u16,
    exchange: &str,
    key: &str,
    mandatory: bool,
    properties: &PropertiesBuilder<'_>,
    body: &[u8],
) -> Vec<u8> {
    let mut bytes = publish_method(channel, exchange, key, mandatory, false);
    write_content(&mut bytes, channel, &properties.content_header(body.len() as u64), body, 4096);
    bytes
}

/// The method frame of a publish.
pub fn publish_method(channel: u16, exchange: &str, key: &str, mandatory: bool, immediate: bool) -> Vec<u8> {
    let mut payload = vec![0, 60, 0, 40, 0, 0];
    for name in [exchange, key] {
        payload.push(name.len() as u8);
        payload.extend_from_slice(name.as_bytes());
    }
    payload.push(u8::from(mandatory) | u8::from(immediate) << 1);
    let mut bytes = Vec::new();
    write_frame(&mut bytes, FrameKind::Method, channel, &payload);
    bytes
}

/// The deliveries among frames.
pub fn deliveries(seen: &[Seen]) -> Vec<Delivery> {
    let mut found: Vec<Delivery> = Vec::new();
    for frame in seen {
        match frame {
            Seen::Method(_, AMQPClass::Basic(basic::AMQPMethod::Deliver(deliver))) => {
                found.push((deliver.delivery_tag, deliver.redelivered, Vec::new()));
            }
            Seen::Body(_, payload) => {
                if let Some((_, _, body)) = found.last_mut() {
                    body.extend_from_slice(payload);
                }
            }
            _ => {}
        }
    }
    found
}

/// The confirms among frames: tag and multiple.
pub fn acks(seen: &[Seen]) -> Vec<(u64, bool)> {
    let ack = |frame: &Seen| match frame {
        Seen::Method(_, AMQPClass::Basic(basic::AMQPMethod::Ack(ack))) => Some((ack.delivery_tag, ack.multiple)),
        _ => None,
    };
    seen.iter().filter_map(ack).collect()
}

/// The declaration of an exchange.
pub fn exchange(name: &str, kind: &str) -> AMQPClass {
    let declare = exchange::Declare { exchange: name.into(), kind: kind.into(), durable: true, ..Default::default() };
    AMQPClass::Exchange(exchange::AMQPMethod::Declare(declare))
}

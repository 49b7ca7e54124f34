//! Who is connected, for whoever lists it: connections, and what each has done; their channels are in [`super::channels`]. A
//! connection's own task writes the numbers; listings read them without asking it anything.

use super::broker::Broker;
use super::channels::ChannelRecord;
use super::letters::LetterCounts;
use super::samples::Carried;
use super::sessions::VhostTotals;
use crate::broker::count::{Batches, Count, Publishes, Totals};
use crate::broker::identity::ConnectionId;
use crate::name::Name;
use crate::store::figures::{Commits, IoTotals};
use crate::value::Table;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// What a connection is, as it was opened.
#[derive(Clone, Debug, Default)]
pub struct ConnectionInfo {
    /// `peer -> local`.
    pub name: String,
    /// The name that the client gave itself.
    pub user_provided_name: Option<String>,
    /// The client's address.
    pub peer_host: String,
    /// The client's port.
    pub peer_port: u16,
    /// Our address that it connected to.
    pub host: String,
    /// Our port.
    pub port: u16,
    /// How it is encrypted; None: it is not.
    pub tls: Option<TlsInfo>,
    /// How the client said who it is.
    pub mechanism: String,
    /// Largest frame, in bytes; 0 = unlimited.
    pub frame_max: u32,
    /// Channels at a time; 0 = no limit.
    pub channel_max: u16,
    /// Heartbeat interval, in seconds; 0 = none.
    pub timeout: u64,
    /// What the client said of itself.
    pub client_properties: Table,
    /// When it was opened, wall clock ms.
    pub connected_at: u64,
}

/// How a connection is encrypted.
#[derive(Clone, Debug, Default)]
pub struct TlsInfo {
    /// The protocol's version.
    pub protocol: String,
    /// How keys were agreed on.
    pub key_exchange: String,
    /// The cipher.
    pub cipher: String,
    /// The hash.
    pub hash: String,
    /// Subject, issuer and validity of the client's certificate, if it has shown one.
    pub certificate: Option<[String; 3]>,
}

/// Bytes and reads of a socket. Its task alone writes them.
#[derive(Debug, Default)]
pub struct Traffic {
    received: AtomicU64,
    received_count: AtomicU64,
    sent: AtomicU64,
    sent_count: AtomicU64,
    pending: AtomicU64,
}

/// [`Traffic`] at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrafficTotals {
    /// Bytes received.
    pub recv_oct: u64,
    /// Times that bytes were received.
    pub recv_cnt: u64,
    /// Bytes sent.
    pub send_oct: u64,
    /// Times that bytes were sent.
    pub send_cnt: u64,
    /// Bytes that wait for the socket.
    pub send_pend: u64,
}

impl AddAssign for TrafficTotals {
    fn add_assign(&mut self, other: TrafficTotals) {
        self.recv_oct += other.recv_oct;
        self.recv_cnt += other.recv_cnt;
        self.send_oct += other.send_oct;
        self.send_cnt += other.send_cnt;
        self.send_pend += other.send_pend;
    }
}

fn grow(number: &AtomicU64, by: u64) {
    number.store(number.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
}

impl Traffic {
    /// Goes on from these numbers.
    pub fn begin_with(&self, before: TrafficTotals) {
        grow(&self.received, before.recv_oct);
        grow(&self.received_count, before.recv_cnt);
        grow(&self.sent, before.send_oct);
        grow(&self.sent_count, before.send_cnt);
    }

    /// Bytes came.
    #[inline]
    pub fn received(&self, bytes: u64) {
        grow(&self.received, bytes);
        grow(&self.received_count, 1);
    }

    /// Bytes went; `pending` still wait.
    #[inline]
    pub fn sent(&self, bytes: u64, pending: u64) {
        grow(&self.sent, bytes);
        grow(&self.sent_count, 1);
        self.pending.store(pending, Ordering::Relaxed);
    }

    /// The numbers as they are.
    pub fn totals(&self) -> TrafficTotals {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        TrafficTotals {
            recv_oct: read(&self.received),
            recv_cnt: read(&self.received_count),
            send_oct: read(&self.sent),
            send_cnt: read(&self.sent_count),
            send_pend: read(&self.pending),
        }
    }
}

/// A connection.
#[derive(Debug)]
pub struct ConnectionRecord {
    id: ConnectionId,
    user: Name,
    vhost: Name,
    info: OnceLock<ConnectionInfo>,
    traffic: Arc<Traffic>,
    channels: Mutex<BTreeMap<u16, Arc<ChannelRecord>>>,
    samples: Carried<TrafficTotals>,
}

impl ConnectionRecord {
    pub(super) fn new(id: ConnectionId, user: Name, vhost: Name) -> Arc<ConnectionRecord> {
        let (info, traffic, channels, samples) = (OnceLock::new(), Arc::default(), Mutex::default(), Mutex::default());
        Arc::new(ConnectionRecord { id, user, vhost, info, traffic, channels, samples })
    }

    /// Says what it is; from then on it is listed.
    pub fn introduce(&self, info: ConnectionInfo) {
        // Said once; what was said first stays.
        let _ = self.info.set(info);
    }

    /// Its number.
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// Who it belongs to.
    pub fn user(&self) -> &Name {
        &self.user
    }

    /// The virtual host it is in.
    pub fn vhost(&self) -> &Name {
        &self.vhost
    }

    /// What it is; None for one that is no client's.
    pub fn info(&self) -> Option<&ConnectionInfo> {
        self.info.get()
    }

    /// Its name; empty for one that is no client's.
    pub fn name(&self) -> &str {
        self.info.get().map_or("", |info| info.name.as_str())
    }

    /// What goes through its socket.
    pub fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }

    pub(super) fn samples(&self) -> &Carried<TrafficTotals> {
        &self.samples
    }

    /// Its channels, by number.
    pub fn channels(&self) -> Vec<Arc<ChannelRecord>> {
        self.channels.lock().values().cloned().collect()
    }

    pub(super) fn open_channel(&self, number: u16) -> Arc<ChannelRecord> {
        let record = Arc::new(ChannelRecord::new(number));
        self.channels.lock().insert(number, record.clone());
        record
    }

    pub(super) fn close_channel(&self, number: u16) -> Option<Arc<ChannelRecord>> {
        self.channels.lock().remove(&number)
    }

    /// Whether something was published on one of its channels.
    pub fn has_published(&self) -> bool {
        self.channels.lock().values().any(|channel| channel.totals().get(Count::Publish) > 0)
    }
}

/// What began and ended on the node since it started.
#[derive(Debug, Default)]
pub struct Churn {
    /// Connections opened.
    pub connections_opened: AtomicU64,
    /// Connections that ended.
    pub connections_closed: AtomicU64,
    /// Channels opened.
    pub channels_opened: AtomicU64,
    /// Channels that ended.
    pub channels_closed: AtomicU64,
    /// Declarations of queues.
    pub queues_declared: AtomicU64,
    /// Queues made.
    pub queues_created: AtomicU64,
    /// Queues deleted.
    pub queues_deleted: AtomicU64,
    /// Logins of AMQP clients that succeeded.
    pub logins_succeeded: AtomicU64,
    /// Logins of AMQP clients that failed.
    pub logins_failed: AtomicU64,
    /// Logins of clients of the management API that succeeded.
    pub http_logins_succeeded: AtomicU64,
    /// Logins of clients of the management API that failed.
    pub http_logins_failed: AtomicU64,
}

impl Churn {
    /// Logins by protocol, with RabbitMQ's name for it: those that succeeded, those that failed.
    pub fn logins(&self) -> [(&'static str, u64, u64); 2] {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        [
            ("amqp091", read(&self.logins_succeeded), read(&self.logins_failed)),
            ("http", read(&self.http_logins_succeeded), read(&self.http_logins_failed)),
        ]
    }

    /// One more.
    pub fn note(number: &AtomicU64) {
        number.fetch_add(1, Ordering::Relaxed);
    }
}

impl Broker {
    /// All connections of clients, in no order.
    pub fn connections(&self) -> Vec<Arc<ConnectionRecord>> {
        let mut all = self.sessions().records();
        all.retain(|record| record.info().is_some());
        all
    }

    /// The connection of a name.
    pub fn connection(&self, name: &str) -> Option<Arc<ConnectionRecord>> {
        self.sessions().find(|record| record.name() == name)
    }

    /// The connection of a number, if it is a client's.
    pub fn connection_of(&self, id: ConnectionId) -> Option<Arc<ConnectionRecord>> {
        self.sessions().record(id).filter(|record| record.info().is_some())
    }

    /// How long commits took, and the last epoch.
    pub fn commits(&self) -> Commits {
        self.committer().commits()
    }

    /// What was read from and written to the disk.
    pub fn io(&self) -> IoTotals {
        IoTotals { messages_read: self.loader().messages_read(), ..self.committer().io() }
    }

    /// Messages that were dead-lettered since the start.
    pub fn dead_letters(&self) -> &LetterCounts {
        self.relay().letters()
    }

    /// How many messages channels took at a time since the start.
    pub fn publish_batches(&self) -> Batches {
        self.sessions().publish_batches()
    }

    /// The publishes of all channels since the start, by size.
    pub fn publish_sizes(&self) -> Publishes {
        self.sessions().publish_sizes()
    }

    /// What all channels have done since the start, by queue type (classic, quorum); publishes are counted with the first.
    pub fn message_totals(&self) -> [Totals; 2] {
        self.sessions().totals(|_| true)
    }

    /// What was done in each virtual host where something was, all types together.
    pub fn totals_by_vhost(&self) -> HashMap<Name, VhostTotals> {
        self.sessions().by_vhost()
    }
}

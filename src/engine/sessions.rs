//! Who is connected: the sessions of all connections, for whoever has something to tell them.

use super::broker::Broker;
use super::channels::ChannelRecord;
use super::connections::{ConnectionRecord, TrafficTotals};
use super::outbox::{Order, Outbox};
use super::session::Session;
use crate::broker::count::{Batches, Publishes, Totals};
use crate::broker::identity::ConnectionId;
use crate::broker::queue::QueueKind;
use crate::broker::refusal::Refusal;
use crate::name::Name;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// All sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<HashMap<ConnectionId, Entry>>, Mutex<Done>);

/// What channels have done that have ended.
#[derive(Debug, Default)]
struct Done {
    vhosts: HashMap<Name, Ended>,
    publishes: Publishes,
    batches: Batches,
}

/// The same in one virtual host.
#[derive(Clone, Copy, Debug, Default)]
struct Ended {
    /// By queue type.
    totals: [Totals; 2],
    /// Through the sockets of its connections.
    traffic: TrafficTotals,
}

#[derive(Debug)]
struct Entry {
    user: Name,
    vhost: Name,
    outbox: Arc<Outbox>,
    channels: usize,
    record: Arc<ConnectionRecord>,
}

/// What was done in a virtual host since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VhostTotals {
    /// With messages, by all channels.
    pub totals: Totals,
    /// Through the sockets of its clients.
    pub traffic: TrafficTotals,
}

/// How many connections there may be; None = no limit.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ConnectionLimits {
    /// Of the node.
    pub node: Option<u64>,
    /// Of the virtual host.
    pub vhost: Option<u64>,
    /// Of the user.
    pub user: Option<u64>,
}

impl Sessions {
    /// Whether there may be one more on the node.
    ///
    /// # Errors
    /// `LimitReached`.
    pub fn check_node(&self, limit: Option<u64>) -> Result<(), Refusal> {
        match limit {
            Some(limit) if self.0.lock().len() as u64 >= limit => Err(too_many("connection refused: node", limit)),
            _ => Ok(()),
        }
    }

    /// A session begins, unless there are too many: of the node, of the virtual host, of the user, in this order.
    ///
    /// # Errors
    /// `LimitReached`.
    pub fn add(&self, session: &Session, limits: ConnectionLimits) -> Result<(), Refusal> {
        let (user, vhost) = (session.identity().user.clone(), session.vhost().clone());
        let mut sessions = self.0.lock();
        let reached = |limit: Option<u64>, concerns: &dyn Fn(&Entry) -> bool| {
            let count = || sessions.values().filter(|entry| concerns(entry)).count() as u64;
            limit.filter(|limit| count() >= *limit)
        };
        if let Some(limit) = reached(limits.node, &|_| true) {
            return Err(too_many("connection refused: node", limit));
        }
        if let Some(limit) = reached(limits.vhost, &|entry| entry.vhost == vhost) {
            return Err(too_many(&format!("access to vhost '{vhost}' refused for user '{user}':"), limit));
        }
        if let Some(limit) = reached(limits.user, &|entry| entry.user == user) {
            return Err(too_many(&format!("connection refused for user '{user}': user"), limit));
        }
        let outbox = session.outbox().clone();
        let record = session.record().clone();
        sessions.insert(session.id(), Entry { user, vhost, outbox, channels: 0, record });
        Ok(())
    }

    /// A session opens a channel, unless its user has too many on all connections.
    ///
    /// # Errors
    /// `LimitReached`.
    pub fn open_channel(
        &self,
        session: &Session,
        number: u16,
        limit: Option<u64>,
    ) -> Result<Arc<ChannelRecord>, Refusal> {
        let mut sessions = self.0.lock();
        let user = &session.identity().user;
        if let Some(limit) = limit {
            let open: usize = sessions.values().filter(|entry| entry.user == *user).map(|entry| entry.channels).sum();
            if open as u64 >= limit {
                return Err(Refusal::LimitReached(format!(
                    "number of channels opened for user '{user}' has reached the maximum allowed user limit of {limit}"
                )));
            }
        }
        if let Some(entry) = sessions.get_mut(&session.id()) {
            entry.channels += 1;
        }
        Ok(session.record().open_channel(number))
    }

    /// A session's channel has ended.
    pub fn close_channel(&self, session: &Session, number: u16) {
        let mut sessions = self.0.lock();
        if let Some(entry) = sessions.get_mut(&session.id()) {
            entry.channels = entry.channels.saturating_sub(1);
        }
        if let Some(channel) = session.record().close_channel(number) {
            self.retire(session.vhost(), &channel);
        }
    }

    /// What a channel has done is remembered. Called under the sessions' lock, so that nobody counts it twice.
    fn retire(&self, vhost: &Name, channel: &ChannelRecord) {
        let mut done = self.1.lock();
        done.publishes += channel.publishes();
        done.batches += channel.publish_batches();
        let ended = done.vhosts.entry(vhost.clone()).or_default();
        for (all, own) in ended.totals.iter_mut().zip(channel.totals_by_kind()) {
            *all += own;
        }
    }

    /// Something was done in a virtual host for a client without a channel.
    fn note(&self, vhost: &Name, kind: QueueKind, totals: Totals, publishes: Publishes) {
        let mut done = self.1.lock();
        done.publishes += publishes;
        let [classic, quorum] = &mut done.vhosts.entry(vhost.clone()).or_default().totals;
        if kind == QueueKind::Quorum { *quorum += totals } else { *classic += totals }
    }

    /// A virtual host was deleted: what was done in it is the node's alone from now on.
    pub fn forget_vhost(&self, vhost: &Name) {
        let done = &mut self.1.lock().vhosts;
        let Some(of_vhost) = done.remove(vhost) else { return };
        let all = done.entry(Name::default()).or_default();
        all.totals.iter_mut().zip(of_vhost.totals).for_each(|(all, own)| *all += own);
        all.traffic += of_vhost.traffic;
    }

    /// What the channels of some virtual hosts have done, those that have ended too.
    pub fn totals(&self, of: impl Fn(&Name) -> bool) -> [Totals; 2] {
        let sessions = self.0.lock();
        let mut totals = [Totals::default(); 2];
        let mut add = |done: [Totals; 2]| totals.iter_mut().zip(done).for_each(|(all, own)| *all += own);
        self.1.lock().vhosts.iter().filter(|(vhost, _)| of(vhost)).for_each(|(_, done)| add(done.totals));
        for entry in sessions.values().filter(|entry| of(&entry.vhost)) {
            entry.record.channels().iter().for_each(|channel| add(channel.totals_by_kind()));
        }
        totals
    }

    /// What was done in each virtual host, by channels and connections that have ended too.
    pub fn by_vhost(&self) -> HashMap<Name, VhostTotals> {
        let sessions = self.0.lock();
        let mut all: HashMap<Name, VhostTotals> = HashMap::new();
        for (vhost, ended) in &self.1.lock().vhosts {
            let [mut totals, quorum] = ended.totals;
            totals += quorum;
            all.insert(vhost.clone(), VhostTotals { totals, traffic: ended.traffic });
        }
        for entry in sessions.values() {
            let vhost = all.entry(entry.vhost.clone()).or_default();
            entry.record.channels().iter().for_each(|channel| vhost.totals += channel.totals());
            vhost.traffic += entry.record.traffic().totals();
        }
        all
    }

    /// The publishes of all channels, those that have ended too.
    pub fn publish_sizes(&self) -> Publishes {
        let sessions = self.0.lock();
        let mut all = self.1.lock().publishes;
        for channel in sessions.values().flat_map(|entry| entry.record.channels()) {
            all += channel.publishes();
        }
        all
    }

    /// How many messages channels took at a time, those that have ended too.
    pub fn publish_batches(&self) -> Batches {
        let sessions = self.0.lock();
        let mut all = self.1.lock().batches;
        for channel in sessions.values().flat_map(|entry| entry.record.channels()) {
            all += channel.publish_batches();
        }
        all
    }

    /// All of them.
    pub fn records(&self) -> Vec<Arc<ConnectionRecord>> {
        self.0.lock().values().map(|entry| entry.record.clone()).collect()
    }

    /// The one of a number.
    pub fn record(&self, id: ConnectionId) -> Option<Arc<ConnectionRecord>> {
        self.0.lock().get(&id).map(|entry| entry.record.clone())
    }

    /// The first that matches.
    pub fn find(&self, is_it: impl Fn(&ConnectionRecord) -> bool) -> Option<Arc<ConnectionRecord>> {
        self.0.lock().values().find(|entry| is_it(&entry.record)).map(|entry| entry.record.clone())
    }

    /// A session has ended: what rang for it.
    pub fn remove(&self, id: ConnectionId) -> Option<Arc<Outbox>> {
        let mut sessions = self.0.lock();
        let entry = sessions.remove(&id)?;
        entry.record.channels().iter().for_each(|channel| self.retire(&entry.vhost, channel));
        let traffic = entry.record.traffic().totals();
        let mut done = self.1.lock();
        // What still waited for the socket waits no more.
        done.vhosts.entry(entry.vhost).or_default().traffic += TrafficTotals { send_pend: 0, ..traffic };
        Some(entry.outbox)
    }

    /// Rings for all.
    pub fn ring_all(&self) {
        self.0.lock().values().for_each(|entry| entry.outbox.ring());
    }

    fn order(&self, order: &Order, concerns: impl Fn(&Entry) -> bool) {
        let sessions = self.0.lock();
        sessions.values().filter(|entry| concerns(entry)).for_each(|entry| entry.outbox.order(order.clone()));
    }
}

fn too_many(who: &str, limit: u64) -> Refusal {
    Refusal::LimitReached(format!("{who} connection limit ({limit}) is reached"))
}

impl Broker {
    /// Counts what was done in a virtual host for a client of the management API, as if a channel had done it; publishes count
    /// as a classic queue's.
    pub fn note_done(&self, vhost: &Name, kind: QueueKind, totals: Totals, publishes: Publishes) {
        self.sessions().note(vhost, kind, totals, publishes);
    }

    /// Closes a connection with this explanation (code 320). False when there is none of that number.
    pub fn close_connection(&self, id: ConnectionId, explanation: &str) -> bool {
        let outbox = self.sessions().0.lock().get(&id).map(|entry| entry.outbox.clone());
        outbox.is_some_and(|outbox| {
            outbox.order(Order::Close(explanation.to_owned()));
            true
        })
    }

    /// Closes all connections with this explanation (code 320). Returns how many there were.
    pub fn close_all_connections(&self, explanation: &str) -> usize {
        self.sessions().order(&Order::Close(explanation.to_owned()), |_| true);
        self.sessions().0.lock().len()
    }

    /// A user was deleted: its connections end.
    pub(super) fn user_deleted(&self, user: &str) {
        let order = Order::Close(format!("user '{user}' is deleted"));
        self.sessions().order(&order, |entry| entry.user.as_str() == user);
    }

    /// A virtual host was deleted: its connections end.
    pub(super) fn vhost_deleted(&self, vhost: &Name) {
        let order = Order::Close(format!("vhost '{vhost}' is deleted"));
        self.sessions().order(&order, |entry| entry.vhost == *vhost);
    }

    /// What a user may do in a virtual host has changed: routes are judged again, consumers looked at.
    pub(super) fn grants_changed(&self, vhost: &str, user: &str) {
        if let Ok(vhost) = self.vhost(vhost) {
            vhost.touch();
        }
        let concerns = |entry: &Entry| entry.vhost.as_str() == vhost && entry.user.as_str() == user;
        self.sessions().order(&Order::CheckAccess, concerns);
    }
}

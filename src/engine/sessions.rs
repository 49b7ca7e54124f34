//! Who is connected: the sessions of all connections, for whoever has something to tell them.

use super::broker::Broker;
use super::outbox::{Order, Outbox};
use super::session::Session;
use crate::broker::identity::ConnectionId;
use crate::name::Name;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// All sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<HashMap<ConnectionId, Entry>>);

#[derive(Debug)]
struct Entry {
    user: Name,
    vhost: Name,
    outbox: Arc<Outbox>,
}

impl Sessions {
    /// A session begins.
    pub fn add(&self, session: &Session) {
        let (user, vhost) = (session.identity().user.clone(), session.vhost().clone());
        self.0.lock().insert(session.id(), Entry { user, vhost, outbox: session.outbox().clone() });
    }

    /// A session has ended: what rang for it.
    pub fn remove(&self, id: ConnectionId) -> Option<Arc<Outbox>> {
        self.0.lock().remove(&id).map(|entry| entry.outbox)
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

impl Broker {
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

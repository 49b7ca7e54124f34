//! All users, and what each may do in each virtual host.

use super::grants::{Grants, Permissions, TopicPermissions};
use super::user::User;
use crate::name::Name;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The node's users with their grants.
#[derive(Debug, Default)]
pub struct Users(BTreeMap<Name, Entry>);

#[derive(Debug)]
struct Entry {
    user: Arc<User>,
    /// By virtual host.
    grants: BTreeMap<Name, Arc<Grants>>,
}

impl Users {
    /// The user of a name.
    pub fn get(&self, name: &str) -> Option<&Arc<User>> {
        self.0.get(name).map(|entry| &entry.user)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<User>> {
        self.0.values().map(|entry| &entry.user)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets a user; what an existing one may do stays. True when the user is new.
    pub fn put(&mut self, user: User) -> bool {
        let user = Arc::new(user);
        match self.0.get_mut(user.name.as_str()) {
            Some(entry) => {
                entry.user = user;
                false
            }
            None => {
                self.0.insert(user.name.clone(), Entry { user, grants: BTreeMap::new() });
                true
            }
        }
    }

    /// Removes a user with all grants. False when there is none of that name.
    pub fn remove(&mut self, name: &str) -> bool {
        self.0.remove(name).is_some()
    }

    /// What a user may do in a virtual host. None: nothing.
    pub fn grants(&self, user: &str, vhost: &str) -> Option<&Arc<Grants>> {
        self.0.get(user)?.grants.get(vhost)
    }

    /// All grants: user, virtual host, and what they are; by user, then by virtual host.
    pub fn all_grants(&self) -> impl Iterator<Item = (&Name, &Name, &Arc<Grants>)> {
        self.0.iter().flat_map(|(user, entry)| entry.grants.iter().map(move |(vhost, grants)| (user, vhost, grants)))
    }

    /// Sets or clears a user's permissions in a virtual host. False when there is no such user, or nothing to clear.
    pub fn set_permissions(&mut self, user: &str, vhost: &Name, permissions: Option<Permissions>) -> bool {
        self.change(user, vhost, |grants| {
            let changes = permissions.is_some() || grants.permissions.is_some();
            grants.permissions = permissions;
            changes
        })
    }

    /// Sets or clears a user's topic permissions for an exchange. False when there is no such user, or nothing to clear.
    pub fn set_topic(&mut self, user: &str, vhost: &Name, exchange: &Name, topic: Option<TopicPermissions>) -> bool {
        self.change(user, vhost, |grants| match topic {
            Some(topic) => {
                grants.topics.insert(exchange.clone(), topic);
                true
            }
            None => grants.topics.remove(exchange.as_str()).is_some(),
        })
    }

    /// Removes all grants in a virtual host.
    pub fn forget_vhost(&mut self, vhost: &str) {
        for entry in self.0.values_mut() {
            entry.grants.remove(vhost);
        }
    }

    fn change(&mut self, user: &str, vhost: &Name, run: impl FnOnce(&mut Grants) -> bool) -> bool {
        let Some(entry) = self.0.get_mut(user) else { return false };
        let mut grants = entry.grants.get(vhost.as_str()).map(|grants| (**grants).clone()).unwrap_or_default();
        let changed = run(&mut grants);
        if grants.is_empty() {
            entry.grants.remove(vhost.as_str());
        } else {
            entry.grants.insert(vhost.clone(), Arc::new(grants));
        }
        changed
    }
}

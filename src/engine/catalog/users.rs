//! Users and permissions: the façade's part for whoever administers them (compat.md 2.12).

use super::stored;
use crate::broker::access::{Identity, Operation, Permissions, Rights, TopicPermissions, User, UserLimits, authorize};
use crate::broker::refusal::Refusal;
use crate::engine::events::By;
use crate::engine::{Broker, Epoch};
use crate::name::Name;
use std::sync::Arc;

/// A user's permissions in a virtual host, as listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PermissionRecord {
    /// The user.
    pub user: Name,
    /// The virtual host.
    pub vhost: Name,
    /// The permissions.
    pub permissions: Permissions,
}

/// A user's topic permissions, as listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPermissionRecord {
    /// The user.
    pub user: Name,
    /// The virtual host.
    pub vhost: Name,
    /// The exchange.
    pub exchange: Name,
    /// The permissions.
    pub permissions: TopicPermissions,
}

impl Broker {
    /// The user of a name.
    pub fn user(&self, name: &str) -> Option<Arc<User>> {
        self.catalog().user(name)
    }

    /// All users, by name.
    pub fn users(&self) -> Vec<Arc<User>> {
        self.catalog().users.read().iter().cloned().collect()
    }

    /// Sets a user: name, password, tags, limits. What an existing one may do stays, and so do its connections.
    pub fn put_user(&self, user: User) -> Option<Epoch> {
        let changed = self.change_catalog(|catalog, changes| {
            changes.push(stored::put_user(&user));
            By::itself(self).tell_user_set(catalog.user(user.name.as_str()).as_deref(), &user);
            catalog.users.write().put(user);
            Ok(())
        });
        // A user can always be set.
        changed.ok().and_then(|(_, epoch)| epoch)
    }

    /// Changes an existing user's limits.
    ///
    /// # Errors
    /// `NoSuchUser`.
    pub fn set_user_limits(&self, name: &str, limits: UserLimits) -> Result<Option<Epoch>, Refusal> {
        let changed = self.change_catalog(|catalog, changes| {
            let user = catalog.user(name).ok_or_else(|| Refusal::NoSuchUser(name.to_owned()))?;
            let user = User { limits, ..(*user).clone() };
            changes.push(stored::put_user(&user));
            catalog.users.write().put(user);
            Ok(())
        })?;
        Ok(changed.1)
    }

    /// Deletes a user with all permissions. Its connections end.
    ///
    /// # Errors
    /// `NoSuchUser`.
    pub fn delete_user(&self, name: &str) -> Result<Option<Epoch>, Refusal> {
        let (_, epoch) = self.change_catalog(|catalog, changes| {
            let mut users = catalog.users.write();
            let user = users.get(name).cloned().ok_or_else(|| Refusal::NoSuchUser(name.to_owned()))?;
            for (_, vhost, grants) in users.all_grants().filter(|(user, ..)| user.as_str() == name) {
                changes.extend(stored::delete_grants(vhost, &user.name, grants));
            }
            changes.push(stored::delete_user(&user.name));
            users.remove(name);
            By::itself(self).tell_user_deleted(name);
            Ok(())
        })?;
        self.user_deleted(name);
        Ok(epoch)
    }

    /// Sets a user's permissions in a virtual host, or clears them. Open channels feel it at once.
    ///
    /// # Errors
    /// `VhostNotFound`, `NoSuchUser`.
    pub fn set_permissions(
        &self,
        user: &str,
        vhost: &str,
        permissions: Option<Permissions>,
    ) -> Result<Option<Epoch>, Refusal> {
        let (_, epoch) = self.change_catalog(|catalog, changes| {
            let vhost = catalog.vhost(vhost)?;
            let known = catalog.user(user).ok_or_else(|| Refusal::NoSuchUser(user.to_owned()))?;
            let change = stored::put_permissions(vhost.name(), &known.name, permissions.as_ref());
            if catalog.users.write().set_permissions(user, vhost.name(), permissions.clone()) {
                changes.push(change);
                By::itself(self).tell_permissions(&known.name, vhost.name(), permissions.as_ref());
            }
            Ok(())
        })?;
        self.grants_changed(vhost, user);
        Ok(epoch)
    }

    /// Sets a user's topic permissions (write, read) for an exchange, or clears them. Open channels feel it at once.
    ///
    /// # Errors
    /// `VhostNotFound`, `NoSuchUser`, `InvalidPattern`.
    pub fn set_topic_permissions(
        &self,
        user: &str,
        vhost: &str,
        exchange: &Name,
        topic: Option<(&str, &str)>,
    ) -> Result<Option<Epoch>, Refusal> {
        let (_, epoch) = self.change_catalog(|catalog, changes| {
            let vhost = catalog.vhost(vhost)?;
            let known = catalog.user(user).ok_or_else(|| Refusal::NoSuchUser(user.to_owned()))?;
            let topic = topic.map(|(write, read)| TopicPermissions::checked(write, read, &known.name, vhost.name()));
            let topic = topic.transpose().map_err(|(pattern, fault)| Refusal::InvalidPattern(pattern, fault))?;
            let change = stored::put_topic(vhost.name(), &known.name, exchange, topic.as_ref());
            if catalog.users.write().set_topic(user, vhost.name(), exchange, topic.clone()) {
                changes.push(change);
                By::itself(self).tell_topic(&known.name, vhost.name(), exchange, topic.as_ref());
            }
            Ok(())
        })?;
        self.grants_changed(vhost, user);
        Ok(epoch)
    }

    /// Whether somebody may do this in a virtual host without being connected to it.
    ///
    /// # Errors
    /// `VhostNotFound`; as [`authorize`].
    pub fn authorize(&self, identity: &Identity, vhost: &str, operation: Operation<'_>) -> Result<(), Refusal> {
        let vhost = self.catalog().vhost(vhost)?;
        if let Some(authority) = &identity.authority {
            return authorize(Rights::Told(&**authority), &identity.user, vhost.name(), operation);
        }
        let grants = self.catalog().grants(identity.user.as_str(), vhost.name().as_str());
        authorize(grants.as_deref(), &identity.user, vhost.name(), operation)
    }

    /// All permissions, by user and virtual host.
    pub fn permissions(&self) -> Vec<PermissionRecord> {
        let users = self.catalog().users.read();
        let all = users.all_grants().filter_map(|(user, vhost, grants)| {
            let permissions = grants.permissions.clone()?;
            Some(PermissionRecord { user: user.clone(), vhost: vhost.clone(), permissions })
        });
        all.collect()
    }

    /// All topic permissions, by user, virtual host and exchange.
    pub fn topic_permissions(&self) -> Vec<TopicPermissionRecord> {
        let users = self.catalog().users.read();
        let all = users.all_grants().flat_map(|(user, vhost, grants)| {
            grants.topics.iter().map(|(exchange, permissions)| TopicPermissionRecord {
                user: user.clone(),
                vhost: vhost.clone(),
                exchange: exchange.clone(),
                permissions: permissions.clone(),
            })
        });
        all.collect()
    }
}

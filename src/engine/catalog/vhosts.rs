//! Virtual hosts, made, changed and deleted while the node runs: the façade's part for whoever administers them.

use super::{Catalog, stored};
use crate::broker::access::{VhostLimits, VhostMetadata};
use crate::broker::refusal::Refusal;
use crate::engine::events::By;
use crate::engine::seeds::Granted;
use crate::engine::stored::put_policy;
use crate::engine::vhost::Vhost;
use crate::engine::{Broker, Epoch};
use crate::name::Name;
use crate::store::Change;
use std::sync::Arc;

/// A virtual host as listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VhostRecord {
    /// Its name.
    pub name: Name,
    /// Description and settings.
    pub metadata: VhostMetadata,
    /// Limits.
    pub limits: VhostLimits,
}

impl Broker {
    /// All virtual hosts, by name.
    pub fn vhosts(&self) -> Vec<VhostRecord> {
        let mut all: Vec<_> = self.catalog().all_vhosts().iter().map(|vhost| vhost.record()).collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }

    /// A virtual host.
    pub fn vhost_record(&self, name: &str) -> Option<VhostRecord> {
        self.vhost(name).ok().map(|vhost| vhost.record())
    }

    /// Makes a virtual host with its predeclared exchanges and what its name says, or changes what is known of an existing one.
    /// True when it is new.
    ///
    /// # Errors
    /// `NodeLimit`; `Unavailable`: a user of its cannot be made.
    pub fn put_vhost(&self, name: &Name, metadata: VhostMetadata) -> Result<(bool, Option<Epoch>), Refusal> {
        let seeds = &self.limits().seeds;
        // Before the lock: passwords are hashed. Whoever makes it or a user at the same moment comes first.
        let users = match self.catalog().vhost(name.as_str()) {
            Ok(_) => Vec::new(),
            Err(_) => seeds.users_of(name, |user| self.catalog().user(user).is_some())?,
        };
        self.change_catalog(|catalog, changes| {
            let existing = catalog.vhost(name.as_str()).ok();
            if existing.is_none() {
                self.limits().check_vhosts(name, catalog.vhosts.read().len())?;
            }
            let limits = existing.as_ref().map_or_else(|| seeds.limits_of(name), |vhost| vhost.record().limits);
            changes.push(stored::put_vhost(name, &metadata, &limits));
            match &existing {
                Some(vhost) => vhost.describe(metadata),
                None => {
                    let vhost = Arc::new(Vhost::empty(name.clone(), metadata, limits));
                    if name == self.events().vhost() {
                        vhost.predeclare_events();
                    }
                    By::itself(self).tell_vhost("vhost.created", name);
                    if limits != VhostLimits::default() {
                        By::itself(self).tell_vhost_limits(name, limits);
                    }
                    for policy in seeds.policies_of(name) {
                        changes.push(put_policy(name, policy, true));
                        By::itself(self).tell_policy_set(name, policy);
                        vhost.with_policies(|policies| policies.of(true).set(policy.clone()));
                    }
                    catalog.vhosts.write().insert(name.clone(), vhost);
                    self.grant(catalog, name, users, changes);
                }
            }
            Ok(existing.is_none())
        })
    }

    /// Gives a new virtual host its users.
    fn grant(&self, catalog: &Catalog, vhost: &Name, users: Granted<'_>, changes: &mut Vec<Change>) {
        for (name, made, permissions) in users {
            if let Some(user) = made.filter(|_| catalog.user(name.as_str()).is_none()) {
                changes.push(stored::put_user(&user));
                By::itself(self).tell_user_set(None, &user);
                catalog.users.write().put(user);
            }
            if catalog.users.write().set_permissions(name.as_str(), vhost, Some(permissions.clone())) {
                changes.push(stored::put_permissions(vhost, name, Some(permissions)));
                By::itself(self).tell_permissions(name, vhost, Some(permissions));
            }
        }
    }

    /// Changes a virtual host's limits.
    ///
    /// # Errors
    /// `VhostNotFound`.
    pub fn set_vhost_limits(&self, name: &str, limits: VhostLimits) -> Result<Option<Epoch>, Refusal> {
        let changed = self.change_catalog(|catalog, changes| {
            let vhost = catalog.vhost(name)?;
            changes.push(stored::put_vhost(vhost.name(), &vhost.record().metadata, &limits));
            vhost.limit(limits);
            By::itself(self).tell_vhost_limits(vhost.name(), limits);
            Ok(())
        })?;
        Ok(changed.1)
    }

    /// Deletes a virtual host with all that is in it, and all permissions in it. Its connections end.
    ///
    /// # Errors
    /// `VhostNotFound`, `ProtectedVhost`.
    pub fn delete_vhost(&self, name: &str) -> Result<Option<Epoch>, Refusal> {
        let (_, epoch) = self.change_catalog(|catalog, changes| {
            let vhost = catalog.vhost(name)?;
            if vhost.record().metadata.protected_from_deletion {
                return Err(Refusal::ProtectedVhost(vhost.name().clone()));
            }
            catalog.vhosts.write().remove(name);
            catalog.users.write().forget_vhost(name);
            let is_here = |of: &Option<Name>| of.as_ref().is_some_and(|of| of.as_str() == name);
            catalog.parameters.write().0.retain(|(of, ..), _| !is_here(of));
            // Before its queues: a consumer's connection ends, and is not told first that its queues have gone.
            self.vhost_deleted(vhost.name());
            changes.extend(stored::delete_vhost(vhost.name()));
            vhost.delete(self, changes);
            self.samples().forget_vhost(vhost.name());
            self.sessions().forget_vhost(vhost.name());
            By::itself(self).tell_vhost("vhost.deleted", vhost.name());
            Ok(())
        })?;
        Ok(epoch)
    }
}

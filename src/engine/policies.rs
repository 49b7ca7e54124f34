//! Policies of virtual hosts: set, removed, listed; every change reaches live queues and exchanges at once
//! (compat.md 2.9).

use super::Epoch;
use super::broker::Broker;
use super::events::By;
use super::queue_handle::QueueDefinition;
use super::stored;
use super::vhost::{Definitions, Vhost};
use crate::broker::arguments::queue_kind;
use crate::broker::policy::{Object, Policies, Policy, Sources, effective, merged};
use crate::broker::queue::QueueSettings;
use crate::broker::refusal::{Refusal, Resource};
use crate::name::Name;
use crate::store::Change;
use crate::value::{Table, Value};

/// The two sorts of policies of a virtual host.
#[derive(Debug, Default)]
pub(super) struct PolicySets {
    policies: Policies,
    operator: Policies,
}

impl PolicySets {
    pub fn of(&mut self, operator: bool) -> &mut Policies {
        if operator { &mut self.operator } else { &mut self.policies }
    }

    /// What a queue's arguments and policies amount to.
    pub fn settings_of(&self, definition: &QueueDefinition) -> QueueSettings {
        // It was checked when the queue was declared.
        let kind = queue_kind(&definition.arguments, &Resource::queue(&definition.vhost, &definition.name));
        let kind = kind.unwrap_or_default();
        let (name, object) = (definition.name.as_str(), Object::Queue(kind));
        let policy = self.policies.of(name, object).map(|policy| &policy.definition);
        let operator = self.operator.of(name, object).map(|policy| &policy.definition);
        effective(kind, Sources { arguments: &definition.arguments, policy, operator })
    }

    /// The alternate exchange that an exchange's policy names.
    fn alternate_of(&self, exchange: &str) -> Option<Name> {
        let policy = self.policies.of(exchange, Object::Exchange)?;
        policy.definition.get("alternate-exchange").and_then(Value::as_str).and_then(Name::new)
    }

    /// Whether an exchange's policy makes messages with a delay wait there.
    fn delays(&self, exchange: &str) -> bool {
        let policy = self.policies.of(exchange, Object::Exchange);
        policy.and_then(|policy| policy.definition.get("delayed-message")).and_then(Value::as_bool).unwrap_or(false)
    }
}

impl Definitions {
    /// Every exchange has the alternate exchange that its policy names, unless its arguments name one, and delays messages
    /// if its policy says so.
    pub(super) fn apply_policies_to_exchanges(&mut self) {
        let policies = &self.policies;
        self.topology.set_delayed(|name| policies.delays(name.as_str()));
        self.topology.set_alternates(|name| policies.alternate_of(name.as_str()));
    }

    /// The same for one exchange.
    pub(super) fn apply_policies_to(&mut self, exchange: &Name) {
        self.topology.set_alternate(exchange, self.policies.alternate_of(exchange.as_str()));
        let policies = &self.policies;
        self.topology.set_delayed(|name| policies.delays(name.as_str()));
    }
}

impl Vhost {
    fn change_policies(
        &self,
        by: By<'_>,
        set: bool,
        run: impl FnOnce(&mut Definitions, &mut Vec<Change>),
    ) -> Result<Option<Epoch>, Refusal> {
        let (queues, epoch) = self.change(by.broker, |definitions, changes| {
            run(definitions, changes);
            definitions.apply_policies_to_exchanges();
            let delaying = definitions.topology.exchanges().filter(|exchange| exchange.delays());
            let delaying: Vec<Name> = delaying.map(|exchange| exchange.name().clone()).collect();
            delaying.iter().for_each(|exchange| definitions.add_delays(by.broker, exchange, changes));
            let queues = definitions.queues.values();
            Ok(queues.map(|queue| (queue.clone(), definitions.policies.settings_of(queue.definition()))).collect())
        })?;
        let queues: Vec<_> = queues;
        for (queue, settings) in queues {
            if *queue.settings() != settings {
                queue.configure(by.broker, settings);
                by.tell_queue_policy(queue.definition(), set);
            }
        }
        Ok(epoch)
    }
}

impl Broker {
    /// Sets a policy of a virtual host, or an operator policy. It is effective when this returns, and on disk at the epoch.
    ///
    /// # Errors
    /// `VhostNotFound`.
    pub fn set_policy(&self, vhost: &str, policy: Policy, operator: bool) -> Result<Option<Epoch>, Refusal> {
        let vhost = self.vhost(vhost)?;
        let by = By::itself(self);
        vhost.change_policies(by, true, |definitions, changes| {
            changes.push(stored::put_policy(vhost.name(), &policy, operator));
            by.tell_policy_set(vhost.name(), &policy);
            definitions.policies.of(operator).set(policy);
        })
    }

    /// Removes a policy. False when there was none.
    ///
    /// # Errors
    /// `VhostNotFound`.
    pub fn remove_policy(&self, vhost: &str, name: &Name, operator: bool) -> Result<bool, Refusal> {
        let (vhost, mut found) = (self.vhost(vhost)?, false);
        let by = By::itself(self);
        vhost.change_policies(by, false, |definitions, changes| {
            found = definitions.policies.of(operator).remove(name.as_str());
            if found {
                changes.push(stored::delete_policy(vhost.name(), name, operator));
                by.tell_policy_cleared(vhost.name(), name);
            }
        })?;
        Ok(found)
    }

    /// The policies of a virtual host, by name.
    ///
    /// # Errors
    /// `VhostNotFound`.
    pub fn policies(&self, vhost: &str, operator: bool) -> Result<Vec<Policy>, Refusal> {
        Ok(self.vhost(vhost)?.with_policies(|policies| policies.of(operator).iter().cloned().collect()))
    }

    /// What the policies that count for an object amount to, as listings show it.
    ///
    /// # Errors
    /// `VhostNotFound`.
    pub fn effective_policy(&self, vhost: &str, name: &str, object: Object) -> Result<Table, Refusal> {
        Ok(self.vhost(vhost)?.with_policies(|policies| {
            let [policy, operator] = [&policies.policies, &policies.operator].map(|all| all.of(name, object));
            merged(policy.map(|policy| &policy.definition), operator.map(|policy| &policy.definition))
        }))
    }

    /// The names of the policy and the operator policy that count for an object.
    ///
    /// # Errors
    /// `VhostNotFound`.
    pub fn policy_of(&self, vhost: &str, name: &str, object: Object) -> Result<[Option<Name>; 2], Refusal> {
        Ok(self.vhost(vhost)?.with_policies(|policies| {
            [false, true].map(|operator| policies.of(operator).of(name, object).map(|policy| policy.name.clone()))
        }))
    }
}

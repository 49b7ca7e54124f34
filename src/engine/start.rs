//! From what is on disk to a running broker.

use super::broker::{Broker, BrokerSteward, Found, Options, Start};
use super::catalog::{Catalog, FirstStart, Parameters, stored as catalog};
use super::delays::{DelayHandle, Delaying};
use super::events::predeclare;
use super::gates::{Gate, forget_identities};
use super::loader::Loader;
use super::memory::Memory;
use super::policies::PolicySets;
use super::queue_handle::QueueHandle;
use super::relay::Relay;
use super::stored;
use super::vhost::Vhost;
use crate::broker::access::{Users, VhostLimits, VhostMetadata};
use crate::broker::identity::{DelayId, QueueId};
use crate::broker::queue::Command;
use crate::broker::topology::Topology;
use crate::broker::window::Window;
use crate::name::Name;
use crate::store::committer::Committer;
use crate::store::keys::DefinitionKind;
use crate::store::recovery::{Recovered, delay_state, recover, stray_delays};
use crate::store::{Change, Family, Logging, Storage, StoreError, keys};
use std::collections::HashMap;
use std::sync::Arc;

/// The virtual host of what was stored before virtual hosts were.
const DEFAULT_VHOST: &str = "/";

impl Broker {
    /// Reads definitions and queue states and starts the threads. Messages are not read.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when what is on disk is damaged.
    pub fn start(storage: Arc<dyn Storage>, options: Options) -> Result<Arc<Broker>, StoreError> {
        let mut recovered = recover(&*storage)?;
        if recovered.clean_stop {
            // From here on a stop is unclean until it is done cleanly.
            let clean = Change::Delete(Family::QueueState, keys::CLEAN_STOP.to_vec());
            storage.write(&[clean], Logging::Synced)?;
        }
        let memory = Memory::new(options.memory_budget, options.held_publishes);
        let mut restored = Restored::new(&recovered);
        restored.catalog(&recovered)?;
        let made = restored.make_first(&options, &recovered)?;
        if !made.is_empty() {
            storage.write(&made, Logging::Synced)?;
        }
        if let Some(vhost) = restored.vhosts.get_mut(options.event_vhost.as_str()) {
            predeclare(&mut vhost.topology);
        }
        restored.policies(&recovered)?;
        let now = options.clock.now().wall_ms;
        restored.exchanges_and_queues(&mut recovered, &memory, now)?;
        restored.bindings(&recovered)?;
        let delaying = restored.delays(&recovered, &*storage)?;
        let committer = Committer::new(storage, recovered.last_epoch);
        bury_windows(&recovered, &committer);
        let next_queue = restored.next_queue;
        let catalog = restored.into_catalog();
        let (loader, requests) = Loader::new();
        let messages = recovered.queues.values().flatten().map(|(_, state)| state.messages).sum();
        let found = Found { queues: recovered.queues.len(), messages, clean_stop: recovered.clean_stop };
        let start = Start { next_queue, delaying, found };
        let broker = Broker::new(catalog, committer.clone(), loader, memory, &options, start);
        let broker = Arc::new(broker);
        let steward = Arc::new(BrokerSteward(Arc::downgrade(&broker)));
        let no_thread = |error: std::io::Error| StoreError::Failed(format!("no thread can be started: {error}"));
        broker.threads.lock().push(committer.start(options.sync, steward).map_err(no_thread)?);
        // Ends by itself when the broker is dropped.
        drop(Loader::start(Arc::downgrade(&broker), requests).map_err(no_thread)?);
        drop(broker.timers().start(&broker, "timers").map_err(no_thread)?);
        drop(broker.delaying().timers.start(&broker, "delays").map_err(no_thread)?);
        drop(Relay::start(&broker).map_err(no_thread)?);
        if let Ok(vhost) = broker.vhost(options.event_vhost.as_str()) {
            vhost.look_for_listeners(&broker);
        }
        for queue in broker.queues() {
            // Deadlines that passed meanwhile, and timers for the others.
            queue.apply(&broker, Command::Tick);
        }
        for delays in broker.delays() {
            broker.delaying().timers.set(&delays, 0);
        }
        Ok(broker)
    }
}

/// Definitions on their way from disk to memory.
struct Restored {
    vhosts: HashMap<Name, RestoredVhost>,
    users: Users,
    parameters: Parameters,
    next_queue: QueueId,
}

struct RestoredVhost {
    topology: Topology,
    queues: HashMap<QueueId, Arc<QueueHandle>>,
    policies: PolicySets,
    gates: HashMap<Name, Arc<Gate>>,
    delays: HashMap<Name, Arc<DelayHandle>>,
    metadata: VhostMetadata,
    limits: VhostLimits,
}

impl RestoredVhost {
    fn new(name: &Name, metadata: VhostMetadata, limits: VhostLimits) -> RestoredVhost {
        let (queues, policies) = (HashMap::new(), PolicySets::default());
        let (topology, gates, delays) = (Topology::new(name.clone()), HashMap::new(), HashMap::new());
        RestoredVhost { topology, queues, policies, gates, delays, metadata, limits }
    }
}

impl Restored {
    fn new(recovered: &Recovered) -> Restored {
        let highest = recovered.queues.keys().chain(recovered.windows.keys()).max().map_or(1, |id| id.0 + 1);
        let (vhosts, users, parameters) = (HashMap::new(), Users::default(), Parameters::default());
        Restored { vhosts, users, parameters, next_queue: QueueId(highest) }
    }

    /// Virtual hosts and users first, then what refers to them.
    fn catalog(&mut self, recovered: &Recovered) -> Result<(), StoreError> {
        for (key, fields) in &recovered.definitions {
            match DefinitionKind::of(key) {
                Some(DefinitionKind::Vhost) => {
                    let read = catalog::read_vhost(fields).ok_or_else(|| damaged("virtual host"))?;
                    let (name, metadata, limits) = read;
                    self.vhosts.insert(name.clone(), RestoredVhost::new(&name, metadata, limits));
                }
                Some(DefinitionKind::User) => {
                    self.users.put(catalog::read_user(fields).ok_or_else(|| damaged("user"))?);
                }
                _ => {}
            }
        }
        for (key, fields) in &recovered.definitions {
            match DefinitionKind::of(key) {
                Some(DefinitionKind::Permissions) => {
                    let read = catalog::read_permissions(fields).ok_or_else(|| damaged("permissions"))?;
                    let (vhost, user, permissions) = read;
                    self.users.set_permissions(user.as_str(), &vhost, Some(permissions));
                }
                Some(DefinitionKind::Parameter | DefinitionKind::GlobalParameter) => {
                    let read = catalog::read_parameter(fields).ok_or_else(|| damaged("parameter"))?;
                    self.parameters.0.insert(read.0, read.1);
                }
                Some(DefinitionKind::TopicPermissions) => {
                    let read = catalog::read_topic(fields).ok_or_else(|| damaged("topic permissions"))?;
                    let (vhost, user, exchange, topic) = read;
                    self.users.set_topic(user.as_str(), &vhost, &exchange, Some(topic));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// With neither users nor virtual hosts it is a first start: what is to be made then is made. A data directory that was
    /// written before virtual hosts were stored has its definitions in one that goes without saying.
    fn make_first(&mut self, options: &Options, recovered: &Recovered) -> Result<Vec<Change>, StoreError> {
        let first = options.first_start.as_ref();
        if !self.vhosts.is_empty() || !self.users.is_empty() {
            return Ok(Vec::new());
        }
        let implied = Name::new(DEFAULT_VHOST).filter(|_| !recovered.definitions.is_empty());
        let wanted = implied.into_iter().chain(first.map(|first| first.vhost.clone()));
        let (mut changes, metadata) = (Vec::new(), VhostMetadata::default());
        let seeds = &options.limits.seeds;
        for name in wanted {
            let limits = seeds.limits_of(&name);
            changes.push(catalog::put_vhost(&name, &metadata, &limits));
            let mut vhost = RestoredVhost::new(&name, metadata.clone(), limits);
            for policy in seeds.policies_of(&name) {
                changes.push(stored::put_policy(&name, policy, true));
                vhost.policies.of(true).set(policy.clone());
            }
            self.vhosts.insert(name.clone(), vhost);
            let users = seeds.users_of(&name, |user| self.users.get(user).is_some());
            for (user, made, permissions) in users.map_err(|refusal| StoreError::Failed(refusal.to_string()))? {
                if let Some(made) = made {
                    changes.push(catalog::put_user(&made));
                    self.users.put(made);
                }
                changes.push(catalog::put_permissions(&name, user, Some(permissions)));
                self.users.set_permissions(user.as_str(), &name, Some(permissions.clone()));
            }
        }
        if let Some(FirstStart { vhost, user, permissions }) = first {
            let user = user.make().map_err(|fault| StoreError::Failed(format!("the first user: {fault}")))?;
            changes.push(catalog::put_user(&user));
            changes.push(catalog::put_permissions(vhost, &user.name, Some(permissions)));
            let name = user.name.clone();
            self.users.put(user);
            self.users.set_permissions(name.as_str(), vhost, Some(permissions.clone()));
        }
        Ok(changes)
    }

    fn into_catalog(self) -> Catalog {
        let vhosts = self.vhosts.into_iter().map(|(name, restored)| {
            let RestoredVhost { topology, queues, policies, gates, delays, metadata, limits } = restored;
            (name, Arc::new(Vhost::new(topology, queues, policies, (gates, delays), (metadata, limits))))
        });
        Catalog::new(vhosts.collect(), self.users, self.parameters)
    }

    fn vhost(&mut self, name: &Name) -> Result<&mut RestoredVhost, StoreError> {
        self.vhosts.get_mut(name.as_str()).ok_or_else(|| damaged(&format!("unknown virtual host '{name}'")))
    }

    fn exchanges_and_queues(&mut self, recovered: &mut Recovered, memory: &Memory, now: u64) -> Result<(), StoreError> {
        for (key, fields) in &recovered.definitions {
            match DefinitionKind::of(key) {
                Some(DefinitionKind::Exchange) => {
                    let (vhost, spec) = stored::read_exchange(fields).ok_or_else(|| damaged("exchange"))?;
                    if let Some((settings, _)) = spec.window() {
                        let id = stored::exchange_window(fields);
                        let blocks = id.and_then(|id| recovered.windows.remove(&id)).unwrap_or_default();
                        let window = Window::recover(settings, blocks, now).ok_or_else(|| damaged("window"))?;
                        let gate = Gate::new(id.unwrap_or(QueueId(0)), window, id.is_some());
                        self.next_queue = self.next_queue.max(QueueId(gate.id().0 + 1));
                        self.vhost(&vhost)?.gates.insert(spec.name.clone(), gate);
                    }
                    self.vhost(&vhost)?
                        .topology
                        .declare_exchange(spec)
                        .map_err(|refusal| damaged(&refusal.to_string()))?;
                }
                Some(DefinitionKind::Queue) => {
                    let (id, definition) = stored::read_queue(fields).ok_or_else(|| damaged("queue"))?;
                    let vhost = self.vhost(&definition.vhost)?;
                    let mut states = recovered.queues.get(&id).cloned().unwrap_or_default();
                    if !recovered.clean_stop {
                        states.iter_mut().for_each(|(_, state)| state.maybe_delivered = state.next_sequence);
                    }
                    vhost.topology.add_queue(definition.name.clone(), id, true);
                    let settings = Arc::new(vhost.policies.settings_of(&definition));
                    let keep = memory.keep().clone();
                    let queue = QueueHandle::new(id, definition, settings, Some(&states), keep);
                    let blocks = recovered.windows.remove(&id).unwrap_or_default();
                    if !queue.with_queue(|queue| queue.restore_window(blocks, now)) {
                        return Err(damaged("window"));
                    }
                    vhost.queues.insert(id, queue);
                    self.next_queue = self.next_queue.max(QueueId(id.0 + 1));
                }
                Some(DefinitionKind::NextQueue) => {
                    let id = stored::read_next_queue(fields).ok_or_else(|| damaged("next queue's number"))?;
                    self.next_queue = self.next_queue.max(id);
                }
                Some(_) => {}
                None => return Err(damaged("definition of unknown kind")),
            }
        }
        Ok(())
    }

    fn policies(&mut self, recovered: &Recovered) -> Result<(), StoreError> {
        let is_policy = |key: &[u8]| DefinitionKind::of(key) == Some(DefinitionKind::Policy);
        for (_, fields) in recovered.definitions.iter().filter(|(key, _)| is_policy(key)) {
            let (vhost, policy, operator) = stored::read_policy(fields).ok_or_else(|| damaged("policy"))?;
            self.vhost(&vhost)?.policies.of(operator).set(policy);
        }
        Ok(())
    }

    fn bindings(&mut self, recovered: &Recovered) -> Result<(), StoreError> {
        let is_binding = |key: &[u8]| DefinitionKind::of(key) == Some(DefinitionKind::Binding);
        let mut bindings: Vec<_> = recovered.definitions.iter().filter(|(key, _)| is_binding(key)).collect();
        // Exchange types may treat the first binding of a destination in a special way.
        bindings.sort_by_key(|(_, fields)| stored::binding_order(fields));
        for (_, fields) in bindings {
            let (vhost, binding) = stored::read_binding(fields).ok_or_else(|| damaged("binding"))?;
            self.vhost(&vhost)?.topology.bind(binding).map_err(|refusal| damaged(&refusal.to_string()))?;
        }
        Ok(())
    }

    /// Delayed messages, none of them read. Those of exchanges that were not durable are dropped.
    fn delays(&mut self, recovered: &Recovered, storage: &dyn Storage) -> Result<Delaying, StoreError> {
        let is_delay = |key: &[u8]| DefinitionKind::of(key) == Some(DefinitionKind::Delay);
        let stored = recovered.definitions.iter().filter(|(key, _)| is_delay(key));
        let mut known = Vec::new();
        for (_, fields) in stored {
            known.push(stored::read_delay(fields).ok_or_else(|| damaged("delayed messages"))?);
        }
        known.sort_by_key(|(id, _)| *id);
        let delaying = Delaying::new(DelayId(known.last().map_or(1, |(id, _)| id.0 + 1)));
        let ids: Vec<DelayId> = known.iter().map(|(id, _)| *id).collect();
        let strays = stray_delays(storage, &ids)?.into_iter();
        let strays: Vec<Change> = strays.map(|(from, to)| Change::DeleteRange(Family::Delayed, from, to)).collect();
        if !strays.is_empty() {
            storage.write(&strays, Logging::Logged)?;
        }
        for (id, exchange) in known {
            let (name, state) = (exchange.name.clone(), delay_state(storage, id)?);
            let vhost = self.vhost(&exchange.vhost)?;
            vhost.delays.insert(name, DelayHandle::new(id, exchange, state, &delaying));
        }
        Ok(delaying)
    }
}

/// Windows whose owners are gone leave the disk: a commit that was under way when they went may have left some.
fn bury_windows(recovered: &Recovered, committer: &Committer) {
    let changes: Vec<Change> = recovered.windows.keys().map(|owner| forget_identities(*owner)).collect();
    if !changes.is_empty() {
        committer.define(changes);
    }
}

fn damaged(what: &str) -> StoreError {
    StoreError::Corrupt(format!("definitions: {what}"))
}

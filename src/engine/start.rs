//! From what is on disk to a running broker.

use super::broker::{Broker, BrokerSteward, Found, Options};
use super::loader::Loader;
use super::memory::Memory;
use super::policies::PolicySets;
use super::queue_handle::QueueHandle;
use super::relay::Relay;
use super::stored;
use super::timers::Timers;
use super::vhost::Vhost;
use crate::broker::identity::QueueId;
use crate::broker::queue::Command;
use crate::broker::topology::Topology;
use crate::name::Name;
use crate::store::committer::Committer;
use crate::store::keys::DefinitionKind;
use crate::store::recovery::{Recovered, recover};
use crate::store::{Change, Family, Logging, Storage, StoreError, keys};
use std::collections::HashMap;
use std::sync::Arc;

/// The virtual host that every node has.
const DEFAULT_VHOST: &str = "/";

impl Broker {
    /// Reads definitions and queue states and starts the threads. Messages are not read.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when what is on disk is damaged.
    pub fn start(storage: Arc<dyn Storage>, options: Options) -> Result<Arc<Broker>, StoreError> {
        let recovered = recover(&*storage)?;
        if recovered.clean_stop {
            // From here on a stop is unclean until it is done cleanly.
            let clean = Change::Delete(Family::QueueState, keys::CLEAN_STOP.to_vec());
            storage.write(&[clean], Logging::Synced)?;
        }
        let memory = Memory::new(options.memory_budget);
        let committer = Committer::new(storage, recovered.last_epoch);
        let mut restored = Restored::new(&recovered)?;
        restored.policies(&recovered)?;
        restored.exchanges_and_queues(&recovered, &memory)?;
        restored.bindings(&recovered)?;
        let next_queue = restored.next_queue;
        memory.share(restored.queues.len());
        let vhost = Vhost::new(restored.topology, restored.queues, restored.policies);
        let vhosts = HashMap::from([(vhost.name().clone(), Arc::new(vhost))]);
        let (loader, requests) = Loader::new();
        let messages = recovered.queues.values().flatten().map(|(_, state)| state.messages).sum();
        let found = Found { queues: recovered.queues.len(), messages, clean_stop: recovered.clean_stop };
        let clock = options.clock.clone();
        let broker = Broker::new(vhosts, committer.clone(), loader, memory, next_queue, clock, found);
        let broker = Arc::new(broker);
        let steward = Arc::new(BrokerSteward(Arc::downgrade(&broker)));
        let no_thread = |error: std::io::Error| StoreError::Failed(format!("no thread can be started: {error}"));
        broker.threads.lock().push(committer.start(options.sync, steward).map_err(no_thread)?);
        // Ends by itself when the broker is dropped.
        drop(Loader::start(Arc::downgrade(&broker), requests).map_err(no_thread)?);
        drop(Timers::start(&broker).map_err(no_thread)?);
        drop(Relay::start(&broker).map_err(no_thread)?);
        for queue in broker.queues() {
            // Deadlines that passed meanwhile, and timers for the others.
            queue.apply(&broker, Command::Tick);
        }
        Ok(broker)
    }
}

/// Definitions on their way from disk to memory.
struct Restored {
    vhost: Name,
    topology: Topology,
    queues: HashMap<QueueId, Arc<QueueHandle>>,
    policies: PolicySets,
    next_queue: QueueId,
}

impl Restored {
    fn new(recovered: &Recovered) -> Result<Restored, StoreError> {
        let vhost = Name::new(DEFAULT_VHOST).ok_or_else(|| damaged("virtual host"))?;
        let highest = recovered.queues.keys().max().map_or(1, |id| id.0 + 1);
        let topology = Topology::new(vhost.clone());
        let (queues, policies) = (HashMap::new(), PolicySets::default());
        Ok(Restored { vhost, topology, queues, policies, next_queue: QueueId(highest) })
    }

    fn exchanges_and_queues(&mut self, recovered: &Recovered, memory: &Memory) -> Result<(), StoreError> {
        for (key, fields) in &recovered.definitions {
            match DefinitionKind::of(key) {
                Some(DefinitionKind::Exchange) => {
                    let (vhost, spec) = stored::read_exchange(fields).ok_or_else(|| damaged("exchange"))?;
                    self.check_vhost(&vhost)?;
                    self.topology.declare_exchange(spec).map_err(|refusal| damaged(&refusal.to_string()))?;
                }
                Some(DefinitionKind::Queue) => {
                    let (id, definition) = stored::read_queue(fields).ok_or_else(|| damaged("queue"))?;
                    self.check_vhost(&definition.vhost)?;
                    let mut states = recovered.queues.get(&id).cloned().unwrap_or_default();
                    if !recovered.clean_stop {
                        states.iter_mut().for_each(|(_, state)| state.maybe_delivered = state.next_sequence);
                    }
                    self.topology.add_queue(definition.name.clone(), id, true);
                    let settings = Arc::new(self.policies.settings_of(&definition));
                    let keep = memory.keep().clone();
                    let queue = QueueHandle::new(id, definition, settings, Some(&states), keep);
                    self.queues.insert(id, queue);
                    self.next_queue = self.next_queue.max(QueueId(id.0 + 1));
                }
                Some(DefinitionKind::NextQueue) => {
                    let id = stored::read_next_queue(fields).ok_or_else(|| damaged("next queue's number"))?;
                    self.next_queue = self.next_queue.max(id);
                }
                Some(DefinitionKind::Binding | DefinitionKind::Policy) => {}
                None => return Err(damaged("definition of unknown kind")),
            }
        }
        Ok(())
    }

    fn policies(&mut self, recovered: &Recovered) -> Result<(), StoreError> {
        let is_policy = |key: &[u8]| DefinitionKind::of(key) == Some(DefinitionKind::Policy);
        for (_, fields) in recovered.definitions.iter().filter(|(key, _)| is_policy(key)) {
            let (vhost, policy, operator) = stored::read_policy(fields).ok_or_else(|| damaged("policy"))?;
            self.check_vhost(&vhost)?;
            self.policies.of(operator).set(policy);
        }
        Ok(())
    }

    fn bindings(&mut self, recovered: &Recovered) -> Result<(), StoreError> {
        let is_binding = |key: &[u8]| DefinitionKind::of(key) == Some(DefinitionKind::Binding);
        for (_, fields) in recovered.definitions.iter().filter(|(key, _)| is_binding(key)) {
            let (vhost, binding) = stored::read_binding(fields).ok_or_else(|| damaged("binding"))?;
            self.check_vhost(&vhost)?;
            self.topology.bind(binding).map_err(|refusal| damaged(&refusal.to_string()))?;
        }
        Ok(())
    }

    fn check_vhost(&self, vhost: &Name) -> Result<(), StoreError> {
        if *vhost == self.vhost { Ok(()) } else { Err(damaged(&format!("unknown virtual host '{vhost}'"))) }
    }
}

fn damaged(what: &str) -> StoreError {
    StoreError::Corrupt(format!("definitions: {what}"))
}

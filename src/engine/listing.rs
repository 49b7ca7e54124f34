//! What there is in virtual hosts, for whoever lists it: copies of names and definitions, made under a reader's lock that is
//! held no longer than the copying takes.

use super::broker::Broker;
use super::queue_handle::QueueHandle;
use crate::broker::count::Throughput;
use crate::broker::refusal::Refusal;
use crate::broker::topology::{Binding, Bound as BoundTo, Destination, Exchange, ExchangeSpec};
use crate::name::Name;
use crate::store::committer::Waiter;
use crate::value::Table;
use std::ops::Bound;
use std::sync::Arc;
use tokio::sync::Notify;

/// An exchange as it is listed.
#[derive(Clone, Debug)]
pub struct ExchangeRecord {
    /// The virtual host it is in.
    pub vhost: Name,
    /// What it was declared as.
    pub spec: ExchangeSpec,
    /// Messages that came in and were handed on.
    pub throughput: Arc<Throughput>,
}

/// Which bindings of a virtual host.
#[derive(Clone, Copy, Debug)]
pub enum Bindings<'a> {
    /// All.
    All,
    /// Those whose source is this exchange.
    From(&'a str),
    /// Those that lead to this destination.
    To(&'a Destination),
    /// Those from this exchange to this destination.
    Between(&'a str, &'a Destination),
}

/// A binding as it is listed.
#[derive(Clone, Debug)]
pub struct BindingRecord {
    /// The virtual host it is in.
    pub vhost: Name,
    /// The binding itself.
    pub binding: Binding,
    /// Whether it is on disk; those of the default exchange are not, since they go without saying.
    pub durable: bool,
}

/// How much there is on the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ObjectTotals {
    /// Queues.
    pub queues: u64,
    /// Exchanges.
    pub exchanges: u64,
    /// Bindings, but for those of default exchanges.
    pub bindings: u64,
}

/// Rings once.
#[derive(Debug, Default)]
struct Bell(Notify);

impl Waiter for Bell {
    fn wake(&self) {
        self.0.notify_one();
    }
}

impl Broker {
    /// The names of all virtual hosts, sorted.
    pub fn vhost_names(&self) -> Vec<Name> {
        let mut names: Vec<Name> = self.catalog().all_vhosts().iter().map(|vhost| vhost.name().clone()).collect();
        names.sort_unstable();
        names
    }

    /// The name of a virtual host, if there is one.
    pub fn vhost_name(&self, name: &str) -> Option<Name> {
        self.vhost(name).ok().map(|vhost| vhost.name().clone())
    }

    /// Whether a user has permissions in a virtual host.
    pub fn is_member(&self, user: &str, vhost: &str) -> bool {
        self.catalog().grants(user, vhost).is_some_and(|grants| grants.permissions.is_some())
    }

    /// The queues of a virtual host, in no order; none when there is no such virtual host.
    pub fn queues_in(&self, vhost: &str) -> Vec<Arc<QueueHandle>> {
        self.vhost(vhost).map_or_else(|_| Vec::new(), |vhost| vhost.queues())
    }

    /// Some queues of a virtual host in the order of their names, or in the opposite order: `most` of them, behind the first
    /// `skip` ones.
    pub fn queues_by_name(&self, vhost: &str, reverse: bool, skip: usize, most: usize) -> Vec<Arc<QueueHandle>> {
        let Ok(vhost) = self.vhost(vhost) else { return Vec::new() };
        let definitions = vhost.definitions.read();
        let queues = definitions.by_name.values();
        if reverse {
            queues.rev().skip(skip).take(most).cloned().collect()
        } else {
            queues.skip(skip).take(most).cloned().collect()
        }
    }

    /// The same, `most` of them behind the one of a name; None: from the first on.
    pub fn queues_after(&self, vhost: &str, name: Option<&Name>, most: usize) -> Vec<Arc<QueueHandle>> {
        let Ok(vhost) = self.vhost(vhost) else { return Vec::new() };
        let definitions = vhost.definitions.read();
        let from = name.map_or(Bound::Unbounded, Bound::Excluded);
        let queues = definitions.by_name.range::<Name, _>((from, Bound::Unbounded));
        queues.take(most).map(|(_, queue)| queue.clone()).collect()
    }

    /// The queue of a name.
    pub fn queue(&self, vhost: &str, name: &str) -> Option<Arc<QueueHandle>> {
        let (vhost, name) = (self.vhost(vhost).ok()?, Name::new(name)?);
        vhost.definitions.read().queue(&name).cloned()
    }

    /// The exchanges of a virtual host, in no order; none when there is no such virtual host.
    pub fn exchanges_in(&self, vhost: &str) -> Vec<ExchangeRecord> {
        let Ok(vhost) = self.vhost(vhost) else { return Vec::new() };
        let definitions = vhost.definitions.read();
        definitions.topology.exchanges().map(|exchange| record_of(vhost.name(), exchange)).collect()
    }

    /// The exchange of a name.
    pub fn exchange(&self, vhost: &str, name: &str) -> Option<ExchangeRecord> {
        let vhost = self.vhost(vhost).ok()?;
        let definitions = vhost.definitions.read();
        definitions.topology.exchange(name).map(|exchange| record_of(vhost.name(), exchange))
    }

    /// Bindings of a virtual host, in no order; none when there is no such virtual host. Every queue is bound to the default
    /// exchange by its name.
    pub fn bindings_in(&self, vhost: &str, which: Bindings<'_>) -> Vec<BindingRecord> {
        let Ok(vhost) = self.vhost(vhost) else { return Vec::new() };
        let definitions = vhost.definitions.read();
        let topology = &definitions.topology;
        let record = |bound: &Arc<BoundTo>| BindingRecord {
            vhost: vhost.name().clone(),
            binding: bound.binding().clone(),
            durable: bound.is_durable(),
        };
        let implied = |queue: &Name| BindingRecord {
            vhost: vhost.name().clone(),
            binding: Binding {
                source: Name::default(),
                destination: Destination::Queue(queue.clone()),
                routing_key: queue.clone(),
                arguments: Table::new(),
            },
            durable: false,
        };
        let implied_to = |destination: &Destination| match destination {
            Destination::Queue(name) if topology.queue(name.as_str()).is_some() => Some(implied(name)),
            _ => None,
        };
        match which {
            Bindings::All => {
                let all = topology.queues().map(|(name, _)| implied(name));
                all.chain(topology.bindings().map(record)).collect()
            }
            Bindings::From("") => topology.queues().map(|(name, _)| implied(name)).collect(),
            Bindings::From(source) => {
                topology.exchange(source).into_iter().flat_map(|exchange| exchange.outgoing()).map(record).collect()
            }
            Bindings::To(Destination::Queue(name)) => {
                let default = implied_to(&Destination::Queue(name.clone())).into_iter();
                default.chain(topology.bindings_of_queue(name.as_str()).map(record)).collect()
            }
            Bindings::To(Destination::Exchange(name)) => {
                let exchange = topology.exchange(name.as_str());
                exchange.into_iter().flat_map(|exchange| exchange.incoming()).map(record).collect()
            }
            Bindings::Between("", destination) => implied_to(destination).into_iter().collect(),
            Bindings::Between(source, destination) => match destination {
                Destination::Queue(name) => {
                    let bound = topology.bindings_of_queue(name.as_str());
                    bound.filter(|bound| bound.binding().source.as_str() == source).map(record).collect()
                }
                Destination::Exchange(name) => {
                    let incoming =
                        topology.exchange(name.as_str()).into_iter().flat_map(|exchange| exchange.incoming());
                    incoming.filter(|bound| bound.binding().source.as_str() == source).map(record).collect()
                }
            },
        }
    }

    /// How much there is in a virtual host.
    pub fn objects_in(&self, vhost: &str) -> ObjectTotals {
        let Ok(vhost) = self.vhost(vhost) else { return ObjectTotals::default() };
        let definitions = vhost.definitions.read();
        let exchanges = definitions.topology.exchanges();
        ObjectTotals {
            queues: definitions.queues.len() as u64,
            exchanges: exchanges.len() as u64,
            bindings: exchanges.map(|exchange| exchange.outgoing().len() as u64).sum(),
        }
    }

    /// The epoch that takes what was changed before this call.
    pub fn open_epoch(&self) -> super::Epoch {
        self.committer().open_epoch()
    }

    /// Waits until an epoch is on disk.
    ///
    /// # Errors
    /// `Unavailable`: the disk has failed.
    pub async fn durable(&self, epoch: super::Epoch) -> Result<(), Refusal> {
        let bell = Arc::new(Bell::default());
        while self.committer().done_epoch() < epoch {
            if self.committer().has_failed() {
                return Err(Refusal::Unavailable("the disk has failed".to_owned()));
            }
            self.committer().wake_at(epoch, bell.clone());
            if self.committer().done_epoch() >= epoch {
                break;
            }
            bell.0.notified().await;
        }
        Ok(())
    }

    /// Whether publishers are held: the words of `connection.blocked`.
    pub fn held_because(&self) -> Option<&'static str> {
        self.alarms().reason()
    }
}

fn record_of(vhost: &Name, exchange: &Exchange) -> ExchangeRecord {
    ExchangeRecord { vhost: vhost.clone(), spec: exchange.spec().clone(), throughput: exchange.throughput().clone() }
}

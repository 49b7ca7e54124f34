//! How much there may be on a node.

use super::seeds::VhostSeeds;
use crate::broker::refusal::{Refusal, Resource};
use crate::name::Name;

/// The node's limits; None = no limit.
#[derive(Clone, Debug, Default)]
pub struct NodeLimits {
    /// Virtual hosts.
    pub vhosts: Option<u64>,
    /// Queues of all virtual hosts.
    pub queues: Option<u64>,
    /// Exchanges of all virtual hosts, predeclared ones too.
    pub exchanges: Option<u64>,
    /// What a virtual host is made with.
    pub seeds: VhostSeeds,
}

impl NodeLimits {
    /// Whether a virtual host may be made beside `there`.
    pub(super) fn check_vhosts(&self, name: &Name, there: usize) -> Result<(), Refusal> {
        check(self.vhosts, there, |limit| format!("cannot create vhost '{name}': vhost limit of {limit} is reached"))
    }

    /// Whether a queue may be made beside `there`.
    pub(super) fn check_queues(&self, queue: &Resource, there: usize) -> Result<(), Refusal> {
        let Resource { name, .. } = queue;
        check(self.queues, there, |limit| {
            format!("cannot declare queue '{name}': queue limit in cluster ({limit}) is reached")
        })
    }

    /// Whether an exchange may be made beside `there`.
    pub(super) fn check_exchanges(&self, exchange: &Resource, there: usize) -> Result<(), Refusal> {
        check(self.exchanges, there, |limit| format!("cannot declare {exchange}: exchange limit of {limit} is reached"))
    }
}

/// Whether there may be one more; `text`: why not.
fn check(limit: Option<u64>, there: usize, text: impl Fn(u64) -> String) -> Result<(), Refusal> {
    match limit {
        Some(limit) if there as u64 >= limit => Err(Refusal::NodeLimit(text(limit))),
        _ => Ok(()),
    }
}

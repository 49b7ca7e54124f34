//! What whoever administers the broker makes without being a client: nobody is asked for permissions, nothing is exclusive.

use super::broker::Broker;
use super::events::By;
use super::session::QueueSpec;
use super::{DeclaredQueue, Epoch};
use crate::broker::identity::ConnectionId;
use crate::broker::refusal::Refusal;
use crate::broker::topology::{Binding, ExchangeSpec};

/// No connection has this number: what belongs to one is not theirs.
const NOBODY: ConnectionId = ConnectionId(0);

impl Broker {
    /// Declares an exchange.
    ///
    /// # Errors
    /// `VhostNotFound`; as a client's declaration.
    pub fn import_exchange(&self, vhost: &str, spec: ExchangeSpec) -> Result<Option<Epoch>, Refusal> {
        self.vhost(vhost)?.declare_exchange(By::itself(self), &|_| Ok(()), spec)
    }

    /// Declares a queue.
    ///
    /// # Errors
    /// `VhostNotFound`; as a client's declaration.
    pub fn import_queue(&self, vhost: &str, spec: QueueSpec) -> Result<DeclaredQueue, Refusal> {
        self.vhost(vhost)?.declare_queue(By::itself(self), NOBODY, &|_| Ok(()), spec)
    }

    /// Binds.
    ///
    /// # Errors
    /// `VhostNotFound`; as a client's binding.
    pub fn import_binding(&self, vhost: &str, binding: Binding) -> Result<Option<Epoch>, Refusal> {
        self.vhost(vhost)?.bind(By::itself(self), NOBODY, binding)
    }
}

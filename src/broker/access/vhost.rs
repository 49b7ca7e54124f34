//! What is known of a virtual host beside what is in it.

use crate::name::Name;

/// A virtual host's description and settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VhostMetadata {
    /// For people.
    pub description: String,
    /// For people and their tools.
    pub tags: Vec<Name>,
    /// The type of queues whose declaration names none; None = the node's.
    pub default_queue_type: Option<Name>,
    /// It cannot be deleted.
    pub protected_from_deletion: bool,
    /// Messages are copied to its tracing exchange.
    pub tracing: bool,
}

/// How much there may be in a virtual host at a time; None = no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VhostLimits {
    /// Connections.
    pub max_connections: Option<u64>,
    /// Queues.
    pub max_queues: Option<u64>,
}

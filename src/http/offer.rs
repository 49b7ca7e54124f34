//! What of the API is offered, as the settings say. This machine's tools are offered all of it.

/// What is offered over the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// What paths begin with; empty for nothing.
    pub path_prefix: String,
    /// Objects have statistics, unless a request says otherwise.
    pub statistics: bool,
    /// Without statistics, queues tell how many messages are in them.
    pub queue_totals: bool,
    /// Objects have `message_stats`, where they have statistics.
    pub message_stats: bool,
    /// Operator policies can be set and cleared.
    pub operator_policy_changes: bool,
    /// `/metrics` is of every object.
    pub per_object_metrics: bool,
    /// Names and passwords are taken, not tokens alone.
    pub basic_auth: bool,
}

impl Default for Offer {
    fn default() -> Self {
        Offer {
            path_prefix: String::new(),
            statistics: true,
            queue_totals: false,
            message_stats: true,
            operator_policy_changes: true,
            per_object_metrics: false,
            basic_auth: true,
        }
    }
}

impl Offer {
    /// RabbitMQ's word for how rates are counted.
    pub fn rates_mode(&self) -> &'static str {
        if self.message_stats { "basic" } else { "none" }
    }
}

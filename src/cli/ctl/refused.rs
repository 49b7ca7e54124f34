//! Commands of RabbitMQ's tools that are known and not carried out, with what to do instead.

const ONE_NODE: &str = "there is one node";
const NO_ERLANG: &str = "there is no Erlang runtime here";
const NO_STREAMS: &str = "there are no streams";
const SECRETS: &str = "keep secrets in files that only the broker's user can read, or in environment variables";
const LOG: &str = "the log goes to standard error: journalctl -u warren, or docker logs";

/// Command, and why.
pub(super) const COMMANDS: &[(&str, &str)] = &[
    ("add_member", ONE_NODE),
    ("add_replica", NO_STREAMS),
    ("change_cluster_node_type", ONE_NODE),
    ("cipher_suites", "they are those of rustls: TLS 1.3, and TLS 1.2 with ECDHE and AEAD"),
    ("consume_event_stream", "bind a queue to the exchange amq.rabbitmq.event"),
    ("coordinator_status", NO_STREAMS),
    ("decode", SECRETS),
    ("delete_member", ONE_NODE),
    ("delete_replica", NO_STREAMS),
    ("encode", SECRETS),
    ("environment", "warren config effective prints the settings"),
    ("eval", "there is no Erlang to evaluate expressions in"),
    ("eval_file", "there is no Erlang to evaluate expressions in"),
    ("exec", "there is no Elixir to evaluate expressions in"),
    ("force_reset", "stop the node and remove its data directory"),
    ("forget_cluster_node", ONE_NODE),
    ("grow", ONE_NODE),
    ("grow_to_count", ONE_NODE),
    ("join_cluster", ONE_NODE),
    ("list_stream_connections", NO_STREAMS),
    ("list_stream_consumers", NO_STREAMS),
    ("list_stream_publishers", NO_STREAMS),
    ("list_stream_tracking", NO_STREAMS),
    ("log_tail", LOG),
    ("log_tail_stream", LOG),
    ("maybe_stuck", NO_ERLANG),
    ("message_size_stats", "the metric rabbitmq_message_size_bytes has them"),
    ("observer", NO_ERLANG),
    ("peek", "the management API reads a queue's first messages: POST /api/queues/VHOST/NAME/get"),
    ("remote_shell", NO_ERLANG),
    ("rename_cluster_node", ONE_NODE),
    ("reset", "stop the node and remove its data directory"),
    ("restart_stream", NO_STREAMS),
    ("runtime_thread_stats", NO_ERLANG),
    ("shrink", ONE_NODE),
    ("stream_status", NO_STREAMS),
    ("transfer_leadership", ONE_NODE),
];

/// Why a command is not carried out; None for one that nobody knows.
pub(super) fn why(command: &str) -> Option<&'static str> {
    COMMANDS.iter().find(|(name, _)| *name == command).map(|(_, why)| *why)
}

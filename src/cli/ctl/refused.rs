//! Commands of RabbitMQ's tools that are known and not carried out, with what to do instead.

const ONE_NODE: &str = "there is one node";
const NO_ERLANG: &str = "there is no Erlang runtime here";
const NO_STREAMS: &str = "there are no streams";
const NO_MIRRORS: &str = "there are no mirrored queues";
const MACHINE: &str = "warren doctor looks at the machine; ip, resolvectl and env tell the rest";
const SECRETS: &str = "keep secrets in files that only the broker's user can read, or in environment variables";
const LOG: &str = "the log goes to standard error: journalctl -u warren, or docker logs";

/// Command, and why.
pub(super) const COMMANDS: &[(&str, &str)] = &[
    ("activate_stream_consumer", NO_STREAMS),
    ("add_member", ONE_NODE),
    ("add_replica", NO_STREAMS),
    ("add_super_stream", NO_STREAMS),
    ("cancel_sync_queue", NO_MIRRORS),
    ("certificates", "warren doctor looks at them"),
    ("change_cluster_node_type", ONE_NODE),
    ("cipher_suites", "they are those of rustls: TLS 1.3, and TLS 1.2 with ECDHE and AEAD"),
    ("command_line_arguments", NO_ERLANG),
    ("consume_event_stream", "bind a queue to the exchange amq.rabbitmq.event"),
    ("coordinator_status", NO_STREAMS),
    ("decode", SECRETS),
    ("delete_member", ONE_NODE),
    ("delete_replica", NO_STREAMS),
    ("delete_super_stream", NO_STREAMS),
    ("disable_auth_attempt_source_tracking", "attempts are counted, not by address"),
    ("disk_used", "warren doctor tells it, and du"),
    ("enable_auth_attempt_source_tracking", "attempts are counted, not by address"),
    ("encode", SECRETS),
    ("environment", "warren config effective prints the settings"),
    ("erlang_cookie_hash", NO_ERLANG),
    ("erlang_cookie_sources", NO_ERLANG),
    ("eval", "there is no Erlang to evaluate expressions in"),
    ("eval_file", "there is no Erlang to evaluate expressions in"),
    ("exec", "there is no Elixir to evaluate expressions in"),
    ("force_reset", "stop the node and remove its data directory"),
    ("forget_cluster_node", ONE_NODE),
    ("grow", ONE_NODE),
    ("grow_to_count", ONE_NODE),
    ("join_cluster", ONE_NODE),
    ("list_ciphers", NO_ERLANG),
    ("list_hashes", NO_ERLANG),
    ("list_network_interfaces", MACHINE),
    ("list_node_auth_attempt_stats", "the metrics rabbitmq_auth_attempts_total and its kin have them"),
    ("list_stream_connections", NO_STREAMS),
    ("list_stream_consumer_groups", NO_STREAMS),
    ("list_stream_consumers", NO_STREAMS),
    ("list_stream_group_consumers", NO_STREAMS),
    ("list_stream_publishers", NO_STREAMS),
    ("list_stream_tracking", NO_STREAMS),
    ("log_tail", LOG),
    ("log_tail_stream", LOG),
    ("maybe_stuck", NO_ERLANG),
    ("message_size_stats", "the metric rabbitmq_message_size_bytes has them"),
    ("observer", NO_ERLANG),
    ("os_env", MACHINE),
    ("peek", "the management API reads a queue's first messages: POST /api/queues/VHOST/NAME/get"),
    ("remote_shell", NO_ERLANG),
    ("rename_cluster_node", ONE_NODE),
    ("reset", "stop the node and remove its data directory"),
    ("reset_offset", NO_STREAMS),
    ("resolver_info", MACHINE),
    ("restart_stream", NO_STREAMS),
    ("runtime_thread_stats", NO_ERLANG),
    ("set_stream_retention_policy", NO_STREAMS),
    ("shrink", ONE_NODE),
    ("stream_status", NO_STREAMS),
    ("sync_queue", NO_MIRRORS),
    ("transfer_leadership", ONE_NODE),
    ("update_cluster_nodes", ONE_NODE),
];

/// Why a command is not carried out; None for one that nobody knows.
pub(super) fn why(command: &str) -> Option<&'static str> {
    COMMANDS.iter().find(|(name, _)| *name == command).map(|(_, why)| *why)
}

/// The command among words that are no command line, if it is one of these.
pub(super) fn named(words: &[String]) -> Option<String> {
    words.iter().find(|word| why(word).is_some()).cloned()
}

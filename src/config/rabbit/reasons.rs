//! Why a key of `rabbitmq.conf` means nothing here, and what to do instead where something can be done.

/// A key that RabbitMQ does not know either, as far as is known here.
pub(super) const UNKNOWN: &str = " (no such key is known)";

/// Keys that say what is so anyway while they have this value.
pub(super) const SO_ANYWAY: &[(&str, &str)] = &[
    ("reverse_dns_lookups", "false"),
    ("log.file", "false"),
    ("log.exchange", "false"),
    ("log.syslog", "false"),
    ("log.journald", "false"),
    ("log.console.stdio", "stderr"),
    ("ssl_options.client_renegotiation", "false"),
    ("ssl_options.secure_renegotiate", "true"),
    ("management.ssl.client_renegotiation", "false"),
    ("management.ssl.secure_renegotiate", "true"),
    ("management.listener.ssl", "false"),
    ("management.oauth_enabled", "false"),
    ("management.oauth_disable_basic_auth", "false"),
    ("ssl_allow_poodle_attack", "false"),
    ("auth_cache.cache_refusals", "false"),
    ("auth_oauth2.https.verify", "verify_peer"),
    ("auth_oauth2.https.peer_verification", "verify_peer"),
    ("auth_http.ssl_options.verify", "verify_peer"),
    ("event_exchange.protocol", "amqp_0_9_1"),
    ("socket_writer.gc_threshold", "off"),
    ("background_gc_enabled", "false"),
    ("hipe_compile", "false"),
    ("queue_types.classic.enabled", "true"),
    ("queue_types.quorum.enabled", "true"),
    ("queue_types.stream.enabled", "false"),
    ("tcp_listen_options", "none"),
    ("ssl_options", "none"),
];

/// Why a key means nothing.
pub(super) fn reason(key: &str) -> &'static str {
    let found = EXACT.iter().find(|(known, _)| *known == key);
    let found = found.or_else(|| BEGINNINGS.iter().find(|(beginning, _)| key.starts_with(beginning)));
    found.map_or(UNKNOWN, |(_, reason)| reason)
}

const ERLANG: &str = " (there is no Erlang)";
const ONE_NODE: &str = " (there is one node)";
const NO_PROTOCOL: &str = " (this protocol is not there)";
const NO_BACK_END: &str = " (this back end is not there)";
const TLS_LIBRARY: &str = " (it is as the TLS library has it)";
const TLS_OF_ALL: &str = " (versions and ciphers are of all listeners: ssl_options)";
const TO_STDERR: &str = " (the log goes to standard error)";
const LOG_LEVEL: &str = " (log.console.level is)";
const STORAGE: &str = " (messages and definitions are kept in another way)";
const NO_PAGE: &str = " (the API has no pages)";
const HEADERS: &str = " (a proxy in front can add it)";
const TIMES: &str = " (HTTP has its own times and limits)";
const TOKENS: &str = " (tokens are read without it)";
const PLUGIN: &str = " (this plugin is not there)";

const EXACT: &[(&str, &str)] = &[
    ("ranch_connection_max", " (max_connections is)"),
    ("reverse_dns_lookups", " (clients are shown by their addresses)"),
    ("ssl_handshake_timeout", " (handshake_timeout counts the handshake of TLS, too)"),
    ("vm_memory_high_watermark_paging_ratio", " (messages leave memory by themselves)"),
    ("memory_monitor_interval", " (memory is counted as it is used)"),
    ("collect_statistics", " (all is counted: management.rates_mode = none leaves it out of answers)"),
    ("vhost_restart_strategy", " (virtual hosts do not stop by themselves)"),
    ("motd_file", " (nothing is said of the day)"),
    ("consumer_disconnected_timeout", ONE_NODE),
    ("session_max_per_connection", NO_PROTOCOL),
    ("link_max_per_session", NO_PROTOCOL),
    ("channel_max_per_node", " (max_connections and max_channels_per_connection are)"),
    ("log.console", TO_STDERR),
    ("log.console.stdio", TO_STDERR),
    ("log.console.use_colors", " (a terminal gets colours, nothing else does)"),
    ("log.exchange", " (bind a queue to amq.rabbitmq.event)"),
    ("management.rates_mode", " (rates are of queues, exchanges and channels, not of their pairs)"),
    ("management.http_log_dir", " (a proxy in front can write such a log)"),
    ("management.http.max_body_size", " (20 MB are taken)"),
    ("management.login_session_timeout", NO_PAGE),
    ("management.credential_encryption_secret", NO_PAGE),
    ("management.require_auth_for_api_reference", " (the description of the API is open)"),
    ("management.oauth_disable_basic_auth", " (management.disable_basic_auth is)"),
    ("management.delegate_count", ONE_NODE),
    ("management.db_cache_multiplier", " (nothing is asked of other nodes)"),
    ("event_exchange.protocol", " (events are AMQP 0-9-1's)"),
    ("auth_cache.cache_refusals", " (a refusal is not remembered)"),
    ("tcp_listen_options.exit_on_close", ERLANG),
    ("tcp_listen_options.send_timeout", " (nobody is closed for being slow)"),
    ("tcp_listen_options.send_timeout_close", " (nobody is closed for being slow)"),
    ("tcp_listen_options.linger.timeout", " (closing waits for nobody)"),
    ("product.name", " (it is Warren)"),
    ("product.version", " (it is Warren's)"),
];

/// The first that a key begins with counts.
const BEGINNINGS: &[(&str, &str)] = &[
    ("num_acceptors.", ERLANG),
    ("socket_writer.", ERLANG),
    ("background_gc_", ERLANG),
    ("erlang.", ERLANG),
    ("hipe_", ERLANG),
    ("sysmon_handler.", ERLANG),
    ("vm_memory_calculation_strategy", ERLANG),
    ("default_worker_pool_size", ERLANG),
    ("delegate_count", ERLANG),
    ("tcp_listen_options.", ERLANG),
    ("cluster_tags.", UNKNOWN),
    ("cluster_", ONE_NODE),
    ("queue_leader_locator", ONE_NODE),
    ("queue_master_locator", ONE_NODE),
    ("quorum_queue.property_equivalence.", " (a queue's type is always compared)"),
    ("quorum_queue.wal_", STORAGE),
    ("quorum_queue.segment_", STORAGE),
    ("quorum_queue.compress_", STORAGE),
    ("quorum_queue.snapshot_", STORAGE),
    ("quorum_queue.compute_checksums", STORAGE),
    ("quorum_queue.", ONE_NODE),
    ("net_ticktime", ONE_NODE),
    ("distribution.", ONE_NODE),
    ("mirroring_", ONE_NODE),
    ("raft.", ONE_NODE),
    ("autocluster.", ONE_NODE),
    ("management.restrictions.quorum_queue_replica_operations", ONE_NODE),
    ("metadata_store.", STORAGE),
    ("mnesia_", STORAGE),
    ("message_store_", STORAGE),
    ("msg_store_", STORAGE),
    ("queue_index_", STORAGE),
    ("classic_queue.", STORAGE),
    ("definitions.tls.certfile", " (no certificate is shown to that server)"),
    ("definitions.tls.keyfile", " (no certificate is shown to that server)"),
    ("definitions.tls.", TLS_LIBRARY),
    ("ssl_options.cert", " (a file is read: ssl_options.certfile)"),
    ("ssl_options.cacerts", " (a file is read: ssl_options.cacertfile)"),
    ("ssl_options.key.", " (a file is read: ssl_options.keyfile)"),
    ("ssl_options.ciphers", " (the library's choice of ciphers is taken)"),
    ("ssl_options.", TLS_LIBRARY),
    ("ssl_allow_poodle_attack", TLS_LIBRARY),
    ("amqp_client.", " (the broker is nobody's client)"),
    ("credential_validator.", " (passwords are not judged)"),
    ("deprecated_features.", " (no feature is switched by being deprecated)"),
    ("queue_types.", " (both classic and quorum queues are there, streams are not)"),
    ("message_interceptors.outgoing.", " (deliveries are as they were published)"),
    ("runtime_parameters.", " (parameters are not counted)"),
    ("channel_interceptor.", PLUGIN),
    ("auth_ldap.", NO_BACK_END),
    (
        "auth_http.ssl_options.",
        " (the service's certificate is verified: auth_http.ssl_options.cacertfile names who signs it)",
    ),
    ("auth_http.", " (the service is asked without it)"),
    ("auth_cache.", " (auth_cache.cache_ttl is)"),
    ("auth_oauth2.https.", " (the certificate is verified: auth_oauth2.https.cacertfile names who signs it)"),
    ("auth_oauth2.", TOKENS),
    ("log.console.formatter.", " (the form of lines is fixed: log.console.formatter is plaintext or json)"),
    ("log.console.", " (the form of lines is fixed)"),
    ("log.exchange.", " (bind a queue to amq.rabbitmq.event)"),
    ("log.file", TO_STDERR),
    ("log.dir", TO_STDERR),
    ("log.syslog", TO_STDERR),
    ("log.journald", TO_STDERR),
    ("log.", LOG_LEVEL),
    ("http_dispatch.", " (a proxy in front can write such a log)"),
    ("management.sample_retention_policies.", " (samples are kept for ten minutes of the node, for one of objects)"),
    ("management.tcp.", TIMES),
    ("management.ssl.", TLS_OF_ALL),
    ("management.listener.ssl", TLS_OF_ALL),
    ("management.listener.", TIMES),
    ("management.http.", TIMES),
    ("management.oauth_", NO_PAGE),
    ("management.csp.", NO_PAGE),
    ("management.hsts.", HEADERS),
    ("management.headers.", HEADERS),
    ("management.definitions.", " (a file is read whatever its name is)"),
    ("prometheus.tcp.", TIMES),
    ("prometheus.ssl.", " (figures are served without TLS; those of management.ssl.port are at its /metrics)"),
    ("prometheus.", " (it is as RabbitMQ has it by default)"),
    ("mqtt.", NO_PROTOCOL),
    ("stomp.", NO_PROTOCOL),
    ("web_mqtt.", NO_PROTOCOL),
    ("web_stomp.", NO_PROTOCOL),
    ("stream.", NO_PROTOCOL),
    ("amqp1_0.", NO_PROTOCOL),
    ("trust_store.", PLUGIN),
    ("shovel.", PLUGIN),
    ("federation.", PLUGIN),
    ("tracing.", " (messages are traced to amq.rabbitmq.trace, no files are written)"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_beginning_counts() {
        assert_eq!(reason("management.ssl.versions.1"), TLS_OF_ALL);
        assert_eq!(reason("log.file.rotation.size"), TO_STDERR);
        assert_eq!(reason("log.connection.level"), LOG_LEVEL);
        assert_eq!(reason("log.exchange"), " (bind a queue to amq.rabbitmq.event)");
        assert_eq!(reason("no.such.key"), UNKNOWN);
    }

    #[test]
    fn every_row_is_reached() {
        for (at, (beginning, _)) in BEGINNINGS.iter().enumerate() {
            let hides = |(before, _): &&(&str, &str)| beginning.starts_with(before);
            assert!(!BEGINNINGS.iter().take(at).any(|row| hides(&row)), "{beginning}");
        }
    }
}

//! What clients and tools are told that this is.

/// The RabbitMQ version whose API, tools and definitions these are: clients look at it to know what they may ask for.
pub const RABBITMQ_VERSION: &str = "4.2.0";

/// Plugins of RabbitMQ's whose work this broker does by itself.
pub const PLUGINS: &[&str] = &[
    "rabbitmq_auth_backend_cache",
    "rabbitmq_auth_backend_http",
    "rabbitmq_auth_backend_oauth2",
    "rabbitmq_auth_mechanism_ssl",
    "rabbitmq_consistent_hash_exchange",
    "rabbitmq_delayed_message_exchange",
    "rabbitmq_event_exchange",
    "rabbitmq_jms_topic_exchange",
    "rabbitmq_management",
    "rabbitmq_management_agent",
    "rabbitmq_message_deduplication",
    "rabbitmq_prometheus",
    "rabbitmq_random_exchange",
    "rabbitmq_recent_history_exchange",
    "rabbitmq_sharding",
    "rabbitmq_tracing",
];

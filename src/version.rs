//! What clients and tools are told that this is.

/// The RabbitMQ version whose API, tools and definitions these are: clients look at it to know what they may ask for.
pub const RABBITMQ_VERSION: &str = "4.2.0";

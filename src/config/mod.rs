//! Every setting, declared once: its key, type, default, bounds and meaning. The environment variables, the reference in
//! `warren serve --help` and the check of `config/warren.toml` are made from this declaration.
//!
//! Precedence: command line, then `WARREN_…` environment variables, then the file, then the defaults. A value that is
//! refused ends the start even when a stronger source overrides it.

mod declare;
mod error;
mod file;
mod input;
mod kinds;
mod memory;
mod secret;
mod sources;
#[cfg(test)]
mod tests;

pub use declare::Setting;
pub use error::ConfigError;
pub use memory::{Watermark, memory_available};
pub use secret::Secret;
pub use sources::{Override, Sources};

use crate::limits::{BODY_SIZE_CEILING, FRAME_MAX_MIN};
use crate::name::Name;
use declare::settings;
use kinds::{
    Addresses, Choice, Choices, Count, Flag, Location, Names, OneName, OptionalLocation, OptionalName, Password, Share,
    Size, Span, Unit,
};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// When a durable commit is flushed to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncMode {
    /// Before its messages are confirmed: the only mode in which a confirm means fsynced.
    Always,
    /// Every `durability.interval`; confirms do not wait for it, so a power cut may lose what was confirmed since.
    Interval,
    /// When the kernel likes: a power cut may lose anything it still holds. A killed process loses nothing.
    Never,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What needs an operator.
    Error,
    /// What may need one.
    Warn,
    /// Starts, stops, refused clients.
    Info,
    /// Every connection and channel.
    Debug,
    /// Every method.
    Trace,
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The type of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueType {
    /// A classic queue.
    Classic,
    /// A quorum queue.
    Quorum,
}

const SYNC_MODES: &[(&str, SyncMode)] =
    &[("always", SyncMode::Always), ("interval", SyncMode::Interval), ("never", SyncMode::Never)];

const LOG_LEVELS: &[(&str, LogLevel)] = &[
    ("off", LogLevel::Off),
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];

const MECHANISMS: &[&str] = &["PLAIN", "AMQPLAIN", "ANONYMOUS", "EXTERNAL"];

const QUEUE_TYPES: &[(&str, QueueType)] = &[("classic", QueueType::Classic), ("quorum", QueueType::Quorum)];

const LOG_FORMATS: &[(&str, LogFormat)] = &[("text", LogFormat::Text), ("json", LogFormat::Json)];

/// Largest whole number a TOML file can hold.
const INTEGER_MAX: u64 = i64::MAX as u64;

settings! {
    Config {
        /// Directory of everything the broker keeps; made when missing. A relative path starts at the working directory.
        data_dir: PathBuf = r#""./data""#, Location;
    }

    /// Where clients connect, and how many may.
    listener: ListenerConfig {
        /// Addresses to listen on: one, or a list of them. Port 0 takes a free port.
        address: Vec<SocketAddr> = r#""127.0.0.1:5672""#, Addresses;
        /// Connections the kernel holds for us before they are accepted.
        backlog: u32 = "1024", Count { min: 1, max: 65535 };
        /// Small writes are sent at once (TCP_NODELAY).
        nodelay: bool = "true", Flag;
        /// Time for the whole handshake, from the first byte to connection.open.
        handshake_timeout: Duration = r#""10s""#, Span { min_ms: 100, max_ms: 3_600_000, unit: Unit::Seconds };
        /// Open client connections at a time; 0 = no limit. Some more sockets may be in their handshake.
        connection_max: u32 = "0", Count { min: 0, max: u32::MAX };
    }

    /// What a client may ask of the broker.
    limits: LimitsConfig {
        /// Largest frame, in bytes, offered to clients; 0 = no limit.
        frame_max: u32 = "131072", Size { min: FRAME_MAX_MIN, max: BODY_SIZE_CEILING as u32, zero: true };
        /// Channels a connection, as offered to clients; 0 = no limit.
        channel_max: u16 = "2047", Count { min: 0, max: u16::MAX };
        /// Heartbeat interval offered to clients, in whole seconds; 0 = none.
        heartbeat: u16 = r#""60s""#, kinds::WholeSeconds;
        /// Largest message body, in bytes.
        max_message_size: u64 = r#""16MiB""#, Size { min: 1, max: BODY_SIZE_CEILING, zero: false };
        /// Consumers a channel; 0 = no limit.
        consumer_max_per_channel: u32 = "0", Count { min: 0, max: u32::MAX };
        /// How long a delivery may wait for its acknowledgement before its channel is closed; 0 = for ever. Queues and
        /// consumers may say otherwise (x-consumer-timeout).
        consumer_timeout: Duration = r#""30m""#, Span { min_ms: 0, max_ms: 31_536_000_000, unit: Unit::Seconds };
        /// Bytes a connection may have published and not yet confirmed or stored; past it, its socket is not read.
        unconfirmed_bytes_max: u64 = r#""32MiB""#, Size { min: 1, max: INTEGER_MAX, zero: false };
        /// Bytes of publishes that a connection may send while an alarm lasts: they are held, not confirmed, and taken when it
        /// is over; acks and consumers go on. Past it, its socket is not read; 0 = from its first publish on, as RabbitMQ.
        held_bytes_max: u64 = r#""16MiB""#, Size { min: 1, max: INTEGER_MAX, zero: true };
    }

    /// Queues.
    queues: QueuesConfig {
        /// The type of queues whose declaration names none, where their virtual host has no default of its own.
        default_type: QueueType = r#""classic""#, Choice(QUEUE_TYPES);
    }

    /// Memory for messages.
    memory: MemoryConfig {
        /// Message bytes kept in memory; past it they are on disk only. A share of the memory this process may use (the
        /// least of its cgroup's limit and the machine's memory), or a size in bytes.
        high_watermark: Watermark = "0.6", Share;
        /// Bytes of publishes that all connections together may hold while an alarm lasts (limits.held_bytes_max), beside the
        /// above: a share of the memory this process may use, or a size in bytes.
        held_watermark: Watermark = "0.02", Share;
    }

    /// The data directory's file system.
    disk: DiskConfig {
        /// Free bytes below which publishers are held; 0 = never.
        free_limit: u64 = r#""1GiB""#, Size { min: 1, max: INTEGER_MAX, zero: true };
    }

    /// What a confirm promises.
    durability: DurabilityConfig {
        /// always: a confirm waits for fsync. interval: fsync every durability.interval, confirms do not wait for it, a power
        /// cut may lose them. never: fsync is left to the kernel. A killed process loses nothing confirmed in any of them.
        sync: SyncMode = r#""always""#, Choice(SYNC_MODES);
        /// Time between fsyncs when sync = "interval".
        interval: Duration = r#""200ms""#, Span { min_ms: 1, max_ms: 3_600_000, unit: Unit::Milliseconds };
    }

    /// The log, on standard error.
    log: LogConfig {
        /// What is logged: this level and graver ones.
        level: LogLevel = r#""info""#, Choice(LOG_LEVELS);
        /// text: lines for people. json: one object a line.
        format: LogFormat = r#""text""#, Choice(LOG_FORMATS);
    }

    /// Who may log in.
    auth: AuthConfig {
        /// The user made when there are neither users nor virtual hosts: at a first start. It is an administrator.
        default_user: Name = r#""guest""#, OneName;
        /// That user's password.
        default_password: Secret = r#""guest""#, Password;
        /// The virtual host made with that user, who has all permissions there.
        default_vhost: Name = r#""/""#, OneName;
        /// The SASL mechanisms that are offered: EXTERNAL only to clients with a trusted certificate.
        mechanisms: Vec<&'static str> = r#"["PLAIN", "AMQPLAIN", "ANONYMOUS", "EXTERNAL"]"#, Choices(MECHANISMS);
        /// The user as whom clients are logged in that do not say who they are (ANONYMOUS); "" for none.
        anonymous_login_user: Option<Name> = r#""guest""#, OptionalName;
        /// That user's password: while it is another, nobody is logged in so.
        anonymous_login_password: Secret = r#""guest""#, Password;
        /// Users who may log in only from this machine.
        loopback_users: Vec<Name> = r#"["guest"]"#, Names;
    }

    /// What is made at each start.
    definitions: DefinitionsConfig {
        /// A definitions file as RabbitMQ exports it, of a whole broker. What it names is made or set, nothing is deleted. A
        /// node that has nothing yet gets neither the default user nor the default virtual host then.
        file: Option<PathBuf> = r#""""#, OptionalLocation;
    }

    /// The process.
    server: ServerConfig {
        /// Time a stop may take: clients are told, then everything is committed.
        shutdown_timeout: Duration = r#""10s""#, Span { min_ms: 0, max_ms: 3_600_000, unit: Unit::Seconds };
        /// Virtual host of the exchange amq.rabbitmq.event, which tells what happens on the node.
        event_vhost: Name = r#""/""#, OneName;
        /// Virtual hosts whose messages are copied to their firehose, amq.rabbitmq.trace, from the start on.
        trace_vhosts: Vec<Name> = "[]", Names;
        /// Threads that serve connections; 0 = one a core.
        worker_threads: usize = "0", Count { min: 0, max: 1024 };
    }
}

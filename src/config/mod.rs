//! Every setting, declared once: its key, type, default, bounds and meaning. The environment variables, the reference in
//! `warren serve --help` and the check of `config/warren.toml` are made from this declaration.
//!
//! Precedence: command line, then `WARREN_…` environment variables, then the file (TOML), then `RABBITMQ_…` environment
//! variables, then `rabbitmq.conf`, then the defaults. A value that is refused ends the start even when a stronger source
//! overrides it.

mod declare;
mod error;
mod file;
mod input;
mod kinds;
mod memory;
mod rabbit;
mod secret;
mod seeds;
mod sources;
#[cfg(test)]
mod tests;
mod together;
mod vhosts;

pub use declare::Setting;
pub use error::ConfigError;
pub(crate) use file::nearest;
pub use memory::{Watermark, memory_available};
pub use secret::Secret;
pub use seeds::{VhostPolicy, VhostUser};
pub use sources::{Effective, Loaded, Override, Sources};
pub use vhosts::VhostDefaults;

use crate::limits::{BODY_SIZE_CEILING, FRAME_MAX_MIN, INITIAL_FRAME_MAX_CEILING};
use crate::name::Name;
use declare::settings;
use kinds::{
    Addresses, Aliases, Choice, Choices, Count, Flag, Location, Names, Networks, OneName, OptionalAddresses,
    OptionalLocation, OptionalName, OptionalPassword, Password, PathOrUrl, Share, Size, Span, Text, Unit, Url,
};
use std::net::{IpAddr, SocketAddr};
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

/// Whether clients show certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    /// They are not asked for one.
    Ignored,
    /// One that is shown must be signed by an authority.
    Verified,
    /// One must be shown, too.
    Required,
}

/// Where the user's name stands in a client's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginFrom {
    /// The whole subject.
    DistinguishedName,
    /// The subject's common name.
    CommonName,
    /// An alternative name: a host.
    SanDns,
    /// An alternative name: an IP address.
    SanIp,
    /// An alternative name: an e-mail address.
    SanEmail,
    /// An alternative name: a URI.
    SanUri,
}

/// How an outside service is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpMethod {
    /// GET, the parameters in the address.
    Get,
    /// POST, the parameters as a form.
    Post,
}

/// How new passwords are hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordHashing {
    /// Argon2id.
    Argon2id,
    /// SHA-256 with a salt of four bytes, RabbitMQ's own.
    Sha256,
    /// SHA-512 with a salt of four bytes.
    Sha512,
}

/// What becomes of something that a message says already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// Nothing is written.
    Off,
    /// It is written where the message does not say it.
    Missing,
    /// It is written in any case.
    Overwrite,
}

/// Whether messages are counted for those who ask the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RatesMode {
    /// Objects have no `message_stats`.
    None,
    /// Each object has its own.
    Basic,
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

const CLIENT_CERTIFICATES: &[(&str, ClientCertificates)] = &[
    ("none", ClientCertificates::Ignored),
    ("verify", ClientCertificates::Verified),
    ("require", ClientCertificates::Required),
];

const LOGIN_FROM: &[(&str, LoginFrom)] = &[
    ("distinguished_name", LoginFrom::DistinguishedName),
    ("common_name", LoginFrom::CommonName),
    ("san_dns", LoginFrom::SanDns),
    ("san_ip", LoginFrom::SanIp),
    ("san_email", LoginFrom::SanEmail),
    ("san_uri", LoginFrom::SanUri),
];

const TLS_VERSIONS: &[&str] = &["1.2", "1.3"];

const MECHANISMS: &[&str] = &["PLAIN", "AMQPLAIN", "ANONYMOUS", "EXTERNAL"];

const BACKENDS: &[&str] = &["internal", "http", "http_login", "oauth2"];

const HTTP_METHODS: &[(&str, HttpMethod)] = &[("get", HttpMethod::Get), ("post", HttpMethod::Post)];

const PASSWORD_HASHINGS: &[(&str, PasswordHashing)] = &[
    ("argon2id", PasswordHashing::Argon2id),
    ("sha256", PasswordHashing::Sha256),
    ("sha512", PasswordHashing::Sha512),
];

const QUEUE_TYPES: &[(&str, QueueType)] = &[("classic", QueueType::Classic), ("quorum", QueueType::Quorum)];

const STAMPS: &[(&str, Stamp)] = &[("off", Stamp::Off), ("missing", Stamp::Missing), ("overwrite", Stamp::Overwrite)];

const RATES_MODES: &[(&str, RatesMode)] = &[("none", RatesMode::None), ("basic", RatesMode::Basic)];

const LOG_FORMATS: &[(&str, LogFormat)] = &[("text", LogFormat::Text), ("json", LogFormat::Json)];

/// The least and the largest buffer of a socket.
const SOCKET_BUFFER_MIN: u32 = 4096;
const SOCKET_BUFFER_MAX: u32 = 1 << 30;

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
        address: Vec<SocketAddr> = r#""127.0.0.1:5672""#, Addresses("127.0.0.1:5672");
        /// Addresses to listen on with TLS (5671 is usual). They need tls.certificate and tls.key.
        tls_address: Vec<SocketAddr> = "[]", Addresses("0.0.0.0:5671");
        /// Proxies that say who their clients are, by the PROXY protocol (version 1 or 2): connections from these addresses
        /// have to begin with its header, all others must not.
        proxies: Vec<(IpAddr, u8)> = "[]", Networks;
        /// Connections the kernel holds for us before they are accepted.
        backlog: u32 = "1024", Count { min: 1, max: 65535 };
        /// Small writes are sent at once (TCP_NODELAY).
        nodelay: bool = "true", Flag;
        /// The kernel asks clients that are silent for long whether they are still there (SO_KEEPALIVE).
        keepalive: bool = "false", Flag;
        /// Bytes that the kernel keeps of what comes in (SO_RCVBUF); 0 = as many as it likes.
        receive_buffer: u32 = "0", Size { min: SOCKET_BUFFER_MIN, max: SOCKET_BUFFER_MAX, zero: true };
        /// Bytes that the kernel keeps of what goes out (SO_SNDBUF); 0 = as many as it likes.
        send_buffer: u32 = "0", Size { min: SOCKET_BUFFER_MIN, max: SOCKET_BUFFER_MAX, zero: true };
        /// Connections end with a reset (SO_LINGER, 0 s): nothing of them stays in the kernel, and what a client has not taken
        /// by then is lost.
        reset_on_close: bool = "false", Flag;
        /// Time for the whole handshake, from the first byte to connection.open.
        handshake_timeout: Duration = r#""10s""#, Span { min_ms: 100, max_ms: 3_600_000, unit: Unit::Seconds };
        /// Open client connections at a time; 0 = no limit. Some more sockets may be in their handshake.
        connection_max: u32 = "0", Count { min: 0, max: u32::MAX };
    }

    /// Certificates. They are read again when their files change, or on SIGHUP: new connections use them.
    tls: TlsConfig {
        /// The broker's certificate, with those it is signed by behind it, PEM.
        certificate: Option<PathBuf> = r#""""#, OptionalLocation;
        /// Its private key, PEM.
        key: Option<PathBuf> = r#""""#, OptionalLocation;
        /// The key's password, if it is encrypted (PKCS #8, "BEGIN ENCRYPTED PRIVATE KEY"); "" for none.
        key_password: Secret = r#""""#, OptionalPassword;
        /// The certificates of those who may sign clients' certificates, PEM.
        authorities: Option<PathBuf> = r#""""#, OptionalLocation;
        /// Clients' certificates: none = not asked for. verify = one that is shown must be signed by one of tls.authorities; its
        /// client may log in by it (EXTERNAL). require = one must be shown, too.
        clients: ClientCertificates = r#""none""#, Choice(CLIENT_CERTIFICATES);
        /// The user whom a client's certificate names: its subject ("CN=app,O=Acme"), the subject's common name, or an
        /// alternative name of some type.
        login_from: LoginFrom = r#""distinguished_name""#, Choice(LOGIN_FROM);
        /// Which one of several alternative names of that type, from 0.
        login_from_place: usize = "0", Count { min: 0, max: 1000 };
        /// Versions of TLS.
        versions: Vec<&'static str> = r#"["1.2", "1.3"]"#, Choices(TLS_VERSIONS);
    }

    /// RabbitMQ's management HTTP API.
    management: ManagementConfig {
        /// Addresses to serve it on: one, or a list of them; [] for none. Port 0 takes a free port. Whoever may log in from
        /// this machine only (auth.loopback_users) may do so here too.
        address: Vec<SocketAddr> = r#""127.0.0.1:15672""#, OptionalAddresses;
        /// Addresses to serve it on with TLS (15671 is usual). They need a certificate and its key.
        tls_address: Vec<SocketAddr> = "[]", OptionalAddresses;
        /// What its paths begin with, such as "/broker": then the API is below /broker/api, and the figures are at /broker/metrics.
        path_prefix: String = r#""""#, kinds::PathPrefix;
        /// basic: objects have message_stats, what was done with messages and how fast. none: they have not.
        rates_mode: RatesMode = r#""basic""#, Choice(RATES_MODES);
        /// Objects have no statistics at all, as if every request said disable_stats=true.
        disable_stats: bool = "false", Flag;
        /// Queues tell how many messages are in them although there are no statistics, as with enable_queue_totals=true.
        enable_queue_totals: bool = "false", Flag;
        /// Operator policies can be set and cleared by it.
        operator_policy_changes: bool = "true", Flag;
        /// Names and passwords are taken (HTTP Basic); tokens are in any case.
        basic_auth: bool = "true", Flag;
        /// The certificate of tls_address, with those it is signed by behind it, PEM; "" for tls.certificate and tls.key.
        tls_certificate: Option<PathBuf> = r#""""#, OptionalLocation;
        /// Its private key, PEM.
        tls_key: Option<PathBuf> = r#""""#, OptionalLocation;
        /// The key's password, as tls.key_password.
        tls_key_password: Secret = r#""""#, OptionalPassword;
        /// Clients' certificates there, as tls.clients. They are verified only: nobody logs in by them.
        tls_clients: ClientCertificates = r#""none""#, Choice(CLIENT_CERTIFICATES);
        /// The certificates of those who may sign them, PEM; "" for tls.authorities.
        tls_authorities: Option<PathBuf> = r#""""#, OptionalLocation;
        /// Time between two samples of the numbers that rates are made of.
        sample_interval: Duration = r#""5s""#, Span { min_ms: 100, max_ms: 60_000, unit: Unit::Seconds };
        /// Sites whose pages may use it from a browser, such as "https://example.org", or "*" for all; [] for none.
        cors_origins: Vec<Name> = "[]", Names;
        /// How long a browser may remember that.
        cors_max_age: Duration = r#""30m""#, Span { min_ms: 0, max_ms: 86_400_000, unit: Unit::Seconds };
    }

    /// Figures for Prometheus.
    prometheus: PrometheusConfig {
        /// Addresses to serve them on, without login: one, or a list of them; [] for none. Port 0 takes a free port. They
        /// are at /metrics of management.address too, for monitoring users.
        address: Vec<SocketAddr> = r#""127.0.0.1:15692""#, OptionalAddresses;
        /// /metrics tells of every object, as /metrics/per-object does, not of the node as a whole.
        per_object: bool = "false", Flag;
    }

    /// What a client may ask of the broker.
    limits: LimitsConfig {
        /// Largest frame, in bytes, offered to clients; 0 = no limit.
        frame_max: u32 = "131072", Size { min: FRAME_MAX_MIN, max: BODY_SIZE_CEILING as u32, zero: true };
        /// Largest frame taken before a client is logged in, in bytes: long tokens need more.
        initial_frame_max: u32 = r#""8KiB""#, Size { min: FRAME_MAX_MIN, max: INITIAL_FRAME_MAX_CEILING, zero: false };
        /// Channels a connection, as offered to clients; 0 = no limit.
        channel_max: u16 = "2047", Count { min: 0, max: u16::MAX };
        /// Heartbeat interval offered to clients, in whole seconds; 0 = none.
        heartbeat: u16 = r#""60s""#, kinds::WholeSeconds;
        /// Largest message body, in bytes.
        max_message_size: u64 = r#""16MiB""#, Size { min: 1, max: BODY_SIZE_CEILING, zero: false };
        /// Virtual hosts; 0 = no limit.
        vhost_max: u32 = "0", Count { min: 0, max: u32::MAX };
        /// The limits that a virtual host is made with, those of the first regular expression that is found in its name. They
        /// can be changed afterwards, as any virtual host's.
        vhost_limits: Vec<VhostDefaults> = "[]", vhosts::LimitsOfVhosts;
        /// The operator policies that a virtual host is made with: each whose regular expression is found in its name. vhosts and
        /// queues are ".*" and apply_to is "all" where they are not said.
        vhost_policies: Vec<VhostPolicy> = "[]", seeds::PoliciesOfVhosts;
        /// Queues of all virtual hosts; 0 = no limit.
        queue_max: u32 = "0", Count { min: 0, max: u32::MAX };
        /// Exchanges of all virtual hosts, those that are there without being declared too; 0 = no limit.
        exchange_max: u32 = "0", Count { min: 0, max: u32::MAX };
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

    /// What is written into messages as they come in. Each costs a message its rewritten header.
    stamps: StampsConfig {
        /// The time, as the property timestamp and in milliseconds as the header timestamp_in_ms. missing: where a message has none.
        timestamp: Stamp = r#""off""#, Choice(STAMPS);
        /// The node's name, as the header x-routed-by. missing: where a message has none.
        routing_node: Stamp = r#""off""#, Choice(STAMPS);
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

    /// The log and traces by OTLP, as OpenTelemetry's collectors take them: in builds with the cargo feature otlp.
    otlp: OtlpConfig {
        /// Where log records go, by HTTP with protobuf: "http://localhost:4318/v1/logs"; "" for nowhere.
        logs_endpoint: String = r#""""#, Url { optional: true };
        /// Where traces go, in the same way: "http://localhost:4318/v1/traces"; "" for nowhere. A span is a connection of a client, a
        /// request to the management API, an import of definitions at the start, the start and the stop of the node.
        traces_endpoint: String = r#""""#, Url { optional: true };
        /// Who signs the collector's certificate (https://), PEM; none: whom the system trusts.
        authorities: Option<PathBuf> = r#""""#, OptionalLocation;
        /// The name of the service in them.
        service_name: String = r#""warren""#, Text;
        /// Time for a request.
        timeout: Duration = r#""5s""#, Span { min_ms: 10, max_ms: 60_000, unit: Unit::Seconds };
    }

    /// Who may log in.
    auth: AuthConfig {
        /// The user made when there are neither users nor virtual hosts: at a first start.
        default_user: Name = r#""guest""#, OneName;
        /// That user's tags.
        default_tags: Vec<Name> = r#"["administrator"]"#, Names;
        /// That user's password.
        default_password: Secret = r#""guest""#, Password;
        /// The virtual host made with that user.
        default_vhost: Name = r#""/""#, OneName;
        /// Names of what that user may make and delete there, a regular expression.
        default_configure: String = r#"".*""#, Text;
        /// Names of what that user may write to there.
        default_write: String = r#"".*""#, Text;
        /// Names of what that user may read from there.
        default_read: String = r#"".*""#, Text;
        /// The users that a virtual host is made with: each whose regular expression is found in its name gets permissions there, and
        /// is made where there is no user of that name. Without a password nobody logs in by one; the rest is ".*" where it is
        /// not said. In the variable they are written as here.
        vhost_users: Vec<VhostUser> = "[]", seeds::UsersOfVhosts;
        /// The SASL mechanisms that are offered: EXTERNAL only to clients with a trusted certificate.
        mechanisms: Vec<&'static str> = r#"["PLAIN", "AMQPLAIN", "ANONYMOUS", "EXTERNAL"]"#, Choices(MECHANISMS);
        /// The user as whom clients are logged in that do not say who they are (ANONYMOUS); "" for none.
        anonymous_login_user: Option<Name> = r#""guest""#, OptionalName;
        /// That user's password: while it is another, nobody is logged in so.
        anonymous_login_password: Secret = r#""guest""#, Password;
        /// Who decides about logins, asked in this order; the first that knows the client decides. internal: the broker's own users.
        /// http: an outside service (auth_http). http_login: the same, but rights are those of the broker's own user of that
        /// name. oauth2: tokens in the password's place (auth_oauth2).
        backends: Vec<&'static str> = r#"["internal"]"#, Choices(BACKENDS);
        /// How new passwords are hashed: argon2id is the hardest to guess from a stolen copy; RabbitMQ knows sha256 and sha512
        /// only, so that users who are to log in there by the same password need one of those. Old hashes stay as they are.
        password_hashing: PasswordHashing = r#""argon2id""#, Choice(PASSWORD_HASHINGS);
        /// Users who may log in only from this machine.
        loopback_users: Vec<Name> = r#"["guest"]"#, Names;
    }

    /// An outside service that decides about logins and rights, asked as RabbitMQ's HTTP back end asks it (auth.backends).
    auth_http: AuthHttpConfig {
        /// Who may log in: the parameters username and password; it answers allow with tags behind it, or deny.
        user_url: String = r#""http://localhost:8000/auth/user""#, Url { optional: false };
        /// Who may be in a virtual host: username, vhost, ip, tags.
        vhost_url: String = r#""http://localhost:8000/auth/vhost""#, Url { optional: false };
        /// Who may do what: username, vhost, resource (queue or exchange), name, permission, tags.
        resource_url: String = r#""http://localhost:8000/auth/resource""#, Url { optional: false };
        /// Who may use which routing key of a topic exchange: the same, and routing_key.
        topic_url: String = r#""http://localhost:8000/auth/topic""#, Url { optional: false };
        /// get or post.
        method: HttpMethod = r#""get""#, Choice(HTTP_METHODS);
        /// Time for an answer.
        timeout: Duration = r#""5s""#, Span { min_ms: 10, max_ms: 60_000, unit: Unit::Seconds };
        /// How long an answer about rights is good.
        cache_ttl: Duration = r#""15s""#, Span { min_ms: 0, max_ms: 3_600_000, unit: Unit::Seconds };
        /// Whether an allowed login is good for as long: until then the service is not asked about the same name and password.
        cache_logins: bool = "false", Flag;
        /// Who signs the certificates of https:// services, PEM; "" for whom the system trusts.
        authorities: Option<PathBuf> = r#""""#, OptionalLocation;
    }

    /// Logins by tokens (JWT), whose scopes are RabbitMQ's (auth.backends).
    auth_oauth2: AuthOauth2Config {
        /// The keys that tokens are signed with: a JSON web key set, a path or a URL; "" for where the issuer's description
        /// (issuer, and /.well-known/openid-configuration behind it) says.
        keys: String = r#""""#, PathOrUrl;
        /// This service's name, which a token's audience must hold.
        resource_server_id: String = r#""rabbitmq""#, Text;
        /// Whether the audience is looked at.
        verify_audience: bool = "true", Flag;
        /// Who must have issued a token, a URL where it has no keys; "" for whoever has the keys.
        issuer: String = r#""""#, Text;
        /// What scopes begin with; "" is the service's name with a dot.
        scope_prefix: String = r#""""#, Text;
        /// Claims that hold scopes, besides "scope"; members of members with dots between: "realm_access.roles".
        more_scopes: Vec<Name> = "[]", Names;
        /// Scopes that stand for others.
        scope_aliases: Vec<(String, Vec<String>)> = "[]", Aliases;
        /// Claims that name the user: the first that a token has.
        user_claims: Vec<Name> = r#"["sub", "client_id"]"#, Names;
        /// Who signs the certificate of an https:// server of keys, PEM; "" for whom the system trusts.
        authorities: Option<PathBuf> = r#""""#, OptionalLocation;
    }

    /// What is made at each start.
    definitions: DefinitionsConfig {
        /// A definitions file as RabbitMQ exports it, of a whole broker, or a directory: its files *.json in the order of
        /// their names. What they name is made or set, nothing is deleted. A node that has nothing yet gets neither the
        /// default user nor the default virtual host then.
        file: Option<PathBuf> = r#""""#, OptionalLocation;
        /// Where to fetch such a file at each start, "https://example.org/definitions.json"; "" for nowhere. It is imported
        /// after definitions.file. A server that does not answer within a minute with status 200, or with more than 128 MiB,
        /// ends the start; redirects are not followed.
        url: String = r#""""#, Url { optional: true };
        /// Who signs the certificate of an https:// server of them, PEM; "" for whom the system trusts.
        authorities: Option<PathBuf> = r#""""#, OptionalLocation;
        /// Nothing is imported when it is the same as at the last import, by its SHA-256: what has been changed or deleted
        /// since stays so. The global parameter imported_definition_hash_value holds it; clear it to import once more.
        skip_if_unchanged: bool = "false", Flag;
    }

    /// The process.
    server: ServerConfig {
        /// Time a stop may take: clients are told, then everything is committed.
        shutdown_timeout: Duration = r#""10s""#, Span { min_ms: 0, max_ms: 3_600_000, unit: Unit::Seconds };
        /// The cluster's name, which clients are told, until it is set by rabbitmqctl set_cluster_name or the management API.
        cluster_name: Name = r#""warren""#, OneName;
        /// The node's name in the management API, figures, events and messages; "" for warren@ and the machine's name.
        node_name: String = r#""""#, Text;
        /// Words about the cluster that the management API shows, by names.
        cluster_tags: Vec<(String, String)> = "{}", seeds::Labels;
        /// Words about the node, likewise.
        node_tags: Vec<(String, String)> = "{}", seeds::Labels;
        /// Virtual host of the exchange amq.rabbitmq.event, which tells what happens on the node.
        event_vhost: Name = r#""/""#, OneName;
        /// Virtual hosts whose messages are copied to their firehose, amq.rabbitmq.trace, from the start on.
        trace_vhosts: Vec<Name> = "[]", Names;
        /// Threads that serve connections; 0 = one a core.
        worker_threads: usize = "0", Count { min: 0, max: 1024 };
    }
}

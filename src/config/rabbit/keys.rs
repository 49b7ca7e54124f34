//! What each key of `rabbitmq.conf` means here.

use super::environment::NODE_NAME;
use super::reasons::{SO_ANYWAY, UNKNOWN, reason};
use super::seeds;
use crate::config::error::{ConfigError, Origin};
use crate::config::input::Input;
use crate::config::memory;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Where a value stands, and under which key.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub origin: Origin,
    pub key: String,
}

impl Place {
    pub fn nowhere(key: &str) -> Place {
        Place { origin: Origin::Default, key: key.to_owned() }
    }

    pub fn wrong(&self, expected: &str, found: String) -> ConfigError {
        ConfigError::value(self.origin.clone(), &self.key, expected.to_owned(), found)
    }

    /// Another key is missing beside the one that stands here.
    pub fn needs(&self, other: &str) -> ConfigError {
        ConfigError::needs(self.origin.clone(), &self.key, other)
    }
}

/// What a key means.
#[derive(Debug, PartialEq)]
pub(super) enum Meaning {
    /// A setting's value.
    Setting(&'static str, Input),
    /// One of several values of a setting.
    Part(&'static str, String),
    /// The interface of a setting that is an address, and its port where no key gives one.
    Interface(&'static str, IpAddr, u16),
    /// A setting has none of its several values.
    None(&'static str),
    /// The key's part of several values is not there.
    Without(&'static str),
    /// `total_memory_available_override_value`: what shares of memory are shares of.
    Memory(i64),
    /// `ssl_options.verify`, or management's: the setting, and whether.
    Verify(&'static str, bool),
    /// `ssl_options.fail_if_no_peer_cert`, or management's.
    Require(&'static str, bool),
    /// `ssl_cert_login_from`.
    LoginFrom(String),
    /// `ssl_cert_login_san_type`.
    SanType(String),
    /// `auth_oauth2.scope_aliases`: which of them, whether this is what it stands for, the value. `NAME = SCOPES` is both.
    Alias(String, bool, String),
    /// `auth_backends.N.authz = internal`: what the service has let in has the rights of the broker's own user.
    OwnRights,
    /// `default_limits.vhosts.N`: the set, which of its three keys, the value.
    VhostLimit(String, VhostLimit, String),
    /// A member of a table of a setting that is a list of these: the setting, the table's name, the member, its value. Without a
    /// name the setting is one table.
    Member(&'static str, String, String, Input),
    /// `tcp_listen_options.linger.on` and `.timeout`.
    Linger(Option<bool>, Option<u64>),
    /// `definitions.import_backend`.
    DefinitionsFrom(DefinitionsFrom),
    /// Where that back end finds definitions: they are imported when `definitions.import_backend` names it.
    DefinitionsPlace(DefinitionsFrom, String),
    /// What is so anyway.
    Default,
    /// Nothing; what to do instead, if anything.
    Unused(&'static str),
}

/// A key of `default_limits.vhosts.N`, in the order in which a setting names their values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum VhostLimit {
    Connections,
    Queues,
    Pattern,
}

/// A back end of definitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DefinitionsFrom {
    /// A file, or a directory of files.
    Local,
    /// A server.
    Https,
}

impl DefinitionsFrom {
    /// The setting of its place.
    pub fn setting(self) -> &'static str {
        match self {
            DefinitionsFrom::Local => "definitions.file",
            DefinitionsFrom::Https => "definitions.url",
        }
    }

    /// RabbitMQ's key of its place.
    pub fn key(self) -> &'static str {
        match self {
            DefinitionsFrom::Local => "definitions.local.path",
            DefinitionsFrom::Https => "definitions.https.url",
        }
    }
}

/// The longest consumer timeout, in ms.
const YEAR_MS: u64 = 31_536_000_000;

/// What is expected instead of a value.
pub(super) type Expected = &'static str;

/// Networks whose proxies are believed where RabbitMQ believes everybody: private ones, and this machine.
const PRIVATE_NETWORKS: &[&str] = &[
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "::1/128",
    "fc00::/7",
    "fe80::/10",
];

/// Whether a key's value is not to be shown.
pub(super) fn is_secret(key: &str) -> bool {
    key.contains("pass")
}

/// What a key with this value means.
pub(super) fn meaning(key: &str, value: &str) -> Result<Meaning, Expected> {
    if let Some(meaning) = sockets(key, value)? {
        return Ok(meaning);
    }
    if let Some(meaning) = exact(key, value)? {
        return Ok(meaning);
    }
    if let Some(meaning) = seeds::meaning(key, value) {
        return meaning;
    }
    let (prefix, rest) = key.rsplit_once('.').unwrap_or(("", key));
    match prefix {
        "listeners.tcp" => Ok(Meaning::Part("listener.address", address(value)?)),
        "listeners.ssl" => Ok(Meaning::Part("listener.tls_address", address(value)?)),
        "management.tcp" if rest == "port" => Ok(Meaning::Part("management.address", address(value)?)),
        "management.ssl" if rest == "port" => Ok(Meaning::Part("management.tls_address", address(value)?)),
        "management.cors.allow_origins" => Ok(Meaning::Part("management.cors_origins", value.to_owned())),
        "management.listener" if rest == "port" => Ok(Meaning::Part("management.address", address(value)?)),
        "management.tcp" | "management.listener" if rest == "ip" => interface("management.address", value, 15672),
        "management.ssl" if rest == "ip" => interface("management.tls_address", value, 15671),
        "prometheus.tcp" if rest == "ip" => interface("prometheus.address", value, 15692),
        "prometheus.tcp" if rest == "port" => Ok(Meaning::Part("prometheus.address", address(value)?)),
        "ssl_options.versions" => match value {
            "tlsv1.2" => Ok(Meaning::Part("tls.versions", "1.2".to_owned())),
            "tlsv1.3" => Ok(Meaning::Part("tls.versions", "1.3".to_owned())),
            _ => Ok(Meaning::Unused(" (only tlsv1.2 and tlsv1.3 are spoken)")),
        },
        "loopback_users" if flag(value)? => Ok(Meaning::Part("auth.loopback_users", rest.to_owned())),
        "loopback_users" => Ok(Meaning::Without("auth.loopback_users")),
        "auth_backends" => backend(value),
        _ if prefix.starts_with("auth_backends.") && rest == "authn" => backend(value),
        _ if prefix.starts_with("auth_backends.") && rest == "authz" && value.ends_with("internal") => {
            Ok(Meaning::OwnRights)
        }
        _ if prefix.starts_with("default_limits.vhosts.") => vhost_limit(prefix, rest, value),
        "auth_oauth2.scope_aliases" => Ok(Meaning::Alias(key.to_owned(), false, format!("{rest} = {value}"))),
        _ if prefix.starts_with("auth_oauth2.scope_aliases.") && rest == "alias" => {
            Ok(Meaning::Alias(prefix.to_owned(), false, value.to_owned()))
        }
        _ if prefix.starts_with("auth_oauth2.scope_aliases.") && rest == "scope" => {
            Ok(Meaning::Alias(prefix.to_owned(), true, value.to_owned()))
        }
        "auth_oauth2.preferred_username_claims" => Ok(Meaning::Part("auth_oauth2.user_claims", value.to_owned())),
        "auth_mechanisms" if !super::super::MECHANISMS.contains(&value) => {
            Ok(Meaning::Unused(" (this mechanism is not there)"))
        }
        "auth_mechanisms" => Ok(Meaning::Part("auth.mechanisms", value.to_owned())),
        "default_user_tags" if flag(value)? => Ok(Meaning::Part("auth.default_tags", rest.to_owned())),
        "default_user_tags" => Ok(Meaning::Without("auth.default_tags")),
        "cluster_tags" => Ok(label("server.cluster_tags", rest, value)),
        "node_tags" => Ok(label("server.node_tags", rest, value)),
        "message_interceptors.incoming.set_header_timestamp" if rest == "overwrite" => stamp("stamps.timestamp", value),
        "message_interceptors.incoming.set_header_routing_node" if rest == "overwrite" => {
            stamp("stamps.routing_node", value)
        }
        _ if SO_ANYWAY.contains(&(key, value)) => Ok(Meaning::Default),
        _ => Ok(Meaning::Unused(reason(key))),
    }
}

/// The keys of listeners and their sockets.
fn sockets(key: &str, value: &str) -> Result<Option<Meaning>, Expected> {
    let meaning = match key {
        "listeners.tcp" if value == "none" => Meaning::None("listener.address"),
        "listeners.ssl" if value == "none" => Meaning::None("listener.tls_address"),
        "tcp_listen_options.backlog" => Meaning::Setting("listener.backlog", whole(value)?),
        "tcp_listen_options.nodelay" => Meaning::Setting("listener.nodelay", Input::Bool(flag(value)?)),
        "tcp_listen_options.keepalive" => Meaning::Setting("listener.keepalive", Input::Bool(flag(value)?)),
        "tcp_listen_options.recbuf" => Meaning::Setting("listener.receive_buffer", whole(value)?),
        "tcp_listen_options.sndbuf" => Meaning::Setting("listener.send_buffer", whole(value)?),
        "tcp_listen_options.linger.on" => Meaning::Linger(Some(flag(value)?), None),
        "tcp_listen_options.linger.timeout" => {
            Meaning::Linger(None, Some(value.parse().map_err(|_| "a whole number of seconds")?))
        }
        "proxy_protocol" if flag(value)? => {
            let networks = PRIVATE_NETWORKS.iter().map(|network| Input::Text((*network).to_owned())).collect();
            Meaning::Setting("listener.proxies", Input::List(networks))
        }
        "proxy_protocol" => Meaning::Setting("listener.proxies", Input::List(Vec::new())),
        "handshake_timeout" if value == "infinity" => {
            Meaning::Setting("listener.handshake_timeout", Input::Text("1h".to_owned()))
        }
        "handshake_timeout" => Meaning::Setting("listener.handshake_timeout", milliseconds(value)?),
        "connection_max" | "max_connections" => Meaning::Setting("listener.connection_max", limit(value)?),
        _ => return Ok(None),
    };
    Ok(Some(meaning))
}

/// Keys without a variable part.
fn exact(key: &str, value: &str) -> Result<Option<Meaning>, Expected> {
    let text = || Input::Text(value.to_owned());
    let meaning = match key {
        "total_memory_available_override_value" => match bytes(value)? {
            Input::Integer(bytes) => Meaning::Memory(bytes),
            _ => return Err("a size such as 2GB, 512MiB or 50000000"),
        },
        "ssl_options.certfile" => Meaning::Setting("tls.certificate", text()),
        "ssl_options.keyfile" => Meaning::Setting("tls.key", text()),
        "ssl_options.password" => Meaning::Setting("tls.key_password", text()),
        "ssl_options.cacertfile" => Meaning::Setting("tls.authorities", text()),
        "ssl_options.verify" => Meaning::Verify("tls.clients", verified(value)?),
        "ssl_options.fail_if_no_peer_cert" => Meaning::Require("tls.clients", flag(value)?),
        "management.ssl.certfile" => Meaning::Setting("management.tls_certificate", text()),
        "management.ssl.keyfile" => Meaning::Setting("management.tls_key", text()),
        "management.ssl.password" => Meaning::Setting("management.tls_key_password", text()),
        "management.ssl.cacertfile" => Meaning::Setting("management.tls_authorities", text()),
        "management.ssl.verify" => Meaning::Verify("management.tls_clients", verified(value)?),
        "management.ssl.fail_if_no_peer_cert" => Meaning::Require("management.tls_clients", flag(value)?),
        "ssl_cert_login_from" => match value {
            "distinguished_name" | "common_name" => Meaning::LoginFrom(value.to_owned()),
            "subject_alternative_name" | "subject_alt_name" => {
                Meaning::LoginFrom("subject_alternative_name".to_owned())
            }
            _ => return Err("distinguished_name, common_name or subject_alternative_name"),
        },
        "ssl_cert_login_san_type" => match value {
            "dns" | "ip" | "email" | "uri" => Meaning::SanType(value.to_owned()),
            _ => return Err("dns, ip, email or uri"),
        },
        "ssl_cert_login_san_index" => Meaning::Setting("tls.login_from_place", whole(value)?),
        "heartbeat" => Meaning::Setting("limits.heartbeat", whole(value)?),
        "frame_max" => Meaning::Setting("limits.frame_max", bytes(value)?),
        "initial_frame_max" => Meaning::Setting("limits.initial_frame_max", bytes(value)?),
        "channel_max" | "max_channels_per_connection" => Meaning::Setting("limits.channel_max", whole(value)?),
        "consumer_max_per_channel" => Meaning::Setting("limits.consumer_max_per_channel", limit(value)?),
        "max_message_size" => Meaning::Setting("limits.max_message_size", whole(value)?),
        "consumer_timeout" if ["undefined", "false", "infinity"].contains(&value) => {
            Meaning::Setting("limits.consumer_timeout", Input::Integer(0))
        }
        "consumer_timeout" => {
            // What is longer than the longest there is means for ever.
            let given: u64 = value.parse().map_err(|_| "a whole number of milliseconds")?;
            Meaning::Setting("limits.consumer_timeout", milliseconds(&given.min(YEAR_MS).to_string())?)
        }
        "default_queue_type" => match value.trim_start_matches("rabbit_").trim_end_matches("_queue") {
            "classic" => Meaning::Setting("queues.default_type", Input::Text("classic".to_owned())),
            "quorum" => Meaning::Setting("queues.default_type", Input::Text("quorum".to_owned())),
            _ => return Err("classic or quorum"),
        },
        "vm_memory_high_watermark.relative" => Meaning::Setting("memory.high_watermark", share(value)?),
        "vm_memory_high_watermark.absolute" => Meaning::Setting("memory.high_watermark", bytes(value)?),
        "disk_free_limit.absolute" => Meaning::Setting("disk.free_limit", bytes(value)?),
        "disk_free_limit.relative" => Meaning::Setting("disk.free_limit", of_memory(value)?),
        _ => return logins_and_logs(key, value),
    };
    Ok(Some(meaning))
}

fn logins_and_logs(key: &str, value: &str) -> Result<Option<Meaning>, Expected> {
    let text = |value: &str| Input::Text(value.to_owned());
    let none_is_empty = if value == "none" { "" } else { value };
    let meaning = match key {
        "vhost_max" => Meaning::Setting("limits.vhost_max", limit(value)?),
        "cluster_queue_limit" => Meaning::Setting("limits.queue_max", limit(value)?),
        "cluster_exchange_limit" => Meaning::Setting("limits.exchange_max", limit(value)?),
        "cluster_name" => Meaning::Setting("server.cluster_name", text(value)),
        "default_user" => Meaning::Setting("auth.default_user", text(value)),
        "default_pass" => Meaning::Setting("auth.default_password", text(value)),
        "default_vhost" => Meaning::Setting("auth.default_vhost", text(value)),
        "default_permissions.configure" => Meaning::Setting("auth.default_configure", text(value)),
        "default_permissions.write" => Meaning::Setting("auth.default_write", text(value)),
        "default_permissions.read" => Meaning::Setting("auth.default_read", text(value)),
        "anonymous_login_user" => Meaning::Setting("auth.anonymous_login_user", text(none_is_empty)),
        "anonymous_login_pass" => Meaning::Setting("auth.anonymous_login_password", text(value)),
        "password_hashing_module" => match value.trim_start_matches("rabbit_password_hashing_") {
            "sha256" => Meaning::Setting("auth.password_hashing", text("sha256")),
            "sha512" => Meaning::Setting("auth.password_hashing", text("sha512")),
            _ => return Err("rabbit_password_hashing_sha256 or rabbit_password_hashing_sha512"),
        },
        "loopback_users" if value == "none" => Meaning::None("auth.loopback_users"),
        "load_definitions" | "management.load_definitions" => Meaning::Setting("definitions.file", text(value)),
        "definitions.import_backend" => match value.trim_start_matches("rabbit_definitions_import_") {
            "local_filesystem" | "local" => Meaning::DefinitionsFrom(DefinitionsFrom::Local),
            "https" | "http" => Meaning::DefinitionsFrom(DefinitionsFrom::Https),
            _ => Meaning::Unused(" (local_filesystem and https are there)"),
        },
        "definitions.local.path" => Meaning::DefinitionsPlace(DefinitionsFrom::Local, value.to_owned()),
        "definitions.https.url" => Meaning::DefinitionsPlace(DefinitionsFrom::Https, value.to_owned()),
        "definitions.tls.cacertfile" => Meaning::Setting("definitions.authorities", text(value)),
        "definitions.tls.verify" => match value {
            "verify_peer" => Meaning::Default,
            "verify_none" => Meaning::Unused(" (it is verified: definitions.tls.cacertfile names who signs it)"),
            _ => return Err("verify_peer or verify_none"),
        },
        "definitions.skip_if_unchanged" => Meaning::Setting("definitions.skip_if_unchanged", Input::Bool(flag(value)?)),
        "definitions.hashing.algorithm" => match value {
            "sha256" => Meaning::Default,
            "sha" | "sha224" | "sha384" | "sha512" => Meaning::Unused(" (it is sha256)"),
            _ => return Err("sha, sha224, sha256, sha384 or sha512"),
        },
        "log.level" | "log.console.level" => Meaning::Setting("log.level", text(level(value)?)),
        "log.formatter" | "log.console.formatter" => match value {
            "json" => Meaning::Setting("log.format", text("json")),
            _ => Meaning::Setting("log.format", text("text")),
        },
        "log.console" if flag(value)? => Meaning::Default,
        _ => return others(key, value),
    };
    Ok(Some(meaning))
}

/// The keys of RabbitMQ's management, HTTP, cache and OAuth 2 plugins.
fn others(key: &str, value: &str) -> Result<Option<Meaning>, Expected> {
    let text = || Input::Text(value.to_owned());
    let meaning = match key {
        "management.path_prefix" => Meaning::Setting("management.path_prefix", text()),
        "management.rates_mode" if ["none", "basic"].contains(&value) => {
            Meaning::Setting("management.rates_mode", text())
        }
        "management.rates_mode" if value != "detailed" => return Err("none, basic or detailed"),
        "management.disable_stats" => Meaning::Setting("management.disable_stats", Input::Bool(flag(value)?)),
        "management_agent.disable_metrics_collector" if flag(value)? => {
            Meaning::Setting("management.disable_stats", Input::Bool(true))
        }
        "management_agent.disable_metrics_collector" => Meaning::Default,
        "prometheus.return_per_object_metrics" => Meaning::Setting("prometheus.per_object", Input::Bool(flag(value)?)),
        "management.enable_queue_totals" => {
            Meaning::Setting("management.enable_queue_totals", Input::Bool(flag(value)?))
        }
        "management.restrictions.operator_policy_changes.disabled" => {
            Meaning::Setting("management.operator_policy_changes", Input::Bool(!flag(value)?))
        }
        "management.disable_basic_auth" => Meaning::Setting("management.basic_auth", Input::Bool(!flag(value)?)),
        "collect_statistics_interval" => {
            // What is out of bounds means the nearest that there is.
            let given: u64 = value.parse().map_err(|_| "a whole number of milliseconds")?;
            Meaning::Setting("management.sample_interval", milliseconds(&given.clamp(100, 60_000).to_string())?)
        }
        NODE_NAME => Meaning::Setting("server.node_name", text()),
        "event_exchange.vhost" => Meaning::Setting("server.event_vhost", text()),
        "management.cors.allow_origins" if value == "none" => Meaning::None("management.cors_origins"),
        "management.cors.max_age" => Meaning::Setting("management.cors_max_age", whole(value)?),
        "auth_http.user_path" => Meaning::Setting("auth_http.user_url", text()),
        "auth_http.vhost_path" => Meaning::Setting("auth_http.vhost_url", text()),
        "auth_http.resource_path" => Meaning::Setting("auth_http.resource_url", text()),
        "auth_http.topic_path" => Meaning::Setting("auth_http.topic_url", text()),
        "auth_http.http_method" => Meaning::Setting("auth_http.method", text()),
        "auth_http.request_timeout" => Meaning::Setting("auth_http.timeout", milliseconds(value)?),
        "auth_http.ssl_options.cacertfile" => Meaning::Setting("auth_http.authorities", text()),
        "auth_cache.cache_ttl" => Meaning::Setting("auth_http.cache_ttl", milliseconds(value)?),
        "auth_cache.cached_backend" => return backend(value).map(Some),
        "auth_oauth2.resource_server_id" => Meaning::Setting("auth_oauth2.resource_server_id", text()),
        "auth_oauth2.jwks_url" | "auth_oauth2.jwks_uri" => Meaning::Setting("auth_oauth2.keys", text()),
        "auth_oauth2.issuer" => Meaning::Setting("auth_oauth2.issuer", text()),
        "auth_oauth2.verify_aud" => Meaning::Setting("auth_oauth2.verify_audience", Input::Bool(flag(value)?)),
        "auth_oauth2.scope_prefix" => Meaning::Setting("auth_oauth2.scope_prefix", text()),
        "auth_oauth2.additional_scopes_key" => {
            let paths = value.split_whitespace().map(|path| Input::Text(path.to_owned())).collect();
            Meaning::Setting("auth_oauth2.more_scopes", Input::List(paths))
        }
        // What is trusted anyway: nothing else is taken.
        "auth_oauth2.https.peer_verification" if value == "verify_peer" => Meaning::Default,
        "auth_oauth2.https.cacertfile" => Meaning::Setting("auth_oauth2.authorities", text()),
        _ => return Ok(None),
    };
    Ok(Some(meaning))
}

/// A tag of the cluster or of the node.
fn label(setting: &'static str, tag: &str, value: &str) -> Meaning {
    Meaning::Member(setting, String::new(), tag.to_owned(), Input::Text(value.to_owned()))
}

/// An interceptor of incoming messages; its key says what it does with those that have been through one.
fn stamp(setting: &'static str, overwrite: &str) -> Result<Meaning, Expected> {
    let word = if flag(overwrite)? { "overwrite" } else { "missing" };
    Ok(Meaning::Setting(setting, Input::Text(word.to_owned())))
}

/// A limit of virtual hosts, or whose it is; -1 is none.
fn vhost_limit(prefix: &str, key: &str, value: &str) -> Result<Meaning, Expected> {
    let limit = |name: &str| -> Result<String, Expected> {
        match value {
            "-1" => Ok(String::new()),
            _ => {
                let limit: u32 = value.parse().map_err(|_| "a whole number, or -1 for no limit")?;
                Ok(format!("{name}={limit}"))
            }
        }
    };
    let (key, word) = match key {
        "pattern" => (VhostLimit::Pattern, value.to_owned()),
        "max_connections" => (VhostLimit::Connections, limit("max-connections")?),
        "max_queues" => (VhostLimit::Queues, limit("max-queues")?),
        _ => return Ok(Meaning::Unused(UNKNOWN)),
    };
    Ok(Meaning::VhostLimit(prefix.to_owned(), key, word))
}

fn verified(value: &str) -> Result<bool, Expected> {
    match value {
        "verify_peer" => Ok(true),
        "verify_none" => Ok(false),
        _ => Err("verify_peer or verify_none"),
    }
}

/// A back end's name, or its module's. The cache is told by what it caches.
fn backend(value: &str) -> Result<Meaning, Expected> {
    let name = value.trim_start_matches("rabbit_auth_backend_");
    match name {
        "internal" | "http" | "oauth2" => Ok(Meaning::Part("auth.backends", name.to_owned())),
        "cache" => Ok(Meaning::Setting("auth_http.cache_logins", Input::Bool(true))),
        "dummy" | "ldap" | "amqp" => Ok(Meaning::Unused(" (this back end is not there)")),
        _ => Err("internal, http, oauth2 or cache"),
    }
}

/// `5672`, `127.0.0.1:5672`, `[::1]:5672`, `::1:5672`. A port alone is of all interfaces.
fn address(value: &str) -> Result<String, Expected> {
    const EXPECTED: Expected = "a port, or IP:PORT";
    if let Ok(port) = value.parse::<u16>() {
        return Ok(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port).to_string());
    }
    if let Ok(address) = value.parse::<SocketAddr>() {
        return Ok(address.to_string());
    }
    let (host, port) = value.rsplit_once(':').ok_or(EXPECTED)?;
    let host: IpAddr = host.parse().map_err(|_| EXPECTED)?;
    Ok(SocketAddr::new(host, port.parse().map_err(|_| EXPECTED)?).to_string())
}

fn interface(setting: &'static str, value: &str, port: u16) -> Result<Meaning, Expected> {
    value.parse().map(|ip| Meaning::Interface(setting, ip, port)).map_err(|_| "an IP address")
}

fn whole(value: &str) -> Result<Input, Expected> {
    value.parse().map(Input::Integer).map_err(|_| "a whole number")
}

/// A whole number, or `infinity`.
fn limit(value: &str) -> Result<Input, Expected> {
    if value == "infinity" { Ok(Input::Integer(0)) } else { whole(value).map_err(|_| "a whole number, or infinity") }
}

fn milliseconds(value: &str) -> Result<Input, Expected> {
    let number: u64 = value.parse().map_err(|_| "a whole number of milliseconds")?;
    Ok(Input::Text(format!("{number}ms")))
}

fn flag(value: &str) -> Result<bool, Expected> {
    match value {
        "true" | "on" => Ok(true),
        "false" | "off" => Ok(false),
        _ => Err("true or false"),
    }
}

fn share(value: &str) -> Result<Input, Expected> {
    value.parse().map(Input::Float).map_err(|_| "a share such as 0.6")
}

fn of_memory(value: &str) -> Result<Input, Expected> {
    let share: f64 = value.parse().map_err(|_| "a share of the machine's memory such as 1.5")?;
    let memory = memory::memory_available().unwrap_or(0) as f64;
    Ok(Input::Integer((memory * share.max(0.0)) as i64))
}

/// A size as RabbitMQ reads it: `GB` is 10⁹ bytes, `GiB` and `G` are 2³⁰.
pub(super) fn bytes(value: &str) -> Result<Input, Expected> {
    const EXPECTED: Expected = "a size such as 2GB, 512MiB or 50000000";
    let end = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let (number, unit) = value.split_at_checked(end).ok_or(EXPECTED)?;
    let factor: i64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        _ => return Err(EXPECTED),
    };
    let number: i64 = number.parse().map_err(|_| EXPECTED)?;
    number.checked_mul(factor).map(Input::Integer).ok_or(EXPECTED)
}

fn level(value: &str) -> Result<&'static str, Expected> {
    match value {
        "debug" => Ok("debug"),
        "info" | "notice" => Ok("info"),
        "warning" => Ok("warn"),
        "error" | "critical" | "alert" | "emergency" => Ok("error"),
        "none" => Ok("off"),
        _ => Err("debug, info, warning, error, critical or none"),
    }
}

//! RabbitMQ's environment variables.

use super::encrypted::{PASSPHRASE, PASSPHRASE_FILE};
use super::keys::Place;
use super::{Origin, Rabbit, with_ending};
use crate::config::Secret;
use crate::config::error::ConfigError;
use std::fs;
use std::path::{Path, PathBuf};

/// Variables that stand for a key of `rabbitmq.conf`.
const KEYS: &[(&str, &str)] = &[
    ("RABBITMQ_DEFAULT_USER", "default_user"),
    ("RABBITMQ_DEFAULT_PASS", "default_pass"),
    ("RABBITMQ_DEFAULT_VHOST", "default_vhost"),
    ("RABBITMQ_LOG", "log.level"),
];

/// Variables that are read elsewhere, or that nobody needs to be told of: they belong to RabbitMQ's image, to its scripts or
/// to the command line tools.
const PASSED_OVER: &[&str] = &[
    "RABBITMQ_CONFIG_FILE",
    "RABBITMQ_CONFIG_FILES",
    "RABBITMQ_NODE_PORT",
    "RABBITMQ_NODE_IP_ADDRESS",
    "RABBITMQ_ERLANG_COOKIE",
    "RABBITMQ_HOME",
    "RABBITMQ_VERSION",
    "RABBITMQ_PGP_KEY_ID",
    "RABBITMQ_DATA_DIR",
    "RABBITMQ_NODENAME",
    "RABBITMQ_USE_LONGNAME",
    "RABBITMQ_CTL_ERL_ARGS",
];

/// The files that are named: `RABBITMQ_CONFIG_FILE`, then those of `RABBITMQ_CONFIG_FILES` (a directory, or `DIRECTORY/*.conf`)
/// by name. They need not be there.
pub(super) fn files(environment: &[(String, String)]) -> Vec<PathBuf> {
    let value = |name: &str| environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let mut files: Vec<PathBuf> = value("RABBITMQ_CONFIG_FILE").into_iter().map(with_ending).collect();
    if let Some(place) = value("RABBITMQ_CONFIG_FILES") {
        let place = Path::new(place.strip_suffix("/*.conf").unwrap_or(place));
        if place.is_dir() {
            let entries = fs::read_dir(place).into_iter().flatten().flatten().map(|entry| entry.path());
            let mut found: Vec<PathBuf> =
                entries.filter(|path| path.extension().is_some_and(|ending| ending == "conf")).collect();
            found.sort();
            files.append(&mut found);
        } else {
            files.push(place.to_owned());
        }
    }
    files
}

/// What encrypted values are decrypted by.
pub(super) fn passphrase(environment: &[(String, String)]) -> Result<Option<Secret>, ConfigError> {
    let value = |name: &str| environment.iter().find(|(known, value)| known == name && !value.is_empty());
    if let Some((_, passphrase)) = value(PASSPHRASE) {
        return Ok(Some(Secret::new(passphrase)));
    }
    let Some((name, path)) = value(PASSPHRASE_FILE) else { return Ok(None) };
    let unreadable =
        |error| ConfigError::other(Origin::Variable(name.clone()), format!("{path} cannot be read: {error}"));
    let text = fs::read_to_string(path).map_err(unreadable)?;
    Ok(text.lines().next().map(Secret::new))
}

/// Takes the variables.
pub(super) fn read(environment: &[(String, String)], found: &mut Rabbit) -> Result<(), ConfigError> {
    let (mut port, mut address) = (None, None);
    for (name, value) in environment.iter().filter(|(name, value)| name.starts_with("RABBITMQ_") && !value.is_empty()) {
        let place = || Place { origin: Origin::Variable(name.clone()), key: name.clone() };
        match (name.as_str(), KEYS.iter().find(|(known, _)| known == name)) {
            ("RABBITMQ_NODE_PORT", _) => port = Some((place(), value)),
            ("RABBITMQ_NODE_IP_ADDRESS", _) => address = Some((place(), value)),
            (_, Some((_, key))) => found.take(place(), key, value)?,
            (known, None) if PASSED_OVER.contains(&known) => {}
            ("RABBITMQ_ADVANCED_CONFIG_FILE", None) if !with_config_ending(value).exists() => {}
            (name, None) => found.unused.push(format!("{name}{}", hint(name))),
        }
    }
    if let Some((place, _)) = port.as_ref().or(address.as_ref()) {
        let host = address.as_ref().map_or("", |(_, address)| address.as_str());
        let port = port.as_ref().map_or("5672", |(_, port)| port.as_str());
        let listen = if host.is_empty() { port.to_owned() } else { format!("{host}:{port}") };
        found.parts.remove("listener.address");
        found.take(place.clone(), "listeners.tcp.default", &listen)?;
        // Whoever says so is as RabbitMQ, whose other ports are of all interfaces where no key says which.
        for (setting, key, port) in [
            ("management.address", "management.tcp.port", "15672"),
            ("prometheus.address", "prometheus.tcp.port", "15692"),
        ] {
            if !found.parts.contains_key(setting) && !found.interfaces.contains_key(setting) {
                found.take(place.clone(), key, port)?;
            }
        }
    }
    Ok(())
}

/// What to do instead.
fn hint(name: &str) -> &'static str {
    match name {
        "RABBITMQ_MNESIA_BASE" | "RABBITMQ_MNESIA_DIR" => " (the data directory is WARREN_DATA_DIR's)",
        "RABBITMQ_LOGS" | "RABBITMQ_LOG_BASE" => " (the log goes to standard error)",
        "RABBITMQ_DEFAULT_USER_FILE" => " (RABBITMQ_DEFAULT_USER is)",
        "RABBITMQ_DEFAULT_PASS_FILE" => " (RABBITMQ_DEFAULT_PASS is)",
        "RABBITMQ_ADVANCED_CONFIG_FILE" => " (Erlang's terms are not read)",
        _ => "",
    }
}

fn with_config_ending(path: &str) -> PathBuf {
    let path = PathBuf::from(path);
    if path.extension().is_some_and(|ending| ending == "config") { path } else { path.with_extension("config") }
}

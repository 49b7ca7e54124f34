//! RabbitMQ's environment variables, and the file that gives those which are not set (`rabbitmq-env.conf`).

use super::encrypted::{PASSPHRASE, PASSPHRASE_FILE};
use super::keys::Place;
use super::{Origin, Rabbit, plugins, with_ending};
use crate::config::Secret;
use crate::config::error::ConfigError;
use std::fs;
use std::path::{Path, PathBuf};

/// What the names of RabbitMQ's variables begin with; in its file they stand without it.
const PREFIX: &str = "RABBITMQ_";
/// The file with variables.
const FILE: &str = "RABBITMQ_CONF_ENV_FILE";

/// Variables that stand for a key of `rabbitmq.conf`.
const KEYS: &[(&str, &str)] = &[
    ("RABBITMQ_DEFAULT_USER", "default_user"),
    ("RABBITMQ_DEFAULT_PASS", "default_pass"),
    ("RABBITMQ_DEFAULT_VHOST", "default_vhost"),
    ("RABBITMQ_LOG", "log.level"),
    ("RABBITMQ_NODENAME", NODE_NAME),
];
/// Not a key of `rabbitmq.conf`, but taken as one from the variable.
pub(super) const NODE_NAME: &str = "RABBITMQ_NODENAME";

/// Variables that are read elsewhere, or that nobody needs to be told of: they belong to RabbitMQ's image, to its scripts or
/// to the command line tools.
const PASSED_OVER: &[&str] = &[
    "RABBITMQ_CONFIG_FILE",
    "RABBITMQ_CONFIG_FILES",
    FILE,
    plugins::FILE,
    plugins::LIST,
    "RABBITMQ_NODE_PORT",
    "RABBITMQ_NODE_IP_ADDRESS",
    "RABBITMQ_ERLANG_COOKIE",
    "RABBITMQ_HOME",
    "RABBITMQ_VERSION",
    "RABBITMQ_PGP_KEY_ID",
    "RABBITMQ_DATA_DIR",
    "RABBITMQ_USE_LONGNAME",
    "RABBITMQ_CTL_ERL_ARGS",
];

/// The variables that are set, and those of the file.
#[derive(Debug)]
pub(super) struct Variables(Vec<Variable>);

#[derive(Debug)]
struct Variable {
    name: String,
    value: String,
    origin: Origin,
}

impl Variables {
    /// Gathers them. What of the file cannot be read is told by `tell`: it is the shell's language, of which assignments are read.
    pub fn gather(environment: &[(String, String)], mut tell: impl FnMut(String)) -> Variables {
        let set = environment.iter().filter(|(_, value)| !value.is_empty());
        let variable = |(name, value): &(String, String)| Variable {
            name: name.clone(),
            value: value.clone(),
            origin: Origin::Variable(name.clone()),
        };
        let mut all = Variables(set.map(variable).collect());
        let Some(path) = all.value(FILE).map(PathBuf::from) else { return all };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => {
                tell(format!("{FILE} ({} cannot be read: {error})", path.display()));
                return all;
            }
        };
        let mut found: Vec<Variable> = Vec::new();
        for (place, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((name, value)) = assignment(line) else {
                tell(format!("{}:{} (only NAME=value is read)", path.display(), place + 1));
                continue;
            };
            let name = if name.starts_with(PREFIX) { name.to_owned() } else { format!("{PREFIX}{name}") };
            found.retain(|known| known.name != name);
            found.push(Variable { name, value, origin: Origin::File(path.clone(), place + 1) });
        }
        found.retain(|known| !known.value.is_empty() && all.value(&known.name).is_none());
        all.0.append(&mut found);
        all
    }

    /// The value of a variable that is set to something.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|known| known.name == name).map(|known| known.value.as_str())
    }
}

/// The name and the value of `NAME=value`, as far as no shell has to run for it.
fn assignment(line: &str) -> Option<(&str, String)> {
    let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
    let (name, value) = line.split_once('=')?;
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if name.is_empty() || !is_name {
        return None;
    }
    let (value, rest) = match value.chars().next() {
        Some(quote @ ('\'' | '"')) => value.get(1..)?.split_once(quote)?,
        _ => value.split_once(char::is_whitespace).unwrap_or((value, "")),
    };
    let rest = rest.trim_start();
    let is_plain = !value.contains(['$', '`', '\\', '\'', '"', ';', '&', '|', '<', '>', '(', ')']);
    (is_plain && (rest.is_empty() || rest.starts_with('#'))).then(|| (name, value.to_owned()))
}

/// The files that are named: `RABBITMQ_CONFIG_FILE`, then those of `RABBITMQ_CONFIG_FILES` (a directory, or `DIRECTORY/*.conf`)
/// by name. They need not be there.
pub(super) fn files(variables: &Variables) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = variables.value("RABBITMQ_CONFIG_FILE").into_iter().map(with_ending).collect();
    if let Some(place) = variables.value("RABBITMQ_CONFIG_FILES") {
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
pub(super) fn passphrase(variables: &Variables) -> Result<Option<Secret>, ConfigError> {
    if let Some(passphrase) = variables.value(PASSPHRASE) {
        return Ok(Some(Secret::new(passphrase)));
    }
    let Some(path) = variables.value(PASSPHRASE_FILE) else { return Ok(None) };
    let unreadable = |error| {
        ConfigError::other(Origin::Variable(PASSPHRASE_FILE.to_owned()), format!("{path} cannot be read: {error}"))
    };
    let text = fs::read_to_string(path).map_err(unreadable)?;
    Ok(text.lines().next().map(Secret::new))
}

/// Takes the variables.
pub(super) fn read(variables: &Variables, found: &mut Rabbit) -> Result<(), ConfigError> {
    let (mut port, mut address) = (None, None);
    for Variable { name, value, origin } in variables.0.iter().filter(|known| known.name.starts_with(PREFIX)) {
        let place = || Place { origin: origin.clone(), key: name.clone() };
        match (name.as_str(), KEYS.iter().find(|(known, _)| known == name)) {
            ("RABBITMQ_NODE_PORT", _) => port = Some((place(), value)),
            ("RABBITMQ_NODE_IP_ADDRESS", _) => address = Some((place(), value)),
            (_, Some((_, key))) => found.take(place(), key, value)?,
            (known, None) if PASSED_OVER.contains(&known) => {}
            ("RABBITMQ_ADVANCED_CONFIG_FILE", None) if !with_config_ending(value).exists() => {}
            (name, None) => found.tell_unused(format!("{name}{}", hint(name))),
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

/// Why a variable means nothing, and what to do instead.
fn hint(name: &str) -> &'static str {
    let begins = |start: &&str| name.starts_with(start);
    match name {
        "RABBITMQ_MNESIA_BASE" | "RABBITMQ_MNESIA_DIR" | "RABBITMQ_QUORUM_DIR" | "RABBITMQ_STREAM_DIR" => {
            " (the data directory is WARREN_DATA_DIR's)"
        }
        "RABBITMQ_LOGS" | "RABBITMQ_LOG_BASE" => " (the log goes to standard error)",
        "RABBITMQ_DEFAULT_USER_FILE" => " (RABBITMQ_DEFAULT_USER is)",
        "RABBITMQ_DEFAULT_PASS_FILE" => " (RABBITMQ_DEFAULT_PASS is)",
        "RABBITMQ_ADVANCED_CONFIG_FILE" => " (Erlang's terms are not read)",
        "RABBITMQ_DIST_PORT" | "RABBITMQ_DIST_OPTIMIZE" | "RABBITMQ_NODE_TYPE" => " (there is one node)",
        "RABBITMQ_PID_FILE" | "RABBITMQ_KEEP_PID_FILE_ON_EXIT" => " (no such file is written)",
        "RABBITMQ_MOTD_FILE" => " (nothing is said of the day)",
        "RABBITMQ_FEATURE_FLAGS" | "RABBITMQ_FEATURE_FLAGS_FILE" => " (no feature has to be switched on)",
        "RABBITMQ_PRODUCT_NAME" | "RABBITMQ_PRODUCT_VERSION" => " (it is Warren)",
        "RABBITMQ_VM_MEMORY_HIGH_WATERMARK" => " (vm_memory_high_watermark.relative in rabbitmq.conf is)",
        "RABBITMQ_MANAGEMENT_ALLOW_WEB_ACCESS" => " (management.tcp.ip in rabbitmq.conf is)",
        _ if ["RABBITMQ_SSL_", "RABBITMQ_MANAGEMENT_SSL_"].iter().any(begins) => " (ssl_options in rabbitmq.conf are)",
        _ if ["RABBITMQ_CLUSTER_", "RABBITMQ_AUTOCLUSTER_"].iter().any(begins) => " (there is one node)",
        _ if name.contains("PLUGINS") => " (plugins are not loaded)",
        _ if name.contains("ERL") || ERLANG.contains(&name) => " (there is no Erlang)",
        _ => " (no such variable is known)",
    }
}

const ERLANG: &[&str] = &[
    "RABBITMQ_DISTRIBUTION_BUFFER_SIZE",
    "RABBITMQ_IO_THREAD_POOL_SIZE",
    "RABBITMQ_MAX_NUMBER_OF_ATOMS",
    "RABBITMQ_MAX_NUMBER_OF_PROCESSES",
    "RABBITMQ_SCHEDULER_BIND_TYPE",
    "RABBITMQ_BOOT_MODULE",
    "RABBITMQ_SERVER_CODE_PATH",
];

fn with_config_ending(path: &str) -> PathBuf {
    let path = PathBuf::from(path);
    if path.extension().is_some_and(|ending| ending == "config") { path } else { path.with_extension("config") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments() {
        let own = |name, value: &str| Some((name, value.to_owned()));
        assert_eq!(assignment("NODENAME=hare"), own("NODENAME", "hare"));
        assert_eq!(assignment("export A='b c' # d"), own("A", "b c"));
        assert_eq!(assignment("A=\"b\""), own("A", "b"));
        assert_eq!(assignment("A="), own("A", ""));
        assert_eq!(assignment("A=b # c"), own("A", "b"));
        for line in
            ["A", "A=$B", "A=`b`", "A='b", "A=\"", "A=b; c", "A=b c", "if true; then", "A B=c", "=b", "A=\u{e9}$"]
        {
            assert_eq!(assignment(line), None, "{line}");
        }
    }
}

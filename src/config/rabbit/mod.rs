//! RabbitMQ's configuration, as it is: `rabbitmq.conf` and the `RABBITMQ_…` environment variables (compat.md 2.15). Keys that
//! mean something here become settings; the others are told once by name, with what to do where something can be done.

mod encrypted;
mod environment;
mod keys;
mod lines;
mod plugins;
mod reasons;
mod seeds;
#[cfg(test)]
mod source_tests;
#[cfg(test)]
mod tests;

use super::Config;
use super::Secret;
use super::error::{ConfigError, Origin};
use super::file;
use super::input::Input;
use super::sources::Given;
use environment::Variables;
use keys::{DefinitionsFrom, Meaning, Place, VhostLimit};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// What RabbitMQ's configuration amounts to: weaker than any setting of our own.
#[derive(Debug, Default)]
pub(super) struct Rabbit {
    /// Settings by their key; the later one counts.
    settings: BTreeMap<&'static str, (Place, Input)>,
    /// What shares of memory are shares of, if not of the machine's.
    memory: Option<i64>,
    /// Values that are put together from several keys: by setting, then by key: 2 before 10.
    parts: BTreeMap<&'static str, Parts>,
    /// Interfaces of addresses whose port stands under another key, with the port where it does not.
    interfaces: BTreeMap<&'static str, (Place, IpAddr, u16)>,
    /// Whether clients' certificates are verified, and whether they must be there, by the setting.
    verify: BTreeMap<&'static str, (Place, bool, bool)>,
    /// Where the user's name stands in a certificate: `ssl_cert_login_from` and `ssl_cert_login_san_type`.
    login_from: (Option<Place>, String, String),
    /// Whether whom a service has let in has the rights of the broker's own user.
    own_rights: bool,
    /// Settings that are tables, or lists of them.
    tables: Tables,
    /// `tcp_listen_options.linger`: where it stands, whether it is on, how many seconds.
    linger: (Option<Place>, bool, u64),
    /// The limits that virtual hosts are made with, in RabbitMQ's order.
    vhost_limits: VhostLimits,
    /// Scopes that stand for others, by their key: the scope, and what it stands for.
    aliases: BTreeMap<String, (Place, String, String)>,
    /// Which back end of definitions is named, and where the back ends find them.
    definitions_from: Option<(Place, DefinitionsFrom)>,
    definitions_places: Vec<(DefinitionsFrom, Place, String)>,
    /// What encrypted values are decrypted by.
    passphrase: Option<Secret>,
    /// Keys that mean nothing here, each once.
    unused: Vec<String>,
}

/// Values by the number in their key, and the key.
type Parts = BTreeMap<(usize, String), (Place, String)>;

/// Tables by their setting and name, with where the first member of each stands.
type Tables = BTreeMap<(&'static str, String), (Place, Vec<(String, Input)>)>;

/// Sets of limits by their names, shorter ones first.
type VhostLimits = BTreeMap<(usize, String), BTreeMap<VhostLimit, (Place, String)>>;

/// The share of memory that RabbitMQ takes where no key says how much.
const RABBITMQ_WATERMARK: f64 = 0.6;

/// How long a connection lingers.
const LINGER: &str = "tcp_listen_options.linger.timeout";

/// What RabbitMQ also reads, beside its file.
const ADVANCED: &str = "advanced.config";

impl Rabbit {
    /// Reads what the environment names: files, then the variables that are stronger than them. `file`: a file named on the
    /// command line, which must be there.
    pub fn read(environment: &[(String, String)], file: Option<&Path>) -> Result<Rabbit, ConfigError> {
        let mut found = Rabbit::default();
        let variables = Variables::gather(environment, |told| found.tell_unused(told));
        found.passphrase = environment::passphrase(&variables)?;
        let mut files = environment::files(&variables);
        files.retain(|path| path.exists());
        files.extend(file.map(Path::to_owned));
        for path in &files {
            found.read_file(path)?;
        }
        environment::read(&variables, &mut found)?;
        plugins::tell_missing(&variables, &files, |told| found.tell_unused(told));
        Ok(found)
    }

    /// Reads one file.
    pub fn read_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text = file::text(path)?;
        let advanced = path.with_file_name(ADVANCED);
        if advanced.exists() {
            self.tell_unused(format!("{} (Erlang's terms are not read)", advanced.display()));
        }
        self.read_text(path, &text)
    }

    /// Reads `text`, the content of `path`.
    pub fn read_text(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let at = |line| Origin::File(path.to_owned(), line);
        let lines = lines::read(text).map_err(|lines::Fault(line, fault)| ConfigError::other(at(line), fault))?;
        for line in lines {
            self.take(Place { origin: at(line.number), key: line.key.clone() }, &line.key, &line.value)?;
        }
        Ok(())
    }

    /// Takes one key with its value.
    fn take(&mut self, place: Place, key: &str, value: &str) -> Result<(), ConfigError> {
        let decrypted = value.strip_prefix(encrypted::MARK).map(|value| self.decrypt(&place, value)).transpose()?;
        let value = decrypted.as_deref().unwrap_or(value);
        let meaning = keys::meaning(key, value).map_err(|expected| {
            let found = if keys::is_secret(key) || decrypted.is_some() {
                "a value that is not shown".to_owned()
            } else {
                format!("{value:?}")
            };
            place.wrong(expected, found)
        })?;
        match meaning {
            Meaning::Setting(setting, input) => self.set(setting, place, input),
            Meaning::Memory(bytes) => self.memory = Some(bytes),
            Meaning::Part(setting, part) => {
                self.parts.entry(setting).or_default().insert(numbered(key), (place, part));
            }
            Meaning::Interface(setting, ip, port) => {
                self.interfaces.insert(setting, (place, ip, port));
            }
            Meaning::None(setting) => {
                self.parts.insert(setting, BTreeMap::new());
            }
            Meaning::Without(setting) => {
                self.parts.entry(setting).or_default().remove(&numbered(key));
            }
            Meaning::Verify(setting, verify) => {
                let known = self.verify.entry(setting).or_insert((place.clone(), false, false));
                (known.0, known.1) = (place, verify);
            }
            Meaning::Require(setting, require) => {
                let known = self.verify.entry(setting).or_insert((place.clone(), false, false));
                (known.0, known.2) = (place, require);
            }
            Meaning::LoginFrom(from) => (self.login_from.0, self.login_from.1) = (Some(place), from),
            Meaning::SanType(kind) => self.login_from.2 = kind,
            Meaning::VhostLimit(set, key, value) => {
                self.vhost_limits.entry((set.len(), set)).or_default().insert(key, (place, value));
            }
            Meaning::Member(setting, name, member, input) => {
                let (_, members) = self.tables.entry((setting, name)).or_insert_with(|| (place, Vec::new()));
                members.retain(|(known, _)| *known != member);
                members.push((member, input));
            }
            Meaning::Linger(on, timeout) => {
                let (_, was_on, waited) = self.linger;
                self.linger = (Some(place), on.unwrap_or(was_on), timeout.unwrap_or(waited));
            }
            Meaning::Alias(set, is_meant, value) => {
                let (_, alias, meant) = self.aliases.entry(set).or_insert((place, String::new(), String::new()));
                *(if is_meant { meant } else { alias }) = value;
            }
            Meaning::OwnRights => self.own_rights = true,
            Meaning::DefinitionsFrom(from) => self.definitions_from = Some((place, from)),
            Meaning::DefinitionsPlace(from, value) => self.definitions_places.push((from, place, value)),
            Meaning::Default => {}
            Meaning::Unused(hint) => {
                self.tell_unused(format!("{key}{hint}"));
            }
        }
        Ok(())
    }

    /// Takes a setting's value. An absolute limit counts before a relative one, as RabbitMQ has it; otherwise the later one counts.
    fn set(&mut self, setting: &'static str, place: Place, input: Input) {
        let before = self.settings.get(setting).map(|(before, _)| before.key.clone()).unwrap_or_default();
        let key = &place.key;
        if before.ends_with(".absolute") && key.ends_with(".relative") {
            return self.tell_unused(format!("{key} ({before} is)"));
        }
        if before.ends_with(".relative") && key.ends_with(".absolute") {
            self.tell_unused(format!("{before} ({key} is)"));
        }
        self.settings.insert(setting, (place, input));
    }

    /// The definitions of the back end that is named; those of the other one are not imported.
    fn place_definitions(&mut self) -> Result<(), ConfigError> {
        let named = self.definitions_from.take();
        for (from, place, value) in std::mem::take(&mut self.definitions_places) {
            if !named.as_ref().is_some_and(|(_, named)| *named == from) {
                self.tell_unused(format!("{} (definitions.import_backend does not name it)", place.key));
                continue;
            }
            let key = place.key.clone();
            let before = self.settings.insert(from.setting(), (place, Input::Text(value)));
            if let Some((before, _)) = before.filter(|(before, _)| before.key != key) {
                self.tell_unused(format!("{} ({key} is imported)", before.key));
            }
        }
        match named {
            Some((place, from)) if !self.settings.contains_key(from.setting()) => Err(place.needs(from.key())),
            _ => Ok(()),
        }
    }

    /// Policies of which nothing is left that means something here.
    fn leave_out_policies(&mut self) {
        let says = |(member, _): &(String, Input)| !["vhosts", "queues", "apply_to"].contains(&member.as_str());
        let is_blank = |(setting, _): &(&str, String), (_, members): &mut (Place, Vec<_>)| {
            *setting == "limits.vhost_policies" && !members.iter().any(says)
        };
        let blank: Vec<_> = self.tables.extract_if(.., is_blank).map(|((_, name), _)| name).collect();
        for name in blank {
            self.tell_unused(format!("default_policies.operator.{name} (it says nothing of queues)"));
        }
    }

    /// A connection that lingers for no time is reset. One that did for some would keep its thread waiting for a peer.
    fn place_linger(&mut self) {
        let (Some(place), true, seconds) = std::mem::take(&mut self.linger) else { return };
        if seconds == 0 {
            self.settings.insert("listener.reset_on_close", (place, Input::Bool(true)));
        } else {
            self.tell_unused(format!("{LINGER}{}", reasons::reason(LINGER)));
        }
    }

    fn tell_unused(&mut self, told: String) {
        if !self.unused.contains(&told) {
            self.unused.push(told);
        }
    }

    fn decrypt(&self, place: &Place, value: &str) -> Result<String, ConfigError> {
        let Some(passphrase) = &self.passphrase else {
            let found = "none in WARREN_CONFIG_PASSPHRASE or WARREN_CONFIG_PASSPHRASE_FILE".to_owned();
            return Err(place.wrong("a passphrase for the encrypted value", found));
        };
        let wrong =
            || place.wrong("a value that this passphrase decrypts (PBKDF2-SHA-512, AES-256-CBC)", "another".to_owned());
        encrypted::decrypt(value, passphrase.reveal()).ok_or_else(wrong)
    }

    /// Gives what was found to `given`, before stronger sources do. Returns what means nothing here.
    pub fn give(mut self, given: &mut Given) -> Result<Vec<String>, ConfigError> {
        self.place_definitions()?;
        self.place_linger();
        self.leave_out_policies();
        let Rabbit {
            mut settings,
            memory,
            mut parts,
            interfaces,
            verify,
            login_from,
            own_rights,
            vhost_limits,
            tables,
            aliases,
            unused,
            ..
        } = self;
        if let Some(memory) = memory {
            of_memory(&mut settings, memory);
        }
        for (setting, (place, ip, port)) in interfaces {
            let parts = parts.entry(setting).or_default();
            if parts.is_empty() {
                parts.insert(numbered(&place.key), (place, SocketAddr::new(ip, port).to_string()));
            }
            for (_, part) in parts.values_mut() {
                let port = part.parse::<SocketAddr>().map_or(port, |address| address.port());
                *part = SocketAddr::new(ip, port).to_string();
            }
        }
        settings.extend(parts.into_iter().map(|(setting, parts)| of_parts(setting, parts, own_rights)));
        settings.extend(of_vhosts(vhost_limits));
        of_tables(&mut settings, tables);
        settings.extend(of_aliases(aliases));
        for (setting, (place, verify, require)) in verify {
            let clients = match (verify, require) {
                (true, true) => "require",
                (true, false) => "verify",
                (false, _) => "none",
            };
            settings.insert(setting, (place, Input::Text(clients.to_owned())));
        }
        if let (Some(place), from, kind) = login_from {
            let kind = if kind.is_empty() { "dns" } else { &kind };
            let from = if from == "subject_alternative_name" { format!("san_{kind}") } else { from };
            settings.insert("tls.login_from", (place, Input::Text(from)));
        }
        for (key, (place, input)) in settings {
            match Config::SETTINGS.iter().find(|setting| setting.key == key) {
                Some(setting) => given.take_as(setting, place.origin, &place.key, input)?,
                None => return Err(ConfigError::other(place.origin, format!("no setting {key}"))),
            }
        }
        Ok(unused)
    }
}

/// The limits that virtual hosts are made with, as one setting.
fn of_vhosts(sets: VhostLimits) -> Option<(&'static str, (Place, Input))> {
    let (place, _) = sets.values().flat_map(BTreeMap::values).next()?;
    let place = place.clone();
    let sets = sets.into_values().map(|mut set| {
        set.entry(VhostLimit::Pattern).or_insert_with(|| (place.clone(), ".*".to_owned()));
        let words: Vec<String> = set.into_values().map(|(_, word)| word).filter(|word| !word.is_empty()).collect();
        Input::Text(words.join(" "))
    });
    let sets = Input::List(sets.collect());
    Some(("limits.vhost_limits", (place, sets)))
}

fn numbered(key: &str) -> (usize, String) {
    (key.split('.').find_map(|part| part.parse().ok()).unwrap_or(0), key.to_owned())
}

/// A setting of several values.
fn of_parts(setting: &'static str, parts: Parts, own_rights: bool) -> (&'static str, (Place, Input)) {
    let place = parts.values().next().map(|(place, _)| place.clone()).unwrap_or_else(|| Place::nowhere(setting));
    let mut items: Vec<Input> = Vec::new();
    for (_, part) in parts.into_values() {
        let part = if own_rights && setting == "auth.backends" && part == "http" { "http_login".into() } else { part };
        // A back end that is cached is named twice.
        if !items.contains(&Input::Text(part.clone())) {
            items.push(Input::Text(part));
        }
    }
    (setting, (place, Input::List(items)))
}

/// Lists of tables, and tables alone.
fn of_tables(settings: &mut BTreeMap<&'static str, (Place, Input)>, tables: Tables) {
    for ((setting, name), (place, mut members)) in tables {
        if name.is_empty() {
            settings.insert(setting, (place, Input::Table(members)));
            continue;
        }
        members.insert(0, ("name".to_owned(), Input::Text(name)));
        let (_, list) = settings.entry(setting).or_insert_with(|| (place, Input::List(Vec::new())));
        if let Input::List(items) = list {
            items.push(Input::Table(members));
        }
    }
}

/// Scopes that stand for others, as one setting.
fn of_aliases(aliases: BTreeMap<String, (Place, String, String)>) -> Option<(&'static str, (Place, Input))> {
    let (place, ..) = aliases.values().next()?.clone();
    let one = |(_, alias, meant): (Place, String, String)| match meant.as_str() {
        "" => Input::Text(alias),
        meant => Input::Text(format!("{alias} = {meant}")),
    };
    Some(("auth_oauth2.scope_aliases", (place, Input::List(aliases.into_values().map(one).collect()))))
}

/// The share of memory that messages may take, as one of so many bytes.
fn of_memory(settings: &mut BTreeMap<&'static str, (Place, Input)>, memory: i64) {
    let place = Place::nowhere("total_memory_available_override_value");
    let default = (place, Input::Float(RABBITMQ_WATERMARK));
    let (_, limit) = settings.entry("memory.high_watermark").or_insert(default);
    if let Input::Float(share) = *limit {
        *limit = Input::Integer((memory as f64 * share.clamp(0.0, 1.0)) as i64);
    }
}

/// The path, with `.conf` behind it where that is how the file is called: RabbitMQ's variable leaves it out or not.
fn with_ending(path: &str) -> PathBuf {
    let path = PathBuf::from(path);
    if path.extension().is_some_and(|ending| ending == "conf") { path } else { path.with_extension("conf") }
}

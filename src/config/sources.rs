//! Gathers values from the command line, the environment and the files, and lets the strongest win.

use super::declare::Setting;
use super::error::{ConfigError, Origin};
use super::file;
use super::input::Input;
use super::rabbit::Rabbit;
use super::together;
use super::{Config, file::nearest};
use std::collections::HashMap;
use std::path::PathBuf;

/// A setting given on the command line.
#[derive(Clone, Debug)]
pub struct Override {
    /// The setting's key.
    pub key: &'static str,
    /// The option as typed, for errors: `--listen`.
    pub option: &'static str,
    /// What followed it, once for each time it was given.
    pub values: Vec<String>,
}

/// Where settings are looked for.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The configuration file: TOML, or in RabbitMQ's form if it ends in `.conf`. None reads none but those that `RABBITMQ_…`
    /// variables name.
    pub file: Option<PathBuf>,
    /// Environment variables, all of them; those that are neither `WARREN_…` nor `RABBITMQ_…` are passed over.
    pub environment: Vec<(String, String)>,
    /// Settings from the command line.
    pub overrides: Vec<Override>,
}

/// All settings, and what is to be said of where they come from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// Keys and variables of RabbitMQ's that mean nothing here, with what to do instead where something can be done.
    pub unused: Vec<String>,
    /// Every setting as it is in effect, in the order of the file.
    pub effective: Vec<Effective>,
}

/// A setting as it is in effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// Its key.
    pub key: &'static str,
    /// Its value as TOML; that of a secret is `"***"`.
    pub value: String,
    /// Where it comes from: a file with its line, a variable, an option. Empty: it is the default.
    pub origin: String,
    /// The file, where it is one.
    pub file: Option<PathBuf>,
}

impl Config {
    /// Reads and checks all settings (the precedence is in this module's description).
    ///
    /// # Errors
    /// The first unreadable, unknown or wrong thing, with its place.
    pub fn load(sources: &Sources) -> Result<Config, ConfigError> {
        Config::load_all(sources).map(|loaded| loaded.config)
    }

    /// The same, with where everything comes from.
    ///
    /// # Errors
    /// The same.
    pub fn load_all(sources: &Sources) -> Result<Loaded, ConfigError> {
        let mut given = Given::default();
        let is_rabbits = |path: &&PathBuf| path.extension().is_some_and(|ending| ending == "conf");
        let rabbits_file = sources.file.as_ref().filter(is_rabbits).map(PathBuf::as_path);
        let unused = Rabbit::read(&sources.environment, rabbits_file)?.give(&mut given)?;
        if let Some(path) = sources.file.as_ref().filter(|path| !is_rabbits(path)) {
            file::read(path, &mut given)?;
        }
        for (name, value) in &sources.environment {
            given.take_variable(name, value)?;
        }
        for part in &sources.overrides {
            let origin = Origin::Option(part.option);
            let input = match part.values.as_slice() {
                [one] => Input::Raw(one.clone()),
                several => Input::List(several.iter().cloned().map(Input::Raw).collect()),
            };
            match Config::SETTINGS.iter().find(|setting| setting.key == part.key) {
                Some(setting) => given.take(setting, origin, input)?,
                None => return Err(ConfigError::other(origin, format!("no setting {}", part.key))),
            }
        }
        let config = Config::read(&given)?;
        together::check(&config, &given)?;
        Ok(Loaded { config, unused, effective: given.effective() })
    }
}

/// The values given so far; of a key given twice, the later one.
#[derive(Debug, Default)]
pub(super) struct Given {
    values: HashMap<&'static str, (Origin, Input)>,
}

impl Given {
    /// Takes a value, if the setting accepts it.
    pub(super) fn take(&mut self, setting: &'static Setting, origin: Origin, input: Input) -> Result<(), ConfigError> {
        self.take_as(setting, origin, setting.key, input)
    }

    /// The same, for a value that stands under another key.
    pub(super) fn take_as(
        &mut self,
        setting: &'static Setting,
        origin: Origin,
        key: &str,
        input: Input,
    ) -> Result<(), ConfigError> {
        if !(setting.accepts)(&input) {
            return Err(ConfigError::value(origin, key, (setting.expected)(), input.shown(setting.secret)));
        }
        self.values.insert(setting.key, (origin, input));
        Ok(())
    }

    /// Takes an environment variable. Other programs set `WARREN_…` variables too (an orchestrator, for a service of that
    /// name), so an unknown one is refused only when it looks like a misspelt setting.
    fn take_variable(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        if !name.starts_with("WARREN_") {
            return Ok(());
        }
        let origin = Origin::Variable(name.to_owned());
        if let Some(setting) = Config::SETTINGS.iter().find(|setting| setting.variable() == name) {
            return self.take(setting, origin, Input::Raw(value.to_owned()));
        }
        match nearest(name, Config::SETTINGS.iter().map(Setting::variable), 2) {
            Some(known) => Err(ConfigError::unknown(origin, "no such setting".to_owned(), Some(known))),
            None => Ok(()),
        }
    }

    /// Where a key was given.
    pub(super) fn origin(&self, key: &str) -> Origin {
        self.values.get(key).map_or(Origin::Default, |(origin, _)| origin.clone())
    }

    /// The value given for a key and where, or else its default.
    pub(super) fn value_or(&self, key: &str, default: &str) -> Result<(Origin, Input), ConfigError> {
        match self.values.get(key) {
            Some((origin, input)) => Ok((origin.clone(), input.clone())),
            None => Ok((Origin::Default, file::literal(key, default)?)),
        }
    }

    /// Every setting as it is in effect.
    fn effective(&self) -> Vec<Effective> {
        let effective = |setting: &'static Setting| match self.values.get(setting.key) {
            Some((origin, input)) => {
                let value = if setting.secret { input.to_toml_masked() } else { input.to_toml(setting.accepts) };
                let file = if let Origin::File(path, _) = origin { Some(path.clone()) } else { None };
                Effective { key: setting.key, value, origin: origin.to_string(), file }
            }
            None => {
                // One that there is not is no secret.
                let hidden = setting.secret && !["\"\"", "[]"].contains(&setting.default);
                let value = if hidden { "\"***\"" } else { setting.default };
                Effective { key: setting.key, value: value.to_owned(), origin: String::new(), file: None }
            }
        };
        Config::SETTINGS.iter().map(effective).collect()
    }
}

//! Gathers values from the command line, the environment and the file, and lets the strongest win.

use super::declare::Setting;
use super::error::{ConfigError, Origin};
use super::file;
use super::input::Input;
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
    /// The configuration file; None reads none.
    pub file: Option<PathBuf>,
    /// Environment variables, all of them; those that are not `WARREN_…` are passed over.
    pub environment: Vec<(String, String)>,
    /// Settings from the command line.
    pub overrides: Vec<Override>,
}

impl Config {
    /// Reads and checks all settings (the precedence is in this module's description).
    ///
    /// # Errors
    /// The first unreadable, unknown or wrong thing, with its place.
    pub fn load(sources: &Sources) -> Result<Config, ConfigError> {
        let mut given = Given::default();
        if let Some(path) = &sources.file {
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
        Config::read(&given)
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
        if !(setting.accepts)(&input) {
            return Err(ConfigError::value(origin, setting.key, (setting.expected)(), input.shown(setting.secret)));
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

    /// The value given for a key and where, or else its default.
    pub(super) fn value_or(&self, key: &str, default: &str) -> Result<(Origin, Input), ConfigError> {
        match self.values.get(key) {
            Some((origin, input)) => Ok((origin.clone(), input.clone())),
            None => Ok((Origin::Default, file::literal(key, default)?)),
        }
    }
}

//! What is made at each start, as the settings say.

use super::logins;
use crate::config::{Config, DefinitionsConfig};
use crate::definitions::{DefinitionsError, Sources};
use crate::engine::Broker;

/// Whether definitions say what there is to be.
pub(super) fn wanted(settings: &DefinitionsConfig) -> bool {
    settings.file.is_some() || !settings.url.is_empty()
}

/// Reads and checks what is to be imported; None: nothing is.
pub(super) fn find(settings: &DefinitionsConfig) -> Result<Option<Sources>, DefinitionsError> {
    let mut found = Sources::default();
    if let Some(path) = &settings.file {
        found.read(path)?;
    }
    if !settings.url.is_empty() {
        found.fetch(&settings.url, settings.authorities.as_deref())?;
    }
    Ok(wanted(settings).then_some(found))
}

/// Imports it.
pub(super) fn import(broker: &Broker, found: Sources, config: &Config) -> Result<(), DefinitionsError> {
    let (from, skip) = (found.origins(), config.definitions.skip_if_unchanged);
    if found.import(broker, logins::hashing(config), skip)? {
        tracing::info!(from, "definitions imported");
    } else {
        tracing::info!(from, "definitions unchanged since they were imported: left out");
    }
    Ok(())
}

//! What is imported when the node starts: a file, the files of a directory, what a server sends; or nothing, when that is
//! what was imported before.

use super::file::Definitions;
use super::import::import;
use super::json::Fault;
use super::{DefinitionsError, HASH_PARAMETER};
use crate::auth::outside::Outside;
use crate::broker::access::HashAlgorithm;
use crate::engine::Broker;
use crate::name::Name;
use crate::value::Value;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Time for a server to send definitions.
const FETCH_TIMEOUT: Duration = Duration::from_secs(60);
/// Most that a server may send, in bytes.
const FETCH_BYTES: u64 = 128 << 20;

/// What is to be imported, checked, in its order.
#[derive(Debug, Default)]
pub struct Sources {
    /// Where it is from, and what it is.
    found: Vec<(String, Definitions)>,
    hasher: Sha256,
}

impl Sources {
    /// Reads a file, or the files `*.json` of a directory, in the order of their names.
    ///
    /// # Errors
    /// One of them cannot be read, is no JSON, or not what RabbitMQ exports of a whole broker.
    pub fn read(&mut self, path: &Path) -> Result<(), DefinitionsError> {
        if !path.is_dir() {
            return self.read_file(path);
        }
        let files = list(path).map_err(|fault| unreadable(path, &fault))?;
        if files.is_empty() {
            tracing::warn!(directory = %path.display(), "no definitions (*.json) in it");
        }
        files.iter().try_for_each(|file| self.read_file(file))
    }

    /// Fetches what a server has. `authorities`: who signs its certificate, PEM; None: whom the system trusts.
    ///
    /// # Errors
    /// It sends nothing, too much, no JSON, or not what RabbitMQ exports of a whole broker.
    pub fn fetch(&mut self, url: &str, authorities: Option<&Path>) -> Result<(), DefinitionsError> {
        let origin = shown(url);
        let whole = |problem| DefinitionsError::new(&origin, Fault { place: String::new(), problem });
        let outside = Outside::new(FETCH_TIMEOUT, authorities).map_err(|fault| whole(fault.to_string()))?;
        let text = outside.get(url, &[], FETCH_BYTES).map_err(|problem| {
            let problem = problem.strip_prefix(url).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(&problem);
            whole(problem.to_owned())
        })?;
        self.take(origin, text.as_bytes())
    }

    /// Where it is from, for people.
    pub fn origins(&self) -> String {
        let origins: Vec<&str> = self.found.iter().map(|(origin, _)| origin.as_str()).collect();
        origins.join(", ")
    }

    /// Imports it all, and notes which it was. Nothing is done, and false is the answer, when `skip_if_unchanged` and it is
    /// what was imported last.
    ///
    /// # Errors
    /// The first thing that cannot be made. What was made before it stays.
    pub fn import(
        self,
        broker: &Broker,
        hashing: HashAlgorithm,
        skip_if_unchanged: bool,
    ) -> Result<bool, DefinitionsError> {
        let hash = Value::from(STANDARD.encode(self.hasher.finalize()));
        let records = broker.parameters().into_iter();
        let is_note = |name: &Name| name.as_str() == HASH_PARAMETER;
        let before = records.filter(|record| record.vhost.is_none()).find(|record| is_note(&record.name));
        if skip_if_unchanged && before.as_ref().is_some_and(|record| record.value == hash) {
            return Ok(false);
        }
        for (origin, definitions) in self.found {
            import(broker, definitions, hashing).map_err(|fault| DefinitionsError::new(&origin, fault))?;
        }
        // A note that is there is of this import from now on, even while nobody looks at it.
        if (skip_if_unchanged || before.is_some())
            && let Some(name) = Name::new(HASH_PARAMETER)
        {
            let noted = broker.put_parameter(None, &Name::default(), &name, hash);
            let failed = |problem| DefinitionsError::new(HASH_PARAMETER, Fault { place: String::new(), problem });
            noted.map_err(|refusal| failed(refusal.to_string()))?;
        }
        Ok(true)
    }

    fn read_file(&mut self, path: &Path) -> Result<(), DefinitionsError> {
        let text = fs::read(path).map_err(|fault| unreadable(path, &fault))?;
        self.take(path.display().to_string(), &text)
    }

    fn take(&mut self, origin: String, text: &[u8]) -> Result<(), DefinitionsError> {
        let definitions = Definitions::parse(text).map_err(|fault| DefinitionsError::new(&origin, fault))?;
        // With its length: two files are not the same as one that holds both.
        self.hasher.update((text.len() as u64).to_be_bytes());
        self.hasher.update(text);
        self.found.push((origin, definitions));
        Ok(())
    }
}

/// An address without what may be secret in it: a user with a password, a signature in the query.
fn shown(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (host, path) = rest.split_at_checked(rest.find('/').unwrap_or(rest.len())).unwrap_or((rest, ""));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

fn list(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension() == Some(OsStr::new("json")) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn unreadable(path: &Path, fault: &std::io::Error) -> DefinitionsError {
    let problem = format!("cannot be read: {fault}");
    DefinitionsError::new(&path.display().to_string(), Fault { place: String::new(), problem })
}

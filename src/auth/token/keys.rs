//! The keys that tokens are signed with: a JSON web key set, from a file or a URL, bounded, read again when a token names a key
//! that is not in it.

use crate::auth::outside::Outside;
use crate::clock::Now;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use parking_lot::Mutex;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Largest key set, in bytes.
const BYTES_MAX: u64 = 256 * 1024;
/// A key set is not asked for more often than this, whatever tokens name.
const SHORTEST_PAUSE: Duration = Duration::from_secs(10);
/// A key set that is older is read again, so that a key that was withdrawn is not believed for long.
const LONGEST_USE: Duration = Duration::from_secs(300);

/// Where the keys are.
#[derive(Clone, Debug)]
pub enum KeyPlace {
    /// A file.
    File(PathBuf),
    /// `https://…`, or `http://…` on a network that is trusted.
    Url(String),
}

/// The keys as they were last read.
#[derive(Debug)]
pub(super) struct Keys {
    place: KeyPlace,
    outside: Outside,
    read: Mutex<Option<(JwkSet, Instant)>>,
    tried: Mutex<Option<Instant>>,
}

impl Keys {
    pub fn new(place: KeyPlace, outside: Outside) -> Keys {
        Keys { place, outside, read: Mutex::new(None), tried: Mutex::new(None) }
    }

    /// The key of a name, or the only one where a token names none. May wait for a file or a server.
    pub fn find(&self, name: Option<&str>) -> Option<Jwk> {
        let now = Now::read().monotonic;
        if let Some(key) = self.known(name, now, LONGEST_USE) {
            return Some(key);
        }
        // Others wait here for what the first one reads.
        let mut tried = self.tried.lock();
        if let Some(key) = self.known(name, now, LONGEST_USE) {
            return Some(key);
        }
        if tried.is_none_or(|tried| now.saturating_duration_since(tried) >= SHORTEST_PAUSE) {
            *tried = Some(now);
            match self.fetch() {
                Ok(set) => *self.read.lock() = Some((set, now)),
                Err(fault) => tracing::error!("keys of tokens: {fault}"),
            }
        }
        // Old keys are better than none while the server does not answer.
        self.known(name, now, Duration::MAX)
    }

    fn known(&self, name: Option<&str>, now: Instant, longest: Duration) -> Option<Jwk> {
        let read = self.read.lock();
        let (set, at) = read.as_ref()?;
        if now.saturating_duration_since(*at) > longest {
            return None;
        }
        match (name, set.keys.as_slice()) {
            (Some(name), _) => set.find(name).cloned(),
            (None, [only]) => Some(only.clone()),
            (None, _) => None,
        }
    }

    fn fetch(&self) -> Result<JwkSet, String> {
        let text = match &self.place {
            KeyPlace::Url(url) => self.outside.get(url, &[], BYTES_MAX)?,
            KeyPlace::File(path) => {
                let wrong = |problem: String| format!("{}: {problem}", path.display());
                let size = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
                if size > BYTES_MAX {
                    return Err(wrong(format!("larger than {BYTES_MAX} bytes")));
                }
                std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?
            }
        };
        serde_json::from_str(&text).map_err(|fault| format!("no key set: {fault}"))
    }
}

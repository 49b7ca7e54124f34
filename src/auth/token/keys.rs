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
    /// Where an issuer's description (OpenID Connect Discovery 1.0) says.
    Issuer(String),
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
            KeyPlace::Issuer(issuer) => {
                let description = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
                let url = keys_of(&self.outside.get(&description, &[], BYTES_MAX)?, issuer)
                    .ok_or_else(|| format!("{description}: no jwks_uri that is as safe as the issuer's own address"))?;
                self.outside.get(&url, &[], BYTES_MAX)?
            }
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

/// Where the keys are, by an issuer's description. Whoever is asked by TLS does not send to somebody without.
fn keys_of(description: &str, issuer: &str) -> Option<String> {
    let description: serde_json::Value = serde_json::from_str(description).ok()?;
    let url = description.get("jwks_uri")?.as_str()?;
    let is_safe = url.starts_with("https://") || (url.starts_with("http://") && issuer.starts_with("http://"));
    is_safe.then(|| url.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    #[test]
    fn an_issuers_description_says_where_its_keys_are() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let issuer = format!("http://{}/realm/", listener.local_addr().unwrap());
        let place = format!("{issuer}keys");
        let served = std::thread::spawn(move || {
            let answers = [
                ("GET /realm/.well-known/openid-configuration ", format!(r#"{{"jwks_uri": "{place}"}}"#)),
                ("GET /realm/keys ", r#"{"keys": [{"kty": "RSA", "kid": "k", "n": "AQAB", "e": "AQAB"}]}"#.to_owned()),
            ];
            for (wanted, answer) in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut head = [0; 4096];
                let read = stream.read(&mut head).unwrap();
                assert!(head[..read].starts_with(wanted.as_bytes()), "{}", String::from_utf8_lossy(&head[..read]));
                let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", answer.len());
                stream.write_all((head + &answer).as_bytes()).unwrap();
            }
        });
        let outside = Outside::new(Duration::from_secs(5), None).unwrap();
        let keys = Keys::new(KeyPlace::Issuer(issuer), outside);
        assert!(keys.find(Some("k")).is_some());
        served.join().unwrap();
    }

    #[test]
    fn keys_are_not_asked_for_without_tls_where_the_issuer_has_it() {
        let of = |url: &str, issuer: &str| keys_of(&format!(r#"{{"jwks_uri": "{url}"}}"#), issuer);
        assert_eq!(of("https://b/k", "https://a").as_deref(), Some("https://b/k"));
        assert_eq!(of("http://b/k", "http://a").as_deref(), Some("http://b/k"));
        assert_eq!((of("http://b/k", "https://a"), of("file:///k", "http://a")), (None, None));
        assert_eq!((keys_of("{}", "http://a"), keys_of("<html>", "http://a")), (None, None));
    }
}

//! An outside service that decides who may log in and what they may do, asked as RabbitMQ's HTTP back end asks it: it answers
//! `allow`, `allow TAG TAG…` or `deny`.

use super::outside::Outside;
use crate::broker::access::{Access, Authority};
use crate::broker::refusal::ResourceKind;
use crate::clock::Now;
use crate::name::Name;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest answer, in bytes.
const ANSWER_BYTES: u64 = 4096;
/// Answers that are remembered.
const REMEMBERED: usize = 16 * 1024;

/// Where the service is, and how it is asked.
#[derive(Clone, Debug)]
pub struct ServiceSettings {
    /// Who may log in.
    pub user_url: String,
    /// Who may be in a virtual host.
    pub vhost_url: String,
    /// Who may do what with a queue or an exchange.
    pub resource_url: String,
    /// Who may use which routing key of a topic exchange.
    pub topic_url: String,
    /// Asked by POST instead of GET.
    pub post: bool,
    /// How long an answer about rights is good.
    pub remember: Duration,
    /// Whether an allowed login is good for as long, as with RabbitMQ's cache; refusals are never remembered.
    pub remember_logins: bool,
}

/// The service.
pub struct Service {
    settings: ServiceSettings,
    outside: Outside,
    answers: Mutex<HashMap<String, (bool, Instant)>>,
    /// Allowed logins by their prints, with their tags.
    logins: Mutex<HashMap<Print, (Vec<Name>, Instant)>>,
    /// Prints are made with it; new with each start. None: the system gives no randomness, and nothing is remembered.
    key: Option<Print>,
}

/// Without what is remembered of logins.
impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// A name with its password, as nobody can read it.
type Print = [u8; 32];

impl Service {
    /// The service of these settings.
    pub fn new(settings: ServiceSettings, outside: Outside) -> Service {
        let mut key = Print::default();
        let key = getrandom::fill(&mut key).ok().map(|()| key).filter(|_| settings.remember_logins);
        Service { settings, outside, answers: Mutex::default(), logins: Mutex::default(), key }
    }

    /// Whether somebody may log in: None, or the tags. `password`: None for who is known by a certificate. Waits for the
    /// service.
    ///
    /// # Errors
    /// The service does not answer, or not with one of its words.
    pub fn login(&self, user: &str, password: Option<&str>) -> Result<Option<Vec<Name>>, String> {
        let print = password.and_then(|password| self.print(user, password));
        let now = Now::read().monotonic;
        if let Some((tags, until)) = print.and_then(|print| self.logins.lock().get(&print).cloned())
            && now < until
        {
            return Ok(Some(tags));
        }
        let parameters = [Some(("username", user)), password.map(|password| ("password", password))];
        let parameters: Vec<_> = parameters.into_iter().flatten().collect();
        let answer = self.ask(&self.settings.user_url, &parameters)?;
        let mut words = answer.split_whitespace();
        match words.next().map(str::to_ascii_lowercase).as_deref() {
            Some("allow") => {
                let tags: Vec<Name> = words.filter_map(Name::new).collect();
                if let Some(print) = print {
                    remember(&mut self.logins.lock(), print, (tags.clone(), now + self.settings.remember), now);
                }
                Ok(Some(tags))
            }
            Some("deny") => Ok(None),
            _ => Err(format!("{}: neither allow nor deny", self.settings.user_url)),
        }
    }

    /// None: logins are not remembered.
    fn print(&self, user: &str, password: &str) -> Option<Print> {
        let print = Sha256::new().chain_update(self.key?).chain_update((user.len() as u64).to_be_bytes());
        Some(print.chain_update(user).chain_update(password).finalize().into())
    }

    fn ask(&self, url: &str, parameters: &[(&str, &str)]) -> Result<String, String> {
        if self.settings.post {
            self.outside.post(url, parameters, ANSWER_BYTES)
        } else {
            self.outside.get(url, parameters, ANSWER_BYTES)
        }
    }

    /// A question about rights. What cannot be answered is denied, and not remembered.
    fn allows(&self, url: &str, parameters: &[(&str, &str)]) -> bool {
        let question = format!("{url} {parameters:?}");
        let now = Now::read().monotonic;
        if let Some((answer, until)) = self.answers.lock().get(&question)
            && now < *until
        {
            return *answer;
        }
        let answer = match waiting(|| self.ask(url, parameters)) {
            Ok(text) => match text.trim().to_ascii_lowercase().as_str() {
                "allow" => true,
                text if text == "deny" || text.starts_with("deny ") => false,
                _ => {
                    tracing::error!("{url}: neither allow nor deny");
                    return false;
                }
            },
            Err(fault) => {
                tracing::error!("rights: {fault}");
                return false;
            }
        };
        remember(&mut self.answers.lock(), question, (answer, now + self.settings.remember), now);
        answer
    }
}

/// Remembers an answer until its time; when there are too many, those whose time is over go, or all.
fn remember<K: Hash + Eq, V>(answers: &mut HashMap<K, (V, Instant)>, question: K, answer: (V, Instant), now: Instant) {
    if answers.len() >= REMEMBERED {
        answers.retain(|_, (_, until)| now < *until);
        if answers.len() >= REMEMBERED {
            answers.clear();
        }
    }
    answers.insert(question, answer);
}

/// Does what waits for another machine; others that this thread serves go on elsewhere meanwhile.
fn waiting<T>(wait: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(wait),
        _ => wait(),
    }
}

/// What a client may do that has logged in by the service.
#[derive(Debug)]
pub(super) struct Asked {
    pub service: Arc<Service>,
    pub user: Name,
    pub tags: Vec<Name>,
    /// Where the client comes from, without its port.
    pub host: String,
}

impl Asked {
    fn tags(&self) -> String {
        self.tags.iter().map(Name::as_str).collect::<Vec<_>>().join(" ")
    }
}

impl Authority for Asked {
    fn waits(&self) -> bool {
        true
    }

    fn enters(&self, vhost: &Name) -> bool {
        let tags = self.tags();
        let parameters =
            [("username", self.user.as_str()), ("vhost", vhost.as_str()), ("ip", &self.host), ("tags", &tags)];
        self.service.allows(&self.service.settings.vhost_url, &parameters)
    }

    fn permits(&self, vhost: &Name, access: Access, kind: ResourceKind, name: &str) -> bool {
        let tags = self.tags();
        let resource = match kind {
            ResourceKind::Queue => "queue",
            ResourceKind::Exchange => "exchange",
        };
        let parameters = [
            ("username", self.user.as_str()),
            ("vhost", vhost.as_str()),
            ("resource", resource),
            ("name", name),
            ("permission", access.word()),
            ("tags", &tags),
        ];
        self.service.allows(&self.service.settings.resource_url, &parameters)
    }

    fn permits_topic(&self, vhost: &Name, access: Access, exchange: &str, key: &str) -> bool {
        let tags = self.tags();
        let parameters = [
            ("username", self.user.as_str()),
            ("vhost", vhost.as_str()),
            ("resource", "topic"),
            ("name", exchange),
            ("permission", access.word()),
            ("tags", &tags),
            ("routing_key", key),
            ("variable_map.username", self.user.as_str()),
            ("variable_map.vhost", vhost.as_str()),
        ];
        self.service.allows(&self.service.settings.topic_url, &parameters)
    }
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;

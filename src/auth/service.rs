//! An outside service that decides who may log in and what they may do, asked as RabbitMQ's HTTP back end asks it: it answers
//! `allow`, `allow TAG TAG…` or `deny`.

use super::outside::Outside;
use crate::broker::access::{Access, Authority};
use crate::broker::refusal::ResourceKind;
use crate::clock::Now;
use crate::name::Name;
use parking_lot::Mutex;
use std::collections::HashMap;
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
}

/// The service.
#[derive(Debug)]
pub struct Service {
    settings: ServiceSettings,
    outside: Outside,
    answers: Mutex<HashMap<String, (bool, Instant)>>,
}

impl Service {
    /// The service of these settings.
    pub fn new(settings: ServiceSettings, outside: Outside) -> Service {
        Service { settings, outside, answers: Mutex::default() }
    }

    /// Whether somebody may log in: None, or the tags. `password`: None for who is known by a certificate. Waits for the
    /// service.
    ///
    /// # Errors
    /// The service does not answer, or not with one of its words.
    pub fn login(&self, user: &str, password: Option<&str>) -> Result<Option<Vec<Name>>, String> {
        let parameters = [Some(("username", user)), password.map(|password| ("password", password))];
        let parameters: Vec<_> = parameters.into_iter().flatten().collect();
        let answer = self.ask(&self.settings.user_url, &parameters)?;
        let mut words = answer.split_whitespace();
        match words.next().map(str::to_ascii_lowercase).as_deref() {
            Some("allow") => Ok(Some(words.filter_map(Name::new).collect())),
            Some("deny") => Ok(None),
            _ => Err(format!("{}: neither allow nor deny", self.settings.user_url)),
        }
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
        let mut answers = self.answers.lock();
        if answers.len() >= REMEMBERED {
            answers.retain(|_, (_, until)| now < *until);
            if answers.len() >= REMEMBERED {
                answers.clear();
            }
        }
        answers.insert(question, (answer, now + self.settings.remember));
        answer
    }
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

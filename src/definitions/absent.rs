//! What a definitions file names and this broker does not have. What cannot be made is told as a whole before anything is made, so
//! that a file is put right once; what is kept without effect is told in the log.

use super::json::{Fault, Node};
use crate::broker::policy::Policy;
use crate::name::Name;
use crate::value::{Table, Value};

/// As many are told by name.
const TOLD: usize = 20;
/// The types of queues that there are.
const QUEUE_TYPES: &[&str] = &["classic", "quorum"];
/// Parameters that are kept, and that nothing reads: their plugins are not there.
const COMPONENTS: &[&str] = &["shovel", "federation-upstream", "federation-upstream-set"];
/// Keys of policies of which that is so.
const POLICY_KEYS: &[&str] = &["federation-upstream", "federation-upstream-set", "federation-upstream-pattern"];

/// What was found of it.
#[derive(Debug, Default)]
pub(super) struct Absent {
    /// What cannot be made.
    missing: Vec<String>,
    /// What is kept without effect.
    idle: Vec<String>,
}

impl Absent {
    /// Whether a queue with these arguments is of a type that is not there.
    pub fn queue(&mut self, name: &Name, vhost: &Name, arguments: &Table) -> bool {
        let Some(Value::LongString(kind)) = arguments.get("x-queue-type") else { return false };
        let kind = String::from_utf8_lossy(kind);
        let absent = !QUEUE_TYPES.contains(&kind.as_ref());
        if absent {
            self.missing.push(format!("queue '{name}' in vhost '{vhost}' (type {kind})"));
        }
        absent
    }

    /// An exchange of a type that is not there.
    pub fn exchange(&mut self, name: &Name, vhost: &Name, kind: &str) {
        self.missing.push(format!("exchange '{name}' in vhost '{vhost}' (type {kind})"));
    }

    /// Whether queues of a virtual host are of a type by default that is not there.
    pub fn default_type(&mut self, vhost: &Name, kind: &Name) {
        if !QUEUE_TYPES.contains(&kind.as_str()) {
            self.missing.push(format!("vhost '{vhost}' (default queue type {kind})"));
        }
    }

    /// A parameter of a virtual host.
    pub fn parameter(&mut self, component: &Name, name: &Name, vhost: &Name) {
        if COMPONENTS.contains(&component.as_str()) {
            self.idle.push(format!("{component} '{name}' in vhost '{vhost}'"));
        }
    }

    /// A policy.
    pub fn policy(&mut self, policy: &Policy, definition: &Node<'_>, vhost: &Name) {
        let keys = POLICY_KEYS.iter().filter(|key| definition.get(key).is_some());
        self.idle.extend(keys.map(|key| format!("{key} of policy '{}' in vhost '{vhost}'", policy.name)));
    }

    /// What is kept without effect, for the log.
    pub fn idle(&self) -> Option<String> {
        (!self.idle.is_empty()).then(|| listed(&self.idle))
    }

    /// # Errors
    /// Something cannot be made: all of it is named.
    pub fn check(&self) -> Result<(), Fault> {
        if self.missing.is_empty() {
            return Ok(());
        }
        let problem = format!("nothing is imported, because this is not supported: {}", listed(&self.missing));
        Err(Fault { place: String::new(), problem })
    }
}

fn listed(names: &[String]) -> String {
    let told: Vec<&str> = names.iter().take(TOLD).map(String::as_str).collect();
    match names.len().saturating_sub(TOLD) {
        0 => told.join(", "),
        more => format!("{}, and {more} more", told.join(", ")),
    }
}

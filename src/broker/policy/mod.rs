//! Policies and operator policies: which object has which, and what they amount to together with its arguments
//! (compat.md 2.9). One policy and one operator policy count for each object.

mod merge;

pub use merge::{Sources, effective, merged};

use super::arguments::TIME_MAX;
use super::queue::QueueKind;
use crate::name::Name;
use crate::value::{Table, Value};
use fancy_regex::Regex;
use std::collections::BTreeMap;

/// What a policy is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplyTo {
    /// Queues and exchanges.
    All,
    /// Queues of every type.
    Queues,
    /// Classic queues.
    ClassicQueues,
    /// Quorum queues.
    QuorumQueues,
    /// Streams, of which there are none yet.
    Streams,
    /// Exchanges.
    Exchanges,
}

impl ApplyTo {
    const NAMES: [(ApplyTo, &'static str); 6] = [
        (ApplyTo::All, "all"),
        (ApplyTo::Queues, "queues"),
        (ApplyTo::ClassicQueues, "classic_queues"),
        (ApplyTo::QuorumQueues, "quorum_queues"),
        (ApplyTo::Streams, "streams"),
        (ApplyTo::Exchanges, "exchanges"),
    ];

    /// The word in definitions.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(kind, _)| *kind == self).map_or("all", |(_, name)| name)
    }

    /// The kind of a word.
    pub fn parse(name: &str) -> Option<ApplyTo> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(kind, _)| *kind)
    }

    fn fits(self, object: Object) -> bool {
        match (self, object) {
            (ApplyTo::All, _) | (ApplyTo::Exchanges, Object::Exchange) => true,
            (ApplyTo::Queues, Object::Queue(_)) => true,
            (ApplyTo::ClassicQueues, Object::Queue(kind)) => kind == QueueKind::Classic,
            (ApplyTo::QuorumQueues, Object::Queue(kind)) => kind == QueueKind::Quorum,
            _ => false,
        }
    }
}

/// What a policy may apply to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// A queue of this type.
    Queue(QueueKind),
    /// An exchange.
    Exchange,
}

/// A policy as it is set.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Its name.
    pub name: Name,
    /// What the name of an object must contain: a regular expression, not anchored.
    pub pattern: String,
    /// What it is for.
    pub apply_to: ApplyTo,
    /// Keys and values.
    pub definition: Table,
    /// Of several that fit, the one with the highest counts.
    pub priority: i64,
    regex: Regex,
}

/// What a policy key may hold.
#[derive(Clone, Copy)]
enum Shape {
    Number { min: i64, max: i64 },
    Text,
    Word(&'static [&'static str]),
    Flag,
    Anything,
}

const COUNT: Shape = Shape::Number { min: 0, max: i64::MAX };
const TIME: Shape = Shape::Number { min: 0, max: TIME_MAX };

/// Every key, what it may hold, and whether an operator policy may have it.
const KEYS: &[(&str, Shape, bool)] = &[
    ("expires", Shape::Number { min: 1, max: TIME_MAX }, true),
    ("message-ttl", TIME, true),
    ("max-length", COUNT, true),
    ("max-length-bytes", COUNT, true),
    ("max-in-memory-length", COUNT, true),
    ("max-in-memory-bytes", COUNT, true),
    ("delivery-limit", Shape::Number { min: i64::MIN, max: i64::MAX }, true),
    ("overflow", Shape::Word(&["drop-head", "reject-publish", "reject-publish-dlx"]), true),
    ("queue-version", Shape::Number { min: 1, max: 2 }, true),
    ("delayed-retry-type", Shape::Word(&["disabled", "all", "failed", "returned"]), true),
    ("delayed-retry-min", TIME, true),
    ("delayed-retry-max", TIME, true),
    ("target-group-size", COUNT, true),
    ("dead-letter-exchange", Shape::Text, false),
    ("dead-letter-routing-key", Shape::Text, false),
    ("dead-letter-strategy", Shape::Word(&["at-most-once", "at-least-once"]), false),
    ("consumer-timeout", TIME, false),
    ("consumer-disconnected-timeout", TIME, false),
    ("queue-mode", Shape::Word(&["default", "lazy"]), false),
    ("queue-leader-locator", Shape::Text, false),
    ("queue-master-locator", Shape::Text, true),
    ("alternate-exchange", Shape::Text, false),
    ("delayed-message", Shape::Flag, false),
    ("initial-cluster-size", COUNT, false),
    ("max-age", Shape::Text, false),
    ("stream-max-segment-size-bytes", COUNT, false),
    ("stream-filter-size-bytes", COUNT, false),
    ("federation-upstream", Shape::Text, false),
    ("federation-upstream-set", Shape::Text, false),
    ("federation-upstream-pattern", Shape::Text, false),
    ("ha-mode", Shape::Anything, true),
    ("ha-params", Shape::Anything, true),
    ("ha-sync-mode", Shape::Anything, true),
    ("ha-sync-batch-size", Shape::Anything, false),
    ("ha-promote-on-shutdown", Shape::Anything, false),
    ("ha-promote-on-failure", Shape::Anything, false),
];

impl Policy {
    /// A policy, checked; `operator`: an operator policy.
    ///
    /// # Errors
    /// What is wrong with the pattern or the definition.
    pub fn new(
        name: Name,
        pattern: &str,
        apply_to: ApplyTo,
        definition: Table,
        priority: i64,
        operator: bool,
    ) -> Result<Policy, String> {
        let regex = Regex::new(pattern).map_err(|fault| format!("Invalid regular expression: {fault}"))?;
        if definition.is_empty() {
            return Err("policy definition should not be empty".to_owned());
        }
        let unknown: Vec<String> = definition
            .iter()
            .filter(|(key, _)| !KEYS.iter().any(|row| row.0.as_bytes() == key.as_bytes() && (row.2 || !operator)))
            .map(|(key, _)| format!("<<\"{}\">>", String::from_utf8_lossy(key.as_bytes())))
            .collect();
        if !unknown.is_empty() {
            return Err(format!("[{}] are not recognised policy settings", unknown.join(",")));
        }
        for (key, shape, _) in KEYS {
            if let Some(value) = definition.get(*key)
                && !shape.fits(value)
            {
                return Err(format!("<<\"{value}\">> is not a valid {}", key.replace('-', " ")));
            }
        }
        Ok(Policy { name, pattern: pattern.to_owned(), apply_to, definition, priority, regex })
    }

    /// Whether it is for an object of this name. A pattern that takes too long to match does not.
    pub fn fits(&self, name: &str, object: Object) -> bool {
        self.apply_to.fits(object) && self.regex.is_match(name).unwrap_or(false)
    }
}

impl Shape {
    fn fits(self, value: &Value) -> bool {
        match self {
            Shape::Number { min, max } => value.as_integer().is_some_and(|number| (min..=max).contains(&number)),
            Shape::Text => value.as_str().is_some(),
            Shape::Word(words) => value.as_str().is_some_and(|word| words.contains(&word)),
            Shape::Flag => value.as_bool().is_some(),
            Shape::Anything => true,
        }
    }
}

/// The policies of a virtual host, of one sort.
#[derive(Debug, Default)]
pub struct Policies(BTreeMap<Name, Policy>);

impl Policies {
    /// Sets a policy, in the place of one with the same name.
    pub fn set(&mut self, policy: Policy) {
        self.0.insert(policy.name.clone(), policy);
    }

    /// Removes a policy; false when there is none of that name.
    pub fn remove(&mut self, name: &str) -> bool {
        self.0.remove(name).is_some()
    }

    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Policy> {
        self.0.values()
    }

    /// The one that counts for an object.
    pub fn of(&self, name: &str, object: Object) -> Option<&Policy> {
        let fitting = self.0.values().rev().filter(|policy| policy.fits(name, object));
        fitting.max_by_key(|policy| policy.priority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(name: &str, pattern: &str, apply_to: ApplyTo, priority: i64) -> Policy {
        let definition = Table::from_iter([("max-length", Value::I64(priority))]);
        Policy::new(Name::new(name).unwrap(), pattern, apply_to, definition, priority, false).unwrap()
    }

    #[test]
    fn the_highest_that_fits_counts() {
        let mut policies = Policies::default();
        policies.set(policy("all", "", ApplyTo::All, 0));
        policies.set(policy("work", "work", ApplyTo::Queues, 5));
        policies.set(policy("quorum", "^work", ApplyTo::QuorumQueues, 9));
        policies.set(policy("not-amq", "^(?!amq\\.).*", ApplyTo::Exchanges, 3));
        fn named(policies: &Policies, name: &str, object: Object) -> Option<String> {
            policies.of(name, object).map(|policy| policy.name.as_str().to_owned())
        }
        let of = |name: &str, object| named(&policies, name, object);
        let some = |name: &str| Some(name.to_owned());
        assert_eq!(of("my-work", Object::Queue(QueueKind::Classic)), some("work"));
        assert_eq!(of("work-1", Object::Queue(QueueKind::Quorum)), some("quorum"));
        assert_eq!(of("my-work", Object::Queue(QueueKind::Quorum)), some("work"));
        assert_eq!(of("x", Object::Exchange), some("not-amq"));
        assert_eq!(of("amq.direct", Object::Exchange), some("all"));
        assert!(policies.remove("work") && !policies.remove("work"));
        assert_eq!(named(&policies, "my-work", Object::Queue(QueueKind::Classic)), some("all"));
    }

    #[test]
    fn every_key_looks_at_its_value() {
        for (key, shape, operator) in KEYS {
            let check = |value: Value| {
                let definition = Table::from_iter([(*key, value)]);
                Policy::new(Name::new("p").unwrap(), "", ApplyTo::All, definition, 0, *operator).map(|_| ())
            };
            let (good, bad): (Value, Option<Value>) = match shape {
                Shape::Number { min, .. } if *min == i64::MIN => (Value::from(-1), Some("5".into())),
                Shape::Number { min, .. } => ((*min).into(), Some((*min - 1).into())),
                Shape::Text => ("text".into(), Some(5.into())),
                Shape::Word(words) => (words[0].into(), Some("other".into())),
                Shape::Flag => (true.into(), Some("yes".into())),
                Shape::Anything => (Value::Void, None),
            };
            assert_eq!(check(good), Ok(()), "{key}");
            if let Some(bad) = bad {
                let text = format!("<<\"{bad}\">> is not a valid {}", key.replace('-', " "));
                assert_eq!(check(bad), Err(text));
            }
        }
    }

    #[test]
    fn definitions_are_checked() {
        let check = |entries: &[(&'static str, Value)], operator| {
            let definition = entries.iter().cloned().collect();
            Policy::new(Name::new("p").unwrap(), ".*", ApplyTo::All, definition, 0, operator).map(|_| ())
        };
        assert_eq!(check(&[("max-length", 5.into()), ("dead-letter-exchange", "x".into())], false), Ok(()));
        let unknown = Err("[<<\"maxlength\">>] are not recognised policy settings".to_owned());
        assert_eq!(check(&[("maxlength", 5.into())], false), unknown);
        let unknown = Err("[<<\"dead-letter-exchange\">>] are not recognised policy settings".to_owned());
        assert_eq!(check(&[("dead-letter-exchange", "x".into())], true), unknown);
        assert_eq!(
            check(&[("max-length", (-1).into())], false),
            Err("<<\"-1\">> is not a valid max length".to_owned())
        );
        assert!(check(&[("overflow", "never".into())], false).is_err());
        assert!(check(&[], false).is_err());
        let definition = Table::from_iter([("max-length", Value::I64(1))]);
        assert!(Policy::new(Name::new("p").unwrap(), "(", ApplyTo::All, definition, 0, false).is_err());
    }
}

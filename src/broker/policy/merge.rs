//! What a queue's arguments, its policy and its operator policy amount to (compat.md 2.9).

use crate::broker::queue::{DeadLetters, Overflow, QueueKind, QueueSettings, Retry, RetryKind};
use crate::broker::window::{DEDUPLICATION_HEADER, WindowSettings};
use crate::name::Name;
use crate::value::{Table, Value};

/// Failed deliveries after which a quorum queue drops a message, if nothing else is said (compat.md 0, row 3).
const DELIVERY_LIMIT: i64 = 20;
/// Identities that a deduplicating queue remembers, if nothing else is said (compat.md 2.11).
const CACHE_SIZE: u64 = 128;

/// Where a queue's settings come from: its arguments, the definition of its policy, and of its operator policy.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// Arguments as declared.
    pub arguments: &'a Table,
    /// Keys and values of the policy.
    pub policy: Option<&'a Table>,
    /// Keys and values of the operator policy.
    pub operator: Option<&'a Table>,
}

impl<'a> Sources<'a> {
    /// Arguments alone.
    pub fn arguments(arguments: &'a Table) -> Sources<'a> {
        Sources { arguments, policy: None, operator: None }
    }

    fn argument(&self, key: &str) -> Option<&'a Value> {
        self.arguments.get(&format!("x-{key}"))
    }

    fn policies(&self, key: &str) -> (Option<&'a Value>, Option<&'a Value>) {
        (self.policy.and_then(|policy| policy.get(key)), self.operator.and_then(|operator| operator.get(key)))
    }

    /// The least of what all of them say.
    fn least(&self, key: &str) -> Option<u64> {
        let (policy, operator) = self.policies(key);
        let all = [self.argument(key), policy, operator].into_iter().flatten();
        all.filter_map(|value| u64::try_from(value.as_integer()?).ok()).min()
    }

    /// The operator's word before the policy's.
    fn policy_text(&self, key: &str) -> Option<&'a str> {
        let (policy, operator) = self.policies(key);
        operator.or(policy).and_then(Value::as_str)
    }

    fn argument_text(&self, key: &str) -> Option<&'a str> {
        self.argument(key).and_then(Value::as_str)
    }

    /// The argument's word before the policy's.
    fn text(&self, key: &str) -> Option<&'a str> {
        self.argument_text(key).or_else(|| self.policy_text(key))
    }
}

/// A policy and an operator policy as one definition, as listings show it: of two numbers the least, otherwise the
/// operator's word. A negative delivery limit is none and gives way.
pub fn merged(policy: Option<&Table>, operator: Option<&Table>) -> Table {
    let mut merged = policy.cloned().unwrap_or_default();
    for (key, value) in operator.into_iter().flat_map(Table::iter) {
        let numbers = merged.get(key).and_then(Value::as_integer).zip(value.as_integer());
        let value = match numbers {
            Some((one, other)) if key.as_bytes() == b"delivery-limit" && one.min(other) < 0 => one.max(other).into(),
            Some((one, other)) => one.min(other).into(),
            None => value.clone(),
        };
        merged.insert(key.clone(), value);
    }
    merged
}

/// A queue's settings.
pub fn effective(kind: QueueKind, sources: Sources<'_>) -> QueueSettings {
    let quorum = kind == QueueKind::Quorum;
    let overflow = overflow(kind, &sources);
    let flag = |key: &str| sources.arguments.get(key).and_then(Value::as_bool).unwrap_or(false);
    QueueSettings {
        kind,
        message_ttl: sources.least("message-ttl"),
        expires: sources.least("expires"),
        max_length: sources.least("max-length"),
        max_bytes: sources.least("max-length-bytes"),
        overflow,
        dead_letters: sources.text("dead-letter-exchange").and_then(Name::new).map(|exchange| DeadLetters {
            exchange,
            routing_key: sources.text("dead-letter-routing-key").and_then(Name::new),
            at_least_once: quorum
                && overflow == Overflow::RejectPublish
                && sources.text("dead-letter-strategy") == Some("at-least-once"),
        }),
        max_priority: sources.arguments.get("x-max-priority").and_then(Value::as_integer).map(|most| most as u8),
        single_active: flag("x-single-active-consumer"),
        delivery_limit: if quorum { delivery_limit(&sources) } else { None },
        retry: if quorum { retry(&sources) } else { Retry::default() },
        consumer_timeout: sources.least("consumer-timeout"),
        deduplication: flag("x-message-deduplication").then(|| WindowSettings {
            header: sources.text("deduplication-header").unwrap_or(DEDUPLICATION_HEADER).to_owned(),
            size: sources.least("cache-size").unwrap_or(CACHE_SIZE),
            ttl_ms: sources.least("cache-ttl"),
        }),
    }
}

/// A classic queue's argument wins, a quorum queue's policy; a quorum queue has no `reject-publish-dlx`.
fn overflow(kind: QueueKind, sources: &Sources<'_>) -> Overflow {
    let (argument, policy) = (sources.argument_text("overflow"), sources.policy_text("overflow"));
    let (word, quorum) = match kind {
        QueueKind::Classic => (argument.or(policy), false),
        QueueKind::Quorum => (policy.or(argument), true),
    };
    match word {
        Some("reject-publish") => Overflow::RejectPublish,
        Some("reject-publish-dlx") if !quorum => Overflow::RejectPublishDlx,
        _ => Overflow::DropHead,
    }
}

/// The least limit; a negative one is none, and gives way to no other.
fn delivery_limit(sources: &Sources<'_>) -> Option<u32> {
    let (policy, operator) = sources.policies("delivery-limit");
    let said = [sources.argument("delivery-limit"), policy, operator].into_iter().flatten();
    let said: Vec<i64> = said.filter_map(Value::as_integer).collect();
    let unlimited = said.iter().any(|limit| *limit < 0);
    let limit = if unlimited { said.into_iter().max() } else { said.into_iter().min() };
    u32::try_from(limit.unwrap_or(DELIVERY_LIMIT)).ok()
}

fn retry(sources: &Sources<'_>) -> Retry {
    let kind = match sources.policy_text("delayed-retry-type").or_else(|| sources.argument_text("delayed-retry-type")) {
        Some("all") => RetryKind::All,
        Some("failed") => RetryKind::Failed,
        Some("returned") => RetryKind::Returned,
        _ => RetryKind::Disabled,
    };
    let min_ms = sources.least("delayed-retry-min").unwrap_or(0);
    Retry { kind, min_ms, max_ms: sources.least("delayed-retry-max").unwrap_or(min_ms).max(min_ms) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(entries: &[(&'static str, Value)]) -> Table {
        entries.iter().cloned().collect()
    }

    fn merged(kind: QueueKind, [arguments, policy, operator]: [&[(&'static str, Value)]; 3]) -> QueueSettings {
        let [arguments, policy, operator] = [arguments, policy, operator].map(table);
        effective(kind, Sources { arguments: &arguments, policy: Some(&policy), operator: Some(&operator) })
    }

    #[test]
    fn numbers_take_the_least() {
        let settings = merged(
            QueueKind::Classic,
            [
                &[("x-message-ttl", 50.into()), ("x-max-length", 5.into()), ("x-expires", 9.into())],
                &[("message-ttl", 40.into()), ("max-length", 7.into()), ("max-length-bytes", 100.into())],
                &[("message-ttl", 60.into()), ("max-length-bytes", 80.into())],
            ],
        );
        assert_eq!((settings.message_ttl, settings.max_length), (Some(40), Some(5)));
        assert_eq!((settings.max_bytes, settings.expires), (Some(80), Some(9)));
    }

    #[test]
    fn overflow_is_the_arguments_or_the_policys() {
        let argument: &[(&str, Value)] = &[("x-overflow", "drop-head".into())];
        let policy: &[(&str, Value)] = &[("overflow", "reject-publish".into())];
        let overflow = |kind, sources| merged(kind, sources).overflow;
        assert_eq!(overflow(QueueKind::Classic, [argument, policy, &[]]), Overflow::DropHead);
        assert_eq!(overflow(QueueKind::Quorum, [argument, policy, &[]]), Overflow::RejectPublish);
        assert_eq!(overflow(QueueKind::Classic, [&[], argument, policy]), Overflow::RejectPublish);
        let dlx: &[(&str, Value)] = &[("x-overflow", "reject-publish-dlx".into())];
        assert_eq!(overflow(QueueKind::Classic, [dlx, &[], &[]]), Overflow::RejectPublishDlx);
        assert_eq!(overflow(QueueKind::Quorum, [dlx, &[], &[]]), Overflow::DropHead);
    }

    #[test]
    fn dead_letters_go_where_the_argument_says() {
        let sources: [&[(&str, Value)]; 3] = [
            &[("x-dead-letter-exchange", "a".into()), ("x-dead-letter-strategy", "at-least-once".into())],
            &[("dead-letter-exchange", "b".into()), ("dead-letter-routing-key", "k".into())],
            &[],
        ];
        let letters = merged(QueueKind::Quorum, sources).dead_letters.unwrap();
        assert_eq!(letters.exchange.as_str(), "a");
        assert_eq!(letters.routing_key.as_ref().map(|key| key.as_str()), Some("k"));
        assert!(!letters.at_least_once, "it needs reject-publish");
        let [arguments, ..] = sources;
        let rejects: &[(&str, Value)] = &[("overflow", "reject-publish".into())];
        let strict = |kind| merged(kind, [arguments, rejects, &[]]).dead_letters.unwrap().at_least_once;
        assert!(strict(QueueKind::Quorum) && !strict(QueueKind::Classic));
    }

    #[test]
    fn listings_show_both_policies_as_one() {
        let policy = table(&[
            ("max-length", 5.into()),
            ("overflow", "drop-head".into()),
            ("delivery-limit", (-1).into()),
            ("dead-letter-exchange", "x".into()),
        ]);
        let operator = table(&[
            ("max-length", 7.into()),
            ("overflow", "reject-publish".into()),
            ("delivery-limit", 3.into()),
            ("expires", 1000.into()),
        ]);
        let expected = table(&[
            ("max-length", 5.into()),
            ("overflow", "reject-publish".into()),
            ("delivery-limit", 3.into()),
            ("dead-letter-exchange", "x".into()),
            ("expires", 1000.into()),
        ]);
        assert_eq!(super::merged(Some(&policy), Some(&operator)), expected);
        assert_eq!(super::merged(Some(&policy), None), policy);
        assert_eq!(super::merged(None, None), Table::new());
    }

    #[test]
    fn delivery_limits() {
        let limit = |argument: Option<i64>, policy: Option<i64>| {
            let [argument, policy] = [("x-delivery-limit", argument), ("delivery-limit", policy)]
                .map(|(key, limit)| limit.map(|limit| (key, Value::from(limit))).into_iter().collect::<Vec<_>>());
            merged(QueueKind::Quorum, [&argument, &policy, &[]]).delivery_limit
        };
        assert_eq!(limit(None, None), Some(20));
        assert_eq!(limit(Some(3), Some(5)), Some(3));
        assert_eq!(limit(Some(-1), Some(5)), Some(5));
        assert_eq!(limit(Some(-1), None), None);
        assert_eq!(merged(QueueKind::Classic, [&[], &[], &[]]).delivery_limit, None);
    }

    #[test]
    fn delayed_retry() {
        let retry = |entries: &[(&'static str, Value)]| merged(QueueKind::Quorum, [entries, &[], &[]]).retry;
        assert_eq!(retry(&[]), Retry::default());
        let expected = Retry { kind: RetryKind::Failed, min_ms: 100, max_ms: 100 };
        let kind = ("x-delayed-retry-type", Value::from("failed"));
        assert_eq!(retry(&[kind.clone(), ("x-delayed-retry-min", 100.into())]), expected);
        let bounded = retry(&[kind, ("x-delayed-retry-min", 100.into()), ("x-delayed-retry-max", 300.into())]);
        assert_eq!(bounded.max_ms, 300);
    }
}

//! The limits that virtual hosts are made with.

use super::declare::Kind;
use super::input::Input;
use crate::limits::{PATTERN_BYTES, PATTERN_PROGRAM_BYTES};
use fancy_regex::RegexBuilder;

/// The limits of virtual hosts whose names match a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VhostDefaults {
    /// The regular expression.
    pub pattern: String,
    /// Connections at a time; None = no limit.
    pub max_connections: Option<u64>,
    /// Queues; None = no limit.
    pub max_queues: Option<u64>,
}

/// Limits with patterns behind them; none is fine.
pub(super) struct LimitsOfVhosts;

impl Kind for LimitsOfVhosts {
    type Value = Vec<VhostDefaults>;

    fn expected(&self) -> String {
        "a list of limits, each with a regular expression behind it, such as \"max-connections=10 max-queues=100 ^tenant-\""
            .to_owned()
    }

    fn parse(&self, input: &Input) -> Option<Vec<VhostDefaults>> {
        input.items()?.into_iter().map(defaults).collect()
    }
}

fn defaults(text: &str) -> Option<VhostDefaults> {
    let mut found = VhostDefaults { pattern: String::new(), max_connections: None, max_queues: None };
    let mut rest = text.trim();
    loop {
        let (word, behind) = rest.split_once(' ').unwrap_or((rest, ""));
        let limit = match word.split_once('=') {
            Some(("max-connections", limit)) => (&mut found.max_connections, limit),
            Some(("max-queues", limit)) => (&mut found.max_queues, limit),
            _ => break,
        };
        *limit.0 = Some(limit.1.parse().ok().filter(|limit| *limit <= i64::MAX as u64)?);
        rest = behind.trim_start();
    }
    is_pattern(rest).then_some(())?;
    rest.clone_into(&mut found.pattern);
    Some(found)
}

/// Whether the broker can match names against it.
pub(super) fn is_pattern(text: &str) -> bool {
    let mut builder = RegexBuilder::new(text);
    builder.delegate_size_limit(PATTERN_PROGRAM_BYTES).delegate_dfa_size_limit(PATTERN_PROGRAM_BYTES);
    (1..=PATTERN_BYTES).contains(&text.len()) && builder.build().is_ok()
}

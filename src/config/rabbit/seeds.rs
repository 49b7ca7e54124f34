//! `default_users.NAME.…` and `default_policies.operator.NAME.…`: what virtual hosts are made with.

use super::keys::{Expected, Meaning, bytes};
use crate::config::input::Input;
use crate::config::kinds::name;
use crate::config::seeds::{APPLY_TO, POLICY_KEYS, fits, is_right};
use crate::config::vhosts::is_pattern;

const PATTERN: Expected = "a regular expression";

/// What such a key means; None: it is none of them.
pub(super) fn meaning(key: &str, value: &str) -> Option<Result<Meaning, Expected>> {
    if let Some(rest) = key.strip_prefix("default_users.") {
        return Some(of_user(rest, value));
    }
    key.strip_prefix("default_policies.operator.").map(|rest| of_policy(rest, value))
}

fn of_user(rest: &str, value: &str) -> Result<Meaning, Expected> {
    let Some((user, key)) = named(rest) else { return Ok(Meaning::Unused(super::reasons::UNKNOWN)) };
    let text = || Input::Text(value.to_owned());
    let right = || if is_right(value) { Ok(text()) } else { Err(PATTERN) };
    let (member, input) = match key {
        "vhost_pattern" if is_pattern(value) => ("vhosts", text()),
        "vhost_pattern" => return Err(PATTERN),
        "password" => ("password", text()),
        "tags" => {
            let tags: Vec<&str> = value.split(',').map(str::trim).collect();
            if tags.iter().any(|tag| name(tag).is_none()) {
                return Err("tags with commas between them");
            }
            ("tags", Input::List(tags.into_iter().map(|tag| Input::Text(tag.to_owned())).collect()))
        }
        "configure" => ("configure", right()?),
        "write" => ("write", right()?),
        "read" => ("read", right()?),
        _ => return Ok(Meaning::Unused(super::reasons::UNKNOWN)),
    };
    Ok(Meaning::Member("auth.vhost_users", checked(user)?, member.to_owned(), input))
}

fn of_policy(rest: &str, value: &str) -> Result<Meaning, Expected> {
    let Some((policy, key)) = named(rest) else {
        let reason = if rest.contains(".classic_queues.") { MIRRORED } else { super::reasons::UNKNOWN };
        return Ok(Meaning::Unused(reason));
    };
    let pattern = || if is_pattern(value) { Ok(Input::Text(value.to_owned())) } else { Err(PATTERN) };
    let (member, input) = match key {
        "vhost_pattern" => ("vhosts", pattern()?),
        "queue_pattern" => ("queues", pattern()?),
        "apply_to" if APPLY_TO.contains(&value) => ("apply_to", Input::Text(value.to_owned())),
        "apply_to" => return Err("all, queues, classic_queues, quorum_queues, streams or exchanges"),
        "ha_mode" | "ha_params" | "ha_sync_mode" | "queue_version" => return Ok(Meaning::Unused(MIRRORED)),
        key => {
            let Some((member, _, least)) = POLICY_KEYS.iter().find(|(known, ..)| *known == key) else {
                return Ok(Meaning::Unused(super::reasons::UNKNOWN));
            };
            let (expected, number) = match *member {
                "expires" | "message_ttl" => ("a time such as 86400000 (in ms), 90s or 1h", duration(value)),
                "max_length_bytes" | "max_in_memory_bytes" => ("a size above 0 such as 2GB or 512MiB", size(value)),
                _ => ("a whole number above 0", value.parse().ok()),
            };
            let number = number.filter(|number| fits(member, *number, *least)).ok_or(expected)?;
            (*member, Input::Integer(i64::try_from(number).map_err(|_| expected)?))
        }
    };
    Ok(Meaning::Member("limits.vhost_policies", checked(policy)?, member.to_owned(), input))
}

/// Queues have one copy and one version.
const MIRRORED: &str = " (queues have neither mirrors nor versions)";

/// `NAME.key`: a dot in a name has a backslash before it. None when there are more dots.
fn named(rest: &str) -> Option<(String, &str)> {
    let (name, key) = rest.rsplit_once('.')?;
    let name = name.replace("\\.", "\0");
    (!name.contains('.')).then(|| (name.replace('\0', "."), key))
}

fn checked(text: String) -> Result<String, Expected> {
    if name(&text).is_some() { Ok(text) } else { Err("a name of 1 to 255 bytes in the key") }
}

fn size(value: &str) -> Option<u64> {
    match bytes(value) {
        Ok(Input::Integer(bytes)) => u64::try_from(bytes).ok(),
        _ => None,
    }
}

/// A time in milliseconds: a bare number, or numbers with units as in `1d12h`.
fn duration(value: &str) -> Option<u64> {
    if let Ok(ms) = value.parse() {
        return Some(ms);
    }
    let (mut rest, mut sum) = (value, 0_u64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, behind) = rest.split_at_checked(digits)?;
        let letters = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at_checked(letters)?;
        let ms: u64 = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            "f" => 1_209_600_000,
            _ => return None,
        };
        sum = sum.checked_add(number.parse::<u64>().ok()?.checked_mul(ms)?)?;
        rest = behind;
    }
    Some(sum).filter(|_| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, ms) in [("5", 5), ("90s", 90_000), ("1d12h", 129_600_000), ("500ms", 500), ("2w1f", 2_419_200_000)] {
            assert_eq!(duration(text), Some(ms), "{text}");
        }
        for text in ["", "s", "1", "1x", "-1", "1s2", "99999999999999999999", "99999999999999999f", "1.5s", "\u{e9}"] {
            assert_eq!(duration(text).filter(|_| text != "1"), None, "{text}");
        }
    }

    #[test]
    fn names_in_keys() {
        assert_eq!(named("a.password"), Some(("a".to_owned(), "password")));
        assert_eq!(named("a\\.b.tags"), Some(("a.b".to_owned(), "tags")));
        assert_eq!(named("a.b.tags"), None);
        assert_eq!(named("tags"), None);
    }
}

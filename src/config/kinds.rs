//! What values may look like: one type a form, with the text that tells an operator what is expected.

use super::declare::Kind;
use super::input::Input;
use super::memory::Watermark;
use super::secret::Secret;
use crate::name::Name;
use std::fmt::{Debug, Display};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Least memory for messages, in bytes: 64 chunks, so that a few busy queues fit.
const WATERMARK_MIN: u64 = 16 * 1024 * 1024;

/// `IP:PORT`, such as the one that is given: one, several or none.
pub(super) struct Addresses(pub(super) &'static str);

impl Kind for Addresses {
    type Value = Vec<SocketAddr>;

    fn expected(&self) -> String {
        format!("IP:PORT such as \"{}\" or \"[::1]:5672\", or a list of them; [] for none", self.0)
    }

    fn parse(&self, input: &Input) -> Option<Vec<SocketAddr>> {
        input.items()?.into_iter().map(|item| item.parse().ok()).collect()
    }
}

/// Parts of the address space; none is fine.
pub(super) struct Networks;

impl Kind for Networks {
    type Value = Vec<(IpAddr, u8)>;

    fn expected(&self) -> String {
        "a list of addresses such as \"192.0.2.7\" and networks such as \"10.0.0.0/8\"".to_owned()
    }

    fn parse(&self, input: &Input) -> Option<Vec<(IpAddr, u8)>> {
        let network = |text: &str| {
            let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
            let address: IpAddr = address.parse().ok()?;
            let width = if address.is_ipv4() { 32 } else { 128 };
            let bits = bits.map_or(Some(width), |bits| bits.parse().ok().filter(|bits| *bits <= width))?;
            Some((address, bits))
        };
        input.items()?.into_iter().map(network).collect()
    }
}

/// `IP:PORT`, one or several, or none.
pub(super) struct OptionalAddresses;

impl Kind for OptionalAddresses {
    type Value = Vec<SocketAddr>;

    fn expected(&self) -> String {
        "IP:PORT such as \"127.0.0.1:15672\" or \"[::1]:15672\", or a list of them, or [] for none".to_owned()
    }

    fn parse(&self, input: &Input) -> Option<Vec<SocketAddr>> {
        input.items()?.into_iter().map(|item| item.parse().ok()).collect()
    }
}

/// A whole number.
pub(super) struct Count<T> {
    pub(super) min: T,
    pub(super) max: T,
}

impl<T: TryFrom<i64> + PartialOrd + Display> Kind for Count<T> {
    type Value = T;

    fn expected(&self) -> String {
        format!("a whole number from {} to {}", self.min, self.max)
    }

    fn parse(&self, input: &Input) -> Option<T> {
        let number = T::try_from(input.integer()?).ok()?;
        (self.min <= number && number <= self.max).then_some(number)
    }
}

/// A size in bytes.
pub(super) struct Size<T> {
    pub(super) min: T,
    pub(super) max: T,
    /// Whether 0 is taken too.
    pub(super) zero: bool,
}

impl<T: TryFrom<u64> + Into<u64> + Copy> Kind for Size<T> {
    type Value = T;

    fn expected(&self) -> String {
        let (min, max): (u64, u64) = (self.min.into(), self.max.into());
        let zero = if self.zero { ", or 0" } else { "" };
        match max {
            max if max >= i64::MAX as u64 => format!("a size such as \"64MiB\", {} or more{zero}", size_text(min)),
            max => format!("a size such as \"64KiB\", from {} to {}{zero}", size_text(min), size_text(max)),
        }
    }

    fn parse(&self, input: &Input) -> Option<T> {
        let bytes = size(input)?;
        let within = (self.min.into()..=self.max.into()).contains(&bytes) || (self.zero && bytes == 0);
        T::try_from(bytes).ok().filter(|_| within)
    }
}

/// What a duration without a unit counts.
pub(super) enum Unit {
    Milliseconds,
    Seconds,
}

/// A length of time.
pub(super) struct Span {
    pub(super) min_ms: u64,
    pub(super) max_ms: u64,
    pub(super) unit: Unit,
}

impl Kind for Span {
    type Value = Duration;

    fn expected(&self) -> String {
        let (example, unit) = match self.unit {
            Unit::Milliseconds => ("500ms", "milliseconds"),
            Unit::Seconds => ("10s", "seconds"),
        };
        let (min, max) = (duration_text(self.min_ms), duration_text(self.max_ms));
        format!("a duration such as \"{example}\", from {min} to {max} (a bare number is {unit})")
    }

    fn parse(&self, input: &Input) -> Option<Duration> {
        let ms = milliseconds(input, &self.unit)?;
        (self.min_ms..=self.max_ms).contains(&ms).then(|| Duration::from_millis(ms))
    }
}

/// Whole seconds that fit the protocol's 16 bits.
pub(super) struct WholeSeconds;

impl Kind for WholeSeconds {
    type Value = u16;

    fn expected(&self) -> String {
        "whole seconds such as \"60s\", at most 65535, or 0 (a bare number is seconds)".to_owned()
    }

    fn parse(&self, input: &Input) -> Option<u16> {
        let ms = milliseconds(input, &Unit::Seconds)?;
        u16::try_from(ms / 1000).ok().filter(|_| ms % 1000 == 0)
    }
}

/// `true` or `false`.
pub(super) struct Flag;

impl Kind for Flag {
    type Value = bool;

    fn expected(&self) -> String {
        "true or false".to_owned()
    }

    fn parse(&self, input: &Input) -> Option<bool> {
        input.flag()
    }
}

/// One of some words.
pub(super) struct Choice<T: 'static>(pub(super) &'static [(&'static str, T)]);

impl<T: Copy + Debug> Kind for Choice<T> {
    type Value = T;

    fn expected(&self) -> String {
        let words: Vec<String> = self.0.iter().map(|(word, _)| format!("{word:?}")).collect();
        match words.as_slice() {
            [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
            _ => words.concat(),
        }
    }

    fn parse(&self, input: &Input) -> Option<T> {
        let text = input.text()?;
        self.0.iter().find(|(word, _)| *word == text).map(|(_, value)| *value)
    }
}

/// Some of some words.
pub(super) struct Choices(pub(super) &'static [&'static str]);

impl Kind for Choices {
    type Value = Vec<&'static str>;

    fn expected(&self) -> String {
        format!("a list of one or more of {}", self.0.join(", "))
    }

    fn parse(&self, input: &Input) -> Option<Vec<&'static str>> {
        let items = input.items()?;
        let word = |item: &str| self.0.iter().find(|word| **word == item).copied();
        let words: Option<Vec<_>> = items.iter().map(|item| word(item)).collect();
        words.filter(|words| !words.is_empty())
    }
}

/// Any text.
pub(super) struct Text;

impl Kind for Text {
    type Value = String;

    fn expected(&self) -> String {
        "text".to_owned()
    }

    fn parse(&self, input: &Input) -> Option<String> {
        input.text().map(str::to_owned)
    }
}

/// What the paths of addresses begin with.
pub(super) struct PathPrefix;

impl Kind for PathPrefix {
    type Value = String;

    fn expected(&self) -> String {
        "a path such as \"/broker\" of letters, digits, `-`, `.`, `_`, `~` and single `/`, or \"\" for none".to_owned()
    }

    fn parse(&self, input: &Input) -> Option<String> {
        let text = input.text()?;
        // As RabbitMQ, which reads `broker` as `/broker`.
        let path = text.trim_end_matches('/');
        let path = if path.is_empty() || path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let is_part = |part: &str| {
            let plain = part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
            plain && !["", ".", ".."].contains(&part)
        };
        (path.len() <= 255 && path.split('/').skip(1).all(is_part)).then_some(path)
    }
}

/// Words that stand for others.
pub(super) struct Aliases;

impl Kind for Aliases {
    type Value = Vec<(String, Vec<String>)>;

    fn expected(&self) -> String {
        "a list such as \"admin = rabbitmq.tag:administrator rabbitmq.read:*/*\"".to_owned()
    }

    fn parse(&self, input: &Input) -> Option<Vec<(String, Vec<String>)>> {
        let alias = |text: &str| {
            let (alias, meant) = text.split_once('=')?;
            let meant: Vec<String> = meant.split_whitespace().map(str::to_owned).collect();
            let is_whole = !alias.trim().is_empty() && !meant.is_empty();
            is_whole.then(|| (alias.trim().to_owned(), meant))
        };
        input.items()?.into_iter().map(alias).collect()
    }
}

/// The address of a server's page.
pub(super) struct Url {
    /// Whether none is fine.
    pub(super) optional: bool,
}

impl Kind for Url {
    type Value = String;

    fn expected(&self) -> String {
        let none = if self.optional { ", or \"\" for none" } else { "" };
        format!("http://… or https://…, without a user{none}")
    }

    fn parse(&self, input: &Input) -> Option<String> {
        let text = input.text()?;
        (is_url(text) || (self.optional && text.is_empty())).then(|| text.to_owned())
    }
}

/// A path, or the address of a server's page, or nothing.
pub(super) struct PathOrUrl;

impl Kind for PathOrUrl {
    type Value = String;

    fn expected(&self) -> String {
        "a path, or http://… or https://…, without a user, or \"\" for none".to_owned()
    }

    fn parse(&self, input: &Input) -> Option<String> {
        input.text().filter(|text| is_url(text) || !text.contains("://")).map(str::to_owned)
    }
}

/// A user in an address would have a password behind it, which logs and `warren config effective` would show.
fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")).unwrap_or_default();
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let has_host = !authority.is_empty() && !authority.starts_with(':');
    has_host && !authority.contains('@') && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// A path, or nothing.
pub(super) struct OptionalLocation;

impl Kind for OptionalLocation {
    type Value = Option<PathBuf>;

    fn expected(&self) -> String {
        "a path, or \"\" for none".to_owned()
    }

    fn parse(&self, input: &Input) -> Option<Option<PathBuf>> {
        let text = input.text()?;
        Some((!text.is_empty()).then(|| PathBuf::from(text)))
    }
}

/// A path.
pub(super) struct Location;

impl Kind for Location {
    type Value = PathBuf;

    fn expected(&self) -> String {
        "a path".to_owned()
    }

    fn parse(&self, input: &Input) -> Option<PathBuf> {
        input.text().filter(|text| !text.is_empty()).map(PathBuf::from)
    }
}

/// A name of a user.
pub(super) struct OneName;

impl Kind for OneName {
    type Value = Name;

    fn expected(&self) -> String {
        "a name of 1 to 255 bytes".to_owned()
    }

    fn parse(&self, input: &Input) -> Option<Name> {
        name(input.text()?)
    }
}

/// A name, or none.
pub(super) struct OptionalName;

impl Kind for OptionalName {
    type Value = Option<Name>;

    fn expected(&self) -> String {
        "a name of at most 255 bytes, or \"\" for none".to_owned()
    }

    fn parse(&self, input: &Input) -> Option<Option<Name>> {
        let text = input.text()?;
        if text.is_empty() { Some(None) } else { name(text).map(Some) }
    }
}

/// Names; none is fine.
pub(super) struct Names;

impl Kind for Names {
    type Value = Vec<Name>;

    fn expected(&self) -> String {
        "a list of names of 1 to 255 bytes".to_owned()
    }

    fn parse(&self, input: &Input) -> Option<Vec<Name>> {
        input.items()?.into_iter().map(name).collect()
    }
}

/// A password.
pub(super) struct Password;

impl Kind for Password {
    type Value = Secret;
    const SECRET: bool = true;

    fn expected(&self) -> String {
        "text that is not empty".to_owned()
    }

    fn parse(&self, input: &Input) -> Option<Secret> {
        input.text().filter(|text| !text.is_empty()).map(Secret::new)
    }
}

/// A password, or none.
pub(super) struct OptionalPassword;

impl Kind for OptionalPassword {
    type Value = Secret;
    const SECRET: bool = true;

    fn expected(&self) -> String {
        "text, or \"\" for none".to_owned()
    }

    fn parse(&self, input: &Input) -> Option<Secret> {
        input.text().map(Secret::new)
    }
}

/// A share of something, or a size.
pub(super) struct Share;

impl Kind for Share {
    type Value = Watermark;

    fn expected(&self) -> String {
        format!("a share above 0 and at most 1 such as 0.6, or a size of {} or more", size_text(WATERMARK_MIN))
    }

    fn parse(&self, input: &Input) -> Option<Watermark> {
        let share = match input {
            Input::Float(share) => Some(*share),
            other => other.text().filter(|text| text.contains('.')).and_then(|text| text.trim().parse().ok()),
        };
        match share {
            Some(share) => (share > 0.0 && share <= 1.0).then_some(Watermark::Share(share)),
            None => size(input).filter(|bytes| *bytes >= WATERMARK_MIN).map(Watermark::Bytes),
        }
    }
}

pub(super) fn name(text: &str) -> Option<Name> {
    Name::new(text).filter(|_| !text.is_empty())
}

const KIB: u64 = 1024;
const SIZE_UNITS: &[(&str, u64)] = &[
    ("TiB", KIB * KIB * KIB * KIB),
    ("GiB", KIB * KIB * KIB),
    ("MiB", KIB * KIB),
    ("KiB", KIB),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
    ("B", 1),
    ("", 1),
];

/// The integer as bytes, or the text as a number with a unit. None past what TOML's integers reach.
fn size(input: &Input) -> Option<u64> {
    let bytes = match input {
        Input::Integer(bytes) => u64::try_from(*bytes).ok()?,
        other => {
            let (number, unit) = number_and_unit(other.text()?)?;
            let (_, factor) = SIZE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
            number.checked_mul(*factor)?
        }
    };
    i64::try_from(bytes).ok().map(|_| bytes)
}

/// The integer in `unit`, or the text as a number with a unit of its own.
fn milliseconds(input: &Input, unit: &Unit) -> Option<u64> {
    let bare = match unit {
        Unit::Milliseconds => 1,
        Unit::Seconds => 1000,
    };
    let (number, factor) = match input {
        Input::Integer(number) => (u64::try_from(*number).ok()?, bare),
        other => {
            let (number, unit) = number_and_unit(other.text()?)?;
            let factor = match unit {
                "" => bare,
                "ms" => 1,
                "s" => 1000,
                "m" => 60_000,
                "h" => 3_600_000,
                _ => return None,
            };
            (number, factor)
        }
    };
    number.checked_mul(factor)
}

/// `16 MiB` as 16 and `MiB`.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    Some((number.parse().ok()?, unit.trim_start()))
}

/// Bytes in the largest binary unit that gives a whole number.
fn size_text(bytes: u64) -> String {
    let whole = SIZE_UNITS.iter().take(4).find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor));
    match whole {
        Some((unit, factor)) => format!("{}{unit}", bytes / factor),
        None => format!("{bytes}B"),
    }
}

fn duration_text(ms: u64) -> String {
    match ms {
        ms if ms >= 3_600_000 && ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
        ms if ms.is_multiple_of(1000) => format!("{}s", ms / 1000),
        ms => format!("{ms}ms"),
    }
}

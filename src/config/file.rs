//! The configuration file: TOML, with the line of everything in it.

use super::Config;
use super::error::{ConfigError, Origin};
use super::input::Input;
use super::sources::Given;
use std::fs;
use std::path::Path;
use toml::de::{DeTable, DeValue};

/// Most single-character changes between a wrong key and the known one that is suggested for it.
const SUGGESTION_DISTANCE: usize = 3;

/// Reads the file into `given`. Of several faults the first in the file is told.
pub(super) fn read(path: &Path, given: &mut Given) -> Result<(), ConfigError> {
    read_text(path, &text(path)?, given)
}

/// A file's text. Windows' editors put a mark of the byte order in front of it.
pub(super) fn text(path: &Path) -> Result<String, ConfigError> {
    let wrong = |line: usize, text: String| ConfigError::other(Origin::File(path.to_owned(), line), text);
    let bytes = fs::read(path).map_err(|error| wrong(0, format!("cannot be read: {error}")))?;
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(text.strip_prefix('\u{feff}').unwrap_or(text).to_owned()),
        Err(error) => {
            let line = bytes.iter().take(error.valid_up_to()).filter(|byte| **byte == b'\n').count() + 1;
            Err(wrong(line, "not UTF-8".to_owned()))
        }
    }
}

/// Reads `text`, the content of `path`.
pub(super) fn read_text(path: &Path, text: &str, given: &mut Given) -> Result<(), ConfigError> {
    let at = |offset: usize| Origin::File(path.to_owned(), line_of(text, offset));
    let table = DeTable::parse(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        ConfigError::other(at(offset), format!("{}{}", key_at(text, offset), error.message()))
    })?;

    let mut entries = entries(table.get_ref());
    entries.sort_by_key(|entry| entry.offset);
    for Entry { key, offset, value } in entries {
        let origin = at(offset);
        match Config::SETTINGS.iter().find(|setting| setting.key == key) {
            Some(setting) => given.take(setting, origin, Input::from_toml(value))?,
            None if is_section(&key) => {
                let found = Input::from_toml(value).shown(false);
                return Err(ConfigError::value(origin, &key, format!("a section, [{key}]"), found));
            }
            None => return Err(ConfigError::unknown(origin, format!("{key}: unknown key"), nearest_key(&key))),
        }
    }
    Ok(())
}

/// The key, or the section, in whose line an offset is, for a fault of TOML's own.
fn key_at(text: &str, offset: usize) -> String {
    let (before, after) = text.split_at_checked(offset).unwrap_or((text, ""));
    let begin = before.rsplit('\n').next().unwrap_or_default();
    let line = format!("{begin}{}", after.lines().next().unwrap_or_default());
    let key = match line.trim() {
        section if section.starts_with('[') => section.trim_start_matches('[').split(']').next().unwrap_or_default(),
        line => line.split_once('=').map_or("", |(key, _)| key).trim(),
    };
    let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    if is_key { format!("{key}: ") } else { String::new() }
}

/// A key of the file, its section in front, with the offset of the key.
struct Entry<'a> {
    key: String,
    offset: usize,
    value: &'a DeValue<'a>,
}

/// The entries of the file; those of known sections one by one.
fn entries<'a>(table: &'a DeTable<'a>) -> Vec<Entry<'a>> {
    let mut entries = Vec::new();
    for (name, value) in table {
        let (offset, name) = (name.span().start, name.get_ref());
        match value.get_ref() {
            DeValue::Table(inner) if is_section(name) => entries.extend(inner.iter().map(|(key, value)| Entry {
                key: format!("{name}.{}", key.get_ref()),
                offset: key.span().start,
                value: value.get_ref(),
            })),
            value => entries.push(Entry { key: name.to_string(), offset, value }),
        }
    }
    entries
}

fn is_section(name: &str) -> bool {
    Config::SECTIONS.iter().any(|(section, _)| *section == name)
}

/// Reads one TOML value.
pub(super) fn literal(key: &str, text: &str) -> Result<Input, ConfigError> {
    let wrong = |problem: &str| ConfigError::other(Origin::Default, format!("{key}: {problem}"));
    let document = format!("value = {text}");
    let table = DeTable::parse(&document).map_err(|error| wrong(error.message()))?;
    let value = table.get_ref().get("value").ok_or_else(|| wrong("no value"))?;
    Ok(Input::from_toml(value.get_ref()))
}

/// The known candidate that needs the fewest single-character changes, if at most `most`.
pub fn nearest(word: &str, known: impl Iterator<Item = String>, most: usize) -> Option<String> {
    known
        .map(|candidate| (distance(word, &candidate), candidate))
        .min()
        .filter(|(far, _)| *far <= most)
        .map(|(_, it)| it)
}

/// The section or key meant by an unknown one: nearly the same, or the same name in the right section.
fn nearest_key(key: &str) -> Option<String> {
    let sections = Config::SECTIONS.iter().map(|(name, _)| format!("[{name}]"));
    let keys = Config::SETTINGS.iter().map(|setting| setting.key.to_owned());
    let name = key.rsplit('.').next().unwrap_or(key);
    // Half of a short word changed is another word.
    let most = SUGGESTION_DISTANCE.min(key.len() / 2);
    let elsewhere =
        || Config::SETTINGS.iter().find(|setting| setting.name() == name).map(|setting| setting.key.to_owned());
    if key.contains('.') {
        nearest(key, keys, most).or_else(elsewhere)
    } else {
        elsewhere().or_else(|| nearest(&format!("[{key}]"), sections.chain(keys), most))
    }
}

/// Levenshtein distance in bytes, of lengths that only an operator chooses.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, a) in from.bytes().enumerate() {
        let mut next = vec![line + 1];
        let mut left = line + 1;
        for (pair, b) in row.windows(2).zip(to.bytes()) {
            if let [diagonal, above] = *pair {
                left = (diagonal + usize::from(a != b)).min(above + 1).min(left + 1);
                next.push(left);
            }
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

/// The line, from 1, of a byte offset.
fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

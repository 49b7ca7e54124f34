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
    let whole = |text: String| ConfigError::other(Origin::File(path.to_owned(), 0), text);
    let text = fs::read_to_string(path).map_err(|error| whole(format!("cannot be read: {error}")))?;
    read_text(path, &text, given)
}

/// Reads `text`, the content of `path`.
pub(super) fn read_text(path: &Path, text: &str, given: &mut Given) -> Result<(), ConfigError> {
    let at = |offset: usize| Origin::File(path.to_owned(), line_of(text, offset));
    let table = DeTable::parse(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        ConfigError::other(at(offset), error.message().to_owned())
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
    let elsewhere =
        || Config::SETTINGS.iter().find(|setting| setting.name() == name).map(|setting| setting.key.to_owned());
    if key.contains('.') {
        nearest(key, keys, SUGGESTION_DISTANCE).or_else(elsewhere)
    } else {
        elsewhere().or_else(|| nearest(&format!("[{key}]"), sections.chain(keys), SUGGESTION_DISTANCE))
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

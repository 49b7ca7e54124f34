//! A value before it is checked: from the file with its type, from elsewhere as text.

use super::file;
use toml::Spanned;
use toml::de::DeValue;

/// How deep values are read: a list, its tables, the lists in them.
const DEPTH: usize = 3;
/// The member of a table that is never shown.
const PASSWORD: &str = "password";

/// A value as it was given.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Input {
    /// From an environment variable or the command line: whatever its setting reads it as.
    Raw(String),
    /// A TOML string.
    Text(String),
    /// A TOML integer.
    Integer(i64),
    /// A TOML float.
    Float(f64),
    /// A TOML boolean.
    Bool(bool),
    /// Several values: a TOML array, or an option given again and again.
    List(Vec<Input>),
    /// Named values: a TOML table.
    Table(Vec<(String, Input)>),
    /// What no setting takes; its name.
    Other(&'static str),
}

impl Input {
    /// Takes a TOML value, as deep as a setting goes: a list of tables that hold lists.
    pub(super) fn from_toml(value: &DeValue<'_>) -> Input {
        nested(value, DEPTH)
    }

    /// The text, when it is text.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Input::Raw(text) | Input::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The integer, when it is one.
    pub(super) fn integer(&self) -> Option<i64> {
        match self {
            Input::Raw(text) => text.trim().parse().ok(),
            Input::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// The boolean, when it is one.
    pub(super) fn flag(&self) -> Option<bool> {
        match self {
            Input::Raw(text) => text.trim().parse().ok(),
            Input::Bool(flag) => Some(*flag),
            _ => None,
        }
    }

    /// The items of a list; a single text is a list of one, text from outside the file is cut at commas.
    pub(super) fn items(&self) -> Option<Vec<&str>> {
        match self {
            Input::Raw(text) if ["", "[]"].contains(&text.trim()) => Some(Vec::new()),
            Input::Raw(text) => Some(text.split(',').map(str::trim).collect()),
            Input::Text(text) => Some(vec![text]),
            Input::List(items) => items.iter().map(Input::text).collect(),
            _ => None,
        }
    }

    /// Named values.
    pub(super) fn members(&self) -> Option<Vec<(&str, &Input)>> {
        match self {
            Input::Table(members) => Some(members.iter().map(|(name, value)| (name.as_str(), value)).collect()),
            _ => None,
        }
    }

    /// The items of a list of tables; text is TOML for one.
    pub(super) fn tables(&self) -> Option<Vec<Vec<(String, Input)>>> {
        let table = |item: &Input| match item {
            Input::Table(members) => Some(members.clone()),
            _ => None,
        };
        match self {
            Input::List(items) => items.iter().map(table).collect(),
            Input::Raw(text) | Input::Text(text) if text.trim().is_empty() => Some(Vec::new()),
            Input::Raw(text) | Input::Text(text) => match file::literal("value", text).ok()? {
                Input::List(items) => items.iter().map(table).collect(),
                _ => None,
            },
            _ => None,
        }
    }

    /// The value as TOML where some of it is not to be shown: of tables, their passwords.
    pub(super) fn to_toml_masked(&self) -> String {
        match self {
            Input::List(items) if items.iter().all(|item| matches!(item, Input::Table(_))) => self.to_toml(|_| true),
            _ => "\"***\"".to_owned(),
        }
    }

    /// The value as TOML. Text from outside the file is what its setting takes it for; passwords in tables are not shown.
    pub(super) fn to_toml(&self, accepts: fn(&Input) -> bool) -> String {
        match self {
            Input::Raw(text) => {
                let bare = [
                    text.trim().parse().ok().map(Input::Bool),
                    text.trim().parse().ok().map(Input::Integer),
                    text.trim().parse().ok().map(Input::Float),
                    self.items()
                        .filter(|items| items.len() != 1)
                        .map(|items| Input::List(items.into_iter().map(|item| Input::Text(item.to_owned())).collect())),
                    Some(Input::Text(text.clone())),
                ];
                let taken = bare.into_iter().flatten().find(&accepts);
                taken.map_or_else(|| quoted(text), |input| input.to_toml(accepts))
            }
            Input::Text(text) => quoted(text),
            Input::List(items) => {
                let items: Vec<String> = items.iter().map(Input::to_toml_inside).collect();
                format!("[{}]", items.join(", "))
            }
            Input::Table(_) => self.to_toml_inside(),
            Input::Float(number) => format!("{number:?}"),
            other => other.shown(false),
        }
    }

    /// The value as TOML within another.
    fn to_toml_inside(&self) -> String {
        match self {
            Input::Raw(text) => quoted(text),
            Input::Table(members) if members.is_empty() => "{}".to_owned(),
            Input::Table(members) => {
                let member = |(name, value): &(String, Input)| {
                    let value = if name == PASSWORD { "\"***\"".to_owned() } else { value.to_toml_inside() };
                    format!("{} = {value}", key(name))
                };
                format!("{{ {} }}", members.iter().map(member).collect::<Vec<_>>().join(", "))
            }
            other => other.to_toml(|_| true),
        }
    }

    /// How an error names the value.
    pub(super) fn shown(&self, secret: bool) -> String {
        match self {
            _ if secret => "a value that is not shown".to_owned(),
            // An address with a user in it may have a password there.
            Input::Raw(text) | Input::Text(text) if text.contains("://") && text.contains('@') => {
                "a value that is not shown".to_owned()
            }
            Input::Raw(text) | Input::Text(text) => format!("{text:?}"),
            Input::Integer(number) => number.to_string(),
            Input::Float(number) => number.to_string(),
            Input::Bool(flag) => flag.to_string(),
            Input::List(items) => {
                let items: Vec<String> = items.iter().map(|item| item.shown(false)).collect();
                format!("[{}]", items.join(", "))
            }
            Input::Table(_) => "a table".to_owned(),
            Input::Other(name) => (*name).to_owned(),
        }
    }
}

/// A TOML key.
fn key(name: &str) -> String {
    let is_bare = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if is_bare { name.to_owned() } else { quoted(name) }
}

/// A TOML string.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn nested(value: &DeValue<'_>, depth: usize) -> Input {
    let inner = |value: &Spanned<DeValue<'_>>| nested(value.get_ref(), depth.saturating_sub(1));
    match value {
        DeValue::Array(items) if depth > 0 => Input::List(items.iter().map(inner).collect()),
        DeValue::Table(members) if depth > 0 => {
            Input::Table(members.iter().map(|(name, value)| (name.get_ref().to_string(), inner(value))).collect())
        }
        other => scalar(other),
    }
}

fn scalar(value: &DeValue<'_>) -> Input {
    match value {
        DeValue::String(text) => Input::Text(text.clone().into_owned()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Input::Integer(number),
            Err(_) => Input::Other("a number out of range"),
        },
        DeValue::Float(number) => match number.as_str().parse() {
            Ok(number) => Input::Float(number),
            Err(_) => Input::Other("a number out of range"),
        },
        DeValue::Boolean(flag) => Input::Bool(*flag),
        DeValue::Datetime(_) => Input::Other("a date"),
        DeValue::Array(_) => Input::Other("a list"),
        DeValue::Table(_) => Input::Other("a table"),
    }
}

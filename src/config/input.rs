//! A value before it is checked: from the file with its type, from elsewhere as text.

use toml::Spanned;
use toml::de::DeValue;

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
    /// What no setting takes; its name.
    Other(&'static str),
}

impl Input {
    /// Takes a TOML value. Arrays are read one level deep: no setting takes a list of lists.
    pub(super) fn from_toml(value: &DeValue<'_>) -> Input {
        match value {
            DeValue::Array(items) => Input::List(items.iter().map(Spanned::get_ref).map(scalar).collect()),
            other => scalar(other),
        }
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

    /// The value as TOML. Text from outside the file is what its setting takes it for.
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
                let items: Vec<String> = items.iter().map(|item| quoted(item.text().unwrap_or_default())).collect();
                format!("[{}]", items.join(", "))
            }
            Input::Float(number) => format!("{number:?}"),
            other => other.shown(false),
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
            Input::Other(name) => (*name).to_owned(),
        }
    }
}

/// A TOML string.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
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

//! JSON of requests as values of AMQP (compat.md 2.14): whole numbers come as 64 bits, text as long strings.

use super::answer::Failure;
use crate::limits::TABLE_DEPTH_MAX;
use crate::value::{Key, Table, Value};
use serde_json::{Map, Value as Json};

/// An object as a table; nothing, null and an empty list are an empty one.
///
/// # Errors
/// It is something else, or holds what no table can hold.
pub fn to_table(json: Option<&Json>) -> Result<Table, Failure> {
    match json {
        None | Some(Json::Null) => Ok(Table::new()),
        Some(Json::Array(elements)) if elements.is_empty() => Ok(Table::new()),
        Some(Json::Object(object)) => table(object, 0),
        Some(_) => Err(Failure::bad_request("arguments: an object is expected")),
    }
}

fn table(object: &Map<String, Json>, depth: usize) -> Result<Table, Failure> {
    let mut table = Table::new();
    for (key, member) in object {
        let too_long = || Failure::bad_request(format!("the key '{key}' is longer than 255 bytes"));
        table.push(Key::new(key.as_bytes()).ok_or_else(too_long)?, value(member, depth + 1)?);
    }
    Ok(table)
}

/// A value of a table, `depth` levels down.
///
/// # Errors
/// It is nested too deeply, null, or a number of no type.
pub fn value(json: &Json, depth: usize) -> Result<Value, Failure> {
    if depth > TABLE_DEPTH_MAX {
        return Err(Failure::bad_request("nested too deeply"));
    }
    match json {
        Json::Null => Err(Failure::bad_request("null is no value")),
        Json::Bool(truth) => Ok(Value::Bool(*truth)),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Ok(Value::I64(integer)),
            (None, Some(float)) => Ok(Value::F64(float)),
            (None, None) => Err(Failure::bad_request("a number of this size is no value")),
        },
        Json::String(text) => Ok(Value::from(text.as_str())),
        Json::Array(elements) => {
            Ok(Value::Array(elements.iter().map(|element| value(element, depth + 1)).collect::<Result<_, _>>()?))
        }
        Json::Object(object) => Ok(Value::Table(table(object, depth)?)),
    }
}

/// Whether a flag is set: `true`, or the word as some clients send it.
///
/// # Errors
/// It is neither true nor false.
pub fn flag(object: &Map<String, Json>, key: &str, default: bool) -> Result<bool, Failure> {
    match object.get(key) {
        None | Some(Json::Null) => Ok(default),
        Some(Json::Bool(truth)) => Ok(*truth),
        Some(Json::String(word)) if word == "true" => Ok(true),
        Some(Json::String(word)) if word == "false" => Ok(false),
        Some(_) => Err(Failure::bad_request(format!("{key}: true or false is expected"))),
    }
}

/// A member that has to be text.
///
/// # Errors
/// It is missing, or something else.
pub fn text<'j>(object: &'j Map<String, Json>, key: &str) -> Result<&'j str, Failure> {
    match object.get(key) {
        Some(Json::String(text)) => Ok(text),
        None => Err(missing(key)),
        Some(_) => Err(Failure::bad_request(format!("{key}: text is expected"))),
    }
}

/// A member that may be missing.
///
/// # Errors
/// It is there and no text.
pub fn optional_text<'j>(object: &'j Map<String, Json>, key: &str) -> Result<Option<&'j str>, Failure> {
    if object.get(key).is_none_or(Json::is_null) { Ok(None) } else { text(object, key).map(Some) }
}

/// Members that have to be there.
///
/// # Errors
/// Some are missing: all of them are named, as RabbitMQ does.
pub fn require(object: &Map<String, Json>, keys: &[&str]) -> Result<(), Failure> {
    let missing: Vec<String> =
        keys.iter().filter(|key| !object.contains_key(**key)).map(|key| format!("{{key_missing,{key}}}")).collect();
    if missing.is_empty() { Ok(()) } else { Err(Failure::bad_request(format!("[{}]", missing.join(",")))) }
}

/// A member is missing, in RabbitMQ's words.
pub fn missing(key: &str) -> Failure {
    Failure::bad_request(format!("[{{key_missing,{key}}}]"))
}

/// A time of day and date in UTC as RabbitMQ writes it, from wall clock ms.
pub fn time(ms: u64) -> String {
    let (seconds, ms) = (ms / 1000, ms % 1000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Years that begin in March, so that a leap day is a year's last; eras of 400 years are all alike.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year + next;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}+00:00")
}

/// Names: a list of them, or text with commas between them.
///
/// # Errors
/// Something else, or a name that is too long.
pub fn names(object: &Map<String, Json>, key: &str) -> Result<Vec<crate::name::Name>, Failure> {
    let name = |text: &str| {
        let too_long = || Failure::bad_request(format!("{key}: longer than 255 bytes"));
        crate::name::Name::new(text).ok_or_else(too_long)
    };
    match object.get(key) {
        None | Some(Json::Null) => Ok(Vec::new()),
        Some(Json::String(text)) => text.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(name).collect(),
        Some(Json::Array(elements)) => {
            let wrong = || Failure::bad_request(format!("{key}: a list of text is expected"));
            elements.iter().map(|element| name(element.as_str().ok_or_else(wrong)?)).collect()
        }
        Some(_) => Err(Failure::bad_request(format!("{key}: a list of text is expected"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates() {
        assert_eq!(time(0), "1970-01-01T00:00:00.000+00:00");
        assert_eq!(time(951_827_696_789), "2000-02-29T12:34:56.789+00:00");
        assert_eq!(time(1_735_689_599_999), "2024-12-31T23:59:59.999+00:00");
        assert_eq!(time(1_735_689_600_000), "2025-01-01T00:00:00.000+00:00");
    }
}

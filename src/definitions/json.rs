//! JSON with its places: whoever expects something says where it was expected when it is not there.

use crate::broker::access::Pattern;
use crate::limits::TABLE_DEPTH_MAX;
use crate::name::Name;
use crate::value::{Table, Value};
use serde_json::Value as Json;

/// What is wrong, and where: `users[2].name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The place.
    pub place: String,
    /// The problem.
    pub problem: String,
}

/// A JSON value and its place.
#[derive(Clone, Debug)]
pub(super) struct Node<'j> {
    pub place: String,
    pub json: &'j Json,
}

impl<'j> Node<'j> {
    pub fn fault(&self, problem: impl Into<String>) -> Fault {
        Fault { place: self.place.clone(), problem: problem.into() }
    }

    /// A member of an object; None when it is missing or null.
    pub fn get(&self, key: &str) -> Option<Node<'j>> {
        let json = self.json.get(key).filter(|json| !json.is_null())?;
        let place = if self.place.is_empty() { key.to_owned() } else { format!("{}.{key}", self.place) };
        Some(Node { place, json })
    }

    pub fn need(&self, key: &str) -> Result<Node<'j>, Fault> {
        self.get(key).ok_or_else(|| self.fault(format!("'{key}' is missing")))
    }

    /// The elements of a list that may be missing.
    pub fn list(&self, key: &str) -> Result<Vec<Node<'j>>, Fault> {
        self.get(key).map_or(Ok(Vec::new()), |list| list.elements())
    }

    pub fn elements(&self) -> Result<Vec<Node<'j>>, Fault> {
        let elements = self.json.as_array().ok_or_else(|| self.fault("a list is expected"))?;
        let place = |at| format!("{}[{at}]", self.place);
        Ok(elements.iter().enumerate().map(|(at, json)| Node { place: place(at), json }).collect())
    }

    /// The members of an object.
    pub fn members(&self) -> Result<Vec<(&'j str, Node<'j>)>, Fault> {
        let members = self.json.as_object().ok_or_else(|| self.fault("an object is expected"))?;
        let place = |key| format!("{}.{key}", self.place);
        Ok(members.iter().map(|(key, json)| (key.as_str(), Node { place: place(key), json })).collect())
    }

    pub fn text(&self) -> Result<&'j str, Fault> {
        self.json.as_str().ok_or_else(|| self.fault("text is expected"))
    }

    pub fn name(&self) -> Result<Name, Fault> {
        Name::new(self.text()?).ok_or_else(|| self.fault("longer than 255 bytes"))
    }

    pub fn integer(&self) -> Result<i64, Fault> {
        self.json.as_i64().ok_or_else(|| self.fault("a whole number is expected"))
    }

    pub fn flag(&self, key: &str, default: bool) -> Result<bool, Fault> {
        let Some(flag) = self.get(key) else { return Ok(default) };
        flag.json.as_bool().ok_or_else(|| flag.fault("true or false is expected"))
    }

    /// A regular expression, checked.
    pub fn pattern(&self) -> Result<Pattern, Fault> {
        Pattern::checked(self.text()?).map_err(|fault| self.fault(format!("no regular expression: {fault}")))
    }

    /// A limit: a negative one is none.
    pub fn limit(&self) -> Result<Option<u64>, Fault> {
        Ok(u64::try_from(self.integer()?).ok())
    }

    /// Names: a list of them, or text with commas between them, as old versions wrote tags.
    pub fn names(&self) -> Result<Vec<Name>, Fault> {
        match self.json {
            Json::String(text) => {
                let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
                names.map(|name| Name::new(name).ok_or_else(|| self.fault("longer than 255 bytes"))).collect()
            }
            _ => self.elements()?.iter().map(Node::name).collect(),
        }
    }

    /// An object as a field table; empty when it is missing.
    pub fn table(&self, key: &str) -> Result<Table, Fault> {
        self.get(key).map_or(Ok(Table::new()), |object| object.to_table(0))
    }

    fn to_table(&self, depth: usize) -> Result<Table, Fault> {
        // Old versions wrote an empty object as an empty list.
        if self.json.as_array().is_some_and(Vec::is_empty) {
            return Ok(Table::new());
        }
        let mut table = Table::new();
        for (key, member) in self.members()? {
            let key = crate::value::Key::new(key.as_bytes()).ok_or_else(|| member.fault("its key is too long"))?;
            table.push(key, member.to_value(depth)?);
        }
        Ok(table)
    }

    /// As RabbitMQ types what it imports: whole numbers are 64 bits wide, text is long.
    pub fn to_value(&self, depth: usize) -> Result<Value, Fault> {
        if depth >= TABLE_DEPTH_MAX {
            return Err(self.fault("nested too deeply"));
        }
        match self.json {
            Json::Null => Err(self.fault("null is no value")),
            Json::Bool(truth) => Ok(Value::Bool(*truth)),
            Json::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(integer), _) => Ok(Value::I64(integer)),
                (None, Some(float)) => Ok(Value::F64(float)),
                (None, None) => Err(self.fault("a number of this size is no value")),
            },
            Json::String(text) => Ok(Value::from(text.as_str())),
            Json::Array(_) => {
                let elements = self.elements()?;
                Ok(Value::Array(elements.iter().map(|element| element.to_value(depth + 1)).collect::<Result<_, _>>()?))
            }
            Json::Object(_) => Ok(Value::Table(self.to_table(depth + 1)?)),
        }
    }
}

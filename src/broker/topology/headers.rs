//! The headers type: a message goes where its headers fulfil a binding's arguments.
//!
//! Both sides are sorted by key and compared in one pass, as RabbitMQ does; where a key occurs twice the outcome
//! follows from that pass.

use super::binding::Bound;
use crate::broker::refusal::Refusal;
use crate::value::{Binary, Key, Table, Value};
use std::collections::HashMap;
use std::sync::Arc;

/// The argument that says how a binding's conditions are combined.
const X_MATCH: &str = "x-match";

/// The bindings of a headers exchange.
#[derive(Debug, Default)]
pub(super) struct Headers {
    rules: Vec<(Arc<Bound>, Rule)>,
    positions: HashMap<Arc<Bound>, usize>,
}

impl Headers {
    pub(super) fn add(&mut self, bound: &Arc<Bound>) {
        self.positions.insert(Arc::clone(bound), self.rules.len());
        self.rules.push((Arc::clone(bound), Rule::new(&bound.binding().arguments)));
    }

    pub(super) fn remove(&mut self, bound: &Arc<Bound>) {
        let Some(at) = self.positions.remove(bound) else { return };
        self.rules.swap_remove(at);
        if let Some((moved, _)) = self.rules.get(at) {
            self.positions.insert(Arc::clone(moved), at);
        }
    }

    /// The bindings that a message with these headers fulfils; one destination may come several times.
    pub(super) fn matching<'t>(&'t self, headers: &Table) -> impl Iterator<Item = &'t Bound> {
        let fields = sorted(headers);
        self.rules.iter().filter(move |(_, rule)| rule.is_met_by(&fields)).map(|(bound, _)| bound.as_ref())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

/// Checks `x-match`.
///
/// # Errors
/// `InvalidXMatch` when it is not one of the four forms.
pub(super) fn validate_x_match(arguments: &Table) -> Result<(), Refusal> {
    match arguments.get(X_MATCH) {
        None => Ok(()),
        Some(Value::LongString(form)) => match form.as_slice() {
            b"all" | b"any" | b"all-with-x" | b"any-with-x" => Ok(()),
            other => {
                Err(Refusal::InvalidXMatch(format!("{}; expected all, any, all-with-x, or any-with-x", Binary(other))))
            }
        },
        Some(other) => Err(Refusal::InvalidXMatch(format!("{other} of type {}; expected longstr", other.type_name()))),
    }
}

/// A binding's arguments, made ready for comparison.
#[derive(Debug)]
struct Rule {
    /// One fulfilled condition is enough.
    any: bool,
    /// Sorted by key. No value means: present with any value.
    conditions: Box<[(Key, Option<Value>)]>,
}

impl Rule {
    fn new(arguments: &Table) -> Rule {
        let form = match arguments.get(X_MATCH) {
            Some(Value::LongString(form)) => form.as_slice(),
            _ => b"all",
        };
        let with_x = form.ends_with(b"-with-x");
        let conditions = sorted(arguments)
            .into_iter()
            .filter(|(key, _)| key.as_bytes() != X_MATCH.as_bytes() && (with_x || !key.as_bytes().starts_with(b"x-")))
            .map(|(key, value)| (key.clone(), (!matches!(value, Value::Void)).then(|| value.clone())))
            .collect();
        Rule { any: form.starts_with(b"any"), conditions }
    }

    /// Without any condition `all` is met by every message and `any` by none.
    fn is_met_by(&self, fields: &[(&Key, &Value)]) -> bool {
        let mut fields = fields.iter().peekable();
        for (key, wanted) in &self.conditions {
            while fields.next_if(|(field, _)| *field < key).is_some() {}
            // A field serves one condition only, even if the next has the same key.
            let field = fields.next_if(|(field, _)| *field == key);
            let met = field.is_some_and(|(_, value)| wanted.as_ref().is_none_or(|wanted| same(wanted, value)));
            if met == self.any {
                return self.any;
            }
        }
        !self.any
    }
}

fn sorted(table: &Table) -> Vec<(&Key, &Value)> {
    let mut fields: Vec<_> = table.iter().collect();
    fields.sort_by_key(|(key, _)| *key);
    fields
}

/// Whether RabbitMQ finds two values equal: by decoded value, so that `short 5` equals `long 5`; inside arrays and
/// tables the types must agree too. Depth is bounded by the decoder (`limits::TABLE_DEPTH_MAX`).
fn same(left: &Value, right: &Value) -> bool {
    if let (Some(left), Some(right)) = (number(left), number(right)) {
        return left == right;
    }
    match (left, right) {
        (Value::LongString(left) | Value::Bytes(left), Value::LongString(right) | Value::Bytes(right)) => left == right,
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same_typed(left, right))
        }
        (Value::Table(left), Value::Table(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right.iter())
                    .all(|((left_key, left), (right_key, right))| left_key == right_key && same_typed(left, right))
        }
        _ => left == right,
    }
}

fn same_typed(left: &Value, right: &Value) -> bool {
    left.type_name() == right.type_name() && same(left, right)
}

/// A value as a number, exactly.
#[derive(Clone, Copy)]
enum Number {
    Integer(i128),
    Real(f64),
}

impl PartialEq for Number {
    fn eq(&self, other: &Number) -> bool {
        match (*self, *other) {
            (Number::Integer(left), Number::Integer(right)) => left == right,
            (Number::Real(left), Number::Real(right)) => left == right,
            (Number::Integer(integer), Number::Real(real)) | (Number::Real(real), Number::Integer(integer)) => {
                // The cast is exact for whole numbers in the range of AMQP's integers and saturates beyond it.
                real.fract() == 0.0 && real as i128 == integer
            }
        }
    }
}

fn number(value: &Value) -> Option<Number> {
    if let Some(integer) = value.as_integer() {
        return Some(Number::Integer(integer.into()));
    }
    match value {
        Value::Timestamp(seconds) => Some(Number::Integer((*seconds).into())),
        other => other.as_float().map(Number::Real),
    }
}

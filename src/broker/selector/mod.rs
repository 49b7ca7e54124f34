//! Message selectors (compat.md 2.11, `x-jms-topic`): a condition on a message's headers, as SQL or as the Erlang term that
//! clients of RabbitMQ's JMS library send.
//!
//! Logic has three values: what cannot be said is unknown, and a message is selected only by what is true. Both forms are
//! bounded in length and depth before anything is built from them.

mod like;
mod sql;
mod term;

use crate::value::{Table, Value};
use like::Pattern;
use std::cmp::Ordering;

/// A condition, ready to be asked.
#[derive(Clone, Debug)]
pub struct Selector(Expression);

impl Selector {
    /// Reads SQL: `colour = 'red' AND weight BETWEEN 1 AND 5 OR name LIKE 'a%'`.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn from_sql(text: &str) -> Result<Selector, String> {
        sql::parse(text).map(Selector)
    }

    /// Reads the Erlang term of the JMS library: `{'=',{'ident',<<"colour">>},<<"red">>}.`
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn from_term(text: &[u8]) -> Result<Selector, String> {
        term::parse(text).map(Selector)
    }

    /// Whether a message with these headers is selected.
    pub fn selects(&self, headers: &Table) -> bool {
        self.0.truth(headers) == Some(true)
    }
}

/// What an expression can be worth.
#[derive(Clone, Debug, PartialEq)]
enum Scalar {
    Bool(bool),
    Integer(i64),
    Real(f64),
    Text(Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    Unequal,
    Less,
    Greater,
    AtMost,
    AtLeast,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
}

/// Depth is bounded by who builds it (`limits::SELECTOR_CHAIN`), so that it may be evaluated by recursion.
#[derive(Clone, Debug)]
enum Expression {
    Literal(Scalar),
    /// A header.
    Field(Vec<u8>),
    Not(Box<Expression>),
    /// All of them.
    And(Vec<Expression>),
    /// One of them.
    Or(Vec<Expression>),
    IsNull(Box<Expression>),
    Like(Box<Expression>, Pattern),
    In(Box<Expression>, Vec<Vec<u8>>),
    /// Value, least, most.
    Between(Box<[Expression; 3]>),
    Compare(Comparison, Box<[Expression; 2]>),
    Calculate(Operation, Box<[Expression; 2]>),
    Negate(Box<Expression>),
}

impl Expression {
    /// The opposite if `negated`.
    fn negated_if(self, negated: bool) -> Expression {
        if negated { Expression::Not(Box::new(self)) } else { self }
    }

    /// Its value as a condition; None: unknown.
    fn truth(&self, headers: &Table) -> Option<bool> {
        match self {
            Expression::Not(inner) => inner.truth(headers).map(|truth| !truth),
            Expression::And(parts) => some_or_all(parts, headers, false),
            Expression::Or(parts) => some_or_all(parts, headers, true),
            Expression::IsNull(inner) => Some(inner.value(headers).is_none()),
            Expression::Like(inner, pattern) => match inner.value(headers)? {
                Scalar::Text(text) => Some(pattern.matches(&text)),
                _ => None,
            },
            Expression::In(inner, list) => {
                let value = inner.value(headers)?;
                Some(matches!(value, Scalar::Text(text) if list.contains(&text)))
            }
            Expression::Between(parts) => {
                let [value, least, most] = parts.each_ref().map(|part| part.value(headers));
                let (value, least, most) = (value?, least?, most?);
                Some(order(&least, &value)?.is_le() && order(&value, &most)?.is_le())
            }
            Expression::Compare(comparison, parts) => {
                let [left, right] = parts.each_ref().map(|part| part.value(headers));
                comparison.holds(order(&left?, &right?))
            }
            other => match other.value(headers)? {
                Scalar::Bool(truth) => Some(truth),
                _ => None,
            },
        }
    }

    /// Its value; None: unknown.
    fn value(&self, headers: &Table) -> Option<Scalar> {
        match self {
            Expression::Literal(scalar) => Some(scalar.clone()),
            Expression::Field(name) => scalar(headers.get(name)?),
            Expression::Negate(inner) => match inner.value(headers)? {
                Scalar::Integer(number) => {
                    Some(number.checked_neg().map_or(Scalar::Real(-(number as f64)), Scalar::Integer))
                }
                Scalar::Real(number) => Some(Scalar::Real(-number)),
                _ => None,
            },
            Expression::Calculate(operation, parts) => {
                let [left, right] = parts.each_ref().map(|part| part.value(headers));
                operation.of(&left?, &right?)
            }
            condition => condition.truth(headers).map(Scalar::Bool),
        }
    }
}

/// With `wanted` true: whether one part is true; with false: whether no part is false.
fn some_or_all(parts: &[Expression], headers: &Table, wanted: bool) -> Option<bool> {
    let mut unknown = false;
    for part in parts {
        match part.truth(headers) {
            Some(truth) if truth == wanted => return Some(wanted),
            Some(_) => {}
            None => unknown = true,
        }
    }
    if unknown { None } else { Some(!wanted) }
}

impl Comparison {
    /// None as an order: the two cannot be compared, and are not equal.
    fn holds(self, order: Option<Ordering>) -> Option<bool> {
        match self {
            Comparison::Equal => Some(order == Some(Ordering::Equal)),
            Comparison::Unequal => Some(order != Some(Ordering::Equal)),
            Comparison::Less => order.map(Ordering::is_lt),
            Comparison::Greater => order.map(Ordering::is_gt),
            Comparison::AtMost => order.map(Ordering::is_le),
            Comparison::AtLeast => order.map(Ordering::is_ge),
        }
    }
}

impl Operation {
    fn of(self, left: &Scalar, right: &Scalar) -> Option<Scalar> {
        if let (Scalar::Integer(left), Scalar::Integer(right)) = (left, right) {
            let exact = match self {
                Operation::Add => left.checked_add(*right),
                Operation::Subtract => left.checked_sub(*right),
                Operation::Multiply => left.checked_mul(*right),
                Operation::Divide => None,
            };
            if let Some(exact) = exact {
                return Some(Scalar::Integer(exact));
            }
        }
        let (left, right) = (real(left)?, real(right)?);
        let result = match self {
            Operation::Add => left + right,
            Operation::Subtract => left - right,
            Operation::Multiply => left * right,
            Operation::Divide => left / right,
        };
        result.is_finite().then_some(Scalar::Real(result))
    }
}

fn real(scalar: &Scalar) -> Option<f64> {
    match *scalar {
        Scalar::Integer(number) => Some(number as f64),
        Scalar::Real(number) => Some(number),
        _ => None,
    }
}

/// Numbers with numbers, text with text, truth with truth; None for all else.
fn order(left: &Scalar, right: &Scalar) -> Option<Ordering> {
    match (left, right) {
        (Scalar::Integer(left), Scalar::Integer(right)) => Some(left.cmp(right)),
        (Scalar::Text(left), Scalar::Text(right)) => Some(left.cmp(right)),
        (Scalar::Bool(left), Scalar::Bool(right)) => Some(left.cmp(right)),
        _ => real(left)?.partial_cmp(&real(right)?),
    }
}

fn scalar(value: &Value) -> Option<Scalar> {
    match value {
        Value::Bool(truth) => Some(Scalar::Bool(*truth)),
        Value::LongString(text) => Some(Scalar::Text(text.clone())),
        Value::Timestamp(seconds) => i64::try_from(*seconds).ok().map(Scalar::Integer),
        other => other.as_integer().map(Scalar::Integer).or_else(|| other.as_float().map(Scalar::Real)),
    }
}

#[cfg(test)]
mod tests;

//! The `x-jms-topic` type (compat.md 2.11): a message goes where a binding's selector is true of its headers.
//!
//! The selector is an argument of the binding: `rjms_erlang_selector`, the Erlang term that clients of RabbitMQ's JMS library
//! send, or `x-jms-selector`, plain SQL. A binding with neither takes every message. Routing keys are not looked at: the
//! library binds such an exchange to a topic exchange.

use super::binding::{Binding, Bound};
use crate::broker::refusal::Refusal;
use crate::broker::selector::Selector;
use crate::value::{Table, Value};
use std::collections::HashMap;
use std::sync::Arc;

const TERM: &str = "rjms_erlang_selector";
const SQL: &str = "x-jms-selector";

/// The bindings of an exchange.
#[derive(Debug, Default)]
pub(super) struct Jms {
    rules: HashMap<Arc<Bound>, Option<Selector>>,
}

impl Jms {
    pub fn add(&mut self, bound: &Arc<Bound>) {
        // It was checked when the binding was made.
        if let Ok(selector) = selector(bound.binding()) {
            self.rules.insert(Arc::clone(bound), selector);
        }
    }

    pub fn remove(&mut self, bound: &Arc<Bound>) {
        self.rules.remove(bound);
    }

    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The bindings that select a message with these headers; one destination may come several times.
    pub fn matching<'t>(&'t self, headers: &Table) -> impl Iterator<Item = &'t Bound> {
        let selects = |selector: &Option<Selector>| selector.as_ref().is_none_or(|selector| selector.selects(headers));
        self.rules.iter().filter(move |(_, selector)| selects(selector)).map(|(bound, _)| bound.as_ref())
    }
}

/// The selector of a binding.
///
/// # Errors
/// RabbitMQ's explanation when it cannot be read.
pub(super) fn selector(binding: &Binding) -> Result<Option<Selector>, Refusal> {
    let unreadable = |text: &str| {
        let (destination, source) = (binding.destination.name(), &binding.source);
        let explanation =
            format!("cannot parse selector '{text:?}' binding destination '{destination}' to exchange '{source}'");
        Err(Refusal::Unacceptable(explanation))
    };
    for key in [TERM, SQL] {
        let text = match binding.arguments.get(key) {
            None => continue,
            Some(Value::LongString(text)) => text,
            Some(other) => return unreadable(&other.to_string()),
        };
        let read = match std::str::from_utf8(text) {
            Ok(text) if key == SQL => Selector::from_sql(text),
            _ => Selector::from_term(text),
        };
        return read.map(Some).or_else(|_| unreadable(&String::from_utf8_lossy(text)));
    }
    Ok(None)
}

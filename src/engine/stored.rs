//! The shape of definitions on disk: tables of named fields, so that later versions can add some.

use super::queue_handle::QueueDefinition;
use crate::broker::identity::{DelayId, QueueId};
use crate::broker::policy::{ApplyTo, Policy};
use crate::broker::refusal::Resource;
use crate::broker::topology::{Binding, Destination, ExchangeKind, ExchangeSpec};
use crate::name::Name;
use crate::store::keys::{self, DefinitionKind, definition};
use crate::store::{Change, Family, records};
use crate::value::{Table, Value};

/// Stores an exchange; `window`: the number of its deduplication window.
pub fn put_exchange(vhost: &Name, spec: &ExchangeSpec, window: Option<QueueId>) -> Change {
    let mut fields = fields(vhost);
    if let Some(window) = window {
        fields.insert("window", Value::I64(window.0 as i64));
    }
    put_text(&mut fields, "name", spec.name.as_str());
    put_text(&mut fields, "type", spec.kind.name());
    fields.insert("auto_delete", Value::Bool(spec.auto_delete));
    fields.insert("internal", Value::Bool(spec.internal));
    fields.insert("arguments", Value::Table(spec.arguments.clone()));
    Change::Put(Family::Definitions, exchange_key(vhost, &spec.name), records::definition(&fields))
}

/// Removes an exchange.
pub fn delete_exchange(vhost: &Name, name: &Name) -> Change {
    Change::Delete(Family::Definitions, exchange_key(vhost, name))
}

/// Stores the number under which an exchange keeps delayed messages.
pub fn put_delay(id: DelayId, exchange: &Resource) -> Change {
    let mut fields = fields(&exchange.vhost);
    put_text(&mut fields, "exchange", exchange.name.as_str());
    fields.insert("id", Value::I64(id.0 as i64));
    Change::Put(Family::Definitions, delay_key(id), records::definition(&fields))
}

/// Removes the number and the delayed messages.
pub fn delete_delay(id: DelayId) -> [Change; 2] {
    let range = [id, DelayId(id.0 + 1)].map(|id| keys::delay_state(id).to_vec());
    let [from, to] = range;
    [Change::Delete(Family::Definitions, delay_key(id)), Change::DeleteRange(Family::Delayed, from, to)]
}

/// Reads what [`put_delay`] stored. None when a field is missing.
pub fn read_delay(fields: &Table) -> Option<(DelayId, Resource)> {
    let exchange = Resource::exchange(&name(fields, "vhost")?, &name(fields, "exchange")?);
    Some((DelayId(fields.get("id")?.as_integer()? as u64), exchange))
}

/// Stores a queue.
pub fn put_queue(id: QueueId, queue: &QueueDefinition) -> Change {
    let mut fields = fields(&queue.vhost);
    put_text(&mut fields, "name", queue.name.as_str());
    fields.insert("id", Value::I64(id.0 as i64));
    fields.insert("auto_delete", Value::Bool(queue.auto_delete));
    fields.insert("arguments", Value::Table(queue.arguments.clone()));
    if let Some(user) = &queue.declared_by {
        put_text(&mut fields, "declared_by", user.as_str());
    }
    Change::Put(Family::Definitions, queue_key(id), records::definition(&fields))
}

/// Removes a queue.
pub fn delete_queue(id: QueueId) -> Change {
    Change::Delete(Family::Definitions, queue_key(id))
}

/// Stores the number that the next queue gets.
pub fn put_next_queue(id: QueueId) -> Change {
    let fields = Table::from_iter([("id", Value::I64(id.0 as i64))]);
    let key = definition(DefinitionKind::NextQueue, &[]);
    Change::Put(Family::Definitions, key, records::definition(&fields))
}

/// Stores a binding; `order` grows from one to the next, so that a start makes them in the same order.
pub fn put_binding(vhost: &Name, binding: &Binding, order: u64) -> Change {
    let mut fields = fields(vhost);
    fields.insert("order", Value::I64(order as i64));
    put_text(&mut fields, "source", binding.source.as_str());
    put_text(&mut fields, "destination", binding.destination.name().as_str());
    fields.insert("to_queue", Value::Bool(matches!(binding.destination, Destination::Queue(_))));
    put_text(&mut fields, "routing_key", binding.routing_key.as_str());
    fields.insert("arguments", Value::Table(binding.arguments.clone()));
    Change::Put(Family::Definitions, binding_key(vhost, binding), records::definition(&fields))
}

/// Removes a binding.
pub fn delete_binding(vhost: &Name, binding: &Binding) -> Change {
    Change::Delete(Family::Definitions, binding_key(vhost, binding))
}

/// Stores a policy.
pub fn put_policy(vhost: &Name, policy: &Policy, operator: bool) -> Change {
    let mut fields = fields(vhost);
    put_text(&mut fields, "name", policy.name.as_str());
    fields.insert("operator", Value::Bool(operator));
    put_text(&mut fields, "pattern", &policy.pattern);
    put_text(&mut fields, "apply_to", policy.apply_to.name());
    fields.insert("definition", Value::Table(policy.definition.clone()));
    fields.insert("priority", Value::I64(policy.priority));
    Change::Put(Family::Definitions, policy_key(vhost, &policy.name, operator), records::definition(&fields))
}

/// Removes a policy.
pub fn delete_policy(vhost: &Name, name: &Name, operator: bool) -> Change {
    Change::Delete(Family::Definitions, policy_key(vhost, name, operator))
}

/// Reads what [`put_policy`] stored: the virtual host, the policy, whether it is an operator policy. None when a field is
/// missing or wrong.
pub fn read_policy(fields: &Table) -> Option<(Name, Policy, bool)> {
    let operator = fields.get("operator")?.as_bool()?;
    let policy = Policy::new(
        name(fields, "name")?,
        fields.get("pattern")?.as_str()?,
        ApplyTo::parse(fields.get("apply_to")?.as_str()?)?,
        fields.get("definition")?.as_table()?.clone(),
        fields.get("priority")?.as_integer()?,
        operator,
    );
    Some((name(fields, "vhost")?, policy.ok()?, operator))
}

/// The number of an exchange's deduplication window, if it has one on disk.
pub fn exchange_window(fields: &Table) -> Option<QueueId> {
    Some(QueueId(fields.get("window")?.as_integer()? as u64))
}

/// Reads what [`put_exchange`] stored. None when a field is missing.
pub fn read_exchange(fields: &Table) -> Option<(Name, ExchangeSpec)> {
    let spec = ExchangeSpec {
        name: name(fields, "name")?,
        kind: ExchangeKind::parse(fields.get("type")?.as_str()?).ok()?,
        durable: true,
        auto_delete: fields.get("auto_delete")?.as_bool()?,
        internal: fields.get("internal")?.as_bool()?,
        arguments: fields.get("arguments")?.as_table()?.clone(),
    };
    Some((name(fields, "vhost")?, spec))
}

/// Reads what [`put_queue`] stored. None when a field is missing.
pub fn read_queue(fields: &Table) -> Option<(QueueId, QueueDefinition)> {
    let queue = QueueDefinition {
        name: name(fields, "name")?,
        vhost: name(fields, "vhost")?,
        durable: true,
        owner: None,
        auto_delete: fields.get("auto_delete")?.as_bool()?,
        arguments: fields.get("arguments")?.as_table()?.clone(),
        declared_by: name(fields, "declared_by"),
    };
    Some((read_next_queue(fields)?, queue))
}

/// Reads what [`put_next_queue`] stored. None when the field is missing.
pub fn read_next_queue(fields: &Table) -> Option<QueueId> {
    Some(QueueId(fields.get("id")?.as_integer()? as u64))
}

/// When a binding was made, compared with others; 0 if it was not noted.
pub fn binding_order(fields: &Table) -> i64 {
    fields.get("order").and_then(Value::as_integer).unwrap_or(0)
}

/// Reads what [`put_binding`] stored. None when a field is missing.
pub fn read_binding(fields: &Table) -> Option<(Name, Binding)> {
    let destination = name(fields, "destination")?;
    let to_queue = fields.get("to_queue")?.as_bool()?;
    let binding = Binding {
        source: name(fields, "source")?,
        destination: if to_queue { Destination::Queue(destination) } else { Destination::Exchange(destination) },
        routing_key: name(fields, "routing_key")?,
        arguments: fields.get("arguments")?.as_table()?.clone(),
    };
    Some((name(fields, "vhost")?, binding))
}

fn fields(vhost: &Name) -> Table {
    let mut fields = Table::new();
    put_text(&mut fields, "vhost", vhost.as_str());
    fields
}

fn put_text(fields: &mut Table, key: &'static str, text: &str) {
    fields.insert(key, Value::LongString(text.as_bytes().to_vec()));
}

fn name(fields: &Table, key: &str) -> Option<Name> {
    Name::new(fields.get(key)?.as_str()?)
}

fn exchange_key(vhost: &Name, name: &Name) -> Vec<u8> {
    definition(DefinitionKind::Exchange, &[vhost.as_str().as_bytes(), name.as_str().as_bytes()])
}

fn delay_key(id: DelayId) -> Vec<u8> {
    definition(DefinitionKind::Delay, &[&id.0.to_be_bytes()])
}

fn policy_key(vhost: &Name, name: &Name, operator: bool) -> Vec<u8> {
    let parts = [vhost.as_str().as_bytes(), &[u8::from(operator)], name.as_str().as_bytes()];
    definition(DefinitionKind::Policy, &parts)
}

fn queue_key(id: QueueId) -> Vec<u8> {
    definition(DefinitionKind::Queue, &[&id.0.to_be_bytes()])
}

fn binding_key(vhost: &Name, binding: &Binding) -> Vec<u8> {
    let mut arguments = Vec::new();
    binding.arguments.encode_content(&mut arguments);
    let kind: &[u8] = if matches!(binding.destination, Destination::Queue(_)) { b"q" } else { b"e" };
    let names = [vhost, &binding.source, binding.destination.name(), &binding.routing_key];
    let [vhost, source, destination, key] = names.map(|name| name.as_str().as_bytes());
    definition(DefinitionKind::Binding, &[vhost, source, kind, destination, key, &arguments])
}

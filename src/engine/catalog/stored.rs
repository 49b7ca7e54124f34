//! The shape of virtual hosts, users and permissions on disk: tables of named fields, so that later versions can add some.

use super::parameters::ParameterKey;
use crate::broker::access::{
    Grants, HashAlgorithm, PasswordHash, Pattern, Permissions, TopicPermissions, User, UserLimits, VhostLimits,
    VhostMetadata,
};
use crate::name::Name;
use crate::store::keys::{DefinitionKind, definition};
use crate::store::{Change, Family, records};
use crate::value::{Table, Value};

/// Stores a virtual host.
pub fn put_vhost(name: &Name, metadata: &VhostMetadata, limits: &VhostLimits) -> Change {
    let mut fields = Table::new();
    fields.insert("name", name.as_str());
    fields.insert("description", metadata.description.as_str());
    fields.insert("tags", names(&metadata.tags));
    if let Some(kind) = &metadata.default_queue_type {
        fields.insert("default_queue_type", kind.as_str());
    }
    fields.insert("protected", metadata.protected_from_deletion);
    fields.insert("tracing", metadata.tracing);
    put_limit(&mut fields, "max_connections", limits.max_connections);
    put_limit(&mut fields, "max_queues", limits.max_queues);
    put(DefinitionKind::Vhost, &[name], &fields)
}

/// Removes a virtual host, its exchanges, bindings and policies, and all permissions in it. Queues are removed one by one.
pub fn delete_vhost(name: &Name) -> Vec<Change> {
    let ranges = [
        DefinitionKind::Exchange,
        DefinitionKind::Binding,
        DefinitionKind::Policy,
        DefinitionKind::Permissions,
        DefinitionKind::TopicPermissions,
        DefinitionKind::Parameter,
    ];
    let mut changes = vec![Change::Delete(Family::Definitions, key(DefinitionKind::Vhost, &[name]))];
    changes.extend(ranges.map(|kind| below(key(kind, &[name]))));
    changes
}

/// Stores a user.
pub fn put_user(user: &User) -> Change {
    let mut fields = Table::new();
    fields.insert("name", user.name.as_str());
    fields.insert("hash", Value::Bytes(user.password.salted.clone()));
    fields.insert("algorithm", user.password.algorithm.name());
    fields.insert("tags", names(&user.tags));
    put_limit(&mut fields, "max_connections", user.limits.max_connections);
    put_limit(&mut fields, "max_channels", user.limits.max_channels);
    put(DefinitionKind::User, &[&user.name], &fields)
}

/// Removes a user. Permissions are removed one by one.
pub fn delete_user(name: &Name) -> Change {
    Change::Delete(Family::Definitions, key(DefinitionKind::User, &[name]))
}

/// Stores or removes a user's permissions in a virtual host.
pub fn put_permissions(vhost: &Name, user: &Name, permissions: Option<&Permissions>) -> Change {
    let parts = [vhost, user];
    let Some(permissions) = permissions else {
        return Change::Delete(Family::Definitions, key(DefinitionKind::Permissions, &parts));
    };
    let mut fields = Table::new();
    fields.insert("vhost", vhost.as_str());
    fields.insert("user", user.as_str());
    fields.insert("configure", permissions.configure.as_str());
    fields.insert("write", permissions.write.as_str());
    fields.insert("read", permissions.read.as_str());
    put(DefinitionKind::Permissions, &parts, &fields)
}

/// Stores or removes a user's topic permissions for an exchange.
pub fn put_topic(vhost: &Name, user: &Name, exchange: &Name, topic: Option<&TopicPermissions>) -> Change {
    let parts = [vhost, user, exchange];
    let Some(topic) = topic else {
        return Change::Delete(Family::Definitions, key(DefinitionKind::TopicPermissions, &parts));
    };
    let mut fields = Table::new();
    fields.insert("vhost", vhost.as_str());
    fields.insert("user", user.as_str());
    fields.insert("exchange", exchange.as_str());
    fields.insert("write", topic.write());
    fields.insert("read", topic.read());
    put(DefinitionKind::TopicPermissions, &parts, &fields)
}

/// Stores or removes a parameter.
pub fn put_parameter(key_of: &ParameterKey, value: Option<&Value>) -> Change {
    let (vhost, component, name) = key_of;
    let (kind, parts) = match vhost {
        Some(vhost) => (DefinitionKind::Parameter, vec![vhost, component, name]),
        None => (DefinitionKind::GlobalParameter, vec![component, name]),
    };
    let Some(value) = value else { return Change::Delete(Family::Definitions, key(kind, &parts)) };
    let mut fields = Table::new();
    if let Some(vhost) = vhost {
        fields.insert("vhost", vhost.as_str());
    }
    fields.insert("component", component.as_str());
    fields.insert("name", name.as_str());
    fields.insert("value", value.clone());
    put(kind, &parts, &fields)
}

/// Reads what [`put_parameter`] stored. None when a field is missing.
pub fn read_parameter(fields: &Table) -> Option<(ParameterKey, Value)> {
    let key = (name(fields, "vhost"), name(fields, "component")?, name(fields, "name")?);
    Some((key, fields.get("value")?.clone()))
}

/// Removes all that a user may do in a virtual host.
pub fn delete_grants(vhost: &Name, user: &Name, grants: &Grants) -> Vec<Change> {
    let topics = grants.topics.keys().map(|exchange| put_topic(vhost, user, exchange, None));
    topics.chain([put_permissions(vhost, user, None)]).collect()
}

/// Reads what [`put_vhost`] stored. None when a field is missing.
pub fn read_vhost(fields: &Table) -> Option<(Name, VhostMetadata, VhostLimits)> {
    let metadata = VhostMetadata {
        description: text(fields, "description")?.to_owned(),
        tags: read_names(fields, "tags")?,
        default_queue_type: text(fields, "default_queue_type").and_then(Name::new),
        protected_from_deletion: fields.get("protected")?.as_bool()?,
        tracing: fields.get("tracing")?.as_bool()?,
    };
    let limits =
        VhostLimits { max_connections: limit(fields, "max_connections"), max_queues: limit(fields, "max_queues") };
    Some((name(fields, "name")?, metadata, limits))
}

/// Reads what [`put_user`] stored. None when a field is missing.
pub fn read_user(fields: &Table) -> Option<User> {
    let Value::Bytes(salted) = fields.get("hash")? else { return None };
    let algorithm = HashAlgorithm::parse(text(fields, "algorithm")?)?;
    Some(User {
        name: name(fields, "name")?,
        password: PasswordHash { algorithm, salted: salted.clone() },
        tags: read_names(fields, "tags")?,
        limits: UserLimits {
            max_connections: limit(fields, "max_connections"),
            max_channels: limit(fields, "max_channels"),
        },
    })
}

/// Reads what [`put_permissions`] stored: virtual host, user, permissions. None when a field is missing.
pub fn read_permissions(fields: &Table) -> Option<(Name, Name, Permissions)> {
    let pattern = |key| text(fields, key).map(Pattern::new);
    let permissions =
        Permissions { configure: pattern("configure")?, write: pattern("write")?, read: pattern("read")? };
    Some((name(fields, "vhost")?, name(fields, "user")?, permissions))
}

/// Reads what [`put_topic`] stored: virtual host, user, exchange, permissions. None when a field is missing.
pub fn read_topic(fields: &Table) -> Option<(Name, Name, Name, TopicPermissions)> {
    let (vhost, user) = (name(fields, "vhost")?, name(fields, "user")?);
    let topic = TopicPermissions::new(text(fields, "write")?, text(fields, "read")?, &user, &vhost);
    Some((vhost, user, name(fields, "exchange")?, topic))
}

fn key(kind: DefinitionKind, parts: &[&Name]) -> Vec<u8> {
    let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_str().as_bytes()).collect();
    definition(kind, &parts)
}

fn put(kind: DefinitionKind, parts: &[&Name], fields: &Table) -> Change {
    Change::Put(Family::Definitions, key(kind, parts), records::definition(fields))
}

/// Removes the keys that begin so. Lengths stand before parts, so no other virtual host's keys do.
fn below(prefix: Vec<u8>) -> Change {
    let mut end = prefix.clone();
    end.extend_from_slice(&[0xff; 4]);
    Change::DeleteRange(Family::Definitions, prefix, end)
}

fn names(names: &[Name]) -> Vec<Value> {
    names.iter().map(|name| Value::from(name.as_str())).collect()
}

fn read_names(fields: &Table, key: &str) -> Option<Vec<Name>> {
    fields.get(key)?.as_array()?.iter().map(|name| Name::new(name.as_str()?)).collect()
}

fn put_limit(fields: &mut Table, key: &'static str, limit: Option<u64>) {
    if let Some(limit) = limit {
        fields.insert(key, i64::try_from(limit).unwrap_or(i64::MAX));
    }
}

fn limit(fields: &Table, key: &str) -> Option<u64> {
    u64::try_from(fields.get(key)?.as_integer()?).ok()
}

fn text<'t>(fields: &'t Table, key: &str) -> Option<&'t str> {
    fields.get(key)?.as_str()
}

fn name(fields: &Table, key: &str) -> Option<Name> {
    Name::new(text(fields, key)?)
}

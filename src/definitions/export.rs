//! Definitions as JSON in RabbitMQ's shapes (compat.md 2.14): of single objects, of a virtual host, of the whole broker.
//!
//! What belongs to a connection, does not outlive a restart or goes without saying is left out of files: exclusive and transient
//! queues, transient exchanges, the predeclared ones, bindings of the default exchange, and bindings whose ends are left out.

use super::HASH_PARAMETER;
use crate::broker::access::{User, UserLimits, VhostLimits, VhostMetadata};
use crate::broker::policy::Policy;
use crate::broker::topology::{Binding, Destination};
use crate::engine::{
    BindingRecord, Bindings, Broker, ExchangeRecord, ParameterRecord, PermissionRecord, QueueHandle,
    TopicPermissionRecord,
};
use crate::name::Name;
use crate::value::{Table, Value};
use crate::version::RABBITMQ_VERSION;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value as Json, json};

/// Names with it are the broker's own.
const RESERVED_PREFIX: &str = "amq.";

/// A table as an object. Of entries with the same key the first counts.
pub fn table(table: &Table) -> Json {
    let mut object = Map::new();
    for (key, entry) in table.iter() {
        let key = String::from_utf8_lossy(key.as_bytes()).into_owned();
        object.entry(key).or_insert_with(|| value(entry));
    }
    Json::Object(object)
}

/// A value. Recursion: as deep as the value was built.
pub fn value(of: &Value) -> Json {
    if let Some(integer) = of.as_integer() {
        return Json::from(integer);
    }
    if let Some(float) = of.as_float() {
        return Number::from_f64(float).map_or_else(|| Json::from(float.to_string()), Json::Number);
    }
    match of {
        Value::Bool(truth) => Json::Bool(*truth),
        Value::LongString(bytes) | Value::Bytes(bytes) => Json::from(String::from_utf8_lossy(bytes)),
        Value::Array(elements) => Json::Array(elements.iter().map(value).collect()),
        Value::Table(inner) => table(inner),
        Value::Timestamp(seconds) => Json::from(*seconds),
        Value::Decimal { scale, value } => {
            let float = f64::from(*value) / 10f64.powi(i32::from(*scale));
            Number::from_f64(float).map_or(Json::Null, Json::Number)
        }
        _ => Json::Null,
    }
}

fn words(names: &[Name]) -> Json {
    names.iter().map(Name::as_str).collect()
}

fn limits_of(limits: &[(&str, Option<u64>)]) -> Json {
    let set = limits.iter().filter_map(|(key, limit)| Some(((*key).to_owned(), Json::from((*limit)?))));
    Json::Object(set.collect())
}

/// Limits of a user.
pub fn user_limits(limits: &UserLimits) -> Json {
    limits_of(&[("max-connections", limits.max_connections), ("max-channels", limits.max_channels)])
}

/// Limits of a virtual host.
pub fn vhost_limits(limits: &VhostLimits) -> Json {
    limits_of(&[("max-connections", limits.max_connections), ("max-queues", limits.max_queues)])
}

/// A user.
pub fn user(user: &User) -> Json {
    json!({
        "name": user.name.as_str(),
        "password_hash": STANDARD.encode(&user.password.salted),
        "hashing_algorithm": user.password.algorithm.name(),
        "tags": words(&user.tags),
        "limits": user_limits(&user.limits),
    })
}

/// What is known of a virtual host, as RabbitMQ nests it.
pub fn metadata(metadata: &VhostMetadata) -> Json {
    let mut members = Map::new();
    members.insert("description".to_owned(), Json::from(metadata.description.as_str()));
    members.insert("tags".to_owned(), words(&metadata.tags));
    if let Some(kind) = &metadata.default_queue_type {
        members.insert("default_queue_type".to_owned(), Json::from(kind.as_str()));
    }
    if metadata.protected_from_deletion {
        members.insert("protected_from_deletion".to_owned(), Json::Bool(true));
    }
    Json::Object(members)
}

/// Permissions.
pub fn permission(record: &PermissionRecord) -> Json {
    json!({
        "user": record.user.as_str(),
        "vhost": record.vhost.as_str(),
        "configure": record.permissions.configure.as_str(),
        "write": record.permissions.write.as_str(),
        "read": record.permissions.read.as_str(),
    })
}

/// Topic permissions.
pub fn topic_permission(record: &TopicPermissionRecord) -> Json {
    json!({
        "user": record.user.as_str(),
        "vhost": record.vhost.as_str(),
        "exchange": record.exchange.as_str(),
        "write": record.permissions.write(),
        "read": record.permissions.read(),
    })
}

/// A parameter.
pub fn parameter(record: &ParameterRecord) -> Json {
    let value = value(&record.value);
    match &record.vhost {
        Some(vhost) => json!({
            "vhost": vhost.as_str(),
            "component": record.component.as_str(),
            "name": record.name.as_str(),
            "value": value,
        }),
        None => json!({"name": record.name.as_str(), "value": value}),
    }
}

/// A policy.
pub fn policy(vhost: &Name, policy: &Policy) -> Json {
    json!({
        "vhost": vhost.as_str(),
        "name": policy.name.as_str(),
        "pattern": policy.pattern,
        "apply-to": policy.apply_to.name(),
        "definition": table(&policy.definition),
        "priority": policy.priority,
    })
}

/// A queue.
pub fn queue(queue: &QueueHandle) -> Json {
    let definition = queue.definition();
    json!({
        "name": definition.name.as_str(),
        "vhost": definition.vhost.as_str(),
        "type": queue.kind().name(),
        "durable": definition.durable,
        "auto_delete": definition.auto_delete,
        "arguments": table(&definition.arguments),
    })
}

/// An exchange.
pub fn exchange(record: &ExchangeRecord) -> Json {
    let spec = &record.spec;
    json!({
        "name": spec.name.as_str(),
        "vhost": record.vhost.as_str(),
        "type": spec.kind.name(),
        "durable": spec.durable,
        "auto_delete": spec.auto_delete,
        "internal": spec.internal,
        "arguments": table(&spec.arguments),
    })
}

/// A binding.
pub fn binding(record: &BindingRecord) -> Json {
    let Binding { source, destination, routing_key, arguments } = &record.binding;
    json!({
        "source": source.as_str(),
        "vhost": record.vhost.as_str(),
        "destination": destination.name().as_str(),
        "destination_type": if matches!(destination, Destination::Queue(_)) { "queue" } else { "exchange" },
        "routing_key": routing_key.as_str(),
        "arguments": table(arguments),
    })
}

/// The operator policies of a virtual host, as the parameters that they are in files.
fn operator_policies(broker: &Broker, vhost: &Name) -> Vec<Json> {
    let policies = broker.policies(vhost.as_str(), true).unwrap_or_default();
    let parameter = |policy: &Policy| {
        json!({
            "vhost": vhost.as_str(),
            "component": "operator_policy",
            "name": policy.name.as_str(),
            "value": {
                "pattern": policy.pattern,
                "definition": table(&policy.definition),
                "priority": policy.priority,
                "apply-to": policy.apply_to.name(),
            },
        })
    };
    policies.iter().map(parameter).collect()
}

/// What a virtual host holds that files have. Everything is sorted, so that two files of the same definitions are equal.
struct Contents {
    parameters: Vec<Json>,
    policies: Vec<Json>,
    queues: Vec<Json>,
    exchanges: Vec<Json>,
    bindings: Vec<Json>,
}

impl Contents {
    fn of(broker: &Broker, vhost: &Name) -> Contents {
        let mut parameters: Vec<Json> = broker
            .parameters()
            .iter()
            .filter(|record| record.vhost.as_ref() == Some(vhost))
            .map(parameter)
            .chain(operator_policies(broker, vhost))
            .collect();
        if let Some(limits) = broker.vhost_record(vhost.as_str()).map(|record| record.limits)
            && limits != VhostLimits::default()
        {
            let value = vhost_limits(&limits);
            parameters
                .push(json!({"vhost": vhost.as_str(), "component": "vhost-limits", "name": "limits", "value": value}));
        }
        let policies = broker.policies(vhost.as_str(), false).unwrap_or_default();
        let policies = policies.iter().map(|found| policy(vhost, found)).collect();
        let mut queues = broker.queues_in(vhost.as_str());
        queues.retain(|queue| queue.definition().is_stored());
        queues.sort_by(|one, other| one.name().cmp(other.name()));
        let mut exchanges = broker.exchanges_in(vhost.as_str());
        exchanges.retain(|record| {
            let name = record.spec.name.as_str();
            record.spec.durable && !name.is_empty() && !name.starts_with(RESERVED_PREFIX)
        });
        exchanges.sort_by(|one, other| one.spec.name.cmp(&other.spec.name));
        let mut bindings = broker.bindings_in(vhost.as_str(), Bindings::All);
        bindings.retain(|record| record.durable);
        let rank = |record: &BindingRecord| {
            let Binding { source, destination, routing_key, .. } = &record.binding;
            (source.clone(), destination.clone(), routing_key.clone())
        };
        bindings.sort_by_cached_key(rank);
        Contents {
            parameters,
            policies,
            queues: queues.iter().map(|found| queue(found)).collect(),
            exchanges: exchanges.iter().map(exchange).collect(),
            bindings: bindings.iter().map(binding).collect(),
        }
    }

    fn append(&mut self, other: Contents) {
        self.parameters.extend(other.parameters);
        self.policies.extend(other.policies);
        self.queues.extend(other.queues);
        self.exchanges.extend(other.exchanges);
        self.bindings.extend(other.bindings);
    }

    fn members(self) -> Map<String, Json> {
        let lists = [
            ("parameters", self.parameters),
            ("policies", self.policies),
            ("queues", self.queues),
            ("exchanges", self.exchanges),
            ("bindings", self.bindings),
        ];
        lists.into_iter().map(|(key, list)| (key.to_owned(), Json::Array(list))).collect()
    }
}

/// Definitions of the whole broker; of some virtual hosts, users left out, if `only` says so.
pub fn cluster(broker: &Broker, cluster_name: &str, version: &str) -> Json {
    let mut contents = Contents {
        parameters: Vec::new(),
        policies: Vec::new(),
        queues: Vec::new(),
        exchanges: Vec::new(),
        bindings: Vec::new(),
    };
    let vhosts = broker.vhosts();
    vhosts.iter().for_each(|vhost| contents.append(Contents::of(broker, &vhost.name)));
    let vhosts: Json = vhosts
        .iter()
        .map(|vhost| json!({"name": vhost.name.as_str(), "metadata": metadata(&vhost.metadata), "limits": []}))
        .collect();
    let globals = broker.parameters();
    let globals: Json = globals
        .iter()
        .filter(|record| record.vhost.is_none() && record.name.as_str() != HASH_PARAMETER)
        .map(parameter)
        .collect();
    let mut members = contents.members();
    let head = json!({
        "rabbit_version": RABBITMQ_VERSION,
        "rabbitmq_version": RABBITMQ_VERSION,
        "product_name": "Warren",
        "product_version": version,
        "rabbitmq_definition_format": "cluster",
        "original_cluster_name": cluster_name,
        "explanation": format!("Definitions of cluster '{cluster_name}'"),
        "users": broker.users().iter().map(|found| user(found)).collect::<Json>(),
        "vhosts": vhosts,
        "permissions": broker.permissions().iter().map(permission).collect::<Json>(),
        "topic_permissions": broker.topic_permissions().iter().map(topic_permission).collect::<Json>(),
        "global_parameters": globals,
    });
    if let Json::Object(head) = head {
        members.extend(head);
    }
    Json::Object(members)
}

/// Definitions of one virtual host: the same lists, which do not name it.
pub fn vhost(broker: &Broker, name: &Name, version: &str) -> Json {
    let mut members = Contents::of(broker, name).members();
    for list in members.values_mut().filter_map(Json::as_array_mut) {
        list.iter_mut().filter_map(Json::as_object_mut).for_each(|object| drop(object.remove("vhost")));
    }
    let record = broker.vhost_record(name.as_str());
    let about = record.as_ref().map(|record| record.metadata.clone()).unwrap_or_default();
    let limits = record.map(|record| record.limits).unwrap_or_default();
    let head = json!({
        "rabbit_version": RABBITMQ_VERSION,
        "rabbitmq_version": RABBITMQ_VERSION,
        "product_name": "Warren",
        "product_version": version,
        "rabbitmq_definition_format": "single_virtual_host",
        "original_vhost_name": name.as_str(),
        "explanation": format!("Definitions of virtual host '{name}'"),
        "metadata": metadata(&about),
        "description": about.description,
        "default_queue_type": about.default_queue_type.as_ref().map_or("undefined", Name::as_str),
        "limits": vhost_limits(&limits),
    });
    if let Json::Object(head) = head {
        members.extend(head);
    }
    Json::Object(members)
}

//! What events say, and in whose name: fields as RabbitMQ's event exchange has them, in no meaningful order.

use super::INTERNAL_USER;
use crate::broker::access::{Permissions, TopicPermissions, User, VhostLimits};
use crate::broker::policy::Policy;
use crate::broker::topology::{Binding, Destination, ExchangeSpec};
use crate::engine::Broker;
use crate::engine::queue_handle::QueueDefinition;
use crate::name::Name;
use crate::value::{Table, Value};
use std::fmt::Write as _;

/// A change, and who makes it.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct By<'a> {
    pub broker: &'a Broker,
    pub user: &'a str,
}

impl<'a> By<'a> {
    /// Of the broker's own accord.
    pub fn itself(broker: &'a Broker) -> By<'a> {
        By { broker, user: INTERNAL_USER }
    }

    /// The fields of an event, with who did it.
    pub fn signed(self, mut fields: Table) -> Table {
        fields.push("user_who_performed_action", self.user);
        fields
    }

    fn tell(self, kind: &'static str, fields: impl FnOnce() -> Table) {
        self.broker.tell(kind, || self.signed(fields()));
    }

    /// A queue is being made.
    pub fn tell_queue_created(self, queue: &QueueDefinition) {
        self.tell("queue.created", || {
            let kind = queue.arguments.get("x-queue-type").and_then(Value::as_str).unwrap_or("classic");
            let mut fields = texts(&[("name", queue.name.as_str()), ("vhost", queue.vhost.as_str()), ("type", kind)]);
            fields.push("durable", queue.durable);
            fields.push("auto_delete", queue.auto_delete);
            fields.push("exclusive", queue.owner.is_some());
            fields.push("arguments", listed(&queue.arguments));
            fields
        });
    }

    /// A queue has gone.
    pub fn tell_queue_deleted(self, queue: &QueueDefinition) {
        self.tell("queue.deleted", || texts(&[("name", queue.name.as_str()), ("vhost", queue.vhost.as_str())]));
    }

    /// A queue's settings have changed because of a policy that was set, or cleared.
    pub fn tell_queue_policy(self, queue: &QueueDefinition, set: bool) {
        let kind = if set { "queue.policy.updated" } else { "queue.policy.cleared" };
        self.tell(kind, || texts(&[("name", queue.name.as_str()), ("vhost", queue.vhost.as_str())]));
    }

    /// An exchange was made.
    pub fn tell_exchange_created(self, vhost: &Name, exchange: &ExchangeSpec) {
        self.tell("exchange.created", || {
            let (name, kind) = (exchange.name.as_str(), exchange.kind.name());
            let mut fields = texts(&[("name", name), ("vhost", vhost.as_str()), ("type", kind)]);
            fields.push("durable", exchange.durable);
            fields.push("auto_delete", exchange.auto_delete);
            fields.push("internal", exchange.internal);
            fields.push("arguments", listed(&exchange.arguments));
            fields
        });
    }

    /// An exchange has gone.
    pub fn tell_exchange_deleted(self, vhost: &Name, name: &Name) {
        self.tell("exchange.deleted", || texts(&[("name", name.as_str()), ("vhost", vhost.as_str())]));
    }

    /// `binding.created` or `binding.deleted`.
    pub fn tell_binding(self, kind: &'static str, vhost: &Name, binding: &Binding) {
        self.tell(kind, || {
            let to_queue = matches!(binding.destination, Destination::Queue(_));
            let mut fields = texts(&[
                ("source_name", binding.source.as_str()),
                ("source_kind", "exchange"),
                ("destination_name", binding.destination.name().as_str()),
                ("destination_kind", if to_queue { "queue" } else { "exchange" }),
                ("routing_key", binding.routing_key.as_str()),
                ("vhost", vhost.as_str()),
            ]);
            fields.push("arguments", listed(&binding.arguments));
            fields
        });
    }

    /// A policy was set, or an operator policy.
    pub fn tell_policy_set(self, vhost: &Name, policy: &Policy) {
        self.tell("policy.set", || {
            let mut fields = texts(&[
                ("name", policy.name.as_str()),
                ("vhost", vhost.as_str()),
                ("pattern", &policy.pattern),
                ("apply-to", policy.apply_to.name()),
            ]);
            fields.push("priority", policy.priority);
            fields.push("definition", policy.definition.clone());
            fields
        });
    }

    /// A policy was removed, or an operator policy.
    pub fn tell_policy_cleared(self, vhost: &Name, name: &Name) {
        self.tell("policy.cleared", || texts(&[("name", name.as_str()), ("vhost", vhost.as_str())]));
    }

    /// `parameter.set` or `parameter.cleared`: of a virtual host, or of the whole node.
    pub fn tell_parameter(
        self,
        kind: &'static str,
        (vhost, component, name): &(Option<Name>, Name, Name),
        value: Option<&Value>,
    ) {
        self.tell(kind, || {
            let component = if vhost.is_some() { component.as_str() } else { "global" };
            let mut fields = texts(&[("component", component), ("name", name.as_str())]);
            if let Some(vhost) = vhost {
                fields.push("vhost", vhost.as_str());
            }
            if let Some(value) = value {
                fields.push("value", value.clone());
            }
            fields
        });
    }

    /// A virtual host was made or deleted.
    pub fn tell_vhost(self, kind: &'static str, name: &Name) {
        self.tell(kind, || texts(&[("name", name.as_str())]));
    }

    /// A virtual host's limits are these now.
    pub fn tell_vhost_limits(self, vhost: &Name, limits: VhostLimits) {
        let VhostLimits { max_connections, max_queues } = limits;
        let cleared = max_connections.is_none() && max_queues.is_none();
        self.tell(if cleared { "vhost.limits.cleared" } else { "vhost.limits.set" }, || {
            let mut fields = texts(&[("name", "limits"), ("vhost", vhost.as_str())]);
            for (key, limit) in [("max-connections", max_connections), ("max-queues", max_queues)] {
                if let Some(limit) = limit {
                    fields.push(key, i64::try_from(limit).unwrap_or(i64::MAX));
                }
            }
            fields
        });
    }

    /// A user is being set; `before`: as it was.
    pub fn tell_user_set(self, before: Option<&User>, user: &User) {
        let named = || texts(&[("name", user.name.as_str())]);
        if before.is_none() {
            self.tell("user.created", named);
        }
        if before.is_some_and(|before| before.password != user.password) {
            let cleared = user.password.salted.is_empty();
            self.tell(if cleared { "user.password.cleared" } else { "user.password.changed" }, named);
        }
        if before.map_or(!user.tags.is_empty(), |before| before.tags != user.tags) {
            self.tell("user.tags.set", || {
                let mut fields = named();
                fields.push("tags", user.tags.iter().map(|tag| Value::from(tag.as_str())).collect::<Vec<_>>());
                fields
            });
        }
    }

    /// A user was deleted.
    pub fn tell_user_deleted(self, name: &str) {
        self.tell("user.deleted", || texts(&[("name", name)]));
    }

    /// A user's permissions in a virtual host are these now.
    pub fn tell_permissions(self, user: &Name, vhost: &Name, permissions: Option<&Permissions>) {
        let known = [("user", user.as_str()), ("vhost", vhost.as_str())];
        match permissions {
            None => self.tell("permission.deleted", || texts(&known)),
            Some(Permissions { configure, write, read }) => self.tell("permission.created", || {
                let mut fields = texts(&known);
                for (key, pattern) in [("configure", configure), ("write", write), ("read", read)] {
                    fields.push(key, pattern.as_str());
                }
                fields
            }),
        }
    }

    /// A user's topic permissions for an exchange are these now.
    pub fn tell_topic(self, user: &Name, vhost: &Name, exchange: &Name, permissions: Option<&TopicPermissions>) {
        let known = [("user", user.as_str()), ("vhost", vhost.as_str()), ("exchange", exchange.as_str())];
        match permissions {
            None => self.tell("topic.permission.deleted", || texts(&known)),
            Some(permissions) => self.tell("topic.permission.created", || {
                let mut fields = texts(&known);
                fields.push("write", permissions.write());
                fields.push("read", permissions.read());
                fields
            }),
        }
    }

    /// `alarm.set` or `alarm.cleared`, of `memory` or `disk`.
    pub fn tell_alarm(self, kind: &'static str, source: &str) {
        self.broker.tell(kind, || texts(&[("source", source), ("node", self.broker.node_name())]));
    }
}

fn texts(fields: &[(&'static str, &str)]) -> Table {
    fields.iter().map(|(key, text)| (*key, *text)).collect()
}

/// Arguments as RabbitMQ's plugin lists them: an array of Erlang terms in text, `{<<"x-expires">>,long,5}`.
pub fn listed(arguments: &Table) -> Value {
    let term = |value: &Value| match value {
        Value::LongString(text) => format!("<<\"{}\">>", String::from_utf8_lossy(text)),
        other => {
            let mut text = String::new();
            // Writing to a string does not fail.
            let _ = write!(text, "{other}");
            text
        }
    };
    let listed = arguments.iter().map(|(key, value)| {
        let key = String::from_utf8_lossy(key.as_bytes()).into_owned();
        Value::from(format!("{{<<\"{key}\">>,{},{}}}", value.type_name(), term(value)))
    });
    Value::Array(listed.collect())
}

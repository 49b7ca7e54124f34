//! A definitions file as checked types: whatever is wrong with it is found before anything is made.

use super::HASH_PARAMETER;
use super::absent::Absent;
use super::json::{Fault, Node};
use crate::broker::access::{
    HashAlgorithm, PasswordHash, Permissions, TopicPermissions, User, UserLimits, VhostLimits, VhostMetadata,
};
use crate::broker::policy::{ApplyTo, Policy};
use crate::broker::topology::{Binding, Destination, ExchangeKind, ExchangeSpec};
use crate::engine::QueueSpec;
use crate::name::Name;
use crate::value::Value;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Names with it are the broker's own: they are not imported.
const RESERVED_PREFIX: &str = "amq.";
/// The component of parameters that are operator policies.
const OPERATOR_POLICY: &str = "operator_policy";
/// The component of parameters that are a virtual host's limits.
const VHOST_LIMITS: &str = "vhost-limits";

/// A parameter of a plugin, of a virtual host or of the node.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its virtual host; None for a global one.
    pub vhost: Option<Name>,
    /// Whose parameter it is; empty for a global one.
    pub component: Name,
    /// Its name.
    pub name: Name,
    /// Its value.
    pub value: Value,
}

/// What a definitions file names; places are kept where making something can still fail.
#[derive(Debug, Default)]
pub struct Definitions {
    /// Users; a password that is given as it is, is still to be hashed.
    pub users: Vec<(User, Option<String>)>,
    /// Virtual hosts; limits only where some are named.
    pub vhosts: Vec<(Name, VhostMetadata, Option<VhostLimits>)>,
    /// Limits of virtual hosts, beside those that stand with them.
    pub limits: Vec<(Name, VhostLimits)>,
    /// User, virtual host, permissions.
    pub permissions: Vec<(String, Name, Name, Permissions)>,
    /// User, virtual host, exchange, expressions for writing and reading.
    pub topic_permissions: Vec<(String, Name, Name, Name, [String; 2])>,
    /// Parameters, those of the whole node among them.
    pub parameters: Vec<(String, Parameter)>,
    /// Virtual host and policy; whether it is an operator policy.
    pub policies: Vec<(String, Name, Policy, bool)>,
    /// By virtual host.
    pub exchanges: Vec<(String, Name, ExchangeSpec)>,
    /// By virtual host.
    pub queues: Vec<(String, Name, QueueSpec)>,
    /// By virtual host.
    pub bindings: Vec<(String, Name, Binding)>,
    /// What is left out, for the log.
    pub skipped: Vec<String>,
    /// What is kept, and has no effect here, for the log.
    pub idle: Option<String>,
}

impl Definitions {
    /// Reads a file's text.
    ///
    /// # Errors
    /// The first place where it is not what it should be.
    pub fn parse(text: &[u8]) -> Result<Definitions, Fault> {
        let json = read_json(text)?;
        let root = Node { place: String::new(), json: &json };
        root.members()?;
        check_form(&root)?;
        Definitions::read(&root)
    }

    /// Reads the text of definitions for one virtual host: those that were exported of one, or of a whole broker. What is not
    /// in a virtual host (users, permissions, the parameters of the node) is left out.
    ///
    /// # Errors
    /// As [`Definitions::parse`].
    pub fn parse_for_vhost(text: &[u8], vhost: &Name) -> Result<Definitions, Fault> {
        let mut json = read_json(text)?;
        let Some(members) = json.as_object_mut() else {
            return Err(Fault { place: String::new(), problem: "an object is expected".to_owned() });
        };
        for elsewhere in ["users", "vhosts", "permissions", "topic_permissions", "global_parameters"] {
            members.remove(elsewhere);
        }
        for list in members.values_mut().filter_map(serde_json::Value::as_array_mut) {
            for object in list.iter_mut().filter_map(serde_json::Value::as_object_mut) {
                object.insert("vhost".to_owned(), vhost.as_str().into());
            }
        }
        let root = Node { place: String::new(), json: &json };
        let mut found = Definitions::read(&root)?;
        // The limits of a virtual host that is there already are set, nothing else of it.
        if let Some(limits) = root.get("limits") {
            found.limits.push((vhost.clone(), read_vhost_limits(&limits)?));
        }
        Ok(found)
    }

    fn read(root: &Node<'_>) -> Result<Definitions, Fault> {
        let (mut found, mut absent) = (Definitions::default(), Absent::default());
        let default_algorithm = default_algorithm(root);
        for user in root.list("users")? {
            found.users.push(read_user(&user, default_algorithm)?);
        }
        for vhost in root.list("vhosts")? {
            let read = read_vhost(&vhost)?;
            if let (name, VhostMetadata { default_queue_type: Some(kind), .. }, _) = &read {
                absent.default_type(name, kind);
            }
            found.vhosts.push(read);
        }
        for record in root.list("permissions")? {
            let [configure, write, read] = ["configure", "write", "read"].map(|key| record.need(key)?.pattern());
            let permissions = Permissions { configure: configure?, write: write?, read: read? };
            let (user, vhost) = (record.need("user")?.name()?, record.need("vhost")?.name()?);
            found.permissions.push((record.place, user, vhost, permissions));
        }
        for record in root.list("topic_permissions")? {
            found.topic_permissions.push(read_topic(&record)?);
        }
        found.read_parameters(root, &mut absent)?;
        for policy in root.list("policies")? {
            let (read, vhost) = (read_policy(&policy, &policy, false)?, vhost_of(&policy)?);
            absent.policy(&read, &policy.need("definition")?, &vhost);
            found.policies.push((policy.place.clone(), vhost, read, false));
        }
        for exchange in root.list("exchanges")? {
            found.read_exchange(&exchange, &mut absent)?;
        }
        for queue in root.list("queues")? {
            found.read_queue(&queue, &mut absent)?;
        }
        for binding in root.list("bindings")? {
            let read = read_binding(&binding)?;
            let vhost = vhost_of(&binding)?;
            // Every queue is bound to the default exchange anyway.
            if !read.source.as_str().is_empty() {
                found.bindings.push((binding.place, vhost, read));
            }
        }
        absent.check()?;
        found.idle = absent.idle();
        Ok(found)
    }

    fn read_parameters(&mut self, root: &Node<'_>, absent: &mut Absent) -> Result<(), Fault> {
        for parameter in root.list("parameters")? {
            let (vhost, component) = (vhost_of(&parameter)?, parameter.need("component")?.name()?);
            let (name, value) = (parameter.need("name")?, parameter.need("value")?);
            match component.as_str() {
                OPERATOR_POLICY => {
                    let policy = read_policy(&parameter, &value, true)?;
                    self.policies.push((parameter.place.clone(), vhost, policy, true));
                }
                VHOST_LIMITS => {
                    let limits = read_vhost_limits(&value)?;
                    self.limits.push((vhost, limits));
                }
                _ => {
                    let (name, value) = (name.name()?, value.to_value(0)?);
                    absent.parameter(&component, &name, &vhost);
                    let parameter_ = Parameter { vhost: Some(vhost), component, name, value };
                    self.parameters.push((parameter.place, parameter_));
                }
            }
        }
        for parameter in root.list("global_parameters")? {
            let (name, value) = (parameter.need("name")?.name()?, parameter.need("value")?.to_value(0)?);
            // Another node's note of what it has imported is none of this one's.
            if name.as_str() != HASH_PARAMETER {
                let global = Parameter { vhost: None, component: Name::default(), name, value };
                self.parameters.push((parameter.place, global));
            }
        }
        Ok(())
    }

    fn read_exchange(&mut self, exchange: &Node<'_>, absent: &mut Absent) -> Result<(), Fault> {
        let (name, vhost) = (exchange.need("name")?.name()?, vhost_of(exchange)?);
        if self.skips("exchange", &name, &vhost) {
            return Ok(());
        }
        let kind = exchange.need("type")?;
        let kind = kind.text()?;
        let Ok(kind) = ExchangeKind::parse(kind) else {
            absent.exchange(&name, &vhost, kind);
            return Ok(());
        };
        let spec = ExchangeSpec {
            name,
            kind,
            durable: exchange.flag("durable", true)?,
            auto_delete: exchange.flag("auto_delete", false)?,
            internal: exchange.flag("internal", false)?,
            arguments: exchange.table("arguments")?,
        };
        self.exchanges.push((exchange.place.clone(), vhost, spec));
        Ok(())
    }

    fn read_queue(&mut self, queue: &Node<'_>, absent: &mut Absent) -> Result<(), Fault> {
        let (name, vhost) = (queue.need("name")?.name()?, vhost_of(queue)?);
        if self.skips("queue", &name, &vhost) {
            return Ok(());
        }
        let mut arguments = queue.table("arguments")?;
        // Some versions name the type beside the arguments only.
        if let Some(kind) = queue.get("type")
            && arguments.get("x-queue-type").is_none()
            && let Some(kind) = type_named(kind.text()?)
        {
            arguments.insert("x-queue-type", kind);
        }
        if absent.queue(&name, &vhost, &arguments) {
            return Ok(());
        }
        let spec = QueueSpec {
            name: Some(name),
            durable: queue.flag("durable", true)?,
            exclusive: false,
            auto_delete: queue.flag("auto_delete", false)?,
            arguments,
        };
        self.queues.push((queue.place.clone(), vhost, spec));
        Ok(())
    }

    fn skips(&mut self, kind: &str, name: &Name, vhost: &Name) -> bool {
        let skips = name.as_str().is_empty() || name.as_str().starts_with(RESERVED_PREFIX);
        if skips {
            self.skipped.push(format!("{kind} '{name}' in vhost '{vhost}'"));
        }
        skips
    }
}

fn read_json(text: &[u8]) -> Result<serde_json::Value, Fault> {
    // Windows' tools write a mark of the byte order in front.
    let json = serde_json::from_slice(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text));
    json.map_err(|fault| Fault { place: String::new(), problem: format!("no JSON: {fault}") })
}

/// Refuses what was exported of one virtual host: it does not say which one it is for.
fn check_form(root: &Node<'_>) -> Result<(), Fault> {
    let form = root.get("rabbitmq_definition_format").map(|form| form.text()).transpose()?;
    if form.is_some_and(|form| form != "cluster") || root.get("original_vhost_name").is_some() {
        let problem = "invalid_definitions_file: these are the definitions of one virtual host; only those of a whole broker can be imported here";
        return Err(root.fault(problem));
    }
    Ok(())
}

/// The hashing of users that name none: MD5 in files of RabbitMQ up to 3.5.
fn default_algorithm(root: &Node<'_>) -> HashAlgorithm {
    let version = root.get("rabbitmq_version").or_else(|| root.get("rabbit_version"));
    let version = version.as_ref().and_then(|version| version.json.as_str()).unwrap_or_default();
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(u32::MAX));
    match (parts.next(), parts.next()) {
        (Some(3), Some(minor)) if minor <= 5 => HashAlgorithm::Md5,
        _ => HashAlgorithm::default(),
    }
}

fn vhost_of(node: &Node<'_>) -> Result<Name, Fault> {
    node.need("vhost")?.name()
}

fn read_user(user: &Node<'_>, default_algorithm: HashAlgorithm) -> Result<(User, Option<String>), Fault> {
    let mut algorithm = default_algorithm;
    if let Some(given) = user.get("hashing_algorithm") {
        algorithm = HashAlgorithm::parse(given.text()?).ok_or_else(|| given.fault("unknown hashing algorithm"))?;
    }
    let mut salted = Vec::new();
    if let Some(hash) = user.get("password_hash") {
        salted = STANDARD.decode(hash.text()?).map_err(|_| hash.fault("no base64"))?;
    }
    let mut limits = UserLimits::default();
    if let Some(given) = user.get("limits") {
        for (key, limit) in limit_entries(&given)? {
            match key.as_str() {
                "max-connections" => limits.max_connections = limit.limit()?,
                "max-channels" => limits.max_channels = limit.limit()?,
                _ => return Err(limit.fault(format!("unknown limit '{key}'"))),
            }
        }
    }
    let tags = user.get("tags").map_or(Ok(Vec::new()), |tags| tags.names())?;
    let password = match user.get("password") {
        Some(password) if salted.is_empty() => Some(password.text()?.to_owned()),
        _ => None,
    };
    let hash = PasswordHash { algorithm, salted };
    Ok((User { name: user.need("name")?.name()?, password: hash, tags, limits }, password))
}

fn read_vhost(vhost: &Node<'_>) -> Result<(Name, VhostMetadata, Option<VhostLimits>), Fault> {
    // Older versions have at the top what newer ones have in `metadata`.
    let metadata = vhost.get("metadata");
    let get = |key: &str| metadata.as_ref().and_then(|inside| inside.get(key)).or_else(|| vhost.get(key));
    let flag = |key: &str| match get(key) {
        Some(flag) => flag.json.as_bool().ok_or_else(|| flag.fault("true or false is expected")),
        None => Ok(false),
    };
    let queue_type = get("default_queue_type").map(|kind| kind.text()).transpose()?;
    let read = VhostMetadata {
        description: get("description").map_or(Ok(""), |text| text.text())?.to_owned(),
        tags: get("tags").map_or(Ok(Vec::new()), |tags| tags.names())?,
        default_queue_type: queue_type.and_then(type_named).and_then(Name::new),
        protected_from_deletion: flag("protected_from_deletion")?,
        tracing: flag("tracing")?,
    };
    let limits = vhost.get("limits").map(|limits| read_vhost_limits(&limits)).transpose()?;
    Ok((vhost.need("name")?.name()?, read, limits))
}

/// A queue type by the name it has in arguments: some versions tell that of its module. None: no type is said.
fn type_named(told: &str) -> Option<&str> {
    match told {
        "" | "undefined" => None,
        "rabbit_classic_queue" => Some("classic"),
        "rabbit_quorum_queue" => Some("quorum"),
        "rabbit_stream_queue" => Some("stream"),
        other => Some(other),
    }
}

fn read_vhost_limits(given: &Node<'_>) -> Result<VhostLimits, Fault> {
    let mut limits = VhostLimits::default();
    for (key, limit) in limit_entries(given)? {
        match key.as_str() {
            "max-connections" => limits.max_connections = limit.limit()?,
            "max-queues" => limits.max_queues = limit.limit()?,
            _ => return Err(limit.fault(format!("unknown limit '{key}'"))),
        }
    }
    Ok(limits)
}

/// Limits as an object, or as a list of objects with `name` and `value`.
fn limit_entries<'j>(given: &Node<'j>) -> Result<Vec<(String, Node<'j>)>, Fault> {
    if given.json.is_object() {
        return Ok(given.members()?.into_iter().map(|(key, limit)| (key.to_owned(), limit)).collect());
    }
    let entries = given.elements()?.into_iter();
    entries.map(|entry| Ok((entry.need("name")?.text()?.to_owned(), entry.need("value")?))).collect()
}

fn read_topic(record: &Node<'_>) -> Result<(String, Name, Name, Name, [String; 2]), Fault> {
    let (user, vhost) = (record.need("user")?.name()?, record.need("vhost")?.name()?);
    let (write, read) = (record.need("write")?.text()?, record.need("read")?.text()?);
    let checked = TopicPermissions::checked(write, read, &user, &vhost);
    checked.map_err(|(pattern, fault)| record.fault(format!("no regular expression: '{pattern}': {fault}")))?;
    let exchange = record.need("exchange")?.name()?;
    Ok((record.place.clone(), user, vhost, exchange, [write.to_owned(), read.to_owned()]))
}

/// `fields`: where pattern, priority and the rest are: in the policy itself, or in the value of a parameter.
fn read_policy(policy: &Node<'_>, fields: &Node<'_>, operator: bool) -> Result<Policy, Fault> {
    let name = policy.need("name")?.name()?;
    let pattern = fields.need("pattern")?.text()?;
    let apply_to = match fields.get("apply-to") {
        Some(kind) => ApplyTo::parse(kind.text()?).ok_or_else(|| kind.fault("not what a policy can apply to"))?,
        None => ApplyTo::All,
    };
    let priority = fields.get("priority").map_or(Ok(0), |priority| priority.integer())?;
    let made = Policy::new(name, pattern, apply_to, fields.table("definition")?, priority, operator);
    made.map_err(|problem| fields.fault(problem))
}

fn read_binding(binding: &Node<'_>) -> Result<Binding, Fault> {
    let destination = binding.need("destination")?.name()?;
    let kind = binding.need("destination_type")?;
    let destination = match kind.text()? {
        "queue" => Destination::Queue(destination),
        "exchange" => Destination::Exchange(destination),
        _ => return Err(kind.fault("'queue' or 'exchange' is expected")),
    };
    Ok(Binding {
        source: binding.need("source")?.name()?,
        destination,
        routing_key: binding.get("routing_key").map_or(Ok(Name::default()), |key| key.name())?,
        arguments: binding.table("arguments")?,
    })
}

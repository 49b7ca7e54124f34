//! What is listed: for each `list_…` command the columns that are printed when none are named, and where they are in the
//! management API's objects.

use super::api::encoded;
use super::line::Line;
use serde_json::{Map, Value};

/// A list.
pub(super) struct List {
    pub command: &'static str,
    /// Below `/api/`; `{vhost}` is the virtual host of the command, `{0}` its first argument.
    path: &'static str,
    /// What is said before.
    pub banner: &'static str,
    /// Columns that are printed when none are named.
    pub defaults: &'static [&'static str],
    /// Other columns that there are. Empty: arguments are no columns.
    pub others: &'static [&'static str],
    /// Arguments before the columns.
    pub arguments: usize,
}

/// A virtual host or a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place<'a> {
    Vhost(&'a str),
    User(&'a str),
}

const fn list(
    command: &'static str,
    path: &'static str,
    banner: &'static str,
    defaults: &'static [&'static str],
) -> List {
    List { command, path, banner, defaults, others: &[], arguments: 0 }
}

/// All lists.
pub(super) const LISTS: &[List] = &[
    List {
        others: &[
            "durable",
            "auto_delete",
            "arguments",
            "policy",
            "operator_policy",
            "effective_policy_definition",
            "pid",
            "owner_pid",
            "exclusive",
            "exclusive_consumer_pid",
            "exclusive_consumer_tag",
            "messages_ready",
            "messages_unacknowledged",
            "messages_ready_ram",
            "messages_unacknowledged_ram",
            "messages_ram",
            "messages_persistent",
            "message_bytes",
            "message_bytes_ready",
            "message_bytes_unacknowledged",
            "message_bytes_ram",
            "message_bytes_persistent",
            "head_message_timestamp",
            "disk_reads",
            "disk_writes",
            "consumers",
            "consumer_utilisation",
            "consumer_capacity",
            "memory",
            "state",
            "type",
            "leader",
            "members",
            "online",
            "vhost",
            "slave_pids",
            "synchronised_slave_pids",
            "single_active_consumer_tag",
        ],
        ..list("list_queues", "queues/{vhost}", "Listing queues for vhost {vhost} ...", &["name", "messages"])
    },
    List {
        others: &["durable", "auto_delete", "internal", "arguments", "policy", "vhost", "user_who_performed_action"],
        ..list("list_exchanges", "exchanges/{vhost}", "Listing exchanges for vhost {vhost} ...", &["name", "type"])
    },
    List {
        others: &["vhost"],
        ..list(
            "list_bindings",
            "bindings/{vhost}",
            "Listing bindings for vhost {vhost}...",
            &["source_name", "source_kind", "destination_name", "destination_kind", "routing_key", "arguments"],
        )
    },
    List {
        others: &[
            "pid",
            "name",
            "port",
            "host",
            "ssl",
            "ssl_protocol",
            "ssl_key_exchange",
            "ssl_cipher",
            "ssl_hash",
            "peer_cert_subject",
            "peer_cert_issuer",
            "peer_cert_validity",
            "channels",
            "protocol",
            "auth_mechanism",
            "vhost",
            "timeout",
            "frame_max",
            "channel_max",
            "client_properties",
            "recv_oct",
            "recv_cnt",
            "send_oct",
            "send_cnt",
            "send_pend",
            "connected_at",
            "container_id",
            "user_provided_name",
            "node",
            "type",
        ],
        ..list(
            "list_connections",
            "connections",
            "Listing connections ...",
            &["user", "peer_host", "peer_port", "state"],
        )
    },
    List {
        others: &[
            "connection",
            "name",
            "number",
            "vhost",
            "transactional",
            "confirm",
            "messages_uncommitted",
            "acks_uncommitted",
            "messages_unconfirmed",
            "prefetch_count",
            "global_prefetch_count",
            "state",
        ],
        ..list(
            "list_channels",
            "channels",
            "Listing channels ...",
            &["pid", "user", "consumer_count", "messages_unacknowledged"],
        )
    },
    List {
        others: &["vhost", "activity_status", "exclusive", "consumer_timeout"],
        ..list(
            "list_consumers",
            "consumers/{vhost}",
            "Listing consumers in vhost {vhost} ...",
            &["queue_name", "channel_pid", "consumer_tag", "ack_required", "prefetch_count", "active", "arguments"],
        )
    },
    List {
        others: &[
            "tracing",
            "description",
            "tags",
            "default_queue_type",
            "cluster_state",
            "metadata",
            "protected_from_deletion",
        ],
        ..list("list_vhosts", "vhosts", "Listing vhosts ...", &["name"])
    },
    list("list_users", "users", "Listing users ...", &["user", "tags"]),
    list(
        "list_permissions",
        "vhosts/{vhost}/permissions",
        "Listing permissions for vhost \"{vhost}\" ...",
        &["user", "configure", "write", "read"],
    ),
    List {
        arguments: 1,
        ..list(
            "list_user_permissions",
            "users/{0}/permissions",
            "Listing permissions for user \"{0}\" ...",
            &["vhost", "configure", "write", "read"],
        )
    },
    list(
        "list_topic_permissions",
        "vhosts/{vhost}/topic-permissions",
        "Listing topic permissions for vhost \"{vhost}\" ...",
        &["user", "exchange", "write", "read"],
    ),
    List {
        arguments: 1,
        ..list(
            "list_user_topic_permissions",
            "users/{0}/topic-permissions",
            "Listing topic permissions for user \"{0}\" ...",
            &["vhost", "exchange", "write", "read"],
        )
    },
    list(
        "list_policies",
        "policies/{vhost}",
        "Listing policies for vhost \"{vhost}\" ...",
        &["vhost", "name", "pattern", "apply-to", "definition", "priority"],
    ),
    list(
        "list_operator_policies",
        "operator-policies/{vhost}",
        "Listing operator policy overrides for vhost \"{vhost}\" ...",
        &["vhost", "name", "pattern", "apply-to", "definition", "priority"],
    ),
    list(
        "list_parameters",
        "parameters",
        "Listing runtime parameters for vhost \"{vhost}\" ...",
        &["component", "name", "value"],
    ),
    list("list_global_parameters", "global-parameters", "Listing global runtime parameters ...", &["name", "value"]),
    List {
        others: &["stability", "provided_by", "desc"],
        ..list("list_feature_flags", "feature-flags", "Listing feature flags ...", &["name", "state"])
    },
    list(
        "list_deprecated_features",
        "deprecated-features",
        "Listing deprecated features ...",
        &["name", "deprecation_phase", "provided_by", "desc"],
    ),
    list("list_vhost_limits", "vhost-limits", "Listing limits for vhost \"{vhost}\" ...", &["vhost", "limits"]),
    list("list_user_limits", "user-limits", "Listing limits for all users ...", &["user", "limits"]),
];

impl List {
    /// The list of a command.
    pub fn of(command: &str) -> Option<&'static List> {
        LISTS.iter().find(|list| list.command == command)
    }

    /// The columns that are asked for, or which arguments are none.
    pub fn columns<'a>(&'a self, line: &'a Line) -> Result<Vec<&'a str>, String> {
        let named: Vec<&str> = line.arguments.iter().skip(self.arguments).flat_map(|word| word.split(',')).collect();
        if named.is_empty() {
            return Ok(self.defaults.to_vec());
        }
        let known = |name: &&str| self.defaults.contains(name) || self.others.contains(name);
        let unknown: Vec<&str> = named.iter().copied().filter(|name| self.others.is_empty() || !known(name)).collect();
        if unknown.is_empty() { Ok(named) } else { Err(unknown.join(",")) }
    }

    /// Where it is.
    pub fn path(&self, line: &Line) -> String {
        self.path.replace("{vhost}", &encoded(line.vhost())).replace("{0}", &encoded(line.argument(0)))
    }

    /// What is asked for beside the path: of very many queues only what is printed.
    pub fn query(&self, columns: &[&str]) -> String {
        if self.command != "list_queues" {
            return String::new();
        }
        let members: Vec<&str> = columns.iter().map(|column| member_of_queue(column)).collect();
        format!("?columns={}", members.join(","))
    }

    /// What is said before.
    pub fn banner(&self, line: &Line) -> String {
        match (self.command, line.has("global")) {
            ("list_vhost_limits", true) => return "Listing limits for all vhosts ...".to_owned(),
            ("list_user_limits", false) => return format!("Listing limits for user \"{}\" ...", user(line)),
            _ => {}
        }
        self.banner.replace("{vhost}", line.vhost()).replace("{0}", line.argument(0))
    }

    /// What has to be there for the rows that are picked out of all.
    pub fn place<'a>(&self, line: &'a Line) -> Option<Place<'a>> {
        match self.command {
            "list_parameters" => Some(Place::Vhost(line.vhost())),
            "list_vhost_limits" if !line.has("global") => Some(Place::Vhost(line.vhost())),
            "list_user_limits" => line.option("user").filter(|_| !line.has("global")).map(Place::User),
            _ => None,
        }
    }

    /// Whether what is asked for is no list, but the limits of one virtual host or user.
    pub fn is_of_one(&self, line: &Line) -> bool {
        ["list_vhost_limits", "list_user_limits"].contains(&self.command) && !line.has("global")
    }

    /// The rows in an answer.
    pub fn rows(&self, line: &Line, answer: &Value) -> Vec<Map<String, Value>> {
        let rows = answer.as_array().map(Vec::as_slice).unwrap_or_default();
        let rows = rows.iter().filter_map(Value::as_object).filter(|row| self.concerns(line, row));
        rows.map(|row| self.row(row)).collect()
    }

    /// Whether a row is of what the command is about, where the answer has more than that.
    fn concerns(&self, line: &Line, row: &Map<String, Value>) -> bool {
        let is = |member: &str, name: &str| row.get(member).and_then(Value::as_str) == Some(name);
        match self.command {
            "list_parameters" => is("vhost", line.vhost()),
            "list_vhost_limits" => line.has("global") || is("vhost", line.vhost()),
            "list_user_limits" => line.has("global") || is("user", user(line)),
            _ => true,
        }
    }

    /// An object with the names that the command line has for its members.
    fn row(&self, row: &Map<String, Value>) -> Map<String, Value> {
        let mut out = row.clone();
        let mut name = |to: &str, from: &[&str]| {
            let found = from.iter().try_fold(None::<&Value>, |at, key| {
                let next = at.map_or_else(|| row.get(*key), |value| value.get(*key));
                next.map(Some)
            });
            if let Some(Some(value)) = found {
                out.insert(to.to_owned(), value.clone());
            }
        };
        match self.command {
            "list_users" => name("user", &["name"]),
            "list_vhost_limits" | "list_user_limits" => {
                let limits = row.get("value").map(Value::to_string).unwrap_or_default();
                out.insert("limits".to_owned(), limits.into());
            }
            // Definitions are printed as JSON, whatever the rest is printed as.
            "list_policies" | "list_operator_policies" => {
                let definition = row.get("definition").map(Value::to_string).unwrap_or_default();
                out.insert("definition".to_owned(), definition.into());
            }
            "list_bindings" => {
                name("source_name", &["source"]);
                name("destination_name", &["destination"]);
                name("destination_kind", &["destination_type"]);
                out.insert("source_kind".to_owned(), "exchange".into());
            }
            // What close_connection takes.
            "list_connections" => name("pid", &["name"]),
            "list_channels" => {
                name("pid", &["name"]);
                name("connection", &["connection_details", "name"]);
            }
            "list_consumers" => {
                name("queue_name", &["queue", "name"]);
                name("channel_pid", &["channel_details", "name"]);
            }
            "list_queues" => {
                name("pid", &["node"]);
                // What close_connection takes.
                name("owner_pid", &["owner_pid_details", "name"]);
            }
            _ => {}
        }
        out
    }
}

/// Whose limits are asked for, where no user is named: RabbitMQ's choice.
fn user(line: &Line) -> &str {
    line.option("user").unwrap_or("guest")
}

/// The API's member that a column of `list_queues` is made of.
fn member_of_queue(column: &str) -> &str {
    match column {
        "pid" => "node",
        "owner_pid" => "owner_pid_details",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn line(text: &str) -> Line {
        super::super::line::read(&text.split(' ').map(str::to_owned).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn columns_are_named_by_words_or_commas() {
        let queues = List::of("list_queues").unwrap();
        assert_eq!(queues.columns(&line("list_queues")), Ok(vec!["name", "messages"]));
        assert_eq!(queues.columns(&line("list_queues name,consumers state")), Ok(vec!["name", "consumers", "state"]));
        assert_eq!(queues.columns(&line("list_queues name oddity")), Err("oddity".to_owned()));
        assert_eq!(List::of("list_users").unwrap().columns(&line("list_users name")), Err("name".to_owned()));
        let of_user = List::of("list_user_permissions").unwrap();
        assert_eq!(of_user.columns(&line("list_user_permissions bob")).unwrap().len(), 4);
        assert_eq!(of_user.path(&line("list_user_permissions b/b")), "users/b%2Fb/permissions");
        assert_eq!(queues.path(&line("list_queues -p a/b")), "queues/a%2Fb");
    }

    #[test]
    fn members_have_the_command_lines_names() {
        let rows = |command: &str, answer: Value| List::of(command).unwrap().rows(&line(command), &answer);
        assert_eq!(rows("list_users", json!([{"name": "u", "tags": ["t"]}]))[0]["user"], "u");
        let consumers = rows("list_consumers", json!([{"queue": {"name": "q"}, "channel_details": {"name": "c"}}]));
        assert_eq!((&consumers[0]["queue_name"], &consumers[0]["channel_pid"]), (&json!("q"), &json!("c")));
        let bindings = rows("list_bindings", json!([{"source": "", "destination": "q", "destination_type": "queue"}]));
        assert_eq!((&bindings[0]["source_kind"], &bindings[0]["destination_name"]), (&json!("exchange"), &json!("q")));
        assert_eq!(rows("list_connections", json!([{"name": "a:1 -> b:2"}]))[0]["pid"], "a:1 -> b:2");
        let owned = rows("list_queues", json!([{"owner_pid_details": {"name": "a:1 -> b:2"}}]));
        assert_eq!(owned[0]["owner_pid"], "a:1 -> b:2");
        assert_eq!(List::of("list_queues").unwrap().query(&["name", "owner_pid"]), "?columns=name,owner_pid_details");
        let limits = json!([{"vhost": "/", "value": {"max-queues": 1}}, {"vhost": "v", "value": {}}]);
        let own = rows("list_vhost_limits", limits);
        assert_eq!((own.len(), &own[0]["limits"]), (1, &json!("{\"max-queues\":1}")));
        let parameters = json!([{"vhost": "/", "name": "a"}, {"vhost": "v", "name": "b"}]);
        assert_eq!(rows("list_parameters", parameters).len(), 1);
    }
}

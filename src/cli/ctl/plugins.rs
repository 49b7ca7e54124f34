//! `rabbitmq-plugins`: scripts enable what they need, and it is there already.

use super::Failure;
use super::line::Line;

/// Its commands.
pub(super) const COMMANDS: &[&str] = &["list", "enable", "disable", "set", "is_enabled", "directories"];

/// Plugins of RabbitMQ's whose work this broker does by itself.
const BUILT_IN: &[&str] = &[
    "rabbitmq_auth_backend_cache",
    "rabbitmq_auth_backend_http",
    "rabbitmq_auth_backend_oauth2",
    "rabbitmq_auth_mechanism_ssl",
    "rabbitmq_consistent_hash_exchange",
    "rabbitmq_delayed_message_exchange",
    "rabbitmq_event_exchange",
    "rabbitmq_jms_topic_exchange",
    "rabbitmq_management",
    "rabbitmq_management_agent",
    "rabbitmq_message_deduplication",
    "rabbitmq_prometheus",
    "rabbitmq_random_exchange",
    "rabbitmq_recent_history_exchange",
    "rabbitmq_sharding",
    "rabbitmq_tracing",
];

/// Runs a command.
pub(super) fn run(line: &Line) -> Result<String, Failure> {
    let say = |text: String| if line.quiet || line.silent { String::new() } else { text };
    let missing: Vec<&str> =
        line.arguments.iter().map(String::as_str).filter(|name| !BUILT_IN.contains(name)).collect();
    match line.command.as_str() {
        "list" => {
            let pattern = line.arguments.first().map_or("", String::as_str);
            let found = BUILT_IN.iter().filter(|name| name.contains(pattern));
            let row = |name: &&str| {
                if line.has("minimal") {
                    format!("{name}\n")
                } else {
                    format!("[E*] {name} {}\n", env!("CARGO_PKG_VERSION"))
                }
            };
            Ok(found.map(row).collect())
        }
        // What is not there is told, and no reason to end a script that only prepares.
        "enable" | "set" if missing.is_empty() => Ok(say(format!("{} enabled: built in\n", line.arguments.join(", ")))),
        "enable" | "set" => Ok(say(format!("not built in, ignored: {}\n", missing.join(", ")))),
        "disable" => Ok(say(format!("built in, stays: {}\n", line.arguments.join(", ")))),
        "is_enabled" if missing.is_empty() => Ok(say(format!("Plugin {} is enabled\n", line.arguments.join(", ")))),
        "is_enabled" => {
            Err(Failure { status: super::UNAVAILABLE, text: format!("not built in: {}", missing.join(", ")) })
        }
        "directories" => Ok("There are no plugins in files: all are built in\n".to_owned()),
        other => Err(Failure::usage(&format!("Command '{other}' not found. "))),
    }
}

//! `rabbitmq-plugins`: scripts enable what they need, and it is there already.

use super::line::Line;
use super::outcome::{Failure, UNAVAILABLE};
use crate::broker::access::Pattern;
use crate::version::PLUGINS;
use serde_json::json;

/// Its commands.
pub(super) const COMMANDS: &[&str] = &["list", "enable", "disable", "set", "is_enabled", "directories"];

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Runs a command.
pub(super) fn run(line: &Line) -> Result<String, Failure> {
    let banner = |text: String| if line.is_quiet() { String::new() } else { text + "\n" };
    let missing: Vec<&str> = line.arguments.iter().map(String::as_str).filter(|name| !PLUGINS.contains(name)).collect();
    let named = line.arguments.join(", ");
    if ["enable", "disable", "is_enabled"].contains(&line.command.as_str()) && named.is_empty() && !line.has("all") {
        return Err(Failure::usage("not enough arguments."));
    }
    match line.command.as_str() {
        "list" => list(line, banner),
        // What is not there is told, and no reason to end a script that only prepares.
        "enable" | "set" if missing.is_empty() => Ok(banner(format!("{named} enabled: built in"))),
        "enable" | "set" => Ok(banner(format!("not built in, ignored: {}", missing.join(", ")))),
        "disable" => Ok(banner(format!("built in, stays: {named}"))),
        "is_enabled" if missing.is_empty() && line.arguments.len() > 1 => Ok(format!("Plugins {named} are enabled\n")),
        "is_enabled" if missing.is_empty() => Ok(format!("Plugin {named} is enabled\n")),
        "is_enabled" => Err(Failure::new(UNAVAILABLE, format!("not built in: {}", missing.join(", ")))),
        "directories" => Ok("There are no plugins in files: all are built in\n".to_owned()),
        other => Err(Failure::usage(super::unknown("rabbitmq-plugins", other))),
    }
}

fn list(line: &Line, banner: impl Fn(String) -> String) -> Result<String, Failure> {
    let given = line.arguments.first().map_or(".*", String::as_str);
    let pattern = Pattern::checked(given).map_err(|fault| Failure::argument(&format!("{given}: {fault}")))?;
    // An empty pattern matches every name, not only the empty one.
    let found: Vec<&str> = PLUGINS.iter().copied().filter(|name| given.is_empty() || pattern.matches(name)).collect();
    if line.format.is_json() {
        let plugin = |name: &&str| json!({"name": name, "enabled": "enabled", "running": true, "version": VERSION, "running_version": VERSION});
        let plugins: Vec<_> = found.iter().map(plugin).collect();
        let format = if line.has("minimal") { "minimal" } else { "normal" };
        return Ok(format!("{}\n", json!({"format": format, "plugins": plugins})));
    }
    let head = banner(format!("Listing plugins with pattern \"{given}\" ..."));
    if line.has("minimal") {
        return Ok(head + &found.iter().map(|name| format!("{name}\n")).collect::<String>());
    }
    let legend = " Configured: E = explicitly enabled; e = implicitly enabled\n | Status: * = running\n |/";
    let width = found.iter().map(|name| name.len()).max().unwrap_or(0);
    let rows: String = found.iter().map(|name| format!("[E*] {name:width$} {VERSION}\n")).collect();
    Ok(head + &banner(legend.to_owned()) + &rows)
}

//! The same program under the names of RabbitMQ's tools: `rabbitmqctl`, `rabbitmq-diagnostics`, `rabbitmq-queues`,
//! `rabbitmq-streams`, `rabbitmq-upgrade`, `rabbitmq-plugins`; `warren ctl` is the first. Their daily commands, options, formatters and exit codes (compat.md 4), by way of the
//! running node's management API.

pub(super) mod api;
mod changes;
mod checks;
mod closing;
mod line;
mod lists;
mod node;
mod outcome;
mod plugins;
mod refused;
mod status;
mod table;
#[cfg(test)]
mod tests;

use crate::config::nearest;
use crate::version::RABBITMQ_VERSION;
use api::Api;
use line::Line;
use lists::{List, Place};
use outcome::{Failure, SOFTWARE, Said, USAGE, must};
use serde_json::json;
use std::path::PathBuf;

/// Names under which the program is one of RabbitMQ's tools.
const TOOLS: &[&str] = &[
    "rabbitmqctl",
    "rabbitmq-diagnostics",
    "rabbitmq-queues",
    "rabbitmq-streams",
    "rabbitmq-upgrade",
    "rabbitmq-plugins",
];

/// The socket's name in the data directory.
pub(super) const SOCKET: &str = "control.sock";

/// Where the node's socket is looked for when no variable names it.
const SOCKETS: &[&str] = &["/var/lib/warren/control.sock", "data/control.sock"];

/// The tool that a program's name stands for.
pub(super) fn tool(program: &str) -> Option<&'static str> {
    let name = program.rsplit('/').next().unwrap_or(program);
    TOOLS.iter().find(|tool| **tool == name).copied()
}

/// What to print and to exit with.
pub(super) fn run(tool: &'static str, words: &[String], environment: &[(String, String)]) -> super::Stop {
    let line = match line::read(words) {
        Ok(line) => line,
        // Whoever asks for what is not there learns that first, whatever options it has.
        Err(fault) => match refused::named(words) {
            Some(command) => Line::bare(command),
            None => return stop(USAGE, Failure::usage(fault).print(&Line::default())),
        },
    };
    if line.has("version") {
        return stop(0, format!("{}\n", env!("CARGO_PKG_VERSION")));
    }
    // Scripts learn by it what the tools can do.
    if line.command == "version" {
        let facts = json!({"result": "ok", "value": {"version": RABBITMQ_VERSION}});
        return stop(0, Said::default().found(RABBITMQ_VERSION).facts(facts).print(&line, ""));
    }
    if line.help || line.command == "help" || line.command.is_empty() {
        let status = if line.command.is_empty() && !line.help { USAGE } else { 0 };
        return stop(status, usage(tool));
    }
    let told = if tool == "rabbitmq-plugins" { plugins::run(&line) } else { dispatch(tool, &line, environment) };
    match told {
        Ok(text) => stop(0, text),
        Err(failure) => stop(failure.status, failure.print(&line)),
    }
}

fn stop(status: u8, text: String) -> super::Stop {
    super::Stop { status, text }
}

fn usage(tool: &str) -> String {
    let mut commands = known(tool);
    commands.sort_unstable();
    let options = "[--node <node>] [--timeout <seconds>] [--formatter table|json|json_stream|csv|pretty_table] [--quiet] \
                   [--silent] [--dry-run]";
    let mut not_here: Vec<&str> = Vec::new();
    if tool != "rabbitmq-plugins" {
        not_here.extend(refused::COMMANDS.iter().map(|(name, _)| *name));
    }
    let not_here =
        if not_here.is_empty() { String::new() } else { format!("\nNot supported\n\n   {}\n", not_here.join("\n   ")) };
    let commands = commands.join("\n   ");
    format!("Usage\n\n{tool} {options} <command> [<arguments>]\n\nCommands\n\n   {commands}\n{not_here}")
}

/// All commands that a tool carries out.
fn known(tool: &str) -> Vec<&'static str> {
    if tool == "rabbitmq-plugins" {
        return plugins::COMMANDS.to_vec();
    }
    let commands = commands().map(|(name, ..)| *name);
    commands.chain(lists::LISTS.iter().map(|list| list.command)).collect()
}

/// All commands but lists.
fn commands() -> impl Iterator<Item = &'static changes::Command> {
    let looks = checks::COMMANDS.iter().chain(status::COMMANDS);
    changes::COMMANDS.iter().chain(looks).chain(closing::COMMANDS).chain(node::COMMANDS)
}

/// Nobody knows the command.
fn unknown(tool: &str, command: &str) -> String {
    let known = known(tool).into_iter().map(str::to_owned);
    let meant = nearest(command, known, 3).map(|name| format!("\nDid you mean '{name}'? ")).unwrap_or_default();
    format!("Command '{command}' not found. {meant}")
}

fn dispatch(tool: &str, line: &Line, environment: &[(String, String)]) -> Result<String, Failure> {
    let api = Api { socket: socket(environment), timeout: line.timeout };
    let list = List::of(&line.command);
    let command = commands().find(|(name, ..)| *name == line.command);
    if list.is_none() && command.is_none() {
        return Err(match refused::why(&line.command) {
            Some(why) => Failure::new(SOFTWARE, format!("this command is not supported: {why}")),
            None => Failure::usage(unknown(tool, &line.command)),
        });
    }
    node::check_named(&api, line)?;
    if let Some(list) = list {
        return print_list(&api, line, list);
    }
    let Some((_, arguments, run)) = command else { return Ok(String::new()) };
    if !arguments.contains(&line.arguments.len()) {
        let fault = if line.arguments.len() < *arguments.start() { "not enough" } else { "too many" };
        return Err(Failure::usage(format!("{fault} arguments.")));
    }
    if line.has("dry-run") {
        return Ok(String::new());
    }
    let said = run(&api, line)?;
    let node = if line.format.is_json() { node::name(&api).unwrap_or_default() } else { String::new() };
    Ok(said.print(line, &node))
}

fn print_list(api: &Api, line: &Line, list: &List) -> Result<String, Failure> {
    let unknown = |names: String| Failure::usage(format!("Info key(s) {names} are not supported"));
    if line.arguments.len() < list.arguments {
        return Err(Failure::usage("not enough arguments."));
    }
    let columns = list.columns(line).map_err(unknown)?;
    let banner = if line.is_quiet() { String::new() } else { list.banner(line) + "\n" };
    if line.has("dry-run") {
        return Ok(banner);
    }
    let missing = if list.arguments > 0 { changes::no_user(line.argument(0)) } else { changes::no_vhost(line.vhost()) };
    // Where all are asked for, nothing says that there is no such place.
    match list.place(line) {
        Some(Place::Vhost(vhost)) => drop(changes::check_vhost(api, vhost)?),
        Some(Place::User(user)) => drop(changes::check_user(api, user)?),
        None => {}
    }
    let asked = list.path(line) + &list.query(&columns);
    let rows = list.rows(line, &must(api.get(&asked)?, missing)?);
    if list.is_of_one(line) {
        let limits = rows.first().and_then(|row| row.get("limits")).cloned().unwrap_or_else(|| "{}".into());
        let facts = json!({"result": "ok", "value": limits});
        return Ok(banner + &Said::default().found(limits).facts(facts).print(line, ""));
    }
    Ok(banner + &table::rows(line, &columns, &rows))
}

/// The node's socket.
pub(super) fn socket(environment: &[(String, String)]) -> PathBuf {
    let variable = |name: &str| environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    if let Some(path) = variable("WARREN_SOCKET").filter(|path| !path.is_empty()) {
        return path.into();
    }
    if let Some(dir) = variable("WARREN_DATA_DIR") {
        return PathBuf::from(dir).join(SOCKET);
    }
    let there = SOCKETS.iter().find(|path| std::path::Path::new(path).exists());
    there.or(SOCKETS.first()).map(PathBuf::from).unwrap_or_default()
}

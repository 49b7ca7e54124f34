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
mod plugins;
mod refused;
mod table;
#[cfg(test)]
mod tests;

use api::{Answer, Api, Silence};
use line::Line;
use lists::List;
use serde_json::Value;
use std::path::PathBuf;

/// Exit codes, of sysexits.h as RabbitMQ's tools use them.
const USAGE: u8 = 64;
const DATA: u8 = 65;
const NO_USER: u8 = 67;
const UNAVAILABLE: u8 = 69;
const SOFTWARE: u8 = 70;
const TEMPORARY: u8 = 75;

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

/// What a command says.
#[derive(Debug, Default, PartialEq)]
struct Said {
    /// What it is about to do: for people.
    before: String,
    /// What it has found.
    value: Value,
    /// What it has done: for people.
    after: String,
}

impl Said {
    fn doing(before: String) -> Said {
        Said { before, ..Said::default() }
    }
}

/// Why a command has failed.
#[derive(Clone, Debug, PartialEq)]
struct Failure {
    status: u8,
    text: String,
}

impl Failure {
    fn data(text: &str) -> Failure {
        Failure { status: DATA, text: text.to_owned() }
    }

    /// A command line that is wrong.
    fn usage(text: &str) -> Failure {
        Failure { status: USAGE, text: text.to_owned() }
    }

    /// The node has been stopped (`stop_app`).
    fn stopped() -> Failure {
        Failure::usage(
            "this command requires the 'rabbit' app to be running on the target node. Start it with 'rabbitmqctl start_app'.",
        )
    }
}

impl From<Silence> for Failure {
    fn from(silence: Silence) -> Failure {
        match silence {
            Silence::Late => Failure { status: TEMPORARY, text: "operation on node timed out".to_owned() },
            Silence::Down(reason) => Failure {
                status: UNAVAILABLE,
                text: format!("unable to perform an operation on the node: it does not run, or not here ({reason})"),
            },
        }
    }
}

type Told = Result<Said, Failure>;

/// An answer that is one; `missing` when there is nothing there.
fn must(answer: Answer, missing: Failure) -> Result<Value, Failure> {
    match answer {
        Answer::Done(value) => Ok(value),
        Answer::NotFound => Err(missing),
        Answer::Refused(400, reason) => Err(Failure::data(&reason)),
        Answer::Refused(503, reason) if is_stopped(&reason) => Err(Failure::stopped()),
        Answer::Refused(503, reason) => Err(Failure { status: UNAVAILABLE, text: reason }),
        Answer::Refused(_, reason) => Err(Failure { status: SOFTWARE, text: reason }),
    }
}

/// Whether a node refuses because it has been stopped.
fn is_stopped(reason: &str) -> bool {
    reason.contains("requires the 'rabbit' app")
}

/// It was done: nothing more to say than what.
fn done(_: Value, before: &str) -> Told {
    Ok(Said::doing(before.to_owned()))
}

/// The tool that a program's name stands for.
pub(super) fn tool(program: &str) -> Option<&'static str> {
    let name = program.rsplit('/').next().unwrap_or(program);
    TOOLS.iter().find(|tool| **tool == name).copied()
}

/// What to print and to exit with.
pub(super) fn run(tool: &'static str, words: &[String], environment: &[(String, String)]) -> super::Stop {
    let line = match line::read(words) {
        Ok(line) => line,
        Err(fault) => return stop(USAGE, format!("Error (argument validation): {fault}\n")),
    };
    if line.has("version") || line.command == "version" {
        return stop(0, format!("{}\n", env!("CARGO_PKG_VERSION")));
    }
    if line.help || line.command == "help" || line.command.is_empty() {
        let status = if line.command.is_empty() && !line.help { USAGE } else { 0 };
        return stop(status, usage(tool));
    }
    let told = if tool == "rabbitmq-plugins" { plugins::run(&line) } else { dispatch(&line, environment) };
    match told {
        Ok(text) => stop(0, text),
        Err(Failure { status: USAGE, text }) => stop(USAGE, format!("Error (argument validation): {text}\n")),
        Err(failure) => stop(failure.status, format!("Error:\n{}\n", failure.text)),
    }
}

fn stop(status: u8, text: String) -> super::Stop {
    super::Stop { status, text }
}

fn usage(tool: &str) -> String {
    let commands = commands().map(|(name, ..)| *name);
    let mut commands: Vec<&str> = commands.chain(lists::LISTS.iter().map(|list| list.command)).collect();
    if tool == "rabbitmq-plugins" {
        commands = plugins::COMMANDS.to_vec();
    }
    commands.sort_unstable();
    let options =
        "[--node <node>] [--timeout <seconds>] [--formatter table|json|csv|pretty_table] [--quiet] [--silent]";
    let mut not_here: Vec<&str> = Vec::new();
    if tool != "rabbitmq-plugins" {
        not_here.extend(refused::COMMANDS.iter().map(|(name, _)| *name));
    }
    let not_here =
        if not_here.is_empty() { String::new() } else { format!("\nNot supported\n\n   {}\n", not_here.join("\n   ")) };
    let commands = commands.join("\n   ");
    format!("Usage\n\n{tool} {options} <command> [<arguments>]\n\nCommands\n\n   {commands}\n{not_here}")
}

/// All commands but lists.
fn commands() -> impl Iterator<Item = &'static changes::Command> {
    changes::COMMANDS.iter().chain(checks::COMMANDS).chain(closing::COMMANDS).chain(node::COMMANDS)
}

fn dispatch(line: &Line, environment: &[(String, String)]) -> Result<String, Failure> {
    let api = Api { socket: socket(environment), timeout: line.timeout };
    if let Some(list) = List::of(&line.command) {
        return print_list(&api, line, list);
    }
    let Some((_, arguments, run)) = commands().find(|(name, ..)| *name == line.command) else {
        return Err(match refused::why(&line.command) {
            Some(why) => Failure { status: SOFTWARE, text: format!("this command is not supported: {why}") },
            None => Failure::usage(&format!("Command '{}' not found. ", line.command)),
        });
    };
    if !arguments.contains(&line.arguments.len()) {
        let fault = if line.arguments.len() < *arguments.start() { "not enough" } else { "too many" };
        return Err(Failure::usage(&format!("{fault} arguments.")));
    }
    let said = run(&api, line)?;
    let quiet = line.quiet || line.silent || line.format.is_for_programs();
    let people = |text: &str| if quiet || text.is_empty() { String::new() } else { format!("{text}\n") };
    Ok(people(&said.before) + &table::value_or_nothing(line, &said.value) + &people(&said.after))
}

fn print_list(api: &Api, line: &Line, list: &List) -> Result<String, Failure> {
    let unknown = |names: String| Failure::usage(&format!("Info key(s) {names} are not supported"));
    if line.arguments.len() < list.arguments {
        return Err(Failure::usage("not enough arguments."));
    }
    let columns = list.columns(line).map_err(unknown)?;
    let missing = if list.arguments > 0 { changes::no_user(line.argument(0)) } else { changes::no_vhost(line.vhost()) };
    let asked = list.path(line) + &list.query(&columns);
    let rows = list.rows(line, &must(api.get(&asked)?, missing)?);
    let quiet = line.quiet || line.silent || line.format.is_for_programs();
    let banner = if quiet { String::new() } else { list.banner(line) + "\n" };
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

//! The command line: what was asked for, with its settings read and checked.

mod copies;
mod ctl;
mod doctor;
mod help;
pub mod logging;
mod look;
#[cfg(feature = "otlp")]
mod otlp;
mod progress;
mod reference;
#[cfg(test)]
mod tests;

use crate::config::{Config, Loaded, Override, Sources};
use crate::perf::PerfArgs;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use std::env;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Exit status for a command line that is wrong (sysexits.h, EX_USAGE).
pub const EXIT_USAGE: u8 = 64;

/// Exit status for settings that are wrong (sysexits.h, EX_CONFIG).
pub const EXIT_CONFIG: u8 = 78;

/// What the program is asked to do.
#[derive(Debug)]
pub enum Command {
    /// Run the broker.
    Serve(Box<Loaded>),
    /// Load a broker and measure it.
    Perf(Box<PerfArgs>),
}

/// Why there is nothing to do: what to print, where, and the status to exit with.
#[derive(Debug, PartialEq, Eq)]
pub struct Stop {
    /// Exit status; 0 and the doctor's 1 print to standard output, any other to standard error.
    pub status: u8,
    /// What to print, its line ends included.
    pub text: String,
}

#[derive(Debug, Parser)]
#[command(name = "warren", version, about = "A message broker that speaks AMQP 0-9-1 as RabbitMQ does")]
#[command(subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = "`warren serve --help` lists every setting with its environment variable and default.")]
struct Line {
    #[command(subcommand)]
    word: Word,
}

#[derive(Debug, Subcommand)]
enum Word {
    /// Run the broker
    Serve(Serve),
    /// Ask the running node, or change it: all of rabbitmqctl's commands
    #[command(disable_help_flag = true)]
    Ctl {
        /// As rabbitmqctl takes them; `warren ctl help` lists them
        #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Copy the running node's data to a new directory
    Backup(copies::Backup),
    /// Make a data directory of a backup
    Restore(copies::Restore),
    /// Look at the machine, the settings and the data, and say what to do
    Doctor(Serve),
    /// Load a broker and measure it
    Perf(Box<PerfArgs>),
    /// Look at the settings without running the broker
    #[command(subcommand)]
    Config(Look),
}

#[derive(Debug, Subcommand)]
enum Look {
    /// Say whether all settings are right, and which of RabbitMQ's mean nothing here
    Check(Serve),
    /// Print every setting that is in effect, as TOML, with where it comes from; passwords are not shown
    Effective(Serve),
    /// Print the reference of all settings, as Markdown
    #[command(hide = true)]
    Reference,
}

#[derive(Debug, Args)]
#[command(after_help = "--help lists every setting with its environment variable and default.")]
#[command(after_long_help = help::settings())]
struct Serve {
    /// Settings: TOML, or RabbitMQ's form if it ends in .conf; none without it [WARREN_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of everything the broker keeps [data_dir]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Address to listen on, IP:PORT; may be given again and again [listener.address]
    #[arg(long, value_name = "ADDR")]
    listen: Vec<String>,
    /// off, error, warn, info, debug or trace [log.level]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// text or json [log.format]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

/// Reads the process's command line, environment and configuration file.
///
/// # Errors
/// When there is nothing to run (help, version, anything wrong): it has been printed, the status is what to exit with.
pub fn parse() -> Result<Command, ExitCode> {
    // A variable that is not UTF-8 is no setting of ours.
    let environment =
        env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let environment: Vec<(String, String)> = environment.collect();
    parse_from(env::args_os(), environment).map_err(|stop| {
        // Nobody is left to tell when even this cannot be written.
        let _ = match stop.status {
            0 | doctor::SICK => std::io::stdout().write_all(stop.text.as_bytes()),
            _ => std::io::stderr().write_all(stop.text.as_bytes()),
        };
        ExitCode::from(stop.status)
    })
}

/// Reads the given command line (program name first) and environment.
///
/// # Errors
/// When there is nothing to run; nothing has been printed.
pub fn parse_from(
    arguments: impl IntoIterator<Item = OsString>,
    environment: Vec<(String, String)>,
) -> Result<Command, Stop> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let program = arguments.first().and_then(|program| program.to_str()).unwrap_or_default();
    if let Some(tool) = ctl::tool(program) {
        let words: Vec<String> = arguments.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
        return Err(ctl::run(tool, &words, &environment));
    }
    let matches = Line::command().try_get_matches_from(arguments).map_err(refused)?;
    let line = Line::from_arg_matches(&matches).map_err(refused)?;
    match line.word {
        Word::Serve(serve) => settings(serve, environment).map(|loaded| Command::Serve(Box::new(loaded))),
        Word::Config(Look::Check(serve)) => settings(serve, environment).and_then(|loaded| Err(look::check(&loaded))),
        Word::Config(Look::Effective(serve)) => {
            settings(serve, environment).and_then(|loaded| Err(Stop { status: 0, text: look::effective(&loaded) }))
        }
        Word::Config(Look::Reference) => Err(Stop { status: 0, text: reference::markdown() }),
        Word::Ctl { words } => Err(ctl::run("warren ctl", &words, &environment)),
        Word::Backup(args) => Err(copies::backup(&args, &environment)),
        Word::Restore(args) => Err(copies::restore(&args)),
        Word::Doctor(serve) => settings(serve, environment).and_then(|loaded| Err(doctor::run(&loaded))),
        Word::Perf(args) => Ok(Command::Perf(args)),
    }
}

fn settings(serve: Serve, environment: Vec<(String, String)>) -> Result<Loaded, Stop> {
    let options = [
        ("data_dir", "--data-dir", serve.data_dir.into_iter().collect()),
        ("listener.address", "--listen", serve.listen),
        ("log.level", "--log-level", serve.log_level.into_iter().collect()),
        ("log.format", "--log-format", serve.log_format.into_iter().collect::<Vec<_>>()),
    ];
    let given = options.into_iter().filter(|(_, _, values)| !values.is_empty());
    let overrides = given.map(|(key, option, values)| Override { key, option, values }).collect();
    // An empty variable names no file: it is how orchestrators unset one.
    let named = environment.iter().find(|(name, path)| name == "WARREN_CONFIG" && !path.is_empty());
    let file = serve.config.or_else(|| named.map(|(_, path)| PathBuf::from(path)));
    Config::load_all(&Sources { file, environment, overrides }).map_err(|error| Stop {
        status: if error.is_usage() { EXIT_USAGE } else { EXIT_CONFIG },
        text: format!("warren: {error}\n"),
    })
}

/// What clap says, with our name and status: help and version are no faults.
fn refused(error: clap::Error) -> Stop {
    let text = error.render().to_string();
    if !error.use_stderr() {
        return Stop { status: 0, text };
    }
    match text.strip_prefix("error: ") {
        Some(problem) => Stop { status: EXIT_USAGE, text: format!("warren: {problem}") },
        None => Stop { status: EXIT_USAGE, text },
    }
}

//! How a command ends: what it says for people and for programs, and what it exits with (compat.md 4).

use super::api::{Answer, Silence};
use super::line::{Format, Line};
use super::table;
use serde_json::{Value, json};

/// Exit codes, of sysexits.h as RabbitMQ's tools use them.
pub(super) const USAGE: u8 = 64;
pub(super) const DATA: u8 = 65;
pub(super) const NO_USER: u8 = 67;
pub(super) const UNAVAILABLE: u8 = 69;
pub(super) const SOFTWARE: u8 = 70;
pub(super) const TEMPORARY: u8 = 75;

/// What a command says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Said {
    /// What it is about to do: for people who do not want quiet.
    pub before: String,
    /// What it has found.
    pub value: Value,
    /// What came of it.
    pub after: String,
    /// What programs are told instead of all that, if not null.
    pub facts: Value,
}

impl Said {
    /// What is done, and nothing more to say.
    pub fn doing(before: impl Into<String>) -> Said {
        Said { before: before.into(), ..Said::default() }
    }

    /// What came of it.
    pub fn then(self, after: impl Into<String>) -> Said {
        Said { after: after.into(), ..self }
    }

    /// What was found.
    pub fn found(self, value: impl Into<Value>) -> Said {
        Said { value: value.into(), ..self }
    }

    /// What programs are told.
    pub fn facts(self, facts: Value) -> Said {
        Said { facts, ..self }
    }

    /// All of it as the command line wants it.
    pub fn print(&self, line: &Line, node: &str) -> String {
        if line.format.is_json() {
            let told = match (&self.facts, &self.value) {
                (Value::Null, Value::Null) if self.after.is_empty() => json!({"node": node, "result": "ok"}),
                (Value::Null, Value::Null) => json!({"message": self.after, "node": node, "result": "ok"}),
                (Value::Null, value) => value.clone(),
                (facts, _) => facts.clone(),
            };
            return format!("{told}\n");
        }
        let text = |text: &str| if text.is_empty() { String::new() } else { format!("{text}\n") };
        let before = if line.is_quiet() { String::new() } else { text(&self.before) };
        before + &table::value(&self.value) + &text(&self.after)
    }
}

/// Where a command has failed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    /// Its words are wrong.
    Words,
    /// The node is in no state for it.
    State,
    /// It was tried.
    Trial,
}

/// Why a command has failed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Failure {
    pub status: u8,
    stage: Stage,
    text: String,
}

impl Failure {
    pub fn new(status: u8, text: impl Into<String>) -> Failure {
        Failure { status, stage: Stage::Trial, text: text.into() }
    }

    /// There is no such thing, or it cannot be read.
    pub fn data(text: impl Into<String>) -> Failure {
        Failure::new(DATA, text)
    }

    /// A command line that is wrong.
    pub fn usage(text: impl Into<String>) -> Failure {
        Failure { status: USAGE, stage: Stage::Words, text: text.into() }
    }

    /// An argument that is none.
    pub fn argument(text: &str) -> Failure {
        let text = if text.is_empty() { "Bad argument.".to_owned() } else { format!("Bad argument: {text}") };
        Failure { status: DATA, stage: Stage::Words, text }
    }

    /// The node has been stopped (`stop_app`).
    pub fn stopped() -> Failure {
        let text = "this command requires the 'rabbit' app to be running on the target node. Start it with 'rabbitmqctl \
                    start_app'.";
        Failure { status: USAGE, stage: Stage::State, text: text.to_owned() }
    }

    /// The text as the command line wants it.
    pub fn print(&self, line: &Line) -> String {
        match self.stage {
            Stage::Words => format!("Error (argument validation): {}\n", self.text),
            Stage::State => format!("Error: {}\n", self.text),
            Stage::Trial if line.format.is_json() => {
                format!("{}\n", json!({"message": self.text, "result": "error"}))
            }
            Stage::Trial => format!("Error:\n{}\n", self.text),
        }
    }
}

impl From<Silence> for Failure {
    fn from(silence: Silence) -> Failure {
        match silence {
            Silence::Late => Failure::new(TEMPORARY, "operation on node timed out"),
            Silence::Forbidden(reason) => Failure::new(
                UNAVAILABLE,
                format!("unable to perform an operation on the node: be root, or the user that it runs as ({reason})"),
            ),
            Silence::Down(reason) => Failure::new(
                UNAVAILABLE,
                format!("unable to perform an operation on the node: it does not run, or not here ({reason})"),
            ),
        }
    }
}

pub(super) type Told = Result<Said, Failure>;

/// An answer that is one; `missing` when there is nothing there.
pub(super) fn must(answer: Answer, missing: Failure) -> Result<Value, Failure> {
    match answer {
        Answer::Done(value) => Ok(value),
        Answer::NotFound => Err(missing),
        Answer::Refused(400, reason) => Err(Failure::new(UNAVAILABLE, reason)),
        Answer::Refused(503, reason) if is_stopped(&reason) => Err(Failure::stopped()),
        Answer::Refused(503, reason) => Err(Failure::new(UNAVAILABLE, reason)),
        Answer::Refused(_, reason) => Err(Failure::new(SOFTWARE, reason)),
    }
}

/// Whether a node refuses because it has been stopped.
pub(super) fn is_stopped(reason: &str) -> bool {
    reason.contains("requires the 'rabbit' app")
}

/// It was done: nothing more to say than what.
pub(super) fn done(_: Value, before: &str) -> Told {
    Ok(Said::doing(before))
}

impl Format {
    /// Whether programs read it as JSON.
    pub fn is_json(self) -> bool {
        matches!(self, Format::Json | Format::JsonStream)
    }
}

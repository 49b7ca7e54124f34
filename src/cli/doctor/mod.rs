//! `warren doctor`: looks at the machine, the settings and the data, and says what to do about what it finds.

mod data;
mod disk;
mod machine;
mod network;

pub(super) use network::certificates;

use super::Stop;
use super::ctl::SOCKET;
use super::ctl::api::{Answer, Api};
use crate::config::{Config, Loaded};
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

/// Exit code when something has to be done.
pub(super) const SICK: u8 = 1;
/// Time that a running node has for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grade {
    /// All is well.
    Good,
    /// It works, and will not always.
    Doubtful,
    /// It does not work, or loses data.
    Bad,
}

/// Something that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    grade: Grade,
    about: &'static str,
    found: String,
    /// What to do about it.
    advice: String,
}

impl Finding {
    fn good(about: &'static str, found: impl Into<String>) -> Finding {
        Finding { grade: Grade::Good, about, found: found.into(), advice: String::new() }
    }

    fn doubtful(about: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { grade: Grade::Doubtful, about, found: found.into(), advice: advice.into() }
    }

    fn bad(about: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { grade: Grade::Bad, about, found: found.into(), advice: advice.into() }
    }
}

/// Whom it is about.
struct Patient<'a> {
    config: &'a Config,
    /// What the node says of itself; None: it does not run.
    node: Option<Value>,
    api: Api,
}

impl Patient<'_> {
    fn is_running(&self) -> bool {
        self.node.is_some()
    }

    /// A file of the process that is the node, or of ours.
    fn process(&self, file: &str) -> PathBuf {
        let pid = self.node.as_ref().and_then(|node| node.get("os_pid")).and_then(Value::as_u64);
        PathBuf::from("/proc").join(pid.map_or("self".to_owned(), |pid| pid.to_string())).join(file)
    }
}

/// Looks at everything.
pub(super) fn run(loaded: &Loaded) -> Stop {
    let config = &loaded.config;
    let api = Api { socket: config.data_dir.join(SOCKET), timeout: Some(PATIENCE) };
    let node = match api.get("node") {
        Ok(Answer::Done(node)) => Some(node),
        _ => None,
    };
    let patient = Patient { config, node, api };
    let mut findings = vec![settings(loaded), service(&patient)];
    findings.extend(disk::look(&patient));
    findings.extend(machine::look(&patient));
    findings.extend(network::look(&patient));
    findings.extend(data::look(&patient));
    report(&findings)
}

fn settings(loaded: &Loaded) -> Finding {
    match loaded.unused.len() {
        0 => Finding::good("settings", "read"),
        some => {
            Finding::good("settings", format!("read; {some} of RabbitMQ's mean nothing here (warren config check)"))
        }
    }
}

fn service(patient: &Patient) -> Finding {
    let Some(node) = &patient.node else {
        let found = format!("does not run, or not with {}", patient.config.data_dir.display());
        return Finding::good("node", found);
    };
    let text = |member: &str| node.get(member).and_then(Value::as_str).unwrap_or_default();
    match text("serving") {
        "running" => Finding::good("node", format!("{} runs, version {}", text("name"), text("version"))),
        other => {
            Finding::doubtful("node", format!("{} is {other}", text("name")), "rabbitmqctl start_app lets clients in")
        }
    }
}

fn report(findings: &[Finding]) -> Stop {
    let mut text = String::new();
    for Finding { grade, about, found, advice } in findings {
        let mark = match grade {
            Grade::Good => "ok  ",
            Grade::Doubtful => "warn",
            Grade::Bad => "FAIL",
        };
        text.push_str(&format!("{mark}  {about}: {found}\n"));
        if !advice.is_empty() {
            text.push_str(&format!("      -> {advice}\n"));
        }
    }
    let count = |grade: Grade| findings.iter().filter(|finding| finding.grade == grade).count();
    let (bad, doubtful) = (count(Grade::Bad), count(Grade::Doubtful));
    text.push_str(&match (bad, doubtful) {
        (0, 0) => "All is well.\n".to_owned(),
        (0, doubtful) => format!("Nothing is wrong; {doubtful} to look at.\n"),
        (bad, doubtful) => format!("{bad} wrong, {doubtful} to look at.\n"),
    });
    Stop { status: if bad > 0 { SICK } else { 0 }, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_a_line_each_and_an_exit_code() {
        let good = Finding::good("a", "x");
        let all = report(std::slice::from_ref(&good));
        assert_eq!((all.status, &all.text[..]), (0, "ok    a: x\nAll is well.\n"));
        let two = [good, Finding::doubtful("b", "y", "do z")];
        let some = report(&two);
        let wanted = "ok    a: x\nwarn  b: y\n      -> do z\nNothing is wrong; 1 to look at.\n";
        assert_eq!((some.status, &some.text[..]), (0, wanted));
        assert_eq!(report(&[Finding::bad("c", "w", "v")]).status, SICK);
    }
}

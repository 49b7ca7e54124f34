//! Commands about the node itself: whether it serves clients, its limits, its end.

use super::api::{Answer, Api};
use super::changes::Command;
use super::line::Line;
use super::outcome::{Failure, SOFTWARE, Said, TEMPORARY, Told, UNAVAILABLE, must};
use serde_json::{Value, json};
use std::time::Duration;

/// All of them.
pub(super) const COMMANDS: &[Command] = &[
    ("ping", 0..=0, |api, _| {
        let banner = format!("Will ping {}. This only checks that its process answers.", name(api)?);
        Ok(Said::doing(banner).then("Ping succeeded"))
    }),
    ("check_running", 0..=0, check_running),
    ("node_health_check", 0..=0, check_running),
    ("is_running", 0..=0, |api, _| {
        let (running, name, text) = booted(api)?;
        let facts = json!({"message": text, "result": running});
        Ok(Said::doing(format!("Asking node {name} for its status ...")).then(text).facts(facts))
    }),
    ("is_booting", 0..=0, |api, _| {
        let name = name(api)?;
        let text = format!(
            "RabbitMQ on node {name} is fully booted (check with is_running), stopped or has not started booting yet"
        );
        let facts = json!({"message": text, "result": false});
        Ok(Said::doing(format!("Asking node {name} for its boot status ...")).then(text).facts(facts))
    }),
    ("start_app", 0..=0, |api, _| enter(api, "running", &format!("Starting node {} ...", name(api)?))),
    ("stop_app", 0..=0, |api, _| {
        enter(api, "stopped", &format!("Stopping rabbit application on node {} ...", name(api)?))
    }),
    ("suspend_listeners", 0..=0, |api, _| {
        let banner = format!(
            "Will suspend client connection listeners on node {}. The node will no longer accept client connections!",
            name(api)?
        );
        change(api, "suspended", &banner)
    }),
    ("resume_listeners", 0..=0, |api, _| {
        let banner = format!(
            "Will resume client connection listeners on node {}. The node will now accept client connections",
            name(api)?
        );
        change(api, "running", &banner)
    }),
    ("drain", 0..=0, |api, _| {
        let banner = format!(
            "Will put node {} into maintenance mode. The node will no longer serve any client traffic!",
            name(api)?
        );
        change(api, "drained", &banner)
    }),
    ("revive", 0..=0, |api, _| {
        let banner = format!(
            "Will put node {} back into regular operating mode. The node will again serve client traffic and host primary \
             queue replicas.",
            name(api)?
        );
        change(api, "running", &banner)
    }),
    ("set_vm_memory_high_watermark", 1..=2, set_memory_limit),
    ("set_disk_free_limit", 1..=2, set_disk_limit),
    ("set_log_level", 1..=1, |api, line| {
        let level = line.argument(0);
        let banner = format!("Setting log level to \"{level}\" ...");
        match api.ask("PUT", "node/log-level", Some(&json!({ "level": level })))? {
            Answer::Refused(400, text) => Err(Failure::new(UNAVAILABLE, text)),
            answer => must(answer, no_control()).map(|_| Said::doing(banner)),
        }
    }),
    ("await_startup", 0..=0, await_startup),
    ("await_online_nodes", 1..=1, |api, line| match line.argument(0).parse::<u64>() {
        Ok(1) => await_startup(api, line),
        Ok(count) if count > 1 => {
            let name = name(api)?;
            let fault = format!("Error: timed out while waiting. Not enough nodes joined {name}'s cluster.");
            Err(Failure::new(SOFTWARE, fault))
        }
        _ => Err(Failure::argument("Argument must be a positive integer")),
    }),
    ("await_online_quorum_plus_one", 0..=0, await_startup),
    ("await_online_synchronized_mirror", 0..=0, await_startup),
    ("wait", 0..=1, await_startup),
    ("stop", 0..=1, |api, _| stop(api, false)),
    ("shutdown", 0..=1, |api, _| stop(api, true)),
];

/// What the node says of itself, whether it serves clients or not.
pub(super) fn node(api: &Api) -> Result<Value, Failure> {
    must(api.get("node")?, no_control())
}

/// The node's name.
pub(super) fn name(api: &Api) -> Result<String, Failure> {
    Ok(node(api)?.get("name").and_then(Value::as_str).unwrap_or_default().to_owned())
}

/// The node's name, and the version of RabbitMQ that it is as. Told while it is stopped, too.
pub(super) fn version(api: &Api) -> Result<(String, String), Failure> {
    let node = node(api)?;
    let text = |member: &str| node.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok((text("name"), text("rabbitmq_version")))
}

/// Refuses a node that is named and is not this machine's: what was meant for another must not happen here.
pub(super) fn check_named(api: &Api, line: &Line) -> Result<(), Failure> {
    let Some(named) = line.option("node") else { return Ok(()) };
    let Some((_, host)) = named.rsplit_once('@') else { return Ok(()) };
    let short = |host: &str| host.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let system = rustix::system::uname();
    let here = system.nodename().to_string_lossy();
    if ["localhost", "127.0.0.1", "::1"].contains(&host) || short(host) == short(&here) {
        return Ok(());
    }
    let own = name(api).unwrap_or_default();
    if own.rsplit_once('@').is_some_and(|(_, own)| short(own) == short(host)) {
        return Ok(());
    }
    let text = format!(
        "unable to perform an operation on node '{named}': it is not on this machine ({here}), and the tools reach only \
         the node whose socket they can open. Run them there, or use its management API"
    );
    Err(Failure::new(UNAVAILABLE, text))
}

fn no_control() -> Failure {
    Failure::new(SOFTWARE, "the node is of another version")
}

/// Whether the node serves, its name, and both in words.
fn booted(api: &Api) -> Result<(bool, String, String), Failure> {
    let node = node(api)?;
    let text = |member: &str| node.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (running, name) = (text("serving") != "stopped", text("name"));
    let is = if running {
        "fully booted and running"
    } else {
        "not running or has not fully booted yet (check with is_booting)"
    };
    let words = format!("RabbitMQ on node {name} is {is}");
    Ok((running, name, words))
}

fn check_running(api: &Api, _: &Line) -> Told {
    match booted(api)? {
        (true, name, text) => Ok(Said::doing(format!("Checking if RabbitMQ is running on node {name} ...")).then(text)),
        (false, _, text) => Err(Failure::new(UNAVAILABLE, text)),
    }
}

fn enter(api: &Api, serving: &str, banner: &str) -> Told {
    let answer = api.ask("PUT", "node/serving", Some(&json!({ "serving": serving })))?;
    must(answer, no_control()).map(|_| Said::doing(banner))
}

/// The same for commands that need a broker that has not been stopped.
fn change(api: &Api, serving: &str, banner: &str) -> Told {
    match booted(api)? {
        (true, ..) => enter(api, serving, banner),
        (false, ..) => Err(Failure::stopped()),
    }
}

fn set_memory_limit(api: &Api, line: &Line) -> Told {
    let (of, limit) = match (line.argument(0), line.arguments.get(1)) {
        ("absolute", Some(amount)) => (format!("{amount} bytes"), json!({ "bytes": bytes(amount)? })),
        ("absolute", None) => return Err(Failure::usage("not enough arguments.")),
        (_, Some(_)) => return Err(Failure::usage("too many arguments.")),
        (share, None) => {
            let given = share.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
            let given =
                given.ok_or_else(|| Failure::argument("The threshold should be a fraction between 0.0 and 1.0"))?;
            (share.to_owned(), json!({ "of_memory": given }))
        }
    };
    let banner = format!("Setting memory threshold on {} to {of} ...", name(api)?);
    must(api.ask("PUT", "node/memory-limit", Some(&limit))?, no_control()).map(|_| Said::doing(banner))
}

fn set_disk_limit(api: &Api, line: &Line) -> Told {
    let (of, limit) = match (line.argument(0), line.arguments.get(1)) {
        ("mem_relative", Some(share)) => {
            let given = share.parse::<f64>().ok().filter(|share| (0.0..=10.0).contains(share));
            let given = given.ok_or_else(|| Failure::argument(""))?;
            (format!("{share} times the total RAM"), json!({ "of_memory": given }))
        }
        ("mem_relative", None) => return Err(Failure::usage("not enough arguments.")),
        (_, Some(_)) => return Err(Failure::usage("too many arguments.")),
        (amount, None) => (format!("{amount} bytes"), json!({ "bytes": bytes(amount)? })),
    };
    let banner = format!("Setting disk free limit on {} to {of} ...", name(api)?);
    must(api.ask("PUT", "node/disk-free-limit", Some(&limit))?, no_control()).map(|_| Said::doing(banner))
}

/// Bytes with RabbitMQ's units: k, m, g, t of 1024 (also with i or iB behind), kB, MB, GB, TB of 1000.
fn bytes(amount: &str) -> Result<u64, Failure> {
    let digits = amount.len() - amount.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = amount.split_at_checked(digits).unwrap_or_default();
    let power = match unit.get(..1).unwrap_or_default().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => 5,
    };
    let base: Option<u64> = match unit.get(1..).unwrap_or_default() {
        "" | "i" | "ib" | "iB" => Some(1024),
        "b" | "B" if power > 0 => Some(1000),
        _ => None,
    };
    let factor = base.filter(|_| power < 5).map(|base| base.pow(power));
    let bytes = number.parse::<u64>().ok().zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
    bytes.ok_or_else(|| Failure::argument(""))
}

/// Asks again and again until somebody answers, and serves.
fn await_startup(api: &Api, line: &Line) -> Told {
    let begun = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let limit = line.timeout.unwrap_or(Duration::from_secs(300));
    loop {
        let late = match booted(api) {
            Ok((true, ..)) => return Ok(Said::doing("Waiting for the node to start ...")),
            Ok((false, ..)) => Failure::new(UNAVAILABLE, "rabbit_is_not_running"),
            Err(failure) if failure.status != UNAVAILABLE => return Err(failure),
            Err(_) => Failure::new(TEMPORARY, "the node did not start in time"),
        };
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        if now.saturating_sub(begun) >= limit {
            return Err(late);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Ends the node's process as a signal does: clients are told, everything is committed. `wait`: until it has ended.
fn stop(api: &Api, wait: bool) -> Told {
    use rustix::process::{Pid, Signal, kill_process, test_kill_process};
    let unknown = || Failure::new(SOFTWARE, "the node does not tell its process");
    let node = node(api)?;
    let told = node.get("os_pid").and_then(Value::as_i64).and_then(|pid| i32::try_from(pid).ok());
    let pid = told.and_then(Pid::from_raw).ok_or_else(unknown)?;
    let refused = |error| Failure::new(SOFTWARE, format!("process {pid:?}: {error}"));
    kill_process(pid, Signal::TERM).map_err(refused)?;
    // Whoever asked ends the wait by a signal of their own if it lasts too long for them.
    while wait && test_kill_process(pid).is_ok() && !has_ended(pid.as_raw_nonzero().get()) {
        std::thread::sleep(Duration::from_millis(100));
    }
    let name = node.get("name").and_then(Value::as_str).unwrap_or_default();
    if wait {
        let pid = pid.as_raw_nonzero();
        let banner = format!("Shutting down RabbitMQ node {name} running at PID {pid}");
        return Ok(
            Said::doing(banner).then(format!("RabbitMQ node {name} running at PID {pid} successfully shut down"))
        );
    }
    Ok(Said::doing(format!("Stopping and halting node {name} ...")))
}

/// Whether a process has ended, and only its parent has not taken notice of it.
fn has_ended(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('Z'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_rabbitmqs_units() {
        let of = |amount: &str| bytes(amount).ok();
        assert_eq!(
            [of("7"), of("2k"), of("2kB"), of("3MiB"), of("1G"), of("1GB")],
            [Some(7), Some(2048), Some(2000), Some(3 << 20), Some(1 << 30), Some(1_000_000_000)]
        );
        assert_eq!([of(""), of("k"), of("1x"), of("1.5GB"), of("99999999999T"), of("-1")], [None; 6]);
    }
}

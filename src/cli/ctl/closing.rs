//! Commands that close connections.

use super::api::{Answer, Api, encoded};
use super::changes::{Command, names};
use super::line::Line;
use super::outcome::{Failure, Said, Told, UNAVAILABLE, done, must};
use crate::cli::progress::Share;
use std::time::Duration;

/// All of them.
pub(super) const COMMANDS: &[Command] = &[
    ("close_connection", 2..=2, |api, line| {
        let (name, reason) = (line.argument(0), line.argument(1));
        let missing = Failure::new(UNAVAILABLE, format!("connection {name} does not exist"));
        done(must(close(api, name, reason)?, missing)?, &format!("Closing connection {name}, reason: {reason}..."))
    }),
    ("close_all_connections", 1..=1, |api, line| {
        let (vhost, reason) = (line.vhost(), line.argument(0));
        let limit = number(line, "limit")?.filter(|limit| *limit > 0);
        let (path, banner) = match (line.has("global"), limit) {
            (true, _) => ("connections".to_owned(), format!("all connections to node {}", super::node::name(api)?)),
            (false, None) => (of_vhost(vhost), format!("all connections in vhost {vhost}")),
            (false, Some(limit)) => (of_vhost(vhost), format!("{limit} connections in vhost {vhost}")),
        };
        let banner = format!("Closing {banner}, reason: {reason}...");
        close_all(api, line, &path, (limit.filter(|_| !line.has("global")), reason), banner)
    }),
    ("close_all_user_connections", 2..=2, |api, line| {
        let (user, reason) = (line.argument(0), line.argument(1));
        let path = format!("connections/username/{}", encoded(user));
        close_all(api, line, &path, (None, reason), format!("Closing connections of user {user}, reason: {reason}..."))
    }),
];

fn close(api: &Api, name: &str, reason: &str) -> Result<Answer, Failure> {
    let header = Some(("X-Reason", reason)).filter(|_| !reason.is_empty());
    Ok(api.ask_with("DELETE", &format!("connections/{}", encoded(name)), None, header)?)
}

fn of_vhost(vhost: &str) -> String {
    format!("vhosts/{}/connections", encoded(vhost))
}

/// A whole number that an option gives.
fn number(line: &Line, option: &str) -> Result<Option<u64>, Failure> {
    let given = line.option(option).map(str::parse::<u64>).transpose();
    given.map_err(|_| {
        Failure::usage(format!(
            "Invalid options for this command:\n--{option} : {}",
            line.option(option).unwrap_or_default()
        ))
    })
}

fn close_all(api: &Api, line: &Line, list: &str, (limit, reason): (Option<u64>, &str), banner: String) -> Told {
    let delay = Duration::from_millis(number(line, "per-connection-delay")?.unwrap_or(0));
    let mut names = names(api, list)?;
    names.truncate(limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX)));
    let mut share = Share::of("closing");
    for (done, name) in names.iter().enumerate() {
        if done > 0 {
            std::thread::sleep(delay);
        }
        // One that has gone meanwhile is closed, too.
        close(api, name, reason)?;
        share.show(done as u64 + 1, names.len() as u64);
    }
    Ok(Said::doing(banner).then(format!("Closed {} connections", names.len())))
}

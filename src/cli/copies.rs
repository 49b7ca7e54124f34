//! `warren backup` and `warren restore`.

use super::ctl::api::{Answer, Api, Silence};
use super::progress::Share;
use super::{Stop, ctl};
use crate::store::{StoreError, backup as copies, proof};
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Exit codes of sysexits.h: damaged data, no node, anything else.
const DATA: u8 = 65;
const UNAVAILABLE: u8 = 69;
const SOFTWARE: u8 = 70;

/// What to back up.
#[derive(Debug, Args)]
#[command(
    after_help = "The node makes the copy while it runs, out of hard links where DIR is on the data directory's file system.\n\
                        Every message that was confirmed before is in it. DIR must be a directory that the node may make."
)]
pub(super) struct Backup {
    /// New directory for the copy
    dir: PathBuf,
    /// Data directory of the running node, if it is not at its usual place
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// What to restore.
#[derive(Debug, Args)]
#[command(
    after_help = "Every file is compared with its checksum, and everything that is stored is looked at, before the node may start with\n\
                        it. Nothing is left in DATA_DIR when something is wrong."
)]
pub(super) struct Restore {
    /// A directory that `warren backup` has made
    backup: PathBuf,
    /// New or empty data directory
    data_dir: PathBuf,
}

/// Asks the node for a copy, and seals it.
pub(super) fn backup(args: &Backup, environment: &[(String, String)]) -> Stop {
    let dir = match std::path::absolute(&args.dir) {
        Ok(dir) => dir,
        Err(error) => return failed(SOFTWARE, &format!("{}: {error}", args.dir.display())),
    };
    let socket = args.data_dir.as_ref().map_or_else(|| ctl::socket(environment), |dir| dir.join(ctl::SOCKET));
    let api = Api { socket, timeout: None };
    match api.ask("POST", "node/backup", Some(&json!({ "dir": dir }))) {
        Ok(Answer::Done(_)) => {}
        Ok(Answer::NotFound) => return failed(SOFTWARE, "the node makes no backups"),
        Ok(Answer::Refused(503, reason)) => return failed(UNAVAILABLE, &reason),
        Ok(Answer::Refused(_, reason)) => return failed(SOFTWARE, &reason),
        Err(Silence::Down(reason)) => return failed(UNAVAILABLE, &format!("no node runs here: {reason}")),
        Err(Silence::Forbidden(reason)) => {
            return failed(UNAVAILABLE, &format!("be root, or the user that the node runs as: {reason}"));
        }
        Err(Silence::Late) => return failed(UNAVAILABLE, "the node does not answer"),
    }
    if !dir.join(proof::NAME).exists() {
        let text = "the node has made it where this program does not see it: in a container, or in a /tmp of its own";
        return failed(SOFTWARE, &format!("{}: {text}", dir.display()));
    }
    let mut share = Share::of("checking");
    match copies::seal(&dir, &mut |done, total| share.show(done, total)) {
        Ok(copied) => {
            let files = count(copied.files as u64, "file");
            said(format!("{}: {files}, {}\n", dir.display(), size(copied.bytes)))
        }
        Err(error) => store_failed(&error),
    }
}

/// Puts a copy into place.
pub(super) fn restore(args: &Restore) -> Stop {
    let mut share = Share::of("copying");
    let restored = copies::restore(&args.backup, &args.data_dir, &mut |done, total| share.show(done, total));
    drop(share);
    match restored {
        Ok((copied, found)) => {
            let (queues, messages) = (count(found.queues as u64, "queue"), count(found.messages, "message"));
            said(format!("{}: {queues}, {messages}, {}\n", args.data_dir.display(), size(copied.bytes)))
        }
        Err(error) => store_failed(&error),
    }
}

fn said(text: String) -> Stop {
    Stop { status: 0, text }
}

fn failed(status: u8, text: &str) -> Stop {
    Stop { status, text: format!("warren: {text}\n") }
}

fn store_failed(error: &StoreError) -> Stop {
    match error {
        StoreError::Corrupt(text) => failed(DATA, text),
        StoreError::Directory(path, text) => failed(SOFTWARE, &format!("{path}: {text}")),
        other => failed(SOFTWARE, &other.to_string()),
    }
}

/// So many of a thing.
pub(super) fn count(number: u64, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// Bytes for people.
pub(super) fn size(bytes: u64) -> String {
    let units = [(1 << 40, "TB"), (1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / unit as f64),
        None => format!("{bytes} bytes"),
    }
}

/// The first of a path's parents that exists.
pub(super) fn existing(path: &Path) -> &Path {
    path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."))
}

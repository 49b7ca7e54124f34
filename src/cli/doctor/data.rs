//! What is stored: read from the first byte to the last while the node is stopped; while it runs, what it says itself.

use super::{Finding, Patient};
use crate::cli::copies::{count, size};
use crate::cli::ctl::api::Answer;
use crate::cli::progress::Share;
use crate::store::backup;
use crate::store::inspect::{self, Found};
use crate::store::rocks::RocksReader;
use crate::store::{StoreError, proof};
use std::fs;
use std::path::Path;

const ABOUT: &str = "data";
/// What to do about damage.
const DAMAGED: &str = "keep a copy of the directory, then restore a backup (warren restore); a queue that is damaged can be purged or \
                       deleted, the others go on";

pub(super) fn look(patient: &Patient) -> Vec<Finding> {
    let dir = &patient.config.data_dir;
    if patient.is_running() {
        return vec![alarms(patient), running(dir)];
    }
    if !dir.join(proof::NAME).exists() {
        return vec![Finding::good(ABOUT, "none yet")];
    }
    let (total, mut share) = (bytes(dir), Share::of("reading"));
    let looked = backup::verify(dir).and_then(|_| RocksReader::open(dir));
    let looked = looked.and_then(|store| inspect::all(&store, &mut |done| share.show(done, total)));
    drop(share);
    vec![judge(looked)]
}

fn alarms(patient: &Patient) -> Finding {
    match patient.api.get("health/checks/alarms") {
        Ok(Answer::Done(_)) => Finding::good("alarms", "none"),
        Ok(Answer::Refused(503, _)) => {
            Finding::bad("alarms", "publishers are held", "rabbitmq-diagnostics alarms says why: memory, or the disk")
        }
        _ => Finding::doubtful("alarms", "the node does not tell", "rabbitmqctl status"),
    }
}

fn running(dir: &Path) -> Finding {
    let found = "the node runs: what is stored was checked at its start as far as it was read, and is checked whenever it is read";
    let found = format!("{found}. To look at all of it: warren backup DIR, then warren doctor --data-dir DIR");
    match dir.join(proof::NAME).exists() {
        true => Finding::good(ABOUT, found),
        false => Finding::bad(
            ABOUT,
            format!("{} is gone under the running node", dir.display()),
            "stop it, restore a backup",
        ),
    }
}

fn judge(looked: Result<Found, StoreError>) -> Finding {
    match looked {
        Ok(found) if found.damaged == 0 => {
            let stop = if found.clean_stop { "stopped in order" } else { "not stopped in order" };
            let (queues, messages) = (count(found.queues as u64, "queue"), count(found.messages, "message"));
            let bytes = size(found.bytes);
            Finding::good(ABOUT, format!("{queues}, {messages}, {bytes} read, all checksums right; {stop}"))
        }
        Ok(found) => {
            let told = found.damage.join("; ");
            Finding::bad(ABOUT, format!("{} values are damaged: {told}", found.damaged), DAMAGED)
        }
        Err(StoreError::InUse(path)) => Finding::doubtful(
            ABOUT,
            format!("{path} is used by a process that does not answer"),
            "it may be starting or stopping: look again",
        ),
        Err(error) => Finding::bad(ABOUT, error.to_string(), DAMAGED),
    }
}

/// Bytes of all files.
fn bytes(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum()
}

#[cfg(test)]
mod tests {
    use super::super::Grade;
    use super::*;

    #[test]
    fn what_was_found_is_judged() {
        let good = Found { queues: 2, messages: 9, clean_stop: true, ..Found::default() };
        let told = judge(Ok(good.clone()));
        assert_eq!(told.grade, Grade::Good);
        assert!(
            told.found.starts_with("2 queues, 9 messages") && told.found.ends_with("stopped in order"),
            "{}",
            told.found
        );
        let damaged = Found { damaged: 1, damage: vec!["queue 'q' in vhost '/'".into()], ..good };
        let told = judge(Ok(damaged));
        assert!(told.grade == Grade::Bad && told.found.contains("queue 'q'"), "{told:?}");
        assert_eq!(judge(Err(StoreError::Corrupt("hole".into()))).grade, Grade::Bad);
        assert_eq!(judge(Err(StoreError::InUse("d".into()))).grade, Grade::Doubtful);
    }
}

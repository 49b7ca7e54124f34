//! `warren config`: the settings, without running the broker.

use super::doctor;
use super::{EXIT_CONFIG, Stop};
use crate::config::Loaded;
use std::fmt::Write;

/// Whether all is right, the certificates that are named too; what means nothing here.
pub(super) fn check(loaded: &Loaded) -> Stop {
    let wrong =
        doctor::certificates(&loaded.config).into_iter().find_map(|(setting, loaded)| Some((setting, loaded.err()?)));
    if let Some((setting, error)) = wrong {
        return Stop { status: EXIT_CONFIG, text: format!("warren: {setting}: {error}\n") };
    }
    let mut out = String::from("settings: ok\n");
    for key in &loaded.unused {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "means nothing here: {key}");
    }
    Stop { status: 0, text: out }
}

/// Every setting in effect, as a file that says the same.
pub(super) fn effective(loaded: &Loaded) -> String {
    let (mut out, mut section) = (String::new(), "");
    for setting in &loaded.effective {
        let (of, name) = setting.key.split_once('.').unwrap_or(("", setting.key));
        if of != section {
            section = of;
            let _ = writeln!(out, "\n[{section}]");
        }
        let origin = if setting.origin.is_empty() { String::new() } else { format!("  # {}", setting.origin) };
        let _ = writeln!(out, "{name} = {}{origin}", setting.value);
    }
    out
}

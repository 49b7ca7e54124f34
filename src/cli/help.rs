//! The part of `warren serve --help` that lists the settings.

use crate::config::Config;
use std::fmt::Write;

/// Columns of text; a help screen is read in terminals of 80.
const WIDTH: usize = 78;

/// Precedence, then every setting with its variable, meaning, form and default.
pub(super) fn settings() -> String {
    let mut out = String::from(
        "Settings:\n  \
         A setting is taken from the first of these that gives it: the command line, its environment\n  \
         variable, the configuration file, RABBITMQ_ variables, rabbitmq.conf, its default. Lists are\n  \
         comma-separated in variables.\n",
    );
    for setting in Config::SETTINGS {
        // Writing to a String cannot fail.
        let _ = write!(out, "\n  {} = {}\n      {}\n", setting.key, setting.default, setting.variable());
        let words = setting.doc.iter().flat_map(|line| line.split_whitespace());
        paragraph(&mut out, words);
        paragraph(&mut out, format!("Expected: {}.", (setting.expected)()).split_whitespace());
    }
    out.push_str(
        "\nExit status:\n  0 stopped as told, 64 wrong command line, 78 wrong settings, others: the broker failed\n",
    );
    out
}

/// Words in lines that fit, indented.
fn paragraph<'a>(out: &mut String, words: impl Iterator<Item = &'a str>) {
    let indent = " ".repeat(5);
    let mut width = indent.len();
    out.push_str(&indent);
    for word in words {
        if width + 1 + word.len() > WIDTH {
            out.push('\n');
            out.push_str(&indent);
            width = indent.len();
        }
        out.push(' ');
        out.push_str(word);
        width += 1 + word.chars().count();
    }
    out.push('\n');
}

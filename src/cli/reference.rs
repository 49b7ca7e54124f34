//! The reference of all settings, as Markdown: `docs/configuration.md` is this.

use crate::config::{Config, Setting};
use std::fmt::Write;

const HEAD: &str = "# Settings

<!-- Printed by `warren config reference`. -->

A setting is taken from the first of these that gives it:

1. the command line of `warren serve` (`--data-dir`, `--listen`, `--log-level`, `--log-format`),
2. its environment variable, named with each setting below; lists are comma-separated there,
3. the TOML file that `--config` or `WARREN_CONFIG` names,
4. RabbitMQ's variables: `RABBITMQ_DEFAULT_USER`, `RABBITMQ_DEFAULT_PASS`, `RABBITMQ_DEFAULT_VHOST`, `RABBITMQ_NODE_PORT`,
   `RABBITMQ_NODE_IP_ADDRESS`, `RABBITMQ_NODENAME`, `RABBITMQ_LOG`, from the environment or from the file that
   `RABBITMQ_CONF_ENV_FILE` names (`NAME=value`, as `rabbitmq-env.conf`),
5. `rabbitmq.conf`, where `--config`, `RABBITMQ_CONFIG_FILE` or `RABBITMQ_CONFIG_FILES` (a directory) names it;
   [`config/rabbitmq.conf`](../config/rabbitmq.conf) has RabbitMQ's keys that mean something here,
6. its default.

Sizes are bytes, or text like `\"64MiB\"`; times are text like `\"10s\"` or `\"200ms\"`. `warren config check` says whether all is right,
`warren config effective` prints what is in effect and where it comes from, without passwords.
";

/// The whole page.
pub(super) fn markdown() -> String {
    let mut out = String::from(HEAD);
    let top = Config::SETTINGS.iter().filter(|setting| setting.section().is_empty());
    out.push_str("\n## At the top of the file\n");
    top.for_each(|setting| entry(&mut out, setting));
    for (section, doc) in Config::SECTIONS {
        // Writing to a String cannot fail.
        let _ = write!(out, "\n## `[{section}]`\n\n{}\n", words(doc));
        let inside = Config::SETTINGS.iter().filter(|setting| setting.section() == *section);
        inside.for_each(|setting| entry(&mut out, setting));
    }
    out
}

fn entry(out: &mut String, setting: &Setting) {
    let (name, default, variable) = (setting.name(), setting.default, setting.variable());
    let _ = write!(out, "\n### `{name} = {default}`\n\n{}\n\n", words(setting.doc));
    let _ = writeln!(out, "`{variable}`; expected: {}.", (setting.expected)());
}

/// Doc comments as one paragraph.
fn words(doc: &[&str]) -> String {
    doc.iter().flat_map(|line| line.split_whitespace()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_in_docs_is_what_the_code_says() {
        let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md")).unwrap();
        assert!(page == markdown(), "warren config reference > docs/configuration.md");
    }

    #[test]
    fn every_setting_is_there_with_its_default() {
        let page = markdown();
        for setting in Config::SETTINGS {
            assert!(page.contains(&format!("### `{} = {}`", setting.name(), setting.default)), "{}", setting.key);
            assert!(page.contains(&setting.variable()), "{}", setting.key);
        }
    }
}

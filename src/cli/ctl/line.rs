//! Command lines as RabbitMQ's tools take them: options anywhere, `--name value` and `--name=value`.

use std::time::Duration;

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Format {
    /// What suits the command: a table with tabs for lists, lines for others.
    #[default]
    Plain,
    Json,
    /// An object a line.
    JsonStream,
    Csv,
    Pretty,
}

impl Format {
    /// Whether programs read it: then nothing else is printed.
    pub fn is_for_programs(self) -> bool {
        matches!(self, Format::Json | Format::JsonStream | Format::Csv)
    }
}

/// A command line that has been read.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Line {
    pub command: String,
    pub arguments: Vec<String>,
    pub vhost: Option<String>,
    pub format: Format,
    /// No word about what is being done.
    pub quiet: bool,
    /// The same, and no table headers.
    pub silent: bool,
    pub no_headers: bool,
    pub timeout: Option<Duration>,
    pub help: bool,
    /// Other options, by name without dashes; those without a value have "true".
    options: Vec<(String, String)>,
}

impl Line {
    /// The value of an option of the command's own.
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether such an option is there.
    pub fn has(&self, name: &str) -> bool {
        self.option(name).is_some_and(|value| value != "false")
    }

    /// A command and nothing else.
    pub fn bare(command: String) -> Line {
        Line { command, ..Line::default() }
    }

    /// Whether nothing is said of what is being done.
    pub fn is_quiet(&self) -> bool {
        self.quiet || self.silent || self.format.is_for_programs()
    }

    /// The virtual host that the command is about.
    pub fn vhost(&self) -> &str {
        self.vhost.as_deref().unwrap_or("/")
    }

    /// An argument by its place.
    pub fn argument(&self, place: usize) -> &str {
        self.arguments.get(place).map_or("", String::as_str)
    }
}

/// Options that have a value, with their short names.
const WITH_VALUE: &[(&str, &str)] = &[
    ("vhost", "-p"),
    ("node", "-n"),
    ("timeout", "-t"),
    ("formatter", "-f"),
    ("script-name", ""),
    ("printer", ""),
    ("file", ""),
    ("priority", ""),
    ("apply-to", ""),
    ("description", ""),
    ("tags", ""),
    ("default-queue-type", ""),
    ("hashing-algorithm", ""),
    ("user-limits", ""),
    ("per-connection-delay", ""),
    ("limit", ""),
    ("user", ""),
    ("unit", ""),
    ("within", ""),
    ("queue-timeout", ""),
    ("aliases-file", ""),
    ("erlang-cookie", ""),
    ("pid", "-P"),
    ("pattern", ""),
    ("vhost-pattern", ""),
    ("queue-pattern", ""),
    ("format", ""),
    ("address-family", ""),
    ("address", ""),
];

/// Options that have none, with their short names. Other unknown ones are refused.
const FLAGS: &[(&str, &str)] = &[
    ("quiet", "-q"),
    ("silent", "-s"),
    ("help", "-h"),
    ("no-table-headers", ""),
    ("longnames", "-l"),
    ("offline", ""),
    ("online", ""),
    ("local", ""),
    ("dry-run", ""),
    ("all", ""),
    ("minimal", "-m"),
    ("enabled", "-e"),
    ("implicitly-enabled", "-E"),
    ("verbose", "-v"),
    ("if-empty", "-e"),
    ("if-unused", "-u"),
    ("check-if-all-replicas-are-initialised", ""),
    ("global", ""),
    ("force", ""),
    ("hard", ""),
    ("experimental", ""),
    ("skip-if-exists", ""),
    ("pre-hashed-password", ""),
    ("errors-only", ""),
    ("warnings-only", ""),
    ("version", ""),
    ("list-nodes", ""),
    ("skip-if-unchanged", ""),
    ("details", ""),
    ("opt-in", ""),
    ("used", ""),
    ("table-headers", ""),
];

/// Reads what follows the program's name. The error is for the user.
pub(super) fn read(words: &[String]) -> Result<Line, String> {
    let mut line = Line::default();
    let mut words = words.iter();
    let mut plain = Vec::new();
    while let Some(word) = words.next() {
        if word == "--" {
            plain.extend(words.by_ref().cloned());
        } else if let Some(long) = word.strip_prefix("--").filter(|long| !long.is_empty()) {
            let (name, value) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
            let name = name.replace('_', "-");
            if FLAGS.iter().any(|(flag, _)| *flag == name) {
                line.set(&name, value.unwrap_or("true"))?;
            } else if WITH_VALUE.iter().any(|(option, _)| *option == name) {
                let value = match value {
                    Some(value) => value,
                    None => words
                        .next()
                        .ok_or_else(|| format!("Invalid options for this command:\n\n--{name} : no value"))?,
                };
                line.set(&name, value)?;
            } else {
                return Err(format!("Invalid options for this command:\n\n--{name} : unknown option"));
            }
        } else if let Some((name, _)) = WITH_VALUE.iter().find(|(_, short)| short == word && !short.is_empty()) {
            let value =
                words.next().ok_or_else(|| format!("Invalid options for this command:\n\n{word} : no value"))?;
            line.set(name, value)?;
        } else if let Some((name, _)) = FLAGS.iter().find(|(_, short)| short == word && !short.is_empty()) {
            line.set(name, "true")?;
            // The same letter says different things to different commands.
            if word == "-e" {
                line.set("if-empty", "true")?;
            }
        } else {
            plain.push(word.clone());
        }
    }
    let mut plain = plain.into_iter();
    line.command = plain.next().unwrap_or_default();
    line.arguments = plain.collect();
    Ok(line)
}

impl Line {
    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let is_true = value != "false";
        match name {
            "vhost" => self.vhost = Some(value.to_owned()),
            "quiet" => self.quiet = is_true,
            "silent" => self.silent = is_true,
            "no-table-headers" => self.no_headers = is_true,
            "table-headers" => self.no_headers = !is_true,
            "help" => self.help = is_true,
            "timeout" => self.timeout = timeout(value)?,
            "formatter" => {
                self.format = match value {
                    "json" => Format::Json,
                    "json_stream" => Format::JsonStream,
                    "csv" => Format::Csv,
                    "pretty_table" => Format::Pretty,
                    "table" | "string" | "string_per_line" | "plain" | "report" | "erlang" => Format::Plain,
                    _ => {
                        return Err(format!(
                            "Invalid options for this command:\n\n--formatter : unknown formatter {value}"
                        ));
                    }
                };
            }
            _ => self.options.push((name.to_owned(), value.to_owned())),
        }
        Ok(())
    }
}

/// Seconds; `infinity` and 0 are none.
fn timeout(value: &str) -> Result<Option<Duration>, String> {
    match value.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds < 1e9 => Ok(Some(Duration::from_secs_f64(seconds))),
        Ok(_) => Ok(None),
        Err(_) if value == "infinity" => Ok(None),
        Err(_) => Err(format!("Invalid options for this command:\n\n--timeout : {value}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Line, String> {
        read(&text.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_stand_anywhere() {
        for text in [
            "-p v -q list_queues name messages --formatter json --timeout 5",
            "list_queues --vhost=v name --quiet messages --formatter=json -t 5",
            "--vhost v list_queues name messages -q -f json --timeout=5.0",
        ] {
            let line = parse(text).unwrap();
            assert_eq!(
                (&line.command[..], &line.arguments[..]),
                ("list_queues", &["name".into(), "messages".into()][..])
            );
            assert_eq!((line.vhost(), line.quiet, line.silent, line.format), ("v", true, false, Format::Json));
            assert_eq!(line.timeout, Some(Duration::from_secs(5)));
        }
        let line = parse("-n rabbit@host --longnames set_policy --apply-to queues --priority 3 p ^a {} -- -x").unwrap();
        assert_eq!((line.option("apply-to"), line.option("priority")), (Some("queues"), Some("3")));
        assert_eq!((line.arguments.len(), line.argument(3)), (4, "-x"));
        assert!(parse("delete_queue q -e -u").unwrap().has("if-empty"));
        assert!(parse("list_plugins -m -E").unwrap().has("implicitly-enabled"));
    }

    #[test]
    fn what_is_unknown_is_refused() {
        for text in ["list_queues --vhots v", "list_queues -p", "list_queues --formatter xml", "status -t soon"] {
            assert!(parse(text).unwrap_err().starts_with("Invalid options for this command"), "{text}");
        }
        assert_eq!(parse("status -t infinity").unwrap().timeout, None);
        assert_eq!(parse("").unwrap().command, "");
    }
}

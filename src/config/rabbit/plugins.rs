//! RabbitMQ's list of enabled plugins: those whose work nobody does here are told.

use super::environment::Variables;
use crate::version::PLUGINS;
use std::fs;
use std::path::PathBuf;

/// The variable that names the file with the list.
pub(super) const FILE: &str = "RABBITMQ_ENABLED_PLUGINS_FILE";
/// The variable that is the list.
pub(super) const LIST: &str = "RABBITMQ_ENABLED_PLUGINS";
/// The file's name beside `rabbitmq.conf`.
const NAME: &str = "enabled_plugins";

/// Tells which plugins are enabled and not there. `files`: the configuration files, beside one of which the list may be.
pub(super) fn tell_missing(variables: &Variables, files: &[PathBuf], mut tell: impl FnMut(String)) {
    let named = variables.value(FILE).map(PathBuf::from);
    let place = named.or_else(|| files.iter().map(|file| file.with_file_name(NAME)).find(|path| path.is_file()));
    let listed = variables.value(LIST).map(|list| (LIST.to_owned(), list.to_owned()));
    let read = place.and_then(|path| Some((path.display().to_string(), fs::read_to_string(&path).ok()?)));
    for (from, text) in listed.into_iter().chain(read) {
        match names(&text) {
            Some(names) => names.into_iter().filter(|name| !PLUGINS.contains(&name.as_str())).for_each(|name| {
                tell(format!("{name} in {from} (this plugin is not there)"));
            }),
            None => tell(format!("{from} (it is no list of plugins)")),
        }
    }
}

/// The names in `[a,b].`, or in `a,b`.
fn names(text: &str) -> Option<Vec<String>> {
    let text: String = text.lines().map(|line| line.split('%').next().unwrap_or_default()).collect();
    let text = text.trim().trim_end_matches('.').trim_end();
    let inside = match text.strip_prefix('[') {
        Some(list) => list.strip_suffix(']')?,
        None => text,
    };
    let names = inside.split(',').map(|name| name.trim().trim_matches('\'')).filter(|name| !name.is_empty());
    let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    names.map(|name| is_name(name).then(|| name.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let own = |list: &[&str]| Some(list.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(names("[rabbitmq_management,'rabbitmq_mqtt'].\n"), own(&["rabbitmq_management", "rabbitmq_mqtt"]));
        assert_eq!(names("% of the image\n[a, %b\n c]."), own(&["a", "c"]));
        assert_eq!(names("a,b"), own(&["a", "b"]));
        assert_eq!(names("[]."), own(&[]));
        assert_eq!(names(""), own(&[]));
        for text in ["[a", "[{a, b}].", "\u{e9}"] {
            assert_eq!(names(text), None, "{text}");
        }
    }
}

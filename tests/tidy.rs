//! The house rules that a machine can check, from the sources: layers, clocks, lengths, names, words, doc comments.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "the files read are this package's own")]

use std::fs;
use std::path::Path;

const VOCABULARY: &[&str] = &["name", "value", "clock", "limits", "span", "version"];

/// What each module of the crate may use besides itself and the vocabulary (ARCHITECTURE.md, "Layers").
const LAYERS: &[(&str, &[&str])] = &[
    ("name", &[]),
    ("value", &[]),
    ("clock", &[]),
    ("limits", &[]),
    ("span", &[]),
    ("version", &[]),
    ("wire", &[]),
    ("broker", &[]),
    ("metrics", &[]),
    ("tls", &[]),
    ("auth", &["broker"]),
    ("store", &["broker"]),
    ("engine", &["store", "broker"]),
    ("amqp", &["wire", "engine", "broker", "auth", "tls"]),
    ("listener", &["amqp", "engine", "auth", "broker", "tls"]),
    ("definitions", &["engine", "broker", "auth"]),
    ("http", &["wire", "engine", "broker", "auth", "metrics", "definitions", "tls"]),
    ("perf", &["wire"]),
    ("config", &[]),
    ("cli", &["config", "perf", "store", "broker", "auth", "tls"]),
    (
        "node",
        &["config", "definitions", "store", "broker", "engine", "auth", "amqp", "listener", "http", "metrics", "tls"],
    ),
];

/// Words of the code that only some modules, or one file of a module, may name.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("rocksdb", &["store"]),
    ("axum", &["http"]),
    ("rustls", &["tls", "perf"]),
    ("x509_parser", &["tls"]),
    // `perf` is a client that measures; the committer is a thread of its own that waits for intervals.
    ("Instant::now", &["clock", "perf", "store/committer"]),
    ("SystemTime::now", &["clock", "perf"]),
];

/// Words of the code that some modules may not name: the machines without I/O, and what they stand on.
const NOT_IN: &[(&str, &[&str])] = &[
    ("tokio", &["name", "value", "clock", "limits", "wire", "broker", "store", "amqp"]),
    ("tokio::net", &["engine"]),
    ("std::net", &["name", "value", "clock", "limits", "wire", "broker", "store", "engine", "amqp"]),
    ("Now::read", &["wire", "broker", "amqp"]),
    ("elapsed", &["wire", "broker", "amqp"]),
    ("Mutex", &["name", "value", "clock", "limits", "wire", "broker"]),
    ("RwLock", &["name", "value", "clock", "limits", "wire", "broker"]),
];

const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 70;
const FORBIDDEN_NAMES: &[&str] =
    &["utils", "util", "common", "helpers", "helper", "impls", "impl", "manager", "managers"];
const FORBIDDEN_WORDS: &[&str] =
    &["todo!", "unimplemented!", "FIXME", "XXX", "#[ignore", "dbg!", "/work/", "/root/", "/home/"];

/// A source file, its path relative to the package.
struct Source {
    path: String,
    text: String,
    /// The text without comments and without what string literals hold; lines stay.
    code: String,
    /// The code without what is compiled for tests only.
    product: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Source {
        let code = if path.ends_with(".rs") { without_comments_and_strings(text) } else { String::new() };
        let test_file = !path.starts_with("src/") || path.ends_with("tests.rs") || path.contains("/tests/");
        let product = if test_file { String::new() } else { without_tests(&code) };
        Source { path: path.to_owned(), text: text.to_owned(), code, product }
    }

    /// The module of the crate that the file belongs to; None for the crate's roots and for files outside `src`.
    fn module(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        let first = inside.split('/').next()?;
        let module = first.strip_suffix(".rs").unwrap_or(first);
        (!["lib", "main"].contains(&module)).then_some(module)
    }

    /// How many modules deep the file is: 1 for `src/wire/mod.rs`, 2 for `src/wire/frame.rs`.
    fn depth(&self) -> usize {
        let inside = self.path.trim_start_matches("src/");
        inside.split('/').count() - usize::from(inside.ends_with("/mod.rs"))
    }

    fn at(&self, line: usize, problem: &str) -> String {
        format!("{}:{line}: {problem}", self.path)
    }
}

fn part_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn line_of(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

/// Offsets at which `word` stands as a whole word.
fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |at| !code[..*at].ends_with(part_of_word) && !code[at + word.len()..].starts_with(part_of_word))
}

/// The offset after the brace that closes the one at `open`.
fn after_block(code: &str, open: usize) -> usize {
    let mut depth = 0;
    for (at, c) in code[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return open + at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

fn blank(text: &str) -> String {
    text.chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect()
}

/// Length of the comment or literal that `rest` starts with; `word` when it continues a word.
fn comment_or_literal(rest: &str, word: bool) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        let mut depth = 0;
        let mut at = 0;
        while at < rest.len() {
            match &rest[at..] {
                part if part.starts_with("/*") => (depth, at) = (depth + 1, at + 2),
                part if part.starts_with("*/") => (depth, at) = (depth - 1, at + 2),
                part => at += part.chars().next().map_or(1, char::len_utf8),
            }
            if depth == 0 {
                break;
            }
        }
        return Some(at);
    }
    let prefix = rest.len() - rest.trim_start_matches(['b', 'c', 'r']).len();
    if !word && prefix <= 2 && rest[..prefix].contains('r') {
        let hashes = rest[prefix..].len() - rest[prefix..].trim_start_matches('#').len();
        if rest[prefix + hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let start = prefix + hashes + 1;
            return Some(rest[start..].find(&end).map_or(rest.len(), |at| start + at + end.len()));
        }
    }
    let quote = rest.chars().next()?;
    // A quote is a lifetime's unless a character and another quote follow.
    let lifetime = quote == '\'' && !rest[1..].starts_with('\\') && rest.chars().nth(2) != Some('\'');
    if !['"', '\''].contains(&quote) || lifetime {
        return None;
    }
    let mut escaped = false;
    let end = rest.char_indices().skip(1).find(|(_, c)| {
        let ends = !escaped && *c == quote;
        escaped = !escaped && *c == '\\';
        ends
    });
    Some(end.map_or(rest.len(), |(at, _)| at + 1))
}

fn without_comments_and_strings(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let length = match comment_or_literal(&text[at..], out.ends_with(part_of_word)) {
            Some(length) => {
                out.push_str(&blank(&text[at..at + length]));
                length
            }
            None => {
                out.push(c);
                c.len_utf8()
            }
        };
        at += length;
    }
    out
}

fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(start) = rest.find(MARK) {
        let end = match rest[start + MARK.len()..].find(['{', ';']).map(|at| start + MARK.len() + at) {
            Some(at) if rest[at..].starts_with('{') => after_block(rest, at),
            Some(at) => at + 1,
            None => rest.len(),
        };
        out.push_str(&rest[..start]);
        out.push_str(&blank(&rest[start..end]));
        rest = &rest[end..];
    }
    out + rest
}

/// Modules of the crate that the product code names, by `crate::` or by enough `super::`, with the line.
fn used_modules(source: &Source) -> Vec<(usize, String)> {
    let code = &source.product;
    let mut used = Vec::new();
    for at in words(code, "crate") {
        let Some(path) = code[at..].strip_prefix("crate::") else { continue };
        let names: Vec<&str> = match path.starts_with('{') {
            true => group(&path[1..after_block(path, 0) - 1]),
            false => vec![path],
        };
        used.extend(names.into_iter().map(|name| (line_of(code, at), first_word(name))));
    }
    for at in words(code, "super").filter(|at| !code[..*at].ends_with("::")) {
        let path = code[at..].trim_start_matches("super::");
        let steps = (code[at..].len() - path.len()) / "super::".len();
        let name = first_word(path);
        if steps >= source.depth() && LAYERS.iter().any(|(module, _)| *module == name) {
            used.push((line_of(code, at), name));
        }
    }
    used
}

/// The items of a `use` group, those of nested groups left with their outer one.
fn group(inside: &str) -> Vec<&str> {
    let mut depth = 0;
    let items = inside.split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    items.map(str::trim).filter(|item| !item.is_empty()).collect()
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|c| part_of_word(*c)).collect()
}

fn layers(sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in sources {
        let Some(module) = source.module() else { continue };
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == module) else {
            wrong.push(format!("{}: module {module} has no row in LAYERS", source.path));
            continue;
        };
        let fine = |name: &str| name == module || VOCABULARY.contains(&name) || allowed.contains(&name);
        let bad = used_modules(source).into_iter().filter(|(_, name)| !fine(name));
        wrong.extend(bad.map(|(line, name)| source.at(line, &format!("{module} may not use {name}"))));
    }
    wrong
}

fn words_in_place(sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in sources {
        let module = source.module().unwrap_or("the crate's root");
        let file = source.path.trim_start_matches("src/").trim_end_matches(".rs");
        let elsewhere = ONLY_IN.iter().filter(|(_, places)| !places.contains(&module) && !places.contains(&file));
        let forbidden = NOT_IN.iter().filter(|(_, modules)| modules.contains(&module));
        for (word, _) in elsewhere.chain(forbidden) {
            let found = words(&source.product, word).map(|at| line_of(&source.product, at));
            wrong.extend(found.map(|line| source.at(line, &format!("{module} may not name {word}"))));
        }
    }
    wrong
}

fn file_lengths(sources: &[Source]) -> Vec<String> {
    let counted = sources.iter().filter(|source| source.path.starts_with("src/") && !source.path.ends_with("tests.rs"));
    let long = counted.map(|source| (source, source.text.lines().count())).filter(|(_, lines)| *lines > FILE_LINES);
    long.map(|(source, lines)| format!("{}: {lines} lines, at most {FILE_LINES}", source.path)).collect()
}

fn function_lengths(sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in sources {
        let code = &source.product;
        for at in words(code, "fn") {
            let name = first_word(code[at + 2..].trim_start());
            let Some(open) = code[at..].find(['{', ';']).map(|offset| at + offset) else { continue };
            if name.is_empty() || code[open..].starts_with(';') {
                continue;
            }
            let lines = code[at..after_block(code, open)].lines().count();
            if lines > FUNCTION_LINES {
                let problem = format!("fn {name} has {lines} lines, at most {FUNCTION_LINES}");
                wrong.push(source.at(line_of(code, at), &problem));
            }
        }
    }
    wrong
}

fn file_names(sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in sources {
        let parts = source.path.split('/').map(|part| part.split('.').next().unwrap_or(part));
        wrong
            .extend(parts.filter(|part| FORBIDDEN_NAMES.contains(part)).map(|part| format!("{}: {part}", source.path)));
        for at in words(&source.code, "mod") {
            let name = first_word(source.code[at + 3..].trim_start());
            if FORBIDDEN_NAMES.contains(&name.as_str()) {
                wrong.push(source.at(line_of(&source.code, at), &format!("mod {name}")));
            }
        }
    }
    wrong
}

fn unfinished_or_local_words(sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in sources.iter().filter(|source| source.path != "tests/tidy.rs") {
        for (number, line) in source.text.lines().enumerate() {
            let found = FORBIDDEN_WORDS.iter().filter(|word| line.contains(**word));
            wrong.extend(found.map(|word| source.at(number + 1, word)));
        }
    }
    wrong
}

fn doc_comments(sources: &[Source]) -> Vec<String> {
    let rust = sources.iter().filter(|source| source.path.ends_with(".rs"));
    let bare = rust.filter(|source| !source.text.trim_start().starts_with("//!"));
    bare.map(|source| format!("{}: does not start with a //! comment", source.path)).collect()
}

/// Every file of the package that people write, in order.
fn package() -> Vec<Source> {
    const FOLDERS: &[&str] = &["src", "tests", "benches", "fuzz", "interop", "config", "packaging", "docs"];
    const ENDINGS: &[&str] = &["rs", "py", "js", "mjs", "ts", "go", "java", "toml", "sh", "md", "run", "Makefile"];
    const PASSED_OVER: &[&str] = &["target", "node_modules", "corpus", "artifacts", "__pycache__"];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut waiting: Vec<_> = FOLDERS.iter().map(|folder| root.join(folder)).collect();
    waiting.extend(["Makefile", "README.md", "ARCHITECTURE.md", "Cargo.toml", ".ci/run"].map(|file| root.join(file)));
    let mut sources = Vec::new();
    while let Some(path) = waiting.pop() {
        let name = path.file_name().and_then(|name| name.to_str()).expect("a UTF-8 file name").to_owned();
        if path.is_dir() {
            // A hidden folder is a tool's (a virtual environment, a cache).
            if !PASSED_OVER.contains(&name.as_str()) && !name.starts_with('.') {
                waiting.extend(fs::read_dir(&path).expect("a folder").map(|entry| entry.expect("an entry").path()));
            }
        } else if path.is_file() && ENDINGS.contains(&name.rsplit('.').next().unwrap_or_default()) {
            let inside = path.strip_prefix(root).expect("a file of the package").to_str().expect("a UTF-8 path");
            let bytes = fs::read(&path).expect("a readable file");
            sources.push(Source::new(inside, &String::from_utf8_lossy(&bytes)));
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(sources.iter().any(|source| source.path == "src/lib.rs"), "no sources under {}", root.display());
    sources
}

type Check = fn(&[Source]) -> Vec<String>;

fn clean(check: Check) {
    let wrong = check(&package());
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// What a check says of one file.
fn says(check: Check, path: &str, text: &str) -> Vec<String> {
    check(&[Source::new(path, text)])
}

#[test]
fn modules_use_only_lower_layers() {
    clean(layers);
}

#[test]
fn outside_crates_and_clocks_are_named_only_where_they_belong() {
    clean(words_in_place);
}

#[test]
fn files_are_short() {
    clean(file_lengths);
}

#[test]
fn functions_are_short() {
    clean(function_lengths);
}

#[test]
fn names_say_what_is_inside() {
    clean(file_names);
}

#[test]
fn nothing_is_unfinished_or_bound_to_one_machine() {
    clean(unfinished_or_local_words);
}

#[test]
fn every_file_says_what_it_is() {
    clean(doc_comments);
}

#[test]
fn the_layer_table_has_no_cycle_and_every_name_a_row() {
    for (place, (module, allowed)) in LAYERS.iter().enumerate() {
        for name in *allowed {
            let below = LAYERS.iter().position(|(other, _)| other == name);
            assert!(below.is_some(), "{module} uses {name}, which has no row");
            assert!(
                below < Some(place) || *module == "node",
                "{module} uses {name}, which stands below it in the table"
            );
        }
    }
    assert!(LAYERS.iter().all(|(_, allowed)| !allowed.contains(&"node")));
}

#[test]
fn layers_sees_every_way_to_name_a_module() {
    let wrong = ["src/wire/frame.rs:2: wire may not use broker"];
    for text in [
        "use crate::name::Name;\nuse crate::broker::message::Record;",
        "\nuse crate::{clock::Now, broker::{queue::Queue, message}};",
        "\nfn f() { crate::broker::f() }",
        "\nuse super::super::broker::Queue;",
        "use super::frame;\nuse crate :: x;use crate::broker;",
    ] {
        assert_eq!(says(layers, "src/wire/frame.rs", text), wrong, "{text}");
    }
    assert_eq!(says(layers, "src/wire/mod.rs", "use super::broker;").len(), 1);
    assert_eq!(says(layers, "src/amqp/sasl.rs", "use crate::{wire::x, store::y};").len(), 1);
    assert_eq!(says(layers, "src/shiny.rs", "").len(), 1);
}

#[test]
fn layers_passes_over_comments_strings_tests_and_what_is_allowed() {
    for (path, text) in [
        (
            "src/wire/frame.rs",
            "// use crate::broker;\n/* crate::broker /* x */ crate::broker */ use crate::value::Value;",
        ),
        ("src/wire/frame.rs", "const A: &str = \"crate::broker\"; const B: &str = r#\"\" crate::broker\"#;"),
        ("src/wire/frame.rs", "fn f<'a>(x: &'a str) -> char { '\"' }\n// \" use crate::broker"),
        ("src/wire/frame.rs", "#[cfg(test)]\nmod tests { use crate::broker; }"),
        ("src/wire/tests.rs", "use crate::broker;"),
        ("src/wire/frame.rs", "use super::broker; use crate::wire::hot;"),
        ("src/node.rs", "use crate::{engine::Broker, listener};"),
        ("src/main.rs", "use warren::cli; crate::x();"),
        ("tests/wire.rs", "use crate::broker;"),
    ] {
        assert_eq!(says(layers, path, text), Vec::<String>::new(), "{text}");
    }
    let after = "#[cfg(test)]\nmod tests { fn f() {} }\nuse crate::broker;";
    assert_eq!(says(layers, "src/wire/frame.rs", after), ["src/wire/frame.rs:3: wire may not use broker"]);
}

#[test]
fn words_in_place_sees_strangers() {
    for (path, text) in [
        ("src/engine/broker.rs", "use rocksdb::DB;"),
        ("src/main.rs", "use rocksdb::DB;"),
        ("src/store/recovery.rs", "fn f() { Instant::now(); }"),
        ("src/broker/mod.rs", "use std::time::Instant; fn f() { Instant::now(); }"),
        ("src/engine/memory.rs", "fn f() { SystemTime::now(); }"),
        ("src/amqp/connection.rs", "use tokio::sync::Notify;"),
        ("src/amqp/connection.rs", "use crate::clock::Now; fn f() { Now::read(); }"),
        ("src/engine/outbox.rs", "use std::net::SocketAddr;"),
        ("src/broker/queue/mod.rs", "use parking_lot::Mutex;"),
    ] {
        assert_eq!(says(words_in_place, path, text).len(), 1, "{path}: {text}");
    }
    for (path, text) in [
        ("src/store/rocks.rs", "use rocksdb::DB;"),
        ("src/clock.rs", "fn f() { Instant::now(); }"),
        ("src/store/committer.rs", "fn f() { Instant::now(); }"),
        ("src/listener/mod.rs", "use tokio::net::TcpStream; use std::net::SocketAddr; fn f() { Now::read(); }"),
        ("src/engine/broker.rs", "// rocksdb\nfn my_rocksdb_name() {}"),
        ("src/broker/mod.rs", "#[cfg(test)] mod tests { fn f() { Instant::now(); } }"),
    ] {
        assert_eq!(says(words_in_place, path, text), Vec::<String>::new());
    }
}

#[test]
fn lengths_are_counted() {
    assert_eq!(says(file_lengths, "src/a.rs", &"\n".repeat(600)), Vec::<String>::new());
    assert_eq!(says(file_lengths, "src/a.rs", &"\n".repeat(601)), ["src/a.rs: 601 lines, at most 600"]);
    assert_eq!(says(file_lengths, "src/a/tests.rs", &"\n".repeat(601)), Vec::<String>::new());
    let function = |inside: usize| format!("//! a\ntype F = fn(u8);\nfn f() {{\n{}}}\n", "{}\n".repeat(inside));
    assert_eq!(says(function_lengths, "src/a.rs", &function(68)), Vec::<String>::new());
    assert_eq!(says(function_lengths, "src/a.rs", &function(69)), ["src/a.rs:3: fn f has 71 lines, at most 70"]);
}

#[test]
fn names_words_and_doc_comments_are_seen() {
    assert_eq!(says(file_names, "src/wire/utils.rs", "").len(), 1);
    assert_eq!(says(file_names, "tests/common/mod.rs", "").len(), 1);
    assert_eq!(says(file_names, "src/wire/mod.rs", "mod helpers;"), ["src/wire/mod.rs:1: mod helpers"]);
    assert_eq!(says(file_names, "src/wire/mod.rs", "mod common_prefix;"), Vec::<String>::new());
    for word in FORBIDDEN_WORDS {
        let text = format!("//! a\n// see {word}");
        assert_eq!(says(unfinished_or_local_words, "src/a.rs", &text), [format!("src/a.rs:2: {word}")]);
    }
    assert_eq!(says(doc_comments, "src/a.rs", "use std::fs;\n//! late").len(), 1);
    assert_eq!(says(doc_comments, "src/a.rs", "//! a\nuse std::fs;"), Vec::<String>::new());
}

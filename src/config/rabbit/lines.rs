//! The lines of a `rabbitmq.conf`: `key = value`, `#` begins a comment, quotes keep one from beginning.

/// One `key = value`, with its line from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub number: usize,
    pub key: String,
    pub value: String,
}

/// What is wrong, and in which line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault(pub usize, pub String);

/// Reads the text of a file.
pub(super) fn read(text: &str) -> Result<Vec<Line>, Fault> {
    let mut lines = Vec::new();
    for (place, line) in text.lines().enumerate() {
        let (number, line) = (place + 1, line.trim());
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |problem: &str| Fault(number, problem.to_owned());
        let (key, value) = line.split_once('=').ok_or_else(|| wrong("expected `key = value`"))?;
        let (key, value) = (key.trim(), value.trim());
        if key.is_empty() || !key.bytes().all(is_part_of_key) {
            return Err(wrong("expected a key of letters, digits, `_`, `-`, `.` before `=`"));
        }
        let value = unquoted(value).ok_or_else(|| wrong("expected a closing quote"))?;
        if value.is_empty() {
            return Err(Fault(number, format!("{key}: expected a value")));
        }
        lines.push(Line { number, key: key.to_owned(), value: value.to_owned() });
    }
    Ok(lines)
}

fn is_part_of_key(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-.\\".contains(&byte)
}

/// The value, without a comment behind it. None: a quote is not closed.
fn unquoted(value: &str) -> Option<&str> {
    match value.strip_prefix('\'') {
        Some(quoted) => quoted.split_once('\'').map(|(value, _)| value),
        None => Some(value.split('#').next().unwrap_or_default().trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs(text: &str) -> Vec<(usize, String, String)> {
        read(text).unwrap().into_iter().map(|line| (line.number, line.key, line.value)).collect()
    }

    #[test]
    fn keys_values_and_comments() {
        let text =
            "# a comment\n\n## another\nheartbeat = 60\r\n  a.b-c_d=x y  # why\ndefault_pass = 'p#1 '  # quoted\n";
        let wanted = [(4, "heartbeat", "60"), (5, "a.b-c_d", "x y"), (6, "default_pass", "p#1 ")];
        let wanted: Vec<_> =
            wanted.iter().map(|(line, key, value)| (*line, key.to_string(), value.to_string())).collect();
        assert_eq!(pairs(text), wanted);
        assert_eq!(pairs("a = b=c"), [(1, "a".to_owned(), "b=c".to_owned())]);
    }

    #[test]
    fn faults_have_a_line() {
        for (text, line, part) in [
            ("heartbeat 60", 1, "`key = value`"),
            ("\n = 60", 2, "a key"),
            ("[{rabbit, []}].", 1, "`key = value`"),
            ("a b = c", 1, "a key"),
            ("a = ", 1, "a: expected a value"),
            ("a = # b", 1, "a: expected a value"),
            ("x = 1\na = 'b", 2, "closing quote"),
        ] {
            let Fault(at, told) = read(text).unwrap_err();
            assert!(at == line && told.contains(part), "{text}: {at}: {told}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-z.=#' \\n\\r\u{e9}]{0,60}") {
            if let Ok(lines) = read(&text) {
                for line in lines {
                    prop_assert!(!line.key.is_empty() && !line.value.is_empty() && line.number <= text.lines().count());
                }
            }
        }
    }
}

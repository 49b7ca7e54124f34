//! The regular expressions of permissions: searched for anywhere in a name, as PCRE does, and bounded in size and time.

use crate::limits::{PATTERN_BYTES, PATTERN_PROGRAM_BYTES, PATTERN_STEPS};
use fancy_regex::{Regex, RegexBuilder};

/// A regular expression of a permission, compiled.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    matcher: Matcher,
}

#[derive(Clone, Debug)]
enum Matcher {
    /// `.*`, which most permissions are: nothing has to be looked for.
    Everything,
    /// The empty pattern stands for `^$`.
    EmptyName,
    /// It cannot be compiled: it permits nothing.
    Nothing,
    Search(Box<Regex>),
}

impl Pattern {
    /// A pattern; one that is invalid or too large matches nothing.
    pub fn new(text: &str) -> Pattern {
        Pattern::checked(text).unwrap_or_else(|_| Pattern { text: text.to_owned(), matcher: Matcher::Nothing })
    }

    /// A pattern, if it can be one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn checked(text: &str) -> Result<Pattern, String> {
        let matcher = match text {
            ".*" => Matcher::Everything,
            "" => Matcher::EmptyName,
            _ if text.len() > PATTERN_BYTES => return Err(format!("it is longer than {PATTERN_BYTES} bytes")),
            _ => {
                let mut builder = RegexBuilder::new(text);
                builder.backtrack_limit(PATTERN_STEPS);
                builder.delegate_size_limit(PATTERN_PROGRAM_BYTES).delegate_dfa_size_limit(PATTERN_PROGRAM_BYTES);
                Matcher::Search(Box::new(builder.build().map_err(|fault| fault.to_string())?))
            }
        };
        Ok(Pattern { text: text.to_owned(), matcher })
    }

    /// Whether it is found in a name. One that takes too long to tell is not.
    pub fn matches(&self, name: &str) -> bool {
        match &self.matcher {
            Matcher::Everything => true,
            Matcher::EmptyName => name.is_empty(),
            Matcher::Nothing => false,
            Matcher::Search(regex) => regex.is_match(name).unwrap_or(false),
        }
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_searched_for_anywhere() {
        let cases = [
            ("", "", true),
            ("", "q", false),
            (".*", "", true),
            (".*", "q", true),
            ("work", "my-work-1", true),
            ("^work$", "work-1", false),
            ("^amq\\.gen.*", "amq.gen-x", true),
            ("^(?!secret)", "secret-1", false),
            ("^(?!secret)", "open", true),
            ("(a)\\1", "xaa", true),
            ("^(q|x)$", "x", true),
            ("ö", "größe", true),
        ];
        for (pattern, name, found) in cases {
            assert_eq!(Pattern::checked(pattern).unwrap().matches(name), found, "{pattern} in {name}");
        }
    }

    #[test]
    fn what_is_invalid_permits_nothing() {
        for text in ["(", "[", "*", "(?<a", &"a".repeat(PATTERN_BYTES + 1)] {
            assert!(Pattern::checked(text).is_err(), "{text}");
            let pattern = Pattern::new(text);
            assert!(!pattern.matches("") && !pattern.matches("a") && !pattern.matches(text), "{text}");
            assert_eq!(pattern.as_str(), text);
        }
    }

    #[test]
    fn what_takes_too_long_permits_nothing() {
        let pattern = Pattern::checked("^(?=a)(a|aa)+\\1?$(?<!b)").unwrap();
        assert!(!pattern.matches(&format!("{}b", "a".repeat(200))));
        assert!(Pattern::checked("(((a{1000}){1000}){1000}){1000}").is_err(), "a program of any size");
    }
}

//! SQL's `LIKE`: `_` stands for one character, `%` for any number of them.

/// A pattern.
#[derive(Clone, Debug)]
pub(super) struct Pattern(Vec<Item>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    Char(char),
    One,
    Any,
}

impl Pattern {
    /// Reads a pattern; the character after `escape` stands for itself.
    ///
    /// # Errors
    /// The escape is not one character.
    pub fn new(pattern: &[u8], escape: Option<&[u8]>) -> Result<Pattern, String> {
        let escape = match escape.map(|escape| String::from_utf8_lossy(escape).into_owned()) {
            None => None,
            Some(escape) => {
                let mut chars = escape.chars();
                match (chars.next(), chars.next()) {
                    (Some(escape), None) => Some(escape),
                    _ => return Err("an escape is one character".to_owned()),
                }
            }
        };
        let (text, mut items) = (String::from_utf8_lossy(pattern), Vec::new());
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            let item = match c {
                c if Some(c) == escape => Item::Char(chars.next().unwrap_or(c)),
                '_' => Item::One,
                '%' => Item::Any,
                c => Item::Char(c),
            };
            // Several in a row say the same as one.
            if item != Item::Any || items.last() != Some(&Item::Any) {
                items.push(item);
            }
        }
        Ok(Pattern(items))
    }

    /// Whether all of `text` matches. Only the last `%` before a mismatch is tried again, so that the time is at most the
    /// product of both lengths.
    pub fn matches(&self, text: &[u8]) -> bool {
        let text: Vec<char> = String::from_utf8_lossy(text).chars().collect();
        let (mut at, mut item) = (0, 0);
        // Where to go on if something does not match: behind the last `%`, one character later.
        let mut retry: Option<(usize, usize)> = None;
        while let Some(c) = text.get(at) {
            match self.0.get(item) {
                Some(Item::Any) => {
                    retry = Some((at, item));
                    item += 1;
                    continue;
                }
                Some(Item::One) => {}
                Some(Item::Char(wanted)) if wanted == c => {}
                _ => {
                    let Some((start, any)) = &mut retry else { return false };
                    *start += 1;
                    (at, item) = (*start, *any + 1);
                    continue;
                }
            }
            at += 1;
            item += 1;
        }
        self.0.iter().skip(item).all(|item| *item == Item::Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, yes, no) in [
            ("", &[""][..], &["a"][..]),
            ("abc", &["abc"], &["ab", "abcd", ""]),
            ("a_c", &["abc", "aüc"], &["ac", "abbc"]),
            ("a%", &["a", "abc"], &["ba", ""]),
            ("%a%b%", &["ab", "xaxbx", "aab"], &["ba", "b"]),
            ("%%_", &["a", "ab"], &[""]),
            ("100!%", &["100%"], &["100", "1000"]),
            ("!!", &["!"], &["!!"]),
        ] {
            let pattern_ = Pattern::new(pattern.as_bytes(), Some(b"!")).unwrap();
            yes.iter().for_each(|text| assert!(pattern_.matches(text.as_bytes()), "{pattern} {text}"));
            no.iter().for_each(|text| assert!(!pattern_.matches(text.as_bytes()), "{pattern} {text}"));
        }
        assert!(Pattern::new(b"a", Some(b"")).is_err() && Pattern::new(b"a", Some(b"xy")).is_err());
        let nasty = Pattern::new("%a".repeat(1000).as_bytes(), None).unwrap();
        assert!(!nasty.matches("ab".repeat(900).as_bytes()));
    }
}

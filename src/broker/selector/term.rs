//! Selectors as Erlang terms: what the JMS library compiles SQL to.

use super::like::Pattern;
use super::{Comparison, Expression, Operation, Scalar};
use crate::limits::{SELECTOR_BYTES, SELECTOR_CHAIN};

/// An Erlang term, as far as selectors have them.
#[derive(Clone, Debug, PartialEq)]
enum Term {
    Atom(Vec<u8>),
    Integer(i64),
    Real(f64),
    Binary(Vec<u8>),
    Tuple(Vec<Term>),
    List(Vec<Term>),
}

/// Reads a selector; a full stop may follow it.
///
/// # Errors
/// What is wrong, and where.
pub(super) fn parse(text: &[u8]) -> Result<Expression, String> {
    if text.len() > SELECTOR_BYTES {
        return Err(format!("longer than {SELECTOR_BYTES} bytes"));
    }
    let mut reader = Reader { text, at: 0 };
    let term = reader.term(0)?;
    reader.eat(b".");
    reader.skip_space();
    if reader.at < text.len() {
        return Err(reader.unexpected());
    }
    expression(term)
}

struct Reader<'t> {
    text: &'t [u8],
    at: usize,
}

impl Reader<'_> {
    fn unexpected(&self) -> String {
        format!("unexpected input at byte {}", self.at)
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn eat(&mut self, token: &[u8]) -> bool {
        self.skip_space();
        let found = self.text.get(self.at..).is_some_and(|rest| rest.starts_with(token));
        if found {
            self.at += token.len();
        }
        found
    }

    fn term(&mut self, depth: usize) -> Result<Term, String> {
        if depth > SELECTOR_CHAIN {
            return Err(format!("nested deeper than {SELECTOR_CHAIN} levels"));
        }
        if self.eat(b"{") {
            return self.several(b"}", depth).map(Term::Tuple);
        }
        if self.eat(b"[") {
            return self.several(b"]", depth).map(Term::List);
        }
        if self.eat(b"<<") {
            let bytes = if self.eat(b"\"") { self.quoted(b'"')? } else { Vec::new() };
            return if self.eat(b">>") { Ok(Term::Binary(bytes)) } else { Err(self.unexpected()) };
        }
        if self.eat(b"'") {
            return self.quoted(b'\'').map(Term::Atom);
        }
        match self.peek() {
            Some(b'a'..=b'z') => {
                Ok(Term::Atom(self.span(|byte| byte.is_ascii_alphanumeric() || byte == b'_').to_vec()))
            }
            Some(b'0'..=b'9' | b'-' | b'+') => self.number(),
            _ => Err(self.unexpected()),
        }
    }

    fn several(&mut self, end: &[u8], depth: usize) -> Result<Vec<Term>, String> {
        let mut terms = Vec::new();
        if self.eat(end) {
            return Ok(terms);
        }
        loop {
            terms.push(self.term(depth + 1)?);
            if self.eat(end) {
                return Ok(terms);
            }
            if !self.eat(b",") {
                return Err(self.unexpected());
            }
        }
    }

    fn span(&mut self, belongs: impl Fn(u8) -> bool) -> &[u8] {
        let from = self.at;
        while self.peek().is_some_and(&belongs) {
            self.at += 1;
        }
        self.text.get(from..self.at).unwrap_or_default()
    }

    /// Text up to the closing quote; a backslash takes away the meaning of what follows it.
    fn quoted(&mut self, quote: u8) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        loop {
            let byte = self.peek().ok_or_else(|| self.unexpected())?;
            self.at += 1;
            match byte {
                byte if byte == quote => return Ok(bytes),
                b'\\' => {
                    let escaped = self.peek().ok_or_else(|| self.unexpected())?;
                    self.at += 1;
                    bytes.push(match escaped {
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        other => other,
                    });
                }
                byte => bytes.push(byte),
            }
        }
    }

    fn number(&mut self) -> Result<Term, String> {
        let from = self.at;
        let mut before = 0;
        while let Some(byte) = self.peek() {
            let next = self.text.get(self.at + 1).copied().unwrap_or_default();
            let belongs = match byte {
                b'0'..=b'9' | b'e' | b'E' => true,
                // A full stop ends the term, unless a digit follows.
                b'.' => next.is_ascii_digit(),
                b'-' | b'+' => self.at == from || matches!(before, b'e' | b'E'),
                _ => false,
            };
            if !belongs {
                break;
            }
            before = byte;
            self.at += 1;
        }
        let text = self.text.get(from..self.at).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default();
        if let Ok(number) = text.parse() {
            return Ok(Term::Integer(number));
        }
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Term::Real(number)),
            _ => Err(format!("'{text}' is no number")),
        }
    }
}

/// Recursion: as deep as the term.
fn expression(term: Term) -> Result<Expression, String> {
    match term {
        Term::Atom(word) if word == b"true" => Ok(Expression::Literal(Scalar::Bool(true))),
        Term::Atom(word) if word == b"false" => Ok(Expression::Literal(Scalar::Bool(false))),
        Term::Integer(number) => Ok(Expression::Literal(Scalar::Integer(number))),
        Term::Real(number) => Ok(Expression::Literal(Scalar::Real(number))),
        Term::Binary(text) => Ok(Expression::Literal(Scalar::Text(text))),
        Term::Tuple(terms) => operation(terms),
        other => Err(format!("{other:?} is no expression")),
    }
}

fn operation(terms: Vec<Term>) -> Result<Expression, String> {
    let mut terms = terms.into_iter();
    let Some(Term::Atom(name)) = terms.next() else { return Err("a tuple begins with an atom".to_owned()) };
    let name = String::from_utf8_lossy(&name).into_owned();
    let rest: Vec<Term> = terms.collect();
    let wrong = || Err(format!("'{name}' with {} parts is no expression", rest.len()));
    match (name.as_str(), rest.as_slice()) {
        ("ident", [Term::Binary(field)]) => Ok(Expression::Field(field.clone())),
        ("between" | "not_between", [value, Term::Tuple(range)]) => match range.as_slice() {
            [Term::Atom(word), from, to] if word == b"range" => between(&name, value, from, to),
            _ => wrong(),
        },
        ("between" | "not_between", [value, from, to]) => between(&name, value, from, to),
        ("like" | "not_like", [value, Term::Binary(pattern), escape]) => {
            let escape = match escape {
                Term::Binary(escape) => Some(escape.as_slice()),
                Term::Atom(word) if word == b"no_escape" => None,
                _ => return wrong(),
            };
            let like = Expression::Like(boxed(value)?, Pattern::new(pattern, escape)?);
            Ok(like.negated_if(name == "not_like"))
        }
        ("in" | "not_in", [value, Term::List(list)]) => {
            let text = |term: &Term| match term {
                Term::Binary(text) => Ok(text.clone()),
                other => Err(format!("{other:?} is no text")),
            };
            let list = list.iter().map(text).collect::<Result<_, _>>()?;
            Ok(Expression::In(boxed(value)?, list).negated_if(name == "not_in"))
        }
        (_, [value]) => match name.as_str() {
            "not" => Ok(Expression::Not(boxed(value)?)),
            "is_null" => Ok(Expression::IsNull(boxed(value)?)),
            "not_null" => Ok(Expression::IsNull(boxed(value)?).negated_if(true)),
            "-" => Ok(Expression::Negate(boxed(value)?)),
            "+" => expression(value.clone()),
            _ => wrong(),
        },
        (_, [left, right]) => {
            let parts = || Ok::<_, String>([expression(left.clone())?, expression(right.clone())?]);
            if let Some(comparison) = comparison(&name) {
                return Ok(Expression::Compare(comparison, Box::new(parts()?)));
            }
            match name.as_str() {
                "and" => Ok(Expression::And(parts()?.into())),
                "or" => Ok(Expression::Or(parts()?.into())),
                "+" => Ok(Expression::Calculate(Operation::Add, Box::new(parts()?))),
                "-" => Ok(Expression::Calculate(Operation::Subtract, Box::new(parts()?))),
                "*" => Ok(Expression::Calculate(Operation::Multiply, Box::new(parts()?))),
                "/" => Ok(Expression::Calculate(Operation::Divide, Box::new(parts()?))),
                _ => wrong(),
            }
        }
        _ => wrong(),
    }
}

fn boxed(term: &Term) -> Result<Box<Expression>, String> {
    expression(term.clone()).map(Box::new)
}

fn between(name: &str, value: &Term, from: &Term, to: &Term) -> Result<Expression, String> {
    let parts = [expression(value.clone())?, expression(from.clone())?, expression(to.clone())?];
    Ok(Expression::Between(Box::new(parts)).negated_if(name == "not_between"))
}

/// The comparison of that sign.
pub(super) fn comparison(sign: &str) -> Option<Comparison> {
    match sign {
        "=" => Some(Comparison::Equal),
        "<>" => Some(Comparison::Unequal),
        "<" => Some(Comparison::Less),
        ">" => Some(Comparison::Greater),
        "<=" => Some(Comparison::AtMost),
        ">=" => Some(Comparison::AtLeast),
        _ => None,
    }
}

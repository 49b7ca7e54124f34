//! Selectors as SQL, in the dialect of JMS.
//!
//! ```text
//! or      = and { OR and }            and     = not { AND not }         not = [NOT] test
//! test    = sum [ sign sum | IS [NOT] NULL | [NOT] BETWEEN sum AND sum | [NOT] IN ( text , … )
//!               | [NOT] LIKE text [ESCAPE text] ]
//! sum     = product { + product }     product = signed { * signed }     signed = { + | - } simple
//! simple  = ( or ) | TRUE | FALSE | text | number | header
//! ```

use super::like::Pattern;
use super::term::comparison;
use super::{Expression, Operation, Scalar};
use crate::limits::{SELECTOR_BYTES, SELECTOR_CHAIN, SELECTOR_DEPTH};

/// Reads a selector.
///
/// # Errors
/// What is wrong, and where.
pub(super) fn parse(text: &str) -> Result<Expression, String> {
    if text.len() > SELECTOR_BYTES {
        return Err(format!("longer than {SELECTOR_BYTES} bytes"));
    }
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0 };
    let expression = parser.or()?;
    match parser.peek() {
        None => Ok(expression),
        Some(token) => Err(format!("unexpected {token:?}")),
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    /// A word that is no keyword: a header's name.
    Name(String),
    /// A keyword, in capitals.
    Keyword(&'static str),
    Text(Vec<u8>),
    Number(Scalar),
    Sign(&'static str),
}

const KEYWORDS: [&str; 11] = ["AND", "OR", "NOT", "BETWEEN", "IN", "LIKE", "ESCAPE", "IS", "NULL", "TRUE", "FALSE"];
/// Longer ones first.
const SIGNS: [&str; 13] = ["<>", "<=", ">=", "=", "<", ">", "+", "-", "*", "/", "(", ")", ","];

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let (mut tokens, mut rest) = (Vec::new(), text.trim_start());
    while let Some(first) = rest.chars().next() {
        let (token, used) = if first == '\'' {
            quoted(rest)?
        } else if first.is_ascii_digit() || (first == '.' && rest.chars().nth(1).is_some_and(|c| c.is_ascii_digit())) {
            number(rest)?
        } else if first.is_alphabetic() || first == '_' || first == '$' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && !"_$.".contains(c)).unwrap_or(rest.len());
            let (word, _) = rest.split_at(end);
            let keyword = KEYWORDS.iter().find(|keyword| keyword.eq_ignore_ascii_case(word));
            (keyword.map_or_else(|| Token::Name(word.to_owned()), |keyword| Token::Keyword(keyword)), end)
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            (Token::Sign(sign), sign.len())
        } else {
            return Err(format!("unexpected '{first}'"));
        };
        tokens.push(token);
        rest = rest.get(used..).unwrap_or_default().trim_start();
    }
    Ok(tokens)
}

/// `'it''s'`
fn quoted(text: &str) -> Result<(Token, usize), String> {
    let (mut bytes, mut chars) = (Vec::new(), text.char_indices().skip(1).peekable());
    while let Some((at, c)) = chars.next() {
        if c != '\'' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        } else if chars.next_if(|(_, next)| *next == '\'').is_some() {
            bytes.push(b'\'');
        } else {
            return Ok((Token::Text(bytes), at + 1));
        }
    }
    Err("a text does not end".to_owned())
}

/// `12`, `1.5e3`, `0x1F`; the type letters of Java's numbers may follow.
fn number(text: &str) -> Result<(Token, usize), String> {
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        let end = digits.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digits.len());
        let number = i64::from_str_radix(digits.split_at(end).0, 16);
        return number
            .map(|number| (Token::Number(Scalar::Integer(number)), end + 2))
            .map_err(|_| "a number is too large".to_owned());
    }
    let mut end = 0;
    let mut before = ' ';
    for c in text.chars() {
        let sign = matches!(c, '+' | '-') && matches!(before, 'e' | 'E');
        if !c.is_ascii_digit() && !matches!(c, '.' | 'e' | 'E') && !sign {
            break;
        }
        before = c;
        end += 1;
    }
    let digits = text.split_at(end).0;
    let number = match digits.parse().map(Scalar::Integer) {
        Ok(number) => number,
        Err(_) => match digits.parse::<f64>() {
            Ok(number) if number.is_finite() => Scalar::Real(number),
            _ => return Err(format!("'{digits}' is no number")),
        },
    };
    let suffix = text.get(end..).is_some_and(|rest| rest.starts_with(['l', 'L', 'd', 'D', 'f', 'F']));
    Ok((Token::Number(number), end + usize::from(suffix)))
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn eat(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        self.at += usize::from(found);
        found
    }

    fn keyword(&mut self, word: &'static str) -> bool {
        self.eat(&Token::Keyword(word))
    }

    fn sign(&mut self, sign: &'static str) -> bool {
        self.eat(&Token::Sign(sign))
    }

    fn expect(&mut self, token: &Token) -> Result<(), String> {
        if self.eat(token) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn unexpected(&self) -> String {
        self.peek().map_or_else(|| "unexpected end".to_owned(), |token| format!("unexpected {token:?}"))
    }

    fn text(&mut self) -> Result<Vec<u8>, String> {
        let Some(Token::Text(text)) = self.peek() else { return Err(self.unexpected()) };
        let text = text.clone();
        self.at += 1;
        Ok(text)
    }

    /// Everything that nests comes through here.
    fn or(&mut self) -> Result<Expression, String> {
        self.depth += 1;
        if self.depth > SELECTOR_DEPTH {
            return Err(format!("nested deeper than {SELECTOR_DEPTH} levels"));
        }
        let mut parts = vec![self.and()?];
        while self.keyword("OR") {
            parts.push(self.and()?);
        }
        self.depth -= 1;
        Ok(one_or(parts, Expression::Or))
    }

    fn and(&mut self) -> Result<Expression, String> {
        let mut parts = vec![self.not()?];
        while self.keyword("AND") {
            parts.push(self.not()?);
        }
        Ok(one_or(parts, Expression::And))
    }

    fn not(&mut self) -> Result<Expression, String> {
        let mut negated = false;
        while self.keyword("NOT") {
            negated = !negated;
        }
        Ok(self.test()?.negated_if(negated))
    }

    fn test(&mut self) -> Result<Expression, String> {
        let left = self.sum()?;
        if self.keyword("IS") {
            let negated = self.keyword("NOT");
            self.expect(&Token::Keyword("NULL"))?;
            return Ok(Expression::IsNull(Box::new(left)).negated_if(negated));
        }
        if let Some(Token::Sign(sign)) = self.peek()
            && let Some(comparison) = comparison(sign)
        {
            self.at += 1;
            return Ok(Expression::Compare(comparison, Box::new([left, self.sum()?])));
        }
        let negated = self.keyword("NOT");
        let tested = if self.keyword("BETWEEN") {
            let from = self.sum()?;
            self.expect(&Token::Keyword("AND"))?;
            Expression::Between(Box::new([left, from, self.sum()?]))
        } else if self.keyword("IN") {
            self.expect(&Token::Sign("("))?;
            let mut list = vec![self.text()?];
            while self.sign(",") {
                list.push(self.text()?);
            }
            self.expect(&Token::Sign(")"))?;
            Expression::In(Box::new(left), list)
        } else if self.keyword("LIKE") {
            let pattern = self.text()?;
            let escape = if self.keyword("ESCAPE") { Some(self.text()?) } else { None };
            Expression::Like(Box::new(left), Pattern::new(&pattern, escape.as_deref())?)
        } else if negated {
            return Err(self.unexpected());
        } else {
            return Ok(left);
        };
        Ok(tested.negated_if(negated))
    }

    fn sum(&mut self) -> Result<Expression, String> {
        let mut left = self.product()?;
        let mut length = 0;
        loop {
            let operation = match self.peek() {
                Some(Token::Sign("+")) => Operation::Add,
                Some(Token::Sign("-")) => Operation::Subtract,
                _ => return Ok(left),
            };
            self.at += 1;
            chain(&mut length)?;
            left = Expression::Calculate(operation, Box::new([left, self.product()?]));
        }
    }

    fn product(&mut self) -> Result<Expression, String> {
        let mut left = self.signed()?;
        let mut length = 0;
        loop {
            let operation = match self.peek() {
                Some(Token::Sign("*")) => Operation::Multiply,
                Some(Token::Sign("/")) => Operation::Divide,
                _ => return Ok(left),
            };
            self.at += 1;
            chain(&mut length)?;
            left = Expression::Calculate(operation, Box::new([left, self.signed()?]));
        }
    }

    fn signed(&mut self) -> Result<Expression, String> {
        let mut negative = false;
        loop {
            if self.sign("-") {
                negative = !negative;
            } else if !self.sign("+") {
                break;
            }
        }
        let simple = self.simple()?;
        Ok(if negative { Expression::Negate(Box::new(simple)) } else { simple })
    }

    fn simple(&mut self) -> Result<Expression, String> {
        let Some(token) = self.peek().cloned() else { return Err(self.unexpected()) };
        let expression = match token {
            Token::Sign("(") => {
                self.at += 1;
                let inner = self.or()?;
                return self.expect(&Token::Sign(")")).map(|()| inner);
            }
            Token::Keyword("TRUE") => Expression::Literal(Scalar::Bool(true)),
            Token::Keyword("FALSE") => Expression::Literal(Scalar::Bool(false)),
            Token::Text(text) => Expression::Literal(Scalar::Text(text)),
            Token::Number(number) => Expression::Literal(number),
            Token::Name(name) => Expression::Field(name.into_bytes()),
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        Ok(expression)
    }
}

/// A chain of sums or products is as deep as it is long.
fn chain(length: &mut usize) -> Result<(), String> {
    *length += 1;
    if *length > SELECTOR_CHAIN { Err(format!("more than {SELECTOR_CHAIN} operations in a row")) } else { Ok(()) }
}

fn one_or(mut parts: Vec<Expression>, several: impl FnOnce(Vec<Expression>) -> Expression) -> Expression {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            several(parts)
        }
        None => several(parts),
    }
}

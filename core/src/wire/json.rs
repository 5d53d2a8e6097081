//! JSON from the server, parsed once, strictly and within bounds.
//!
//! The grammar is exactly that of RFC 8259. Stricter, by docs/protocol.md §7.B rows 30–40: the top level is an object, a
//! name appears once in an object at every level (R6749 §3.2, R7515 §4, R7519 §4), the text is UTF-8 without lone
//! surrogates, nesting and the number of values are bounded. Looser: one byte order mark is skipped (row 39), and a number
//! of any size is well-formed (row 45). Text may be a token, so it lives in buffers that wipe themselves, are allocated
//! once and are never printed.

use core::cmp::Ordering;
use core::fmt;

use zeroize::Zeroizing;

use crate::secret::Secret;

/// Parses `bytes` as one JSON object with nothing after it.
pub(crate) fn parse_object(bytes: &[u8], limits: Limits) -> Result<Object, JsonError> {
    let text = str::from_utf8(bytes).map_err(|_| JsonError::Encoding)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parser = Parser { text, at: 0, values_left: limits.values };
    let value = parser.value(limits.depth)?;
    parser.skip_space();
    match (value, parser.peek()) {
        (Value::Object(object), None) => Ok(object),
        (_, None) => Err(JsonError::NotAnObject),
        (_, Some(_)) => Err(JsonError::Syntax),
    }
}

/// How much a document may contain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Objects and arrays inside each other, the outermost included. The parser recurses this deep.
    pub(crate) depth: usize,
    /// Values of any type, objects and arrays included.
    pub(crate) values: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 16, values: 20_000 }
    }
}

/// Why a document was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JsonError {
    /// Not UTF-8, or an escape that is half of a surrogate pair.
    Encoding,
    /// Not JSON.
    Syntax,
    /// A name appears twice in one object.
    Duplicate,
    /// Deeper than [`Limits::depth`].
    TooDeep,
    /// More than [`Limits::values`].
    TooMany,
    /// JSON, but no object.
    NotAnObject,
}

/// Any JSON value.
#[derive(Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(Number),
    String(Text),
    Array(Vec<Value>),
    Object(Object),
}

impl Value {
    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text.as_str()),
            _ => None,
        }
    }

    pub(crate) fn as_array(&self) -> Option<&[Value]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }
}

/// A string, wiped when dropped.
pub(crate) struct Text(Zeroizing<String>);

impl Text {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The same buffer as a secret, without a copy.
    pub(crate) fn into_secret(self) -> Secret {
        Secret::from(self.0)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[text]")
    }
}

/// A number as it was written; what it is worth depends on who reads it.
pub(crate) struct Number(Zeroizing<String>);

impl Number {
    /// The value of a plain integer (no fraction, no exponent) that fits.
    pub(crate) fn as_i64(&self) -> Option<i64> {
        self.0.parse().ok()
    }

    /// The nearest float; infinite where the number is too large for one.
    pub(crate) fn as_f64(&self) -> f64 {
        self.0.parse().unwrap_or(f64::INFINITY)
    }

    #[cfg(test)]
    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[number]")
    }
}

/// An object whose names are unique.
// Sorted by name: duplicates become neighbours and a look-up is a binary search, whatever a server sends.
pub(crate) struct Object(Vec<(Box<str>, Value)>);

impl Object {
    fn new(mut members: Vec<(Box<str>, Value)>) -> Result<Self, JsonError> {
        members.sort_unstable_by(|(a, _), (b, _)| by_length(a, b));
        let next = members.iter().skip(1);
        match members.iter().zip(next).any(|((name, _), (next, _))| name == next) {
            true => Err(JsonError::Duplicate),
            false => Ok(Self(members)),
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(self.position(name)?).map(|(_, value)| value)
    }

    /// Moves a value out, so that a secret in it is not copied.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        let position = self.position(name)?;
        Some(self.0.remove(position).1)
    }

    /// All members, in no order that means anything.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }

    /// The text of a string member.
    pub(crate) fn str(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    /// The value of a member that is a plain integer.
    pub(crate) fn i64(&self, name: &str) -> Option<i64> {
        match self.get(name)? {
            Value::Number(number) => number.as_i64(),
            _ => None,
        }
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.0.binary_search_by(|(other, _)| by_length(other, name)).ok()
    }
}

/// Any total order would do; with this one few comparisons look at the text.
fn by_length(one: &str, other: &str) -> Ordering {
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[object of {}]", self.0.len())
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    values_left: usize,
}

impl<'a> Parser<'a> {
    fn value(&mut self, depth: usize) -> Result<Value, JsonError> {
        self.values_left = self.values_left.checked_sub(1).ok_or(JsonError::TooMany)?;
        self.skip_space();
        match self.peek() {
            Some(b'{') => self.object(depth.checked_sub(1).ok_or(JsonError::TooDeep)?),
            Some(b'[') => self.array(depth.checked_sub(1).ok_or(JsonError::TooDeep)?),
            Some(b'"') => self.string().map(Value::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal("true", Value::Bool(true)),
            Some(b'f') => self.literal("false", Value::Bool(false)),
            Some(b'n') => self.literal("null", Value::Null),
            _ => Err(JsonError::Syntax),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, JsonError> {
        self.require(b'{')?;
        let mut members = Vec::new();
        self.skip_space();
        if !self.eat(b'}') {
            loop {
                self.skip_space();
                let name = self.name()?;
                self.skip_space();
                self.require(b':')?;
                members.push((name, self.value(depth)?));
                if self.closes(b'}')? {
                    break;
                }
            }
        }
        Object::new(members).map(Value::Object)
    }

    fn array(&mut self, depth: usize) -> Result<Value, JsonError> {
        self.require(b'[')?;
        let mut items = Vec::new();
        self.skip_space();
        if !self.eat(b']') {
            loop {
                items.push(self.value(depth)?);
                if self.closes(b']')? {
                    break;
                }
            }
        }
        Ok(Value::Array(items))
    }

    /// After an item: the closing bracket, or a comma and so one more item.
    fn closes(&mut self, bracket: u8) -> Result<bool, JsonError> {
        self.skip_space();
        if self.eat(bracket) {
            return Ok(true);
        }
        self.require(b',').map(|()| false)
    }

    fn string(&mut self) -> Result<Text, JsonError> {
        match self.raw_string()? {
            (raw, true) => unescape(raw),
            (raw, false) => Ok(Text(Zeroizing::new(raw.to_owned()))),
        }
    }

    /// A member's name: a word of the protocol, nothing to wipe.
    fn name(&mut self) -> Result<Box<str>, JsonError> {
        match self.raw_string()? {
            (raw, true) => unescape(raw).map(|text| text.as_str().into()),
            (raw, false) => Ok(raw.into()),
        }
    }

    /// The inside of a string as it is written, and whether there are escapes in it.
    fn raw_string(&mut self) -> Result<(&'a str, bool), JsonError> {
        self.require(b'"')?;
        let start = self.at;
        let mut has_escapes = false;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            self.at += rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | ..0x20)).ok_or(JsonError::Syntax)?;
            match self.peek() {
                Some(b'"') => break,
                // The escaped byte may be a quote; `unescape` judges what it is.
                Some(b'\\') => (has_escapes, self.at) = (true, self.at + 2),
                _ => return Err(JsonError::Syntax),
            }
        }
        let raw = self.text.get(start..self.at).ok_or(JsonError::Syntax)?;
        self.at += 1;
        Ok((raw, has_escapes))
    }

    fn number(&mut self) -> Result<Value, JsonError> {
        let start = self.at;
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            let _sign = self.eat(b'+') || self.eat(b'-');
            self.digits()?;
        }
        let text = self.text.get(start..self.at).ok_or(JsonError::Syntax)?;
        Ok(Value::Number(Number(Zeroizing::new(text.to_owned()))))
    }

    /// One digit or more.
    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(JsonError::Syntax) } else { Ok(()) }
    }

    fn literal(&mut self, word: &str, value: Value) -> Result<Value, JsonError> {
        word.bytes().try_for_each(|byte| self.require(byte)).map(|()| value)
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn require(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.eat(byte) { Ok(()) } else { Err(JsonError::Syntax) }
    }

    // The shipped library is optimized for size, which would make each byte a call.
    #[inline(always)]
    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    #[inline(always)]
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

/// The text that `raw`, the inside of a string, stands for.
fn unescape(raw: &str) -> Result<Text, JsonError> {
    // No escape is shorter than its character, so the buffer never grows and leaves no copy behind.
    let mut text = Zeroizing::new(String::with_capacity(raw.len()));
    let mut rest = raw;
    while let Some((plain, escape)) = rest.split_once('\\') {
        text.push_str(plain);
        let (character, after) = escaped_character(escape)?;
        text.push(character);
        rest = after;
    }
    text.push_str(rest);
    Ok(Text(text))
}

/// The character of an escape, without its backslash, and what follows it.
fn escaped_character(escape: &str) -> Result<(char, &str), JsonError> {
    let mut characters = escape.chars();
    let character = match characters.next() {
        Some(same @ ('"' | '\\' | '/')) => same,
        Some('b') => '\u{8}',
        Some('f') => '\u{c}',
        Some('n') => '\n',
        Some('r') => '\r',
        Some('t') => '\t',
        Some('u') => return unicode_character(characters.as_str()),
        _ => return Err(JsonError::Syntax),
    };
    Ok((character, characters.as_str()))
}

/// The character of one or two UTF-16 units, beginning after the first `\u`.
fn unicode_character(text: &str) -> Result<(char, &str), JsonError> {
    let (unit, rest) = hexadecimal_unit(text)?;
    if let Some(character) = char::from_u32(u32::from(unit)) {
        return Ok((character, rest));
    }
    let second = rest.strip_prefix("\\u").ok_or(JsonError::Encoding)?;
    let (second, rest) = hexadecimal_unit(second)?;
    match char::decode_utf16([unit, second]).next() {
        Some(Ok(character)) => Ok((character, rest)),
        _ => Err(JsonError::Encoding),
    }
}

fn hexadecimal_unit(text: &str) -> Result<(u16, &str), JsonError> {
    let (digits, rest) = text.split_at_checked(4).ok_or(JsonError::Syntax)?;
    // `from_str_radix` alone would take a plus sign.
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(JsonError::Syntax);
    }
    let unit = u16::from_str_radix(digits, 16).map_err(|_| JsonError::Syntax)?;
    Ok((unit, rest))
}

#[cfg(test)]
pub(crate) mod another;
#[cfg(test)]
mod properties;
#[cfg(test)]
pub(crate) mod spelling;
#[cfg(test)]
mod tests;

//! Another parser's view of the same bytes: serde_json.
//!
//! What serde_json accepts and we refuse must fall under a stricter rule, what we accept and it refuses under a looser
//! one, and where both accept the values are the same. The reasons are looked for in serde_json's reading, not in ours.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;

use super::*;

const MARK: &[u8] = "\u{feff}".as_bytes();

/// The name of the rule under which the two readings fall, or what is wrong.
pub(crate) fn compare(bytes: &[u8]) -> Result<&'static str, String> {
    compare_within(bytes, Limits::default())
}

pub(crate) fn compare_within(bytes: &[u8], limits: Limits) -> Result<&'static str, String> {
    let ours = parse_object(bytes, limits);
    let marked = bytes.strip_prefix(MARK);
    let text = marked.unwrap_or(bytes);
    let theirs = serde_json::from_slice::<Json>(text).and_then(|json| Ok((json, shape(text)?)));
    match (&ours, &theirs) {
        (Ok(ours), Ok((theirs, shape))) => {
            require(same_object(ours, theirs), || "different values".to_owned())?;
            let is_within = !shape.has_duplicates && shape.depth <= limits.depth && shape.values <= limits.values;
            require(is_within, || "only we accept: a rule of ours was not kept".to_owned())?;
            Ok(if marked.is_some() { "byte order mark" } else { "same" })
        }
        (Ok(_), Err(_)) if has_number_beyond_floats(text) => Ok("large number"),
        (Ok(_), Err(error)) => Err(format!("only we accept: {error}")),
        (Err(error), Ok((theirs, shape))) => {
            let (rule, holds) = match error {
                JsonError::Duplicate => ("duplicate", shape.has_duplicates),
                JsonError::NotAnObject => ("not an object", !theirs.is_object()),
                JsonError::TooDeep => ("deep", shape.depth > limits.depth),
                JsonError::TooMany => ("many", shape.values > limits.values),
                JsonError::Encoding | JsonError::Syntax => ("", false),
            };
            require(holds, || format!("only we refuse: {error:?}"))?;
            Ok(rule)
        }
        (Err(_), Err(_)) => Ok("both refuse"),
    }
}

fn require(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

pub(crate) fn same_object(ours: &Object, theirs: &Json) -> bool {
    let Some(theirs) = theirs.as_object() else { return false };
    ours.iter().count() == theirs.len()
        && ours.iter().all(|(name, value)| theirs.get(name).is_some_and(|other| same(value, other)))
}

fn same(ours: &Value, theirs: &Json) -> bool {
    match (ours, theirs) {
        (Value::Null, Json::Null) => true,
        (Value::Bool(a), Json::Bool(b)) => a == b,
        (Value::Number(a), Json::Number(b)) => {
            let (x, y) = (a.as_f64(), b.as_f64().unwrap());
            // serde_json rounds within a few units in the last place (subnormal numbers too), and reads "-0" as a float.
            let is_close = x == y || (x - y).abs() <= f64::from_bits(4).max(x.abs() * 1e-15);
            is_close && (a.as_i64() == b.as_i64() || a.text() == "-0")
        }
        (Value::String(a), Json::String(b)) => a.as_str() == b,
        (Value::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(x, y)| same(x, y)),
        (Value::Object(a), b) => same_object(a, b),
        _ => false,
    }
}

/// Row 45: JSON, but for a number that no float can hold; serde_json's own type for numbers refuses it.
pub(crate) fn has_number_beyond_floats(bytes: &[u8]) -> bool {
    let is_json = serde_json::from_slice::<IgnoredAny>(bytes).is_ok();
    let error = serde_json::from_slice::<Json>(bytes).err().map(|error| error.to_string()).unwrap_or_default();
    is_json && error.starts_with("number out of range")
}

/// What the rules of ours are about, counted in serde_json's tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Whether an object anywhere in the document repeats a name (rows 32 and 34).
    pub(crate) has_duplicates: bool,
    /// Objects and arrays inside each other.
    pub(crate) depth: usize,
    /// Values of any type, the outermost included.
    pub(crate) values: usize,
}

pub(crate) fn shape(bytes: &[u8]) -> serde_json::Result<Shape> {
    serde_json::from_slice(bytes)
}

const SCALAR: Shape = Shape { has_duplicates: false, depth: 0, values: 1 };
const EMPTY: Shape = Shape { depth: 1, ..SCALAR };

impl Shape {
    fn add(&mut self, inner: Self) {
        self.has_duplicates |= inner.has_duplicates;
        self.depth = self.depth.max(1 + inner.depth);
        self.values += inner.values;
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<Shape, E> {
        Ok(SCALAR)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Shape, E> {
        Ok(SCALAR)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Shape, E> {
        Ok(SCALAR)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Shape, E> {
        Ok(SCALAR)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Shape, E> {
        Ok(SCALAR)
    }

    fn visit_str<E>(self, _: &str) -> Result<Shape, E> {
        Ok(SCALAR)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Shape, A::Error> {
        let mut shape = EMPTY;
        while let Some(item) = items.next_element()? {
            shape.add(item);
        }
        Ok(shape)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Shape, A::Error> {
        let (mut shape, mut names) = (EMPTY, HashSet::new());
        while let Some((name, value)) = members.next_entry::<String, Shape>()? {
            shape.add(value);
            shape.has_duplicates |= !names.insert(name);
        }
        Ok(shape)
    }
}

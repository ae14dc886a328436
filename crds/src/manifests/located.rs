//! A YAML document as JSON, with the line of each of its values.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};
use serde_saphyr::Spanned;

/// The lines of the values below a value, by JSON Pointer (RFC 6901); from 1.
pub(super) type Lines = BTreeMap<String, u32>;

/// A value, and the lines of what it contains.
pub(super) struct Located {
    pub(super) value: Value,
    pub(super) lines: Lines,
}

impl Located {
    fn scalar(value: impl Into<Value>) -> Self {
        Self {
            value: value.into(),
            lines: Lines::new(),
        }
    }
}

/// Takes the lines of one member of an object or list, which begins at `line`.
fn adopt(lines: &mut Lines, segment: &str, line: u64, member: Located) -> Value {
    let prefix = format!("/{}", segment.replace('~', "~0").replace('/', "~1"));
    let below = member.lines.into_iter();
    lines.extend(below.map(|(pointer, line)| (format!("{prefix}{pointer}"), line)));
    if let Ok(line) = u32::try_from(line) {
        lines.insert(prefix, line);
    }
    member.value
}

impl<'de> Deserialize<'de> for Located {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LocatedVisitor)
    }
}

struct LocatedVisitor;

impl<'de> Visitor<'de> for LocatedVisitor {
    type Value = Located;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value that JSON can express")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Located, E> {
        Ok(Located::scalar(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Located, E> {
        Ok(Located::scalar(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Located, E> {
        Ok(Located::scalar(value))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Located, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("JSON has no number for infinity and NaN"))?;
        Ok(Located::scalar(number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Located, E> {
        Ok(Located::scalar(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Located, E> {
        Ok(Located::scalar(value))
    }

    fn visit_unit<E>(self) -> Result<Located, E> {
        Ok(Located::scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Located, E> {
        Ok(Located::scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Located, D::Error> {
        Located::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Located, A::Error> {
        let mut lines = Lines::new();
        let mut items = Vec::new();
        while let Some(item) = access.next_element::<Spanned<Located>>()? {
            let line = item.referenced.line();
            items.push(adopt(&mut lines, &items.len().to_string(), line, item.value));
        }
        Ok(Located {
            value: Value::Array(items),
            lines,
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Located, A::Error> {
        let mut lines = Lines::new();
        let mut members = Map::new();
        // The line of the key: the value may begin below it.
        while let Some(key) = access.next_key::<Spanned<String>>()? {
            let line = key.referenced.line();
            let member = adopt(&mut lines, &key.value, line, access.next_value()?);
            members.insert(key.value, member);
        }
        Ok(Located {
            value: Value::Object(members),
            lines,
        })
    }
}

//! Parses JSON that is deeper than serde_json reads, level by level: a container is split
//! into the texts of its parts, until a part is within the reach of serde_json.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Map, Value, value::RawValue};

use super::{DEPTH_OF_ANY_STACK, depth_of_text};

/// The value of a text. Needs stack for every level beyond [`DEPTH_OF_ANY_STACK`].
pub(super) fn parse(text: &[u8]) -> Result<Value, serde_json::Error> {
    // Splitting never parses a part: that the text is JSON is checked here, once.
    let whole: &RawValue = serde_json::from_slice(text)?;
    parse_part(whole)
}

fn parse_part(part: &RawValue) -> Result<Value, serde_json::Error> {
    let text = part.get();
    if depth_of_text(text.as_bytes(), DEPTH_OF_ANY_STACK) <= DEPTH_OF_ANY_STACK {
        return serde_json::from_str(text);
    }
    if text.starts_with('[') {
        let items: Vec<&RawValue> = serde_json::from_str(text)?;
        let items: Result<_, _> = items.into_iter().map(parse_part).collect();
        return items.map(Value::Array);
    }
    let Members(members) = serde_json::from_str(text)?;
    let members: Result<Map<_, _>, _> = members
        .into_iter()
        .map(|(name, member)| Ok((name, parse_part(member)?)))
        .collect();
    members.map(Value::Object)
}

/// The members of an object, in their order.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = access.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

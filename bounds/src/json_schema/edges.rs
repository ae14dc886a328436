//! Which schemas a schema applies, and to what.

use serde_json::{Map, Value};

use super::MAXIMUM_PATTERN_BYTES;
use crate::OutOfBounds;

/// What a schema within a schema applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edge<'a> {
    /// The same value.
    Same,
    /// A part of the value.
    Part(Part<'a>),
}

/// A part of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part<'a> {
    /// The member of an object with that name.
    Member(&'a str),
    /// Any member of an object.
    AnyMember,
    /// The item of an array at that index.
    Item(usize),
    /// Any item of an array.
    AnyItem,
    /// The name of any member.
    Name,
}

impl Part<'_> {
    /// The part that this one is one of; itself if it stands for all of its kind.
    pub(super) const fn any(self) -> Self {
        match self {
            Self::Member(_) | Self::AnyMember => Self::AnyMember,
            Self::Item(_) | Self::AnyItem => Self::AnyItem,
            Self::Name => Self::Name,
        }
    }
}

/// The schemas that apply when `schema` does. Refuses the keywords whose target depends on more than the schema.
pub(super) fn edges_of<'a>(
    schema: &'a Map<String, Value>,
    root: &'a Value,
) -> Result<Vec<(Edge<'a>, &'a Value)>, OutOfBounds> {
    let mut edges = Vec::new();
    for (keyword, value) in schema {
        match keyword.as_str() {
            "$ref" => edges.push((Edge::Same, target(value, root)?)),
            "$dynamicRef" | "$recursiveRef" => {
                return Err(OutOfBounds::not_allowed(
                    format!("`{keyword}`"),
                    "use $ref with a path such as #/$defs/name",
                ));
            }
            "pattern" => check_pattern(value.as_str().unwrap_or_default())?,
            "patternProperties" => {
                for (pattern, inner) in value.as_object().into_iter().flatten() {
                    check_pattern(pattern)?;
                    edges.push((Edge::Part(Part::AnyMember), inner));
                }
            }
            _ => add_applied(keyword, value, &mut edges),
        }
    }
    Ok(edges)
}

fn add_applied<'a>(keyword: &str, value: &'a Value, edges: &mut Vec<(Edge<'a>, &'a Value)>) {
    let any = match keyword {
        "allOf" | "anyOf" | "oneOf" => {
            edges.extend(value.as_array().into_iter().flatten().map(|inner| (Edge::Same, inner)));
            return;
        }
        "dependentSchemas" | "dependencies" => {
            let inner = value.as_object().into_iter().flat_map(Map::values);
            edges.extend(inner.map(|inner| (Edge::Same, inner)));
            return;
        }
        "properties" => {
            let members = value.as_object().into_iter().flatten();
            edges.extend(members.map(|(name, inner)| (Edge::Part(Part::Member(name)), inner)));
            return;
        }
        "not" | "if" | "then" | "else" => {
            edges.push((Edge::Same, value));
            return;
        }
        "additionalProperties" | "unevaluatedProperties" => Part::AnyMember,
        "items" | "prefixItems" | "additionalItems" | "unevaluatedItems" | "contains" | "contentSchema" => {
            Part::AnyItem
        }
        "propertyNames" => Part::Name,
        _ => return,
    };
    match value {
        // One schema for each item.
        Value::Array(items) => {
            let items = items.iter().enumerate();
            edges.extend(items.map(|(index, inner)| (Edge::Part(Part::Item(index)), inner)));
        }
        inner => edges.push((Edge::Part(any), inner)),
    }
}

/// The schema at a path within the document.
fn target<'a>(reference: &Value, root: &'a Value) -> Result<&'a Value, OutOfBounds> {
    let text = reference.as_str().unwrap_or_default();
    let path = match text.strip_prefix('#') {
        Some(path) if (path.is_empty() || path.starts_with('/')) && !path.contains('%') => path,
        _ => {
            return Err(OutOfBounds::not_allowed(
                format!("the reference {text:?}"),
                "a reference is a path within the schema, such as #/$defs/name",
            ));
        }
    };
    root.pointer(path)
        .ok_or_else(|| OutOfBounds::Malformed(format!("the reference {text:?} leads nowhere")))
}

fn check_pattern(pattern: &str) -> Result<(), OutOfBounds> {
    if pattern.len() > MAXIMUM_PATTERN_BYTES {
        return Err(OutOfBounds::TooMany {
            what: "bytes in a regular expression",
            limit: MAXIMUM_PATTERN_BYTES,
        });
    }
    Ok(())
}

//! What a reader loses of a value that somebody else wrote. Included by the tests that read what earlier releases wrote.

use serde_json::Value;

/// The first place where something of `before` is missing or another in `after`. What is new in `after` is none.
pub(crate) fn lost(before: &Value, after: &Value, place: &str) -> Option<String> {
    match (before, after) {
        (Value::Null, _) => None,
        (Value::Object(members), Value::Object(_)) => members
            .iter()
            .find_map(|(name, member)| lost(member, &after[name], &format!("{place}.{name}"))),
        (Value::Array(values), Value::Array(others)) if values.len() == others.len() => values
            .iter()
            .zip(others)
            .enumerate()
            .find_map(|(index, (value, other))| lost(value, other, &format!("{place}[{index}]"))),
        _ if before == after => None,
        _ => Some(format!("{place}: {before} became {after}")),
    }
}

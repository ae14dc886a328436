//! Makes output comparable between runs: ids and times become placeholders.

use std::{collections::HashMap, fmt::Write as _};

use jiff::Timestamp;
use serde_json::Value;

/// Replaces ids and times. Equal ids get equal placeholders, numbered in the order of
/// their first appearance.
#[derive(Debug, Default)]
pub struct Placeholders {
    ids: HashMap<String, usize>,
}

impl Placeholders {
    /// Replaces all UUIDs in the strings of a JSON value, and all strings that are times.
    pub fn in_json(&mut self, value: Value) -> Value {
        match value {
            Value::String(text) if text.parse::<Timestamp>().is_ok() => "[time]".into(),
            Value::String(text) => self.in_text(&text).into(),
            Value::Array(items) => items.into_iter().map(|item| self.in_json(item)).collect(),
            Value::Object(members) => members
                .into_iter()
                .map(|(name, member)| (name, self.in_json(member)))
                .collect(),
            other => other,
        }
    }

    /// Replaces all UUIDs in a text.
    pub fn in_text(&mut self, text: &str) -> String {
        let mut replaced = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(character) = rest.chars().next() {
            if let Some((id, after)) = rest.split_at_checked(UUID_LENGTH)
                && is_uuid(id)
            {
                let next = self.ids.len() + 1;
                let number = *self.ids.entry(id.to_owned()).or_insert(next);
                // Writing to a string cannot fail.
                let _ = write!(replaced, "[id {number}]");
                rest = after;
            } else {
                replaced.push(character);
                rest = &rest[character.len_utf8()..];
            }
        }
        replaced
    }
}

const UUID_LENGTH: usize = 36;

fn is_uuid(text: &str) -> bool {
    text.len() == UUID_LENGTH
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn equal_ids_get_equal_placeholders_and_times_are_replaced() {
        let (first, second) = (
            "4bf92f35-77b3-4da6-a3ce-929d0e0e4736",
            "00f067aa-0ba9-4b7a-8c2d-000000000000",
        );
        let value = json!({
            "id": first,
            "text": format!("ä {second}.1 and {first}"),
            "created_at": "2026-11-27T08:00:00Z",
            "count": 2,
        });
        let expected = json!({
            "id": "[id 1]",
            "text": "ä [id 2].1 and [id 1]",
            "created_at": "[time]",
            "count": 2,
        });
        assert_eq!(Placeholders::default().in_json(value), expected);
    }
}

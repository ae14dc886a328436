//! A digest of the meaning of a JSON value: the order of members and the
//! spelling of numbers do not matter, because the API server changes both. Pure.

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// The digest of `value` as JSON, in hexadecimal.
pub(crate) fn digest<T: Serialize>(value: &T) -> Result<String, serde_json::Error> {
    let mut hasher = Sha256::new();
    feed(&serde_json::to_value(value)?, &mut hasher);
    Ok(format!("{:x}", hasher.finalize()))
}

fn feed(value: &Value, hasher: &mut Sha256) {
    match value {
        Value::Null => hasher.update(b"n"),
        Value::Bool(true) => hasher.update(b"t"),
        Value::Bool(false) => hasher.update(b"f"),
        Value::Number(number) => feed_text(b"#", &number_text(number), hasher),
        Value::String(text) => feed_text(b"\"", text, hasher),
        Value::Array(items) => {
            hasher.update(b"[");
            hasher.update(items.len().to_be_bytes());
            for item in items {
                feed(item, hasher);
            }
        }
        Value::Object(members) => {
            hasher.update(b"{");
            hasher.update(members.len().to_be_bytes());
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| name.as_str());
            for (name, value) in members {
                feed_text(b":", name, hasher);
                feed(value, hasher);
            }
        }
    }
}

fn feed_text(tag: &[u8], text: &str, hasher: &mut Sha256) {
    hasher.update(tag);
    hasher.update(text.len().to_be_bytes());
    hasher.update(text.as_bytes());
}

/// The text of a number; the same for 2.0 and 2.
fn number_text(number: &serde_json::Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => format!("{float}"),
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_order_of_members_and_the_spelling_of_numbers_do_not_matter() {
        assert_eq!(
            digest(&json!({ "a": 2, "b": [0.5, { "c": null, "d": true }] })).unwrap(),
            digest(&json!({ "b": [0.5, { "d": true, "c": null }], "a": 2.0 })).unwrap()
        );
    }

    #[test]
    fn a_change_of_a_value_a_name_or_the_nesting_changes_the_digest() {
        let all = [
            json!({ "a": 1 }),
            json!({ "a": "1" }),
            json!({ "b": 1 }),
            json!([{ "a": 1 }]),
            json!({ "a": [1] }),
            json!({ "a": null }),
            json!({}),
        ];
        let digests: std::collections::BTreeSet<_> = all.iter().map(|v| digest(v).unwrap()).collect();
        assert_eq!(digests.len(), all.len());
    }
}

//! Converts prompts, responses, arguments and results into JSON text for a span
//! attribute: items of the Responses API become messages with parts, as the
//! conventions define them. Pure; the caller decides whether spans hold content.

use serde::Serialize;
use serde_json::{Value, json};

/// Longest attribute.
const LIMIT_BYTES: usize = 32 * 1024;
/// Longest excerpt of a longer value: as a JSON string it may double.
const EXCERPT_BYTES: usize = LIMIT_BYTES / 2 - 1024;

/// The messages of a conversation; above the limit the newest ones.
pub(super) fn messages(items: &[Value]) -> String {
    let mut kept = Vec::new();
    let mut size = "[]".len();
    for item in items.iter().rev() {
        let message = message(item).to_string();
        size += message.len() + ",".len();
        if size > LIMIT_BYTES {
            if kept.is_empty() {
                kept.push(excerpt(&message));
            }
            break;
        }
        kept.push(message);
    }
    kept.reverse();
    format!("[{}]", kept.join(","))
}

/// A value as JSON; above the limit its beginning.
pub(super) fn bounded(value: &impl Serialize) -> String {
    let text = serde_json::to_string(value).unwrap_or_default();
    if text.len() > LIMIT_BYTES { excerpt(&text) } else { text }
}

fn excerpt(json: &str) -> String {
    json!({"truncated": true, "begins": &json[..json.floor_char_boundary(EXCERPT_BYTES)]}).to_string()
}

fn message(item: &Value) -> Value {
    let (role, parts) = match item["type"].as_str() {
        Some("function_call") => (
            "assistant",
            json!([{
                "type": "tool_call",
                "id": item["call_id"],
                "name": item["name"],
                "arguments": arguments(&item["arguments"]),
            }]),
        ),
        Some("function_call_output") => (
            "tool",
            json!([{"type": "tool_call_response", "id": item["call_id"], "response": item["output"]}]),
        ),
        Some("reasoning") => ("assistant", texts(&item["summary"], "reasoning")),
        Some("message") | None => (
            item["role"].as_str().unwrap_or("assistant"),
            texts(&item["content"], "text"),
        ),
        Some(other) => ("assistant", json!([{"type": other}])),
    };
    json!({"role": role, "parts": parts})
}

/// The arguments, which are JSON inside a string, as a JSON value if they can be parsed.
fn arguments(text: &Value) -> Value {
    let read = text.as_str().and_then(|text| serde_json::from_str(text).ok());
    read.unwrap_or_else(|| text.clone())
}

fn texts(content: &Value, kind: &str) -> Value {
    let part = |text: &Value| json!({"type": kind, "content": text});
    match content {
        Value::Array(parts) => parts
            .iter()
            .map(|content| match (&content["text"], &content["refusal"]) {
                (text @ Value::String(_), _) | (_, text @ Value::String(_)) => part(text),
                // An image or a file: its type only.
                _ => json!({"type": content["type"]}),
            })
            .collect(),
        text => json!([part(text)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_become_messages_with_parts() {
        let items = [
            json!({"role": "user", "content": "weather?"}),
            json!({"type": "reasoning", "summary": [{"type": "summary_text", "text": "a tool"}]}),
            json!({"type": "function_call", "call_id": "c1", "name": "get_weather", "arguments": "{\"city\":\"Rome\"}"}),
            json!({"type": "function_call_output", "call_id": "c1", "output": "sunny"}),
            json!({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Sunny."}]}),
        ];
        let expected = json!([
            {"role": "user", "parts": [{"type": "text", "content": "weather?"}]},
            {"role": "assistant", "parts": [{"type": "reasoning", "content": "a tool"}]},
            {"role": "assistant", "parts": [
                {"type": "tool_call", "id": "c1", "name": "get_weather", "arguments": {"city": "Rome"}}
            ]},
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "sunny"}]},
            {"role": "assistant", "parts": [{"type": "text", "content": "Sunny."}]},
        ]);
        assert_eq!(serde_json::from_str::<Value>(&messages(&items)).unwrap(), expected);
    }

    #[test]
    fn a_long_conversation_keeps_its_newest_messages_whole() {
        let items: Vec<_> = (0..100)
            .map(|number| json!({"role": "user", "content": format!("{number} {}", "x".repeat(1_000))}))
            .collect();
        let text = messages(&items);
        assert!(text.len() <= LIMIT_BYTES);
        let kept: Vec<Value> = serde_json::from_str(&text).unwrap();
        assert!(kept.len() > 20);
        let newest = kept.last().unwrap()["parts"][0]["content"].as_str().unwrap();
        assert!(newest.starts_with("99 "));
    }

    #[test]
    fn a_value_above_the_limit_is_cut_and_stays_json() {
        for filling in ["\"", "ü", "\\"] {
            let long = json!({"text": filling.repeat(100_000)});
            for text in [
                bounded(&long),
                messages(&[json!({"role": "user", "content": long["text"]})]),
            ] {
                assert!(text.len() <= LIMIT_BYTES, "{filling}: {}", text.len());
                serde_json::from_str::<Value>(&text).unwrap();
            }
        }
        assert_eq!(bounded(&json!({"a": 1})), r#"{"a":1}"#);
    }
}

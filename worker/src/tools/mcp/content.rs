//! Converts the result of a call into the content that the model gets, whatever form
//! it has. Pure.

use serde_json::{Map, Value, json};
use steadfast_bounds::json;
use steadfast_contract::mcp::McpInputRequest;

use crate::egress::redaction::Redactor;

/// How much text is kept beyond the limit, so that the final cut shows that there was more.
const KEEP_BEYOND_BYTES: usize = 1_024;

/// The result of one attempt.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct McpCallResult {
    pub content: Value,
    /// The tool reported an error.
    pub is_error: bool,
    /// The server needs input from a person; there is no content yet.
    pub input_required: Option<McpInputRequest>,
}

pub(super) fn result(mut result: Value, max_bytes: usize, redactor: &Redactor) -> McpCallResult {
    // Before a text is cut, which could leave a part of a value.
    redactor.value(&mut result);
    let max_bytes = max_bytes.saturating_add(KEEP_BEYOND_BYTES);
    let is_error = is_true(&result["isError"]);
    let content = match result {
        Value::Object(mut fields) => {
            let structured = fields
                .remove("structuredContent")
                .filter(|structured| !structured.is_null());
            match (structured, fields.remove("content")) {
                (None, None) => other_fields(fields),
                (None, Some(content)) => parts(content, max_bytes),
                (Some(structured), None) => json::or_text(structured),
                (Some(structured), Some(content)) if says_the_same(&structured, &content) => json::or_text(structured),
                (Some(structured), Some(content)) => json!({
                    "content": parts(content, max_bytes),
                    "structuredContent": json::or_text(structured),
                }),
            }
        }
        // No result of the protocol, but what the server answered.
        Value::Null => json!(""),
        Value::String(text) => Value::String(cut(&text, &mut { max_bytes })),
        other => json::or_text(other),
    };
    McpCallResult {
        content,
        is_error,
        input_required: None,
    }
}

fn is_true(value: &Value) -> bool {
    match value {
        Value::Bool(value) => *value,
        Value::String(text) => text.eq_ignore_ascii_case("true"),
        Value::Number(number) => number.as_f64() != Some(0.0),
        _ => false,
    }
}

/// A result without content: older servers had `toolResult`, and some send the value as it is.
fn other_fields(mut fields: Map<String, Value>) -> Value {
    for name in ["_meta", "resultType", "isError", "ttlMs", "cacheScope"] {
        fields.remove(name);
    }
    match fields.remove("toolResult") {
        Some(result) if fields.is_empty() => json::or_text(result),
        Some(result) => {
            fields.insert("toolResult".to_owned(), result);
            json::or_text(Value::Object(fields))
        }
        None if fields.is_empty() => json!(""),
        None => json::or_text(Value::Object(fields)),
    }
}

/// Whether the texts are the structured content again, as servers send it for older clients: whole, one text for each
/// element of a list, or without the object that Python's SDK puts around a plain value.
fn says_the_same(structured: &Value, content: &Value) -> bool {
    let Value::Array(blocks) = content else {
        return content.is_null();
    };
    let mut texts = Vec::new();
    for block in blocks {
        match (block["type"].as_str(), block["text"].as_str()) {
            (Some("text") | None, Some(text)) => texts.push(text),
            _ => return false,
        }
    }
    let is_text_of = |text: &str, value: &Value| {
        value.as_str() == Some(text) || serde_json::from_str::<Value>(text).is_ok_and(|read| read == *value)
    };
    let wrapped = match structured {
        Value::Object(fields) if fields.len() == 1 => fields.get("result"),
        _ => None,
    };
    let mut values = std::iter::once(structured).chain(wrapped);
    match texts.as_slice() {
        [] => true,
        [text] if values.clone().any(|value| is_text_of(text, value)) => true,
        texts => values.any(|value| {
            value.as_array().is_some_and(|list| {
                list.len() == texts.len() && list.iter().zip(texts).all(|(value, text)| is_text_of(text, value))
            })
        }),
    }
}

fn parts(content: Value, max_bytes: usize) -> Value {
    let mut left = max_bytes;
    let blocks = match content {
        Value::Array(blocks) => blocks,
        Value::Null => Vec::new(),
        other => vec![other],
    };
    match blocks.as_slice() {
        [] => Value::String(String::new()),
        [Value::String(text)] => Value::String(cut(text, &mut left)),
        [Value::Object(block)] if is_text(block) => {
            Value::String(cut(block["text"].as_str().unwrap_or_default(), &mut left))
        }
        _ => blocks.into_iter().map(|block| part(block, &mut left)).collect(),
    }
}

fn is_text(block: &Map<String, Value>) -> bool {
    let kind = block.get("type").and_then(Value::as_str);
    matches!(kind, Some("text") | None) && block.get("text").is_some_and(Value::is_string)
}

fn part(block: Value, left: &mut usize) -> Value {
    let block = match block {
        Value::Object(block) => block,
        Value::String(text) => return json!({"type": "text", "text": cut(&text, left)}),
        other => return unknown(Map::from_iter([("value".to_owned(), other)]), left),
    };
    let text = |name: &str| block.get(name).and_then(Value::as_str);
    if is_text(&block) {
        return json!({"type": "text", "text": cut(text("text").unwrap_or_default(), left)});
    }
    match (text("type"), text("data"), block.get("resource")) {
        (Some(kind @ ("image" | "audio")), Some(data), _) => binary(kind, text("mimeType").unwrap_or("binary"), data),
        (Some("resource"), _, Some(Value::Object(resource))) => embedded(resource, left),
        (Some("resource_link"), ..) => without_null(json!({
            "type": "resource_link", "uri": text("uri"), "name": text("name"), "description": text("description"),
            "mime_type": text("mimeType"),
        })),
        _ => unknown(block, left),
    }
}

fn embedded(resource: &Map<String, Value>, left: &mut usize) -> Value {
    let text = |name: &str| resource.get(name).and_then(Value::as_str);
    if let Some(blob) = text("blob") {
        let mut part = binary("resource", text("mimeType").unwrap_or("binary"), blob);
        part["uri"] = json!(text("uri"));
        return without_null(part);
    }
    without_null(json!({
        "type": "resource", "uri": text("uri"), "mime_type": text("mimeType"),
        "text": text("text").map(|text| cut(text, left)),
    }))
}

/// A block of a type that this worker does not know: the model gets what can be read.
fn unknown(block: Map<String, Value>, left: &mut usize) -> Value {
    let mut readable = Map::new();
    for (name, value) in block {
        let value = match value {
            Value::Object(_) | Value::Array(_) if json::is_too_deep(&value) => Value::String(value.to_string()),
            other => other,
        };
        let is_binary = matches!(name.as_str(), "data" | "blob") && value.is_string();
        let value = match value {
            Value::String(data) if is_binary => binary("", "data", &data)["note"].take(),
            Value::String(text) => Value::String(cut(&text, left)),
            value => {
                let size = value.to_string().len();
                if size > *left {
                    continue;
                }
                *left -= size;
                value
            }
        };
        readable.insert(name, value);
    }
    readable.entry("type").or_insert_with(|| json!("unknown"));
    Value::Object(readable)
}

/// A note in place of binary data: the model cannot read base64.
fn binary(kind: &str, mime_type: &str, base64: &str) -> Value {
    let padding = base64.bytes().rev().take_while(|byte| *byte == b'=').count();
    let bytes = (base64.len() / 4 * 3).saturating_sub(padding);
    json!({"type": kind, "mime_type": mime_type, "note": format!("{bytes} bytes of {mime_type}, not shown")})
}

fn cut(text: &str, left: &mut usize) -> String {
    let kept = &text[..text.floor_char_boundary(*left)];
    *left -= kept.len();
    kept.to_owned()
}

fn without_null(mut value: Value) -> Value {
    if let Value::Object(fields) = &mut value {
        fields.retain(|_, field| !field.is_null());
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(sent: Value) -> McpCallResult {
        let redactor = Redactor::new([("TOKEN", "tok-12345678")]);
        result(sent, 10, &redactor)
    }

    #[test]
    fn a_single_text_stays_a_text_even_if_it_is_json() {
        let made = content(json!({"content": [{"type": "text", "text": "{\"a\":1}"}]}));
        assert_eq!(made.content, json!("{\"a\":1}"));
        assert!(!made.is_error);
    }

    #[test]
    fn text_and_structured_content_that_differ_both_reach_the_model() {
        let made = content(json!({"content": [{"type": "text", "text": "Done."}], "structuredContent": {"n": 7}}));
        assert_eq!(made.content, json!({"content": "Done.", "structuredContent": {"n": 7}}));
        let image = json!([{"type": "image", "mimeType": "image/png", "data": "AAECAw=="}]);
        let made = content(json!({"content": image, "structuredContent": {"n": 7}}));
        assert_eq!(made.content["content"][0]["type"], "image");
        assert_eq!(made.content["structuredContent"], json!({"n": 7}));
    }

    #[test]
    fn structured_content_that_the_texts_repeat_is_given_once() {
        let texts =
            |texts: &[&str]| -> Value { texts.iter().map(|text| json!({"type": "text", "text": text})).collect() };
        for (structured, content_texts) in [
            (json!({"n": 7}), texts(&["{ \"n\": 7 }"])),
            (json!({"result": "a"}), texts(&["a"])),
            (json!({"result": 7}), texts(&["7"])),
            (json!({"result": ["a", 2]}), texts(&["a", "2"])),
            (json!([1, 2]), texts(&["[1,2]"])),
            (json!({"n": 7}), json!([])),
            (json!({"n": 7}), Value::Null),
        ] {
            let made = content(json!({"content": content_texts, "structuredContent": structured}));
            assert_eq!(made.content, structured, "{content_texts}");
        }
        assert_eq!(content(json!({"structuredContent": {"n": 7}})).content, json!({"n": 7}));
    }

    #[test]
    fn a_block_of_an_unknown_type_and_extra_members_lose_nothing_that_can_be_read() {
        let redactor = Redactor::default();
        let made = result(
            json!({"content": [
                {"type": "text", "text": "a", "annotations": {"x": 1}, "extra": true},
                {"type": "video", "data": "AAECAw==", "caption": "a cat", "size": {"w": 1}},
                {"text": "b"},
                "c",
                7,
                {"type": "resource", "resource": {"uri": "file:///a"}},
                {"type": "image"},
            ], "isError": false, "more": {"x": 1}}),
            1_000,
            &redactor,
        );
        assert_eq!(
            made.content,
            json!([
                {"type": "text", "text": "a"},
                {"type": "video", "data": "4 bytes of data, not shown", "caption": "a cat", "size": {"w": 1}},
                {"type": "text", "text": "b"},
                {"type": "text", "text": "c"},
                {"type": "unknown", "value": 7},
                {"type": "resource", "uri": "file:///a"},
                {"type": "image"},
            ])
        );
    }

    #[test]
    fn a_result_of_any_form_is_a_result() {
        for (sent, expected) in [
            (json!({"content": "plain"}), json!("plain")),
            (json!({"content": {"type": "text", "text": "one"}}), json!("one")),
            (json!({"content": ["one"]}), json!("one")),
            (json!({}), json!("")),
            (json!(null), json!("")),
            (json!("text"), json!("text")),
            (json!([1, 2]), json!([1, 2])),
            (json!({"toolResult": {"n": 1}}), json!({"n": 1})),
            (json!({"temperature": 3, "_meta": {}}), json!({"temperature": 3})),
            (json!({"content": null, "structuredContent": null}), json!("")),
        ] {
            let made = content(sent.clone());
            assert_eq!((made.content, made.is_error), (expected, false), "{sent}");
        }
        for is_error in [json!(true), json!("true"), json!("True"), json!(1)] {
            assert!(
                content(json!({"content": [], "isError": is_error})).is_error,
                "{is_error}"
            );
        }
        for is_error in [json!(false), json!("false"), json!(null), json!(0), json!({})] {
            assert!(
                !content(json!({"content": [], "isError": is_error})).is_error,
                "{is_error}"
            );
        }
    }

    #[test]
    fn binary_parts_become_notes_with_their_size() {
        let made = content(json!({"content": [
            {"type": "text", "text": "see"},
            {"type": "image", "mimeType": "image/png", "data": "AAECAw=="},
            {"type": "resource", "resource": {"uri": "file:///a", "blob": "AAEC"}},
            {"type": "resource", "resource": {"uri": "file:///b", "mimeType": "text/plain", "text": "b"}},
            {"type": "resource_link", "uri": "file:///c", "name": "c"},
        ]}));
        assert_eq!(
            made.content,
            json!([
                {"type": "text", "text": "see"},
                {"type": "image", "mime_type": "image/png", "note": "4 bytes of image/png, not shown"},
                {"type": "resource", "mime_type": "binary", "note": "3 bytes of binary, not shown", "uri": "file:///a"},
                {"type": "resource", "uri": "file:///b", "mime_type": "text/plain", "text": "b"},
                {"type": "resource_link", "uri": "file:///c", "name": "c"},
            ])
        );
    }

    #[test]
    fn the_error_of_a_tool_keeps_its_content() {
        let made = content(json!({"content": [{"type": "text", "text": "no such city"}], "isError": true}));
        assert_eq!((made.content, made.is_error), (json!("no such city"), true));
        assert_eq!(content(json!({"content": []})).content, json!(""));
    }

    #[test]
    fn a_result_that_echoes_a_credential_is_redacted() {
        let echo = "sent tok-12345678";
        let expected = json!("sent [redacted: TOKEN]");
        assert_eq!(
            content(json!({"content": [{"type": "text", "text": echo}]})).content,
            expected
        );
        let structured = json!({"content": [], "structuredContent": {"headers": [echo]}});
        assert_eq!(content(structured).content, json!({"headers": [expected]}));
        let linked = json!({"content": [
            {"type": "resource", "resource": {"uri": "file:///a?key=tok-12345678", "text": "a"}},
            {"type": "text", "text": "b"},
        ]});
        assert_eq!(content(linked).content[0]["uri"], "file:///a?key=[redacted: TOKEN]");
    }

    #[test]
    fn long_texts_are_cut_above_the_limit() {
        let long = "é".repeat(2_000);
        let made = content(json!({"content": [{"type": "text", "text": long}, {"type": "text", "text": "end"}]}));
        assert_eq!(made.content[0]["text"].as_str().unwrap().len(), 10 + KEEP_BEYOND_BYTES);
        assert_eq!(made.content[1]["text"], "");
    }
}

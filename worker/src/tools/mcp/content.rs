//! Converts the result of a call into the content that the model gets. Pure.

use rmcp::model::{CallToolResult, ContentBlock, ResourceContents};
use serde_json::{Value, json};
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

pub(super) fn result(result: CallToolResult, max_bytes: usize, redactor: &Redactor) -> McpCallResult {
    // Before a text is cut, which could leave a part of a value.
    let mut content = result.structured_content.filter(|structured| !structured.is_null());
    if let Some(structured) = &mut content {
        redactor.value(structured);
    }
    let content = content.map_or_else(
        || {
            let blocks = result.content.into_iter().map(|block| redacted(block, redactor));
            parts(blocks.collect(), max_bytes.saturating_add(KEEP_BEYOND_BYTES))
        },
        json::or_text,
    );
    McpCallResult {
        content,
        is_error: result.is_error.unwrap_or(false),
        input_required: None,
    }
}

/// A block whose texts are redacted.
fn redacted(block: ContentBlock, redactor: &Redactor) -> ContentBlock {
    match block {
        // Never shown: see `binary`.
        ContentBlock::Image(_) | ContentBlock::Audio(_) => block,
        other => {
            let mut value = serde_json::to_value(&other).unwrap_or_default();
            redactor.value(&mut value);
            serde_json::from_value(value).unwrap_or_else(|_| ContentBlock::text("[redacted]"))
        }
    }
}

fn parts(blocks: Vec<ContentBlock>, max_bytes: usize) -> Value {
    if blocks.is_empty() {
        return Value::String(String::new());
    }
    let mut left = max_bytes;
    if let [ContentBlock::Text(text)] = blocks.as_slice() {
        return Value::String(cut(&text.text, &mut left));
    }
    blocks.into_iter().map(|block| part(block, &mut left)).collect()
}

fn part(block: ContentBlock, left: &mut usize) -> Value {
    match block {
        ContentBlock::Text(text) => json!({"type": "text", "text": cut(&text.text, left)}),
        ContentBlock::Image(image) => binary("image", &image.mime_type, &image.data),
        ContentBlock::Audio(audio) => binary("audio", &audio.mime_type, &audio.data),
        ContentBlock::Resource(resource) => match resource.resource {
            ResourceContents::TextResourceContents {
                uri, mime_type, text, ..
            } => {
                without_null(json!({"type": "resource", "uri": uri, "mime_type": mime_type, "text": cut(&text, left)}))
            }
            ResourceContents::BlobResourceContents {
                uri, mime_type, blob, ..
            } => {
                let mut part = binary("resource", mime_type.as_deref().unwrap_or("binary"), &blob);
                part["uri"] = Value::String(uri);
                part
            }
            _ => unknown(),
        },
        ContentBlock::ResourceLink(link) => without_null(json!({
            "type": "resource_link", "uri": link.uri, "name": link.name, "description": link.description,
            "mime_type": link.mime_type,
        })),
        _ => unknown(),
    }
}

fn unknown() -> Value {
    json!({"type": "unknown", "note": "a part of an unknown type, not shown"})
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
        result(serde_json::from_value(sent).unwrap(), 10, &redactor)
    }

    #[test]
    fn a_single_text_stays_a_text_even_if_it_is_json() {
        let made = content(json!({"content": [{"type": "text", "text": "{\"a\":1}"}]}));
        assert_eq!(made.content, json!("{\"a\":1}"));
        assert!(!made.is_error);
    }

    #[test]
    fn structured_content_is_preferred() {
        let made = content(json!({"content": [{"type": "text", "text": "7"}], "structuredContent": {"n": 7}}));
        assert_eq!(made.content, json!({"n": 7}));
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

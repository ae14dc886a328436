//! Projects segments of a transcript to the messages that people see. Pure: the live log and a
//! log that is rebuilt from history get the same messages with the same ids.

mod hosted;
mod stream_filter;

use serde_json::Value;
use steadfast_agent_loop::{Body, Segment, UserContent, tool_call::arguments};
use steadfast_crds::AgentRevisionSpec;
use steadfast_events::{
    Author, Content, Message, MessageStatus, TextFormat,
    id::{MessagePlace, message_id},
};

pub use hosted::begun_content;
pub use stream_filter::is_shown;

/// The task, agent and revision that messages belong to.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    pub task_id: &'a str,
    pub agent: &'a str,
    /// The revision whose `stream` settings apply; everything is visible when absent.
    pub revision: Option<&'a AgentRevisionSpec>,
}

/// Largest result of a tool that a message shows whole, as JSON. One task must not fill the log with large results; the
/// history has them.
pub const SHOWN_RESULT_BYTES: usize = 64 * 1024;

/// The finished messages of one segment that people see.
pub fn messages_of(scope: Scope<'_>, segment: &Segment) -> Vec<Message> {
    let mut messages = whole_messages_of(scope, segment);
    for message in &mut messages {
        cut(&mut message.content);
    }
    messages
}

/// Leaves the beginning of a large result.
fn cut(content: &mut Content) {
    let Content::ToolResponse {
        content, whole_bytes, ..
    } = content
    else {
        return;
    };
    let json = content.to_string();
    if json.len() > SHOWN_RESULT_BYTES {
        let text = content.as_str().unwrap_or(&json);
        *content = Value::String(text[..text.floor_char_boundary(SHOWN_RESULT_BYTES)].to_owned());
        *whole_bytes = Some(json.len());
    }
}

/// The same with whole results.
pub fn whole_messages_of(scope: Scope<'_>, segment: &Segment) -> Vec<Message> {
    let people_see = |content: &Content| scope.revision.is_none_or(|revision| is_shown(revision, content));
    let message = |id: String, author: Author, content: Content, status: MessageStatus| {
        people_see(&content).then(|| Message {
            id,
            idempotency_key: None,
            turn: segment.turn,
            agent: scope.agent.to_owned(),
            author,
            content,
            status,
            created_at: segment.at,
            updated_at: segment.at,
        })
    };
    match &segment.body {
        Body::User {
            message_id,
            idempotency_key,
            content,
            ..
        } => {
            let content = match content {
                UserContent::Text(text) => Content::text(text, TextFormat::Plain),
                UserContent::Attached { text, attachments } => Content::Text {
                    text: text.clone(),
                    format: TextFormat::Plain,
                    attachments: attachments.clone(),
                },
                UserContent::Data(data) => Content::Data { data: data.clone() },
            };
            message(message_id.clone(), Author::User, content, MessageStatus::Done)
                .map(|message| Message {
                    idempotency_key: idempotency_key.clone(),
                    ..message
                })
                .into_iter()
                .collect()
        }
        Body::Model { items, .. } => (0..)
            .zip(items)
            .flat_map(|(index, item)| {
                contents_of_item(item)
                    .into_iter()
                    .map(move |(part, content)| (index, part, content, status_of_item(item)))
            })
            .filter_map(|(index, part, content, status)| {
                let id = part_message_id(scope.task_id, segment.turn, segment.step, part, index);
                message(id, Author::Agent, content, status)
            })
            .collect(),
        Body::Tool { index, output, .. } => {
            let id = response_message_id(scope.task_id, segment.turn, segment.step, *index);
            let content = Content::ToolResponse {
                tool_call_id: output.call_id.clone(),
                name: output.name.clone(),
                content: output.content.clone(),
                is_error: output.is_error,
                whole_bytes: None,
            };
            message(id, Author::Agent, content, MessageStatus::Done)
                .into_iter()
                .collect()
        }
        Body::Note { .. } | Body::Handoff { .. } | Body::Summary { .. } => Vec::new(),
    }
}

/// The status of an item: interrupted when its provider or the worker did not finish it.
fn status_of_item(item: &Value) -> MessageStatus {
    if item.get("status").and_then(Value::as_str) == Some("incomplete") {
        MessageStatus::Interrupted
    } else {
        MessageStatus::Done
    }
}

/// Id of the message for an output item of a model call.
pub fn output_message_id(task_id: &str, turn: u32, step: u32, index: u32) -> String {
    part_message_id(task_id, turn, step, OUTPUT, index)
}

/// Id of the message for the answer of a tool call.
pub fn response_message_id(task_id: &str, turn: u32, step: u32, index: u32) -> String {
    part_message_id(task_id, turn, step, "response", index)
}

/// Part of an item that is its own message.
pub const OUTPUT: &str = "output";
/// Part of the item of a hosted tool: its result.
pub const HOSTED_RESPONSE: &str = "hosted_response";

/// Id of the message for one part of an output item.
pub fn part_message_id(task_id: &str, turn: u32, step: u32, part: &str, index: u32) -> String {
    message_id(MessagePlace {
        task_id,
        turn,
        call_path: "",
        step,
        part,
        index,
    })
}

/// The visible contents of an output item, each with its part: the item of a hosted tool is a request and a response.
pub fn contents_of_item(item: &Value) -> Vec<(&'static str, Content)> {
    hosted::shown_contents(item)
}

/// The text of the message items among these.
pub fn text_of_items(items: &[Value]) -> String {
    items
        .iter()
        .filter(|item| item.get("type").and_then(Value::as_str) == Some("message"))
        .map(message_text)
        .collect::<Vec<_>>()
        .join("\n\n")
}

/// The visible content of an output item; `None` for items without any.
pub fn content_of_item(item: &Value) -> Option<Content> {
    match item.get("type").and_then(Value::as_str)? {
        "message" => {
            let text = message_text(item);
            (!text.is_empty()).then_some(Content::text(text, TextFormat::Markdown))
        }
        "reasoning" => {
            let (summary, content) = (texts(item.get("summary")), texts(item.get("content")));
            (!summary.is_empty() || !content.is_empty()).then_some(Content::Reasoning { summary, content })
        }
        "function_call" => {
            let text = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            Some(Content::ToolRequest {
                tool_call_id: text("call_id"),
                name: text("name"),
                // Arguments that are not JSON are shown as text.
                arguments: arguments(item).unwrap_or_else(|_| item.get("arguments").cloned().unwrap_or_default()),
            })
        }
        _ => None,
    }
}

/// The text of a message item, refusals included.
fn message_text(item: &Value) -> String {
    match item.get("content") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts
            .iter()
            .filter_map(|part| part.get("text").or_else(|| part.get("refusal")).and_then(Value::as_str))
            .collect(),
        _ => String::new(),
    }
}

fn texts(parts: Option<&Value>) -> Vec<String> {
    let parts = parts.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    parts
        .iter()
        .filter_map(|part| part.get("text").and_then(Value::as_str))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_is_shown_as_the_text_it_is() {
        let item = json!({"type": "message", "content": [{"type": "refusal", "refusal": "I cannot help with that."}]});
        assert_eq!(
            content_of_item(&item),
            Some(Content::text("I cannot help with that.", TextFormat::Markdown))
        );
    }

    #[test]
    fn arguments_that_are_no_json_are_shown_as_text() {
        let item = json!({"type": "function_call", "call_id": "c", "name": "t", "arguments": "{\"city\": "});
        assert_eq!(
            content_of_item(&item),
            Some(Content::ToolRequest {
                tool_call_id: "c".into(),
                name: "t".into(),
                arguments: json!("{\"city\": ")
            })
        );
    }

    #[test]
    fn an_empty_reasoning_item_has_no_message() {
        assert_eq!(content_of_item(&json!({"type": "reasoning", "summary": []})), None);
    }

    #[test]
    fn a_large_result_is_shown_by_its_beginning() {
        let shown = |content: Value| {
            let segment: Segment = serde_json::from_value(json!({
                "turn": 1, "step": 0, "at": "2026-11-23T00:00:00Z", "kind": "tool", "index": 0,
                "output": {"call_id": "c", "name": "t", "content": content},
            }))
            .unwrap();
            let scope = Scope {
                task_id: "t",
                agent: "a",
                revision: None,
            };
            match messages_of(scope, &segment).remove(0).content {
                Content::ToolResponse {
                    content, whole_bytes, ..
                } => (content, whole_bytes),
                other => panic!("{other:?}"),
            }
        };
        let small = json!({"text": "x".repeat(SHOWN_RESULT_BYTES - 100)});
        assert_eq!(shown(small.clone()), (small, None));
        let text = "é".repeat(SHOWN_RESULT_BYTES);
        assert_eq!(
            shown(json!(text)),
            (
                json!("é".repeat(SHOWN_RESULT_BYTES / 2)),
                Some(2 * SHOWN_RESULT_BYTES + 2)
            )
        );
        let (beginning, bytes) = shown(json!({"text": "x".repeat(SHOWN_RESULT_BYTES)}));
        assert!(beginning.as_str().unwrap().starts_with(r#"{"text":"xxx"#));
        assert_eq!(bytes, Some(SHOWN_RESULT_BYTES + 11));
    }
}

//! Makes sense of the events of a Responses stream. Pure: events in, events of
//! our log and one answer out. Lenient in what it reads, strict in what it
//! calls finished: only a completed response is a success.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use steadfast_log::{Author, Content, EventKind, Message, MessageStatus, TextFormat, Usage};
use steadfast_workflow::project::{content_of_item, output_message_id};

use super::error::ModelError;

/// One event, with what any provider may leave out.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct StreamEvent {
    #[serde(rename = "type", default)]
    pub kind: String,
    #[serde(default)]
    pub output_index: Option<u32>,
    #[serde(default)]
    pub content_index: Option<u32>,
    #[serde(default)]
    pub summary_index: Option<u32>,
    #[serde(default)]
    pub delta: Option<Value>,
    #[serde(default)]
    pub item: Option<Value>,
    #[serde(default)]
    pub response: Option<Value>,
    #[serde(default)]
    pub error: Option<Value>,
    #[serde(default)]
    pub code: Option<Value>,
    #[serde(default)]
    pub message: Option<Value>,
}

/// A finished model call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    pub items: Vec<Value>,
    pub usage: Usage,
}

/// Reads one stream.
pub struct Interpreter<'a> {
    task_id: &'a str,
    agent: &'a str,
    turn: u32,
    step: u32,
    /// Messages that have begun, by output index.
    open: BTreeMap<u32, Content>,
    done: BTreeMap<u32, Value>,
    shown: BTreeMap<u32, Message>,
    end: Option<Result<Answer, ModelError>>,
}

impl<'a> Interpreter<'a> {
    pub fn new(task_id: &'a str, agent: &'a str, turn: u32, step: u32) -> Self {
        Self {
            task_id,
            agent,
            turn,
            step,
            open: BTreeMap::new(),
            done: BTreeMap::new(),
            shown: BTreeMap::new(),
            end: None,
        }
    }

    /// Takes in an event; answers what a viewer is to see of it.
    pub fn take(&mut self, event: &StreamEvent, now: jiff::Timestamp) -> Vec<EventKind> {
        let index = event.output_index.unwrap_or(0);
        match event.kind.as_str() {
            "response.output_item.added" => event
                .item
                .as_ref()
                .map(|item| self.begin(index, item))
                .unwrap_or_default(),
            "response.output_text.delta" | "response.refusal.delta" => {
                self.delta(index, event, text_content(), |id, delta| EventKind::TextDelta {
                    message_id: id,
                    delta,
                })
            }
            "response.function_call_arguments.delta" => match self.open.get(&index) {
                Some(Content::ToolRequest { .. }) => {
                    let content = text_content();
                    self.delta(index, event, content, |id, delta| EventKind::ToolArgumentsDelta {
                        message_id: id,
                        delta,
                    })
                }
                _ => Vec::new(),
            },
            "response.reasoning_summary_text.delta" => {
                let part = event.summary_index.unwrap_or(0);
                self.delta(index, event, reasoning_content(), |id, delta| {
                    EventKind::ReasoningSummaryDelta {
                        message_id: id,
                        index: part,
                        delta,
                    }
                })
            }
            "response.reasoning_text.delta" => {
                let part = event.content_index.unwrap_or(0);
                self.delta(index, event, reasoning_content(), |id, delta| {
                    EventKind::ReasoningDelta {
                        message_id: id,
                        index: part,
                        delta,
                    }
                })
            }
            "response.output_item.done" => {
                let Some(item) = &event.item else { return Vec::new() };
                self.done.insert(index, item.clone());
                self.show(index, item, now).into_iter().collect()
            }
            "response.completed" => self.complete(event.response.as_ref(), now),
            "response.incomplete" => self.fail(incomplete(event.response.as_ref())),
            "response.failed" => self.fail(failed(
                event.response.as_ref().and_then(|response| response.get("error")),
            )),
            "error" => self.fail(error_frame(event)),
            // Announcements, and whatever a provider invents next.
            _ => Vec::new(),
        }
    }

    /// The stream has ended; so has the call, if the provider said so.
    pub fn finish(self) -> Result<Answer, ModelError> {
        self.end.unwrap_or_else(|| {
            Err(ModelError::transient(
                "model_stream_ended",
                "the model's stream ended before the response was complete",
            ))
        })
    }

    /// The provider has spoken its last word.
    pub fn is_finished(&self) -> bool {
        self.end.is_some()
    }

    fn id(&self, index: u32) -> String {
        output_message_id(self.task_id, self.turn, self.step, index)
    }

    fn begin(&mut self, index: u32, item: &Value) -> Vec<EventKind> {
        let content = match item.get("type").and_then(Value::as_str) {
            Some("message") => text_content(),
            Some("function_call") => {
                let text = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
                Content::ToolRequest {
                    tool_call_id: text("call_id"),
                    name: text("name"),
                    arguments: json!({}),
                }
            }
            // Reasoning begins with its first word: many models let none be seen.
            _ => return Vec::new(),
        };
        self.open_message(index, content).into_iter().collect()
    }

    fn open_message(&mut self, index: u32, content: Content) -> Option<EventKind> {
        if self.open.contains_key(&index) {
            return None;
        }
        self.open.insert(index, content.clone());
        Some(EventKind::MessageStarted {
            message_id: self.id(index),
            content,
        })
    }

    fn delta(
        &mut self,
        index: u32,
        event: &StreamEvent,
        content: Content,
        kind: impl FnOnce(String, String) -> EventKind,
    ) -> Vec<EventKind> {
        let Some(delta) = event
            .delta
            .as_ref()
            .and_then(Value::as_str)
            .filter(|delta| !delta.is_empty())
        else {
            return Vec::new();
        };
        let mut events: Vec<EventKind> = self.open_message(index, content).into_iter().collect();
        events.push(kind(self.id(index), delta.to_owned()));
        events
    }

    /// The finished message of an item, unless it was shown so already.
    fn show(&mut self, index: u32, item: &Value, now: jiff::Timestamp) -> Option<EventKind> {
        let content = content_of_item(item)?;
        if self.shown.get(&index).is_some_and(|shown| shown.content == content) {
            return None;
        }
        let created_at = self.shown.get(&index).map_or(now, |shown| shown.created_at);
        let message = Message {
            id: self.id(index),
            turn: self.turn,
            agent: self.agent.to_owned(),
            author: Author::Agent,
            content,
            status: MessageStatus::Done,
            created_at,
            updated_at: now,
        };
        self.open.remove(&index);
        self.shown.insert(index, message.clone());
        Some(EventKind::MessageDone { message })
    }

    fn complete(&mut self, response: Option<&Value>, now: jiff::Timestamp) -> Vec<EventKind> {
        let usage = response
            .and_then(|response| response.get("usage"))
            .map(read_usage)
            .unwrap_or_default();
        let usage = Usage {
            model_calls: 1,
            ..usage
        };
        // Some servers say "completed" of a response whose status says otherwise.
        if response
            .and_then(|response| response.get("status"))
            .and_then(Value::as_str)
            == Some("incomplete")
        {
            return self.fail(incomplete(response));
        }
        let output = response
            .and_then(|response| response.get("output"))
            .and_then(Value::as_array);
        let items: Vec<Value> = match output {
            Some(output) if !output.is_empty() => output.clone(),
            _ => self.done.values().cloned().collect(),
        };
        let mut events = Vec::new();
        for (index, item) in items.iter().enumerate() {
            events.extend(u32::try_from(index).ok().and_then(|index| self.show(index, item, now)));
        }
        // What began and is not in the answer is taken back.
        events.extend(self.take_back_open());
        self.end = Some(Ok(Answer { items, usage }));
        events
    }

    fn fail(&mut self, error: ModelError) -> Vec<EventKind> {
        self.end.get_or_insert(Err(error));
        Vec::new()
    }

    fn take_back_open(&mut self) -> Vec<EventKind> {
        let open = std::mem::take(&mut self.open);
        open.keys()
            .map(|index| EventKind::MessageReset {
                message_id: self.id(*index),
            })
            .collect()
    }
}

fn text_content() -> Content {
    Content::Text {
        text: String::new(),
        format: TextFormat::Markdown,
    }
}

fn reasoning_content() -> Content {
    Content::Reasoning {
        summary: Vec::new(),
        content: Vec::new(),
    }
}

fn incomplete(response: Option<&Value>) -> ModelError {
    let reason = response
        .and_then(|response| response["incomplete_details"]["reason"].as_str())
        .unwrap_or("unknown");
    match reason {
        "max_output_tokens" => ModelError::permanent(
            "model_output_truncated",
            "the model's answer was cut at its token limit; raise model.settings.maxOutputTokens",
        ),
        "content_filter" => ModelError::permanent(
            "content_policy",
            "the provider's content filter stopped the model's answer",
        ),
        other => ModelError::permanent("model_incomplete", format!("the model's answer is incomplete: {other}")),
    }
}

fn failed(error: Option<&Value>) -> ModelError {
    let code = error.and_then(|error| error["code"].as_str());
    let message = error
        .and_then(|error| error["message"].as_str())
        .unwrap_or("no reason was given");
    ModelError::from_stream(code, message)
}

/// Documented flat, sent nested by OpenAI: both are read.
fn error_frame(event: &StreamEvent) -> ModelError {
    match &event.error {
        Some(error) if error.is_object() => {
            let code = error["code"].as_str().or_else(|| error["type"].as_str());
            ModelError::from_stream(code, error["message"].as_str().unwrap_or("no reason was given"))
        }
        _ => {
            let code = event.code.as_ref().and_then(Value::as_str);
            let message = event
                .message
                .as_ref()
                .and_then(Value::as_str)
                .unwrap_or("no reason was given");
            ModelError::from_stream(code, message)
        }
    }
}

fn read_usage(usage: &Value) -> Usage {
    Usage {
        input_tokens: usage["input_tokens"].as_u64().unwrap_or(0),
        cached_input_tokens: usage["input_tokens_details"]["cached_tokens"].as_u64().unwrap_or(0),
        output_tokens: usage["output_tokens"].as_u64().unwrap_or(0),
        reasoning_tokens: usage["output_tokens_details"]["reasoning_tokens"].as_u64().unwrap_or(0),
        model_calls: 0,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use steadfast_log::{Event, MessageStatus, fold};

    use super::*;

    const NOW: jiff::Timestamp = jiff::Timestamp::UNIX_EPOCH;

    fn message_item(text: &str) -> Value {
        json!({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]})
    }

    fn run(events: &[Value]) -> (Vec<Message>, Result<Answer, ModelError>) {
        let mut interpreter = Interpreter::new("task-1", "haiku", 1, 0);
        let mut shown = Vec::new();
        for event in events {
            let event: StreamEvent = serde_json::from_value(event.clone()).unwrap();
            for kind in interpreter.take(&event, NOW) {
                shown.push(Event {
                    kind,
                    turn: 1,
                    attempt: 1,
                    agent: "haiku".into(),
                    time: NOW,
                });
            }
        }
        (fold(&shown), interpreter.finish())
    }

    #[test]
    fn text_streams_and_ends_as_one_message() {
        let item = message_item("Hello you");
        let (messages, answer) = run(&[
            json!({"type": "response.created"}),
            json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "message"}}),
            json!({"type": "response.output_text.delta", "output_index": 0, "delta": "Hello"}),
            json!({"type": "response.output_text.delta", "output_index": 0, "delta": " you"}),
            json!({"type": "response.output_item.done", "output_index": 0, "item": item}),
            json!({"type": "response.completed", "response": {"status": "completed", "output": [item],
                "usage": {"input_tokens": 3, "output_tokens": 2}}}),
        ]);
        assert_eq!(messages.len(), 1);
        assert_eq!(
            messages[0].content,
            Content::Text {
                text: "Hello you".into(),
                format: TextFormat::Markdown
            }
        );
        assert_eq!(messages[0].status, MessageStatus::Done);
        let usage = Usage {
            input_tokens: 3,
            output_tokens: 2,
            model_calls: 1,
            ..Usage::default()
        };
        assert_eq!(
            answer.unwrap(),
            Answer {
                items: vec![item],
                usage
            }
        );
    }

    #[test]
    fn a_stream_without_a_last_word_is_retried() {
        let (_, answer) = run(&[
            json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "message"}}),
            json!({"type": "response.output_text.delta", "output_index": 0, "delta": "Hel"}),
        ]);
        let error = answer.unwrap_err();
        assert_eq!(
            (error.category, error.retry),
            ("model_stream_ended", super::super::error::Retry::After(None))
        );
    }

    #[test]
    fn incomplete_and_failed_are_no_success() {
        for (event, category) in [
            (
                json!({"type": "response.incomplete", "response": {"incomplete_details": {"reason": "max_output_tokens"}}}),
                "model_output_truncated",
            ),
            (
                json!({"type": "response.completed", "response": {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}}),
                "content_policy",
            ),
            (
                json!({"type": "response.failed", "response": {"error": {"code": "server_error", "message": "oops"}}}),
                "model_stream_error",
            ),
            (
                json!({"type": "error", "error": {"code": "context_length_exceeded", "message": "long"}}),
                "context_length_exceeded",
            ),
            (
                json!({"type": "error", "code": "rate_limit_exceeded", "message": "slow"}),
                "model_stream_error",
            ),
        ] {
            assert_eq!(
                run(std::slice::from_ref(&event)).1.unwrap_err().category,
                category,
                "{event}"
            );
        }
    }

    #[test]
    fn events_nobody_knows_are_passed_over() {
        let (messages, answer) = run(&[
            json!({"type": "keepalive"}),
            json!({"type": "acme:telemetry", "delta": {"a": 1}}),
            json!({"type": "response.completed", "response": {"output": [message_item("Hi")]}}),
        ]);
        assert_eq!(messages.len(), 1);
        assert!(answer.is_ok());
    }

    #[test]
    fn items_are_rebuilt_where_the_last_event_has_none() {
        let (_, answer) = run(&[
            json!({"type": "response.output_item.done", "output_index": 0, "item": message_item("Hi")}),
            json!({"type": "response.completed", "response": {"output": []}}),
        ]);
        assert_eq!(answer.unwrap().items, [message_item("Hi")]);
    }

    #[test]
    fn tool_arguments_stream_into_a_request() {
        let call = json!({"type": "function_call", "call_id": "c1", "name": "get_weather", "arguments": "{\"city\":\"Oslo\"}"});
        let (messages, _) = run(&[
            json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "function_call", "call_id": "c1", "name": "get_weather"}}),
            json!({"type": "response.function_call_arguments.delta", "output_index": 0, "delta": "{\"city\":"}),
            json!({"type": "response.output_item.done", "output_index": 0, "item": call}),
            json!({"type": "response.completed", "response": {"output": [call]}}),
        ]);
        assert_eq!(messages.len(), 1);
        assert_eq!(
            messages[0].content,
            Content::ToolRequest {
                tool_call_id: "c1".into(),
                name: "get_weather".into(),
                arguments: json!({"city": "Oslo"})
            }
        );
    }
}

//! Makes sense of the events of a Responses stream. Pure: only a completed
//! response is a success.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use steadfast_events::{Content, EventKind, MessageStatus, Usage};
use steadfast_projection::begun_content;

use super::{
    board::{Board, Kept, text_content},
    error::ModelError,
    interpret::{Answer, Place, filtered, incomplete_message, stream_ended, truncated},
};

/// One event, with what any provider may leave out.
#[derive(Clone, Debug, Default, Deserialize)]
struct StreamEvent {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    output_index: Option<u32>,
    #[serde(default)]
    content_index: Option<u32>,
    #[serde(default)]
    summary_index: Option<u32>,
    #[serde(default)]
    delta: Option<Value>,
    #[serde(default)]
    item: Option<Value>,
    #[serde(default)]
    response: Option<Value>,
    #[serde(default)]
    error: Option<Value>,
    #[serde(default)]
    code: Option<Value>,
    #[serde(default)]
    message: Option<Value>,
}

/// Reads one stream.
pub struct ResponsesInterpreter<'a> {
    board: Board<'a>,
    done: BTreeMap<u32, Value>,
    response_id: Option<String>,
    model: Option<String>,
    end: Option<Result<Answer, ModelError>>,
}

impl<'a> ResponsesInterpreter<'a> {
    pub fn new(place: Place<'a>) -> Self {
        Self {
            board: Board::new(place),
            done: BTreeMap::new(),
            response_id: None,
            model: None,
            end: None,
        }
    }

    /// Takes in an event; answers what a viewer is to see of it.
    pub fn take(&mut self, event: Value, now: jiff::Timestamp) -> Vec<EventKind> {
        // An event of a shape nobody foresaw is passed over, like an event nobody knows.
        let event: StreamEvent = serde_json::from_value(event).unwrap_or_default();
        if self.end.is_some() {
            return Vec::new();
        }
        if let Some(response) = &event.response {
            self.identify(response);
        }
        let index = event.output_index.unwrap_or(0);
        let delta = event.delta.as_ref().and_then(Value::as_str).unwrap_or_default();
        match event.kind.as_str() {
            "response.output_item.added" => self.begin(index, event.item.as_ref()),
            kind if delta.is_empty() && kind.rsplit('.').next() == Some("delta") => Vec::new(),
            "response.output_text.delta" | "response.refusal.delta" => self.board.say(index, delta),
            "response.function_call_arguments.delta" => match self.board.opened(index) {
                Some(Content::ToolRequest { .. }) => self.board.argue(index, delta),
                _ => Vec::new(),
            },
            "response.reasoning_summary_text.delta" => {
                self.board.sum_up(index, event.summary_index.unwrap_or(0), delta)
            }
            "response.reasoning_text.delta" => self.board.reason(index, event.content_index.unwrap_or(0), delta),
            "response.output_item.done" => {
                let Some(item) = event.item else { return Vec::new() };
                let shown = self.board.show(index, &item, now);
                self.done.insert(index, item);
                shown
            }
            "response.completed" => self.complete(event.response.as_ref(), now),
            "response.incomplete" => self.fail(incomplete(event.response.as_ref())),
            "response.failed" => self.fail(failed(
                event.response.as_ref().and_then(|response| response.get("error")),
            )),
            "error" => self.fail(error_frame(&event)),
            "" if event.error.as_ref().is_some_and(|error| !error.is_null()) => self.fail(error_frame(&event)),
            // Announcements, and whatever a provider invents next.
            _ => Vec::new(),
        }
    }

    /// The stream has ended; so has the call, if the provider said so.
    pub fn finish(self) -> Result<Answer, ModelError> {
        self.end.unwrap_or_else(|| Err(stream_ended()))
    }

    /// The provider has spoken its last word.
    pub fn is_finished(&self) -> bool {
        self.end.is_some()
    }

    /// The call is stopped: messages stay as far as they were said; everything else is taken back.
    pub fn interrupt(self, now: jiff::Timestamp) -> (Vec<EventKind>, Answer) {
        if let Some(Ok(answer)) = self.end {
            return (Vec::new(), answer);
        }
        let mut kept: BTreeMap<u32, Kept> = self
            .board
            .unfinished_texts()
            .map(|(index, text)| {
                let item = incomplete_message(text);
                let status = MessageStatus::Interrupted;
                (index, Kept { index, item, status })
            })
            .collect();
        let messages = self.done.into_iter().filter(|(_, item)| item["type"] == "message");
        for (index, mut item) in messages {
            if let Value::Object(members) = &mut item {
                // The id ties it to the reasoning before it, which is dropped.
                members.shift_remove("id");
            }
            let status = MessageStatus::Done;
            kept.insert(index, Kept { index, item, status });
        }
        let (events, items) = self.board.end_with(kept.into_values().collect(), now);
        let answer = Answer {
            items,
            usage: Usage {
                model_calls: 1,
                ..Usage::default()
            },
            response_id: self.response_id,
            model: self.model,
            finish_reason: Some("interrupted".to_owned()),
        };
        (events, answer)
    }

    fn identify(&mut self, response: &Value) {
        if let Some(id) = response["id"].as_str() {
            self.response_id = Some(id.to_owned());
        }
        if let Some(model) = response["model"].as_str() {
            self.model = Some(model.to_owned());
        }
    }

    fn begin(&mut self, index: u32, item: Option<&Value>) -> Vec<EventKind> {
        let Some(item) = item else { return Vec::new() };
        let content = match item["type"].as_str() {
            Some("message") => Some(text_content()),
            Some("function_call") => {
                let text = |key: &str| item[key].as_str().unwrap_or_default().to_owned();
                Some(Content::ToolRequest {
                    tool_call_id: text("call_id"),
                    name: text("name"),
                    arguments: json!({}),
                })
            }
            // Reasoning begins with its first word: many models let none be seen.
            _ => begun_content(item),
        };
        content
            .and_then(|content| self.board.begin(index, content))
            .into_iter()
            .collect()
    }

    fn complete(&mut self, response: Option<&Value>, now: jiff::Timestamp) -> Vec<EventKind> {
        let response = response.unwrap_or(&Value::Null);
        let status = response["status"].as_str();
        // Some servers say "completed" of a response whose status says otherwise.
        match status {
            Some("incomplete") => return self.fail(incomplete(Some(response))),
            Some("failed") => return self.fail(failed(response.get("error"))),
            _ => {}
        }
        let items: Vec<Value> = match response["output"].as_array() {
            Some(output) if !output.is_empty() => output.clone(),
            _ => std::mem::take(&mut self.done).into_values().collect(),
        };
        let mut events = Vec::new();
        for (index, item) in (0..).zip(&items) {
            events.extend(self.board.show(index, item, now));
        }
        // What began and is not in the answer is taken back.
        events.extend(self.board.take_back_open());
        self.end = Some(Ok(Answer {
            items,
            usage: read_usage(&response["usage"]),
            response_id: self.response_id.take(),
            model: self.model.take(),
            finish_reason: Some(status.unwrap_or("completed").to_owned()),
        }));
        events
    }

    fn fail(&mut self, error: ModelError) -> Vec<EventKind> {
        self.end.get_or_insert(Err(error));
        Vec::new()
    }
}

fn incomplete(response: Option<&Value>) -> ModelError {
    let reason = response
        .and_then(|response| response["incomplete_details"]["reason"].as_str())
        .unwrap_or("unknown");
    match reason {
        "max_output_tokens" => truncated(),
        "content_filter" => filtered(),
        other => ModelError::permanent("model_incomplete", format!("the model's answer is incomplete: {other}")),
    }
}

fn failed(error: Option<&Value>) -> ModelError {
    ModelError::from_frame(error.unwrap_or(&Value::Null))
}

/// Documented flat, sent nested by OpenAI: both are read.
fn error_frame(event: &StreamEvent) -> ModelError {
    match &event.error {
        Some(error) if !error.is_null() => ModelError::from_frame(error),
        _ => ModelError::from_frame(&json!({"code": event.code, "message": event.message})),
    }
}

fn read_usage(usage: &Value) -> Usage {
    Usage {
        input_tokens: usage["input_tokens"].as_u64().unwrap_or(0),
        cached_input_tokens: usage["input_tokens_details"]["cached_tokens"].as_u64().unwrap_or(0),
        output_tokens: usage["output_tokens"].as_u64().unwrap_or(0),
        reasoning_tokens: usage["output_tokens_details"]["reasoning_tokens"].as_u64().unwrap_or(0),
        model_calls: 1,
    }
}

#[cfg(test)]
#[path = "responses_tests.rs"]
mod tests;

//! Interprets the stream of the Responses API. Pure. Only a completed response
//! is a success.

use std::{collections::BTreeMap, vec::Drain};

use serde::Deserialize;
use serde_json::{Value, json};
use steadfast_events::{Content, EventKind, MessageStatus, Usage};
use steadfast_projection::begun_content;

use crate::{
    failure::CallFailure,
    model::{
        failures::{content_filtered, from_frame, stream_ended, told_error, truncated},
        message_tracker::{KeptItem, MessageTracker, text_content},
        progress::{Progress, is_done},
        response::{CallIdentity, ModelResponse, complete_message, incomplete_message},
    },
};

/// An event of the stream. Every member is optional: providers omit some.
#[derive(Clone, Debug, Default, Deserialize)]
struct StreamEvent {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    output_index: Option<u32>,
    #[serde(default)]
    item_id: Option<String>,
    #[serde(default)]
    content_index: Option<u32>,
    #[serde(default)]
    summary_index: Option<u32>,
    #[serde(default)]
    delta: Option<Value>,
    #[serde(default)]
    arguments: Option<Value>,
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
pub(crate) struct ResponsesInterpreter<'a> {
    messages: MessageTracker<'a>,
    /// The indices of items by their IDs.
    indices: BTreeMap<String, u32>,
    done: BTreeMap<u32, Value>,
    /// The text of each message, and each call with its arguments, as their pieces told them: gateways forget them in
    /// the events after the pieces.
    texts: BTreeMap<u32, String>,
    calls: BTreeMap<u32, Value>,
    response_id: Option<String>,
    model: Option<String>,
    /// The words of the stream that were no event.
    words: Option<String>,
    end: Option<Result<ModelResponse, CallFailure>>,
}

impl<'a> ResponsesInterpreter<'a> {
    pub(crate) fn new(call: CallIdentity<'a>) -> Self {
        Self {
            messages: MessageTracker::new(call),
            indices: BTreeMap::new(),
            done: BTreeMap::new(),
            texts: BTreeMap::new(),
            calls: BTreeMap::new(),
            response_id: None,
            model: None,
            words: None,
            end: None,
        }
    }

    /// Reads an event of the stream; returns the events for viewers.
    pub(crate) fn read(&mut self, event: Value, now: jiff::Timestamp) -> Drain<'_, EventKind> {
        if self.end.is_none() {
            if is_done(&event) {
                self.end_without_last_word(now);
            } else if let Some(words) = event.as_str() {
                self.words = Some(words.to_owned());
            } else if event["type"].is_null() {
                self.read_document(event, now);
            } else {
                // An event of an unexpected shape is ignored, like an event of an unknown type.
                self.apply(serde_json::from_value(event).unwrap_or_default(), now);
            }
        }
        self.messages.drain_events()
    }

    /// Reads JSON that is no event: a whole answer of a server that does not stream, or an error.
    fn read_document(&mut self, document: Value, now: jiff::Timestamp) {
        if document["object"] == "response" || document["output"].is_array() {
            self.identify(&document);
            self.complete(Some(document), now);
        } else if let Some(failure) = told_error(&document) {
            self.fail(failure);
        }
    }

    /// The server says that this is all, and has not said how the response ended: it counts if every item is whole.
    fn end_without_last_word(&mut self, now: jiff::Timestamp) {
        let texts = self.messages.unfinished_texts();
        let open: Vec<(u32, Value)> = texts.map(|(index, text)| (index, complete_message(text))).collect();
        let is_cut = self.messages.open_count() > open.len();
        for (index, item) in open {
            self.done.entry(index).or_insert(item);
        }
        if !is_cut && !self.done.is_empty() {
            self.complete(None, now);
        }
    }

    fn apply(&mut self, mut event: StreamEvent, now: jiff::Timestamp) {
        if let Some(response) = &event.response {
            self.identify(response);
        }
        let index = self.index(&event);
        let delta = match event.delta.take() {
            Some(Value::String(delta)) => delta,
            _ => String::new(),
        };
        match event.kind.as_str() {
            "response.output_item.added" => self.start(index, event.item.as_ref()),
            kind if delta.is_empty() && kind.rsplit('.').next() == Some("delta") => {}
            "response.output_text.delta" => {
                self.texts.entry(index).or_default().push_str(&delta);
                self.messages.text_delta(index, delta);
            }
            "response.refusal.delta" => self.messages.text_delta(index, delta),
            "response.function_call_arguments.delta" => {
                self.add_arguments(index, &delta);
                if self.messages.has_open_tool_request(index) {
                    self.messages.arguments_delta(index, delta);
                }
            }
            "response.function_call_arguments.done" => {
                if let (Some(call), Some(arguments @ Value::String(_))) = (self.calls.get_mut(&index), event.arguments)
                {
                    call["arguments"] = arguments;
                }
            }
            "response.reasoning_summary_text.delta" => {
                let part = event.summary_index.unwrap_or(0);
                self.messages.reasoning_summary_delta(index, part, delta);
            }
            "response.reasoning_text.delta" => {
                let part = event.content_index.unwrap_or(0);
                self.messages.reasoning_delta(index, part, delta);
            }
            "response.output_item.done" => {
                if let Some(item) = event.item {
                    let item = self.whole(index, item);
                    self.messages.finish(index, &item, now);
                    self.done.insert(index, item);
                }
            }
            "response.completed" => self.complete(event.response, now),
            "response.incomplete" => self.fail(incomplete(event.response.as_ref())),
            "response.failed" => self.fail(failed(event.response.as_ref())),
            "error" => self.fail(error_frame(&event)),
            // Announcements, and event types that providers add later.
            _ => {}
        }
    }

    /// The index of the item that an event is about. llama.cpp sends none: the IDs tell its items apart, which begin in
    /// the order that they have in the response.
    fn index(&mut self, event: &StreamEvent) -> u32 {
        let id = match &event.item {
            Some(item) => item["id"].as_str(),
            None => event.item_id.as_deref(),
        };
        let known = id.and_then(|id| self.indices.get(id)).copied();
        let index = event.output_index.or(known).unwrap_or_else(|| {
            let last = self.indices.values().max();
            last.filter(|_| id.is_some()).map_or(0, |last| last + 1)
        });
        if let Some(id) = id.filter(|_| known != Some(index)) {
            self.indices.insert(id.to_owned(), index);
        }
        index
    }

    /// After [`Self::close`]: the response if the provider completed it, else a failure.
    pub(crate) fn finish(self) -> Result<ModelResponse, CallFailure> {
        self.end.unwrap_or_else(|| Err(stream_ended(self.words.as_deref())))
    }

    /// What the stream said last that was no event.
    pub(crate) fn words(&self) -> Option<&str> {
        self.words.as_deref()
    }

    /// How far the response is.
    pub(crate) fn progress(&self) -> Progress {
        if self.end.is_some() {
            Progress::Over
        } else {
            Progress::Running
        }
    }

    /// No event follows.
    pub(crate) fn close(&mut self, _: jiff::Timestamp) -> Drain<'_, EventKind> {
        self.messages.drain_events()
    }

    /// The call is interrupted: keeps the text of messages so far and retracts everything else.
    pub(crate) fn interrupt(self, now: jiff::Timestamp) -> (Vec<EventKind>, ModelResponse) {
        if let Some(Ok(response)) = self.end {
            return (Vec::new(), response);
        }
        let mut kept: BTreeMap<u32, KeptItem> = self
            .messages
            .unfinished_texts()
            .map(|(index, text)| {
                let item = incomplete_message(text);
                let status = MessageStatus::Interrupted;
                (index, KeptItem { index, item, status })
            })
            .collect();
        let finished = self.done.into_iter().filter(|(_, item)| item["type"] == "message");
        for (index, mut item) in finished {
            if let Value::Object(members) = &mut item {
                // The ID ties the message to the reasoning before it, which is dropped.
                members.shift_remove("id");
            }
            let status = MessageStatus::Done;
            kept.insert(index, KeptItem { index, item, status });
        }
        let (events, items) = self.messages.keep_only(kept.into_values().collect(), now);
        let response = ModelResponse {
            items,
            usage: Usage {
                model_calls: 1,
                ..Usage::default()
            },
            response_id: self.response_id,
            model: self.model,
            finish_reason: Some("interrupted".to_owned()),
        };
        (events, response)
    }

    fn identify(&mut self, response: &Value) {
        if let Some(id) = response["id"].as_str() {
            self.response_id = Some(id.to_owned());
        }
        if let Some(model) = response["model"].as_str() {
            self.model = Some(model.to_owned());
        }
    }

    fn add_arguments(&mut self, index: u32, delta: &str) {
        if let Some(Value::String(arguments)) = self.calls.get_mut(&index).map(|call| &mut call["arguments"]) {
            arguments.push_str(delta);
        }
    }

    /// An item with what its pieces have told, if it says less.
    fn whole(&self, index: u32, mut item: Value) -> Value {
        match item["type"].as_str() {
            Some("message") => {
                let parts = item["content"].as_array().map_or(&[][..], Vec::as_slice);
                let own: Option<String> = parts.iter().map(|part| part["text"].as_str()).collect();
                let text = self.texts.get(&index);
                let is_cut = |text: &&String| own.is_some_and(|own| own.len() < text.len() && text.starts_with(&own));
                if let Some(text) = text.filter(is_cut) {
                    item["content"] = json!([{"type": "output_text", "text": text, "annotations": []}]);
                }
            }
            Some("function_call") if item["arguments"].as_str().is_none_or(str::is_empty) => {
                if let Some(call) = self.calls.get(&index) {
                    item["arguments"] = call["arguments"].clone();
                }
            }
            _ => {}
        }
        item
    }

    /// The items as the stream told them, where its last event has none.
    fn items_of_stream(&mut self) -> Vec<Value> {
        let mut items = std::mem::take(&mut self.calls);
        for (index, text) in self.messages.unfinished_texts() {
            items.entry(index).or_insert_with(|| complete_message(text));
        }
        for (index, item) in std::mem::take(&mut self.done) {
            let item = self.whole(index, item);
            items.insert(index, item);
        }
        items.into_values().collect()
    }

    fn start(&mut self, index: u32, item: Option<&Value>) {
        let Some(item) = item else { return };
        if item["type"] == "function_call" && item["name"].as_str().is_some_and(|name| !name.is_empty()) {
            let mut call = item.clone();
            call["status"] = json!("completed");
            if !call["arguments"].is_string() {
                call["arguments"] = json!("");
            }
            self.calls.entry(index).or_insert(call);
        }
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
            // Reasoning starts with its first delta: many models send none.
            _ => begun_content(item),
        };
        if let Some(content) = content {
            self.messages.start(index, content);
        }
    }

    fn complete(&mut self, response: Option<Value>, now: jiff::Timestamp) {
        let mut response = response.unwrap_or_default();
        let status = response["status"].as_str();
        // Some servers send "completed" for a response with another status.
        match status {
            Some("incomplete") => return self.fail(incomplete(Some(&response))),
            Some("failed" | "cancelled") => return self.fail(failed(Some(&response))),
            _ => {}
        }
        let finish_reason = Some(status.unwrap_or("completed").to_owned());
        let items: Vec<Value> = match response.get_mut("output").map(Value::take) {
            Some(Value::Array(output)) if !output.is_empty() => {
                let items = (0..).zip(output);
                items.map(|(index, item)| self.whole(index, item)).collect()
            }
            _ => self.items_of_stream(),
        };
        for (index, item) in (0..).zip(&items) {
            self.messages.finish(index, item, now);
        }
        // Messages that have started and are not in the response.
        self.messages.retract_open();
        self.end = Some(Ok(ModelResponse {
            items,
            usage: read_usage(&response["usage"]),
            response_id: self.response_id.take(),
            model: self.model.take(),
            finish_reason,
        }));
    }

    fn fail(&mut self, failure: CallFailure) {
        self.end.get_or_insert(Err(failure));
    }
}

fn incomplete(response: Option<&Value>) -> CallFailure {
    let reason = response
        .and_then(|response| response["incomplete_details"]["reason"].as_str())
        .unwrap_or("unknown");
    match reason {
        "max_output_tokens" => truncated(),
        "content_filter" => content_filtered(),
        other => CallFailure::permanent(
            "model_incomplete",
            format!("the model's response is incomplete: {other}"),
        ),
    }
}

fn failed(response: Option<&Value>) -> CallFailure {
    from_frame(response.map_or(&Value::Null, |response| &response["error"]))
}

/// OpenAI documents the error as members of the event, and sends it as a member `error`: both are read.
fn error_frame(event: &StreamEvent) -> CallFailure {
    match &event.error {
        Some(error) if !error.is_null() => from_frame(error),
        _ => from_frame(&json!({"code": event.code, "message": event.message})),
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
mod tests;

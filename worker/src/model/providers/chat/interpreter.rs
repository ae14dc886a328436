//! Interprets the stream of the Chat Completions API. Pure. The response is made
//! of items of the Responses API, so that transcripts have one format. Servers
//! split tool calls into fragments in different ways; this module accepts all
//! ways in which the calls can be told apart.

use std::vec::Drain;

use serde_json::{Value, json};
use steadfast_events::{Content, EventKind, MessageStatus, Usage};

use super::members::{self, Members};
use crate::{
    failure::CallFailure,
    model::{
        failures::{content_filtered, from_frame, stream_ended, truncated},
        message_tracker::{KeptItem, MessageTracker},
        response::{CallIdentity, ModelResponse, incomplete_message},
    },
};

/// Limits the parts of one response; a stream with more is broken.
const MAX_PARTS: usize = 256;

/// Reads one stream.
pub(crate) struct ChatInterpreter<'a> {
    call: CallIdentity<'a>,
    messages: MessageTracker<'a>,
    /// The parts of the response in the order in which they started: the position is the output index.
    parts: Vec<Part>,
    /// The members of the message that the server may want back.
    members: Members,
    /// The name of the member that had the reasoning.
    reasoning_name: Option<&'static str>,
    usage: Option<Usage>,
    response_id: Option<String>,
    model: Option<String>,
    /// The finish reason, or why the response failed.
    end: Option<Result<String, CallFailure>>,
}

enum Part {
    Reasoning(String),
    Message { text: String, refusal: String },
    Call(Call),
}

#[derive(Default)]
struct Call {
    /// The server's number for the call, where it has one.
    index: Option<u64>,
    id: String,
    name: String,
    /// Of a custom tool: the arguments are free text.
    is_custom: bool,
    arguments: String,
    /// The members of the call that the server may want back.
    members: Members,
    /// The same of its function.
    function_members: Members,
    /// How many bytes of the arguments viewers have got; none before the name is known.
    sent_bytes: Option<usize>,
}

impl<'a> ChatInterpreter<'a> {
    pub(crate) fn new(call: CallIdentity<'a>) -> Self {
        Self {
            call,
            messages: MessageTracker::new(call),
            parts: Vec::new(),
            members: Members::default(),
            reasoning_name: None,
            usage: None,
            response_id: None,
            model: None,
            end: None,
        }
    }

    /// Reads a chunk of the stream; returns the events for viewers.
    pub(crate) fn read(&mut self, chunk: &Value, now: jiff::Timestamp) -> Drain<'_, EventKind> {
        self.apply(chunk, now);
        self.messages.drain_events()
    }

    fn apply(&mut self, chunk: &Value, now: jiff::Timestamp) {
        let error = &chunk["error"];
        if !error.is_null() {
            return self.fail(from_frame(error));
        }
        if chunk["object"] == "error" {
            return self.fail(from_frame(chunk));
        }
        self.identify(chunk);
        if chunk["usage"].is_object() {
            self.usage = Some(read_usage(&chunk["usage"]));
        }
        let choice = &chunk["choices"][0];
        if choice.is_null() || self.end.is_some() {
            return;
        }
        // A server that does not stream sends the whole message in one chunk.
        let delta = if choice["delta"].is_object() {
            &choice["delta"]
        } else {
            &choice["message"]
        };
        self.extend(delta);
        if let Some(reason) = choice["finish_reason"].as_str().filter(|reason| !reason.is_empty()) {
            self.end(reason, now);
        }
    }

    /// Whether the rest of the stream can be ignored.
    pub(crate) fn is_finished(&self) -> bool {
        match &self.end {
            Some(Ok(_)) => self.usage.is_some(),
            Some(Err(_)) => true,
            None => false,
        }
    }

    /// Whether the response has ended, by success or failure; the usage may follow.
    pub(crate) fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// The stream has ended: the response if the provider completed it, else a failure.
    pub(crate) fn finish(self) -> Result<ModelResponse, CallFailure> {
        let items = self.items();
        let finish_reason = self.end.unwrap_or_else(|| Err(stream_ended()))?;
        Ok(ModelResponse {
            items,
            usage: as_one_call(self.usage),
            response_id: self.response_id,
            model: self.model,
            finish_reason: Some(finish_reason),
        })
    }

    /// The items, with what a request to the same model puts back.
    fn items(&self) -> Vec<Value> {
        let mut items: Vec<Value> = self.parts.iter().map(Part::item).collect();
        if let Some(first) = items.first_mut() {
            self.members.put(first, members::OF_MESSAGE);
        }
        if let Some(name) = self.reasoning_name
            && let Some(reasoning) = items.iter_mut().find(|item| item["type"] == "reasoning")
        {
            members::put(reasoning, members::REASONING, json!(name));
        }
        items
    }

    /// The call is interrupted: keeps the text of messages so far and retracts everything else.
    pub(crate) fn interrupt(self, now: jiff::Timestamp) -> (Vec<EventKind>, ModelResponse) {
        if let Some(Ok(_)) = &self.end {
            return (Vec::new(), self.finish().unwrap_or_default());
        }
        let texts = (0..).zip(&self.parts).filter_map(|(index, part)| match part {
            Part::Message { text, refusal } => Some((index, format!("{text}{refusal}"))),
            Part::Reasoning(_) | Part::Call(_) => None,
        });
        let kept: Vec<KeptItem> = texts
            .map(|(index, text)| KeptItem {
                index,
                item: incomplete_message(&text),
                status: MessageStatus::Interrupted,
            })
            .collect();
        let (events, items) = self.messages.keep_only(kept, now);
        let response = ModelResponse {
            items,
            usage: as_one_call(self.usage),
            response_id: self.response_id,
            model: self.model,
            finish_reason: Some("interrupted".to_owned()),
        };
        (events, response)
    }

    fn identify(&mut self, chunk: &Value) {
        for (name, known) in [("id", &mut self.response_id), ("model", &mut self.model)] {
            let text = chunk[name].as_str().filter(|text| !text.is_empty());
            // Every chunk repeats both.
            if text.is_some() && text != known.as_deref() {
                *known = text.map(str::to_owned);
            }
        }
    }

    fn extend(&mut self, delta: &Value) {
        let reasoning = ["reasoning_content", "reasoning"]
            .into_iter()
            .find_map(|name| Some((name, text(delta, name)?)));
        if let Some((name, piece)) = reasoning {
            self.reasoning_name.get_or_insert(name);
            self.reasoning(piece);
        }
        self.members.of_message(delta);
        if let Some(piece) = text(delta, "content") {
            self.message(piece, MessagePart::Text);
        }
        if let Some(piece) = text(delta, "refusal") {
            self.message(piece, MessagePart::Refusal);
        }
        for fragment in delta["tool_calls"].as_array().into_iter().flatten() {
            self.tool_call(fragment);
        }
    }

    fn reasoning(&mut self, piece: &str) {
        let known = self.parts.iter().position(|part| matches!(part, Part::Reasoning(_)));
        let Some(position) = known.or_else(|| self.add(Part::Reasoning(String::new()))) else {
            return;
        };
        if let Part::Reasoning(reasoning) = &mut self.parts[position] {
            reasoning.push_str(piece);
        }
        self.messages
            .reasoning_delta(output_index(position), 0, piece.to_owned());
    }

    fn message(&mut self, piece: &str, part: MessagePart) {
        let known = self.parts.iter().position(|part| matches!(part, Part::Message { .. }));
        let empty = Part::Message {
            text: String::new(),
            refusal: String::new(),
        };
        let Some(position) = known.or_else(|| self.add(empty)) else {
            return;
        };
        if let Part::Message { text, refusal } = &mut self.parts[position] {
            match part {
                MessagePart::Text => text.push_str(piece),
                MessagePart::Refusal => refusal.push_str(piece),
            }
        }
        self.messages.text_delta(output_index(position), piece.to_owned());
    }

    fn tool_call(&mut self, fragment: &Value) {
        let known = self.position_of_call(fragment);
        let Some(position) = known.or_else(|| self.add(Part::Call(Call::default()))) else {
            return;
        };
        let Some(Part::Call(call)) = self.parts.get_mut(position) else {
            return;
        };
        call.append(fragment);
        let index = output_index(position);
        if call.sent_bytes.is_none() && !call.name.is_empty() {
            if call.id.is_empty() {
                call.id = format!("call_{}_{}_{position}", self.call.turn, self.call.step);
            }
            call.sent_bytes = Some(0);
            let content = Content::ToolRequest {
                tool_call_id: call.id.clone(),
                name: call.name.clone(),
                arguments: json!({}),
            };
            self.messages.start(index, content);
        }
        if let Some(sent_bytes) = call.sent_bytes
            && let Some(delta) = call.arguments.get(sent_bytes..).filter(|delta| !delta.is_empty())
        {
            self.messages.arguments_delta(index, delta.to_owned());
            call.sent_bytes = Some(call.arguments.len());
        }
    }

    /// The call that a fragment continues; none if it starts a new call.
    fn position_of_call(&self, fragment: &Value) -> Option<usize> {
        let number = fragment["index"].as_u64();
        let id = fragment["id"].as_str().unwrap_or_default();
        let has_name = ["function", "custom"]
            .iter()
            .any(|form| text(&fragment[form], "name").is_some());
        let mut calls = self
            .parts
            .iter()
            .enumerate()
            .rev()
            .filter_map(|(position, part)| match part {
                Part::Call(call) => Some((position, call)),
                Part::Reasoning(_) | Part::Message { .. } => None,
            });
        let (position, call) = match number {
            Some(number) => calls.find(|(_, call)| call.index == Some(number))?,
            None if !id.is_empty() => {
                let known = calls.clone().find(|(_, call)| call.id == id);
                // A fragment without a name starts no call, whatever its ID.
                return known
                    .or_else(|| calls.next().filter(|_| !has_name))
                    .map(|(position, _)| position);
            }
            None => calls.next()?,
        };
        // Some servers number every call 0, or none: a name with another ID, or a name without a number, starts a call.
        let other_id = !id.is_empty() && call.sent_bytes.is_some() && id != call.id;
        let starts = has_name && (other_id || (number.is_none() && call.sent_bytes.is_some()));
        (!starts).then_some(position)
    }

    fn add(&mut self, part: Part) -> Option<usize> {
        if self.parts.len() >= MAX_PARTS {
            return None;
        }
        self.parts.push(part);
        Some(self.parts.len() - 1)
    }

    fn end(&mut self, reason: &str, now: jiff::Timestamp) {
        match reason {
            "length" => return self.fail(truncated()),
            "content_filter" => return self.fail(content_filtered()),
            "error" | "abort" | "insufficient_system_resource" => {
                let message = format!("the model API ended its stream with finish_reason {reason:?}");
                return self.fail(CallFailure::transient("model_stream_error", message));
            }
            _ => {}
        }
        // A call that never got a name cannot run.
        self.parts
            .retain(|part| !matches!(part, Part::Call(call) if call.name.is_empty()));
        for (index, part) in (0..).zip(&self.parts) {
            self.messages.finish(index, &part.item(), now);
        }
        self.messages.retract_open();
        self.end = Some(Ok(reason.to_owned()));
    }

    fn fail(&mut self, failure: CallFailure) {
        self.end.get_or_insert(Err(failure));
    }
}

#[derive(Clone, Copy)]
enum MessagePart {
    Text,
    Refusal,
}

impl Part {
    /// The part as an output item of the Responses API.
    fn item(&self) -> Value {
        match self {
            Self::Reasoning(reasoning) => json!({"type": "reasoning", "summary": [],
                "content": [{"type": "reasoning_text", "text": reasoning}]}),
            Self::Message { text, refusal } => {
                let mut content = Vec::new();
                if !text.is_empty() {
                    content.push(json!({"type": "output_text", "text": text, "annotations": []}));
                }
                if !refusal.is_empty() {
                    content.push(json!({"type": "refusal", "refusal": refusal}));
                }
                json!({"type": "message", "role": "assistant", "status": "completed", "content": content})
            }
            Self::Call(call) if call.is_custom => json!({"type": "custom_tool_call", "status": "completed",
                "call_id": call.id, "name": call.name, "input": call.arguments}),
            Self::Call(call) => {
                let mut item = json!({"type": "function_call", "status": "completed",
                    "call_id": call.id, "name": call.name, "arguments": call.arguments});
                call.members.put(&mut item, members::OF_CALL);
                call.function_members.put(&mut item, members::OF_FUNCTION);
                item
            }
        }
    }
}

impl Call {
    fn append(&mut self, fragment: &Value) {
        if self.index.is_none() {
            self.index = fragment["index"].as_u64();
        }
        if self.id.is_empty() {
            fragment["id"].as_str().unwrap_or_default().clone_into(&mut self.id);
        }
        self.is_custom |= fragment["custom"].is_object();
        let (form, arguments) = if self.is_custom {
            ("custom", "input")
        } else {
            ("function", "arguments")
        };
        let function = &fragment[form];
        self.members.of_call(fragment);
        self.function_members.of_function(function);
        if self.name.is_empty() {
            function["name"].as_str().unwrap_or_default().clone_into(&mut self.name);
        }
        match &function[arguments] {
            Value::String(piece) => self.arguments.push_str(piece),
            Value::Object(whole) => self.arguments = json!(whole).to_string(),
            _ => {}
        }
    }
}

fn text<'v>(from: &'v Value, name: &str) -> Option<&'v str> {
    from[name].as_str().filter(|text| !text.is_empty())
}

fn output_index(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

fn as_one_call(usage: Option<Usage>) -> Usage {
    Usage {
        model_calls: 1,
        ..usage.unwrap_or_default()
    }
}

fn read_usage(usage: &Value) -> Usage {
    let count = |value: &Value| value.as_u64().unwrap_or(0);
    Usage {
        input_tokens: count(&usage["prompt_tokens"]),
        cached_input_tokens: count(&usage["prompt_tokens_details"]["cached_tokens"]),
        output_tokens: count(&usage["completion_tokens"]),
        reasoning_tokens: count(&usage["completion_tokens_details"]["reasoning_tokens"]),
        model_calls: 0,
    }
}

#[cfg(test)]
mod tests;

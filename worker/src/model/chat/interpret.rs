//! Makes sense of the chunks of a Chat Completions stream. Pure. The answer is
//! made of Responses items, so that a transcript has one form. Servers differ in
//! how they cut tool calls into pieces; whatever can be told apart is put together.

use serde_json::{Value, json};
use steadfast_events::{Content, EventKind, MessageStatus, Usage};

use crate::model::{
    board::{Board, Kept},
    error::ModelError,
    interpret::{Answer, Place, filtered, incomplete_message, stream_ended, truncated},
};

/// More pieces of one answer than this are not believed.
const MAX_PARTS: usize = 256;

/// Reads one stream.
pub struct ChatInterpreter<'a> {
    place: Place<'a>,
    board: Board<'a>,
    /// What the answer is made of, in the order in which it began: the place is the output index.
    parts: Vec<Part>,
    usage: Option<Usage>,
    response_id: Option<String>,
    model: Option<String>,
    end: Option<Result<String, ModelError>>,
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
    arguments: String,
    /// How many bytes of the arguments have been shown; none before the name is known.
    shown: Option<usize>,
}

impl<'a> ChatInterpreter<'a> {
    pub fn new(place: Place<'a>) -> Self {
        Self {
            place,
            board: Board::new(place),
            parts: Vec::new(),
            usage: None,
            response_id: None,
            model: None,
            end: None,
        }
    }

    /// Takes in a chunk; answers what a viewer is to see of it.
    pub fn take(&mut self, chunk: &Value, now: jiff::Timestamp) -> Vec<EventKind> {
        let error = &chunk["error"];
        if !error.is_null() {
            return self.fail(ModelError::from_frame(error));
        }
        if chunk["object"] == "error" {
            return self.fail(ModelError::from_frame(chunk));
        }
        self.identify(chunk);
        if chunk["usage"].is_object() {
            self.usage = Some(read_usage(&chunk["usage"]));
        }
        let choice = &chunk["choices"][0];
        if choice.is_null() || self.end.is_some() {
            return Vec::new();
        }
        // A server that does not cut its answer sends the whole message.
        let delta = if choice["delta"].is_object() {
            &choice["delta"]
        } else {
            &choice["message"]
        };
        let mut events = self.extend(delta);
        if let Some(reason) = choice["finish_reason"].as_str().filter(|reason| !reason.is_empty()) {
            events.extend(self.end(reason, now));
        }
        events
    }

    /// Nothing that follows in the stream matters any more.
    pub fn is_finished(&self) -> bool {
        match &self.end {
            Some(Ok(_)) => self.usage.is_some(),
            Some(Err(_)) => true,
            None => false,
        }
    }

    /// The answer stands; what it cost may follow.
    pub fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// The stream has ended; so has the call, if the provider said so.
    pub fn finish(self) -> Result<Answer, ModelError> {
        let finish_reason = self.end.unwrap_or_else(|| Err(stream_ended()))?;
        Ok(Answer {
            items: self.parts.iter().map(Part::item).collect(),
            usage: counted(self.usage),
            response_id: self.response_id,
            model: self.model,
            finish_reason: Some(finish_reason),
        })
    }

    /// The call is stopped: what was said stays, reasoning and tool calls are taken back.
    pub fn interrupt(self, now: jiff::Timestamp) -> (Vec<EventKind>, Answer) {
        if let Some(Ok(_)) = &self.end {
            return (Vec::new(), self.finish().unwrap_or_default());
        }
        let said = (0..).zip(&self.parts).filter_map(|(index, part)| match part {
            Part::Message { text, refusal } => Some((index, format!("{text}{refusal}"))),
            Part::Reasoning(_) | Part::Call(_) => None,
        });
        let kept: Vec<Kept> = said
            .map(|(index, text)| Kept {
                index,
                item: incomplete_message(&text),
                status: MessageStatus::Interrupted,
            })
            .collect();
        let (events, items) = self.board.end_with(kept, now);
        let answer = Answer {
            items,
            usage: counted(self.usage),
            response_id: self.response_id,
            model: self.model,
            finish_reason: Some("interrupted".to_owned()),
        };
        (events, answer)
    }

    fn identify(&mut self, chunk: &Value) {
        for (name, known) in [("id", &mut self.response_id), ("model", &mut self.model)] {
            if let Some(text) = chunk[name].as_str().filter(|text| !text.is_empty()) {
                *known = Some(text.to_owned());
            }
        }
    }

    fn extend(&mut self, delta: &Value) -> Vec<EventKind> {
        let mut events = Vec::new();
        let reasoning = text(delta, "reasoning_content").or_else(|| text(delta, "reasoning"));
        if let Some(piece) = reasoning {
            events.extend(self.think(piece));
        }
        if let Some(piece) = text(delta, "content") {
            events.extend(self.say(piece, Saying::Text));
        }
        if let Some(piece) = text(delta, "refusal") {
            events.extend(self.say(piece, Saying::Refusal));
        }
        for fragment in delta["tool_calls"].as_array().into_iter().flatten() {
            events.extend(self.call(fragment));
        }
        events
    }

    fn think(&mut self, piece: &str) -> Vec<EventKind> {
        let known = self.parts.iter().position(|part| matches!(part, Part::Reasoning(_)));
        let Some(place) = known.or_else(|| self.add(Part::Reasoning(String::new()))) else {
            return Vec::new();
        };
        if let Part::Reasoning(thought) = &mut self.parts[place] {
            thought.push_str(piece);
        }
        self.board.reason(output_index(place), 0, piece)
    }

    fn say(&mut self, piece: &str, saying: Saying) -> Vec<EventKind> {
        let known = self.parts.iter().position(|part| matches!(part, Part::Message { .. }));
        let empty = Part::Message {
            text: String::new(),
            refusal: String::new(),
        };
        let Some(place) = known.or_else(|| self.add(empty)) else {
            return Vec::new();
        };
        if let Part::Message { text, refusal } = &mut self.parts[place] {
            match saying {
                Saying::Text => text.push_str(piece),
                Saying::Refusal => refusal.push_str(piece),
            }
        }
        self.board.say(output_index(place), piece)
    }

    fn call(&mut self, fragment: &Value) -> Vec<EventKind> {
        let known = self.place_of_call(fragment);
        let Some(place) = known.or_else(|| self.add(Part::Call(Call::default()))) else {
            return Vec::new();
        };
        let synthetic = format!("call_{}_{}_{place}", self.place.turn, self.place.step);
        let Some(Part::Call(call)) = self.parts.get_mut(place) else {
            return Vec::new();
        };
        call.take(fragment);
        let index = output_index(place);
        let mut events = Vec::new();
        if call.shown.is_none() && !call.name.is_empty() {
            if call.id.is_empty() {
                call.id = synthetic;
            }
            call.shown = Some(0);
            let content = Content::ToolRequest {
                tool_call_id: call.id.clone(),
                name: call.name.clone(),
                arguments: json!({}),
            };
            events.extend(self.board.begin(index, content));
        }
        if let Some(shown) = call.shown
            && let Some(news) = call.arguments.get(shown..).filter(|news| !news.is_empty())
        {
            events.extend(self.board.argue(index, news));
            call.shown = Some(call.arguments.len());
        }
        events
    }

    /// Which of the calls so far a fragment goes on with; none when it begins another.
    fn place_of_call(&self, fragment: &Value) -> Option<usize> {
        let number = fragment["index"].as_u64();
        let id = fragment["id"].as_str().unwrap_or_default();
        let has_name = text(&fragment["function"], "name").is_some();
        let mut calls = self
            .parts
            .iter()
            .enumerate()
            .rev()
            .filter_map(|(place, part)| match part {
                Part::Call(call) => Some((place, call)),
                Part::Reasoning(_) | Part::Message { .. } => None,
            });
        let (place, call) = match number {
            Some(number) => calls.find(|(_, call)| call.index == Some(number))?,
            None if !id.is_empty() => {
                let known = calls.clone().find(|(_, call)| call.id == id);
                // Without a name it begins nothing, whatever its id.
                return known
                    .or_else(|| calls.next().filter(|_| !has_name))
                    .map(|(place, _)| place);
            }
            None => calls.next()?,
        };
        // Some servers number every call 0, or none: a name and another id, or no id at all, tell them apart.
        let other_id = !id.is_empty() && call.shown.is_some() && id != call.id;
        let begins = has_name && (other_id || (number.is_none() && call.shown.is_some()));
        (!begins).then_some(place)
    }

    fn add(&mut self, part: Part) -> Option<usize> {
        if self.parts.len() >= MAX_PARTS {
            return None;
        }
        self.parts.push(part);
        Some(self.parts.len() - 1)
    }

    fn end(&mut self, reason: &str, now: jiff::Timestamp) -> Vec<EventKind> {
        match reason {
            "length" => return self.fail(truncated()),
            "content_filter" => return self.fail(filtered()),
            "error" | "abort" | "insufficient_system_resource" => {
                let message = format!("the model API ended its stream with finish_reason {reason:?}");
                return self.fail(ModelError::transient("model_stream_error", message));
            }
            _ => {}
        }
        // A call that never got a name is none.
        self.parts
            .retain(|part| !matches!(part, Part::Call(call) if call.name.is_empty()));
        let mut events = Vec::new();
        for (index, part) in (0..).zip(&self.parts) {
            events.extend(self.board.show(index, &part.item(), now));
        }
        events.extend(self.board.take_back_open());
        self.end = Some(Ok(reason.to_owned()));
        events
    }

    fn fail(&mut self, error: ModelError) -> Vec<EventKind> {
        self.end.get_or_insert(Err(error));
        Vec::new()
    }
}

#[derive(Clone, Copy)]
enum Saying {
    Text,
    Refusal,
}

impl Part {
    /// As an output item of the Responses API.
    fn item(&self) -> Value {
        match self {
            Self::Reasoning(thought) => json!({"type": "reasoning", "summary": [],
                "content": [{"type": "reasoning_text", "text": thought}]}),
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
            Self::Call(call) => json!({"type": "function_call", "status": "completed",
                "call_id": call.id, "name": call.name, "arguments": call.arguments}),
        }
    }
}

impl Call {
    fn take(&mut self, fragment: &Value) {
        if self.index.is_none() {
            self.index = fragment["index"].as_u64();
        }
        if self.id.is_empty() {
            fragment["id"].as_str().unwrap_or_default().clone_into(&mut self.id);
        }
        let function = &fragment["function"];
        if self.name.is_empty() {
            function["name"].as_str().unwrap_or_default().clone_into(&mut self.name);
        }
        match &function["arguments"] {
            Value::String(piece) => self.arguments.push_str(piece),
            Value::Object(whole) => self.arguments = json!(whole).to_string(),
            _ => {}
        }
    }
}

fn text<'v>(from: &'v Value, name: &str) -> Option<&'v str> {
    from[name].as_str().filter(|text| !text.is_empty())
}

fn output_index(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

fn counted(usage: Option<Usage>) -> Usage {
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
#[path = "interpret_tests.rs"]
mod tests;

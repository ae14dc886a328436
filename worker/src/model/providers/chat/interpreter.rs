//! Interprets the stream of the Chat Completions API. Pure. The response is made
//! of items of the Responses API, so that transcripts have one format. Accepts what
//! servers really send: see the table in docs/models.md.

mod calls;
mod content;
mod finish;
mod think_tags;

use std::vec::Drain;

use serde_json::{Value, json};
use steadfast_events::{Content, EventKind, MessageStatus, Usage};

use self::{
    calls::{Call, Fragment, continued},
    content::{Kind, pieces_of_content, reasoning_of},
    finish::{as_one_call, is_of_calls, read_usage, reason_of, unsuccessful},
    think_tags::{CLOSING, ThinkTags},
};
use super::members::{self, Members};
use crate::{
    failure::CallFailure,
    model::{
        failures::{finished_without_call, from_frame, stream_ended, told_error},
        message_tracker::{KeptItem, MessageTracker},
        progress::{Progress, is_done},
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
    think_tags: ThinkTags,
    /// The members of the message that the server may want back.
    members: Members,
    /// The name of the member that had the reasoning.
    reasoning_name: Option<&'static str>,
    usage: Option<Usage>,
    response_id: Option<String>,
    model: Option<String>,
    /// The words of the stream that were no chunk.
    words: Option<String>,
    finish_reason: Option<String>,
    failure: Option<CallFailure>,
    /// The last chunk: `[DONE]`, or the usage after the choices.
    last: Option<Last>,
    is_closed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Done,
    Usage,
}

/// Which kinds of parts a response has.
#[derive(Clone, Copy)]
struct Said {
    reasoning: bool,
    message: bool,
    calls: bool,
}

enum Part {
    Reasoning(String),
    Message { text: String, refusal: String },
    Call(Call),
}

impl<'a> ChatInterpreter<'a> {
    pub(crate) fn new(call: CallIdentity<'a>) -> Self {
        Self {
            call,
            messages: MessageTracker::new(call),
            parts: Vec::new(),
            think_tags: ThinkTags::default(),
            members: Members::default(),
            reasoning_name: None,
            usage: None,
            response_id: None,
            model: None,
            words: None,
            finish_reason: None,
            failure: None,
            last: None,
            is_closed: false,
        }
    }

    /// Reads a chunk of the stream; returns the events for viewers.
    pub(crate) fn read(&mut self, chunk: &Value, now: jiff::Timestamp) -> Drain<'_, EventKind> {
        if !self.is_closed && self.failure.is_none() {
            self.apply(chunk);
            if self.last == Some(Last::Done) {
                self.end(now);
            }
        }
        self.messages.drain_events()
    }

    fn apply(&mut self, chunk: &Value) {
        if is_done(chunk) {
            self.last = Some(Last::Done);
            return;
        }
        if let Some(words) = chunk.as_str() {
            self.words = Some(words.to_owned());
            return;
        }
        if let Some(failure) = told_error(chunk) {
            self.fail(failure);
            return;
        }
        self.identify(chunk);
        let choices = chunk["choices"].as_array().map_or(&[][..], Vec::as_slice);
        self.count(chunk, choices.first().unwrap_or(&Value::Null));
        // One answer was asked for: some servers write its text and each of its calls as a choice.
        let calls = self.said().calls;
        for choice in choices {
            self.apply_choice(choice, Said { calls, ..self.said() });
        }
    }

    /// `said` is what a whole message says again.
    fn apply_choice(&mut self, choice: &Value, said: Said) {
        if choice.is_null() {
            return;
        }
        if choice["error"].is_object() {
            self.fail(from_frame(&choice["error"]));
            return;
        }
        // More after the usage: it was not the end.
        self.last = None;
        let (delta, message) = (&choice["delta"], &choice["message"]);
        let has_delta = delta.as_object().is_some_and(|delta| !delta.is_empty());
        self.extend(delta);
        if message.is_object() {
            // A server that does not stream sends the whole message in one chunk; some repeat it after the pieces.
            self.extend_by_whole(message, if has_delta { self.said() } else { said });
        }
        let Some(reason) = reason_of(choice) else { return };
        match unsuccessful(&reason) {
            Some(failure) => self.fail(failure),
            None => self.finish_reason = Some(reason.into_owned()),
        }
    }

    fn count(&mut self, chunk: &Value, choice: &Value) {
        // Moonshot has it in the choice, Groq in a member of its own.
        let places = [&chunk["usage"], &choice["usage"], &chunk["x_groq"]["usage"]];
        if let Some(usage) = places.into_iter().find(|usage| usage.is_object()) {
            self.usage = Some(read_usage(usage));
            if choice.is_null() && !self.parts.is_empty() {
                self.last = Some(Last::Usage);
            }
        }
    }

    /// What the stream said last that was no event.
    pub(crate) fn words(&self) -> Option<&str> {
        self.words.as_deref()
    }

    /// How far the response is.
    pub(crate) fn progress(&self) -> Progress {
        let is_over = self.failure.is_some() || self.is_closed || self.last == Some(Last::Done);
        match &self.finish_reason {
            _ if is_over => Progress::Over,
            // The usage came after the finish reason: nothing else does.
            Some(_) if self.last == Some(Last::Usage) => Progress::Over,
            Some(_) if self.has_answer() => Progress::Finished,
            // Some servers give a reason with every chunk, or before the first word.
            Some(_) => Progress::FinishedWithoutAnswer,
            None => Progress::Running,
        }
    }

    fn has_answer(&self) -> bool {
        self.parts.iter().any(|part| !matches!(part, Part::Reasoning(_)))
    }

    /// No chunk follows; returns the last events for viewers.
    pub(crate) fn close(&mut self, now: jiff::Timestamp) -> Drain<'_, EventKind> {
        self.end(now);
        self.messages.drain_events()
    }

    /// After [`Self::close`]: the response if the provider completed it, else a failure.
    pub(crate) fn finish(self) -> Result<ModelResponse, CallFailure> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        if !self.is_closed {
            return Err(stream_ended(self.words.as_deref()));
        }
        Ok(ModelResponse {
            items: self.items(),
            usage: as_one_call(self.usage),
            response_id: self.response_id,
            model: self.model,
            finish_reason: Some(self.finish_reason.unwrap_or_else(|| "stop".to_owned())),
        })
    }

    /// The call is interrupted: keeps the text of messages so far and retracts everything else.
    pub(crate) fn interrupt(mut self, now: jiff::Timestamp) -> (Vec<EventKind>, ModelResponse) {
        if self.finish_reason.is_some() && self.failure.is_none() {
            let events = self.close(now).collect();
            return (events, self.finish().unwrap_or_default());
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
        self.extend_reasoning(delta);
        self.members.of_message(delta);
        self.extend_content(delta);
        self.extend_calls(delta);
    }

    /// The kinds of parts that there are.
    fn said(&self) -> Said {
        let has = |of: fn(&Part) -> bool| self.parts.iter().any(of);
        Said {
            reasoning: has(|part| matches!(part, Part::Reasoning(_))),
            message: has(|part| matches!(part, Part::Message { .. })),
            calls: has(|part| matches!(part, Part::Call(_))),
        }
    }

    /// Takes of a whole message what no piece has said.
    fn extend_by_whole(&mut self, message: &Value, said: Said) {
        if self.parts.is_empty() {
            self.members.of_message(message);
        }
        if !said.reasoning {
            self.extend_reasoning(message);
        }
        if !said.message {
            self.extend_content(message);
        }
        if !said.calls {
            self.extend_calls(message);
        }
    }

    fn extend_reasoning(&mut self, delta: &Value) {
        if let Some((name, piece)) = reasoning_of(delta) {
            self.reasoning_name = self.reasoning_name.or(name);
            self.add_text(Kind::Reasoning, &piece);
        }
    }

    fn extend_content(&mut self, delta: &Value) {
        match &delta["content"] {
            // Nearly every chunk.
            Value::String(text) => self.add_content(Kind::Text, text),
            content => {
                for (kind, piece) in pieces_of_content(content) {
                    self.add_content(kind, &piece);
                }
            }
        }
        if let Some(refusal) = delta["refusal"].as_str() {
            self.add_text(Kind::Refusal, refusal);
        }
    }

    fn add_content(&mut self, kind: Kind, piece: &str) {
        if kind != Kind::Text || self.think_tags.is_past() {
            self.add_text(kind, piece);
            return;
        }
        for (kind, piece) in self.think_tags.push(piece) {
            self.add_text(kind, &piece);
        }
    }

    fn extend_calls(&mut self, delta: &Value) {
        let calls = match &delta["tool_calls"] {
            Value::Array(calls) => calls.as_slice(),
            call @ Value::Object(_) => std::slice::from_ref(call),
            _ => &[],
        };
        let older = delta.get("function_call").filter(|call| call.is_object());
        let mut touched = Vec::new();
        for fragment in calls.iter().chain(older).filter_map(Fragment::new) {
            touched.extend(self.extend_call(&fragment, &touched));
        }
    }

    fn add_text(&mut self, kind: Kind, piece: &str) {
        if piece.is_empty() {
            return;
        }
        let of_kind = |part: &Part| match kind {
            Kind::Reasoning => matches!(part, Part::Reasoning(_)),
            Kind::Text | Kind::Refusal => matches!(part, Part::Message { .. }),
        };
        let known = self.parts.iter().position(of_kind);
        let Some(position) = known.or_else(|| self.add(Part::empty(kind))) else {
            return;
        };
        let index = output_index(position);
        match &mut self.parts[position] {
            Part::Reasoning(reasoning) => {
                reasoning.push_str(piece);
                self.messages.reasoning_delta(index, 0, piece.to_owned());
            }
            Part::Message { text, refusal } => {
                let said = if kind == Kind::Text { text } else { refusal };
                said.push_str(piece);
                self.messages.text_delta(index, piece.to_owned());
                if kind == Kind::Text && piece.contains('>') {
                    self.move_reasoning_out_of_text(position);
                }
            }
            Part::Call(_) => {}
        }
    }

    /// The text up to a closing tag is reasoning, if the opening tag stood in the prompt.
    fn move_reasoning_out_of_text(&mut self, position: usize) {
        let is_last = position + 1 == self.parts.len();
        let has_reasoning = self.parts.iter().any(|part| matches!(part, Part::Reasoning(_)));
        let Some(Part::Message { text, .. }) = self.parts.get(position) else {
            return;
        };
        let Some((reasoning, answer)) = text.split_once(CLOSING).filter(|_| is_last && !has_reasoning) else {
            return;
        };
        let (reasoning, answer) = (reasoning.to_owned(), answer.trim_start().to_owned());
        self.messages.retract(output_index(position));
        self.parts.truncate(position);
        self.add_text(Kind::Reasoning, &reasoning);
        self.add_text(Kind::Text, &answer);
    }

    /// Returns the place of the call.
    fn extend_call(&mut self, fragment: &Fragment<'_>, touched: &[usize]) -> Option<usize> {
        let calls = self
            .parts
            .iter()
            .enumerate()
            .rev()
            .filter_map(|(position, part)| match part {
                Part::Call(call) => Some((position, call)),
                Part::Reasoning(_) | Part::Message { .. } => None,
            });
        let known = continued(fragment, &calls, touched);
        let position = known.or_else(|| self.add(Part::Call(Call::default())))?;
        if let Some(Part::Call(call)) = self.parts.get_mut(position) {
            call.append(fragment);
        }
        self.show_call(position);
        Some(position)
    }

    /// Shows a call from its first argument on: then its name is whole.
    fn show_call(&mut self, position: usize) {
        let tool_call_id = self.call_id(position);
        let Some(Part::Call(call)) = self.parts.get_mut(position) else {
            return;
        };
        if !call.has_name() || call.streamed().is_empty() {
            return;
        }
        let index = output_index(position);
        let sent_bytes = call.sent_bytes.unwrap_or_else(|| {
            let content = Content::ToolRequest {
                tool_call_id,
                name: call.name().to_owned(),
                arguments: json!({}),
            };
            self.messages.start(index, content);
            0
        });
        if let Some(delta) = call.streamed().get(sent_bytes..).filter(|delta| !delta.is_empty()) {
            self.messages.arguments_delta(index, delta.to_owned());
        }
        call.sent_bytes = Some(call.streamed().len());
    }

    /// The server's ID of a call, unless it has none or gave it to a call before.
    fn call_id(&self, position: usize) -> String {
        let id = |part: &Part| match part {
            Part::Call(call) => call.id().to_owned(),
            Part::Reasoning(_) | Part::Message { .. } => String::new(),
        };
        let own = id(&self.parts[position]);
        let is_taken = self.parts[..position].iter().any(|part| id(part) == own);
        if own.is_empty() || is_taken {
            return format!("call_{}_{}_{position}", self.call.turn, self.call.step);
        }
        own
    }

    fn add(&mut self, part: Part) -> Option<usize> {
        if self.parts.len() >= MAX_PARTS {
            return None;
        }
        self.parts.push(part);
        Some(self.parts.len() - 1)
    }

    /// Ends the response, if the server has ended it.
    fn end(&mut self, now: jiff::Timestamp) {
        if self.is_closed || self.failure.is_some() {
            return;
        }
        if let Some((kind, held)) = self.think_tags.finish() {
            self.add_text(kind, &held);
        }
        let ended = self.finish_reason.is_some() || (self.last.is_some() && self.is_answer_whole());
        if !ended {
            return;
        }
        self.drop_nameless_calls();
        let is_thought = self.parts.iter().all(|part| matches!(part, Part::Reasoning(_)));
        let reason = self.finish_reason.as_deref();
        let without_call = reason
            .filter(|reason| is_thought && is_of_calls(reason))
            .map(finished_without_call);
        if let Some(failure) = without_call {
            self.fail(failure);
            return;
        }
        for (index, item) in (0..).zip(self.items()) {
            self.messages.finish(index, &item, now);
        }
        self.messages.retract_open();
        self.is_closed = true;
    }

    /// Whether the response can be the whole one although the server gave no reason for its end.
    fn is_answer_whole(&self) -> bool {
        let is_cut = |part: &Part| matches!(part, Part::Call(call) if call.is_cut());
        !self.parts.is_empty() && !self.parts.iter().any(is_cut)
    }

    /// A call that never got a name cannot run; its arguments may belong to the call before it.
    fn drop_nameless_calls(&mut self) {
        let mut named: Vec<Part> = Vec::new();
        for part in std::mem::take(&mut self.parts) {
            match part {
                Part::Call(nameless) if !nameless.has_name() => {
                    if let Some(Part::Call(before)) = named.last_mut() {
                        before.absorb(&nameless);
                    }
                }
                part => named.push(part),
            }
        }
        self.parts = named;
    }

    /// The items, with what a request to the same model puts back.
    fn items(&self) -> Vec<Value> {
        let mut items: Vec<Value> = self
            .parts
            .iter()
            .enumerate()
            .map(|(position, part)| match part {
                Part::Call(call) => call.item(&self.call_id(position)),
                part => part.item(),
            })
            .collect();
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

    fn fail(&mut self, failure: CallFailure) {
        self.failure.get_or_insert(failure);
    }
}

impl Part {
    fn empty(kind: Kind) -> Self {
        match kind {
            Kind::Reasoning => Self::Reasoning(String::new()),
            Kind::Text | Kind::Refusal => Self::Message {
                text: String::new(),
                refusal: String::new(),
            },
        }
    }

    /// The part as an output item of the Responses API; a call needs its ID too.
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
            Self::Call(call) => call.item(call.id()),
        }
    }
}

fn output_index(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;

//! A turn as a Response of OpenAI's Responses API, and as the events of its stream. A question to
//! a person ends a response, as the API has it; what follows the answer is the next one. Pure: the
//! same log gives the same events with the same numbers, so that a client can go on after any of
//! them.
//! Source: <https://platform.openai.com/docs/api-reference/responses-streaming>

use std::collections::BTreeMap;

use serde_json::{Value, json};
use steadfast_events::{Approval, Event, Message, TurnError, TurnStatus, Usage};

use super::{
    errors::ErrorCode,
    ids::{ConversationId, ResponseId},
    items::{Change, Item, ItemBody, ItemStatus, Phase, TurnItems},
};
use crate::turn_writer::TurnWriter;

/// What a response has whatever its turn does.
#[derive(Clone, Debug)]
pub(crate) struct ResponseHead {
    pub(crate) id: ResponseId,
    /// Seconds since 1970.
    pub(crate) created_at: i64,
    /// The agent, as clients name it.
    pub(crate) model: String,
    pub(crate) background: bool,
    pub(crate) previous: Option<ResponseId>,
    pub(crate) metadata: Value,
}

/// An event of a stream: its `type`, and its JSON.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StreamEvent {
    pub(crate) kind: &'static str,
    pub(crate) data: Value,
}

/// Writes the events of one response.
#[derive(Debug)]
pub(crate) struct ResponseWriter {
    head: ResponseHead,
    items: TurnItems,
    /// Questions of the turn so far.
    questions: u32,
    output: Vec<Output>,
    /// Places in the output, by the index of the item.
    places: BTreeMap<usize, usize>,
    next_number: u64,
    state: State,
}

/// An entry of the output.
#[derive(Clone, Debug)]
enum Output {
    Item(usize),
    Question(Box<Approval>),
}

#[derive(Clone, Debug, PartialEq)]
enum State {
    Queued,
    InProgress,
    Ended(Ending),
}

#[derive(Clone, Debug, PartialEq)]
enum Ending {
    /// The turn waits for a person.
    Asked,
    Turn {
        status: TurnStatus,
        usage: Usage,
        error: Option<TurnError>,
    },
}

impl TurnWriter for ResponseWriter {
    type Event = StreamEvent;

    fn apply(&mut self, event: &Event) -> Vec<StreamEvent> {
        if self.has_ended() {
            return Vec::new();
        }
        let changes = self.items.apply(event);
        self.write(changes)
    }

    fn catch_up(&mut self, messages: &[Message], turn_end: Option<&Event>) -> Vec<StreamEvent> {
        if self.has_ended() {
            return Vec::new();
        }
        let changes = self.items.catch_up(messages, turn_end);
        self.write(changes)
    }

    fn end_unseen(&mut self, status: TurnStatus) -> Vec<StreamEvent> {
        if self.has_ended() {
            return Vec::new();
        }
        let changes = self.items.end_unseen(status);
        self.write(changes)
    }

    fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended(_))
    }
}

impl ResponseWriter {
    /// Before anything of the turn is known.
    pub(crate) fn new(head: ResponseHead) -> Self {
        Self {
            state: if head.id.part == 0 {
                State::Queued
            } else {
                State::InProgress
            },
            items: TurnItems::of_message(head.id.message_id()),
            head,
            questions: 0,
            output: Vec::new(),
            places: BTreeMap::new(),
            next_number: 0,
        }
    }

    /// Whether the turn has begun and not ended.
    pub(crate) fn is_running(&self) -> bool {
        self.state == State::InProgress
    }

    /// The first events of a stream.
    pub(crate) fn begin(&mut self) -> Vec<StreamEvent> {
        let mut events = vec![self.lifecycle("response.created")];
        if self.state == State::InProgress {
            events.push(self.lifecycle("response.in_progress"));
        }
        events
    }

    /// The events of an answer that no agent gives.
    pub(crate) fn tell(&mut self, answer: &str) -> Vec<StreamEvent> {
        let mut events = self.begin();
        let mut changes = vec![Change::Started];
        changes.extend(self.items.tell(answer));
        events.extend(self.write(changes));
        events
    }

    fn write(&mut self, changes: Vec<Change>) -> Vec<StreamEvent> {
        let mut events = Vec::new();
        for change in changes {
            if self.has_ended() {
                break;
            }
            if self.questions < self.head.id.part {
                // Of an earlier response.
                if let Change::Asked(_) = change {
                    self.questions += 1;
                }
                if let Change::Ended { status, usage, error } = change {
                    // The turn ended without so many questions: this response has nothing.
                    self.end(Ending::Turn { status, usage, error }, &mut events);
                }
                continue;
            }
            self.write_change(change, &mut events);
        }
        events
    }

    fn write_change(&mut self, change: Change, events: &mut Vec<StreamEvent>) {
        match change {
            Change::Accepted | Change::Decided(..) => {}
            Change::Started => {
                if self.state == State::Queued {
                    self.state = State::InProgress;
                    events.push(self.lifecycle("response.in_progress"));
                }
            }
            Change::Added(index) => {
                self.place(index, events);
            }
            Change::TextDelta { index, delta } => {
                let place = self.place(index, events);
                events.push(self.of_item(
                    "response.output_text.delta",
                    index,
                    json!({"output_index": place, "content_index": 0, "delta": delta, "logprobs": []}),
                ));
            }
            Change::SummaryDelta {
                index,
                part,
                delta,
                is_first,
            } => {
                let place = self.place(index, events);
                if is_first {
                    if let Some(before) = part.checked_sub(1) {
                        self.summary_part_done(index, place, before, events);
                    }
                    events.push(self.of_item(
                        "response.reasoning_summary_part.added",
                        index,
                        json!({"output_index": place, "summary_index": part, "part": summary_part("")}),
                    ));
                }
                events.push(self.of_item(
                    "response.reasoning_summary_text.delta",
                    index,
                    json!({"output_index": place, "summary_index": part, "delta": delta}),
                ));
            }
            Change::ReasoningDelta { index, part, delta } => {
                let place = self.place(index, events);
                events.push(self.of_item(
                    "response.reasoning_text.delta",
                    index,
                    json!({"output_index": place, "content_index": part, "delta": delta}),
                ));
            }
            Change::ArgumentsDelta { index, delta } => {
                let place = self.place(index, events);
                events.push(self.of_item(
                    "response.mcp_call_arguments.delta",
                    index,
                    json!({"output_index": place, "delta": delta}),
                ));
            }
            Change::Called(index) => {
                let place = self.place(index, events);
                if let Some(ItemBody::Call { arguments, .. }) = self.items.item(index).map(|item| &item.body) {
                    let body = json!({"output_index": place, "arguments": arguments});
                    events.push(self.of_item("response.mcp_call_arguments.done", index, body));
                }
            }
            Change::Done(index) => self.done(index, events),
            Change::Asked(approval) => self.ask(approval, events),
            Change::Ended { status, usage, error } => self.end(Ending::Turn { status, usage, error }, events),
        }
    }

    /// The place of an item in the output. An item that began in an earlier response begins here anew.
    fn place(&mut self, index: usize, events: &mut Vec<StreamEvent>) -> usize {
        if let Some(place) = self.places.get(&index) {
            return *place;
        }
        let place = self.output.len();
        self.output.push(Output::Item(index));
        self.places.insert(index, place);
        let Some(item) = self.items.item(index) else {
            return place;
        };
        let is_text = matches!(item.body, ItemBody::Text { .. });
        let is_call = matches!(item.body, ItemBody::Call { .. });
        let begun = self.begun_json(item);
        events.push(self.event(
            "response.output_item.added",
            json!({"output_index": place, "item": begun}),
        ));
        if is_text {
            events.push(self.of_item(
                "response.content_part.added",
                index,
                json!({"output_index": place, "content_index": 0, "part": text_part("")}),
            ));
        }
        if is_call {
            events.push(self.of_item("response.mcp_call.in_progress", index, json!({"output_index": place})));
        }
        place
    }

    fn done(&mut self, index: usize, events: &mut Vec<StreamEvent>) {
        let place = self.place(index, events);
        let Some(item) = self.items.item(index).cloned() else {
            return;
        };
        match &item.body {
            ItemBody::Text { text, .. } => {
                events.push(self.of_item(
                    "response.output_text.done",
                    index,
                    json!({"output_index": place, "content_index": 0, "text": text, "logprobs": []}),
                ));
                events.push(self.of_item(
                    "response.content_part.done",
                    index,
                    json!({"output_index": place, "content_index": 0, "part": text_part(text)}),
                ));
            }
            ItemBody::Reasoning { summary, .. } => {
                if let Some(last) = summary.len().checked_sub(1) {
                    self.summary_part_done(index, place, last, events);
                }
            }
            ItemBody::Call { .. } => {
                let kind = if item.status == ItemStatus::Completed {
                    "response.mcp_call.completed"
                } else {
                    "response.mcp_call.failed"
                };
                events.push(self.of_item(kind, index, json!({"output_index": place})));
            }
        }
        let body = json!({"output_index": place, "item": self.item_json(&item)});
        events.push(self.event("response.output_item.done", body));
    }

    fn summary_part_done(&mut self, index: usize, place: usize, part: usize, events: &mut Vec<StreamEvent>) {
        let Some(ItemBody::Reasoning { summary, .. }) = self.items.item(index).map(|item| &item.body) else {
            return;
        };
        let text = summary.get(part).cloned().unwrap_or_default();
        events.push(self.of_item(
            "response.reasoning_summary_text.done",
            index,
            json!({"output_index": place, "summary_index": part, "text": text}),
        ));
        events.push(self.of_item(
            "response.reasoning_summary_part.done",
            index,
            json!({"output_index": place, "summary_index": part, "part": summary_part(&text)}),
        ));
    }

    /// A question ends the response. Calls that still run go on in the next one.
    fn ask(&mut self, approval: Box<Approval>, events: &mut Vec<StreamEvent>) {
        let open: Vec<(usize, usize)> = self
            .places
            .iter()
            .filter(|(index, _)| {
                let item = self.items.item(**index);
                item.is_some_and(|item| item.status == ItemStatus::InProgress)
            })
            .map(|(index, place)| (*index, *place))
            .collect();
        for (index, place) in open {
            if let Some(item) = self.items.item(index) {
                let cut = Item {
                    status: ItemStatus::Incomplete,
                    ..item.clone()
                };
                let body = json!({"output_index": place, "item": self.item_json(&cut)});
                events.push(self.event("response.output_item.done", body));
            }
        }
        let place = self.output.len();
        let item = question_json(&approval);
        self.output.push(Output::Question(approval));
        for kind in ["response.output_item.added", "response.output_item.done"] {
            events.push(self.event(kind, json!({"output_index": place, "item": item})));
        }
        self.end(Ending::Asked, events);
    }

    fn end(&mut self, ending: Ending, events: &mut Vec<StreamEvent>) {
        self.state = State::Ended(ending);
        let kind = match self.status() {
            "completed" => "response.completed",
            "failed" => "response.failed",
            _ => "response.incomplete",
        };
        events.push(self.lifecycle(kind));
    }

    /// The event of a stream that ends early. The turn goes on.
    pub(crate) fn error(&mut self, message: &str) -> StreamEvent {
        self.event(
            "error",
            json!({"code": "stream_ended", "message": message, "param": null}),
        )
    }

    fn lifecycle(&mut self, kind: &'static str) -> StreamEvent {
        let response = self.response();
        self.event(kind, json!({ "response": response }))
    }

    fn of_item(&mut self, kind: &'static str, index: usize, mut body: Value) -> StreamEvent {
        let id = self.items.item(index).map_or("", |item| item.id.as_str());
        body["item_id"] = json!(id);
        self.event(kind, body)
    }

    fn event(&mut self, kind: &'static str, mut data: Value) -> StreamEvent {
        data["type"] = json!(kind);
        data["sequence_number"] = json!(self.next_number);
        self.next_number += 1;
        StreamEvent { kind, data }
    }

    fn status(&self) -> &'static str {
        match &self.state {
            State::Queued => "queued",
            State::InProgress => "in_progress",
            State::Ended(Ending::Asked) => "completed",
            State::Ended(Ending::Turn { status, error, .. }) => match status {
                TurnStatus::Completed => "completed",
                TurnStatus::Failed if incomplete_reason(error.as_ref()).is_some() => "incomplete",
                TurnStatus::Failed => "failed",
                TurnStatus::Interrupted | TurnStatus::Canceled => "cancelled",
            },
        }
    }

    /// The response as it is now.
    pub(crate) fn response(&self) -> Value {
        let ResponseHead {
            id,
            created_at,
            model,
            background,
            previous,
            metadata,
        } = &self.head;
        let (usage, error) = match &self.state {
            State::Ended(Ending::Turn { usage, error, .. }) => (Some(usage_json(*usage)), error.as_ref()),
            State::Queued | State::InProgress | State::Ended(Ending::Asked) => (None, None),
        };
        let reason = incomplete_reason(error);
        let failure = error.filter(|_| self.status() == "failed").map(error_json);
        json!({
            "id": id.to_string(),
            "object": "response",
            "created_at": created_at,
            "status": self.status(),
            "background": background,
            "conversation": {"id": ConversationId(id.task).to_string()},
            "error": failure,
            "incomplete_details": reason.map(|reason| json!({ "reason": reason })),
            "instructions": null,
            "max_output_tokens": null,
            "max_tool_calls": null,
            "metadata": metadata,
            "model": model,
            "output": self.output_json(),
            "parallel_tool_calls": true,
            "previous_response_id": previous.map(|id| id.to_string()),
            "prompt": null,
            "reasoning": {"effort": null, "summary": null},
            "service_tier": "auto",
            "store": true,
            "temperature": null,
            "text": {"format": {"type": "text"}},
            "tool_choice": "auto",
            "tools": [],
            "top_logprobs": 0,
            "top_p": null,
            "truncation": "disabled",
            "usage": usage,
            "user": null,
        })
    }

    /// The items, without those of attempts that failed.
    fn output_json(&self) -> Vec<Value> {
        let entries = self.output.iter().filter_map(|entry| match entry {
            Output::Question(approval) => Some(question_json(approval)),
            Output::Item(index) => {
                let item = self.items.item(*index)?;
                let is_cut = item.status == ItemStatus::InProgress && self.has_ended();
                match item.status {
                    ItemStatus::Retracted => None,
                    _ if is_cut => Some(self.item_json(&Item {
                        status: ItemStatus::Incomplete,
                        ..item.clone()
                    })),
                    _ => Some(self.item_json(item)),
                }
            }
        });
        entries.collect()
    }

    /// An item as it begins.
    fn begun_json(&self, item: &Item) -> Value {
        let mut begun = self.item_json(&Item {
            status: ItemStatus::InProgress,
            ..item.clone()
        });
        match item.body {
            ItemBody::Text { .. } => begun["content"] = json!([]),
            ItemBody::Reasoning { .. } => begun["summary"] = json!([]),
            ItemBody::Call { .. } => {
                begun["output"] = Value::Null;
                begun["error"] = Value::Null;
            }
        }
        begun
    }

    fn item_json(&self, item: &Item) -> Value {
        item_json(item, &self.head.model)
    }
}

/// An item; `server` is whose tools are called.
pub(crate) fn item_json(item: &Item, server: &str) -> Value {
    let Item { id, status, body } = item;
    let status = status.as_str();
    match body {
        ItemBody::Text { text, phase } => json!({
            "id": id, "type": "message", "role": "assistant", "status": status,
            "phase": phase.map(Phase::as_str),
            "content": [text_part(text)],
        }),
        ItemBody::Reasoning { summary, content } => {
            let summary: Vec<Value> = summary.iter().map(|text| summary_part(text)).collect();
            let content: Vec<Value> = content
                .iter()
                .map(|text| json!({"type": "reasoning_text", "text": text}))
                .collect();
            json!({
                "id": id, "type": "reasoning", "status": status, "summary": summary, "content": content,
                "encrypted_content": null,
            })
        }
        ItemBody::Call {
            name,
            arguments,
            output,
            error,
            ..
        } => json!({
            "id": id, "type": "mcp_call", "status": status, "server_label": server, "name": name,
            "arguments": arguments, "output": output, "error": error, "approval_request_id": null,
        }),
    }
}

fn question_json(approval: &Approval) -> Value {
    json!({
        "id": approval.id, "type": "mcp_approval_request", "server_label": approval.agent, "name": approval.tool,
        "arguments": approval.arguments.to_string(),
    })
}

fn text_part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

pub(super) fn summary_part(text: &str) -> Value {
    json!({"type": "summary_text", "text": text})
}

pub(super) fn usage_json(usage: Usage) -> Value {
    json!({
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_input_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    })
}

/// The error of a turn. The message begins with our category, which says more than OpenAI's codes.
fn error_json(error: &TurnError) -> Value {
    json!({
        "code": ErrorCode::of(&error.category).in_responses(),
        "message": format!("{}: {}", error.category, error.message),
    })
}

/// Why a turn counts as incomplete and not as failed.
fn incomplete_reason(error: Option<&TurnError>) -> Option<&'static str> {
    match ErrorCode::of(&error?.category) {
        ErrorCode::OutputTruncated => Some("max_output_tokens"),
        ErrorCode::ContentPolicy => Some("content_filter"),
        _ => None,
    }
}

#[cfg(test)]
mod tests;

//! A task as a session of OpenAI's Agents API: its turns, its items, what it waits for, and the
//! events of its stream. Pure.
//! Source: the types of the public clients, `client.beta.agents` of openai 3.57 (Python) and 7.57
//! (npm); `OpenAI-Beta: agents=v1`.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use steadfast_events::{
    Approval, ApprovalKind, Author, Decision, Event, EventKind, Message, TaskStatus, TurnError, TurnStatus, Usage,
    Verdict,
};

use super::{
    errors::ErrorCode,
    ids::{SessionId, TurnId},
    items::{Change, Item, ItemBody, ItemStatus, Phase, TurnItems},
    responses::{summary_part, usage_json},
    transcript::user_item,
};

/// What a session has whatever its turns do.
#[derive(Clone, Debug)]
pub(crate) struct SessionHead {
    pub(crate) id: SessionId,
    /// The agent, as the API shows it in a session.
    pub(crate) agent: Value,
    pub(crate) agent_id: String,
    /// Whose tools are called, as clients name it.
    pub(crate) agent_name: String,
    /// Seconds since 1970.
    pub(crate) created_at: i64,
    pub(crate) metadata: Value,
}

/// A session as far as it has come.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    head: SessionHead,
    /// By the number of the turn.
    turns: BTreeMap<u32, Turn>,
    /// What people are asked, oldest first.
    asked: Vec<Approval>,
    /// Why the task failed.
    failure: Option<String>,
    last_active_at: i64,
}

#[derive(Clone, Debug)]
struct Turn {
    user: Option<Message>,
    items: TurnItems,
    /// What the turn shows, by the index in its output.
    output: Vec<Output>,
    places: BTreeMap<usize, usize>,
    status: &'static str,
    created_at: i64,
    started_at: Option<i64>,
    completed_at: Option<i64>,
    error: Option<TurnError>,
    usage: Option<Usage>,
}

#[derive(Clone, Debug)]
enum Output {
    Item(usize),
    /// A question to a person, as a function that the client calls; and the answer.
    Question(Box<Approval>),
    Answer(String, Box<Decision>),
}

impl Session {
    pub(crate) fn new(head: SessionHead) -> Self {
        Self {
            last_active_at: head.created_at,
            head,
            turns: BTreeMap::new(),
            asked: Vec::new(),
            failure: None,
        }
    }

    /// The events of the next entry of the log.
    pub(crate) fn apply(&mut self, event: &Event) -> Vec<Value> {
        let mut events = Vec::new();
        let now = event.time.as_second();
        self.last_active_at = self.last_active_at.max(now);
        if !event.path.is_empty() {
            // What an agent that runs as a tool asks is asked of the same people.
            self.apply_question(event, &mut events);
            return events;
        }
        match &event.kind {
            EventKind::MessageAccepted { message_id, .. } => {
                self.accept(event.turn, message_id, now, &mut events);
            }
            EventKind::MessageDone { message } if message.author == Author::User => {
                self.show_user(message, &mut events);
            }
            EventKind::TaskUpdated { status, reason } => {
                if matches!(
                    status,
                    TaskStatus::Failed | TaskStatus::TimedOut | TaskStatus::Terminated
                ) {
                    self.fail(
                        reason.clone().unwrap_or_else(|| "the task failed".to_owned()),
                        &mut events,
                    );
                }
            }
            _ => {}
        }
        let changes = match self.turns.get_mut(&event.turn) {
            Some(turn) => turn.items.apply(event),
            None => Vec::new(),
        };
        for change in changes {
            self.write(event.turn, change, now, &mut events);
        }
        events
    }

    /// The events that all messages of the task add, where entries of the log were lost, and the latest end of a turn.
    pub(crate) fn catch_up(&mut self, messages: &[Message], turn_end: Option<&Event>) -> Vec<Value> {
        let mut events = Vec::new();
        for message in messages
            .iter()
            .filter(|message| message.author == Author::User && message.turn > 0)
        {
            let at = message.created_at.as_second();
            self.accept(message.turn, &message.id, at, &mut events);
            self.show_user(message, &mut events);
        }
        let numbers: Vec<u32> = self.turns.keys().copied().collect();
        for number in numbers {
            let Some(turn) = self.turns.get_mut(&number) else {
                continue;
            };
            let now = messages
                .iter()
                .rfind(|message| message.turn == number)
                .map_or(self.last_active_at, |message| message.updated_at.as_second());
            for change in turn
                .items
                .catch_up(messages, turn_end.filter(|event| event.turn == number))
            {
                self.write(number, change, now, &mut events);
            }
        }
        events
    }

    /// The events of a task that has ended, and whose log does not say so.
    pub(crate) fn end(&mut self, status: TurnStatus, failure: Option<String>) -> Vec<Value> {
        let mut events = Vec::new();
        let has_failed = failure.is_some() && self.failure.is_none();
        // Before the turns end: a session that has failed is not idle in between.
        self.failure = self.failure.take().or(failure);
        let numbers: Vec<u32> = self.turns.keys().copied().collect();
        for number in numbers {
            let Some(turn) = self.turns.get_mut(&number) else {
                continue;
            };
            for change in turn.items.end_unseen(status) {
                self.write(number, change, self.last_active_at, &mut events);
            }
        }
        if has_failed {
            events.push(self.of_session("agent.session.failed"));
        }
        events
    }

    fn accept(&mut self, number: u32, message_id: &str, now: i64, events: &mut Vec<Value>) {
        if self.turns.contains_key(&number) {
            return;
        }
        let was_idle = self.status() == "idle";
        self.turns.insert(
            number,
            Turn {
                user: None,
                items: TurnItems::of_message(message_id),
                output: Vec::new(),
                places: BTreeMap::new(),
                status: "queued",
                created_at: now,
                started_at: None,
                completed_at: None,
                error: None,
                usage: None,
            },
        );
        if was_idle {
            events.push(self.of_session("agent.session.in_progress"));
        }
        events.push(self.of_turn("agent.session.turn.created", number));
    }

    fn show_user(&mut self, message: &Message, events: &mut Vec<Value>) {
        let Some(turn) = self.turns.get_mut(&message.turn) else {
            return;
        };
        if turn.user.is_some() {
            return;
        }
        turn.user = Some(message.clone());
        let item = self.user_item(message);
        events.push(self.in_turn(
            "agent.session.turn.item.added",
            message.turn,
            json!({"output_index": null, "item": item}),
        ));
    }

    fn fail(&mut self, reason: String, events: &mut Vec<Value>) {
        if self.failure.is_none() {
            self.failure = Some(reason);
            events.push(self.of_session("agent.session.failed"));
        }
    }

    /// A question of an agent that runs as a tool: it has no turn of the session.
    fn apply_question(&mut self, event: &Event, events: &mut Vec<Value>) {
        match &event.kind {
            EventKind::ApprovalRequested { approval } => {
                // The turn of the session that waits is the one that runs.
                let number = self.running().unwrap_or_default();
                self.ask(number, approval.clone(), events);
            }
            EventKind::ApprovalDecided { approval_id, decision } => {
                self.decide(approval_id, decision, events);
            }
            _ => {}
        }
    }

    fn running(&self) -> Option<u32> {
        let mut turns = self.turns.iter();
        turns
            .find(|(_, turn)| turn.completed_at.is_none() && turn.status != "queued")
            .map(|(number, _)| *number)
    }

    fn write(&mut self, number: u32, change: Change, now: i64, events: &mut Vec<Value>) {
        match change {
            Change::Accepted | Change::ReasoningDelta { .. } | Change::ArgumentsDelta { .. } => {}
            Change::Started => {
                if let Some(turn) = self.turns.get_mut(&number) {
                    turn.status = "in_progress";
                    turn.started_at = Some(now);
                }
                events.push(self.of_turn("agent.session.turn.in_progress", number));
            }
            Change::Added(index) => {
                // A call is shown when its arguments are whole.
                if !self.is_call(number, index) {
                    self.place(number, index, events);
                }
            }
            Change::Called(index) => {
                self.place(number, index, events);
            }
            Change::TextDelta { index, delta } => {
                let place = self.place(number, index, events);
                let body = json!({"output_index": place, "content_index": 0, "delta": delta});
                events.push(self.of_item("agent.session.turn.output_text.delta", number, index, body));
            }
            Change::SummaryDelta {
                index,
                part,
                delta,
                is_first,
            } => {
                let place = self.place(number, index, events);
                if is_first {
                    if let Some(before) = part.checked_sub(1) {
                        self.summary_part_done(number, index, place, before, events);
                    }
                    let body = json!({"output_index": place, "summary_index": part, "part": summary_part("")});
                    events.push(self.of_item("agent.session.turn.reasoning_summary_part.added", number, index, body));
                }
                let body = json!({"output_index": place, "summary_index": part, "delta": delta});
                events.push(self.of_item("agent.session.turn.reasoning_summary_text.delta", number, index, body));
            }
            Change::Done(index) => self.done(number, index, events),
            Change::Asked(approval) => self.ask(number, *approval, events),
            Change::Decided(approval_id, decision) => self.decide(&approval_id, &decision, events),
            Change::Ended { status, usage, error } => {
                if let Some(turn) = self.turns.get_mut(&number) {
                    turn.status = match status {
                        TurnStatus::Completed => "completed",
                        TurnStatus::Failed => "failed",
                        TurnStatus::Interrupted | TurnStatus::Canceled => "cancelled",
                    };
                    turn.completed_at = Some(now);
                    turn.usage = Some(usage);
                    turn.error = error;
                }
                self.asked.retain(|approval| approval.turn != number);
                let kind = match status {
                    TurnStatus::Completed => "agent.session.turn.completed",
                    TurnStatus::Failed => "agent.session.turn.failed",
                    TurnStatus::Interrupted | TurnStatus::Canceled => "agent.session.turn.cancelled",
                };
                let mut event = self.of_turn(kind, number);
                event["usage"] = usage_json(usage);
                events.push(event);
                if self.status() == "idle" {
                    events.push(self.of_session("agent.session.idle"));
                }
            }
        }
    }

    fn ask(&mut self, number: u32, approval: Approval, events: &mut Vec<Value>) {
        if self.asked.iter().any(|asked| asked.id == approval.id) {
            return;
        }
        if is_question(&approval)
            && let Some(turn) = self.turns.get_mut(&number)
        {
            let place = turn.output.len();
            turn.output.push(Output::Question(Box::new(approval.clone())));
            let item = self.question_item(number, &approval, "in_progress");
            let body = json!({"output_index": place, "item": item});
            events.push(self.in_turn("agent.session.turn.item.added", number, body));
        }
        if let Some(turn) = self.turns.get_mut(&number) {
            turn.status = "waiting";
        }
        // The approval of a nested agent counts turns of its own.
        self.asked.push(Approval {
            turn: number,
            ..approval
        });
        events.push(self.of_session("agent.session.requires_action"));
    }

    fn decide(&mut self, approval_id: &str, decision: &Decision, events: &mut Vec<Value>) {
        let Some(place) = self.asked.iter().position(|asked| asked.id == approval_id) else {
            return;
        };
        let approval = self.asked.remove(place);
        let number = approval.turn;
        let still_waits = self.asked.iter().any(|asked| asked.turn == number);
        if let Some(turn) = self.turns.get_mut(&number)
            && !still_waits
        {
            turn.status = "in_progress";
        }
        if is_question(&approval)
            && let Some(turn) = self.turns.get_mut(&number)
        {
            let asked = turn
                .output
                .iter()
                .position(|output| matches!(output, Output::Question(question) if question.id == approval.id));
            let place = turn.output.len();
            turn.output
                .push(Output::Answer(approval.id.clone(), Box::new(decision.clone())));
            let done = self.question_item(number, &approval, "completed");
            events.push(self.in_turn(
                "agent.session.turn.item.done",
                number,
                json!({"output_index": asked, "item": done}),
            ));
            let answer = self.answer_item(number, &approval.id, decision);
            events.push(self.in_turn(
                "agent.session.turn.item.added",
                number,
                json!({"output_index": place, "item": answer}),
            ));
        }
        events.push(self.of_session(if self.asked.is_empty() {
            "agent.session.in_progress"
        } else {
            "agent.session.requires_action"
        }));
    }

    fn is_call(&self, number: u32, index: usize) -> bool {
        matches!(
            self.item(number, index),
            Some(Item {
                body: ItemBody::Call { .. },
                ..
            })
        )
    }

    fn item(&self, number: u32, index: usize) -> Option<&Item> {
        self.turns.get(&number)?.items.item(index)
    }

    /// The place of an item in the output of its turn; it begins there if it has none yet.
    fn place(&mut self, number: u32, index: usize, events: &mut Vec<Value>) -> usize {
        let Some(turn) = self.turns.get_mut(&number) else {
            return index;
        };
        if let Some(place) = turn.places.get(&index) {
            return *place;
        }
        let place = turn.output.len();
        turn.output.push(Output::Item(index));
        turn.places.insert(index, place);
        let Some(item) = self.item(number, index).cloned() else {
            return place;
        };
        let is_text = matches!(item.body, ItemBody::Text { .. });
        let mut begun = self.item_json(
            number,
            &Item {
                status: ItemStatus::InProgress,
                ..item
            },
        );
        if is_text {
            begun["content"] = json!([]);
        }
        if begun["type"] == "reasoning" {
            begun["summary"] = json!([]);
        }
        events.push(self.in_turn(
            "agent.session.turn.item.added",
            number,
            json!({"output_index": place, "item": begun}),
        ));
        if is_text {
            let body = json!({"output_index": place, "content_index": 0, "part": text_part("")});
            events.push(self.of_item("agent.session.turn.content_part.added", number, index, body));
        }
        place
    }

    fn done(&mut self, number: u32, index: usize, events: &mut Vec<Value>) {
        let place = self.place(number, index, events);
        let Some(item) = self.item(number, index).cloned() else {
            return;
        };
        match &item.body {
            ItemBody::Text { text, .. } => {
                let body = json!({"output_index": place, "content_index": 0, "text": text});
                events.push(self.of_item("agent.session.turn.output_text.done", number, index, body));
                let body = json!({"output_index": place, "content_index": 0, "part": text_part(text)});
                events.push(self.of_item("agent.session.turn.content_part.done", number, index, body));
            }
            ItemBody::Reasoning { summary, .. } => {
                if let Some(last) = summary.len().checked_sub(1) {
                    self.summary_part_done(number, index, place, last, events);
                }
            }
            ItemBody::Call { .. } => {}
        }
        let body = json!({"output_index": place, "item": self.item_json(number, &item)});
        events.push(self.in_turn("agent.session.turn.item.done", number, body));
    }

    fn summary_part_done(&self, number: u32, index: usize, place: usize, part: usize, events: &mut Vec<Value>) {
        let text = match self.item(number, index).map(|item| &item.body) {
            Some(ItemBody::Reasoning { summary, .. }) => summary.get(part).cloned().unwrap_or_default(),
            _ => return,
        };
        let body = json!({"output_index": place, "summary_index": part, "text": text});
        events.push(self.of_item("agent.session.turn.reasoning_summary_text.done", number, index, body));
        let body = json!({"output_index": place, "summary_index": part, "part": summary_part(&text)});
        events.push(self.of_item("agent.session.turn.reasoning_summary_part.done", number, index, body));
    }

    fn of_session(&self, kind: &str) -> Value {
        json!({"type": kind, "session": self.json()})
    }

    fn of_turn(&self, kind: &str, number: u32) -> Value {
        self.in_turn(kind, number, json!({"turn": self.turn_json(number)}))
    }

    fn of_item(&self, kind: &str, number: u32, index: usize, mut body: Value) -> Value {
        let id = self.item(number, index).map_or("", |item| item.id.as_str());
        body["item_id"] = json!(id);
        self.in_turn(kind, number, body)
    }

    fn in_turn(&self, kind: &str, number: u32, mut body: Value) -> Value {
        body["type"] = json!(kind);
        body["session_id"] = json!(self.head.id.to_string());
        body["turn_id"] = json!(self.turn_id(number));
        body
    }

    fn turn_id(&self, number: u32) -> String {
        TurnId {
            session: self.head.id,
            number,
        }
        .to_string()
    }

    pub(crate) fn status(&self) -> &'static str {
        if self.failure.is_some() {
            "failed"
        } else if !self.asked.is_empty() {
            "requires_action"
        } else if self.turns.values().any(|turn| turn.completed_at.is_none()) {
            "in_progress"
        } else {
            "idle"
        }
    }

    /// The event that tells how the session is now.
    pub(crate) fn snapshot(&self) -> Value {
        self.of_session(match self.status() {
            "failed" => "agent.session.failed",
            "requires_action" => "agent.session.requires_action",
            "in_progress" => "agent.session.in_progress",
            _ => "agent.session.idle",
        })
    }

    /// The event of a stream that ends early. The session goes on.
    pub(crate) fn error(&self, message: &str) -> Value {
        json!({
            "type": "error", "session_id": self.head.id.to_string(),
            "error": {"type": "server_error", "code": "stream_ended", "message": message, "param": null},
        })
    }

    /// The session as it is now.
    pub(crate) fn json(&self) -> Value {
        let actions: Vec<Value> = self.asked.iter().map(|approval| self.action(approval)).collect();
        let mut usage = Usage::default();
        for turn in self.turns.values() {
            usage.add(turn.usage.unwrap_or_default());
        }
        let SessionHead {
            id,
            agent,
            created_at,
            metadata,
            ..
        } = &self.head;
        json!({
            "id": id.to_string(),
            "object": "agent.session",
            "status": self.status(),
            "required_actions": actions,
            "agent": agent,
            "environment": {"type": "none"},
            "error": self.failure,
            "usage": if self.turns.is_empty() { Value::Null } else { usage_json(usage) },
            "metadata": metadata,
            "vault_ids": [],
            "created_at": created_at,
            "last_active_at": self.last_active_at,
            "prompt_cache_options": null,
            "review": "none",
        })
    }

    /// What the client must do for an approval.
    fn action(&self, approval: &Approval) -> Value {
        let turn_id = self.turn_id(approval.turn);
        if is_question(approval) {
            return json!({
                "type": "function_call", "turn_id": turn_id, "call_id": approval.id, "name": approval.tool,
                "arguments": question_arguments(approval),
            });
        }
        let message = if approval.prompt.is_empty() {
            format!("May {} be called?", approval.tool)
        } else {
            approval.prompt.clone()
        };
        json!({
            "type": "mcp_approval_request", "turn_id": turn_id, "request_id": approval.id,
            "request": {
                "type": "mcp_tool_call", "server_label": approval.agent, "name": approval.tool,
                "arguments": approval.arguments, "message": message,
            },
        })
    }

    /// The approval with this id, if it waits.
    pub(crate) fn asked(&self, approval_id: &str) -> Option<&Approval> {
        self.asked.iter().find(|approval| approval.id == approval_id)
    }

    /// The numbers of the turns, oldest first.
    pub(crate) fn turn_numbers(&self) -> impl Iterator<Item = u32> + '_ {
        self.turns.keys().copied()
    }

    pub(crate) fn turn_json(&self, number: u32) -> Value {
        let Some(turn) = self.turns.get(&number) else {
            return Value::Null;
        };
        json!({
            "id": self.turn_id(number),
            "object": "agent.session.turn",
            "agent_id": self.head.agent_id,
            "session_id": self.head.id.to_string(),
            // A client compares it with null.
            "subagent_id": null,
            "status": turn.status,
            "created_at": turn.created_at,
            "started_at": turn.started_at,
            "completed_at": turn.completed_at,
            "error": turn.error.as_ref().map(|error| json!({
                "code": ErrorCode::of(&error.category).in_turns(),
                "message": format!("{}: {}", error.category, error.message),
            })),
            "usage": turn.usage.map(usage_json),
            "prompt_cache_options": null,
        })
    }

    /// The items of a turn, oldest first.
    pub(crate) fn items(&self, number: u32) -> Vec<Value> {
        let Some(turn) = self.turns.get(&number) else {
            return Vec::new();
        };
        let user = turn.user.iter().map(|message| self.user_item(message));
        let written = turn.output.iter().filter_map(|output| match output {
            Output::Item(index) => {
                let item = turn.items.item(*index)?;
                (item.status != ItemStatus::Retracted).then(|| self.item_json(number, item))
            }
            Output::Question(approval) => {
                let is_open = self.asked(&approval.id).is_some();
                let status = if is_open { "in_progress" } else { "completed" };
                Some(self.question_item(number, approval, status))
            }
            Output::Answer(approval_id, decision) => Some(self.answer_item(number, approval_id, decision)),
        });
        user.chain(written).collect()
    }

    fn user_item(&self, message: &Message) -> Value {
        let mut item = user_item(message);
        item["phase"] = Value::Null;
        item["turn_id"] = json!(self.turn_id(message.turn));
        item
    }

    fn question_item(&self, number: u32, approval: &Approval, status: &str) -> Value {
        json!({
            "id": format!("fc_{}", approval.id), "type": "function_call", "call_id": approval.id, "name": approval.tool,
            "arguments": question_arguments(approval), "status": status, "turn_id": self.turn_id(number),
        })
    }

    fn answer_item(&self, number: u32, approval_id: &str, decision: &Decision) -> Value {
        let is_answered = decision.verdict == Verdict::Approved;
        let output = match &decision.answer {
            Value::Null => decision.reason.clone(),
            answer => answer.to_string(),
        };
        let reason = if decision.reason.is_empty() {
            decision.verdict.as_str()
        } else {
            &decision.reason
        };
        json!({
            "id": format!("fco_{approval_id}"), "type": "function_call_output", "call_id": approval_id,
            "output": is_answered.then_some(output), "error": (!is_answered).then_some(reason),
            "status": if is_answered { "completed" } else { "failed" }, "turn_id": self.turn_id(number),
        })
    }

    fn item_json(&self, number: u32, item: &Item) -> Value {
        let Item { id, status, body } = item;
        let turn_id = self.turn_id(number);
        let status = status.as_str();
        match body {
            ItemBody::Text { text, phase } => json!({
                "id": id, "type": "message", "role": "assistant", "status": status, "turn_id": turn_id,
                "phase": phase.map(Phase::as_str),
                "content": [text_part(text)],
            }),
            ItemBody::Reasoning { summary, .. } => {
                let summary: Vec<Value> = summary.iter().map(|text| summary_part(text)).collect();
                json!({"id": id, "type": "reasoning", "status": status, "turn_id": turn_id, "summary": summary})
            }
            ItemBody::Call {
                name,
                arguments,
                output,
                error,
                ..
            } => json!({
                "id": id, "type": "mcp_call", "status": status, "turn_id": turn_id,
                "server_label": self.head.agent_name, "name": name,
                "arguments": serde_json::from_str::<Value>(arguments).unwrap_or_else(|_| json!(arguments)),
                "output": output, "error": error,
            }),
        }
    }
}

/// Whether a person is asked for an answer, and not for leave.
fn is_question(approval: &Approval) -> bool {
    match approval.kind {
        ApprovalKind::ToolCall => false,
        ApprovalKind::Question | ApprovalKind::Elicitation => true,
    }
}

fn question_arguments(approval: &Approval) -> Value {
    json!({"prompt": approval.prompt, "form": approval.form, "arguments": approval.arguments})
}

fn text_part(text: &str) -> Value {
    json!({"type": "output_text", "text": text})
}

#[cfg(test)]
mod tests;

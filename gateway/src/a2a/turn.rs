//! A turn as a task of A2A: its state, its artifacts, what people are asked, and the events of its streams. Pure, and
//! the same for the same log: every stream of a task has the same events in the same order.
//!
//! A text of the agent is an artifact, which grows by chunks. The text of an attempt that failed is replaced, by an
//! update that does not append. Calls of tools and reasoning are the agent's own affair.

use std::collections::HashMap;

use a2a_types::{
    Artifact, Message, Part, Role, StreamResponse, Task, TaskArtifactUpdateEvent, TaskState, TaskStatus,
    TaskStatusUpdateEvent,
};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use steadfast_events::{
    Approval, ApprovalKind, Author, Content, Decision, Event, EventKind, Message as LoggedMessage, TurnError,
    TurnStatus, Verdict,
};

use super::{files, ids::TaskId};
use crate::{
    openai::items::{Change, Item, ItemBody, ItemStatus, Phase, TurnItems},
    turn_writer::TurnWriter,
};

/// Category of a message that the task did not take, as the items have it.
const REJECTED: &str = "message_rejected";
const PHASE: &str = "phase";

/// What a task has whatever its turn does.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) id: TaskId,
    pub(crate) context_id: String,
    pub(crate) created_at: Timestamp,
}

/// Whether a task is shown with its artifacts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Artifacts {
    Shown,
    Omitted,
}

/// A task as far as it has come.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    head: Head,
    items: TurnItems,
    /// The item that a stream last showed as an artifact, by the id of the artifact.
    shown: HashMap<String, usize>,
    /// Oldest first.
    history: Vec<Message>,
    /// What people are asked, oldest first.
    asked: Vec<Approval>,
    status: TaskStatus,
    updated_at: Timestamp,
}

impl Turn {
    pub(crate) fn new(head: Head) -> Self {
        Self {
            items: TurnItems::of_message(head.id.message_id()),
            shown: HashMap::new(),
            history: Vec::new(),
            asked: Vec::new(),
            status: status(TaskState::Submitted, None, head.created_at),
            updated_at: head.created_at,
            head,
        }
    }

    pub(crate) fn id(&self) -> TaskId {
        self.head.id
    }

    pub(crate) fn state(&self) -> &TaskState {
        &self.status.state
    }

    /// The time of the latest status.
    pub(crate) fn updated_at(&self) -> Timestamp {
        self.updated_at
    }

    /// What people are asked.
    pub(crate) fn asked(&self) -> &[Approval] {
        &self.asked
    }

    /// Whether this approval waits for its decision.
    pub(crate) fn asks(&self, approval_id: &str) -> bool {
        self.asked.iter().any(|approval| approval.id == approval_id)
    }

    /// Whether this approval was asked for, decided or not.
    pub(crate) fn has_asked(&self, approval_id: &str) -> bool {
        self.history.iter().any(|message| message.message_id == approval_id)
    }

    /// Whether the task waits for a person.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.status.state == TaskState::InputRequired
    }

    /// What the task waits for, where the log lost the question.
    pub(crate) fn wait_for(&mut self, pending: &[Approval]) {
        let turn = self.items.turn();
        for approval in pending {
            if turn == Some(approval.turn) && !self.has_ended() {
                self.ask(approval, &mut Vec::new());
            }
        }
    }

    /// The first event of a stream: the task as it is. What the stream tells later continues its artifacts.
    pub(crate) fn begin(&mut self) -> StreamResponse {
        for (index, item) in self.items.items().iter().enumerate() {
            if visible_text(item).is_some() {
                self.shown.insert(artifact_id(item).to_owned(), index);
            }
        }
        StreamResponse::Task(self.task(None, Artifacts::Shown))
    }

    /// The task with at most this many of the latest messages of its history.
    pub(crate) fn task(&self, history_length: Option<usize>, artifacts: Artifacts) -> Task {
        let left_out = history_length.map_or(0, |length| self.history.len().saturating_sub(length));
        let history = self.history[left_out..].to_vec();
        let artifacts = match artifacts {
            Artifacts::Omitted => None,
            Artifacts::Shown => {
                let items = self.items.items().iter();
                Some(
                    items
                        .filter_map(|item| Some(artifact(item, visible_text(item)?)))
                        .collect(),
                )
            }
        };
        Task {
            id: self.head.id.to_string(),
            context_id: self.head.context_id.clone(),
            status: self.status.clone(),
            artifacts,
            history: Some(history).filter(|history| !history.is_empty()),
            metadata: None,
        }
    }

    fn show_user(&mut self, message: &LoggedMessage) {
        if !self.history.iter().any(|shown| shown.message_id == message.id) {
            let parts = match &message.content {
                Content::Data { data } => vec![Part::data(data.clone())],
                Content::Text { text, attachments, .. } => {
                    let text = Some(text).filter(|text| !text.is_empty() || attachments.is_empty());
                    let text = text.map(|text| Part::text(text.clone()));
                    text.into_iter().chain(attachments.iter().map(files::part)).collect()
                }
                other => vec![Part::data(json!(other))],
            };
            let message = self.message(message.id.clone(), Role::User, parts);
            self.history.push(message);
        }
    }

    /// A question of an agent that works as a tool of this turn is asked of the same people.
    fn apply_question(&mut self, event: &Event, events: &mut Vec<StreamResponse>) {
        match &event.kind {
            EventKind::ApprovalRequested { approval } => self.ask(approval, events),
            EventKind::ApprovalDecided { approval_id, decision } => {
                self.decide(approval_id, decision, event.time, events);
            }
            _ => {}
        }
    }

    fn write(&mut self, change: Change, now: Timestamp, events: &mut Vec<StreamResponse>) {
        match change {
            Change::Accepted => {
                self.status = status(TaskState::Submitted, None, now);
                self.updated_at = now;
            }
            Change::Started => self.set(TaskState::Working, None, now, events),
            Change::TextDelta { index, delta } => self.grow(index, &delta, events),
            Change::Done(index) => self.close(index, events),
            Change::Asked(approval) => self.ask(&approval, events),
            Change::Decided(approval_id, decision) => self.decide(&approval_id, &decision, now, events),
            Change::Ended { status, error, .. } => {
                self.asked.clear();
                let state = match (status, &error) {
                    (_, Some(error)) if error.category == REJECTED => TaskState::Rejected,
                    (TurnStatus::Completed, _) => TaskState::Completed,
                    (TurnStatus::Failed, _) => TaskState::Failed,
                    (TurnStatus::Interrupted | TurnStatus::Canceled, _) => TaskState::Canceled,
                };
                let message = error.map(|error| self.told(&error));
                self.set(state, message, now, events);
            }
            Change::Added(_)
            | Change::Called(_)
            | Change::SummaryDelta { .. }
            | Change::ReasoningDelta { .. }
            | Change::ArgumentsDelta { .. } => {}
        }
    }

    fn set(&mut self, state: TaskState, message: Option<Message>, now: Timestamp, events: &mut Vec<StreamResponse>) {
        self.status = status(state, message, now);
        self.updated_at = now;
        events.push(StreamResponse::StatusUpdate(TaskStatusUpdateEvent {
            task_id: self.head.id.to_string(),
            context_id: self.head.context_id.clone(),
            status: self.status.clone(),
            metadata: None,
        }));
    }

    fn grow(&mut self, index: usize, delta: &str, events: &mut Vec<StreamResponse>) {
        let Some(item) = self.items.item(index) else { return };
        let id = artifact_id(item).to_owned();
        // Another item under the same id takes the place of an attempt that failed.
        let append = self.shown.insert(id.clone(), index) == Some(index);
        events.push(self.chunk(id, delta, append, false, None));
    }

    fn close(&mut self, index: usize, events: &mut Vec<StreamResponse>) {
        let Some(item) = self.items.item(index) else { return };
        let ItemBody::Text { phase, .. } = &item.body else {
            return;
        };
        let (id, phase) = (artifact_id(item).to_owned(), phase.map(Phase::as_str));
        if self.shown.get(&id) != Some(&index) {
            return;
        }
        if item.status == ItemStatus::Retracted {
            self.shown.remove(&id);
            events.push(self.chunk(id, "", false, false, None));
        } else {
            events.push(self.chunk(id, "", true, true, phase));
        }
    }

    fn chunk(&self, id: String, text: &str, append: bool, last: bool, phase: Option<&str>) -> StreamResponse {
        StreamResponse::ArtifactUpdate(TaskArtifactUpdateEvent {
            task_id: self.head.id.to_string(),
            context_id: self.head.context_id.clone(),
            artifact: Artifact {
                artifact_id: id,
                name: None,
                description: None,
                parts: vec![Part::text(text)],
                metadata: phase.map(|phase| HashMap::from([(PHASE.to_owned(), json!(phase))])),
                extensions: None,
            },
            append: Some(append),
            last_chunk: Some(last),
            metadata: None,
        })
    }

    fn ask(&mut self, approval: &Approval, events: &mut Vec<StreamResponse>) {
        if self.asks(&approval.id) {
            return;
        }
        self.asked.push(approval.clone());
        let question = self.message(approval.id.clone(), Role::Agent, question(approval));
        self.history.push(question.clone());
        self.set(
            TaskState::InputRequired,
            Some(question),
            approval.requested_at.max(self.updated_at),
            events,
        );
    }

    fn decide(&mut self, approval_id: &str, decision: &Decision, now: Timestamp, events: &mut Vec<StreamResponse>) {
        let Some(place) = self.asked.iter().position(|asked| asked.id == approval_id) else {
            return;
        };
        self.asked.remove(place);
        let answer = self.message(
            format!("{approval_id}.decision"),
            Role::User,
            vec![Part::data(decided(approval_id, decision))],
        );
        self.history.push(answer);
        match self.asked.first().cloned() {
            Some(next) => {
                let message = self.message(next.id.clone(), Role::Agent, question(&next));
                self.set(TaskState::InputRequired, Some(message), now, events);
            }
            None => self.set(TaskState::Working, None, now, events),
        }
    }

    fn told(&self, error: &TurnError) -> Message {
        let text = if error.category == REJECTED {
            error.message.clone()
        } else {
            format!("{}: {}", error.category, error.message)
        };
        self.message(format!("{}.end", self.head.id), Role::Agent, vec![Part::text(text)])
    }

    fn message(&self, id: String, role: Role, parts: Vec<Part>) -> Message {
        Message {
            message_id: id,
            context_id: Some(self.head.context_id.clone()),
            task_id: Some(self.head.id.to_string()),
            role,
            parts,
            metadata: None,
            extensions: None,
            reference_task_ids: None,
        }
    }
}

impl TurnWriter for Turn {
    type Event = StreamResponse;

    fn apply(&mut self, event: &Event) -> Vec<StreamResponse> {
        let mut events = Vec::new();
        if self.has_ended() {
            return events;
        }
        if !event.path.is_empty() {
            if self.items.turn().is_some_and(|turn| is_below(&event.path, turn)) {
                self.apply_question(event, &mut events);
            }
            return events;
        }
        if let EventKind::MessageDone { message } = &event.kind
            && message.author == Author::User
            && message.id == self.head.id.message_id()
        {
            self.show_user(message);
        }
        for change in self.items.apply(event) {
            self.write(change, event.time, &mut events);
        }
        events
    }

    fn catch_up(&mut self, messages: &[LoggedMessage], turn_end: Option<&Event>) -> Vec<StreamResponse> {
        let mut events = Vec::new();
        let own = self.head.id.message_id();
        let user = messages
            .iter()
            .find(|message| message.author == Author::User && message.id == own);
        if let Some(message) = user {
            self.show_user(message);
        }
        let latest = user.and_then(|user| {
            let of_turn = messages.iter().filter(|message| message.turn == user.turn);
            of_turn.map(|message| message.updated_at).max()
        });
        let now = turn_end.map(|event| event.time).or(latest).unwrap_or(self.updated_at);
        for change in self.items.catch_up(messages, turn_end) {
            self.write(change, now.max(self.updated_at), &mut events);
        }
        events
    }

    fn end_unseen(&mut self, status: TurnStatus) -> Vec<StreamResponse> {
        let mut events = Vec::new();
        for change in self.items.end_unseen(status) {
            self.write(change, self.updated_at, &mut events);
        }
        events
    }

    fn has_ended(&self) -> bool {
        self.status.state.is_terminal()
    }
}

/// Whether a path leads from a call of this turn.
fn is_below(path: &str, turn: u32) -> bool {
    path.split('.').next().and_then(|number| number.parse().ok()) == Some(turn)
}

fn status(state: TaskState, message: Option<Message>, at: Timestamp) -> TaskStatus {
    TaskStatus {
        state,
        message,
        timestamp: timestamp(at),
    }
}

/// A time in milliseconds, as section 5.6.1 wants it.
fn timestamp<T: DeserializeOwned>(at: Timestamp) -> Option<T> {
    let at = Timestamp::from_millisecond(at.as_millisecond()).ok()?;
    serde_json::from_value(json!(format!("{at:.3}"))).ok()
}

/// The text of an artifact; `None` for what is none.
fn visible_text(item: &Item) -> Option<&str> {
    match &item.body {
        ItemBody::Text { text, .. } if item.status != ItemStatus::Retracted && !text.is_empty() => Some(text),
        _ => None,
    }
}

/// The same for each attempt of a message: an item's id counts the attempts.
fn artifact_id(item: &Item) -> &str {
    let id = item.id.split_once('_').map_or(item.id.as_str(), |(_, id)| id);
    id.split_once('_').map_or(id, |(id, _)| id)
}

fn artifact(item: &Item, text: &str) -> Artifact {
    let phase = match &item.body {
        ItemBody::Text { phase, .. } => *phase,
        ItemBody::Reasoning { .. } | ItemBody::Call { .. } => None,
    };
    Artifact {
        artifact_id: artifact_id(item).to_owned(),
        name: None,
        description: None,
        parts: vec![Part::text(text)],
        metadata: phase.map(|phase| HashMap::from([(PHASE.to_owned(), json!(phase.as_str()))])),
        extensions: None,
    }
}

/// What a person is asked, in words and for programs.
fn question(approval: &Approval) -> Vec<Part> {
    let Approval {
        id,
        kind,
        agent,
        turn: _,
        tool,
        tool_call_id: _,
        arguments,
        arguments_truncated,
        requester: _,
        prompt,
        form,
        requested_at: _,
        expires_at,
    } = approval;
    let kind_name = match kind {
        ApprovalKind::ToolCall => "tool_call",
        ApprovalKind::Question => "question",
        ApprovalKind::Elicitation => "elicitation",
    };
    let text = if prompt.is_empty() {
        format!("{agent} asks whether it may call {tool}. Answer \"approve\", \"reject\" or \"reject: why\".")
    } else {
        prompt.clone()
    };
    let mut data = json!({
        "approvalId": id, "kind": kind_name, "agent": agent, "tool": tool, "arguments": arguments,
    });
    if *arguments_truncated {
        data["argumentsTruncated"] = json!(true);
    }
    if !form.is_null() {
        data["form"] = form.clone();
    }
    if let Some(at) = expires_at {
        data["expiresAt"] = json!(at);
    }
    vec![Part::text(text), Part::data(data)]
}

fn decided(approval_id: &str, decision: &Decision) -> Value {
    let word = match decision.verdict {
        Verdict::Approved => "approve",
        Verdict::Rejected => "reject",
        Verdict::Expired | Verdict::Withdrawn => decision.verdict.as_str(),
    };
    let mut data = json!({"approvalId": approval_id, "decision": word});
    for (field, value) in [("reason", &decision.reason), ("by", &decision.by)] {
        if !value.is_empty() {
            data[field] = json!(value);
        }
    }
    if !decision.answer.is_null() {
        data["answer"] = decision.answer.clone();
    }
    data
}

#[cfg(test)]
mod tests;

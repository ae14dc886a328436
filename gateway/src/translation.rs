//! From the events of our log to the frames of Agentex, for one viewer. Pure:
//! what it cannot know (how a message began before the viewer came) it asks for.
//! It hears the same events as the fold and leaves out the same ones, so that a
//! viewer who joins frames to messages ends with the messages of the log.

use std::collections::HashMap;

use serde_json::{Value, json};
use steadfast_eventlog::Entry;
use steadfast_events::{Content, Event, EventKind, Message, MessageStatus, TextFormat, TurnStatus, fold::started};

use crate::wire::{Body, Delta, Frame, StreamingStatus, Task, TaskMessage};

/// What one viewer has been told.
#[derive(Debug)]
pub struct Translation {
    task: Task,
    shown: HashMap<String, Shown>,
}

#[derive(Debug)]
struct Shown {
    /// The message as it began: Agentex repeats that in every frame.
    beginning: TaskMessage,
    /// The latest attempt that wrote it.
    attempt: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Done,
    TakenBack,
}

impl Translation {
    pub fn new(task: Task) -> Self {
        Self {
            task,
            shown: HashMap::new(),
        }
    }

    /// The task as last told.
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// Tells what Temporal says of the task.
    pub fn update_task(&mut self, task: Task) -> Frame {
        self.task = task;
        Frame::TaskUpdated {
            task: self.task.clone(),
        }
    }

    /// The message an entry changes, if nothing is known of it.
    pub fn unknown_message<'a>(&self, entry: &'a Entry) -> Option<&'a str> {
        if !entry.event.path.is_empty() {
            return None;
        }
        let id = changed_message(&entry.event.kind)?;
        (!self.shown.contains_key(id)).then_some(id)
    }

    /// Tells what last began or ended the message that `entry` changes. Without
    /// it, the message's kind is taken from what changes it.
    pub fn learn(&mut self, entry: &Entry, earlier: Option<&Event>) {
        let Some(id) = changed_message(&entry.event.kind) else {
            return;
        };
        let told = match earlier {
            Some(Event {
                kind: EventKind::MessageStarted { content, .. },
                ..
            }) => earlier.map(|event| (started(event, id, content), State::Open, event.attempt)),
            Some(Event {
                kind: EventKind::MessageDone { message },
                attempt,
                ..
            }) => Some((begun(message), State::Done, *attempt)),
            _ => None,
        };
        let (message, state, attempt) = told.unwrap_or_else(|| {
            let message = started(&entry.event, id, &empty_content(&entry.event.kind));
            (message, State::Open, entry.event.attempt)
        });
        self.show(&message, attempt, state);
    }

    /// The viewer has these messages now, whatever it had before.
    pub fn reset(&mut self, messages: &[Message]) -> Frame {
        self.shown.clear();
        for message in messages {
            let state = match message.status {
                MessageStatus::InProgress => State::Open,
                MessageStatus::Done | MessageStatus::Interrupted => State::Done,
            };
            self.show(&begun(message), 1, state);
        }
        Frame::LogReset {
            messages: messages
                .iter()
                .map(|message| TaskMessage::new(&self.task.id, message))
                .collect(),
        }
    }

    /// The frames an entry becomes; none for what Agentex does not show.
    pub fn frames(&mut self, entry: &Entry) -> Vec<Frame> {
        let event = &entry.event;
        if !event.path.is_empty() {
            // What an agent says to the agent that asked it is no part of the conversation.
            return Vec::new();
        }
        match &event.kind {
            EventKind::MessageStarted { message_id, content } => self.start(event, message_id, content),
            EventKind::TextDelta { message_id, delta } => self.delta(event, message_id, |_| Delta::Text {
                text_delta: delta.clone(),
            }),
            EventKind::ReasoningDelta {
                message_id,
                index,
                delta,
            } => self.delta(event, message_id, |_| Delta::ReasoningContent {
                content_index: *index,
                content_delta: delta.clone(),
            }),
            EventKind::ReasoningSummaryDelta {
                message_id,
                index,
                delta,
            } => self.delta(event, message_id, |_| Delta::ReasoningSummary {
                summary_index: *index,
                summary_delta: delta.clone(),
            }),
            EventKind::ToolArgumentsDelta { message_id, delta } => self.delta(event, message_id, |beginning| {
                let (tool_call_id, name) = match &beginning.content.body {
                    Body::ToolRequest { tool_call_id, name, .. } => (tool_call_id.clone(), name.clone()),
                    _ => (String::new(), String::new()),
                };
                Delta::ToolRequest {
                    tool_call_id,
                    name,
                    arguments_delta: delta.clone(),
                }
            }),
            EventKind::MessageDone { message } => self.done(event, message),
            EventKind::MessageReset { message_id } => self.take_back(event, message_id),
            EventKind::TaskUpdated { status, reason } => {
                self.task.status = (*status).into();
                self.task.status_reason.clone_from(reason);
                self.task.updated_at = event.time;
                vec![Frame::TaskUpdated {
                    task: self.task.clone(),
                }]
            }
            EventKind::TurnEnded {
                status: TurnStatus::Failed,
                error,
                ..
            } => {
                let message = error
                    .as_ref()
                    .map_or("the turn failed", |error| &error.message)
                    .to_owned();
                vec![Frame::Error { message }]
            }
            EventKind::LogOpened { .. }
            | EventKind::MessageAccepted { .. }
            | EventKind::MessageRejected { .. }
            | EventKind::TurnStarted {}
            | EventKind::TurnEnded { .. }
            | EventKind::ModelStarted { .. }
            | EventKind::ModelEnded { .. }
            | EventKind::ToolStarted { .. }
            | EventKind::ToolEnded { .. }
            | EventKind::AgentStarted { .. }
            | EventKind::AgentEnded { .. }
            | EventKind::Handoff { .. }
            | EventKind::ApprovalRequested { .. }
            | EventKind::ApprovalDecided { .. }
            | EventKind::GuardrailTripped { .. }
            | EventKind::ContextCompacted { .. }
            | EventKind::ToolsUnavailable { .. }
            | EventKind::Unknown => Vec::new(),
        }
    }

    fn start(&mut self, event: &Event, id: &str, content: &Content) -> Vec<Frame> {
        if let Some(shown) = self.shown.get(id)
            && (event.attempt < shown.attempt || (shown.state == State::Done && event.attempt == shown.attempt))
        {
            return Vec::new();
        }
        let message = self.show(&started(event, id, content), event.attempt, State::Open);
        vec![Frame::Start {
            index: None,
            content: message.content.clone(),
            parent_task_message: message,
        }]
    }

    fn delta(&self, event: &Event, id: &str, delta: impl FnOnce(&TaskMessage) -> Delta) -> Vec<Frame> {
        match self.shown.get(id) {
            Some(shown) if shown.state == State::Open && event.attempt >= shown.attempt => vec![Frame::Delta {
                index: None,
                delta: delta(&shown.beginning),
                parent_task_message: shown.beginning.clone(),
            }],
            _ => Vec::new(),
        }
    }

    fn done(&mut self, event: &Event, message: &Message) -> Vec<Frame> {
        let attempt = self
            .shown
            .get(&message.id)
            .map_or(0, |shown| shown.attempt)
            .max(event.attempt);
        self.show(&begun(message), attempt, State::Done);
        let done = TaskMessage::new(&self.task.id, message);
        let full = Frame::Full {
            index: None,
            content: done.content.clone(),
            parent_task_message: done.clone(),
        };
        if matches!(message.content, Content::Text { .. }) {
            vec![
                full,
                Frame::Done {
                    index: None,
                    parent_task_message: done,
                },
            ]
        } else {
            vec![full]
        }
    }

    fn take_back(&mut self, event: &Event, id: &str) -> Vec<Frame> {
        let Some(shown) = self.shown.get_mut(id) else {
            return Vec::new();
        };
        shown.state = State::TakenBack;
        shown.attempt = shown.attempt.max(event.attempt);
        let empty = shown.beginning.clone();
        vec![Frame::Full {
            index: None,
            content: empty.content.clone(),
            parent_task_message: empty,
        }]
    }

    fn show(&mut self, message: &Message, attempt: u32, state: State) -> TaskMessage {
        let mut beginning = TaskMessage::new(&self.task.id, message);
        beginning.streaming_status = StreamingStatus::InProgress;
        self.shown.insert(
            message.id.clone(),
            Shown {
                beginning: beginning.clone(),
                attempt,
                state,
            },
        );
        beginning
    }
}

/// The message that an event changes without saying how it began.
fn changed_message(kind: &EventKind) -> Option<&str> {
    match kind {
        EventKind::TextDelta { message_id, .. }
        | EventKind::ReasoningDelta { message_id, .. }
        | EventKind::ReasoningSummaryDelta { message_id, .. }
        | EventKind::ToolArgumentsDelta { message_id, .. }
        | EventKind::MessageReset { message_id } => Some(message_id),
        _ => None,
    }
}

/// The message that an event begins or ends.
pub fn bounded_message(kind: &EventKind) -> Option<&str> {
    match kind {
        EventKind::MessageStarted { message_id, .. } => Some(message_id),
        EventKind::MessageDone { message } => Some(&message.id),
        _ => None,
    }
}

fn empty_content(kind: &EventKind) -> Content {
    match kind {
        EventKind::ReasoningDelta { .. } | EventKind::ReasoningSummaryDelta { .. } => Content::Reasoning {
            summary: Vec::new(),
            content: Vec::new(),
        },
        EventKind::ToolArgumentsDelta { .. } => Content::ToolRequest {
            tool_call_id: String::new(),
            name: String::new(),
            arguments: json!({}),
        },
        _ => Content::Text {
            text: String::new(),
            format: TextFormat::Markdown,
        },
    }
}

/// A message as it was when it began.
fn begun(message: &Message) -> Message {
    let content = match message.content.clone() {
        Content::Text { format, .. } => Content::Text {
            text: String::new(),
            format,
        },
        Content::Reasoning { .. } => Content::Reasoning {
            summary: Vec::new(),
            content: Vec::new(),
        },
        Content::ToolRequest { tool_call_id, name, .. } => Content::ToolRequest {
            tool_call_id,
            name,
            arguments: json!({}),
        },
        Content::ToolResponse { tool_call_id, name, .. } => Content::ToolResponse {
            tool_call_id,
            name,
            content: Value::Null,
            is_error: false,
        },
        Content::Data { .. } => Content::Data { data: json!({}) },
    };
    Message {
        content,
        status: MessageStatus::InProgress,
        updated_at: message.created_at,
        ..message.clone()
    }
}

#[cfg(test)]
mod tests;

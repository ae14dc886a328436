//! From the entries of a log to Agentex's frames, for one viewer. Pure: how a message started
//! before the viewer came is asked for, not fetched. Ignores the same events as the fold, so
//! that a viewer who joins frames to messages ends with the messages of the log.

use std::collections::HashMap;

use serde_json::{Value, json, value::RawValue};
use steadfast_eventlog::Entry;
use steadfast_events::{Content, Event, EventKind, Message, MessageStatus, TextFormat, TurnStatus, fold::started};

use super::wire::{self, Delta, Frame, Null, Parent, Task, TaskMessage};

/// The frames of one entry; most have one, the end of a text has two.
pub(crate) type Frames<'a> = [Option<Frame<'a>>; 2];

/// What one viewer has received.
#[derive(Debug)]
pub(crate) struct AgentexFrames {
    task: Task,
    messages: HashMap<String, SentMessage>,
}

#[derive(Debug)]
struct SentMessage {
    /// The message as it started: its content is empty.
    start: Message,
    /// `start` as JSON. Agentex repeats it in every frame of the message.
    parent: Box<RawValue>,
    /// The latest attempt that wrote the message.
    attempt: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Done,
    Retracted,
}

impl AgentexFrames {
    pub(crate) fn new(task: Task) -> Self {
        Self {
            task,
            messages: HashMap::new(),
        }
    }

    /// The frame for a task that Temporal describes anew.
    pub(crate) fn task_updated(&mut self, task: Task) -> Frame<'_> {
        self.task = task;
        Frame::TaskUpdated { task: &self.task }
    }

    /// The id of the message that an entry changes, if the viewer has not received its start.
    pub(crate) fn missing_start<'a>(&self, entry: &'a Entry) -> Option<&'a str> {
        if !entry.event.path.is_empty() {
            return None;
        }
        let id = changed_message(&entry.event.kind)?;
        (!self.messages.contains_key(id)).then_some(id)
    }

    /// Remembers how the message that `entry` changes started. `boundary` is the latest earlier
    /// event that started or ended the message; without it, the entry tells the kind of content.
    pub(crate) fn remember_start(&mut self, entry: &Entry, boundary: Option<&Event>) {
        let Some(id) = changed_message(&entry.event.kind) else {
            return;
        };
        let (start, state, attempt) = match boundary {
            Some(
                event @ Event {
                    kind: EventKind::MessageStarted { content, .. },
                    ..
                },
            ) => (started(event, id, content), State::Open, event.attempt),
            Some(Event {
                kind: EventKind::MessageDone { message },
                attempt,
                ..
            }) => (emptied(message), State::Done, *attempt),
            _ => (
                started(&entry.event, id, &empty_content(&entry.event.kind)),
                State::Open,
                entry.event.attempt,
            ),
        };
        self.remember(start, attempt, state);
    }

    /// Replaces all messages of the viewer.
    pub(crate) fn reset<'a>(&'a mut self, messages: &'a [Message]) -> Frame<'a> {
        self.messages.clear();
        for message in messages {
            let state = match message.status {
                MessageStatus::InProgress => State::Open,
                MessageStatus::Done | MessageStatus::Interrupted => State::Done,
            };
            self.remember(emptied(message), 1, state);
        }
        Frame::LogReset {
            messages: messages
                .iter()
                .map(|message| TaskMessage::new(&self.task.id, message))
                .collect(),
        }
    }

    /// The frames of an entry; none for an event that Agentex has no frame for.
    pub(crate) fn frames<'a>(&'a mut self, entry: &'a Entry) -> Frames<'a> {
        let event = &entry.event;
        if !event.path.is_empty() {
            // An agent that works as a tool is not part of the conversation.
            return [None, None];
        }
        match &event.kind {
            EventKind::MessageStarted { message_id, content } => self.start(event, message_id, content),
            EventKind::TextDelta { message_id, .. }
            | EventKind::ReasoningDelta { message_id, .. }
            | EventKind::ReasoningSummaryDelta { message_id, .. }
            | EventKind::ToolArgumentsDelta { message_id, .. } => self.delta(event, message_id),
            EventKind::MessageDone { message } => self.done(event, message),
            EventKind::MessageReset { message_id } => self.retract(event, message_id),
            EventKind::TaskUpdated { status, reason } => {
                self.task.status = (*status).into();
                self.task.status_reason.clone_from(reason);
                self.task.updated_at = event.time;
                [Some(Frame::TaskUpdated { task: &self.task }), None]
            }
            EventKind::TurnEnded {
                status: TurnStatus::Failed,
                error,
                ..
            } => {
                let message = error.as_ref().map_or("the turn failed", |error| &error.message);
                [Some(Frame::Error { message }), None]
            }
            EventKind::LogOpened { .. }
            | EventKind::MessageAccepted { .. }
            | EventKind::MessageRejected { .. }
            | EventKind::TurnStarted {}
            | EventKind::TurnEnded { .. }
            | EventKind::ModelStarted { .. }
            | EventKind::ModelAttemptFailed { .. }
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
            | EventKind::Unknown => [None, None],
        }
    }

    fn start<'a>(&'a mut self, event: &Event, id: &str, content: &'a Content) -> Frames<'a> {
        if let Some(sent) = self.messages.get(id)
            && (event.attempt < sent.attempt || (sent.state == State::Done && event.attempt == sent.attempt))
        {
            return [None, None];
        }
        let sent = self.remember(started(event, id, content), event.attempt, State::Open);
        let frame = Frame::Start {
            index: Null,
            parent_task_message: Parent::Started(&sent.parent),
            content: wire::Content::new(sent.start.author, content),
        };
        [Some(frame), None]
    }

    fn delta<'a>(&'a self, event: &'a Event, id: &str) -> Frames<'a> {
        let frame = self
            .messages
            .get(id)
            .filter(|sent| sent.state == State::Open && event.attempt >= sent.attempt)
            .and_then(|sent| {
                Some(Frame::Delta {
                    index: Null,
                    parent_task_message: Parent::Started(&sent.parent),
                    delta: delta(&event.kind, &sent.start.content)?,
                })
            });
        [frame, None]
    }

    fn done<'a>(&'a mut self, event: &Event, message: &'a Message) -> Frames<'a> {
        let earlier = self.messages.get(&message.id).map_or(0, |sent| sent.attempt);
        self.remember(emptied(message), earlier.max(event.attempt), State::Done);
        let done = || Parent::Current(TaskMessage::new(&self.task.id, message));
        let full = Frame::Full {
            index: Null,
            parent_task_message: done(),
            content: wire::Content::new(message.author, &message.content),
        };
        let end = matches!(message.content, Content::Text { .. }).then(|| Frame::Done {
            index: Null,
            parent_task_message: done(),
        });
        [Some(full), end]
    }

    /// A retracted message is empty again.
    fn retract<'a>(&'a mut self, event: &Event, id: &str) -> Frames<'a> {
        let frame = self.messages.get_mut(id).map(|sent| {
            sent.state = State::Retracted;
            sent.attempt = sent.attempt.max(event.attempt);
            Frame::Full {
                index: Null,
                parent_task_message: Parent::Started(&sent.parent),
                content: wire::Content::new(sent.start.author, &sent.start.content),
            }
        });
        [frame, None]
    }

    fn remember(&mut self, start: Message, attempt: u32, state: State) -> &SentMessage {
        let parent = serde_json::value::to_raw_value(&TaskMessage {
            streaming_status: wire::StreamingStatus::InProgress,
            ..TaskMessage::new(&self.task.id, &start)
        })
        .unwrap_or_else(|_| RawValue::NULL.to_owned());
        let sent = SentMessage {
            start,
            parent,
            attempt,
            state,
        };
        self.messages.entry(sent.start.id.clone()).insert_entry(sent).into_mut()
    }
}

/// The delta of an event, for a message with this content.
fn delta<'a>(kind: &'a EventKind, content: &'a Content) -> Option<Delta<'a>> {
    Some(match kind {
        EventKind::TextDelta { delta, .. } => Delta::Text { text_delta: delta },
        EventKind::ReasoningDelta { index, delta, .. } => Delta::ReasoningContent {
            content_index: *index,
            content_delta: delta,
        },
        EventKind::ReasoningSummaryDelta { index, delta, .. } => Delta::ReasoningSummary {
            summary_index: *index,
            summary_delta: delta,
        },
        EventKind::ToolArgumentsDelta { delta, .. } => {
            let (tool_call_id, name) = match content {
                Content::ToolRequest { tool_call_id, name, .. } => (tool_call_id.as_str(), name.as_str()),
                _ => ("", ""),
            };
            Delta::ToolRequest {
                tool_call_id,
                name,
                arguments_delta: delta,
            }
        }
        _ => return None,
    })
}

/// The message that an event changes without telling how it started.
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

/// The message that an event starts or ends.
pub(crate) fn bounded_message(kind: &EventKind) -> Option<&str> {
    match kind {
        EventKind::MessageStarted { message_id, .. } => Some(message_id),
        EventKind::MessageDone { message } => Some(&message.id),
        _ => None,
    }
}

/// The empty content of a message that an event changes.
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

/// A message as it was when it started. Leaves the content behind instead of copying it.
fn emptied(message: &Message) -> Message {
    let content = match &message.content {
        Content::Text { format, .. } => Content::Text {
            text: String::new(),
            format: *format,
        },
        Content::Reasoning { .. } => Content::Reasoning {
            summary: Vec::new(),
            content: Vec::new(),
        },
        Content::ToolRequest { tool_call_id, name, .. } => Content::ToolRequest {
            tool_call_id: tool_call_id.clone(),
            name: name.clone(),
            arguments: json!({}),
        },
        Content::ToolResponse { tool_call_id, name, .. } => Content::ToolResponse {
            tool_call_id: tool_call_id.clone(),
            name: name.clone(),
            content: Value::Null,
            is_error: false,
            whole_bytes: None,
        },
        Content::Data { .. } => Content::Data { data: json!({}) },
    };
    Message {
        id: message.id.clone(),
        idempotency_key: message.idempotency_key.clone(),
        turn: message.turn,
        agent: message.agent.clone(),
        author: message.author,
        content,
        status: MessageStatus::InProgress,
        created_at: message.created_at,
        updated_at: message.created_at,
    }
}

#[cfg(test)]
mod tests;

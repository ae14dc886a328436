//! From the events of a log to Agentex's frames, for one viewer. Pure: how a message started
//! before the viewer came is asked for, not fetched. Ignores the same events as the fold, so
//! that a viewer who joins frames to messages ends with the messages of the log.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use serde_json::{Value, json, value::RawValue};
use steadfast_events::{Content, Event, EventKind, Message, MessageStatus, TextFormat, TurnStatus, fold::started};

use super::wire::{self, Delta, Frame, Parent, Task, TaskMessage};

/// The frames of one event; most have one, the end of a text has two.
pub(crate) type Frames<'a> = [Option<Frame<'a>>; 2];

/// What one viewer has received.
#[derive(Debug)]
pub(crate) struct AgentexFrames {
    task: Task,
    messages: HashMap<String, SentMessage>,
}

#[derive(Debug)]
struct SentMessage {
    start: Arc<Started>,
    /// The start is that of the log, which all viewers have.
    is_logged: bool,
    /// The latest attempt that wrote the message.
    attempt: u32,
    state: State,
}

/// A message as it started.
#[derive(Debug)]
struct Started {
    /// Its content is empty.
    message: Message,
    /// The message as JSON. Agentex repeats it in every frame of the message.
    parent: Box<RawValue>,
}

impl Started {
    fn new(task_id: &str, message: Message) -> Self {
        let parent = serde_json::value::to_raw_value(&TaskMessage {
            streaming_status: wire::StreamingStatus::InProgress,
            ..TaskMessage::new(task_id, &message)
        });
        Self {
            parent: parent.unwrap_or_else(|_| RawValue::NULL.to_owned()),
            message,
        }
    }
}

/// How the message of an event started, made once for all viewers.
#[derive(Debug, Default)]
pub(crate) struct SharedStart(OnceLock<Arc<Started>>);

impl SharedStart {
    fn get_or_init(&self, task_id: &str, message: impl FnOnce() -> Message) -> Arc<Started> {
        let start = self.0.get_or_init(|| Arc::new(Started::new(task_id, message())));
        start.clone()
    }
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

    /// The id of the message that an event changes, if the viewer has not received its start.
    pub(crate) fn missing_start<'a>(&self, event: &'a Event) -> Option<&'a str> {
        if !event.path.is_empty() {
            return None;
        }
        let id = changed_message(&event.kind)?;
        (!self.messages.contains_key(id)).then_some(id)
    }

    /// Remembers how the message that `changed` changes started. `boundary` is the latest earlier
    /// event that started or ended the message; without it, `changed` tells the kind of content.
    pub(crate) fn remember_start(&mut self, changed: &Event, boundary: Option<&Event>) {
        let Some(id) = changed_message(&changed.kind) else {
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
                started(changed, id, &empty_content(&changed.kind)),
                State::Open,
                changed.attempt,
            ),
        };
        let sent = SentMessage {
            start: Arc::new(Started::new(&self.task.id, start)),
            is_logged: boundary.is_some(),
            attempt,
            state,
        };
        self.messages.insert(id.to_owned(), sent);
    }

    /// Replaces all messages of the viewer.
    pub(crate) fn reset<'a>(&'a mut self, messages: &'a [Message]) -> Frame<'a> {
        self.messages.clear();
        for message in messages {
            let state = match message.status {
                MessageStatus::InProgress => State::Open,
                MessageStatus::Done | MessageStatus::Interrupted => State::Done,
            };
            self.remember(message, 1, state);
        }
        Frame::LogReset {
            messages: messages
                .iter()
                .map(|message| TaskMessage::new(&self.task.id, message))
                .collect(),
        }
    }

    /// The frames of an event; none for one that Agentex has no frame for.
    pub(crate) fn frames<'a>(&'a mut self, event: &'a Event) -> Frames<'a> {
        if self.accept(event, &SharedStart::default()) {
            self.render(event)
        } else {
            [None, None]
        }
    }

    /// Takes in an event, and tells whether the viewer gets frames of it.
    pub(crate) fn accept(&mut self, event: &Event, start: &SharedStart) -> bool {
        if !event.path.is_empty() {
            // An agent that works as a tool is not part of the conversation.
            return false;
        }
        match &event.kind {
            EventKind::MessageStarted { message_id, content } => self.start(event, message_id, content, start),
            EventKind::TextDelta { message_id, .. }
            | EventKind::ReasoningDelta { message_id, .. }
            | EventKind::ReasoningSummaryDelta { message_id, .. }
            | EventKind::ToolArgumentsDelta { message_id, .. } => {
                let sent = self.messages.get(message_id);
                sent.is_some_and(|sent| sent.state == State::Open && event.attempt >= sent.attempt)
            }
            EventKind::MessageDone { message } => {
                let earlier = self.messages.get(&message.id).map_or(0, |sent| sent.attempt);
                let sent = SentMessage {
                    start: start.get_or_init(&self.task.id, || emptied(message)),
                    is_logged: true,
                    attempt: earlier.max(event.attempt),
                    state: State::Done,
                };
                self.messages.insert(message.id.clone(), sent);
                true
            }
            EventKind::MessageReset { message_id } => match self.messages.get_mut(message_id) {
                Some(sent) => {
                    sent.state = State::Retracted;
                    sent.attempt = sent.attempt.max(event.attempt);
                    true
                }
                None => false,
            },
            EventKind::TaskUpdated { status, reason } => {
                self.task.status = (*status).into();
                self.task.status_reason.clone_from(reason);
                self.task.updated_at = event.time;
                true
            }
            EventKind::TurnEnded { status, .. } => *status == TurnStatus::Failed,
            EventKind::LogOpened { .. }
            | EventKind::MessageAccepted { .. }
            | EventKind::MessageRejected { .. }
            | EventKind::TurnStarted {}
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
            | EventKind::Unknown => false,
        }
    }

    /// Whether all viewers who get frames of an event get the same frames.
    pub(crate) fn is_same_for_all(&self, event: &Event) -> bool {
        match &event.kind {
            EventKind::MessageStarted { .. } | EventKind::MessageDone { .. } | EventKind::TurnEnded { .. } => true,
            // Some viewers know a newer description of the task.
            EventKind::TaskUpdated { .. } => false,
            kind => changed_message(kind)
                .and_then(|id| self.messages.get(id))
                .is_some_and(|sent| sent.is_logged),
        }
    }

    /// The frames of an event that was accepted.
    pub(crate) fn render<'a>(&'a self, event: &'a Event) -> Frames<'a> {
        match &event.kind {
            EventKind::MessageStarted { message_id, content } => {
                let frame = self.messages.get(message_id).map(|sent| Frame::Start {
                    index: None,
                    parent_task_message: Parent::Started(&sent.start.parent),
                    content: wire::Content::new(sent.start.message.author, content),
                });
                [frame, None]
            }
            EventKind::MessageDone { message } => whole(&self.task.id, message),
            // A retracted message is empty again.
            EventKind::MessageReset { message_id } => {
                let frame = self.messages.get(message_id).map(|sent| Frame::Full {
                    index: None,
                    parent_task_message: Parent::Started(&sent.start.parent),
                    content: wire::Content::new(sent.start.message.author, &sent.start.message.content),
                });
                [frame, None]
            }
            EventKind::TaskUpdated { .. } => [Some(Frame::TaskUpdated { task: &self.task }), None],
            EventKind::TurnEnded { error, .. } => {
                let message = error.as_ref().map_or("the turn failed", |error| &error.message);
                [Some(Frame::Error { message }), None]
            }
            kind => {
                let sent = changed_message(kind).and_then(|id| self.messages.get(id));
                let frame = sent.and_then(|sent| {
                    Some(Frame::Delta {
                        index: None,
                        parent_task_message: Parent::Started(&sent.start.parent),
                        delta: delta(kind, &sent.start.message.content)?,
                    })
                });
                [frame, None]
            }
        }
    }

    fn start(&mut self, event: &Event, id: &str, content: &Content, start: &SharedStart) -> bool {
        if let Some(sent) = self.messages.get(id)
            && (event.attempt < sent.attempt || (sent.state == State::Done && event.attempt == sent.attempt))
        {
            return false;
        }
        let sent = SentMessage {
            start: start.get_or_init(&self.task.id, || started(event, id, content)),
            is_logged: true,
            attempt: event.attempt,
            state: State::Open,
        };
        self.messages.insert(id.to_owned(), sent);
        true
    }

    /// The frames of a message as it is now, for a viewer who missed some of its events; none if the viewer has all.
    pub(crate) fn catch_up<'a>(&'a mut self, message: &'a Message) -> Frames<'a> {
        let sent = self.messages.get(&message.id);
        let (attempt, state) = sent.map_or((1, None), |sent| (sent.attempt, Some(sent.state)));
        if state == Some(State::Done) {
            return [None, None];
        }
        if message.status.is_final() {
            self.remember(message, attempt, State::Done);
            return whole(&self.task.id, message);
        }
        let sent = self.remember(message, attempt, State::Open);
        // Its text so far: deltas go on from there.
        let frame = Frame::Full {
            index: None,
            parent_task_message: Parent::Started(&sent.start.parent),
            content: wire::Content::new(message.author, &message.content),
        };
        [Some(frame), None]
    }

    /// Remembers a message of which the viewer was told at once.
    fn remember(&mut self, message: &Message, attempt: u32, state: State) -> &SentMessage {
        let sent = SentMessage {
            start: Arc::new(Started::new(&self.task.id, emptied(message))),
            is_logged: false,
            attempt,
            state,
        };
        self.messages.entry(message.id.clone()).insert_entry(sent).into_mut()
    }
}

/// The frames of a message that is complete.
fn whole<'a>(task_id: &'a str, message: &'a Message) -> Frames<'a> {
    let done = || Parent::Current(TaskMessage::new(task_id, message));
    let full = Frame::Full {
        index: None,
        parent_task_message: done(),
        content: wire::Content::new(message.author, &message.content),
    };
    let end = matches!(message.content, Content::Text { .. }).then(|| Frame::Done {
        index: None,
        parent_task_message: done(),
    });
    [Some(full), end]
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
pub(crate) fn changed_message(kind: &EventKind) -> Option<&str> {
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
        _ => Content::text("", TextFormat::Markdown),
    }
}

/// A message as it was when it started. Leaves the content behind instead of copying it.
fn emptied(message: &Message) -> Message {
    let content = match &message.content {
        Content::Text { format, .. } => Content::text("", *format),
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

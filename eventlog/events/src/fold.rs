//! From events to messages, as a pure function: every reader of a log gets the same
//! messages. A finished message is final; started messages and their deltas are a
//! preview that may be retracted.

use std::collections::HashMap;

use serde_json::Value;

use crate::{
    event::{Event, EventKind},
    message::{Author, Content, Message, MessageStatus},
};

/// Limit for the parts of a reasoning message.
const MAX_REASONING_PARTS: usize = 4096;

/// Folds a whole log.
pub fn fold<'a>(events: impl IntoIterator<Item = &'a Event>) -> Vec<Message> {
    let mut fold = Fold::default();
    for event in events {
        fold.apply(event);
    }
    fold.into_messages()
}

/// The messages so far; takes one event after the other.
#[derive(Clone, Debug, Default)]
pub struct Fold {
    /// In order of first appearance; a retracted message keeps its place.
    slots: Vec<Slot>,
    /// Apart from each other: no message of a user takes the place of one of the agent, whatever its id.
    of_agent: HashMap<String, usize>,
    of_users: HashMap<String, usize>,
}

#[derive(Clone, Debug)]
struct Slot {
    message: Option<Message>,
    /// The latest attempt that wrote it. Events of an earlier attempt that still runs are ignored.
    attempt: u32,
}

impl Fold {
    /// Applies the next event of the log.
    pub fn apply(&mut self, event: &Event) {
        if !event.path.is_empty() {
            // An agent that runs as a tool is not part of the conversation.
            return;
        }
        match &event.kind {
            EventKind::MessageStarted { message_id, content } => self.start(event, message_id, content),
            EventKind::TextDelta { message_id, delta } => self.extend(event, message_id, |content| {
                if let Content::Text { text, .. } = content {
                    text.push_str(delta);
                }
            }),
            EventKind::ReasoningDelta {
                message_id,
                index,
                delta,
            } => self.extend(event, message_id, |content| {
                if let Content::Reasoning { content, .. } = content {
                    extend_part(content, *index, delta);
                }
            }),
            EventKind::ReasoningSummaryDelta {
                message_id,
                index,
                delta,
            } => self.extend(event, message_id, |content| {
                if let Content::Reasoning { summary, .. } = content {
                    extend_part(summary, *index, delta);
                }
            }),
            EventKind::ToolArgumentsDelta { message_id, delta } => self.extend(event, message_id, |content| {
                if let Content::ToolRequest { arguments, .. } = content {
                    extend_arguments(arguments, delta);
                }
            }),
            EventKind::MessageDone { message } => {
                let slot = self.slot(message.author, &message.id, event.attempt);
                slot.message = Some(message.clone());
            }
            EventKind::MessageReset { message_id } => {
                if let Some(place) = self.place(message_id) {
                    let slot = &mut self.slots[place];
                    slot.message = None;
                    slot.attempt = slot.attempt.max(event.attempt);
                }
            }
            EventKind::LogOpened { .. }
            | EventKind::TaskUpdated { .. }
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
            | EventKind::Unknown => {}
        }
    }

    /// The messages in order of first appearance.
    pub fn messages(&self) -> impl Iterator<Item = &Message> {
        self.slots.iter().filter_map(|slot| slot.message.as_ref())
    }

    /// One message by its id.
    pub fn message(&self, id: &str) -> Option<&Message> {
        self.slots[self.place(id)?].message.as_ref()
    }

    /// The messages in order of first appearance.
    pub fn into_messages(self) -> Vec<Message> {
        self.slots.into_iter().filter_map(|slot| slot.message).collect()
    }

    /// The place of the agent's message with this id, or of a user's.
    fn place(&self, id: &str) -> Option<usize> {
        self.of_agent.get(id).or_else(|| self.of_users.get(id)).copied()
    }

    fn slot(&mut self, author: Author, id: &str, attempt: u32) -> &mut Slot {
        let places = match author {
            Author::Agent => &mut self.of_agent,
            Author::User => &mut self.of_users,
        };
        let place = *places.entry(id.to_owned()).or_insert_with(|| {
            self.slots.push(Slot { message: None, attempt });
            self.slots.len() - 1
        });
        let slot = &mut self.slots[place];
        slot.attempt = slot.attempt.max(attempt);
        slot
    }

    fn start(&mut self, event: &Event, id: &str, content: &Content) {
        if let Some(place) = self.of_agent.get(id) {
            let slot = &self.slots[*place];
            let outdated = event.attempt < slot.attempt;
            let done = slot.message.as_ref().is_some_and(|message| message.status.is_final());
            // A finished message starts anew only for a later attempt.
            if outdated || (done && event.attempt == slot.attempt) {
                return;
            }
        }
        self.slot(Author::Agent, id, event.attempt).message = Some(started(event, id, content));
    }

    fn extend(&mut self, event: &Event, id: &str, change: impl FnOnce(&mut Content)) {
        let Some(place) = self.of_agent.get(id) else { return };
        let slot = &mut self.slots[*place];
        if event.attempt < slot.attempt {
            return;
        }
        if let Some(message) = &mut slot.message
            && message.status == MessageStatus::InProgress
        {
            change(&mut message.content);
            message.updated_at = event.time;
        }
    }
}

/// The message that a `message_started` event begins.
pub fn started(event: &Event, id: &str, content: &Content) -> Message {
    Message {
        id: id.to_owned(),
        idempotency_key: None,
        turn: event.turn,
        agent: event.agent.clone(),
        author: Author::Agent,
        content: content.clone(),
        status: MessageStatus::InProgress,
        created_at: event.time,
        updated_at: event.time,
    }
}

fn extend_part(parts: &mut Vec<String>, index: u32, delta: &str) {
    let Ok(index) = usize::try_from(index) else { return };
    if index >= MAX_REASONING_PARTS {
        return;
    }
    if parts.len() <= index {
        parts.resize(index + 1, String::new());
    }
    parts[index].push_str(delta);
}

/// Arguments arrive as pieces of JSON text and stay a string until they are complete.
fn extend_arguments(arguments: &mut Value, delta: &str) {
    if let Value::String(text) = arguments {
        text.push_str(delta);
    } else {
        *arguments = Value::String(delta.to_owned());
    }
}

//! Builders of events and messages for tests: one agent, turn 1, and the time 0,
//! so that a test names only what it is about.

use crate::{
    event::{Event, EventKind, TurnStatus, Usage},
    message::{Author, Content, Message, MessageStatus, TextFormat},
};

/// Agent of every event and message here.
pub const AGENT: &str = "haiku";

/// An event of the first attempt.
pub fn event(kind: EventKind) -> Event {
    event_of_attempt(1, kind)
}

/// An event of a given attempt.
pub fn event_of_attempt(attempt: u32, kind: EventKind) -> Event {
    Event {
        kind,
        turn: 1,
        attempt,
        agent: AGENT.to_owned(),
        path: String::new(),
        time: jiff::Timestamp::UNIX_EPOCH,
    }
}

/// A text in Markdown.
pub fn text(text: &str) -> Content {
    Content::text(text, TextFormat::Markdown)
}

/// A finished message of the agent.
pub fn message(id: &str, content: Content) -> Message {
    Message {
        id: id.to_owned(),
        idempotency_key: None,
        turn: 1,
        agent: AGENT.to_owned(),
        author: Author::Agent,
        content,
        status: MessageStatus::Done,
        created_at: jiff::Timestamp::UNIX_EPOCH,
        updated_at: jiff::Timestamp::UNIX_EPOCH,
    }
}

/// A message of a user is accepted.
pub fn message_accepted(id: &str) -> EventKind {
    EventKind::MessageAccepted {
        message_id: id.to_owned(),
        idempotency_key: None,
    }
}

/// The first model call of a turn begins.
pub fn model_started() -> EventKind {
    EventKind::ModelStarted {
        step: 0,
        model: "fake".to_owned(),
    }
}

/// A turn ends without an error, and has used nothing.
pub fn turn_ended(status: TurnStatus) -> EventKind {
    EventKind::TurnEnded {
        status,
        usage: Usage::default(),
        error: None,
    }
}

/// A message begins.
pub fn message_started(id: &str, content: Content) -> EventKind {
    EventKind::MessageStarted {
        message_id: id.to_owned(),
        content,
    }
}

/// A text message begins.
pub fn text_started(id: &str) -> EventKind {
    message_started(id, text(""))
}

/// A piece of a text message.
pub fn text_delta(id: &str, delta: &str) -> EventKind {
    EventKind::TextDelta {
        message_id: id.to_owned(),
        delta: delta.to_owned(),
    }
}

/// A message is complete.
pub fn message_done(id: &str, content: Content) -> EventKind {
    EventKind::MessageDone {
        message: message(id, content),
    }
}

/// A text message is complete.
pub fn text_done(id: &str, whole: &str) -> EventKind {
    message_done(id, text(whole))
}

/// A started message is retracted.
pub fn message_reset(id: &str) -> EventKind {
    EventKind::MessageReset {
        message_id: id.to_owned(),
    }
}

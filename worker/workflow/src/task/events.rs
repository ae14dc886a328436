//! The events and messages that the task itself makes. They reach the log by way of the outbox.

use steadfast_agent_loop::{Body, Segment};
use steadfast_contract::outbox::{Pending, TurnEndPlace};
use steadfast_events::{
    Author, Content, Event, EventKind, Message, MessageStatus, TextFormat,
    id::{MessagePlace, message_id},
};
use steadfast_projection::{Scope, is_shown, messages_of};

use super::Task;

impl Task {
    /// Puts an event into the outbox.
    pub fn emit(&mut self, turn: u32, now: jiff::Timestamp, kind: EventKind) {
        let event = self.event(turn, now, kind);
        self.state.outbox.push(Pending::Event(Box::new(event)));
    }

    /// Puts an event that ends the turn into the outbox.
    pub(super) fn emit_end(&mut self, turn: u32, now: jiff::Timestamp, place: TurnEndPlace, kind: EventKind) {
        let event = self.event(turn, now, kind);
        self.state.outbox.push_turn_end(event, place);
    }

    fn event(&self, turn: u32, time: jiff::Timestamp, kind: EventKind) -> Event {
        Event {
            kind,
            turn,
            attempt: 1,
            agent: self.acting_agent().to_owned(),
            path: self.start.path().to_owned(),
            time,
        }
    }

    /// Publishes the messages of a segment.
    pub fn publish(&mut self, segment: &Segment) {
        let Body::Tool { by_task, output, .. } = &segment.body else {
            self.state.outbox.push(Pending::Messages(segment.reference()));
            return;
        };
        let ended = EventKind::ToolEnded {
            tool_call_id: output.call_id.clone(),
            name: output.name.clone(),
            is_error: output.is_error,
        };
        let shown = messages_of(self.scope(), segment);
        if *by_task || shown.is_empty() {
            for message in shown {
                self.emit(segment.turn, segment.at, EventKind::MessageDone { message });
            }
            self.emit(segment.turn, segment.at, ended);
        } else {
            self.state.outbox.push(Pending::Messages(segment.reference()));
        }
    }

    /// Retracts the messages of a segment that people may have seen.
    pub fn retract(&mut self, segment: &Segment, now: jiff::Timestamp) {
        for message in messages_of(self.scope(), segment) {
            let message_id = message.id;
            self.emit(segment.turn, now, EventKind::MessageReset { message_id });
        }
    }

    /// Sends a message to people that the model does not see.
    pub fn send_message(&mut self, turn: u32, now: jiff::Timestamp, content: Content) {
        if let Some(revision) = &self.state.revision
            && !is_shown(&revision.spec, &content)
        {
            return;
        }
        self.state.own_messages += 1;
        let id = message_id(MessagePlace {
            task_id: &self.start.task_id,
            turn,
            call_path: "",
            step: 0,
            part: "own",
            index: self.state.own_messages,
        });
        let message = Message {
            id,
            idempotency_key: None,
            turn,
            agent: self.acting_agent().to_owned(),
            author: Author::Agent,
            content,
            status: MessageStatus::Done,
            created_at: now,
            updated_at: now,
        };
        self.emit(turn, now, EventKind::MessageDone { message });
    }

    /// Sends a text to people that the model does not see.
    pub fn send_text(&mut self, turn: u32, now: jiff::Timestamp, text: impl Into<String>) {
        let content = Content::text(text, TextFormat::Markdown);
        self.send_message(turn, now, content);
    }

    /// Name of the revision whose `stream` settings say what people see.
    pub fn display_revision(&self) -> Option<String> {
        let revision = self.state.revision.as_ref()?;
        Some(revision.name.clone())
    }

    fn scope(&self) -> Scope<'_> {
        Scope {
            task_id: &self.start.task_id,
            agent: self.acting_agent(),
            revision: self.state.revision.as_ref().map(|revision| &revision.spec),
        }
    }
}

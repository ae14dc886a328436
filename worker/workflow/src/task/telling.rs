//! What a task tells people by way of its outbox.

use steadfast_agent_loop::{Body, Segment};
use steadfast_contract::outbox::Pending;
use steadfast_events::{
    Author, Content, Event, EventKind, Message, MessageStatus, TextFormat,
    id::{MessagePlace, message_id},
};
use steadfast_projection::{Scope, is_shown, messages_of};

use super::Task;

impl Task {
    pub fn emit(&mut self, turn: u32, now: jiff::Timestamp, kind: EventKind) {
        let event = Event {
            kind,
            turn,
            attempt: 1,
            agent: self.acting_agent().to_owned(),
            path: self.start.path().to_owned(),
            time: now,
        };
        self.outbox.push(Pending::Event(Box::new(event)));
    }

    /// Sends the messages of a segment to the log.
    pub fn tell_of(&mut self, segment: &Segment) {
        let Body::Tool { by_task, output, .. } = &segment.body else {
            self.outbox.push(Pending::Messages(segment.reference()));
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
            self.outbox.push(Pending::Messages(segment.reference()));
        }
    }

    /// Takes back what people may have seen of a segment.
    pub fn take_back(&mut self, segment: &Segment, now: jiff::Timestamp) {
        for message in messages_of(self.scope(), segment) {
            let message_id = message.id;
            self.emit(segment.turn, now, EventKind::MessageReset { message_id });
        }
    }

    /// Says something to people that is not sent to the model.
    pub fn say(&mut self, turn: u32, now: jiff::Timestamp, content: Content) {
        if let Some(revision) = &self.revision
            && !is_shown(&revision.spec, &content)
        {
            return;
        }
        self.own_messages += 1;
        let id = message_id(MessagePlace {
            task_id: &self.start.task_id,
            turn,
            call_path: "",
            step: 0,
            part: "own",
            index: self.own_messages,
        });
        let message = Message {
            id,
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

    /// The same for a text.
    pub fn say_text(&mut self, turn: u32, now: jiff::Timestamp, text: impl Into<String>) {
        let content = Content::Text {
            text: text.into(),
            format: TextFormat::Markdown,
        };
        self.say(turn, now, content);
    }

    /// Name of the revision that says what people see.
    pub fn shown_by(&self) -> Option<String> {
        let revision = self.revision.as_ref().filter(|_| self.is_complete_run())?;
        Some(revision.name.clone())
    }

    fn scope(&self) -> Scope<'_> {
        Scope {
            task_id: &self.start.task_id,
            agent: self.acting_agent(),
            revision: self.revision.as_ref().map(|revision| &revision.spec),
        }
    }
}

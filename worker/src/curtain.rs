//! What of a model call people see: the agent's stream settings hide some of
//! it, and the text of a guarded answer waits behind it until it may be shown. Pure.

use std::collections::{BTreeMap, BTreeSet};

use steadfast_crds::AgentRevisionSpec;
use steadfast_events::{Content, EventKind, Message};
use steadfast_projection::is_shown;

/// Stands between one model call and its viewers.
pub struct Curtain<'a> {
    revision: &'a AgentRevisionSpec,
    holds_text: bool,
    /// Messages nobody sees.
    hidden: BTreeSet<String>,
    /// Messages that wait, by id.
    held: BTreeMap<String, Option<Message>>,
    /// In the order they began.
    order: Vec<String>,
}

impl<'a> Curtain<'a> {
    /// Text waits where output guardrails are to see it first.
    pub fn new(revision: &'a AgentRevisionSpec) -> Self {
        Self {
            revision,
            holds_text: !revision.guardrails.output.is_empty(),
            hidden: BTreeSet::new(),
            held: BTreeMap::new(),
            order: Vec::new(),
        }
    }

    /// What viewers get of an event.
    pub fn take(&mut self, event: EventKind) -> Option<EventKind> {
        match &event {
            EventKind::MessageStarted { message_id, content } => {
                let (id, content) = (message_id.clone(), content.clone());
                self.place(&id, &content)
            }
            EventKind::MessageDone { message } => {
                let (id, content) = (message.id.clone(), message.content.clone());
                let place = self.place(&id, &content);
                if place == Place::Held {
                    self.held.insert(id, Some(message.clone()));
                }
                place
            }
            EventKind::TextDelta { message_id, .. }
            | EventKind::ReasoningDelta { message_id, .. }
            | EventKind::ReasoningSummaryDelta { message_id, .. }
            | EventKind::ToolArgumentsDelta { message_id, .. } => self.place_of(message_id),
            EventKind::MessageReset { message_id } => {
                let place = self.place_of(message_id);
                self.held.remove(message_id);
                place
            }
            _ => Place::Shown,
        }
        .lets_through()
        .then_some(event)
    }

    /// The messages that waited, finished ones only.
    pub fn release(&mut self) -> Vec<EventKind> {
        let mut held = std::mem::take(&mut self.held);
        let order = std::mem::take(&mut self.order);
        order
            .iter()
            .filter_map(|id| held.remove(id).flatten())
            .map(|message| EventKind::MessageDone { message })
            .collect()
    }

    /// Whether a text waits.
    pub fn holds_something(&self) -> bool {
        !self.held.is_empty()
    }

    fn place(&mut self, id: &str, content: &Content) -> Place {
        if !is_shown(self.revision, content) {
            self.hidden.insert(id.to_owned());
        } else if self.holds_text && matches!(content, Content::Text { .. }) && !self.held.contains_key(id) {
            self.held.insert(id.to_owned(), None);
            self.order.push(id.to_owned());
        }
        self.place_of(id)
    }

    fn place_of(&self, id: &str) -> Place {
        if self.hidden.contains(id) {
            Place::Hidden
        } else if self.held.contains_key(id) {
            Place::Held
        } else {
            Place::Shown
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Shown,
    Held,
    Hidden,
}

impl Place {
    fn lets_through(self) -> bool {
        self == Self::Shown
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;
    use steadfast_events::{Author, MessageStatus, TextFormat};

    use super::*;

    fn revision(more: &serde_json::Value) -> AgentRevisionSpec {
        let mut spec = json!({"agent": "a", "sequence": 1, "model": {"name": "m"}, "taskQueue": "q"});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(spec).unwrap()
    }

    fn text(text: &str) -> Content {
        Content::Text {
            text: text.into(),
            format: TextFormat::Markdown,
        }
    }

    fn started(id: &str, content: Content) -> EventKind {
        EventKind::MessageStarted {
            message_id: id.into(),
            content,
        }
    }

    fn delta(id: &str) -> EventKind {
        EventKind::TextDelta {
            message_id: id.into(),
            delta: "x".into(),
        }
    }

    fn done(id: &str, content: Content) -> EventKind {
        let message = Message {
            id: id.into(),
            turn: 1,
            agent: "a".into(),
            author: Author::Agent,
            content,
            status: MessageStatus::Done,
            created_at: jiff::Timestamp::UNIX_EPOCH,
            updated_at: jiff::Timestamp::UNIX_EPOCH,
        };
        EventKind::MessageDone { message }
    }

    #[test]
    fn a_guarded_text_waits_whole_and_is_released_finished() {
        let revision = revision(&json!({"guardrails": {"output": [{"name": "g", "cel": "false"}]}}));
        let mut curtain = Curtain::new(&revision);
        for event in [started("m", text("")), delta("m"), done("m", text("x"))] {
            assert_eq!(curtain.take(event), None);
        }
        assert!(curtain.holds_something());
        assert_eq!(curtain.release(), [done("m", text("x"))]);
        assert!(!curtain.holds_something());
    }

    #[test]
    fn hidden_tools_and_their_arguments_pass_nobody() {
        let revision = revision(&json!({"stream": {"hiddenTools": ["internal_*"]}}));
        let mut curtain = Curtain::new(&revision);
        let request = |name: &str| Content::ToolRequest {
            tool_call_id: "c".into(),
            name: name.into(),
            arguments: json!({}),
        };
        assert_eq!(curtain.take(started("a", request("internal_x"))), None);
        let arguments = EventKind::ToolArgumentsDelta {
            message_id: "a".into(),
            delta: "{".into(),
        };
        assert_eq!(curtain.take(arguments), None);
        let open = started("b", request("weather"));
        assert_eq!(curtain.take(open.clone()), Some(open));
        assert_eq!(curtain.take(delta("t")), Some(delta("t")));
    }
}

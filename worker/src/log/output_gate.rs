//! Decides which events of a model call viewers get: the agent's stream settings
//! hide messages, and output guardrails withhold texts until they are checked. Pure.

use std::collections::{BTreeMap, BTreeSet};

use steadfast_crds::AgentRevisionSpec;
use steadfast_events::{Content, EventKind, Message};
use steadfast_projection::is_shown;

/// The gate of one model call.
pub(crate) struct OutputGate<'a> {
    revision: &'a AgentRevisionSpec,
    withholds_text: bool,
    /// IDs of the messages that viewers never get.
    hidden: BTreeSet<String>,
    /// The withheld messages by ID, each once it is finished.
    withheld: BTreeMap<String, Option<Message>>,
    /// IDs of the withheld messages in the order in which they started.
    order: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Visibility {
    Visible,
    Withheld,
    Hidden,
}

impl<'a> OutputGate<'a> {
    /// Withholds texts if the revision has output guardrails.
    pub(crate) fn new(revision: &'a AgentRevisionSpec) -> Self {
        Self {
            revision,
            withholds_text: !revision.guardrails.output.is_empty(),
            hidden: BTreeSet::new(),
            withheld: BTreeMap::new(),
            order: Vec::new(),
        }
    }

    /// Returns the event if viewers get it now.
    pub(crate) fn filter(&mut self, event: EventKind) -> Option<EventKind> {
        let visibility = match &event {
            EventKind::MessageStarted { message_id, content } => self.classify(message_id, content),
            EventKind::MessageDone { message } => self.classify(&message.id, &message.content),
            EventKind::TextDelta { message_id, .. }
            | EventKind::ReasoningDelta { message_id, .. }
            | EventKind::ReasoningSummaryDelta { message_id, .. }
            | EventKind::ToolArgumentsDelta { message_id, .. } => self.visibility(message_id),
            EventKind::MessageReset { message_id } => {
                let visibility = self.visibility(message_id);
                self.withheld.remove(message_id);
                visibility
            }
            _ => Visibility::Visible,
        };
        match (visibility, event) {
            (Visibility::Visible, event) => Some(event),
            (Visibility::Withheld, EventKind::MessageDone { message }) => {
                self.withheld.insert(message.id.clone(), Some(message));
                None
            }
            (Visibility::Withheld | Visibility::Hidden, _) => None,
        }
    }

    /// Releases the withheld messages that are finished.
    pub(crate) fn release(&mut self) -> Vec<EventKind> {
        let mut withheld = std::mem::take(&mut self.withheld);
        let order = std::mem::take(&mut self.order);
        order
            .iter()
            .filter_map(|id| withheld.remove(id).flatten())
            .map(|message| EventKind::MessageDone { message })
            .collect()
    }

    pub(crate) fn withholds_any(&self) -> bool {
        !self.withheld.is_empty()
    }

    /// The visibility of a message by its content.
    fn classify(&mut self, id: &str, content: &Content) -> Visibility {
        if !is_shown(self.revision, content) {
            self.hidden.insert(id.to_owned());
        } else if self.withholds_text && matches!(content, Content::Text { .. }) && !self.withheld.contains_key(id) {
            self.withheld.insert(id.to_owned(), None);
            self.order.push(id.to_owned());
        }
        self.visibility(id)
    }

    fn visibility(&self, id: &str) -> Visibility {
        if self.hidden.contains(id) {
            Visibility::Hidden
        } else if self.withheld.contains_key(id) {
            Visibility::Withheld
        } else {
            Visibility::Visible
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use steadfast_events::{Author, MessageStatus, TextFormat};

    use super::*;

    fn revision(more: &serde_json::Value) -> AgentRevisionSpec {
        let mut spec = json!({"agent": "a", "sequence": 1, "model": {"name": "m"}, "taskQueue": "q"});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(spec).unwrap()
    }

    fn text(text: &str) -> Content {
        Content::text(text, TextFormat::Markdown)
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
            idempotency_key: None,
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
    fn a_text_under_output_guardrails_is_withheld_and_released_when_finished() {
        let revision = revision(&json!({"guardrails": {"output": [{"name": "g", "cel": "false"}]}}));
        let mut gate = OutputGate::new(&revision);
        for event in [started("m", text("")), delta("m"), done("m", text("x"))] {
            assert_eq!(gate.filter(event), None);
        }
        assert!(gate.withholds_any());
        assert_eq!(gate.release(), [done("m", text("x"))]);
        assert!(!gate.withholds_any());
    }

    #[test]
    fn hidden_tools_and_their_arguments_are_not_shown() {
        let revision = revision(&json!({"stream": {"hiddenTools": ["internal_*"]}}));
        let mut gate = OutputGate::new(&revision);
        let request = |name: &str| Content::ToolRequest {
            tool_call_id: "c".into(),
            name: name.into(),
            arguments: json!({}),
        };
        assert_eq!(gate.filter(started("a", request("internal_x"))), None);
        let arguments = EventKind::ToolArgumentsDelta {
            message_id: "a".into(),
            delta: "{".into(),
        };
        assert_eq!(gate.filter(arguments), None);
        let open = started("b", request("weather"));
        assert_eq!(gate.filter(open.clone()), Some(open));
        assert_eq!(gate.filter(delta("t")), Some(delta("t")));
    }
}

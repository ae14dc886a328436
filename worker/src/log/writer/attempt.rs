//! The messages that one attempt of an activity has published, so that they can
//! be published again or retracted. Pure.

use steadfast_events::{EventKind, Message};

/// The messages of one attempt, as viewers have them.
#[derive(Default)]
pub(super) struct AttemptMessages {
    open: Vec<OpenMessage>,
    finished: Vec<Message>,
}

struct OpenMessage {
    id: String,
    started: EventKind,
    deltas: Vec<EventKind>,
}

impl AttemptMessages {
    /// Applies an event that is published.
    pub(super) fn apply(&mut self, event: &EventKind) {
        match event {
            EventKind::MessageStarted { message_id, .. } => {
                self.open.push(OpenMessage {
                    id: message_id.clone(),
                    started: event.clone(),
                    deltas: Vec::new(),
                });
            }
            EventKind::MessageDone { message } => {
                self.open.retain(|open| open.id != message.id);
                self.finished.push(message.clone());
            }
            EventKind::MessageReset { message_id } => {
                self.open.retain(|open| open.id != *message_id);
                self.finished.retain(|finished| finished.id != *message_id);
            }
            _ => {
                let Some(id) = delta_target(event) else { return };
                if let Some(open) = self.open.iter_mut().find(|open| open.id == id)
                    && !open.deltas.last_mut().is_some_and(|last| merge(last, event))
                {
                    open.deltas.push(event.clone());
                }
            }
        }
    }

    /// The events that retract every message.
    pub(super) fn retractions(&self) -> Vec<EventKind> {
        let ids = self
            .finished
            .iter()
            .map(|finished| &finished.id)
            .chain(self.open.iter().map(|open| &open.id));
        ids.map(|id| EventKind::MessageReset { message_id: id.clone() })
            .collect()
    }

    /// The events that publish the open messages again, with all their text.
    pub(super) fn republish_open(&self) -> Vec<EventKind> {
        let mut events = Vec::new();
        for open in &self.open {
            events.push(EventKind::MessageReset {
                message_id: open.id.clone(),
            });
            events.push(open.started.clone());
            events.extend(open.deltas.iter().cloned());
        }
        events
    }

    /// The events that publish all messages again.
    pub(super) fn republish_all(&self) -> Vec<EventKind> {
        let finished = self.finished.iter().map(|message| EventKind::MessageDone {
            message: message.clone(),
        });
        finished.chain(self.republish_open()).collect()
    }
}

/// Drops the deltas and the starts of messages; [`AttemptMessages::republish_open`] replaces them.
pub(super) fn without_deltas(events: Vec<EventKind>) -> Vec<EventKind> {
    events
        .into_iter()
        .filter(|event| delta_target(event).is_none() && !matches!(event, EventKind::MessageStarted { .. }))
        .collect()
}

/// Whether an event belongs to a message of the attempt.
pub(super) fn belongs_to_message(event: &EventKind) -> bool {
    delta_target(event).is_some()
        || matches!(
            event,
            EventKind::MessageStarted { .. } | EventKind::MessageDone { .. } | EventKind::MessageReset { .. }
        )
}

/// The ID of the message that a delta belongs to.
fn delta_target(event: &EventKind) -> Option<&str> {
    match event {
        EventKind::TextDelta { message_id, .. }
        | EventKind::ReasoningDelta { message_id, .. }
        | EventKind::ReasoningSummaryDelta { message_id, .. }
        | EventKind::ToolArgumentsDelta { message_id, .. } => Some(message_id),
        _ => None,
    }
}

/// Appends a delta to the delta before it, if both belong to the same text.
pub(super) fn merge(last: &mut EventKind, next: &EventKind) -> bool {
    match (last, next) {
        (
            EventKind::TextDelta { message_id: a, delta },
            EventKind::TextDelta {
                message_id: b,
                delta: more,
            },
        )
        | (
            EventKind::ToolArgumentsDelta { message_id: a, delta },
            EventKind::ToolArgumentsDelta {
                message_id: b,
                delta: more,
            },
        ) if a == b => {
            delta.push_str(more);
            true
        }
        (
            EventKind::ReasoningDelta {
                message_id: a,
                index: i,
                delta,
            },
            EventKind::ReasoningDelta {
                message_id: b,
                index: j,
                delta: more,
            },
        )
        | (
            EventKind::ReasoningSummaryDelta {
                message_id: a,
                index: i,
                delta,
            },
            EventKind::ReasoningSummaryDelta {
                message_id: b,
                index: j,
                delta: more,
            },
        ) if a == b && i == j => {
            delta.push_str(more);
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use steadfast_events::{Content, TextFormat};

    use super::*;

    fn delta(id: &str, text: &str) -> EventKind {
        EventKind::TextDelta {
            message_id: id.into(),
            delta: text.into(),
        }
    }

    fn started(id: &str) -> EventKind {
        let content = Content::text("", TextFormat::Markdown);
        EventKind::MessageStarted {
            message_id: id.into(),
            content,
        }
    }

    #[test]
    fn consecutive_deltas_of_one_message_are_merged() {
        let mut last = delta("a", "Hel");
        assert!(merge(&mut last, &delta("a", "lo")));
        assert_eq!(last, delta("a", "Hello"));
        assert!(!merge(&mut last, &delta("b", "!")));
    }

    #[test]
    fn an_open_message_is_republished_with_all_its_text() {
        let mut messages = AttemptMessages::default();
        for event in [started("a"), delta("a", "Hel"), delta("a", "lo")] {
            messages.apply(&event);
        }
        assert_eq!(
            messages.republish_open(),
            [
                EventKind::MessageReset { message_id: "a".into() },
                started("a"),
                delta("a", "Hello")
            ]
        );
    }

    #[test]
    fn only_events_that_are_republished_are_dropped() {
        let kept = without_deltas(vec![
            started("a"),
            delta("a", "x"),
            steadfast_events::testing::model_started(),
        ]);
        assert_eq!(kept, [steadfast_events::testing::model_started()]);
    }
}

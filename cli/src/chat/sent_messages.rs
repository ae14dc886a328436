//! Tracks the messages that this program sent until their turns end. Pure.

use std::collections::BTreeMap;

use steadfast_events::{Author, Event, EventKind, Message, TaskStatus};

/// The effect of an event on the conversation, beyond its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    None,
    /// A turn ended that answered a message of this program.
    OwnTurnEnded,
    /// A turn ended that answered messages of other senders.
    OtherTurnEnded,
    /// The task rejected a message of this program, for this reason.
    MessageRejected(String),
    /// The task accepts no more messages. The text is its final status.
    TaskEnded(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MessageState {
    /// The log does not mention the message yet.
    Sent,
    /// Accepted, and waiting for the next turn.
    Queued,
    InTurn(u32),
}

/// The messages of this program whose turns have not ended, by idempotency key.
#[derive(Debug, Default)]
pub(crate) struct SentMessages {
    open: BTreeMap<String, MessageState>,
    first_turn: Option<u32>,
    task_ended: bool,
}

impl SentMessages {
    pub(crate) fn add(&mut self, key: &str) {
        self.open.insert(key.to_owned(), MessageState::Sent);
    }

    pub(crate) fn all_answered(&self) -> bool {
        self.open.is_empty()
    }

    pub(crate) fn task_ended(&self) -> bool {
        self.task_ended
    }

    /// The turn of the first message of this program, once it is known.
    pub(crate) fn first_turn(&self) -> Option<u32> {
        self.first_turn
    }

    pub(crate) fn apply(&mut self, event: &Event) -> Effect {
        if !event.path.is_empty() {
            // A turn of a nested agent is not a turn of the conversation.
            return Effect::None;
        }
        match &event.kind {
            EventKind::MessageDone { message } => {
                self.apply_message(message);
                Effect::None
            }
            EventKind::TurnStarted {} => {
                for key in self.keys(|state| state == MessageState::Queued) {
                    self.set_turn(key, event.turn);
                }
                Effect::None
            }
            EventKind::TurnEnded { .. } => {
                let answered = self.keys(|state| matches!(state, MessageState::InTurn(turn) if turn <= event.turn));
                for key in &answered {
                    self.open.remove(key);
                }
                if answered.is_empty() {
                    Effect::OtherTurnEnded
                } else {
                    Effect::OwnTurnEnded
                }
            }
            EventKind::MessageRejected {
                idempotency_key: Some(key),
                reason,
                ..
            } => match self.open.remove(key) {
                Some(_) => Effect::MessageRejected(reason.clone()),
                None => Effect::None,
            },
            EventKind::TaskUpdated { status, .. } => match final_status(*status) {
                Some(text) => {
                    self.task_ended = true;
                    self.open.clear();
                    Effect::TaskEnded(text)
                }
                None => Effect::None,
            },
            _ => Effect::None,
        }
    }

    /// Reads the turn of a message from the log.
    pub(crate) fn apply_message(&mut self, message: &Message) {
        if message.author == Author::User
            && let Some(key) = &message.idempotency_key
            && self.open.contains_key(key)
        {
            self.set_turn(key.clone(), message.turn);
        }
    }

    /// Turn 0 means that the message waits for the next turn.
    fn set_turn(&mut self, key: String, turn: u32) {
        if turn == 0 {
            self.open.insert(key, MessageState::Queued);
        } else {
            self.open.insert(key, MessageState::InTurn(turn));
            self.first_turn.get_or_insert(turn);
        }
    }

    fn keys(&self, is_selected: impl Fn(MessageState) -> bool) -> Vec<String> {
        self.open
            .iter()
            .filter(|(_, state)| is_selected(**state))
            .map(|(key, _)| key.clone())
            .collect()
    }
}

fn final_status(status: TaskStatus) -> Option<&'static str> {
    match status {
        TaskStatus::Running => None,
        TaskStatus::Completed => Some("completed"),
        TaskStatus::Failed => Some("failed"),
        TaskStatus::Canceled => Some("canceled"),
        TaskStatus::Terminated => Some("terminated"),
        TaskStatus::TimedOut => Some("timed out"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn event(mut event: Value, turn: u32) -> Event {
        event["turn"] = json!(turn);
        event["time"] = json!("2026-11-23T00:00:00Z");
        serde_json::from_value(event).unwrap()
    }

    fn user_message(key: &str, turn: u32) -> Event {
        let message = json!({
            "id": "derived", "idempotency_key": key, "turn": turn, "agent": "a", "author": "user", "content": {"type": "text", "text": "hi"}, "status": "done",
            "created_at": "2026-11-23T00:00:00Z", "updated_at": "2026-11-23T00:00:00Z",
        });
        event(json!({"type": "message_done", "message": message}), turn)
    }

    fn turn_ended(turn: u32) -> Event {
        event(json!({"type": "turn_ended", "status": "completed"}), turn)
    }

    #[test]
    fn a_message_is_open_until_its_own_turn_ends() {
        let mut sent = SentMessages::default();
        sent.add("m");
        assert_eq!(sent.apply(&turn_ended(1)), Effect::OtherTurnEnded);
        sent.apply(&user_message("m", 2));
        assert!(!sent.all_answered());
        assert_eq!(sent.first_turn(), Some(2));
        assert_eq!(sent.apply(&turn_ended(2)), Effect::OwnTurnEnded);
        assert!(sent.all_answered());
    }

    #[test]
    fn a_turn_of_a_nested_agent_answers_no_message() {
        let mut sent = SentMessages::default();
        sent.add("m");
        sent.apply(&user_message("m", 1));
        let nested = |event: Event| Event {
            path: "1.0.0".to_owned(),
            ..event
        };
        assert_eq!(sent.apply(&nested(turn_ended(1))), Effect::None);
        let ended = json!({"type": "task_updated", "status": "completed"});
        assert_eq!(sent.apply(&nested(event(ended, 0))), Effect::None);
        assert!(!sent.all_answered() && !sent.task_ended());
    }

    #[test]
    fn a_queued_message_belongs_to_the_next_turn_that_starts() {
        let mut sent = SentMessages::default();
        sent.add("m");
        sent.apply(&user_message("m", 0));
        assert_eq!(sent.apply(&turn_ended(1)), Effect::OtherTurnEnded);
        sent.apply(&event(json!({"type": "turn_started"}), 2));
        assert_eq!(sent.apply(&turn_ended(2)), Effect::OwnTurnEnded);
    }

    #[test]
    fn a_rejected_message_is_not_open() {
        let mut sent = SentMessages::default();
        sent.add("m");
        let rejected = json!({"type": "message_rejected", "message_id": "derived", "idempotency_key": "m", "reason": "task is completed"});
        assert_eq!(
            sent.apply(&event(rejected, 0)),
            Effect::MessageRejected("task is completed".to_owned())
        );
        assert!(sent.all_answered());
    }

    #[test]
    fn no_message_is_open_after_the_task_ended() {
        let mut sent = SentMessages::default();
        sent.add("m");
        let updated = json!({"type": "task_updated", "status": "canceled"});
        assert_eq!(sent.apply(&event(updated, 0)), Effect::TaskEnded("canceled"));
        assert!(sent.all_answered() && sent.task_ended());
    }
}

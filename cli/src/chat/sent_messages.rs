//! Follows the messages that were sent from here through their turns. Pure.

use std::collections::BTreeMap;

use steadfast_events::{Author, Event, EventKind, Message, TaskStatus};

/// What an event meant for the person at the terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing but its content.
    None,
    /// A turn ended that answered a message from here.
    OwnTurnEnded,
    /// Some other turn ended.
    OtherTurnEnded,
    /// A message from here was not taken.
    Rejected(String),
    /// The task takes no more messages.
    TaskEnded(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Sent; the task has not spoken of it yet.
    Sent,
    /// Taken; it waits for its turn.
    Queued,
    InTurn(u32),
}

/// Which messages from here still wait for their turn to end.
#[derive(Debug, Default)]
pub struct Progress {
    waiting: BTreeMap<String, Place>,
    first_turn: Option<u32>,
    task_ended: bool,
}

impl Progress {
    pub fn sent(&mut self, message_id: &str) {
        self.waiting.insert(message_id.to_owned(), Place::Sent);
    }

    /// Whether nothing sent from here is unanswered.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn task_ended(&self) -> bool {
        self.task_ended
    }

    /// The turn of the first message from here, once it is known.
    pub fn first_turn(&self) -> Option<u32> {
        self.first_turn
    }

    /// Takes in the next event of the log.
    pub fn take(&mut self, event: &Event) -> Step {
        if !event.path.is_empty() {
            // The turns of an agent that works for another are no turns of the conversation.
            return Step::None;
        }
        match &event.kind {
            EventKind::MessageDone { message } => {
                self.take_message(message);
                Step::None
            }
            EventKind::TurnStarted {} => {
                let queued: Vec<String> = self.ids(|place| place == Place::Queued);
                for id in queued {
                    self.place(id, event.turn);
                }
                Step::None
            }
            EventKind::TurnEnded { .. } => {
                let answered = self.ids(|place| matches!(place, Place::InTurn(turn) if turn <= event.turn));
                for id in &answered {
                    self.waiting.remove(id);
                }
                if answered.is_empty() {
                    Step::OtherTurnEnded
                } else {
                    Step::OwnTurnEnded
                }
            }
            EventKind::MessageRejected { message_id, reason } => match self.waiting.remove(message_id) {
                Some(_) => Step::Rejected(reason.clone()),
                None => Step::None,
            },
            EventKind::TaskUpdated { status, .. } => match ended(*status) {
                Some(text) => {
                    self.task_ended = true;
                    self.waiting.clear();
                    Step::TaskEnded(text)
                }
                None => Step::None,
            },
            _ => Step::None,
        }
    }

    /// Takes in a message of the log, which tells the turn of what was sent from here.
    pub fn take_message(&mut self, message: &Message) {
        if message.author == Author::User && self.waiting.contains_key(&message.id) {
            self.place(message.id.clone(), message.turn);
        }
    }

    /// Turn 0 is the time before the first turn and between turns.
    fn place(&mut self, message_id: String, turn: u32) {
        if turn == 0 {
            self.waiting.insert(message_id, Place::Queued);
        } else {
            self.waiting.insert(message_id, Place::InTurn(turn));
            self.first_turn.get_or_insert(turn);
        }
    }

    fn ids(&self, chosen: impl Fn(Place) -> bool) -> Vec<String> {
        self.waiting
            .iter()
            .filter(|(_, place)| chosen(**place))
            .map(|(id, _)| id.clone())
            .collect()
    }
}

fn ended(status: TaskStatus) -> Option<&'static str> {
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
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::{Value, json};

    use super::*;

    fn event(mut event: Value, turn: u32) -> Event {
        event["turn"] = json!(turn);
        event["time"] = json!("2026-11-23T00:00:00Z");
        serde_json::from_value(event).unwrap()
    }

    fn user_message(id: &str, turn: u32) -> Event {
        let message = json!({
            "id": id, "turn": turn, "agent": "a", "author": "user", "content": {"type": "text", "text": "hi"}, "status": "done",
            "created_at": "2026-11-23T00:00:00Z", "updated_at": "2026-11-23T00:00:00Z",
        });
        event(json!({"type": "message_done", "message": message}), turn)
    }

    fn turn_ended(turn: u32) -> Event {
        event(json!({"type": "turn_ended", "status": "completed"}), turn)
    }

    #[test]
    fn a_message_waits_for_the_end_of_its_own_turn() {
        let mut progress = Progress::default();
        progress.sent("m");
        assert_eq!(progress.take(&turn_ended(1)), Step::OtherTurnEnded);
        progress.take(&user_message("m", 2));
        assert!(!progress.is_idle());
        assert_eq!(progress.first_turn(), Some(2));
        assert_eq!(progress.take(&turn_ended(2)), Step::OwnTurnEnded);
        assert!(progress.is_idle());
    }

    #[test]
    fn the_turns_of_an_agent_that_works_for_another_answer_nobody() {
        let mut progress = Progress::default();
        progress.sent("m");
        progress.take(&user_message("m", 1));
        let nested = |event: Event| Event {
            path: "1.0.0".to_owned(),
            ..event
        };
        assert_eq!(progress.take(&nested(turn_ended(1))), Step::None);
        let ended = json!({"type": "task_updated", "status": "completed"});
        assert_eq!(progress.take(&nested(event(ended, 0))), Step::None);
        assert!(!progress.is_idle() && !progress.task_ended());
    }

    #[test]
    fn a_queued_message_belongs_to_the_next_turn_that_starts() {
        let mut progress = Progress::default();
        progress.sent("m");
        progress.take(&user_message("m", 0));
        assert_eq!(progress.take(&turn_ended(1)), Step::OtherTurnEnded);
        progress.take(&event(json!({"type": "turn_started"}), 2));
        assert_eq!(progress.take(&turn_ended(2)), Step::OwnTurnEnded);
    }

    #[test]
    fn a_rejected_message_is_waited_for_no_longer() {
        let mut progress = Progress::default();
        progress.sent("m");
        let rejected = json!({"type": "message_rejected", "message_id": "m", "reason": "task is completed"});
        assert_eq!(
            progress.take(&event(rejected, 0)),
            Step::Rejected("task is completed".to_owned())
        );
        assert!(progress.is_idle());
    }

    #[test]
    fn an_ended_task_leaves_nothing_to_wait_for() {
        let mut progress = Progress::default();
        progress.sent("m");
        let updated = json!({"type": "task_updated", "status": "canceled"});
        assert_eq!(progress.take(&event(updated, 0)), Step::TaskEnded("canceled"));
        assert!(progress.is_idle() && progress.task_ended());
    }
}

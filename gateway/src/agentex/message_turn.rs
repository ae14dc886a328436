//! The turn that answers a message, as `message/send` of Agentex streams it: the updates of the
//! agent's messages, each with the number of its message in the answer. Pure.

use serde_json::value::{RawValue, to_raw_value};
use steadfast_events::{Author, Event, EventKind, Message, TurnError, TurnStatus};

use super::{
    frames::{AgentexFrames, changed_message},
    wire::{Frame, Task},
};
use crate::turn_writer::TurnWriter;

/// The turn of one message.
#[derive(Debug)]
pub(crate) struct MessageTurn {
    message_id: String,
    /// Known once the task has accepted the message.
    turn: Option<u32>,
    frames: AgentexFrames,
    /// The messages of the answer, in the order in which they began.
    order: Vec<String>,
    end: Option<TurnEnd>,
}

/// How the turn ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TurnEnd {
    pub(crate) status: TurnStatus,
    pub(crate) error: Option<TurnError>,
}

impl MessageTurn {
    pub(crate) fn new(message_id: impl Into<String>, task: Task) -> Self {
        Self {
            message_id: message_id.into(),
            turn: None,
            frames: AgentexFrames::new(task),
            order: Vec::new(),
            end: None,
        }
    }

    /// Why the answer is not what was asked for; `None` for a turn that completed.
    pub(crate) fn failure(&self) -> Option<String> {
        let TurnEnd { status, error } = self.end.as_ref()?;
        match (status, error) {
            (TurnStatus::Completed, _) => None,
            (_, Some(error)) => Some(format!("{}: {}", error.category, error.message)),
            (TurnStatus::Interrupted, None) => Some("the turn was interrupted".to_owned()),
            (TurnStatus::Canceled, None) => Some("the task was canceled".to_owned()),
            (_, None) => Some("the turn failed".to_owned()),
        }
    }

    /// The agent's messages of the turn, oldest first.
    pub(crate) fn answer<'a>(&self, messages: &'a [Message]) -> Vec<&'a Message> {
        let turn = self.turn.or_else(|| turn_of(&self.message_id, messages));
        messages
            .iter()
            .filter(|message| Some(message.turn) == turn && message.author == Author::Agent)
            .collect()
    }

    /// The updates of an event of the turn.
    fn write(&mut self, event: &Event) -> Vec<Box<RawValue>> {
        let message_id = match &event.kind {
            EventKind::MessageStarted { message_id, .. } => message_id.as_str(),
            EventKind::MessageDone { message } if message.author == Author::Agent => &message.id,
            kind => match changed_message(kind) {
                Some(message_id) => message_id,
                None => return Vec::new(),
            },
        };
        let index = number_of(&mut self.order, message_id);
        let frames = self.frames.frames(event).into_iter().flatten();
        frames.filter_map(|frame| written(frame, index)).collect()
    }
}

impl TurnWriter for MessageTurn {
    /// A `TaskMessageUpdate`.
    type Event = Box<RawValue>;

    fn apply(&mut self, event: &Event) -> Vec<Box<RawValue>> {
        if self.end.is_some() || !event.path.is_empty() {
            return Vec::new();
        }
        match &event.kind {
            EventKind::MessageAccepted { message_id, .. } if *message_id == self.message_id => {
                self.turn = Some(event.turn);
            }
            EventKind::MessageRejected { message_id, reason, .. } if *message_id == self.message_id => {
                self.end = Some(TurnEnd {
                    status: TurnStatus::Failed,
                    error: Some(TurnError {
                        category: "message_rejected".to_owned(),
                        message: reason.clone(),
                    }),
                });
            }
            EventKind::TurnEnded { status, error, .. } if self.turn == Some(event.turn) => {
                self.end = Some(TurnEnd {
                    status: *status,
                    error: error.clone(),
                });
            }
            _ if self.turn == Some(event.turn) => return self.write(event),
            _ => {}
        }
        Vec::new()
    }

    fn catch_up(&mut self, messages: &[Message], turn_end: Option<&Event>) -> Vec<Box<RawValue>> {
        if self.end.is_some() {
            return Vec::new();
        }
        self.turn = self.turn.or_else(|| turn_of(&self.message_id, messages));
        let mut updates = Vec::new();
        for message in self.answer(messages) {
            let index = number_of(&mut self.order, &message.id);
            let frames = self.frames.catch_up(message).into_iter().flatten();
            updates.extend(frames.filter_map(|frame| written(frame, index)));
        }
        if let Some(event) = turn_end {
            updates.extend(self.apply(event));
        }
        // A later turn has begun: this one has ended.
        if self
            .turn
            .is_some_and(|turn| messages.iter().any(|message| message.turn > turn))
        {
            self.end_unseen(TurnStatus::Completed);
        }
        updates
    }

    fn end_unseen(&mut self, status: TurnStatus) -> Vec<Box<RawValue>> {
        self.end.get_or_insert(TurnEnd { status, error: None });
        Vec::new()
    }

    fn has_ended(&self) -> bool {
        self.end.is_some()
    }
}

fn turn_of(message_id: &str, messages: &[Message]) -> Option<u32> {
    let is_asked = |message: &&Message| message.author == Author::User && message.id == message_id;
    messages.iter().find(is_asked).map(|message| message.turn)
}

/// The number of a message in the answer, from 0.
fn number_of(order: &mut Vec<String>, message_id: &str) -> u32 {
    let place = order.iter().position(|known| known == message_id);
    let place = place.unwrap_or_else(|| {
        order.push(message_id.to_owned());
        order.len() - 1
    });
    u32::try_from(place).unwrap_or(u32::MAX)
}

fn written(frame: Frame<'_>, index: u32) -> Option<Box<RawValue>> {
    to_raw_value(&frame.numbered(index)).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use steadfast_events::testing;

    use super::*;
    use crate::task;

    fn turn() -> MessageTurn {
        MessageTurn::new("asked", task::testing::task().to_wire(None))
    }

    fn in_turn(turn: u32, kind: EventKind) -> Event {
        Event {
            turn,
            ..testing::event(kind)
        }
    }

    /// Type, number and id of the message of each update.
    fn outline(updates: &[Box<RawValue>]) -> Vec<(String, u64, String)> {
        let values = updates
            .iter()
            .map(|update| serde_json::from_str::<Value>(update.get()).unwrap());
        let outline = values.map(|update| {
            let text = |at: &str| {
                update
                    .pointer(at)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
            };
            let index = update["index"].as_u64().unwrap();
            (text("/type"), index, text("/parent_task_message/id"))
        });
        outline.collect()
    }

    fn told(of: &mut MessageTurn, events: impl IntoIterator<Item = Event>) -> Vec<(String, u64, String)> {
        let updates: Vec<Box<RawValue>> = events.into_iter().flat_map(|event| of.apply(&event)).collect();
        outline(&updates)
    }

    #[test]
    fn only_the_answer_to_the_message_is_told_and_its_messages_are_numbered() {
        let mut turn = turn();
        let told = told(
            &mut turn,
            [
                in_turn(1, testing::message_accepted("another")),
                in_turn(1, testing::text_started("earlier")),
                in_turn(1, testing::turn_ended(TurnStatus::Completed)),
                in_turn(2, testing::message_accepted("asked")),
                in_turn(2, testing::text_started("a")),
                in_turn(2, testing::text_delta("a", "It")),
                in_turn(2, testing::text_done("a", "It is")),
                in_turn(2, testing::text_started("b")),
                in_turn(2, testing::turn_ended(TurnStatus::Completed)),
                in_turn(3, testing::text_started("later")),
            ],
        );
        let update = |kind: &str, index, id: &str| (kind.to_owned(), index, format!("t.{id}"));
        assert_eq!(
            told,
            [
                update("start", 0, "a"),
                update("delta", 0, "a"),
                update("full", 0, "a"),
                update("done", 0, "a"),
                update("start", 1, "b"),
            ]
        );
        assert!(turn.has_ended());
        assert_eq!(turn.failure(), None);
    }

    #[test]
    fn a_message_that_was_rejected_and_a_turn_that_failed_say_why() {
        let mut rejected = turn();
        rejected.apply(&in_turn(
            1,
            EventKind::MessageRejected {
                message_id: "asked".to_owned(),
                idempotency_key: None,
                reason: "the queue is full".to_owned(),
            },
        ));
        assert_eq!(
            rejected.failure().as_deref(),
            Some("message_rejected: the queue is full")
        );
        let mut failed = turn();
        told(
            &mut failed,
            [
                in_turn(1, testing::message_accepted("asked")),
                in_turn(1, testing::turn_ended(TurnStatus::Interrupted)),
            ],
        );
        assert_eq!(failed.failure().as_deref(), Some("the turn was interrupted"));
    }

    #[test]
    fn all_messages_after_a_loss_tell_what_was_missed_once() {
        let mut turn = turn();
        told(
            &mut turn,
            [
                in_turn(1, testing::message_accepted("asked")),
                in_turn(1, testing::text_started("a")),
                in_turn(1, testing::text_done("a", "One")),
            ],
        );
        let message = |id: &str, author| Message {
            turn: 1,
            author,
            ..testing::message(
                id,
                serde_json::from_value(json!({"type": "text", "text": "x", "format": "plain"})).unwrap(),
            )
        };
        let messages = [
            message("asked", Author::User),
            message("a", Author::Agent),
            message("b", Author::Agent),
        ];
        let updates = turn.catch_up(&messages, Some(&in_turn(1, testing::turn_ended(TurnStatus::Completed))));
        let of_b = |kind: &str| (kind.to_owned(), 1, "t.b".to_owned());
        assert_eq!(outline(&updates), [of_b("full"), of_b("done")]);
        assert!(turn.has_ended());
        assert_eq!(turn.answer(&messages).len(), 2);
    }
}

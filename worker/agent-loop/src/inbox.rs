//! Decides what becomes of each message that a task receives: accepted with a turn of its own, a
//! duplicate, or rejected. The workflow decides with it, and whoever reads the workflow's history
//! repeats the same decisions. Pure.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::transcript::{Body, Segment, UserContent};

/// Message ids that are remembered for deduplication.
const REMEMBERED_MESSAGE_IDS: usize = 1_000;

/// A message that was accepted and waits for its turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueuedMessage {
    pub turn: u32,
    pub message_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    pub content: UserContent,
    /// Who sent it; empty when anonymous.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sender: String,
    pub at: jiff::Timestamp,
}

impl QueuedMessage {
    /// The segment that the message becomes. Its reference is known from the moment of acceptance.
    pub fn to_segment(&self) -> Segment {
        Segment {
            turn: self.turn,
            step: 0,
            at: self.at,
            body: Body::User {
                message_id: self.message_id.clone(),
                idempotency_key: self.idempotency_key.clone(),
                content: self.content.clone(),
                sender: self.sender.clone(),
            },
        }
    }

    /// The message of a user segment; `None` for any other segment.
    pub fn from_segment(segment: Segment) -> Option<Self> {
        match segment.body {
            Body::User {
                message_id,
                idempotency_key,
                content,
                sender,
            } => Some(Self {
                turn: segment.turn,
                message_id,
                idempotency_key,
                content,
                sender,
                at: segment.at,
            }),
            _ => None,
        }
    }
}

/// A message as it arrives.
#[derive(Clone, Debug, PartialEq)]
pub struct NewMessage {
    /// The same id counts once.
    pub id: String,
    /// The idempotency key under which its sender sent it.
    pub idempotency_key: Option<String>,
    /// `None` for content that a user may not send.
    pub content: Option<UserContent>,
    /// Who sent it; empty when anonymous.
    pub sender: String,
    pub at: jiff::Timestamp,
}

/// By what the inbox decides whether it accepts a message that is new to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The limits in force: how many messages may wait, without limit when `None`.
    Limits { max_queued: Option<usize> },
    /// What the task itself decided, read from its history.
    Recorded(Recorded),
}

/// A recorded decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    Accepted,
    Rejected,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Receipt {
    /// It waits for its turn.
    Accepted(QueuedMessage),
    /// A message with this id was accepted before.
    Duplicate,
    Rejected(Rejection),
}

/// Why a message was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("a message needs text that is not empty, an attachment, or data")]
    Content,
    #[error("the task is being completed and accepts no more messages")]
    Completing,
    #[error("{queued} messages wait already (limits.maxQueuedMessages); send it again when the agent has answered")]
    QueueFull { queued: usize },
    /// The task rejected it when it ran; its own words stand in the log.
    #[error("the task rejected the message")]
    Recorded,
}

/// The messages of a task: how many were accepted, which wait, which ids are known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Inbox {
    /// Each accepted message is a turn.
    turns_accepted: u32,
    queue: VecDeque<QueuedMessage>,
    /// Ids of the messages accepted lately, oldest first.
    seen_message_ids: VecDeque<String>,
    #[serde(default)]
    complete_requested: bool,
}

impl Inbox {
    /// Takes in a message. A rejected one may be sent again under the same id.
    pub fn receive(&mut self, message: NewMessage, admission: Admission) -> Receipt {
        if self.seen_message_ids.contains(&message.id) {
            return Receipt::Duplicate;
        }
        let Some(content) = message.content else {
            return Receipt::Rejected(Rejection::Content);
        };
        if let Some(rejection) = self.rejection(admission) {
            return Receipt::Rejected(rejection);
        }
        self.seen_message_ids.push_back(message.id.clone());
        if self.seen_message_ids.len() > REMEMBERED_MESSAGE_IDS {
            self.seen_message_ids.pop_front();
        }
        self.turns_accepted += 1;
        let queued = QueuedMessage {
            turn: self.turns_accepted,
            message_id: message.id,
            idempotency_key: message.idempotency_key,
            content,
            sender: message.sender,
            at: message.at,
        };
        self.queue.push_back(queued.clone());
        Receipt::Accepted(queued)
    }

    fn rejection(&self, admission: Admission) -> Option<Rejection> {
        match admission {
            Admission::Recorded(Recorded::Accepted) => None,
            Admission::Recorded(Recorded::Rejected) => Some(Rejection::Recorded),
            Admission::Limits { .. } if self.complete_requested => Some(Rejection::Completing),
            Admission::Limits { max_queued } => {
                let queued = self.queue.len();
                max_queued
                    .is_some_and(|limit| queued >= limit)
                    .then_some(Rejection::QueueFull { queued })
            }
        }
    }

    /// No message is accepted from now on.
    pub fn request_completion(&mut self) {
        self.complete_requested = true;
    }

    /// The task ends: no message is accepted from now on, and those that wait get no turn.
    pub fn end(&mut self) -> Vec<QueuedMessage> {
        self.complete_requested = true;
        let dropped: Vec<QueuedMessage> = self.queue.drain(..).collect();
        self.turns_accepted -= u32::try_from(dropped.len()).unwrap_or(0);
        dropped
    }

    pub fn is_completion_requested(&self) -> bool {
        self.complete_requested
    }

    /// The messages that wait, oldest first.
    pub fn queued(&self) -> impl ExactSizeIterator<Item = &QueuedMessage> {
        self.queue.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Takes the oldest message out of the queue: its turn begins.
    pub fn start_turn(&mut self) -> Option<QueuedMessage> {
        self.queue.pop_front()
    }

    /// Drops the messages of all turns up to this one from the queue: those turns have begun.
    pub fn turn_has_started(&mut self, turn: u32) {
        self.queue.retain(|message| message.turn > turn);
    }

    /// The turn that runs, or the last one that ran; 0 before the first.
    pub fn turn(&self) -> u32 {
        self.turns_accepted - u32::try_from(self.queue.len()).unwrap_or(0)
    }

    /// Empties the queue, for a state whose messages travel apart from it.
    pub fn clear_queue(&mut self) {
        self.queue.clear();
    }

    /// Puts messages that travelled apart back in front of those that came in meanwhile.
    pub fn restore_queue(&mut self, mut messages: VecDeque<QueuedMessage>) {
        messages.append(&mut self.queue);
        self.queue = messages;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: &str) -> NewMessage {
        NewMessage {
            id: id.to_owned(),
            idempotency_key: None,
            content: Some(UserContent::Text("Hello.".to_owned())),
            sender: "ada".to_owned(),
            at: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    const UNLIMITED: Admission = Admission::Limits { max_queued: None };

    fn turn(receipt: &Receipt) -> Option<u32> {
        match receipt {
            Receipt::Accepted(queued) => Some(queued.turn),
            Receipt::Duplicate | Receipt::Rejected(_) => None,
        }
    }

    #[test]
    fn each_accepted_message_is_the_next_turn_and_the_same_id_counts_once() {
        let mut inbox = Inbox::default();
        assert_eq!(turn(&inbox.receive(message("a"), UNLIMITED)), Some(1));
        assert_eq!(inbox.receive(message("a"), UNLIMITED), Receipt::Duplicate);
        assert_eq!(turn(&inbox.receive(message("b"), UNLIMITED)), Some(2));
        assert_eq!(inbox.turn(), 0);
        assert_eq!(inbox.start_turn().unwrap().message_id, "a");
        assert_eq!(inbox.turn(), 1);
    }

    #[test]
    fn a_rejected_message_takes_no_turn_and_may_be_sent_again() {
        let mut inbox = Inbox::default();
        let one = Admission::Limits { max_queued: Some(1) };
        inbox.receive(message("a"), one);
        assert_eq!(
            inbox.receive(message("b"), one),
            Receipt::Rejected(Rejection::QueueFull { queued: 1 })
        );
        inbox.start_turn();
        assert_eq!(turn(&inbox.receive(message("b"), one)), Some(2));
    }

    #[test]
    fn a_task_that_is_being_completed_rejects_messages() {
        let mut inbox = Inbox::default();
        inbox.receive(message("a"), UNLIMITED);
        inbox.request_completion();
        assert_eq!(
            inbox.receive(message("b"), UNLIMITED),
            Receipt::Rejected(Rejection::Completing)
        );
        // Known ids stay duplicates: their sender must not be told of a rejection.
        assert_eq!(inbox.receive(message("a"), UNLIMITED), Receipt::Duplicate);
    }

    #[test]
    fn the_end_of_a_task_drops_what_waits_and_accepts_nothing_more() {
        let mut inbox = Inbox::default();
        for id in ["a", "b", "c"] {
            inbox.receive(message(id), UNLIMITED);
        }
        inbox.start_turn();
        let dropped = inbox.end();
        let turns: Vec<(&str, u32)> = dropped
            .iter()
            .map(|message| (message.message_id.as_str(), message.turn))
            .collect();
        assert_eq!(turns, [("b", 2), ("c", 3)]);
        assert_eq!(inbox.turn(), 1);
        assert_eq!(
            inbox.receive(message("d"), UNLIMITED),
            Receipt::Rejected(Rejection::Completing)
        );
        assert_eq!(inbox.end(), []);
    }

    #[test]
    fn recorded_decisions_give_the_same_turns_again() {
        let mut live = Inbox::default();
        let limit = Admission::Limits { max_queued: Some(2) };
        let ids = ["a", "b", "c", "a", "c"];
        let receipts: Vec<Receipt> = ids.iter().map(|id| live.receive(message(id), limit)).collect();
        let mut read = Inbox::default();
        for (id, receipt) in ids.iter().zip(&receipts) {
            let recorded = match receipt {
                Receipt::Rejected(_) => Recorded::Rejected,
                Receipt::Accepted(_) | Receipt::Duplicate => Recorded::Accepted,
            };
            let again = read.receive(message(id), Admission::Recorded(recorded));
            assert_eq!(turn(&again), turn(receipt), "{id}");
        }
        assert_eq!(read, live);
    }

    #[test]
    fn no_more_than_the_last_thousand_ids_are_remembered() {
        let mut inbox = Inbox::default();
        for number in 0..=REMEMBERED_MESSAGE_IDS {
            inbox.receive(message(&number.to_string()), UNLIMITED);
        }
        assert_eq!(turn(&inbox.receive(message("0"), UNLIMITED)), Some(1_002));
        assert_eq!(inbox.receive(message("2"), UNLIMITED), Receipt::Duplicate);
    }

    #[test]
    fn messages_that_travelled_apart_come_before_those_that_came_in_meanwhile() {
        let mut inbox = Inbox::default();
        inbox.receive(message("a"), UNLIMITED);
        let travelling: VecDeque<QueuedMessage> = inbox.queued().cloned().collect();
        inbox.clear_queue();
        inbox.receive(message("b"), UNLIMITED);
        inbox.restore_queue(travelling);
        let waiting: Vec<&str> = inbox.queued().map(|message| message.message_id.as_str()).collect();
        assert_eq!(waiting, ["a", "b"]);
    }

    #[test]
    fn a_message_that_travels_as_a_segment_keeps_its_sender() {
        let mut inbox = Inbox::default();
        inbox.receive(message("a"), UNLIMITED);
        let queued = inbox.start_turn().unwrap();
        assert_eq!(QueuedMessage::from_segment(queued.to_segment()), Some(queued));
    }
}

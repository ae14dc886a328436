//! The signals of a task. Every signal that changes something carries an id
//! that its sender chose, so that sending it twice changes nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use steadfast_agent_loop::{NewMessage, UserContent};
use steadfast_events::{Content, Decision};

use crate::text_parts::{ItemParts, TextParts};

/// Signal: a message for the agent ([`ReceiveEvent`]).
pub const SIGNAL_RECEIVE_EVENT: &str = "receive_event";
/// Signal: finish after the running turn ([`CompleteTask`]).
pub const SIGNAL_COMPLETE_TASK: &str = "complete_task";
/// Signal: stop the running turn, keep the task ([`Interrupt`]).
pub const SIGNAL_INTERRUPT: &str = "interrupt";

/// Signal: replace what a client keeps with the task ([`UpdateMetadata`]).
pub const SIGNAL_UPDATE_METADATA: &str = "update_metadata";

/// Signal: the decision of a person about an approval ([`Decide`]).
pub const SIGNAL_DECIDE: &str = "decide";
/// Signal: continue as new at the next point with no activity in flight. It has no content.
pub const SIGNAL_CHECKPOINT: &str = "checkpoint";
/// Signal: an agent has moved to other workers ([`AgentMoved`]).
pub const SIGNAL_AGENT_MOVED: &str = "agent_moved";

/// Signal: a part of a model's answer that is too large for the result of its activity ([`AnswerPart`]).
/// The activity sends it to its own workflow before it completes.
pub const SIGNAL_ANSWER_PART: &str = "answer_part";

/// An agent runs on other workers from now on. A task of that agent continues as new on the other task queue, and a task
/// that was handed off to the agent finds it there: both at the next point with no activity in flight. The newest of two
/// counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentMoved {
    /// Namespace of the agent.
    pub namespace: String,
    /// Name of the agent.
    pub agent: String,
    /// Task queue of its new workers.
    pub task_queue: String,
}

/// A part of a model's answer: the JSON text of the output items is cut into parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerPart {
    /// The activity that sends it.
    pub activity_id: String,
    /// The attempt of the activity.
    pub attempt: u32,
    /// Its number, from 0.
    pub number: u32,
    /// The text.
    pub text: String,
}

/// The parts of answers that have arrived, until the result of the activity tells of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnswerParts(BTreeMap<(String, u32), TextParts>);

impl AnswerParts {
    /// Takes in a part. An earlier attempt's are dropped.
    pub fn add(&mut self, part: AnswerPart) {
        let AnswerPart {
            activity_id,
            attempt,
            number,
            text,
        } = part;
        self.0
            .retain(|(activity, of), _| *activity != activity_id || *of == attempt);
        self.0.entry((activity_id, attempt)).or_default().add(number, text);
    }

    /// The JSON text of the output items; `None` when a part is missing.
    pub fn take(&mut self, activity_id: &str, parts: ItemParts) -> Option<String> {
        let key = (activity_id.to_owned(), parts.attempt);
        self.0.remove(&key)?.join(parts.count)
    }
}

/// A message for the agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReceiveEvent {
    /// Id of the message: sent twice, it counts once. The gateway derives it from the sender and the sender's key
    /// ([`steadfast_events::id::user_message_id`]).
    pub message_id: String,
    /// The idempotency key under which its sender sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// [`Content::Text`], with or without attachments, or [`Content::Data`].
    pub content: Content,
    /// Who sent it; empty when anonymous.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sender: String,
}

impl ReceiveEvent {
    /// The message as the inbox takes it in: text that is not empty, attachments, or data, is content
    /// that a user may send.
    pub fn into_message(self, at: jiff::Timestamp) -> NewMessage {
        let content = match self.content {
            Content::Text { text, attachments, .. } if !attachments.is_empty() => {
                Some(UserContent::Attached { text, attachments })
            }
            Content::Text { text, .. } if !text.trim().is_empty() => Some(UserContent::Text(text)),
            Content::Data { data } => Some(UserContent::Data(data)),
            _ => None,
        };
        NewMessage {
            id: self.message_id,
            idempotency_key: self.idempotency_key,
            content,
            sender: self.sender,
            at,
        }
    }
}

/// Replace the client's metadata. The gateway limits its size.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UpdateMetadata {
    /// The new metadata, a JSON object.
    pub metadata: Value,
}

/// Finish the task after the running turn.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CompleteTask {
    /// Why, for people.
    #[serde(default)]
    pub reason: Option<String>,
}

/// Stop the running turn and keep the task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Interrupt {
    /// Why, for people.
    #[serde(default)]
    pub reason: Option<String>,
}

/// The decision of a person about an approval: approved or rejected. The first decision counts, if it
/// is made before the approval expires.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decide {
    /// Id of the approval.
    pub approval_id: String,
    /// What was decided.
    #[serde(flatten)]
    pub decision: Decision,
    /// When the gateway took the decision from the person. Without it, the decision is as late as the
    /// workflow task that takes it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<jiff::Timestamp>,
}

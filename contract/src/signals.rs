//! The signals of a task. Every signal that changes something carries an id
//! that its sender chose, so that sending it twice changes nothing.

use serde::{Deserialize, Serialize};
use steadfast_agent_loop::{NewMessage, UserContent};
use steadfast_events::{Content, Decision};

/// Signal: a message for the agent ([`ReceiveEvent`]).
pub const SIGNAL_RECEIVE_EVENT: &str = "receive_event";
/// Signal: finish after the running turn ([`CompleteTask`]).
pub const SIGNAL_COMPLETE_TASK: &str = "complete_task";
/// Signal: stop the running turn, keep the task ([`Interrupt`]).
pub const SIGNAL_INTERRUPT: &str = "interrupt";

/// Signal: the decision of a person about an approval ([`Decide`]).
pub const SIGNAL_DECIDE: &str = "decide";
/// Signal: continue as new at the next point with no activity in flight. It has no content.
pub const SIGNAL_CHECKPOINT: &str = "checkpoint";

/// A message for the agent. The id is the sender's: sent twice, it counts once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReceiveEvent {
    /// Id of the message, chosen by its sender.
    pub message_id: String,
    /// [`Content::Text`] or [`Content::Data`].
    pub content: Content,
    /// Who sent it; empty when anonymous.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sender: String,
}

impl ReceiveEvent {
    /// The message as the inbox takes it in: text that is not empty, or data, is content that a user may send.
    pub fn into_message(self, at: jiff::Timestamp) -> NewMessage {
        let content = match self.content {
            Content::Text { text, .. } if !text.trim().is_empty() => Some(UserContent::Text(text)),
            Content::Data { data } => Some(UserContent::Data(data)),
            _ => None,
        };
        NewMessage {
            id: self.message_id,
            content,
            sender: self.sender,
            at,
        }
    }
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

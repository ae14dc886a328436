//! The message of a schedule with a fixed task, as the operator writes it and a worker delivers it.

use serde::{Deserialize, Serialize};
use steadfast_events::Content;
use uuid::Uuid;

/// Workflow type of a delivery.
pub const DELIVER_MESSAGE_WORKFLOW_TYPE: &str = "DeliverMessage";

/// A message for the fixed task of a schedule, as the operator writes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScheduledMessage {
    /// The first task of the schedule. Once it has ended another follows.
    pub task_id: String,
    /// Kubernetes namespace of the agent.
    pub namespace: String,
    /// Name of the agent.
    pub agent: String,
    /// What the task is called: as the schedule is.
    pub name: String,
    /// The result, as JSON.
    pub content: Content,
}

impl ScheduledMessage {
    /// The task that this delivery begins when the one before has ended. Its id is new: Temporal keeps the ended task
    /// under its id, with its messages and approvals.
    pub fn following_task_id(&self, delivery_id: &str) -> String {
        let name = format!("{}/{delivery_id}", self.task_id);
        Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).to_string()
    }
}

/// Which task a message was delivered to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveredTo {
    /// Id of the task.
    pub task_id: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message() -> ScheduledMessage {
        serde_json::from_value(json!({
            "task_id": "1651295a-c531-5327-b054-eddc4877263c",
            "namespace": "team",
            "agent": "concierge",
            "name": "morning",
            "content": { "type": "text", "text": "Go." },
        }))
        .unwrap()
    }

    #[test]
    fn each_delivery_that_begins_a_task_begins_one_of_its_own() {
        let message = message();
        assert_eq!(message.following_task_id("a"), message.following_task_id("a"));
        assert_ne!(message.following_task_id("a"), message.following_task_id("b"));
    }
}

//! The `DeliverMessage` workflow: what each run of a schedule with a fixed task is. Temporal's schedules start
//! workflows and send to none, so this one hands the message over, in one activity, and ends.

use serde::{Deserialize, Serialize};
use steadfast_events::Content;
use temporalio_macros::{workflow, workflow_methods};
use temporalio_workflow::{
    WorkflowContext, WorkflowResult,
    common::protos::temporal::api::history::v1::{HistoryEvent, history_event::Attributes},
};
use uuid::Uuid;

use crate::{
    activities::Deliver,
    options,
    packed::{Packed, unpack},
};

/// One delivery.
#[workflow]
#[derive(Default)]
pub struct DeliverMessage;

#[workflow_methods]
impl DeliverMessage {
    #[run(name = "DeliverMessage")]
    pub async fn run(ctx: &mut WorkflowContext<Self>, delivery: Packed<Delivery>) -> WorkflowResult<Delivered> {
        let options = options::deliver(&delivery.0, ctx.cancellation_token());
        let Packed(delivered) = ctx.execute_activity(Deliver, delivery, options).await?;
        Ok(delivered)
    }
}

/// A message for the fixed task of a schedule, as the operator writes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// The first task of the schedule. Once it has ended another follows.
    pub task_id: String,
    /// Kubernetes namespace of the agent.
    pub namespace: String,
    /// Name of the agent.
    pub agent: String,
    /// What the task is called: as the schedule is.
    pub name: String,
    pub content: Content,
}

impl Delivery {
    /// The task that this delivery begins when the one before has ended. Its id is new: the log, the spilled answers
    /// of models and the idempotency keys of an ended task stand under the id of that one.
    pub fn following_task_id(&self, delivery_id: &str) -> String {
        let name = format!("{}/{delivery_id}", self.task_id);
        Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).to_string()
    }
}

/// Which task a message was delivered to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    pub task_id: String,
}

/// What the delivery before came to, from the history of a delivery: Temporal hands each run of a schedule the
/// result of the one before.
pub fn delivered_before(history: &[HistoryEvent]) -> Option<Delivered> {
    let Some(Attributes::WorkflowExecutionStartedEventAttributes(started)) = &history.first()?.attributes else {
        return None;
    };
    let payload = started.last_completion_result.as_ref()?.payloads.first()?;
    // Before an edit of the schedule each run may have been a task of its own, with another kind of result.
    unpack(payload).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;
    use steadfast_events::TextFormat;
    use temporalio_workflow::common::protos::temporal::api::{
        common::v1::Payloads, history::v1::WorkflowExecutionStartedEventAttributes,
    };

    use super::*;
    use crate::{contract::TaskResult, packed::pack};

    fn delivery() -> Delivery {
        serde_json::from_value(json!({
            "task_id": "1651295a-c531-5327-b054-eddc4877263c",
            "namespace": "team",
            "agent": "concierge",
            "name": "morning",
            "content": { "type": "text", "text": "Go." },
        }))
        .unwrap()
    }

    fn started<T: Serialize>(before: &T) -> Vec<HistoryEvent> {
        let started = WorkflowExecutionStartedEventAttributes {
            last_completion_result: Some(Payloads {
                payloads: vec![pack(before).unwrap()],
            }),
            ..Default::default()
        };
        vec![HistoryEvent {
            attributes: Some(Attributes::WorkflowExecutionStartedEventAttributes(started)),
            ..Default::default()
        }]
    }

    #[test]
    fn what_the_operator_writes_can_be_read() {
        let format = TextFormat::Plain;
        let text = "Go.".to_owned();
        assert_eq!(delivery().content, Content::Text { text, format });
    }

    #[test]
    fn each_delivery_that_begins_a_task_begins_one_of_its_own() {
        let delivery = delivery();
        assert_eq!(delivery.following_task_id("a"), delivery.following_task_id("a"));
        assert_ne!(delivery.following_task_id("a"), delivery.following_task_id("b"));
    }

    #[test]
    fn a_delivery_knows_where_the_one_before_went() {
        let before = Delivered {
            task_id: "t".to_owned(),
        };
        assert_eq!(delivered_before(&started(&before)), Some(before));
        let task = TaskResult {
            text: "Done.".to_owned(),
            outcome: None,
            usage: steadfast_events::Usage::default(),
        };
        assert_eq!(delivered_before(&started(&task)), None);
        assert_eq!(delivered_before(&[]), None);
    }
}

//! The `DeliverMessage` workflow, which each run of a schedule with a fixed task starts. Temporal's
//! schedules start workflows and send no signals, so this one delivers the message by one activity
//! and ends.

use steadfast_contract::scheduled::{DELIVER_MESSAGE_WORKFLOW_TYPE, DeliveredTo, ScheduledMessage};
use steadfast_payload::{Packed, unpack};
use temporalio_macros::{workflow, workflow_methods};
use temporalio_workflow::{
    WorkflowContext, WorkflowResult,
    common::protos::temporal::api::history::v1::{HistoryEvent, history_event::Attributes},
};

use crate::{activities::DeliverScheduledMessage, activity_options};

/// One delivery.
#[workflow]
#[derive(Default)]
pub struct DeliverMessage;

#[workflow_methods]
impl DeliverMessage {
    #[run(name = DELIVER_MESSAGE_WORKFLOW_TYPE)]
    pub async fn run(
        ctx: &mut WorkflowContext<Self>,
        delivery: Packed<ScheduledMessage>,
    ) -> WorkflowResult<DeliveredTo> {
        let options = activity_options::deliver(&delivery.0, ctx.cancellation_token());
        let Packed(delivered) = ctx.execute_activity(DeliverScheduledMessage, delivery, options).await?;
        Ok(delivered)
    }
}

/// The task that the delivery before went to, from the history of a delivery: Temporal gives each run
/// of a schedule the result of the run before.
pub fn delivered_before(history: &[HistoryEvent]) -> Option<DeliveredTo> {
    let Some(Attributes::WorkflowExecutionStartedEventAttributes(started)) = &history.first()?.attributes else {
        return None;
    };
    let payload = started.last_completion_result.as_ref()?.payloads.first()?;
    // Before an edit of the schedule each run may have been a task of its own, with another kind of result.
    unpack(payload).ok()
}

#[cfg(test)]
mod tests {
    use serde::Serialize;
    use temporalio_workflow::common::protos::temporal::api::{
        common::v1::Payloads, history::v1::WorkflowExecutionStartedEventAttributes,
    };

    use super::*;
    use steadfast_contract::start::TaskResult;
    use steadfast_payload::pack;

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
    fn a_delivery_knows_where_the_one_before_went() {
        let before = DeliveredTo {
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

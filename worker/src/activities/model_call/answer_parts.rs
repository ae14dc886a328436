//! An answer that is too large for the result of its activity, for example with images: the activity sends it to its
//! own workflow in parts, as signals, before it completes. The parts are then in history, as durable as a result.

use std::time::Duration;

use serde_json::Value;
use steadfast_contract::{
    failures::PAYLOAD_TOO_LARGE,
    signals::AnswerPart,
    text_parts::{self, ItemParts},
};
use steadfast_payload::{PAYLOAD_LIMIT_BYTES, Packed, bounded_size};
use steadfast_workflow::AgentTask;
use temporalio_client::{Client, WorkflowExecutionInfo, WorkflowHandle, WorkflowSignalOptions};
use temporalio_common::HasWorkflowDefinition;

use crate::{activities::ActivityScope, failure::CallFailure};

/// Parts of one answer. More would fill the history of the run.
const MOST_PARTS: usize = 32;
/// Pauses between the attempts to send one part: failing would mean to call the model again.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
];

/// Sends the items in parts if they do not fit into the result; `None` if they do.
pub(super) async fn send(scope: &ActivityScope<'_>, items: &[Value]) -> Result<Option<ItemParts>, CallFailure> {
    if bounded_size(&items) <= PAYLOAD_LIMIT_BYTES {
        return Ok(None);
    }
    let text = serde_json::to_string(items).unwrap_or_default();
    let parts = text_parts::cut(&text);
    if parts.len() > MOST_PARTS {
        let message = format!(
            "the model's answer has {} bytes, and a task takes {} at most",
            text.len(),
            MOST_PARTS * text_parts::PART_BYTES
        );
        return Err(CallFailure::permanent(PAYLOAD_TOO_LARGE, message));
    }
    let info = scope.activity.info();
    let client = scope.activity.client();
    let task = run_of(&client, AgentTask::run, scope);
    let sent = ItemParts {
        attempt: info.attempt,
        count: u32::try_from(parts.len()).unwrap_or(u32::MAX),
    };
    for (number, text) in (0..).zip(parts) {
        let part = AnswerPart {
            activity_id: info.activity_id.clone(),
            attempt: sent.attempt,
            number,
            text,
        };
        let mut pauses = PAUSES.into_iter();
        loop {
            let options = WorkflowSignalOptions::default();
            match task.signal(AgentTask::answer_part, Packed(part.clone()), options).await {
                Ok(()) => break,
                Err(error) => match pauses.next() {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => return Err(CallFailure::transient_error("temporal_unavailable", &error)),
                },
            }
        }
    }
    Ok(Some(sent))
}

/// A handle of the run that the activity belongs to, by the run method: a handle by the workflow type is not `Send`.
fn run_of<W: HasWorkflowDefinition>(client: &Client, _: W, scope: &ActivityScope<'_>) -> WorkflowHandle<Client, W> {
    let info = scope.activity.info();
    let run = WorkflowExecutionInfo::builder()
        .namespace(client.options().namespace.clone())
        .workflow_id(info.workflow_id.clone().unwrap_or_default())
        .run_id(scope.context.run_id.clone())
        .build();
    WorkflowHandle::new(client.clone(), run)
}

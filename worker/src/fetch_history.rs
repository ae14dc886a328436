//! Fetches the history of a run and decrypts it: the SDK decrypts what it converts, and returns a history as it is.

use temporalio_client::{
    Client, WorkflowExecutionInfo, WorkflowFetchHistoryOptions, WorkflowHandle, errors::WorkflowInteractionError,
};
use temporalio_common::{
    UntypedWorkflow,
    data_converters::{SerializationContextData, WorkflowSerializationContext},
    payload_visitor::decode_payloads,
    protos::temporal::api::history::v1::HistoryEvent,
};
use temporalio_sdk::activities::ActivityContext;

/// The server's message for a workflow that does not exist. A missing namespace does not count: it may come back.
pub(crate) fn not_found(error: &WorkflowInteractionError) -> Option<&str> {
    match error {
        WorkflowInteractionError::NotFound(status) => {
            Some(status.message()).filter(|message| !message.starts_with("Namespace"))
        }
        _ => None,
    }
}

/// A run of the task that an activity belongs to.
pub(crate) fn run_of(activity: &ActivityContext, run_id: &str) -> WorkflowHandle<Client, UntypedWorkflow> {
    let client = activity.client();
    let run = WorkflowExecutionInfo::builder()
        .namespace(client.options().namespace.clone())
        .workflow_id(activity.info().workflow_id.clone().unwrap_or_default())
        .run_id(run_id)
        .build();
    WorkflowHandle::new(client, run)
}

/// All events of a run.
pub(crate) async fn fetch_history(
    handle: &WorkflowHandle<Client, UntypedWorkflow>,
) -> Result<Vec<HistoryEvent>, WorkflowInteractionError> {
    let mut events = handle
        .fetch_history(WorkflowFetchHistoryOptions::default())
        .into_events()
        .await?;
    let codec = handle.client().options().data_converter.codec();
    let context = SerializationContextData::Workflow(WorkflowSerializationContext::new());
    for event in &mut events {
        decode_payloads(event, codec, &context).await?;
    }
    Ok(events)
}

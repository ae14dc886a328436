//! Fetches the history of a run and decrypts it: the SDK decrypts what it converts, and returns a history as it is.

use temporalio_client::{Client, WorkflowFetchHistoryOptions, WorkflowHandle, errors::WorkflowInteractionError};
use temporalio_common::{
    UntypedWorkflow,
    data_converters::{SerializationContextData, WorkflowSerializationContext},
    payload_visitor::decode_payloads,
    protos::temporal::api::history::v1::HistoryEvent,
};

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

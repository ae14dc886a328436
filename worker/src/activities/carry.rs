//! Reads from the history of the run before what it could not hand over.

use steadfast_agent_loop::Segment;
use steadfast_contract::activities::{CarriedRequest, NewSegment};
use steadfast_history::HistoryView;
use temporalio_client::{
    WorkflowExecutionInfo, WorkflowFetchHistoryOptions, WorkflowHandle, errors::WorkflowInteractionError,
};
use temporalio_common::UntypedWorkflow;
use temporalio_sdk::activities::{ActivityContext, ActivityError};

use super::{gone, permanent};

pub(super) async fn fetch(activity: &ActivityContext, request: CarriedRequest) -> Result<Vec<Segment>, ActivityError> {
    let workflow_id = activity.info().workflow_id.clone().unwrap_or_default();
    let client = activity.client();
    let run = WorkflowExecutionInfo::builder()
        .namespace(client.options().namespace.clone())
        .workflow_id(workflow_id)
        .run_id(request.run_id.clone())
        .build();
    let handle: WorkflowHandle<_, UntypedWorkflow> = WorkflowHandle::new(client.clone(), run);
    let events = handle
        .fetch_history(WorkflowFetchHistoryOptions::default())
        .into_events()
        .await
        .map_err(|error| of_fetch(error, &request.run_id))?;
    let view = HistoryView::read(&events)?;
    request
        .segments
        .into_iter()
        .map(|segment| match segment {
            NewSegment::Whole(segment) => Ok(*segment),
            NewSegment::Ref(reference) => view.segments.get(&reference).cloned().ok_or_else(|| {
                permanent(
                    "state_lost",
                    format!("run {} does not hold the segment {reference:?}", request.run_id),
                )
            }),
        })
        .collect()
}

/// A run that is gone does not come back; everything else may pass.
fn of_fetch(error: WorkflowInteractionError, run_id: &str) -> ActivityError {
    match gone(&error) {
        Some(message) => permanent(
            "state_lost",
            format!("run {run_id}, which holds the state of the task, is gone: {message}"),
        ),
        None => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use temporalio_client::tonic::Status;

    use super::*;

    fn is_permanent(status: Status) -> bool {
        match of_fetch(WorkflowInteractionError::NotFound(status), "r") {
            ActivityError::Application(failure) => failure.is_non_retryable(),
            _ => false,
        }
    }

    #[test]
    fn a_run_that_is_gone_is_not_asked_for_again() {
        assert!(is_permanent(Status::not_found("workflow not found for ID: t")));
        assert!(!is_permanent(Status::not_found("Namespace default is not found.")));
    }
}

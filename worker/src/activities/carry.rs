//! Reads from the history of the run before what it could not hand over.

use steadfast_core::Segment;
use steadfast_workflow::{
    activities::{CarriedRequest, NewSegment},
    history::HistoryView,
};
use temporalio_client::{WorkflowExecutionInfo, WorkflowFetchHistoryOptions, WorkflowHandle};
use temporalio_common::UntypedWorkflow;
use temporalio_sdk::activities::{ActivityContext, ActivityError};

use super::permanent;

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
        .await?;
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

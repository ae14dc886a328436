//! Activities: read state that did not fit into the input of a continue-as-new
//! from the history of the run before.

use steadfast_agent_loop::Segment;
use steadfast_contract::{
    activities::{NewSegment, StatePageRequest, StatePart, StatePartRequest},
    failures::STATE_LOST,
};
use steadfast_history::HistoryView;
use temporalio_client::errors::WorkflowInteractionError;
use temporalio_sdk::activities::ActivityContext;

use crate::{
    failure::{ActivityFailure, CallFailure},
    fetch_history::{fetch_history, not_found, run_of},
};

pub(super) async fn fetch(
    activity: &ActivityContext,
    request: StatePageRequest,
) -> Result<Vec<Segment>, ActivityFailure> {
    let view = read_run(activity, &request.run_id).await?;
    let segments = request.segments.into_iter().map(|segment| match segment {
        NewSegment::Whole(segment) => Ok(*segment),
        NewSegment::Ref(reference) => view.segments.get(&reference).cloned().ok_or_else(|| {
            let message = format!("the run {} does not contain the segment {reference:?}", request.run_id);
            CallFailure::permanent(STATE_LOST, message).into()
        }),
    });
    segments.collect()
}

/// Reads a part of the state that the run before has recorded.
pub(super) async fn fetch_part(
    activity: &ActivityContext,
    request: StatePartRequest,
) -> Result<StatePart, ActivityFailure> {
    let StatePartRequest { run_id, number } = request;
    let mut view = read_run(activity, &run_id).await?;
    let text = view.state_parts.remove(&number).ok_or_else(|| {
        let message = format!("the run {run_id} does not contain part {number} of its state");
        CallFailure::permanent(STATE_LOST, message)
    })?;
    Ok(StatePart { number, text })
}

async fn read_run(activity: &ActivityContext, run_id: &str) -> Result<HistoryView, CallFailure> {
    let events = fetch_history(&run_of(activity, run_id))
        .await
        .map_err(|error| fetch_failure(&error, run_id))?;
    HistoryView::read(&events).map_err(|error| CallFailure::transient_error("history_unreadable", &error))
}

/// A run that is gone does not come back; any other failure may be temporary.
fn fetch_failure(error: &WorkflowInteractionError, run_id: &str) -> CallFailure {
    match not_found(error) {
        Some(message) => CallFailure::permanent(
            STATE_LOST,
            format!("the run {run_id}, which holds the state of the task, is gone: {message}"),
        ),
        None => CallFailure::transient_error("temporal_unavailable", error),
    }
}

#[cfg(test)]
mod tests {
    use temporalio_client::tonic::Status;

    use super::*;
    use crate::failure::RetryClass;

    fn is_permanent(status: Status) -> bool {
        let error = WorkflowInteractionError::NotFound(status);
        fetch_failure(&error, "r").retry == RetryClass::Permanent
    }

    #[test]
    fn a_missing_run_is_not_retried_and_a_missing_namespace_is() {
        assert!(is_permanent(Status::not_found("workflow not found for ID: t")));
        assert!(!is_permanent(Status::not_found("Namespace default is not found.")));
    }
}

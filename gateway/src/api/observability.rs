//! What explains the timeline of a task: where its workflow and its trace are, and what its models cost.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    access::{Action, Caller},
    app::Gateway,
    error::{ApiError, ErrorBody},
    links::Place,
    prices::PriceList,
};

/// What explains the timeline of a task.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TaskObservability {
    links: TaskLinks,
    /// The prices of models; absent where none are configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    prices: Option<PriceList>,
    /// Why the configured prices cannot be read now. Those that were read before hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    prices_problem: Option<String>,
}

/// Links to what others show of a task; each is absent where it is not configured.
#[derive(Debug, Serialize, ToSchema)]
struct TaskLinks {
    /// The workflow in Temporal's UI.
    #[serde(skip_serializing_if = "Option::is_none")]
    temporal: Option<String>,
    /// The trace. Absent also for a task that works as the tool of another: its spans are in the trace of that task.
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<String>,
}

/// What explains the timeline of a task: links to its workflow and its trace, and the prices of models.
#[utoipa::path(
    get,
    path = "/tasks/{task_id}/observability",
    operation_id = "get_task_observability",
    tag = "tasks",
    params(("task_id" = String, Path, description = "Id of the task.")),
    responses(
        (status = OK, description = "Links and prices.", body = TaskObservability),
        (status = "default", description = "An error.", body = ErrorBody),
    ),
)]
pub(super) async fn by_id(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<TaskObservability>, ApiError> {
    let task = gateway.task(&caller, Action::ReadTasks, &id).await?;
    let trace_id = task.trace_id();
    let place = Place {
        namespace: gateway.temporal.namespace(),
        workflow_id: &task.id,
        run_id: &task.run_id,
        trace_id: trace_id.as_deref(),
    };
    let links = &gateway.links;
    let current = gateway.prices.current();
    Ok(Json(TaskObservability {
        links: TaskLinks {
            temporal: links.temporal.as_ref().and_then(|template| template.url(&place)),
            trace: links.trace.as_ref().and_then(|template| template.url(&place)),
        },
        prices: current.prices.map(Arc::unwrap_or_clone),
        prices_problem: current.problem,
    }))
}

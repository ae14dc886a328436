//! `GET /tasks/{id}/query/{name}`: what the workflow of a task tells about itself. It answers with the
//! help of a worker.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use serde::Serialize;
use serde_json::Value;
use steadfast_contract::queries::{QUERY_STATE, TaskState};
use steadfast_payload::unpack;
use utoipa::ToSchema;

use crate::{
    access::{Action, Caller},
    app::Gateway,
    error::{ApiError, ErrorBody},
    temporal::TemporalError,
};

/// The answer of a query.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Answer {
    task_id: String,
    query: &'static str,
    /// `agent`, `turn`, `phase`, `queued_messages`, `transcript_items`, `revision`, `acting_agent`, `generation` and
    /// `usage`.
    #[schema(value_type = Object)]
    result: Value,
}

/// Asks the workflow of a task.
#[utoipa::path(
    get,
    path = "/tasks/{task_id}/query/{query_name}",
    operation_id = "query_task",
    tag = "tasks",
    params(
        ("task_id" = String, Path, description = "Id of the task."),
        ("query_name" = String, Path, description = "`state`."),
    ),
    responses(
        (status = OK, description = "The answer.", body = Answer),
        (status = SERVICE_UNAVAILABLE, description = "No worker of the agent answers.", body = ErrorBody),
        (status = "default", description = "An error.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn query(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path((id, name)): Path<(String, String)>,
) -> Result<Json<Answer>, ApiError> {
    let task = gateway.task(&caller, Action::ReadTasks, &id).await?;
    if name != QUERY_STATE {
        // Others show what `stream` of the Agent may hide.
        return Err(ApiError::bad_request(format!(
            "there is no query {name:?}: ask for \"{QUERY_STATE}\", or read /messages and /approvals"
        )));
    }
    // Only a worker can answer.
    gateway.wake(&task.agent);
    let answered = gateway.temporal.query(&task.id, QUERY_STATE).await;
    let answer = answered.map_err(|error| match error {
        TemporalError::NotFound => ApiError::not_found("the task"),
        error => ApiError::unavailable("a worker of the agent", error),
    })?;
    let state: Option<TaskState> = unpack(&answer).map_err(|error| ApiError::unavailable("the task's state", error))?;
    let state = state.map(|state| TaskState {
        // They are read with the permission for approvals.
        approvals: Vec::new(),
        ..state
    });
    let mut result = serde_json::to_value(state)?;
    if let Value::Object(members) = &mut result {
        members.remove("approvals");
    }
    Ok(Json(Answer {
        task_id: task.id,
        query: QUERY_STATE,
        result,
    }))
}

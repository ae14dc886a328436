//! Erasing a task.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use serde::Serialize;
use tokio::time::{Instant, sleep};
use utoipa::ToSchema;

use super::lookup;
use crate::{
    access::{Action, Caller},
    app::Gateway,
    erasure,
    error::{ApiError, ErrorBody},
    task::TaskRecord,
    temporal::TemporalError,
};

/// How long a response waits until Temporal has deleted the task.
const DELETED_TIMEOUT: Duration = Duration::from_secs(2);
const POLL_PERIOD: Duration = Duration::from_millis(100);

/// An erased task.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Erased {
    /// Id of the task.
    id: String,
    /// What was done, in words.
    message: &'static str,
}

/// Erases a task: it ends at once, and its messages, its log and its history are deleted, with those of the agents that
/// worked as its tools.
#[utoipa::path(
    delete,
    path = "/tasks/{task_id}",
    operation_id = "delete_task",
    tag = "tasks",
    params(("task_id" = String, Path, description = "Id of the task.")),
    responses(
        (status = OK, description = "The task is erased.", body = Erased),
        (status = NOT_FOUND, description = "The task does not exist, or the caller may not delete it.", body = ErrorBody),
        (status = "default", description = "An error. The request can be repeated.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn by_id(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Erased>, ApiError> {
    let task = gateway.task(&caller, Action::DeleteTasks, &id).await?;
    Ok(Json(erase(&gateway, task).await?))
}

/// Erases a task, by name.
#[utoipa::path(
    delete,
    path = "/tasks/name/{task_name}",
    operation_id = "delete_task_by_name",
    tag = "tasks",
    params(("task_name" = String, Path, description = "Name of the task.")),
    responses(
        (status = OK, description = "The task is erased.", body = Erased),
        (status = NOT_FOUND, description = "The task does not exist, or the caller may not delete it.", body = ErrorBody),
        (status = "default", description = "An error. The request can be repeated.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn by_name(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Json<Erased>, ApiError> {
    let named = lookup::named(&gateway, &caller, &name).await?;
    let task = gateway.task(&caller, Action::DeleteTasks, &named.id).await?;
    Ok(Json(erase(&gateway, task).await?))
}

pub(in crate::api) async fn erase(gateway: &Gateway, task: TaskRecord) -> Result<Erased, ApiError> {
    if task.is_nested() {
        return Err(ApiError::bad_request(format!(
            "this agent works as a tool of the task {}: delete that task",
            task.log.task_id
        )));
    }
    erasure::erase(gateway, &task).await?;
    let deadline = Instant::now() + DELETED_TIMEOUT;
    let mut message = "the task is being erased";
    while Instant::now() < deadline {
        match gateway.temporal.describe(&task.id).await {
            Err(TemporalError::NotFound) => {
                message = "the task is erased";
                break;
            }
            _ => sleep(POLL_PERIOD).await,
        }
    }
    Ok(Erased { id: task.id, message })
}

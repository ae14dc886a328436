//! Cancelling, completing and interrupting a task.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use serde::Serialize;
use steadfast_contract::signals::{CompleteTask, Interrupt, SIGNAL_COMPLETE_TASK, SIGNAL_INTERRUPT};
use steadfast_payload::plain_json;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::{
    access::{Action, Caller},
    admission::{Outgoing, admit},
    agentex::wire,
    api::extractors::{ReasonBody, UnreadBody},
    app::Gateway,
    error::{ApiError, ErrorBody},
    task::TaskRecord,
    temporal::TemporalError,
};

/// How long a response waits for the end of a task, so that it has the final status.
const END_TIMEOUT: Duration = Duration::from_secs(2);
const POLL_PERIOD: Duration = Duration::from_millis(100);
const DEFAULT_REASON: &str = "canceled by a client";
const TERMINATED: &str = "terminated by a client";

/// Ends a task and its running turn.
#[utoipa::path(
    post,
    path = "/tasks/{task_id}/cancel",
    operation_id = "cancel_task",
    tag = "tasks",
    params(("task_id" = String, Path, description = "Id of the task.")),
    request_body(content = Option<ReasonBody>),
    responses(
        (status = OK, description = "The task; it may still be running.", body = wire::Task),
        (status = "default", description = "An error.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn cancel(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    body: UnreadBody,
) -> Result<Json<wire::Task>, ApiError> {
    let task = gateway.task(&caller, Action::WriteTasks, &id).await?;
    let body = body.read(&gateway, &caller).await?;
    let ReasonBody { reason } = body.read()?;
    Ok(Json(cancel_task(&gateway, task, reason).await?))
}

/// Ends a task after its running turn.
#[utoipa::path(
    post,
    path = "/tasks/{task_id}/complete",
    operation_id = "complete_task",
    tag = "tasks",
    params(("task_id" = String, Path, description = "Id of the task.")),
    request_body(content = Option<ReasonBody>),
    responses(
        (status = OK, description = "The task; it may still be running.", body = wire::Task),
        (status = "default", description = "An error.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn complete(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    body: UnreadBody,
) -> Result<Json<wire::Task>, ApiError> {
    let task = gateway.task(&caller, Action::WriteTasks, &id).await?;
    let body = body.read(&gateway, &caller).await?;
    let ReasonBody { reason } = body.read()?;
    signal(&gateway, &task, SIGNAL_COMPLETE_TASK, &CompleteTask { reason }).await?;
    Ok(Json(wait_for_end(&gateway, task).await?))
}

/// Ends a task at once, without its workflow: what it does at its end is not done, and effects of calls that run are
/// unknown. For a task that no worker can run; otherwise cancel it.
#[utoipa::path(
    post,
    path = "/tasks/{task_id}/terminate",
    operation_id = "terminate_task",
    tag = "tasks",
    params(("task_id" = String, Path, description = "Id of the task.")),
    request_body(content = Option<ReasonBody>),
    responses(
        (status = OK, description = "The task, ended.", body = wire::Task),
        (status = "default", description = "An error.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn terminate(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    body: UnreadBody,
) -> Result<Json<wire::Task>, ApiError> {
    let task = gateway.task(&caller, Action::WriteTasks, &id).await?;
    let body = body.read(&gateway, &caller).await?;
    let ReasonBody { reason } = body.read()?;
    refuse_ended(&task)?;
    let reason = reason.as_deref().unwrap_or(TERMINATED);
    let ended = gateway
        .temporal
        .terminate_task(&task.id, &task.first_run_id, reason)
        .await;
    ended.map_err(signal_error)?;
    Ok(Json(wait_for_end(&gateway, task).await?))
}

/// Stops the running turn of a task; the task continues.
#[utoipa::path(
    post,
    path = "/tasks/{task_id}/interrupt",
    operation_id = "interrupt_task",
    tag = "tasks",
    params(("task_id" = String, Path, description = "Id of the task.")),
    request_body(content = Option<ReasonBody>),
    responses(
        (status = OK, description = "The task.", body = wire::Task),
        (status = "default", description = "An error.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn interrupt(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    body: UnreadBody,
) -> Result<Json<wire::Task>, ApiError> {
    let task = gateway.task(&caller, Action::WriteTasks, &id).await?;
    let body = body.read(&gateway, &caller).await?;
    let ReasonBody { reason } = body.read()?;
    Ok(Json(interrupt_task(&gateway, &task, reason).await?))
}

/// Cancels the workflow: the running turn stops and the task ends.
pub(in crate::api) async fn cancel_task(
    gateway: &Gateway,
    task: TaskRecord,
    reason: Option<String>,
) -> Result<wire::Task, ApiError> {
    refuse_ended(&task)?;
    let reason = reason.as_deref().unwrap_or(DEFAULT_REASON);
    gateway.temporal.cancel(&task.id, reason).await.map_err(signal_error)?;
    gateway.wake(&task.agent);
    wait_for_end(gateway, task).await
}

/// Stops the running turn; the task continues.
pub(in crate::api) async fn interrupt_task(
    gateway: &Gateway,
    task: &TaskRecord,
    reason: Option<String>,
) -> Result<wire::Task, ApiError> {
    signal(gateway, task, SIGNAL_INTERRUPT, &Interrupt { reason }).await?;
    Ok(task.to_wire(None))
}

pub(super) async fn signal<T: Serialize>(
    gateway: &Gateway,
    task: &TaskRecord,
    name: &str,
    input: &T,
) -> Result<(), ApiError> {
    refuse_ended(task)?;
    let payload = plain_json(input)?;
    let size_bytes = payload.data.len();
    admit(task, gateway.history_limits, Outgoing::Control { size_bytes })?;
    let request_id = Uuid::new_v4().to_string();
    gateway
        .temporal
        .signal(&task.id, name, payload, request_id)
        .await
        .map_err(signal_error)?;
    gateway.wake(&task.agent);
    Ok(())
}

fn refuse_ended(task: &TaskRecord) -> Result<(), ApiError> {
    if task.status.is_terminal() {
        Err(ended())
    } else {
        Ok(())
    }
}

fn signal_error(error: TemporalError) -> ApiError {
    match error {
        TemporalError::NotFound => ended(),
        error => error.into(),
    }
}

fn ended() -> ApiError {
    ApiError::bad_request("the task has ended")
}

/// The task with its final status, or as it is after [`END_TIMEOUT`]: a workflow needs a
/// worker to end.
async fn wait_for_end(gateway: &Gateway, mut task: TaskRecord) -> Result<wire::Task, ApiError> {
    let deadline = Instant::now() + END_TIMEOUT;
    while !task.status.is_terminal() && Instant::now() < deadline {
        sleep(POLL_PERIOD).await;
        let description = gateway.temporal.describe(&task.id).await?;
        task = TaskRecord::read(description).unwrap_or(task);
    }
    Ok(task.to_wire(None))
}

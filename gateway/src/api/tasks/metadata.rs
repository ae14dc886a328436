//! The client's metadata of a task, replaced. The task keeps it in its workflow's memo, which Temporal
//! shows with no worker running.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use serde::Deserialize;
use serde_json::Value;
use steadfast_contract::signals::{SIGNAL_UPDATE_METADATA, UpdateMetadata};
use utoipa::ToSchema;

use super::{lifecycle::signal, lookup};
use crate::{
    access::{Action, Caller},
    agentex::wire,
    api::extractors::UnreadBody,
    app::Gateway,
    error::{ApiError, ErrorBody},
    start::MAX_METADATA_BYTES,
    task::TaskRecord,
};

/// A change of a task.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(in crate::api) struct TaskChange {
    /// The new metadata, an object of 16 KiB at most; `null` or absent changes nothing.
    #[schema(value_type = Option<Object>)]
    task_metadata: Option<Value>,
    /// Not supported: the params of a task are those it began with.
    #[schema(value_type = Option<Object>)]
    merge_params: Option<Value>,
}

/// Replaces the metadata of a task. Lists show it a moment later, when a worker has taken it in.
#[utoipa::path(
    put,
    path = "/tasks/{task_id}",
    operation_id = "update_task",
    tag = "tasks",
    params(("task_id" = String, Path, description = "Id of the task.")),
    request_body(content = TaskChange),
    responses(
        (status = OK, description = "The task with its new metadata.", body = wire::Task),
        (status = "default", description = "An error.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn by_id(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    body: UnreadBody,
) -> Result<Json<wire::Task>, ApiError> {
    let task = gateway.task(&caller, Action::WriteTasks, &id).await?;
    change(&gateway, &caller, task, body).await
}

/// The same by name.
#[utoipa::path(
    put,
    path = "/tasks/name/{task_name}",
    operation_id = "update_task_by_name",
    tag = "tasks",
    params(("task_name" = String, Path, description = "Name of the task.")),
    request_body(content = TaskChange),
    responses(
        (status = OK, description = "The task with its new metadata.", body = wire::Task),
        (status = "default", description = "An error.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn by_name(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    body: UnreadBody,
) -> Result<Json<wire::Task>, ApiError> {
    let named = lookup::named(&gateway, &caller, &name).await?;
    let task = gateway.task(&caller, Action::WriteTasks, &named.id).await?;
    change(&gateway, &caller, task, body).await
}

async fn change(
    gateway: &Gateway,
    caller: &Caller,
    task: TaskRecord,
    body: UnreadBody,
) -> Result<Json<wire::Task>, ApiError> {
    let body = body.read(gateway, caller).await?;
    let TaskChange {
        task_metadata,
        merge_params,
    } = body.read()?;
    if merge_params.is_some() {
        return Err(ApiError::bad_request(
            "the params of a task are those it began with: start another task with others",
        ));
    }
    let task = match task_metadata {
        Some(metadata) => replace_metadata(gateway, task, metadata).await?,
        None => task,
    };
    Ok(Json(task.to_wire(None)))
}

/// The task with its new metadata, which an object of limited length can be.
pub(in crate::api) async fn replace_metadata(
    gateway: &Gateway,
    task: TaskRecord,
    metadata: Value,
) -> Result<TaskRecord, ApiError> {
    if !metadata.is_object() {
        return Err(ApiError::bad_request("the metadata of a task must be an object"));
    }
    if metadata.to_string().len() > MAX_METADATA_BYTES {
        return Err(ApiError::too_large(format!(
            "the metadata of a task is at most {MAX_METADATA_BYTES} bytes long"
        )));
    }
    let update = UpdateMetadata {
        metadata: metadata.clone(),
    };
    signal(gateway, &task, SIGNAL_UPDATE_METADATA, &update).await?;
    Ok(TaskRecord {
        metadata: Some(metadata),
        ..task
    })
}

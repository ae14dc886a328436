//! `/v1/files/{file_id}`: what OpenAI's clients ask for when an item of a conversation names a file. A file belongs to
//! the task whose message brought it.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use serde_json::{Value, json};

use crate::{
    access::{Action, Caller},
    api::attachments::of_task,
    app::Gateway,
    attachments,
    error::{ApiError, ErrorBody},
    openai::ids::FileId,
    task::TaskRecord,
};

/// A file of a message.
#[utoipa::path(
    get,
    path = "/v1/files/{file_id}",
    operation_id = "get_file",
    tag = "openai",
    params(("file_id" = String, Path, description = "Id of the file, from an item of a conversation.")),
    responses(
        (status = OK, description = "OpenAI's file.", body = Object),
        (status = "default", description = "OpenAI's error.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn by_id(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let file = file_id(&id)?;
    let task = task_of(&gateway, &caller, &file).await?;
    let _turn = gateway.load.heavy_request(&caller).await?;
    let (attachment, created_at) = attachments::find(&gateway, &task, &file.sha256).await?;
    Ok(Json(json!({
        "id": id, "object": "file", "bytes": attachment.stored_bytes(), "created_at": created_at.as_second(),
        "filename": attachment.name, "purpose": "user_data", "status": "processed",
    })))
}

/// The bytes of a file of a message.
#[utoipa::path(
    get,
    path = "/v1/files/{file_id}/content",
    operation_id = "get_file_content",
    tag = "openai",
    params(("file_id" = String, Path, description = "Id of the file, from an item of a conversation.")),
    responses(
        (status = OK, description = "The bytes.", content_type = "application/octet-stream", body = Vec<u8>),
        (status = "default", description = "OpenAI's error.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn content(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let file = file_id(&id)?;
    let task = task_of(&gateway, &caller, &file).await?;
    of_task(&gateway, &caller, &task, &file.sha256).await
}

fn file_id(text: &str) -> Result<FileId, ApiError> {
    text.parse().map_err(|_| ApiError::not_found("the file"))
}

async fn task_of(gateway: &Gateway, caller: &Caller, file: &FileId) -> Result<TaskRecord, ApiError> {
    let task = gateway.task(caller, Action::ReadTasks, &file.task_id()).await;
    task.map_err(|error| {
        if error.status == StatusCode::NOT_FOUND {
            ApiError::not_found("the file")
        } else {
            error
        }
    })
}

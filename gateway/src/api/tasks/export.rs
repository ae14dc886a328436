//! `GET /tasks/{id}/export`: a task with everything that people see of it, as one document.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::lookup;
use crate::{
    access::{Action, Caller},
    agentex::wire,
    app::Gateway,
    error::{ApiError, ErrorBody},
    messages,
};

/// A task and its messages, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Export<'a> {
    task: &'a wire::Task,
    messages: Vec<wire::TaskMessage<'a>>,
}

/// A task with all its messages, as a file.
#[utoipa::path(
    get,
    path = "/tasks/{task_id}/export",
    operation_id = "export_task",
    tag = "tasks",
    params(("task_id" = String, Path, description = "Id of the task.")),
    responses(
        (status = OK, description = "The task and its messages.", body = Export<'static>),
        (status = "default", description = "An error.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn export(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let record = gateway.task(&caller, Action::ReadTasks, &id).await?;
    let _turn = gateway.load.heavy_request(&caller).await?;
    let task = lookup::with_history(&gateway, &record).await?;
    let messages = Box::pin(messages::messages(&gateway, &record)).await?;
    let export = Export {
        task: &task,
        messages: messages
            .iter()
            .map(|message| wire::TaskMessage::new(&record.id, message))
            .collect(),
    };
    let mut response = Json(export).into_response();
    // The id of a task may contain anything that a header may not.
    let name = HeaderValue::from_static("attachment; filename=\"task.json\"");
    response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
    Ok(response)
}

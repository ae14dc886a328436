//! The parameters of RPC methods.

use axum::http::HeaderMap;
use serde_json::{Map, Value};
use steadfast_attachments::Given;
use steadfast_events::Content;

use crate::{
    access::{Action, Caller},
    agents::AgentEntry,
    api::extractors::{ContentError, read_message},
    app::Gateway,
    attachments,
    error::ApiError,
    task::TaskRecord,
};

/// Longest name of a task, and longest idempotency key.
pub(in crate::api) const MAX_NAME_BYTES: usize = 255;
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// How a request names a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TaskReference {
    Id(String),
    Name(String),
}

/// What `task_id` or `task_name` says; at most one of them may be there.
pub(super) fn task_reference(params: &Map<String, Value>) -> Result<Option<TaskReference>, ApiError> {
    let text = |field: &str| match params.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(ApiError::bad_request(format!("{field} must be a string"))),
    };
    match (text("task_id")?, text("task_name")?) {
        (Some(id), None) => Ok(Some(TaskReference::Id(id))),
        (None, Some(name)) => valid_name(name, "task_name").map(|name| Some(TaskReference::Name(name))),
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(ApiError::bad_request("give one of task_id and task_name")),
    }
}

/// The task that `task_id` or `task_name` names, if it is one of the agent's.
pub(super) async fn task(
    gateway: &Gateway,
    caller: &Caller,
    agent: &AgentEntry,
    params: &Map<String, Value>,
) -> Result<TaskRecord, ApiError> {
    let id = match task_reference(params)? {
        Some(TaskReference::Id(id)) => id,
        Some(TaskReference::Name(name)) => agent.named_task_id(caller.name(), &name).to_string(),
        None => return Err(ApiError::bad_request("task_id or task_name is required")),
    };
    let task = gateway.task(caller, Action::WriteTasks, &id).await?;
    if task.agent == agent.name {
        Ok(task)
    } else {
        Err(ApiError::not_found("the task"))
    }
}

/// The name of a new task; `None` for a task without a name.
pub(super) fn name(params: &Map<String, Value>) -> Result<Option<String>, ApiError> {
    match params.get("name") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(name)) => valid_name(name.clone(), "name").map(Some),
        Some(_) => Err(ApiError::bad_request("name must be a string")),
    }
}

fn valid_name(name: String, field: &str) -> Result<String, ApiError> {
    if (1..=MAX_NAME_BYTES).contains(&name.len()) {
        Ok(name)
    } else {
        Err(ApiError::bad_request(format!(
            "{field} must be a string of 1 to {MAX_NAME_BYTES} bytes"
        )))
    }
}

/// The content of a message, and what it brings along.
pub(super) fn content(params: &Map<String, Value>) -> Result<(Content, Vec<Given>), ApiError> {
    read_message(params.get("content")).map_err(|error| match error {
        ContentError::Attachment(refusal) => attachments::refused(refusal),
        ContentError::TooLarge => ApiError::too_large(error.to_string()),
        error => ApiError::bad_request(error.to_string()),
    })
}

/// A field that is absent or an object of limited length.
pub(super) fn object(params: &Map<String, Value>, field: &str, max_bytes: usize) -> Result<Option<Value>, ApiError> {
    match params.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(object @ Value::Object(_)) => {
            if object.to_string().len() > max_bytes {
                return Err(ApiError::too_large(format!(
                    "{field} is at most {max_bytes} bytes long"
                )));
            }
            Ok(Some(object.clone()))
        }
        Some(_) => Err(ApiError::bad_request(format!("{field} must be an object"))),
    }
}

pub(in crate::api) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(key) if (1..=MAX_NAME_BYTES).contains(&key.len()) => Ok(Some(key)),
        _ => Err(ApiError::bad_request(format!(
            "Idempotency-Key must be 1 to {MAX_NAME_BYTES} printable ASCII characters"
        ))),
    }
}

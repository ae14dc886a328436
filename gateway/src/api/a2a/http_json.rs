//! The HTTP+JSON binding.
//! Source: A2A 1.0, sections 5.3 and 11.

use std::sync::Arc;

use a2a_types::{CancelTaskRequest, GetTaskRequest, ListTasksRequest, SendMessageRequest, SubscribeToTaskRequest};
use axum::{
    Extension,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use serde::Deserialize;
use serde_json::json;

use super::{
    AgentPath, VersionQuery, agent, no_extended_card,
    operations::{Call, Sent, Wait, history_length},
    push_not_supported, refusal, require_version,
    rpc::read,
    wire::Binding,
};
use crate::{
    a2a::{errors, turn::Artifacts},
    access::Session,
    api::extractors::{Params, UnreadBody},
    app::Gateway,
    error::{ApiError, ErrorBody},
};

const SEND: &str = "message:send";
const STREAM: &str = "message:stream";
const CANCEL: &str = "cancel";
const SUBSCRIBE: &str = "subscribe";

/// Sends a message, and answers with its task: when it has ended or waits for a person (`message:send`), or as
/// server-sent events (`message:stream`).
#[utoipa::path(
    post,
    path = "/a2a/{namespace}/{agent}/{operation}",
    operation_id = "send_a2a_message",
    tag = "a2a",
    params(
        ("namespace" = String, Path, description = "Kubernetes namespace of the agent."),
        ("agent" = String, Path, description = "Name of the agent."),
        ("operation" = String, Path, description = "`message:send` or `message:stream`."),
        VersionQuery,
        ("A2A-Version" = Option<String>, Header, description = "`1.0`."),
    ),
    request_body(content = Object, description = "A2A's SendMessageRequest."),
    responses(
        (status = OK, description = "A2A's SendMessageResponse, or server-sent events of StreamResponse.", body = Object),
        (status = "default", description = "`google.rpc.Status` as JSON.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn message(
    State(gateway): State<Arc<Gateway>>,
    Extension(session): Extension<Session>,
    Path((namespace, name, operation)): Path<(String, String, String)>,
    Params(version): Params<VersionQuery>,
    headers: HeaderMap,
    body: UnreadBody,
) -> Result<Response, ApiError> {
    let agent = agent(&gateway, &session.caller, (namespace, name)).await?;
    require_version(&headers, &version)?;
    if !matches!(operation.as_str(), SEND | STREAM) {
        return Err(no_such_path(&operation));
    }
    let body = body.read(&gateway, &session.caller).await?;
    let value = body.value().map_err(|message| refusal(errors::PARSE_ERROR, message))?;
    let request: SendMessageRequest = read(value)?;
    let configuration = request.configuration.as_ref();
    let length = history_length(configuration.and_then(|configuration| configuration.history_length))?;
    let call = Call {
        gateway,
        session,
        agent,
        headers,
    };
    let is_streamed = operation == STREAM;
    let wait = if is_streamed { Wait::Always } else { Wait::IfAsked };
    match call.send(request, wait).await? {
        Sent::Followed(following) if is_streamed => Ok(Binding::Http.stream(following)),
        Sent::Followed(following) => Ok(Binding::Http.when_settled(following, length).await),
        Sent::AsItIs(turn) => Ok(Binding::Http.result(json!({"task": turn.task(length, Artifacts::Shown)}))),
    }
}

/// The tasks of an agent that the caller may see, the latest status first. Those of the 100 newest conversations are
/// searched.
#[utoipa::path(
    get,
    path = "/a2a/{namespace}/{agent}/tasks",
    operation_id = "list_a2a_tasks",
    tag = "a2a",
    params(
        ("namespace" = String, Path, description = "Kubernetes namespace of the agent."),
        ("agent" = String, Path, description = "Name of the agent."),
        VersionQuery,
        ("A2A-Version" = Option<String>, Header, description = "`1.0`."),
        ("contextId" = Option<String>, Query, description = "Only tasks of this context."),
        ("status" = Option<String>, Query, description = "Only tasks in this state, such as `TASK_STATE_WORKING`."),
        ("pageSize" = Option<i32>, Query, description = "Tasks of a page: 50 by default, and at most 100."),
        ("pageToken" = Option<String>, Query, description = "`nextPageToken` of the page before."),
        ("historyLength" = Option<i32>, Query, description = "How many of the latest messages each task has; all by default."),
        ("statusTimestampAfter" = Option<String>, Query, description = "Only tasks whose status is of this time or later."),
        ("includeArtifacts" = Option<bool>, Query, description = "Whether tasks have their artifacts; not by default."),
    ),
    responses(
        (status = OK, description = "A2A's ListTasksResponse.", body = Object),
        (status = "default", description = "`google.rpc.Status` as JSON.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn list(
    State(gateway): State<Arc<Gateway>>,
    Extension(session): Extension<Session>,
    Path(path): Path<AgentPath>,
    Params(version): Params<VersionQuery>,
    Params(request): Params<ListTasksRequest>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let agent = agent(&gateway, &session.caller, path).await?;
    require_version(&headers, &version)?;
    let call = Call {
        gateway,
        session,
        agent,
        headers,
    };
    Ok(Binding::Http.result(json!(call.list(request).await?)))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::api) struct TaskQuery {
    history_length: Option<i32>,
}

/// One task; or, with `:subscribe` after its id, what follows as server-sent events.
#[utoipa::path(
    get,
    path = "/a2a/{namespace}/{agent}/tasks/{task}",
    operation_id = "get_a2a_task",
    tag = "a2a",
    params(
        ("namespace" = String, Path, description = "Kubernetes namespace of the agent."),
        ("agent" = String, Path, description = "Name of the agent."),
        ("task" = String, Path, description = "Id of the task, or the id and `:subscribe`."),
        VersionQuery,
        ("A2A-Version" = Option<String>, Header, description = "`1.0`."),
        ("historyLength" = Option<i32>, Query, description = "How many of the latest messages the task has; all by default."),
    ),
    responses(
        (status = OK, description = "A2A's Task, or server-sent events of StreamResponse.", body = Object),
        (status = "default", description = "`google.rpc.Status` as JSON.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn task(
    State(gateway): State<Arc<Gateway>>,
    Extension(session): Extension<Session>,
    Path((namespace, name, task)): Path<(String, String, String)>,
    Params(version): Params<VersionQuery>,
    Params(query): Params<TaskQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let agent = agent(&gateway, &session.caller, (namespace, name)).await?;
    require_version(&headers, &version)?;
    let call = Call {
        gateway,
        session,
        agent,
        headers,
    };
    match task.split_once(':') {
        None => {
            let request = GetTaskRequest {
                id: task,
                history_length: query.history_length,
                tenant: None,
            };
            Ok(Binding::Http.result(json!(call.get(&request).await?)))
        }
        Some((id, SUBSCRIBE)) => subscribe(&call, id).await,
        Some(_) => Err(no_such_path(&task)),
    }
}

/// `:cancel` after the id of a task stops it; `:subscribe` answers with what follows as server-sent events.
#[utoipa::path(
    post,
    path = "/a2a/{namespace}/{agent}/tasks/{task}",
    operation_id = "act_on_a2a_task",
    tag = "a2a",
    params(
        ("namespace" = String, Path, description = "Kubernetes namespace of the agent."),
        ("agent" = String, Path, description = "Name of the agent."),
        ("task" = String, Path, description = "Id of the task, and `:cancel` or `:subscribe`."),
        VersionQuery,
        ("A2A-Version" = Option<String>, Header, description = "`1.0`."),
    ),
    responses(
        (status = OK, description = "A2A's Task, or server-sent events of StreamResponse.", body = Object),
        (status = "default", description = "`google.rpc.Status` as JSON.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn act(
    State(gateway): State<Arc<Gateway>>,
    Extension(session): Extension<Session>,
    Path((namespace, name, task)): Path<(String, String, String)>,
    Params(version): Params<VersionQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    // The path says all: metadata in the body has no meaning here.
    let agent = agent(&gateway, &session.caller, (namespace, name)).await?;
    require_version(&headers, &version)?;
    let call = Call {
        gateway,
        session,
        agent,
        headers,
    };
    match task.split_once(':') {
        Some((id, CANCEL)) => {
            let request = CancelTaskRequest {
                id: id.to_owned(),
                metadata: None,
                tenant: None,
            };
            Ok(Binding::Http.result(json!(call.cancel(&request).await?)))
        }
        Some((id, SUBSCRIBE)) => subscribe(&call, id).await,
        _ => Err(no_such_path(&task)),
    }
}

async fn subscribe(call: &Call, id: &str) -> Result<Response, ApiError> {
    let request = SubscribeToTaskRequest {
        id: id.to_owned(),
        tenant: None,
    };
    Ok(Binding::Http.stream(call.subscribe(&request).await?))
}

/// Push notifications are not supported.
#[utoipa::path(
    post,
    path = "/a2a/{namespace}/{agent}/tasks/{task}/pushNotificationConfigs",
    operation_id = "create_a2a_push_config",
    tag = "a2a",
    params(
        ("namespace" = String, Path, description = "Kubernetes namespace of the agent."),
        ("agent" = String, Path, description = "Name of the agent."),
        ("task" = String, Path, description = "Id of the task."),
    ),
    responses((status = BAD_REQUEST, description = "Not supported.", body = ErrorBody)),
)]
pub(in crate::api) async fn push(
    State(gateway): State<Arc<Gateway>>,
    Extension(session): Extension<Session>,
    Path(path): Path<Vec<String>>,
    Params(version): Params<VersionQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    refused(&gateway, &session, path, &version, &headers, push_not_supported()).await
}

/// Push notifications are not supported.
#[utoipa::path(
    get,
    path = "/a2a/{namespace}/{agent}/tasks/{task}/pushNotificationConfigs",
    operation_id = "list_a2a_push_configs",
    tag = "a2a",
    params(
        ("namespace" = String, Path, description = "Kubernetes namespace of the agent."),
        ("agent" = String, Path, description = "Name of the agent."),
        ("task" = String, Path, description = "Id of the task."),
    ),
    responses((status = BAD_REQUEST, description = "Not supported.", body = ErrorBody)),
)]
pub(in crate::api) async fn push_configs(
    State(gateway): State<Arc<Gateway>>,
    Extension(session): Extension<Session>,
    Path(path): Path<Vec<String>>,
    Params(version): Params<VersionQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    refused(&gateway, &session, path, &version, &headers, push_not_supported()).await
}

/// An agent has one card.
#[utoipa::path(
    get,
    path = "/a2a/{namespace}/{agent}/extendedAgentCard",
    operation_id = "get_extended_agent_card",
    tag = "a2a",
    params(
        ("namespace" = String, Path, description = "Kubernetes namespace of the agent."),
        ("agent" = String, Path, description = "Name of the agent."),
    ),
    responses((status = BAD_REQUEST, description = "Not supported.", body = ErrorBody)),
)]
pub(in crate::api) async fn extended_card(
    State(gateway): State<Arc<Gateway>>,
    Extension(session): Extension<Session>,
    Path(path): Path<Vec<String>>,
    Params(version): Params<VersionQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    refused(&gateway, &session, path, &version, &headers, no_extended_card()).await
}

/// What no agent has; who may not use the agent is not told so.
async fn refused(
    gateway: &Gateway,
    session: &Session,
    path: Vec<String>,
    version: &VersionQuery,
    headers: &HeaderMap,
    error: ApiError,
) -> Result<Response, ApiError> {
    let mut path = path.into_iter();
    let path = (path.next().unwrap_or_default(), path.next().unwrap_or_default());
    agent(gateway, &session.caller, path).await?;
    require_version(headers, version)?;
    Err(error)
}

fn no_such_path(path: &str) -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        format!("there is no {path:?} here; operations are message:send, message:stream, tasks/ID:cancel and tasks/ID:subscribe"),
    )
    .code(errors::METHOD_NOT_FOUND)
}

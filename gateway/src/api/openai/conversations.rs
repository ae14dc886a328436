//! `/v1/conversations`: a task as a conversation. It belongs to an agent from its first response on; until then
//! only its id exists.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::IntoParams;
use uuid::Uuid;

use super::read_metadata;
use crate::{
    access::{Action, Caller},
    api::{
        extractors::{Params, UnreadBody},
        tasks::{erase::erase, metadata::replace_metadata},
    },
    app::Gateway,
    error::{ApiError, ErrorBody},
    messages,
    openai::{
        ids::ConversationId,
        transcript::{Order, Slice, items_of},
    },
    start::{NewTask, start_task},
    task::TaskRecord,
};

/// The member of `metadata` that names the agent of a new conversation.
const AGENT: &str = "agent";

#[derive(Debug, Default, Deserialize)]
struct CreateBody {
    items: Option<Vec<Value>>,
    metadata: Option<Map<String, Value>>,
}

/// Makes the id of a conversation, which its first response uses. With `metadata`, which names the agent as `agent`,
/// the task begins at once.
#[utoipa::path(
    post,
    path = "/v1/conversations",
    operation_id = "create_conversation",
    tag = "openai",
    request_body(content = Option<Object>, description = "OpenAI's request; `metadata.agent` is the name of an agent."),
    responses(
        (status = OK, description = "OpenAI's conversation.", body = Object),
        (status = "default", description = "OpenAI's error.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn create(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: UnreadBody,
) -> Result<Json<Value>, ApiError> {
    let body = body.read(&gateway, &caller).await?;
    let CreateBody { items, metadata } = body.read()?;
    if items.is_some_and(|items| !items.is_empty()) {
        return Err(
            ApiError::bad_request("give the items to the first response: an agent answers every message")
                .param("items")
                .code("unsupported_parameter"),
        );
    }
    let id = ConversationId(Uuid::now_v7());
    let now = Timestamp::now().as_second();
    let Some(metadata) = metadata.filter(|metadata| !metadata.is_empty()) else {
        return Ok(Json(conversation(id, now, &json!({}))));
    };
    let Some(agent) = metadata.get(AGENT).and_then(Value::as_str) else {
        return Err(ApiError::bad_request(
            "a conversation belongs to an agent: name it as metadata.agent, or leave metadata out and give it to the \
             first response",
        )
        .param("metadata"));
    };
    let agent = gateway.agents.by_client_name(agent);
    let agent = gateway.agent(&caller, Action::WriteTasks, agent).await;
    let agent = agent.map_err(|error| error.param("metadata"))?;
    let metadata = read_metadata(Some(metadata))?;
    let task = NewTask {
        id: &id.task_id(),
        name: None,
        params: None,
        metadata: metadata.as_ref(),
        may_be_repeated: false,
    };
    start_task(&gateway, &caller, &agent, &headers, &task).await?;
    Ok(Json(conversation(id, now, &metadata.unwrap_or_else(|| json!({})))))
}

/// One conversation.
#[utoipa::path(
    get,
    path = "/v1/conversations/{conversation_id}",
    operation_id = "get_conversation",
    tag = "openai",
    params(("conversation_id" = String, Path, description = "Id of the conversation.")),
    responses(
        (status = OK, description = "OpenAI's conversation.", body = Object),
        (status = "default", description = "OpenAI's error.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn by_id(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let id = conversation_id(&id)?;
    Ok(Json(match begun(&gateway, &caller, Action::ReadTasks, id).await? {
        Some(task) => {
            let metadata = task.metadata.unwrap_or_else(|| json!({}));
            conversation(id, task.created_at.as_second(), &metadata)
        }
        None => conversation(id, id.made_at().unwrap_or_default(), &json!({})),
    }))
}

#[derive(Debug, Default, Deserialize)]
struct UpdateBody {
    metadata: Option<Map<String, Value>>,
}

/// Replaces the metadata of a conversation that has begun.
#[utoipa::path(
    post,
    path = "/v1/conversations/{conversation_id}",
    operation_id = "update_conversation",
    tag = "openai",
    params(("conversation_id" = String, Path, description = "Id of the conversation.")),
    request_body(content = Object, description = "OpenAI's request: `metadata`."),
    responses(
        (status = OK, description = "OpenAI's conversation.", body = Object),
        (status = "default", description = "OpenAI's error.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn update(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    body: UnreadBody,
) -> Result<Json<Value>, ApiError> {
    let id = conversation_id(&id)?;
    let task = begun(&gateway, &caller, Action::WriteTasks, id).await?;
    let body = body.read(&gateway, &caller).await?;
    let UpdateBody { metadata } = body.read()?;
    let metadata =
        read_metadata(metadata)?.ok_or_else(|| ApiError::bad_request("metadata is required").param("metadata"))?;
    let task = task.ok_or_else(|| {
        ApiError::bad_request("the conversation has not begun: give its metadata with its first response")
            .param("metadata")
    })?;
    let created_at = task.created_at.as_second();
    let task = replace_metadata(&gateway, task, metadata).await;
    let task = task.map_err(|error| error.param("metadata"))?;
    Ok(Json(conversation(
        id,
        created_at,
        task.metadata.as_ref().unwrap_or(&Value::Null),
    )))
}

/// Erases a conversation with all that belongs to it.
#[utoipa::path(
    delete,
    path = "/v1/conversations/{conversation_id}",
    operation_id = "delete_conversation",
    tag = "openai",
    params(("conversation_id" = String, Path, description = "Id of the conversation.")),
    responses(
        (status = OK, description = "OpenAI's acknowledgement.", body = Object),
        (status = "default", description = "OpenAI's error.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn delete(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let id = conversation_id(&id)?;
    if let Some(task) = begun(&gateway, &caller, Action::DeleteTasks, id).await? {
        erase(&gateway, task).await?;
    }
    Ok(Json(
        json!({"id": id.to_string(), "object": "conversation.deleted", "deleted": true}),
    ))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct Paging {
    /// Id of the last item of the page before.
    after: Option<String>,
    /// Items of a page: 20 by default, and at most 100.
    limit: Option<usize>,
    /// `desc` (the default) or `asc`.
    #[param(value_type = Option<String>)]
    order: Option<Order>,
}

impl Paging {
    /// The page of a list whose elements are in ascending order.
    pub(super) fn page(&self, list: Vec<Value>) -> Result<Value, ApiError> {
        let slice = Slice {
            after: self.after.as_deref(),
            limit: self.limit,
            order: self.order.unwrap_or_default(),
        };
        slice
            .of(list)
            .map_err(|error| ApiError::bad_request(error.to_string()).param(error.param()))
    }
}

/// What was said in a conversation.
#[utoipa::path(
    get,
    path = "/v1/conversations/{conversation_id}/items",
    operation_id = "list_conversation_items",
    tag = "openai",
    params(("conversation_id" = String, Path, description = "Id of the conversation."), Paging),
    responses(
        (status = OK, description = "OpenAI's list of items.", body = Object),
        (status = "default", description = "OpenAI's error.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn items(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Params(paging): Params<Paging>,
) -> Result<Json<Value>, ApiError> {
    let items = all_items(&gateway, &caller, &id).await?;
    let slice = Slice {
        after: paging.after.as_deref(),
        limit: paging.limit,
        order: paging.order.unwrap_or_default(),
    };
    let list = slice
        .of(items)
        .map_err(|error| ApiError::bad_request(error.to_string()).param(error.param()))?;
    Ok(Json(list))
}

/// One item of a conversation.
#[utoipa::path(
    get,
    path = "/v1/conversations/{conversation_id}/items/{item_id}",
    operation_id = "get_conversation_item",
    tag = "openai",
    params(
        ("conversation_id" = String, Path, description = "Id of the conversation."),
        ("item_id" = String, Path, description = "Id of the item."),
    ),
    responses(
        (status = OK, description = "OpenAI's item.", body = Object),
        (status = "default", description = "OpenAI's error.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn item(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path((id, item_id)): Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    let items = all_items(&gateway, &caller, &id).await?;
    let item = items.into_iter().find(|item| item["id"] == *item_id);
    item.map(Json).ok_or_else(|| ApiError::not_found("the item"))
}

async fn all_items(gateway: &Gateway, caller: &Caller, id: &str) -> Result<Vec<Value>, ApiError> {
    let id = conversation_id(id)?;
    let Some(task) = begun(gateway, caller, Action::ReadTasks, id).await? else {
        return Ok(Vec::new());
    };
    let _turn = gateway.load.heavy_request(caller).await?;
    let messages = messages::messages(gateway, &task).await?;
    Ok(items_of(&messages, &gateway.agents.naming().client_name(&task.agent)))
}

/// The task of a conversation; `None` if no response has used its id yet.
pub(super) async fn begun(
    gateway: &Gateway,
    caller: &Caller,
    action: Action,
    id: ConversationId,
) -> Result<Option<TaskRecord>, ApiError> {
    match gateway.task(caller, action, &id.task_id()).await {
        Ok(task) => Ok(Some(task)),
        Err(error) if error.status == StatusCode::NOT_FOUND => {
            if id.may_begin_at(Timestamp::now().as_second()) {
                Ok(None)
            } else {
                Err(ApiError::not_found("the conversation"))
            }
        }
        Err(error) => Err(error),
    }
}

fn conversation_id(text: &str) -> Result<ConversationId, ApiError> {
    text.parse().map_err(|_| ApiError::not_found("the conversation"))
}

fn conversation(id: ConversationId, created_at: i64, metadata: &Value) -> Value {
    json!({"id": id.to_string(), "object": "conversation", "created_at": created_at, "metadata": metadata})
}

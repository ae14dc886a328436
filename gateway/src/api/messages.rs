//! `/messages`: the messages of a task.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{extractors::Params, paging::Page};
use crate::{
    access::{Action, Caller},
    agentex::wire,
    app::Gateway,
    error::{ApiError, ErrorBody},
    messages,
};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Required.
    task_id: Option<String>,
    /// `created_at`, the only order.
    order_by: Option<String>,
    /// `desc` (the default) or `asc`.
    #[param(value_type = Option<String>)]
    order_direction: Option<OrderDirection>,
    /// Not supported.
    filters: Option<String>,
    // `#[serde(flatten)]` would read the numbers as strings.
    /// Entries of a page; 50 by default, and at most 1000.
    limit: Option<usize>,
    /// Counts from 1. Pages end at the 10,000th entry.
    page_number: Option<usize>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum OrderDirection {
    Asc,
    #[default]
    Desc,
}

/// The messages of a task, newest first unless asked otherwise.
#[utoipa::path(
    get,
    path = "/messages",
    operation_id = "list_messages",
    tag = "messages",
    params(Filter),
    responses(
        (status = OK, description = "A page of the messages.", body = Vec<wire::TaskMessage<'static>>),
        (status = "default", description = "An error.", body = ErrorBody),
    ),
)]
pub(super) async fn list(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Params(filter): Params<Filter>,
) -> Result<Response, ApiError> {
    let task_id = filter
        .task_id
        .ok_or_else(|| ApiError::bad_request("task_id is required"))?;
    if filter.filters.is_some() {
        return Err(ApiError::bad_request("filters are not supported"));
    }
    if filter.order_by.is_some_and(|field| field != "created_at") {
        return Err(ApiError::bad_request("messages can be ordered by created_at only"));
    }
    let page = Page::new(filter.limit, filter.page_number);
    page.bounds()?;
    let task = gateway.task(&caller, Action::ReadTasks, &task_id).await?;
    let _turn = gateway.load.heavy_request(&caller).await?;
    // The order of the log is the order of creation, also of messages with equal times.
    let mut messages = messages::messages(&gateway, &task).await?;
    if filter.order_direction.unwrap_or_default() == OrderDirection::Desc {
        messages.reverse();
    }
    let messages = page.apply(messages)?;
    let messages: Vec<_> = messages
        .iter()
        .map(|message| wire::TaskMessage::new(&task.id, message))
        .collect();
    Ok(Json(messages).into_response())
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TaskId {
    /// Required.
    task_id: Option<String>,
}

/// One message, with the whole of a large result of a tool. Message ids are unique within a task only, so the task is
/// required.
#[utoipa::path(
    get,
    path = "/messages/{message_id}",
    operation_id = "get_message",
    tag = "messages",
    params(("message_id" = String, Path, description = "Id of the message."), TaskId),
    responses(
        (status = OK, description = "The message.", body = wire::TaskMessage<'static>),
        (status = "default", description = "An error.", body = ErrorBody),
    ),
)]
pub(super) async fn by_id(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(message_id): Path<String>,
    Params(TaskId { task_id }): Params<TaskId>,
) -> Result<Response, ApiError> {
    let task_id = task_id.ok_or_else(|| ApiError::bad_request("task_id is required to find a message"))?;
    let task = gateway.task(&caller, Action::ReadTasks, &task_id).await?;
    let _turn = gateway.load.heavy_request(&caller).await?;
    let messages = messages::messages(&gateway, &task).await?;
    let message = messages.into_iter().find(|message| message.id == message_id);
    let message = message.ok_or_else(|| ApiError::not_found("the message"))?;
    let message = messages::whole(&gateway, &task, message).await?;
    Ok(Json(wire::TaskMessage::new(&task.id, &message)).into_response())
}

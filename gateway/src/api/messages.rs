//! `/messages`: the messages of a task.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use steadfast_bounds::json;
use steadfast_events::Message;
use utoipa::{IntoParams, ToSchema};

use super::{
    extractors::Params,
    paging::{OrderDirection, Page},
};
use crate::{
    access::{Action, Caller},
    agentex::{message_filter::MessageFilters, wire},
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
    /// A JSON list of partial messages such as `[{"content": {"type": "text"}}]`; those with `"exclude": true` leave
    /// messages out.
    filters: Option<String>,
    // `#[serde(flatten)]` would read the numbers as strings.
    /// Entries of a page; 50 by default, and at most 1000.
    limit: Option<usize>,
    /// Counts from 1. Pages end at the 10,000th entry.
    page_number: Option<usize>,
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
    let filters = read_filters(filter.filters.as_deref())?;
    if filter.order_by.is_some_and(|field| field != "created_at") {
        return Err(ApiError::bad_request("messages can be ordered by created_at only"));
    }
    let page = Page::new(filter.limit, filter.page_number);
    page.bounds()?;
    let task = gateway.task(&caller, Action::ReadTasks, &task_id).await?;
    let _turn = gateway.load.heavy_request(&caller).await?;
    // The order of the log is the order of creation, also of messages with equal times.
    let mut messages = messages::messages(&gateway, &task).await?;
    if filter.order_direction.unwrap_or(OrderDirection::Desc) == OrderDirection::Desc {
        messages.reverse();
    }
    let messages = wanted(&task.id, &messages, &filters)?;
    Ok(Json(page.apply(messages)?).into_response())
}

fn read_filters(text: Option<&str>) -> Result<MessageFilters, ApiError> {
    let filters = text.map(MessageFilters::read).transpose();
    Ok(filters
        .map_err(|error| ApiError::bad_request(error.to_string()))?
        .unwrap_or_default())
}

/// The messages that the filters want, as clients see them.
fn wanted<'a>(
    task_id: &'a str,
    messages: &'a [Message],
    filters: &MessageFilters,
) -> Result<Vec<wire::TaskMessage<'a>>, ApiError> {
    let mut wanted = Vec::new();
    for message in messages {
        let message = wire::TaskMessage::new(task_id, message);
        if *filters == MessageFilters::default() || filters.matches(&serde_json::to_value(&message)?) {
            wanted.push(message);
        }
    }
    Ok(wanted)
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct CursorFilter {
    /// Required.
    task_id: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// `older` (the default): from the newest message, or from the cursor, into the past. `newer`: from the oldest, or
    /// from the cursor, towards now.
    #[param(value_type = Option<String>)]
    direction: Option<Direction>,
    /// As in `GET /messages`.
    filters: Option<String>,
    /// Messages of a page; 50 by default, and at most 1000.
    limit: Option<usize>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Direction {
    #[default]
    Older,
    Newer,
}

/// A position between messages, opaque to clients.
#[derive(Debug, Deserialize, Serialize)]
struct Cursor {
    /// Version of its form.
    v: u32,
    /// The last message of the page before.
    id: String,
}

/// A page of messages, and where the next one begins.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CursorPage<'a> {
    data: Vec<wire::TaskMessage<'a>>,
    next_cursor: Option<String>,
    has_more: bool,
}

/// The messages of a task, page by page.
#[utoipa::path(
    get,
    path = "/messages/paginated",
    operation_id = "list_messages_paginated",
    tag = "messages",
    params(CursorFilter),
    responses(
        (status = OK, description = "A page of the messages.", body = CursorPage<'static>),
        (status = "default", description = "An error.", body = ErrorBody),
    ),
)]
pub(super) async fn paginated(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Params(filter): Params<CursorFilter>,
) -> Result<Response, ApiError> {
    let task_id = filter
        .task_id
        .ok_or_else(|| ApiError::bad_request("task_id is required"))?;
    let filters = read_filters(filter.filters.as_deref())?;
    let (_, limit) = Page::new(filter.limit, None).bounds()?;
    let cursor = filter.cursor.as_deref().map(read_cursor).transpose()?;
    let task = gateway.task(&caller, Action::ReadTasks, &task_id).await?;
    let _turn = gateway.load.heavy_request(&caller).await?;
    let mut messages = messages::messages(&gateway, &task).await?;
    if filter.direction.unwrap_or_default() == Direction::Older {
        messages.reverse();
    }
    if let Some(cursor) = cursor {
        let place = messages.iter().position(|message| message.id == cursor.id);
        let place = place.ok_or_else(|| ApiError::bad_request("the message of the cursor is gone"))?;
        messages.drain(..=place);
    }
    let mut data = wanted(&task.id, &messages, &filters)?;
    let has_more = data.len() > limit;
    data.truncate(limit);
    let next_cursor = match data.last() {
        Some(last) if has_more => Some(write_cursor(last.id.message)?),
        _ => None,
    };
    Ok(Json(CursorPage {
        data,
        next_cursor,
        has_more,
    })
    .into_response())
}

fn read_cursor(text: &str) -> Result<Cursor, ApiError> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok();
    let cursor: Option<Cursor> = bytes.and_then(|bytes| json::read(&bytes).ok());
    cursor
        .filter(|cursor| cursor.v == 1)
        .ok_or_else(|| ApiError::bad_request("cursor must be next_cursor of a page"))
}

fn write_cursor(id: &str) -> Result<String, ApiError> {
    let cursor = Cursor {
        v: 1,
        id: id.to_owned(),
    };
    Ok(URL_SAFE_NO_PAD.encode(serde_json::to_vec(&cursor)?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TaskId {
    /// The task, where the id is that of the log, which does not name it.
    task_id: Option<String>,
}

/// One message, with the whole of a large result of a tool.
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
    let id = read_id(&message_id, task_id.as_deref())?;
    let task = gateway.task(&caller, Action::ReadTasks, id.task).await?;
    let _turn = gateway.load.heavy_request(&caller).await?;
    let messages = messages::messages(&gateway, &task).await?;
    let message = messages.into_iter().find(|message| message.id == id.message);
    let message = message.ok_or_else(|| ApiError::not_found("the message"))?;
    let message = messages::whole(&gateway, &task, message).await?;
    Ok(Json(wire::TaskMessage::new(&task.id, &message)).into_response())
}

/// The id of a message as clients give it: with its task, or that of the log, which does not name it.
pub(super) fn read_id<'a>(id: &'a str, task: Option<&'a str>) -> Result<wire::MessageId<'a>, ApiError> {
    match (wire::MessageId::parse(id), task) {
        (Some(id), _) => Ok(id),
        (None, Some(task)) => Ok(wire::MessageId { task, message: id }),
        (None, None) => Err(ApiError::bad_request(
            "the id of a message is <task>.<message>; give the task of any other one as task_id",
        )),
    }
}

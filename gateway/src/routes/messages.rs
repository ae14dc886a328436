//! `/messages`

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use serde::Deserialize;

use super::page::Page;
use crate::{
    access::{Action, Caller},
    error::ApiError,
    gateway::Gateway,
    inbound::Params,
    transcript, wire,
};

#[derive(Debug, Deserialize)]
pub struct Selection {
    task_id: Option<String>,
    order_by: Option<String>,
    order_direction: Option<OrderDirection>,
    filters: Option<String>,
    // `#[serde(flatten)]` would read numbers as text.
    limit: Option<usize>,
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
pub async fn list(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Params(selection): Params<Selection>,
) -> Result<Json<Vec<wire::TaskMessage>>, ApiError> {
    let task_id = selection
        .task_id
        .ok_or_else(|| ApiError::bad_request("task_id is required"))?;
    if selection.filters.is_some() {
        return Err(ApiError::bad_request("filters are not supported"));
    }
    if selection.order_by.is_some_and(|field| field != "created_at") {
        return Err(ApiError::bad_request("messages can be ordered by created_at only"));
    }
    let page = Page::new(selection.limit, selection.page_number);
    page.bounds()?;
    let task = gateway.task(&caller, Action::ReadTasks, &task_id).await?;
    // The log's order is the order of creation, and exact where two times are equal.
    let mut messages = transcript::messages(&gateway, &task).await?;
    if selection.order_direction.unwrap_or_default() == OrderDirection::Desc {
        messages.reverse();
    }
    let messages = page.apply(messages)?;
    Ok(Json(
        messages
            .iter()
            .map(|message| wire::TaskMessage::new(&task.id, message))
            .collect(),
    ))
}

#[derive(Debug, Deserialize)]
pub struct OfTask {
    task_id: Option<String>,
}

/// One message. Ids are unique within a task, so the task must be named.
pub async fn by_id(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(message_id): Path<String>,
    Params(OfTask { task_id }): Params<OfTask>,
) -> Result<Json<wire::TaskMessage>, ApiError> {
    let task_id = task_id.ok_or_else(|| ApiError::bad_request("task_id is required to find a message"))?;
    let task = gateway.task(&caller, Action::ReadTasks, &task_id).await?;
    let messages = transcript::messages(&gateway, &task).await?;
    let message = messages.iter().find(|message| message.id == message_id);
    let message = message.ok_or_else(|| ApiError::not_found("the message"))?;
    Ok(Json(wire::TaskMessage::new(&task.id, message)))
}

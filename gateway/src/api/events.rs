//! `/events`: the messages that users have sent to a task, as Agentex's events.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Extension, Json,
    extract::{Path, State},
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;
use steadfast_events::{Author, EventKind, LogId, Message};
use utoipa::IntoParams;

use super::{extractors::Params, messages::read_id, paging::Page};
use crate::{
    access::{Action, Caller},
    agentex::wire,
    agents::AgentEntry,
    app::Gateway,
    error::{ApiError, ErrorBody},
    messages,
    task::TaskRecord,
};

/// Pages of a log that are searched for the numbers of its events.
const MAX_PAGES: usize = 100;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Required.
    task_id: Option<String>,
    /// The agent of the task.
    agent_id: Option<String>,
    /// Only the events after this one.
    last_processed_event_id: Option<String>,
    /// Events of a page; 50 by default, and at most 1000.
    limit: Option<usize>,
}

/// The messages of users that a task has accepted, oldest first.
#[utoipa::path(
    get,
    path = "/events",
    operation_id = "list_events",
    tag = "events",
    params(Filter),
    responses(
        (status = OK, description = "A page of the events.", body = Vec<wire::Event<'static>>),
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
    let (_, limit) = Page::new(filter.limit, None).bounds()?;
    let last = filter.last_processed_event_id.as_deref();
    let last = last.map(|id| read_id(id, Some(&task_id))).transpose()?;
    let task = gateway.task(&caller, Action::ReadTasks, &task_id).await?;
    let agent = agent_of(&gateway, &task)?;
    if filter.agent_id.is_some_and(|id| id != agent.id.to_string()) {
        return Err(ApiError::not_found("the task of this agent"));
    }
    let _turn = gateway.load.heavy_request(&caller).await?;
    let mut sent = sent(&gateway, &task).await?;
    if let Some(last) = last {
        let place = sent.iter().position(|message| message.id == last.message);
        let place = place.ok_or_else(|| ApiError::bad_request("last_processed_event_id names no event of the task"))?;
        sent.drain(..=place);
    }
    sent.truncate(limit);
    let numbers = numbers(&gateway, &task.own_log()).await?;
    let events = sent.iter().map(|message| event(&task, &agent, message, &numbers));
    Ok(Json(events.collect::<Vec<_>>()).into_response())
}

/// One message of a user.
#[utoipa::path(
    get,
    path = "/events/{event_id}",
    operation_id = "get_event",
    tag = "events",
    params(("event_id" = String, Path, description = "Id of the event, which is that of its message.")),
    responses(
        (status = OK, description = "The event.", body = wire::Event<'static>),
        (status = "default", description = "An error.", body = ErrorBody),
    ),
)]
pub(super) async fn by_id(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(event_id): Path<String>,
) -> Result<Response, ApiError> {
    let id = read_id(&event_id, None)?;
    let task = gateway.task(&caller, Action::ReadTasks, id.task).await?;
    let agent = agent_of(&gateway, &task)?;
    let _turn = gateway.load.heavy_request(&caller).await?;
    let sent = sent(&gateway, &task).await?;
    let message = sent.iter().find(|message| message.id == id.message);
    let message = message.ok_or_else(|| ApiError::not_found("the event"))?;
    let numbers = numbers(&gateway, &task.own_log()).await?;
    Ok(Json(event(&task, &agent, message, &numbers)).into_response())
}

fn agent_of(gateway: &Gateway, task: &TaskRecord) -> Result<Arc<AgentEntry>, ApiError> {
    let agent = gateway.agents.by_name(&task.agent);
    agent.ok_or_else(|| ApiError::not_found("the agent of the task"))
}

async fn sent(gateway: &Gateway, task: &TaskRecord) -> Result<Vec<Message>, ApiError> {
    let mut messages = Box::pin(messages::messages(gateway, task)).await?;
    messages.retain(|message| message.author == Author::User);
    Ok(messages)
}

/// The numbers of the entries that accept messages, by the id of the message, as far as the log still has them.
async fn numbers(gateway: &Gateway, log: &LogId) -> Result<HashMap<String, u64>, ApiError> {
    let mut numbers = HashMap::new();
    let collected = gateway.log.find_back(log, None, MAX_PAGES, |entry| {
        if let EventKind::MessageAccepted { message_id, .. } = &entry.event.kind {
            numbers.insert(message_id.clone(), entry.id.number);
        }
        None::<()>
    });
    match collected.await {
        Ok(_) => {}
        // The numbers are unknown for now.
        Err(error) if error.is_outage() => {}
        Err(error) => return Err(error.into()),
    }
    Ok(numbers)
}

fn event<'a>(
    task: &TaskRecord,
    agent: &AgentEntry,
    message: &'a Message,
    numbers: &HashMap<String, u64>,
) -> wire::Event<'a> {
    wire::Event {
        id: wire::MessageId {
            task: &task.id,
            message: &message.id,
        }
        .to_string(),
        idempotency_key: message.idempotency_key.clone(),
        sequence_id: numbers.get(&message.id).copied().unwrap_or_default(),
        task_id: task.id.clone(),
        agent_id: agent.id.to_string(),
        created_at: message.created_at,
        content: wire::Content::new(message.author, &message.content),
    }
}

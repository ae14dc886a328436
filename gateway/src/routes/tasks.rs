//! `/tasks`

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use futures::{StreamExt as _, TryStreamExt as _};
use serde::Deserialize;
use serde_json::Value;
use steadfast_contract::{
    signals::{CompleteTask, Interrupt, SIGNAL_COMPLETE_TASK, SIGNAL_INTERRUPT},
    start::{StartTask, WORKFLOW_TYPE},
};
use steadfast_payload::unpack;
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{agents, page::Page};
use crate::{
    access::{Action, Caller},
    directory::AgentEntry,
    error::ApiError,
    gateway::Gateway,
    inbound::{BoundedBody, Params},
    task::{TaskRecord, ran_out_of_time},
    temporal::{TemporalError, plain_json},
    wire,
};

/// How long an ending task is waited for, so that the answer tells its end.
const END_LIMIT: Duration = Duration::from_secs(2);
const END_PERIOD: Duration = Duration::from_millis(100);
/// Questions to Temporal at a time, for one request.
const AT_ONCE: usize = 16;

#[derive(Debug, Deserialize)]
pub struct Selection {
    agent_id: Option<String>,
    agent_name: Option<String>,
    status: Option<String>,
    relationships: Option<String>,
    limit: Option<usize>,
    page_number: Option<usize>,
}

/// The tasks the caller may see, newest first; without their `params`.
pub async fn list(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Params(selection): Params<Selection>,
) -> Result<Json<Vec<Value>>, ApiError> {
    let agent = match (&selection.agent_id, &selection.agent_name) {
        (None, None) => None,
        (Some(id), None) => Some(gateway.directory.by_id(id)),
        (None, Some(name)) => Some(gateway.directory.by_client_name(name)),
        (Some(_), Some(_)) => return Err(ApiError::bad_request("give one of agent_id and agent_name")),
    };
    let agent = match agent {
        None => None,
        Some(found) => Some(gateway.agent(&caller, Action::ReadTasks, found).await?),
    };
    let with_agents = selection
        .relationships
        .is_some_and(|names| names.split(',').any(|name| name == "agents"));
    let (mut skip, limit) = Page::new(selection.limit, selection.page_number).bounds()?;
    let query = query(agent.as_ref(), selection.status.as_deref())?;

    let mut tasks = Vec::new();
    let mut token = Vec::new();
    loop {
        let (page, next) = gateway.temporal.list(&query, token).await?;
        for record in page.into_iter().filter_map(TaskRecord::of_info) {
            // A task that works for another is a part of that one's conversation.
            if record.is_nested()
                || agent.as_ref().is_some_and(|agent| agent.name != record.agent)
                || !gateway.is_ours(&record)
                || !gateway.allows(&caller, Action::ReadTasks, &record).await?
            {
                continue;
            }
            if skip > 0 {
                skip -= 1;
                continue;
            }
            tasks.push(summary(&gateway, &record, with_agents)?);
            if tasks.len() == limit {
                return Ok(Json(tasks));
            }
        }
        if next.is_empty() {
            return Ok(Json(tasks));
        }
        token = next;
    }
}

/// Names in a visibility query are quoted; ours hold no quotes, others' do not get in.
fn query(agent: Option<&AgentEntry>, status: Option<&str>) -> Result<String, ApiError> {
    let mut query = format!("WorkflowType = '{WORKFLOW_TYPE}'");
    if let Some(agent) = agent {
        let queue = agent.task_queue.replace(['\'', '\\'], "");
        query = format!("{query} AND TaskQueue = '{queue}'");
    }
    let status = match status {
        None => return Ok(query + " AND ExecutionStatus != 'ContinuedAsNew'"),
        Some("RUNNING") => "Running",
        Some("COMPLETED") => "Completed",
        Some("FAILED") => "Failed",
        Some("CANCELED") => "Canceled",
        Some("TERMINATED") => "Terminated",
        Some("TIMED_OUT") => "TimedOut",
        Some(other) => {
            return Err(ApiError::bad_request(format!(
                "tasks cannot be listed by status {other:?}"
            )));
        }
    };
    Ok(format!("{query} AND ExecutionStatus = '{status}'"))
}

fn summary(gateway: &Gateway, record: &TaskRecord, with_agents: bool) -> Result<Value, ApiError> {
    let failed = |error| ApiError::internal("the task cannot be written", error);
    let mut task = serde_json::to_value(record.to_wire(None)).map_err(failed)?;
    if let Value::Object(task) = &mut task {
        task.remove("params");
        let agents = with_agents.then(|| gateway.directory.by_name(&record.agent).map(|agent| agent.to_wire()));
        let agents = agents.map(|agent| agent.into_iter().collect::<Vec<_>>());
        task.insert("agents".to_owned(), serde_json::to_value(agents).map_err(failed)?);
    }
    Ok(task)
}

pub async fn by_id(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<wire::Task>, ApiError> {
    let task = gateway.task(&caller, Action::ReadTasks, &id).await?;
    Ok(Json(whole(&gateway, &task).await?))
}

pub async fn by_name(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Json<wire::Task>, ApiError> {
    let task = named(&gateway, &caller, &name).await?;
    Ok(Json(whole(&gateway, &task).await?))
}

/// A task with what only its history knows.
async fn whole(gateway: &Gateway, task: &TaskRecord) -> Result<wire::Task, ApiError> {
    let mut whole = task.to_wire(params(gateway, task).await?);
    if task.status == wire::TaskStatus::Failed {
        let last = match gateway.temporal.close_event(&task.id, &task.run_id).await {
            Ok(last) => last,
            Err(TemporalError::NotFound) => None,
            Err(error) => return Err(error.into()),
        };
        if let Some(reason) = last.as_ref().and_then(ran_out_of_time) {
            whole.status = wire::TaskStatus::TimedOut;
            whole.status_reason = Some(reason);
        }
    }
    Ok(whole)
}

/// What the task was created with, from the input of its newest run.
async fn params(gateway: &Gateway, task: &TaskRecord) -> Result<Option<Value>, ApiError> {
    let first = match gateway.temporal.first_event(&task.id, &task.run_id).await {
        Ok(first) => first,
        Err(TemporalError::NotFound) => None,
        Err(error) => return Err(error.into()),
    };
    let Some(Attributes::WorkflowExecutionStartedEventAttributes(started)) = first.and_then(|event| event.attributes)
    else {
        return Ok(None);
    };
    let input = started.input.and_then(|input| input.payloads.into_iter().next());
    let start: Option<StartTask> = input.and_then(|payload| unpack(&payload).ok());
    Ok(start.map(|start| start.params).filter(|params| !params.is_null()))
}

/// The task with a name. Names are scoped by agent, so each agent that the
/// caller may see is asked for one; the first in order of agents is it.
pub(super) async fn named(gateway: &Gateway, caller: &Caller, name: &str) -> Result<TaskRecord, ApiError> {
    let agents = agents::visible(gateway, caller).await?;
    let ids = agents.into_iter().map(|agent| agent.named_task_id(name));
    let questions = futures::stream::iter(ids).map(|id| async move {
        match gateway.task(caller, Action::ReadTasks, &id).await {
            Ok(task) => Ok(Some(task)),
            Err(error) if error.status.is_client_error() => Ok(None),
            Err(error) => Err(error),
        }
    });
    let found = questions.buffered(AT_ONCE).try_filter_map(async |task| Ok(task));
    let mut found = std::pin::pin!(found);
    found.try_next().await?.ok_or_else(|| ApiError::not_found("the task"))
}

pub async fn cancel(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    body: BoundedBody,
) -> Result<Json<wire::Task>, ApiError> {
    let reason = reason(&body)?;
    let task = gateway.task(&caller, Action::WriteTasks, &id).await?;
    Ok(Json(
        cancel_task(&gateway, task, reason.as_deref().unwrap_or("canceled by a client")).await?,
    ))
}

pub async fn complete(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    body: BoundedBody,
) -> Result<Json<wire::Task>, ApiError> {
    let reason = reason(&body)?;
    let task = gateway.task(&caller, Action::WriteTasks, &id).await?;
    running(&task)?;
    let input = plain_json(&CompleteTask { reason })?;
    let signaled = gateway
        .temporal
        .signal(&task.id, SIGNAL_COMPLETE_TASK, input, Uuid::new_v4().to_string())
        .await;
    signaled.map_err(ended)?;
    Ok(Json(after_end(&gateway, task).await?))
}

pub async fn interrupt(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    body: BoundedBody,
) -> Result<Json<wire::Task>, ApiError> {
    let reason = reason(&body)?;
    let task = gateway.task(&caller, Action::WriteTasks, &id).await?;
    Ok(Json(interrupt_task(&gateway, task, reason).await?))
}

/// Ends a task and its running turn.
pub(super) async fn cancel_task(gateway: &Gateway, task: TaskRecord, reason: &str) -> Result<wire::Task, ApiError> {
    running(&task)?;
    gateway.temporal.cancel(&task.id, reason).await.map_err(ended)?;
    after_end(gateway, task).await
}

/// Stops the running turn; the task goes on.
pub(super) async fn interrupt_task(
    gateway: &Gateway,
    task: TaskRecord,
    reason: Option<String>,
) -> Result<wire::Task, ApiError> {
    running(&task)?;
    let input = plain_json(&Interrupt { reason })?;
    let signaled = gateway
        .temporal
        .signal(&task.id, SIGNAL_INTERRUPT, input, Uuid::new_v4().to_string())
        .await;
    signaled.map_err(ended)?;
    Ok(task.to_wire(None))
}

fn running(task: &TaskRecord) -> Result<(), ApiError> {
    if task.status.is_terminal() {
        Err(ended(TemporalError::NotFound))
    } else {
        Ok(())
    }
}

fn ended(error: TemporalError) -> ApiError {
    match error {
        TemporalError::NotFound => ApiError::bad_request("the task has ended"),
        error => error.into(),
    }
}

/// The task once it has ended, or as it is when that takes long: its status
/// follows its workflow, which needs a worker to end.
async fn after_end(gateway: &Gateway, mut task: TaskRecord) -> Result<wire::Task, ApiError> {
    let deadline = Instant::now() + END_LIMIT;
    while !task.status.is_terminal() && Instant::now() < deadline {
        sleep(END_PERIOD).await;
        let description = gateway.temporal.describe(&task.id).await?;
        task = TaskRecord::read(description).unwrap_or(task);
    }
    Ok(task.to_wire(None))
}

pub(super) fn reason(body: &BoundedBody) -> Result<Option<String>, ApiError> {
    match body.object()?.remove("reason") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(reason)) => Ok(Some(reason.chars().take(1000).collect())),
        Some(_) => Err(ApiError::bad_request("reason must be a text")),
    }
}

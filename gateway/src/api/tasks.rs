//! `/tasks`: listing and reading tasks.

mod lifecycle;
mod lookup;

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use serde::Deserialize;
use serde_json::Value;
use steadfast_contract::start::WORKFLOW_TYPE;

pub(super) use self::{
    lifecycle::{cancel, cancel_task, complete, interrupt, interrupt_task},
    lookup::named,
};
use super::{extractors::Params, paging::Page};
use crate::{
    access::{Action, Caller},
    agentex::wire,
    agents::AgentEntry,
    app::Gateway,
    error::ApiError,
    task::TaskRecord,
};

#[derive(Debug, Deserialize)]
pub(super) struct Filter {
    agent_id: Option<String>,
    agent_name: Option<String>,
    status: Option<String>,
    relationships: Option<String>,
    limit: Option<usize>,
    page_number: Option<usize>,
}

/// The tasks that the caller may see, newest first; without their `params`.
pub(super) async fn list(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Params(filter): Params<Filter>,
) -> Result<Json<Vec<Value>>, ApiError> {
    let agent = match (&filter.agent_id, &filter.agent_name) {
        (None, None) => None,
        (Some(id), None) => Some(gateway.agents.by_id(id)),
        (None, Some(name)) => Some(gateway.agents.by_client_name(name)),
        (Some(_), Some(_)) => return Err(ApiError::bad_request("give one of agent_id and agent_name")),
    };
    let agent = match agent {
        None => None,
        Some(agent) => Some(gateway.agent(&caller, Action::ReadTasks, agent).await?),
    };
    let with_agents = filter
        .relationships
        .is_some_and(|names| names.split(',').any(|name| name == "agents"));
    let (mut skip, limit) = Page::new(filter.limit, filter.page_number).bounds()?;
    let query = query(agent.as_deref(), filter.status.as_deref())?;

    let mut tasks = Vec::new();
    let mut token = Vec::new();
    loop {
        let (page, next) = gateway.temporal.list(&query, token).await?;
        for record in page.into_iter().filter_map(TaskRecord::of_info) {
            // A task that works for another task is part of that conversation.
            if record.is_nested()
                || agent.as_ref().is_some_and(|agent| agent.name != record.agent)
                || !gateway.owns(&record)
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

/// The visibility query for tasks of an agent and a status.
fn query(agent: Option<&AgentEntry>, status: Option<&str>) -> Result<String, ApiError> {
    let mut query = format!("WorkflowType = '{WORKFLOW_TYPE}'");
    if let Some(agent) = agent {
        // No task queue of ours contains a quote; one from elsewhere must not end the string.
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
    let mut task = serde_json::to_value(record.to_wire(None))?;
    if let Value::Object(task) = &mut task {
        task.remove("params");
        let agents = with_agents.then(|| gateway.agents.by_name(&record.agent).map(|agent| agent.to_wire()));
        let agents = agents.map(|agent| agent.into_iter().collect::<Vec<_>>());
        task.insert("agents".to_owned(), serde_json::to_value(agents)?);
    }
    Ok(task)
}

pub(super) async fn by_id(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<wire::Task>, ApiError> {
    let task = gateway.task(&caller, Action::ReadTasks, &id).await?;
    Ok(Json(lookup::with_history(&gateway, &task).await?))
}

pub(super) async fn by_name(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Json<wire::Task>, ApiError> {
    let task = named(&gateway, &caller, &name).await?;
    Ok(Json(lookup::with_history(&gateway, &task).await?))
}

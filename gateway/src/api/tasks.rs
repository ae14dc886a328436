//! `/tasks`: listing and reading tasks.

pub(super) mod erase;
pub(super) mod lifecycle;
mod lookup;
mod newest_first;

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use futures::{StreamExt as _, TryStreamExt as _, future, stream};
use serde::Deserialize;
use steadfast_contract::start::WORKFLOW_TYPE;
use utoipa::IntoParams;

use self::newest_first::NewestFirst;
pub(super) use self::{
    lifecycle::{cancel_task, interrupt_task},
    lookup::named,
};
use super::{extractors::Params, paging::Page};
use crate::{
    access::{Action, Caller},
    agentex::wire,
    agents::AgentEntry,
    app::Gateway,
    error::{ApiError, ErrorBody},
    task::TaskRecord,
};

/// Access reviews at a time, for one request.
const CONCURRENT_REVIEWS: usize = 16;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Only tasks of the agent with this id.
    agent_id: Option<String>,
    /// Only tasks of the agent with this name.
    agent_name: Option<String>,
    /// `RUNNING`, `COMPLETED`, `FAILED`, `CANCELED`, `TERMINATED` or `TIMED_OUT`.
    status: Option<String>,
    /// `agents` adds the agent to each task.
    relationships: Option<String>,
    /// Entries of a page; 50 by default, and at most 1000.
    limit: Option<usize>,
    /// Counts from 1. Pages end at the 10,000th entry.
    page_number: Option<usize>,
}

/// The tasks that the caller may see, by `created_at`, newest first; without their `params`. In a list,
/// `created_at` is the start of the newest run of the task's workflow. Of the tasks that the filters
/// select, the newest 10,000 are searched.
#[utoipa::path(
    get,
    path = "/tasks",
    operation_id = "list_tasks",
    tag = "tasks",
    params(Filter),
    responses(
        (status = OK, description = "A page of the tasks.", body = Vec<wire::TaskSummary>),
        (status = "default", description = "An error.", body = ErrorBody),
    ),
)]
pub(super) async fn list(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Params(filter): Params<Filter>,
) -> Result<Json<Vec<wire::TaskSummary>>, ApiError> {
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

    let _turn = gateway.load.heavy_request(&caller).await?;
    if agent.is_none() && !may_see_tasks(&gateway, &caller).await? {
        return Ok(Json(Vec::new()));
    }
    let mut tasks = Vec::new();
    let mut list = NewestFirst::new(&gateway.temporal, query);
    while let Some(page) = list.next().await? {
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
            tasks.push(summary(&gateway, &record, with_agents));
            if tasks.len() == limit {
                return Ok(Json(tasks));
            }
        }
    }
    Ok(Json(tasks))
}

/// Whether the caller may see tasks of any agent. Whoever may not gets an empty list at once.
async fn may_see_tasks(gateway: &Gateway, caller: &Caller) -> Result<bool, ApiError> {
    let agents = gateway.agents.list();
    if agents.is_empty() {
        return Ok(true);
    }
    let reviews = stream::iter(agents).map(|agent| async move {
        let access = &gateway.access;
        Ok::<_, ApiError>(
            access.allows(caller, Action::ReadTasks, &agent.name).await?
                || access.allows(caller, Action::ReadAllTasks, &agent.name).await?,
        )
    });
    let reviews = reviews.buffer_unordered(CONCURRENT_REVIEWS);
    std::pin::pin!(reviews.try_filter(|allowed| future::ready(*allowed)))
        .try_next()
        .await
        .map(|allowed| allowed.is_some())
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

fn summary(gateway: &Gateway, record: &TaskRecord, with_agents: bool) -> wire::TaskSummary {
    let agent = || gateway.agents.by_name(&record.agent).map(|agent| agent.to_wire());
    wire::TaskSummary::new(record.to_wire(None), with_agents.then(|| agent().into_iter().collect()))
}

/// One task by id.
#[utoipa::path(
    get,
    path = "/tasks/{task_id}",
    operation_id = "get_task",
    tag = "tasks",
    params(("task_id" = String, Path, description = "Id of the task.")),
    responses(
        (status = OK, description = "The task.", body = wire::Task),
        (status = "default", description = "An error.", body = ErrorBody),
    ),
)]
pub(super) async fn by_id(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<wire::Task>, ApiError> {
    let task = gateway.task(&caller, Action::ReadTasks, &id).await?;
    Ok(Json(lookup::with_history(&gateway, &task).await?))
}

/// One task by name.
#[utoipa::path(
    get,
    path = "/tasks/name/{task_name}",
    operation_id = "get_task_by_name",
    tag = "tasks",
    params(("task_name" = String, Path, description = "Name of the task.")),
    responses(
        (status = OK, description = "The task.", body = wire::Task),
        (status = "default", description = "An error.", body = ErrorBody),
    ),
)]
pub(super) async fn by_name(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Json<wire::Task>, ApiError> {
    let task = named(&gateway, &caller, &name).await?;
    Ok(Json(lookup::with_history(&gateway, &task).await?))
}

//! `/tasks`: listing and reading tasks.

pub(super) mod erase;
pub(super) mod export;
pub(super) mod lifecycle;
mod lookup;
pub(super) mod metadata;
mod newest_first;
pub(super) mod query;

use std::{collections::VecDeque, sync::Arc};

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use futures::{StreamExt as _, TryStreamExt as _, future, stream};
use serde::Deserialize;
use serde_json::Value;
use steadfast_bounds::json;
use steadfast_contract::start::WORKFLOW_TYPE;
use utoipa::IntoParams;

use self::newest_first::NewestFirst;
pub(super) use self::{
    lifecycle::{cancel_task, interrupt_task},
    lookup::named,
};
use super::{
    extractors::Params,
    paging::{OrderDirection, Page},
};
use crate::{
    access::{Action, Caller},
    agentex::{message_filter::contains, wire},
    agents::AgentEntry,
    app::Gateway,
    error::{ApiError, ErrorBody},
    start::MAX_METADATA_BYTES,
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
    /// A JSON object: only tasks whose metadata has all its members.
    task_metadata: Option<String>,
    /// `agents` adds the agent to each task.
    relationships: Option<String>,
    /// `created_at`, the only order.
    order_by: Option<String>,
    /// `desc`, the only direction.
    #[param(value_type = Option<String>)]
    order_direction: Option<OrderDirection>,
    /// Entries of a page; 50 by default, and at most 1000.
    limit: Option<usize>,
    /// Counts from 1. Pages end at the 10,000th entry.
    page_number: Option<usize>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Relationships {
    /// `agents` adds the agent of the task.
    relationships: Option<String>,
}

impl Relationships {
    fn want_agents(&self) -> bool {
        let names = self.relationships.as_deref().unwrap_or_default();
        names.split(',').any(|name| name == "agents")
    }
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
    if filter.order_by.is_some_and(|field| field != "created_at") || filter.order_direction == Some(OrderDirection::Asc)
    {
        return Err(ApiError::bad_request(
            "tasks are listed by created_at only, the newest first",
        ));
    }
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
    let relationships = Relationships {
        relationships: filter.relationships,
    };
    let with_agents = relationships.want_agents();
    let metadata = filter.task_metadata.as_deref().map(read_pattern).transpose()?;
    let (mut skip, limit) = Page::new(filter.limit, filter.page_number).bounds()?;
    let _turn = gateway.load.heavy_request(&caller).await?;
    let mut newest = Newest::of(&gateway, &caller, agent.as_deref(), filter.status.as_deref()).await?;
    let mut tasks = Vec::new();
    while tasks.len() < limit
        && let Some(record) = newest.next().await?
    {
        let has_metadata = metadata
            .as_ref()
            .is_none_or(|pattern| contains(record.metadata.as_ref().unwrap_or(&Value::Null), pattern));
        if !has_metadata {
            continue;
        }
        if skip > 0 {
            skip -= 1;
        } else {
            tasks.push(summary(&gateway, &record, with_agents));
        }
    }
    Ok(Json(tasks))
}

fn read_pattern(text: &str) -> Result<Value, ApiError> {
    let pattern: Option<Value> = Some(text)
        .filter(|text| text.len() <= MAX_METADATA_BYTES)
        .and_then(|text| json::read(text.as_bytes()).ok());
    pattern.filter(Value::is_object).ok_or_else(|| {
        ApiError::bad_request(format!(
            "task_metadata must be a JSON object of {MAX_METADATA_BYTES} bytes at most"
        ))
    })
}

/// The tasks that a caller may see, newest first; without those that work for another task, which are part of that
/// conversation.
pub(super) struct Newest<'a> {
    gateway: &'a Gateway,
    caller: &'a Caller,
    agent: Option<&'a AgentEntry>,
    list: NewestFirst<'a>,
    page: VecDeque<TaskRecord>,
    sees_any: bool,
}

impl<'a> Newest<'a> {
    pub(super) async fn of(
        gateway: &'a Gateway,
        caller: &'a Caller,
        agent: Option<&'a AgentEntry>,
        status: Option<&str>,
    ) -> Result<Self, ApiError> {
        Ok(Self {
            gateway,
            caller,
            agent,
            list: NewestFirst::new(&gateway.temporal, query(agent, status)?),
            page: VecDeque::new(),
            sees_any: agent.is_some() || may_see_tasks(gateway, caller).await?,
        })
    }

    pub(super) async fn next(&mut self) -> Result<Option<TaskRecord>, ApiError> {
        if !self.sees_any {
            return Ok(None);
        }
        loop {
            while let Some(record) = self.page.pop_front() {
                if !record.is_nested()
                    && self.agent.is_none_or(|agent| agent.name == record.agent)
                    && self.gateway.owns(&record)
                    && self.gateway.allows(self.caller, Action::ReadTasks, &record).await?
                {
                    return Ok(Some(record));
                }
            }
            match self.list.next().await? {
                Some(page) => self.page.extend(page.into_iter().filter_map(TaskRecord::of_info)),
                None => return Ok(None),
            }
        }
    }
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
        let quoted = |queue: &String| format!("'{}'", queue.replace(['\'', '\\'], ""));
        let queues = std::iter::once(&agent.task_queue).chain(&agent.former_task_queues);
        let queues: Vec<String> = queues.map(quoted).collect();
        query = format!("{query} AND TaskQueue IN ({})", queues.join(", "));
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
                "status {other:?} is none: RUNNING, COMPLETED, FAILED, CANCELED, TERMINATED or TIMED_OUT"
            )));
        }
    };
    Ok(format!("{query} AND ExecutionStatus = '{status}'"))
}

fn summary(gateway: &Gateway, record: &TaskRecord, with_agents: bool) -> wire::TaskSummary {
    wire::TaskSummary::new(record.to_wire(None), with_agents.then(|| agents_of(gateway, record)))
}

/// One task by id.
#[utoipa::path(
    get,
    path = "/tasks/{task_id}",
    operation_id = "get_task",
    tag = "tasks",
    params(("task_id" = String, Path, description = "Id of the task."), Relationships),
    responses(
        (status = OK, description = "The task.", body = wire::TaskWithAgents),
        (status = "default", description = "An error.", body = ErrorBody),
    ),
)]
pub(super) async fn by_id(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Params(relationships): Params<Relationships>,
) -> Result<Json<wire::TaskWithAgents>, ApiError> {
    let task = gateway.task(&caller, Action::ReadTasks, &id).await?;
    Ok(Json(with_agents(&gateway, &task, &relationships).await?))
}

/// One task by name.
#[utoipa::path(
    get,
    path = "/tasks/name/{task_name}",
    operation_id = "get_task_by_name",
    tag = "tasks",
    params(("task_name" = String, Path, description = "Name of the task."), Relationships),
    responses(
        (status = OK, description = "The task.", body = wire::TaskWithAgents),
        (status = "default", description = "An error.", body = ErrorBody),
    ),
)]
pub(super) async fn by_name(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Params(relationships): Params<Relationships>,
) -> Result<Json<wire::TaskWithAgents>, ApiError> {
    let task = named(&gateway, &caller, &name).await?;
    Ok(Json(with_agents(&gateway, &task, &relationships).await?))
}

async fn with_agents(
    gateway: &Gateway,
    record: &TaskRecord,
    relationships: &Relationships,
) -> Result<wire::TaskWithAgents, ApiError> {
    let task = lookup::with_history(gateway, record).await?;
    let agents = relationships.want_agents().then(|| agents_of(gateway, record));
    Ok(wire::TaskWithAgents { task, agents })
}

fn agents_of(gateway: &Gateway, record: &TaskRecord) -> Vec<wire::Agent> {
    let agent = gateway.agents.by_name(&record.agent);
    agent.map(|agent| agent.to_wire()).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::agents::Naming;

    #[test]
    fn tasks_of_an_agent_that_has_moved_are_listed_where_they_began_too() {
        let agent = json!({
            "apiVersion": "steadfast.dev/v1alpha1", "kind": "Agent",
            "metadata": {"name": "haiku", "namespace": "team"}, "spec": {},
            "status": {"taskQueue": "i/team/pool/shared", "formerTaskQueues": ["i/team/agent/haiku", "i/team/pool/a' OR '"]},
        });
        let agent = serde_json::from_str(&agent.to_string()).unwrap();
        let agent = AgentEntry::of_agent(&Naming::default(), &agent).unwrap();
        assert_eq!(
            query(Some(&agent), Some("RUNNING")).unwrap(),
            "WorkflowType = 'AgentTask' AND TaskQueue IN ('i/team/pool/shared', 'i/team/agent/haiku', 'i/team/pool/a OR ') \
             AND ExecutionStatus = 'Running'"
        );
    }
}

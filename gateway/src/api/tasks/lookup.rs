//! Finding a task by name, and the fields of a task that only its history has.

use std::collections::HashSet;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;
use steadfast_contract::start::{StartTask, WORKFLOW_TYPE};
use steadfast_payload::unpack;
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;

use crate::{
    access::{Action, Caller},
    agentex::wire,
    api::agents,
    app::Gateway,
    error::ApiError,
    task::{TaskRecord, timed_out},
    temporal::TemporalError,
};

/// Task ids in one visibility query.
const IDS_PER_QUERY: usize = 500;
/// Agents whose task is looked up although visibility does not list it.
const MAX_UNLISTED: usize = 100;
/// Calls to Temporal at a time, for one request.
const CONCURRENCY: usize = 16;

/// The task to which the caller gave a name. Agents have tasks of the same name independently:
/// the first agent in order that the caller may see wins.
pub(in crate::api) async fn named(gateway: &Gateway, caller: &Caller, name: &str) -> Result<TaskRecord, ApiError> {
    let _turn = gateway.load.heavy_request(caller).await?;
    let agents = agents::visible(gateway, caller).await?;
    let ids = agents
        .iter()
        .map(|agent| agent.named_task_id(caller.name(), name).to_string());
    let ids: Vec<String> = ids.collect();
    let listed = listed(gateway, &ids).await?;
    let (listed, unlisted): (Vec<String>, Vec<String>) = ids.into_iter().partition(|id| listed.contains(id));
    // Visibility lags behind: a task that started just now is not in the list yet.
    let unlisted = unlisted.into_iter().take(MAX_UNLISTED).collect();
    for ids in [listed, unlisted] {
        if let Some(task) = first_readable(gateway, caller, ids).await? {
            return Ok(task);
        }
    }
    Err(ApiError::not_found("the task"))
}

/// Which of these tasks Temporal's visibility lists: one query for up to [`IDS_PER_QUERY`] ids.
async fn listed(gateway: &Gateway, ids: &[String]) -> Result<HashSet<String>, TemporalError> {
    let mut listed = HashSet::new();
    for ids in ids.chunks(IDS_PER_QUERY) {
        let query = format!(
            "WorkflowType = '{WORKFLOW_TYPE}' AND ExecutionStatus != 'ContinuedAsNew' AND WorkflowId IN ('{}')",
            ids.join("', '")
        );
        let mut token = Vec::new();
        loop {
            let (page, next) = gateway.temporal.list(&query, token).await?;
            let ids = page.into_iter().filter_map(|info| Some(info.execution?.workflow_id));
            listed.extend(ids);
            if next.is_empty() {
                break;
            }
            token = next;
        }
    }
    Ok(listed)
}

async fn first_readable(gateway: &Gateway, caller: &Caller, ids: Vec<String>) -> Result<Option<TaskRecord>, ApiError> {
    let lookups = stream::iter(ids).map(|id| async move {
        match gateway.task(caller, Action::ReadTasks, &id).await {
            Ok(task) => Ok(Some(task)),
            Err(error) if error.status.is_client_error() => Ok(None),
            Err(error) => Err(error),
        }
    });
    let found = lookups.buffered(CONCURRENCY).try_filter_map(async |task| Ok(task));
    std::pin::pin!(found).try_next().await
}

/// A task with the fields that only its history has.
pub(super) async fn with_history(gateway: &Gateway, task: &TaskRecord) -> Result<wire::Task, ApiError> {
    let mut whole = task.to_wire(params(gateway, task).await?);
    if task.status == wire::TaskStatus::Failed {
        let last = match gateway.temporal.close_event(&task.id, &task.run_id).await {
            Ok(last) => last,
            Err(TemporalError::NotFound) => None,
            Err(error) => return Err(error.into()),
        };
        if let Some(reason) = last.as_ref().and_then(timed_out) {
            whole.status = wire::TaskStatus::TimedOut;
            whole.status_reason = Some(reason);
        }
    }
    Ok(whole)
}

/// The `params` of a task, from the input of its newest run.
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

//! `/approvals`: what people are asked. Lists come from Temporal's visibility
//! alone and need no worker.

mod decide;
mod openapi;

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use jiff::Timestamp;
use serde::Deserialize;
use steadfast_contract::{approvals::task_of_approval, start::WORKFLOW_TYPE, visibility::SEARCH_PENDING_APPROVALS};
use steadfast_events::Approval;

use super::page::Page;
use crate::{
    access::{Action, Caller},
    approvals::{asking_agent, parse_age, to_wire, trace},
    error::ApiError,
    gateway::Gateway,
    inbound::Params,
    task::TaskRecord,
    temporal::TemporalError,
    wire::{self, Ruling},
};

pub use decide::{approve, reject};
pub use openapi::{openapi, openapi_schemas};

#[derive(Debug, Deserialize)]
pub struct Selection {
    agent_name: Option<String>,
    task_id: Option<String>,
    older_than: Option<String>,
    limit: Option<usize>,
    page_number: Option<usize>,
}

/// What waits for a person, of all agents whose approvals the caller may see; newest last.
pub async fn list(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Params(selection): Params<Selection>,
) -> Result<Json<Vec<wire::Approval>>, ApiError> {
    let page = Page::new(selection.limit, selection.page_number);
    page.bounds()?;
    let asked_by = selection.older_than.as_deref().map(asked_by).transpose()?;
    let agent = match &selection.agent_name {
        None => None,
        Some(name) => {
            let found = gateway.directory.by_client_name(name);
            Some(gateway.agent(&caller, Action::ReadApprovals, found).await?.name)
        }
    };
    let mut waiting: BTreeMap<(Timestamp, String), wire::Approval> = BTreeMap::new();
    for task in waiting_tasks(&gateway, selection.task_id.as_deref()).await? {
        for asked in &task.approvals {
            let asking = asking_agent(&task, asked);
            let is_selected = agent.as_ref().is_none_or(|agent| *agent == asking)
                && asked_by.is_none_or(|latest| asked.requested_at <= latest);
            if is_selected && gateway.access.allows(&caller, Action::ReadApprovals, &asking).await? {
                let approval = to_wire(gateway.directory.naming(), &task, asked.clone(), Ruling::PENDING);
                waiting.insert((asked.requested_at, asked.id.clone()), approval);
            }
        }
    }
    Ok(Json(page.apply(waiting.into_values().collect())?))
}

/// The latest time at which an approval of this age was asked for.
fn asked_by(older_than: &str) -> Result<Timestamp, ApiError> {
    let age = parse_age(older_than)
        .ok_or_else(|| ApiError::bad_request("older_than must be a number and a unit: 45s, 10m, 2h or 3d"))?;
    Ok(Timestamp::now().checked_sub(age).unwrap_or(Timestamp::UNIX_EPOCH))
}

/// The running tasks that wait for people; with those that work for it if only one is wanted.
async fn waiting_tasks(gateway: &Gateway, task_id: Option<&str>) -> Result<Vec<TaskRecord>, ApiError> {
    let running = format!("WorkflowType = '{WORKFLOW_TYPE}' AND ExecutionStatus = 'Running'");
    let mut tasks = match listed(gateway, &format!("{running} AND {SEARCH_PENDING_APPROVALS} > 0")).await {
        // The attribute is not registered there.
        Err(TemporalError::Refused(_)) => listed(gateway, &running).await?,
        answer => answer?,
    };
    if let Some(task_id) = task_id {
        tasks.retain(|task| task.log_id == task_id || task.id == task_id);
        // Lists lag behind a little; the task itself does not.
        match gateway.known_task(task_id).await {
            Ok(task) => {
                tasks.retain(|listed| listed.id != task.id);
                tasks.push(task);
            }
            Err(error) if error.status.is_client_error() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(tasks)
}

async fn listed(gateway: &Gateway, query: &str) -> Result<Vec<TaskRecord>, TemporalError> {
    let mut tasks = Vec::new();
    let mut token = Vec::new();
    loop {
        let (page, next) = gateway.temporal.list(query, token).await?;
        let waiting = page
            .into_iter()
            .filter_map(TaskRecord::of_info)
            .filter(|task| !task.approvals.is_empty() && gateway.is_ours(task));
        tasks.extend(waiting);
        if next.is_empty() {
            return Ok(tasks);
        }
        token = next;
    }
}

/// One approval; also of one that was decided, for as long as the log knows it.
pub async fn by_id(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<wire::Approval>, ApiError> {
    let task = task_that_asks(&gateway, &id).await?;
    let (asked, ruling) = if let Some(pending) = task.approval(&id) {
        (whole(&gateway, &task, pending).await, Ruling::PENDING)
    } else {
        let trace = trace(&gateway.log, &task.log_id, &id).await?;
        let asked = trace.requested.ok_or_else(unknown)?;
        // A task that was terminated tells nobody what became of it.
        (asked, trace.ruling.ok_or_else(unknown)?)
    };
    if gateway
        .access
        .allows(&caller, Action::ReadApprovals, &asking_agent(&task, &asked))
        .await?
    {
        Ok(Json(to_wire(gateway.directory.naming(), &task, asked, ruling)))
    } else {
        Err(unknown())
    }
}

/// With its arguments uncut, if the log can be asked.
async fn whole(gateway: &Gateway, task: &TaskRecord, pending: &Approval) -> Approval {
    let trace = trace(&gateway.log, &task.log_id, &pending.id).await.unwrap_or_default();
    trace.requested.unwrap_or_else(|| pending.clone())
}

/// The task that an approval belongs to, whoever asks for it.
async fn task_that_asks(gateway: &Gateway, approval_id: &str) -> Result<TaskRecord, ApiError> {
    let task_id = task_of_approval(approval_id).ok_or_else(unknown)?;
    gateway.known_task(task_id).await.map_err(|error| {
        if error.status.is_client_error() {
            unknown()
        } else {
            error
        }
    })
}

fn unknown() -> ApiError {
    ApiError::not_found("the approval")
}

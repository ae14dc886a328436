//! `/approvals`: listing and reading approvals. A list comes from Temporal's visibility alone
//! and needs no worker.

pub(super) mod decide;

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use jiff::Timestamp;
use serde::Deserialize;
use steadfast_contract::{approvals::task_of_approval, start::WORKFLOW_TYPE, visibility::SEARCH_PENDING_APPROVALS};
use steadfast_events::Approval;
use utoipa::IntoParams;

use super::{extractors::Params, paging::Page};
use crate::{
    access::{Action, Caller},
    app::Gateway,
    approvals::{ApprovalState, ApprovalView, asking_agent, look_up, parse_age},
    error::{ApiError, ErrorBody},
    task::TaskRecord,
    temporal::TemporalError,
};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Only approvals of this agent.
    agent_name: Option<String>,
    /// Only approvals of this task, and of tasks that work as its tools.
    task_id: Option<String>,
    /// Only approvals that are pending for longer: `45s`, `10m`, `2h`, `3d`.
    older_than: Option<String>,
    /// Entries of a page; 50 by default.
    limit: Option<usize>,
    /// Counts from 1.
    page_number: Option<usize>,
}

/// The pending approvals of all agents whose approvals the caller may read; newest last.
#[utoipa::path(
    get,
    path = "/approvals",
    operation_id = "list_approvals",
    tag = "approvals",
    params(Filter),
    responses(
        (status = OK, description = "A page of the approvals.", body = Vec<ApprovalView>),
        (status = "default", description = "An error.", body = ErrorBody),
    ),
)]
pub(super) async fn list(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Params(filter): Params<Filter>,
) -> Result<Json<Vec<ApprovalView>>, ApiError> {
    let page = Page::new(filter.limit, filter.page_number);
    page.bounds()?;
    let latest_request = filter.older_than.as_deref().map(latest_request).transpose()?;
    let agent = match &filter.agent_name {
        None => None,
        Some(name) => {
            let agent = gateway.agents.by_client_name(name);
            Some(gateway.agent(&caller, Action::ReadApprovals, agent).await?)
        }
    };
    let mut pending: BTreeMap<(Timestamp, String), ApprovalView> = BTreeMap::new();
    for task in tasks_with_approvals(&gateway, filter.task_id.as_deref()).await? {
        for approval in &task.approvals {
            let asking = asking_agent(&task, approval);
            let is_selected = agent.as_ref().is_none_or(|agent| agent.name == asking)
                && latest_request.is_none_or(|latest| approval.requested_at <= latest);
            if is_selected && gateway.access.allows(&caller, Action::ReadApprovals, &asking).await? {
                let key = (approval.requested_at, approval.id.clone());
                pending.insert(key, view(&gateway, &task, approval.clone(), ApprovalState::PENDING));
            }
        }
    }
    Ok(Json(page.apply(pending.into_values().collect())?))
}

/// The latest time at which an approval of this age was requested.
fn latest_request(older_than: &str) -> Result<Timestamp, ApiError> {
    let age = parse_age(older_than)
        .ok_or_else(|| ApiError::bad_request("older_than must be numbers with units: 45s, 10m, 2h or 3d"))?;
    Ok(Timestamp::now().checked_sub(age).unwrap_or(Timestamp::UNIX_EPOCH))
}

/// The running tasks with pending approvals; of one task also the tasks that work as its tools.
async fn tasks_with_approvals(gateway: &Gateway, task_id: Option<&str>) -> Result<Vec<TaskRecord>, ApiError> {
    let running = format!("WorkflowType = '{WORKFLOW_TYPE}' AND ExecutionStatus = 'Running'");
    let mut tasks = match listed(gateway, &format!("{running} AND {SEARCH_PENDING_APPROVALS} > 0")).await {
        // The search attribute is not registered in this Temporal namespace.
        Err(TemporalError::Refused(_)) => listed(gateway, &running).await?,
        answer => answer?,
    };
    if let Some(task_id) = task_id {
        tasks.retain(|task| task.log_id == task_id || task.id == task_id);
        // Visibility lags behind; the task itself does not.
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
        let with_approvals = page
            .into_iter()
            .filter_map(TaskRecord::of_info)
            .filter(|task| !task.approvals.is_empty() && gateway.owns(task));
        tasks.extend(with_approvals);
        if next.is_empty() {
            return Ok(tasks);
        }
        token = next;
    }
}

/// One approval; also a decided one, as long as the log has it.
#[utoipa::path(
    get,
    path = "/approvals/{approval_id}",
    operation_id = "get_approval",
    tag = "approvals",
    params(("approval_id" = String, Path, description = "Id of the approval.")),
    responses(
        (status = OK, description = "The approval.", body = ApprovalView),
        (status = NOT_FOUND, description = "The approval does not exist, or the caller may not read it.", body = ErrorBody),
        (status = "default", description = "An error.", body = ErrorBody),
    ),
)]
pub(super) async fn by_id(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<ApprovalView>, ApiError> {
    let task = task_of(&gateway, &id).await?;
    let (approval, state) = if let Some(pending) = task.approval(&id) {
        (whole(&gateway, &task, pending).await, ApprovalState::PENDING)
    } else {
        let logged = look_up(&gateway.log, &task.log_id, &id).await?;
        let approval = logged.request.ok_or_else(unknown)?;
        // The log of a terminated task has no decision.
        (approval, logged.decided.ok_or_else(unknown)?)
    };
    let asking = asking_agent(&task, &approval);
    if gateway.access.allows(&caller, Action::ReadApprovals, &asking).await? {
        Ok(Json(view(&gateway, &task, approval, state)))
    } else {
        Err(unknown())
    }
}

fn view(gateway: &Gateway, task: &TaskRecord, approval: Approval, state: ApprovalState) -> ApprovalView {
    ApprovalView::new(gateway.agents.naming(), task, approval, state)
}

/// A pending approval with its whole arguments, if the log has them.
async fn whole(gateway: &Gateway, task: &TaskRecord, pending: &Approval) -> Approval {
    let logged = look_up(&gateway.log, &task.log_id, &pending.id)
        .await
        .unwrap_or_default();
    logged.request.unwrap_or_else(|| pending.clone())
}

/// The task of an approval. The caller's permissions are not checked here.
async fn task_of(gateway: &Gateway, approval_id: &str) -> Result<TaskRecord, ApiError> {
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

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
use temporalio_common::protos::temporal::api::workflow::v1::WorkflowExecutionInfo;
use utoipa::IntoParams;

use super::{extractors::Params, paging::Page};
use crate::{
    access::{Action, Caller},
    app::Gateway,
    approvals::{ApprovalState, ApprovalView, asking_agent, look_up, parse_age, whole},
    audit,
    error::{ApiError, ErrorBody},
    task::TaskRecord,
    temporal::TemporalError,
};

/// Pages of 200 tasks that Temporal lists for one request.
const MAX_PAGES: usize = 50;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Only approvals of this agent.
    agent_name: Option<String>,
    /// Only approvals of this task, and of tasks that work as its tools.
    task_id: Option<String>,
    /// Only approvals that are pending for longer: `45s`, `10m`, `2h`, `3d`.
    older_than: Option<String>,
    /// Entries of a page; 50 by default, and at most 1000.
    limit: Option<usize>,
    /// Counts from 1. Pages end at the 10,000th entry.
    page_number: Option<usize>,
}

/// The pending approvals of all agents whose approvals the caller may read; newest last. The newest
/// 10,000 tasks that wait for approval are searched.
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
    let (skip, limit) = page.bounds()?;
    let now = Timestamp::now();
    let latest_request = filter
        .older_than
        .as_deref()
        .map(|age| latest_request(age, now))
        .transpose()?;
    let agent = match &filter.agent_name {
        None => None,
        Some(name) => {
            let agent = gateway.agents.by_client_name(name);
            Some(gateway.agent(&caller, Action::ReadApprovals, agent).await?)
        }
    };
    let _turn = gateway.load.heavy_request(&caller).await?;
    let mut pending: BTreeMap<(Timestamp, String), ApprovalView> = BTreeMap::new();
    let mut pages = TaskPages::new(&gateway, filter.task_id.as_deref());
    while let Some(tasks) = pages.next().await? {
        for task in &tasks {
            for approval in &task.approvals {
                let asking = asking_agent(task, approval);
                // The task itself notices the expiry as soon as a worker runs.
                let is_selected = !approval.is_expired_at(now)
                    && agent.as_ref().is_none_or(|agent| agent.name == asking)
                    && latest_request.is_none_or(|latest| approval.requested_at <= latest);
                if is_selected && gateway.access.allows(&caller, Action::ReadApprovals, &asking).await? {
                    let key = (approval.requested_at, approval.id.clone());
                    pending.insert(key, view(&gateway, task, approval.clone(), ApprovalState::PENDING));
                }
                // Nothing after the page is kept.
                if pending.len() > skip + limit {
                    pending.pop_last();
                }
            }
        }
    }
    Ok(Json(pending.into_values().skip(skip).take(limit).collect()))
}

/// The latest time at which an approval of this age was requested.
fn latest_request(older_than: &str, now: Timestamp) -> Result<Timestamp, ApiError> {
    let age = parse_age(older_than)
        .ok_or_else(|| ApiError::bad_request("older_than must be numbers with units: 45s, 10m, 2h or 3d"))?;
    Ok(now.checked_sub(age).unwrap_or(Timestamp::UNIX_EPOCH))
}

/// The running tasks with pending approvals, a page of Temporal's list at a time; of one task also the tasks that work
/// as its tools.
struct TaskPages<'a> {
    gateway: &'a Gateway,
    task_id: Option<&'a str>,
    by_attribute: bool,
    /// Token of the next page; `None` after the last.
    next: Option<Vec<u8>>,
    pages_left: usize,
}

impl<'a> TaskPages<'a> {
    fn new(gateway: &'a Gateway, task_id: Option<&'a str>) -> Self {
        Self {
            gateway,
            task_id,
            by_attribute: true,
            next: Some(Vec::new()),
            pages_left: MAX_PAGES,
        }
    }

    async fn next(&mut self) -> Result<Option<Vec<TaskRecord>>, ApiError> {
        let Some(token) = self.next.take() else {
            return Ok(None);
        };
        let is_first = token.is_empty();
        let (page, next) = self.list(token).await?;
        self.pages_left -= 1;
        self.next = (!next.is_empty() && self.pages_left > 0).then_some(next);
        let records = page.into_iter().filter_map(TaskRecord::of_info);
        let mut tasks: Vec<TaskRecord> = records.filter(|task| self.is_wanted(task)).collect();
        // Visibility lags behind; the task itself does not.
        if let Some(task_id) = self.task_id
            && is_first
        {
            match self.gateway.known_task(task_id).await {
                Ok(task) => tasks.push(task),
                Err(error) if error.status.is_client_error() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Some(tasks))
    }

    async fn list(&mut self, token: Vec<u8>) -> Result<(Vec<WorkflowExecutionInfo>, Vec<u8>), TemporalError> {
        let running = format!("WorkflowType = '{WORKFLOW_TYPE}' AND ExecutionStatus = 'Running'");
        if self.by_attribute {
            let waiting = format!("{running} AND {SEARCH_PENDING_APPROVALS} > 0");
            match self.gateway.temporal.list(&waiting, token.clone()).await {
                // The search attribute is not registered in this Temporal namespace.
                Err(TemporalError::Refused(_)) if token.is_empty() => self.by_attribute = false,
                answer => return answer,
            }
        }
        self.gateway.temporal.list(&running, token).await
    }

    fn is_wanted(&self, task: &TaskRecord) -> bool {
        !task.approvals.is_empty()
            && self.gateway.owns(task)
            // The task itself is added as it is now.
            && self.task_id.is_none_or(|id| task.log.task_id == id && task.id != id)
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
    let may_read = async |approval: &Approval| {
        let asking = asking_agent(&task, approval);
        if gateway.access.allows(&caller, Action::ReadApprovals, &asking).await? {
            Ok(())
        } else {
            Err(unknown())
        }
    };
    let (approval, state) = if let Some(pending) = task.approval(&id) {
        // Before the arguments are read from history, which costs more.
        may_read(pending).await?;
        let state = if pending.is_expired_at(Timestamp::now()) {
            ApprovalState::EXPIRED
        } else {
            ApprovalState::PENDING
        };
        // Cut arguments are better than none: they say that they are cut.
        let approval = whole(&gateway, &caller, &task, pending)
            .await
            .unwrap_or_else(|_| pending.clone());
        (approval, state)
    } else {
        let logged = look_up(&gateway.log, &task.log, &id).await?;
        let approval = logged.request.ok_or_else(unknown)?;
        may_read(&approval).await?;
        // The log of a terminated task has no decision.
        (approval, logged.decided.ok_or_else(unknown)?)
    };
    Ok(Json(view(&gateway, &task, approval, state)))
}

fn view(gateway: &Gateway, task: &TaskRecord, approval: Approval, state: ApprovalState) -> ApprovalView {
    ApprovalView::new(gateway.agents.naming(), task, approval, state)
}

/// The task of an approval. The caller's permissions are not checked here.
async fn task_of(gateway: &Gateway, approval_id: &str) -> Result<TaskRecord, ApiError> {
    audit::approval(approval_id);
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

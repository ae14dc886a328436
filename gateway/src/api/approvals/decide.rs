//! Approving and rejecting. A decision is a signal to the task that asks: it is durable while
//! no worker runs, the first decision counts, and sending it again is harmless.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use steadfast_contract::signals::{Decide, SIGNAL_DECIDE};
use steadfast_eventlog::LogItem;
use steadfast_events::{Approval, Decision, Verdict};
use steadfast_payload::plain_json;
use steadfast_process::BlockingError;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::{task_of, unknown};
use crate::{
    access::{Action, Caller, SelfApproval},
    acknowledgement,
    admission::{Outgoing, admit},
    api::extractors::{ReasonBody, UnreadBody, cut_reason},
    app::Gateway,
    approvals::{ApprovalState, acting_agents, asking_agent, look_up, mismatch, request_id, whole},
    error::{ApiError, ErrorBody},
    task::TaskRecord,
    temporal::TemporalError,
};

/// The model receives the answer.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// Limit for the check of an answer against its form; it takes milliseconds.
const FORM_DEADLINE: Duration = Duration::from_secs(5);

/// The body of an approval.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(in crate::api) struct ApproveBody {
    /// The reason; longer ones are cut.
    #[schema(max_length = 1000)]
    #[serde(default, deserialize_with = "cut_reason")]
    reason: Option<String>,
    /// The answer that matches the approval's form, where it has one.
    #[serde(default)]
    answer: Value,
}

/// The body of a response.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct DecisionResponse<'a> {
    id: &'a str,
    #[serde(flatten)]
    state: &'a ApprovalState,
}

/// Lets the call run with the arguments shown, or answers the question.
#[utoipa::path(
    post,
    path = "/approvals/{approval_id}/approve",
    operation_id = "approve",
    tag = "approvals",
    params(("approval_id" = String, Path, description = "Id of the approval.")),
    request_body(content = Option<ApproveBody>),
    responses(
        (status = OK, description = "The task has taken the decision.", body = DecisionResponse<'static>),
        (status = ACCEPTED, description = "The decision is durable; the task has not taken it yet.", body = DecisionResponse<'static>),
        (status = FORBIDDEN, description = "The creator of a task, and the sender of the message that led to the approval, may not decide it here.", body = ErrorBody),
        (status = NOT_FOUND, description = "The approval does not exist, or the caller may not decide it.", body = ErrorBody),
        (status = CONFLICT, description = "Another decision came first, or the approval has expired; `data` contains it. An approval whose arguments cannot be read whole cannot be granted.", body = ErrorBody),
        (status = UNPROCESSABLE_ENTITY, description = "The answer does not match the form.", body = ErrorBody),
        (status = "default", description = "An error.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn approve(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    body: UnreadBody,
) -> Result<Response, ApiError> {
    may_decide(&gateway, &caller, &id).await?;
    let body = body.read(&gateway, &caller).await?;
    let ApproveBody { reason, answer } = body.read()?;
    if answer.to_string().len() > MAX_ANSWER_BYTES {
        return Err(ApiError::too_large(format!(
            "answer is at most {MAX_ANSWER_BYTES} bytes long"
        )));
    }
    let decide = decide(&caller, id, Verdict::Approved, reason, answer);
    let state = deliver(&gateway, &caller, &decide).await?;
    Ok(respond(&decide, state.as_ref()))
}

/// Refuses the call or the question.
#[utoipa::path(
    post,
    path = "/approvals/{approval_id}/reject",
    operation_id = "reject",
    tag = "approvals",
    params(("approval_id" = String, Path, description = "Id of the approval.")),
    request_body(content = Option<ReasonBody>),
    responses(
        (status = OK, description = "The task has taken the decision.", body = DecisionResponse<'static>),
        (status = ACCEPTED, description = "The decision is durable; the task has not taken it yet.", body = DecisionResponse<'static>),
        (status = FORBIDDEN, description = "The creator of a task, and the sender of the message that led to the approval, may not decide it here.", body = ErrorBody),
        (status = NOT_FOUND, description = "The approval does not exist, or the caller may not decide it.", body = ErrorBody),
        (status = CONFLICT, description = "Another decision came first, or the approval has expired; `data` contains it.", body = ErrorBody),
        (status = "default", description = "An error.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn reject(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    body: UnreadBody,
) -> Result<Response, ApiError> {
    may_decide(&gateway, &caller, &id).await?;
    let body = body.read(&gateway, &caller).await?;
    let ReasonBody { reason } = body.read()?;
    let decide = decide(&caller, id, Verdict::Rejected, reason, Value::Null);
    let state = deliver(&gateway, &caller, &decide).await?;
    Ok(respond(&decide, state.as_ref()))
}

/// Refuses a caller who may not decide a pending approval, before the body is read. Whether it is still pending then is
/// not known before.
async fn may_decide(gateway: &Gateway, caller: &Caller, approval_id: &str) -> Result<(), ApiError> {
    let task = task_of(gateway, approval_id).await?;
    let Some(pending) = task.approval(approval_id) else {
        return Ok(());
    };
    let asking = asking_agent(&task, pending);
    if gateway.access.allows(caller, Action::DecideApprovals, &asking).await? {
        Ok(())
    } else {
        Err(unknown())
    }
}

/// Approves or rejects.
pub(in crate::api) async fn decide_approval(
    gateway: &Gateway,
    caller: &Caller,
    approval_id: String,
    verdict: Verdict,
    reason: Option<String>,
    answer: Value,
) -> Result<(), ApiError> {
    let decide = decide(caller, approval_id, verdict, reason, answer);
    deliver(gateway, caller, &decide).await.map(drop)
}

fn decide(caller: &Caller, approval_id: String, verdict: Verdict, reason: Option<String>, answer: Value) -> Decide {
    Decide {
        approval_id,
        decision: Decision {
            reason: reason.unwrap_or_default(),
            by: caller.name().to_owned(),
            answer,
            ..Decision::new(verdict)
        },
        decided_at: Some(Timestamp::now()),
    }
}

/// Delivers a decision. `None` where the task has not taken it yet; an error where another one came first.
async fn deliver(gateway: &Gateway, caller: &Caller, decide: &Decide) -> Result<Option<ApprovalState>, ApiError> {
    let task = task_of(gateway, &decide.approval_id).await?;
    let Some(pending) = task.approval(&decide.approval_id) else {
        return decided_before(gateway, caller, &task, decide).await.map(Some);
    };
    let asking = asking_agent(&task, pending);
    if !gateway.access.allows(caller, Action::DecideApprovals, &asking).await? {
        return Err(unknown());
    }
    if gateway.self_approval == SelfApproval::Forbidden {
        refuse_own(caller, &task, pending)?;
    }
    if decide.decided_at.is_some_and(|time| pending.is_expired_at(time)) {
        return Err(conflict(decide, &ApprovalState::EXPIRED));
    }
    if decide.decision.verdict == Verdict::Approved
        && pending.arguments_truncated
        && whole(gateway, caller, &task, pending).await?.arguments_truncated
    {
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            "the arguments of this call are cut, and neither its log nor Temporal has them whole: \
             nobody can approve it. Reject it, or let it expire",
        )
        .retryable(false));
    }
    if decide.decision.verdict == Verdict::Approved {
        check_answer(gateway, pending, decide).await?;
    }
    match signal(gateway, &task, decide).await? {
        Some(state) => own(decide, state).map(Some),
        None => Ok(None),
    }
}

/// Whoever asked for a call does not also approve it: the creator of the task, and the sender of the
/// message that the agent works on.
fn refuse_own(caller: &Caller, task: &TaskRecord, pending: &Approval) -> Result<(), ApiError> {
    let name = caller.name();
    let own = if name == task.creator {
        "you created this task"
    } else if name == pending.requester {
        "you sent the message that led to this approval"
    } else {
        return Ok(());
    };
    Err(ApiError::new(
        StatusCode::FORBIDDEN,
        format!("{own}: another user must decide it"),
    ))
}

/// Refuses an answer that does not match the form. The form is that of a user: it gets a thread of its own.
async fn check_answer(gateway: &Gateway, pending: &Approval, decide: &Decide) -> Result<(), ApiError> {
    let (form, answer) = (pending.form.clone(), decide.decision.answer.clone());
    let check = move || mismatch(&form, &answer);
    let refuse = |message| Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, message));
    match gateway.blocking.run(&decide.approval_id, FORM_DEADLINE, check).await {
        Ok(None) => Ok(()),
        Ok(Some(mismatch)) => refuse(mismatch),
        Err(error @ BlockingError::DeadlineExceeded { .. }) => {
            refuse(format!("the answer cannot be checked against the form: {error}"))
        }
        Err(error) => {
            Err(ApiError::internal("the answer could not be checked against the form", error).retryable(true))
        }
    }
}

/// The decision about an approval that is not pending.
async fn decided_before(
    gateway: &Gateway,
    caller: &Caller,
    task: &TaskRecord,
    decide: &Decide,
) -> Result<ApprovalState, ApiError> {
    let logged = look_up(&gateway.log, &task.log, &decide.approval_id).await?;
    let asking = logged
        .request
        .map_or_else(|| task.agent.clone(), |request| asking_agent(task, &request));
    let may_decide = gateway.access.allows(caller, Action::DecideApprovals, &asking).await?;
    match logged.decided {
        Some(state) if may_decide => own(decide, state),
        _ => Err(unknown()),
    }
}

/// Sends the decision and waits a moment until the task has taken one.
async fn signal(gateway: &Gateway, task: &TaskRecord, decide: &Decide) -> Result<Option<ApprovalState>, ApiError> {
    let payload = plain_json(decide)?;
    let size_bytes = payload.data.len();
    admit(task, gateway.history_limits, Outgoing::Control { size_bytes })?;
    let subscription = acknowledgement::subscribe(gateway, &task.log).await;
    let look_up = async || look_up(&gateway.log, &task.log, &decide.approval_id).await;
    let signaled = gateway
        .temporal
        .signal(&task.id, SIGNAL_DECIDE, payload, request_id(decide))
        .await;
    match signaled {
        Ok(()) => {
            let acting = acting_agents(task, &decide.approval_id);
            for agent in &acting {
                gateway.wake(agent);
            }
        }
        // The task ended a moment ago.
        Err(TemporalError::NotFound) => return look_up().await?.decided.map(Some).ok_or_else(unknown),
        Err(error) => return Err(ApiError::from(error).retryable(true)),
    }
    let Some(subscription) = subscription else {
        return Ok(None);
    };
    let decided = async {
        // Another user may have decided before the subscription began.
        if let Ok(logged) = look_up().await
            && logged.decided.is_some()
        {
            return logged.decided;
        }
        acknowledgement::wait(subscription, |item| match item {
            LogItem::Entry(entry) => ApprovalState::of_event(&entry.event, &decide.approval_id),
            LogItem::Reset(_) => None,
        })
        .await
    };
    Ok(timeout(acknowledgement::TIMEOUT, decided).await.ok().flatten())
}

/// The state if the decision is the caller's own; a conflict if another came first.
fn own(decide: &Decide, state: ApprovalState) -> Result<ApprovalState, ApiError> {
    if state.repeats(&decide.decision) {
        Ok(state)
    } else {
        Err(conflict(decide, &state))
    }
}

fn respond(decide: &Decide, state: Option<&ApprovalState>) -> Response {
    match state {
        Some(state) => response(StatusCode::OK, decide, state),
        None => response(StatusCode::ACCEPTED, decide, &ApprovalState::PENDING),
    }
}

fn conflict(decide: &Decide, state: &ApprovalState) -> ApiError {
    let mut error = ApiError::new(StatusCode::CONFLICT, state.in_words()).retryable(false);
    error.data = Box::new(json!(DecisionResponse {
        id: &decide.approval_id,
        state
    }));
    error
}

fn response(status: StatusCode, decide: &Decide, state: &ApprovalState) -> Response {
    let id = &decide.approval_id;
    (status, Json(DecisionResponse { id, state })).into_response()
}

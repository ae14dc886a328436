//! Approving and rejecting. The decision is a signal to the task that asks: it
//! is durable with no worker up, the first one counts, and sending it again is harmless.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use futures::StreamExt as _;
use serde::Serialize;
use serde_json::{Value, json};
use steadfast_contract::signals::{Decide, SIGNAL_DECIDE};
use steadfast_eventlog::{LogItem, Subscription, reader::From};
use steadfast_events::{Decision, Verdict};
use tokio::time::timeout;

use super::{task_that_asks, unknown};
use crate::{
    access::{Action, Caller, SelfApproval},
    approvals::{asking_agent, in_words, is_ruling_of, misfit, request_id, ruling_in, trace},
    error::ApiError,
    gateway::Gateway,
    inbound::BoundedBody,
    routes::tasks::reason,
    task::TaskRecord,
    temporal::{TemporalError, plain_json},
    wire::Ruling,
};

/// How long it is waited until the task says what became of it.
const ACKNOWLEDGEMENT: Duration = Duration::from_secs(2);
/// How long Redis may take before a decision goes out without waiting for what becomes of it.
const SUBSCRIBE: Duration = Duration::from_millis(500);
/// An answer goes to the model.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

#[derive(Serialize)]
struct Answer<'a> {
    id: &'a str,
    #[serde(flatten)]
    ruling: &'a Ruling,
}

pub async fn approve(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    body: BoundedBody,
) -> Result<Response, ApiError> {
    let decide = read(&caller, id, Verdict::Approved, &body)?;
    deliver(&gateway, &caller, decide).await
}

pub async fn reject(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    body: BoundedBody,
) -> Result<Response, ApiError> {
    let decide = read(&caller, id, Verdict::Rejected, &body)?;
    deliver(&gateway, &caller, decide).await
}

fn read(caller: &Caller, approval_id: String, verdict: Verdict, body: &BoundedBody) -> Result<Decide, ApiError> {
    let answer = body.object()?.remove("answer").unwrap_or_default();
    if answer.to_string().len() > MAX_ANSWER_BYTES {
        return Err(ApiError::too_large(format!(
            "answer is at most {MAX_ANSWER_BYTES} bytes long"
        )));
    }
    let decision = Decision {
        reason: reason(body)?.unwrap_or_default(),
        by: caller.name().to_owned(),
        // A rejection needs no answer to the form.
        answer: if verdict == Verdict::Approved {
            answer
        } else {
            Value::Null
        },
        ..Decision::new(verdict)
    };
    Ok(Decide { approval_id, decision })
}

async fn deliver(gateway: &Gateway, caller: &Caller, decide: Decide) -> Result<Response, ApiError> {
    let task = task_that_asks(gateway, &decide.approval_id).await?;
    let Some(pending) = task.approval(&decide.approval_id) else {
        let trace = trace(&gateway.log, &task.log_id, &decide.approval_id).await?;
        let asking = trace
            .requested
            .map_or_else(|| task.agent.clone(), |asked| asking_agent(&task, &asked));
        let may = gateway.access.allows(caller, Action::DecideApprovals, &asking).await?;
        return match trace.ruling {
            Some(ruling) if may => decided(&decide, &ruling),
            _ => Err(unknown()),
        };
    };
    let asking = asking_agent(&task, pending);
    if !gateway.access.allows(caller, Action::DecideApprovals, &asking).await? {
        return Err(unknown());
    }
    if gateway.self_approval == SelfApproval::Forbidden && caller.name() == task.creator {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "you created this task: here somebody else has to decide what it asks",
        ));
    }
    if decide.decision.verdict == Verdict::Approved
        && let Some(misfit) = misfit(&pending.form, &decide.decision.answer)
    {
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, misfit));
    }
    match signal(gateway, &task, &decide).await? {
        Some(ruling) => decided(&decide, &ruling),
        None => Ok(answer(StatusCode::ACCEPTED, &decide, &Ruling::PENDING)),
    }
}

/// Sends the decision, and waits a moment for what becomes of it.
async fn signal(gateway: &Gateway, task: &TaskRecord, decide: &Decide) -> Result<Option<Ruling>, ApiError> {
    let subscription = match timeout(SUBSCRIBE, gateway.reader.subscribe(&task.log_id, From::Tail)).await {
        Ok(Ok(subscription)) => Some(subscription),
        Ok(Err(_)) | Err(_) => None,
    };
    let signaled = gateway
        .temporal
        .signal(&task.id, SIGNAL_DECIDE, plain_json(decide)?, request_id(decide))
        .await;
    match signaled {
        Ok(()) => {}
        // The task has ended in this moment.
        Err(TemporalError::NotFound) => {
            let trace = trace(&gateway.log, &task.log_id, &decide.approval_id).await?;
            return trace.ruling.map(Some).ok_or_else(unknown);
        }
        Err(error) => return Err(ApiError::from(error).repeatable(true)),
    }
    let Some(subscription) = subscription else {
        return Ok(None);
    };
    let outcome = async {
        // Somebody may have decided between the look at the task and the subscription.
        match trace(&gateway.log, &task.log_id, &decide.approval_id).await {
            Ok(trace) if trace.ruling.is_some() => trace.ruling,
            _ => ruling(subscription, &decide.approval_id).await,
        }
    };
    Ok(timeout(ACKNOWLEDGEMENT, outcome).await.ok().flatten())
}

async fn ruling(mut subscription: Subscription, approval_id: &str) -> Option<Ruling> {
    while let Some(item) = subscription.next().await {
        if let LogItem::Entry(entry) = item
            && let Some(ruling) = ruling_in(&entry.event, approval_id)
        {
            return Some(ruling);
        }
    }
    None
}

/// What was decided is the caller's own decision, or it is too late for one.
fn decided(decide: &Decide, ruling: &Ruling) -> Result<Response, ApiError> {
    if is_ruling_of(ruling, &decide.decision) {
        return Ok(answer(StatusCode::OK, decide, ruling));
    }
    let mut error = ApiError::new(StatusCode::CONFLICT, in_words(ruling)).repeatable(false);
    error.data = json!(Answer {
        id: &decide.approval_id,
        ruling
    });
    Err(error)
}

fn answer(status: StatusCode, decide: &Decide, ruling: &Ruling) -> Response {
    let id = &decide.approval_id;
    (status, Json(Answer { id, ruling })).into_response()
}

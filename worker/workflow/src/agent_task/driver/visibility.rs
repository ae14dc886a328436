//! Search attributes of a task. They are written when they change, and only where the server has
//! them registered.

use std::convert::Infallible;

use steadfast_contract::visibility::{
    MEMO_QUEUE_FULL, SEARCH_AGENT, SEARCH_PENDING_APPROVALS, SEARCH_PHASE, VisiblePhase, search_agent,
};
use temporalio_workflow::{
    MemoValue, WaitConditionOptions, WorkflowCancellationToken, common::search_attributes::SearchAttributeKey,
};

use super::{Context, now, read};
use crate::activity_options;

const AGENT: SearchAttributeKey<String> = SearchAttributeKey::keyword(SEARCH_AGENT);
const PHASE: SearchAttributeKey<String> = SearchAttributeKey::keyword(SEARCH_PHASE);
const PENDING_APPROVALS: SearchAttributeKey<i64> = SearchAttributeKey::int(SEARCH_PENDING_APPROVALS);

/// Shows a turn that has run for long as running. Each change is an event of the history: a short turn is over before
/// anybody looks.
pub(super) fn show_long_turn(ctx: &Context) {
    let now = now(ctx);
    let began = read(ctx, |task| task.state.turn_started_at);
    let is_long = began
        .and_then(|began| began.checked_add(activity_options::LONG_TURN).ok())
        .is_some_and(|long_since| now >= long_since);
    if is_long {
        show(ctx, VisiblePhase::Running);
    }
}

/// Writes the search attributes that have changed.
pub(super) fn show(ctx: &Context, phase: VisiblePhase) {
    if !read(ctx, |task| task.state.search_attributes) {
        return;
    }
    let pending = read(ctx, |task| task.state.approvals.count_waiting());
    let phase = if pending > 0 {
        VisiblePhase::WaitingForPeople
    } else {
        phase
    };
    let agent = read(ctx, |task| search_agent(ctx.task_queue(), &task.start.agent));
    let current = ctx.search_attributes();
    let mut updates = Vec::new();
    if current.get(&AGENT).as_ref() != Some(&agent) {
        updates.push(AGENT.value_set(agent));
    }
    if current.get(&PHASE).as_deref() != Some(phase.as_str()) {
        updates.push(PHASE.value_set(phase.as_str().to_owned()));
    }
    if current.get(&PENDING_APPROVALS).unwrap_or_default() != pending {
        updates.push(PENDING_APPROVALS.value_set(pending));
    }
    if !updates.is_empty() {
        ctx.upsert_search_attributes(updates);
    }
}

/// Tells the gateway by the memo whether the queue is full, so that it refuses messages before they are in history.
pub(super) async fn show_full_queue(ctx: &Context) -> Infallible {
    let detached = WorkflowCancellationToken::new();
    let mut shown = ctx
        .memo()
        .get::<bool>(MEMO_QUEUE_FULL)
        .ok()
        .flatten()
        .unwrap_or_default();
    loop {
        let options = WaitConditionOptions::builder()
            .cancellation_token(detached.clone())
            .build();
        // The token is never cancelled.
        let _ = ctx
            .wait_condition_with_options(
                move |state| state.task.as_ref().is_some_and(|task| task.is_queue_full() != shown),
                options,
            )
            .await;
        shown = !shown;
        let value = shown.then(|| MemoValue::new(true));
        if ctx.upsert_memo([(MEMO_QUEUE_FULL, value)]).is_err() {
            std::future::pending::<()>().await;
        }
    }
}

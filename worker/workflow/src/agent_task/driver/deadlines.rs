//! Time limits, and the broadcast that cancels running calls: both act on the running turn from beside it.

use std::{convert::Infallible, time::Duration};

use futures::FutureExt as _;
use steadfast_contract::activities::CancelRequest;
use steadfast_payload::Packed;
use temporalio_workflow::{TimerOptions, WaitConditionOptions, WorkflowCancellationToken, workflows::select};

use super::{Context, now, read, update};
use crate::{
    activities::CancelRunningCalls,
    activity_options,
    task::{Deadline, Task},
};

/// Stops the turn, or wakes the task, when a time limit has passed.
pub(super) async fn watch(ctx: &Context) -> Infallible {
    let detached = WorkflowCancellationToken::new();
    loop {
        until(ctx, &detached, |task| task.next_deadline().is_some()).await;
        let Some((deadline, at)) = read(ctx, Task::next_deadline) else {
            continue;
        };
        let remaining = Duration::try_from(now(ctx).duration_until(at)).unwrap_or(Duration::ZERO);
        let timer_token = WorkflowCancellationToken::new();
        let timer = ctx.timer(
            TimerOptions::builder(remaining.max(activity_options::SHORTEST_TIMER))
                .cancellation_token(timer_token.clone())
                .summary(match deadline {
                    Deadline::Turn => "limits.turnTimeout".to_owned(),
                    Deadline::Task => "limits.taskTimeout".to_owned(),
                })
                .build(),
        );
        let changed = until(ctx, &detached, move |task| task.next_deadline() != Some((deadline, at)));
        futures::pin_mut!(timer, changed);
        let mut timer = timer.fuse();
        let mut changed = changed.fuse();
        select! {
            _ = timer => {
                let token = ctx.state(|state| state.turn_token.clone());
                let turn_runs = token.is_some();
                update(ctx, |task| task.deadline_passed(deadline, turn_runs));
                if let Some(token) = token {
                    token.cancel_with_reason("timed out");
                }
            }
            () = changed => timer_token.cancel(),
        }
    }
}

/// Tells the workers at once to cancel the running calls: heartbeats would take seconds.
pub(super) async fn broadcast_cancels(ctx: &Context) -> Infallible {
    let detached = WorkflowCancellationToken::new();
    let mut cancelled = ctx.cancelled().boxed_local().fuse();
    loop {
        let pending = until(ctx, &detached, Task::is_cancel_pending);
        futures::pin_mut!(pending);
        let mut pending = pending.fuse();
        select! {
            () = pending => {}
            _ = cancelled => {}
        }
        let request = update(ctx, |task| {
            task.cancel_announced();
            CancelRequest {
                task_id: task.start.task_id.clone(),
                turn: task.turn(),
            }
        });
        // When the broadcast fails, the next heartbeat of each call learns of the cancellation.
        let _ = ctx
            .execute_local_activity(
                CancelRunningCalls,
                Packed(request),
                activity_options::cancel_running_calls(),
            )
            .await;
    }
}

async fn until(ctx: &Context, detached: &WorkflowCancellationToken, condition: impl Fn(&Task) -> bool + 'static) {
    let options = WaitConditionOptions::builder()
        .cancellation_token(detached.clone())
        .build();
    // The token is never cancelled.
    let _ = ctx
        .wait_condition_with_options(move |state| state.task.as_ref().is_some_and(&condition), options)
        .await;
}

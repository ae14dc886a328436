//! Time limits, and the word to stop: both act on the running turn from beside it.

use std::{convert::Infallible, time::Duration};

use futures::FutureExt as _;
use steadfast_contract::activities::StopRequest;
use steadfast_payload::Packed;
use temporalio_workflow::{TimerOptions, WaitConditionOptions, WorkflowCancellationToken, workflows::select};

use super::{Context, now, task};
use crate::{activities::StopRunning, options, task::Deadline};

/// Stops the turn, or wakes the task, when its time is over.
pub(super) async fn watch_deadlines(ctx: &Context) -> Infallible {
    let detached = WorkflowCancellationToken::new();
    loop {
        until(ctx, &detached, |task| task.next_deadline().is_some()).await;
        let Some((deadline, at)) = task(ctx, |task| task.next_deadline()) else {
            continue;
        };
        let remaining = Duration::try_from(now(ctx).duration_until(at)).unwrap_or(Duration::ZERO);
        let timer_token = WorkflowCancellationToken::new();
        let timer = ctx.timer(
            TimerOptions::builder(remaining)
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
                task(ctx, |task| {
                    task.timed_out = Some(deadline);
                    task.stop_unsaid = token.is_some();
                });
                if let Some(token) = token {
                    token.cancel_with_reason("timed out");
                }
            }
            () = changed => timer_token.cancel(),
        }
    }
}

/// Tells the workers at once that what runs is to stop: heartbeats would take seconds.
pub(super) async fn relay_stops(ctx: &Context) -> Infallible {
    let detached = WorkflowCancellationToken::new();
    let mut cancelled = ctx.cancelled().boxed_local().fuse();
    loop {
        let unsaid = until(ctx, &detached, |task| task.is_complete_run() && task.stop_unsaid);
        futures::pin_mut!(unsaid);
        let mut unsaid = unsaid.fuse();
        select! {
            () = unsaid => {}
            _ = cancelled => {}
        }
        let request = task(ctx, |task| {
            task.stop_unsaid = false;
            task.is_complete_run().then(|| StopRequest {
                task_id: task.start.task_id.clone(),
                turn: task.turn(),
            })
        });
        if let Some(request) = request {
            // When it fails, heartbeats bring the word.
            let _ = ctx
                .execute_local_activity(StopRunning, Packed(request), options::stop_running())
                .await;
        }
    }
}

async fn until(
    ctx: &Context,
    detached: &WorkflowCancellationToken,
    condition: impl Fn(&crate::task::Task) -> bool + 'static,
) {
    let options = WaitConditionOptions::builder()
        .cancellation_token(detached.clone())
        .build();
    // The token is never cancelled.
    let _ = ctx
        .wait_condition_with_options(move |state| state.task.as_ref().is_some_and(&condition), options)
        .await;
}

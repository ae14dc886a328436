//! Appends the outbox to the log when no other activity takes it along.

use std::time::Duration;

use futures::FutureExt as _;
use steadfast_contract::activities::Append;
use steadfast_payload::{Packed, bounded_size};
use temporalio_workflow::{TimerOptions, WaitConditionOptions, WorkflowCancellationToken, workflows::select};

use super::{Context, commands, read, update};
use crate::{activities::AppendEvents, activity_options, failure::CallError};

/// Runs beside the conversation, which never waits for it.
pub(super) async fn run(ctx: &Context) -> std::convert::Infallible {
    let never_cancelled = WorkflowCancellationToken::new();
    loop {
        let options = WaitConditionOptions::builder()
            .cancellation_token(never_cancelled.clone())
            .build();
        let waited = ctx
            .wait_condition_with_options(
                |state| {
                    state
                        .task
                        .as_ref()
                        .is_some_and(|task| !task.local.piggyback_pending && task.state.outbox.has_unsent())
                },
                options,
            )
            .await;
        if waited.is_err() {
            continue;
        }
        let append = read(ctx, |task| Append {
            outbox: task.state.outbox.next_batch(),
            cursor: task.state.log_cursor.clone(),
            revision: task.display_revision(),
        });
        let appended = async {
            let append = commands::admit(ctx, "the events for the log", append).await?;
            // It may have waited for that, and the task may end before it is scheduled.
            if !update(ctx, |task| task.state.outbox.send(&append.0.outbox)) {
                return Ok(None);
            }
            let running = ctx.execute_activity(AppendEvents, append, activity_options::append_events());
            running.await.map(Some).map_err(CallError::from)
        };
        match appended.await {
            Ok(Some(Packed(ack))) => update(ctx, |task| task.ack(&ack)),
            Ok(None) => {}
            Err(_) => update(ctx, |task| task.state.outbox.ack(0)),
        }
    }
}

/// Leaves in the history what the log still lacks when the task ends: readers rebuild the messages from
/// there. Nobody waits for the activities, which end with the task.
pub(super) fn leave_in_history(ctx: &Context) {
    for outbox in update(ctx, |task| task.state.outbox.take_unrecorded()) {
        let append = read(ctx, |task| Append {
            outbox,
            cursor: task.state.log_cursor.clone(),
            revision: task.display_revision(),
        });
        if !commands::fits(ctx, bounded_size(&append)) {
            // One message to the server takes no more, and there is no next workflow task.
            return;
        }
        // Polled once, so that it is scheduled.
        let _ = ctx
            .execute_activity(AppendEvents, Packed(append), activity_options::append_events())
            .now_or_never();
    }
}

/// Waits until the relay has emptied the outbox, for a bounded time: a task does not depend on its log.
pub(super) async fn flush(ctx: &Context, limit: Duration) {
    let is_empty = update(ctx, |task| {
        task.local.piggyback_pending = false;
        task.state.outbox.is_empty()
    });
    if is_empty {
        return;
    }
    let detached = WorkflowCancellationToken::new();
    let emptied = ctx.wait_condition_with_options(
        |state| state.task.as_ref().is_none_or(|task| task.state.outbox.is_empty()),
        WaitConditionOptions::builder()
            .cancellation_token(detached.clone())
            .build(),
    );
    let timer = ctx.timer(
        TimerOptions::builder(limit)
            .cancellation_token(detached.clone())
            .build(),
    );
    futures::pin_mut!(emptied, timer);
    select! {
        _ = emptied => {}
        _ = timer => {}
    }
}

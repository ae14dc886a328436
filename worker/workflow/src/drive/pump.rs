//! Brings what the task tells to the log when no other activity takes it along.

use steadfast_contract::activities::Append;
use steadfast_payload::Packed;
use temporalio_workflow::{TimerOptions, WaitConditionOptions, WorkflowCancellationToken, workflows::select};

use super::{Context, task};
use crate::{activities::AppendEvents, options};

/// Runs beside the conversation and never in its way.
pub(super) async fn pump_outbox(ctx: &Context) -> std::convert::Infallible {
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
                        .is_some_and(|task| !task.carrier_comes && task.outbox.has_uncarried())
                },
                options,
            )
            .await;
        if waited.is_err() {
            continue;
        }
        let append = task(ctx, |task| Append {
            outbox: task.outbox.carry(),
            seen: task.log_seen.clone(),
            revision: task.shown_by(),
        });
        if let Ok(Packed(ack)) = ctx
            .execute_activity(AppendEvents, Packed(append), options::append_events())
            .await
        {
            task(ctx, |task| task.settle(&ack));
        } else {
            task(ctx, |task| task.outbox.settle(0));
        }
    }
}

/// Lets the pump empty the outbox, for a while: a task does not depend on its log.
pub(super) async fn settle_outbox(ctx: &Context) {
    task(ctx, |task| task.carrier_comes = false);
    let detached = WorkflowCancellationToken::new();
    let emptied = ctx.wait_condition_with_options(
        |state| state.task.as_ref().is_none_or(|task| task.outbox.is_empty()),
        WaitConditionOptions::builder()
            .cancellation_token(detached.clone())
            .build(),
    );
    let timer = ctx.timer(
        TimerOptions::builder(options::FINAL_FLUSH)
            .cancellation_token(detached.clone())
            .build(),
    );
    futures::pin_mut!(emptied, timer);
    select! {
        _ = emptied => {}
        _ = timer => {}
    }
}

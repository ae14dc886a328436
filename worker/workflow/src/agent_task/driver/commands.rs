//! The size of what every command carries is known here before the command is made: what does not fit
//! is an error for the caller, and what no longer fits into one response to the server waits for the next.
//! Temporal ends a workflow that sends it more than it takes, and nothing can catch that.

use serde::Serialize;
use steadfast_payload::{Packed, bounded_size};
use temporalio_workflow::{
    TimerOptions, WorkflowCancellationToken,
    common::{data_converters::RawValue, protos::temporal::api::common::v1::Payload},
};

use super::{Context, read};
use crate::{activity_options, command_size, failure::CallError, task::Task};

/// The input of an activity or workflow of ours. It comes back when the command may be made.
pub(super) async fn admit<T: Serialize>(ctx: &Context, what: &str, input: T) -> Result<Packed<T>, CallError> {
    let size_bytes = bounded_size(&input);
    command_size::check(what, size_bytes)?;
    reserve(ctx, size_bytes).await;
    Ok(Packed(input))
}

/// The arguments of an activity or workflow that is not ours: plain JSON.
pub(super) async fn admit_plain(ctx: &Context, what: &str, arguments: Vec<Payload>) -> Result<RawValue, CallError> {
    let size_bytes = arguments.iter().map(|payload| payload.data.len()).sum();
    command_size::check(what, size_bytes)?;
    reserve(ctx, size_bytes).await;
    Ok(RawValue::new(arguments))
}

/// Waits until this workflow task can carry so many bytes more; also for the result of a local activity.
pub(super) async fn reserve(ctx: &Context, size_bytes: usize) {
    let never = WorkflowCancellationToken::new();
    while !fits(ctx, size_bytes) {
        let next = TimerOptions::builder(activity_options::NEXT_WORKFLOW_TASK)
            .cancellation_token(never.clone())
            .summary("sends what is large in several steps".to_owned())
            .build();
        let _ = ctx.timer(next).await;
    }
}

/// Whether this workflow task can carry so many bytes more. If so, they count as sent.
pub(super) fn fits(ctx: &Context, size_bytes: usize) -> bool {
    read(ctx, |task: &Task| task.local.sent.add(ctx.history_length(), size_bytes))
}

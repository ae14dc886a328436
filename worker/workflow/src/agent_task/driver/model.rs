//! Model calls, and compaction of the transcript.

use serde_json::json;
use steadfast_agent_loop::{Body, Failure, Guarded, Input, ModelAnswer, Segment, StepId};
use steadfast_contract::{
    activities::{Append, ModelCall, ModelOutcome, Revision},
    activity_ids::model_activity_id,
    failures::CONTEXT_LENGTH_EXCEEDED,
    queries::Phase,
    tool_calls::tool_calls,
};
use steadfast_crds::agent::HookEvent;
use steadfast_events::Content;
use steadfast_payload::{Packed, read_json};
use temporalio_workflow::{WorkflowCancellationToken, WorkflowTermination};

use super::{
    Context, commands, failed_step, hooks, now, protocol_error, read, record, scoped, stopped, turn_scope, update,
};
use crate::{
    activities::{Compact, InvokeModel},
    activity_options,
    failure::CallError,
    task::{Task, TurnEnd},
};

pub(super) async fn call_model(ctx: &Context, id: StepId) -> Result<(), WorkflowTermination> {
    let Some((token, revision)) = turn_scope(ctx) else {
        return protocol_error("a model call outside of a turn");
    };
    if let Some(limit) = read(ctx, Task::exhausted_token_limit) {
        let failure = Failure::Error {
            category: "max_tokens_per_task".to_owned(),
            message: format!("the task has used its {limit} tokens (limits.maxTokensPerTask)"),
        };
        return update(ctx, |task| record(task, Input::Failed(failure)));
    }
    if read(ctx, Task::is_window_full) {
        return update(ctx, |task| record(task, Input::WindowFull));
    }
    let about = || json!({"model": revision.spec.model.name, "step": id.step});
    hooks::tell(ctx, HookEvent::ModelStarted, about).await;
    if let Some(stopped) = stopped_before(ctx, &token) {
        return stopped;
    }
    ctx.set_current_details(format!("turn {}: calls {}", id.turn, revision.spec.model.name));
    let now_at_start = now(ctx);
    let (call, announced, queue) = update(ctx, |task| {
        task.local.phase = Phase::CallingModel;
        let (mut call, announced) = announce(task, id, &revision, now_at_start);
        call.may_end_turn = may_end_turn(task, &revision).then_some(task.state.turn_usage);
        (call, announced, task.acting_queue())
    });
    let options = activity_options::model_call(
        model_activity_id(id.turn, id.step),
        &revision.spec,
        queue,
        token.clone(),
    );
    let activity_id = model_activity_id(id.turn, id.step);
    let result = async {
        let call = commands::admit(ctx, "the request of a model call", call).await?;
        not_stopped(&token)?;
        let running = scoped(ctx, id, None, || ctx.execute_activity(InvokeModel, call, options));
        let Packed(outcome) = running.await?;
        update(ctx, |task| with_items(task, &activity_id, outcome))
    };
    let result = result.await;
    let now = now(ctx);
    match result {
        Ok(outcome) => {
            let usage = outcome.usage;
            let stopped_midway = outcome.interrupted;
            let answer = update(ctx, |task| take_answer(task, id, &revision, outcome, now));
            let about = || json!({"model": revision.spec.model.name, "step": id.step, "usage": usage});
            hooks::tell(ctx, HookEvent::ModelEnded, about).await;
            let input = if stopped_midway {
                Input::Failed(stopped(ctx))
            } else {
                Input::ModelAnswered(answer)
            };
            update(ctx, |task| record(task, input))
        }
        Err(error) => {
            update(ctx, |task| not_called(task, announced, &error));
            let failure = failed_step(ctx, &token, &error);
            let too_long = error.describe().0 == CONTEXT_LENGTH_EXCEEDED && !token.is_cancelled();
            update(ctx, |task| {
                if too_long && task.may_compact() {
                    return record(task, Input::WindowFull);
                }
                record(task, Input::Failed(failure))
            })
        }
    }
}

/// Ends a turn that was stopped before its next call. An activity whose token is cancelled is never
/// scheduled: what it announces would stand in no history.
fn stopped_before(ctx: &Context, token: &WorkflowCancellationToken) -> Option<Result<(), WorkflowTermination>> {
    token.is_cancelled().then(|| {
        let failure = stopped(ctx);
        update(ctx, |task| record(task, Input::Failed(failure)))
    })
}

/// The same for a call that has waited until a workflow task could carry it.
fn not_stopped(token: &WorkflowCancellationToken) -> Result<(), CallError> {
    if token.is_cancelled() {
        return Err(CallError::Stopped);
    }
    Ok(())
}

/// What the log and the model calls had been told before a call.
#[derive(Clone, Copy, Debug)]
struct Announced {
    /// Segments of the transcript.
    base: u32,
    /// Entries of the outbox: before the call, and with it.
    sent_through: (u64, u64),
}

fn announce(task: &mut Task, id: StepId, revision: &Revision, now: jiff::Timestamp) -> (ModelCall, Announced) {
    let (base, new) = task.state.transcript.announce();
    let sent_before = task.state.outbox.sent_through();
    let append = Append {
        outbox: task.state.outbox.take_batch(),
        cursor: task.state.log_cursor.clone(),
        revision: None,
    };
    task.local.piggyback_pending = false;
    let call = ModelCall {
        turn: id.turn,
        step: id.step,
        base,
        new,
        revision: revision.name.clone(),
        now: task.state.turn_started_at.unwrap_or(now),
        may_end_turn: None,
        append,
    };
    let sent_through = (sent_before, task.state.outbox.sent_through());
    (call, Announced { base, sent_through })
}

/// Whether nothing is to reach the log between the last answer of the turn and its end.
fn may_end_turn(task: &Task, revision: &Revision) -> bool {
    let spec = &revision.spec;
    let after_the_answer = [HookEvent::ModelEnded, HookEvent::AgentEnded];
    let hooked = spec
        .hooks
        .iter()
        .any(|hook| after_the_answer.iter().any(|event| hook.events.contains(event)));
    !hooked && !spec.stream.model_calls && spec.guardrails.output.is_empty() && !task.state.outbox.has_unsent()
}

/// What the call took along was not taken.
fn not_called(task: &mut Task, announced: Announced, error: &CallError) {
    task.state.outbox.ack(0);
    if error.was_not_made() {
        let (before, after) = announced.sent_through;
        task.state.outbox.not_scheduled(before, after);
        task.state.transcript.not_announced(announced.base);
    }
}

/// The outcome with the items that came in parts, before it.
fn with_items(task: &mut Task, activity_id: &str, outcome: ModelOutcome) -> Result<ModelOutcome, CallError> {
    let Some(parts) = outcome.item_parts else {
        return Ok(outcome);
    };
    let text = task.local.answer_parts.take(activity_id, parts);
    match text.and_then(|text| read_json(&text).ok()) {
        Some(items) => Ok(ModelOutcome { items, ..outcome }),
        None => Err(CallError::PartsMissing),
    }
}

/// Adds the answer to the transcript, and to the outbox where the log lacks it.
fn take_answer(
    task: &mut Task,
    id: StepId,
    revision: &Revision,
    outcome: ModelOutcome,
    now: jiff::Timestamp,
) -> ModelAnswer {
    let calls = tool_calls(&outcome.items, &outcome.refused);
    let retracted = outcome.is_retracted();
    let segment = Segment {
        turn: id.turn,
        step: id.step,
        at: now,
        body: Body::Model {
            items: outcome.items,
            agent: revision.spec.agent.clone(),
            origin: outcome.origin,
        },
    };
    task.ack(&outcome.log);
    if outcome.turn_ended {
        task.local.turn_end = TurnEnd::ByModelCall;
    }
    task.count_usage(outcome.usage);
    task.note_context(outcome.usage);
    for (index, target) in outcome.mcp {
        task.state.call_progress.entry(index).or_default().mcp = Some(target);
    }
    if outcome.log.lagging && !outcome.withheld && !retracted {
        task.publish(&segment);
    }
    task.append_segment(segment);
    if revision.spec.stream.model_calls {
        let data =
            json!({"kind": "model_call", "model": revision.spec.model.name, "step": id.step, "usage": outcome.usage});
        task.send_message(id.turn, now, Content::Data { data });
    }
    if let Some(reason) = &outcome.rejected {
        task.append_segment(Segment {
            turn: id.turn,
            step: id.step,
            at: now,
            body: Body::Note {
                text: format!(
                    "Your answer was not accepted: {reason}. Answer redelivered, with nothing but JSON that fits the schema."
                ),
            },
        });
    }
    ModelAnswer {
        calls,
        unsupported: outcome.unsupported,
        rejected: outcome.rejected,
        guarded: if outcome.withheld { Guarded::Yes } else { Guarded::No },
    }
}

/// Compacts the transcript: the model summarises it.
pub(super) async fn compact(ctx: &Context, id: StepId) -> Result<(), WorkflowTermination> {
    let Some((token, revision)) = turn_scope(ctx) else {
        return protocol_error("a summary outside of a turn");
    };
    if let Some(stopped) = stopped_before(ctx, &token) {
        return stopped;
    }
    ctx.set_current_details(format!("turn {}: sums up the conversation", id.turn));
    let now_at_start = now(ctx);
    let (call, announced, queue, kept) = update(ctx, |task| {
        task.local.phase = Phase::Compacting;
        // The message of this turn is kept as it is while the turn has no other segment.
        let newest = task.state.transcript.segments().next_back();
        let kept = usize::from(newest.is_some_and(|segment| matches!(segment.body, Body::User { .. })));
        let (call, announced) = announce(task, id, &revision, now_at_start);
        (call, announced, task.acting_queue(), kept)
    });
    let options = activity_options::compact(id, &revision.spec, queue, token.clone());
    let result = async {
        let call = commands::admit(ctx, "the request of a summary", call).await?;
        not_stopped(&token)?;
        let running = scoped(ctx, id, None, || ctx.execute_activity(Compact, call, options));
        running.await.map_err(CallError::from)
    };
    let result = result.await;
    let now = now(ctx);
    match result {
        Ok(Packed(summary)) => {
            let stopped = token.is_cancelled().then(|| stopped(ctx));
            update(ctx, |task| {
                task.ack(&summary.log);
                task.count_usage(summary.usage);
                if let Some(failure) = stopped {
                    return record(task, Input::Failed(failure));
                }
                task.compact(id, summary.text, kept, now);
                record(task, Input::Compacted)
            })
        }
        Err(error) => {
            let failure = failed_step(ctx, &token, &error);
            update(ctx, |task| {
                not_called(task, announced, &error);
                record(task, Input::Failed(failure))
            })
        }
    }
}

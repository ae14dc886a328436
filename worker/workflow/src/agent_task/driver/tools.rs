//! The tool calls of one step, all at once. Each waits for its approval, runs by the kind of its
//! tool, and has a result in the end, whatever happens.

mod activity;
mod agent;
mod call;
mod context;
mod http;
mod human;
mod mcp;
mod steps;

use serde_json::Value;
use steadfast_agent_loop::{AfterTools, Body, CallKind, Failure, Input, Segment, StepId, ToolCall, ToolOutput};
use temporalio_workflow::{WorkflowTermination, workflows::join_all};

use super::{Context, now, protocol_error, record, state_pages, stopped, turn_scope, update};
use crate::task::Task;
use call::{CallStatus, finish_call};
use context::ToolCallContext;
use steadfast_contract::{
    activities::Revision,
    queries::Phase,
    tool_calls::{FinishedCall, OutputSource, TurnFailure},
};

/// `join_all` polls all of so many every time, of more only those that woke. The SDK's future of a local activity
/// does not wake when the pause before its next attempt is over.
const JOINED_AT_ONCE: usize = 30;

pub(super) async fn call_tools(ctx: &Context, id: StepId, calls: Vec<ToolCall>) -> Result<(), WorkflowTermination> {
    let Some((token, revision)) = turn_scope(ctx) else {
        return protocol_error("a tool call outside of a turn");
    };
    let open: Vec<&ToolCall> = update(ctx, |task| {
        task.local.phase = Phase::CallingTools;
        let is_open = |call: &&ToolCall| !task.state.finished_calls.contains_key(&call.index);
        calls.iter().filter(is_open).collect()
    });
    let names: Vec<&str> = calls.iter().map(|call| call.name.as_str()).collect();
    ctx.set_current_details(format!("turn {}: calls {}", id.turn, names.join(", ")));
    let groups = open.chunks(JOINED_AT_ONCE).map(|group| {
        join_all(group.iter().map(|call| {
            let tool_call = ToolCallContext {
                ctx,
                id,
                call,
                revision: &revision,
                token: &token,
            };
            async move { finish_call(&tool_call).await }
        }))
    });
    for end in join_all(groups).await.into_iter().flatten() {
        if end? == CallStatus::Suspended {
            // The loop continues as new; the next run goes on with this step.
            return Ok(());
        }
    }
    state_pages::record_outputs(ctx, id).await?;
    let now = now(ctx);
    let failure = token.is_cancelled().then(|| stopped(ctx));
    update(ctx, |task| {
        task.local.piggyback_pending = true;
        let finished = std::mem::take(&mut task.state.finished_calls);
        task.state.call_progress.clear();
        let after = after(&revision, &calls, &finished);
        let mut failed = None;
        let mut last_words = None;
        for (index, done) in finished {
            if after == AfterTools::Stop && last_words.is_none() && ends_turn(&revision, &done.output) {
                last_words = Some(words(&done.output.content));
            }
            failed = failed.or(done.fails_turn.clone());
            join(task, id, index, done, now);
        }
        let failed = failed.map(|TurnFailure { category, message }| Failure::Error { category, message });
        if let Some(failure) = failure.or(failed) {
            return record(task, Input::Failed(failure));
        }
        if let Some(words) = last_words {
            task.send_text(id.turn, now, words);
        }
        record(task, Input::ToolsFinished(after))
    })
}

fn join(task: &mut Task, id: StepId, index: u32, done: FinishedCall, now: jiff::Timestamp) {
    let by_task = done.source == OutputSource::Task;
    let body = Body::Tool {
        index,
        output: done.output,
        by_task,
    };
    let segment = Segment {
        turn: id.turn,
        step: id.step,
        at: now,
        body,
    };
    if done.suppressed {
        task.retract(&segment, now);
    } else if done.source != OutputSource::OurActivity {
        task.publish(&segment);
        if let Some(ran) = done.interval {
            task.state.outbox.record_interval(ran);
        }
    }
    task.append_segment(segment);
}

fn after(
    revision: &Revision,
    calls: &[ToolCall],
    finished: &std::collections::BTreeMap<u32, FinishedCall>,
) -> AfterTools {
    let in_order = || calls.iter().filter_map(|call| finished.get(&call.index));
    if let Some(to) = in_order().find_map(|done| done.handoff_to.clone()) {
        return AfterTools::HandOff(to);
    }
    if in_order().any(|done| ends_turn(revision, &done.output)) {
        return AfterTools::Stop;
    }
    AfterTools::CallModel
}

fn ends_turn(revision: &Revision, output: &ToolOutput) -> bool {
    // The provider goes on with its own tool when the model is called again.
    let is_ours = output.kind == CallKind::Function;
    is_ours && !output.is_error && revision.spec.tool_use.stops_after(&output.name)
}

fn words(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

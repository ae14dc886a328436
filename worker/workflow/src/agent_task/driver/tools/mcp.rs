//! Tools of MCP servers, which may ask a person in the middle of a call.

use std::time::Duration;

use serde_json::Value;
use steadfast_agent_loop::tool_call::bounded;
use steadfast_contract::{
    activities::{McpToolCall, McpToolOutcome},
    mcp::{McpAnswer, McpInputRequest, McpTarget},
    tool_calls::OutputSource,
};
use steadfast_crds::agent_tool::{AgentToolSpec, OnTimeout};
use steadfast_events::{ApprovalKind, Verdict};
use steadfast_payload::Packed;
use temporalio_workflow::WorkflowTermination;

use super::context::{CallOutcome, ToolCallContext, finished};
use crate::{
    activities::CallMcpTool,
    activity_options::{self, ToolCallOptions},
    agent_task::driver::human_approval::{self, Asked, Question},
    agent_task::driver::{commands, read, scoped, update},
    failure::CallError,
    task::Task,
};

/// Time beyond that of the tool: the worker's own limit passes first, and knows whether the tool may have acted.
const GRACE: Duration = Duration::from_secs(10);
/// Rounds of questions that a tool may ask in one call.
const MOST_ROUNDS: u32 = 10;

pub(super) async fn call_mcp(
    tool_call: &ToolCallContext<'_>,
    spec: &AgentToolSpec,
) -> Result<CallOutcome, WorkflowTermination> {
    let ToolCallContext { ctx, call, .. } = *tool_call;
    let mut answered = None;
    loop {
        let progress = read(ctx, |task| {
            task.state.call_progress.get(&call.index).cloned().unwrap_or_default()
        });
        let Some(target) = progress.mcp else {
            return Ok(tool_call.refused(format!("{:?} was not among the tools of its server", call.name)));
        };
        if let (Some(request), None) = (&progress.asked, &answered) {
            match ask_for_more(tool_call, request, progress.rounds, spec).await? {
                Ok(answer) => answered = Some(answer),
                Err(end) => return Ok(end),
            }
        }
        let outcome = match call_mcp_once(tool_call, spec, target, progress.rounds, answered.take()).await {
            Ok(outcome) => outcome,
            Err(described) => return Ok(tool_call.failed(spec, described)),
        };
        let Some(request) = outcome.input_required else {
            let content = bounded(
                outcome.content,
                usize::try_from(spec.max_result_bytes).unwrap_or(usize::MAX),
            );
            let mut done = tool_call.done(content, OutputSource::ours(outcome.log.lagging));
            done.output.is_error = outcome.is_error;
            return Ok(finished(done));
        };
        if progress.rounds == MOST_ROUNDS {
            return Ok(tool_call.refused(format!("the tool asked for more than {MOST_ROUNDS} times in one call")));
        }
        update(ctx, |task| {
            let progress = task.state.call_progress.entry(call.index).or_default();
            progress.rounds += 1;
            progress.asked = Some(request);
        });
    }
}

async fn call_mcp_once(
    tool_call: &ToolCallContext<'_>,
    spec: &AgentToolSpec,
    target: McpTarget,
    round: u32,
    answered: Option<McpAnswer>,
) -> Result<McpToolOutcome, (String, String)> {
    let ToolCallContext {
        ctx,
        id,
        call,
        revision,
        ..
    } = *tool_call;
    let mut options = ToolCallOptions {
        timeout: spec.timeout.as_std() + GRACE,
        task_queue: read(ctx, Task::acting_queue),
        ..tool_call.options(spec)
    };
    if round > 0 {
        options.id = format!("{}~{round}", options.id);
    }
    let input = McpToolCall {
        turn: id.turn,
        step: id.step,
        index: call.index,
        target,
        revision: revision.name.clone(),
        answered,
        cursor: read(ctx, |task| task.state.log_cursor.clone()),
    };
    let called = async {
        let input = commands::admit(ctx, "the call of the tool", input).await?;
        let running = scoped(ctx, id, Some((call, "")), || {
            ctx.execute_activity(CallMcpTool, input, activity_options::tool_call(options))
        });
        running.await.map_err(CallError::from)
    };
    let Packed(outcome) = called.await.map_err(|error| error.describe())?;
    update(ctx, |task| task.note_cursor(&outcome.log));
    Ok(outcome)
}

/// Asks a person for the input that the tool requires. An expired question is an answer too.
async fn ask_for_more(
    tool_call: &ToolCallContext<'_>,
    request: &McpInputRequest,
    round: u32,
    spec: &AgentToolSpec,
) -> Result<Result<McpAnswer, CallOutcome>, WorkflowTermination> {
    let policy = spec.approval.clone().unwrap_or_default();
    let question = Question {
        kind: ApprovalKind::Elicitation,
        round,
        prompt: request.prompt.clone(),
        form: request.form.clone(),
        arguments: Value::Null,
        timeout: policy.timeout.as_std(),
        on_timeout: policy.on_timeout,
    };
    let asked = human_approval::ask(tool_call.ctx, tool_call.id, tool_call.call, question, tool_call.token).await?;
    let decided = match asked {
        Asked::Suspended => return Ok(Err(CallOutcome::Suspended)),
        Asked::Refused(reason) => {
            let reason = format!("this call was not finished: {reason}");
            return Ok(Err(tool_call.refused(reason)));
        }
        Asked::Stopped => {
            let reason = "this call was not finished: the turn was stopped".to_owned();
            return Ok(Err(tool_call.refused(reason)));
        }
        Asked::Decided(decided, OnTimeout::Fail) if decided.verdict == Verdict::Expired => {
            return Ok(Err(tool_call.expired()));
        }
        Asked::Decided(decided, _) => decided,
    };
    update(tool_call.ctx, |task| {
        task.state.call_progress.entry(tool_call.call.index).or_default().asked = None;
    });
    let action = match decided.verdict {
        Verdict::Approved => "accept",
        Verdict::Rejected => "decline",
        Verdict::Expired | Verdict::Withdrawn => "cancel",
    };
    Ok(Ok(McpAnswer {
        request: request.clone(),
        action: action.to_owned(),
        content: decided.answer,
    }))
}

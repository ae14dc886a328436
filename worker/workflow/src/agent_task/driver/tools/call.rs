//! One tool call: whether it may run, its events, and the tool that runs it.

use serde_json::{Value, json};
use steadfast_agent_loop::{CallDisposition, CallKind, ToolOutput};
use steadfast_contract::{
    callee::{self, Callee},
    interval::Interval,
    tool_calls::OutputSource,
};
use steadfast_crds::{
    agent::HookEvent,
    agent_revision::RevisionTool,
    agent_tool::{ApprovalPolicy, OnTimeout, ToolKind},
};
use steadfast_events::{ApprovalKind, Decision, EventKind, Verdict};
use temporalio_workflow::WorkflowTermination;

use super::{
    activity::call_activity,
    agent::{ask_agent, call_workflow},
    context::{CallOutcome, ToolCallContext, finished},
    http::call_http,
    human::ask_person,
    mcp::call_mcp,
    steps,
};
use crate::{
    agent_task::driver::human_approval::{self, Asked, Question},
    agent_task::driver::{hooks, now, read, update},
};

/// Whether a call has finished, once the task has its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallStatus {
    Finished,
    Suspended,
}

/// Runs one call to its end and keeps its result in the task.
pub(super) async fn finish_call(tool_call: &ToolCallContext<'_>) -> Result<CallStatus, WorkflowTermination> {
    let (ctx, call) = (tool_call.ctx, tool_call.call);
    let CallOutcome::Finished(mut done) = run_call(tool_call).await? else {
        return Ok(CallStatus::Suspended);
    };
    let about = || {
        json!({
            "tool": call.name, "tool_call_id": call.call_id, "is_error": done.output.is_error,
            "result": done.output.content,
        })
    };
    let effects = hooks::tell(ctx, HookEvent::ToolEnded, about).await;
    done.suppressed |= effects.suppress;
    update(ctx, |task| task.state.finished_calls.insert(call.index, *done));
    Ok(CallStatus::Finished)
}

async fn run_call(tool_call: &ToolCallContext<'_>) -> Result<CallOutcome, WorkflowTermination> {
    let ToolCallContext {
        ctx, call, revision, ..
    } = *tool_call;
    if let CallDisposition::Refuse(reason) = &call.disposition {
        return Ok(tool_call.refused(reason.clone()));
    }
    if call.kind == CallKind::McpApproval {
        return approve_for_provider(tool_call).await;
    }
    let progress = read(ctx, |task| {
        task.state.call_progress.get(&call.index).cloned().unwrap_or_default()
    });
    let target = progress.mcp.as_ref();
    let Some(callee) = callee::callee(&revision.spec, &call.name, target) else {
        return Ok(tool_call.refused(format!("there is no tool {:?}", call.name)));
    };
    if let Callee::Tool(tool) = callee
        && let Err(forbidden) = tool_call.check_target(tool)
    {
        return Ok(tool_call.refused(forbidden.to_string()));
    }
    if !progress.approved {
        if let Some(policy) = callee::required_approval(callee, target) {
            if let Some(end) = approve(tool_call, &policy, String::new()).await? {
                return Ok(end);
            }
            tool_call.tell_started();
        }
        update(ctx, |task| {
            task.state.call_progress.entry(call.index).or_default().approved = true;
        });
        hide_request_if_wanted(tool_call).await;
    }
    let from = now(ctx);
    let mut end = match callee {
        Callee::Handoff(handoff) => {
            let mut done = tool_call.done(json!({"agent": handoff.agent}), OutputSource::Task);
            done.handoff_to = Some(handoff.agent.clone());
            return Ok(finished(done));
        }
        Callee::Agent(agent) => ask_agent(tool_call, agent).await,
        Callee::Tool(tool) => run_tool(tool_call, tool).await?,
    };
    if let CallOutcome::Finished(done) = &mut end
        && !is_measured_by_its_activity(callee)
    {
        done.interval = Some(Interval {
            step: tool_call.id.step,
            from,
            until: now(ctx),
        });
    }
    Ok(end)
}

fn is_measured_by_its_activity(callee: Callee<'_>) -> bool {
    matches!(callee, Callee::Tool(tool) if matches!(tool.spec.kind(), Some(ToolKind::Http(_) | ToolKind::Mcp(_))))
}

/// Calls the `ToolStarted` hooks, which may hide the message of the request.
async fn hide_request_if_wanted(tool_call: &ToolCallContext<'_>) {
    let ToolCallContext { ctx, id, call, .. } = *tool_call;
    let about = || {
        let arguments = read(ctx, |task| task.state.transcript.arguments(id, call.index)).unwrap_or_default();
        json!({"tool": call.name, "tool_call_id": call.call_id, "arguments": arguments})
    };
    if hooks::tell(ctx, HookEvent::ToolStarted, about).await.suppress {
        let now = now(ctx);
        update(ctx, |task| {
            let message_id = steadfast_projection::output_message_id(&task.start.task_id, id.turn, id.step, call.index);
            task.emit(id.turn, now, EventKind::MessageReset { message_id });
        });
    }
}

/// Waits for the approval of a call; `None` when the call may run.
async fn approve(
    tool_call: &ToolCallContext<'_>,
    policy: &ApprovalPolicy,
    prompt: String,
) -> Result<Option<CallOutcome>, WorkflowTermination> {
    let ToolCallContext {
        ctx, id, call, token, ..
    } = *tool_call;
    let arguments = read(ctx, |task| task.state.transcript.arguments(id, call.index)).unwrap_or_default();
    let question = Question {
        kind: ApprovalKind::ToolCall,
        round: 0,
        prompt,
        form: Value::Null,
        arguments,
        timeout: policy.timeout.as_std(),
        on_timeout: policy.on_timeout,
    };
    Ok(match human_approval::ask(ctx, id, call, question, token).await? {
        Asked::Suspended => Some(CallOutcome::Suspended),
        Asked::Refused(reason) => Some(tool_call.refused(format!("this call was not run: {reason}"))),
        Asked::Stopped => Some(tool_call.refused("this call was not run: the turn was stopped".to_owned())),
        Asked::Decided(decided, on_timeout) => match (decided.verdict, on_timeout) {
            (Verdict::Approved, _) | (Verdict::Expired, OnTimeout::Proceed) => None,
            (Verdict::Expired, OnTimeout::Fail) => Some(tool_call.expired()),
            (Verdict::Expired, OnTimeout::Reject) => {
                Some(tool_call.refused("this call was not run: nobody approved it in time".to_owned()))
            }
            (Verdict::Rejected | Verdict::Withdrawn, _) => Some(tool_call.refused(rejection(&decided))),
        },
    })
}

/// The provider waits for a decision before it calls a tool of an MCP server. It gets the decision with the
/// next model call.
async fn approve_for_provider(tool_call: &ToolCallContext<'_>) -> Result<CallOutcome, WorkflowTermination> {
    let ToolCallContext { ctx, id, call, .. } = *tool_call;
    let server = read(ctx, |task| {
        let item = task.state.transcript.item(id, call.index)?;
        Some(item["server_label"].as_str().unwrap_or_default().to_owned())
    });
    let prompt = format!(
        "The model's provider calls this tool of the MCP server {:?} if you approve it.",
        server.unwrap_or_default()
    );
    let end = approve(tool_call, &ApprovalPolicy::default(), prompt).await?;
    let approved = || finished(tool_call.done(ToolOutput::approval(), OutputSource::Task));
    Ok(end.unwrap_or_else(approved))
}

fn rejection(decided: &Decision) -> String {
    let by = if decided.by.is_empty() {
        "a person".to_owned()
    } else {
        decided.by.clone()
    };
    let because = if decided.reason.is_empty() {
        String::new()
    } else {
        format!(": {}", decided.reason)
    };
    format!("this call was not run: {by} rejected it{because}")
}

async fn run_tool(tool_call: &ToolCallContext<'_>, tool: &RevisionTool) -> Result<CallOutcome, WorkflowTermination> {
    let Some(kind) = tool.spec.kind() else {
        return Ok(tool_call.refused(format!("the tool {:?} has no kind", tool.name)));
    };
    match kind {
        ToolKind::Activity(activity) => Ok(call_activity(tool_call, activity, &tool.spec).await),
        ToolKind::Http(http) => Ok(call_http(tool_call, http, &tool.spec).await),
        ToolKind::Steps(list) => Ok(steps::run(tool_call, &tool.spec, list).await),
        ToolKind::Human(human) => ask_person(tool_call, human, &tool.spec).await,
        ToolKind::Workflow(workflow) => Ok(call_workflow(tool_call, workflow, &tool.spec).await),
        ToolKind::Mcp(_) => call_mcp(tool_call, &tool.spec).await,
        ToolKind::Hosted(_) => Ok(tool_call.refused(format!(
            "{:?} is run by the model's provider and cannot be called as a function",
            tool_call.call.name
        ))),
    }
}

//! One call: may it run, who is told of it, and what runs it.

use serde_json::{Value, json};
use steadfast_agent_loop::Verdict;
use steadfast_contract::{
    approvals::Decided,
    callee::{self, Callee},
    tool_calls::{MadeBy, Ran},
};
use steadfast_crds::{
    agent::HookEvent,
    agent_revision::RevisionTool,
    agent_tool::{ApprovalPolicy, OnTimeout, ToolKind},
};
use steadfast_events::{ApprovalKind, Decision, EventKind};
use temporalio_workflow::WorkflowTermination;

use super::{
    activity::call_activity,
    calling::{CallEnd, Calling, finished},
    delegate::{ask_agent, call_workflow},
    http::call_http,
    human::ask_person,
    mcp::call_mcp,
    steps,
};
use crate::{
    drive::people::{self, Asked, Question},
    drive::{hooks, now, task},
};

/// How a call left the step, once the task keeps what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    Finished,
    Suspended,
}

/// Brings one call to its end and keeps what came of it.
pub(super) async fn finish_call(calling: &Calling<'_>) -> Result<Left, WorkflowTermination> {
    let (ctx, call) = (calling.ctx, calling.call);
    let CallEnd::Finished(mut done) = run_call(calling).await? else {
        return Ok(Left::Suspended);
    };
    let about = || {
        json!({
            "tool": call.name, "tool_call_id": call.call_id, "is_error": done.output.is_error,
            "result": done.output.content,
        })
    };
    let effects = hooks::tell(ctx, HookEvent::ToolEnded, about).await;
    done.suppressed |= effects.suppress;
    task(ctx, |task| task.finished_calls.insert(call.index, *done));
    Ok(Left::Finished)
}

async fn run_call(calling: &Calling<'_>) -> Result<CallEnd, WorkflowTermination> {
    let Calling {
        ctx, call, revision, ..
    } = *calling;
    if let Verdict::Refuse(reason) = &call.verdict {
        return Ok(calling.refused(reason.clone()));
    }
    let progress = task(ctx, |task| task.progress.get(&call.index).cloned().unwrap_or_default());
    let target = progress.mcp.as_ref();
    let Some(callee) = callee::callee(&revision.spec, &call.name, target) else {
        return Ok(calling.refused(format!("there is no tool {:?}", call.name)));
    };
    if !progress.approved {
        if let Some(policy) = callee::required_approval(callee, target) {
            if let Some(end) = approve(calling, &policy).await? {
                return Ok(end);
            }
            calling.tell_started();
        }
        task(ctx, |task| task.progress.entry(call.index).or_default().approved = true);
        hide_request_if_wanted(calling).await;
    }
    let from = now(ctx);
    let mut end = match callee {
        Callee::Handoff(handoff) => {
            let mut done = calling.done(json!({"agent": handoff.agent}), MadeBy::Task);
            done.hands_over_to = Some(handoff.agent.clone());
            return Ok(finished(done));
        }
        Callee::Agent(agent) => ask_agent(calling, agent).await,
        Callee::Tool(tool) => run_tool(calling, tool).await?,
    };
    if let CallEnd::Finished(done) = &mut end
        && !is_measured_by_its_activity(callee)
    {
        done.ran = Some(Ran {
            step: calling.id.step,
            from,
            until: now(ctx),
        });
    }
    Ok(end)
}

fn is_measured_by_its_activity(callee: Callee<'_>) -> bool {
    matches!(callee, Callee::Tool(tool) if matches!(tool.spec.kind(), Some(ToolKind::Http(_) | ToolKind::Mcp(_))))
}

/// Hooks hear of the call before it runs, and may hide the message that asks for it.
async fn hide_request_if_wanted(calling: &Calling<'_>) {
    let Calling { ctx, id, call, .. } = *calling;
    let about = || {
        let arguments = task(ctx, |task| task.transcript.arguments(id, call.index)).unwrap_or_default();
        json!({"tool": call.name, "tool_call_id": call.call_id, "arguments": arguments})
    };
    if hooks::tell(ctx, HookEvent::ToolStarted, about).await.suppress {
        let now = now(ctx);
        task(ctx, |task| {
            let message_id = steadfast_projection::output_message_id(&task.start.task_id, id.turn, id.step, call.index);
            task.emit(id.turn, now, EventKind::MessageReset { message_id });
        });
    }
}

/// Waits for a person to agree; `None` when the call may run.
async fn approve(calling: &Calling<'_>, policy: &ApprovalPolicy) -> Result<Option<CallEnd>, WorkflowTermination> {
    let Calling {
        ctx, id, call, token, ..
    } = *calling;
    let arguments = task(ctx, |task| task.transcript.arguments(id, call.index)).unwrap_or_default();
    let question = Question {
        kind: ApprovalKind::ToolCall,
        round: 0,
        prompt: String::new(),
        form: Value::Null,
        arguments,
        timeout: policy.timeout.as_std(),
        on_timeout: policy.on_timeout,
    };
    Ok(match people::ask(ctx, id, call, question, token).await? {
        Asked::Suspended => Some(CallEnd::Suspended),
        Asked::Stopped => Some(calling.refused("this call was not run: the turn was stopped".to_owned())),
        Asked::Decided(decided, on_timeout) => match (decided.decision, on_timeout) {
            (Decision::Approved, _) | (Decision::Expired, OnTimeout::Proceed) => None,
            (Decision::Expired, OnTimeout::Fail) => Some(calling.expired()),
            (Decision::Expired, OnTimeout::Reject) => {
                Some(calling.refused("this call was not run: nobody approved it in time".to_owned()))
            }
            (Decision::Rejected | Decision::Withdrawn, _) => Some(calling.refused(rejection(&decided))),
        },
    })
}

fn rejection(decided: &Decided) -> String {
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

async fn run_tool(calling: &Calling<'_>, tool: &RevisionTool) -> Result<CallEnd, WorkflowTermination> {
    let Some(kind) = tool.spec.kind() else {
        return Ok(calling.refused(format!("the tool {:?} has no kind", tool.name)));
    };
    match kind {
        ToolKind::Activity(activity) => Ok(call_activity(calling, activity, &tool.spec).await),
        ToolKind::Http(http) => Ok(call_http(calling, http, &tool.spec).await),
        ToolKind::Steps(list) => Ok(steps::run(calling, &tool.spec, list).await),
        ToolKind::Human(human) => ask_person(calling, human, &tool.spec).await,
        ToolKind::Workflow(workflow) => Ok(call_workflow(calling, workflow, &tool.spec).await),
        ToolKind::Mcp(_) => call_mcp(calling, &tool.spec).await,
        ToolKind::Hosted(_) => Ok(calling.refused(format!(
            "{:?} is run by the model's provider and cannot be called as a function",
            calling.call.name
        ))),
    }
}

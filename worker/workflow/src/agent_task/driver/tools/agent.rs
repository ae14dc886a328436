//! Calls that run as child workflows: tools of kind `workflow`, and agents as tools.

use serde_json::Value;
use steadfast_contract::tool_calls::{OutputSource, bounded_result};
use steadfast_crds::{
    agent_revision::RevisionAgent,
    agent_tool::{AgentToolSpec, WorkflowTool},
};

use super::context::{CallOutcome, ToolCallContext, finished};
use crate::{
    agent_task::driver::child_workflow::{self, AskedAgent, ChildFailure},
    agent_task::driver::read,
};

pub(super) async fn call_workflow(
    tool_call: &ToolCallContext<'_>,
    workflow: &WorkflowTool,
    spec: &AgentToolSpec,
) -> CallOutcome {
    let ToolCallContext {
        ctx,
        id,
        call,
        revision,
        token,
    } = *tool_call;
    let arguments = match read(ctx, |task| task.state.transcript.arguments(id, call.index)) {
        Ok(arguments) => arguments,
        Err(reason) => return tool_call.refused(reason),
    };
    let place = tool_call.place();
    let ran = child_workflow::run_workflow(
        ctx,
        &workflow.workflow_type,
        &workflow.task_queue,
        &place,
        &arguments,
        spec.timeout.as_std(),
        token,
    );
    match ran.await {
        Ok(content) => {
            let content = bounded_result(Some(&revision.spec), &call.name, content);
            finished(tool_call.done(content, OutputSource::Task))
        }
        Err(ChildFailure { category, message }) => tool_call.failed(spec, (category, message)),
    }
}

pub(super) async fn ask_agent(tool_call: &ToolCallContext<'_>, agent: &RevisionAgent) -> CallOutcome {
    let ToolCallContext {
        ctx, id, call, token, ..
    } = *tool_call;
    let question = read(ctx, |task| task.state.transcript.arguments(id, call.index))
        .ok()
        .and_then(|arguments| arguments.get("input").and_then(Value::as_str).map(str::to_owned));
    let Some(question) = question else {
        return tool_call.refused("the argument \"input\" must be a text".to_owned());
    };
    let asked = AskedAgent {
        agent: &agent.agent,
        namespace: agent.namespace.as_deref(),
        task_queue: &agent.task_queue,
        place: tool_call.place(),
        timeout: None,
    };
    match child_workflow::ask_agent(ctx, asked, question, token).await {
        Ok(result) => finished(tool_call.done(Value::String(result.text), OutputSource::Task)),
        Err(ChildFailure { category, message }) => tool_call.refused(format!(
            "agent {:?} gave no answer ({category}): {message}",
            agent.agent
        )),
    }
}

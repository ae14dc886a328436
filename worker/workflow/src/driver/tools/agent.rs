//! Calls that run as child workflows: tools of kind `workflow`, and agents as tools.

use serde_json::Value;
use steadfast_contract::tool_calls::{OutputSource, bounded_result};
use steadfast_crds::{
    agent_revision::RevisionAgent,
    agent_tool::{AgentToolSpec, WorkflowTool},
};

use super::context::{CallOutcome, ToolCallContext, finished};
use crate::{
    driver::child_workflow::{self, AskedAgent, ChildFailure},
    driver::read,
};

pub(super) async fn call_workflow(
    context: &ToolCallContext<'_>,
    workflow: &WorkflowTool,
    spec: &AgentToolSpec,
) -> CallOutcome {
    let ToolCallContext {
        ctx,
        id,
        call,
        revision,
        token,
    } = *context;
    let arguments = match read(ctx, |task| task.state.transcript.arguments(id, call.index)) {
        Ok(arguments) => arguments,
        Err(reason) => return context.refused(reason),
    };
    let place = context.place();
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
            finished(context.done(content, OutputSource::Task))
        }
        Err(ChildFailure { category, message }) => context.failed(spec, (category, message)),
    }
}

pub(super) async fn ask_agent(context: &ToolCallContext<'_>, agent: &RevisionAgent) -> CallOutcome {
    let ToolCallContext {
        ctx, id, call, token, ..
    } = *context;
    let question = read(ctx, |task| task.state.transcript.arguments(id, call.index))
        .ok()
        .and_then(|arguments| arguments.get("input").and_then(Value::as_str).map(str::to_owned));
    let Some(question) = question else {
        return context.refused("the argument \"input\" must be a text".to_owned());
    };
    let asked = AskedAgent {
        agent: &agent.agent,
        task_queue: &agent.task_queue,
        place: context.place(),
        timeout: None,
    };
    match child_workflow::ask_agent(ctx, asked, question, token).await {
        Ok(result) => finished(context.done(Value::String(result.text), OutputSource::Task)),
        Err(ChildFailure { category, message }) => context.refused(format!(
            "agent {:?} gave no answer ({category}): {message}",
            agent.agent
        )),
    }
}

//! Calls that are workflows of their own: somebody else's, or another agent's.

use serde_json::Value;
use steadfast_contract::tool_calls::{MadeBy, bounded_result};
use steadfast_crds::{
    agent_revision::RevisionAgent,
    agent_tool::{AgentToolSpec, WorkflowTool},
};

use super::calling::{CallEnd, Calling, finished};
use crate::{
    drive::children::{self, AskedAgent, ChildFailure},
    drive::task,
};

pub(super) async fn call_workflow(calling: &Calling<'_>, workflow: &WorkflowTool, spec: &AgentToolSpec) -> CallEnd {
    let Calling {
        ctx,
        id,
        call,
        revision,
        token,
    } = *calling;
    let arguments = match task(ctx, |task| task.transcript.arguments(id, call.index)) {
        Ok(arguments) => arguments,
        Err(reason) => return calling.refused(reason),
    };
    let place = calling.place();
    let ran = children::run_workflow(
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
            finished(calling.done(content, MadeBy::Task))
        }
        Err(ChildFailure { category, message }) => calling.failed(spec, (category, message)),
    }
}

pub(super) async fn ask_agent(calling: &Calling<'_>, agent: &RevisionAgent) -> CallEnd {
    let Calling {
        ctx, id, call, token, ..
    } = *calling;
    let question = task(ctx, |task| task.transcript.arguments(id, call.index))
        .ok()
        .and_then(|arguments| arguments.get("input").and_then(Value::as_str).map(str::to_owned));
    let Some(question) = question else {
        return calling.refused("the argument \"input\" must be a text".to_owned());
    };
    let asked = AskedAgent {
        agent: &agent.agent,
        task_queue: &agent.task_queue,
        place: calling.place(),
        timeout: None,
    };
    match children::ask_agent(ctx, asked, question, token).await {
        Ok(result) => finished(calling.done(Value::String(result.text), MadeBy::Task)),
        Err(ChildFailure { category, message }) => calling.refused(format!(
            "agent {:?} gave no answer ({category}): {message}",
            agent.agent
        )),
    }
}

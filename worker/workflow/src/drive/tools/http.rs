//! Tools of kind `http`: a request that a worker of the agent makes.

use steadfast_contract::{
    activities::{HttpToolCall, HttpToolOutcome},
    tool_calls::{MadeBy, bounded_result},
};
use steadfast_crds::agent_tool::{AgentToolSpec, HttpExecution, HttpTool};
use steadfast_payload::Packed;

use super::calling::{CallEnd, Calling, finished};
use crate::{
    activities::CallHttpTool,
    drive::{scoped, task},
    failure,
    options::{self, ToolCallOptions},
};

pub(super) async fn call_http(calling: &Calling<'_>, http: &HttpTool, spec: &AgentToolSpec) -> CallEnd {
    match call_http_once(calling, http, spec).await {
        Ok(outcome) => {
            let name = &calling.call.name;
            let content = bounded_result(Some(&calling.revision.spec), name, outcome.content);
            let mut done = calling.done(content, MadeBy::ours(outcome.log.behind));
            done.output.is_error = outcome.is_error;
            finished(done)
        }
        Err(described) => calling.failed(spec, described),
    }
}

async fn call_http_once(
    calling: &Calling<'_>,
    http: &HttpTool,
    spec: &AgentToolSpec,
) -> Result<HttpToolOutcome, (String, String)> {
    let Calling {
        ctx,
        id,
        call,
        revision,
        ..
    } = *calling;
    let own = calling.options(spec);
    let input = HttpToolCall {
        turn: id.turn,
        step: id.step,
        index: call.index,
        tool: call.name.clone(),
        revision: revision.name.clone(),
        seen: task(ctx, |task| task.log_seen.clone()),
    };
    let called = match (http.execution, task(ctx, |task| task.acting_queue())) {
        // It runs where this workflow does, and there are the credentials of the task's own agent only.
        (HttpExecution::Local, None) => {
            let options = options::local_tool_call(own);
            let running = scoped(ctx, id, Some((call, "")), || {
                ctx.execute_local_activity(CallHttpTool, Packed(input), options)
            });
            running.await
        }
        (_, task_queue) => {
            let options = options::tool_call(ToolCallOptions { task_queue, ..own });
            let running = scoped(ctx, id, Some((call, "")), || {
                ctx.execute_activity(CallHttpTool, Packed(input), options)
            });
            running.await
        }
    };
    let Packed(outcome) = called.map_err(|error| failure::describe(&error))?;
    task(ctx, |task| task.note_log(&outcome.log));
    Ok(outcome)
}

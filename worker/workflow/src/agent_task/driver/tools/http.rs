//! Tools of kind `http`: a request that a worker of the agent makes.

use steadfast_contract::{
    activities::{HttpToolCall, HttpToolOutcome},
    tool_calls::{OutputSource, bounded_result},
};
use steadfast_crds::agent_tool::{AgentToolSpec, HttpExecution, HttpTool};
use steadfast_payload::Packed;

use super::context::{CallOutcome, ToolCallContext, finished};
use crate::{
    activities::CallHttpTool,
    activity_options::{self, ToolCallOptions},
    agent_task::driver::{commands, read, scoped, update},
    failure::CallError,
    task::Task,
};

pub(super) async fn call_http(tool_call: &ToolCallContext<'_>, http: &HttpTool, spec: &AgentToolSpec) -> CallOutcome {
    match call_http_once(tool_call, http, spec).await {
        Ok(outcome) => {
            let name = &tool_call.call.name;
            let content = bounded_result(Some(&tool_call.revision.spec), name, outcome.content);
            let mut done = tool_call.done(content, OutputSource::ours(outcome.log.lagging));
            done.output.is_error = outcome.is_error;
            finished(done)
        }
        Err(described) => tool_call.failed(spec, described),
    }
}

async fn call_http_once(
    tool_call: &ToolCallContext<'_>,
    http: &HttpTool,
    spec: &AgentToolSpec,
) -> Result<HttpToolOutcome, (String, String)> {
    let ToolCallContext {
        ctx,
        id,
        call,
        revision,
        ..
    } = *tool_call;
    let own = tool_call.options(spec);
    let input = HttpToolCall {
        turn: id.turn,
        step: id.step,
        index: call.index,
        tool: call.name.clone(),
        revision: revision.name.clone(),
        cursor: read(ctx, |task| task.state.log_cursor.clone()),
    };
    let called = match (http.execution, read(ctx, Task::acting_queue)) {
        // A local activity runs in the workflow's own worker, which has the credentials of the task's own agent only.
        (HttpExecution::Local, None) => {
            let options = activity_options::local_tool_call(own);
            // Its result is a command too.
            commands::reserve(ctx, usize::try_from(spec.max_result_bytes).unwrap_or(usize::MAX)).await;
            let running = scoped(ctx, id, Some((call, "")), || {
                ctx.execute_local_activity(CallHttpTool, Packed(input), options)
            });
            running.await
        }
        (_, task_queue) => {
            let options = activity_options::tool_call(ToolCallOptions { task_queue, ..own });
            let running = scoped(ctx, id, Some((call, "")), || {
                ctx.execute_activity(CallHttpTool, Packed(input), options)
            });
            running.await
        }
    };
    let Packed(outcome) = called.map_err(|error| CallError::from(error).describe())?;
    update(ctx, |task| task.note_cursor(&outcome.log));
    Ok(outcome)
}

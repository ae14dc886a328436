//! Tools of kind `activity`: Temporal activities of users, in any language.

use steadfast_agent_loop::{StepId, ToolCall};
use steadfast_contract::tool_calls::{OutputSource, bounded_result, content_of};
use steadfast_crds::agent_tool::{ActivityTool, AgentToolSpec, ArgumentStyle};
use steadfast_payload::foreign_result;
use temporalio_workflow::common::{UntypedActivity, protos::temporal::api::common::v1::Payload};

use super::context::{CallOutcome, ToolCallContext, finished};
use crate::{
    activity_options::{self, ToolCallOptions},
    agent_task::driver::{Context, commands, read, scoped},
    arguments::{object_arguments, positional_arguments},
    failure::CallError,
    task::Task,
};

pub(super) async fn call_activity(
    tool_call: &ToolCallContext<'_>,
    tool: &ActivityTool,
    spec: &AgentToolSpec,
) -> CallOutcome {
    let ToolCallContext {
        ctx,
        id,
        call,
        revision,
        ..
    } = *tool_call;
    let queue = tool.task_queue.clone().or_else(|| read(ctx, Task::acting_queue));
    let options = activity_options::tool_call(ToolCallOptions {
        task_queue: queue,
        heartbeat: tool.heartbeat_timeout.map(Into::into),
        ..tool_call.options(spec)
    });
    let arguments = match foreign_arguments(ctx, id, call, tool, spec) {
        Ok(arguments) => arguments,
        Err(reason) => return tool_call.refused(reason),
    };
    let called = async {
        let arguments = commands::admit_plain(ctx, "the arguments of the call", arguments).await?;
        let running = scoped(ctx, id, Some((call, "")), || {
            ctx.execute_activity(UntypedActivity::new(&tool.name), arguments, options)
        });
        running.await.map_err(CallError::from)
    };
    match called.await {
        Ok(result) => {
            let (content, is_error) = content_of(foreign_result(&result.payloads));
            let content = bounded_result(Some(&revision.spec), &call.name, content);
            let mut done = tool_call.done(content, OutputSource::ForeignActivity);
            done.output.is_error = is_error;
            finished(done)
        }
        Err(error) => tool_call.failed(spec, error.describe()),
    }
}

/// Plain JSON, so that a worker in any language reads it.
fn foreign_arguments(
    ctx: &Context,
    id: StepId,
    call: &ToolCall,
    tool: &ActivityTool,
    spec: &AgentToolSpec,
) -> Result<Vec<Payload>, String> {
    let arguments = read(ctx, |task| task.state.transcript.arguments(id, call.index))?;
    match tool.argument_style {
        ArgumentStyle::Object => object_arguments(&arguments),
        ArgumentStyle::Positional => positional_arguments(&arguments, &spec.parameters),
    }
}

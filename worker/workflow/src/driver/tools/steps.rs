//! Tools of kind `steps`: one action after the other; when one fails for good,
//! what was done is undone in reverse, and everybody is told the truth.
//!
//! Steps that have begun are not cancelled with the turn: between two of them
//! the turn may be stopped, and then what was done is undone.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use steadfast_agent_loop::tool_call::bounded;
use steadfast_contract::{
    activities::StepCall,
    tool_calls::{MadeBy, TurnFailure},
};
use steadfast_crds::agent_tool::{
    ActivityTool, AgentToolSpec, ArgumentStyle, Compensation, OnError, StepAction, ToolRetry, ToolStep,
};
use steadfast_payload::{Packed, foreign_result};
use temporalio_workflow::{
    WorkflowCancellationToken,
    common::{UntypedActivity, data_converters::RawValue},
};

use super::context::{self, CallOutcome, ToolCallContext};
use crate::{
    activities::{CallHttpStep, RenderStep},
    arguments::{object_arguments, positional_arguments},
    driver::{read, scoped},
    failure,
    options::{self, ToolCallOptions},
};

/// One action to carry out.
struct Action<'a> {
    name: &'a str,
    undo: bool,
    does: StepAction<'a>,
    timeout: std::time::Duration,
    retry: ToolRetry,
}

pub(super) async fn run(context: &ToolCallContext<'_>, spec: &AgentToolSpec, steps: &[ToolStep]) -> CallOutcome {
    let mut results = BTreeMap::new();
    for (number, step) in steps.iter().enumerate() {
        let stopped = context
            .token
            .is_cancelled()
            .then(|| "the turn was stopped before it".to_owned());
        let outcome = match stopped {
            Some(reason) => Err(reason),
            None => match forward(step, spec) {
                Some(action) => act(context, spec, &action, &results).await,
                None => Err("it has no action".to_owned()),
            },
        };
        match outcome {
            Ok(result) => {
                results.insert(step.name.clone(), result);
            }
            Err(reason) => return undo(context, spec, &steps[..number], step, &reason, results).await,
        }
    }
    let limit = usize::try_from(spec.max_result_bytes).unwrap_or(usize::MAX);
    let content = bounded(json!({"completed": true, "steps": results}), limit);
    context::finished(context.done(content, MadeBy::Task))
}

fn forward<'a>(step: &'a ToolStep, spec: &AgentToolSpec) -> Option<Action<'a>> {
    Some(Action {
        name: &step.name,
        undo: false,
        does: step.action()?,
        timeout: step.timeout.unwrap_or(spec.timeout).as_std(),
        retry: step.retry.clone().unwrap_or_else(|| spec.retry.clone()),
    })
}

fn backward<'a>(step: &'a ToolStep, compensation: &'a Compensation, spec: &AgentToolSpec) -> Option<Action<'a>> {
    Some(Action {
        name: &step.name,
        undo: true,
        does: compensation.action()?,
        timeout: compensation.timeout.unwrap_or(spec.timeout).as_std(),
        retry: compensation.retry.clone().unwrap_or_else(options::compensation_retry),
    })
}

async fn undo(
    context: &ToolCallContext<'_>,
    spec: &AgentToolSpec,
    done: &[ToolStep],
    failed: &ToolStep,
    reason: &str,
    results: BTreeMap<String, Value>,
) -> CallOutcome {
    let mut undone = Vec::new();
    let mut not_undone = Vec::new();
    for step in done.iter().rev() {
        let Some(compensation) = &step.compensate else {
            not_undone.push(
                json!({"step": step.name, "reason": "it has no compensation", "result": results.get(&step.name)}),
            );
            continue;
        };
        let outcome = match backward(step, compensation, spec) {
            Some(action) => act(context, spec, &action, &results).await,
            None => Err("its compensation has no action".to_owned()),
        };
        match outcome {
            Ok(_) => undone.push(step.name.clone()),
            Err(reason) => {
                not_undone.push(json!({"step": step.name, "reason": reason, "result": results.get(&step.name)}));
            }
        }
    }
    let content = json!({
        "completed": false,
        "failed_step": failed.name,
        "error": reason,
        "undone": undone,
        "not_undone": not_undone,
    });
    let limit = usize::try_from(spec.max_result_bytes).unwrap_or(usize::MAX);
    let mut finished = context.done(bounded(content, limit), MadeBy::Task);
    finished.output.is_error = true;
    if spec.on_error == OnError::FailTurn {
        finished.fails_turn = Some(TurnFailure {
            category: "tool_failed".to_owned(),
            message: format!(
                "tool {:?} failed at step {:?}: {reason}",
                context.call.name, failed.name
            ),
        });
    }
    context::finished(finished)
}

async fn act(
    context: &ToolCallContext<'_>,
    spec: &AgentToolSpec,
    action: &Action<'_>,
    results: &BTreeMap<String, Value>,
) -> Result<Value, String> {
    let ToolCallContext {
        ctx,
        id,
        call,
        revision,
        ..
    } = *context;
    let part = if action.undo {
        format!("/{}~undo", action.name)
    } else {
        format!("/{}", action.name)
    };
    let request = StepCall {
        turn: id.turn,
        step: id.step,
        index: call.index,
        tool: call.name.clone(),
        revision: revision.name.clone(),
        name: action.name.to_owned(),
        undo: action.undo,
        results: results.clone(),
    };
    let own = context.options(spec);
    let title = format!("{}{}", call.name, part);
    let mut options = ToolCallOptions {
        id: format!("{}{part}", own.id),
        name: &title,
        timeout: action.timeout,
        retry: &action.retry,
        task_queue: read(ctx, |task| task.acting_queue()),
        // What has begun is brought to its end.
        token: WorkflowCancellationToken::new(),
        ..own
    };
    match action.does {
        StepAction::Http(_) => {
            let running = scoped(ctx, id, Some((call, &part)), || {
                ctx.execute_activity(CallHttpStep, Packed(request), options::tool_call(options))
            });
            let Packed(outcome) = running.await.map_err(|error| described(failure::describe(&error)))?;
            if outcome.is_error {
                return Err(format!("the request was refused: {}", outcome.content));
            }
            Ok(outcome.content)
        }
        StepAction::Activity(activity) => {
            let rendered = ctx.execute_local_activity(RenderStep, Packed(request), options::render_step());
            let Packed(arguments) = rendered.await.map_err(|error| described(failure::describe(&error)))?;
            let arguments = payloads(activity, &arguments)?;
            if activity.task_queue.is_some() {
                options.task_queue.clone_from(&activity.task_queue);
            }
            options.heartbeat = activity.heartbeat_timeout.map(Into::into);
            let running = scoped(ctx, id, Some((call, &part)), || {
                let options = options::tool_call(options);
                ctx.execute_activity(UntypedActivity::new(&activity.name), RawValue::new(arguments), options)
            });
            let result = running.await.map_err(|error| described(failure::describe(&error)))?;
            Ok(foreign_result(&result.payloads))
        }
    }
}

/// A step has no schema: positions follow the order in which its arguments are written.
fn payloads(
    activity: &ActivityTool,
    arguments: &Value,
) -> Result<Vec<temporalio_workflow::common::protos::temporal::api::common::v1::Payload>, String> {
    match (activity.argument_style, arguments) {
        (ArgumentStyle::Positional, Value::Object(fields)) => {
            let names: Vec<&String> = fields.keys().collect();
            let schema = serde_json::Map::from_iter([("required".to_owned(), json!(names))]);
            positional_arguments(arguments, &schema)
        }
        _ => object_arguments(arguments),
    }
}

fn described((category, message): (String, String)) -> String {
    format!("{message} ({category})")
}

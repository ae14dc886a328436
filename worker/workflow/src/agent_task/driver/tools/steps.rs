//! Tools of kind `steps`: one action after the other. When one fails for good, the finished ones are
//! compensated in reverse, and the result says what was done, undone and not undone, and for which
//! step the outcome is unknown: a step that timed out may have acted, and is compensated only where the
//! tool says that this is safe.
//!
//! A step that has begun is not cancelled with the turn. Between two steps the turn may be stopped,
//! and then the finished ones are compensated.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use steadfast_agent_loop::tool_call::bounded;
use steadfast_contract::{
    activities::StepCall,
    failures::TOOL_RESULT_UNREADABLE,
    tool_calls::{OutputSource, TurnFailure},
};
use steadfast_crds::agent_tool::{
    ActivityTool, AgentToolSpec, ArgumentStyle, Compensation, OnError, OnUnknownOutcome, StepAction, ToolRetry,
    ToolStep,
};
use steadfast_payload::{PAYLOAD_LIMIT_BYTES, Packed, UnreadableResult, foreign_result};
use temporalio_workflow::{WorkflowCancellationToken, common::UntypedActivity};

use super::context::{self, CallOutcome, ToolCallContext};
use crate::{
    activities::{CallHttpStep, RenderStep},
    activity_options::{self, ToolCallOptions},
    agent_task::driver::{commands, now, read, scoped},
    arguments::{object_arguments, positional_arguments},
    failure::CallError,
    task::Task,
};

/// How much of the result of a step that is not undone the model sees: the result of a long one would hide the rest.
const SHOWN_RESULT_BYTES: usize = 4_096;

/// One action to carry out.
struct Action<'a> {
    name: &'a str,
    undo: bool,
    does: StepAction<'a>,
    timeout: Duration,
    retry: ToolRetry,
}

/// Why a step did not finish.
struct StepFailure {
    reason: String,
    /// The step may have acted all the same.
    may_have_acted: bool,
}

impl StepFailure {
    /// The step has acted, and without its result nobody knows how.
    fn unreadable(error: &UnreadableResult) -> Self {
        Self {
            reason: described((TOOL_RESULT_UNREADABLE.to_owned(), error.to_string())),
            may_have_acted: true,
        }
    }

    /// The step has not acted: it was not begun, or its request was refused.
    fn without_effect(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            may_have_acted: false,
        }
    }
}

pub(super) async fn run(tool_call: &ToolCallContext<'_>, spec: &AgentToolSpec, steps: &[ToolStep]) -> CallOutcome {
    let mut results = BTreeMap::new();
    for (number, step) in steps.iter().enumerate() {
        let outcome = if tool_call.token.is_cancelled() {
            Err(StepFailure::without_effect("the turn was stopped before it"))
        } else {
            match forward(step, spec) {
                Some(action) => act(tool_call, spec, &action, &results).await,
                None => Err(StepFailure::without_effect("it has no action")),
            }
        };
        match outcome {
            Ok(result) => {
                tool_call.keep_step(&step.name, &result);
                results.insert(step.name.clone(), result);
            }
            Err(failure) => return undo(tool_call, spec, (&steps[..number], step), &failure, results).await,
        }
    }
    let limit = usize::try_from(spec.max_result_bytes).unwrap_or(usize::MAX);
    let content = bounded(json!({"completed": true, "steps": results}), limit);
    context::finished(tool_call.done(content, OutputSource::Task))
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
        retry: compensation
            .retry
            .clone()
            .unwrap_or_else(activity_options::compensation_retry),
    })
}

/// What became of the steps of a call that failed.
#[derive(Default)]
struct Undoing {
    undone: Vec<String>,
    not_undone: Vec<Value>,
    unknown_outcome: Vec<String>,
}

impl Undoing {
    fn not_undone(&mut self, step: &ToolStep, reason: &str, result: Option<&Value>) {
        let result = result.map(|result| bounded(result.clone(), SHOWN_RESULT_BYTES));
        self.not_undone
            .push(json!({"step": step.name, "reason": reason, "result": result}));
    }
}

async fn undo(
    tool_call: &ToolCallContext<'_>,
    spec: &AgentToolSpec,
    (done, failed): (&[ToolStep], &ToolStep),
    failure: &StepFailure,
    results: BTreeMap<String, Value>,
) -> CallOutcome {
    let mut undoing = Undoing::default();
    if failure.may_have_acted {
        match compensation_of_unknown(failed) {
            None => undoing.unknown_outcome.push(failed.name.clone()),
            Some(compensation) => {
                let outcome = compensate(tool_call, spec, failed, compensation, &results).await;
                match outcome {
                    Ok(_) => undoing.undone.push(failed.name.clone()),
                    Err(StepFailure { reason, .. }) => {
                        undoing.unknown_outcome.push(failed.name.clone());
                        undoing.not_undone(failed, &reason, None);
                    }
                }
            }
        }
    }
    for step in done.iter().rev() {
        let result = results.get(&step.name);
        let Some(compensation) = &step.compensate else {
            undoing.not_undone(step, "it has no compensation", result);
            continue;
        };
        match compensate(tool_call, spec, step, compensation, &results).await {
            Ok(_) => undoing.undone.push(step.name.clone()),
            Err(StepFailure { reason, .. }) => undoing.not_undone(step, &reason, result),
        }
    }
    let reason = &failure.reason;
    let content = json!({
        "completed": false,
        "failed_step": failed.name,
        "error": reason,
        "undone": undoing.undone,
        "not_undone": undoing.not_undone,
        "unknown_outcome": undoing.unknown_outcome,
    });
    let limit = usize::try_from(spec.max_result_bytes).unwrap_or(usize::MAX);
    let mut finished = tool_call.done(bounded(content, limit), OutputSource::Task);
    finished.output.is_error = true;
    if spec.on_error == OnError::FailTurn {
        finished.fails_turn = Some(TurnFailure {
            category: "tool_failed".to_owned(),
            message: format!(
                "tool {:?} failed at step {:?}: {reason}",
                tool_call.call.name, failed.name
            ),
        });
    }
    context::finished(finished)
}

/// The compensation of a step that may have acted, where the tool says that it is safe.
fn compensation_of_unknown(step: &ToolStep) -> Option<&Compensation> {
    let compensation = step.compensate.as_ref()?;
    match compensation.on_unknown_outcome {
        OnUnknownOutcome::Compensate => Some(compensation),
        OnUnknownOutcome::Leave => None,
    }
}

async fn compensate(
    tool_call: &ToolCallContext<'_>,
    spec: &AgentToolSpec,
    step: &ToolStep,
    compensation: &Compensation,
    results: &BTreeMap<String, Value>,
) -> Result<Value, StepFailure> {
    match backward(step, compensation, spec) {
        Some(action) => act(tool_call, spec, &action, results).await,
        None => Err(StepFailure::without_effect("its compensation has no action")),
    }
}

async fn act(
    tool_call: &ToolCallContext<'_>,
    spec: &AgentToolSpec,
    action: &Action<'_>,
    results: &BTreeMap<String, Value>,
) -> Result<Value, StepFailure> {
    let ToolCallContext {
        ctx,
        id,
        call,
        revision,
        ..
    } = *tool_call;
    let part = part_of(action);
    let request = StepCall {
        turn: id.turn,
        step: id.step,
        index: call.index,
        tool: call.name.clone(),
        revision: revision.name.clone(),
        name: action.name.to_owned(),
        undo: action.undo,
        results: results.keys().cloned().collect(),
    };
    let own = tool_call.options(spec);
    let title = format!("{}{}", call.name, part);
    let options = ToolCallOptions {
        id: format!("{}{part}", own.id),
        name: &title,
        timeout: action.timeout,
        retry: &action.retry,
        task_queue: read(ctx, Task::acting_queue),
        // A step that has begun is not cancelled.
        token: WorkflowCancellationToken::new(),
        ..own
    };
    match action.does {
        StepAction::Http(_) => {
            let called = async {
                let request = commands::admit(ctx, "the request of the step", request).await?;
                let running = scoped(ctx, id, Some((call, &part)), || {
                    ctx.execute_activity(CallHttpStep, request, activity_options::tool_call(options))
                });
                running.await.map_err(CallError::from)
            };
            // A refused request comes back as an outcome. Of one that was sent and got no proper
            // answer nobody knows.
            let Packed(outcome) = called.await.map_err(|error| StepFailure {
                reason: described(error.describe()),
                may_have_acted: !error.is_permanent(),
            })?;
            if outcome.is_error {
                return Err(StepFailure {
                    reason: format!("the request failed: {}", outcome.content),
                    may_have_acted: outcome.may_have_acted,
                });
            }
            Ok(outcome.content)
        }
        StepAction::Activity(activity) => act_by_activity(tool_call, activity, request, options, &part).await,
    }
}

/// The same by an activity that is not ours.
async fn act_by_activity(
    tool_call: &ToolCallContext<'_>,
    activity: &ActivityTool,
    request: StepCall,
    mut options: ToolCallOptions<'_>,
    part: &str,
) -> Result<Value, StepFailure> {
    let ToolCallContext { ctx, id, call, .. } = *tool_call;
    // Its result is a command too.
    commands::reserve(ctx, PAYLOAD_LIMIT_BYTES).await;
    let rendered = ctx.execute_local_activity(RenderStep, Packed(request), activity_options::render_step());
    let Packed(arguments) = rendered
        .await
        .map_err(|error| StepFailure::without_effect(described(CallError::from(error).describe())))?;
    let arguments = payloads(activity, &arguments).map_err(StepFailure::without_effect)?;
    if activity.task_queue.is_some() {
        options.task_queue.clone_from(&activity.task_queue);
    }
    options.heartbeat = activity.heartbeat_timeout.map(Into::into);
    let attempts = Attempts::of(&options);
    let called = async {
        let arguments = commands::admit_plain(ctx, "the arguments of the step", arguments).await?;
        let scheduled_at = now(ctx);
        let running = scoped(ctx, id, Some((call, part)), || {
            let options = activity_options::tool_call(options);
            ctx.execute_activity(UntypedActivity::new(&activity.name), arguments, options)
        });
        Ok::<_, CallError>((scheduled_at, running.await.map_err(CallError::from)))
    };
    let unknown_if = |may_have_acted| {
        move |error: CallError| StepFailure {
            reason: described(error.describe()),
            may_have_acted: may_have_acted || error.may_have_acted(),
        }
    };
    let (scheduled_at, called) = called.await.map_err(unknown_if(false))?;
    let ran = Duration::try_from(scheduled_at.duration_until(now(ctx))).unwrap_or_default();
    let result = called.map_err(unknown_if(attempts.may_have_timed_out_within(ran)))?;
    foreign_result(&result.payloads).map_err(|error| StepFailure::unreadable(&error))
}

/// The attempts of an activity that is not ours: the failure of the last one is all that is known of them.
#[derive(Clone, Copy, Debug)]
struct Attempts {
    /// Whether there can be more than one.
    are_repeated: bool,
    /// How long one lasts at least of which nobody hears.
    shortest_timeout: Duration,
}

impl Attempts {
    fn of(options: &ToolCallOptions<'_>) -> Self {
        let heartbeat = options.heartbeat.unwrap_or(options.timeout);
        Self {
            are_repeated: activity_options::is_repeated(options.retry, options.idempotency),
            shortest_timeout: heartbeat.min(options.timeout),
        }
    }

    /// Whether an attempt before the last one may have timed out, and have acted.
    fn may_have_timed_out_within(self, ran: Duration) -> bool {
        self.are_repeated && ran >= self.shortest_timeout
    }
}

/// What an action adds to the id of its call.
fn part_of(action: &Action<'_>) -> String {
    let undo = if action.undo { "~undo" } else { "" };
    format!("/{}{undo}", action.name)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_of_which_nobody_hears_lasts_at_least_its_timeout() {
        let seconds = Duration::from_secs;
        let attempts = |are_repeated| Attempts {
            are_repeated,
            shortest_timeout: seconds(10),
        };
        assert!(!attempts(true).may_have_timed_out_within(seconds(9)));
        assert!(attempts(true).may_have_timed_out_within(seconds(10)));
        // The failure of the only attempt is its own word.
        assert!(!attempts(false).may_have_timed_out_within(seconds(60)));
    }
}

//! Activities of a `steps` tool: one attempt of an HTTP step, and the arguments
//! of a step that another activity runs.

use std::{collections::BTreeMap, error::Error};

use serde_json::{Map, Value};
use steadfast_contract::{
    activities::{StepCall, StepOutcome},
    activity_ids::step_activity_id,
    failures::PAYLOAD_TOO_LARGE,
    tool_calls::bounded_result,
};
use steadfast_crds::{
    agent_revision::RevisionTool,
    agent_tool::{HttpTool, ToolStep},
};
use steadfast_payload::{PAYLOAD_LIMIT_BYTES, json_size};
use steadfast_process::{BlockingWork, ErrorChain};

use super::{
    Activities, ActivityScope,
    tool_call::{CallPosition, RequestedCall},
};
use crate::{
    failure::{ActivityFailure, CallFailure, RetryClass},
    template::evaluate,
    tools::{
        http::{CallHeaders, HttpStep},
        steps::render_arguments,
    },
};

impl Activities {
    pub(super) async fn run_http_step(
        &self,
        scope: &ActivityScope<'_>,
        input: StepCall,
    ) -> Result<StepOutcome, ActivityFailure> {
        let outcome = self.attempt_http_step(scope, &input).await;
        if scope.activity.info().attempt > 1 {
            return after_earlier_attempt(outcome);
        }
        outcome
    }

    async fn attempt_http_step(
        &self,
        scope: &ActivityScope<'_>,
        input: &StepCall,
    ) -> Result<StepOutcome, ActivityFailure> {
        let call = load(scope, input).await?;
        let tool = call.tool(&input.tool)?;
        let action = action(tool, input)?;
        let Some(http) = action.http else {
            let message = format!("the step {:?} has no http request", input.name);
            return Err(CallFailure::permanent("tool_missing", message).into());
        };
        let results = results(scope, input).await?;
        let step = HttpStep {
            revision: &call.revision,
            tool,
            http,
            arguments: action.arguments,
            call_arguments: &call.arguments,
            results: &results,
            timeout: action.timeout.unwrap_or(tool.spec.timeout).as_std(),
        };
        let call_id = &call.call.call_id;
        let headers = CallHeaders {
            idempotency_key: scope.context.idempotency_key.as_deref(),
            traceparent: self
                .spans
                .traceparent_within(scope.context, input.turn, input.step, call_id),
        };
        let result = self.http_tools.call_step(step, headers).await?;
        Ok(StepOutcome {
            content: bounded_result(Some(&call.revision.spec), &input.tool, result.content),
            is_error: result.is_error,
            may_have_acted: result.is_error && result.has_acted,
        })
    }
}

/// The outcome of an attempt that is not the first. An earlier one may have acted: its failure was one that is repeated,
/// or nobody heard of it. A request that is refused now, or not sent, says nothing of that.
fn after_earlier_attempt(outcome: Result<StepOutcome, ActivityFailure>) -> Result<StepOutcome, ActivityFailure> {
    match outcome {
        Ok(outcome) => Ok(StepOutcome {
            may_have_acted: outcome.is_error,
            ..outcome
        }),
        Err(ActivityFailure::Failed(failure)) if failure.retry == RetryClass::Permanent => Ok(StepOutcome {
            content: Value::String(format!("{} ({})", failure.message, failure.category)),
            is_error: true,
            may_have_acted: true,
        }),
        Err(failure) => Err(failure),
    }
}

/// The rendered arguments of a step or of its compensation.
pub(super) async fn render(
    scope: &ActivityScope<'_>,
    blocking: &BlockingWork,
    input: StepCall,
) -> Result<Value, ActivityFailure> {
    let call = load(scope, &input).await?;
    let action = action(call.tool(&input.tool)?, &input)?;
    let results = results(scope, &input).await?;
    let failed = |error: &(dyn Error + 'static)| {
        let message = format!("the arguments of the step {:?}: {}", input.name, ErrorChain(error));
        CallFailure::permanent("step_template", message)
    };
    let of = format!("{}/{}", call.revision.spec.agent, input.tool);
    let (template, call_arguments) = (action.arguments.clone(), call.arguments.clone());
    let render = move || render_arguments(&template, &call_arguments, &results);
    let arguments = match evaluate(blocking, &of, render).await {
        Ok(rendered) => rendered.map_err(|error| failed(&error))?,
        Err(error) => return Err(failed(&error).into()),
    };
    let size_bytes = json_size(&arguments);
    if size_bytes > PAYLOAD_LIMIT_BYTES {
        let message = format!(
            "the arguments of the step {:?} have {size_bytes} bytes, and an activity takes {PAYLOAD_LIMIT_BYTES} at \
             most: give the step less of the results before it",
            input.name
        );
        return Err(CallFailure::permanent(PAYLOAD_TOO_LARGE, message).into());
    }
    Ok(arguments)
}

/// The results of the steps before this one.
async fn results(scope: &ActivityScope<'_>, input: &StepCall) -> Result<BTreeMap<String, Value>, ActivityFailure> {
    let mut results = BTreeMap::new();
    for name in &input.results {
        let activity_id = step_activity_id(input.turn, input.step, input.index, name);
        let result = scope.history.step(&activity_id).await?;
        results.insert(name.clone(), (*result).clone());
    }
    Ok(results)
}

async fn load(scope: &ActivityScope<'_>, input: &StepCall) -> Result<RequestedCall, ActivityFailure> {
    let position = CallPosition {
        turn: input.turn,
        step: input.step,
        index: input.index,
    };
    RequestedCall::load(scope, &input.revision, position).await
}

/// What a step does, or its compensation.
struct Action<'a> {
    http: Option<&'a HttpTool>,
    arguments: &'a Map<String, Value>,
    timeout: Option<steadfast_crds::Duration>,
}

fn action<'a>(tool: &'a RevisionTool, input: &StepCall) -> Result<Action<'a>, CallFailure> {
    let steps = tool.spec.steps.as_deref().unwrap_or_default();
    let Some(step) = steps.iter().find(|step: &&ToolStep| step.name == input.name) else {
        let message = format!("the tool {:?} has no step {:?}", tool.name, input.name);
        return Err(CallFailure::permanent("tool_missing", message));
    };
    Ok(match &step.compensate {
        Some(compensation) if input.undo => Action {
            http: compensation.http.as_ref(),
            arguments: &compensation.arguments,
            timeout: compensation.timeout,
        },
        _ => Action {
            http: step.http.as_ref(),
            arguments: &step.arguments,
            timeout: step.timeout,
        },
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answered(is_error: bool) -> StepOutcome {
        StepOutcome {
            content: json!("answer"),
            is_error,
            may_have_acted: false,
        }
    }

    #[test]
    fn a_refusal_after_an_earlier_attempt_says_that_the_step_may_have_acted() {
        let refused = after_earlier_attempt(Ok(answered(true))).unwrap();
        assert!(refused.is_error && refused.may_have_acted);

        let not_sent = after_earlier_attempt(Err(CallFailure::permanent("tool_refused", "no").into())).unwrap();
        assert_eq!(not_sent.content, json!("no (tool_refused)"));
        assert!(not_sent.is_error && not_sent.may_have_acted);
    }

    #[test]
    fn a_success_and_a_failure_that_is_repeated_stay_what_they_are() {
        assert_eq!(after_earlier_attempt(Ok(answered(false))).unwrap(), answered(false));
        let transient = CallFailure::transient("tool_unavailable", "later");
        let kept = after_earlier_attempt(Err(transient.clone().into()));
        assert!(matches!(kept, Err(ActivityFailure::Failed(failure)) if failure == transient));
    }
}

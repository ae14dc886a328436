//! Tool calls that this worker makes itself: HTTP requests, MCP servers, the
//! steps of a tool, and webhooks.

use std::{collections::BTreeMap, time::Instant};

use serde_json::{Map, Value};
use steadfast_agent_loop::{Body, ModelText, SegmentRef, ToolCall, ToolOutput, tool_call};
use steadfast_contract::{
    activities::{
        HttpToolCall, HttpToolOutcome, LogAck, McpToolCall, McpToolOutcome, Revision, StepCall, StepOutcome,
        WebhookCall,
    },
    tool_calls::{bounded_result, function_calls},
};
use steadfast_crds::{
    AgentRevisionSpec,
    agent_revision::RevisionTool,
    agent_tool::{HttpTool, ToolStep},
};
use temporalio_sdk::activities::{ActivityContext, ActivityError};

use super::{Activities, permanent, show::Place, transient};
use crate::{
    context::TaskContext,
    http_tool::{HttpStep, HttpToolError, Marks},
    known::Known,
    mcp::{McpCall, McpError},
    metrics::ToolCallOutcome,
    spans::{ToolCallStart, ToolSpan, ToolType},
    steps::render_arguments,
    webhook::WebhookError,
};

/// A call as the model made it.
struct Called {
    call: ToolCall,
    arguments: Map<String, Value>,
}

/// Counts and times one attempt.
struct Attempt<'a> {
    activities: &'a Activities,
    agent: &'a str,
    tool: &'a str,
    began: Instant,
    span: ToolSpan,
}

impl Activities {
    pub(super) async fn run_http_tool(
        &self,
        activity: &ActivityContext,
        known: &Known<'_>,
        context: &TaskContext,
        call: HttpToolCall,
    ) -> Result<HttpToolOutcome, ActivityError> {
        let revision = known.revision(&call.revision).await?;
        let tool = tool_of(&revision.spec, &call.tool)?;
        let Some(http) = &tool.spec.http else {
            return Err(permanent("tool_missing", format!("{:?} is no http tool", call.tool)));
        };
        let called = called(known, (call.turn, call.step, call.index)).await?;
        let place = Place {
            turn: call.turn,
            step: call.step,
            seen: call.seen.as_deref(),
        };
        let attempt = self.begin(activity, context, &revision, tool, &called, place, ToolType::Extension);
        let made = self
            .http_tools
            .call(
                &revision.spec,
                &tool.spec,
                http,
                &called.arguments,
                Marks {
                    idempotency_key: context.idempotency_key.as_deref(),
                    traceparent: attempt.span.traceparent().as_deref(),
                },
            )
            .await;
        let made = match made {
            Ok(made) => made,
            Err(error) => return Err(attempt.failed(of_http(error))),
        };
        let result = bounded_result(Some(&revision.spec), &call.tool, made.content);
        attempt.ended(&result, made.is_error);
        let log = self
            .show_result(activity, known, &revision, place, &called, (&result, made.is_error))
            .await?;
        Ok(HttpToolOutcome {
            content: result,
            is_error: made.is_error,
            log,
        })
    }

    pub(super) async fn run_mcp_tool(
        &self,
        activity: &ActivityContext,
        known: &Known<'_>,
        context: &TaskContext,
        call: McpToolCall,
    ) -> Result<McpToolOutcome, ActivityError> {
        let revision = known.revision(&call.revision).await?;
        let server = tool_of(&revision.spec, &call.target.server)?;
        let called = called(known, (call.turn, call.step, call.index)).await?;
        let place = Place {
            turn: call.turn,
            step: call.step,
            seen: call.seen.as_deref(),
        };
        let attempt = self.begin(
            activity,
            context,
            &revision,
            server,
            &called,
            place,
            ToolType::Extension,
        );
        let max_result_bytes = usize::try_from(server.spec.max_result_bytes).unwrap_or(usize::MAX);
        let made = self
            .mcp
            .call(
                &revision.spec,
                McpCall {
                    server: &call.target.server,
                    tool: &call.target.tool,
                    arguments: called.arguments.clone(),
                    idempotency_key: context.idempotency_key.as_deref(),
                    traceparent: attempt.span.traceparent().as_deref(),
                    answered: call.answered.as_ref(),
                    timeout: server.spec.timeout.as_std(),
                    max_result_bytes,
                },
            )
            .await;
        let made = match made {
            Ok(made) => made,
            Err(McpError::Refused(reason)) => return Err(attempt.failed(permanent("tool_refused", reason))),
            Err(McpError::Unavailable(reason)) => return Err(attempt.failed(transient("tool_unavailable", reason))),
        };
        if made.input_required.is_some() {
            attempt.ended(&Value::Null, false);
            return Ok(McpToolOutcome {
                input_required: made.input_required,
                ..McpToolOutcome::default()
            });
        }
        let result = tool_call::bounded(made.content, max_result_bytes);
        attempt.ended(&result, made.is_error);
        let log = self
            .show_result(activity, known, &revision, place, &called, (&result, made.is_error))
            .await?;
        Ok(McpToolOutcome {
            content: result,
            is_error: made.is_error,
            input_required: None,
            log,
        })
    }

    pub(super) async fn run_http_step(
        &self,
        known: &Known<'_>,
        context: &TaskContext,
        call: StepCall,
    ) -> Result<StepOutcome, ActivityError> {
        let revision = known.revision(&call.revision).await?;
        let tool = tool_of(&revision.spec, &call.tool)?;
        let step = step_of(tool, &call.name)?;
        let (http, arguments, timeout) = part_of(step, call.undo);
        let Some(http) = http else {
            return Err(permanent(
                "tool_missing",
                format!("step {:?} makes no request", call.name),
            ));
        };
        let called = called(known, (call.turn, call.step, call.index)).await?;
        let step = HttpStep {
            http,
            arguments,
            call_arguments: &called.arguments,
            results: &call.results,
            timeout: timeout.unwrap_or(tool.spec.timeout).as_std(),
        };
        let traceparent = self
            .spans
            .traceparent_within(context, call.turn, call.step, &called.call.call_id);
        let marks = Marks {
            idempotency_key: context.idempotency_key.as_deref(),
            traceparent: traceparent.as_deref(),
        };
        let made = self
            .http_tools
            .call_step(&revision.spec, &tool.spec, step, marks)
            .await
            .map_err(of_http)?;
        Ok(StepOutcome {
            content: bounded_result(Some(&revision.spec), &call.tool, made.content),
            is_error: made.is_error,
        })
    }

    pub(super) async fn render_arguments(&self, known: &Known<'_>, call: StepCall) -> Result<Value, ActivityError> {
        let revision = known.revision(&call.revision).await?;
        let tool = tool_of(&revision.spec, &call.tool)?;
        let (_, arguments, _) = part_of(step_of(tool, &call.name)?, call.undo);
        let called = called(known, (call.turn, call.step, call.index)).await?;
        render_arguments(arguments, &called.arguments, &call.results).map_err(|error| {
            let cause = std::error::Error::source(&error)
                .map(ToString::to_string)
                .unwrap_or_default();
            permanent(
                "step_template",
                format!("the arguments of step {:?}: {cause}", call.name),
            )
        })
    }

    pub(super) async fn tell_webhook(&self, known: &Known<'_>, call: WebhookCall) -> Result<(), ActivityError> {
        let revision = known.revision(&call.revision).await?;
        let hook = usize::try_from(call.hook)
            .ok()
            .and_then(|index| revision.spec.hooks.get(index));
        let Some((hook, webhook)) = hook.and_then(|hook| Some((hook, hook.webhook.as_ref()?))) else {
            return Err(permanent("hook_missing", "the revision has no such webhook"));
        };
        let posted = self
            .webhooks
            .post(&revision.spec, webhook, &call.event, hook.timeout.as_std())
            .await;
        posted.map_err(|error| match error {
            WebhookError::Refused(reason) => permanent("webhook_refused", reason),
            WebhookError::Unavailable(reason) => transient("webhook_unavailable", reason),
        })
    }

    /// Shows what a call came to.
    async fn show_result(
        &self,
        activity: &ActivityContext,
        known: &Known<'_>,
        revision: &Revision,
        place: Place<'_>,
        called: &Called,
        (result, is_error): (&Value, bool),
    ) -> Result<LogAck, ActivityError> {
        let start = known.start().await?;
        let output = (called.call.index, called.output(result.clone(), is_error));
        Ok(self.show_tool_output(activity, &start, revision, place, output).await)
    }

    #[expect(clippy::too_many_arguments, reason = "one attempt in its whole situation")]
    fn begin<'a>(
        &'a self,
        activity: &ActivityContext,
        context: &TaskContext,
        revision: &'a Revision,
        tool: &'a RevisionTool,
        called: &Called,
        place: Place<'_>,
        kind: ToolType,
    ) -> Attempt<'a> {
        let agent = &revision.spec.agent;
        let mut span = self.spans.tool_call(
            context,
            ToolCallStart {
                agent,
                tool: &called.call.name,
                call_id: &called.call.call_id,
                kind,
                turn: place.turn,
                step: place.step,
                attempt: activity.info().attempt,
            },
        );
        span.arguments(&Value::Object(called.arguments.clone()));
        Attempt {
            activities: self,
            agent,
            tool: &tool.name,
            began: Instant::now(),
            span,
        }
    }
}

impl Attempt<'_> {
    fn ended(mut self, content: &Value, is_error: bool) {
        self.span.result(content);
        let outcome = if is_error {
            ToolCallOutcome::Error
        } else {
            ToolCallOutcome::Success
        };
        self.count(outcome);
        if is_error {
            self.span.failed("tool_error");
        } else {
            self.span.succeeded();
        }
    }

    fn failed(self, error: ActivityError) -> ActivityError {
        self.count(ToolCallOutcome::Failed);
        self.span.failed("tool_failed");
        error
    }

    fn count(&self, outcome: ToolCallOutcome) {
        self.activities
            .metrics
            .tool_call_ended(self.agent, self.tool, self.began.elapsed(), outcome);
    }
}

impl Called {
    fn output(&self, content: Value, is_error: bool) -> ToolOutput {
        ToolOutput {
            call_id: self.call.call_id.clone(),
            name: self.call.name.clone(),
            content,
            is_error,
            text: ModelText::default(),
        }
    }
}

async fn called(known: &Known<'_>, (turn, step, index): (u32, u32, u32)) -> Result<Called, ActivityError> {
    let missing = || permanent("call_missing", "the call is not in the model's answer");
    let answer = known.segment(&SegmentRef::Model(turn, step)).await?;
    let Body::Model { items, .. } = &answer.body else {
        return Err(missing());
    };
    let call = function_calls(items, &BTreeMap::new())
        .into_iter()
        .find(|candidate| candidate.index == index)
        .ok_or_else(missing)?;
    let item = usize::try_from(index).ok().and_then(|index| items.get(index));
    match tool_call::arguments(item.unwrap_or(&Value::Null)) {
        Ok(Value::Object(arguments)) => Ok(Called { call, arguments }),
        _ => Err(permanent("tool_arguments", "the arguments are not a JSON object")),
    }
}

fn tool_of<'a>(revision: &'a AgentRevisionSpec, name: &str) -> Result<&'a RevisionTool, ActivityError> {
    let found = revision.tools.iter().find(|tool| tool.name == name);
    found.ok_or_else(|| permanent("tool_missing", format!("the revision has no tool {name:?}")))
}

fn step_of<'a>(tool: &'a RevisionTool, name: &str) -> Result<&'a ToolStep, ActivityError> {
    let steps = tool.spec.steps.as_deref().unwrap_or_default();
    let found = steps.iter().find(|step| step.name == name);
    found.ok_or_else(|| permanent("tool_missing", format!("the tool {:?} has no step {name:?}", tool.name)))
}

/// The request, the arguments and the time limit of a step or of its compensation.
fn part_of(step: &ToolStep, undo: bool) -> (Option<&HttpTool>, &Map<String, Value>, Option<steadfast_crds::Duration>) {
    match &step.compensate {
        Some(compensation) if undo => (
            compensation.http.as_ref(),
            &compensation.arguments,
            compensation.timeout,
        ),
        _ => (step.http.as_ref(), &step.arguments, step.timeout),
    }
}

fn of_http(error: HttpToolError) -> ActivityError {
    match error {
        HttpToolError::Refused(reason) => permanent("tool_refused", reason),
        HttpToolError::Unavailable(reason) => transient("tool_unavailable", reason),
        // As the server says it when it notices first.
        HttpToolError::TimedOut(reason) => transient("timeout", reason),
    }
}

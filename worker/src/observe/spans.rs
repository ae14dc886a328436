//! The spans of agent runs, with the names of OpenTelemetry's conventions for
//! generative AI: turns, model calls, tool calls. The spans of calls are children
//! of the span of their turn. A turn is recorded when it has ended, perhaps by
//! another worker; therefore its span ID derives from the task and the turn. Spans
//! hold no prompts, responses, arguments or results, unless [`ContentCapture::On`].

use std::time::SystemTime;

use steadfast_agent_loop::StepId;
use steadfast_events::{TurnStatus, Usage};
use steadfast_process::{
    opentelemetry::{
        KeyValue,
        trace::{Span as _, SpanBuilder, SpanId, SpanKind, TraceId},
    },
    opentelemetry_sdk::trace::SdkTracer,
    trace_context::{Place, format_traceparent, span_id_of, trace_id_of},
};
use steadfast_workflow::interceptor;
use url::Url;

use crate::task_context::TaskContext;

mod attribute;
mod content;
mod running;
#[cfg(test)]
mod tests;

use attribute as attr;
use running::{ActiveSpan, mark_failed, usage};
pub(crate) use running::{ModelSpan, ToolSpan};

/// Whether spans hold the content of conversations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ContentCapture {
    #[default]
    Off,
    On,
}

/// Creates the spans of this process; costs nothing without an exporter.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spans {
    tracer: Option<SdkTracer>,
    content: ContentCapture,
}

/// A turn that has ended.
#[derive(Clone, Debug)]
pub(crate) struct TurnSpan<'a> {
    pub trace_id: TraceId,
    /// From [`turn_span_id`].
    pub span_id: SpanId,
    /// The client's span, or the turn of the task that called this one as a tool.
    pub parent_span_id: Option<SpanId>,
    pub task_id: &'a str,
    pub turn: u32,
    /// The agent that ended the turn.
    pub agent: &'a str,
    pub started_at: jiff::Timestamp,
    pub ended_at: jiff::Timestamp,
    pub status: TurnStatus,
    /// Category of the error it failed with.
    pub error: Option<&'a str>,
    pub usage: Usage,
}

/// The start of a model call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ModelCallStart<'a> {
    pub agent: &'a str,
    pub model: &'a str,
    pub base_url: &'a Url,
    pub turn: u32,
    pub step: u32,
    /// 1 for the first.
    pub attempt: u32,
}

/// The end of a completed model call.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ModelCallEnd<'a> {
    pub response_id: Option<&'a str>,
    /// The model that responded, as the provider names it.
    pub model: Option<&'a str>,
    /// `stop`, `tool_call`, `length`, `content_filter` …
    pub finish_reasons: &'a [&'a str],
    pub usage: Usage,
}

/// The start of a tool call, in this worker or elsewhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ToolCallStart<'a> {
    pub agent: &'a str,
    pub tool: &'a str,
    /// The provider's id of the call.
    pub call_id: &'a str,
    pub kind: ToolType,
    pub turn: u32,
    pub step: u32,
    /// 1 for the first.
    pub attempt: u32,
}

/// The type of a tool in the conventions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ToolType {
    /// Activities, workflows, typed tools, and people.
    Function,
    /// Calls of an external API: `http` and `mcp`.
    Extension,
}

/// The end of a call that ran elsewhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordedCall<'a> {
    pub started_at: jiff::Timestamp,
    pub ended_at: jiff::Timestamp,
    pub error: Option<&'a str>,
}

/// The trace of an activity: that of the client, or else that of the task.
pub(crate) fn trace_id(context: &TaskContext) -> TraceId {
    if context.trace_id.is_empty() {
        trace_id_of(&context.task_id)
    } else {
        trace_id_of(&context.trace_id)
    }
}

/// The ID of a turn's span, the same in every process: from the ID that the workflow sets in the header
/// `context-parent-span-id`.
pub(crate) fn turn_span_id(task_id: &str, turn: u32) -> SpanId {
    span_id_of(&interceptor::span_id(task_id, Some(StepId { turn, step: 0 })))
}

impl Spans {
    /// `tracer` is that of this process, [`steadfast_process::telemetry::tracer`].
    pub(crate) fn new(tracer: Option<SdkTracer>, content: ContentCapture) -> Self {
        Self { tracer, content }
    }

    /// Starts the span of one attempt of a model call.
    pub(crate) fn model_call(&self, context: &TaskContext, call: ModelCallStart<'_>) -> ModelSpan {
        let span = self.start(context, call.turn, || {
            let mut attributes = vec![
                KeyValue::new(attr::OPERATION_NAME, "chat"),
                KeyValue::new(attr::PROVIDER_NAME, provider_of(call.base_url)),
                KeyValue::new(attr::REQUEST_MODEL, call.model.to_owned()),
                KeyValue::new(attr::REQUEST_STREAM, true),
            ];
            attributes.extend(call_attributes(context, call.agent, call.turn, call.step, call.attempt));
            if let Some(host) = call.base_url.host_str() {
                attributes.push(KeyValue::new(attr::SERVER_ADDRESS, host.to_owned()));
            }
            if let Some(port) = call.base_url.port_or_known_default() {
                attributes.push(KeyValue::new(attr::SERVER_PORT, i64::from(port)));
            }
            SpanBuilder::from_name(format!("chat {}", call.model))
                .with_kind(SpanKind::Client)
                .with_attributes(attributes)
        });
        ModelSpan(span)
    }

    /// Starts the span of one attempt of a tool call that this process makes.
    pub(crate) fn tool_call(&self, context: &TaskContext, call: ToolCallStart<'_>) -> ToolSpan {
        ToolSpan(self.start(context, call.turn, || tool_span(context, call)))
    }

    /// Records the span of a tool call that ran elsewhere: in a worker of the user, as a workflow, or with a person.
    /// Recording it twice gives the same span.
    pub(crate) fn record_tool_call(&self, context: &TaskContext, call: ToolCallStart<'_>, ended: RecordedCall<'_>) {
        let Some(tracer) = &self.tracer else { return };
        let place = Place {
            span_id: Some(recorded_call_span_id(context, call.turn, call.step, call.call_id)),
            ..under_turn(context, call.turn)
        };
        let builder = tool_span(context, call).with_start_time(SystemTime::from(ended.started_at));
        let mut span = place.start(tracer, builder);
        if let Some(error) = ended.error {
            mark_failed(&mut span, error);
        }
        span.end_with_timestamp(ended.ended_at.into());
    }

    /// The header `traceparent` of a request that is a part of a recorded call.
    pub(crate) fn traceparent_within(
        &self,
        context: &TaskContext,
        turn: u32,
        step: u32,
        call_id: &str,
    ) -> Option<String> {
        let mut place = self.passed_on(context, turn)?;
        if self.tracer.is_some() {
            place.parent = Some(recorded_call_span_id(context, turn, step, call_id));
        }
        Some(format_traceparent(&place.parent_context()?))
    }

    /// Records the span of a turn that has ended. Recording it twice gives the same span.
    pub(crate) fn record_turn(&self, turn: &TurnSpan<'_>) {
        let Some(tracer) = &self.tracer else { return };
        let place = Place {
            trace_id: turn.trace_id,
            parent: turn.parent_span_id,
            span_id: Some(turn.span_id),
        };
        let builder = SpanBuilder::from_name(format!("invoke_agent {}", turn.agent))
            .with_kind(SpanKind::Internal)
            .with_start_time(SystemTime::from(turn.started_at))
            .with_attributes([
                KeyValue::new(attr::OPERATION_NAME, "invoke_agent"),
                KeyValue::new(attr::AGENT_NAME, turn.agent.to_owned()),
                KeyValue::new(attr::CONVERSATION_ID, turn.task_id.to_owned()),
                KeyValue::new(attr::TURN, i64::from(turn.turn)),
                KeyValue::new(attr::TURN_STATUS, status_name(turn.status)),
                KeyValue::new(attr::MODEL_CALLS, i64::from(turn.usage.model_calls)),
            ]);
        let mut span = place.start(tracer, builder);
        span.set_attributes(usage(turn.usage));
        if turn.status == TurnStatus::Failed {
            mark_failed(&mut span, turn.error.unwrap_or("unknown"));
        }
        span.end_with_timestamp(turn.ended_at.into());
    }

    fn start(&self, context: &TaskContext, turn: u32, build: impl FnOnce() -> SpanBuilder) -> ActiveSpan {
        match &self.tracer {
            Some(tracer) => ActiveSpan::of(under_turn(context, turn).start(tracer, build()), self.content),
            None => ActiveSpan::unrecorded(self.passed_on(context, turn)),
        }
    }

    /// The trace that requests pass on: also that of a client while this process exports no spans.
    fn passed_on(&self, context: &TaskContext, turn: u32) -> Option<Place> {
        let place = under_turn(context, turn);
        (self.tracer.is_some() || place.trace_id != trace_id_of(&context.task_id)).then_some(place)
    }
}

fn under_turn(context: &TaskContext, turn: u32) -> Place {
    Place {
        trace_id: trace_id(context),
        parent: Some(turn_span_id(&context.task_id, turn)),
        span_id: None,
    }
}

/// The ID of the span of a recorded call: the spans below it need the ID before the call has ended.
fn recorded_call_span_id(context: &TaskContext, turn: u32, step: u32, call_id: &str) -> SpanId {
    span_id_of(&format!("{}/{turn}.{step}/{call_id}", context.task_id))
}

fn tool_span(context: &TaskContext, call: ToolCallStart<'_>) -> SpanBuilder {
    let kind = match call.kind {
        ToolType::Function => "function",
        ToolType::Extension => "extension",
    };
    let mut attributes = vec![
        KeyValue::new(attr::OPERATION_NAME, "execute_tool"),
        KeyValue::new(attr::TOOL_NAME, call.tool.to_owned()),
        KeyValue::new(attr::TOOL_CALL_ID, call.call_id.to_owned()),
        KeyValue::new(attr::TOOL_TYPE, kind),
    ];
    attributes.extend(call_attributes(context, call.agent, call.turn, call.step, call.attempt));
    SpanBuilder::from_name(format!("execute_tool {}", call.tool))
        .with_kind(SpanKind::Internal)
        .with_attributes(attributes)
}

fn call_attributes(context: &TaskContext, agent: &str, turn: u32, step: u32, attempt: u32) -> [KeyValue; 5] {
    [
        KeyValue::new(attr::AGENT_NAME, agent.to_owned()),
        KeyValue::new(attr::CONVERSATION_ID, context.task_id.clone()),
        KeyValue::new(attr::TURN, i64::from(turn)),
        KeyValue::new(attr::STEP, i64::from(step)),
        KeyValue::new(attr::ATTEMPT, i64::from(attempt)),
    ]
}

fn status_name(status: TurnStatus) -> &'static str {
    match status {
        TurnStatus::Completed => "completed",
        TurnStatus::Failed => "failed",
        TurnStatus::Interrupted => "interrupted",
        TurnStatus::Canceled => "canceled",
    }
}

/// The conventions' name of a provider, by the host of its API. Any other provider is named `openai`, after the protocol.
fn provider_of(base_url: &Url) -> &'static str {
    const KNOWN: &[(&str, &str)] = &[
        ("openai.azure.com", "azure.ai.openai"),
        ("services.ai.azure.com", "azure.ai.inference"),
        ("anthropic.com", "anthropic"),
        ("generativelanguage.googleapis.com", "gcp.gemini"),
        ("aiplatform.googleapis.com", "gcp.vertex_ai"),
        ("amazonaws.com", "aws.bedrock"),
        ("deepseek.com", "deepseek"),
        ("groq.com", "groq"),
        ("mistral.ai", "mistral_ai"),
        ("perplexity.ai", "perplexity"),
        ("cohere.com", "cohere"),
        ("x.ai", "x_ai"),
    ];
    let host = base_url.host_str().unwrap_or_default();
    let is_of = |domain: &str| {
        host.strip_suffix(domain)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with(['.', '-']))
    };
    let known = KNOWN.iter().find(|(domain, _)| is_of(domain));
    known.map_or("openai", |(_, name)| name)
}

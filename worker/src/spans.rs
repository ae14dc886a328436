//! The spans of agent runs, under the names of OpenTelemetry's conventions for
//! generative AI: a turn, a model call, a tool call. Model and tool spans hang
//! under their turn, which is recorded when it has ended, perhaps elsewhere: so
//! a turn's id follows from its names. Never holds a prompt, an answer,
//! arguments or results, unless [`ContentCapture::On`].

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

use crate::context::TaskContext;

mod attribute;
mod content;
mod running;
#[cfg(test)]
mod tests;

use attribute as attr;
pub use running::{ModelSpan, ToolSpan};
use running::{Running, mark_failed, usage};

/// Whether what people and models say may stand in spans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContentCapture {
    #[default]
    Off,
    On,
}

/// Makes the spans of this process; costs nothing where none are exported.
#[derive(Clone, Debug, Default)]
pub struct Spans {
    tracer: Option<SdkTracer>,
    content: ContentCapture,
}

/// A turn that has ended.
#[derive(Clone, Debug)]
pub struct TurnSpan<'a> {
    pub trace_id: TraceId,
    /// From [`turn_span_id`].
    pub span_id: SpanId,
    /// The client's span, or the turn of the task that called this one as a tool.
    pub parent_span_id: Option<SpanId>,
    pub task_id: &'a str,
    pub turn: u32,
    /// Who had the turn at its end.
    pub agent: &'a str,
    pub started_at: jiff::Timestamp,
    pub ended_at: jiff::Timestamp,
    pub status: TurnStatus,
    /// Category of the error it failed with.
    pub error: Option<&'a str>,
    pub usage: Usage,
}

/// A model call that begins.
#[derive(Clone, Copy, Debug)]
pub struct ModelCallStart<'a> {
    pub agent: &'a str,
    pub model: &'a str,
    pub base_url: &'a Url,
    pub turn: u32,
    pub step: u32,
    /// 1 for the first.
    pub attempt: u32,
}

/// What a finished model call came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct ModelCallEnd<'a> {
    pub response_id: Option<&'a str>,
    /// The model that answered, as the provider names it.
    pub model: Option<&'a str>,
    /// `stop`, `tool_call`, `length`, `content_filter` …
    pub finish_reasons: &'a [&'a str],
    pub usage: Usage,
}

/// A tool call, whoever runs it.
#[derive(Clone, Copy, Debug)]
pub struct ToolCallStart<'a> {
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

/// What the conventions tell tools apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolType {
    /// Code of the user's own: activities, workflows, typed tools, people.
    Function,
    /// A call to an outside API: `http` and `mcp`.
    Extension,
}

/// How a call that ran elsewhere ended: when, and with which error.
#[derive(Clone, Copy, Debug)]
pub struct RecordedCall<'a> {
    pub started_at: jiff::Timestamp,
    pub ended_at: jiff::Timestamp,
    pub error: Option<&'a str>,
}

/// The trace an activity works in: its client's, or one of the task's own.
pub fn trace_id(context: &TaskContext) -> TraceId {
    if context.trace_id.is_empty() {
        trace_id_of(&context.task_id)
    } else {
        trace_id_of(&context.trace_id)
    }
}

/// The id of a turn's span, the same in every process: from the id that the
/// workflow writes into the header `context-parent-span-id`.
pub fn turn_span_id(task_id: &str, turn: u32) -> SpanId {
    span_id_of(&interceptor::span_id(task_id, Some(StepId { turn, step: 0 })))
}

impl Spans {
    /// `tracer` is this process's, [`steadfast_process::telemetry::tracer`].
    pub fn new(tracer: Option<SdkTracer>, content: ContentCapture) -> Self {
        Self { tracer, content }
    }

    /// Begins the span of one attempt of a model call.
    pub fn model_call(&self, context: &TaskContext, call: ModelCallStart<'_>) -> ModelSpan {
        let running = self.begin(context, call.turn, || {
            let mut attributes = vec![
                KeyValue::new(attr::OPERATION_NAME, "chat"),
                KeyValue::new(attr::PROVIDER_NAME, provider_of(call.base_url)),
                KeyValue::new(attr::REQUEST_MODEL, call.model.to_owned()),
                KeyValue::new(attr::REQUEST_STREAM, true),
            ];
            attributes.extend(place_of_call(context, call.agent, call.turn, call.step, call.attempt));
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
        ModelSpan(running)
    }

    /// Begins the span of one attempt of a tool call that this process makes.
    pub fn tool_call(&self, context: &TaskContext, call: ToolCallStart<'_>) -> ToolSpan {
        ToolSpan(self.begin(context, call.turn, || tool_span(context, call)))
    }

    /// The span of a tool call that has ended and ran elsewhere: in a worker of
    /// the user's own, as a workflow, or before a person. Recorded twice it is the same span.
    pub fn record_tool_call(&self, context: &TaskContext, call: ToolCallStart<'_>, ended: RecordedCall<'_>) {
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

    /// The header `traceparent` of a request that is a part of such a call.
    pub fn traceparent_within(&self, context: &TaskContext, turn: u32, step: u32, call_id: &str) -> Option<String> {
        let mut place = self.passed_on(context, turn)?;
        if self.tracer.is_some() {
            place.parent = Some(recorded_call_span_id(context, turn, step, call_id));
        }
        Some(format_traceparent(&place.parent_context()?))
    }

    /// The span of a turn that has ended. Recorded twice it is the same span.
    pub fn record_turn(&self, turn: &TurnSpan<'_>) {
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

    fn begin(&self, context: &TaskContext, turn: u32, build: impl FnOnce() -> SpanBuilder) -> Running {
        match &self.tracer {
            Some(tracer) => Running::of(under_turn(context, turn).start(tracer, build()), self.content),
            None => Running::unrecorded(self.passed_on(context, turn)),
        }
    }

    /// What requests are told: a trace of the client's own goes on to tools even where we add nothing to it.
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

/// The id of the span of a call that is recorded when it has ended, for what hangs under it before.
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
    attributes.extend(place_of_call(context, call.agent, call.turn, call.step, call.attempt));
    SpanBuilder::from_name(format!("execute_tool {}", call.tool))
        .with_kind(SpanKind::Internal)
        .with_attributes(attributes)
}

fn place_of_call(context: &TaskContext, agent: &str, turn: u32, step: u32, attempt: u32) -> [KeyValue; 5] {
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

/// The conventions' name of a provider, by the host of its API. Others speak
/// OpenAI's protocol to us, and are named so.
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

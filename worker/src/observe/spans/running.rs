//! Spans of calls that are in progress: their attributes, their end, and the
//! header `traceparent` for the spans below them.

use std::time::Instant;

use steadfast_events::Usage;
use steadfast_process::{
    opentelemetry::{
        Array, KeyValue, StringValue, Value,
        trace::{Span as _, Status},
    },
    opentelemetry_sdk::trace::Span,
    trace_context::{Place, format_traceparent},
};

use super::{ContentCapture, ModelCallEnd, attribute as attr, content};

/// The span of a model call in progress. Dropping it records the call as canceled.
#[derive(Debug)]
pub(crate) struct ModelSpan(pub(super) ActiveSpan);

impl ModelSpan {
    /// The header `traceparent` of the request.
    pub(crate) fn traceparent(&self) -> Option<String> {
        self.0.traceparent()
    }

    /// Records the conversation, as items of the Responses API, if spans hold content.
    pub(crate) fn record_input(&mut self, items: impl FnOnce() -> Vec<serde_json::Value>) {
        self.0.attach(attr::INPUT_MESSAGES, || content::messages(&items()));
    }

    /// Records the response, if spans hold content.
    pub(crate) fn record_output(&mut self, items: &[serde_json::Value]) {
        self.0.attach(attr::OUTPUT_MESSAGES, || content::messages(items));
    }

    /// The first event of the response has arrived; later calls change nothing.
    pub(crate) fn first_chunk(&mut self) {
        let elapsed = self.0.began.elapsed().as_secs_f64();
        if !std::mem::replace(&mut self.0.saw_first_chunk, true)
            && let Some(span) = &mut self.0.span
        {
            span.set_attribute(KeyValue::new(attr::TIME_TO_FIRST_CHUNK, elapsed));
        }
    }

    /// The call has completed.
    pub(crate) fn completed(mut self, end: ModelCallEnd<'_>) {
        if let Some(span) = &mut self.0.span {
            if let Some(id) = end.response_id {
                span.set_attribute(KeyValue::new(attr::RESPONSE_ID, id.to_owned()));
            }
            if let Some(model) = end.model {
                span.set_attribute(KeyValue::new(attr::RESPONSE_MODEL, model.to_owned()));
            }
            if !end.finish_reasons.is_empty() {
                let reasons = end.finish_reasons.iter();
                let reasons = reasons.map(|reason| StringValue::from((*reason).to_owned())).collect();
                span.set_attribute(KeyValue::new(
                    attr::FINISH_REASONS,
                    Value::Array(Array::String(reasons)),
                ));
            }
            span.set_attributes(usage(end.usage));
        }
        self.0.end(None);
    }

    /// The call has failed. `category` is a stable name, never a message of the provider.
    pub(crate) fn failed(mut self, category: &str) {
        self.0.end(Some(category));
    }
}

/// The span of a tool call in progress. Dropping it records the call as canceled.
#[derive(Debug)]
pub(crate) struct ToolSpan(pub(super) ActiveSpan);

impl ToolSpan {
    /// The header `traceparent` of the request, or `_meta.traceparent` of an MCP call.
    pub(crate) fn traceparent(&self) -> Option<String> {
        self.0.traceparent()
    }

    /// Records the arguments of the call, if spans hold content.
    pub(crate) fn arguments(&mut self, arguments: &serde_json::Map<String, serde_json::Value>) {
        self.0.attach(attr::TOOL_CALL_ARGUMENTS, || content::bounded(arguments));
    }

    /// Records the result of the tool, if spans hold content.
    pub(crate) fn result(&mut self, result: &serde_json::Value) {
        self.0.attach(attr::TOOL_CALL_RESULT, || content::bounded(result));
    }

    /// The call has succeeded.
    pub(crate) fn succeeded(mut self) {
        self.0.end(None);
    }

    /// The call has failed, or the tool answered with an error. `category` is a stable name.
    pub(crate) fn failed(mut self, category: &str) {
        self.0.end(Some(category));
    }
}

#[derive(Debug)]
pub(super) struct ActiveSpan {
    span: Option<Span>,
    passed_on: Option<Place>,
    content: ContentCapture,
    began: Instant,
    saw_first_chunk: bool,
    ended: bool,
}

impl ActiveSpan {
    pub(super) fn of(span: Span, content: ContentCapture) -> Self {
        Self {
            span: Some(span),
            passed_on: None,
            content,
            began: Instant::now(),
            saw_first_chunk: false,
            ended: false,
        }
    }

    /// No span; requests still pass on the trace of the client, if there is one.
    pub(super) fn unrecorded(passed_on: Option<Place>) -> Self {
        Self {
            span: None,
            passed_on,
            content: ContentCapture::Off,
            began: Instant::now(),
            saw_first_chunk: false,
            ended: false,
        }
    }

    fn traceparent(&self) -> Option<String> {
        match &self.span {
            Some(span) => Some(format_traceparent(span.span_context())),
            None => Some(format_traceparent(&self.passed_on?.parent_context()?)),
        }
    }

    fn attach(&mut self, name: &'static str, text: impl FnOnce() -> String) {
        if self.content == ContentCapture::On
            && let Some(span) = self.span.as_mut().filter(|span| span.is_recording())
        {
            span.set_attribute(KeyValue::new(name, text()));
        }
    }

    fn end(&mut self, error: Option<&str>) {
        self.ended = true;
        if let Some(span) = &mut self.span {
            if let Some(error) = error {
                mark_failed(span, error);
            }
            span.end();
        }
    }
}

impl Drop for ActiveSpan {
    fn drop(&mut self) {
        if !self.ended {
            self.end(Some("canceled"));
        }
    }
}

pub(super) fn usage(usage: Usage) -> [KeyValue; 4] {
    let tokens = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    [
        KeyValue::new(attr::INPUT_TOKENS, tokens(usage.input_tokens)),
        KeyValue::new(attr::CACHED_INPUT_TOKENS, tokens(usage.cached_input_tokens)),
        KeyValue::new(attr::OUTPUT_TOKENS, tokens(usage.output_tokens)),
        KeyValue::new(attr::REASONING_TOKENS, tokens(usage.reasoning_tokens)),
    ]
}

pub(super) fn mark_failed(span: &mut Span, error: &str) {
    span.set_attribute(KeyValue::new(attr::ERROR_TYPE, error.to_owned()));
    span.set_status(Status::error(""));
}

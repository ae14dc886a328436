//! A span under way: what may be added to it until it ends, and the header that
//! lets others hang their spans under it.

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

/// A model call under way. Dropped without an end it counts as canceled.
#[derive(Debug)]
pub struct ModelSpan(pub(super) Running);

impl ModelSpan {
    /// The header `traceparent` of the request.
    pub fn traceparent(&self) -> Option<String> {
        self.0.traceparent()
    }

    /// What the model is asked, as items of the Responses API; kept only where content may be.
    pub fn ask(&mut self, items: impl FnOnce() -> Vec<serde_json::Value>) {
        self.0.attach(attr::INPUT_MESSAGES, || content::messages(&items()));
    }

    /// What it answered; kept only where content may be.
    pub fn answer(&mut self, items: &[serde_json::Value]) {
        self.0.attach(attr::OUTPUT_MESSAGES, || content::messages(items));
    }

    /// The first piece of the answer is here; later calls change nothing.
    pub fn first_chunk(&mut self) {
        let elapsed = self.0.began.elapsed().as_secs_f64();
        if !std::mem::replace(&mut self.0.saw_first_chunk, true)
            && let Some(span) = &mut self.0.span
        {
            span.set_attribute(KeyValue::new(attr::TIME_TO_FIRST_CHUNK, elapsed));
        }
    }

    /// It ended as it should.
    pub fn responded(mut self, end: ModelCallEnd<'_>) {
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

    /// It failed. `category` is a stable name, never the provider's words.
    pub fn failed(mut self, category: &str) {
        self.0.end(Some(category));
    }
}

/// A tool call under way. Dropped without an end it counts as canceled.
#[derive(Debug)]
pub struct ToolSpan(pub(super) Running);

impl ToolSpan {
    /// The header `traceparent` of the request, or `_meta.traceparent` of an MCP call.
    pub fn traceparent(&self) -> Option<String> {
        self.0.traceparent()
    }

    /// The arguments of the call; kept only where content may be.
    pub fn arguments(&mut self, arguments: &serde_json::Value) {
        self.0.attach(attr::TOOL_CALL_ARGUMENTS, || content::bounded(arguments));
    }

    /// What the tool said; kept only where content may be.
    pub fn result(&mut self, result: &serde_json::Value) {
        self.0.attach(attr::TOOL_CALL_RESULT, || content::bounded(result));
    }

    /// It ended as it should.
    pub fn succeeded(mut self) {
        self.0.end(None);
    }

    /// It failed, or the tool answered with an error. `category` is a stable name.
    pub fn failed(mut self, category: &str) {
        self.0.end(Some(category));
    }
}

#[derive(Debug)]
pub(super) struct Running {
    span: Option<Span>,
    passed_on: Option<Place>,
    content: ContentCapture,
    began: Instant,
    saw_first_chunk: bool,
    ended: bool,
}

impl Running {
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

    /// No span, and perhaps a place in somebody's trace that requests are to name.
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

impl Drop for Running {
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

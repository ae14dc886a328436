//! One attempt of a model call, with its span and its metrics.

use std::time::{Duration, Instant};

use serde_json::Value;
use steadfast_crds::AgentRevisionSpec;
use url::Url;

use super::Activities;
use crate::{
    failure::CallFailure,
    model::{ModelResponse, learning::Adaptation, origin::origin},
    observe::spans::{ModelCallEnd, ModelCallStart, ModelSpan},
    task_context::TaskContext,
};

/// The step and the attempt of a model call.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallNumber {
    pub turn: u32,
    pub step: u32,
    /// 1 for the first.
    pub attempt: u32,
}

pub(super) struct MeasuredCall<'a> {
    activities: &'a Activities,
    spec: &'a AgentRevisionSpec,
    span: ModelSpan,
    started_at: Instant,
    has_first_token: bool,
}

impl Activities {
    pub(super) fn measure<'a>(
        &'a self,
        context: &TaskContext,
        spec: &'a AgentRevisionSpec,
        base_url: &Url,
        number: CallNumber,
    ) -> MeasuredCall<'a> {
        let span = self.spans.model_call(
            context,
            ModelCallStart {
                agent: &spec.agent,
                model: &spec.model.name,
                base_url,
                turn: number.turn,
                step: number.step,
                attempt: number.attempt,
            },
        );
        MeasuredCall {
            activities: self,
            spec,
            span,
            started_at: Instant::now(),
            has_first_token: false,
        }
    }
}

impl Activities {
    /// A model server refused a part of a request, and gets the next one without it.
    pub(super) fn request_adapted(
        &self,
        context: &TaskContext,
        spec: &AgentRevisionSpec,
        adaptation: &Adaptation,
        refusal: &CallFailure,
    ) {
        let adaptation = adaptation.label();
        tracing::warn!(
            task_id = %context.task_id,
            agent = spec.agent,
            model = spec.model.name,
            adaptation,
            error = %refusal,
            "the model server refused a part of the request, which is sent again without it"
        );
        self.metrics
            .model_request_adapted(&spec.agent, &spec.model.name, &adaptation);
    }

    /// The origin of what the model of a revision writes.
    pub(super) fn origin(&self, spec: &AgentRevisionSpec) -> String {
        let base_url = self.model.base_url(spec);
        base_url
            .map(|base_url| origin(&spec.model, &base_url))
            .unwrap_or_default()
    }
}

impl<'a> MeasuredCall<'a> {
    pub(super) fn traceparent(&self) -> Option<String> {
        self.span.traceparent()
    }

    /// Records the conversation, if spans may hold content.
    pub(super) fn record_input(&mut self, items: impl FnOnce() -> Vec<Value>) {
        self.span.record_input(items);
    }

    /// An event of the response; the first one counts. `sent_at` is when the request was sent.
    pub(super) fn first_token(&mut self, sent_at: Instant) {
        if std::mem::replace(&mut self.has_first_token, true) {
            return;
        }
        self.span.first_chunk();
        self.activities
            .metrics
            .first_token(&self.spec.agent, &self.spec.model.name, sent_at.elapsed());
    }

    pub(super) fn completed(mut self, response: &ModelResponse) {
        let (agent, model, duration) = self.labels();
        self.activities
            .metrics
            .model_call_succeeded(agent, model, duration, response.usage);
        self.span.record_output(&response.items);
        let reasons: Vec<&str> = response.finish_reason.as_deref().into_iter().collect();
        self.span.completed(ModelCallEnd {
            response_id: response.response_id.as_deref(),
            model: response.model.as_deref(),
            finish_reasons: &reasons,
            usage: response.usage,
        });
    }

    pub(super) fn interrupted(self, response: &ModelResponse) {
        let (agent, model, duration) = self.labels();
        self.activities
            .metrics
            .model_call_interrupted(agent, model, duration, response.usage);
        self.span.failed("interrupted");
    }

    pub(super) fn failed(self, category: &'static str) {
        let (agent, model, duration) = self.labels();
        self.activities
            .metrics
            .model_call_failed(agent, model, duration, category);
        self.span.failed(category);
    }

    /// Another worker makes the next attempt: no failure of the model.
    pub(super) fn shut_down(self) {
        self.span.failed("worker_shutdown");
    }

    fn labels(&self) -> (&'a str, &'a str, Duration) {
        (&self.spec.agent, &self.spec.model.name, self.started_at.elapsed())
    }
}

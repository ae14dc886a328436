//! Calls an `http` tool, or an HTTP step: templates in, one request, its answer
//! out. It makes one attempt and follows no redirect.

mod answer;
mod plan;

use std::{collections::BTreeMap, error::Error, sync::Arc, time::Duration};

use serde_json::{Map, Value};
use steadfast_crds::{
    AgentRevisionSpec,
    agent_tool::{AgentToolSpec, HttpTool},
};

pub use self::answer::HttpToolAnswer;
use self::{
    answer::Received,
    plan::{DefaultBody, Plan},
};
use crate::{
    address::{AddressPolicy, chain, refusal},
    credentials::Credentials,
    steps,
    target::{Target, host},
};

/// What of an answer is read beyond the tool's `maxResultBytes`, so that the model learns how much there was.
const READ_BEYOND_BYTES: usize = 1_024;
/// What of an answer is read for a `response` template, which makes little of much.
const READ_FOR_TEMPLATE_BYTES: usize = 4 << 20;

/// Calls http tools.
#[derive(Clone)]
pub struct HttpToolClient {
    http: reqwest::Client,
    credentials: Arc<Credentials>,
    policy: AddressPolicy,
}

/// One HTTP request of a `steps` tool.
#[derive(Clone, Copy, Debug)]
pub struct HttpStep<'a> {
    pub http: &'a HttpTool,
    /// The step's `arguments`, a template.
    pub arguments: &'a Map<String, Value>,
    /// What the tool was called with.
    pub call_arguments: &'a Map<String, Value>,
    /// Results of the steps so far, by name.
    pub results: &'a BTreeMap<String, Value>,
    /// Longest time the attempt may take.
    pub timeout: Duration,
}

/// What tells one call apart from every other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Marks<'a> {
    /// The same for every attempt.
    pub idempotency_key: Option<&'a str>,
    /// W3C trace context of the attempt.
    pub traceparent: Option<&'a str>,
}

#[derive(Debug, thiserror::Error)]
pub enum HttpToolError {
    /// Another attempt cannot help.
    #[error("{0}")]
    Refused(String),
    /// It may help.
    #[error("{0}")]
    Unavailable(String),
    /// It was reached, and did not answer in time. Another attempt may help.
    #[error("{0}")]
    TimedOut(String),
}

impl HttpToolClient {
    pub fn new(credentials: Arc<Credentials>, policy: AddressPolicy) -> Result<Self, reqwest::Error> {
        Ok(Self {
            http: policy.client()?,
            credentials,
            policy,
        })
    }

    /// Makes one attempt of a call.
    pub async fn call(
        &self,
        revision: &AgentRevisionSpec,
        spec: &AgentToolSpec,
        tool: &HttpTool,
        arguments: &Map<String, Value>,
        marks: Marks<'_>,
    ) -> Result<HttpToolAnswer, HttpToolError> {
        let target = self.target(revision, arguments);
        let body = DefaultBody::Usual(Value::Object(arguments.clone()));
        let plan = Plan::new(tool, target, body).map_err(refused)?;
        let received = self
            .send(plan, read_limit(spec, tool), spec.timeout.as_std(), marks)
            .await?;
        Ok(received.into_answer(tool.response.as_deref(), arguments))
    }

    /// Makes one attempt of a step, or of its compensation, of the tool `spec`.
    pub async fn call_step(
        &self,
        revision: &AgentRevisionSpec,
        spec: &AgentToolSpec,
        step: HttpStep<'_>,
        marks: Marks<'_>,
    ) -> Result<HttpToolAnswer, HttpToolError> {
        let scope = steps::scope(step.call_arguments, step.results);
        let arguments = steps::render_arguments(step.arguments, step.call_arguments, step.results).map_err(refused)?;
        let body = if step.arguments.is_empty() {
            DefaultBody::Usual(arguments)
        } else {
            DefaultBody::Asked(arguments)
        };
        let plan = Plan::new(step.http, self.target(revision, &scope), body).map_err(refused)?;
        let received = self
            .send(plan, read_limit(spec, step.http), step.timeout, marks)
            .await?;
        Ok(received.into_answer(step.http.response.as_deref(), step.call_arguments))
    }

    fn target<'a>(&'a self, revision: &'a AgentRevisionSpec, scope: &'a Map<String, Value>) -> Target<'a> {
        Target {
            credentials: &self.credentials,
            policy: self.policy,
            revision,
            scope: Some(scope),
        }
    }

    async fn send(
        &self,
        plan: Plan,
        limit_bytes: usize,
        timeout: Duration,
        marks: Marks<'_>,
    ) -> Result<Received, HttpToolError> {
        let host = host(&plan.url);
        let mut request = self
            .http
            .request(plan.method, plan.url)
            .headers(plan.headers)
            .timeout(timeout);
        if let Some(key) = marks.idempotency_key {
            request = request.header("idempotency-key", key);
        }
        if let Some(traceparent) = marks.traceparent {
            request = request.header("traceparent", traceparent);
        }
        if let Some(body) = plan.body {
            request = request.body(body);
        }
        let failed = |error: reqwest::Error| failure(&host, error);
        let response = request.send().await.map_err(failed)?;
        let received = Received::read(response, limit_bytes).await.map_err(failed)?;
        if received.is_passing() {
            return Err(HttpToolError::Unavailable(format!(
                "{host} answered {}: {}",
                received.status,
                excerpt(&received.text)
            )));
        }
        Ok(received)
    }
}

fn refused(error: impl Error + 'static) -> HttpToolError {
    HttpToolError::Refused(chain(&error))
}

fn failure(host: &str, error: reqwest::Error) -> HttpToolError {
    // A URL may hold a credential.
    let error = error.without_url();
    match refusal(&error) {
        Some(refused) => HttpToolError::Refused(refused.to_string()),
        None if error.is_timeout() && !error.is_connect() => {
            HttpToolError::TimedOut(format!("{host} did not answer within the tool's timeout"))
        }
        None => HttpToolError::Unavailable(format!("{host} cannot be reached: {}", chain(&error))),
    }
}

fn read_limit(spec: &AgentToolSpec, tool: &HttpTool) -> usize {
    let limit = usize::try_from(spec.max_result_bytes)
        .unwrap_or(usize::MAX)
        .saturating_add(READ_BEYOND_BYTES);
    if tool.response.is_some() {
        limit.max(READ_FOR_TEMPLATE_BYTES)
    } else {
        limit
    }
}

fn excerpt(text: &str) -> &str {
    &text[..text.floor_char_boundary(500)]
}

#[cfg(test)]
mod tests;

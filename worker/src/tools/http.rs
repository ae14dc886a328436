//! Calls `http` tools and HTTP steps: renders the request, sends it once without
//! following redirects, and shapes the response for the model.

mod request;
mod response;
mod response_template;

use std::{collections::BTreeMap, error::Error, sync::Arc, time::Duration};

use serde_json::{Map, Value};
use steadfast_contract::{activities::Revision, failures::TIMEOUT};
use steadfast_crds::{
    agent_revision::RevisionTool,
    agent_tool::{AgentToolSpec, HttpTool},
};
use steadfast_egress::EgressPolicy;
use steadfast_process::{BlockingWork, ErrorChain};

pub(crate) use self::response::HttpToolResult;
use self::{
    request::{DefaultBody, PreparedRequest},
    response::{HttpResponse, Received},
};
use super::steps;
use crate::{
    egress::{
        connection_fault::find_denial,
        credentials::Credentials,
        http_client::Egress,
        redaction::Redactor,
        request_target::{RequestTarget, RequestTargetError, host},
    },
    failure::CallFailure,
    template::evaluate,
};

/// How much of a response is read beyond the tool's `maxResultBytes`, so that the model learns that it is cut.
const READ_BEYOND_BYTES: usize = 1_024;
/// How much of a response is read for a `response` template, which selects a part of it.
const READ_FOR_TEMPLATE_BYTES: usize = 4 << 20;
/// Longest excerpt of a response in the message of a failure.
const EXCERPT_BYTES: usize = 500;

/// Type of a failure that another attempt cannot mend.
const REFUSED: &str = "tool_refused";
/// Type of a failure that may be temporary.
const UNAVAILABLE: &str = "tool_unavailable";

/// Calls HTTP tools.
#[derive(Clone)]
pub(crate) struct HttpToolClient {
    http: reqwest::Client,
    credentials: Arc<Credentials>,
    policy: EgressPolicy,
    /// Threads for templates.
    blocking: BlockingWork,
}

/// A call of an `http` tool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HttpCall<'a> {
    pub revision: &'a Arc<Revision>,
    pub tool: &'a RevisionTool,
    pub http: &'a HttpTool,
    /// The arguments of the call.
    pub arguments: &'a Map<String, Value>,
}

/// An HTTP request of a `steps` tool: of a step or of its compensation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HttpStep<'a> {
    pub revision: &'a Arc<Revision>,
    pub tool: &'a RevisionTool,
    pub http: &'a HttpTool,
    /// The step's `arguments`, a template.
    pub arguments: &'a Map<String, Value>,
    /// The arguments of the call.
    pub call_arguments: &'a Map<String, Value>,
    /// The results of the steps so far, by name.
    pub results: &'a BTreeMap<String, Value>,
    /// Limit for the attempt.
    pub timeout: Duration,
}

/// The headers that identify a call.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallHeaders<'a> {
    /// The same for every attempt of a call.
    pub idempotency_key: Option<&'a str>,
    /// W3C trace context of the attempt.
    pub traceparent: Option<String>,
}

impl HttpToolClient {
    pub(crate) fn new(
        credentials: Arc<Credentials>,
        egress: &Egress,
        blocking: BlockingWork,
    ) -> Result<Self, reqwest::Error> {
        Ok(Self {
            http: egress.client()?,
            credentials,
            policy: egress.policy,
            blocking,
        })
    }

    /// Makes one attempt of a call.
    pub(crate) async fn call(
        &self,
        call: HttpCall<'_>,
        headers: CallHeaders<'_>,
    ) -> Result<HttpToolResult, CallFailure> {
        let redactor = self.credentials.redactor(&call.revision.spec);
        let arguments = call.arguments.clone();
        let rendering = self.rendering(call.revision, call.http);
        let of = templates_of(call.revision, call.tool);
        let request = self.evaluate(&of, move || {
            let body = DefaultBody::CallArguments(Value::Object(arguments.clone()));
            rendering.request(&arguments, body)
        });
        let request = request.await?.map_err(|error| refused(&error))?;
        let limits = ReadLimits {
            bytes: read_limit(&call.tool.spec, call.http),
            timeout: call.tool.spec.timeout.as_std(),
        };
        let sent = self.send(request, limits, headers, &redactor).await;
        let response = sent.map_err(|failure| failure.redacted(&redactor))?;
        Ok(self.shaped(response, call.http, call.arguments, &of).await)
    }

    /// Makes one attempt of a step or of its compensation.
    pub(crate) async fn call_step(
        &self,
        step: HttpStep<'_>,
        headers: CallHeaders<'_>,
    ) -> Result<HttpToolResult, CallFailure> {
        let redactor = self.credentials.redactor(&step.revision.spec);
        let (template, call_arguments) = (step.arguments.clone(), step.call_arguments.clone());
        let results = step.results.clone();
        let rendering = self.rendering(step.revision, step.http);
        let of = templates_of(step.revision, step.tool);
        let request = self.evaluate(&of, move || {
            let arguments = steps::render_arguments(&template, &call_arguments, &results)?;
            let body = if template.is_empty() {
                DefaultBody::CallArguments(arguments)
            } else {
                DefaultBody::StepArguments(arguments)
            };
            rendering.request(&steps::scope(&call_arguments, &results), body)
        });
        let request = request.await?.map_err(|error| refused(&error))?;
        let limits = ReadLimits {
            bytes: read_limit(&step.tool.spec, step.http),
            timeout: step.timeout,
        };
        let sent = self.send(request, limits, headers, &redactor).await;
        let response = sent.map_err(|failure| failure.redacted(&redactor))?;
        Ok(self.shaped(response, step.http, step.call_arguments, &of).await)
    }

    fn rendering(&self, revision: &Arc<Revision>, http: &HttpTool) -> Rendering {
        Rendering {
            credentials: self.credentials.clone(),
            policy: self.policy,
            revision: revision.clone(),
            http: http.clone(),
        }
    }

    /// Evaluates templates of a tool. Nothing is sent without them.
    async fn evaluate<T: Send + 'static>(
        &self,
        of: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, CallFailure> {
        evaluate(&self.blocking, of, work)
            .await
            .map_err(|error| CallFailure::permanent(REFUSED, format!("the tool's templates: {}", ErrorChain(&error))))
    }

    /// The result that the `response` template makes of a response, if the tool has one.
    async fn shaped(
        &self,
        response: HttpResponse<'_>,
        http: &HttpTool,
        arguments: &Map<String, Value>,
        of: &str,
    ) -> HttpToolResult {
        let shaping = match response.into_result(http.response.as_deref(), arguments) {
            Received::Result(result) => return result,
            Received::Unshaped(shaping) => shaping,
        };
        let unshaped = shaping.clone();
        match evaluate(&self.blocking, of, move || shaping.shape()).await {
            Ok(result) => result,
            Err(error) => unshaped.failed(&error),
        }
    }

    async fn send<'a>(
        &self,
        request: PreparedRequest,
        limits: ReadLimits,
        headers: CallHeaders<'_>,
        redactor: &'a Redactor,
    ) -> Result<HttpResponse<'a>, CallFailure> {
        let host = host(&request.url);
        let mut builder = self
            .http
            .request(request.method, request.url)
            .headers(request.headers)
            .timeout(limits.timeout);
        if let Some(key) = headers.idempotency_key {
            builder = builder.header("idempotency-key", key);
        }
        if let Some(traceparent) = headers.traceparent {
            builder = builder.header("traceparent", traceparent);
        }
        if let Some(body) = request.body {
            builder = builder.body(body);
        }
        let failed = |error: reqwest::Error| failure(&host, error);
        let response = builder.send().await.map_err(failed)?;
        let response = HttpResponse::read(response, limits.bytes, redactor)
            .await
            .map_err(failed)?;
        if response.is_retryable() {
            let message = format!(
                "{host} answered {}: {}",
                response.status,
                response.excerpt(EXCERPT_BYTES)
            );
            return Err(CallFailure::transient(UNAVAILABLE, message));
        }
        Ok(response)
    }
}

/// What the templates of a request need.
struct Rendering {
    credentials: Arc<Credentials>,
    policy: EgressPolicy,
    revision: Arc<Revision>,
    http: HttpTool,
}

impl Rendering {
    fn request(&self, scope: &Map<String, Value>, body: DefaultBody) -> Result<PreparedRequest, RequestTargetError> {
        let target = RequestTarget {
            credentials: &self.credentials,
            policy: self.policy,
            revision: &self.revision.spec,
            scope: Some(scope),
        };
        PreparedRequest::new(&self.http, target, body)
    }
}

/// Names the templates of a tool.
fn templates_of(revision: &Revision, tool: &RevisionTool) -> String {
    format!("{}/{}", revision.spec.agent, tool.name)
}

/// The limits of one request.
#[derive(Clone, Copy, Debug)]
struct ReadLimits {
    bytes: usize,
    timeout: Duration,
}

fn refused(error: &(dyn Error + 'static)) -> CallFailure {
    CallFailure::permanent_error(REFUSED, error)
}

fn failure(host: &str, error: reqwest::Error) -> CallFailure {
    // The URL may hold a credential.
    let error = error.without_url();
    if let Some(denied) = find_denial(&error) {
        return CallFailure::permanent(REFUSED, denied.to_string());
    }
    if error.is_timeout() && !error.is_connect() {
        return CallFailure::transient(TIMEOUT, format!("{host} did not answer within the tool's timeout"));
    }
    CallFailure::transient(UNAVAILABLE, format!("cannot reach {host}: {}", ErrorChain(&error)))
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

#[cfg(test)]
mod tests;

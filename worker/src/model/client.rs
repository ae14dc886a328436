//! The client of the model APIs: async-openai, over an HTTP service of ours that
//! hands it plain frames, without its retries, and with our failures, which know the
//! status and the headers.

use std::{panic::AssertUnwindSafe, pin::Pin, sync::Arc};

use async_openai::{Client, config::OpenAIConfig, error::OpenAIError};
use bytes::Bytes;
use futures::{FutureExt as _, Stream, StreamExt};
use reqwest::header::HeaderValue;
use serde_json::Value;
use steadfast_crds::{
    AgentRevisionSpec,
    model::{ModelApi, ModelRetry},
};
use steadfast_egress::EgressPolicy;
use steadfast_process::ErrorChain;
use url::Url;

use super::{
    authorization::{Authorization, AuthorizationError, read_token},
    body::Ending,
    failures::{CONFIGURATION, broken_connection, client_fault, idle_error},
    http_service::OneAttempt,
    learned::Learned,
};
use crate::{
    egress::{
        credentials::{CredentialError, Credentials, Destination},
        http_client::Egress,
        redaction::Redactor,
        request_target::{RequestTarget, RequestTargetError},
    },
    failure::{CallFailure, RetryClass},
};

/// Type of a failure that a credential must be mended for.
const CREDENTIALS: &str = "model_credentials";

/// Calls model APIs.
#[derive(Clone)]
pub(crate) struct ModelClient {
    http: reqwest::Client,
    credentials: Arc<Credentials>,
    policy: EgressPolicy,
    base_url: Option<Url>,
    /// The habits of the servers.
    pub(super) learned: Learned,
}

/// The events of one response, as the provider sent them.
pub(crate) type EventStream = Pin<Box<dyn Stream<Item = Result<Value, CallFailure>> + Send>>;

impl ModelClient {
    /// `base_url` replaces the base URL of every revision: for tests and local models. The installation chose it, so it
    /// may be a local address.
    pub(crate) fn new(
        credentials: Arc<Credentials>,
        egress: &Egress,
        base_url: Option<Url>,
    ) -> Result<Self, reqwest::Error> {
        let policy = match &base_url {
            Some(_) => EgressPolicy::LOCAL,
            None => egress.policy,
        };
        let egress = Egress {
            policy,
            outbound: egress.outbound.clone(),
        };
        Ok(Self {
            http: egress.client()?,
            credentials,
            policy,
            base_url,
            learned: Learned::default(),
        })
    }

    /// The base URL of the model calls of a revision.
    pub(crate) fn base_url(&self, revision: &AgentRevisionSpec) -> Result<Url, CallFailure> {
        if let Some(url) = &self.base_url {
            return Ok(url.clone());
        }
        let target = RequestTarget {
            credentials: &self.credentials,
            policy: self.policy,
            revision,
            scope: None,
        };
        let built = target.url(&revision.model.base_url).map_err(|error| {
            let category = match error {
                RequestTargetError::Credential(_) => CREDENTIALS,
                _ => CONFIGURATION,
            };
            CallFailure::permanent(category, format!("model.baseUrl: {}", ErrorChain(&error)))
        });
        Ok(built?.url)
    }

    /// The value of an environment variable for a request to this URL.
    pub(crate) fn variable(&self, name: &str, url: &Url, revision: &AgentRevisionSpec) -> Result<String, CallFailure> {
        let value = self
            .credentials
            .for_destination(name, Destination::fixed(url), revision);
        value.map(str::to_owned).map_err(|error| refused_credential(&error))
    }

    /// The key of a call, and what removes it from what comes back.
    async fn key(&self, url: &Url, revision: &AgentRevisionSpec) -> Result<(String, Redactor), CallFailure> {
        let model = &revision.model;
        if let Some(path) = model.token_file() {
            let token = read_token(path).await.map_err(|error| refused_authorization(&error))?;
            let redactor = self.credentials.redactor_with(revision, "model.auth.tokenFile", &token);
            return Ok((token, redactor));
        }
        let name = &model.api_key_env_var;
        let redactor = self.credentials.redactor(revision);
        if name.is_empty() {
            return Ok((String::new(), redactor));
        }
        let value = self.credentials.for_header(name, Destination::fixed(url), revision);
        let value = value.map_err(|error| refused_credential(&error))?;
        Ok((value.to_owned(), redactor))
    }

    /// Sends a request with a JSON body. The stream fails if nothing comes for `model.timeouts.idle`.
    pub(crate) async fn stream(
        &self,
        revision: &AgentRevisionSpec,
        base_url: &Url,
        body: Bytes,
        traceparent: Option<&str>,
    ) -> Result<EventStream, CallFailure> {
        let (key, redactor) = self.key(base_url, revision).await?;
        let authorization = Authorization::new(&revision.model, &key).map_err(|error| refused_authorization(&error))?;
        let config = OpenAIConfig::new()
            .with_api_base(without_query(base_url))
            // Otherwise the library sends OPENAI_ORG_ID and OPENAI_PROJECT_ID of the environment, to any host.
            .with_org_id("")
            .with_project_id("");
        let idle = revision.model.timeouts.idle.as_std();
        let api = revision.model.api;
        let ending = Ending::default();
        // The default client of the library would load the certificates of the system for each call.
        let client = Client::build(self.http.clone(), config).with_http_service(OneAttempt {
            http: self.http.clone(),
            query: base_url.query().map(str::to_owned),
            body,
            authorization,
            traceparent: traceparent.and_then(|value| HeaderValue::try_from(value).ok()),
            redactor: redactor.clone(),
            api,
            idle,
            ending: ending.clone(),
        });
        let opening = async move {
            match api {
                ModelApi::Responses => client.responses().create_stream_byot::<_, Value>(()).await,
                ModelApi::ChatCompletions => client.chat().create_stream_byot::<_, Value>(()).await,
            }
        };
        let opening = AssertUnwindSafe(tokio::time::timeout(idle, opening)).catch_unwind();
        let stream = match opening.await {
            Ok(Ok(Ok(stream))) => stream,
            Ok(Ok(Err(error))) => {
                let failure = transport_error(error).redacted(&redactor);
                return Err(within_maximum_interval(failure, &revision.model.retry));
            }
            Ok(Err(_)) => return Err(idle_error(idle)),
            Err(_) => return Err(client_fault("a panic while the request was sent")),
        };
        Ok(events(stream, ending, redactor))
    }
}

/// What the library reads.
type LibraryStream = Pin<Box<dyn Stream<Item = Result<Value, OpenAIError>> + Send>>;

/// The events of a response, and the failure that ended it.
fn events(stream: LibraryStream, ending: Ending, redactor: Redactor) -> EventStream {
    Box::pin(futures::stream::unfold(Some(stream), move |stream| {
        let (ending, redactor) = (ending.clone(), redactor.clone());
        async move {
            let mut stream = stream?;
            match stream.next().await {
                Some(Ok(mut event)) => {
                    redact_error(&mut event, &redactor);
                    Some((Ok(event), Some(stream)))
                }
                // A frame that is not JSON does not end the response.
                Some(Err(OpenAIError::JSONDeserialize(..))) => Some((Ok(Value::Null), Some(stream))),
                Some(Err(error)) => {
                    let failure = ending.failure().unwrap_or_else(|| transport_error(error));
                    Some((Err(failure.redacted(&redactor)), None))
                }
                None => {
                    let failure = ending.failure()?;
                    Some((Err(failure.redacted(&redactor)), None))
                }
            }
        }
    }))
}

/// The provider may ask for a longer wait than the Agent allows.
fn within_maximum_interval(failure: CallFailure, retry: &ModelRetry) -> CallFailure {
    let RetryClass::Transient { delay: Some(delay) } = failure.retry else {
        return failure;
    };
    let delay = Some(delay.min(retry.maximum_interval.max(retry.initial_interval).as_std()));
    CallFailure {
        retry: RetryClass::Transient { delay },
        ..failure
    }
}

fn refused_authorization(error: &AuthorizationError) -> CallFailure {
    CallFailure::permanent_error(CREDENTIALS, error)
}

fn refused_credential(error: &CredentialError) -> CallFailure {
    CallFailure::permanent(CREDENTIALS, error.to_string())
}

/// An error inside of a stream may echo the request, and words that are no chunk too. The other events are the model's
/// own.
fn redact_error(event: &mut Value, redactor: &Redactor) {
    let is_chunk = !event["choices"].is_null() || event["type"].as_str().is_some_and(|kind| kind != "error");
    let is_error = !event["error"].is_null() || !event["response"]["error"].is_null();
    if is_error || !is_chunk {
        redactor.value(event);
    }
}

fn transport_error(error: OpenAIError) -> CallFailure {
    match error {
        OpenAIError::Boxed(error) => match error.downcast::<CallFailure>() {
            Ok(error) => *error,
            Err(error) => broken_connection(&error),
        },
        OpenAIError::InvalidArgument(message) => CallFailure::permanent(CONFIGURATION, message),
        // The URL may hold a credential.
        OpenAIError::Reqwest(error) => broken_connection(&ErrorChain(&error.without_url())),
        error => broken_connection(&error),
    }
}

/// The base URL that paths are added to. A query, such as Azure's `?api-version=`, belongs behind them.
fn without_query(base_url: &Url) -> String {
    let mut base = base_url.clone();
    base.set_query(None);
    base.set_fragment(None);
    base.as_str().trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests;

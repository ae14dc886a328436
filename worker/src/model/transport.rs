//! The connection to the model API: async-openai as transport, its retries off,
//! its errors replaced by ours, which know status and headers.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use async_openai::{Client, config::OpenAIConfig, error::OpenAIError, middleware::HttpRequestFactory};
use futures::{Stream, StreamExt, future::BoxFuture};
use serde_json::Value;
use steadfast_crds::AgentRevisionSpec;
use tower::Service;
use url::Url;

use super::{error::ModelError, interpret::StreamEvent};
use crate::credentials::Credentials;

/// How long the first byte of a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Calls model APIs.
#[derive(Clone)]
pub struct ModelClient {
    http: reqwest::Client,
    credentials: Arc<Credentials>,
    base_url: Option<Url>,
}

/// The events of one answer.
pub type EventStream = Pin<Box<dyn Stream<Item = Result<StreamEvent, ModelError>> + Send>>;

impl ModelClient {
    /// `base_url` replaces that of every revision: for tests and local models.
    pub fn new(credentials: Arc<Credentials>, base_url: Option<Url>) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("steadfast/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self {
            http,
            credentials,
            base_url,
        })
    }

    /// Where the calls of a revision go.
    pub fn base_url(&self, revision: &AgentRevisionSpec) -> Result<Url, ModelError> {
        if let Some(url) = &self.base_url {
            return Ok(url.clone());
        }
        Url::parse(&revision.model.base_url).map_err(|error| {
            ModelError::permanent(
                "model_configuration",
                format!("model.baseUrl {:?}: {error}", revision.model.base_url),
            )
        })
    }

    /// Sends a request; its answer comes as a stream in which no gap is longer than `model.timeouts.idle`.
    pub async fn stream(
        &self,
        revision: &AgentRevisionSpec,
        base_url: &Url,
        body: Value,
    ) -> Result<EventStream, ModelError> {
        let mut config = OpenAIConfig::new()
            .with_api_base(base_url.as_str().trim_end_matches('/'))
            .with_api_key("");
        if revision.model.api_key_env_var.is_empty() {
            config = config.with_api_key("");
        } else {
            let key = self
                .credentials
                .for_url(&revision.model.api_key_env_var, base_url, revision)
                .map_err(|error| ModelError::permanent("model_credentials", error.to_string()))?;
            config = config.with_api_key(key);
        }
        let client = Client::with_config(config).with_http_service(OneAttempt {
            http: self.http.clone(),
        });
        let idle = revision.model.timeouts.idle.as_std();
        let responses = client.responses();
        let opening = responses.create_stream_byot::<_, Value>(body);
        let stream: Pin<Box<dyn Stream<Item = Result<Value, OpenAIError>> + Send>> =
            match tokio::time::timeout(idle, opening).await {
                Ok(opened) => opened.map_err(transport_error)?,
                Err(_) => return Err(idle_error(idle)),
            };
        Ok(Box::pin(futures::stream::unfold(
            Some(stream),
            move |stream| async move {
                let mut stream = stream?;
                match tokio::time::timeout(idle, stream.next()).await {
                    Ok(Some(Ok(event))) => {
                        // An event of a shape nobody foresaw is passed over, like an event nobody knows.
                        Some((Ok(serde_json::from_value(event).unwrap_or_default()), Some(stream)))
                    }
                    // One frame that is no JSON does not end the answer; a broken connection does.
                    Ok(Some(Err(OpenAIError::JSONDeserialize(..)))) => Some((Ok(StreamEvent::default()), Some(stream))),
                    Ok(Some(Err(error))) => Some((Err(transport_error(error)), None)),
                    Ok(None) => None,
                    Err(_) => Some((Err(idle_error(idle)), None)),
                }
            },
        )))
    }
}

fn idle_error(idle: Duration) -> ModelError {
    ModelError::transient(
        "model_idle",
        format!("the model API sent nothing for {} s", idle.as_secs()),
    )
}

fn transport_error(error: OpenAIError) -> ModelError {
    match error {
        OpenAIError::Boxed(error) => match error.downcast::<ModelError>() {
            Ok(error) => *error,
            Err(error) => ModelError::transient("model_connection", error.to_string()),
        },
        OpenAIError::InvalidArgument(message) => ModelError::permanent("model_configuration", message),
        error => ModelError::transient(
            "model_connection",
            format!("the connection to the model API failed: {error}"),
        ),
    }
}

/// Sends a request once; everything but a success is an error with all that the provider said.
#[derive(Clone)]
struct OneAttempt {
    http: reqwest::Client,
}

impl Service<HttpRequestFactory> for OneAttempt {
    type Response = reqwest::Response;
    type Error = OpenAIError;
    type Future = BoxFuture<'static, Result<reqwest::Response, OpenAIError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequestFactory) -> Self::Future {
        let http = self.http.clone();
        Box::pin(async move {
            let request = request.build().await?;
            let url = request.url().clone();
            let response = http
                .execute(request)
                .await
                .map_err(|error| boxed(connection_error(&url, &error)))?;
            if response.status().is_success() {
                return Ok(response);
            }
            let (status, headers) = (response.status(), response.headers().clone());
            let body = response.text().await.unwrap_or_default();
            Err(boxed(ModelError::from_response(status, &headers, &body)))
        })
    }
}

fn connection_error(url: &Url, error: &reqwest::Error) -> ModelError {
    let mut reasons = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(reason) = cause {
        reasons.push(reason.to_string());
        cause = reason.source();
    }
    let place = format!(
        "{}:{}",
        url.host_str().unwrap_or_default(),
        url.port_or_known_default().unwrap_or_default()
    );
    ModelError::transient(
        "model_connection",
        format!("cannot reach the model API at {place}: {}", reasons.join(": ")),
    )
}

fn boxed(error: ModelError) -> OpenAIError {
    OpenAIError::Boxed(Box::new(error))
}

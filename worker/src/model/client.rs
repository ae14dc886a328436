//! The HTTP client of the model APIs: async-openai as transport, without its
//! retries, and with our failures, which know the status and the headers.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use async_openai::{Client, config::OpenAIConfig, error::OpenAIError, middleware::HttpRequestFactory};
use bytes::Bytes;
use futures::{Stream, StreamExt, future::BoxFuture};
use reqwest::header::HeaderValue;
use serde_json::Value;
use steadfast_bounds::json;
use steadfast_crds::{AgentRevisionSpec, model::ModelApi};
use steadfast_process::ErrorChain;
use tower::Service;
use url::Url;

use super::{
    authorization::{Authorization, AuthorizationError, read_token},
    failures,
    learned::Learned,
};
use crate::{
    egress::{
        credentials::{CredentialError, Credentials, Destination},
        http_client::Egress,
        policy::{EgressPolicy, find_denial},
        redaction::Redactor,
        request_target::{RequestTarget, RequestTargetError, host},
        response_body::{ResponseText, read_text},
    },
    failure::CallFailure,
};

/// Type of a failure that a credential must be mended for.
const CREDENTIALS: &str = "model_credentials";
/// Type of a failure that the Agent's `model` must be mended for.
const CONFIGURATION: &str = "model_configuration";
/// Type of a failure of the connection, which may be temporary.
const CONNECTION: &str = "model_connection";
/// How much of the body of an error is read.
const ERROR_BODY_BYTES: usize = 64 << 10;

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

    /// Sends a request with a JSON body. The stream fails if no event comes for `model.timeouts.idle`.
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
            .with_api_base(base_url.as_str().trim_end_matches('/'))
            // Otherwise the library sends OPENAI_ORG_ID and OPENAI_PROJECT_ID of the environment, to any host.
            .with_org_id("")
            .with_project_id("");
        // The default client of the library would load the certificates of the system for each call.
        let client = Client::build(self.http.clone(), config).with_http_service(OneAttempt {
            http: self.http.clone(),
            body,
            authorization,
            traceparent: traceparent.and_then(|value| HeaderValue::try_from(value).ok()),
            redactor: redactor.clone(),
        });
        let idle = revision.model.timeouts.idle.as_std();
        let api = revision.model.api;
        let opening = async move {
            match api {
                ModelApi::Responses => client.responses().create_stream_byot::<_, Value>(()).await,
                ModelApi::ChatCompletions => client.chat().create_stream_byot::<_, Value>(()).await,
            }
        };
        let stream: Pin<Box<dyn Stream<Item = Result<Value, OpenAIError>> + Send>> =
            match tokio::time::timeout(idle, opening).await {
                Ok(opened) => opened.map_err(|error| transport_error(error).redacted(&redactor))?,
                Err(_) => return Err(idle_error(idle)),
            };
        Ok(Box::pin(futures::stream::unfold(
            Some((stream, redactor)),
            move |state| async move {
                let (mut stream, redactor) = state?;
                match tokio::time::timeout(idle, stream.next()).await {
                    Ok(Some(Ok(event))) if json::is_too_deep(&event) => Some((Err(too_deep()), None)),
                    Ok(Some(Ok(mut event))) => {
                        redact_error(&mut event, &redactor);
                        Some((Ok(event), Some((stream, redactor))))
                    }
                    // A frame that is not JSON does not end the response; a broken connection does.
                    Ok(Some(Err(OpenAIError::JSONDeserialize(..)))) => {
                        Some((Ok(Value::Null), Some((stream, redactor))))
                    }
                    Ok(Some(Err(error))) => Some((Err(transport_error(error).redacted(&redactor)), None)),
                    Ok(None) => None,
                    Err(_) => Some((Err(idle_error(idle)), None)),
                }
            },
        )))
    }
}

fn refused_authorization(error: &AuthorizationError) -> CallFailure {
    CallFailure::permanent_error(CREDENTIALS, error)
}

fn refused_credential(error: &CredentialError) -> CallFailure {
    CallFailure::permanent(CREDENTIALS, error.to_string())
}

/// The same request would have the same answer, and every attempt costs tokens.
fn too_deep() -> CallFailure {
    CallFailure::permanent(
        "model_output_too_deep",
        format!(
            "the response of the model API is nested deeper than {} levels",
            json::MAXIMUM_DEPTH
        ),
    )
}

fn idle_error(idle: Duration) -> CallFailure {
    CallFailure::transient(
        "model_idle",
        format!("the model API sent nothing for {} s", idle.as_secs()),
    )
}

/// An error inside of a stream may echo the request. The other events are the model's own.
fn redact_error(event: &mut Value, redactor: &Redactor) {
    let is_error = event["type"] == "error"
        || event["object"] == "error"
        || !event["error"].is_null()
        || !event["response"]["error"].is_null();
    if is_error {
        redactor.value(event);
    }
}

fn transport_error(error: OpenAIError) -> CallFailure {
    match error {
        OpenAIError::Boxed(error) => match error.downcast::<CallFailure>() {
            Ok(error) => *error,
            Err(error) => CallFailure::transient(CONNECTION, error.to_string()),
        },
        OpenAIError::InvalidArgument(message) => CallFailure::permanent(CONFIGURATION, message),
        // The URL may hold a credential.
        OpenAIError::Reqwest(error) => broken_connection(&ErrorChain(&error.without_url())),
        error => broken_connection(&error),
    }
}

fn broken_connection(error: &dyn std::fmt::Display) -> CallFailure {
    CallFailure::transient(CONNECTION, format!("the connection to the model API failed: {error}"))
}

/// Sends a request once; a response that is no success becomes a failure with its status, headers and body.
#[derive(Clone)]
struct OneAttempt {
    http: reqwest::Client,
    /// Set on the built request: the library would serialize it again, and it may be megabytes.
    body: Bytes,
    authorization: Authorization,
    /// W3C trace context of the call.
    traceparent: Option<HeaderValue>,
    redactor: Redactor,
}

impl Service<HttpRequestFactory> for OneAttempt {
    type Response = reqwest::Response;
    type Error = OpenAIError;
    type Future = BoxFuture<'static, Result<reqwest::Response, OpenAIError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequestFactory) -> Self::Future {
        let Self {
            http,
            body,
            authorization,
            traceparent,
            redactor,
        } = self.clone();
        Box::pin(async move {
            let mut request = request.build().await?;
            *request.body_mut() = Some(body.into());
            authorization.apply(request.headers_mut());
            if let Some(traceparent) = traceparent {
                request.headers_mut().insert("traceparent", traceparent);
            }
            let url = request.url().clone();
            let response = http
                .execute(request)
                .await
                .map_err(|error| boxed(connection_error(&url, error)))?;
            if response.status().is_success() {
                return Ok(response);
            }
            let (status, headers) = (response.status(), response.headers().clone());
            let ResponseText { text, is_cut } = read_text(response, ERROR_BODY_BYTES).await.unwrap_or_default();
            let body = if is_cut {
                redactor.cut_text(&text)
            } else {
                redactor.text(&text)
            };
            Err(boxed(failures::from_response(status, &headers, &body)))
        })
    }
}

fn connection_error(url: &Url, error: reqwest::Error) -> CallFailure {
    let host = host(url);
    // The URL may hold a credential.
    let error = error.without_url();
    if let Some(denied) = find_denial(&error) {
        return CallFailure::permanent(CONFIGURATION, format!("model.baseUrl: {denied}"));
    }
    CallFailure::transient(
        CONNECTION,
        format!("cannot reach the model API at {host}: {}", ErrorChain(&error)),
    )
}

fn boxed(error: CallFailure) -> OpenAIError {
    OpenAIError::Boxed(Box::new(error))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;
    use crate::failure::RetryClass;

    const BODY: &[u8] = br#"{"stream":true}"#;

    fn client() -> ModelClient {
        steadfast_process::crypto::install();
        let variables = [
            ("WHERE".to_owned(), "models.test".to_owned()),
            ("KEY".to_owned(), "key-12345678\n".to_owned()),
            ("BROKEN".to_owned(), "key-1\nkey-2".to_owned()),
        ];
        let egress = Egress::from(EgressPolicy::LOCAL);
        ModelClient::new(Arc::new(Credentials::new(variables)), &egress, None).unwrap()
    }

    fn base_url(template: &str, hosts: &str) -> Result<Url, CallFailure> {
        let revision = serde_yaml_ng::from_str(&format!(
            "{{agent: a, sequence: 1, taskQueue: q, model: {{name: m, baseUrl: '{template}'}},
              credentials: [{{envVarName: WHERE, hosts: {hosts}}}]}}"
        ))
        .unwrap();
        client().base_url(&revision)
    }

    #[test]
    fn a_base_url_may_use_a_credential_that_may_be_sent_there() {
        let template = "https://${env.WHERE}/v1";
        assert_eq!(base_url(template, "[]").unwrap().as_str(), "https://models.test/v1");
        for hosts in ["[models.test]", "['*.test']"] {
            assert_eq!(
                base_url(template, hosts).unwrap().as_str(),
                "https://models.test/v1",
                "{hosts}"
            );
        }
        let error = base_url(template, "[other.test]").unwrap_err();
        assert_eq!(error.category, "model_credentials");
        assert!(!error.message.contains("models.test"), "{error}");
        assert_eq!(
            base_url("https://${env.NOBODY}/v1", "[]").unwrap_err().category,
            "model_credentials"
        );
    }

    /// Serves one request; returns the request, the events and the failure.
    async fn call(answer: impl Into<String>) -> (String, Vec<Value>, Option<CallFailure>) {
        let answer = answer.into();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = Url::parse(&format!("http://{}/v1", listener.local_addr().unwrap())).unwrap();
        let server = tokio::spawn(async move {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(BODY) {
                assert_ne!(
                    connection.read_buf(&mut request).await.unwrap(),
                    0,
                    "the request ends early"
                );
            }
            connection.write_all(answer.as_bytes()).await.unwrap();
            // A second attempt would fail to connect.
            drop(listener);
            String::from_utf8(request).unwrap()
        });
        let revision = serde_yaml_ng::from_str(
            "{agent: a, sequence: 1, taskQueue: q, model: {name: m, api: ChatCompletions, apiKeyEnvVar: KEY},
              credentials: [{envVarName: KEY}]}",
        )
        .unwrap();
        let (mut events, mut error) = (Vec::new(), None);
        match client()
            .stream(&revision, &base_url, Bytes::from_static(BODY), None)
            .await
        {
            Ok(mut stream) => {
                while let Some(event) = stream.next().await {
                    match event {
                        Ok(event) => events.push(event),
                        Err(broken) => error = Some(broken),
                    }
                }
            }
            Err(refused) => error = Some(refused),
        }
        (server.await.unwrap(), events, error)
    }

    #[tokio::test]
    async fn a_chat_stream_ends_with_done() {
        let (request, events, error) = call(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n\
             data: {\"a\":1}\n\ndata: no json\n\ndata: [DONE]\n\ndata: {\"b\":2}\n\n",
        )
        .await;
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("content-type: application/json\r\n"), "{head}");
        assert!(head.contains("content-length: 15"), "{head}");
        assert!(head.contains("authorization: Bearer key-12345678\r\n"), "{head}");
        assert_eq!(body.as_bytes(), BODY);
        assert_eq!(events, [json!({"a": 1}), Value::Null]);
        assert_eq!(error, None);
    }

    #[tokio::test]
    async fn a_failed_call_is_sent_once_and_classified() {
        let (_, events, error) = call(
            "HTTP/1.1 503 Service Unavailable\r\nretry-after: 7\r\ncontent-length: 4\r\nconnection: close\r\n\r\nbusy",
        )
        .await;
        assert_eq!(events, Vec::<Value>::new());
        let error = error.unwrap();
        assert_eq!(error.category, "model_unavailable");
        let delay = Some(Duration::from_secs(7));
        assert_eq!(error.retry, RetryClass::Transient { delay });
    }

    #[tokio::test]
    async fn an_error_that_echoes_the_key_is_redacted_and_read_up_to_a_limit() {
        let reason = format!("incorrect key key-12345678 {}", "x".repeat(ERROR_BODY_BYTES * 2));
        let answer = format!(
            "HTTP/1.1 401 Unauthorized\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{reason}",
            reason.len()
        );
        let error = call(answer).await.2.unwrap();
        assert_eq!(error.category, "model_authentication");
        assert!(
            error
                .message
                .starts_with("the model API answered 401 Unauthorized: incorrect key [redacted: KEY] xxx"),
            "{error}"
        );
        let (_, events, _) = call(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n\
             data: {\"error\":{\"message\":\"key-12345678\"}}\n\ndata: [DONE]\n\n",
        )
        .await;
        assert_eq!(events, [json!({"error": {"message": "[redacted: KEY]"}})]);
    }

    #[tokio::test]
    async fn a_key_that_no_header_holds_is_refused_by_its_name() {
        let revision = serde_yaml_ng::from_str(
            "{agent: a, sequence: 1, taskQueue: q, model: {name: m, apiKeyEnvVar: BROKEN},
              credentials: [{envVarName: BROKEN}]}",
        )
        .unwrap();
        let url = Url::parse("http://127.0.0.1:1/").unwrap();
        let refused = client().stream(&revision, &url, Bytes::from_static(BODY), None).await;
        let error = refused.err().unwrap();
        assert_eq!((error.category, error.retry), (CREDENTIALS, RetryClass::Permanent));
        assert!(
            error.message.contains("BROKEN") && !error.message.contains("key-"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_base_url_at_a_local_address_needs_the_permission_of_the_installation() {
        let revision = |url: &str| -> AgentRevisionSpec {
            serde_yaml_ng::from_str(&format!(
                "{{agent: a, sequence: 1, taskQueue: q, model: {{name: m, baseUrl: '{url}', apiKeyEnvVar: ''}}}}"
            ))
            .unwrap()
        };
        let client = |policy: EgressPolicy| {
            steadfast_process::crypto::install();
            ModelClient::new(Arc::default(), &Egress::from(policy), None).unwrap()
        };
        let closed = client(EgressPolicy {
            cluster_services: false,
            loopback: false,
        });
        for url in [
            "http://127.0.0.1:8000/v1",
            "http://vllm.models.svc/v1",
            "http://10.0.0.7/v1",
        ] {
            let refused = closed.base_url(&revision(url)).unwrap_err();
            assert_eq!(
                (refused.category, refused.retry),
                (CONFIGURATION, RetryClass::Permanent),
                "{url}"
            );
            client(EgressPolicy::LOCAL).base_url(&revision(url)).unwrap();
        }
        let metadata = revision("http://169.254.169.254/v1");
        assert!(client(EgressPolicy::LOCAL).base_url(&metadata).is_err());
        // A name is checked by its addresses, when the connection is opened.
        let named = Url::parse("http://localhost:1/v1").unwrap();
        let refused = closed
            .stream(&revision(named.as_str()), &named, Bytes::from_static(BODY), None)
            .await;
        let error = refused.err().unwrap();
        assert_eq!(
            (error.category, error.retry),
            (CONFIGURATION, RetryClass::Permanent),
            "{error}"
        );
    }
}

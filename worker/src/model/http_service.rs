//! The HTTP service under async-openai: one request, and a response that the
//! library can read, whatever the server sent. The library reads events with a
//! crate that one legal stream makes panic, and decodes no content coding.

use std::{
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use async_openai::{error::OpenAIError, middleware::HttpRequestFactory};
use bytes::Bytes;
use futures::future::BoxFuture;
use reqwest::{Response, header::HeaderValue};
use steadfast_crds::model::ModelApi;
use steadfast_process::ErrorChain;
use tower::Service;
use url::Url;

use super::{
    authorization::Authorization,
    body::{Ending, error_text, plain_frames},
    failures,
};
use crate::{
    egress::{
        connection_fault::{ConnectionFault, find_denial},
        redaction::Redactor,
        request_target::host,
    },
    failure::CallFailure,
};

/// How much of the body of an error is read.
pub(super) const ERROR_BODY_BYTES: usize = 64 << 10;

/// Sends a request once; a response that is no success becomes a failure with its status, headers and body.
#[derive(Clone)]
pub(super) struct OneAttempt {
    pub http: reqwest::Client,
    /// The query of the base URL.
    pub query: Option<String>,
    /// Set on the built request: the library would serialize it again, and it may be megabytes.
    pub body: Bytes,
    pub authorization: Authorization,
    /// W3C trace context of the call.
    pub traceparent: Option<HeaderValue>,
    pub redactor: Redactor,
    pub api: ModelApi,
    /// The longest silence within the response.
    pub idle: Duration,
    /// Learns how the reading of the response ends.
    pub ending: Ending,
}

impl Service<HttpRequestFactory> for OneAttempt {
    type Response = Response;
    type Error = OpenAIError;
    type Future = BoxFuture<'static, Result<Response, OpenAIError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequestFactory) -> Self::Future {
        let attempt = self.clone();
        Box::pin(async move {
            let request = request.build().await?;
            attempt.send(request).await.map_err(boxed)
        })
    }
}

impl OneAttempt {
    async fn send(self, mut request: reqwest::Request) -> Result<Response, CallFailure> {
        *request.body_mut() = Some(self.body.into());
        if self.query.is_some() {
            request.url_mut().set_query(self.query.as_deref());
        }
        self.authorization.apply(request.headers_mut());
        if let Some(traceparent) = self.traceparent {
            request.headers_mut().insert("traceparent", traceparent);
        }
        let url = request.url().clone();
        let response = self
            .http
            .execute(request)
            .await
            .map_err(|error| connection_error(&url, error))?;
        if response.status().is_success() {
            return plain_frames(response, self.api, self.idle, self.ending);
        }
        let (status, headers) = (response.status(), response.headers().clone());
        let (text, is_cut) = error_text(response, ERROR_BODY_BYTES, self.idle).await;
        let body = if is_cut {
            self.redactor.cut_text(&text)
        } else {
            self.redactor.text(&text)
        };
        Err(failures::from_response(status, &headers, &body, SystemTime::now()))
    }
}

fn connection_error(url: &Url, error: reqwest::Error) -> CallFailure {
    let host = host(url);
    // The URL may hold a credential.
    let error = error.without_url();
    if let Some(denied) = find_denial(&error) {
        return CallFailure::permanent(failures::CONFIGURATION, format!("model.baseUrl: {denied}"));
    }
    failures::no_connection(&host, ConnectionFault::of(&error), &ErrorChain(&error))
}

fn boxed(error: CallFailure) -> OpenAIError {
    OpenAIError::Boxed(Box::new(error))
}

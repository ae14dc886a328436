//! What a client is told when something cannot be done: an HTTP status and
//! `{message, code, data}`, as Agentex clients expect. A failure of ours is
//! logged here, once.

use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use steadfast_eventlog::LogError;

use crate::temporal::TemporalError;

/// Tells clients made by Stainless whether repeating the request is safe.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// A failed request.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    pub status: StatusCode,
    pub message: String,
    pub data: Value,
    /// Whether the client may repeat the request; its own rules hold if absent.
    pub repeatable: Option<bool>,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl ApiError {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            data: Value::Null,
            repeatable: None,
            source: None,
        }
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// Unknown and forbidden are told alike.
    pub fn not_found(what: impl std::fmt::Display) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            format!("{what} does not exist, or you may not see it"),
        )
    }

    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    }

    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, message)
    }

    /// Something the gateway needs is away; `missing` names it.
    pub fn unavailable(missing: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            data: json!({ "missing": missing }),
            source: Some(source.into()),
            ..Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("{missing} is not available now"),
            )
        }
    }

    pub fn internal(message: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            source: Some(source.into()),
            ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
        }
    }

    #[must_use]
    pub fn repeatable(self, repeatable: bool) -> Self {
        Self {
            repeatable: Some(repeatable),
            ..self
        }
    }

    /// The members of an error body.
    pub fn body(&self) -> Value {
        json!({ "message": self.message, "code": self.status.as_u16(), "data": self.data })
    }

    /// Answers with a body of the caller's, which contains [`Self::body`].
    pub fn respond_with(&self, body: Value) -> Response {
        if self.status.is_server_error() {
            tracing::warn!(
                status = self.status.as_u16(),
                error = self as &dyn std::error::Error,
                "a request failed"
            );
        }
        let mut response = (self.status, Json(body)).into_response();
        if let Some(repeatable) = self.repeatable {
            let value = HeaderValue::from_static(if repeatable { "true" } else { "false" });
            response.headers_mut().insert(SHOULD_RETRY, value);
        }
        response
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.respond_with(self.body())
    }
}

impl From<TemporalError> for ApiError {
    fn from(error: TemporalError) -> Self {
        match error {
            TemporalError::NotFound => Self::not_found("the task"),
            TemporalError::Refused(message) => Self::bad_request(format!("Temporal refused the request: {message}")),
            error => Self::unavailable("Temporal", error),
        }
    }
}

impl From<LogError> for ApiError {
    fn from(error: LogError) -> Self {
        Self::unavailable("Redis", error)
    }
}

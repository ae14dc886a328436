//! Errors in the words of OpenAI's APIs: whatever fails below `/v1` answers with their envelope.
//! Source: <https://platform.openai.com/docs/guides/error-codes>

use axum::{extract::Request, http::StatusCode, middleware::Next, response::Response};
use serde_json::json;

use crate::error::{Failure, with_body};

const PATHS: &str = "/v1/";

/// Gives errors below `/v1` the envelope that OpenAI's clients read.
pub(in crate::api) async fn envelope(request: Request, next: Next) -> Response {
    if !request.uri().path().starts_with(PATHS) {
        return next.run(request).await;
    }
    let mut response = next.run(request).await;
    if let Some(failure) = response.extensions_mut().remove::<Failure>() {
        response = enclosed(&failure, &response);
    }
    response
}

fn enclosed(failure: &Failure, response: &Response) -> Response {
    let status = response.status();
    let (kind, code) = kind_and_code(status);
    let error = json!({
        "message": failure.message, "type": kind, "param": failure.param, "code": failure.code.unwrap_or(code),
    });
    with_body(response, status, json!({ "error": error }))
}

fn kind_and_code(status: StatusCode) -> (&'static str, &'static str) {
    match status.as_u16() {
        401 => ("authentication_error", "unauthorized"),
        403 => ("permission_error", "forbidden"),
        404 => ("invalid_request_error", "not_found_error"),
        409 => ("conflict_error", "conflict_error"),
        429 => ("rate_limit_error", "rate_limit_exceeded"),
        503 => ("server_error", "service_unavailable_error"),
        500.. => ("server_error", "internal_error"),
        _ => ("invalid_request_error", "invalid_request_error"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::{Router, body::Body, middleware, routing::get};
    use serde_json::Value;
    use tower::ServiceExt as _;

    use super::*;
    use crate::error::ApiError;

    async fn answer(path: &str, error: fn() -> ApiError) -> (Response, Value) {
        let router = Router::new()
            .route(path, get(async move || error()))
            .layer(middleware::from_fn(envelope));
        let request = Request::get(path).body(Body::empty()).unwrap();
        let mut response = router.oneshot(request).await.unwrap();
        let body = std::mem::take(response.body_mut());
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        (response, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn an_error_below_v1_has_the_envelope_and_keeps_its_headers() {
        let error = || {
            ApiError::too_many_requests("too fast")
                .retry_after(Duration::from_secs(5))
                .param("input")
        };
        let (response, body) = answer("/v1/responses", error).await;
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()["retry-after"], "5");
        assert_eq!(
            body,
            json!({"error": {
                "message": "too fast", "type": "rate_limit_error", "param": "input", "code": "rate_limit_exceeded",
            }})
        );
    }

    #[tokio::test]
    async fn an_error_elsewhere_is_as_it_was() {
        let (_, body) = answer("/tasks", || ApiError::bad_request("no")).await;
        assert_eq!(body, json!({"message": "no", "code": 400, "data": null}));
    }
}

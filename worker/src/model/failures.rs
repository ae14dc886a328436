//! Classifies the failures of model calls: the category, and whether another attempt may succeed.

use std::time::Duration;

use reqwest::{StatusCode, header::HeaderMap};
use serde_json::Value;
use steadfast_contract::failures::CONTEXT_LENGTH_EXCEEDED;

use crate::failure::{CallFailure, RetryClass};

/// A longer `retry-after` of a provider is cut to this.
const LONGEST_RETRY_DELAY: Duration = Duration::from_mins(10);

/// Classifies an HTTP response that is no success, by its status, headers and body.
pub(crate) fn from_response(status: StatusCode, headers: &HeaderMap, body: &str) -> CallFailure {
    let error = serde_json::from_str::<Value>(body)
        .ok()
        .and_then(|body| body.get("error").cloned());
    let code = error
        .as_ref()
        .and_then(|error| error["code"].as_str().or_else(|| error["type"].as_str()));
    let reason = error
        .as_ref()
        .and_then(|error| error["message"].as_str().or_else(|| error.as_str()))
        .unwrap_or(body)
        .trim();
    let request_id = headers.get("x-request-id").and_then(|id| id.to_str().ok());
    let request_id = request_id.map(|id| format!(" (request id {id})")).unwrap_or_default();
    let message = format!("the model API answered {status}: {reason}{request_id}");
    let category = if status.is_client_error() && is_context_overflow(code, reason) {
        CONTEXT_LENGTH_EXCEEDED
    } else {
        category(status, code)
    };
    let retry = if is_retryable(status, headers, code) {
        RetryClass::Transient {
            delay: retry_delay(headers),
        }
    } else {
        RetryClass::Permanent
    };
    CallFailure::new(category, message, retry).refused(status.as_u16(), body)
}

/// Classifies an error inside a stream, after status 200: an object with a code or a type, or a string.
pub(crate) fn from_frame(error: &Value) -> CallFailure {
    let code = match &error["code"] {
        Value::Number(number) => Some(number.to_string()),
        code => code.as_str().or_else(|| error["type"].as_str()).map(str::to_owned),
    };
    let reason = error["message"].as_str().or_else(|| error.as_str());
    let reason = reason.unwrap_or("no reason was given");
    let message = format!("the model API reported an error in its stream: {reason}");
    let code = code.as_deref();
    let status = code.and_then(|code| code.parse().ok());
    let status = status.and_then(|status: u16| StatusCode::from_u16(status).ok());
    let failure = if is_context_overflow(code, reason) {
        CallFailure::permanent(CONTEXT_LENGTH_EXCEEDED, message)
    } else if code.is_none_or(is_transient_code) {
        CallFailure::transient("model_stream_error", message)
    } else {
        CallFailure::permanent(category(status.unwrap_or(StatusCode::BAD_REQUEST), code), message)
    };
    let status = status.unwrap_or(StatusCode::BAD_REQUEST);
    failure.refused(status.as_u16(), serde_json::json!({ "error": error }).to_string())
}

/// The stream ended without an end of the response.
pub(crate) fn stream_ended() -> CallFailure {
    CallFailure::transient(
        "model_stream_ended",
        "the model's stream ended before the response was complete",
    )
}

/// The response reached its token limit.
pub(crate) fn truncated() -> CallFailure {
    CallFailure::permanent(
        "model_output_truncated",
        "the model's response was cut at its token limit; raise model.settings.maxOutputTokens",
    )
}

/// The provider's content filter ended the response.
pub(crate) fn content_filtered() -> CallFailure {
    CallFailure::permanent(
        "content_policy",
        "the provider's content filter stopped the model's response",
    )
}

fn category(status: StatusCode, code: Option<&str>) -> &'static str {
    match (status.as_u16(), code) {
        (_, Some(CONTEXT_LENGTH_EXCEEDED)) => CONTEXT_LENGTH_EXCEEDED,
        (_, Some("insufficient_quota")) => "insufficient_quota",
        (_, Some("content_policy_violation" | "content_filter")) => "content_policy",
        (401 | 403, _) => "model_authentication",
        (404, _) => "model_not_found",
        (429, _) => "model_rate_limit",
        (500.., _) => "model_unavailable",
        _ => "model_request_refused",
    }
}

/// OpenAI has a code for it; other providers only say it in the message.
fn is_context_overflow(code: Option<&str>, message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    code == Some(CONTEXT_LENGTH_EXCEEDED)
        || ["maximum context length", "context window", "prompt is too long"]
            .iter()
            .any(|words| message.contains(words))
}

/// Whether the condition that an error code in a stream names may be over at the next attempt.
fn is_transient_code(code: &str) -> bool {
    matches!(
        code,
        "error" | "408" | "409" | "429" | "slow_down" | "too_many_requests"
    ) || (code.len() == 3 && code.starts_with('5'))
        || [
            "server_error",
            "rate_limit",
            "overloaded",
            "timeout",
            "unavailable",
            "internal",
        ]
        .iter()
        .any(|word| code.contains(word))
}

fn is_retryable(status: StatusCode, headers: &HeaderMap, code: Option<&str>) -> bool {
    match headers.get("x-should-retry").and_then(|value| value.to_str().ok()) {
        Some("true") => return true,
        Some("false") => return false,
        _ => {}
    }
    code != Some("insufficient_quota") && (matches!(status.as_u16(), 408 | 409 | 429) || status.is_server_error())
}

/// `retry-after-ms`, else `retry-after` in seconds (RFC 9110 section 10.2.3; the date form is not used by model APIs).
fn retry_delay(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok();
    let seconds = number("retry-after-ms")
        .map(|ms| ms / 1_000.0)
        .or_else(|| number("retry-after"))?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .map(|delay| delay.min(LONGEST_RETRY_DELAY))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERMANENT: RetryClass = RetryClass::Permanent;
    const TRANSIENT: RetryClass = RetryClass::Transient { delay: None };

    const fn after(delay: Duration) -> RetryClass {
        RetryClass::Transient { delay: Some(delay) }
    }

    fn classify(status: u16, headers: &[(&'static str, &str)], body: &str) -> CallFailure {
        let headers = headers
            .iter()
            .filter_map(|(name, value)| Some(((*name).parse().ok()?, value.parse().ok()?)))
            .collect();
        from_response(StatusCode::from_u16(status).unwrap_or_default(), &headers, body)
    }

    #[test]
    fn a_rate_limit_is_retried_after_the_delay_that_the_provider_names() {
        let error = classify(
            429,
            &[("retry-after", "7")],
            r#"{"error":{"message":"slow down","type":"rate_limit_error"}}"#,
        );
        assert_eq!(
            error,
            CallFailure {
                category: "model_rate_limit",
                message: "the model API answered 429 Too Many Requests: slow down".into(),
                retry: after(Duration::from_secs(7)),
                refusal: error.refusal.clone(),
            }
        );
        assert_eq!(
            classify(429, &[("retry-after-ms", "250")], "").retry,
            after(Duration::from_millis(250))
        );
    }

    #[test]
    fn a_refused_request_is_not_retried() {
        for (status, body, category) in [
            (
                400,
                r#"{"error":{"code":"context_length_exceeded","message":"too long"}}"#,
                "context_length_exceeded",
            ),
            (401, "", "model_authentication"),
            (404, "<html>", "model_not_found"),
            (422, "", "model_request_refused"),
            (
                429,
                r#"{"error":{"code":"insufficient_quota","message":"pay"}}"#,
                "insufficient_quota",
            ),
        ] {
            let error = classify(status, &[], body);
            assert_eq!((error.category, error.retry), (category, PERMANENT), "{status} {body}");
        }
    }

    #[test]
    fn the_header_x_should_retry_overrides_the_status() {
        assert_eq!(classify(500, &[("x-should-retry", "false")], "").retry, PERMANENT);
        assert_eq!(classify(400, &[("x-should-retry", "true")], "").retry, TRANSIENT);
    }

    #[test]
    fn an_error_inside_a_stream_is_retried_if_its_code_is_transient() {
        for (error, category, retry) in [
            (
                serde_json::json!({"code": "rate_limit_exceeded"}),
                "model_stream_error",
                TRANSIENT,
            ),
            (
                serde_json::json!({"code": 429, "message": "slow"}),
                "model_stream_error",
                TRANSIENT,
            ),
            (
                serde_json::json!({"code": null, "type": "overloaded_error"}),
                "model_stream_error",
                TRANSIENT,
            ),
            (serde_json::json!("went away"), "model_stream_error", TRANSIENT),
            (
                serde_json::json!({"code": "context_length_exceeded"}),
                "context_length_exceeded",
                PERMANENT,
            ),
            (
                serde_json::json!({"type": "BadRequestError", "message": "This model's maximum context length is 8192 tokens."}),
                "context_length_exceeded",
                PERMANENT,
            ),
            (
                serde_json::json!({"code": "insufficient_quota"}),
                "insufficient_quota",
                PERMANENT,
            ),
            (
                serde_json::json!({"code": "content_filter"}),
                "content_policy",
                PERMANENT,
            ),
            (
                serde_json::json!({"type": "invalid_request_error"}),
                "model_request_refused",
                PERMANENT,
            ),
            (serde_json::json!({"code": 401}), "model_authentication", PERMANENT),
        ] {
            let failure = from_frame(&error);
            assert_eq!((failure.category, failure.retry), (category, retry), "{error}");
        }
    }
}

//! What went wrong with a model call, and whether another attempt may help.

use std::time::Duration;

use reqwest::{StatusCode, header::HeaderMap};
use serde_json::Value;
use temporalio_common::error::ApplicationFailure;

/// What of a provider's error text is kept.
const MESSAGE_LIMIT_BYTES: usize = 2_000;
/// A provider's wish to be left alone is followed up to this.
const LONGEST_RETRY_DELAY: Duration = Duration::from_mins(10);

/// A failed model call.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct ModelError {
    /// A stable name: the type of the failure in Temporal, the category of the turn's error.
    pub category: &'static str,
    pub message: String,
    pub retry: Retry,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    Never,
    /// Again, after the provider's wish or the retry policy's pause.
    After(Option<Duration>),
}

impl ModelError {
    pub fn permanent(category: &'static str, message: impl Into<String>) -> Self {
        Self {
            category,
            message: bounded(message.into()),
            retry: Retry::Never,
        }
    }

    pub fn transient(category: &'static str, message: impl Into<String>) -> Self {
        Self {
            category,
            message: bounded(message.into()),
            retry: Retry::After(None),
        }
    }

    /// Judges an answer that is no success, by its status, headers and body.
    pub fn from_response(status: StatusCode, headers: &HeaderMap, body: &str) -> Self {
        let error = serde_json::from_str::<Value>(body)
            .ok()
            .and_then(|body| body.get("error").cloned());
        let code = error
            .as_ref()
            .and_then(|error| error["code"].as_str().or_else(|| error["type"].as_str()));
        let said = error
            .as_ref()
            .and_then(|error| error["message"].as_str().or_else(|| error.as_str()))
            .unwrap_or(body)
            .trim();
        let request_id = headers.get("x-request-id").and_then(|id| id.to_str().ok());
        let request_id = request_id.map(|id| format!(" (request id {id})")).unwrap_or_default();
        let message = bounded(format!("the model API answered {status}: {said}{request_id}"));
        let category = if status.is_client_error() && says_too_long(code, said) {
            "context_length_exceeded"
        } else {
            category(status, code)
        };
        let retry = if may_retry(status, headers, code) {
            Retry::After(retry_delay(headers))
        } else {
            Retry::Never
        };
        Self {
            category,
            message,
            retry,
        }
    }

    /// Judges an error that came inside a stream after status 200: an object with a code or a type,
    /// or just text.
    pub fn from_frame(error: &Value) -> Self {
        let code = match &error["code"] {
            Value::Number(number) => Some(number.to_string()),
            code => code.as_str().or_else(|| error["type"].as_str()).map(str::to_owned),
        };
        let said = error["message"].as_str().or_else(|| error.as_str());
        let said = said.unwrap_or("no reason was given");
        let message = bounded(format!("the model API reported an error in its stream: {said}"));
        let code = code.as_deref();
        if says_too_long(code, said) {
            return Self {
                category: "context_length_exceeded",
                message,
                retry: Retry::Never,
            };
        }
        if code.is_none_or(passes) {
            return Self {
                category: "model_stream_error",
                message,
                retry: Retry::After(None),
            };
        }
        let status = code.and_then(|code| code.parse().ok());
        let status = status.and_then(|status: u16| StatusCode::from_u16(status).ok());
        Self {
            category: category(status.unwrap_or(StatusCode::BAD_REQUEST), code),
            message,
            retry: Retry::Never,
        }
    }

    /// The failure Temporal records, which tells it what to do.
    pub fn into_failure(self) -> ApplicationFailure {
        let (category, retry) = (self.category, self.retry);
        let failure = ApplicationFailure::builder(self).type_name(category.to_owned());
        match retry {
            Retry::Never => failure.non_retryable(true).build(),
            Retry::After(None) => failure.build(),
            Retry::After(Some(delay)) => failure.next_retry_delay(delay).build(),
        }
    }
}

fn category(status: StatusCode, code: Option<&str>) -> &'static str {
    match (status.as_u16(), code) {
        (_, Some("context_length_exceeded")) => "context_length_exceeded",
        (_, Some("insufficient_quota")) => "insufficient_quota",
        (_, Some("content_policy_violation" | "content_filter")) => "content_policy",
        (401 | 403, _) => "model_authentication",
        (404, _) => "model_not_found",
        (429, _) => "model_rate_limit",
        (500.., _) => "model_unavailable",
        _ => "model_request_refused",
    }
}

/// Only OpenAI has a code for it; others say it in words.
fn says_too_long(code: Option<&str>, message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    code == Some("context_length_exceeded")
        || ["maximum context length", "context window", "prompt is too long"]
            .iter()
            .any(|words| message.contains(words))
}

/// Whether what a code in a stream speaks of may be over at the next attempt.
fn passes(code: &str) -> bool {
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

fn may_retry(status: StatusCode, headers: &HeaderMap, code: Option<&str>) -> bool {
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

fn bounded(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MESSAGE_LIMIT_BYTES));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(status: u16, headers: &[(&'static str, &str)], body: &str) -> ModelError {
        let headers = headers
            .iter()
            .filter_map(|(name, value)| Some(((*name).parse().ok()?, value.parse().ok()?)))
            .collect();
        ModelError::from_response(StatusCode::from_u16(status).unwrap_or_default(), &headers, body)
    }

    #[test]
    fn a_rate_limit_is_retried_when_the_provider_says() {
        let error = judge(
            429,
            &[("retry-after", "7")],
            r#"{"error":{"message":"slow down","type":"rate_limit_error"}}"#,
        );
        assert_eq!(
            error,
            ModelError {
                category: "model_rate_limit",
                message: "the model API answered 429 Too Many Requests: slow down".into(),
                retry: Retry::After(Some(Duration::from_secs(7))),
            }
        );
        assert_eq!(
            judge(429, &[("retry-after-ms", "250")], "").retry,
            Retry::After(Some(Duration::from_millis(250)))
        );
    }

    #[test]
    fn what_another_attempt_cannot_mend_is_not_retried() {
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
            let error = judge(status, &[], body);
            assert_eq!(
                (error.category, error.retry),
                (category, Retry::Never),
                "{status} {body}"
            );
        }
    }

    #[test]
    fn the_provider_has_the_last_word_on_retries() {
        assert_eq!(judge(500, &[("x-should-retry", "false")], "").retry, Retry::Never);
        assert_eq!(judge(400, &[("x-should-retry", "true")], "").retry, Retry::After(None));
    }

    #[test]
    fn an_error_inside_a_stream_is_retried_when_it_may_pass() {
        for (error, category, retry) in [
            (
                serde_json::json!({"code": "rate_limit_exceeded"}),
                "model_stream_error",
                Retry::After(None),
            ),
            (
                serde_json::json!({"code": 429, "message": "slow"}),
                "model_stream_error",
                Retry::After(None),
            ),
            (
                serde_json::json!({"code": null, "type": "overloaded_error"}),
                "model_stream_error",
                Retry::After(None),
            ),
            (serde_json::json!("went away"), "model_stream_error", Retry::After(None)),
            (
                serde_json::json!({"code": "context_length_exceeded"}),
                "context_length_exceeded",
                Retry::Never,
            ),
            (
                serde_json::json!({"type": "BadRequestError", "message": "This model's maximum context length is 8192 tokens."}),
                "context_length_exceeded",
                Retry::Never,
            ),
            (
                serde_json::json!({"code": "insufficient_quota"}),
                "insufficient_quota",
                Retry::Never,
            ),
            (
                serde_json::json!({"code": "content_filter"}),
                "content_policy",
                Retry::Never,
            ),
            (
                serde_json::json!({"type": "invalid_request_error"}),
                "model_request_refused",
                Retry::Never,
            ),
            (serde_json::json!({"code": 401}), "model_authentication", Retry::Never),
        ] {
            let judged = ModelError::from_frame(&error);
            assert_eq!((judged.category, judged.retry), (category, retry), "{error}");
        }
    }
}

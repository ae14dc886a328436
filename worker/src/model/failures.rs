//! Classifies the failures of model calls: the category, and whether another attempt may succeed.

mod echoed_content;
mod provider_error;
mod retry_delay;

use std::{fmt::Display, time::Duration};

use reqwest::{StatusCode, header::HeaderMap};
use serde_json::Value;
use steadfast_bounds::json;
use steadfast_contract::failures::CONTEXT_LENGTH_EXCEEDED;

use self::{
    echoed_content::without_echoed_content,
    provider_error::ProviderError,
    retry_delay::{delay_in_body, delay_in_headers},
};
use crate::{
    egress::connection_fault::ConnectionFault,
    failure::{CallFailure, RetryClass},
};

/// Type of a failure that the Agent's `model` must be mended for.
pub(super) const CONFIGURATION: &str = "model_configuration";
/// Type of a failure of the connection, which may be temporary.
const CONNECTION: &str = "model_connection";
/// The name of the server does not exist.
const UNKNOWN_HOST: &str = "model_unknown_host";
/// There is no TLS with the server: its certificate is not trusted, or it speaks no TLS.
const TLS: &str = "model_tls";
/// The provider takes no more requests for now.
const RATE_LIMIT: &str = "model_rate_limit";
/// The provider is overloaded or away.
const UNAVAILABLE: &str = "model_unavailable";
/// The response could not be read.
const UNREADABLE: &str = "model_stream_unreadable";

/// Whether a failure says that the provider is busy, away or not reachable, and nothing about the request: then the
/// same failure again is no sign that the next attempt fails too. A name that does not exist and a certificate that is
/// not trusted are no outage: a person has to mend them.
pub(crate) fn is_outage(failure: &CallFailure) -> bool {
    matches!(failure.category, CONNECTION | RATE_LIMIT | UNAVAILABLE)
}

/// Classifies an HTTP response that is no success, by its status, headers and body.
pub(crate) fn from_response(
    status: StatusCode,
    headers: &HeaderMap,
    body: &str,
    now: std::time::SystemTime,
) -> CallFailure {
    let body = &*without_echoed_content(body);
    let json: Option<Value> = json::read(body.as_bytes()).ok();
    let error = json.as_ref().and_then(ProviderError::of);
    let code = error.as_ref().and_then(|error| error.code.as_deref());
    let reason = error
        .as_ref()
        .and_then(|error| error.message.as_deref())
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
            delay: delay_in_headers(headers, now).or_else(|| delay_in_body(json.as_ref()?)),
        }
    } else {
        RetryClass::Permanent
    };
    CallFailure::new(category, message, retry).refused(status.as_u16(), body)
}

/// The error that JSON of the provider tells, in whatever form; none if it tells none.
pub(crate) fn told_error(json: &Value) -> Option<CallFailure> {
    ProviderError::of(json).map(|error| classify(&error, &json.to_string()))
}

/// Classifies an error inside a stream, after status 200: an object with a code or a type, or a string.
pub(crate) fn from_frame(error: &Value) -> CallFailure {
    classify(
        &ProviderError::inner(error),
        &serde_json::json!({ "error": error }).to_string(),
    )
}

fn classify(error: &ProviderError, body: &str) -> CallFailure {
    let status = error.code.as_deref().and_then(|code| code.parse().ok());
    let status = status.and_then(|status: u16| StatusCode::from_u16(status).ok());
    let status = status.unwrap_or(StatusCode::BAD_REQUEST);
    classify_words(error, status).refused(status.as_u16(), without_echoed_content(body))
}

fn classify_words(error: &ProviderError, status: StatusCode) -> CallFailure {
    let reason = without_echoed_content(error.message.as_deref().unwrap_or("no reason was given"));
    let reason = reason.as_ref();
    let message = format!("the model API reported an error in its stream: {reason}");
    let code = error.code.as_deref();
    if is_context_overflow(code, reason) {
        return CallFailure::permanent(CONTEXT_LENGTH_EXCEEDED, message);
    }
    let Some(code) = code else {
        return CallFailure::transient("model_stream_error", message);
    };
    let code = code.to_ascii_lowercase();
    if is_transient_code(&code) {
        return CallFailure::transient(transient_category(&code), message);
    }
    CallFailure::permanent(category(status, Some(&code)), message)
}

/// The stream ended without an end of the response. `words` is what it said last that was no chunk.
pub(crate) fn stream_ended(words: Option<&str>) -> CallFailure {
    let message = "the model's stream ended before the response was complete";
    with_words(CallFailure::transient("model_stream_ended", message), words)
}

/// The same failure with what the stream said last that was no chunk: some servers say an error in words, and then
/// nothing.
pub(crate) fn with_words(failure: CallFailure, words: Option<&str>) -> CallFailure {
    let Some(words) = words else { return failure };
    let message = format!("{}; it said: {words}", failure.message);
    CallFailure {
        refusal: failure.refusal,
        ..CallFailure::new(failure.category, message, failure.retry)
    }
}

/// The finish reason says that the model calls tools, and there is no call and nothing else.
pub(crate) fn finished_without_call(reason: &str) -> CallFailure {
    let message = format!("the model API ended its stream with finish_reason {reason:?} and without a tool call");
    CallFailure::transient("model_stream_error", message)
}

/// The finish reason says that the conversation is too long.
pub(crate) fn context_exceeded() -> CallFailure {
    CallFailure::permanent(
        CONTEXT_LENGTH_EXCEEDED,
        "the conversation is longer than the context window of the model",
    )
}

/// The finish reason says that the provider failed.
pub(crate) fn finished_with_error(reason: &str) -> CallFailure {
    let message = format!("the model API ended its stream with finish_reason {reason:?}");
    CallFailure::transient("model_stream_error", message)
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

/// A response without a stream and without JSON, for instance the page of a proxy.
pub(crate) fn not_a_stream(status: StatusCode, content_type: &str, excerpt: &str) -> CallFailure {
    let content_type = if content_type.is_empty() {
        "no content type"
    } else {
        content_type
    };
    let excerpt = match excerpt.trim() {
        "" => "an empty body",
        excerpt => excerpt,
    };
    CallFailure::transient(
        "model_no_stream",
        format!(
            "the model API answered {status} ({content_type}) without a stream of events; check model.baseUrl and \
             model.api: {excerpt}"
        ),
    )
}

/// The same request would have the same answer, and every attempt costs tokens.
pub(crate) fn too_deep() -> CallFailure {
    CallFailure::permanent(
        "model_output_too_deep",
        format!(
            "the response of the model API is nested deeper than {} levels",
            json::MAXIMUM_DEPTH
        ),
    )
}

/// A response that does not fit the memory of a worker.
pub(crate) fn too_long(limit_bytes: usize) -> CallFailure {
    CallFailure::permanent(
        "model_output_too_long",
        format!("the response of the model API has more than {limit_bytes} bytes"),
    )
}

/// No byte came for `model.timeouts.idle`.
pub(crate) fn idle_error(idle: Duration) -> CallFailure {
    CallFailure::transient(
        "model_idle",
        format!("the model API sent nothing for {} s", idle.as_secs()),
    )
}

/// A connection that broke in the middle of a response.
pub(crate) fn broken_connection(error: &dyn Display) -> CallFailure {
    CallFailure::transient(CONNECTION, format!("the connection to the model API failed: {error}"))
}

/// No connection to the model API.
pub(crate) fn no_connection(host: &str, fault: ConnectionFault, error: &dyn Display) -> CallFailure {
    let category = match fault {
        ConnectionFault::UnknownHost => UNKNOWN_HOST,
        ConnectionFault::Tls => TLS,
        ConnectionFault::Other => CONNECTION,
    };
    CallFailure::transient(category, format!("cannot reach the model API at {host}: {error}"))
}

/// The bytes of a response are not what its headers say.
pub(crate) fn stream_unreadable(error: &dyn Display) -> CallFailure {
    CallFailure::transient(
        UNREADABLE,
        format!("the response of the model API cannot be read: {error}"),
    )
}

/// A library of ours failed, not the provider.
pub(crate) fn client_fault(what: &str) -> CallFailure {
    CallFailure::transient(
        "model_client_fault",
        format!("the client of the model API failed: {what}; the worker's log has the details"),
    )
}

fn category(status: StatusCode, code: Option<&str>) -> &'static str {
    match (status.as_u16(), code) {
        (_, Some(CONTEXT_LENGTH_EXCEEDED)) => CONTEXT_LENGTH_EXCEEDED,
        (_, Some("insufficient_quota")) => "insufficient_quota",
        (_, Some("content_policy_violation" | "content_filter")) => "content_policy",
        (401 | 403, _) => "model_authentication",
        (404, _) => "model_not_found",
        (429, _) => RATE_LIMIT,
        // A fault of the server, which may well be the same for the same request.
        (500 | 501, _) => "model_server_error",
        (502.., _) => UNAVAILABLE,
        _ => "model_request_refused",
    }
}

/// OpenAI has a code for it; other providers only say it in the message.
fn is_context_overflow(code: Option<&str>, message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    code == Some(CONTEXT_LENGTH_EXCEEDED)
        || code == Some("exceed_context_size_error")
        || [
            "maximum context length",
            "context window",
            "prompt is too long",
            "exceeds the available context size",
        ]
        .iter()
        .any(|words| message.contains(words))
}

/// Whether the condition that an error code in a stream names may be over at the next attempt.
fn is_transient_code(code: &str) -> bool {
    matches!(
        code,
        "error"
            | "408"
            | "409"
            | "429"
            | "slow_down"
            | "too_many_requests"
            | "api_error"
            | "generation"
            | "incomplete_generation"
    ) || (code.len() == 3 && code.starts_with('5'))
        || [
            "server_error",
            "servererror",
            "rate_limit",
            "ratelimit",
            "overloaded",
            "timeout",
            "unavailable",
            "internal",
            "throttl",
        ]
        .iter()
        .any(|word| code.contains(word))
}

fn transient_category(code: &str) -> &'static str {
    let contains = |words: &[&str]| words.iter().any(|word| code.contains(word));
    if contains(&[
        "429",
        "slow_down",
        "too_many_requests",
        "rate_limit",
        "ratelimit",
        "throttl",
    ]) {
        RATE_LIMIT
    } else if contains(&["502", "503", "504", "529", "overloaded", "unavailable"]) {
        UNAVAILABLE
    } else {
        "model_stream_error"
    }
}

fn is_retryable(status: StatusCode, headers: &HeaderMap, code: Option<&str>) -> bool {
    match headers.get("x-should-retry").and_then(|value| value.to_str().ok()) {
        Some("true") => return true,
        Some("false") => return false,
        _ => {}
    }
    code != Some("insufficient_quota") && (matches!(status.as_u16(), 408 | 409 | 425 | 429) || status.is_server_error())
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

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
        from_response(
            StatusCode::from_u16(status).unwrap_or_default(),
            &headers,
            body,
            SystemTime::UNIX_EPOCH,
        )
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
                RATE_LIMIT,
                TRANSIENT,
            ),
            (
                serde_json::json!({"code": 429, "message": "slow"}),
                RATE_LIMIT,
                TRANSIENT,
            ),
            (
                serde_json::json!({"code": null, "type": "overloaded_error"}),
                UNAVAILABLE,
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

    #[test]
    fn only_a_provider_that_is_busy_or_away_is_an_outage() {
        let outage = |status| is_outage(&classify(status, &[], ""));
        assert!([408, 425].map(outage).iter().all(|is_outage| !is_outage));
        assert!([429, 502, 503, 504, 529].map(outage).iter().all(|is_outage| *is_outage));
        // A server that cannot render the template of a model says so with 500, each time.
        assert!(!outage(500));
        assert!(is_outage(&from_frame(
            &serde_json::json!({"code": 529, "message": "Overloaded"})
        )));
        assert!(!is_outage(&stream_ended(None)));
        let no_connection = |fault| no_connection("models.test", fault, &"no");
        assert!(is_outage(&no_connection(ConnectionFault::Other)));
        assert!(!is_outage(&no_connection(ConnectionFault::UnknownHost)));
        assert!(!is_outage(&no_connection(ConnectionFault::Tls)));
    }
}

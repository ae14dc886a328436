//! The end of a response: what a finish reason means, and what the call cost. Pure.

use std::borrow::Cow;

use serde_json::Value;
use steadfast_events::Usage;

use crate::{
    failure::CallFailure,
    model::failures::{content_filtered, context_exceeded, finished_with_error, truncated},
};

/// The reasons that Gemini's protocol numbers, from 0. Servers in front of it pass on the number.
const NUMBERED: [&str; 5] = ["", "stop", "max_tokens", "safety", "recitation"];

/// Why the response of a choice has ended; none while it has not.
pub(super) fn reason_of(choice: &Value) -> Option<Cow<'_, str>> {
    let reason = match &choice["finish_reason"] {
        Value::String(reason) => Cow::Borrowed(reason.trim()),
        Value::Number(number) => Cow::Owned(number.to_string()),
        _ => return None,
    };
    // `1`, `"1"` and `"1: "`.
    let number = reason.trim_end_matches([' ', ':']).parse::<usize>();
    let reason = number.map_or(reason, |number| match NUMBERED.get(number) {
        Some(name) => Cow::Borrowed(*name),
        None => Cow::Owned(number.to_string()),
    });
    // Servers in front of others write the absent value as a text.
    let is_absent = ["", "null", "none", "undefined"]
        .iter()
        .any(|absent| reason.eq_ignore_ascii_case(absent));
    (!is_absent).then_some(reason)
}

/// Whether a reason says that the model calls tools.
pub(super) fn is_of_calls(reason: &str) -> bool {
    matches!(reason, "tool_calls" | "tool_call" | "function_call" | "tool_use")
}

/// The failure that a finish reason means; none for a success. Gateways pass on the words of the API behind them.
pub(super) fn unsuccessful(reason: &str) -> Option<CallFailure> {
    let words = reason.to_ascii_lowercase();
    match words.strip_prefix("finish_reason_").unwrap_or(&words) {
        "length" | "max_tokens" | "max_output_tokens" | "max_length" | "model_length" | "error_limit" => {
            Some(truncated())
        }
        "content_filter"
        | "content_filtered"
        | "guardrail_intervened"
        | "safety"
        | "recitation"
        | "sensitive"
        | "prohibited_content"
        | "blocklist"
        | "spii"
        | "image_safety"
        | "error_toxic" => Some(content_filtered()),
        "model_context_window_exceeded" | "context_window_exceeded" | "context_length_exceeded" => {
            Some(context_exceeded())
        }
        "error"
        | "abort"
        | "aborted"
        | "failed"
        | "timeout"
        | "cancelled"
        | "canceled"
        | "server_error"
        | "network_error"
        | "insufficient_system_resource"
        | "malformed_function_call"
        | "malformed_tool_use"
        | "malformed_model_output"
        | "unexpected_tool_call" => Some(finished_with_error(reason)),
        _ => None,
    }
}

pub(super) fn as_one_call(usage: Option<Usage>) -> Usage {
    Usage {
        model_calls: 1,
        ..usage.unwrap_or_default()
    }
}

/// Reads the tokens. Gateways pass on the names of the API behind them.
pub(super) fn read_usage(usage: &Value) -> Usage {
    let first = |places: &[&Value]| places.iter().find_map(|value| tokens(value)).unwrap_or(0);
    Usage {
        input_tokens: first(&[&usage["prompt_tokens"], &usage["input_tokens"]]),
        cached_input_tokens: first(&[
            &usage["prompt_tokens_details"]["cached_tokens"],
            &usage["prompt_cache_hit_tokens"],
            &usage["cache_read_input_tokens"],
        ]),
        output_tokens: first(&[&usage["completion_tokens"], &usage["output_tokens"]]),
        reasoning_tokens: first(&[
            &usage["completion_tokens_details"]["reasoning_tokens"],
            &usage["reasoning_tokens"],
        ]),
        model_calls: 0,
    }
}

/// A number of tokens. Some servers write `12.0`, or a text.
fn tokens(value: &Value) -> Option<u64> {
    let text = match value {
        Value::Number(number) => Cow::Owned(number.to_string()),
        Value::String(text) => Cow::Borrowed(text.trim()),
        _ => return None,
    };
    text.split('.').next()?.parse().ok()
}

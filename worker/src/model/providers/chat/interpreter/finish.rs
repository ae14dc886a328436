//! The end of a response: what a finish reason means, and what the call cost. Pure.

use serde_json::Value;
use steadfast_events::Usage;

use crate::{
    failure::CallFailure,
    model::failures::{content_filtered, finished_with_error, truncated},
};

/// The failure that a finish reason means; none for a success. Gateways pass on the words of the API behind them.
pub(super) fn unsuccessful(reason: &str) -> Option<CallFailure> {
    match reason.to_ascii_lowercase().as_str() {
        "length" | "max_tokens" | "max_output_tokens" | "max_length" | "model_length" => Some(truncated()),
        "content_filter"
        | "content_filtered"
        | "guardrail_intervened"
        | "safety"
        | "recitation"
        | "sensitive"
        | "prohibited_content"
        | "blocklist"
        | "spii"
        | "image_safety" => Some(content_filtered()),
        "error"
        | "abort"
        | "network_error"
        | "insufficient_system_resource"
        | "malformed_function_call"
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
    let first = |places: &[&Value]| places.iter().find_map(|value| value.as_u64()).unwrap_or(0);
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

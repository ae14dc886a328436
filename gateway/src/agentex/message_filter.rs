//! The `filters` of a list of messages: what Agentex's clients ask for. Pure.

use serde::Deserialize;
use serde_json::{Map, Value};
use steadfast_bounds::json;

/// Longest text of filters.
const MAX_BYTES: usize = 16 * 1024;
const MAX_FILTERS: usize = 50;

/// Which messages of a list are wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct MessageFilters {
    include: Vec<Filter>,
    exclude: Vec<Filter>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Filter {
    /// The members that the content must have.
    content: Option<Map<String, Value>>,
    streaming_status: Option<String>,
    #[serde(default)]
    exclude: bool,
}

/// Why filters are refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FilterError {
    #[error("filters are at most {MAX_BYTES} bytes long, and {MAX_FILTERS} at most")]
    TooMany,
    #[error("filters must be a JSON list of objects with content, streaming_status and exclude: {0}")]
    Malformed(String),
}

impl MessageFilters {
    pub(crate) fn read(text: &str) -> Result<Self, FilterError> {
        if text.len() > MAX_BYTES {
            return Err(FilterError::TooMany);
        }
        let filters: Vec<Filter> =
            json::read(text.as_bytes()).map_err(|error| FilterError::Malformed(error.to_string()))?;
        if filters.len() > MAX_FILTERS {
            return Err(FilterError::TooMany);
        }
        let (exclude, include) = filters.into_iter().partition(|filter| filter.exclude);
        Ok(Self { include, exclude })
    }

    /// Whether a message as clients see it is wanted: one of the filters matches, if there are any, and none of those
    /// that exclude.
    pub(crate) fn matches(&self, message: &Value) -> bool {
        let is_included = self.include.is_empty() || self.include.iter().any(|filter| filter.matches(message));
        is_included && !self.exclude.iter().any(|filter| filter.matches(message))
    }
}

impl Filter {
    fn matches(&self, message: &Value) -> bool {
        let has_status = self
            .streaming_status
            .as_ref()
            .is_none_or(|status| message["streaming_status"] == **status);
        let content = &message["content"];
        let has_content = self
            .content
            .as_ref()
            .is_none_or(|members| members.iter().all(|(name, value)| contains(&content[name], value)));
        has_status && has_content
    }
}

/// Whether a value has all that a pattern has.
pub(crate) fn contains(value: &Value, pattern: &Value) -> bool {
    match (value, pattern) {
        (Value::Object(value), Value::Object(pattern)) => pattern
            .iter()
            .all(|(name, pattern)| value.get(name).is_some_and(|value| contains(value, pattern))),
        _ => value == pattern,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn matches(filters: &Value, message: &Value) -> bool {
        MessageFilters::read(&filters.to_string()).unwrap().matches(message)
    }

    #[test]
    fn a_message_matches_any_filter_and_none_that_excludes() {
        let message = json!({
            "streaming_status": "DONE",
            "content": {"type": "tool_request", "author": "agent", "arguments": {"city": "Oslo", "days": 2}},
        });
        for (filters, wanted) in [
            (json!([]), true),
            (json!([{"content": {"type": "tool_request"}}]), true),
            (json!([{"content": {"type": "text"}}]), false),
            (
                json!([{"content": {"type": "text"}}, {"content": {"author": "agent"}}]),
                true,
            ),
            (json!([{"content": {"arguments": {"city": "Oslo"}}}]), true),
            (json!([{"content": {"arguments": {"city": "Bergen"}}}]), false),
            (json!([{"streaming_status": "IN_PROGRESS"}]), false),
            (json!([{"content": {"type": "tool_request"}, "exclude": true}]), false),
            (json!([{"content": {"type": "text"}, "exclude": true}]), true),
        ] {
            assert_eq!(matches(&filters, &message), wanted, "{filters}");
        }
    }

    #[test]
    fn what_is_no_list_of_filters_is_refused() {
        for text in ["", "{}", "[1]", r#"[{"content": 1}]"#] {
            assert!(MessageFilters::read(text).is_err(), "{text}");
        }
        assert!(MessageFilters::read(&json!(vec![json!({}); MAX_FILTERS + 1]).to_string()).is_err());
    }
}

//! The categories of failed turns as the codes of OpenAI's APIs. Pure.

/// What kind of failure a category is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorCode {
    Authentication,
    UsageLimit,
    ModelNotFound,
    Invalid,
    ContentPolicy,
    ContextLength,
    OutputTruncated,
    RateLimit,
    Overloaded,
    Connection,
    Timeout,
    Internal,
}

impl ErrorCode {
    pub(crate) fn of(category: &str) -> Self {
        match category {
            "model_authentication" | "model_credentials" => Self::Authentication,
            "insufficient_quota" => Self::UsageLimit,
            "model_not_found" => Self::ModelNotFound,
            "model_request_refused"
            | "model_configuration"
            | "instructions_template"
            | "output_invalid"
            | "attachment_unsupported"
            | "attachment_gone" => Self::Invalid,
            "content_policy" => Self::ContentPolicy,
            "context_length_exceeded" => Self::ContextLength,
            "model_output_truncated" => Self::OutputTruncated,
            "model_rate_limit" => Self::RateLimit,
            "model_unavailable" => Self::Overloaded,
            "model_connection" => Self::Connection,
            "timeout" | "model_idle" | "approval_expired" => Self::Timeout,
            category if category.starts_with("max_") => Self::UsageLimit,
            category if category.starts_with("guardrail_") => Self::Invalid,
            category if category.starts_with("model_stream_") => Self::Connection,
            category if category.ends_with("_timeout") => Self::Timeout,
            _ => Self::Internal,
        }
    }

    /// The `code` of the error of a Response.
    /// Source: <https://platform.openai.com/docs/api-reference/responses/object>
    pub(crate) fn in_responses(self) -> &'static str {
        match self {
            Self::RateLimit | Self::UsageLimit => "rate_limit_exceeded",
            Self::Invalid | Self::ContentPolicy | Self::ContextLength => "invalid_prompt",
            Self::Authentication
            | Self::ModelNotFound
            | Self::OutputTruncated
            | Self::Overloaded
            | Self::Connection
            | Self::Timeout
            | Self::Internal => "server_error",
        }
    }

    /// The `code` of the error of a turn in the Agents API.
    pub(crate) fn in_turns(self) -> &'static str {
        match self {
            Self::Authentication => "authentication_error",
            Self::UsageLimit => "usage_limit_exceeded",
            Self::ModelNotFound => "resource_not_found",
            Self::Invalid | Self::ContentPolicy => "invalid_request",
            Self::ContextLength => "context_length_exceeded",
            Self::OutputTruncated => "max_output_tokens",
            Self::RateLimit => "rate_limit_exceeded",
            Self::Overloaded => "server_overloaded",
            Self::Connection => "connection_failed",
            Self::Timeout => "request_timeout",
            Self::Internal => "internal_error",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_category_that_is_not_listed_is_an_internal_error() {
        assert_eq!(ErrorCode::of("model_rate_limit").in_responses(), "rate_limit_exceeded");
        assert_eq!(ErrorCode::of("max_model_calls"), ErrorCode::UsageLimit);
        assert_eq!(ErrorCode::of("guardrail_output"), ErrorCode::Invalid);
        assert_eq!(ErrorCode::of("turn_timeout"), ErrorCode::Timeout);
        assert_eq!(ErrorCode::of("of a later version").in_responses(), "server_error");
    }
}

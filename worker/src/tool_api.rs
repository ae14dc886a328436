//! The types that the tools and hooks of a Rust developer use.

use serde::Serialize;

use crate::{failure::CallFailure, task_context};

/// The call that a tool or hook runs for.
#[derive(Clone, Debug, Default)]
pub struct ToolContext {
    /// ID of the conversation.
    pub task_id: String,
    /// The same for every attempt of this call and different for every other call: pass it to services that must not
    /// act twice.
    pub idempotency_key: String,
    /// 1 for the first attempt.
    pub attempt: u32,
}

impl ToolContext {
    /// The context of the running activity.
    pub(crate) fn current(attempt: u32) -> Self {
        let context = task_context::current();
        Self {
            task_id: context.task_id,
            idempotency_key: context.idempotency_key.unwrap_or_default(),
            attempt,
        }
    }
}

/// Why a tool has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ToolError {
    /// Temporal retries the call under the `retry` of the AgentTool.
    #[error("{0}")]
    Transient(String),
    /// Another attempt cannot succeed; the model gets the reason.
    #[error("{0}")]
    Permanent(String),
}

impl ToolError {
    pub fn transient(reason: impl Into<String>) -> Self {
        Self::Transient(reason.into())
    }

    pub fn permanent(reason: impl Into<String>) -> Self {
        Self::Permanent(reason.into())
    }
}

impl From<ToolError> for CallFailure {
    fn from(error: ToolError) -> Self {
        match error {
            ToolError::Transient(reason) => Self::transient("tool_error", reason),
            ToolError::Permanent(reason) => Self::permanent("tool_error", reason),
        }
    }
}

/// The answer of a hook.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HookAnswer {
    /// Texts to show to people.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<String>,
    /// Hides the message that the event is about.
    pub suppress: bool,
}

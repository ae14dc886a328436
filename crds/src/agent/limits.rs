//! Bounds of what turns and tasks may use.

use kube_derive::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::duration::Duration;

/// Bounds of what turns and tasks may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentLimits {
    /// Model calls before a turn fails, those after a handoff included.
    #[serde(default = "default_max_model_calls_per_turn")]
    #[schemars(range(min = 1, max = 10_000), extend("format" = "int32"))]
    pub max_model_calls_per_turn: u32,
    /// Longest time a turn may take, waits for people included; unbounded when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn_timeout: Option<Duration>,
    /// Longest time from the creation of a task to its end; unbounded when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_timeout: Option<Duration>,
    /// Messages that may wait while a turn runs; one more is rejected, and its sender is told.
    #[serde(default = "default_max_queued_messages")]
    #[schemars(range(min = 1, max = 1_000), extend("format" = "int32"))]
    pub max_queued_messages: u32,
    /// Tokens, in and out, that all model calls of a task may use; a turn fails before the call that comes after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1), extend("format" = "int64"))]
    pub max_tokens_per_task: Option<u64>,
    /// Model calls that one worker makes at a time for this agent; as many as come when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000), extend("format" = "int32"))]
    pub max_concurrent_model_calls: Option<u32>,
}

impl Default for AgentLimits {
    fn default() -> Self {
        Self {
            max_model_calls_per_turn: default_max_model_calls_per_turn(),
            turn_timeout: None,
            task_timeout: None,
            max_queued_messages: default_max_queued_messages(),
            max_tokens_per_task: None,
            max_concurrent_model_calls: None,
        }
    }
}

const fn default_max_model_calls_per_turn() -> u32 {
    50
}

const fn default_max_queued_messages() -> u32 {
    100
}

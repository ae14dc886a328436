//! The limits of turns and tasks.

use kube_derive::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::duration::Duration;

/// The limits of turns and tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentLimits {
    /// The most model calls of one turn, with those after a handoff; the turn fails at the limit.
    #[serde(default = "default_max_model_calls_per_turn")]
    #[schemars(range(min = 1, max = 10_000), extend("format" = "int32"))]
    pub max_model_calls_per_turn: u32,
    /// The longest time that a turn may take, with waits for people. No limit when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn_timeout: Option<Duration>,
    /// The longest time from the creation of a task to its end. No limit when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_timeout: Option<Duration>,
    /// The most messages that wait while a turn runs. Further messages are rejected with an error.
    #[serde(default = "default_max_queued_messages")]
    #[schemars(range(min = 1, max = 1_000), extend("format" = "int32"))]
    pub max_queued_messages: u32,
    /// The most input and output tokens of all model calls of a task; at the limit, a turn fails before its next model
    /// call. No limit when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1), extend("format" = "int64"))]
    pub max_tokens_per_task: Option<u64>,
    /// The most model calls that one worker runs at the same time for this agent. No limit when absent.
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

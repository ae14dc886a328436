//! Tools of kind `activity`: a Temporal activity in any language.

use kube_derive::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::duration::Duration;

/// A Temporal activity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActivityTool {
    /// Activity type that the worker registers.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// Task queue of the worker; not that of an Agent in another namespace. When absent, the agent's own task queue, for an activity in the agent's worker image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub task_queue: Option<String>,
    /// How the activity receives the model's arguments.
    #[serde(default)]
    pub argument_style: ArgumentStyle,
    /// How long after its last heartbeat an attempt counts as lost. Absent for an activity without heartbeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_timeout: Option<Duration>,
}

/// How an activity receives arguments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ArgumentStyle {
    /// One argument: the object of all parameters.
    #[default]
    Object,
    /// One argument per property of `parameters`, in the order of its `required` and then alphabetically.
    Positional,
}

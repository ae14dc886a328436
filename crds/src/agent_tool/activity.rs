//! Tools of kind `activity`: a Temporal activity by name, in any language.

use kube_derive::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::duration::Duration;

/// A Temporal activity by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActivityTool {
    /// Activity type, as its worker registers it.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// Task queue its worker polls; the agent's own when absent, for tools built into the agent's worker image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub task_queue: Option<String>,
    /// How the model's arguments are handed over.
    #[serde(default)]
    pub argument_style: ArgumentStyle,
    /// How long after its last heartbeat an attempt counts as lost; absent for activities that send none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_timeout: Option<Duration>,
}

/// How arguments reach an activity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ArgumentStyle {
    /// One argument: the object of all parameters.
    #[default]
    Object,
    /// One argument per property of `parameters`, in the order of its `required` and then alphabetically.
    Positional,
}

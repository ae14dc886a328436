//! Tools of kind `workflow`: a child workflow by type, in any language.

use kube_derive::KubeSchema;
use serde::{Deserialize, Serialize};

/// A Temporal workflow, run as a child of the task. Its one argument is the object of all parameters;
/// its result is the tool's. The tool's `timeout` bounds the whole of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowTool {
    /// Workflow type, as its worker registers it.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 256))]
    pub workflow_type: String,
    /// Task queue its worker polls.
    #[schemars(length(min = 1, max = 512))]
    pub task_queue: String,
}

//! Tools of kind `workflow`: a child workflow in any language.

use kube_derive::KubeSchema;
use serde::{Deserialize, Serialize};

/// A Temporal workflow that runs as a child of the task. Its one argument is the object of all parameters; its result is
/// the result of the tool. The tool's `timeout` limits the whole workflow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowTool {
    /// Workflow type that the worker registers.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 256))]
    pub workflow_type: String,
    /// Task queue of the worker; not that of an Agent in another namespace.
    #[schemars(length(min = 1, max = 512))]
    pub task_queue: String,
}

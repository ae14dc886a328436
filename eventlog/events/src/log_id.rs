//! Which log a task has.

use serde::{Deserialize, Serialize};

/// Names the log of one task. The id of a task can be used again, after the task was deleted or Temporal no longer
/// keeps it; the first run of its workflow tells the two tasks apart, and continue-as-new does not change it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LogId {
    /// Id of the task.
    pub task_id: String,
    /// The first run of the task's workflow.
    pub first_run_id: String,
}

impl LogId {
    /// The log of a task whose workflow began with this run.
    pub fn new(task_id: impl Into<String>, first_run_id: impl Into<String>) -> Self {
        Self {
            task_id: task_id.into(),
            first_run_id: first_run_id.into(),
        }
    }
}

//! The fields of a WorkerPool.

use serde_json::json;

use super::{Edit, Effect::Pods, workers};

const KIND: &str = "WorkerPool";

pub(super) fn edits() -> Vec<Edit> {
    // One that no Agent uses: nobody has a variable less.
    let renamed = Edit {
        changes: vec![("spec.credentials[1].envVarName", json!("OTHER_KEY"))],
        ..Edit::new(KIND, "spec.credentials[].envVarName", json!(null), Pods)
    };
    workers(KIND).into_iter().chain([renamed]).collect()
}

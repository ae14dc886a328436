//! The fields of a WorkerPool.

use serde_json::json;

use super::{
    Edit,
    Effect::{Pods, Replicas, Revision},
    autoscaling, same,
};

pub(super) fn edits() -> Vec<Edit> {
    let pods = same(
        "WorkerPool",
        Pods,
        [
            ("spec.worker.image", json!("worker:2")),
            (
                "spec.worker.podTemplate",
                json!({"metadata": {"labels": {"team": "b"}}}),
            ),
            ("spec.worker.drainTimeout", json!("3m")),
            ("spec.worker.resources.limits{}", json!("256Mi")),
            ("spec.worker.resources.requests{}", json!("100m")),
            ("spec.credentials[].secretName", json!("spare")),
            ("spec.credentials[].secretKey", json!("other")),
        ],
    );
    // One that no Agent uses: nobody has a variable less.
    let renamed = Edit {
        changes: vec![("spec.credentials[1].envVarName", json!("OTHER_KEY"))],
        ..Edit::new("WorkerPool", "spec.credentials[].envVarName", json!(null), Pods)
    };
    let others = [
        renamed,
        Edit::new(
            "WorkerPool",
            "spec.credentials[].hosts[]",
            json!("*.openai.com"),
            Revision,
        ),
        Edit::new("WorkerPool", "spec.worker.replicas", json!(3), Replicas),
    ];
    pods.into_iter()
        .chain(others)
        .chain(autoscaling("WorkerPool"))
        .collect()
}

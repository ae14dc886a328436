//! The resource WorkerPool: worker pods that serve many Agents of a namespace. The
//! credentials belong to the pool, because every Agent on it runs in the same
//! processes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube_derive::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::{
    agent::{Credential, WorkersStatus},
    names,
    worker::WorkerSettings,
};

/// Workers that any number of Agents in the namespace share.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "steadfast.dev",
    version = "v1alpha1",
    kind = "WorkerPool",
    namespaced,
    status = "WorkerPoolStatus",
    derive = "PartialEq",
    shortname = "wpool",
    category = "steadfast",
    doc = "Worker pods that many Agents of a namespace share, and the credentials of these Agents.",
    cel,
    validation = Rule::new(names::pool_name_rule()).message(names::pool_name_message().as_str()),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Agents", type_ = "integer", json_path = ".status.agents"),
    printcolumn(name = "Workers", type_ = "string", json_path = ".status.workers.ready"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#, priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct WorkerPoolSpec {
    /// The pods, with the fields that an Agent has for pods of its own. A change of them rolls the pods; no change of
    /// an Agent does.
    #[serde(default)]
    pub worker: WorkerSettings,
    /// Secret values that the pods receive as environment variables. Every Agent on the pool may use each of them: the
    /// pool is the trust boundary.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["envVarName".to_owned()]))]
    pub credentials: Vec<Credential>,
}

/// The state of a WorkerPool, written by the operator. At most 4 KiB.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkerPoolStatus {
    /// The generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Temporal task queue that the pods poll, one for all Agents on the pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_queue: Option<String>,
    /// Number of Agents that name the pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agents: Option<i32>,
    /// The worker pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<WorkersStatus>,
    /// Keyed hash of the secret values in the newest pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_hash: Option<String>,
    /// The conditions, with reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
}

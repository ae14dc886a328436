//! The worker pods of an Agent. A change of these settings or of the credentials
//! rolls the pods; no other change of an Agent does.

use std::collections::BTreeMap;

use kube_derive::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::autoscaling::AutoscalingSettings;
use crate::{duration::Duration, quantity::Quantity, schema};

mod autoscaling;

/// The most pods of one Deployment.
pub(crate) const MAXIMUM_REPLICAS: i32 = 1000;

/// The Deployment that runs an Agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
// Earlier definitions filled in 1: it is stored in Agents that never asked for it.
#[x_kube(validation = Rule::new("!has(self.autoscaling) || !has(self.replicas) || self.replicas == 1")
    .message("replicas and autoscaling exclude each other: with autoscaling the operator sets the number of pods"))]
#[serde(rename_all = "camelCase")]
pub struct WorkerSettings {
    /// Container image; the operator's default image when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub image: Option<String>,
    /// Number of pods. Any pod can continue any conversation, because Temporal stores them. When absent, there is one pod
    /// at first, and then as many as `autoscaling` or an autoscaler of the cluster (HPA, KEDA, `kubectl scale`) sets on
    /// the Deployment: the operator leaves that number alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = MAXIMUM_REPLICAS))]
    pub replicas: Option<i32>,
    /// Lets the operator set the number of pods by what waits at Temporal, down to zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<AutoscalingSettings>,
    /// Requests and limits of the worker container. When absent: requests of 10m CPU and 32Mi memory, no limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<WorkerResources>,
    /// A PodTemplateSpec that is merged over the operator's. Lists are merged by key; the name of the worker's container
    /// is `worker`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "schema::any_object")]
    pub pod_template: Map<String, Value>,
    /// How long a pod that is being replaced may finish its activities before another pod continues them.
    #[serde(default = "default_drain_timeout")]
    pub drain_timeout: Duration,
    /// What another image does to the tasks that run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
}

/// What another image does to the tasks that run; the values are the versioning behaviors of Temporal. `AutoUpgrade`, also
/// when absent: the new pods go on with them. `Pinned`: each task stays on the image that it runs on until it continues as
/// new; the operator keeps pods of the old image for as long, asks the tasks to move, and makes the new image current once
/// its pods are available.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Rollout {
    /// The new pods go on with them.
    #[default]
    AutoUpgrade,
    /// They move to the new image one after the other, each when it continues as new.
    Pinned,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        Self {
            image: None,
            replicas: None,
            autoscaling: None,
            resources: None,
            pod_template: Map::new(),
            drain_timeout: default_drain_timeout(),
            rollout: None,
        }
    }
}

/// Compute resources of the worker container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkerResources {
    /// Resources that the scheduler reserves, for example `cpu: 50m`, `memory: 64Mi`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::quantities")]
    pub requests: BTreeMap<String, Quantity>,
    /// The most resources that the container may use.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::quantities")]
    pub limits: BTreeMap<String, Quantity>,
}

const fn default_drain_timeout() -> Duration {
    Duration::from_seconds(120)
}

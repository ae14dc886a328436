//! How the pods that run an Agent look. Changing anything here rolls the pods;
//! nothing else in an Agent does, but its credentials.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube_derive::KubeSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{duration::Duration, schema};

/// The Deployment that runs an Agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkerSettings {
    /// Container image; the operator's setting when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub image: Option<String>,
    /// Number of pods. Conversations live in Temporal: any pod can go on with any of them.
    #[serde(default = "default_replicas")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: i32,
    /// Requests and limits of the worker container; small requests and no limits when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<WorkerResources>,
    /// A PodTemplateSpec merged over the one the operator makes, lists by their key (containers by name; the worker's is `worker`).
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "schema::any_object")]
    pub pod_template: Map<String, Value>,
    /// How long a pod that is being replaced may finish what it has begun before it hands over.
    #[serde(default = "default_drain_timeout")]
    pub drain_timeout: Duration,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        Self {
            image: None,
            replicas: default_replicas(),
            resources: None,
            pod_template: Map::new(),
            drain_timeout: default_drain_timeout(),
        }
    }
}

/// Compute resources of the worker container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkerResources {
    /// What the scheduler sets aside, for example `cpu: 50m`, `memory: 64Mi`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::quantities")]
    pub requests: BTreeMap<String, IntOrString>,
    /// What the container may not exceed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::quantities")]
    pub limits: BTreeMap<String, IntOrString>,
}

const fn default_replicas() -> i32 {
    1
}

const fn default_drain_timeout() -> Duration {
    Duration::from_seconds(120)
}

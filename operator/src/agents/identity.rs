//! The identity of an Agent and everything that is derived from it alone: the
//! names of its objects, its task queue, who owns what. All stages use it.

use k8s_openapi::{api::core::v1::ObjectReference, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::{
    Resource, ResourceExt as _,
    core::{DeserializeGuard, ObjectMeta},
};
use steadfast_crds::{Agent, names::agent_task_queue};

use crate::kube::{namespaced_name::NamespacedName, status_patch::Target};

/// An Agent from the watch, or the reason why it cannot be decoded.
pub type GuardedAgent = DeserializeGuard<Agent>;

/// Name of the worker's container in its pod.
pub(crate) const WORKER_CONTAINER: &str = "worker";
/// Port of a worker's probes and metrics.
pub(crate) const ADMIN_PORT: i32 = 8081;

/// The metadata of an Agent.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentIdentity {
    /// Namespace and name.
    pub key: NamespacedName,
    /// Uid; absent for an Agent that no API server has stored.
    pub uid: Option<String>,
    /// Generation of the spec.
    pub generation: Option<i64>,
    /// The reference by which the Agent owns its objects; absent without a uid.
    pub owner_reference: Option<OwnerReference>,
    /// The reference to the Agent in Events.
    pub object_reference: ObjectReference,
}

impl AgentIdentity {
    /// The identity of an Agent.
    #[must_use]
    pub fn of(agent: &Agent) -> Self {
        Self {
            key: NamespacedName::of(agent),
            uid: agent.uid(),
            generation: agent.metadata.generation,
            owner_reference: agent.controller_owner_ref(&()).map(|owner| OwnerReference {
                block_owner_deletion: Some(true),
                ..owner
            }),
            object_reference: agent.object_ref(&()),
        }
    }

    /// The Agent, for a write of its status.
    pub(crate) fn status_target(&self) -> Target {
        Target::of::<Agent>(&ObjectMeta {
            namespace: Some(self.key.namespace.clone()),
            name: Some(self.key.name.clone()),
            uid: self.uid.clone(),
            ..ObjectMeta::default()
        })
    }

    /// The Temporal task queue of the Agent's workers.
    #[must_use]
    pub fn task_queue(&self, install: &str) -> String {
        agent_task_queue(install, &self.key.namespace, &self.key.name)
    }

    /// Name of the Agent's Deployment, ServiceAccount and RoleBinding.
    #[must_use]
    pub fn worker_name(&self) -> String {
        worker_name(&self.key.name)
    }

    /// Whether `object` belongs to this Agent, and not to an earlier Agent of the same name.
    #[must_use]
    pub fn owns<K: Resource>(&self, object: &K) -> bool {
        object
            .owner_references()
            .iter()
            .any(|owner| Some(&owner.uid) == self.uid.as_ref())
    }
}

/// Name of the Deployment, ServiceAccount and RoleBinding of the Agent with this name.
#[must_use]
pub fn worker_name(agent: &str) -> String {
    format!("agent-{agent}")
}

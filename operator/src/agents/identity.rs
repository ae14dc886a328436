//! The identity of an Agent and of the owner of workers, and everything that is
//! derived from them alone: the names of objects, task queues, who owns what. All
//! stages use it.

use k8s_openapi::{api::core::v1::ObjectReference, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::{
    Resource, ResourceExt as _,
    core::{DeserializeGuard, ObjectMeta},
};
use steadfast_crds::{Agent, WorkerPool, names::home_task_queue};

pub use crate::kube::owner::OwnerKind;
use crate::kube::{namespaced_name::NamespacedName, owner::Owner, status_patch::Target};

/// An Agent from the watch, or the reason why it cannot be decoded.
pub type GuardedAgent = DeserializeGuard<Agent>;

/// A WorkerPool from the watch, or the reason why it cannot be decoded.
pub type GuardedPool = DeserializeGuard<WorkerPool>;

/// Name of the worker's container in its pod.
pub(crate) const WORKER_CONTAINER: &str = "worker";
/// Port of a worker's probes and metrics.
pub(crate) const ADMIN_PORT: i32 = 8081;
/// Name of that port.
pub(crate) const ADMIN_PORT_NAME: &str = "admin";
/// Name of the volume with the encryption keys.
pub(crate) const ENCRYPTION_VOLUME: &str = "encryption-keys";
/// Where the worker container has its encryption keys.
pub(crate) const ENCRYPTION_KEYS_PATH: &str = "/etc/steadfast/encryption-keys";

/// The metadata of an Agent.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentIdentity {
    /// Namespace and name.
    pub key: NamespacedName,
    /// The WorkerPool that runs the Agent; `None` if it has pods of its own.
    pub pool: Option<String>,
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
            pool: agent.spec.pool().map(str::to_owned),
            uid: agent.uid(),
            generation: agent.metadata.generation,
            owner_reference: owner_reference(agent),
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

    /// The Temporal task queue of the Agent alone, which workers of its own poll.
    #[must_use]
    pub fn task_queue(&self, install: &str) -> String {
        self.as_owner().task_queue(install)
    }

    /// The Temporal task queue of the workers that run the Agent: its own, or that of its WorkerPool.
    #[must_use]
    pub fn home_task_queue(&self, install: &str) -> String {
        home_task_queue(install, &self.key.namespace, &self.key.name, self.pool.as_deref())
    }

    /// The Agent as the owner of workers, and of its revisions.
    #[must_use]
    pub fn as_owner(&self) -> WorkerOwner {
        WorkerOwner {
            kind: OwnerKind::Agent,
            key: self.key.clone(),
            uid: self.uid.clone(),
            owner_reference: self.owner_reference.clone(),
        }
    }

    /// Whether `object` belongs to this Agent, and not to an earlier Agent of the same name.
    #[must_use]
    pub fn owns<K: Resource>(&self, object: &K) -> bool {
        is_owner(self.uid.as_ref(), object)
    }
}

/// Who owns workers: an Agent with pods of its own, or a WorkerPool.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerOwner {
    /// Agent or WorkerPool.
    pub kind: OwnerKind,
    /// Namespace and name.
    pub key: NamespacedName,
    /// Uid; absent for an object that no API server has stored.
    pub uid: Option<String>,
    /// The reference by which it owns its objects; absent without a uid.
    pub owner_reference: Option<OwnerReference>,
}

impl WorkerOwner {
    /// A WorkerPool as the owner of workers.
    #[must_use]
    pub fn of_pool(pool: &WorkerPool) -> Self {
        Self {
            kind: OwnerKind::Pool,
            key: NamespacedName::of(pool),
            uid: pool.uid(),
            owner_reference: owner_reference(pool),
        }
    }

    /// The Temporal task queue of the workers.
    #[must_use]
    pub fn task_queue(&self, install: &str) -> String {
        let (namespace, name) = (&self.key.namespace, &self.key.name);
        let pool = (self.kind == OwnerKind::Pool).then_some(name.as_str());
        home_task_queue(install, namespace, name, pool)
    }

    /// Name of the owner's Deployment, ServiceAccount and RoleBinding.
    #[must_use]
    pub fn worker_name(&self) -> String {
        self.kind.worker_name(&self.key.name)
    }

    /// The owner, as a key.
    pub(crate) fn as_key(&self) -> Owner {
        (self.kind, self.key.clone())
    }

    /// Whether `object` belongs to this owner, and not to an earlier one of the same name.
    #[must_use]
    pub fn owns<K: Resource>(&self, object: &K) -> bool {
        is_owner(self.uid.as_ref(), object)
    }
}

fn owner_reference<K: Resource<DynamicType = ()>>(owner: &K) -> Option<OwnerReference> {
    owner.controller_owner_ref(&()).map(|owner| OwnerReference {
        block_owner_deletion: Some(true),
        ..owner
    })
}

fn is_owner<K: Resource>(uid: Option<&String>, object: &K) -> bool {
    object.owner_references().iter().any(|owner| Some(&owner.uid) == uid)
}

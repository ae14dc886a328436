//! The label by which the objects of workers are found, and whose they are.

use kube::Resource;
use steadfast_crds::names::{AGENT_LABEL, WORKER_POOL_LABEL};

use crate::kube::namespaced_name::NamespacedName;

/// The kinds of objects that own workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OwnerKind {
    /// An Agent with pods of its own.
    Agent,
    /// A WorkerPool.
    Pool,
}

impl OwnerKind {
    /// The kind of the resource.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "Agent",
            Self::Pool => "WorkerPool",
        }
    }

    /// The label of every object of an owner, whose value is the owner's name.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Agent => AGENT_LABEL,
            Self::Pool => WORKER_POOL_LABEL,
        }
    }

    /// Name of the Deployment, ServiceAccount and RoleBinding of the owner with this name.
    #[must_use]
    pub fn worker_name(self, owner: &str) -> String {
        match self {
            Self::Agent => format!("agent-{owner}"),
            Self::Pool => format!("pool-{owner}"),
        }
    }
}

/// An Agent or a WorkerPool.
pub(crate) type Owner = (OwnerKind, NamespacedName);

/// The owner that the object's label names. A revision of an Agent on a pool has both labels, and is the Agent's.
pub(crate) fn owner_of<K: Resource>(object: &K) -> Option<Owner> {
    let of_kind = |kind: OwnerKind| NamespacedName::of_label(object, kind.label()).map(|owner| (kind, owner));
    of_kind(OwnerKind::Agent).or_else(|| of_kind(OwnerKind::Pool))
}

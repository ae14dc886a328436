//! From a validated Agent to the objects that must exist. Pure: every choice
//! is made here, so that applying has none left.

pub mod access;
pub mod deployment;
pub mod revision;

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::ServiceAccount,
        rbac::v1::{Role, RoleBinding},
    },
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{Resource, ResourceExt as _, api::ObjectMeta};
use steadfast_crds::{
    Agent, AgentRevision,
    names::{AGENT_LABEL, MANAGED_BY, MANAGED_BY_LABEL},
};

use crate::agent_controller::{dereference::History, validate::Validated};

/// What must exist for an Agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// What becomes of its revisions.
    pub revision: RevisionPlan,
    /// Its workers; none leaves what there is as it is.
    pub workers: Option<WorkerObjects>,
}

/// What becomes of an Agent's revisions.
#[derive(Clone, Debug, PartialEq)]
pub enum RevisionPlan {
    /// The newest one says what the Agent says, or the Agent cannot be resolved.
    Keep {
        /// Sequence number of the newest one, if there is any.
        current: Option<i64>,
    },
    /// A new one is needed.
    Create {
        /// The object.
        revision: Box<AgentRevision>,
        /// Digest of its content.
        digest: String,
    },
}

/// The objects that make workers.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerObjects {
    /// Who the workers are.
    pub service_account: ServiceAccount,
    /// What workers of the namespace may read; shared by all its Agents.
    pub role: Role,
    /// That these workers may.
    pub role_binding: RoleBinding,
    /// The workers.
    pub deployment: Deployment,
}

/// Decides what must exist.
#[must_use]
pub fn build(agent: &Agent, validated: &Validated, history: &History) -> Desired {
    Desired {
        revision: revision::plan(agent, validated.revision.as_ref(), history),
        workers: validated.workers.as_ref().map(|workers| WorkerObjects {
            service_account: access::service_account(agent),
            role: access::role(agent),
            role_binding: access::role_binding(agent),
            deployment: deployment::deployment(agent, workers),
        }),
    }
}

/// Name of an Agent's Deployment, ServiceAccount and RoleBinding.
#[must_use]
pub fn worker_name(agent: &str) -> String {
    format!("agent-{agent}")
}

/// Whether `object` belongs to this very Agent, not to an earlier one of its name.
#[must_use]
pub fn is_owned_by<K: Resource>(object: &K, agent: &Agent) -> bool {
    let uid = agent.uid();
    object
        .owner_references()
        .iter()
        .any(|owner| Some(&owner.uid) == uid.as_ref())
}

/// Labels of everything made for one Agent.
fn labels(agent: &Agent) -> BTreeMap<String, String> {
    let name = agent.name_any();
    [
        (AGENT_LABEL, name.as_str()),
        (MANAGED_BY_LABEL, MANAGED_BY),
        ("app.kubernetes.io/name", "steadfast-worker"),
        ("app.kubernetes.io/instance", name.as_str()),
        ("app.kubernetes.io/component", "worker"),
    ]
    .into_iter()
    .map(|(label, value)| (label.to_owned(), value.to_owned()))
    .collect()
}

/// Metadata of an object that lives and dies with its Agent.
fn owned_metadata(agent: &Agent, name: String) -> ObjectMeta {
    let owner = agent.controller_owner_ref(&());
    let owner = owner.map(|owner| OwnerReference {
        block_owner_deletion: Some(true),
        ..owner
    });
    ObjectMeta {
        name: Some(name),
        namespace: agent.namespace(),
        labels: Some(labels(agent)),
        owner_references: Some(owner.into_iter().collect()),
        ..ObjectMeta::default()
    }
}

//! Builds the manifests of a validated Agent. Pure: every choice is made here,
//! and the next stage has none left.

pub(crate) mod access;
mod deployment;
mod environment;
mod metadata;
mod resources;
pub(crate) mod revision;

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::ServiceAccount,
    rbac::v1::{Role, RoleBinding},
};
use steadfast_crds::AgentRevision;

use crate::{
    agents::{
        identity::WorkerOwner,
        revision_history::RevisionHistory,
        validate::{ValidatedAgent, Workers},
    },
    schedules::desired::{self, AgentSchedules},
    settings::Settings,
    versions::deployments::Version,
};

/// The desired objects of an Agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// Whether a new revision is needed.
    pub revision: RevisionPlan,
    /// Its schedules; `None` leaves the existing ones as they are.
    pub schedules: Option<AgentSchedules>,
    /// The manifests of its workers; `None` leaves the existing objects as they are.
    pub workers: Option<WorkerObjects>,
}

/// Whether a new revision is needed.
#[derive(Clone, Debug, PartialEq)]
pub enum RevisionPlan {
    /// The newest revision has the Agent's content, or the Agent has errors.
    Keep {
        /// Sequence number of the newest revision, if there is one.
        current: Option<i64>,
    },
    /// The Agent's content is new.
    Create {
        /// The revision.
        revision: Box<AgentRevision>,
        /// Digest of its content.
        digest: String,
    },
}

/// The manifests of the workers of an Agent or of a WorkerPool.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerObjects {
    /// The account of the workers.
    pub service_account: ServiceAccount,
    /// The permissions of all workers in the namespace; shared by all Agents and WorkerPools.
    pub role: Role,
    /// The binding of the account to the permissions.
    pub role_binding: RoleBinding,
    /// The workers.
    pub deployment: Deployment,
    /// The workers of old versions, which tasks still run on.
    pub old_versions: Vec<Deployment>,
}

/// Builds the manifests of an Agent.
#[must_use]
pub fn build(agent: &ValidatedAgent, history: &RevisionHistory, settings: &Settings) -> Desired {
    let identity = &agent.identity;
    Desired {
        revision: revision::plan(identity, agent.revision.as_ref(), history),
        schedules: agent.revision.is_some().then(|| {
            desired::of_agent(
                &identity.key,
                &agent.schedules,
                &settings.install_id,
                identity.pool.as_deref(),
            )
        }),
        workers: agent
            .workers
            .as_ref()
            .map(|workers| worker_objects(&identity.as_owner(), workers, settings)),
    }
}

/// Builds the manifests of workers.
#[must_use]
pub fn worker_objects(owner: &WorkerOwner, workers: &Workers, settings: &Settings) -> WorkerObjects {
    WorkerObjects {
        service_account: access::service_account(owner),
        role: access::role(&owner.key.namespace),
        role_binding: access::role_binding(owner),
        deployment: deployment::deployment(owner, workers, settings),
        old_versions: Vec::new(),
    }
}

/// Builds the Deployments of old versions of workers.
pub(crate) fn old_versions(
    owner: &WorkerOwner,
    workers: &Workers,
    versions: &[Version],
    settings: &Settings,
) -> Vec<Deployment> {
    let old_version = |version| deployment::old_version(owner, workers, version, settings);
    versions.iter().map(old_version).collect()
}

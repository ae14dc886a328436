//! What a worker may do in Kubernetes: read the revisions of its namespace,
//! and nothing else.

use std::collections::BTreeMap;

use k8s_openapi::api::{
    core::v1::ServiceAccount,
    rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject},
};
use kube::{Resource as _, ResourceExt as _, api::ObjectMeta};
use steadfast_crds::{
    Agent, AgentRevision, GROUP,
    names::{MANAGED_BY, MANAGED_BY_LABEL},
};

use crate::agent_controller::build::{owned_metadata, worker_name};

/// Name of the Role of each namespace with Agents.
pub const ROLE_NAME: &str = "steadfast-worker";

/// The account of one Agent's workers.
#[must_use]
pub fn service_account(agent: &Agent) -> ServiceAccount {
    ServiceAccount {
        metadata: owned_metadata(agent, worker_name(&agent.name_any())),
        ..ServiceAccount::default()
    }
}

/// What workers of the Agent's namespace may do. No Agent owns it: it goes with the last one.
#[must_use]
pub fn role(agent: &Agent) -> Role {
    Role {
        metadata: ObjectMeta {
            name: Some(ROLE_NAME.to_owned()),
            namespace: agent.namespace(),
            labels: Some(BTreeMap::from([(MANAGED_BY_LABEL.to_owned(), MANAGED_BY.to_owned())])),
            ..ObjectMeta::default()
        },
        rules: Some(vec![PolicyRule {
            api_groups: Some(vec![GROUP.to_owned()]),
            resources: Some(vec![AgentRevision::plural(&()).into_owned()]),
            verbs: ["get", "list", "watch"].map(str::to_owned).to_vec(),
            ..PolicyRule::default()
        }]),
    }
}

/// That one Agent's workers may do it.
#[must_use]
pub fn role_binding(agent: &Agent) -> RoleBinding {
    RoleBinding {
        metadata: owned_metadata(agent, worker_name(&agent.name_any())),
        role_ref: RoleRef {
            api_group: Role::group(&()).into_owned(),
            kind: Role::kind(&()).into_owned(),
            name: ROLE_NAME.to_owned(),
        },
        subjects: Some(vec![Subject {
            kind: ServiceAccount::kind(&()).into_owned(),
            name: worker_name(&agent.name_any()),
            namespace: agent.namespace(),
            ..Subject::default()
        }]),
    }
}

//! The access of workers to Kubernetes: they read the revisions of their
//! namespace, and nothing else.

use std::collections::BTreeMap;

use k8s_openapi::api::{
    core::v1::ServiceAccount,
    rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject},
};
use kube::{Resource as _, api::ObjectMeta};
use steadfast_crds::{
    AgentRevision, GROUP,
    names::{MANAGED_BY, MANAGED_BY_LABEL},
};

use super::metadata::owned_metadata;
use crate::agents::identity::WorkerOwner;

/// Name of the Role of each namespace with workers.
pub(crate) const ROLE_NAME: &str = "steadfast-worker";

/// The account of the workers of one Agent or WorkerPool.
pub(super) fn service_account(owner: &WorkerOwner) -> ServiceAccount {
    ServiceAccount {
        metadata: owned_metadata(owner, owner.worker_name()),
        ..ServiceAccount::default()
    }
}

/// The permissions of all workers in a namespace. Nobody owns the Role; it is deleted with the last Agent and WorkerPool.
pub(super) fn role(namespace: &str) -> Role {
    Role {
        metadata: ObjectMeta {
            name: Some(ROLE_NAME.to_owned()),
            namespace: Some(namespace.to_owned()),
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

/// The binding of the account to the Role.
pub(super) fn role_binding(owner: &WorkerOwner) -> RoleBinding {
    RoleBinding {
        metadata: owned_metadata(owner, owner.worker_name()),
        role_ref: RoleRef {
            api_group: Role::group(&()).into_owned(),
            kind: Role::kind(&()).into_owned(),
            name: ROLE_NAME.to_owned(),
        },
        subjects: Some(vec![Subject {
            kind: ServiceAccount::kind(&()).into_owned(),
            name: owner.worker_name(),
            namespace: Some(owner.key.namespace.clone()),
            ..Subject::default()
        }]),
    }
}

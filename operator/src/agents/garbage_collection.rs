//! Deletes what an Agent no longer needs: old revisions, and objects that carry
//! its label but are no longer part of it. A failure is logged and made good at
//! the next reconciliation; it never harms the Agent.

use std::fmt::Debug;

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::ServiceAccount,
    rbac::v1::{Role, RoleBinding},
};
use kube::{
    Api, Resource, ResourceExt as _,
    api::DeleteParams,
    core::{NamespaceResourceScope, PartialObjectMeta},
};
use serde::de::DeserializeOwned;
use steadfast_crds::{AgentRevision, names::BUILD_ID_LABEL};

use crate::{
    agents::{
        apply::Applied,
        build::access::ROLE_NAME,
        context::Context,
        homes::{homes, pool_of},
        identity::{AgentIdentity, OwnerKind, WorkerOwner},
        revision_history::sequence_of,
        versions,
    },
    kube::{namespaced_name::NamespacedName, object_cache::ObjectCache},
    versions::deployments::{Version, is_old_version},
};

/// The number of revisions that an Agent keeps, with the current one.
const KEPT_REVISIONS: usize = 10;

/// Deletes the leftovers of one Agent.
pub(crate) async fn delete_leftovers(context: &Context, agent: &AgentIdentity, applied: &Applied) {
    delete_old_revisions(context, agent).await;
    if applied.workers_wanted && applied.refusal.is_none() {
        let caches = &context.caches;
        let expected = agent.as_owner().worker_name();
        // The old versions of workers have names of their own.
        let is_unneeded = |it: &Deployment| it.name_any() != expected && !is_old_version(it.labels());
        delete_all::<_, Deployment>(context, agent, &caches.deployments, is_unneeded).await;
        delete_all::<_, ServiceAccount>(context, agent, &caches.service_accounts, |it| it.name_any() != expected).await;
        delete_all::<_, RoleBinding>(context, agent, &caches.role_bindings, |it| it.name_any() != expected).await;
    }
}

/// Deletes what an Agent has of workers that it has left: its revisions for them, and its own objects.
pub(crate) async fn delete_home(context: &Context, agent: &AgentIdentity, pool: Option<&String>) {
    let caches = &context.caches;
    if pool.is_none() {
        delete_all::<_, Deployment>(context, agent, &caches.deployments, |_| true).await;
        delete_all::<_, ServiceAccount>(context, agent, &caches.service_accounts, |_| true).await;
        delete_all::<_, RoleBinding>(context, agent, &caches.role_bindings, |_| true).await;
    }
    let made_for_it = |revision: &PartialObjectMeta<AgentRevision>| pool_of(revision).as_ref() == pool;
    delete_all::<_, AgentRevision>(context, agent, &caches.revisions, made_for_it).await;
}

/// Deletes the Deployments of an owner's old versions that nobody needs. `kept` are the others.
pub(crate) async fn delete_old_versions(context: &Context, owner: &WorkerOwner, kept: &[Version]) {
    for old in versions::old_deployments(context, owner) {
        let build_id = old.labels().get(BUILD_ID_LABEL);
        if !kept.iter().any(|version| Some(&version.build_id) == build_id) {
            delete::<Deployment>(context, &owner.key.namespace, &old.name_any()).await;
            context.last_applied.forget(&NamespacedName::of(old.as_ref()));
        }
    }
}

/// Deletes the Role of a namespace, if no Agent and no WorkerPool is left there.
pub(crate) async fn delete_unused_role(context: &Context, namespace: &str) {
    if context.index.has_objects(namespace) || context.pool_index.has_objects(namespace) {
        return;
    }
    let role = context.caches.roles.get(&NamespacedName::new(namespace, ROLE_NAME));
    // A Role with an owner is somebody else's, whatever its labels say.
    if role.is_some_and(|role| role.owner_references().is_empty()) {
        delete::<Role>(context, namespace, ROLE_NAME).await;
    }
}

/// Deletes the Roles of all namespaces where no Agent and no WorkerPool is left.
pub(crate) async fn delete_unused_roles(context: &Context) {
    for role in context.caches.roles.all() {
        if role.name_any() == ROLE_NAME {
            delete_unused_role(context, &role.namespace().unwrap_or_default()).await;
        }
    }
}

async fn delete_old_revisions(context: &Context, agent: &AgentIdentity) {
    let mut revisions: Vec<(i64, String)> = context
        .caches
        .revisions
        .of_owner(OwnerKind::Agent, &agent.key)
        .iter()
        .filter_map(|revision| Some((sequence_of(revision.as_ref())?, revision.name_any())))
        .collect();
    revisions.sort_unstable();
    let surplus = revisions.len().saturating_sub(KEPT_REVISIONS);
    // Workers that the Agent is leaving run the newest that was made for them.
    let homes = homes(context, agent);
    let is_in_use = |sequence: i64| homes.iter().any(|home| home.newest == sequence);
    for (sequence, name) in revisions.into_iter().take(surplus) {
        if !is_in_use(sequence) {
            delete::<AgentRevision>(context, &agent.key.namespace, &name).await;
        }
    }
}

/// Deletes the objects of an Agent of which `is_unneeded` holds.
async fn delete_all<C, K>(
    context: &Context,
    agent: &AgentIdentity,
    cache: &ObjectCache<C>,
    is_unneeded: impl Fn(&C) -> bool,
) where
    C: Resource,
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    for object in cache.of_owner(OwnerKind::Agent, &agent.key) {
        if agent.owns(object.as_ref()) && is_unneeded(object.as_ref()) {
            delete::<K>(context, &agent.key.namespace, &object.name_any()).await;
        }
    }
}

async fn delete<K>(context: &Context, namespace: &str, name: &str)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let api: Api<K> = Api::namespaced(context.client.clone(), namespace);
    match api.delete(name, &DeleteParams::background()).await {
        Ok(_) => tracing::info!(kind = %K::kind(&()), namespace, name, "deleted an object that is no longer needed"),
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(
                kind = %K::kind(&()),
                namespace,
                name,
                error,
                "cannot delete an object that is no longer needed; trying again later"
            );
        }
    }
}

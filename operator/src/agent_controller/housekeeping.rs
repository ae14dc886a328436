//! Removes what an Agent no longer needs: old revisions, and objects that
//! carry its label but are no longer part of it. A failure here is logged and
//! made good the next time; it never harms the Agent.

use std::fmt::Debug;

use k8s_openapi::api::rbac::v1::Role;
use kube::{Api, Resource, ResourceExt as _, api::DeleteParams, core::NamespaceResourceScope};
use serde::de::DeserializeOwned;
use steadfast_crds::{Agent, AgentRevision};

use crate::{
    agent_controller::{
        apply::Applied,
        build::{access::ROLE_NAME, is_owned_by, worker_name},
        context::Context,
        dereference::sequence_of,
    },
    cache::{Cache, ObjectKey},
};

/// Revisions of an Agent that are kept, the current one included.
const KEPT_REVISIONS: usize = 10;

/// Removes what one Agent left behind.
pub async fn remove_leftovers(context: &Context, agent: &Agent, applied: &Applied) {
    remove_old_revisions(context, agent).await;
    if applied.workers_wanted && applied.refusal.is_none() {
        let caches = &context.caches;
        remove_orphans::<_, k8s_openapi::api::apps::v1::Deployment>(context, agent, &caches.deployments).await;
        remove_orphans::<_, k8s_openapi::api::core::v1::ServiceAccount>(context, agent, &caches.service_accounts).await;
        remove_orphans::<_, k8s_openapi::api::rbac::v1::RoleBinding>(context, agent, &caches.role_bindings).await;
    }
}

/// Removes the Role of a namespace that has no Agent any more.
pub async fn remove_unused_role(context: &Context, namespace: &str) {
    if context.index.has_agents(namespace) {
        return;
    }
    if context
        .caches
        .roles
        .get(&ObjectKey::new(namespace, ROLE_NAME))
        .is_some()
    {
        delete::<Role>(context, namespace, ROLE_NAME).await;
    }
}

/// Removes the Roles of all namespaces that have no Agent any more.
pub async fn remove_unused_roles(context: &Context) {
    for role in context.caches.roles.all() {
        if role.name_any() == ROLE_NAME {
            remove_unused_role(context, &role.namespace().unwrap_or_default()).await;
        }
    }
}

async fn remove_old_revisions(context: &Context, agent: &Agent) {
    let key = ObjectKey::of(agent);
    let mut revisions: Vec<(i64, String)> = context
        .caches
        .revisions
        .of_agent(&key)
        .iter()
        .filter_map(|revision| Some((sequence_of(revision.as_ref())?, revision.name_any())))
        .collect();
    revisions.sort_unstable();
    let surplus = revisions.len().saturating_sub(KEPT_REVISIONS);
    for (_, name) in revisions.into_iter().take(surplus) {
        delete::<AgentRevision>(context, &key.namespace, &name).await;
    }
}

async fn remove_orphans<C, K>(context: &Context, agent: &Agent, cache: &Cache<C>)
where
    C: Resource,
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let expected = worker_name(&agent.name_any());
    for object in cache.of_agent(&ObjectKey::of(agent)) {
        if is_owned_by(object.as_ref(), agent) && object.name_any() != expected {
            delete::<K>(context, &object.namespace().unwrap_or_default(), &object.name_any()).await;
        }
    }
}

async fn delete<K>(context: &Context, namespace: &str, name: &str)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let api: Api<K> = Api::namespaced(context.client.clone(), namespace);
    match api.delete(name, &DeleteParams::background()).await {
        Ok(_) => tracing::info!(kind = %K::kind(&()), namespace, name, "removed"),
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(kind = %K::kind(&()), namespace, name, error, "cannot remove what is no longer needed");
        }
    }
}

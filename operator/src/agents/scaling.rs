//! Tells the autoscaler which owners it scales, and which of them a message wakes.

use k8s_openapi::{api::core::v1::ObjectReference, jiff::Timestamp};
use kube::ResourceExt as _;
use steadfast_crds::{Agent, names::WAKE_ANNOTATION, worker::AutoscalingSettings};
use tokio::time::Instant;

use crate::{
    agents::{
        context::Context,
        identity::{AgentIdentity, OwnerKind, WorkerOwner},
        moving,
        scaling_state::Scaled,
    },
    kube::namespaced_name::NamespacedName,
};

/// Scales the workers of an Agent as its spec says, and wakes those that run it if the gateway has asked for it.
pub(super) fn keep(agent: &Agent, identity: &AgentIdentity, context: &Context) {
    // The pods of a pool are described in the WorkerPool.
    let own = match identity.pool {
        None => agent.spec.worker.autoscaling.clone(),
        Some(_) => moving::autoscaling(context, identity),
    };
    let reference = identity.object_reference.clone();
    keep_owner(context, &identity.as_owner(), reference, own);
    let annotation = agent.annotations().get(WAKE_ANNOTATION).map(String::as_str);
    if context
        .scaling
        .wakes
        .is_new(&identity.key, annotation, Timestamp::now())
    {
        wake(identity, context);
    }
}

/// Starts a worker for an Agent, if the operator has scaled those that run it to zero.
pub(super) fn wake(identity: &AgentIdentity, context: &Context) {
    let owner = match &identity.pool {
        None => identity.as_owner().as_key(),
        Some(pool) => (OwnerKind::Pool, NamespacedName::new(&identity.key.namespace, pool)),
    };
    context.scaling.wake(&owner);
}

/// Scales the workers of an owner, or leaves their number to others.
pub(crate) fn keep_owner(
    context: &Context,
    owner: &WorkerOwner,
    object_reference: ObjectReference,
    settings: Option<AutoscalingSettings>,
) {
    let Some(settings) = settings else {
        context.scaling.remove(&owner.as_key());
        return;
    };
    let scaled = Scaled {
        owner: owner.clone(),
        object_reference,
        settings,
    };
    context.scaling.set(scaled, Instant::now());
}

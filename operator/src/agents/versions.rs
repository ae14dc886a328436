//! The versions of an owner's workers, from what Kubernetes has: which old ones get a Deployment, and what the syncer of
//! versions is told.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt as _;
use tokio::time::Instant;

use crate::{
    agents::{
        apply::deployment_of,
        context::Context,
        identity::{WORKER_CONTAINER, WorkerOwner},
        validate::Workers,
    },
    versions::{
        deployments::{Existing, Version, is_old_version, is_rolled_out},
        plan::Desired,
    },
};

/// The Deployments of an owner's old versions.
pub(crate) fn old_deployments(context: &Context, owner: &WorkerOwner) -> Vec<Arc<Deployment>> {
    let deployments = context.caches.deployments.of_owner(owner.kind, &owner.key);
    let is_old = |deployment: &Arc<Deployment>| owner.owns(deployment.as_ref()) && is_old_version(deployment.labels());
    deployments.into_iter().filter(is_old).collect()
}

/// The old versions that are to have a Deployment beside these workers.
pub(crate) fn old_versions(context: &Context, owner: &WorkerOwner, workers: &Workers) -> Vec<Version> {
    let version = |deployment: &Arc<Deployment>| Version::of(deployment, WORKER_CONTAINER);
    let main = deployment_of(context, owner);
    let existing = Existing {
        main: main.as_ref().and_then(version),
        is_rolled_out: main.is_some_and(|main| is_rolled_out(&main)),
        old: old_deployments(context, owner).iter().filter_map(version).collect(),
    };
    existing.kept(workers.build_id.as_deref(), &context.versions.unused(&owner.as_key()))
}

/// Tells the syncer what the workers of an owner are to be.
pub(crate) fn keep(context: &Context, owner: &WorkerOwner, workers: &Workers, old: &[Version]) {
    let key = owner.as_key();
    if workers.build_id.is_none() && old.is_empty() {
        context.versions.remove(&key);
        return;
    }
    let has_newest = |main: &Deployment| {
        let running = Version::of(main, WORKER_CONTAINER);
        running.map(|running| running.build_id) == workers.build_id
    };
    let main = deployment_of(context, owner);
    let desired = Desired {
        deployment: owner.task_queue(&context.settings.install_id),
        build_id: workers.build_id.clone(),
        is_rolled_out: main.is_some_and(|main| has_newest(&main) && is_rolled_out(&main)),
        old: old.iter().map(|version| version.build_id.clone()).collect(),
    };
    context.versions.set(key, desired, Instant::now());
}

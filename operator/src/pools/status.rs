//! Builds and writes the status of a WorkerPool. It has few conditions, each of a bounded
//! message: it stays below 4 KiB by itself.

use std::sync::Arc;

use k8s_openapi::{
    api::{apps::v1::Deployment, core::v1::Pod},
    jiff::Timestamp,
};
use kube::ResourceExt as _;
use steadfast_crds::{
    WorkerPool, WorkerPoolStatus,
    conditions::{ConditionType, Reason},
};

use crate::{
    agents::{
        context::Context,
        error::Error,
        events::{publish_all, ready_change},
        identity::{OwnerKind, WorkerOwner},
        reference_index::Reference,
        rollout::{self, Progress},
        status::{credentials_hash, failed_conditions, summarized, workers_available},
    },
    conditions::{ConditionUpdate, merge},
    kube::status_patch::{self, Target, Written},
    validation::ValidationError,
};

/// What a reconciliation without an error reports.
#[derive(Clone, Debug, Default)]
pub(super) struct Reconciled {
    /// The errors of the pool, and why its manifests were refused.
    pub(super) errors: Vec<ValidationError>,
    /// The Deployment that exists now.
    pub(super) deployment: Option<Arc<Deployment>>,
    /// The condition VersionRolledOut; `None` for workers without versions.
    pub(super) versions: Option<ConditionUpdate>,
}

/// Writes the status if it differs from the previous one, with an Event where Ready changes.
pub(super) async fn write(
    context: &Context,
    pool: &WorkerPool,
    owner: &WorkerOwner,
    result: &Result<Reconciled, Error>,
) -> Result<(), kube::Error> {
    let previous = pool.status.clone().unwrap_or_default();
    let now = Timestamp::now();
    let status = match result {
        Ok(reconciled) => {
            let namespace = &owner.key.namespace;
            let served = context.index.dependents(namespace, Reference::Pool(pool.name_any()));
            let counted = WorkerPoolStatus {
                task_queue: Some(owner.task_queue(&context.settings.install_id)),
                agents: i32::try_from(served.len()).ok(),
                ..previous.clone()
            };
            let pods = context.caches.pods.of_owner(OwnerKind::Pool, &owner.key);
            build(pool, counted, reconciled, &pods, now)
        }
        Err(error) => {
            let observed = previous.observed_generation == pool.metadata.generation;
            let conditions = previous.conditions.clone();
            WorkerPoolStatus {
                conditions: failed_conditions(conditions, observed, pool.metadata.generation, error, now),
                ..previous.clone()
            }
        }
    };
    if pool.status.as_ref() == Some(&status) {
        return Ok(());
    }
    let target = Target::of::<WorkerPool>(&pool.metadata);
    if status_patch::write(&context.client, &target, &status).await? == Written::Stored {
        let event = ready_change(&previous.conditions, &status.conditions);
        publish_all(context, &kube::Resource::object_ref(pool, &()), event).await;
    }
    Ok(())
}

/// The status after a reconciliation without an error; `counted` has what does not depend on it.
fn build(
    pool: &WorkerPool,
    counted: WorkerPoolStatus,
    reconciled: &Reconciled,
    pods: &[Arc<Pod>],
    now: Timestamp,
) -> WorkerPoolStatus {
    let Reconciled {
        errors,
        deployment,
        versions,
    } = reconciled;
    let rollout = rollout::assess(deployment.as_deref(), pods);
    let updates = vec![
        ConditionUpdate::from_errors(ConditionType::Accepted, errors, (Reason::Valid, "the spec is valid")),
        ConditionUpdate::from_errors(
            ConditionType::CredentialsResolved,
            errors,
            (Reason::Resolved, "every credential was found"),
        ),
        workers_available(errors, &rollout),
    ];
    let stalled = !errors.is_empty() || rollout.progress == Progress::Stuck;
    let mut updates = summarized(updates, stalled, "the pool serves its agents");
    updates.extend(versions.clone());
    WorkerPoolStatus {
        observed_generation: pool.metadata.generation,
        workers: rollout.counts,
        credentials_hash: deployment.as_deref().and_then(credentials_hash),
        conditions: merge(&counted.conditions, updates, pool.metadata.generation, now),
        ..counted
    }
}

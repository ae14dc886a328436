//! Reconciles one WorkerPool: its Secrets, validate, build, apply, status.

use std::{sync::Arc, time::Duration};

use kube::runtime::controller::Action;
use steadfast_crds::{WorkerPool, conditions::Reason};

use super::{
    status::{self, Reconciled},
    validate::validate,
};
use crate::{
    agents::{
        apply::{apply_workers, deployment_of},
        build::{self, WorkerObjects, worker_objects},
        context::Context,
        dereference,
        error::Error,
        garbage_collection,
        identity::{GuardedPool, WorkerOwner},
        next::Next,
        reference_index::pool_secrets,
        scaling,
        validate::{self, Workers},
        versions,
    },
    kube::namespaced_name::NamespacedName,
    malformed,
    metrics::Outcome,
    validation::ValidationError,
};

/// Label of this controller in metrics.
const CONTROLLER: &str = "workerpool";
/// Limit for the validation of a WorkerPool; it takes milliseconds.
const VALIDATION_DEADLINE: Duration = Duration::from_secs(10);

/// Makes one WorkerPool's objects and status match its spec.
pub(super) async fn reconcile(pool: Arc<GuardedPool>, context: Arc<Context>) -> Result<Action, Error> {
    let measurement = context.metrics.begin(CONTROLLER);
    let result = match &pool.0 {
        Ok(pool) => reconcile_valid(pool, &context).await,
        Err(invalid) => malformed::report::<WorkerPool>(invalid, &context.client)
            .await
            .map(|()| Next::Change)
            .map_err(Error::Status),
    };
    measurement.end(if result.is_ok() {
        Outcome::Success
    } else {
        Outcome::Error
    });
    let key = NamespacedName::of(pool.as_ref());
    result.map(|next| next.into_action(&context.pool_backoff, &key))
}

async fn reconcile_valid(pool: &WorkerPool, context: &Arc<Context>) -> Result<Next, Error> {
    if pool.metadata.deletion_timestamp.is_some() {
        // Kubernetes deletes the objects that the pool owns.
        return Ok(Next::Change);
    }
    let owner = WorkerOwner::of_pool(pool);
    let result = run_stages(pool, &owner, context).await;
    let written = status::write(context, pool, &owner, &result).await;
    let reconciled = match (result, written) {
        (Ok(reconciled), Ok(())) => reconciled,
        (Ok(_), Err(status)) => return Err(Error::Status(status)),
        (Err(first), Ok(())) => return Err(first),
        (Err(first), Err(status)) => {
            return Err(Error::StatusAfterFailure {
                first: Box::new(first),
                status,
            });
        }
    };
    let is_taken = |error: &ValidationError| error.reason == Reason::NameTaken;
    Ok(if reconciled.errors.iter().any(is_taken) {
        Next::Retry
    } else {
        Next::Change
    })
}

async fn run_stages(pool: &WorkerPool, owner: &WorkerOwner, context: &Arc<Context>) -> Result<Reconciled, Error> {
    let (workers, mut errors) = validated(pool, owner, context).await?;
    let settings = pool.spec.worker.autoscaling.clone();
    scaling::keep_owner(context, owner, kube::Resource::object_ref(pool, &()), settings);
    let mut deployment = None;
    if let Some(workers) = &workers {
        let old = versions::old_versions(context, owner, workers);
        let objects = WorkerObjects {
            old_versions: build::old_versions(owner, workers, &old, &context.settings),
            ..worker_objects(owner, workers, &context.settings)
        };
        // Boxed: whole manifests live across its awaits.
        let refusal = Box::pin(apply_workers(context, owner, objects, &mut deployment)).await?;
        if refusal.is_none() {
            versions::keep(context, owner, workers, &old);
            garbage_collection::delete_old_versions(context, owner, &old).await;
        }
        errors.extend(refusal);
    }
    Ok(Reconciled {
        errors,
        deployment: deployment.or_else(|| deployment_of(context, owner)),
        versions: context.versions.condition(&owner.as_key()),
    })
}

/// Validates on a thread of its own, as an Agent is.
async fn validated(
    pool: &WorkerPool,
    owner: &WorkerOwner,
    context: &Arc<Context>,
) -> Result<(Option<Workers>, Vec<ValidationError>), Error> {
    let names = pool_secrets(pool, &context.settings);
    let secrets = dereference::secrets(context.as_ref(), &owner.key.namespace, names).await?;
    let (spec, shared) = (pool.clone(), Arc::clone(context));
    let work = move || validate(&spec, &secrets, &shared.settings, shared.secrets.hash());
    // An Agent may have the same name.
    let object = format!("WorkerPool {}", owner.key);
    let validated = context.blocking.run(&object, VALIDATION_DEADLINE, work).await?;
    Ok(validated.map_err(validate::Error::from)?)
}

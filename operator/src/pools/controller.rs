//! Runs the WorkerPool controller.

use std::sync::Arc;

use futures::Stream;
use kube::core::DynamicObject;
use kube::runtime::{
    controller::{Action, Config},
    reflector::{ObjectRef, Store},
};

use super::reconcile::reconcile;
use crate::{
    agents::{context::Context, error::Error, garbage_collection, identity::GuardedPool},
    kube::{
        backoff::Backoff,
        controller::{self, Reconciler},
        namespaced_name::NamespacedName,
    },
};

/// Reconciles WorkerPools until `queue` ends.
pub(crate) async fn run(
    context: Arc<Context>,
    store: Store<GuardedPool>,
    queue: impl Stream<Item = ObjectRef<GuardedPool>> + Send + 'static,
    config: Config,
) {
    controller::run(PoolReconciler(context), store, queue, config).await;
}

struct PoolReconciler(Arc<Context>);

impl Reconciler for PoolReconciler {
    type Object = GuardedPool;
    type Error = Error;
    const KIND: &'static str = "WorkerPool";
    const PANICKED: Error = Error::Panicked;

    async fn reconcile(&self, pool: Arc<GuardedPool>) -> Result<Action, Error> {
        reconcile(pool, Arc::clone(&self.0)).await
    }

    fn backoff(&self) -> &Backoff {
        &self.0.pool_backoff
    }

    fn log_failure(&self, pool: &ObjectRef<DynamicObject>, error: &Error) {
        let category = error.category();
        let error: &dyn std::error::Error = error;
        tracing::warn!(%pool, category, error, "cannot reconcile the WorkerPool; trying again");
    }

    async fn forget(&self, pool: NamespacedName) {
        self.0.forget_pool(&pool);
        garbage_collection::delete_unused_role(&self.0, &pool.namespace).await;
    }
}

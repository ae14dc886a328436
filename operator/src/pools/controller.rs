//! Runs the WorkerPool controller.

use std::{convert::Infallible, panic::AssertUnwindSafe, sync::Arc};

use futures::{FutureExt as _, Stream, StreamExt as _};
use kube::runtime::{
    applier,
    controller::{Action, Config, Error as ControllerError},
    reflector::{ObjectRef, Store},
};

use super::reconcile::reconcile;
use crate::{
    agents::{context::Context, error::Error, garbage_collection, identity::GuardedPool},
    kube::namespaced_name::NamespacedName,
};

/// Reconciles WorkerPools until `queue` ends.
pub(crate) async fn run(
    context: Arc<Context>,
    store: Store<GuardedPool>,
    queue: impl Stream<Item = ObjectRef<GuardedPool>> + Send + 'static,
    config: Config,
) {
    let log_context = Arc::clone(&context);
    applier(
        |pool, context| {
            // The hook has logged the panic.
            let reconciled = AssertUnwindSafe(reconcile(pool, context)).catch_unwind();
            reconciled.map(|result| result.unwrap_or(Err(Error::Panicked))).boxed()
        },
        |pool: Arc<GuardedPool>, _: &Error, context: Arc<Context>| {
            Action::requeue(context.pool_backoff.after_failure(&NamespacedName::of(pool.as_ref())))
        },
        context,
        store,
        queue.map(Ok::<_, Infallible>),
        config,
    )
    .for_each(|result| {
        let context = Arc::clone(&log_context);
        async move {
            match result {
                Ok((pool, _)) => tracing::debug!(%pool, "reconciled"),
                Err(ControllerError::ReconcilerFailed(error, pool)) => {
                    let category = error.category();
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(%pool, category, error, "cannot reconcile the WorkerPool; trying again");
                }
                Err(ControllerError::ObjectNotFound(pool)) => {
                    let namespace = pool.namespace.unwrap_or_default();
                    context.forget_pool(&NamespacedName::new(&namespace, pool.name));
                    garbage_collection::delete_unused_role(&context, &namespace).await;
                }
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "the queue of the WorkerPool controller failed"
                    );
                }
            }
        }
    })
    .await;
}

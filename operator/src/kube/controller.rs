//! The loop that all controllers share: takes the objects of a queue, reconciles each, and tells what came of it.

use std::{convert::Infallible, fmt::Debug, panic::AssertUnwindSafe, sync::Arc};

use futures::{FutureExt as _, Stream, StreamExt as _};
use kube::{
    Resource,
    core::DynamicObject,
    runtime::{
        applier,
        controller::{Action, Config, Error as ControllerError},
        reflector::{ObjectRef, Store},
    },
};

use crate::kube::{backoff::Backoff, namespaced_name::NamespacedName};

/// What a controller does with the objects of one kind.
pub(crate) trait Reconciler: Send + Sync + 'static {
    /// An object from the watch.
    type Object: Clone + Debug + Resource<DynamicType = ()> + Send + Sync + 'static;
    /// Why an object was not reconciled.
    type Error: std::error::Error + Send + 'static;
    /// The kind, for logs.
    const KIND: &'static str;
    /// The error of a reconciliation that panicked. The hook has logged the panic.
    const PANICKED: Self::Error;

    /// Makes what an object describes.
    fn reconcile(&self, object: Arc<Self::Object>) -> impl Future<Output = Result<Action, Self::Error>> + Send;

    /// The delays between the attempts on an object.
    fn backoff(&self) -> &Backoff;

    /// Logs that an object was not reconciled.
    fn log_failure(&self, object: &ObjectRef<DynamicObject>, error: &Self::Error);

    /// Forgets an object that is gone.
    fn forget(&self, object: NamespacedName) -> impl Future<Output = ()> + Send;
}

/// Reconciles objects until `queue` ends.
pub(crate) async fn run<R: Reconciler>(
    reconciler: R,
    store: Store<R::Object>,
    queue: impl Stream<Item = ObjectRef<R::Object>> + Send + 'static,
    config: Config,
) {
    let reconciler = Arc::new(reconciler);
    let observer = Arc::clone(&reconciler);
    applier(
        |object, reconciler: Arc<R>| {
            let work = async move { reconciler.reconcile(object).await };
            let work = AssertUnwindSafe(work).catch_unwind();
            work.map(|result| result.unwrap_or(Err(R::PANICKED))).boxed()
        },
        |object: Arc<R::Object>, _: &R::Error, reconciler: Arc<R>| {
            let object = NamespacedName::of(object.as_ref());
            Action::requeue(reconciler.backoff().after_failure(&object))
        },
        reconciler,
        store,
        queue.map(Ok::<_, Infallible>),
        config,
    )
    .for_each(|result| {
        let reconciler = Arc::clone(&observer);
        async move {
            match result {
                Ok((object, _)) => tracing::debug!(%object, "reconciled"),
                Err(ControllerError::ReconcilerFailed(error, object)) => reconciler.log_failure(&object, &error),
                Err(ControllerError::ObjectNotFound(object)) => {
                    let namespace = object.namespace.unwrap_or_default();
                    reconciler.forget(NamespacedName::new(namespace, object.name)).await;
                }
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::error!(error, "the queue of the {} controller failed", R::KIND);
                }
            }
        }
    })
    .await;
}

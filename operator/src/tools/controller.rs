//! Runs the AgentTool controller and the watch that feeds it.

use std::{convert::Infallible, panic::AssertUnwindSafe, sync::Arc};

use futures::{FutureExt as _, Stream, StreamExt as _, channel::mpsc::UnboundedSender};
use kube::{
    Client,
    runtime::{
        applier,
        controller::{Action, Config, Error as ControllerError},
        reflector::{ObjectRef, Store},
    },
};
use steadfast_crds::AgentTool;

use crate::{
    kube::{
        namespaced_name::NamespacedName,
        reflector_feed::ReflectorFeed,
        watch::{WatchScope, guarded},
    },
    tools::{
        GuardedTool,
        reconcile::{Context, Error, reconcile},
    },
};

/// Reconciles tools until `queue` ends.
pub(crate) async fn run(
    context: Arc<Context>,
    store: Store<GuardedTool>,
    queue: impl Stream<Item = ObjectRef<GuardedTool>> + Send + 'static,
    config: Config,
) {
    applier(
        |tool, context| {
            // The hook has logged the panic.
            let reconciled = AssertUnwindSafe(reconcile(tool, context)).catch_unwind();
            reconciled.map(|result| result.unwrap_or(Err(Error::Panicked))).boxed()
        },
        |tool: Arc<GuardedTool>, _: &Error, context: Arc<Context>| {
            Action::requeue(context.backoff.after_failure(&NamespacedName::of(tool.as_ref())))
        },
        Arc::clone(&context),
        store,
        queue.map(Ok::<_, Infallible>),
        config,
    )
    .for_each(|result| {
        match result {
            Ok((tool, _)) => tracing::debug!(%tool, "reconciled"),
            Err(ControllerError::ReconcilerFailed(error, tool)) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(%tool, error, "cannot reconcile the AgentTool; trying again");
            }
            Err(ControllerError::ObjectNotFound(tool)) => {
                context
                    .backoff
                    .forget(&NamespacedName::new(tool.namespace.unwrap_or_default(), tool.name));
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the queue of the AgentTool controller failed"
                );
            }
        }
        futures::future::ready(())
    })
    .await;
}

/// The watch that feeds the store and queues changed tools. Calls `on_change` for each of them. Never ends.
pub(crate) fn watch(
    client: &Client,
    scope: &WatchScope,
    mut feed: ReflectorFeed<GuardedTool>,
    queue: UnboundedSender<ObjectRef<GuardedTool>>,
    on_change: impl Fn(&NamespacedName) + Send + 'static,
) -> impl Future<Output = ()> + Send + 'static {
    scope.watch::<AgentTool>(client).run(move |event| {
        for tool in feed.observe(&guarded(event)) {
            on_change(&tool);
            // Fails only when the operator stops and nobody receives any more.
            let _ = queue.unbounded_send(tool.object_ref());
        }
    })
}

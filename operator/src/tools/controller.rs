//! Runs the AgentTool controller and the watch that feeds it.

use std::sync::Arc;

use futures::{Stream, channel::mpsc::UnboundedSender};
use kube::{
    Client,
    core::DynamicObject,
    runtime::{
        controller::{Action, Config},
        reflector::{ObjectRef, Store},
    },
};
use steadfast_crds::AgentTool;

use crate::{
    kube::{
        backoff::Backoff,
        controller::{self, Reconciler},
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
    controller::run(ToolReconciler(context), store, queue, config).await;
}

struct ToolReconciler(Arc<Context>);

impl Reconciler for ToolReconciler {
    type Object = GuardedTool;
    type Error = Error;
    const KIND: &'static str = "AgentTool";
    const PANICKED: Error = Error::Panicked;

    async fn reconcile(&self, tool: Arc<GuardedTool>) -> Result<Action, Error> {
        reconcile(tool, Arc::clone(&self.0)).await
    }

    fn backoff(&self) -> &Backoff {
        &self.0.backoff
    }

    fn log_failure(&self, tool: &ObjectRef<DynamicObject>, error: &Error) {
        let error: &dyn std::error::Error = error;
        tracing::warn!(%tool, error, "cannot reconcile the AgentTool; trying again");
    }

    async fn forget(&self, tool: NamespacedName) {
        self.0.backoff.forget(&tool);
    }
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

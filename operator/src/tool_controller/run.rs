//! Runs the AgentTool controller, and wakes the Agents that use a tool that changed.

use std::{convert::Infallible, sync::Arc};

use futures::{FutureExt as _, Stream, StreamExt as _, channel::mpsc::UnboundedSender};
use kube::runtime::{
    applier,
    controller::{Action, Config, Error as ControllerError},
    reflector::{ObjectRef, Store},
    watcher,
};

use crate::{
    agent_controller::{self, run::AgentQueue},
    cache::ObjectKey,
    reference_index::Reference,
    tool_controller::{Context, Error, GuardedTool, reconcile},
    watch::{Scope, StoreFeed, follow},
};

/// Reconciles tools until `queue` ends.
pub async fn run(
    context: Arc<Context>,
    store: Store<GuardedTool>,
    queue: impl Stream<Item = ObjectRef<GuardedTool>> + Send + 'static,
    config: Config,
) {
    applier(
        |tool, context| reconcile(tool, context).boxed(),
        |tool: Arc<GuardedTool>, _: &Error, context: Arc<Context>| {
            Action::requeue(context.backoff.after_failure(&ObjectKey::of(tool.as_ref())))
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
                tracing::warn!(%tool, error, "an AgentTool was not reconciled; it will be tried again");
            }
            Err(ControllerError::ObjectNotFound(tool)) => {
                context
                    .backoff
                    .forget(&ObjectKey::new(tool.namespace.unwrap_or_default(), tool.name));
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the AgentTool controller is disturbed"
                );
            }
        }
        futures::future::ready(())
    })
    .await;
}

/// The watch that feeds the store and wakes tools and Agents. It does not end.
pub fn watch(
    agents: Arc<agent_controller::context::Context>,
    scope: &Scope,
    mut tools: StoreFeed<GuardedTool>,
    tool_queue: UnboundedSender<ObjectRef<GuardedTool>>,
    agent_queue: AgentQueue,
) -> impl Future<Output = ()> + Send + 'static {
    follow(
        scope.api(&agents.client.clone()),
        watcher::Config::default(),
        move |event| {
            for tool in tools.observe(&event) {
                let users = agents
                    .index
                    .dependents(&tool.namespace, Reference::Tool(tool.name.clone()));
                agent_queue.wake(users);
                // Nobody listens any more: the operator is stopping.
                let _ = tool_queue.unbounded_send(ObjectRef::new(&tool.name).within(&tool.namespace));
            }
        },
    )
}

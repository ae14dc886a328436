//! Runs the Agent controller.

use std::sync::Arc;

use futures::Stream;
use kube::{
    core::DynamicObject,
    runtime::{
        controller::{Action, Config},
        reflector::{ObjectRef, Store},
    },
};

use crate::{
    agents::{context::Context, error::Error, garbage_collection, identity::GuardedAgent, reconcile::reconcile},
    kube::{
        backoff::Backoff,
        controller::{self, Reconciler},
        namespaced_name::NamespacedName,
    },
};

/// Reconciles Agents until `queue` ends.
pub(crate) async fn run(
    context: Arc<Context>,
    store: Store<GuardedAgent>,
    queue: impl Stream<Item = ObjectRef<GuardedAgent>> + Send + 'static,
    config: Config,
) {
    garbage_collection::delete_unused_roles(&context).await;
    controller::run(AgentReconciler(context), store, queue, config).await;
}

struct AgentReconciler(Arc<Context>);

impl Reconciler for AgentReconciler {
    type Object = GuardedAgent;
    type Error = Error;
    const KIND: &'static str = "Agent";
    const PANICKED: Error = Error::Panicked;

    async fn reconcile(&self, agent: Arc<GuardedAgent>) -> Result<Action, Error> {
        reconcile(agent, Arc::clone(&self.0)).await
    }

    fn backoff(&self) -> &Backoff {
        &self.0.agent_backoff
    }

    fn log_failure(&self, agent: &ObjectRef<DynamicObject>, error: &Error) {
        let category = error.category();
        let error: &dyn std::error::Error = error;
        tracing::warn!(%agent, category, error, "cannot reconcile the Agent; trying again");
    }

    async fn forget(&self, agent: NamespacedName) {
        self.0.forget(&agent);
        garbage_collection::delete_unused_role(&self.0, &agent.namespace).await;
    }
}

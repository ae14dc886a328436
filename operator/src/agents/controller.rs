//! Runs the Agent controller: the queues of Agents and WorkerPools to reconcile, and
//! the log of the results.

use std::sync::Arc;

use futures::{Stream, channel::mpsc::UnboundedSender};
use kube::{
    Resource,
    core::DynamicObject,
    runtime::{
        controller::{Action, Config},
        reflector::{ObjectRef, Store},
    },
};

use crate::{
    agents::{
        context::Context,
        error::Error,
        garbage_collection,
        identity::{GuardedAgent, GuardedPool},
        queue::AgentQueue,
        reconcile::reconcile,
    },
    kube::{
        backoff::Backoff,
        controller::{self, Reconciler},
        namespaced_name::NamespacedName,
        owner::{OwnerKind, owner_of},
    },
};

/// The sending end of the queue of WorkerPools to reconcile.
#[derive(Clone, Debug)]
pub(crate) struct PoolQueue(UnboundedSender<ObjectRef<GuardedPool>>);

impl PoolQueue {
    /// A queue that sends to the controller, which merges equal entries.
    pub(crate) fn new(sender: UnboundedSender<ObjectRef<GuardedPool>>) -> Self {
        Self(sender)
    }

    /// Reconciles these WorkerPools soon.
    pub(crate) fn push(&self, pools: impl IntoIterator<Item = NamespacedName>) {
        for pool in pools {
            // Fails only when the operator stops and nobody receives any more.
            let _ = self.0.unbounded_send(pool.object_ref());
        }
    }
}

/// The queues of both kinds of owners of workers.
#[derive(Clone, Debug)]
pub(crate) struct Queues {
    /// Agents.
    pub(crate) agents: AgentQueue,
    /// WorkerPools.
    pub(crate) pools: PoolQueue,
}

impl Queues {
    /// Reconciles the owners that the labels of these objects name.
    pub(crate) fn push_owners<K: Resource>(&self, objects: &[Arc<K>]) {
        for (kind, owner) in objects.iter().filter_map(|object| owner_of(object.as_ref())) {
            match kind {
                OwnerKind::Agent => self.agents.push([owner]),
                OwnerKind::Pool => self.pools.push([owner]),
            }
        }
    }
}

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

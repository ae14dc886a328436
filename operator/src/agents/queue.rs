//! The queue of Agents to reconcile.

use futures::channel::mpsc::UnboundedSender;
use kube::runtime::reflector::ObjectRef;

use crate::{
    agents::{
        identity::GuardedAgent,
        reference_index::{Reference, ReferenceIndex},
    },
    kube::namespaced_name::NamespacedName,
};

/// The sending end of the queue of Agents to reconcile.
#[derive(Clone, Debug)]
pub(crate) struct AgentQueue(UnboundedSender<ObjectRef<GuardedAgent>>);

impl AgentQueue {
    /// A queue that sends to the controller. The controller merges equal entries, so the number of Agents bounds it.
    pub(crate) fn new(sender: UnboundedSender<ObjectRef<GuardedAgent>>) -> Self {
        Self(sender)
    }

    /// Reconciles these Agents soon.
    pub(crate) fn push(&self, agents: impl IntoIterator<Item = NamespacedName>) {
        for agent in agents {
            // Fails only when the operator stops and nobody receives any more.
            let _ = self.0.unbounded_send(agent.object_ref());
        }
    }

    /// Reconciles the Agents in `namespace` that refer to an object.
    pub(crate) fn push_dependents(&self, index: &ReferenceIndex, namespace: &str, reference: Reference) {
        self.push(index.dependents(namespace, reference));
    }
}

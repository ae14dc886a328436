//! The queues of Agents and WorkerPools to reconcile.

use std::sync::Arc;

use futures::channel::mpsc::UnboundedSender;
use kube::{Resource, runtime::reflector::ObjectRef};

use crate::{
    agents::{
        identity::{GuardedAgent, GuardedPool},
        reference_index::{Reference, ReferenceIndex},
    },
    kube::{
        namespaced_name::NamespacedName,
        owner::{Owner, OwnerKind, owner_of},
    },
};

/// The sending end of the queue of one controller. The controller merges equal entries, so the number of objects bounds it.
#[derive(Debug)]
pub(crate) struct Queue<K: Resource<DynamicType = ()>>(UnboundedSender<ObjectRef<K>>);

/// The queue of Agents.
pub(crate) type AgentQueue = Queue<GuardedAgent>;
/// The queue of WorkerPools.
pub(crate) type PoolQueue = Queue<GuardedPool>;

impl<K: Resource<DynamicType = ()>> Queue<K> {
    /// A queue that sends to the controller.
    pub(crate) const fn new(sender: UnboundedSender<ObjectRef<K>>) -> Self {
        Self(sender)
    }

    /// Reconciles these objects soon.
    pub(crate) fn push(&self, objects: impl IntoIterator<Item = NamespacedName>) {
        for object in objects {
            // Fails only when the operator stops and nobody receives any more.
            let _ = self.0.unbounded_send(object.object_ref());
        }
    }

    /// Reconciles the objects in `namespace` that refer to an object.
    pub(crate) fn push_dependents(&self, index: &ReferenceIndex, namespace: &str, reference: Reference) {
        self.push(index.dependents(namespace, reference));
    }
}

// Derived, it would ask `K` to be `Clone`.
impl<K: Resource<DynamicType = ()>> Clone for Queue<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
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
        for owner in objects.iter().filter_map(|object| owner_of(object.as_ref())) {
            self.push(owner);
        }
    }

    /// Reconciles an owner soon.
    pub(crate) fn push(&self, (kind, owner): Owner) {
        match kind {
            OwnerKind::Agent => self.agents.push([owner]),
            OwnerKind::Pool => self.pools.push([owner]),
        }
    }
}

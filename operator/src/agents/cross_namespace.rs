//! What the scopes of one operator share, so that an Agent can refer to another namespace:
//! the grants, the references, and the way to the objects of each scope. Reads only what
//! the watches have stored; what may be read is decided in [`super::grants`].

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::FutureExt as _;
use kube::runtime::reflector::Store;
use steadfast_crds::AgentReferenceGrantSpec;

use crate::{
    agents::{
        dereference::SourceError,
        grants::{ForeignReferences, Grants, Referent, Refusal},
        identity::GuardedAgent,
        queue::AgentQueue,
    },
    kube::{namespaced_name::NamespacedName, watch::WatchScope},
    tools::GuardedTool,
};

/// The first lists of a namespace are not complete. Nothing else waits for them: where one namespace cannot be read,
/// the Agents that refer to it are tried again, and no others.
#[derive(Debug, thiserror::Error)]
#[error("the AgentReferenceGrants, Agents and AgentTools of namespace {0} have not been read yet")]
struct NotListed(String);

/// The objects of one scope that Agents of other namespaces may refer to, and the queue of its Agents.
pub(crate) struct ScopeView {
    scope: WatchScope,
    agents: Store<GuardedAgent>,
    tools: Store<GuardedTool>,
    queue: AgentQueue,
    grants_listed: AtomicBool,
}

impl ScopeView {
    pub(crate) fn new(
        scope: WatchScope,
        agents: Store<GuardedAgent>,
        tools: Store<GuardedTool>,
        queue: AgentQueue,
    ) -> Self {
        Self {
            scope,
            agents,
            tools,
            queue,
            grants_listed: AtomicBool::new(false),
        }
    }

    fn is_listed(&self) -> bool {
        self.grants_listed.load(Ordering::Acquire)
            && self.agents.wait_until_ready().now_or_never().is_some()
            && self.tools.wait_until_ready().now_or_never().is_some()
    }
}

/// Shared by all scopes.
pub(crate) struct CrossNamespace {
    scopes: Vec<ScopeView>,
    grants: Mutex<Grants>,
    references: Mutex<ForeignReferences>,
}

impl CrossNamespace {
    pub(crate) fn new(scopes: Vec<ScopeView>) -> Self {
        Self {
            scopes,
            grants: Mutex::default(),
            references: Mutex::default(),
        }
    }

    /// Why an Agent in the namespace `from` may not refer to an object in another namespace; `None` if it may.
    pub(crate) fn refusal(&self, from: &str, to: &Referent) -> Result<Option<Refusal>, SourceError> {
        let Some(scope) = self.scope_of(&to.key.namespace) else {
            return Ok(Some(Refusal::NotWatched));
        };
        if !scope.is_listed() {
            return Err(NotListed(to.key.namespace.clone()).into());
        }
        Ok((!lock(&self.grants).permit(from, to)).then_some(Refusal::NotPermitted))
    }

    /// The AgentTool with that name, in whatever namespace the operator watches.
    pub(crate) fn tool(&self, key: &NamespacedName) -> Option<Arc<GuardedTool>> {
        self.scope_of(&key.namespace)?.tools.get(&key.object_ref())
    }

    /// The Agent with that name, in whatever namespace the operator watches.
    pub(crate) fn agent(&self, key: &NamespacedName) -> Option<Arc<GuardedAgent>> {
        self.scope_of(&key.namespace)?.agents.get(&key.object_ref())
    }

    /// Replaces the references of an Agent to other namespaces; an Agent that is gone has none.
    pub(crate) fn set_references(&self, agent: &NamespacedName, referents: BTreeSet<Referent>) {
        lock(&self.references).set(agent, referents);
    }

    /// The Agents in other namespaces that refer to an object.
    pub(crate) fn dependents(&self, referent: &Referent) -> Vec<NamespacedName> {
        lock(&self.references).dependents(referent)
    }

    /// Reconciles the Agents in other namespaces that refer to an object.
    pub(crate) fn push_dependents(&self, referent: &Referent) {
        self.push(self.dependents(referent));
    }

    /// Replaces grants of a scope, or removes them, and reconciles the Agents that this concerns.
    pub(crate) fn set_grants(
        &self,
        scope: &WatchScope,
        changed: Vec<(NamespacedName, Option<AgentReferenceGrantSpec>)>,
        listed: bool,
    ) {
        let mut concerned = BTreeSet::new();
        for (key, grant) in changed {
            let before = lock(&self.grants).set(&key, grant.clone());
            let versions: Vec<_> = before.into_iter().chain(grant).collect();
            concerned.extend(lock(&self.references).concerned(&key.namespace, &versions));
        }
        let view = self.scopes.iter().find(|view| view.scope == *scope);
        if let Some(view) = view.filter(|_| listed)
            && !view.grants_listed.swap(true, Ordering::AcqRel)
        {
            // Until now nobody knew what is permitted.
            concerned.extend(lock(&self.references).referring_to(|namespace| scope.covers(namespace)));
        }
        self.push(concerned);
    }

    fn push(&self, agents: impl IntoIterator<Item = NamespacedName>) {
        for agent in agents {
            if let Some(scope) = self.scope_of(&agent.namespace) {
                scope.queue.push([agent]);
            }
        }
    }

    fn scope_of(&self, namespace: &str) -> Option<&ScopeView> {
        self.scopes.iter().find(|view| view.scope.covers(namespace))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

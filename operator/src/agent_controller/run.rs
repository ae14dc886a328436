//! Runs the Agent controller: which event wakes which Agent, how many are
//! reconciled at once, and what is logged of it.

use std::{convert::Infallible, sync::Arc};

use futures::{FutureExt as _, Stream, StreamExt as _, channel::mpsc::UnboundedSender, future::BoxFuture};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    Resource, ResourceExt as _,
    core::NamespaceResourceScope,
    runtime::{
        applier,
        controller::{Action, Config, Error as ControllerError},
        reflector::{ObjectRef, Store},
        watcher,
    },
};
use serde::de::DeserializeOwned;
use steadfast_crds::names::{AGENT_LABEL, MANAGED_BY, MANAGED_BY_LABEL};

use crate::{
    agent_controller::{
        Error, GuardedAgent,
        context::Context,
        housekeeping,
        introduction::{Introduction, Introductions},
        reconcile,
    },
    cache::{Cache, ObjectKey},
    reference_index::{Reference, references},
    watch::{Scope, StoreFeed, follow},
};

/// Wakes Agents.
#[derive(Clone, Debug)]
pub struct AgentQueue(UnboundedSender<ObjectRef<GuardedAgent>>);

impl AgentQueue {
    /// Hands Agents to the other end.
    #[must_use]
    pub fn new(sender: UnboundedSender<ObjectRef<GuardedAgent>>) -> Self {
        Self(sender)
    }

    /// Has these Agents reconciled soon.
    pub fn wake(&self, agents: impl IntoIterator<Item = ObjectKey>) {
        for agent in agents {
            // Nobody listens any more: the operator is stopping.
            let _ = self
                .0
                .unbounded_send(ObjectRef::new(&agent.name).within(&agent.namespace));
        }
    }
}

/// Reconciles Agents until `queue` ends.
pub async fn run(
    context: Arc<Context>,
    store: Store<GuardedAgent>,
    queue: impl Stream<Item = ObjectRef<GuardedAgent>> + Send + 'static,
    config: Config,
) {
    housekeeping::remove_unused_roles(&context).await;
    let gone_context = Arc::clone(&context);
    applier(
        |agent, context| reconcile(agent, context).boxed(),
        |agent: Arc<GuardedAgent>, _: &Error, context: Arc<Context>| {
            Action::requeue(context.backoff.after_failure(&ObjectKey::of(agent.as_ref())))
        },
        context,
        store,
        queue.map(Ok::<_, Infallible>),
        config,
    )
    .for_each(|result| {
        let context = Arc::clone(&gone_context);
        async move {
            match result {
                Ok((agent, _)) => tracing::debug!(%agent, "reconciled"),
                Err(ControllerError::ReconcilerFailed(error, agent)) => {
                    let category = error.category();
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(%agent, category, error, "an Agent was not reconciled; it will be tried again");
                }
                Err(ControllerError::ObjectNotFound(agent)) => {
                    let namespace = agent.namespace.unwrap_or_default();
                    context.forget(&ObjectKey::new(&namespace, agent.name));
                    housekeeping::remove_unused_role(&context, &namespace).await;
                }
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "the Agent controller is disturbed"
                    );
                }
            }
        }
    })
    .await;
}

/// The watches that feed the caches and wake Agents. None of them ends.
pub fn watches(
    context: &Arc<Context>,
    scope: &Scope,
    mut agents: StoreFeed<GuardedAgent>,
    queue: &AgentQueue,
) -> Vec<BoxFuture<'static, ()>> {
    let client = &context.client;
    let everything = watcher::Config::default;
    let ours = || everything().labels(&format!("{MANAGED_BY_LABEL}={MANAGED_BY}"));
    let of_agents = || everything().labels(&format!("{MANAGED_BY_LABEL}={MANAGED_BY},{AGENT_LABEL}"));

    let agent_watch = {
        let (context, queue) = (Arc::clone(context), queue.clone());
        let mut introductions = Introductions::default();
        follow(scope.api(client), everything(), move |event| {
            index_agents(&context, &event);
            let news = agents.observe(&event);
            for gone in news.iter().filter(|key| !agents.knows(key)) {
                context.index.remove(gone);
            }
            for agent in &news {
                let now = Introduction::of(context.caches.agent(agent).as_deref());
                if introductions.update(agent, now) {
                    let named = Reference::Agent(agent.name.clone());
                    queue.wake(context.index.dependents(&agent.namespace, named));
                }
            }
            queue.wake(news);
        })
    };
    let secret_watch = {
        let (context, queue) = (Arc::clone(context), queue.clone());
        follow(scope.api(client), everything(), move |event| {
            for secret in context.contents.secrets.observe(event) {
                wake_dependents(&context, &queue, secret.as_ref(), Reference::Secret);
            }
        })
    };
    let config_map_watch = {
        let (context, queue) = (Arc::clone(context), queue.clone());
        follow(scope.api(client), everything(), move |event| {
            for config_map in context.contents.config_maps.observe(event) {
                wake_dependents(&context, &queue, config_map.as_ref(), Reference::ConfigMap);
            }
        })
    };
    let pod_watch = {
        let (context, queue) = (Arc::clone(context), queue.clone());
        follow(scope.api::<Pod>(client), of_agents(), move |event| {
            let event = event.modify(|pod| pod.spec = None);
            let touched = context.caches.pods.observe(event);
            queue.wake(touched.iter().filter_map(|pod| ObjectKey::agent_of(pod.as_ref())));
        })
    };
    let role_watch = {
        let context = Arc::clone(context);
        follow(scope.api(client), ours(), move |event| {
            context.caches.roles.observe(event);
        })
    };
    vec![
        agent_watch.boxed(),
        secret_watch.boxed(),
        config_map_watch.boxed(),
        pod_watch.boxed(),
        role_watch.boxed(),
        children(context, scope, of_agents(), queue, |context| &context.caches.revisions).boxed(),
        children::<Deployment>(context, scope, of_agents(), queue, |context| {
            &context.caches.deployments
        })
        .boxed(),
        children(context, scope, of_agents(), queue, |context| {
            &context.caches.service_accounts
        })
        .boxed(),
        children(context, scope, of_agents(), queue, |context| {
            &context.caches.role_bindings
        })
        .boxed(),
    ]
}

/// A kind whose objects name their Agent in a label.
fn children<K>(
    context: &Arc<Context>,
    scope: &Scope,
    config: watcher::Config,
    queue: &AgentQueue,
    cache: impl Fn(&Context) -> &Cache<K> + Send + 'static,
) -> impl Future<Output = ()> + Send + 'static
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug
        + Send
        + Sync
        + 'static,
{
    let (context, queue) = (Arc::clone(context), queue.clone());
    follow(scope.api::<K>(&context.client.clone()), config, move |event| {
        let touched = cache(&context).observe(event);
        queue.wake(touched.iter().filter_map(|object| ObjectKey::agent_of(object.as_ref())));
    })
}

/// Has the Agents that name `object` reconciled soon.
pub fn wake_dependents<K: Resource>(
    context: &Context,
    queue: &AgentQueue,
    object: &K,
    reference: impl FnOnce(String) -> Reference,
) {
    let namespace = object.namespace().unwrap_or_default();
    queue.wake(context.index.dependents(&namespace, reference(object.name_any())));
}

fn index_agents(context: &Context, event: &watcher::Event<GuardedAgent>) {
    use watcher::Event::{Apply, Delete, Init, InitApply, InitDone};
    match event {
        Apply(agent) | InitApply(agent) => {
            let named = agent
                .0
                .as_ref()
                .map(|agent| references(agent, &context.settings))
                .unwrap_or_default();
            context.index.set(&ObjectKey::of(agent), named);
        }
        Delete(_) | Init | InitDone => {}
    }
}

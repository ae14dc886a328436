//! The watches that fill the caches, and the Agents that each watch event
//! reconciles.

use std::{fmt::Debug, sync::Arc};

use futures::{FutureExt as _, future::BoxFuture};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{Resource, ResourceExt as _, core::NamespaceResourceScope, runtime::watcher};
use serde::de::DeserializeOwned;
use steadfast_crds::names::{AGENT_LABEL, MANAGED_BY, MANAGED_BY_LABEL};

use crate::{
    agents::{
        context::Context,
        controller::AgentQueue,
        identity::GuardedAgent,
        reference_index::{Reference, references},
        summary::{AgentSummaries, AgentSummary},
    },
    kube::{
        namespaced_name::NamespacedName,
        object_cache::ObjectCache,
        reflector_feed::ReflectorFeed,
        watch::{WatchScope, run_watch},
    },
};

/// The watches of Agents, of the objects that they refer to, and of the objects that belong to them. None ever ends.
pub(crate) fn watches(
    context: &Arc<Context>,
    scope: &WatchScope,
    feed: ReflectorFeed<GuardedAgent>,
    queue: &AgentQueue,
) -> Vec<BoxFuture<'static, ()>> {
    vec![
        watch_agents(context, scope, feed, queue).boxed(),
        watch_secrets(context, scope, queue).boxed(),
        watch_config_maps(context, scope, queue).boxed(),
        watch_pods(context, scope, queue).boxed(),
        watch_roles(context, scope).boxed(),
        watch_children(context, scope, queue, |context| &context.caches.revisions).boxed(),
        watch_children::<Deployment>(context, scope, queue, |context| &context.caches.deployments).boxed(),
        watch_children(context, scope, queue, |context| &context.caches.service_accounts).boxed(),
        watch_children(context, scope, queue, |context| &context.caches.role_bindings).boxed(),
    ]
}

/// Objects with the label of an Agent.
fn of_agents() -> watcher::Config {
    watcher::Config::default().labels(&format!("{MANAGED_BY_LABEL}={MANAGED_BY},{AGENT_LABEL}"))
}

fn watch_agents(
    context: &Arc<Context>,
    scope: &WatchScope,
    mut feed: ReflectorFeed<GuardedAgent>,
    queue: &AgentQueue,
) -> impl Future<Output = ()> + Send + 'static {
    let (context, queue) = (Arc::clone(context), queue.clone());
    let mut summaries = AgentSummaries::default();
    let api = scope.api(&context.client);
    run_watch(api, watcher::Config::default(), move |event| {
        index_references(&context, &event);
        let changed = feed.observe(&event);
        for deleted in changed.iter().filter(|key| !feed.contains(key)) {
            context.index.remove(deleted);
        }
        for agent in &changed {
            let summary = AgentSummary::of(context.caches.agent(agent).as_deref());
            if summaries.update(agent, summary) {
                queue.push_dependents(&context, &agent.namespace, Reference::Agent(agent.name.clone()));
            }
        }
        queue.push(changed);
    })
}

fn index_references(context: &Context, event: &watcher::Event<GuardedAgent>) {
    use watcher::Event::{Apply, Delete, Init, InitApply, InitDone};
    match event {
        Apply(agent) | InitApply(agent) => {
            let references = agent
                .0
                .as_ref()
                .map(|agent| references(agent, &context.settings))
                .unwrap_or_default();
            context.index.set(&NamespacedName::of(agent), references);
        }
        Delete(_) | Init | InitDone => {}
    }
}

fn watch_secrets(
    context: &Arc<Context>,
    scope: &WatchScope,
    queue: &AgentQueue,
) -> impl Future<Output = ()> + Send + 'static {
    let (context, queue) = (Arc::clone(context), queue.clone());
    let api = scope.api(&context.client);
    run_watch(api, watcher::Config::default(), move |event| {
        for secret in context.secrets.objects.observe(event) {
            let namespace = secret.namespace().unwrap_or_default();
            queue.push_dependents(&context, &namespace, Reference::Secret(secret.name_any()));
        }
    })
}

fn watch_config_maps(
    context: &Arc<Context>,
    scope: &WatchScope,
    queue: &AgentQueue,
) -> impl Future<Output = ()> + Send + 'static {
    let (context, queue) = (Arc::clone(context), queue.clone());
    let api = scope.api(&context.client);
    run_watch(api, watcher::Config::default(), move |event| {
        for config_map in context.config_maps.objects.observe(event) {
            let namespace = config_map.namespace().unwrap_or_default();
            queue.push_dependents(&context, &namespace, Reference::ConfigMap(config_map.name_any()));
        }
    })
}

fn watch_pods(
    context: &Arc<Context>,
    scope: &WatchScope,
    queue: &AgentQueue,
) -> impl Future<Output = ()> + Send + 'static {
    let (context, queue) = (Arc::clone(context), queue.clone());
    let api = scope.api::<Pod>(&context.client);
    run_watch(api, of_agents(), move |event| {
        let event = event.modify(|pod| pod.spec = None);
        let changed = context.caches.pods.observe(event);
        queue.push(agents_of(&changed));
    })
}

/// The watch of the shared Roles. No Agent is reconciled: a Role has no Agent's label.
fn watch_roles(context: &Arc<Context>, scope: &WatchScope) -> impl Future<Output = ()> + Send + 'static {
    let context = Arc::clone(context);
    let ours = watcher::Config::default().labels(&format!("{MANAGED_BY_LABEL}={MANAGED_BY}"));
    let api = scope.api(&context.client);
    run_watch(api, ours, move |event| {
        context.caches.roles.observe(event);
    })
}

/// The watch of a kind whose objects name their Agent in a label.
fn watch_children<K>(
    context: &Arc<Context>,
    scope: &WatchScope,
    queue: &AgentQueue,
    cache: impl Fn(&Context) -> &ObjectCache<K> + Send + 'static,
) -> impl Future<Output = ()> + Send + 'static
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + Debug
        + Send
        + Sync
        + 'static,
{
    let (context, queue) = (Arc::clone(context), queue.clone());
    let api = scope.api::<K>(&context.client);
    run_watch(api, of_agents(), move |event| {
        let changed = cache(&context).observe(event);
        queue.push(agents_of(&changed));
    })
}

fn agents_of<K: Resource>(objects: &[Arc<K>]) -> impl Iterator<Item = NamespacedName> {
    objects
        .iter()
        .filter_map(|object| NamespacedName::of_labelled_agent(object.as_ref()))
}

//! The watches that fill the caches, and the Agents that each watch event
//! reconciles.

use std::{convert::Infallible, sync::Arc};

use futures::{FutureExt as _, future::BoxFuture};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod, rbac::v1::Role};
use kube::{
    Resource, ResourceExt as _,
    core::{NamespaceResourceScope, PartialObjectMeta},
    runtime::watcher::Event,
};
use steadfast_crds::{
    Agent,
    names::{AGENT_LABEL, MANAGED_BY, MANAGED_BY_LABEL},
};
use steadfast_watch::{RawObject, decode_event};

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
        watch::{WatchScope, guarded},
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
        watch_referenced(
            context,
            scope,
            queue,
            |context| &context.secrets.objects,
            Reference::Secret,
        )
        .boxed(),
        watch_referenced(
            context,
            scope,
            queue,
            |context| &context.config_maps.objects,
            Reference::ConfigMap,
        )
        .boxed(),
        watch_pods(context, scope, queue).boxed(),
        watch_roles(context, scope).boxed(),
        watch_deployments(context, scope, queue).boxed(),
        watch_metadata(context, scope, queue, |context| &context.caches.revisions).boxed(),
        watch_metadata(context, scope, queue, |context| &context.caches.service_accounts).boxed(),
        watch_metadata(context, scope, queue, |context| &context.caches.role_bindings).boxed(),
    ]
}

/// Selects the objects with the label of an Agent.
fn of_agents() -> String {
    format!("{MANAGED_BY_LABEL}={MANAGED_BY},{AGENT_LABEL}")
}

/// The event of an object without its content. Decoding cannot fail.
fn metadata_event<K>(event: Event<RawObject>) -> Option<Event<PartialObjectMeta<K>>> {
    decode_event("", event, |object| Ok::<_, Infallible>(object.into_metadata()))
}

fn watch_agents(
    context: &Arc<Context>,
    scope: &WatchScope,
    mut feed: ReflectorFeed<GuardedAgent>,
    queue: &AgentQueue,
) -> impl Future<Output = ()> + Send + 'static {
    let (context, queue) = (Arc::clone(context), queue.clone());
    let mut summaries = AgentSummaries::default();
    scope.watch::<Agent>(&context.client).run(move |event| {
        let event = guarded(event);
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

fn index_references(context: &Context, event: &Event<GuardedAgent>) {
    use Event::{Apply, Delete, Init, InitApply, InitDone};
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

/// The watch of one kind of objects that Agents refer to, without their content.
fn watch_referenced<K>(
    context: &Arc<Context>,
    scope: &WatchScope,
    queue: &AgentQueue,
    cache: impl Fn(&Context) -> &ObjectCache<PartialObjectMeta<K>> + Send + 'static,
    reference: fn(String) -> Reference,
) -> impl Future<Output = ()> + Send + 'static
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Send + Sync + 'static,
{
    let (context, queue) = (Arc::clone(context), queue.clone());
    scope.watch::<PartialObjectMeta<K>>(&context.client).run(move |event| {
        let changed = metadata_event(event).map(|event| cache(&context).observe(event));
        for object in changed.into_iter().flatten() {
            let namespace = object.namespace().unwrap_or_default();
            queue.push_dependents(&context, &namespace, reference(object.name_any()));
        }
    })
}

fn watch_pods(
    context: &Arc<Context>,
    scope: &WatchScope,
    queue: &AgentQueue,
) -> impl Future<Output = ()> + Send + 'static {
    let (context, queue) = (Arc::clone(context), queue.clone());
    let watch = scope.watch::<Pod>(&context.client).with_labels(&of_agents());
    watch.run(move |event| {
        let event = decode_event("Pod", event, |object| object.decode());
        let changed = event.map(|event| {
            context
                .caches
                .pods
                .observe(event.modify(|pod: &mut Pod| pod.spec = None))
        });
        queue.push(agents_of(&changed.unwrap_or_default()));
    })
}

fn watch_deployments(
    context: &Arc<Context>,
    scope: &WatchScope,
    queue: &AgentQueue,
) -> impl Future<Output = ()> + Send + 'static {
    let (context, queue) = (Arc::clone(context), queue.clone());
    let watch = scope.watch::<Deployment>(&context.client).with_labels(&of_agents());
    watch.run(move |event| {
        let event = decode_event("Deployment", event, |object| object.decode());
        let changed = event.map(|event| context.caches.deployments.observe(event));
        queue.push(agents_of(&changed.unwrap_or_default()));
    })
}

/// The watch of the shared Roles. No Agent is reconciled: a Role has no Agent's label.
fn watch_roles(context: &Arc<Context>, scope: &WatchScope) -> impl Future<Output = ()> + Send + 'static {
    let context = Arc::clone(context);
    let watch = scope
        .watch::<PartialObjectMeta<Role>>(&context.client)
        .with_labels(&format!("{MANAGED_BY_LABEL}={MANAGED_BY}"));
    watch.run(move |event| {
        if let Some(event) = metadata_event(event) {
            context.caches.roles.observe(event);
        }
    })
}

/// The watch of one kind of objects that belong to Agents, without their content.
fn watch_metadata<K>(
    context: &Arc<Context>,
    scope: &WatchScope,
    queue: &AgentQueue,
    cache: impl Fn(&Context) -> &ObjectCache<PartialObjectMeta<K>> + Send + 'static,
) -> impl Future<Output = ()> + Send + 'static
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Send + Sync + 'static,
{
    let (context, queue) = (Arc::clone(context), queue.clone());
    let watch = scope
        .watch::<PartialObjectMeta<K>>(&context.client)
        .with_labels(&of_agents());
    watch.run(move |event| {
        let changed = metadata_event(event).map(|event| cache(&context).observe(event));
        queue.push(agents_of(&changed.unwrap_or_default()));
    })
}

fn agents_of<K: Resource>(objects: &[Arc<K>]) -> impl Iterator<Item = NamespacedName> {
    objects
        .iter()
        .filter_map(|object| NamespacedName::of_labelled_agent(object.as_ref()))
}

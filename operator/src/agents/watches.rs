//! The watches that fill the caches, and the Agents and WorkerPools that each watch
//! event reconciles.

use std::{collections::BTreeSet, convert::Infallible, sync::Arc, time::Instant};

use futures::{FutureExt as _, future::BoxFuture};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod, rbac::v1::Role};
use kube::{
    Resource, ResourceExt as _,
    core::{DeserializeGuard, NamespaceResourceScope, PartialObjectMeta},
    runtime::{reflector, watcher::Event},
};
use steadfast_crds::{
    Agent, AgentReferenceGrant, WorkerPool,
    agent_reference_grant::ReferentKind,
    names::{MANAGED_BY, MANAGED_BY_LABEL},
};
use steadfast_watch::{RawObject, decode_event};

use crate::{
    agents::{
        context::Context,
        grants::Referent,
        identity::{GuardedAgent, GuardedPool},
        pool_summary::{PoolSummaries, PoolSummary},
        queue::Queues,
        reference_index::{Reference, foreign_referents, pool_references, references},
        summary::{AgentSummaries, AgentSummary},
    },
    kube::{
        namespaced_name::NamespacedName,
        object_cache::ObjectCache,
        reflector_feed::ReflectorFeed,
        watch::{WatchScope, guarded},
    },
};

/// The watches of Agents and WorkerPools, of the objects that they refer to, and of the objects that belong to them. None
/// ever ends.
pub(crate) fn watches(
    context: &Arc<Context>,
    scope: &WatchScope,
    (agents, pools): (ReflectorFeed<GuardedAgent>, ReflectorFeed<GuardedPool>),
    queue: &Queues,
) -> Vec<BoxFuture<'static, ()>> {
    vec![
        watch_agents(context, scope, agents, queue).boxed(),
        watch_pools(context, scope, pools, queue).boxed(),
        watch_grants(context, scope).boxed(),
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

/// Selects the objects that the operator has made: those of Agents, and those of WorkerPools.
fn managed() -> String {
    format!("{MANAGED_BY_LABEL}={MANAGED_BY}")
}

/// The event of an object without its content. Decoding cannot fail.
fn metadata_event<K>(event: Event<RawObject>) -> Option<Event<PartialObjectMeta<K>>> {
    decode_event("", event, |object| Ok::<_, Infallible>(object.into_metadata()))
}

fn watch_agents(
    context: &Arc<Context>,
    scope: &WatchScope,
    mut feed: ReflectorFeed<GuardedAgent>,
    queue: &Queues,
) -> impl Future<Output = ()> + Send + 'static {
    let (context, queue) = (Arc::clone(context), queue.clone());
    let mut summaries = AgentSummaries::default();
    scope.watch::<Agent>(&context.client).run(move |event| {
        let event = guarded(event);
        index_references(&context, &event);
        let changed = feed.observe(&event);
        for deleted in changed.iter().filter(|key| !feed.contains(key)) {
            context.index.remove(deleted);
            context.cross_namespace.set_references(deleted, BTreeSet::new());
        }
        for agent in &changed {
            let summary = AgentSummary::of(context.caches.agent(agent).as_deref());
            let Some(before) = summaries.update(agent, &summary) else {
                continue;
            };
            queue
                .agents
                .push_dependents(&context.index, &agent.namespace, Reference::Agent(agent.name.clone()));
            context.cross_namespace.push_dependents(&Referent {
                kind: ReferentKind::Agent,
                key: agent.clone(),
            });
            if before.pool() != summary.pool() {
                // Each counts its Agents.
                let pools = before.pool().into_iter().chain(summary.pool());
                queue
                    .pools
                    .push(pools.map(|pool| NamespacedName::new(&agent.namespace, pool)));
            }
        }
        queue.agents.push(changed);
    })
}

fn watch_pools(
    context: &Arc<Context>,
    scope: &WatchScope,
    mut feed: ReflectorFeed<GuardedPool>,
    queue: &Queues,
) -> impl Future<Output = ()> + Send + 'static {
    let (context, queue) = (Arc::clone(context), queue.clone());
    let mut summaries = PoolSummaries::default();
    scope.watch::<WorkerPool>(&context.client).run(move |event| {
        let event = guarded(event);
        index_pool_references(&context, &event);
        let changed = feed.observe(&event);
        for deleted in changed.iter().filter(|key| !feed.contains(key)) {
            context.pool_index.remove(deleted);
        }
        for pool in &changed {
            if summaries.update(pool, PoolSummary::of(context.caches.pool(pool).as_deref())) {
                queue
                    .agents
                    .push_dependents(&context.index, &pool.namespace, Reference::Pool(pool.name.clone()));
            }
        }
        queue.pools.push(changed);
    })
}

/// The watch of what this scope grants to other namespaces. A grant that cannot be decoded grants nothing.
fn watch_grants(context: &Arc<Context>, scope: &WatchScope) -> impl Future<Output = ()> + Send + 'static {
    let (context, of_scope) = (Arc::clone(context), scope.clone());
    let (store, writer) = reflector::store::<DeserializeGuard<AgentReferenceGrant>>();
    let mut feed = ReflectorFeed::new(writer);
    scope.watch::<AgentReferenceGrant>(&context.client).run(move |event| {
        let event = guarded(event);
        let changed = feed.observe(&event).into_iter().map(|key| {
            let grant = store.get(&key.object_ref());
            let grant = grant.and_then(|grant| match &grant.0 {
                Ok(grant) => Some(grant.spec.clone()),
                Err(invalid) => {
                    tracing::warn!(%key, %invalid, "the AgentReferenceGrant cannot be decoded: it grants nothing");
                    None
                }
            });
            (key, grant)
        });
        let listed = matches!(event, Event::InitDone);
        context.cross_namespace.set_grants(&of_scope, changed.collect(), listed);
    })
}

fn index_pool_references(context: &Context, event: &Event<GuardedPool>) {
    use Event::{Apply, Delete, Init, InitApply, InitDone};
    match event {
        Apply(pool) | InitApply(pool) => {
            let decoded = pool.0.as_ref();
            let references = decoded.map(|pool| pool_references(pool, &context.settings));
            context
                .pool_index
                .set(&NamespacedName::of(pool), references.unwrap_or_default());
        }
        Delete(_) | Init | InitDone => {}
    }
}

fn index_references(context: &Context, event: &Event<GuardedAgent>) {
    use Event::{Apply, Delete, Init, InitApply, InitDone};
    match event {
        Apply(agent) | InitApply(agent) => {
            let key = NamespacedName::of(agent);
            let decoded = agent.0.as_ref();
            if let Ok(agent) = decoded {
                context.apply_clock.observe(&key, agent, Instant::now());
            }
            let foreign = decoded.map(foreign_referents).unwrap_or_default();
            let references = decoded.map(|agent| references(agent, &context.settings));
            context.index.set(&key, references.unwrap_or_default());
            context.cross_namespace.set_references(&key, foreign);
        }
        Delete(_) | Init | InitDone => {}
    }
}

/// The watch of one kind of objects that Agents or WorkerPools refer to, without their content.
fn watch_referenced<K>(
    context: &Arc<Context>,
    scope: &WatchScope,
    queue: &Queues,
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
            let reference = reference(object.name_any());
            queue
                .pools
                .push_dependents(&context.pool_index, &namespace, reference.clone());
            queue.agents.push_dependents(&context.index, &namespace, reference);
        }
    })
}

fn watch_pods(context: &Arc<Context>, scope: &WatchScope, queue: &Queues) -> impl Future<Output = ()> + Send + 'static {
    let (context, queue) = (Arc::clone(context), queue.clone());
    let watch = scope.watch::<Pod>(&context.client).with_labels(&managed());
    watch.run(move |event| {
        let event = decode_event("Pod", event, |object| object.decode());
        let changed = event.map(|event| {
            context
                .caches
                .pods
                .observe(event.modify(|pod: &mut Pod| pod.spec = None))
        });
        queue.push_owners(&changed.unwrap_or_default());
    })
}

fn watch_deployments(
    context: &Arc<Context>,
    scope: &WatchScope,
    queue: &Queues,
) -> impl Future<Output = ()> + Send + 'static {
    let (context, queue) = (Arc::clone(context), queue.clone());
    let watch = scope.watch::<Deployment>(&context.client).with_labels(&managed());
    watch.run(move |event| {
        let event = decode_event("Deployment", event, |object| object.decode());
        let changed = event.map(|event| context.caches.deployments.observe(event));
        queue.push_owners(&changed.unwrap_or_default());
    })
}

/// The watch of the shared Roles. Nothing is reconciled: a Role has no owner's label.
fn watch_roles(context: &Arc<Context>, scope: &WatchScope) -> impl Future<Output = ()> + Send + 'static {
    let context = Arc::clone(context);
    let watch = scope
        .watch::<PartialObjectMeta<Role>>(&context.client)
        .with_labels(&managed());
    watch.run(move |event| {
        if let Some(event) = metadata_event(event) {
            context.caches.roles.observe(event);
        }
    })
}

/// The watch of one kind of objects that belong to Agents or WorkerPools, without their content.
fn watch_metadata<K>(
    context: &Arc<Context>,
    scope: &WatchScope,
    queue: &Queues,
    cache: impl Fn(&Context) -> &ObjectCache<PartialObjectMeta<K>> + Send + 'static,
) -> impl Future<Output = ()> + Send + 'static
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Send + Sync + 'static,
{
    let (context, queue) = (Arc::clone(context), queue.clone());
    let watch = scope
        .watch::<PartialObjectMeta<K>>(&context.client)
        .with_labels(&managed());
    watch.run(move |event| {
        let changed = metadata_event(event).map(|event| cache(&context).observe(event));
        queue.push_owners(&changed.unwrap_or_default());
    })
}

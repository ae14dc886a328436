//! Starts what runs for one scope: the watches, the controllers and the syncer
//! of schedules, with caches of their own. Each is a task of its own, so that
//! none of them delays another one or the Lease, and each beats while it makes
//! progress.

use std::{collections::BTreeSet, fmt, sync::Arc};

use futures::{StreamExt as _, channel::mpsc, future};
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::{
    controller,
    reflector::{self, store::Writer},
};
use steadfast_crds::agent_reference_grant::ReferentKind;
use steadfast_process::BlockingWork;
use tokio::task::JoinSet;

use super::App;
use crate::{
    agents::{
        self,
        apply_clock::ApplyClock,
        autoscaler::Autoscaler,
        context::{Caches, Context},
        cross_namespace::{CrossNamespace, ScopeView},
        grants::Referent,
        identity::{ADMIN_PORT, GuardedAgent, GuardedPool, OwnerKind},
        last_applied::LastApplied,
        queue::{AgentQueue, PoolQueue, Queues},
        reference_index::{Reference, ReferenceIndex},
        revision_history::RevisionSummaries,
        scaling_state::{Scaling, UnmanagedReplicas},
        version_syncer::VersionSyncer,
    },
    deletion::drainer::Drainer,
    kube::{
        backoff::Backoff,
        content_cache::{ConfigMapCache, SecretHashCache},
        namespaced_name::NamespacedName,
        reflector_feed::ReflectorFeed,
        watch::WatchScope,
    },
    moves::mover::Mover,
    pools,
    scaling::temporal::QueueClient,
    schedules::{
        plan::{Existence, Ownership},
        syncer::ScheduleSyncer,
        temporal::ScheduleClient,
    },
    tasks::client::TaskClient,
    tools::{
        self, GuardedTool,
        offers::{self, KnownOffers, Sources},
    },
    versions::state::Versions,
    worker_admin::WorkerAdmin,
};

/// Threads for the validation of Agents, and as many for AgentTools.
const VALIDATION_THREADS: usize = 8;

/// Starts the tasks of all scopes.
pub(super) fn spawn_all(app: &Arc<App>, tasks: &mut JoinSet<()>) {
    let ends: Vec<Ends> = app.config.scopes.iter().map(|_| Ends::new()).collect();
    let views = app.config.scopes.iter().zip(&ends).map(|(scope, ends)| {
        let (agents, tools) = (ends.agents.0.clone(), ends.tools.0.clone());
        ScopeView::new(scope.clone(), agents, tools, ends.queue.clone())
    });
    let cross_namespace = Arc::new(CrossNamespace::new(views.collect()));
    for (scope, ends) in app.config.scopes.iter().zip(ends) {
        spawn(app, scope, ends, Arc::clone(&cross_namespace), tasks);
    }
}

/// The two ends of the stores and of the queue of a scope that other scopes reach.
struct Ends {
    agents: (reflector::Store<GuardedAgent>, Writer<GuardedAgent>),
    tools: (reflector::Store<GuardedTool>, Writer<GuardedTool>),
    queue: AgentQueue,
    queued: mpsc::UnboundedReceiver<reflector::ObjectRef<GuardedAgent>>,
}

impl Ends {
    fn new() -> Self {
        let (sender, queued) = mpsc::unbounded();
        Self {
            agents: reflector::store(),
            tools: reflector::store(),
            queue: AgentQueue::new(sender),
            queued,
        }
    }
}

/// Starts the tasks of one scope. They end when the operator is stopped; the controllers finish what they have begun.
fn spawn(
    app: &Arc<App>,
    scope: &WatchScope,
    ends: Ends,
    cross_namespace: Arc<CrossNamespace>,
    tasks: &mut JoinSet<()>,
) {
    let Ends {
        agents: (agent_store, agent_writer),
        tools: (tool_store, tool_writer),
        queue,
        queued: agent_receiver,
    } = ends;
    let (pool_store, pool_writer) = reflector::store();
    let (tool_sender, tool_receiver) = mpsc::unbounded();
    let (pool_sender, pool_receiver) = mpsc::unbounded();
    let offers = Arc::<KnownOffers>::default();
    let queues = Queues {
        agents: queue.clone(),
        pools: PoolQueue::new(pool_sender),
    };
    let caches = Caches::new(agent_store.clone(), tool_store.clone(), pool_store.clone());
    let context = Arc::new(agent_context(app, caches, cross_namespace));

    let push_dependents = {
        let context = Arc::clone(&context);
        move |tool: &NamespacedName| {
            queue.push_dependents(&context.index, &tool.namespace, Reference::Tool(tool.name.clone()));
            context.cross_namespace.push_dependents(&Referent {
                kind: ReferentKind::AgentTool,
                key: tool.clone(),
            });
        }
    };
    let feeds = (ReflectorFeed::new(agent_writer), ReflectorFeed::new(pool_writer));
    let agent_watches = agents::watches::watches(&context, scope, feeds, &queues);
    let tool_watch = tools::controller::watch(
        &app.client,
        scope,
        ReflectorFeed::new(tool_writer),
        tool_sender.clone(),
        push_dependents,
    );
    let watches = future::join(future::join_all(agent_watches), tool_watch);
    spawn_task(
        app,
        tasks,
        format_args!("watches of {scope}"),
        until_stopped(app, watches),
    );

    let agents = agents::controller::run(
        Arc::clone(&context),
        agent_store,
        agent_receiver.take_until(app.stop.clone().cancelled_owned()),
        controller_config(app),
    );
    let agents = after_sync(app, &context, agents);
    spawn_task(app, tasks, format_args!("controller of Agents in {scope}"), agents);

    let pools = pools_controller(app, &context, pool_store, pool_receiver);
    spawn_task(app, tasks, format_args!("controller of WorkerPools in {scope}"), pools);

    let tools = tools::controller::run(
        Arc::new(tool_context(app, Arc::clone(&offers))),
        tool_store,
        tool_receiver.take_until(app.stop.clone().cancelled_owned()),
        controller_config(app),
    );
    let tools = after_sync(app, &context, tools);
    spawn_task(app, tasks, format_args!("controller of AgentTools in {scope}"), tools);

    let wake = move |tools: Vec<NamespacedName>| {
        for tool in tools {
            // Fails only when the operator stops and nobody receives any more.
            let _ = tool_sender.unbounded_send(tool.object_ref());
        }
    };
    let asking = offers::keep_asking(
        Workers(Arc::clone(&context)),
        offers,
        (ADMIN_PORT, app.config.offers_interval),
        wake,
    );
    let asking = after_sync(app, &context, until_stopped(app, asking));
    spawn_task(app, tasks, format_args!("offers of MCP servers in {scope}"), asking);

    spawn_loops(app, scope, &context, &queues, tasks);
}

/// What asks Temporal now and then: which tasks are left, what waits, which versions and which schedules there are.
fn spawn_loops(app: &Arc<App>, scope: &WatchScope, context: &Arc<Context>, queues: &Queues, tasks: &mut JoinSet<()>) {
    let queue = &queues.agents;
    let deletions = until_stopped(app, end_tasks(app, context, queue.clone()));
    let deletions = after_sync(app, context, deletions);
    spawn_task(app, tasks, format_args!("deletions in {scope}"), deletions);

    let moves = until_stopped(app, move_tasks(app, context, queue.clone()));
    let moves = after_sync(app, context, moves);
    spawn_task(app, tasks, format_args!("moves in {scope}"), moves);

    let scaling = until_stopped(app, scale(app, context));
    let scaling = after_sync(app, context, scaling);
    spawn_task(app, tasks, format_args!("autoscaler of {scope}"), scaling);

    let versions = until_stopped(app, sync_versions(app, context, queues.clone()));
    let versions = after_sync(app, context, versions);
    spawn_task(app, tasks, format_args!("versions of workers in {scope}"), versions);

    let schedules = until_stopped(app, sync_schedules(app, scope, context, queue.clone()));
    let schedules = after_sync(app, context, schedules);
    spawn_task(app, tasks, format_args!("schedules of {scope}"), schedules);
}

fn pools_controller(
    app: &Arc<App>,
    context: &Arc<Context>,
    store: reflector::Store<GuardedPool>,
    receiver: mpsc::UnboundedReceiver<reflector::ObjectRef<GuardedPool>>,
) -> impl Future<Output = ()> + use<> {
    let pools = pools::controller::run(
        Arc::clone(context),
        store,
        receiver.take_until(app.stop.clone().cancelled_owned()),
        controller_config(app),
    );
    after_sync(app, context, pools)
}

/// Starts a task that beats under its name.
fn spawn_task(
    app: &App,
    tasks: &mut JoinSet<()>,
    name: fmt::Arguments<'_>,
    work: impl Future<Output = ()> + Send + 'static,
) {
    let heartbeat = app.liveness.register(name.to_string());
    tasks.spawn(heartbeat.beat_during(work));
}

/// Drops work that never ends by itself when the operator is stopped.
fn until_stopped<W: Future>(app: &App, work: W) -> impl Future<Output = ()> + use<W> {
    let stop = app.stop.clone();
    async move {
        tokio::select! {
            () = stop.cancelled() => {}
            _ = work => {}
        }
    }
}

/// Does `work` once every cache is complete.
fn after_sync<W: Future<Output = ()>>(app: &App, context: &Arc<Context>, work: W) -> impl Future<Output = ()> + use<W> {
    let (stop, context) = (app.stop.clone(), Arc::clone(context));
    async move {
        tokio::select! {
            () = stop.cancelled() => return,
            () = context.wait_until_synced() => {}
        }
        work.await;
    }
}

fn agent_context(app: &App, caches: Caches, cross_namespace: Arc<CrossNamespace>) -> Context {
    Context {
        client: app.client.clone(),
        settings: app.config.settings.clone(),
        secrets: SecretHashCache::new(app.client.clone(), app.hash.clone()),
        config_maps: ConfigMapCache::new(app.client.clone()),
        caches,
        index: ReferenceIndex::default(),
        cross_namespace,
        pool_index: ReferenceIndex::default(),
        schedules: Arc::default(),
        deletions: Arc::default(),
        moves: Arc::default(),
        scaling: Scaling::new(app.config.autoscaling_interval),
        versions: Versions::default(),
        unmanaged_replicas: UnmanagedReplicas::default(),
        last_applied: LastApplied::default(),
        revision_summaries: RevisionSummaries::default(),
        metrics: app.metrics.clone(),
        apply_clock: ApplyClock::default(),
        agent_backoff: Backoff::default(),
        pool_backoff: Backoff::default(),
        blocking: BlockingWork::new(VALIDATION_THREADS),
    }
}

fn tool_context(app: &App, offers: Arc<KnownOffers>) -> tools::reconcile::Context {
    tools::reconcile::Context {
        offers,
        client: app.client.clone(),
        install_id: app.config.settings.install_id.clone(),
        metrics: app.metrics.clone(),
        backoff: Backoff::default(),
        blocking: BlockingWork::new(VALIDATION_THREADS),
    }
}

/// The workers that know what MCP servers offer.
struct Workers(Arc<Context>);

impl Sources for Workers {
    fn mcp_tools(&self) -> BTreeSet<NamespacedName> {
        let tools = self.0.caches.all_tools();
        let tools = tools
            .iter()
            .filter(|tool| tool.0.as_ref().is_ok_and(|tool| tool.spec.mcp.is_some()));
        tools.map(|tool| NamespacedName::of(tool.as_ref())).collect()
    }

    /// Of the tool's own namespace alone: the workers of another one have no say in the status of the tool.
    fn agents_with(&self, tool: &NamespacedName) -> Vec<NamespacedName> {
        self.0
            .index
            .dependents(&tool.namespace, Reference::Tool(tool.name.clone()))
    }

    fn pods_of(&self, agent: &NamespacedName) -> Vec<Arc<Pod>> {
        let pool = self.0.caches.agent(agent);
        let pool = pool.as_ref().and_then(|agent| agent.0.as_ref().ok()?.spec.pool());
        let pods = &self.0.caches.pods;
        match pool {
            Some(pool) => pods.of_owner(OwnerKind::Pool, &NamespacedName::new(&agent.namespace, pool)),
            None => pods.of_owner(OwnerKind::Agent, agent),
        }
    }
}

fn controller_config(app: &App) -> controller::Config {
    controller::Config::default()
        .concurrency(app.config.concurrency)
        .debounce(app.config.debounce)
}

/// Asks the tasks of deleted Agents to end. Never ends.
fn end_tasks(app: &App, context: &Arc<Context>, queue: AgentQueue) -> impl Future<Output = ()> + Send + 'static {
    let deletions = Arc::clone(&context.deletions);
    let rate = Arc::clone(&app.rate);
    let temporal = app.config.temporal.clone();
    async move {
        let Some(temporal) = temporal else {
            return future::pending().await;
        };
        let drainer = Drainer {
            client: TaskClient::new(temporal),
            deletions,
            rate,
            wake: |agents| queue.push(agents),
        };
        drainer.run().await;
    }
}

/// Tells the tasks of Agents that have moved to other workers. Never ends.
fn move_tasks(app: &App, context: &Arc<Context>, queue: AgentQueue) -> impl Future<Output = ()> + Send + 'static {
    let moves = Arc::clone(&context.moves);
    let rate = Arc::clone(&app.rate);
    let temporal = app.config.temporal.clone();
    async move {
        let Some(temporal) = temporal else {
            return future::pending().await;
        };
        let moving = Mover {
            client: TaskClient::new(temporal),
            moves,
            rate,
            wake: |agents| queue.push(agents),
        };
        moving.run().await;
    }
}

/// Scales workers. Never ends.
fn scale(app: &App, context: &Arc<Context>) -> impl Future<Output = ()> + Send + 'static {
    let context = Arc::clone(context);
    let rate = Arc::clone(&app.backlog_rate);
    let temporal = app.config.temporal.clone();
    async move {
        let Ok(workers) = WorkerAdmin::new(ADMIN_PORT) else {
            tracing::error!("no HTTP client: workers are not scaled");
            return future::pending().await;
        };
        let queues = temporal.map(|temporal| QueueClient::new(temporal, rate));
        Autoscaler::new(context, queues, workers).run().await;
    }
}

/// Keeps Temporal in line with the versions of workers. Never ends.
fn sync_versions(app: &App, context: &Arc<Context>, queues: Queues) -> impl Future<Output = ()> + Send + 'static {
    let context = Arc::clone(context);
    let rate = Arc::clone(&app.rate);
    let temporal = app.config.temporal.clone();
    async move {
        let Some(temporal) = temporal else {
            return future::pending().await;
        };
        VersionSyncer::new(context, temporal, rate, queues).run().await;
    }
}

/// Keeps Temporal in line with the desired schedules. Never ends.
fn sync_schedules(
    app: &App,
    scope: &WatchScope,
    context: &Arc<Context>,
    queue: AgentQueue,
) -> impl Future<Output = ()> + Send + 'static {
    let (scope, context) = (scope.clone(), Arc::clone(context));
    let temporal = app.config.temporal.clone();
    let install = app.config.settings.install_id.clone();
    let alone = app.install_id_unique.clone();
    let resync = app.config.schedule_resync;
    let ownership = Ownership {
        cluster: app.cluster.clone(),
        taken_over: app.config.take_over_clusters.iter().cloned().collect(),
    };
    async move {
        let Some(temporal) = temporal else {
            return future::pending().await;
        };
        let syncer = ScheduleSyncer {
            client: ScheduleClient::new(temporal, ownership.cluster.clone()),
            install,
            ownership,
            alone,
            resync,
            desired: Arc::clone(&context.schedules),
            existence: |agent: &NamespacedName| {
                if scope.covers(&agent.namespace) && context.caches.agent(agent).is_none() {
                    Existence::Gone
                } else {
                    Existence::Possible
                }
            },
            wake: |agents| queue.push(agents),
        };
        syncer.run().await;
    }
}

//! Assembles the worker and runs it until shutdown.

mod polls;
mod readiness;
mod version;
mod worker_home;

use std::{sync::Arc, time::Duration};

use steadfast_egress::EgressPolicy;
use steadfast_eventlog::{EventLog, LogSettings, RedisConnector};
use steadfast_process::{
    BlockingWork, Readiness, ReadinessGauge, memory_limit,
    outbound::Outbound,
    prometheus::{IntCounter, Registry},
    telemetry,
};
use steadfast_temporal::{TemporalSettings, connect_until_stopped};
use steadfast_workflow::{AgentTask, DeliverMessage, interceptor::ContextInterceptor as WorkflowContextInterceptor};
use temporalio_client::{Client, ClientOptions, NamespacedClient as _};
use temporalio_sdk::{
    Worker, WorkerOptions,
    runtime::{
        AutoscalingOptions, CoreWorker, PollerBehavior,
        worker_tuner::{FixedSizeSlotSupplier, TunerHolder},
    },
};
use temporalio_sdk_core::{CoreRuntime, RuntimeOptions, init_worker};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::{
    polls::{Polls, Probe},
    readiness::watch_temporal,
    version::deployment_options,
    worker_home::WorkerHome,
};
use crate::{
    activities::{Activities, RunningAttempts},
    args::{Args, environment},
    attachments::Attachments,
    cache::segments::{CacheLimits, SegmentCache},
    cancel_broadcast::{CancelBroadcast, RunningCalls, channel_name},
    dynamic_activity::DynamicActivity,
    egress::{credentials::Credentials, http_client::Egress},
    log::writer::LogWriters,
    model::{ModelClient, concurrency_limit::ConcurrencyLimit},
    observe::{
        metrics::Metrics,
        spans::{ContentCapture, Spans},
    },
    revisions::Revisions,
    search_attributes::SearchAttributes,
    task_context::ContextInterceptor,
    tools::{
        http::HttpToolClient,
        mcp::{LastOffers, McpClient, keep_asking},
        webhook::WebhookClient,
    },
    work_meter::WorkMeter,
};

/// How long the server waits for a killed worker before another worker gets the next workflow task.
const STICKY_TIMEOUT: Duration = Duration::from_secs(5);
/// Most concurrent polls for activities, for new workflow tasks and for those of the tasks in memory. One of each is
/// open while nothing is to do, because every frontend of Temporal allows a limited number; the server says when more
/// are of use.
const MOST_POLLS: usize = 20;
/// Activities at a time on a pool; the SDK's default, which a worker of one agent has, is 100. An activity waits for a
/// model or a tool most of the time: a slot costs little, and an agent whose model hangs must leave some to the others.
const POOL_ACTIVITIES: usize = 1_000;
/// Workflow tasks and local activities at a time, on a pool as elsewhere; they take milliseconds.
const SHORT_WORK: usize = 100;
/// Limit for the log writers of cancelled activities at shutdown.
const LOG_WRITERS_LIMIT: Duration = Duration::from_secs(5);
/// The least and the most memory for the tasks, where nobody says how much.
const LEAST_CACHE_BYTES: usize = 16 << 20;
const MOST_CACHE_BYTES: usize = 128 << 20;
/// Threads for the expressions and schemas of users, which nobody can stop.
const BLOCKING_THREADS: usize = 16;

/// What the operator asks on the admin port. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reports {
    pub(crate) offers: LastOffers,
    pub(crate) work: WorkMeter,
}

/// Serves the task queue of the agent or of the pool until `stop` is cancelled and the running activities have ended.
pub(crate) async fn run(
    args: Args,
    dynamic_activities: Vec<DynamicActivity>,
    registry: &Registry,
    readiness: Readiness,
    reports: Reports,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let temporal_ready = readiness.register("temporal");
    let polling = readiness.register("polling");
    let revision_ready = readiness.register("revision");
    let home = WorkerHome::of(&args);
    let revisions = revisions(&args, &home, revision_ready, &stop).await?;
    let task_queue = home.task_queue();
    let identity = home.identity(&args);
    let polls = Polls::register(registry)?;
    let temporal = TemporalSettings::new(&args.temporal)?.with_meter(polls.meter());
    let Some(connection) = connect_until_stopped(&temporal, &identity, &stop).await else {
        return Ok(());
    };
    temporal_ready.set(true);
    let client_options = ClientOptions::new(temporal.namespace()).data_converter(temporal.codec().data_converter());
    let client = Client::new(connection, client_options.build())?;
    let (cache, evicted) = SegmentCache::new(cache_limits(args.cache_mib, memory_limit()));
    let cache = Arc::new(cache);
    tokio::spawn(stop.clone().run_until_cancelled_owned(cache.clone().remove_idle()));
    let mut activities = activities(
        (&args, &home),
        client.clone(),
        cache.clone(),
        revisions.clone(),
        registry,
        &stop,
    )?;
    activities.mcp = activities.mcp.reporting_to(reports.offers);
    let asking = keep_asking(activities.mcp.clone(), revisions);
    tokio::spawn(stop.clone().run_until_cancelled_owned(asking));
    let writers = activities.writers.clone();
    let evictions = activities.metrics.workflows_evicted.clone();
    // Before this process has attempts of its own.
    tokio::spawn(activities.attempts.clone().fail_those_before(client.clone())).await?;
    let probe = tokio::spawn(watch_temporal(client.clone(), temporal_ready, stop.clone()));
    let tasks = Arc::downgrade(&cache);
    let turns = move || tasks.upgrade().map_or(0, |tasks| tasks.turns());
    reports.work.count_turns_by(turns);
    let options = options((&args, &home), activities, dynamic_activities, cache, reports.work)?;
    tracing::info!(%task_queue, name = home.name(), "worker started");
    let polls = tokio::spawn(polls.watch(Probe::new(client.clone(), task_queue), polling, stop.clone()));
    serve(client, options, evicted, evictions, stop.clone()).await?;
    stop.cancel();
    writers.close(LOG_WRITERS_LIMIT).await;
    probe.await?;
    polls.await?;
    tracing::info!("worker stopped");
    Ok(())
}

async fn revisions(
    args: &Args,
    home: &WorkerHome,
    ready: ReadinessGauge,
    stop: &CancellationToken,
) -> anyhow::Result<Revisions> {
    if let Some(directory) = &args.revisions {
        let revisions = Revisions::in_directory(directory.clone(), home.selection())?;
        ready.set(true);
        return Ok(revisions);
    }
    let client = kube::Client::try_default().await?;
    let (namespace, selection) = (&args.namespace, home.selection());
    Ok(Revisions::watch(client, namespace, selection, ready, stop.clone()))
}

fn activities(
    (args, home): (&Args, &WorkerHome),
    client: Client,
    cache: Arc<SegmentCache>,
    revisions: Revisions,
    registry: &Registry,
    stop: &CancellationToken,
) -> anyhow::Result<Activities> {
    let credentials = Arc::new(Credentials::new(environment()));
    let outbound = Outbound::new(&args.outbound)?;
    let egress = |policy| Egress {
        policy,
        outbound: outbound.clone(),
    };
    let of_tools = egress(EgressPolicy {
        cluster_services: args.allow_cluster_services,
        loopback: args.insecure_allow_loopback,
    });
    let of_models = egress(EgressPolicy {
        cluster_services: args.allow_local_models,
        loopback: args.allow_local_models || args.insecure_allow_loopback,
    });
    let content = if args.capture_content {
        ContentCapture::On
    } else {
        ContentCapture::Off
    };
    let redis = RedisConnector::new(&args.redis)?;
    let settings = LogSettings {
        max_bytes: usize::from(args.log_max_mib) << 20,
        ..LogSettings::for_install(&args.install)
    };
    let log = EventLog::new(redis.clone(), settings);
    let running = RunningCalls::default();
    let channel = channel_name(&args.install);
    let blocking = BlockingWork::new(BLOCKING_THREADS);
    Ok(Activities {
        cache,
        writers: LogWriters::new(log.clone()),
        attempts: RunningAttempts::new(log.clone(), home.process_name(args)),
        log,
        revisions,
        model: ModelClient::new(credentials.clone(), &of_models, args.model_base_url.clone())?,
        attachments: Attachments::new(args.attachments.open(&args.install, environment(), &outbound)?),
        http_tools: HttpToolClient::new(credentials.clone(), &of_tools, blocking.clone())?,
        mcp: McpClient::new(credentials.clone(), &of_tools, blocking.clone())?,
        webhooks: WebhookClient::new(credentials, &of_tools)?,
        cancel_broadcast: CancelBroadcast::start(redis, channel, running.clone(), stop.clone()),
        running,
        model_calls: ConcurrencyLimit::default(),
        blocking,
        search_attributes: SearchAttributes::register(client, stop.clone()),
        metrics: Metrics::register(registry)?,
        spans: Spans::new(telemetry::tracer(), content),
        shutdown: stop.clone(),
    })
}

/// The tasks get a quarter of the container's memory: the program, running activities and their buffers need the rest.
fn cache_limits(cache_mib: Option<u16>, memory_limit: Option<usize>) -> CacheLimits {
    let default = || {
        memory_limit.map_or(MOST_CACHE_BYTES, |limit| {
            (limit / 4).clamp(LEAST_CACHE_BYTES, MOST_CACHE_BYTES)
        })
    };
    let all = cache_mib.map_or_else(default, |mib| usize::from(mib) << 20);
    CacheLimits {
        all,
        resting: all / 32,
        idle: all / 64,
    }
}

fn options(
    (args, home): (&Args, &WorkerHome),
    activities: Activities,
    dynamic_activities: Vec<DynamicActivity>,
    cache: Arc<SegmentCache>,
    work: WorkMeter,
) -> anyhow::Result<WorkerOptions> {
    let served = home.served();
    let mut options = WorkerOptions::new(home.task_queue())
        .workflow_interceptor(WorkflowContextInterceptor::constructor())
        .activity_inbound_interceptor(ContextInterceptor { work })
        .register_activities(activities)
        .register_workflow_with_factory::<AgentTask, _>(move || AgentTask::new(cache.clone()).serving(served.clone()))?
        .register_workflow::<DeliverMessage>()?
        .sticky_queue_schedule_to_start_timeout(STICKY_TIMEOUT)
        .workflow_task_poller_behavior(poller_behavior())
        .activity_task_poller_behavior(poller_behavior())
        .graceful_shutdown_period(Duration::from_secs(args.drain_timeout_seconds))
        .maybe_tuner(home.is_pool().then(pool_slots))
        .maybe_deployment_options(deployment_options(args))
        .build();
    for activity in dynamic_activities {
        activity.register(&mut options);
    }
    Ok(options)
}

fn pool_slots() -> TunerHolder {
    TunerHolder::builder()
        .workflow_task_slot_supplier(FixedSizeSlotSupplier::new(SHORT_WORK))
        .activity_task_slot_supplier(FixedSizeSlotSupplier::new(POOL_ACTIVITIES))
        .local_activity_task_slot_supplier(FixedSizeSlotSupplier::new(SHORT_WORK))
        .nexus_task_slot_supplier(FixedSizeSlotSupplier::new(SHORT_WORK))
        .build()
}

fn poller_behavior() -> PollerBehavior {
    PollerBehavior::Autoscaling(
        AutoscalingOptions::builder()
            .minimum(1)
            .initial(1)
            .maximum(MOST_POLLS)
            .build(),
    )
}

/// Runs workflows on a thread of their own, because their futures are not `Send`; activities run on this runtime.
///
/// The SDK's worker is built on a core of ours, because only the core can remove a workflow from memory
/// (docs/decisions/0033-tasks-in-memory.md).
async fn serve(
    client: Client,
    options: WorkerOptions,
    evicted: mpsc::UnboundedReceiver<String>,
    evictions: IntCounter,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let runtime = CoreRuntime::new_assume_tokio(RuntimeOptions::default())?;
    let core = core_worker(&runtime, &client, &options)?;
    let evicting = tokio::spawn(evict(core.clone(), evicted, evictions));
    let handle = tokio::runtime::Handle::current();
    let (done, ended) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("workflows".to_owned())
        .spawn(move || {
            let result = handle.block_on(async {
                let mut worker = Worker::new_from_core_options(core, client.options().clone(), options)
                    .map_err(|error| anyhow::anyhow!("{error}"))?;
                let shut_down = worker.shutdown_handle();
                let stopping = tokio::spawn(async move {
                    stop.cancelled().await;
                    shut_down();
                });
                let result = worker.run().await.map_err(|error| anyhow::anyhow!("{error}"));
                stopping.abort();
                result
            });
            // The receiver is gone if the process is being torn down.
            drop(done.send(result));
        })?;
    let result = ended.await?;
    evicting.abort();
    result
}

fn core_worker(runtime: &CoreRuntime, client: &Client, options: &WorkerOptions) -> anyhow::Result<Arc<CoreWorker>> {
    let config = options
        .to_core_options(client.namespace(), client.identity())
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(Arc::new(init_worker(runtime, config, client.connection().clone())?))
}

/// Removes from memory the workflows of the runs that the cache has chosen.
async fn evict(core: Arc<CoreWorker>, mut chosen: mpsc::UnboundedReceiver<String>, evictions: IntCounter) {
    while let Some(run_id) = chosen.recv().await {
        core.request_workflow_eviction(&run_id);
        evictions.inc();
    }
}

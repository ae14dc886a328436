//! Puts the worker together and runs it until it is told to stop.

use std::{sync::Arc, time::Duration};

use steadfast_crds::names::agent_task_queue;
use steadfast_eventlog::{EventLog, LogSettings, RedisConnector};
use steadfast_process::{Readiness, prometheus::Registry, telemetry};
use steadfast_temporal::{TemporalSettings, connect_until_stopped};
use steadfast_workflow::{AgentTask, DeliverMessage, interceptor::ContextInterceptor as WorkflowContextInterceptor};
use temporalio_client::{Client, ClientOptions};
use temporalio_sdk::{
    Runtime, Worker, WorkerOptions,
    runtime::{PollerBehavior, RuntimeOptions},
};
use tokio_util::sync::CancellationToken;

use crate::{
    activities::Activities,
    address::AddressPolicy,
    args::{Args, environment},
    builder::DynamicActivity,
    capabilities::SearchAttributes,
    context::ContextInterceptor,
    control::{Control, RunningCalls, channel},
    credentials::Credentials,
    http_tool::HttpToolClient,
    mcp::McpClient,
    metrics::Metrics,
    model::ModelClient,
    pace::Pace,
    readiness::watch_temporal,
    revisions::Revisions,
    segment_cache::SegmentCache,
    spans::{ContentCapture, Spans},
    webhook::WebhookClient,
};

/// After a worker is killed the next workflow task waits out this time before another worker gets it.
const STICKY_TIMEOUT: Duration = Duration::from_secs(2);
/// Fewer leave one activity in eighty waiting for two seconds.
const POLLERS: usize = 20;

/// Serves the agent's task queue until `stop` is cancelled and what runs has ended.
pub async fn run(
    args: Args,
    own: Vec<DynamicActivity>,
    registry: &Registry,
    readiness: Readiness,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let temporal_ready = readiness.register("temporal");
    let polling = readiness.register("polling");
    let revision_ready = readiness.register("revision");
    let revisions = if let Some(folder) = &args.revisions {
        let revisions = Revisions::Folder(folder.clone());
        revisions.newest(&args.agent)?;
        revision_ready.set(true);
        revisions
    } else {
        let client = kube::Client::try_default().await?;
        Revisions::watch(client, &args.namespace, &args.agent, revision_ready, stop.clone())
    };
    let task_queue = args
        .task_queue
        .clone()
        .unwrap_or_else(|| agent_task_queue(&args.install, &args.namespace, &args.agent));
    // Stands in several events of every step: short, and enough to find the pod by.
    let identity = identity(&args);
    let temporal = TemporalSettings::new(&args.temporal)?;
    let Some(connection) = connect_until_stopped(&temporal, &identity, &stop).await else {
        return Ok(());
    };
    temporal_ready.set(true);
    let client = Client::new(connection, ClientOptions::new(temporal.namespace()).build())?;
    let credentials = Arc::new(Credentials::new(environment()));
    let store = Arc::new(SegmentCache::default());
    let policy = AddressPolicy {
        cluster_services: args.allow_cluster_services,
        loopback: args.insecure_allow_loopback,
    };
    let content = if args.capture_content {
        ContentCapture::On
    } else {
        ContentCapture::Off
    };
    let running = RunningCalls::default();
    let redis = RedisConnector::new(&args.redis)?;
    let activities = Activities {
        store: store.clone(),
        log: EventLog::new(redis.clone(), LogSettings::for_install(&args.install)),
        revisions,
        model: ModelClient::new(credentials.clone(), args.model_base_url.clone())?,
        http_tools: HttpToolClient::new(credentials.clone(), policy)?,
        mcp: McpClient::new(credentials.clone(), policy)?,
        webhooks: WebhookClient::new(credentials, policy)?,
        control: Control::start(redis, channel(&args.install), running.clone(), stop.clone()),
        running,
        pace: Pace::default(),
        search_attributes: SearchAttributes::learn(client.clone(), temporal.namespace().to_owned(), stop.clone()),
        metrics: Metrics::register(registry)?,
        spans: Spans::new(telemetry::tracer(), content),
        shutdown: stop.clone(),
    };
    let watching = tokio::spawn(watch_temporal(client.clone(), temporal_ready, stop.clone()));
    let drain = Duration::from_secs(args.drain_timeout_seconds);
    let options = options(&task_queue, activities, own, store, drain)?;
    tracing::info!(%task_queue, agent = %args.agent, "serving");
    polling.set(true);
    let leaving = tokio::spawn({
        let stop = stop.clone();
        async move {
            stop.cancelled().await;
            polling.set(false);
        }
    });
    serve(client, options, stop.clone()).await?;
    stop.cancel();
    watching.await?;
    leaving.await?;
    tracing::info!("stopped");
    Ok(())
}

/// The pod by the last part of its name, a process by its number.
fn identity(args: &Args) -> String {
    let pod = args
        .hostname
        .as_deref()
        .and_then(|name| name.rsplit_once('-'))
        .map(|(_, last)| last.to_owned());
    format!(
        "{}-{}",
        args.agent,
        pod.unwrap_or_else(|| std::process::id().to_string())
    )
}

fn options(
    task_queue: &str,
    activities: Activities,
    own: Vec<DynamicActivity>,
    store: Arc<SegmentCache>,
    drain: Duration,
) -> anyhow::Result<WorkerOptions> {
    let mut options = WorkerOptions::new(task_queue)
        .workflow_interceptor(WorkflowContextInterceptor::constructor())
        .activity_inbound_interceptor(ContextInterceptor)
        .register_activities(activities)
        .register_workflow_with_factory::<AgentTask, _>(move || AgentTask::new(store.clone()))?
        .register_workflow::<DeliverMessage>()?
        .sticky_queue_schedule_to_start_timeout(STICKY_TIMEOUT)
        .workflow_task_poller_behavior(PollerBehavior::SimpleMaximum(POLLERS))
        .activity_task_poller_behavior(PollerBehavior::SimpleMaximum(POLLERS))
        .graceful_shutdown_period(drain)
        .build();
    for activity in own {
        activity.register(&mut options);
    }
    Ok(options)
}

/// Workflow code lives on one thread of its own; activities run on this runtime.
async fn serve(client: Client, options: WorkerOptions, stop: CancellationToken) -> anyhow::Result<()> {
    let runtime = Runtime::from_current_tokio(RuntimeOptions::default())?;
    let handle = tokio::runtime::Handle::current();
    let (done, ended) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("workflows".to_owned())
        .spawn(move || {
            let result = handle.block_on(async {
                let mut worker = Worker::new(&runtime, client, options).map_err(|error| anyhow::anyhow!("{error}"))?;
                let shut_down = worker.shutdown_handle();
                let stopping = tokio::spawn(async move {
                    stop.cancelled().await;
                    shut_down();
                });
                let result = worker.run().await.map_err(|error| anyhow::anyhow!("{error}"));
                stopping.abort();
                result
            });
            // Nobody waits any more if the process is being torn down.
            drop(done.send(result));
        })?;
    ended.await?
}

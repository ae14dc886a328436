//! The gateway's process: arguments, connections, ports, and shutdown on a signal.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use clap::Parser as _;
use steadfast_eventlog::{EventLog, LogReader, LogSettings, RedisConnector};
use steadfast_gateway::{
    Access, AgentDirectory, Gateway, HistoryLimits, KubernetesAccess, Load, Metrics, Naming, SelfApproval, Server,
    Temporal, codec_routes, router,
};
use steadfast_process::{
    AdminServer, BlockingWork, Readiness, ReadinessGauge, crypto, outbound::Outbound, prometheus, shutdown, telemetry,
};
use steadfast_temporal::TemporalSettings;
use tokio::{net::TcpListener, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::args::Args;

mod args;

const CHECK_PERIOD: Duration = Duration::from_secs(5);
/// Threads for the forms of users, which nobody can stop.
const BLOCKING_THREADS: usize = 8;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    crypto::install();
    let args = Args::parse();
    let outbound = Outbound::new(&args.outbound)?;
    let _telemetry = telemetry::init("steadfast-gateway", args.log_format, &args.log_level, &outbound)?;
    let stop = shutdown::on_signal().context("listen for signals")?;

    let registry = prometheus::Registry::new();
    let metrics = Metrics::register(&registry).context("register the metrics")?;
    let readiness = Readiness::new();
    let agents_known = readiness.register("agents");
    let temporal_reached = readiness.register("temporal");
    let admin = TcpListener::bind(args.admin_address)
        .await
        .context("listen on the admin address")?;
    let admin_stop = CancellationToken::new();
    let admin =
        tokio::spawn(AdminServer::new(readiness, registry.clone()).serve(admin, admin_stop.clone().cancelled_owned()));

    let gateway = Arc::new(build(&args, metrics, agents_known, &stop).await?);
    tokio::spawn(watch_temporal(gateway.clone(), temporal_reached));
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("listen on {}", args.listen))?;
    tracing::info!(address = %args.listen, "serving");
    let mut routes = router(gateway.clone());
    if !args.codec_origins.is_empty() {
        tracing::info!("the codec endpoint of Temporal's UI is on");
        routes = routes.merge(codec_routes(gateway, args.codec_origins));
    }
    Server::new(routes).serve(listener, stop).await;
    admin_stop.cancel();
    admin
        .await
        .context("serve the admin address")?
        .context("serve the admin address")
}

async fn build(
    args: &Args,
    metrics: Metrics,
    agents_known: ReadinessGauge,
    stop: &CancellationToken,
) -> anyhow::Result<Gateway> {
    if args.forbid_self_approval && args.insecure_allow_anonymous {
        bail!("--forbid-self-approval needs authenticated callers: remove --insecure-allow-anonymous");
    }
    let client = if args.revisions.is_some() && args.insecure_allow_anonymous {
        None
    } else {
        Some(kube::Client::try_default().await.context("connect to Kubernetes")?)
    };
    let temporal = TemporalSettings::new(&args.temporal)?;
    let of_redis = metrics.clone();
    let log = EventLog::new(
        RedisConnector::new(&args.redis)?,
        LogSettings::for_install(&args.install_id),
    )
    .observed_by(Box::new(move |call, error, duration| {
        of_redis.redis_call_ended(call, error, duration);
    }));
    Ok(Gateway {
        agents: agents(args, client.as_ref(), &agents_known, stop)?,
        access: access(args, client)?,
        self_approval: if args.forbid_self_approval {
            SelfApproval::Forbidden
        } else {
            SelfApproval::Allowed
        },
        temporal: Temporal::new(temporal, metrics.clone()),
        history_limits: HistoryLimits {
            bytes: args.history_limit_bytes,
            events: args.history_limit_events,
        },
        reader: LogReader::start(log.clone()),
        log,
        metrics,
        load: Load::default(),
        blocking: BlockingWork::new(BLOCKING_THREADS),
        conversation_headers: args.conversation_headers.clone(),
        stopping: stop.clone(),
    })
}

fn agents(
    args: &Args,
    client: Option<&kube::Client>,
    agents_known: &ReadinessGauge,
    stop: &CancellationToken,
) -> anyhow::Result<AgentDirectory> {
    let naming = Naming {
        install_id: args.install_id.clone(),
        default_namespace: args.default_namespace.clone(),
    };
    match (&args.revisions, client) {
        (Some(directory), _) => {
            let agents = AgentDirectory::of_revision_files(naming, directory.clone())?;
            tracing::info!(
                agents = agents.count(),
                directory = %directory.display(),
                "serving the agents of AgentRevision files"
            );
            agents_known.set(true);
            Ok(agents)
        }
        (None, Some(client)) => {
            let namespaces: Vec<String> = args
                .namespaces
                .iter()
                .filter(|name| !name.is_empty())
                .cloned()
                .collect();
            Ok(AgentDirectory::of_cluster(
                naming,
                &namespaces,
                client,
                agents_known,
                stop,
            ))
        }
        (None, None) => bail!("there is no Kubernetes API server: set --revisions"),
    }
}

fn access(args: &Args, client: Option<kube::Client>) -> anyhow::Result<Access> {
    match client {
        _ if args.insecure_allow_anonymous => {
            tracing::warn!(
                "--insecure-allow-anonymous is set: every caller may do everything without a token; for local use only"
            );
            Ok(Access::Anonymous)
        }
        Some(client) => Ok(Access::Kubernetes(Box::new(KubernetesAccess::new(
            client,
            args.token_audiences.clone(),
        )))),
        None => bail!("tokens need a Kubernetes API server: set --insecure-allow-anonymous to run without one"),
    }
}

/// Sets `reached` once Temporal has answered. A wrong address or namespace thus shows in the
/// probe; a later outage does not make every replica unready.
async fn watch_temporal(gateway: Arc<Gateway>, reached: ReadinessGauge) {
    while let Err(error) = gateway.temporal.check().await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "Temporal does not answer yet; trying again"
        );
        sleep(CHECK_PERIOD).await;
    }
    reached.set(true);
}

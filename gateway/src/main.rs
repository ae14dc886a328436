//! The gateway's process: from arguments to a served port, and back down on a signal.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use clap::Parser as _;
use steadfast_eventlog::{EventLog, LogReader, LogSettings, RedisConnector};
use steadfast_gateway::{
    Gateway,
    access::{Access, KubernetesAccess, SelfApproval},
    app,
    directory::{AgentDirectory, Naming, kubernetes},
    temporal::Temporal,
};
use steadfast_process::{AdminServer, Readiness, ReadinessGauge, crypto, prometheus, shutdown, telemetry};
use steadfast_temporal::TemporalSettings;
use tokio::{net::TcpListener, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::args::Args;

mod args;

/// How long open requests may take after a signal; streams end at once, their clients come back elsewhere.
const DRAIN_LIMIT: Duration = Duration::from_secs(20);
const CHECK_PERIOD: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    crypto::install();
    let args = Args::parse();
    let _telemetry = telemetry::init("steadfast-gateway", args.log_format, &args.log_level)?;
    let stop = shutdown::on_signal().context("listen for signals")?;

    let readiness = Readiness::new();
    let agents_known = readiness.register("agents");
    let temporal_seen = readiness.register("temporal");
    let admin = TcpListener::bind(args.admin_address)
        .await
        .context("listen on the admin address")?;
    let admin_stop = CancellationToken::new();
    let admin = tokio::spawn(
        AdminServer::new(readiness, prometheus::Registry::new()).serve(admin, admin_stop.clone().cancelled_owned()),
    );

    let gateway = Arc::new(build(&args, agents_known, &stop).await?);
    tokio::spawn(watch_temporal(gateway.clone(), temporal_seen));
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("listen on {}", args.listen))?;
    tracing::info!(address = %args.listen, "serving");
    let serving = axum::serve(listener, app(gateway)).with_graceful_shutdown(stop.clone().cancelled_owned());
    tokio::select! {
        served = serving.into_future() => served.context("serve")?,
        () = async { stop.cancelled().await; sleep(DRAIN_LIMIT).await } => {
            tracing::warn!("leaving with requests still open");
        }
    }
    admin_stop.cancel();
    admin
        .await
        .context("serve the admin address")?
        .context("serve the admin address")
}

async fn build(args: &Args, agents_known: ReadinessGauge, stop: &CancellationToken) -> anyhow::Result<Gateway> {
    if args.forbid_self_approval && args.insecure_allow_anonymous {
        bail!("--forbid-self-approval needs to know who calls: leave out --insecure-allow-anonymous");
    }
    let naming = Naming {
        install: args.install_id.clone(),
        default_namespace: args.default_namespace.clone(),
    };
    let client = if args.revisions.is_some() && args.insecure_allow_anonymous {
        None
    } else {
        Some(kube::Client::try_default().await.context("connect to Kubernetes")?)
    };
    let directory = match (&args.revisions, &client) {
        (Some(folder), _) => {
            let directory = AgentDirectory::of_folder(naming, folder.clone())?;
            tracing::info!(agents = directory.list().len(), folder = %folder.display(), "serving the agents of a folder");
            agents_known.set(true);
            directory
        }
        (None, Some(client)) => {
            let store = kubernetes::watch(client.clone(), stop.clone());
            let known = store.clone();
            tokio::spawn(async move {
                if known.wait_until_ready().await.is_ok() {
                    agents_known.set(true);
                }
            });
            AgentDirectory::of_store(naming, store)
        }
        (None, None) => bail!("give --revisions, or run where a Kubernetes API server can be reached"),
    };
    let access = match client {
        _ if args.insecure_allow_anonymous => {
            tracing::warn!("everyone may do everything: --insecure-allow-anonymous is for local use only");
            Access::Anonymous
        }
        Some(client) => Access::Kubernetes(Box::new(KubernetesAccess::new(client, args.token_audiences.clone()))),
        None => bail!("tokens are checked by Kubernetes: without it only --insecure-allow-anonymous is possible"),
    };
    let settings = TemporalSettings::new(&args.temporal)?;
    let log = EventLog::new(
        RedisConnector::new(&args.redis)?,
        LogSettings::for_install(&args.install_id),
    );
    Ok(Gateway {
        access,
        self_approval: if args.forbid_self_approval {
            SelfApproval::Forbidden
        } else {
            SelfApproval::Allowed
        },
        directory,
        temporal: Temporal::new(settings),
        reader: LogReader::start(log.clone()),
        log,
        stopping: stop.clone(),
    })
}

/// Ready once Temporal has answered: a wrong address or namespace shows in the
/// probe, an outage later does not take every replica away.
async fn watch_temporal(gateway: Arc<Gateway>, seen: ReadinessGauge) {
    while let Err(error) = gateway.temporal.check().await {
        tracing::warn!(error = &error as &dyn std::error::Error, "Temporal does not answer yet");
        sleep(CHECK_PERIOD).await;
    }
    seen.set(true);
}

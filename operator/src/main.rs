//! The operator as a program: arguments, logging, the Kubernetes client.

use anyhow::Context as _;
use steadfast_operator::{
    app,
    args::{Args, Invocation, ReleaseArgs},
    config::Config,
};
use steadfast_process::{crypto, outbound::Outbound, shutdown, telemetry};

/// The fewest threads, whatever the CPU limit: a reconciliation that blocks one leaves one for the Lease and the probes.
const FEWEST_THREADS: usize = 2;

fn main() -> anyhow::Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.max(FEWEST_THREADS))
        .enable_all()
        .build()
        .context("start the threads")?;
    let result = runtime.block_on(run());
    // A reconciliation that blocks a thread must not keep a process that has lost the Lease.
    runtime.shutdown_background();
    result
}

async fn run() -> anyhow::Result<()> {
    crypto::install();
    match Invocation::parse() {
        Invocation::Operate(args) => operate(*args).await,
        Invocation::ReleaseAgents(args) => release_agents(*args).await,
    }
}

async fn release_agents(args: ReleaseArgs) -> anyhow::Result<()> {
    let outbound = Outbound::new(&args.outbound)?;
    let _telemetry = telemetry::init("steadfast-operator", args.log_format, &args.log_level, &outbound)?;
    let kube_config = kube::Config::infer().await.context("find the Kubernetes API")?;
    app::release::release_agents(args, kube_config).await?;
    Ok(())
}

async fn operate(args: Args) -> anyhow::Result<()> {
    let outbound = Outbound::new(&args.outbound)?;
    let _telemetry = telemetry::init("steadfast-operator", args.log_format, &args.log_level, &outbound)?;
    let config = Config::try_from(args).context("read the Temporal settings")?;
    let stop = shutdown::on_signal()?;
    let kube_config = kube::Config::infer().await.context("find the Kubernetes API")?;
    let admin = tokio::net::TcpListener::bind(config.admin_address)
        .await
        .with_context(|| format!("listen on {}", config.admin_address))?;
    app::run(config, kube_config, admin, stop).await?;
    Ok(())
}

//! The operator as a program: arguments, logging, the Kubernetes client.

use anyhow::Context as _;
use clap::Parser as _;
use steadfast_operator::{app, args::Args, config::Config};
use steadfast_process::{crypto, shutdown, telemetry};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    crypto::install();
    let args = Args::parse();
    let _telemetry = telemetry::init("steadfast-operator", args.log_format, &args.log_level)?;
    let config = Config::try_from(args).context("read the Temporal settings")?;
    let stop = shutdown::on_signal()?;
    let kube_config = kube::Config::infer().await.context("find the Kubernetes API")?;
    let admin = tokio::net::TcpListener::bind(config.admin_address)
        .await
        .with_context(|| format!("listen on {}", config.admin_address))?;
    app::run(config, kube_config, admin, stop).await?;
    Ok(())
}

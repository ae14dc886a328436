//! The operator as a program: arguments, logging, clients, then the library.

use anyhow::Context as _;
use clap::Parser as _;
use steadfast_operator::{args::Args, operator};
use steadfast_process::{crypto, shutdown, telemetry};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    crypto::install();
    let args = Args::parse();
    let _telemetry = telemetry::init("steadfast-operator", args.log_format, &args.log_level)?;
    let config = operator::Config::try_from(args)?;
    let stop = shutdown::on_signal()?;
    let kube_config = kube::Config::infer().await.context("find the Kubernetes API")?;
    let admin = tokio::net::TcpListener::bind(config.admin_address)
        .await
        .with_context(|| format!("listen on {}", config.admin_address))?;
    operator::run(config, kube_config, admin, stop).await?;
    Ok(())
}

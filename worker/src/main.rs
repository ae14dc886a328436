//! The worker program.

use clap::Parser;
use steadfast_runtime::{AdminServer, Readiness, crypto, prometheus::Registry, shutdown, telemetry};
use steadfast_worker::{args::Args, worker};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    crypto::install();
    let args = Args::parse();
    telemetry::init("steadfast-worker", args.log_format, &args.log_level)?;
    let stop = shutdown::on_signal()?;
    let readiness = Readiness::new();
    let listener = TcpListener::bind(args.admin_address).await?;
    let admin_stop = tokio_util::sync::CancellationToken::new();
    let admin = AdminServer::new(readiness.clone(), Registry::new());
    let admin = tokio::spawn(admin.serve(listener, admin_stop.clone().cancelled_owned()));
    let result = worker::run(args, readiness, stop).await;
    admin_stop.cancel();
    admin.await??;
    result
}

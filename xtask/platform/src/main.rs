//! The commands of `cargo xtask` that start platforms, build images or measure.
//!
//! They link the test kit and with it most of the workspace, so `cargo xtask`
//! builds and starts this program only when one of them is asked for. Each
//! command is a file; this one only names them.

mod bench;
mod demo;
mod image;
mod platform;

use clap::{Parser, Subcommand};

/// Steadfast's commands for platforms, images and measurements.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measures the real system and prints JSON.
    Bench(bench::Arguments),
    /// Starts a Kubernetes, installs Steadfast and talks to an agent.
    Demo(demo::Arguments),
    /// Builds the container images.
    Image(image::Arguments),
    /// Starts, stops and describes a local platform: Kubernetes, Temporal, Redis.
    #[command(subcommand)]
    Platform(platform::Command),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter("info,kube_client=off")
        .with_target(false)
        .without_time()
        .init();
    match Arguments::parse().command {
        Command::Bench(arguments) => bench::run(arguments).await,
        Command::Demo(arguments) => demo::run(arguments).await,
        Command::Image(arguments) => image::run(arguments).await,
        Command::Platform(command) => platform::run(command).await,
    }
}

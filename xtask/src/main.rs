//! `cargo xtask …`: the commands that contributors and CI run.
//!
//! Each command is a file; this one only names them.

mod platform;
mod tools;

use clap::{Parser, Subcommand};

/// Steadfast's build, test and platform commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A whole local platform: Kubernetes, Temporal, Redis.
    #[command(subcommand)]
    Platform(platform::Command),
    /// Builds and downloads the programs the platform and the tests need.
    Tools,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_target(false)
        .without_time()
        .init();
    match Arguments::parse().command {
        Command::Platform(command) => platform::run(command).await,
        Command::Tools => tools::run().await,
    }
}

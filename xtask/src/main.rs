//! `cargo xtask …`: the commands that contributors and CI run.
//!
//! Each command is a file; this one only names them.

mod bench;
mod cargo;
mod demo;
mod generate;
mod image;
mod platform;
mod test;
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
    /// Measures the real system and prints JSON.
    Bench(bench::Arguments),
    /// From nothing to a conversation with an agent on a real Kubernetes.
    Demo(demo::Arguments),
    /// Makes the files that are made from the API types.
    Generate(generate::Arguments),
    /// Builds the container images.
    Image(image::Arguments),
    /// A whole local platform: Kubernetes, Temporal, Redis.
    #[command(subcommand)]
    Platform(platform::Command),
    /// Everything CI runs.
    Test(test::Arguments),
    /// Builds and downloads the programs the platform and the tests need.
    Tools,
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
        Command::Generate(arguments) => generate::run(&arguments, &cargo::Cargo::of_this_machine().await?),
        Command::Image(arguments) => image::run(arguments).await,
        Command::Platform(command) => platform::run(command).await,
        Command::Test(arguments) => test::run_tests(arguments).await,
        Command::Tools => tools::run().await,
    }
}

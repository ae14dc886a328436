//! `cargo xtask …`: the commands that contributors and CI run.
//!
//! Each command is a file; this one only names them. This program links little
//! and so prints its first line soon; commands that need the test kit are
//! handed to `xtask-platform`.

mod build;
mod check;
mod console;
mod demo;
mod dev;
mod forward;
mod generate;
mod release;
mod stages;
mod test;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use steadfast_tools::cargo::Cargo;
use steadfast_tools::progress;

use forward::Forwarded;

/// Steadfast's build, test and platform commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measures the real system and prints JSON.
    #[command(disable_help_flag = true)]
    Bench(Forwarded),
    /// Runs the checks that only read the sources.
    Check(check::Arguments),
    /// Builds the console into the bundle that the gateway embeds.
    Console(console::Arguments),
    /// Starts a Kubernetes, installs Steadfast and talks to an agent.
    #[command(disable_help_flag = true)]
    Demo(Forwarded),
    /// Builds the programs and runs `steadfast dev`: Agents on this machine, without Kubernetes.
    #[command(disable_help_flag = true)]
    Dev(dev::Arguments),
    /// Writes the files that are generated from the API types.
    Generate(generate::Arguments),
    /// Builds the container images.
    #[command(disable_help_flag = true)]
    Image(Forwarded),
    /// Starts, stops and describes a local platform: Kubernetes, Temporal, Redis.
    #[command(disable_help_flag = true)]
    Platform(Forwarded),
    /// Makes the files of a release, in `target/dist`.
    #[command(subcommand)]
    Release(release::Step),
    /// Runs everything that CI runs.
    Test(test::Arguments),
    /// Builds and downloads the programs that the platform, the tests and the checks need.
    Tools(tools::Arguments),
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress::print(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Bench(arguments) => forward::run("bench", &arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Console(arguments) => console::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Dev(arguments) => dev::run(&arguments),
        Command::Generate(arguments) => generate::run(&arguments, &Cargo::of_this_machine()?),
        Command::Image(arguments) => forward::run("image", &arguments),
        Command::Platform(arguments) => forward::run("platform", &arguments),
        Command::Release(step) => release::run(&step),
        Command::Test(arguments) => test::run(&arguments),
        Command::Tools(arguments) => tools::run(&arguments),
    }
}

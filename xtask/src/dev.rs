//! `cargo xtask dev`: builds the programs of Steadfast, and becomes `steadfast dev`.
//!
//! Builds with the profile `dev`, whose dependencies are not optimised: the first
//! answer counts here, not the thousandth.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::Context as _;
use clap::Args;
use steadfast_tools::cargo::Cargo;
use steadfast_tools::progress;

use crate::build::build;
use crate::forward::Forwarded;

const PROGRAMS: [&str; 3] = ["steadfast", "steadfast-gateway", "steadfast-worker"];

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Where the programs are, instead of building them.
    #[arg(long, env = "STEADFAST_PROGRAMS", hide = true)]
    programs: Option<PathBuf>,
    #[command(flatten)]
    forwarded: Forwarded,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let cargo = Cargo::of_this_machine()?;
    let steadfast = match &arguments.programs {
        Some(programs) => programs.join("steadfast"),
        None => build_programs(&cargo)?,
    };
    // At the terminal and in the directory of the person, unlike a command of cargo.
    let mut command = Command::new(steadfast);
    cargo.configure(&mut command);
    let error = command.arg("dev").args(&arguments.forwarded.arguments).exec();
    Err(error).context("start steadfast")
}

fn build_programs(cargo: &Cargo) -> anyhow::Result<PathBuf> {
    progress::print("building steadfast, its gateway and its worker (several minutes the first time)");
    let mut arguments = vec!["build", "--locked", "--bins"];
    arguments.extend(PROGRAMS.iter().flat_map(|program| ["--package", program]));
    if !has_make() {
        // The worker's allocator, the one feature that these programs have, is compiled with it.
        arguments.push("--no-default-features");
    }
    Ok(build(cargo, &arguments)?.executable("steadfast")?.clone())
}

fn has_make() -> bool {
    let mut make = Command::new("make");
    let make = make.arg("--version").stdin(Stdio::null()).stdout(Stdio::null());
    make.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

//! `cargo xtask dev`: builds the programs of Steadfast, and becomes `steadfast dev`.
//!
//! Builds with the profile `dev`, whose dependencies are not optimised: the first
//! answer counts here, not the thousandth.

use std::os::unix::process::CommandExt as _;

use anyhow::Context as _;
use steadfast_tools::cargo::Cargo;
use steadfast_tools::progress;

use crate::forward::Forwarded;

const PROGRAMS: [&str; 3] = ["steadfast", "steadfast-gateway", "steadfast-worker"];

pub(crate) fn run(forwarded: &Forwarded) -> anyhow::Result<()> {
    let cargo = Cargo::of_this_machine()?;
    progress::print("building steadfast, its gateway and its worker (several minutes the first time)");
    let mut build = vec!["build", "--quiet", "--locked", "--bins"];
    build.extend(PROGRAMS.iter().flat_map(|program| ["--package", program]));
    cargo.run(&build)?;
    let run = ["run", "--quiet", "--locked", "--package", "steadfast", "--", "dev"];
    let error = cargo.command(&run).args(&forwarded.arguments).exec();
    Err(error).context("start cargo")
}

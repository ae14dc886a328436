//! Hands a command to the program that links the test kit, `xtask-platform`.
//!
//! It is built as the tests and the images are, so that all share what is
//! compiled.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;

use anyhow::Context as _;
use clap::Args;
use steadfast_tools::cargo::Cargo;
use steadfast_tools::progress;

/// Arguments that the other program reads, `--help` among them.
#[derive(Debug, Args)]
pub(crate) struct Forwarded {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    pub(crate) arguments: Vec<OsString>,
}

/// Becomes `cargo run --package xtask-platform -- COMMAND ARGUMENTS`.
pub(crate) fn run(command: &str, forwarded: &Forwarded) -> anyhow::Result<()> {
    progress::print("building xtask-platform (several minutes the first time)");
    let run = [
        "run",
        "--locked",
        "--profile",
        "ci",
        "--package",
        "xtask-platform",
        "--",
        command,
    ];
    let error = Cargo::of_this_machine()?
        .command(&run)
        .args(&forwarded.arguments)
        .exec();
    Err(error).context("start cargo")
}

//! `cargo xtask test`: everything that CI runs, least powerful kind first, with
//! the minutes of each stage. Nothing is skipped: what a test needs is installed
//! first, and a test whose service does not start fails.

use std::process::Command;

use clap::Args;
use steadfast_tools::cargo::Cargo;
use steadfast_tools::command::run as run_command;
use steadfast_tools::{GoProgram, Kind, go_program, workspace};

use crate::check::{Check, run_checks};
use crate::stages::Stages;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Leaves out the stages that only read the sources: the checks and the charts.
    #[arg(long)]
    no_lint: bool,
    /// Also runs the tests that take minutes by themselves: they build other projects.
    #[arg(long)]
    long: bool,
    /// Runs only tests whose names contain this.
    filter: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut stages = Stages::start();
    let cargo = Cargo::of_this_machine()?;
    // pip, which installs the programs for the checks, is among them.
    stages.run("Debian packages", || steadfast_tools::install(&[Kind::Debian]))?;
    if !arguments.no_lint {
        run_checks(&Check::ALL, &cargo, &mut stages)?;
    }
    stages.run("programs", || steadfast_tools::install(&Kind::ALL))?;
    if !arguments.no_lint {
        stages.run("charts", lint_charts)?;
    }
    let build = ["--workspace", "--profile", "ci", "--locked"];
    stages.run("build", || {
        cargo.run(&[&["build", "--bins"], &build[..]].concat())?;
        cargo.run(&[&["test", "--no-run"], &build[..]].concat())
    })?;
    let mut tests = [&["test", "--no-fail-fast"], &build[..]].concat();
    tests.extend(arguments.filter.as_deref());
    stages.run("tests", || cargo.run(&tests))?;
    if arguments.long {
        let package = ["test", "--package", "steadfast-e2e", "--profile", "ci", "--locked"];
        let long = [&package[..], &["--test", "gitops", "--", "--ignored"]].concat();
        stages.run("long tests", || cargo.run(&long))?;
    }
    Ok(())
}

fn lint_charts() -> anyhow::Result<()> {
    let helm = go_program(GoProgram::Helm)?;
    for chart in ["charts/steadfast-crds", "charts/steadfast"] {
        run_command(
            Command::new(&helm)
                .args(["lint", "--strict", "--quiet", chart])
                .current_dir(workspace::root()),
        )?;
    }
    Ok(())
}

//! `cargo xtask test`: everything CI runs, least powerful kind first, with the
//! minutes of each stage. Nothing is skipped: what a test needs is installed
//! first, and a test whose service does not start fails.

use std::{io::Write as _, process::Command, time::Instant};

use anyhow::Context as _;
use clap::Args;
use steadfast_testkit::{
    tools::{self, GoProgram, Kind},
    workspace,
};

use crate::{
    cargo::{Cargo, run},
    generate,
};

#[derive(Debug, Args)]
pub struct Arguments {
    /// Leaves out the stages that only read the sources: format, generated files, lints, charts.
    #[arg(long)]
    no_lint: bool,
    /// Only tests whose names contain this.
    filter: Option<String>,
}

pub async fn run_tests(arguments: Arguments) -> anyhow::Result<()> {
    let mut stages = Stages::default();
    let cargo = Cargo::of_this_machine().await?;
    if !arguments.no_lint {
        stages.time("format", || cargo.run(&["fmt", "--all", "--check"]))?;
        stages.time("generated files", || {
            generate::run(&generate::Arguments { check: true }, &cargo)
        })?;
        stages.time("lints", || {
            let target = [
                "clippy",
                "--workspace",
                "--all-targets",
                "--profile",
                "ci",
                "--locked",
                "--quiet",
            ];
            cargo.run(&[&target[..], &["--", "--deny", "warnings"]].concat())
        })?;
    }
    let started = Instant::now();
    tools::install(&Kind::ALL).await?;
    stages.add("tools", started);
    if !arguments.no_lint {
        stages.time("charts", lint_charts)?;
    }
    stages.time("build", || {
        cargo.run(&[
            "build",
            "--workspace",
            "--bins",
            "--profile",
            "ci",
            "--locked",
            "--quiet",
        ])?;
        cargo.run(&[
            "test",
            "--workspace",
            "--no-run",
            "--profile",
            "ci",
            "--locked",
            "--quiet",
        ])
    })?;
    let mut tests = vec!["test", "--workspace", "--profile", "ci", "--locked", "--no-fail-fast"];
    tests.extend(arguments.filter.as_deref());
    stages.time("tests", || cargo.run(&tests))?;
    Ok(())
}

fn lint_charts() -> anyhow::Result<()> {
    let helm = tools::go_program(GoProgram::Helm)?;
    for chart in ["charts/steadfast-crds", "charts/steadfast"] {
        run(Command::new(&helm)
            .args(["lint", "--strict", "--quiet", chart])
            .current_dir(workspace::root()))?;
    }
    Ok(())
}

/// What took how long; printed at the end, also of a run that fails.
#[derive(Default)]
struct Stages(Vec<(&'static str, f64)>);

impl Stages {
    fn time(&mut self, name: &'static str, stage: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
        let started = Instant::now();
        let result = stage();
        self.add(name, started);
        result.with_context(|| format!("stage {name:?}"))
    }

    fn add(&mut self, name: &'static str, started: Instant) {
        self.0.push((name, started.elapsed().as_secs_f64() / 60.0));
    }
}

impl Drop for Stages {
    fn drop(&mut self) {
        let mut stderr = std::io::stderr().lock();
        for (name, minutes) in &self.0 {
            // Nobody is left to tell if this fails.
            drop(writeln!(stderr, "{minutes:7.1} min  {name}"));
        }
    }
}

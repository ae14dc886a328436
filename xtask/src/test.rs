//! `cargo xtask test`: everything that CI runs, least powerful kind first, with
//! the minutes of each stage. Nothing is skipped: what a test needs is installed
//! first, and a test whose service does not start fails.
//!
//! Programs of others are installed while the sources are checked and compiled,
//! and images are built while the tests are: each waits for a network or for one
//! slow crate at times.

use std::path::Path;
use std::process::Command;

use clap::Args;
use steadfast_tools::cargo::Cargo;
use steadfast_tools::command::run as run_command;
use steadfast_tools::{GoProgram, Kind, Versions, go_program, workspace};

use crate::build::build;
use crate::check::{Check, run_checks};
use crate::generate;
use crate::stages::Stages;

/// Tests that install or build other projects first, or wait for minutes: package, target and module.
const LONG: [(&str, &str, &str); 4] = [
    ("steadfast-attachment-store", "s3", "bucket"),
    ("steadfast-operator", "control_plane", "gitops"),
    ("steadfast-e2e", "stack", "model_servers"),
    ("steadfast-e2e", "stack", "proxies"),
];
const BUILD: [&str; 4] = ["--workspace", "--profile", "ci", "--locked"];

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Leaves out the stages that only read the sources: the checks and the charts.
    #[arg(long)]
    no_lint: bool,
    /// Runs the tests once more, on the oldest versions of Kubernetes, Helm and Redis that are supported; and those that
    /// build another project first or wait for minutes.
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
    prepare(arguments, &cargo, &mut stages)?;
    stages.run("tests", || {
        run_command(&mut tests(arguments, &cargo, Versions::Current))
    })?;
    if arguments.long {
        let installed = stages.run("oldest versions", || steadfast_tools::install(&[Kind::Oldest]))?;
        stages.detail(installed);
        stages.run("tests on the oldest versions", || {
            run_command(&mut tests(arguments, &cargo, Versions::Oldest))
        })?;
        let installed = stages.run("other projects", || steadfast_tools::install(&[Kind::ModelServers]))?;
        stages.detail(installed);
        for (package, target, module) in LONG {
            let tests = [
                "test",
                "--package",
                package,
                "--profile",
                "ci",
                "--locked",
                "--test",
                target,
                module,
            ];
            stages.run("long tests", || cargo.run(&[&tests[..], &["--", "--ignored"]].concat()))?;
        }
    }
    Ok(())
}

/// Checks the sources, and makes everything that the tests run.
fn prepare(arguments: &Arguments, cargo: &Cargo, stages: &mut Stages) -> anyhow::Result<()> {
    std::thread::scope(|scope| {
        let programs = stages.begin(scope, "programs", || steadfast_tools::install(&Kind::ALL));
        if !arguments.no_lint {
            run_checks(&Check::ALL, cargo, stages)?;
        }
        let built = stages.run("build", || build(cargo, &[&["build", "--bins"], &BUILD[..]].concat()))?;
        stages.detail([&built]);
        let installed = stages.wait(programs)?;
        stages.detail(installed);
        if !arguments.no_lint {
            stages.run("charts", lint_charts)?;
        }
        // Few tests need images; those build what is missing.
        let images = if arguments.filter.is_none() {
            let platform = built.executable("xtask-platform")?.clone();
            Some(stages.begin(scope, "images", move || build_images(&platform)))
        } else {
            None
        };
        let tests = stages.run("build of the tests", || {
            build(cargo, &[&["test", "--no-run"], &BUILD[..]].concat())
        })?;
        stages.detail([tests]);
        images.map_or(Ok(()), |images| stages.wait(images))
    })
}

fn tests(arguments: &Arguments, cargo: &Cargo, versions: Versions) -> Command {
    let mut words = [&["test", "--no-fail-fast"], &BUILD[..]].concat();
    words.extend(arguments.filter.as_deref());
    let mut command = cargo.command(&words);
    command.env(Versions::VARIABLE, versions.name());
    command
}

fn build_images(platform: &Path) -> anyhow::Result<()> {
    run_command(Command::new(platform).arg("image").current_dir(workspace::root()))
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
    generate::plain_manifests::check(&workspace::root())
}

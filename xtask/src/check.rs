//! `cargo xtask check`: the checks that only read the sources. `cargo xtask
//! test` runs all of them first. Each check is a file below `check/`.

mod deny;
mod dependency_direction;
mod doc;
mod features;
mod members;
mod module_cycles;
mod references;
mod retired_words;
mod sources;
mod spelling;
mod unused_dependencies;

#[cfg(test)]
mod fixture;

use anyhow::ensure;
use clap::{Args, ValueEnum};
use steadfast_tools::cargo::Cargo;
use steadfast_tools::{Kind, progress, workspace};

use crate::stages::Stages;
use crate::{console, generate};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Runs only these checks.
    #[arg(value_enum)]
    checks: Vec<Check>,
}

/// One check. Those that compile nothing come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Check {
    /// rustfmt changes nothing.
    Format,
    /// typos finds no misspelled word.
    Spelling,
    /// No retired name is used.
    RetiredWords,
    /// Files, headings, tests and decisions that pages name exist.
    References,
    /// No module depends on itself through its siblings.
    ModuleCycles,
    /// Crates depend only on crates that they may depend on.
    DependencyDirection,
    /// cargo-shear finds no dependency that is not used.
    UnusedDependencies,
    /// Each member uses its dependencies with the features of the whole workspace.
    Features,
    /// cargo-deny accepts the dependencies' licenses and sources.
    Deny,
    /// cargo-deny finds no advisory against a dependency. Needs a network; not part of `test`.
    Advisories,
    /// Generated files are what the API types say.
    GeneratedFiles,
    /// The console's tests pass, and its bundle is what its sources make.
    Console,
    /// clippy has no warning.
    Lints,
    /// rustdoc has no warning.
    Doc,
}

impl Check {
    /// Those that need no network.
    pub(crate) const ALL: [Self; 13] = [
        Self::Format,
        Self::Spelling,
        Self::RetiredWords,
        Self::References,
        Self::ModuleCycles,
        Self::DependencyDirection,
        Self::UnusedDependencies,
        Self::Features,
        Self::Deny,
        Self::GeneratedFiles,
        Self::Console,
        Self::Lints,
        Self::Doc,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Spelling => "spelling",
            Self::RetiredWords => "retired words",
            Self::References => "references",
            Self::ModuleCycles => "module cycles",
            Self::DependencyDirection => "dependency direction",
            Self::UnusedDependencies => "unused dependencies",
            Self::Features => "features",
            Self::Deny => "deny",
            Self::Advisories => "advisories",
            Self::GeneratedFiles => "generated files",
            Self::Console => "console",
            Self::Lints => "lints",
            Self::Doc => "doc",
        }
    }

    pub(crate) fn run(self, cargo: &Cargo) -> anyhow::Result<()> {
        let root = workspace::root();
        match self {
            Self::Format => cargo.run(&["fmt", "--all", "--check"]),
            Self::Spelling => spelling::check(&root),
            Self::RetiredWords => retired_words::check(&root),
            Self::References => references::check(&root),
            Self::ModuleCycles => module_cycles::check(&root),
            Self::DependencyDirection => dependency_direction::check(cargo),
            Self::UnusedDependencies => unused_dependencies::check(&root),
            Self::Features => features::check(cargo),
            Self::Deny => deny::check(&root, &deny::OFFLINE),
            Self::Advisories => deny::check(&root, &["advisories"]),
            Self::GeneratedFiles => generate::check_without_helm(cargo),
            Self::Console => console::run(&console::Arguments { check: true }),
            Self::Lints => cargo.run(&[
                "clippy",
                "--workspace",
                "--all-targets",
                "--profile",
                "ci",
                "--locked",
                "--",
                "--deny",
                "warnings",
            ]),
            Self::Doc => doc::check(cargo, &root),
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let chosen = if arguments.checks.is_empty() {
        &Check::ALL[..]
    } else {
        &arguments.checks
    };
    run_checks(chosen, &Cargo::of_this_machine()?, &mut Stages::start())
}

/// Runs all of them, also after one has failed. The error names those that failed.
pub(crate) fn run_checks(checks: &[Check], cargo: &Cargo, stages: &mut Stages) -> anyhow::Result<()> {
    stages.run("programs for the checks", || steadfast_tools::install(&[Kind::Checks]))?;
    let mut failed = Vec::new();
    for check in checks {
        if let Err(error) = stages.run(check.name(), || check.run(cargo)) {
            progress::print(&format!("{error:#}"));
            failed.push(check.name());
        }
    }
    ensure!(failed.is_empty(), "checks failed: {}", failed.join(", "));
    Ok(())
}
